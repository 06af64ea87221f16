/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the reconciler keeps in the state file, and takes up from it and from the kernel's table
 * when it starts.
 */
#include "gatewayd/reconcile_private.h"

#include <errno.h>
#include <string.h>

#include "gatewayd/ban_store.h"
#include "gatewayd/entry_mapping.h"
#include "lib/clock.h"

void reconciler_intend(struct reconciler *reconciler)
{
	struct state *state = reconciler->config.state;

	if (!state)
		return;
	for (size_t i = 0; !reconciler->intended && i < reconciler->journal.n; i++)
		state_note(state, journal_key(&reconciler->journal, i));
	state_intend(state);
	reconciler->intended = true;
}

void reconciler_keep(struct reconciler *reconciler)
{
	reconciler_intend(reconciler); /* what the kernel need not know of */
	if (reconciler->config.state)
		state_commit(reconciler->config.state, reconciler->revision);
	reconciler->intended = false;
}

/* ---- the sweeper's ---- */

static void on_sweep(const struct mapping_key *key, const struct endpoint *led, void *userdata)
{
	state_note_sweep(userdata, key, led);
}

static void on_spare(const struct mapping_key *key, void *userdata)
{
	state_note_spare(userdata, key);
}

static void on_swept(void *userdata)
{
	state_swept(userdata);
}

void reconciler_keep_sweeps(struct reconciler *reconciler)
{
	const struct sweep_keeper keeper = { on_sweep, on_spare, on_swept,
					     reconciler->config.state };

	if (reconciler->config.state)
		sweeper_keep(reconciler->sweeper, &keeper);
}

/* ---- start ---- */

static size_t write_mapping(const struct mapping_key *key, char buffer[MAPPING_TEXT_MAX],
			    void *userdata)
{
	struct reconciler *reconciler = userdata;
	const struct entry *entry = ledger_find(&reconciler->ledger, key);

	return entry && (entry->flags & ENTRY_DESIRED) ? entry_write(entry, buffer) : 0;
}

static int each_sweep(int (*take)(const struct sweep *sweep, void *userdata), void *take_userdata,
		      void *userdata)
{
	const struct reconciler *reconciler = userdata;

	return sweeper_each(reconciler->sweeper, take, take_userdata);
}

static size_t count_kept(void *userdata)
{
	const struct reconciler *reconciler = userdata;

	return reconciler->ledger.n_desired + sweeper_count(reconciler->sweeper);
}

/* The kernel's table knows best; without one, the state file is all there is. */
static int restore_bans(struct reconciler *reconciler)
{
	struct state *state = reconciler->config.state;
	int r = 0;

	if (state && !reconciler->applier.structure.table)
		r = ban_store_read(state, clock_unix_seconds(), &reconciler->bans.bans);
	if (r == 0)
		r = ban_keeper_adopt(&reconciler->bans, &reconciler->ledger.members);
	if (state)
		ban_store_attach(state, &reconciler->bans);
	return r;
}

int reconciler_restore(struct reconciler *reconciler, struct restore_result *ret, struct error *err)
{
	struct sweep_list sweeps = { 0 };
	const struct restore_config config = {
		.applier = &reconciler->applier,
		.ledger = &reconciler->ledger,
		.addresses = reconciler->config.addresses,
		.n_addresses = reconciler->config.n_addresses,
		.map_size = reconciler->config.shape.map_size,
		.state = reconciler->config.state,
		.sweeps = &sweeps,
	};
	const struct state_source source = { .write_mapping = write_mapping,
					     .count = count_kept,
					     .each_sweep = each_sweep,
					     .userdata = reconciler };
	int r;

	r = restore_run(&config, ret, err);
	sweeper_note_kept(reconciler->sweeper, &sweeps);
	sweep_list_clear(&sweeps);
	if (r < 0)
		return r;
	r = restore_bans(reconciler);
	if (r < 0)
		return error_set(err, r, "internal", NULL, "cannot take up the bans: %s",
				 strerror(-r));
	if (!config.state)
		return 0;
	reconciler->revision = state_revision(config.state);
	state_start(config.state, &source, restore_differs(ret));
	return 0;
}
