/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The checks of "why" that a running gatewayd would mend before a person could ask: what somebody
 * did to the element; and probes of every kind of service.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "gatewayd/why_checks.h"
#include "lib/clock.h"
#include "lib/log.h"
#include "tests/kernel/kernel.h"

static struct ledger ledger = LEDGER_INIT;
static struct applier applier;
static struct why_report report;
static struct why_view view;
static struct why_subject subject;

static void open_all(void)
{
	log_set_level(LOG_LEVEL_ERROR);
	enter_namespace();
	open_applier(&applier, &ledger, true);
	desire(&ledger, "203.0.113.10:30001", "10.0.0.5:22", NULL);
	desire(&ledger, "[2001:db8::10]:30001", "[2001:db8:1::5]:22", NULL);
	apply_all(&applier);
	view.machine.ledger = &ledger;
	view.machine.shape = &applier.shape;
}

static void close_all(void)
{
	applier_close(&applier);
	ledger_clear(&ledger);
}

TestSuite(why, .init = open_all, .fini = close_all, .timeout = 60);

static struct entry *entry_of(const char *key)
{
	struct mapping_key k = key_of(key);

	return ledger_find(&ledger, &k);
}

static void about(const char *key)
{
	report.n = 0;
	subject = (struct why_subject){ .view = &view, .key = key_of(key), .entry = entry_of(key) };
}

static void expect(const char *name, enum why_verdict verdict, const char *message)
{
	for (size_t i = 0; i < report.n; i++) {
		if (strcmp(report.steps[i].name, name) != 0)
			continue;
		cr_assert_eq(report.steps[i].verdict, verdict, "%s", report.steps[i].message);
		cr_assert(strstr(report.steps[i].message, message), "%s", report.steps[i].message);
		return;
	}
	cr_assert_fail("no step %s", name);
}

static void expect_element(const char *key, enum why_verdict verdict, const char *message)
{
	about(key);
	why_check_element(&subject, &report);
	expect("element", verdict, message);
}

Test(why, the_kernel_has_the_element)
{
	expect_element("203.0.113.10:30001", WHY_OK, "with the same target");
	expect_element("[2001:db8::10]:30001", WHY_OK, "with the same target");
}

Test(why, somebody_took_the_element_away)
{
	do_nft("delete element inet portico mapping4 { 203.0.113.10 . tcp . 30001 }");
	expect_element("203.0.113.10:30001", WHY_FAIL, "does not have it");
	expect_element("[2001:db8::10]:30001", WHY_OK, "");
	do_nft("flush ruleset");
	expect_element("[2001:db8::10]:30001", WHY_FAIL, "does not have it");
}

Test(why, somebody_led_the_element_elsewhere)
{
	do_nft("delete element inet portico mapping4 { 203.0.113.10 . tcp . 30001 }");
	do_nft("add element inet portico mapping4 { 203.0.113.10 . tcp . 30001 : 10.0.0.6 . 23 }");
	expect_element("203.0.113.10:30001", WHY_FAIL, "leads it to 10.0.0.6:23");
}

/* ---- who is let in ---- */

static void expect_admission(const char *source, const char *name, enum why_verdict verdict,
			     const char *message)
{
	about("203.0.113.10:30001");
	if (source)
		subject.source = endpoint_of(source).address;
	why_check_admission(&subject, &report);
	expect(name, verdict, message);
}

Test(why, a_client_is_let_in_or_not)
{
	struct mapping_key key = key_of("203.0.113.10:30001");
	struct endpoint target = endpoint_of("10.0.0.5:22");
	struct prefix allow[2];
	struct policy policy = { .allow = allow,
				 .n_allow = 2,
				 .max_connections = 7,
				 .new_connections_per_minute = 9,
				 .expires_at = clock_unix_seconds() + 3600 };

	cr_assert_eq(prefix_parse("198.51.100.0/25", &allow[0]), 0);
	cr_assert_eq(prefix_parse("192.0.2.9", &allow[1]), 0);
	cr_assert_eq(ledger_desire(&ledger, &key, &target, NULL, &policy, 1, NULL), 0);
	expect_admission(NULL, "allow", WHY_UNKNOWN, "only clients of 2 networks");
	expect_admission("198.51.100.127:1", "allow", WHY_OK, "198.51.100.127 is in");
	expect_admission("198.51.100.128:1", "allow", WHY_FAIL, "198.51.100.128 is not in");
	expect_admission("192.0.2.9:1", "allow", WHY_OK, "192.0.2.9 is in");
	expect_admission("192.0.2.8:1", "allow", WHY_FAIL, "192.0.2.8 is not in");
	expect_admission(NULL, "max_connections", WHY_UNKNOWN, "at most 7");
	expect_admission(NULL, "new_connections_per_minute", WHY_UNKNOWN, "at most 9");
	expect_admission(NULL, "expires_at", WHY_OK, "it ends by itself at");
	policy.expires_at = clock_unix_seconds() - 1;
	cr_assert_eq(ledger_desire(&ledger, &key, &target, NULL, &policy, 1, NULL), 0);
	expect_admission(NULL, "expires_at", WHY_FAIL, "it has ended at");
}

Test(why, a_client_is_banned_or_not)
{
	struct ban ban = { .reason = "too many passwords" };
	struct bans bans = BANS_INIT;

	cr_assert_eq(prefix_parse("198.51.100.0/25", &ban.source), 0);
	cr_assert_eq(bans_put(&bans, &ban, NULL), 0);
	view.bans = &bans;
	expect_admission(NULL, "ban", WHY_UNKNOWN, "bans are in force: 1");
	expect_admission("198.51.100.128:1", "ban", WHY_OK, "198.51.100.128 is not banned");
	expect_admission("198.51.100.127:1", "ban", WHY_FAIL,
			 "198.51.100.127 is banned with 198.51.100.0/25");
	expect_admission("198.51.100.127:1", "ban", WHY_FAIL, "the reason: too many passwords");
	view.bans = NULL;
	bans_clear(&bans);
}

Test(why, the_rate_of_a_source_is_said)
{
	applier.shape.source_rate = 30;
	applier.shape.source_rate_s = 60;
	expect_admission(NULL, "source_rate", WHY_UNKNOWN, "at most 30 new connections");
}

Test(why, nothing_is_said_of_limits_that_there_are_not)
{
	about("203.0.113.10:30001");
	why_check_admission(&subject, &report);
	cr_assert_eq(report.n, 0);
}

/* ---- probes ---- */

static void on_probed(const struct probe_result *result, void *userdata)
{
	*(struct probe_result *)userdata = *result;
}

static struct probe_result probe(struct event_base *base, const char *target, bool speaks_first)
{
	struct endpoint endpoint = endpoint_of(target);
	struct probe_result result = { .errnum = 1 };
	struct probe *started;

	cr_assert_eq(probe_start(&started, base, &endpoint, speaks_first, on_probed, &result), 0);
	while (result.errnum == 1)
		cr_assert_eq(event_base_loop(base, EVLOOP_ONCE), 0);
	return result;
}

static int listener(const char *local, int *fd)
{
	struct endpoint endpoint = endpoint_of(local);
	struct sockaddr_storage address;
	socklen_t length = endpoint_to_sockaddr(&endpoint, &address);

	int on = 1;

	*fd = socket(endpoint.address.family, SOCK_STREAM, 0);
	(void)setsockopt(*fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(*fd, (struct sockaddr *)&address, length) < 0 || listen(*fd, 5) < 0)
		return -errno;
	return 0;
}

struct speech {
	int fd;
	const char *says; /* NULL: closes at once */
};

static void on_accept(evutil_socket_t fd, short what, void *userdata)
{
	const struct speech *speech = userdata;
	int client = accept(fd, NULL, NULL);

	cr_assert_geq(client, 0);
	if (!speech->says)
		close(client);
	else
		cr_assert_eq(write(client, speech->says, strlen(speech->says)),
			     (ssize_t)strlen(speech->says));
}

static struct probe_result probe_speech(const char *says)
{
	struct event_base *base = event_base_new();
	struct speech speech = { .says = says };
	struct probe_result result;
	struct event *event;

	cr_assert_eq(listener("127.0.0.1:7001", &speech.fd), 0);
	event = event_new(base, speech.fd, EV_READ | EV_PERSIST, on_accept, &speech);
	cr_assert_eq(event_add(event, NULL), 0);
	result = probe(base, "127.0.0.1:7001", false);
	event_free(event);
	close(speech.fd);
	event_base_free(base);
	return result;
}

Test(why, a_probe_hears_the_first_line)
{
	struct probe_result result = probe_speech("SSH-2.0-x\r\nmore");

	cr_assert_eq(result.errnum, 0);
	cr_assert_str_eq(result.greeting, "SSH-2.0-x");
	cr_assert_not(result.closed);
	result = probe_speech("\033[2Ja\x01\n");
	cr_assert_str_eq(result.greeting, "?[2Ja?");
}

Test(why, a_probe_cuts_what_is_long)
{
	char longer[200];

	memset(longer, 'a', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	cr_assert_eq(strlen(probe_speech(longer).greeting), PROBE_GREETING_MAX - 1);
}

Test(why, a_probe_hears_that_it_is_closed)
{
	struct probe_result result = probe_speech(NULL);

	cr_assert_eq(result.errnum, 0);
	cr_assert(result.closed);
	cr_assert_str_eq(result.greeting, "");
}

Test(why, a_probe_bears_silence)
{
	struct probe_result result = probe_speech("");

	cr_assert_eq(result.errnum, 0);
	cr_assert_not(result.closed);
	cr_assert_str_eq(result.greeting, "");
}

Test(why, a_probe_says_why_not)
{
	struct event_base *base = event_base_new();

	cr_assert_eq(probe(base, "127.0.0.1:7002", false).errnum, -ECONNREFUSED);
	cr_assert_eq(probe(base, "[::1]:7002", false).errnum, -ECONNREFUSED);
	cr_assert_eq(probe(base, "10.9.0.1:7002", false).errnum, -ENETUNREACH);
	event_base_free(base);
}
