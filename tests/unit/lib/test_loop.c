/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is left when a loop ends in the middle of something. */
#include <criterion/criterion.h>
#include <dirent.h>
#include <signal.h>

#include "lib/http_client.h"
#include "lib/http_server.h"
#include "lib/loop.h"
#include "tests/unit/lib/tls.h"

static unsigned descriptors(void)
{
	DIR *folder = opendir("/proc/self/fd");
	unsigned n = 0;

	cr_assert_not_null(folder);
	while (readdir(folder))
		n++;
	(void)closedir(folder);
	return n;
}

/* The signal is handled in the turn in which the answer is written, right after that. */
static void answer_and_stop(struct http_request *request, void *userdata)
{
	http_reply_buffer(request, 204, NULL, NULL);
	cr_assert_eq(raise(SIGTERM), 0);
}

static void on_done(const struct http_response *response, void *userdata)
{
}

static void ask(struct http_client *client, uint16_t port)
{
	uint64_t id;
	char url[64];

	(void)snprintf(url, sizeof(url), "https://127.0.0.1:%u/", port);
	cr_assert_eq(http_client_call(client,
				      &(struct http_call){ .url = url,
							   .idle_timeout_ms = 5000,
							   .on_done = on_done },
				      &id),
		     0);
}

/* libevent defers the callback that all is written, and the connection lives as long as that waits.
 */
Test(loop, ended_in_the_turn_of_an_answer_over_tls_leaves_no_connection)
{
	static const struct http_route routes[] = { { HTTP_GET, "/", answer_and_stop } };
	_cleanup_(cleanup_http_tls) struct http_tls *tls = local_tls();
	struct error err = ERROR_INIT;
	struct http_server *server;
	struct http_client *client;
	struct loop *loop;
	unsigned before;
	uint16_t port;

	before = descriptors();
	cr_assert_eq(loop_new(&loop), 0);
	cr_assert_eq(http_server_new(&server, loop_base(loop), NULL), 0);
	cr_assert_eq(http_server_routes(server, routes, ARRAY_SIZE(routes), NULL), 0);
	cr_assert_eq(http_server_listen_tls(server, tls, "127.0.0.1", 0, &port, &err), 0);
	cr_assert_eq(http_client_new(&client, loop_base(loop)), 0);
	cr_assert_eq(http_client_trust(client, NULL, http_tls_pin(tls)), 0);
	ask(client, port);
	cr_assert_eq(loop_run(loop), 0);
	http_client_free(client);
	http_server_free(server);
	loop_free(loop);
	cr_assert_eq(descriptors(), before);
}
