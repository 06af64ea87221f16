/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The survey of the mappings: what it counts, in steps of any size, and while the ledger changes.
 */
#include <stdio.h>

#include "gatewayd/survey.h"
#include "tests/unit/gatewayd/make.h"

static struct ledger ledger;
static struct survey *survey;

static void begin(void)
{
	ledger = LEDGER_INIT;
	cr_assert_eq(survey_new(&survey, &ledger), 0);
}

static void end(void)
{
	survey_free(survey);
	ledger_clear(&ledger);
}

TestSuite(survey, .init = begin, .fini = end);

static struct entry *map(unsigned port, unsigned host)
{
	char key[64], target[64];

	(void)snprintf(key, sizeof(key), "203.0.113.10:%u", port);
	(void)snprintf(target, sizeof(target), "10.0.%u.%u:22", host / 250, host % 250);
	return desire(&ledger, key, target, NULL);
}

static size_t mappings_to(const char *host)
{
	const struct endpoint wanted = endpoint_of(host);
	struct survey_target *target;
	size_t index = 0;

	while ((target = survey_next_target(survey, &index)))
		if (address_equal(&target->address, &wanted.address))
			return target->mappings;
	return 0;
}

static size_t count_targets(void)
{
	size_t index = 0, n = 0;

	while (survey_next_target(survey, &index))
		n++;
	return n;
}

Test(survey, knows_nothing_before_its_first_pass)
{
	map(30001, 1);
	cr_assert_null(survey_ports(survey));
	cr_assert_eq(count_targets(), 0);
	cr_assert(survey_step(survey, 1), "no pass goes on");
}

Test(survey, counts_what_is_desired_by_port_and_host)
{
	const struct mapping_key udp = { .address = key_of("203.0.113.10:1").address,
					 .port = 30001,
					 .protocol = PROTOCOL_UDP };
	const struct endpoint target = endpoint_of("10.0.0.2:22");

	map(30001, 1);
	map(30002, 1);
	cr_assert_eq(ledger_desire(&ledger, &udp, &target, NULL, NULL, 1, NULL), 0);
	install(&ledger, "203.0.113.10:30003", "10.0.0.3:22", NULL); /* on its way out */
	cr_assert_eq(survey_take(survey), 0);
	cr_assert_eq(survey_ports(survey)[30001], 2);
	cr_assert_eq(survey_ports(survey)[30002], 1);
	cr_assert_eq(survey_ports(survey)[30003], 0);
	cr_assert_eq(mappings_to("10.0.0.1:1"), 2);
	cr_assert_eq(mappings_to("10.0.0.2:1"), 1);
	cr_assert_eq(count_targets(), 2);
}

Test(survey, is_the_same_in_steps_of_any_size)
{
	static const size_t steps[] = { 1, 7, 4096, SIZE_MAX };

	for (unsigned i = 0; i < 1000; i++)
		map(20000 + i, i % 10);
	for (size_t s = 0; s < ARRAY_SIZE(steps); s++) {
		size_t n = 0;

		cr_assert_eq(survey_begin(survey), 0);
		while (!survey_step(survey, steps[s]))
			n++;
		cr_assert_eq(n, (ledger.n_slots - 1) / steps[s], "step %zu", steps[s]);
		cr_assert_eq(count_targets(), 10);
		cr_assert_eq(mappings_to("10.0.0.9:1"), 100);
		for (unsigned i = 0; i < 1000; i++)
			cr_assert_eq(survey_ports(survey)[20000 + i], 1);
	}
}

Test(survey, says_what_the_last_complete_pass_saw)
{
	map(30001, 1);
	cr_assert_eq(survey_take(survey), 0);
	map(30002, 1);
	cr_assert_eq(survey_begin(survey), 0);
	cr_assert_not(survey_step(survey, ledger.n_slots - 1));
	cr_assert_eq(survey_ports(survey)[30001], 1);
	cr_assert_eq(survey_ports(survey)[30002], 0);
	cr_assert(survey_step(survey, 1));
	cr_assert_eq(survey_ports(survey)[30002], 1);
}

Test(survey, begins_anew_where_the_ledger_has_grown)
{
	for (unsigned i = 0; i < 40; i++)
		map(20000 + i, 1);
	cr_assert_eq(survey_begin(survey), 0);
	cr_assert_not(survey_step(survey, ledger.n_slots / 2));
	for (unsigned i = 40; i < 1000; i++)
		map(20000 + i, 1);
	while (!survey_step(survey, 64))
		;
	cr_assert_eq(mappings_to("10.0.0.1:1"), 1000);
}

Test(survey, counts_so_many_hosts_and_no_more)
{
	for (unsigned i = 0; i < SURVEY_TARGETS_MAX + 1; i++)
		map(1 + i, i);
	cr_assert_eq(survey_take(survey), 0);
	cr_assert_eq(count_targets(), SURVEY_TARGETS_MAX);
}
