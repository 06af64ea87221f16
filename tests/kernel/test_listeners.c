/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Sockets of the gateway itself, as the kernel tells of them: found one by one and in the listing,
 * with the same answer, for every way to listen.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "gatewayd/guard.h"
#include "gatewayd/listeners.h"
#include "tests/kernel/kernel.h"

static struct listeners listeners;

static void set_up(void)
{
	enter_namespace();
	do_ip("address add 203.0.113.10/32 dev lo");
	do_ip("address add 203.0.113.11/32 dev lo");
	do_ip("address add 2001:db8::10/128 dev lo nodad");
	cr_assert_eq(listeners_open(&listeners), 0);
}

static void tear_down(void)
{
	listeners_close(&listeners);
}

TestSuite(listeners, .init = set_up, .fini = tear_down);

/* A bound socket of this process; TCP listens. The test's end closes it. */
static int bound(int protocol, const char *local, bool v6_only)
{
	struct endpoint endpoint = endpoint_of(local);
	struct sockaddr_storage address;
	socklen_t length = endpoint_to_sockaddr(&endpoint, &address);
	int type = protocol == PROTOCOL_TCP ? SOCK_STREAM : SOCK_DGRAM;
	int fd = socket(endpoint.address.family, type, 0), only = v6_only;

	cr_assert_geq(fd, 0);
	if (endpoint.address.family == AF_INET6)
		cr_assert_eq(setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only, sizeof(only)), 0);
	cr_assert_eq(bind(fd, (struct sockaddr *)&address, length), 0, "%s: %s", local,
		     strerror(errno));
	if (protocol == PROTOCOL_TCP)
		cr_assert_eq(listen(fd, 5), 0);
	return fd;
}

static struct mapping_key key(int protocol, const char *text)
{
	struct mapping_key made = key_of(text);

	made.protocol = (uint8_t)protocol;
	return made;
}

/* Both ways of asking say that key is taken by local, or (NULL) that it is free. */
static void expect(int protocol, const char *text, const char *local)
{
	struct mapping_key wanted = key(protocol, text);
	_cleanup_free_ struct listener *list = NULL;
	const struct listener *searched;
	char said[ENDPOINT_STRING_MAX];
	struct listener found;
	bool exists;
	size_t n;

	cr_assert_eq(listeners_find(&listeners, &wanted, &exists, &found), 0);
	cr_assert_eq(listeners_list(&listeners, &list, &n), 0);
	searched = listeners_search(list, n, &wanted);
	cr_assert_eq(exists, local != NULL, "%s %d", text, protocol);
	cr_assert_eq(searched != NULL, local != NULL, "%s %d in the listing", text, protocol);
	if (!local)
		return;
	cr_assert_str_eq(endpoint_format(&found.local, said), local);
	cr_assert_str_eq(endpoint_format(&searched->local, said), local);
	cr_assert_eq(found.inode, searched->inode);
}

static void expect_everywhere(int protocol)
{
	bound(protocol, "203.0.113.10:1001", false);
	bound(protocol, "0.0.0.0:1002", false);
	bound(protocol, "[::]:1003", false);
	bound(protocol, "[::]:1004", true);
	bound(protocol, "[2001:db8::10]:1005", false);
	bound(protocol, "[::ffff:203.0.113.10]:1006", false);
	bound(protocol, "127.0.0.1:1007", false);

	expect(protocol, "203.0.113.10:1001", "203.0.113.10:1001");
	expect(protocol, "203.0.113.11:1001", NULL);
	expect(protocol, "203.0.113.10:1002", "0.0.0.0:1002");
	expect(protocol, "[2001:db8::10]:1002", NULL);
	expect(protocol, "203.0.113.10:1003", "[::]:1003");
	expect(protocol, "[2001:db8::10]:1003", "[::]:1003");
	expect(protocol, "203.0.113.10:1004", NULL);
	expect(protocol, "[2001:db8::10]:1004", "[::]:1004");
	expect(protocol, "[2001:db8::10]:1005", "[2001:db8::10]:1005");
	expect(protocol, "203.0.113.10:1005", NULL);
	expect(protocol, "203.0.113.10:1006", "203.0.113.10:1006");
	expect(protocol, "203.0.113.10:1007", NULL);
	expect(protocol, "203.0.113.10:1008", NULL);
}

Test(listeners, of_tcp_are_found)
{
	expect_everywhere(PROTOCOL_TCP);
	expect(PROTOCOL_UDP, "203.0.113.10:1001", NULL);
}

Test(listeners, of_udp_are_found)
{
	expect_everywhere(PROTOCOL_UDP);
	expect(PROTOCOL_TCP, "203.0.113.10:1001", NULL);
}

/* A client's own socket waits for nobody. */
Test(listeners, are_not_sockets_that_are_connected)
{
	int udp = bound(PROTOCOL_UDP, "203.0.113.10:1001", false);
	int tcp = socket(AF_INET, SOCK_STREAM, 0);
	struct endpoint server = endpoint_of("203.0.113.11:1002");
	struct endpoint client = endpoint_of("203.0.113.10:1003");
	struct sockaddr_storage address;
	socklen_t length;

	bound(PROTOCOL_TCP, "203.0.113.11:1002", false);
	length = endpoint_to_sockaddr(&server, &address);
	expect(PROTOCOL_UDP, "203.0.113.10:1001", "203.0.113.10:1001");
	cr_assert_eq(connect(udp, (struct sockaddr *)&address, length), 0);
	expect(PROTOCOL_UDP, "203.0.113.10:1001", NULL);

	length = endpoint_to_sockaddr(&client, &address);
	cr_assert_eq(bind(tcp, (struct sockaddr *)&address, length), 0);
	expect(PROTOCOL_TCP, "203.0.113.10:1003", NULL);
	length = endpoint_to_sockaddr(&server, &address);
	cr_assert_eq(connect(tcp, (struct sockaddr *)&address, length), 0);
	expect(PROTOCOL_TCP, "203.0.113.10:1003", NULL);
}

Test(listeners, are_described_with_their_process)
{
	struct mapping_key wanted = key_of("203.0.113.10:1001");
	char text[LISTENER_STRING_MAX], expected[LISTENER_STRING_MAX];
	struct listener found;
	bool exists;

	bound(PROTOCOL_TCP, "203.0.113.10:1001", false);
	cr_assert_eq(listeners_find(&listeners, &wanted, &exists, &found), 0);
	cr_assert(exists);
	(void)snprintf(expected, sizeof(expected), "203.0.113.10:1001 (test_kernel_lis, pid %d)",
		       getpid());
	cr_assert_str_eq(listener_describe(&found, text), expected);
}

/* ---- the guard ---- */

struct taken {
	size_t n, first;
	char reason[GUARD_REASON_MAX];
};

static bool count_taken(size_t index, const char *reason, void *userdata)
{
	struct taken *taken = userdata;

	if (taken->n++ == 0) {
		taken->first = index;
		(void)snprintf(taken->reason, sizeof(taken->reason), "%s", reason);
	}
	return true;
}

/* A changeset that puts ports first, first + 1, …; the guard's judgement. */
static struct taken examine(const struct ledger *ledger, uint16_t first, size_t n, bool force)
{
	_cleanup_(cleanup_guard) struct guard *guard = NULL;
	_cleanup_(cleanup_changeset) struct changeset *changeset = NULL;
	struct taken taken = { 0 };

	cr_assert_eq(guard_new(&guard, ledger), 0);
	cr_assert(guard_works(guard));
	cr_assert_eq(changeset_new(&changeset, n), 0);
	for (size_t i = 0; i < n; i++) {
		changeset->changes[i].key = key_of("203.0.113.10:1");
		changeset->changes[i].key.port = (uint16_t)(first + i);
		changeset->changes[i].force = force;
	}
	guard_examine(guard, changeset, count_taken, &taken);
	return taken;
}

Test(listeners, keep_new_mappings_off_their_ports)
{
	struct ledger ledger = LEDGER_INIT;
	struct taken taken;

	bound(PROTOCOL_TCP, "0.0.0.0:1002", false);
	taken = examine(&ledger, 1001, 3, false); /* one by one */
	cr_assert_eq(taken.n, 1);
	cr_assert_eq(taken.first, 1);
	cr_assert(strstr(taken.reason, "0.0.0.0:1002 (test_kernel_lis, pid "), "%s", taken.reason);
	taken = examine(&ledger, 1001, 3000, false); /* by one listing */
	cr_assert_eq(taken.n, 1);
	cr_assert_eq(taken.first, 1);
	cr_assert_eq(examine(&ledger, 1001, 3, true).n, 0, "forced");
	desire(&ledger, "203.0.113.10:1002", "10.0.0.5:22", NULL);
	cr_assert_eq(examine(&ledger, 1001, 3, false).n, 0, "mapped already");
	ledger_clear(&ledger);
}
