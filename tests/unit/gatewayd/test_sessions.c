/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Sessions: which are chosen, page by page, and what is said of each. */
#include <errno.h>

#include "gatewayd/sessions.h"
#include "lib/json.h"
#include "tests/unit/gatewayd/flows.h"

#define KEY "203.0.113.10:30001"
#define KEY2 "203.0.113.10:30002"
#define TARGET "10.0.1.2:22"
#define WALL 1700000000
enum { MANY = 2500 };

static struct ledger ledger = LEDGER_INIT;
static struct flow_table table;

static void see(uint32_t id, const char *key)
{
	const struct ct_entry entry = entry_of(id, key, TARGET, 100);

	flow_table_see(&table, &entry, WALL);
}

static void set_up(void)
{
	struct error err = ERROR_INIT;

	cr_assert_eq(flow_table_open(&table, NULL, &err), 0);
	install(&ledger, KEY, TARGET, "env-a ssh");
	install(&ledger, KEY2, TARGET, "env-b web");
	flow_table_start(&table, &ledger, 0);
	flow_table_begin_round(&table);
	for (uint32_t i = 1; i <= MANY; i++)
		see(i, i % 5 == 0 ? KEY2 : KEY);
	flow_table_end_round(&table, true, 1);
}

static void tear_down(void)
{
	flow_table_close(&table);
	ledger_clear(&ledger);
}

TestSuite(sessions, .init = set_up, .fini = tear_down);

/* Goes through all pages of a filter; returns how many sessions they have, each once and in order.
 */
static size_t walk(struct session_filter filter)
{
	uint32_t flows[SESSIONS_LIMIT_MAX];
	size_t n, sum = 0;
	bool more;

	do {
		n = sessions_choose(&table, &filter, flows, &more);
		cr_assert(!more || n == filter.limit);
		for (size_t i = 0; i < n; i++) {
			uint64_t id = flow_table_id(&table, flows[i]);

			cr_assert_gt(id, filter.after);
			filter.after = id;
		}
		sum += n;
	} while (more);
	return sum;
}

Test(sessions, come_page_by_page_each_once_and_in_order)
{
	static const size_t limits[] = { 1, 7, 100, 999, SESSIONS_LIMIT_MAX };

	for (size_t i = 0; i < ARRAY_SIZE(limits); i++)
		cr_assert_eq(walk((struct session_filter){ .limit = limits[i] }), MANY);
}

Test(sessions, are_chosen_by_port_environment_and_source)
{
	struct session_filter filter = { .limit = 1000, .from = true };

	cr_assert_eq(walk((struct session_filter){ .limit = 1000, .port = 30002 }), MANY / 5);
	cr_assert_eq(walk((struct session_filter){ .limit = 1000, .port = 30003 }), 0);
	cr_assert_eq(walk((struct session_filter){ .limit = 1000, .environment = "env-a" }),
		     MANY / 5 * 4);
	cr_assert_eq(walk((struct session_filter){ .limit = 1000, .environment = "env" }), 0);
	cr_assert_eq(prefix_parse("198.51.100.0/30", &filter.source), 0);
	cr_assert_eq(walk(filter), MANY);
	cr_assert_eq(prefix_parse("198.51.100.0/31", &filter.source), 0);
	cr_assert_eq(walk(filter), 0);
	cr_assert_eq(prefix_parse("198.51.100.2", &filter.source), 0);
	cr_assert_eq(walk(filter), MANY);
	cr_assert_eq(prefix_parse("::/0", &filter.source), 0);
	cr_assert_eq(walk(filter), 0);
	cr_assert_eq(prefix_parse("0.0.0.0/0", &filter.source), 0);
	cr_assert_eq(walk(filter), MANY);
}

Test(sessions, that_have_ended_are_not_listed)
{
	const struct ct_entry entry = entry_of(1, KEY, TARGET, 100);

	flow_table_end(&table, &entry, 0, WALL);
	cr_assert_eq(walk((struct session_filter){ .limit = 1000 }), MANY - 1);
	flow_table_begin_round(&table);
	see(7, KEY);
	flow_table_end_round(&table, true, 2);
	cr_assert_eq(walk((struct session_filter){ .limit = 1000 }), 1);
}

Test(sessions, are_told_with_all_that_is_known)
{
	struct ct_entry entry = entry_of(7, KEY, TARGET, 100);
	uint32_t flows[SESSIONS_LIMIT_MAX];
	bool more;

	entry.status |= IPS_ASSURED;
	entry.tcp_state = 3;
	flow_table_begin_round(&table);
	flow_table_see(&table, &entry, WALL + 5);
	flow_table_end_round(&table, true, 2);
	cr_assert_eq(sessions_choose(&table, &(struct session_filter){ .limit = 1 }, flows, &more),
		     1);
	_cleanup_json_ json_t *json = session_encode(&table, flows[0], WALL + 90);
	_cleanup_free_ char *text = json_encode(json);

	/* Its id has the kernel's in front. */
	cr_assert_eq(strncmp(text, "{\"id\":\"00000007", 15), 0, "%s", text);
	cr_assert_str_eq(text + 23,
			 "\",\"address\":\"203.0.113.10\",\"protocol\":\"tcp\",\"port\":30001,"
			 "\"source\":{\"address\":\"198.51.100.2\",\"port\":40007},"
			 "\"target\":{\"address\":\"10.0.1.2\",\"port\":22},"
			 "\"environment\":\"env-a\",\"service\":\"ssh\",\"state\":\"established\","
			 "\"since\":\"2023-11-14T22:13:20Z\",\"age_seconds\":90,\"draining\":false,"
			 "\"bytes\":300,\"bytes_in\":100,\"bytes_out\":200,"
			 "\"packets\":30,\"packets_in\":10,\"packets_out\":20}");
}

Test(sessions, have_ids_of_sixteen_digits)
{
	char text[SESSION_ID_LENGTH + 1];
	uint64_t id;

	cr_assert_eq(session_id_parse("00000007deadbeef", &id), 0);
	cr_assert_eq(id, UINT64_C(0x7deadbeef));
	cr_assert_str_eq(session_id_format(id, text), "00000007deadbeef");
	cr_assert_eq(session_id_parse("", &id), -EINVAL);
	cr_assert_eq(session_id_parse("7deadbeef", &id), -EINVAL);
	cr_assert_eq(session_id_parse("00000007deadbeefa", &id), -EINVAL);
	cr_assert_eq(session_id_parse("00000007DEADBEEF", &id), -EINVAL);
	cr_assert_eq(session_id_parse("00000007deadbe g", &id), -EINVAL);
}
