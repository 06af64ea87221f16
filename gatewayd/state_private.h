/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the modules of the state file share: state.c (opening, appending, failing), state_rewrite.c
 * (writing it anew) and state_sync.c (making it durable). */
#pragma once

#include <event2/event_struct.h>

#include "gatewayd/state.h"
#include "lib/backoff.h"
#include "lib/syncer.h"

#define STATE_NAME "state"
#define STATE_NAME_NEW "state.new"

enum rewrite_phase {
	REWRITE_NONE,
	REWRITE_DUE,  /* with the next turn, when no transaction is half done */
	REWRITE_WALK, /* keys are gone through, a slice a turn */
	REWRITE_SYNC, /* all is written, and made durable before it gets the file's name */
};

/* How much of a file is written. */
struct extent {
	uint64_t bytes, lines;
};

/* The new file while it is written. Mappings are found by their keys, in order, so that changes
 * between two slices move nothing under the walk. */
struct rewrite {
	enum rewrite_phase phase;
	int fd;
	struct line_buffer lines;
	struct extent extent;
	size_t address;    /* index of the address that is gone through */
	uint32_t position; /* among its protocols and ports */
	struct event turn;
};

struct state {
	struct state_config config;
	struct event_base *base;
	struct state_source source;
	size_t (*write_ban)(size_t index, char buffer[STATE_BAN_MAX], void *userdata);
	void *ban_userdata;
	struct state_summary summary; /* of the file that was found */
	int folder;                   /* -1: not there, or somebody else's */
	int fd;                       /* the file that is appended to; -1: none */
	struct extent extent;
	uint64_t revision, epoch;
	uint64_t committed_revision; /* as the file has it */
	bool started;
	bool pending; /* lines are written that no commit follows yet */
	bool sweeps;  /* and such of sweeps, that no swept follows */
	struct line_buffer lines;
	struct address *addresses; /* owned: all that mappings were noted of */
	size_t n_addresses;
	struct rewrite rewrite;

	bool failing;
	char reason[ERROR_MESSAGE_MAX], set_aside[ERROR_MESSAGE_MAX];
	struct backoff backoff;
	struct event retry;

	struct syncer *syncer;
	struct event sync;
	bool dirty, folder_dirty;

	uint64_t errors, rewrites;
	struct metric *errors_metric, *failing_metric, *bytes_metric, *rewrites_metric;
};

#define STATE_SUBJECT "state file"

/* Something failed: said, counted, and the file is written anew after a while. */
void state_complain(struct state *state, const char *what, int errnum);
/* The same where the file does not take what should be kept: it is behind from here on. */
void state_fail(struct state *state, const char *what, int errnum);
/* Ends a failure. */
void state_mend(struct state *state);

/* Adds a key's mapping to lines. 1 where it is desired, 0 where not. */
int state_add_key(struct state *state, struct line_buffer *lines, const struct mapping_key *key)
	_must_check_;
int state_add_sweep(struct line_buffer *lines, const struct mapping_key *key,
		    const struct endpoint *led) _must_check_;
int state_add_commit(struct state *state, struct line_buffer *lines) _must_check_;
/* Writes lines out and empties them. After a failure the file is as long as extent says. */
int state_write(int fd, struct line_buffer *lines, struct extent *extent) _must_check_;

void rewrite_init(struct state *state);
/* Starts to write the file anew; nothing where that is going on already. */
void rewrite_start(struct state *state);
/* The same within this call. */
void rewrite_now(struct state *state);
/* Lines that were committed meanwhile. */
void rewrite_append(struct state *state, const struct line_buffer *lines);
void rewrite_stop(struct state *state);
/* The new file is durable (or not: result), and takes the name. */
void rewrite_synced(struct state *state, int result);

/* Something was written: it is durable a second later. */
void sync_later(struct state *state);
/* Does what is due now, unless something is being done. */
void sync_next(struct state *state);
