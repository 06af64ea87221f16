/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The keeper of bans: its list and the table's members through requests that succeed, fail and are
 * taken back, a restart, and the end of a ban.
 */
#include <errno.h>
#include <string.h>

#include "gatewayd/ban_keeper.h"
#include "tests/unit/gatewayd/make.h"

#define NOW 1000

static struct ban_keeper keeper;
static struct members members;
static int n_done, last_errnum, n_noted;

static void begin(void)
{
	memset(&keeper, 0, sizeof(keeper));
	members = MEMBERS_INIT;
	n_done = last_errnum = n_noted = 0;
}

static void end(void)
{
	ban_keeper_clear(&keeper);
	members_clear(&members);
}

TestSuite(ban_keeper, .init = begin, .fini = end);

static void on_done(struct ban_request *request, void *userdata)
{
	n_done++;
	last_errnum = request->error.errnum;
}

static void note(const struct ban_request *request, void *userdata)
{
	n_noted++;
}

static struct prefix prefix_of(const char *text)
{
	struct prefix prefix = { 0 };

	cr_assert_eq(prefix_parse(text, &prefix), 0, "%s", text);
	return prefix;
}

static void submit(enum ban_action action, const char *source, int64_t expires_at)
{
	struct ban_request *request = NULL;
	const struct ban ban = { .source = prefix_of(source), .expires_at = expires_at };

	cr_assert_eq(ban_request_new(&request, action), 0);
	request->on_done = on_done;
	request->source = ban.source;
	if (action != BAN_REMOVE)
		cr_assert_eq(bans_put(&request->bans, &ban, NULL), 0);
	ban_keeper_submit(&keeper, request);
}

/* The kernel takes all. */
static void commit(void)
{
	ban_keeper_apply(&keeper, &members, NOW);
	for (struct member *member = members.dirty; member; member = member->next_dirty)
		members_confirm(&members, member);
	members_settle(&members);
	ban_keeper_settle(&keeper, &members, NULL);
}

static bool desired(const char *source)
{
	const struct prefix prefix = prefix_of(source);
	const struct member *member;
	struct member_key key;

	ban_key(&prefix, &key);
	member = members_find(&members, &key);
	return member && (member->flags & MEMBER_DESIRED);
}

Test(ban_keeper, brings_members_in_line_with_requests_in_their_order)
{
	keeper.on_request = note;
	submit(BAN_PUT, "198.51.100.1", 0);
	submit(BAN_PUT, "198.51.100.2", 0);
	submit(BAN_REMOVE, "198.51.100.1", 0);
	commit();
	cr_assert_eq(n_done, 3);
	cr_assert_eq(n_noted, 3);
	cr_assert_eq(last_errnum, 0);
	cr_assert(!desired("198.51.100.1") && desired("198.51.100.2"));
	submit(BAN_REPLACE, "2001:db8::/32", 0);
	commit();
	cr_assert(!desired("198.51.100.2") && desired("2001:db8::/32"));
	cr_assert_eq(keeper.bans.n, 1);
}

Test(ban_keeper, leaves_out_a_request_that_fails_by_itself)
{
	submit(BAN_REMOVE, "198.51.100.1", 0);
	submit(BAN_PUT, "198.51.100.2", 0);
	ban_keeper_apply(&keeper, &members, NOW);
	cr_assert_eq(keeper.queue->error.errnum, -ENOENT);
	ban_keeper_settle(&keeper, &members, NULL);
	cr_assert_eq(n_done, 2);
	cr_assert(desired("198.51.100.2"));
}

Test(ban_keeper, takes_back_what_the_kernel_does_not_take)
{
	struct error err = { .errnum = -EIO, .code = "kernel" };

	submit(BAN_PUT, "198.51.100.1", 0);
	commit();
	submit(BAN_REPLACE, "198.51.100.2", 0);
	ban_keeper_apply(&keeper, &members, NOW);
	cr_assert(desired("198.51.100.2") && !desired("198.51.100.1"));
	ban_keeper_settle(&keeper, &members, &err);
	cr_assert_eq(last_errnum, -EIO);
	cr_assert(!desired("198.51.100.2") && desired("198.51.100.1"));
	cr_assert_eq(keeper.bans.n, 1);
}

static bool refuse(const char *source)
{
	const struct prefix prefix = prefix_of(source);
	struct member_key key;

	ban_key(&prefix, &key);
	return ban_keeper_refuse(&keeper, &key, "no");
}

Test(ban_keeper, fails_the_request_that_brings_what_the_kernel_refuses)
{
	submit(BAN_PUT, "198.51.100.1", 0);
	commit();
	submit(BAN_PUT, "198.51.100.0/28", NOW + 5); /* in pieces, around the first */
	submit(BAN_PUT, "192.0.2.1", 0);
	ban_keeper_apply(&keeper, &members, NOW);
	cr_assert(desired("198.51.100.8/29"));
	cr_assert(refuse("198.51.100.8/29"));
	cr_assert_eq(keeper.queue->error.errnum, -EINVAL);
	cr_assert_str_eq(keeper.queue->error.message, "source: 198.51.100.8/29: no");
	cr_assert_eq(keeper.queue->next->error.errnum, 0);
	ban_keeper_apply(&keeper, &members, NOW);
	cr_assert(!desired("198.51.100.8/29") && desired("198.51.100.1") && desired("192.0.2.1"));
	ban_keeper_settle(&keeper, &members, NULL);
	cr_assert_eq(n_done, 3);
	cr_assert_eq(keeper.bans.n, 2);
}

Test(ban_keeper, forgets_what_the_kernel_refuses_and_nobody_waits_for)
{
	submit(BAN_PUT, "198.51.100.1", 0);
	submit(BAN_PUT, "192.0.2.1", 0);
	commit();
	submit(BAN_PUT, "192.0.2.2", 0);
	ban_keeper_apply(&keeper, &members, NOW);
	cr_assert_not(refuse("198.51.100.1"));
	ban_keeper_apply(&keeper, &members, NOW);
	cr_assert(!desired("198.51.100.1") && desired("192.0.2.1") && desired("192.0.2.2"));
	ban_keeper_settle(&keeper, &members, NULL);
	cr_assert_eq(keeper.bans.n, 2);
	cr_assert_eq(last_errnum, 0);
}

Test(ban_keeper, forgets_what_has_ended_without_an_operation)
{
	submit(BAN_PUT, "198.51.100.1", NOW + 5);
	submit(BAN_PUT, "198.51.100.2", 0);
	commit();
	ban_keeper_apply(&keeper, &members, NOW + 5);
	members_settle(&members);
	cr_assert_eq(members.n_dirty, 0);
	cr_assert_eq(keeper.bans.n, 1);
	cr_assert(!desired("198.51.100.1") && desired("198.51.100.2"));
}

Test(ban_keeper, adopts_what_is_installed_but_for_intervals_that_are_no_prefix)
{
	const struct member_terms terms = { .comment = "why", .expires_at = NOW + 5 };
	const struct prefix source = prefix_of("198.51.100.0/24");
	struct member_key key;

	ban_key(&source, &key);
	cr_assert_eq(members_install(&members, &key, &terms, NULL), 0);
	key.end[3] = 7;
	key.key[3] = 2;
	key.key[2] = key.end[2] = 101;
	cr_assert_eq(members_install(&members, &key, &terms, NULL), 0);
	cr_assert_eq(ban_keeper_adopt(&keeper, &members), 0);
	cr_assert_eq(keeper.bans.n, 1);
	cr_assert_str_eq(keeper.bans.items[0]->reason, "why");
	members_settle(&members);
	cr_assert_eq(members.n_dirty, 1); /* the other one, to be deleted */
}
