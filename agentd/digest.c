/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SHA-256 over the assignment's canonical JSON, less what a container does not depend on. */
#include "agentd/digest.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

/* Placement, queueing and what only the scheduler and the gateway use. */
static const char *const irrelevant_spec[] = {
	"labels", "policy", "pool", "queue", "gpu_model", "expires_at", "on_expiry",
};

static int hash_text(const char *text, char ret[DIGEST_STRING_MAX])
{
	unsigned char sum[EVP_MAX_MD_SIZE];
	unsigned length = 0;

	if (EVP_Digest(text, strlen(text), sum, &length, EVP_sha256(), NULL) != 1)
		return -ENOMEM;
	for (unsigned i = 0; i < length && 2 * i + 2 < DIGEST_STRING_MAX; i++)
		snprintf(ret + 2 * i, 3, "%02x", sum[i]);
	return 0;
}

static void strip(json_t *json)
{
	json_t *spec = json_object_get(json, "spec");
	json_t *service;
	size_t i;

	json_object_del(json, "revision");
	json_object_del(json, "state");
	for (size_t n = 0; n < ARRAY_SIZE(irrelevant_spec); n++)
		json_object_del(spec, irrelevant_spec[n]);
	json_array_foreach (json_object_get(spec, "services"), i, service) {
		json_object_del(service, "external_port");
	}
}

int assignment_digest(const struct assignment *assignment, char ret[DIGEST_STRING_MAX])
{
	_cleanup_json_ json_t *json = assignment_encode(assignment);
	_cleanup_free_ char *text = NULL;

	if (!json)
		return -ENOMEM;
	strip(json);
	text = json_dumps(json, JSON_COMPACT | JSON_SORT_KEYS);
	if (!text)
		return -ENOMEM;
	return hash_text(text, ret);
}
