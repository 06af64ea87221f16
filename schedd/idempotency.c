/* SPDX-License-Identifier: GPL-2.0-or-later */
/* From a request's header to the row of its key, and back. */
#include "schedd/idempotency.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

#include "schedd/auth.h"
#include "schedd/token.h"

#define HEADER "Idempotency-Key"
#define TEXT_MAX 128

static bool is_good(const char *text)
{
	size_t length = strlen(text);

	for (const char *c = text; *c; c++)
		if (*c <= ' ' || *c > '~')
			return false;
	return length > 0 && length <= TEXT_MAX;
}

/* Of parts with their ends, so that no two lists of parts are one text. */
static int hash_parts(const char *const *parts, const void *body, size_t length,
		      unsigned char ret[KEY_FINGERPRINT_SIZE])
{
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	int ok = context && EVP_DigestInit_ex(context, EVP_sha256(), NULL) == 1;

	for (; ok && *parts; parts++)
		ok = EVP_DigestUpdate(context, *parts, strlen(*parts) + 1) == 1;
	ok = ok && EVP_DigestUpdate(context, body, length) == 1 &&
	     EVP_DigestFinal_ex(context, ret, NULL) == 1;
	EVP_MD_CTX_free(context);
	return ok ? 0 : -ENOMEM;
}

/* Whose key it is, and what was asked. */
static struct key *read_key(struct http_request *request, const char *text)
{
	_cleanup_(cleanup_key) struct key *key = key_new();
	unsigned char hash[KEY_FINGERPRINT_SIZE];
	char hex[TOKEN_HASH_HEX_MAX];
	size_t length;
	const char *body = http_request_body(request, &length);

	if (!key || !body ||
	    hash_parts((const char *const[]){ access_caller(request)->actor, text, NULL }, "", 0,
		       hash) < 0 ||
	    hash_parts((const char *const[]){ http_request_path(request), NULL }, body, length,
		       key->fingerprint) < 0)
		return NULL;
	token_hash_format(hash, hex);
	(void)snprintf(key->id, sizeof(key->id), "%.*s", KEY_ID_MAX, hex);
	(void)snprintf(key->caller, sizeof(key->caller), "%s", access_caller(request)->actor);
	return TAKE_PTR(key);
}

/* The key's row, or NULL where it is new. */
static int find(struct operation *operation, const char *text, const struct key_entry **ret,
		struct error *err)
{
	struct scheduler *scheduler = operation->api->config.scheduler;

	if (!is_good(text))
		return error_set(err, -EINVAL, "invalid", HEADER,
				 HEADER ": 1 to %d printable characters of ASCII, without blanks",
				 TEXT_MAX);
	operation->key = read_key(operation->request, text);
	if (!operation->key)
		return error_set(err, -ENOMEM, "internal", NULL, "out of memory");
	*ret = state_key(scheduler_state(scheduler), operation->key->id);
	if (!*ret && !scheduler_has_room_for_key(scheduler))
		return error_set(err, -EAGAIN, "too_many", HEADER,
				 HEADER ": too many keys of the last day are remembered already");
	return 0;
}

/* A key that made room for another before its day is over would let its request be carried out
 * twice, and nobody would know. So it is the new one that is refused. */
static bool refuse_one_more(struct operation *operation)
{
	uint64_t wait_s;

	if (!scheduler_is_over_keys(operation->api->config.scheduler, operation->key->caller,
				    &wait_s))
		return false;
	auth_refuse_over(operation->request, "token-keys",
			 "this caller has as many keys of the last 24 hours as one may have, and "
			 "only without " HEADER " more is taken",
			 1000 * wait_s);
	operation_free(operation);
	return true;
}

bool idempotency_repeats(struct operation *operation, scheduler_done done)
{
	struct scheduler *scheduler = operation->api->config.scheduler;
	const char *text = http_request_header(operation->request, HEADER);
	const struct key_entry *entry = NULL;
	struct error err = ERROR_INIT;
	const struct key *before;
	int r;

	if (!text)
		return false;
	r = find(operation, text, &entry, &err);
	if (r == 0 && !entry)
		return refuse_one_more(operation);
	if (r == 0) {
		before = key_newest(entry);
		if (memcmp(before->fingerprint, operation->key->fingerprint,
			   sizeof(before->fingerprint)) != 0)
			r = error_set(&err, -EEXIST, "key_reused", HEADER,
				      HEADER ": another request was made with this key");
		else
			r = scheduler_settle(scheduler, before->subject, done, operation, &err);
		operation->repeat = r == 0;
	}
	if (r < 0)
		operation_fail(operation, &err);
	else
		http_reply_header(operation->request, "Idempotency-Replayed", "true");
	return true;
}

void idempotency_keep(struct operation *operation, const char *id)
{
	if (!operation->key)
		return;
	(void)snprintf(operation->key->subject, sizeof(operation->key->subject), "%s", id);
	scheduler_remember(operation->api->config.scheduler, TAKE_PTR(operation->key));
}
