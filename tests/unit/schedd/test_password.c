/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Hashes that login takes, made beside the event loop and delivered by it. */
#include "schedd/password.h"

#include <criterion/criterion.h>
#include <crypt.h>
#include <errno.h>
#include <event2/event_struct.h>
#include <pthread.h>
#include <string.h>
#include <sys/time.h>

#include "lib/random.h"

#define DEADLINE_S 20
#define FAR_TOO_MANY 1000000

static struct event_base *base;
static struct password_hasher *hasher;
static pthread_t loop_thread;
static unsigned n_done, n_expected;
static char *hashes[64];
static size_t order[64];

static void setup(void)
{
	base = event_base_new();
	cr_assert(base);
	loop_thread = pthread_self();
	cr_assert_eq(password_hasher_new(&hasher, base), 0);
}

static void teardown(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(hashes); i++)
		free(hashes[i]);
	password_hasher_free(hasher);
	event_base_free(base);
}

TestSuite(password, .init = setup, .fini = teardown, .timeout = 60);

static void done(void *userdata, char *hash)
{
	size_t i = (size_t)(uintptr_t)userdata;

	cr_assert(pthread_equal(pthread_self(), loop_thread), "done runs in the loop's thread");
	cr_assert_null(hashes[i], "done runs once");
	hashes[i] = hash;
	order[n_done++] = i;
	if (n_done == n_expected)
		event_base_loopbreak(base);
}

static void hash(size_t i, const char *password)
{
	cr_assert_eq(password_hash(hasher, password, done, (void *)(uintptr_t)i), 0);
}

static void wait_for(unsigned n)
{
	const struct timeval limit = { .tv_sec = DEADLINE_S };

	n_expected = n;
	event_base_loopexit(base, &limit);
	event_base_dispatch(base);
	cr_assert_eq(n_done, n);
}

/* As login does it: the hash is the setting. */
static bool opens(const char *hash, const char *password)
{
	struct crypt_data *data = calloc(1, sizeof(*data));
	const char *again = crypt_r(password, hash, data);
	bool same = again && strcmp(again, hash) == 0;

	free(data);
	return same;
}

Test(password, a_hash_is_yescrypt_and_takes_this_password_only)
{
	hash(0, "h7dk3-correct");
	wait_for(1);
	cr_assert(hashes[0]);
	cr_assert_eq(strncmp(hashes[0], "$y$", 3), 0, "%s", hashes[0]);
	cr_assert_null(strpbrk(hashes[0], ":\n"), "/etc/shadow's separators");
	cr_assert(opens(hashes[0], "h7dk3-correct"));
	cr_assert_not(opens(hashes[0], "h7dk3-correcu"));
	cr_assert_not(opens(hashes[0], ""));
}

Test(password, equal_passwords_have_different_hashes)
{
	hash(0, "same");
	hash(1, "same");
	wait_for(2);
	cr_assert_str_neq(hashes[0], hashes[1]);
	cr_assert(opens(hashes[0], "same") && opens(hashes[1], "same"));
}

Test(password, many_are_answered_in_their_order_each_with_its_own)
{
	for (size_t i = 0; i < 20; i++)
		hash(i, (const char[]){ 'p', (char)('a' + i), '\0' });
	wait_for(20);
	for (size_t i = 0; i < 20; i++) {
		cr_assert_eq(order[i], i);
		cr_assert(opens(hashes[i], (const char[]){ 'p', (char)('a' + i), '\0' }));
	}
}

Test(password, the_password_is_copied)
{
	char password[] = "original";

	hash(0, password);
	memset(password, 'x', sizeof(password) - 1);
	wait_for(1);
	cr_assert(opens(hashes[0], "original"));
}

/* The loop's other work goes on: a timer that rearms itself. */
static unsigned ticks, ticks_at_answer, most_between_answers;
static struct event timer;

static void tick(evutil_socket_t fd, short what, void *userdata)
{
	const struct timeval now = { 0 };

	ticks++;
	if (ticks - ticks_at_answer > most_between_answers)
		most_between_answers = ticks - ticks_at_answer;
	event_add(&timer, &now);
}

static void answered(void *userdata, char *hash)
{
	ticks_at_answer = ticks;
	done(userdata, hash);
}

/* On the loop's own thread a tick could only fall between two hashes: one at most for each. */
Test(password, the_loop_is_not_kept_waiting)
{
	const struct timeval now = { 0 };

	evtimer_assign(&timer, base, tick, NULL);
	event_add(&timer, &now);
	for (size_t i = 0; i < ARRAY_SIZE(hashes) && most_between_answers < 2; i++) {
		cr_assert_eq(password_hash(hasher, "p", answered, (void *)(uintptr_t)i), 0);
		wait_for((unsigned)i + 1);
	}
	event_del(&timer);
	cr_assert_geq(most_between_answers, 2);
}

static void never(void *userdata, char *hash)
{
	cr_assert_fail("called after the end");
}

Test(password, what_waits_at_the_end_is_dropped)
{
	for (size_t i = 0; i < 100; i++)
		cr_assert_eq(password_hash(hasher, "p", never, NULL), 0);
	password_hasher_free(TAKE_PTR(hasher));
	event_base_loop(base, EVLOOP_NONBLOCK);
}

Test(password, too_many_at_once_are_refused)
{
	int r = 0;

	for (size_t i = 0; i < FAR_TOO_MANY && r == 0; i++)
		r = password_hash(hasher, "p", never, NULL);
	cr_assert_eq(r, -EAGAIN);
	password_hasher_free(TAKE_PTR(hasher));
}

Test(password, a_generated_password_is_hashed_and_has_its_length)
{
	char password[PASSWORD_LENGTH + 1];

	cr_assert_eq(random_text(password, PASSWORD_LENGTH), 0);
	cr_assert_eq(strlen(password), PASSWORD_LENGTH);
	hash(0, password);
	wait_for(1);
	cr_assert(opens(hashes[0], password));
}

Test(password, no_hasher_is_freed, .init = NULL, .fini = NULL)
{
	password_hasher_free(NULL);
}
