/* SPDX-License-Identifier: GPL-2.0-or-later */
/* DATA/lease.json: {"boot":ID,"granted_ms":N,"length_ms":N} */
#include "agentd/lease.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "lib/file.h"
#include "lib/json.h"

#define FILE_MAX 4096
#define WRITE_EVERY_MS 1000
#define BOOT_ID "/proc/sys/kernel/random/boot_id"

static int read_boot(struct lease *lease, struct error *err)
{
	_cleanup_free_ char *text = NULL;
	int r;

	r = file_read(BOOT_ID, FILE_MAX, &text, NULL, err);
	if (r < 0)
		return r;
	(void)snprintf(lease->boot, sizeof(lease->boot), "%.*s", (int)strcspn(text, "\n"), text);
	return 0;
}

/* A file that is missing, of another boot or damaged grants nothing. */
static int read_granted(struct lease *lease)
{
	_cleanup_free_ char *text = NULL;
	_cleanup_json_ json_t *json = NULL;
	struct json_reader reader;
	const char *boot = NULL;
	uint64_t granted = 0, length = 0;
	int r;

	r = file_read(lease->path, FILE_MAX, &text, NULL, NULL);
	if (r < 0)
		return r == -ENOMEM ? r : 0;
	if (json_decode(text, strlen(text), &json, NULL) < 0)
		return 0;
	json_reader_init(&reader, json, "", NULL);
	json_read_string(&reader, "boot", JSON_REQUIRED, sizeof(lease->boot) - 1, &boot);
	json_read_uint(&reader, "granted_ms", JSON_REQUIRED, 0, INT64_MAX, &granted);
	json_read_uint(&reader, "length_ms", JSON_REQUIRED, 0, INT64_MAX, &length);
	if (json_reader_finish(&reader) == 0 && strcmp(boot, lease->boot) == 0) {
		lease->granted_ms = lease->written_ms = granted;
		lease->length_ms = length;
	}
	return 0;
}

int lease_init(struct lease *lease, const char *data_dir, struct error *err)
{
	int r;

	*lease = (struct lease){ 0 };
	if (asprintf(&lease->path, "%s/lease.json", data_dir) < 0) {
		lease->path = NULL;
		return -ENOMEM;
	}
	r = read_boot(lease, err);
	return r < 0 ? r : read_granted(lease);
}

void lease_clear(struct lease *lease)
{
	free(lease->path);
	*lease = (struct lease){ 0 };
}

int lease_renew(struct lease *lease, uint64_t sent_ms, uint64_t length_ms, struct error *err)
{
	bool same_length = lease->length_ms == length_ms;
	_cleanup_free_ char *text = NULL;
	int r, length;

	lease->granted_ms = MAX(lease->granted_ms, sent_ms);
	lease->length_ms = length_ms;
	if (same_length && lease->granted_ms < lease->written_ms + WRITE_EVERY_MS)
		return 0;
	length = asprintf(
		&text, "{\"boot\":\"%s\",\"granted_ms\":%" PRIu64 ",\"length_ms\":%" PRIu64 "}\n",
		lease->boot, lease->granted_ms, lease->length_ms);
	if (length < 0) {
		text = NULL;
		return -ENOMEM;
	}
	r = file_replace(lease->path, text, (size_t)length, 0600, err);
	if (r == 0)
		lease->written_ms = lease->granted_ms;
	return r;
}

uint64_t lease_left_ms(const struct lease *lease, uint64_t now_ms)
{
	uint64_t until = lease->granted_ms + lease->length_ms;

	if (lease->granted_ms == 0)
		return 0;
	if (lease->length_ms == 0)
		return UINT64_MAX;
	return until > now_ms ? until - now_ms : 0;
}
