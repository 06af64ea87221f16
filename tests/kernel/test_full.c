/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Connection tracking that is full, with the real gatewayd: it says so, goes on with what is open
 * and with changes of mappings, and new connections come through again once there is room. The
 * limit is the machine's and no namespace's, so that this runs in a virtual machine only.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "gatewayd/host_setting.h"
#include "lib/clock.h"
#include "tests/kernel/kernel.h"

#define FOLDER "/tmp/full"
#define SOCKET FOLDER "/sock"
#define LIMIT 32
#define PATIENCE_MS 60000
#define ANSWER_MAX ((size_t)256 << 10)

static pid_t daemon_pid;
static char answer[ANSWER_MAX];

/* ---- gatewayd ---- */

static void start_gatewayd(void)
{
	_cleanup_free_ char *path = NULL;
	const char *build = getenv("BUILD_DIR");

	cr_assert_not_null(build, "BUILD_DIR is not set");
	cr_assert_gt(asprintf(&path, "%s/gatewayd/gatewayd", build), 0);
	daemon_pid = fork();
	if (daemon_pid != 0)
		return;
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	(void)execl(path, path, "--addresses", "203.0.113.10", "--socket", SOCKET,
		    "--run-directory", FOLDER, "--state-directory", FOLDER, "--source", "preserve",
		    "--metrics-listen", "", (char *)NULL);
	_exit(127);
}

static int reach(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX, .sun_path = SOCKET };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
		return fd;
	close(fd);
	return -1;
}

/* The whole answer, head and body; "" where nobody listens. */
static const char *ask(const char *method, const char *path, const char *body)
{
	_cleanup_close_ int fd = reach();
	size_t length = 0;
	ssize_t n = 1;

	answer[0] = '\0';
	if (fd < 0)
		return answer;
	cr_assert_gt(dprintf(fd, "%s %s HTTP/1.0\r\nContent-Length: %zu\r\n\r\n%s", method, path,
			     strlen(body), body),
		     0);
	while (n > 0 && length < sizeof(answer) - 1) {
		n = read(fd, answer + length, sizeof(answer) - 1 - length);
		length += (size_t)MAX(n, (ssize_t)0);
	}
	answer[length] = '\0';
	return answer;
}

static bool is_fine(const char *text)
{
	return strstr(text, " 200 ") != NULL;
}

/* Until what it answers has this, or has it no longer. */
static void wait_for(const char *path, const char *text, bool there)
{
	uint64_t deadline = clock_monotonic_ms() + PATIENCE_MS;

	while (!is_fine(ask("GET", path, "")) || (strstr(answer, text) != NULL) != there)
		cr_assert_lt(clock_monotonic_ms(), deadline, "%s is %snot in %s: %s", text,
			     there ? "" : "still and ", path, answer);
}

static void change(const char *changes)
{
	_cleanup_free_ char *body = NULL;

	cr_assert_gt(asprintf(&body, "{\"changes\":[%s]}", changes), 0);
	cr_assert(is_fine(ask("POST", "/v1/mappings:apply", body)), "%s", answer);
}

/* ---- the machine ---- */

static void set_limit(const char *value)
{
	cr_assert_eq(host_setting_write("net.netfilter.nf_conntrack_max", value), 0);
}

static void open_all(void)
{
	if (!getenv("PORTICO_VM"))
		cr_skip_test("the limit is the machine's: scripts/test vm");
	/* In this namespace, which is the machine's. */
	do_ip("link set lo up");
	do_ip("address add 203.0.113.10/32 dev lo");
	do_ip("address add 10.0.0.5/32 dev lo");
	cr_assert_eq(host_setting_write("net.ipv4.ip_forward", "1"), 0);
	cr_assert(mkdir(FOLDER, 0700) == 0 || errno == EEXIST);
	start_gatewayd();
	wait_for("/readyz", "ready", true);
	set_limit("32");
}

static void close_all(void)
{
	if (daemon_pid <= 0)
		return;
	(void)kill(daemon_pid, SIGTERM);
	(void)waitpid(daemon_pid, NULL, 0);
}

TestSuite(full, .init = open_all, .fini = close_all, .timeout = 300);

static uint64_t entries(void)
{
	uint64_t count = 0;

	cr_assert_eq(host_setting_read_uint("net.netfilter.nf_conntrack_count", &count), 0);
	return count;
}

/* ---- connections ---- */

static int open_socket(int type, const char *local)
{
	struct endpoint endpoint = endpoint_of(local);
	struct sockaddr_storage address;
	socklen_t length = endpoint_to_sockaddr(&endpoint, &address);
	int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);

	cr_assert_eq(bind(fd, (struct sockaddr *)&address, length), 0);
	return fd;
}

static int connect_to(const char *where)
{
	struct endpoint endpoint = endpoint_of(where);
	struct sockaddr_storage address;
	socklen_t length = endpoint_to_sockaddr(&endpoint, &address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	cr_assert_eq(connect(fd, (struct sockaddr *)&address, length), 0, "%s", strerror(errno));
	return fd;
}

/* One datagram of a new flow. The kernel tells a sender on the machine itself that it was dropped:
 * 0 or -errno. */
static int send_new(const char *where)
{
	struct endpoint endpoint = endpoint_of(where);
	struct sockaddr_storage address;
	socklen_t length = endpoint_to_sockaddr(&endpoint, &address);
	_cleanup_close_ int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	return sendto(fd, "x", 1, 0, (struct sockaddr *)&address, length) < 0 ? -errno : 0;
}

static bool arrives(int fd)
{
	const struct timeval patience = { .tv_sec = 10 };
	char byte;

	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	return recv(fd, &byte, 1, 0) == 1;
}

/* Connections with replies, which the kernel does not end to make room. Returns one of them. */
static void fill_table(int listener, int *ret_client, int *ret_server)
{
	while (entries() < LIMIT) {
		*ret_client = connect_to("203.0.113.10:30001");
		*ret_server = accept(listener, NULL, NULL);
		cr_assert_geq(*ret_server, 0);
		cr_assert_eq(send(*ret_server, "x", 1, 0), 1);
		cr_assert(arrives(*ret_client));
	}
}

#define TARGET(port) "\"target\":{\"address\":\"10.0.0.5\",\"port\":" #port "}"

Test(full, drops_new_connections_only_and_is_said)
{
	int listener = open_socket(SOCK_STREAM, "10.0.0.5:7001");
	int peer = open_socket(SOCK_DGRAM, "10.0.0.5:7053"), client = -1, server = -1;

	cr_assert_eq(listen(listener, LIMIT), 0);
	change("{\"op\":\"put\",\"mapping\":{\"port\":30001," TARGET(7001) "}}");
	fill_table(listener, &client, &server);
	/* A mapping comes all the same, while its port is closed to all. */
	change("{\"op\":\"put\",\"mapping\":{\"port\":30053,\"protocol\":\"udp\"," TARGET(
		7053) "}}");
	free(nft("get element inet portico mapping4 { 203.0.113.10 . udp . 30053 }"));
	cr_assert_eq(send_new("203.0.113.10:30053"), -EPERM);
	wait_for("/v1/status", "\"conntrack_fill\"", true);
	wait_for("/metrics", "portico_gateway_conntrack_limit 32\n", true);
	wait_for("/metrics", "portico_gateway_conntrack_drop_total 0\n", false);
	/* What is open goes on. */
	cr_assert_eq(send(client, "x", 1, 0), 1);
	cr_assert(arrives(server));
	/* The connections of a mapping that is revoked make room. */
	change("{\"op\":\"delete\",\"port\":30001}");
	while (entries() >= LIMIT)
		cr_assert_eq(waitpid(daemon_pid, NULL, WNOHANG), 0);
	cr_assert_eq(send_new("203.0.113.10:30053"), 0);
	cr_assert(arrives(peer));
	wait_for("/v1/status", "\"conntrack_fill\"", false);
}
