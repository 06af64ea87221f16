/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Makes the state file durable: about once a second while it is written to, the new file before it
 * takes the name, and the folder behind it. One at a time, beside the loop.
 */
#include <errno.h>

#include "gatewayd/state_private.h"
#include "lib/loop.h"

#define SYNC_DELAY_MS 1000

static void on_synced(int result, void *userdata)
{
	struct state *state = userdata;

	if (result < 0)
		state_fail(state, "made durable", result);
	sync_next(state);
}

static void on_rewrite_synced(int result, void *userdata)
{
	struct state *state = userdata;

	rewrite_synced(state, result);
	sync_next(state);
}

static int submit(struct state *state, int fd)
{
	return syncer_submit(state->syncer, fd, on_synced, state);
}

void sync_next(struct state *state)
{
	int r = 0;

	if (syncer_busy(state->syncer))
		return;
	if (state->rewrite.phase == REWRITE_SYNC) {
		r = syncer_submit(state->syncer, state->rewrite.fd, on_rewrite_synced, state);
	} else if (state->folder_dirty) {
		state->folder_dirty = false;
		r = submit(state, state->folder);
	} else if (state->dirty && !evtimer_pending(&state->sync, NULL)) {
		state->dirty = false;
		r = state->fd >= 0 ? submit(state, state->fd) : 0;
	}
	if (r < 0)
		state_fail(state, "made durable", r);
}

void sync_later(struct state *state)
{
	state->dirty = true;
	if (!evtimer_pending(&state->sync, NULL))
		(void)loop_timer_arm(&state->sync, SYNC_DELAY_MS);
}
