/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The removal of gateways: what they may lead somewhere, who is heard of meanwhile, and what
 * becomes of ports that waited for them. */
#include "tests/unit/schedd/world.h"

static void begin(void)
{
	world_begin();
	world_register_host("h1", 1000);
	world_register_gateway("g1");
	world_settle();
}

TestSuite(requests_gateways, .init = begin, .fini = world_end);

static struct gateway_entry *gateway(void)
{
	return state_gateway(&world.scheduler->state, "g1");
}

static int report(const char *name, uint64_t revision, struct error *err)
{
	_cleanup_json_ json_t *json =
		json_pack("{s:I, s:I, s:i, s:[]}", "epoch", (json_int_t)world.epoch, "revision",
			  (json_int_t)revision, "mappings", 0, "failed");
	struct gateway_report decoded;
	int r;

	cr_assert_eq(gateway_report_decode(json, &decoded, err), 0, "%s", err->message);
	r = scheduler_report_gateway(world.scheduler, name, &decoded, err);
	gateway_report_clear(&decoded);
	return r;
}

/* h1 has what it is to have: a container that answers, or none. */
static void host_reports(bool container)
{
	_cleanup_json_ json_t *containers = json_array();
	_cleanup_json_ json_t *json = NULL;
	struct host_report decoded;
	struct error err = ERROR_INIT;

	if (container)
		json_array_append_new(containers, json_pack("{s:s, s:I, s:s, s:[{s:s, s:s, s:i}]}",
							    "environment", "env-a", "revision",
							    (json_int_t)world.revision, "state",
							    "ready", "services", "service", "ssh",
							    "address", "10.0.1.2", "port", 1000));
	json = json_pack("{s:I, s:I, s:{s:i, s:I}, s:O}", "epoch", (json_int_t)world.epoch,
			 "revision", (json_int_t)world.revision, "capacity", "cpu_milli", 1000,
			 "memory_bytes", (json_int_t)8 << 30, "containers", containers);
	cr_assert_eq(host_report_decode(json, &decoded, &err), 0, "%s", err.message);
	cr_assert_eq(scheduler_report_host(world.scheduler, "h1", &decoded, &err), 0, "%s",
		     err.message);
	host_report_clear(&decoded);
	world_settle();
}

static enum port_state port_state(void)
{
	struct mapping_key key = { .protocol = PROTOCOL_TCP, .port = 30001 };
	struct port_entry *entry;

	cr_assert_eq(address_parse("203.0.113.10", &key.address), 0);
	entry = state_port(&world.scheduler->state, &key);
	cr_assert(entry);
	return port_newest(entry)->state;
}

static void publish(void)
{
	struct error err = ERROR_INIT;

	cr_assert_eq(world_create("a", false, &err), 0, "%s", err.message);
	world_settle();
	host_reports(true);
	cr_assert_eq(report("g1", world.revision, &err), 0, "%s", err.message);
	if (state_gateway(&world.scheduler->state, "g2"))
		cr_assert_eq(report("g2", world.revision, &err), 0, "%s", err.message);
	world_settle();
	cr_assert_eq(port_state(), PORT_PUBLISHED);
}

static void delete_environment(void)
{
	struct error err = ERROR_INIT;

	cr_assert_eq(scheduler_delete(world.scheduler, "env-a", "test", world_done, NULL, &err), 0);
	world_settle();
	cr_assert_eq(port_state(), PORT_WITHDRAWING);
}

/* Nobody is heard of for so long, but h1 where it has the container. */
static void pass(uint64_t ms, bool host)
{
	for (uint64_t left = ms; left > 0; left -= MIN(left, WORLD_OFFLINE_MS / 4)) {
		world.ms += MIN(left, WORLD_OFFLINE_MS / 4);
		if (host)
			host_reports(true);
		world_settle();
	}
}

static int remove_gateway(bool force, struct error *err)
{
	return scheduler_delete_gateway(world.scheduler, "g1", force, "test", world_done, NULL,
					err);
}

static void require_refused(bool force, const char *text)
{
	struct error err = ERROR_INIT;

	cr_assert_eq(remove_gateway(force, &err), -EBUSY);
	cr_assert_str_eq(err.code, "in_use");
	cr_assert(strstr(err.message, text), "%s", err.message);
}

Test(requests_gateways, who_may_lead_ports_somewhere_is_removed_by_force_once_it_is_silent)
{
	struct error err = ERROR_INIT;

	publish();
	require_refused(false, "gateway g1 may lead 1 ports somewhere");
	require_refused(true, "gateway g1 is heard of");
	pass(WORLD_OFFLINE_MS, true);
	cr_assert_not(gateway_newest(gateway())->online);
	require_refused(false, "gateway g1 may lead 1 ports somewhere");
	cr_assert_eq(remove_gateway(true, &err), 0, "%s", err.message);
	world_settle();
	cr_assert_null(gateway());
	cr_assert_eq(remove_gateway(true, &err), -ENOENT);
	/* What is published stays: another gateway may serve it, or will. */
	cr_assert_eq(port_state(), PORT_PUBLISHED);
}

Test(requests_gateways, what_waits_for_the_removed_one_rests_and_is_deleted)
{
	struct error err = ERROR_INIT;

	publish();
	delete_environment();
	pass(WORLD_OFFLINE_MS, true);
	cr_assert_eq(port_state(), PORT_WITHDRAWING);
	cr_assert_eq(remove_gateway(true, &err), 0, "%s", err.message);
	world_settle();
	cr_assert_eq(port_state(), PORT_QUARANTINED);
	host_reports(false);
	cr_assert_null(world_environment("env-a"));
	pass(WORLD_QUARANTINE_S * 1000 - 1, false);
	cr_assert_eq(port_state(), PORT_QUARANTINED);
}

/* The same where the environment has gone already, and after a crash before or after its commit. */
static void require_orphan_rests(bool happened)
{
	struct error err = ERROR_INIT;

	publish();
	delete_environment();
	pass(WORLD_OFFLINE_MS + 6000, true);
	host_reports(false);
	cr_assert_null(world_environment("env-a"));
	cr_assert_eq(port_state(), PORT_WITHDRAWING);
	cr_assert_eq(remove_gateway(true, &err), 0, "%s", err.message);
	world_turn();
	cr_assert(gateway()->entry.flight->gone);
	world_crash(happened);
	world_settle();
	if (!happened) {
		cr_assert_eq(port_state(), PORT_WITHDRAWING);
		cr_assert_eq(remove_gateway(true, &err), 0, "%s", err.message);
		world_settle();
	}
	cr_assert_null(gateway());
	cr_assert_eq(port_state(), PORT_QUARANTINED);
}

Test(requests_gateways, a_crash_before_the_removal_is_durable_leaves_all_as_it_was)
{
	require_orphan_rests(false);
}

Test(requests_gateways, a_crash_after_the_removal_is_durable_is_none)
{
	require_orphan_rests(true);
}

Test(requests_gateways, another_that_serves_the_address_is_still_waited_for)
{
	struct error err = ERROR_INIT;

	world_register_gateway("g2");
	world_settle();
	publish();
	delete_environment();
	pass(WORLD_OFFLINE_MS, true);
	cr_assert_eq(remove_gateway(true, &err), 0, "%s", err.message);
	world_settle();
	cr_assert_eq(port_state(), PORT_WITHDRAWING);
	cr_assert_eq(report("g2", world.revision, &err), 0);
	world_settle();
	cr_assert_eq(port_state(), PORT_QUARANTINED);
}

Test(requests_gateways, who_has_confirmed_that_nothing_is_left_needs_no_force)
{
	struct error err = ERROR_INIT;

	publish();
	delete_environment();
	require_refused(false, "1 ports");
	cr_assert_eq(report("g1", world.revision, &err), 0);
	/* Its confirmation is enough, whether the port's row says so yet or not. */
	cr_assert_eq(port_state(), PORT_WITHDRAWING);
	cr_assert_eq(remove_gateway(false, &err), 0, "%s", err.message);
	world_settle();
	cr_assert_null(gateway());
	cr_assert_eq(port_state(), PORT_QUARANTINED);
}

Test(requests_gateways, who_is_heard_of_while_it_is_removed_is_refused)
{
	struct error err = ERROR_INIT, again = ERROR_INIT;

	cr_assert_eq(remove_gateway(false, &err), 0, "%s", err.message);
	world_turn();
	cr_assert(gateway()->entry.flight->gone);
	cr_assert_eq(remove_gateway(false, &again), -ENOENT);
	cr_assert_eq(report("g1", world.revision, &err), -EAGAIN);
	cr_assert_str_eq(err.message, "gateway g1 is being removed");
	world_turn();
	cr_assert_null(gateway()->entry.draft);
	world_settle();
	cr_assert_null(gateway());
	cr_assert_eq(report("g1", world.revision, &err), -ENOENT);
}

/* Its kernel may have what it was told then: what it reported before says nothing. */
Test(requests_gateways, one_that_comes_back_confirms_anew)
{
	struct error err = ERROR_INIT;
	uint64_t before;

	publish();
	before = world.revision;
	pass(WORLD_OFFLINE_MS, true);
	cr_assert_eq(remove_gateway(true, &err), 0, "%s", err.message);
	world_settle();
	world_register_gateway("g1");
	world_settle();
	delete_environment();
	cr_assert_eq(report("g1", before, &err), 0);
	world_settle();
	cr_assert_eq(port_state(), PORT_WITHDRAWING);
	cr_assert_eq(report("g1", world.revision, &err), 0);
	world_settle();
	cr_assert_eq(port_state(), PORT_QUARANTINED);
}
