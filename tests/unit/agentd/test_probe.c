/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The probe against real sockets: a banner, none, a refusal, silence, and one that comes late. */
#include <criterion/criterion.h>
#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agentd/probe.h"

static struct event_base *base;
static struct probe *probe;
static int listener = -1;
static struct endpoint endpoint;
static unsigned changes;

static void on_change(void *userdata, bool answers, const char *reason)
{
	changes++;
	event_base_loopbreak(base);
}

static void setup(void)
{
	struct sockaddr_storage address;
	socklen_t length;

	base = event_base_new();
	cr_assert(base);
	cr_assert_eq(address_parse("127.0.0.1", &endpoint.address), 0);
	endpoint.port = 0;
	length = endpoint_to_sockaddr(&endpoint, &address);
	listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	cr_assert_eq(bind(listener, (struct sockaddr *)&address, length), 0);
	length = sizeof(address);
	cr_assert_eq(getsockname(listener, (struct sockaddr *)&address, &length), 0);
	endpoint.port = ntohs(((struct sockaddr_in *)&address)->sin_port);
}

static void teardown(void)
{
	probe_free(probe);
	close(listener);
	event_base_free(base);
}

TestSuite(probe, .init = setup, .fini = teardown);

static void start(enum probe_kind kind)
{
	cr_assert_eq(probe_new(&probe, base, &endpoint, kind, on_change, NULL), 0);
}

/* Runs until the next change, or for so long. */
static bool wait_for_change(unsigned ms)
{
	struct timeval limit = { ms / 1000, (ms % 1000) * 1000 };
	unsigned before = changes;

	event_base_loopexit(base, &limit);
	event_base_dispatch(base);
	return changes > before;
}

struct answer {
	struct event event;
	const char *first, *second;
	struct event second_event;
	int fd;
};

static void send_second(evutil_socket_t fd, short what, void *userdata)
{
	struct answer *answer = userdata;

	cr_assert_gt(send(answer->fd, answer->second, strlen(answer->second), MSG_NOSIGNAL), 0);
}

static void on_accept(evutil_socket_t fd, short what, void *userdata)
{
	struct answer *answer = userdata;
	struct timeval soon = { 0, 100000 };

	answer->fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	cr_assert_geq(answer->fd, 0);
	if (answer->first)
		cr_assert_gt(send(answer->fd, answer->first, strlen(answer->first), MSG_NOSIGNAL),
			     0);
	else
		close(answer->fd);
	if (answer->second) {
		evtimer_assign(&answer->second_event, base, send_second, answer);
		event_add(&answer->second_event, &soon);
	}
}

static void serve(struct answer *answer)
{
	cr_assert_eq(listen(listener, 8), 0);
	event_assign(&answer->event, base, listener, EV_READ | EV_PERSIST, on_accept, answer);
	event_add(&answer->event, NULL);
}

Test(probe, banner_prefixes)
{
	cr_expect_eq(probe_ssh_banner("", 0), 0);
	cr_expect_eq(probe_ssh_banner("SSH-", 4), 0);
	cr_expect_eq(probe_ssh_banner("SSH-2.0-", 8), 1);
	cr_expect_eq(probe_ssh_banner("SSH-2.0-OpenSSH_9.2p1\r\n", 23), 1);
	cr_expect_eq(probe_ssh_banner("SSH-1.99-x", 10), 1);
	cr_expect_eq(probe_ssh_banner("SSH-1.5-x", 9), -1);
	cr_expect_eq(probe_ssh_banner("HTTP/1.1", 8), -1);
	cr_expect_eq(probe_ssh_banner("ssh-2.0-", 8), -1);
}

Test(probe, refused_and_then_open)
{
	static struct answer answer = { .first = "x" };

	start(PROBE_CONNECT);
	cr_assert(wait_for_change(5000));
	cr_expect_not(probe_answers(probe));
	cr_expect(strstr(probe_reason(probe), "Connection refused"), "%s", probe_reason(probe));
	serve(&answer);
	cr_assert(wait_for_change(5000));
	cr_expect(probe_answers(probe));
	cr_expect_str_eq(probe_reason(probe), "");
}

Test(probe, ssh_banner)
{
	static struct answer answer = { .first = "SSH-2.0-test\r\n" };

	serve(&answer);
	start(PROBE_SSH);
	cr_assert(wait_for_change(5000));
	cr_expect(probe_answers(probe));
}

Test(probe, ssh_banner_in_two_pieces)
{
	static struct answer answer = { .first = "SSH-", .second = "2.0-test\r\n" };

	serve(&answer);
	start(PROBE_SSH);
	cr_assert(wait_for_change(5000));
	cr_expect(probe_answers(probe));
}

Test(probe, open_and_no_ssh)
{
	static struct answer answer = { .first = "220 mail\r\n" };

	serve(&answer);
	start(PROBE_SSH);
	cr_assert(wait_for_change(5000));
	cr_expect_not(probe_answers(probe));
	cr_expect(strstr(probe_reason(probe), "no SSH server"), "%s", probe_reason(probe));
}

Test(probe, open_and_closed_at_once)
{
	static struct answer answer = { 0 };

	serve(&answer);
	start(PROBE_SSH);
	cr_assert(wait_for_change(5000));
	cr_expect_not(probe_answers(probe));
}

/* Connected by the kernel, and nobody speaks. */
Test(probe, silence_has_a_deadline)
{
	cr_assert_eq(listen(listener, 8), 0);
	start(PROBE_SSH);
	cr_assert(wait_for_change(10000));
	cr_expect_not(probe_answers(probe));
	cr_expect(strstr(probe_reason(probe), "banner in time"), "%s", probe_reason(probe));
}
