/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What should be at the start: from the kernel's table and the state file. */
#include "gatewayd/restore.h"

#include <errno.h>
#include <string.h>

#include "gatewayd/changeset.h"
#include "gatewayd/sweep_replay.h"
#include "lib/clock.h"
#include "lib/log.h"

struct restore {
	const struct restore_config *config;
	struct restore_result *result;
	struct ledger *ledger; /* what the file is read into */
	bool pending;          /* lines that may or may not have become true */
	struct sweep_replay sweeps;
	int64_t now;
};

/* ---- the kernel's table ---- */

static bool is_ours(const struct restore *restore, const struct address *address)
{
	const struct restore_config *config = restore->config;

	for (size_t i = 0; i < config->n_addresses; i++)
		if (address_equal(&config->addresses[i], address))
			return true;
	return config->n_addresses == 0;
}

static bool adopt(const struct dump_element *element, void *userdata)
{
	struct restore *restore = userdata;
	char name[MAPPING_STRING_MAX];

	if (is_ours(restore, &element->key.address) &&
	    protocol_name(element->key.protocol) != NULL && element->key.port > 0 &&
	    element->target.port > 0) {
		restore->result->adopted++;
		return true;
	}
	log_warning(mapping_key_format(&element->key, name),
		    "not adopted: not a port of this gateway's addresses");
	return false;
}

static int read_table(struct restore *restore, struct error *err)
{
	return applier_read(restore->config->applier, adopt, restore, err);
}

static bool has_table(const struct restore *restore)
{
	const struct structure *structure = &restore->config->applier->structure;

	return structure->table || structure->stale;
}

/* ---- the file ---- */

static bool is_desired(const struct entry *entry)
{
	return entry && (entry->flags & ENTRY_DESIRED);
}

static void end_desire(struct restore *restore, const struct mapping_key *key)
{
	struct entry *entry = ledger_find(restore->ledger, key);

	if (is_desired(entry))
		ledger_undesire(restore->ledger, entry);
}

/* Why a mapping that was kept is kept no longer; NULL where it is. */
static const char *refuse(const struct restore *restore, const struct mapping *mapping)
{
	const struct ledger *ledger = restore->ledger;
	size_t n = mapping->key.address.family == AF_INET6 ? ledger->n_desired6
							   : ledger->n_desired - ledger->n_desired6;

	if (!is_ours(restore, &mapping->key.address))
		return "not an address of this gateway";
	if (n >= restore->config->map_size && !is_desired(ledger_find(ledger, &mapping->key)))
		return "the map is full; raise map-size";
	return NULL;
}

static int desire(struct restore *restore, const struct mapping *mapping)
{
	struct change change = { 0 };
	struct error err = ERROR_INIT;
	int r;

	r = change_put(&change, mapping, "", &err);
	if (r == 0)
		r = ledger_desire(restore->ledger, &change.key, &change.target, change.label,
				  change.policy, change.revision, NULL);
	change_clear(&change);
	return r;
}

static int on_put(struct mapping *mapping, void *userdata)
{
	struct restore *restore = userdata;
	char name[MAPPING_STRING_MAX];
	const char *reason = refuse(restore, mapping);

	if (!reason)
		return desire(restore, mapping);
	log_warning(mapping_key_format(&mapping->key, name), "not restored: %s", reason);
	restore->result->dropped++;
	end_desire(restore, &mapping->key);
	return 0;
}

static int on_delete(const struct mapping_key *key, void *userdata)
{
	end_desire(userdata, key);
	return 0;
}

static int on_sweep(const struct mapping_key *key, const struct endpoint *led, void *userdata)
{
	struct restore *restore = userdata;

	return sweep_replay_add(&restore->sweeps, key, led);
}

/* Whether a mapping is in the kernel's table as the committed lines have it. */
static bool is_as_before(const struct restore *restore, const struct mapping_key *key)
{
	const struct entry *kept = ledger_find(restore->ledger, key);
	const struct entry *entry = ledger_find(restore->config->ledger, key);

	return is_desired(kept) && is_desired(entry) &&
	       endpoint_compare(&kept->target, &entry->target) == 0;
}

/* It drains only once what it was written for has been done. */
static int on_spare(const struct mapping_key *key, void *userdata)
{
	struct restore *restore = userdata;

	if (restore->pending && is_as_before(restore, key))
		return 0;
	return sweep_replay_spare(&restore->sweeps, key);
}

static void on_swept(void *userdata)
{
	struct restore *restore = userdata;

	sweep_replay_done(&restore->sweeps);
}

static void on_unreadable(const char *text, const struct error *err, void *userdata)
{
	struct restore *restore = userdata;

	log_warning("state file", "a line is left out: %s line=%s", err->message, text);
	restore->result->dropped++;
}

static int read_file(struct restore *restore, bool pending, struct error *err)
{
	const struct state_handlers handlers = {
		.on_put = on_put,
		.on_delete = on_delete,
		.on_sweep = on_sweep,
		.on_spare = on_spare,
		.on_swept = on_swept,
		.on_unreadable = on_unreadable,
		.userdata = restore,
	};
	int r;

	restore->pending = pending;
	r = state_replay(restore->config->state, pending, &handlers);
	return r == 0 ? 0
		      : error_set(err, r, "internal", NULL, "cannot read the state file: %s",
				  strerror(-r));
}

/* Takes from the file what a table cannot say, for mappings that both have alike. */
static int merge(const struct ledger *file, struct ledger *ledger)
{
	const struct entry *kept;
	size_t index = 0;
	int r = 0;

	while (r == 0 && (kept = ledger_next(file, &index))) {
		const struct entry *entry = ledger_find(ledger, &kept->key);

		if (is_desired(kept) && is_desired(entry) &&
		    endpoint_compare(&entry->target, &kept->target) == 0 &&
		    strcmp(entry->label ?: "", kept->label ?: "") == 0)
			r = ledger_desire(ledger, &kept->key, &kept->target, kept->label,
					  entry_policy(entry), kept->revision, NULL);
	}
	return r;
}

/* What has expired meanwhile is no longer in the table, and still has to be ended as it says. */
static int take_expired(const struct restore *restore)
{
	const struct entry *kept;
	size_t index = 0;
	int r = 0;

	while (r == 0 && (kept = ledger_next(restore->ledger, &index))) {
		int64_t end = entry_desired_end(kept);

		if (is_desired(kept) && end != 0 && end <= restore->now &&
		    !is_desired(ledger_find(restore->config->ledger, &kept->key)))
			r = ledger_desire(restore->config->ledger, &kept->key, &kept->target,
					  kept->label, entry_policy(kept), kept->revision, NULL);
	}
	return r;
}

/* The table, where there is one, knows better than the file what there is. What the mappings are
 * beyond that, the newest lines that fit it say. */
static int read_behind(struct restore *restore, struct error *err)
{
	struct ledger file = LEDGER_INIT;
	int r;

	r = read_table(restore, err);
	if (r < 0)
		return r;
	if (!has_table(restore))
		return read_file(restore, false, err);
	restore->ledger = &file;
	r = read_file(restore, false, err);
	if (r == 0)
		r = merge(&file, restore->config->ledger);
	if (r == 0)
		r = read_file(restore, true, err);
	if (r == 0)
		r = merge(&file, restore->config->ledger);
	if (r == 0)
		r = take_expired(restore);
	ledger_clear(&file);
	return r == 0 ? 0 : error_set(err, r, "internal", NULL, "out of memory");
}

static void note_addresses(const struct restore *restore)
{
	const struct entry *entry;
	size_t index = 0;

	while ((entry = ledger_next(restore->config->ledger, &index)))
		if (entry->flags & ENTRY_DESIRED)
			state_know(restore->config->state, &entry->key.address);
}

int restore_run(const struct restore_config *config, struct restore_result *ret, struct error *err)
{
	struct restore restore = {
		.config = config,
		.result = ret,
		.ledger = config->ledger,
		.now = clock_unix_seconds(),
	};
	int r;

	*ret = (struct restore_result){ 0 };
	if (!config->state)
		return read_table(&restore, err);
	if (state_behind(config->state)) {
		r = read_behind(&restore, err);
	} else {
		r = read_file(&restore, false, err);
		if (r == 0)
			r = read_table(&restore, err);
	}
	if (r == 0 && sweep_replay_finish(&restore.sweeps, config->sweeps) < 0)
		r = error_set(err, -ENOMEM, "internal", NULL, "out of memory");
	sweep_replay_clear(&restore.sweeps);
	if (r < 0)
		return r;
	note_addresses(&restore);
	ret->restored = config->ledger->n_desired - ret->adopted;
	return 0;
}

bool restore_differs(const struct restore_result *result)
{
	return result->adopted > 0 || result->dropped > 0;
}
