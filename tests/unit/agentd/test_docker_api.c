/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Docker's answers and their absence, told apart. The server's end is our own HTTP server on a Unix
 * socket; Docker itself is in the end-to-end tests.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <event2/event.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "agentd/docker_api.h"
#include "lib/http_server.h"

static struct event_base *base;
static struct http_client *client;
static struct http_server *server;
static struct docker_api *api;
static char folder[] = "/tmp/test_docker_api.XXXXXX";
static char path[64];

static unsigned replies, lines;
static int last_error, last_status;
static char last_message[400];
static json_int_t last_number;

static void reply_with(struct http_request *request, int status, const char *message)
{
	http_reply_json(request, status, json_pack("{s:s}", "message", message));
}

static void handle_version(struct http_request *request, void *userdata)
{
	http_reply_json(request, 200,
			json_pack("{s:s, s:s}", "ApiVersion", "1.41", "MinAPIVersion", "1.12"));
}

static void handle_good(struct http_request *request, void *userdata)
{
	http_reply_json(request, 200, json_pack("{s:i}", "number", 42));
}

static void handle_missing(struct http_request *request, void *userdata)
{
	reply_with(request, 404, "No such\ncontainer: x");
}

static void handle_conflict(struct http_request *request, void *userdata)
{
	reply_with(request, 409, "name in use");
}

static void handle_broken(struct http_request *request, void *userdata)
{
	reply_with(request, 500, "disk full");
}

static void serve(void)
{
	static const struct http_route routes[] = {
		{ HTTP_GET, "/version", handle_version },
		{ HTTP_GET, "/v1.41/good", handle_good },
		{ HTTP_GET, "/v1.41/missing", handle_missing },
		{ HTTP_GET, "/v1.41/conflict", handle_conflict },
		{ HTTP_GET, "/v1.41/broken", handle_broken },
	};
	struct error err = ERROR_INIT;

	cr_assert_eq(http_server_new(&server, base, NULL), 0);
	cr_assert_eq(http_server_routes(server, routes, ARRAY_SIZE(routes), NULL), 0);
	cr_assert_eq(http_server_listen_unix(server, path, 0600, &err), 0, "%s", err.message);
}

/* As Docker when it is stopped: the socket is gone as well. */
static void stop_serving(void)
{
	http_server_free(server);
	server = NULL;
	unlink(path);
}

static void setup(void)
{
	char address[80];

	cr_assert(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/docker.sock", folder);
	snprintf(address, sizeof(address), "unix://%s", path);
	base = event_base_new();
	cr_assert(base);
	cr_assert_eq(http_client_new(&client, base), 0);
	cr_assert_eq(docker_api_new(&api, client, address, NULL), 0);
}

static void teardown(void)
{
	docker_api_free(api);
	http_client_free(client);
	stop_serving();
	event_base_free(base);
	rmdir(folder);
}

TestSuite(docker_api, .init = setup, .fini = teardown, .timeout = 20);

static void on_done(const struct docker_reply *reply, void *userdata)
{
	replies++;
	last_error = reply->error;
	last_status = reply->status;
	snprintf(last_message, sizeof(last_message), "%s", reply->message);
	last_number = json_integer_value(json_object_get(reply->json, "number"));
	event_base_loopbreak(base);
}

static void wait_for_reply(void)
{
	unsigned before = replies;

	while (replies == before)
		cr_assert_geq(event_base_loop(base, EVLOOP_ONCE), 0);
}

static void connect_to_docker(void)
{
	uint64_t id;

	cr_assert_eq(docker_api_connect(api, on_done, NULL, &id), 0);
	wait_for_reply();
}

static void ask(const char *what)
{
	const struct docker_call call = {
		.operation = "test",
		.path = what,
		.quiet = true,
		.on_done = on_done,
	};
	uint64_t id;

	cr_assert_eq(docker_api_call(api, &call, &id), 0);
	wait_for_reply();
}

Test(docker_api, a_missing_socket_is_no_answer)
{
	connect_to_docker();
	cr_expect_eq(last_error, -ENOTCONN, "%s", strerror(-last_error));
	cr_expect_eq(last_status, 0);
	cr_expect(strstr(last_message, path), "%s", last_message);
	cr_expect_str_empty(docker_api_version(api));
}

Test(docker_api, nothing_is_asked_before_the_version_is_known)
{
	const struct docker_call call = { .operation = "test",
					  .path = "/good",
					  .on_done = on_done };
	uint64_t id;

	cr_expect_eq(docker_api_call(api, &call, &id), -ENOTCONN);
}

Test(docker_api, answers_are_told_with_dockers_sentence)
{
	serve();
	connect_to_docker();
	cr_assert_eq(last_error, 0, "%s", last_message);
	cr_expect_str_eq(docker_api_version(api), "1.41");
	ask("/good");
	cr_expect_eq(last_error, 0);
	cr_expect_eq(last_number, 42);
	ask("/missing");
	cr_expect_eq(last_error, -ENOENT);
	cr_expect_eq(last_status, 404);
	cr_expect_str_eq(last_message, "No such container: x");
	ask("/conflict");
	cr_expect_eq(last_error, -EEXIST);
	cr_expect_str_eq(last_message, "name in use");
	ask("/broken");
	cr_expect_eq(last_error, -EIO);
	cr_expect_str_eq(last_message, "disk full");
}

/* What is taken for "no such container" is forgotten, removed or made anew. */
Test(docker_api, docker_gone_is_never_a_missing_container)
{
	serve();
	connect_to_docker();
	ask("/good");
	cr_assert_eq(last_error, 0);
	stop_serving();
	for (int i = 0; i < 3; i++) {
		ask("/missing");
		cr_expect_lt(last_error, 0);
		cr_expect_neq(last_error, -ENOENT);
		cr_expect_neq(last_error, -EEXIST);
		cr_expect_eq(last_status, 0);
	}
}

static int on_line(json_t *line, void *userdata)
{
	lines++;
	return 0;
}

Test(docker_api, a_stream_that_is_refused_says_why)
{
	const struct docker_call call = {
		.operation = "events",
		.path = "/missing",
		.on_line = on_line,
		.on_done = on_done,
	};
	uint64_t id;

	serve();
	connect_to_docker();
	cr_assert_eq(docker_api_call(api, &call, &id), 0);
	wait_for_reply();
	cr_expect_eq(lines, 0);
	cr_expect_eq(last_error, -ENOENT);
	cr_expect_str_eq(last_message, "No such container: x");
}

Test(docker_api, a_cancelled_call_says_nothing)
{
	const struct docker_call call = { .operation = "test",
					  .path = "/good",
					  .on_done = on_done };
	uint64_t id;

	serve();
	connect_to_docker();
	cr_assert_eq(docker_api_call(api, &call, &id), 0);
	docker_api_cancel(api, id);
	docker_api_cancel(api, id);
	ask("/good");
	cr_expect_eq(replies, 2);
}

Test(docker_api, addresses)
{
	static const char *const wrong[] = { "",        "unix://", "unix://relative",
					     "http://", "tcp://x", "/var/run/docker.sock" };
	struct docker_api *other;

	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++)
		cr_expect_not(docker_api_takes(wrong[i]), "%s", wrong[i]);
	cr_expect(docker_api_takes("unix:///var/run/docker.sock"));
	cr_expect(docker_api_takes("http://127.0.0.1:2375"));
	cr_assert_eq(docker_api_new(&other, client, "http://127.0.0.1:2375", NULL), 0);
	docker_api_free(other);
}
