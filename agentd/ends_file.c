/* SPDX-License-Identifier: GPL-2.0-or-later */
/* DATA/environments/ENV/.ends: {"run":TEXT,"restarts":N,"count":N,"exit_code":N,"delay_ms":N} */
#include "agentd/ends_file.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "agentd/volumes.h"
#include "lib/file.h"
#include "lib/json.h"

#define FILE_MAX 4096
#define RUN_MAX 64

/* The folder, or the file in it. */
static int path_of(const char *data_dir, const char *environment, const char *file, char **ret)
{
	if (!volumes_name_valid(environment))
		return -EINVAL;
	if (asprintf(ret, "%s/environments/%s%s", data_dir, environment, file) < 0) {
		*ret = NULL; /* asprintf leaves it undefined */
		return -ENOMEM;
	}
	return 0;
}

static int take(json_t *json, struct ends *ends)
{
	uint64_t restarts = 0, count = 0, exit_code = UINT64_MAX, delay_ms = 0;
	struct json_reader reader;
	const char *run = NULL;

	json_reader_init(&reader, json, "", NULL);
	json_read_string(&reader, "run", JSON_OPTIONAL, RUN_MAX, &run);
	json_read_uint(&reader, "restarts", JSON_REQUIRED, 0, UINT32_MAX, &restarts);
	json_read_uint(&reader, "count", JSON_REQUIRED, 0, UINT32_MAX, &count);
	json_read_uint(&reader, "exit_code", JSON_OPTIONAL, 0, EXIT_CODE_MAX, &exit_code);
	json_read_uint(&reader, "delay_ms", JSON_REQUIRED, 0, UINT32_MAX, &delay_ms);
	if (json_reader_finish(&reader) < 0)
		return 0;
	if (run) {
		ends->run = strdup(run);
		if (!ends->run)
			return -ENOMEM;
	}
	ends->restarts = (unsigned)restarts;
	ends->count = (unsigned)count;
	ends->exit_code = exit_code == UINT64_MAX ? EXIT_CODE_NONE : (int)exit_code;
	ends->delay_ms = (uint32_t)delay_ms;
	return 0;
}

int ends_file_read(const char *data_dir, const char *environment, struct ends *ends)
{
	_cleanup_free_ char *path = NULL, *text = NULL;
	_cleanup_json_ json_t *json = NULL;
	int r;

	r = path_of(data_dir, environment, "/.ends", &path);
	if (r == 0)
		r = file_read(path, FILE_MAX, &text, NULL, NULL);
	if (r == 0)
		r = json_decode(text, strlen(text), &json, NULL);
	if (r < 0)
		return r == -ENOMEM ? r : 0;
	return take(json, ends);
}

static json_t *encode(const struct ends *ends)
{
	_cleanup_json_ json_t *json =
		json_pack("{s:I, s:I, s:I}", "restarts", (json_int_t)ends->restarts, "count",
			  (json_int_t)ends->count, "delay_ms", (json_int_t)ends->delay_ms);

	if (json && ends->run && json_object_set_new(json, "run", json_string(ends->run)) < 0)
		return NULL;
	if (json && ends->exit_code != EXIT_CODE_NONE &&
	    json_object_set_new(json, "exit_code", json_integer(ends->exit_code)) < 0)
		return NULL;
	return TAKE_PTR(json);
}

int ends_file_write(const char *data_dir, const char *environment, const struct ends *ends,
		    struct error *err)
{
	_cleanup_free_ char *folder = NULL, *path = NULL, *text = NULL;
	_cleanup_json_ json_t *json = encode(ends);
	int r;

	r = path_of(data_dir, environment, "", &folder);
	if (r == 0)
		r = path_of(data_dir, environment, "/.ends", &path);
	if (r == 0)
		r = folder_make(folder, 0700);
	if (r < 0)
		return error_set(err, r, "io", NULL, "cannot make the folder of %s: %s",
				 environment, error_text(NULL, r));
	text = json ? json_encode(json) : NULL;
	if (!text)
		return -ENOMEM;
	return file_replace(path, text, strlen(text), 0600, err);
}
