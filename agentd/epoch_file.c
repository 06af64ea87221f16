/* SPDX-License-Identifier: GPL-2.0-or-later */
/* DATA/agentd.json: {"epoch":N} */
#include "agentd/epoch_file.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "lib/file.h"
#include "lib/json.h"

#define STATE_MAX 4096

static int state_path(const char *data_dir, char **ret)
{
	return asprintf(ret, "%s/agentd.json", data_dir) < 0 ? -ENOMEM : 0;
}

int epoch_file_read(const char *data_dir, uint64_t *ret, struct error *err)
{
	_cleanup_free_ char *path = NULL, *text = NULL;
	_cleanup_json_ json_t *json = NULL;
	struct json_reader reader;
	uint64_t epoch = 0;
	int r;

	r = state_path(data_dir, &path);
	if (r < 0)
		return r;
	r = file_read(path, STATE_MAX, &text, NULL, NULL);
	if (r == -ENOENT) {
		*ret = 0;
		return 0;
	}
	if (r < 0)
		return error_set(err, r, "internal", NULL, "cannot read %s: %s", path,
				 strerror(-r));
	r = json_decode(text, strlen(text), &json, err);
	if (r < 0)
		return r;
	json_reader_init(&reader, json, "", err);
	json_read_uint(&reader, "epoch", JSON_REQUIRED, 0, UINT32_MAX, &epoch);
	r = json_reader_finish(&reader);
	if (r == 0)
		*ret = epoch;
	return r;
}

int epoch_file_write(const char *data_dir, uint64_t epoch, struct error *err)
{
	_cleanup_free_ char *path = NULL, *text = NULL;
	int r, length;

	r = state_path(data_dir, &path);
	if (r < 0)
		return r;
	length = asprintf(&text, "{\"epoch\":%llu}\n", (unsigned long long)epoch);
	if (length < 0)
		return -ENOMEM;
	return file_write_atomic(path, text, (size_t)length, 0600, err);
}
