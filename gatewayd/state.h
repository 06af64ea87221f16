/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The state file: what should be, kept for a reboot and for what the kernel cannot say. It is
 * appended to before and after each commit of the kernel, made durable once a second beside the
 * loop, and written anew in slices when it has grown. It never decides what should be, and its
 * failures never stop the gateway: they are told by findings and metrics, and it tries again.
 */
#pragma once

#include <event2/event.h>

#include "gatewayd/finding.h"
#include "gatewayd/state_file.h"
#include "gatewayd/sweep_list.h"
#include "lib/metrics.h"

struct state;

struct state_config {
	const char *folder; /* borrowed for the lifetime, as is run_folder */
	const char
		*run_folder; /* forgotten at a reboot: where it is noted that the file is behind */
	struct metrics *metrics;
};

/* Opens the folder and looks through the file. A file that cannot be used is set aside, and one
 * that cannot be reached is done without: only memory and threads can fail. */
int state_new(struct state **ret, struct event_base *base, const struct state_config *config,
	      struct error *err) _must_check_;
/* Makes durable what was written. NULL is fine. */
void state_free(struct state *state);

/* ---- at the start: what was kept ---- */

/* Revision and highest epoch; 0 where there is none. */
uint64_t state_revision(const struct state *state);
uint64_t state_epoch(const struct state *state);
/* The kernel's table, where there is one, knows better than the file. */
bool state_behind(const struct state *state);
/* Hands out what the file says; nothing without a usable file. pending: what was on its way to the
 * kernel when the file ended, instead of what had arrived there. */
int state_replay(const struct state *state, bool pending, const struct state_handlers *handlers)
	_must_check_;

/* Where the present state is read from. */
struct state_source {
	/* JSON of what is desired for a key; 0: nothing. */
	size_t (*write_mapping)(const struct mapping_key *key, char buffer[MAPPING_TEXT_MAX],
				void *userdata);
	/* Mappings that are desired, and what each_sweep hands out. */
	size_t (*count)(void *userdata);
	/* Hands out what is to be looked through still; see sweeper.h. NULL: never anything. */
	int (*each_sweep)(int (*on_sweep)(const struct sweep *sweep, void *userdata),
			  void *sweep_userdata, void *userdata);
	void *userdata;
};

/* Mappings of this address may be desired: those of others are not looked for when the file is
 * written anew. state_note says it too. */
void state_know(struct state *state, const struct address *address);
/* From here on changes are written. With rewrite the file does not say what should be, and is
 * written anew at once. */
void state_start(struct state *state, const struct state_source *source, bool rewrite);

/* ---- changes ---- */

/* What is desired for this key may have changed, and is written with the next call of those below.
 */
void state_note(struct state *state, const struct mapping_key *key);
/* The same for what has to be looked through; see struct sweep_keeper. */
void state_note_sweep(struct state *state, const struct mapping_key *key,
		      const struct endpoint *led);
void state_note_spare(struct state *state, const struct mapping_key *key);
/* All of it has been looked through. Written at once. */
void state_swept(struct state *state);
/* What was noted is on its way to the kernel. If it does not get there, its keys must be noted
 * anew. */
void state_intend(struct state *state);
/* The kernel has all that was noted. Once this returns, a SIGKILL loses nothing of it. */
void state_commit(struct state *state, uint64_t revision);
/* The epoch of schedd's leader, refused below from now on, over restarts too. */
void state_note_epoch(struct state *state, uint64_t epoch);

/* ---- bans ---- */

/* One ban as JSON, by index from 0; 0 bytes at the end. All are written in one turn of the loop. */
#define STATE_BAN_MAX ((size_t)1024)
void state_set_bans(struct state *state,
		    size_t (*write_ban)(size_t index, char buffer[STATE_BAN_MAX], void *userdata),
		    void *userdata);
/* A ban was set or lifted; json is one object's text. Written at once. */
void state_note_ban(struct state *state, const char *json, bool lifted);

/* ---- looking ---- */

struct state_status {
	bool failing; /* the file does not take what should be kept */
	uint64_t bytes;
	uint64_t errors;
	uint64_t rewrites;
};
void state_status(const struct state *state, struct state_status *ret);

/* Adds what is wrong with the file. */
void state_findings(const struct state *state, struct findings *findings);

DEFINE_CLEANUP(struct state *, state_free, cleanup_state)
