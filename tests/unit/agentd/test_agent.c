/* SPDX-License-Identifier: GPL-2.0-or-later */
/* agentd as a follower of schedd, where memory runs out: what was lost is asked for anew, and no
 * revision is reported of which something is missing. schedd is a server that says a few lines; the
 * memory is the test's, and there is no Docker. */
#include "agentd/agent.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "agentd/desired.h"
#include "agentd/reconcile.h"
#include "agentd/remove_tree.h"
#include "lib/http_server.h"

#define MARK(type, revision) "{\"type\":\"" type "\",\"epoch\":1,\"revision\":" #revision "}\n"
#define ITEM(environment)                                                                    \
	"{\"environment\":\"" environment "\",\"revision\":1,\"state\":\"running\","         \
	"\"user\":\"developer\",\"spec\":{\"name\":\"demo\",\"image\":\"dev\",\"cpu_milli\"" \
	":100,\"memory_bytes\":16777216,\"services\":[]}}"
#define ITEM_LINE(environment) "{\"type\":\"item\",\"item\":" ITEM(environment) "}\n"
#define PUT(revision, environment)                                 \
	"{\"type\":\"change\",\"epoch\":1,\"revision\":" #revision \
	",\"put\":[" ITEM(environment) "],\"delete\":[]}\n"

static struct loop *loop;
static struct {
	unsigned streams;
	unsigned made, not_made;   /* assignments; the number of the one that has no memory */
	uint64_t most_reported[3]; /* revision, in each stream */
	size_t containers;         /* with the last one */
} seen;

int __real_desired_new(struct desired **ret, json_t *item, struct driver *driver,
		       struct error *err);
int __wrap_desired_new(struct desired **ret, json_t *item, struct driver *driver,
		       struct error *err);
int __wrap_desired_new(struct desired **ret, json_t *item, struct driver *driver, struct error *err)
{
	return ++seen.made == seen.not_made ? -ENOMEM : __real_desired_new(ret, item, driver, err);
}

bool __wrap_reconcile_looked(const struct reconcile *reconcile);
bool __wrap_reconcile_looked(const struct reconcile *reconcile)
{
	return true;
}

/* ---- schedd ---- */

static void on_register(struct http_request *request, void *userdata)
{
	http_reply_json(request, 200, json_pack("{s:i}", "epoch", 1));
}

static void on_closed(struct http_stream *stream, void *userdata)
{
}

static void on_desired(struct http_request *request, void *userdata)
{
	static const char first[] = MARK("snapshot", 1) ITEM_LINE("env-a") MARK("synced", 1)
		PUT(2, "env-b") MARK("bookmark", 4);
	static const char then[] =
		MARK("snapshot", 4) ITEM_LINE("env-a") ITEM_LINE("env-b") MARK("synced", 4);
	const char *text = seen.streams++ == 0 ? first : then;
	struct http_stream *stream;

	cr_assert_eq(http_stream_start(request, "application/json", on_closed, NULL, &stream), 0);
	cr_assert_eq(http_stream_send(stream, text, strlen(text)), 0);
}

static void on_status(struct http_request *request, void *userdata)
{
	_cleanup_json_ json_t *report = NULL;
	struct error err = ERROR_INIT;
	uint64_t revision;

	cr_assert_eq(http_request_json(request, &report, &err), 0, "%s", err.message);
	revision = (uint64_t)json_integer_value(json_object_get(report, "revision"));
	seen.containers = json_array_size(json_object_get(report, "containers"));
	cr_assert(seen.streams > 0 && seen.streams <= ARRAY_SIZE(seen.most_reported));
	seen.most_reported[seen.streams - 1] = revision;
	http_reply_json(request, 200, json_pack("{s:i}", "epoch", 1));
	if (revision == 4)
		loop_stop(loop);
}

static void remove_data(const char *data)
{
	atomic_bool stop = false;

	cr_expect_eq(remove_tree(AT_FDCWD, data, &stop), 0);
}

static void follow(void)
{
	static const struct http_route routes[] = {
		{ HTTP_POST, "/v1/hosts", on_register },
		{ HTTP_GET, "/v1/hosts/{id}/desired", on_desired },
		{ HTTP_POST, "/v1/hosts/{id}/status", on_status },
	};
	const struct timeval deadline = { .tv_sec = 20 };
	char data[] = "/tmp/test-agent-XXXXXX", server_url[64], docker[64];
	struct options options = { .name = (char *)"h1",
				   .server = server_url,
				   .docker = docker,
				   .data_dir = data,
				   .pool = (char *)"default",
				   .cpu_milli = 1000,
				   .memory_bytes = 1 << 30,
				   .heartbeat_ms = 100,
				   .parallel = 4,
				   .host_address = { .family = AF_INET, .bytes = { 10, 0, 1, 2 } },
				   .label_object = json_object() };
	struct error err = ERROR_INIT;
	struct http_server *server;
	struct agent *agent;

	cr_assert(mkdtemp(data));
	(void)snprintf(server_url, sizeof(server_url), "unix:%s/schedd.sock", data);
	(void)snprintf(docker, sizeof(docker), "unix://%s/none.sock", data);
	cr_assert_eq(loop_new(&loop), 0);
	cr_assert_eq(http_server_new(&server, loop_base(loop), NULL), 0);
	cr_assert_eq(http_server_routes(server, routes, ARRAY_SIZE(routes), NULL), 0);
	cr_assert_eq(http_server_listen_unix(server, server_url + strlen("unix:"), 0600, &err), 0,
		     "%s", err.message);
	cr_assert_eq(agent_new(&agent, loop, &options, &err), 0, "%s", err.message);
	(void)event_base_loopexit(loop_base(loop), &deadline);
	cr_assert_eq(loop_run(loop), 0);
	agent_free(agent);
	http_server_free(server);
	loop_free(loop);
	json_decref(options.label_object);
	remove_data(data);
}

Test(agent, what_there_is_memory_for_is_not_asked_for_anew)
{
	follow();
	cr_expect_eq(seen.streams, 1);
	cr_expect_eq(seen.most_reported[0], 4);
	cr_expect_eq(seen.containers, 2);
}

Test(agent, a_snapshot_without_memory_is_asked_for_anew)
{
	seen.not_made = 1;
	follow();
	cr_expect_eq(seen.streams, 2);
	cr_expect_eq(seen.most_reported[0], 0);
	cr_expect_eq(seen.most_reported[1], 4);
	cr_expect_eq(seen.containers, 2);
}

Test(agent, behind_a_change_without_memory_nothing_is_said_to_be_received)
{
	seen.not_made = 2;
	follow();
	cr_expect_eq(seen.streams, 2);
	cr_expect_leq(seen.most_reported[0], 1);
	cr_expect_eq(seen.most_reported[1], 4);
	cr_expect_eq(seen.containers, 2);
}
