/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What state.c and state_batch.c share. */
#pragma once

#include "schedd/state.h"

/* Takes an entry out of its tables and frees it and its versions. */
void state_remove_entry(struct state *state, struct entry *entry);
void batch_clear(struct batch *batch);
/* The open batch's version of a row. NULL: no memory. */
struct record *state_edit(struct state *state, struct entry *entry);
/* The id of a row, in buffer or in the row. */
const char *record_id(const struct record *record, char buffer[RECORD_ID_MAX]);
/* Counts an environment for its owner, or no more. */
int state_count_owner(struct state *state, struct environment_entry *environment) _must_check_;
void state_uncount_owner(struct state *state, struct environment_entry *environment);
/* Counts a key for its caller, or no more. */
int state_hold_key(struct state *state, struct key_entry *key) _must_check_;
void state_release_key(struct state *state, struct key_entry *key);
/* Puts an environment into, or out of, the list and the sums of a host by its newest version. */
int state_link_host(struct state *state, struct environment_entry *environment,
		    struct host_entry *host, const json_t *gpus) _must_check_;
void state_unlink_host(struct state *state, struct environment_entry *environment,
		       const json_t *gpus);
/* Notes whether an environment has a host. */
void state_set_homeless(struct state *state, struct environment_entry *environment, bool homeless);
/* Notes that placement has to look at a host anew. */
void state_host_changed(struct state *state, struct host_entry *host);
void state_forget_changed(struct state *state, struct host_entry *host);
/* Adds a row that was loaded to the sums that readers see. */
void state_count_committed(struct state *state, const struct entry *entry);
