/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The tables and their indices, and how versions go from the open batch through the flight to what
 * is committed, or are forgotten. */
#include "schedd/state.h"

#include <errno.h>

#include "tests/unit/schedd/rows.h"

static struct state state;

static void setup(void)
{
	row_state(&state);
	row_load(&state, row_host("host1"));
	row_load(&state, row_host("host2"));
}

static void teardown(void)
{
	state_clear(&state);
}

TestSuite(state, .init = setup, .fini = teardown);

static void commit(void)
{
	cr_assert(state_close_batch(&state));
	state_commit_batch(&state);
	state_finish_batch(&state);
}

static struct environment_entry *environment(const char *id)
{
	struct environment_entry *entry = state_environment(&state, id);

	cr_assert(entry, "%s", id);
	return entry;
}

static struct mapping_key key_of(const char *endpoint)
{
	struct endpoint at = row_endpoint(endpoint);

	return (struct mapping_key){ .address = at.address,
				     .port = at.port,
				     .protocol = PROTOCOL_TCP };
}

/* An environment with its two ports, in the open batch. */
static void add_environment(const char *id, const char *name)
{
	row_add(&state, row_environment(id, name));
	row_add(&state, row_port(id, "web", "203.0.113.10:30002"));
	row_add(&state, row_port(id, "ssh", "203.0.113.10:30001"));
}

/* ---- tables and indices ---- */

Test(state, a_row_is_found_by_id_and_name_and_key)
{
	const struct mapping_key ssh = key_of("203.0.113.10:30001");

	add_environment("env-a", "alice");
	cr_expect_eq(state_environment_named(&state, NULL, "alice"), environment("env-a"));
	cr_expect_null(state_environment_named(&state, NULL, "env-a"));
	cr_expect_null(state_environment(&state, "alice"));
	cr_expect(state_port(&state, &ssh));
	cr_expect_eq(state_count(&state, RECORD_PORT), 2);
	cr_expect_eq(state_count(&state, RECORD_HOST), 2);
	cr_expect_null(state_host(&state, "host3"));
	cr_expect_null(state_gateway(&state, "host1"));
}

Test(state, ports_are_in_the_order_of_services_whatever_the_order_of_rows)
{
	struct environment_entry *entry;

	add_environment("env-a", "alice");
	entry = environment("env-a");
	cr_assert_eq(entry->n_ports, 2);
	cr_expect_str_eq(port_newest(entry->ports[0])->service, "ssh");
	cr_expect_str_eq(port_newest(entry->ports[1])->service, "web");
	cr_expect_eq(entry->ports[0]->environment, entry);
}

Test(state, a_key_or_a_name_is_had_once_and_a_refusal_changes_nothing)
{
	const struct mapping_key ssh = key_of("203.0.113.10:30001");
	struct port_entry *port;

	add_environment("env-a", "alice");
	port = state_port(&state, &ssh);
	cr_expect_eq(state_add(&state, &row_environment("env-a", "bob")->record, NULL), -EEXIST);
	cr_expect_eq(state_add(&state, &row_environment("env-b", "alice")->record, NULL), -EEXIST);
	cr_expect_eq(
		state_add(&state, &row_port("env-a", "ssh", "203.0.113.10:30001")->record, NULL),
		-EEXIST);
	cr_expect_eq(state_environment_named(&state, NULL, "alice"), environment("env-a"));
	cr_expect_null(state_environment_named(&state, NULL, "bob"));
	cr_expect_null(state_environment(&state, "env-b"));
	cr_expect_eq(state_port(&state, &ssh), port);
	cr_expect_eq(port_pool_taken(&state.pool), 2, "the port is still its owner's");
	cr_expect_eq(state.open.n, 3);
}

Test(state, a_loaded_environment_needs_its_host)
{
	struct environment *lost = row_environment("env-a", "alice");

	(void)snprintf(lost->host, sizeof(lost->host), "host9");
	cr_expect_eq(state_load(&state, &lost->record), -ENOENT);
	cr_expect_null(state_environment_named(&state, NULL, "alice"));
}

Test(state, a_place_is_counted_on_its_host_and_taken_back)
{
	_cleanup_json_ json_t *gpus = json_pack("[{s:s, s:i}]", "uuid", "GPU-1", "milli", 300);
	struct host_entry *host1 = state_host(&state, "host1");

	add_environment("env-a", "alice");
	cr_assert_eq(state_place(&state, environment("env-a"), host1, gpus), 0);
	cr_expect_eq(state_place(&state, environment("env-a"), host1, NULL), -EEXIST);
	cr_expect_eq(host1->newest.cpu_milli, 500);
	cr_expect_eq(usage_of_gpu(&host1->newest, "GPU-1"), 300);
	cr_expect_eq(host1->environments, environment("env-a"));
	cr_expect_eq(host1->committed.environments, 0, "it is not committed");
	cr_expect_str_eq(environment_newest(environment("env-a"))->host, "host1");
	commit();
	cr_expect_eq(host1->committed.environments, 1);
	cr_expect_eq(usage_of_gpu(&host1->committed, "GPU-1"), 300);

	cr_assert_eq(state_release(&state, environment("env-a")), 0);
	cr_expect_eq(host1->newest.environments, 0);
	cr_expect_null(host1->environments);
	cr_expect_eq(host1->committed.environments, 1, "readers see what is committed");
	commit();
	cr_expect_eq(host1->committed.environments, 0);
	cr_expect_eq(usage_of_gpu(&host1->committed, "GPU-1"), 0);
}

Test(state, marks_are_had_once_and_go_with_the_row)
{
	add_environment("env-a", "alice");
	row_add(&state, row_environment("env-b", "bob"));
	state_mark(&state, environment("env-a"));
	state_mark(&state, environment("env-a"));
	cr_expect_eq(state.dirty, environment("env-a"));
	cr_expect_null(state.dirty->dirty_next);
	state_mark_all(&state);
	cr_expect_eq(state.dirty->dirty_next, environment("env-b"));
	state_unmark(&state, environment("env-a"));
	cr_expect_eq(state.dirty, environment("env-b"));
	state_drop_open(&state);
	cr_expect_null(state.dirty, "what was not committed is gone, and its mark with it");
}

/* ---- batches ---- */

Test(state, a_new_row_is_seen_by_readers_once_it_is_committed)
{
	add_environment("env-a", "alice");
	cr_expect_null(environment_committed(environment("env-a")));
	cr_expect_eq(state_open_revision(&state), 101);
	cr_assert(state_close_batch(&state));
	cr_expect_eq(state.flight.from_revision, 100);
	cr_expect_eq(state.flight.to_revision, 101);
	cr_expect_null(environment_committed(environment("env-a")));
	cr_expect_eq(state_open_revision(&state), 102);
	state_commit_batch(&state);
	cr_expect_eq(state.revision, 101);
	cr_expect_eq(environment_committed(environment("env-a"))->record.revision, 101);
	cr_expect_null(state.flight.changes[0].old);
	state_finish_batch(&state);
	cr_expect_eq(state.flight.n, 0);
	cr_expect_not(state.in_flight);
}

Test(state, an_empty_batch_is_not_closed)
{
	cr_expect_not(state_close_batch(&state));
	cr_expect_not(state.in_flight);
	cr_expect_eq(state.revision, 100);
}

/* The three versions of one row: each sees its own. */
Test(state, a_row_is_edited_while_its_commit_is_on_its_way)
{
	struct host_entry *entry = state_host(&state, "host1");

	state_edit_host(&state, entry)->mode = HOST_CORDONED;
	cr_expect_eq(state_edit_host(&state, entry), host_newest(entry), "one draft for a batch");
	cr_expect_eq(state.open.n, 1);
	cr_assert(state_close_batch(&state));
	state_edit_host(&state, entry)->mode = HOST_DRAINING;
	cr_expect_eq(host_committed(entry)->mode, HOST_ACTIVE);
	cr_expect_eq(((struct host *)entry->entry.flight)->mode, HOST_CORDONED);
	cr_expect_eq(host_newest(entry)->mode, HOST_DRAINING);

	state_commit_batch(&state);
	cr_expect_eq(((struct host *)state.flight.changes[0].old)->mode, HOST_ACTIVE);
	state_finish_batch(&state);
	cr_expect_eq(host_committed(entry)->mode, HOST_CORDONED);
	cr_expect_eq(host_newest(entry)->mode, HOST_DRAINING);
	commit();
	cr_expect_eq(host_committed(entry)->mode, HOST_DRAINING);
	cr_expect_eq(state.revision, 102);
}

Test(state, a_row_that_is_edited_quietly_keeps_its_revision)
{
	struct host_entry *entry = state_host(&state, "host1");

	state_edit_host_quietly(&state, entry)->silent_ms = 5;
	cr_expect_not(entry_is_changing(&entry->entry));
	commit();
	cr_expect_eq(state.revision, 101);
	cr_expect_eq(host_committed(entry)->silent_ms, 5);
	cr_expect_eq(host_committed(entry)->record.revision, 100);
	/* on top of what is on its way, which readers will see */
	state_edit_host(&state, entry)->mode = HOST_CORDONED;
	cr_expect(entry_is_changing(&entry->entry));
	cr_assert(state_close_batch(&state));
	state_edit_host_quietly(&state, entry)->silent_ms = 6;
	cr_expect(entry_is_changing(&entry->entry));
	state_commit_batch(&state);
	state_finish_batch(&state);
	commit();
	cr_expect_eq(host_committed(entry)->silent_ms, 6);
	cr_expect_eq(host_committed(entry)->record.revision, 102);
}

Test(state, what_is_edited_quietly_and_otherwise_in_one_batch_is_news)
{
	struct host_entry *entry = state_host(&state, "host1");

	state_edit_host_quietly(&state, entry)->silent_ms = 5;
	state_edit_host(&state, entry)->mode = HOST_CORDONED;
	cr_expect(entry_is_changing(&entry->entry));
	commit();
	cr_expect_eq(host_committed(entry)->record.revision, 101);
	state_edit_host(&state, entry)->mode = HOST_ACTIVE;
	state_edit_host_quietly(&state, entry)->silent_ms = 6;
	commit();
	cr_expect_eq(host_committed(entry)->record.revision, 102);
}

Test(state, a_row_that_is_gone_leaves_with_the_end_of_its_batch)
{
	const struct mapping_key ssh = key_of("203.0.113.10:30001");

	add_environment("env-a", "alice");
	commit();
	state_edit_port(&state, state_port(&state, &ssh))->record.gone = true;
	cr_assert(state_close_batch(&state));
	cr_expect(state_port(&state, &ssh));
	cr_expect_eq(port_pool_taken(&state.pool), 2, "it is nobody else's before that");
	state_commit_batch(&state);
	cr_expect(state_port(&state, &ssh), "watchers are told of it");
	state_finish_batch(&state);
	cr_expect_null(state_port(&state, &ssh));
	cr_expect_eq(port_pool_taken(&state.pool), 1);
	cr_expect_eq(environment("env-a")->n_ports, 1);
	cr_expect_str_eq(port_newest(environment("env-a")->ports[0])->service, "web");
}

Test(state, a_name_is_free_once_its_environment_is_gone)
{
	row_add(&state, row_environment("env-a", "alice"));
	commit();
	state_edit_environment(&state, environment("env-a"))->record.gone = true;
	cr_expect_eq(state_add(&state, &row_environment("env-b", "alice")->record, NULL), -EEXIST);
	commit();
	row_add(&state, row_environment("env-b", "alice"));
	cr_expect_eq(state_environment_named(&state, NULL, "alice"), environment("env-b"));
}

Test(state, a_dropped_open_batch_leaves_what_was_before)
{
	struct host_entry *host1 = state_host(&state, "host1");
	struct host_entry *host2 = state_host(&state, "host2");

	row_add(&state, row_environment("env-a", "alice"));
	cr_assert_eq(state_place(&state, environment("env-a"), host1, NULL), 0);
	commit();
	/* A move, a new environment with a port, and an edit: none of it happens. */
	cr_assert_eq(state_release(&state, environment("env-a")), 0);
	cr_assert_eq(state_place(&state, environment("env-a"), host2, NULL), 0);
	add_environment("env-b", "bob");
	state_edit_host(&state, host2)->mode = HOST_MAINTENANCE;
	state_audit(&state, &host2->entry, "unix", "maintenance", "x");
	state_drop_open(&state);

	cr_expect_eq(state.open.n + state.open.n_audits, 0);
	cr_expect_null(state_environment(&state, "env-b"));
	cr_expect_null(state_environment_named(&state, NULL, "bob"));
	cr_expect_eq(state_count(&state, RECORD_PORT), 0);
	cr_expect_eq(port_pool_taken(&state.pool), 0);
	cr_expect_eq(host_newest(host2)->mode, HOST_ACTIVE);
	cr_expect_eq(environment("env-a")->host, host1);
	cr_expect_eq(host1->newest.environments, 1);
	cr_expect_eq(host2->newest.environments, 0);
	cr_expect_null(host2->environments);
	cr_expect(environment("env-a")->dirty, "it is looked at again");
}

Test(state, a_dropped_flight_takes_the_open_batch_with_it)
{
	struct host_entry *host1 = state_host(&state, "host1");
	struct environment_entry *entry;

	row_add(&state, row_environment("env-a", "alice"));
	commit();
	entry = environment("env-a");
	cr_assert_eq(state_place(&state, entry, host1, NULL), 0);
	row_add(&state, row_environment("env-b", "bob"));
	cr_assert(state_close_batch(&state));
	/* Both build on the flight. */
	state_edit_environment(&state, entry)->phase = PHASE_CREATING;
	row_add(&state, row_port("env-b", "ssh", "203.0.113.10:30001"));
	state_drop_flight(&state);

	cr_expect_not(state.in_flight);
	cr_expect_eq(state.flight.n + state.open.n, 0);
	cr_expect_eq(state.revision, 101);
	cr_expect_eq(state_open_revision(&state), 102);
	cr_expect_null(state_environment(&state, "env-b"));
	cr_expect_eq(state_count(&state, RECORD_PORT), 0);
	cr_expect_eq(environment_newest(entry), environment_committed(entry));
	cr_expect_null(entry->host);
	cr_expect_eq(host1->newest.environments, 0);
	/* And the next batch is as any. */
	cr_assert_eq(state_place(&state, entry, host1, NULL), 0);
	commit();
	cr_expect_eq(host1->committed.environments, 1);
	cr_expect_eq(state.revision, 102);
}

Test(state, the_audit_has_all_of_its_lines)
{
	struct host_entry *host = state_host(&state, "host1");
	const int n = 25000;

	state_edit_host(&state, host);
	for (int i = 0; i < n; i++)
		state_audit(&state, &host->entry, "10.0.0.7", "register", "n=%d", i);
	cr_assert(state_close_batch(&state));
	cr_assert_eq(state.flight.n_audits, (size_t)n);
	for (int i = 0; i < n; i++) {
		char text[16];

		(void)snprintf(text, sizeof(text), "n=%d", i);
		cr_assert_str_eq(state.flight.audits[i].message, text);
	}
	cr_expect_str_eq(state.flight.audits[n - 1].actor, "10.0.0.7");
	cr_expect_str_eq(state.flight.audits[n - 1].id, "host1");
	state_drop_flight(&state);
	cr_expect_eq(state.flight.n_audits, 0);
}

/* ---- a standby's copy ---- */

/* Another version of a row, as the leader has committed it. */
static void mirror(struct record *record, uint64_t revision)
{
	record->revision = revision;
	cr_assert_eq(state_mirror(&state, record), 0);
}

static void commit_copy(uint64_t revision)
{
	cr_assert(state_close_mirror(&state, revision));
	state_commit_batch(&state);
	state_finish_batch(&state);
	cr_assert_eq(state.revision, revision);
}

Test(state, a_copy_takes_new_rows_and_other_versions_with_their_own_revisions)
{
	struct environment *moved = row_environment("env-a", "alice");
	struct host_entry *host1 = state_host(&state, "host1");
	struct host_entry *host2 = state_host(&state, "host2");
	struct environment *first = row_environment("env-a", "alice");

	(void)snprintf(first->host, sizeof(first->host), "host1");
	mirror(&first->record, 103);
	mirror(&row_port("env-a", "ssh", "203.0.113.10:30001")->record, 104);
	cr_expect_null(environment_committed(environment("env-a")));
	commit_copy(107);
	cr_expect_eq(environment_committed(environment("env-a"))->record.revision, 103);
	cr_expect_eq(port_pool_taken(&state.pool), 1);
	cr_expect_eq(host1->committed.environments, 1);

	(void)snprintf(moved->host, sizeof(moved->host), "host2");
	moved->phase = PHASE_RUNNING;
	mirror(&moved->record, 109);
	commit_copy(109);
	cr_expect_eq(environment_committed(environment("env-a"))->phase, PHASE_RUNNING);
	cr_expect_eq(environment("env-a")->host, host2);
	cr_expect_eq(host1->committed.environments + host1->newest.environments, 0);
	cr_expect_eq(host2->committed.environments + host2->newest.environments, 2);
	cr_expect_eq(state_environment_named(&state, NULL, "alice"), environment("env-a"));
	cr_expect_eq(environment("env-a")->n_ports, 1);
}

Test(state, what_is_gone_leaves_the_copy_and_its_key_is_free_for_another)
{
	const struct mapping_key ssh = key_of("203.0.113.10:30001");
	struct environment *placed = row_environment("env-a", "alice");
	char id[MAPPING_STRING_MAX];

	(void)snprintf(placed->host, sizeof(placed->host), "host1");
	mirror(&placed->record, 101);
	mirror(&row_port("env-a", "ssh", "203.0.113.10:30001")->record, 101);
	commit_copy(101);

	cr_assert_eq(state_mirror_gone(&state, RECORD_PORT, mapping_key_format(&ssh, id)), 0);
	cr_assert_eq(state_mirror_gone(&state, RECORD_ENVIRONMENT, "env-a"), 0);
	cr_assert_eq(state_mirror_gone(&state, RECORD_HOST, "unknown"), 0, "it was never read");
	commit_copy(101);
	cr_expect_null(state_environment(&state, "env-a"));
	cr_expect_eq(port_pool_taken(&state.pool), 0);
	cr_expect_eq(state_host(&state, "host1")->committed.environments, 0);
	cr_expect_eq(state_host(&state, "host1")->newest.environments, 0);

	mirror(&row_environment("env-b", "alice")->record, 105);
	mirror(&row_port("env-b", "ssh", "203.0.113.10:30001")->record, 105);
	commit_copy(105);
	cr_expect_eq(state_port(&state, &ssh)->environment, environment("env-b"));
	cr_expect_not(state_close_mirror(&state, 105), "nothing has changed");
	commit_copy(106);
	cr_expect_eq(state.revision, 106, "nothing that a reader sees");
}

static struct key *row_key(const char *id, const char *caller)
{
	struct key *key = key_new();

	cr_assert(key);
	(void)snprintf(key->id, sizeof(key->id), "%s", id);
	(void)snprintf(key->caller, sizeof(key->caller), "%s", caller);
	return key;
}

static unsigned keys_of(const char *caller, const char *oldest)
{
	const struct key_entry *entry;
	unsigned n = state_count_keys(&state, caller, &entry);

	cr_expect_str_eq(entry ? entry->entry.id : "", oldest);
	return n;
}

/* A caller's keys are counted with those that are being made, until they are gone. */
Test(state, a_caller_has_the_keys_that_it_has)
{
	row_load(&state, row_key("k1", "customer/alice"));
	row_load(&state, row_key("k0", "")); /* of before callers were written down */
	row_add(&state, row_key("k2", "customer/alice"));
	row_add(&state, row_key("k3", "customer/bob"));
	cr_expect_eq(keys_of("customer/alice", "k1"), 2);
	cr_expect_eq(keys_of("customer/bob", "k3"), 1);
	cr_expect_eq(keys_of("", ""), 0);
	cr_expect_eq(state_add(&state, &row_key("k1", "customer/bob")->record, NULL), -EEXIST);
	cr_expect_eq(keys_of("customer/bob", "k3"), 1);
	state_drop_open(&state);
	cr_expect_eq(keys_of("customer/alice", "k1"), 1);
	cr_expect_eq(keys_of("customer/bob", ""), 0);

	row_add(&state, row_key("k4", "customer/alice"));
	commit();
	state_edit_key(&state, state_key(&state, "k1"))->record.gone = true;
	cr_expect_eq(keys_of("customer/alice", "k1"), 2, "it may come back");
	commit();
	cr_expect_eq(keys_of("customer/alice", "k4"), 1);
}

static uint64_t environments_of(const char *customer)
{
	return state_tally(&state, customer).used[QUOTA_ENVIRONMENTS];
}

/* What a customer has follows what is being made, and what is gone as soon as watchers hear of it.
 */
Test(state, an_owner_has_what_it_has)
{
	struct environment *mine = row_environment("env-1", "mine"), *other;

	mine->origin->spec.customer = strdup("alice");
	row_load(&state, mine);
	other = row_environment("env-2", "other");
	other->origin->spec.customer = strdup("alice");
	row_add(&state, other);
	row_add(&state, row_environment("env-3", "nobodys"));
	cr_expect_eq(environments_of("alice"), 2);
	cr_expect_eq(state_tally(&state, "alice").used[QUOTA_CPU], 1000);
	cr_expect_eq(state_tally(&state, "alice").used[QUOTA_PORTS], 4);
	cr_expect_eq(environments_of("bob"), 0);
	state_drop_open(&state);
	cr_expect_eq(environments_of("alice"), 1);
	state_edit_environment(&state, state_environment(&state, "env-1"))->record.gone = true;
	cr_expect_eq(environments_of("alice"), 1);
	cr_assert(state_close_batch(&state));
	state_commit_batch(&state);
	cr_expect_eq(environments_of("alice"), 0);
	state_finish_batch(&state);
	cr_expect_eq(environments_of("alice"), 0);
}
