/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The queue of changesets: each is answered once, in order, and when its time has come. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "gatewayd/change_queue.h"
#include "tests/unit/gatewayd/make.h"

#define P1 "203.0.113.10:30001"

static struct change_queue queue;
static char answers[64]; /* a letter for each answer, a capital one where it is an error */

static void begin(void)
{
	change_queue_init(&queue);
	answers[0] = '\0';
}

/* What is still in it is answered, and so freed. */
static void end(void)
{
	const struct error stopping = { .errnum = -ECANCELED };

	change_queue_fail(&queue, &stopping, true);
	change_queue_settle(&queue, true, 0);
	change_queue_answer_held(&queue, UINT64_MAX);
}

TestSuite(change_queue, .init = begin, .fini = end);

static void on_done(struct changeset *changeset, void *userdata)
{
	const char *name = userdata;
	size_t n = strlen(answers);

	answers[n] = changeset->error.errnum ? (char)(*name - 'a' + 'A') : *name;
	answers[n + 1] = '\0';
}

static struct changeset *add(const char *name, enum protocol protocol, bool atomic)
{
	struct mapping_key key = key_of(P1);
	struct changeset *changeset;

	key.protocol = (uint8_t)protocol;
	cr_assert_eq(changeset_new(&changeset, 1), 0);
	change_remove(&changeset->changes[0], &key);
	changeset->atomic = atomic;
	changeset->on_done = on_done;
	changeset->userdata = (void *)(uintptr_t)name;
	change_queue_add(&queue, changeset);
	return changeset;
}

Test(change_queue, answers_what_has_failed_at_once_and_the_rest_in_order)
{
	const struct error err = { .errnum = -EIO };

	add("a", PROTOCOL_TCP, false);
	add("b", PROTOCOL_TCP, true);
	add("c", PROTOCOL_TCP, false);
	change_queue_settle(&queue, false, 0);
	cr_assert_str_eq(answers, "");
	change_queue_fail(&queue, &err, false);
	change_queue_settle(&queue, false, 0);
	cr_assert_str_eq(answers, "B", "what is not atomic stays");
	add("d", PROTOCOL_TCP, false);
	change_queue_settle(&queue, true, 0);
	cr_assert_str_eq(answers, "Bacd");
	change_queue_settle(&queue, true, 0);
	cr_assert_str_eq(answers, "Bacd", "once only");
}

Test(change_queue, an_error_that_is_there_stays)
{
	const struct error first = { .errnum = -ENOSPC }, second = { .errnum = -EIO };
	struct changeset *changeset = add("a", PROTOCOL_TCP, true);

	change_queue_fail(&queue, &first, true);
	change_queue_fail(&queue, &second, true);
	cr_assert_eq(changeset->error.errnum, -ENOSPC);
}

Test(change_queue, udp_is_answered_once_its_flows_were_looked_through)
{
	add("a", PROTOCOL_UDP, true);
	add("b", PROTOCOL_TCP, true);
	change_queue_settle(&queue, true, 7);
	cr_assert_str_eq(answers, "b", "nothing of TCP waits");
	change_queue_answer_held(&queue, 6);
	cr_assert_str_eq(answers, "b");
	change_queue_answer_held(&queue, 7);
	cr_assert_str_eq(answers, "ba");
}

Test(change_queue, a_followers_changes_are_answered_in_their_order)
{
	add("a", PROTOCOL_UDP, false);
	change_queue_settle(&queue, true, 7);
	add("b", PROTOCOL_TCP, false);
	change_queue_settle(&queue, true, 0);
	cr_assert_str_eq(answers, "", "b has come behind a, whose revision is not told yet");
	change_queue_answer_held(&queue, 7);
	cr_assert_str_eq(answers, "ab");
	add("c", PROTOCOL_TCP, false);
	change_queue_settle(&queue, true, 0);
	cr_assert_str_eq(answers, "abc", "nothing is waited for any more");
}

Test(change_queue, gives_a_revision_to_those_that_have_none)
{
	const struct error err = { .errnum = -EIO };
	struct changeset *own = add("a", PROTOCOL_TCP, false),
			 *failed = add("b", PROTOCOL_TCP, true);

	change_queue_fail(&queue, &err, false);
	cr_assert_eq(change_queue_number(&queue, 41), 42);
	cr_assert_eq(own->revision, 42);
	cr_assert_eq(failed->revision, 0);
	add("c", PROTOCOL_TCP, false)->revision = 900;
	cr_assert_eq(change_queue_number(&queue, 42), 900);
	change_queue_settle(&queue, true, 0);
	cr_assert_eq(change_queue_number(&queue, 900), 900);
}
