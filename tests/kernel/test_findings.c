/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Findings about a machine that has what they are about: brought about in the test's namespace,
 * found, mended by their own command, and not found any more.
 */
#include <criterion/criterion.h>
#include <event2/event_struct.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "gatewayd/forward_chains.h"
#include "gatewayd/host_setting.h"
#include "gatewayd/inspector.h"
#include "lib/clock.h"
#include "lib/log.h"
#include "tests/kernel/kernel.h"

#define PATIENCE_MS 20000

static struct network *network;
static struct routes routes = { .netlink.fd = -1 };
static struct listeners listeners = { .netlink.fd = -1 };
static struct public_addresses *addresses;
static struct ledger ledger;
static struct survey *survey;
static struct shape shape = { .source = SOURCE_MASQUERADE, .map_size = 1000 };
static struct findings findings;
static struct findings_view view;

static void look(void)
{
	network_free(network);
	public_addresses_free(addresses);
	if (!survey)
		cr_assert_eq(survey_new(&survey, &ledger), 0);
	cr_assert_eq(survey_take(survey), 0);
	cr_assert_eq(network_new(&network, NULL, NULL, NULL), 0);
	cr_assert_eq(public_addresses_new(&addresses, NULL, 0, network, &routes), 0);
	(void)public_addresses_refresh(addresses, &ledger);
	view = (struct findings_view){ .addresses = addresses,
				       .network = network,
				       .routes = &routes,
				       .listeners = &listeners,
				       .ledger = &ledger,
				       .survey = survey,
				       .shape = &shape };
	findings.n = 0;
	findings_collect(&findings, &view);
}

static void set(const char *setting, const char *value)
{
	cr_assert_eq(host_setting_write(setting, value), 0, "%s", setting);
}

static void open_all(void)
{
	log_set_level(LOG_LEVEL_ERROR);
	enter_namespace();
	do_ip("link add up0 type veth peer name host0");
	do_ip("link set up0 up");
	do_ip("link set host0 up");
	do_ip("address add 203.0.113.10/24 dev up0");
	do_ip("address add 2001:db8::10/64 dev up0 nodad");
	do_ip("address add 10.0.0.1/24 dev host0");
	set("net.ipv4.ip_forward", "1");
	set("net.ipv6.conf.all.forwarding", "1");
	set("net.netfilter.nf_conntrack_acct", "1");
	set("net.netfilter.nf_conntrack_timestamp", "1");
	cr_assert_eq(routes_open(&routes), 0);
	cr_assert_eq(listeners_open(&listeners), 0);
}

static void close_all(void)
{
	public_addresses_free(addresses);
	network_free(network);
	routes_close(&routes);
	listeners_close(&listeners);
	survey_free(survey);
	ledger_clear(&ledger);
}

TestSuite(findings, .init = open_all, .fini = close_all, .timeout = 60);

static const struct finding *find(const char *code, const char *subject)
{
	for (size_t i = 0; i < findings.n; i++)
		if (strcmp(findings.items[i].code, code) == 0 &&
		    strcmp(findings.items[i].subject, subject) == 0)
			return &findings.items[i];
	return NULL;
}

/* There is exactly this one. */
static const struct finding *expect(enum finding_level level, const char *code, const char *subject)
{
	const struct finding *found;

	look();
	found = find(code, subject);
	cr_assert_not_null(found, "no %s of \"%s\" among %zu", code, subject, findings.n);
	cr_assert_eq(found->level, level, "%s", code);
	cr_assert_eq(findings.n, 1, "also %s: %s", findings.items[0].code,
		     findings.items[0].message);
	return found;
}

static void expect_none(void)
{
	look();
	cr_assert_eq(findings.n, 0, "%s: %s", findings.items[0].code, findings.items[0].message);
}

/* Does what the finding says. */
static void mend(const struct finding *finding)
{
	const char *const argv[] = { "sh", "-c", finding->remedy, NULL };

	free(run(argv));
	expect_none();
}

Test(findings, are_none_on_a_machine_that_is_fine)
{
	desire(&ledger, "203.0.113.10:443", "10.0.0.5:22", NULL);
	expect_none();
}

Test(findings, of_forwarding_are_by_family)
{
	set("net.ipv4.ip_forward", "0");
	mend(expect(FINDING_ERROR, "ip_forward", "ipv4"));
	set("net.ipv6.conf.all.forwarding", "0");
	mend(expect(FINDING_ERROR, "ip_forward", "ipv6"));
}

Test(findings, of_strict_reverse_path_filters)
{
	set("net.ipv4.conf.up0.rp_filter", "1");
	expect_none(); /* no way out but this one */
	do_ip("route add default via 10.0.0.2");
	mend(expect(FINDING_WARNING, "rp_filter", "up0"));
	do_ip("route delete default via 10.0.0.2");
	set("net.ipv4.conf.up0.rp_filter", "0");
	set("net.ipv4.conf.host0.rp_filter", "1");
	expect_none();
	shape.source = SOURCE_PRESERVE;
	mend(expect(FINDING_WARNING, "rp_filter", "host0"));
	set("net.ipv4.conf.all.rp_filter", "1"); /* the larger one counts: host0 is loose */
	mend(expect(FINDING_WARNING, "rp_filter", "up0"));
}

Test(findings, of_routes_to_loopback_are_said_and_left)
{
	const struct finding *finding;

	set("net.ipv4.conf.host0.route_localnet", "1");
	finding = expect(FINDING_WARNING, "route_localnet", "host0");
	cr_assert_str_eq(finding->setting, "");
	mend(finding);
}

Test(findings, of_a_link_whose_name_has_a_dot)
{
	const struct finding *finding;

	do_ip("link add name host0.7 type veth peer name host0.8");
	do_ip("link set host0.7 up");
	set("net.ipv4.conf.host0/7.route_localnet", "1");
	finding = expect(FINDING_WARNING, "route_localnet", "host0.7");
	cr_assert_str_eq(finding->remedy, "sysctl -w net.ipv4.conf.host0/7.route_localnet=0");
	mend(finding);
}

Test(findings, of_ports_that_outgoing_connections_use)
{
	const struct finding *finding;

	set("net.ipv4.ip_local_port_range", "32768 60999");
	set("net.ipv4.ip_local_reserved_ports", "8080,40000-40100");
	desire(&ledger, "203.0.113.10:40050", "10.0.0.5:22", NULL);
	desire(&ledger, "203.0.113.10:30001", "10.0.0.5:22", NULL);
	expect_none();
	desire(&ledger, "203.0.113.10:50001", "10.0.0.5:22", NULL);
	desire(&ledger, "203.0.113.10:50009", "10.0.0.5:22", NULL);
	finding = expect(FINDING_WARNING, "local_ports", "");
	cr_assert_str_eq(finding->value, "8080,40000-40100,50001-50009");
	mend(finding);
}

Test(findings, of_what_connection_tracking_does_not_keep)
{
	set("net.netfilter.nf_conntrack_acct", "0");
	mend(expect(FINDING_INFO, "conntrack_acct", ""));
	set("net.netfilter.nf_conntrack_events", "0");
	mend(expect(FINDING_INFO, "conntrack_events", ""));
	set("net.netfilter.nf_conntrack_timestamp", "0");
	mend(expect(FINDING_INFO, "conntrack_timestamp", ""));
}

/* ---- the network ---- */

Test(findings, of_public_addresses)
{
	desire(&ledger, "203.0.113.77:443", "10.0.0.5:22", NULL);
	mend(expect(FINDING_WARNING, "address_missing", "203.0.113.77"));
	ledger_clear(&ledger);
	do_ip("address flush dev up0");
	do_ip("address flush dev lo");
	expect(FINDING_ERROR, "no_address", "");
}

Test(findings, of_targets_without_a_route)
{
	const struct finding *finding;

	desire(&ledger, "203.0.113.10:443", "10.9.0.5:22", NULL);
	desire(&ledger, "203.0.113.10:444", "10.9.0.5:23", NULL);
	finding = expect(FINDING_WARNING, "no_route", "10.9.0.5");
	cr_assert(strstr(finding->message, "of 2 mappings: Network is unreachable"), "%s",
		  finding->message);
	do_ip("route add 10.9.0.5 via 10.0.0.2");
	expect_none();
}

Test(findings, of_targets_that_are_the_gateway)
{
	desire(&ledger, "203.0.113.10:443", "10.0.0.1:22", NULL);
	expect(FINDING_WARNING, "target_local", "10.0.0.1");
}

Test(findings, of_one_kind_are_limited)
{
	char target[ENDPOINT_STRING_MAX], key[ENDPOINT_STRING_MAX];

	for (int i = 1; i <= 200; i++) {
		(void)snprintf(key, sizeof(key), "203.0.113.10:%d", i);
		(void)snprintf(target, sizeof(target), "10.9.0.%d:22", i);
		desire(&ledger, key, target, NULL);
	}
	look();
	cr_assert_eq(findings.n, 8);
}

Test(findings, of_a_service_whose_port_was_mapped_before_it_came)
{
	struct endpoint local = endpoint_of("0.0.0.0:443");
	struct sockaddr_storage address;
	socklen_t length = endpoint_to_sockaddr(&local, &address);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	desire(&ledger, "203.0.113.10:443", "10.0.0.5:22", NULL);
	expect_none();
	cr_assert_eq(bind(fd, (struct sockaddr *)&address, length), 0);
	cr_assert_eq(listen(fd, 5), 0);
	cr_assert(
		strstr(expect(FINDING_WARNING, "listener_mapped", "203.0.113.10:443/tcp")->message,
		       "0.0.0.0:443 (test_kernel_fin, pid "));
	close(fd);
	expect_none();
}

/* ---- other tables ---- */

#define OWN_TABLE \
	"table inet portico { chain f { type filter hook forward priority 0; policy drop; }; }"

Test(findings, of_forward_chains_that_let_pass_are_none)
{
	do_nft(OWN_TABLE);
	do_nft("table ip a { chain f { type filter hook forward priority 0; ip saddr 1.2.3.4 drop; }; }");
	do_nft("table ip b { chain f { type filter hook input priority 0; policy drop; }; }");
	do_nft("table bridge c { chain f { type filter hook forward priority 0; policy drop; }; }");
	do_nft("table inet d { chain f { type filter hook forward priority 0; policy drop; ct status "
	       "dnat accept; }; }");
	do_nft("table inet e { chain g { ct status dnat counter accept; }; chain f { type filter hook "
	       "forward priority 0; jump g; counter drop; }; }");
	expect_none();
}

struct row {
	const char *ruleset, *subject, *owner;
};

static const struct row rows[] = {
	{ "table ip filter { chain DOCKER-USER { }; chain FORWARD { type filter hook forward priority "
	  "0; policy drop; jump DOCKER-USER; ct state established accept; }; }",
	  "filter FORWARD", "(Docker)" },
	{ "table ip docker-bridges { chain filter-FORWARD { type filter hook forward priority 0; policy "
	  "drop; }; }",
	  "docker-bridges filter-FORWARD", "(Docker)" },
	{ "table ip filter { chain ufw-before-forward { }; chain FORWARD { type filter hook forward "
	  "priority 0; policy drop; jump ufw-before-forward; }; }",
	  "filter FORWARD", "(ufw)" },
	{ "table inet firewalld { chain filter_FORWARD { type filter hook forward priority 10; ct state "
	  "established,related accept; reject with icmpx type admin-prohibited; }; }",
	  "firewalld filter_FORWARD", "(firewalld)" },
	{ "table ip6 filter { chain FORWARD { type filter hook forward priority 0; policy drop; }; }",
	  "filter FORWARD", "(iptables)" },
	{ "table inet own { chain f { type filter hook forward priority 0; iifname x accept; log; "
	  "counter drop; }; }",
	  "own f", "(another program)" },
};

Test(findings, of_forward_chains_that_drop_name_their_owner)
{
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const struct finding *finding;

		do_nft(rows[i].ruleset);
		finding = expect(FINDING_WARNING, "forward_policy", rows[i].subject);
		cr_assert(strstr(finding->message, rows[i].owner), "%s", finding->message);
		do_nft("flush ruleset");
		expect_none();
	}
}

Test(findings, of_forward_chains_are_mended_by_their_command)
{
	do_nft(rows[1].ruleset);
	mend(expect(FINDING_WARNING, "forward_policy", rows[1].subject));
	do_nft(rows[3].ruleset);
	mend(expect(FINDING_WARNING, "forward_policy", rows[3].subject));
	do_nft(rows[5].ruleset);
	mend(expect(FINDING_WARNING, "forward_policy", rows[5].subject));
}

/* Made by iptables itself, as Docker and ufw do it. */
Test(findings, of_iptables_are_mended_by_iptables)
{
	const char *const argv[] = {
		"sh", "-c",
		"iptables-nft -N DOCKER-USER && iptables-nft -A DOCKER-USER -j "
		"RETURN && iptables-nft -A FORWARD -j DOCKER-USER && iptables-nft -P "
		"FORWARD DROP",
		NULL
	};
	const struct finding *finding;

	if (access("/usr/sbin/iptables-nft", X_OK) < 0)
		cr_skip_test("iptables is not installed");
	free(run(argv));
	finding = expect(FINDING_WARNING, "forward_policy", "filter FORWARD");
	cr_assert_str_eq(finding->remedy,
			 "iptables -I DOCKER-USER -m conntrack --ctstate DNAT -j ACCEPT");
	mend(finding);
}

/* ---- the kernel ---- */

Test(findings, of_the_kernel_are_none_where_it_takes_our_table)
{
	findings.n = 0;
	findings_kernel(&findings, &shape);
	cr_assert_eq(findings.n, 0, "%s", findings.items[0].message);
	{
		_cleanup_free_ char *ruleset = nft("list ruleset");

		cr_assert_str_eq(ruleset, "");
	}
}

/* ---- the inspector ---- */

static bool metric_has(struct metrics *metrics, const char *line)
{
	struct evbuffer *text = evbuffer_new();
	bool found;

	cr_assert_eq(metrics_write(metrics, text), 0);
	found = evbuffer_search(text, line, strlen(line), NULL).pos >= 0;
	evbuffer_free(text);
	return found;
}

static void inspect(bool set_host, const char *forward)
{
	struct event_base *base = event_base_new();
	struct inspector_config config = { .set = set_host };
	struct inspector *inspector;
	struct metrics *metrics;
	uint64_t value;

	set("net.ipv4.ip_forward", "0");
	set("net.ipv4.conf.host0.route_localnet", "1");
	look();
	config.view = view;
	cr_assert_eq(metrics_new(&metrics), 0);
	cr_assert_eq(inspector_new(&inspector, base, &config, metrics), 0);
	cr_assert_eq(host_setting_read_uint("net.ipv4.ip_forward", &value), 0);
	cr_assert_eq(value, set_host);
	cr_assert(metric_has(metrics, "portico_gateway_findings{level=\"warning\"} 1\n"));
	cr_assert(metric_has(metrics, forward));
	/* Not its to set: somebody may need it. */
	cr_assert_eq(host_setting_read_uint("net.ipv4.conf.host0.route_localnet", &value), 0);
	cr_assert_eq(value, 1);
	inspector_free(inspector);
	metrics_free(metrics);
	event_base_free(base);
}

Test(findings, lead_to_host_settings_only_where_that_is_asked_for)
{
	inspect(false, "portico_gateway_findings{level=\"error\"} 1\n");
	inspect(true, "portico_gateway_findings{level=\"error\"} 0\n");
}

static void doubt_again(evutil_socket_t fd, short what, void *userdata)
{
	inspector_doubt(userdata);
}

/* As where routes change all the time. */
Test(findings, are_looked_for_while_there_is_always_something_new)
{
	static const char *const line = "portico_gateway_findings{level=\"error\"} 1\n";
	const struct timeval often = { .tv_usec = 20000 };
	uint64_t deadline = clock_monotonic_ms() + PATIENCE_MS;
	struct event_base *base = event_base_new();
	struct inspector_config config = { 0 };
	struct inspector *inspector;
	struct metrics *metrics;
	struct event again;

	look();
	config.view = view;
	cr_assert_eq(metrics_new(&metrics), 0);
	cr_assert_eq(inspector_new(&inspector, base, &config, metrics), 0);
	cr_assert_not(metric_has(metrics, line));
	set("net.ipv4.ip_forward", "0");
	(void)event_assign(&again, base, -1, EV_PERSIST, doubt_again, inspector);
	cr_assert_eq(event_add(&again, &often), 0);
	while (!metric_has(metrics, line) && clock_monotonic_ms() < deadline)
		cr_assert_eq(event_base_loop(base, EVLOOP_ONCE), 0);
	cr_assert(metric_has(metrics, line));
	event_del(&again);
	inspector_free(inspector);
	metrics_free(metrics);
	event_base_free(base);
}
