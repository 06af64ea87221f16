/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The servers that a follower is given: which it refuses, and that it goes from one to the next. */
#include "proto/follower.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#define ROUNDS 5

static struct event_base *base;
static struct http_client *client;
static struct follower *follower;

static void setup(void)
{
	base = event_base_new();
	cr_assert(base);
	cr_assert_eq(http_client_new(&client, base), 0);
}

static void teardown(void)
{
	follower_free(follower);
	follower = NULL;
	http_client_free(client);
	event_base_free(base);
}

TestSuite(follower, .init = setup, .fini = teardown);

static json_t *registration(void *userdata)
{
	return json_object();
}

static json_t *report(void *userdata)
{
	return NULL;
}

struct seen {
	unsigned n;
	char servers[ROUNDS][64];
};

/* Notes whom it could not reach. */
static void on_state(void *userdata, enum follower_state state, const char *reason)
{
	struct seen *seen = userdata;

	if (state == FOLLOWER_CONNECTING && seen->n < ROUNDS)
		(void)snprintf(seen->servers[seen->n++], sizeof(seen->servers[0]), "%s",
			       follower_server(follower));
	if (seen->n == ROUNDS)
		event_base_loopbreak(base);
}

static int make(const char *server, struct seen *seen)
{
	const struct follower_events events = { .registration = registration,
						.report = report,
						.on_state = on_state };
	const struct follower_config config = {
		.server = server, .collection = "hosts", .name = "h1", .heartbeat_ms = 1000
	};

	return follower_new(&follower, base, client, &config, &events, seen);
}

Test(follower, an_empty_server_or_too_many_are_refused)
{
	static const char *const wrong[] = {
		"",
		",",
		"http://a,",
		",http://a",
		"http://a,,http://b",
		"1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17",
	};

	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++)
		cr_expect_eq(make(wrong[i], NULL), -EINVAL, "\"%s\"", wrong[i]);
	cr_expect_eq(make("1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16", NULL), 0);
}

Test(follower, where_one_does_not_answer_the_next_is_tried_and_then_the_first_again)
{
	struct seen seen = { 0 };

	cr_assert_eq(make("unix:/nonexistent/a,unix:/nonexistent/b", &seen), 0);
	cr_assert_geq(event_base_dispatch(base), 0);
	cr_assert_eq(seen.n, ROUNDS);
	/* Of the first try nothing is told: it is the state at the start. */
	for (unsigned i = 0; i < ROUNDS; i++)
		cr_expect_str_eq(seen.servers[i],
				 i % 2 ? "unix:/nonexistent/a" : "unix:/nonexistent/b");
}
