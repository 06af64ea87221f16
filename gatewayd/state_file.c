/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What stands in the state file, and what of a file that was found can be used. */
#include "gatewayd/state_file.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

/* The JSON behind a verb; NULL where the line has another. */
static const char *after(const char *text, const char *verb)
{
	size_t length = strlen(verb);

	return strncmp(text, verb, length) == 0 ? text + length : NULL;
}

static bool is_change(const char *text)
{
	return after(text, STATE_PUT) || after(text, STATE_DELETE) || after(text, STATE_BAN) ||
	       after(text, STATE_UNBAN) || after(text, STATE_SWEEP) || after(text, STATE_SPARE) ||
	       strcmp(text, STATE_SWEPT) == 0;
}

static int read_commit(const char *text, uint64_t *ret_revision, uint64_t *ret_epoch)
{
	_cleanup_json_ json_t *json = NULL;
	struct json_reader reader;
	int r;

	r = json_decode(text, strlen(text), &json, NULL);
	if (r < 0)
		return r;
	json_reader_init(&reader, json, "commit", NULL);
	json_read_uint(&reader, "revision", JSON_REQUIRED, 0, INT64_MAX, ret_revision);
	json_read_uint(&reader, "epoch", JSON_REQUIRED, 0, INT64_MAX, ret_epoch);
	return json_reader_finish(&reader);
}

struct examination {
	struct state_summary *summary;
	uint64_t n_lines;
	bool known; /* the header is ours */
};

static int examine_line(const char *text, size_t length, uint64_t end, void *userdata)
{
	struct examination *examination = userdata;
	struct state_summary *summary = examination->summary;
	const char *commit = after(text, STATE_COMMIT);
	uint64_t revision, epoch;

	examination->n_lines++;
	if (!examination->known) {
		examination->known = strcmp(text, STATE_HEADER) == 0;
		summary->committed = end;
		return examination->known ? 0 : -EPROTO;
	}
	if (is_change(text)) {
		if (after(text, STATE_SWEEP)) {
			summary->sweeps = true;
		} else if (strcmp(text, STATE_SWEPT) == 0) {
			summary->sweeps = false;
			summary->swept = end;
		}
		return 0;
	}
	if (!commit || read_commit(commit, &revision, &epoch) < 0)
		return -EPROTO;
	summary->revision = revision;
	summary->epoch = MAX(summary->epoch, epoch);
	summary->n_lines = examination->n_lines;
	summary->committed = end;
	return 0;
}

int state_file_examine(int fd, struct state_summary *ret)
{
	struct state_summary summary = { .condition = STATE_USABLE };
	struct examination examination = { .summary = &summary };
	struct line_scan scan;
	struct stat st;
	int r;

	if (fstat(fd, &st) < 0)
		return -errno;
	summary.size = (uint64_t)st.st_size;
	r = lines_scan(fd, 0, summary.size, examine_line, &examination, &scan);
	if (r < 0 && r != -EPROTO)
		return r;
	summary.good = scan.good;
	summary.cut = scan.damage != LINES_WHOLE;
	summary.behind = summary.cut || scan.good > summary.committed;
	if (r == -EPROTO)
		summary.condition = STATE_FOREIGN;
	else if (scan.damage == LINES_GARBLED)
		summary.condition = STATE_GARBLED;
	else if (!examination.known)
		summary.condition = summary.size == 0 ? STATE_ABSENT : STATE_GARBLED;
	*ret = summary;
	return 0;
}

/* ---- decoding ---- */

static int replay_put(const struct state_handlers *handlers, const char *text, struct error *err)
{
	struct mapping mapping = { 0 };
	int r;

	r = mapping_read(text, &mapping, err);
	if (r < 0)
		return r;
	r = handlers->on_put(&mapping, handlers->userdata);
	mapping_clear(&mapping);
	return r;
}

static int replay_delete(const struct state_handlers *handlers, const char *text, struct error *err)
{
	struct mapping_key key;
	int r;

	r = mapping_key_read(text, &key, err);
	return r < 0 ? r : handlers->on_delete(&key, handlers->userdata);
}

static int replay_sweep(const struct state_handlers *handlers, const char *text, struct error *err)
{
	struct mapping mapping = { 0 };
	int r;

	r = mapping_read(text, &mapping, err);
	if (r < 0)
		return r;
	if (handlers->on_sweep)
		r = handlers->on_sweep(&mapping.key, &mapping.target, handlers->userdata);
	mapping_clear(&mapping);
	return r;
}

static int replay_spare(const struct state_handlers *handlers, const char *text, struct error *err)
{
	struct mapping_key key;
	int r;

	r = mapping_key_read(text, &key, err);
	return r < 0 || !handlers->on_spare ? r : handlers->on_spare(&key, handlers->userdata);
}

static int replay_swept(const struct state_handlers *handlers)
{
	if (handlers->on_swept)
		handlers->on_swept(handlers->userdata);
	return 0;
}

static int replay_ban(const struct state_handlers *handlers, const char *text, struct error *err)
{
	const char *ban = after(text, STATE_BAN);
	const char *body = ban ?: after(text, STATE_UNBAN);
	_cleanup_json_ json_t *json = NULL;
	int r;

	r = json_decode(body, strlen(body), &json, err);
	if (r < 0)
		return r;
	return handlers->on_ban ? handlers->on_ban(json, !ban, handlers->userdata) : 0;
}

static int replay_change(const struct state_handlers *handlers, const char *text)
{
	const char *put = after(text, STATE_PUT), *deletion = after(text, STATE_DELETE);
	const char *sweep = after(text, STATE_SWEEP), *spare = after(text, STATE_SPARE);
	struct error err = ERROR_INIT;
	int r;

	if (put)
		r = replay_put(handlers, put, &err);
	else if (deletion)
		r = replay_delete(handlers, deletion, &err);
	else if (sweep)
		r = replay_sweep(handlers, sweep, &err);
	else if (spare)
		r = replay_spare(handlers, spare, &err);
	else if (strcmp(text, STATE_SWEPT) == 0)
		r = replay_swept(handlers);
	else
		r = replay_ban(handlers, text, &err);
	if (r == 0 || err.errnum == 0 || r == -ENOMEM)
		return r;
	handlers->on_unreadable(text, &err, handlers->userdata);
	return 0;
}

struct replaying {
	const struct state_handlers *handlers;
	uint64_t swept;
};

static int replay_line(const char *text, size_t length, uint64_t end, void *userdata)
{
	const struct replaying *replaying = userdata;

	if (!is_change(text) ||
	    (end <= replaying->swept && (after(text, STATE_SWEEP) || after(text, STATE_SPARE))))
		return 0;
	return replay_change(replaying->handlers, text);
}

int state_file_replay(int fd, uint64_t from, uint64_t to, uint64_t swept,
		      const struct state_handlers *handlers)
{
	struct replaying replaying = { handlers, swept };
	struct line_scan scan;

	return lines_scan(fd, from, to, replay_line, &replaying, &scan);
}
