/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The state file: opened, appended to after each commit, and done without where that fails. */
#include "gatewayd/state.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "gatewayd/lock.h"
#include "gatewayd/state_private.h"
#include "lib/clock.h"
#include "lib/file.h"
#include "lib/log.h"
#include "lib/loop.h"

#define RETRY_FIRST_MS 1000
#define RETRY_MAX_MS 30000
/* The file is written anew when it has twice as many lines as there are mappings, and these. */
#define SPARE_LINES ((uint64_t)16384)
/* Lines of one commit are written in pieces of this size. */
#define WRITE_BYTES ((size_t)1 << 20)
#define FOLDER_MODE 0700

/* ---- failing ---- */

/* Only a reboot forgets it, and that forgets the kernel's table too: so the marker says exactly
 * that this table knows better than the file. */
static void mark_behind(const struct state *state, bool behind)
{
	char path[PATH_MAX];
	int fd;

	if (lock_file_path(state->config.run_folder, "behind", path, NULL) < 0)
		return;
	if (!behind) {
		(void)unlink(path);
		return;
	}
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd >= 0)
		close(fd);
}

static bool is_marked_behind(const struct state *state)
{
	char path[PATH_MAX];

	return lock_file_path(state->config.run_folder, "behind", path, NULL) == 0 &&
	       access(path, F_OK) == 0;
}

static void close_file(struct state *state)
{
	if (state->fd >= 0)
		close(state->fd);
	state->fd = -1;
}

void state_complain(struct state *state, const char *what, int errnum)
{
	char reason[sizeof(state->reason)];
	uint32_t delay = backoff_next_ms(&state->backoff);

	(void)snprintf(reason, sizeof(reason), "%s/%s cannot be %s: %s", state->config.folder,
		       STATE_NAME, what,
		       errnum == -EBUSY ? "another gatewayd uses it" : strerror(-errnum));
	state->errors++;
	metric_add(state->errors_metric, NULL, 1);
	if (strcmp(state->reason, reason) != 0)
		log_error(STATE_SUBJECT, "%s retry_ms=%u", reason, delay);
	(void)snprintf(state->reason, sizeof(state->reason), "%s", reason);
	(void)loop_timer_arm(&state->retry, delay);
}

void state_fail(struct state *state, const char *what, int errnum)
{
	state_complain(state, what, errnum);
	state->failing = true;
	metric_set(state->failing_metric, NULL, 1);
	mark_behind(state, true);
	/* What was noted may not be so any more when a new file is begun, which reads what is. */
	state->lines.length = state->lines.n = 0;
	close_file(state);
}

void state_mend(struct state *state)
{
	backoff_reset(&state->backoff);
	evtimer_del(&state->retry);
	mark_behind(state, false);
	state->reason[0] = '\0';
	if (!state->failing)
		return;
	state->failing = false;
	metric_set(state->failing_metric, NULL, 0);
	log_info(STATE_SUBJECT, "written again bytes=%" PRIu64, state->extent.bytes);
}

/* ---- opening ---- */

/* Two writers of one file would garble it. The folder's lock, since the file changes. */
static int open_folder(struct state *state)
{
	_cleanup_close_ int fd = -1;
	int r;

	r = folder_make(state->config.folder, FOLDER_MODE);
	if (r < 0)
		return r;
	fd = open(state->config.folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	r = lock_wait(fd);
	if (r < 0)
		return r;
	state->folder = TAKE_FD(fd);
	return 0;
}

/* Beside the file, for whoever wants to know what happened to it. */
static int set_aside(struct state *state)
{
	char name[64], text[TIME_STRING_MAX];
	const char *why =
		state->summary.condition == STATE_FOREIGN ? "is of another version" : "is damaged";

	(void)snprintf(name, sizeof(name), "%s.damaged-%s", STATE_NAME,
		       time_format(clock_unix_seconds(), text));
	if (renameat(state->folder, STATE_NAME, state->folder, name) < 0)
		return -errno;
	(void)snprintf(state->set_aside, sizeof(state->set_aside),
		       "%s/%s %s and was set aside as %s", state->config.folder, STATE_NAME, why,
		       name);
	log_error(STATE_SUBJECT, "%s; what should be is taken from the kernel and schedd",
		  state->set_aside);
	return 0;
}

static int examine(struct state *state)
{
	_cleanup_close_ int fd = openat(state->folder, STATE_NAME, O_RDONLY | O_CLOEXEC);
	int r;

	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	r = state_file_examine(fd, &state->summary);
	if (r < 0)
		return r;
	state->epoch = state->summary.epoch;
	if (state->summary.condition == STATE_FOREIGN || state->summary.condition == STATE_GARBLED)
		return set_aside(state);
	state->revision = state->summary.revision;
	if (state->summary.cut)
		log_warning(STATE_SUBJECT,
			    "its end is missing: used up to byte %" PRIu64 " of %" PRIu64
			    " revision=%" PRIu64,
			    state->summary.committed, state->summary.size, state->revision);
	state->fd = TAKE_FD(fd);
	return 0;
}

static void on_retry(evutil_socket_t fd, short what, void *userdata)
{
	struct state *state = userdata;
	int r = state->folder < 0 ? open_folder(state) : 0;

	if (r < 0)
		state_fail(state, "reached", r);
	else
		rewrite_start(state);
}

static void on_sync(evutil_socket_t fd, short what, void *userdata)
{
	struct state *state = userdata;

	metric_set(state->bytes_metric, NULL, (double)state->extent.bytes);
	sync_next(state);
}

static void register_metrics(struct state *state, struct metrics *metrics)
{
	state->errors_metric =
		metrics_register(metrics, METRIC_COUNTER, "portico_gateway_state_errors_total",
				 "Failures to write the state file", NULL);
	state->failing_metric =
		metrics_register(metrics, METRIC_GAUGE, "portico_gateway_state_failing",
				 "1 while the state file does not take what should be kept", NULL);
	state->bytes_metric = metrics_register(metrics, METRIC_GAUGE, "portico_gateway_state_bytes",
					       "Size of the state file", NULL);
	state->rewrites_metric =
		metrics_register(metrics, METRIC_COUNTER, "portico_gateway_state_rewrites_total",
				 "Times that the state file was written anew", NULL);
}

int state_new(struct state **ret, struct event_base *base, const struct state_config *config,
	      struct error *err)
{
	_cleanup_(cleanup_state) struct state *state = calloc(1, sizeof(*state));
	int r;

	if (!state)
		return error_set(err, -ENOMEM, "internal", NULL, "out of memory");
	state->config = *config;
	state->base = base;
	state->folder = state->fd = -1;
	state->backoff = (struct backoff){ .first_ms = RETRY_FIRST_MS, .max_ms = RETRY_MAX_MS };
	(void)evtimer_assign(&state->retry, base, on_retry, state);
	(void)evtimer_assign(&state->sync, base, on_sync, state);
	rewrite_init(state);
	register_metrics(state, config->metrics);
	r = syncer_new(&state->syncer, base);
	if (r < 0)
		return error_set(err, r, "internal", NULL, "cannot start a thread: %s",
				 strerror(-r));
	r = open_folder(state);
	if (r == 0)
		r = examine(state);
	if (r < 0)
		state_fail(state, state->folder < 0 ? "reached" : "read", r);
	else if (is_marked_behind(state))
		state->summary.behind = true;
	*ret = TAKE_PTR(state);
	return 0;
}

void state_free(struct state *state)
{
	if (!state)
		return;
	evtimer_del(&state->retry);
	evtimer_del(&state->sync);
	rewrite_stop(state);
	syncer_free(state->syncer);
	if (state->fd >= 0 && state->started && fsync(state->fd) < 0)
		log_error(STATE_SUBJECT, "cannot be made durable: %s", strerror(errno));
	close_file(state);
	if (state->folder >= 0)
		close(state->folder);
	line_buffer_clear(&state->lines);
	free(state->addresses);
	free(state);
}

/* ---- at the start ---- */

uint64_t state_revision(const struct state *state)
{
	return state->revision;
}

uint64_t state_epoch(const struct state *state)
{
	return state->epoch;
}

bool state_behind(const struct state *state)
{
	return state->summary.behind;
}

int state_replay(const struct state *state, bool pending, const struct state_handlers *handlers)
{
	const struct state_summary *summary = &state->summary;

	if (summary->condition != STATE_USABLE || state->fd < 0)
		return 0;
	return state_file_replay(state->fd, pending ? summary->committed : 0,
				 pending ? summary->good : summary->committed, summary->swept,
				 handlers);
}

void state_know(struct state *state, const struct address *address)
{
	struct address *grown;

	for (size_t i = state->n_addresses; i > 0; i--)
		if (address_equal(&state->addresses[i - 1], address))
			return;
	grown = reallocarray(state->addresses, state->n_addresses + 1, sizeof(*grown));
	if (!grown) {
		state_fail(state, "written", -ENOMEM);
		return;
	}
	grown[state->n_addresses++] = *address;
	state->addresses = grown;
}

static int open_to_append(struct state *state)
{
	int fd = openat(state->folder, STATE_NAME, O_WRONLY | O_APPEND | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	close_file(state);
	state->fd = fd;
	state->extent =
		(struct extent){ .bytes = state->summary.size, .lines = state->summary.n_lines };
	state->committed_revision = state->revision;
	state->sweeps = state->summary.sweeps;
	return 0;
}

void state_start(struct state *state, const struct state_source *source, bool rewrite)
{
	bool usable = state->fd >= 0 && state->summary.condition == STATE_USABLE;
	int r;

	state->source = *source;
	state->started = true;
	if (state->failing)
		return;
	if (rewrite || !usable || state->summary.behind) {
		close_file(state); /* it was for reading, and is not what should be */
		rewrite_now(state);
		return;
	}
	r = open_to_append(state);
	if (r < 0)
		state_fail(state, "written", r);
}

/* ---- writing ---- */

int state_write(int fd, struct line_buffer *lines, struct extent *extent)
{
	int r = write_all(fd, lines->data, lines->length);

	if (r == 0) {
		extent->bytes += lines->length;
		extent->lines += lines->n;
	} else {
		/* A line that is half there would hide the next. */
		(void)!ftruncate(fd, (off_t)extent->bytes);
	}
	lines->length = lines->n = 0;
	return r;
}

int state_add_key(struct state *state, struct line_buffer *lines, const struct mapping_key *key)
{
	size_t length;
	char *at;
	int r;

	r = line_open(lines, &at);
	if (r < 0)
		return r;
	length = state->source.write_mapping(key, at + strlen(STATE_PUT), state->source.userdata);
	if (length > 0) {
		memcpy(at, STATE_PUT, strlen(STATE_PUT));
		line_close(lines, strlen(STATE_PUT) + length);
	}
	return length > 0;
}

static int add_key_line(struct line_buffer *lines, const char *verb, const struct mapping_key *key)
{
	size_t length = strlen(verb);
	char *at;
	int r;

	r = line_open(lines, &at);
	if (r < 0)
		return r;
	memcpy(at, verb, length);
	line_close(lines, length + mapping_key_write(key, at + length));
	return 0;
}

int state_add_sweep(struct line_buffer *lines, const struct mapping_key *key,
		    const struct endpoint *led)
{
	const struct mapping mapping = { .key = *key, .target = *led };
	size_t length = strlen(STATE_SWEEP);
	char *at;
	int r;

	r = line_open(lines, &at);
	if (r < 0)
		return r;
	memcpy(at, STATE_SWEEP, length);
	line_close(lines, length + mapping_write(&mapping, at + length));
	return 0;
}

int state_add_commit(struct state *state, struct line_buffer *lines)
{
	char text[96];
	int n;

	n = snprintf(text, sizeof(text),
		     STATE_COMMIT "{\"revision\":%" PRIu64 ",\"epoch\":%" PRIu64 "}",
		     state->revision, state->epoch);
	return line_add(lines, text, (size_t)n);
}

static bool is_wanted(const struct state *state)
{
	return state->started && (state->fd >= 0 || state->rewrite.phase != REWRITE_NONE);
}

/* To the file, and to the one that will take its place. */
static void flush(struct state *state)
{
	int r = 0;

	state->pending = true;
	rewrite_append(state, &state->lines);
	if (state->fd >= 0)
		r = state_write(state->fd, &state->lines, &state->extent);
	state->lines.length = state->lines.n = 0;
	if (r < 0)
		state_fail(state, "written", r);
	else
		sync_later(state);
	if (!evtimer_pending(&state->retry, NULL) &&
	    state->extent.lines > 2 * state->source.count(state->source.userdata) + SPARE_LINES)
		rewrite_start(state);
}

/* r: what adding a line came to. */
static void added(struct state *state, int r)
{
	if (r < 0)
		state_fail(state, "written", r);
	else if (state->lines.length > WRITE_BYTES)
		flush(state);
}

void state_note(struct state *state, const struct mapping_key *key)
{
	int r;

	if (!state->started)
		return;
	state_know(state, &key->address);
	if (!is_wanted(state))
		return;
	r = state_add_key(state, &state->lines, key);
	if (r == 0)
		r = add_key_line(&state->lines, STATE_DELETE, key);
	added(state, r);
}

void state_intend(struct state *state)
{
	if (state->lines.n > 0)
		flush(state);
}

static void commit(struct state *state)
{
	int r;

	if (!is_wanted(state))
		return;
	r = state_add_commit(state, &state->lines);
	if (r < 0)
		state_fail(state, "written", r);
	else
		flush(state);
	state->pending = false;
	state->committed_revision = state->revision;
}

void state_commit(struct state *state, uint64_t revision)
{
	state->revision = revision;
	if (state->pending || state->lines.n > 0 || revision != state->committed_revision)
		commit(state);
}

void state_note_epoch(struct state *state, uint64_t epoch)
{
	if (epoch <= state->epoch)
		return;
	state->epoch = epoch;
	commit(state);
}

/* ---- what is to be looked through ---- */

void state_note_sweep(struct state *state, const struct mapping_key *key,
		      const struct endpoint *led)
{
	if (!is_wanted(state))
		return;
	state->sweeps = true;
	added(state, state_add_sweep(&state->lines, key, led));
}

void state_note_spare(struct state *state, const struct mapping_key *key)
{
	if (is_wanted(state) && state->sweeps)
		added(state, add_key_line(&state->lines, STATE_SPARE, key));
}

void state_swept(struct state *state)
{
	int r;

	if (!is_wanted(state) || !state->sweeps)
		return;
	state->sweeps = false;
	r = line_add(&state->lines, STATE_SWEPT, strlen(STATE_SWEPT));
	if (r < 0)
		state_fail(state, "written", r);
	else
		commit(state);
}

/* ---- bans ---- */

void state_set_bans(struct state *state,
		    size_t (*write_ban)(size_t index, char buffer[STATE_BAN_MAX], void *userdata),
		    void *userdata)
{
	state->write_ban = write_ban;
	state->ban_userdata = userdata;
}

void state_note_ban(struct state *state, const char *json, bool lifted)
{
	char text[sizeof(STATE_UNBAN) + STATE_BAN_MAX];
	int n, r;

	if (!is_wanted(state))
		return;
	n = snprintf(text, sizeof(text), "%s%s", lifted ? STATE_UNBAN : STATE_BAN, json);
	r = n < (int)sizeof(text) ? line_add(&state->lines, text, (size_t)n) : -EMSGSIZE;
	if (r < 0)
		state_fail(state, "written", r);
	else
		commit(state);
}

/* ---- looking ---- */

void state_findings(const struct state *state, struct findings *findings)
{
	if (state->reason[0])
		finding_remedy(findings_add(findings, FINDING_WARNING, "state_file", "", "%s",
					    state->reason),
			       "df -h %s; ls -ld %s", state->config.folder, state->config.folder);
	if (state->set_aside[0])
		finding_remedy(findings_add(findings, FINDING_WARNING, "state_set_aside", "", "%s",
					    state->set_aside),
			       "look at the file, then remove it and restart gatewayd");
}

void state_status(const struct state *state, struct state_status *ret)
{
	*ret = (struct state_status){
		.failing = state->failing,
		.bytes = state->extent.bytes,
		.errors = state->errors,
		.rewrites = state->rewrites,
	};
}
