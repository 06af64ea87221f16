/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Writes the state file anew: a slice a turn of the loop into a file beside it, which also gets
 * what is committed meanwhile, and which takes the name once it is whole and durable. The old file
 * counts until then.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "gatewayd/state_private.h"
#include "lib/clock.h"
#include "lib/log.h"
#include "lib/loop.h"

/* A turn of the loop is not longer for it than this, nor are more keys looked for at once. */
#define SLICE_US 1000
#define KEYS_AT_ONCE 256
#define WRITE_BYTES ((size_t)256 << 10)
#define PORTS (UINT16_MAX + 1)
#define FILE_MODE 0600

static const uint8_t protocols[] = { PROTOCOL_TCP, PROTOCOL_UDP };

void rewrite_stop(struct state *state)
{
	struct rewrite *rewrite = &state->rewrite;

	evtimer_del(&rewrite->turn);
	if (rewrite->fd >= 0) {
		close(rewrite->fd);
		(void)unlinkat(state->folder, STATE_NAME_NEW, 0);
	}
	rewrite->fd = -1;
	rewrite->phase = REWRITE_NONE;
	line_buffer_clear(&rewrite->lines);
}

/* The file as it is may well go on; else nothing keeps the state. */
static void fail(struct state *state, int errnum)
{
	rewrite_stop(state);
	if (state->fd >= 0)
		state_complain(state, "written anew", errnum);
	else
		state_fail(state, "written anew", errnum);
}

static int flush(struct rewrite *rewrite)
{
	return state_write(rewrite->fd, &rewrite->lines, &rewrite->extent);
}

static int add_bans(struct state *state)
{
	struct rewrite *rewrite = &state->rewrite;
	char text[sizeof(STATE_BAN) + STATE_BAN_MAX] = STATE_BAN;
	size_t length;
	int r = 0;

	for (size_t i = 0; state->write_ban && r == 0; i++) {
		length = state->write_ban(i, text + strlen(STATE_BAN), state->ban_userdata);
		if (length == 0)
			break;
		r = line_add(&rewrite->lines, text, strlen(STATE_BAN) + length);
	}
	return r;
}

static int add_sweep(const struct sweep *sweep, void *userdata)
{
	struct state *state = userdata;

	state->sweeps = true;
	return state_add_sweep(&state->rewrite.lines, &sweep->key, &sweep->led);
}

static int add_sweeps(struct state *state)
{
	const struct state_source *source = &state->source;

	return source->each_sweep ? source->each_sweep(add_sweep, state, source->userdata) : 0;
}

static int begin(struct state *state)
{
	struct rewrite *rewrite = &state->rewrite;
	int r;

	rewrite->phase = REWRITE_WALK;
	rewrite->extent = (struct extent){ 0 };
	rewrite->address = 0;
	rewrite->position = 0;
	if (state->folder < 0)
		return -ENOENT;
	rewrite->fd =
		openat(state->folder, STATE_NAME_NEW,
		       O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC | O_NOFOLLOW, FILE_MODE);
	if (rewrite->fd < 0)
		return -errno;
	r = line_add(&rewrite->lines, STATE_HEADER, strlen(STATE_HEADER));
	if (r == 0)
		r = add_bans(state);
	return r < 0 ? r : add_sweeps(state);
}

/* The next keys. 1: more to come, 0: all done. */
static int walk(struct state *state)
{
	struct rewrite *rewrite = &state->rewrite;
	int r = 0;

	for (unsigned i = 0; i < KEYS_AT_ONCE; i++) {
		struct mapping_key key;

		if (rewrite->position == PORTS * ARRAY_SIZE(protocols)) {
			rewrite->position = 0;
			rewrite->address++;
		}
		if (rewrite->address == state->n_addresses)
			return 0;
		key = (struct mapping_key){
			.address = state->addresses[rewrite->address],
			.protocol = protocols[rewrite->position / PORTS],
			.port = (uint16_t)(rewrite->position % PORTS),
		};
		rewrite->position++;
		r = state_add_key(state, &rewrite->lines, &key);
		if (r < 0)
			return r;
	}
	if (rewrite->lines.length > WRITE_BYTES)
		r = flush(rewrite);
	return r < 0 ? r : 1;
}

/* What is noted and not written yet counts as well: where the kernel did not take a change, that
 * takes back what this file has of it. It is written to its place besides, when its time comes. */
static int finish(struct state *state)
{
	struct rewrite *rewrite = &state->rewrite;
	struct line_buffer noted = state->lines;
	int r;

	r = flush(rewrite);
	if (r == 0)
		r = state_write(rewrite->fd, &noted, &rewrite->extent);
	if (r == 0)
		r = state_add_commit(state, &rewrite->lines);
	if (r == 0)
		r = flush(rewrite);
	if (r == 0)
		rewrite->phase = REWRITE_SYNC;
	return r;
}

static void on_turn(evutil_socket_t fd, short what, void *userdata)
{
	struct state *state = userdata;
	uint64_t end = clock_monotonic_us() + SLICE_US;
	int r = state->rewrite.phase == REWRITE_DUE ? begin(state) : 0;

	if (r == 0)
		do
			r = walk(state);
		while (r > 0 && clock_monotonic_us() < end);
	if (r == 0)
		r = finish(state);
	if (r < 0)
		fail(state, r);
	else if (state->rewrite.phase == REWRITE_WALK)
		(void)loop_timer_arm(&state->rewrite.turn, 0);
	else
		sync_next(state);
}

void rewrite_init(struct state *state)
{
	state->rewrite.fd = -1;
	(void)evtimer_assign(&state->rewrite.turn, state->base, on_turn, state);
}

void rewrite_start(struct state *state)
{
	if (state->rewrite.phase != REWRITE_NONE)
		return;
	state->rewrite.phase = REWRITE_DUE;
	(void)loop_timer_arm(&state->rewrite.turn, 0);
}

/* ---- the name ---- */

static int take_name(struct state *state)
{
	struct rewrite *rewrite = &state->rewrite;

	if (renameat(state->folder, STATE_NAME_NEW, state->folder, STATE_NAME) < 0)
		return -errno;
	if (state->fd >= 0)
		close(state->fd);
	state->fd = TAKE_FD(rewrite->fd);
	state->extent = rewrite->extent;
	state->committed_revision = state->revision;
	state->folder_dirty = true;
	state->rewrites++;
	metric_add(state->rewrites_metric, NULL, 1);
	rewrite_stop(state);
	state_mend(state);
	sync_later(state);
	return 0;
}

void rewrite_synced(struct state *state, int result)
{
	if (state->rewrite.phase != REWRITE_SYNC)
		return;
	if (result == 0)
		result = take_name(state);
	if (result < 0)
		fail(state, result);
}

void rewrite_now(struct state *state)
{
	bool replaces = state->summary.condition == STATE_USABLE;
	int r;

	r = begin(state);
	if (r == 0)
		do
			r = walk(state);
		while (r > 0);
	if (r == 0)
		r = finish(state);
	if (r == 0 && replaces && fsync(state->rewrite.fd) < 0)
		r = -errno;
	if (r == 0)
		r = take_name(state);
	if (r < 0)
		fail(state, r);
}

void rewrite_append(struct state *state, const struct line_buffer *lines)
{
	struct rewrite *rewrite = &state->rewrite;
	struct line_buffer copy = *lines;
	int r;

	if (rewrite->phase == REWRITE_NONE || rewrite->phase == REWRITE_DUE)
		return;
	r = flush(rewrite);
	if (r == 0)
		r = state_write(rewrite->fd, &copy, &rewrite->extent);
	if (r < 0)
		fail(state, r);
}
