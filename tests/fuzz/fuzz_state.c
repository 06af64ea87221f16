/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The state file: the input as a file, and, if it begins with "+", its lines with checksums put in
 * front of them, so that what is behind the checksums is reached too. Whatever is replayed was
 * committed, and a mapping that was read says the same when it is written and read again, by the
 * quick way and by the other.
 */
#include <sys/mman.h>
#include <unistd.h>

#include "gatewayd/state_file.h"
#include "lib/file.h"
#include "tests/fuzz/fuzz.h"

static int on_put(struct mapping *mapping, void *userdata)
{
	char first[MAPPING_TEXT_MAX], second[MAPPING_TEXT_MAX];
	struct mapping again, decoded;
	json_t *json;

	(void)mapping_write(mapping, first);
	fuzz_require(mapping_read(first, &again, NULL) == 0);
	(void)mapping_write(&again, second);
	fuzz_require(strcmp(first, second) == 0);
	json = fuzz_json((const unsigned char *)first, strlen(first));
	fuzz_require(json && mapping_decode(json, "", NULL, &decoded, NULL) == 0);
	fuzz_require(mapping_equal(&again, &decoded) && again.revision == decoded.revision);
	json_decref(json);
	mapping_clear(&again);
	mapping_clear(&decoded);
	return 0;
}

static int on_delete(const struct mapping_key *key, void *userdata)
{
	char text[MAPPING_TEXT_MAX];
	struct mapping_key again, decoded;
	json_t *json;

	(void)mapping_key_write(key, text);
	fuzz_require(mapping_key_read(text, &again, NULL) == 0);
	fuzz_require(mapping_key_compare(key, &again) == 0);
	json = fuzz_json((const unsigned char *)text, strlen(text));
	fuzz_require(json && mapping_key_decode(json, "", NULL, NULL, &decoded, NULL) == 0);
	fuzz_require(mapping_key_compare(key, &decoded) == 0);
	json_decref(json);
	return 0;
}

static int on_ban(json_t *ban, bool lifted, void *userdata)
{
	fuzz_require(ban);
	return 0;
}

static int on_sweep(const struct mapping_key *key, const struct endpoint *led, void *userdata)
{
	fuzz_require(led->port > 0);
	return on_delete(key, userdata);
}

static void on_unreadable(const char *text, const struct error *err, void *userdata)
{
	fuzz_refused(err->errnum, err);
}

/* The lines behind the "+", each with its checksum. */
static void add_checksums(const char *text, struct line_buffer *lines)
{
	while (*text) {
		size_t length = strcspn(text, "\n");

		if (length <= CHECKED_LINE_MAX)
			fuzz_require(line_add(lines, text, length) == 0);
		text += length + (text[length] == '\n');
	}
}

static void examine(int fd)
{
	static const struct state_handlers handlers = { .on_put = on_put,
							.on_delete = on_delete,
							.on_ban = on_ban,
							.on_sweep = on_sweep,
							.on_spare = on_delete,
							.on_unreadable = on_unreadable };
	struct state_summary summary;

	fuzz_require(state_file_examine(fd, &summary) == 0);
	if (summary.condition != STATE_USABLE)
		return;
	fuzz_require(summary.committed > 0 && summary.committed <= summary.good);
	fuzz_require(summary.good <= summary.size);
	fuzz_require(summary.behind || summary.committed == summary.size);
	fuzz_require(state_file_replay(fd, 0, summary.committed, 0, &handlers) == 0);
	fuzz_require(state_file_replay(fd, summary.committed, summary.good, 0, &handlers) == 0);
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
	_cleanup_(cleanup_line_buffer) struct line_buffer lines = { 0 };
	_cleanup_free_ char *text = fuzz_text(data, size);
	_cleanup_close_ int fd = memfd_create("state", MFD_CLOEXEC);

	fuzz_require(fd >= 0);
	if (text[0] == '+') {
		add_checksums(text + 1, &lines);
		fuzz_require(write_all(fd, lines.data, lines.length) == 0);
	} else {
		fuzz_require(write_all(fd, data, size) == 0);
	}
	examine(fd);
	return 0;
}
