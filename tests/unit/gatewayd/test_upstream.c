/* SPDX-License-Identifier: GPL-2.0-or-later */
/* gatewayd as a follower of schedd, where memory runs out: what is reported as applied is, and what
 * was lost is asked for anew. schedd is a server that says a few lines; memory and what the
 * reconciler makes of a changeset are the test's. */
#include "gatewayd/upstream.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "lib/http_server.h"

#define LINE(type, revision) "{\"type\":\"" type "\",\"epoch\":1,\"revision\":" #revision "}\n"
#define SNAPSHOT(revision) LINE("snapshot", revision) LINE("synced", revision)
#define CHANGE(revision)                                                          \
	"{\"type\":\"change\",\"epoch\":1,\"revision\":" #revision ","            \
	"\"put\":[],\"delete\":[{\"address\":\"192.0.2.1\",\"protocol\":\"tcp\"," \
	"\"port\":30001}]}\n"

#define MAPPING                                                  \
	"{\"address\":\"192.0.2.1\",\"port\":30001,\"target\":{" \
	"\"address\":\"10.0.0.5\",\"port\":22}}"
#define PUT(revision)                                                  \
	"{\"type\":\"change\",\"epoch\":1,\"revision\":" #revision "," \
	"\"put\":[" MAPPING "],\"delete\":[]}\n"

static struct event_base *base;
static struct upstream *upstream;
static struct {
	unsigned streams;
	unsigned made, not_made;  /* changesets; the number of the one that has no memory */
	unsigned put, not_put;    /* the same of mappings */
	unsigned done, not_done;  /* and of changesets that the reconciler is given */
	unsigned removals;        /* in all of those */
	uint64_t most_applied[3]; /* revision that is said to be applied, in each stream */
} seen;

/* ---- memory and the reconciler ---- */

int __real_changeset_new(struct changeset **ret, size_t n_changes);
int __wrap_changeset_new(struct changeset **ret, size_t n_changes);
int __wrap_changeset_new(struct changeset **ret, size_t n_changes)
{
	return ++seen.made == seen.not_made ? -ENOMEM : __real_changeset_new(ret, n_changes);
}

int __real_change_put(struct change *change, const struct mapping *mapping, const char *path,
		      struct error *err);
int __wrap_change_put(struct change *change, const struct mapping *mapping, const char *path,
		      struct error *err);
int __wrap_change_put(struct change *change, const struct mapping *mapping, const char *path,
		      struct error *err)
{
	return ++seen.put == seen.not_put
		       ? error_set(err, -ENOMEM, "internal", NULL, "out of memory")
		       : __real_change_put(change, mapping, path, err);
}

static void note_applied(void)
{
	struct upstream_status status;

	upstream_status(upstream, &status);
	if (seen.streams > 0 && seen.streams <= ARRAY_SIZE(seen.most_applied))
		seen.most_applied[seen.streams - 1] = status.applied_revision;
	if (status.applied_revision == 4)
		(void)event_base_loopbreak(base);
}

void __wrap_reconciler_submit(struct reconciler *reconciler, struct changeset *changeset);
void __wrap_reconciler_submit(struct reconciler *reconciler, struct changeset *changeset)
{
	if (++seen.done == seen.not_done)
		error_set(&changeset->error, -ENOMEM, "internal", NULL, "out of memory");
	for (size_t i = 0; i < changeset->n_changes; i++)
		seen.removals += changeset->changes[i].removal;
	changeset->on_done(changeset, changeset->userdata);
	changeset_free(changeset);
	note_applied();
}

void __wrap_reconciler_status(const struct reconciler *reconciler, struct reconciler_status *ret);
void __wrap_reconciler_status(const struct reconciler *reconciler, struct reconciler_status *ret)
{
	*ret = (struct reconciler_status){ 0 };
}

void __wrap_guard_examine(struct guard *guard, const struct changeset *changeset,
			  bool (*on_taken)(size_t index, const char *reason, void *userdata),
			  void *userdata);
void __wrap_guard_examine(struct guard *guard, const struct changeset *changeset,
			  bool (*on_taken)(size_t index, const char *reason, void *userdata),
			  void *userdata)
{
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
	static const char first[] = SNAPSHOT(1) CHANGE(2) PUT(3) LINE("bookmark", 4);
	static const char then[] = SNAPSHOT(4);
	const char *text = seen.streams++ == 0 ? first : then;
	struct http_stream *stream;

	cr_assert_eq(http_stream_start(request, "application/json", on_closed, NULL, &stream), 0);
	cr_assert_eq(http_stream_send(stream, text, strlen(text)), 0);
}

static void follow(void)
{
	static const struct http_route routes[] = {
		{ HTTP_POST, "/v1/gateways", on_register },
		{ HTTP_GET, "/v1/gateways/{id}/desired", on_desired },
	};
	static const struct address address = { .family = AF_INET, .bytes = { 192, 0, 2, 1 } };
	static const struct admission admission = { &address, 1 };
	const struct timeval deadline = { .tv_sec = 20 };
	char path[64];
	const struct upstream_config config = {
		.server = path, .name = "g1", .heartbeat_ms = 1000, .admission = &admission
	};
	struct http_server *server;
	struct http_client *client;
	struct error err = ERROR_INIT;

	(void)snprintf(path, sizeof(path), "unix:/tmp/portico-upstream-%d.sock", (int)getpid());
	base = event_base_new();
	cr_assert_eq(http_server_new(&server, base, NULL), 0);
	cr_assert_eq(http_server_routes(server, routes, ARRAY_SIZE(routes), NULL), 0);
	cr_assert_eq(http_server_listen_unix(server, path + strlen("unix:"), 0600, &err), 0, "%s",
		     err.message);
	cr_assert_eq(http_client_new(&client, base), 0);
	cr_assert_eq(upstream_new(&upstream, base, client, &config), 0);
	(void)event_base_loopexit(base, &deadline);
	cr_assert_geq(event_base_dispatch(base), 0);
	upstream_free(upstream);
	http_client_free(client);
	http_server_free(server);
	event_base_free(base);
}

Test(upstream, a_snapshot_without_memory_is_asked_for_anew)
{
	seen.not_made = 1;
	follow();
	cr_expect_eq(seen.streams, 2);
	cr_expect_eq(seen.most_applied[0], 0);
	cr_expect_eq(seen.most_applied[1], 4);
}

Test(upstream, behind_a_change_without_memory_nothing_is_said_to_be_applied)
{
	seen.not_made = 2;
	follow();
	cr_expect_eq(seen.streams, 2);
	cr_expect_eq(seen.most_applied[0], 1);
	cr_expect_eq(seen.most_applied[1], 4);
}

Test(upstream, neither_is_it_behind_one_that_could_not_be_applied)
{
	seen.not_done = 2;
	follow();
	cr_expect_eq(seen.streams, 2);
	cr_expect_eq(seen.most_applied[0], 1);
	cr_expect_eq(seen.most_applied[1], 4);
}

/* Its port is closed meanwhile: it must not lead to an old target. */
Test(upstream, nor_behind_one_of_which_a_mapping_had_no_memory)
{
	seen.not_put = 1;
	follow();
	cr_expect_eq(seen.streams, 2);
	cr_expect_eq(seen.removals, 2, "of the deletion and of the mapping");
	cr_expect_eq(seen.most_applied[0], 2);
	cr_expect_eq(seen.most_applied[1], 4);
}
