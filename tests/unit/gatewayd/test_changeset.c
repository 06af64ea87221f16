/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Changesets on a ledger: what they change, what they leave out, and that a journal takes all of it
 * back. */
#include <errno.h>
#include <string.h>

#include "gatewayd/changeset.h"
#include "tests/unit/gatewayd/make.h"

#define P1 "203.0.113.10:30001"
#define P2 "203.0.113.10:30002"
#define P3 "203.0.113.10:30003"
#define A "10.0.0.5:22"
#define B "10.0.0.6:22"
#define ROOM 100
#define REVISION 9

static struct ledger ledger;
static struct journal journal;
static struct changeset *changeset;

static void begin(void)
{
	ledger = LEDGER_INIT;
}

static void end(void)
{
	changeset_free(changeset);
	journal_clear(&journal);
	ledger_clear(&ledger);
}

TestSuite(changeset, .init = begin, .fini = end);

static void begin_changes(size_t n, bool atomic)
{
	changeset_free(changeset);
	cr_assert_eq(changeset_new(&changeset, n), 0);
	changeset->atomic = atomic;
}

static void put(size_t index, const char *key, const char *target)
{
	const struct mapping mapping = { .key = key_of(key), .target = endpoint_of(target) };

	cr_assert_eq(change_put(&changeset->changes[index], &mapping, "", NULL), 0);
}

static void take_away(size_t index, const char *key)
{
	const struct mapping_key k = key_of(key);

	change_remove(&changeset->changes[index], &k);
}

static int apply(size_t room)
{
	return changeset_apply(changeset, &ledger, room, REVISION, &journal);
}

/* Whether the ledger wants key to lead to target; NULL: not at all. */
static void expect(const char *key, const char *target)
{
	const struct entry *entry = find(&ledger, key);
	struct endpoint wanted;

	if (!target) {
		cr_assert(!entry || !(entry->flags & ENTRY_DESIRED), "%s is there", key);
		return;
	}
	wanted = endpoint_of(target);
	cr_assert(entry && (entry->flags & ENTRY_DESIRED), "%s is missing", key);
	cr_assert_eq(endpoint_compare(&entry->target, &wanted), 0, "%s leads elsewhere", key);
}

Test(changeset, puts_and_removes)
{
	desire(&ledger, P1, A, NULL);
	begin_changes(3, true);
	take_away(0, P1);
	put(1, P2, B);
	take_away(2, P3); /* it is not there */
	cr_assert_eq(apply(ROOM), 0);
	expect(P1, NULL);
	expect(P2, B);
	cr_assert_eq(changeset->n_removed, 1);
	cr_assert_eq(find(&ledger, P2)->revision, REVISION);
}

Test(changeset, a_senders_revision_comes_before_ours_and_a_mappings_before_both)
{
	begin_changes(2, true);
	put(0, P1, A);
	put(1, P2, A);
	changeset->revision = 50;
	changeset->changes[1].revision = 60;
	cr_assert_eq(apply(ROOM), 0);
	cr_assert_eq(find(&ledger, P1)->revision, 50);
	cr_assert_eq(find(&ledger, P2)->revision, 60);
}

Test(changeset, replace_removes_what_it_does_not_name)
{
	desire(&ledger, P1, A, NULL);
	desire(&ledger, P2, A, NULL);
	begin_changes(2, true);
	changeset->replace = true;
	put(0, P2, A);
	put(1, P3, A);
	cr_assert_eq(apply(ROOM), 0);
	expect(P1, NULL);
	expect(P2, A);
	expect(P3, A);
	cr_assert_eq(changeset->n_removed, 1);
	for (size_t i = 0; i < 2; i++)
		cr_assert_not(find(&ledger, i ? P2 : P3)->flags & ENTRY_MARKED, "left marked");
}

Test(changeset, rollback_restores_what_was)
{
	desire(&ledger, P1, A, "env-a ssh");
	desire(&ledger, P2, A, NULL);
	begin_changes(2, true);
	changeset->replace = true;
	put(0, P1, B);
	put(1, P3, B);
	cr_assert_eq(apply(ROOM), 0);
	expect(P1, B);
	cr_assert_eq(journal_rollback(&journal, 0, &ledger), 0);
	expect(P1, A);
	expect(P2, A);
	expect(P3, NULL);
	cr_assert_str_eq(find(&ledger, P1)->label, "env-a ssh");
	cr_assert_eq(find(&ledger, P1)->revision, 1);
	cr_assert_eq(journal.n, 0);
}

Test(changeset, the_same_key_twice_rolls_back_to_the_first)
{
	desire(&ledger, P1, A, NULL);
	begin_changes(2, true);
	put(0, P1, B);
	put(1, P1, "10.0.0.7:1");
	cr_assert_eq(apply(ROOM), 0);
	expect(P1, "10.0.0.7:1");
	cr_assert_eq(journal_rollback(&journal, 0, &ledger), 0);
	expect(P1, A);
}

Test(changeset, an_atomic_one_does_nothing_where_the_map_is_full)
{
	desire(&ledger, P1, A, NULL);
	begin_changes(2, true);
	put(0, P2, A);
	put(1, P3, A);
	cr_assert_eq(apply(2), -ENOSPC);
	cr_assert_eq(changeset->error.errnum, -ENOSPC);
	cr_assert_str_eq(changeset->error.code, "map_full");
	cr_assert(strstr(changeset->error.message, "203.0.113.10:30003/tcp"), "%s",
		  changeset->error.message);
	expect(P1, A);
	expect(P2, NULL);
	expect(P3, NULL);
	cr_assert_eq(journal.n, 0);
}

Test(changeset, another_leaves_out_what_has_no_room)
{
	begin_changes(2, false);
	put(0, P1, A);
	put(1, P2, A);
	cr_assert_eq(apply(1), 0);
	expect(P1, A);
	expect(P2, NULL);
	cr_assert_eq(changeset->n_refusals, 1);
	cr_assert_eq(changeset->refusals[0].key.port, 30002);
}

Test(changeset, a_full_map_takes_changes_of_what_is_in_it)
{
	desire(&ledger, P1, A, NULL);
	begin_changes(1, true);
	put(0, P1, B);
	cr_assert_eq(apply(1), 0);
	expect(P1, B);
}

Test(changeset, families_have_room_of_their_own)
{
	desire(&ledger, P1, A, NULL);
	begin_changes(1, true);
	put(0, "[2001:db8::10]:1", "[2001:db8::5]:1");
	cr_assert_eq(apply(1), 0);
}

Test(changeset, a_replacement_finds_the_room_of_what_it_removes)
{
	desire(&ledger, P1, A, NULL);
	begin_changes(1, true);
	changeset->replace = true;
	put(0, P2, A);
	cr_assert_eq(apply(1), 0);
	expect(P2, A);
}

Test(changeset, a_refused_key_fails_an_atomic_one)
{
	struct mapping_key key = key_of(P2), other = key_of(P3);

	begin_changes(2, true);
	put(0, P1, A);
	put(1, P2, A);
	cr_assert_not(changeset_refuse(changeset, &other, "no"));
	cr_assert(changeset_refuse(changeset, &key, "no"));
	cr_assert_eq(changeset->error.errnum, -EINVAL);
	cr_assert_str_eq(changeset->error.message, "203.0.113.10:30002/tcp: no");
}

Test(changeset, a_refused_key_is_left_out_of_another_when_it_is_applied_again)
{
	struct mapping_key key = key_of(P2);

	begin_changes(2, false);
	put(0, P1, A);
	put(1, P2, A);
	cr_assert_eq(apply(ROOM), 0);
	cr_assert_eq(journal_rollback(&journal, 0, &ledger), 0);
	cr_assert(changeset_refuse(changeset, &key, "no"));
	cr_assert_not(changeset_refuse(changeset, &key, "no"));
	cr_assert_eq(apply(ROOM), 0);
	expect(P1, A);
	expect(P2, NULL);
	cr_assert_eq(changeset->n_refusals, 1);
	cr_assert_str_eq(changeset->refusals[0].reason, "no");
}

/* The old target may be somebody else's by now. */
Test(changeset, a_refused_key_does_not_go_on_to_its_old_target)
{
	struct mapping_key key = key_of(P2);

	desire(&ledger, P2, B, NULL);
	begin_changes(2, false);
	put(0, P1, A);
	put(1, P2, A);
	cr_assert(changeset_refuse(changeset, &key, "no"));
	cr_assert_eq(apply(ROOM), 0);
	expect(P1, A);
	expect(P2, NULL);
	cr_assert_eq(journal_rollback(&journal, 0, &ledger), 0);
	expect(P2, B);
}

#define NAME_63 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

Test(changeset, names_that_do_not_fit_an_elements_comment_are_refused)
{
	char name[] = NAME_63;
	const struct mapping mapping = { .key = key_of(P1),
					 .target = endpoint_of(A),
					 .environment = name,
					 .service = name,
					 .on_remove = ON_REMOVE_DRAIN };
	struct error err = ERROR_INIT;

	begin_changes(1, true);
	cr_assert_eq(change_put(&changeset->changes[0], &mapping, "mappings[0]", &err), -EINVAL);
	cr_assert_str_eq(err.field, "mappings[0].service");
	cr_assert_str_eq(err.code, "too_long");
}

Test(changeset, rollback_restores_limits_as_well)
{
	struct prefix prefix;
	struct mapping mapping = { .key = key_of(P1),
				   .target = endpoint_of(A),
				   .allow = &prefix,
				   .n_allow = 1,
				   .max_connections = 5 };

	cr_assert_eq(prefix_parse("198.51.100.0/24", &prefix), 0);
	begin_changes(1, true);
	cr_assert_eq(change_put(&changeset->changes[0], &mapping, "", NULL), 0);
	cr_assert_eq(apply(ROOM), 0);
	journal_clear(&journal);
	cr_assert_eq(ledger.members.n_desired[SHAPE_ALLOW4], 1);

	begin_changes(1, true);
	put(0, P1, B);
	cr_assert_eq(apply(ROOM), 0);
	cr_assert_eq(ledger.members.n_desired[SHAPE_ALLOW4], 0);
	cr_assert_eq(journal_rollback(&journal, 0, &ledger), 0);
	cr_assert_eq(ledger.members.n_desired[SHAPE_ALLOW4], 1);
	cr_assert_eq(ledger.members.n_desired[SHAPE_CONNECTIONS4], 1);
	cr_assert_eq(entry_policy(find(&ledger, P1))->max_connections, 5);

	ledger_undesire(&ledger, find(&ledger, P1));
	cr_assert_eq(members_sets(&ledger.members), 0);
}

Test(changeset, a_limit_without_room_is_refused_by_its_field)
{
	const struct mapping mapping = { .key = key_of(P1),
					 .target = endpoint_of(A),
					 .max_connections = 5 };

	ledger.members.n_desired[SHAPE_CONNECTIONS4] = SHAPE_SHARD_FROM;
	begin_changes(1, true);
	cr_assert_eq(change_put(&changeset->changes[0], &mapping, "", NULL), 0);
	cr_assert_eq(apply(ROOM), -ENOSPC);
	cr_assert_str_eq(changeset->error.code, "map_full");
	cr_assert(strstr(changeset->error.message, "max_connections"), "%s",
		  changeset->error.message);
	expect(P1, NULL);
	ledger.members.n_desired[SHAPE_CONNECTIONS4] = 0;
}
