/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The follower: register, watch, report, and start over after any trouble.
 *
 * Three calls, at most one of each on its way: the registration, the watch (open as long as all is
 * well) and the report. Whatever ends the watch leads to `retry`, which registers again.
 */
#include "proto/follower.h"

#include <errno.h>
#include <event2/event_struct.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "lib/backoff.h"
#include "lib/clock.h"
#include "lib/file.h"
#include "proto/report.h"

#define CALL_TIMEOUT_MS 10000
#define RETRY_FIRST_MS 200
#define RETRY_MAX_MS 10000
/* Whatever is asked for. */
#define HEARTBEAT_MIN_MS 10

struct follower {
	struct event_base *base;
	struct http_client *client;
	struct follower_events events;
	void *userdata;
	struct server {
		char *name;        /* as configured */
		char *url;         /* ".../v1/hosts" */
		char *unix_socket; /* NULL: TCP */
	} servers[FOLLOWER_SERVERS_MAX];
	size_t n_servers, current;
	char *name;
	char *authorization; /* header; NULL: none */
	char *token_file;
	struct error token_error; /* why token_file could not be read last; else 0 */
	uint32_t heartbeat_ms, silence_ms;
	uint32_t asked_ms; /* a report this often, by schedd's last answer; 0: it did not say */
	enum follower_state state;
	uint64_t epoch; /* highest seen */
	struct backoff backoff;
	struct event retry, report, ask_anew;
	uint64_t registering, watching, reporting; /* ids of calls; 0: none */
	uint64_t sent_ms;                          /* when the report on its way was made */
	bool touched; /* something is new since the report on its way was made */
	bool register_again;
	struct watch_decoder *decoder;
	struct error stream_error; /* why the decoder ended the stream */
	bool lost;                 /* what comes on this stream would be behind a gap */
	char lost_reason[ERROR_MESSAGE_MAX];
};

static struct timeval to_timeval(uint64_t ms)
{
	return (struct timeval){ .tv_sec = (time_t)(ms / 1000),
				 .tv_usec = (suseconds_t)(ms % 1000 * 1000) };
}

static void set_state(struct follower *follower, enum follower_state state, const char *reason)
{
	if (follower->state == state && state != FOLLOWER_WAITING)
		return;
	follower->state = state;
	if (follower->events.on_state)
		follower->events.on_state(follower->userdata, state, reason);
}

/* The next server at once, and the first one again after a time that grows. */
static uint32_t next_server(struct follower *follower)
{
	follower->current = (follower->current + 1) % follower->n_servers;
	return follower->current > 0 ? RETRY_FIRST_MS : backoff_next_ms(&follower->backoff);
}

/* Ends what is open and comes back later. */
static void start_over(struct follower *follower, const char *reason)
{
	struct timeval delay = to_timeval(next_server(follower));

	http_client_cancel(follower->client, follower->registering);
	http_client_cancel(follower->client, follower->watching);
	http_client_cancel(follower->client, follower->reporting);
	follower->registering = follower->watching = follower->reporting = 0;
	event_del(&follower->report);
	event_del(&follower->ask_anew);
	event_add(&follower->retry, &delay);
	set_state(follower, FOLLOWER_WAITING, reason);
}

/* ---- the token ---- */

static void forget_token(struct follower *follower)
{
	if (follower->authorization)
		explicit_bzero(follower->authorization, strlen(follower->authorization));
	free(follower->authorization);
	follower->authorization = NULL;
}

static int set_token(struct follower *follower, const char *token)
{
	char *header;

	if (asprintf(&header, "Authorization: Bearer %s", token) < 0)
		return -ENOMEM;
	forget_token(follower);
	follower->authorization = header;
	return 0;
}

/* What cannot be read leaves the token of before, and is told if that is refused. */
static void refresh_token(struct follower *follower)
{
	_cleanup_free_ char *token = NULL;

	follower->token_error = ERROR_INIT;
	if (!follower->token_file ||
	    file_read_secret(follower->token_file, &token, &follower->token_error) < 0)
		return;
	(void)set_token(follower, token); /* without memory the next try has it */
	explicit_bzero(token, strlen(token));
}

/* ---- answers ---- */

/* A sentence for an answer that is not what was asked for. Returns buffer. */
static const char *describe(const struct follower *follower, const struct http_response *response,
			    const char *what, char *buffer, size_t size)
{
	bool unread = response->status == 401 && follower->token_error.errnum < 0;
	_cleanup_json_ json_t *body = NULL;
	const char *message;

	if (response->error < 0) {
		snprintf(buffer, size, "%s: %s%s", what, response->message,
			 response->error == -EKEYREJECTED
				 ? "; name who signed it by ca-file, or its key by server-pin"
				 : "");
		return buffer;
	}
	body = json_loadb(response->body, response->length, 0, NULL);
	message = json_string_value(json_object_get(body, "message"));
	snprintf(buffer, size, "%s: answered with status %d%s%s%s%.200s", what, response->status,
		 message ? ": " : "", message ? message : "", unread ? "; " : "",
		 unread ? follower->token_error.message : "");
	return buffer;
}

/* The same call to the server that is followed: path comes after /v1/COLLECTION. -ENOMEM only. */
static int send_call(struct follower *follower, const char *method, const char *path,
		     const struct http_call *wanted, uint64_t *ret_id)
{
	_cleanup_free_ char *url = NULL;
	const struct server *server = &follower->servers[follower->current];
	const char *headers[] = { follower->authorization, NULL };
	struct http_call request = *wanted;

	if (asprintf(&url, "%s%s", server->url, path) < 0) {
		url = NULL;
		return -ENOMEM;
	}
	request.method = method;
	request.url = url;
	request.unix_socket = server->unix_socket;
	request.headers = headers;
	return http_client_call(follower->client, &request, ret_id);
}

/* The same with a body, which is taken over and may be NULL. */
static int call(struct follower *follower, const char *method, const char *path, json_t *body,
		const struct http_call *wanted, uint64_t *ret_id)
{
	_cleanup_free_ char *text = body ? json_encode(body) : NULL;
	struct http_call request = *wanted;
	bool no_text = body && !text;

	json_decref(body);
	if (no_text)
		return -ENOMEM;
	request.body = text;
	request.body_length = text ? strlen(text) : 0;
	request.userdata = follower;
	return send_call(follower, method, path, &request, ret_id);
}

/* ---- reports ---- */

static void send_report(struct follower *follower);

/* schedd knows how long a silence it takes for an end. */
static uint32_t heartbeat_ms(const struct follower *follower)
{
	if (follower->asked_ms == 0)
		return follower->heartbeat_ms;
	return MIN(follower->heartbeat_ms, MAX(follower->asked_ms, (uint32_t)HEARTBEAT_MIN_MS));
}

static void take_heartbeat(struct follower *follower, const json_t *answer)
{
	json_int_t asked = json_integer_value(json_object_get(answer, "heartbeat_ms"));
	uint32_t before = heartbeat_ms(follower), now;
	char complaint[ERROR_MESSAGE_MAX] = "";

	follower->asked_ms = asked > 0 && asked <= UINT32_MAX ? (uint32_t)asked : 0;
	now = heartbeat_ms(follower);
	if (now == before || !follower->events.on_heartbeat)
		return;
	if (now < follower->heartbeat_ms)
		(void)snprintf(complaint, sizeof(complaint),
			       "heartbeat: every %u ms is too seldom for the scheduler, which "
			       "wants a report every %u ms, a third of its offline-after or lease: "
			       "it gets them that often",
			       follower->heartbeat_ms, now);
	follower->events.on_heartbeat(follower->userdata, now, complaint);
}

static void take_answer(struct follower *follower, const struct http_response *response)
{
	_cleanup_json_ json_t *body = json_loadb(response->body, response->length, 0, NULL);

	if (!body)
		return;
	take_heartbeat(follower, body);
	if (follower->events.on_answer)
		follower->events.on_answer(follower->userdata, body, follower->sent_ms);
}

static void wait_for_heartbeat(struct follower *follower)
{
	struct timeval heartbeat = to_timeval(heartbeat_ms(follower));

	event_add(&follower->report, &heartbeat);
}

static void report_done(const struct http_response *response, void *userdata)
{
	struct follower *follower = userdata;
	char reason[ERROR_MESSAGE_MAX];

	follower->reporting = 0;
	if (response->error < 0 || response->status != 200) {
		start_over(follower,
			   describe(follower, response, "report", reason, sizeof(reason)));
		return;
	}
	take_answer(follower, response);
	if (follower->touched)
		send_report(follower);
	else
		wait_for_heartbeat(follower);
}

static void send_report(struct follower *follower)
{
	const struct http_call wanted = { .timeout_ms = CALL_TIMEOUT_MS, .on_done = report_done };
	char path[FOLLOWER_NAME_MAX + 16];
	json_t *body;

	follower->touched = false;
	follower->sent_ms = clock_boottime_ms();
	body = follower->events.report(follower->userdata);
	snprintf(path, sizeof(path), "/%s/status", follower->name);
	if (!body || call(follower, "POST", path, body, &wanted, &follower->reporting) < 0)
		wait_for_heartbeat(follower);
}

static void report_due(evutil_socket_t fd, short what, void *userdata)
{
	struct follower *follower = userdata;

	if (follower->state == FOLLOWER_SYNCED && follower->reporting == 0)
		send_report(follower);
}

/* ---- the stream ---- */

static void seen_epoch(struct follower *follower, uint64_t epoch)
{
	follower->epoch = MAX(follower->epoch, epoch);
}

static void on_snapshot(void *userdata, uint64_t epoch, uint64_t revision, json_t *items)
{
	struct follower *follower = userdata;

	if (follower->lost)
		return;
	seen_epoch(follower, epoch);
	if (follower->events.watch.on_snapshot)
		follower->events.watch.on_snapshot(follower->userdata, epoch, revision, items);
	if (follower->lost)
		return;
	backoff_reset(&follower->backoff);
	set_state(follower, FOLLOWER_SYNCED, "");
	follower_touch(follower);
}

static void on_change(void *userdata, uint64_t epoch, uint64_t revision, json_t *put,
		      json_t *deleted)
{
	struct follower *follower = userdata;

	if (follower->lost)
		return;
	seen_epoch(follower, epoch);
	if (follower->events.watch.on_change)
		follower->events.watch.on_change(follower->userdata, epoch, revision, put, deleted);
}

static void on_bookmark(void *userdata, uint64_t epoch, uint64_t revision)
{
	struct follower *follower = userdata;

	if (follower->lost)
		return;
	seen_epoch(follower, epoch);
	if (follower->events.watch.on_bookmark)
		follower->events.watch.on_bookmark(follower->userdata, epoch, revision);
}

static void on_logs(void *userdata, uint64_t epoch, json_t *session)
{
	struct follower *follower = userdata;

	if (follower->lost)
		return;
	seen_epoch(follower, epoch);
	if (follower->events.watch.on_logs)
		follower->events.watch.on_logs(follower->userdata, epoch, session);
}

static const struct watch_events stream_events = {
	.on_snapshot = on_snapshot,
	.on_change = on_change,
	.on_bookmark = on_bookmark,
	.on_logs = on_logs,
};

static int watch_data(const char *data, size_t length, void *userdata)
{
	struct follower *follower = userdata;

	return watch_decoder_feed(follower->decoder, data, length, &follower->stream_error);
}

static void watch_done(const struct http_response *response, void *userdata)
{
	struct follower *follower = userdata;
	char reason[ERROR_MESSAGE_MAX + 16];

	follower->watching = 0;
	if (follower->stream_error.errnum < 0)
		snprintf(reason, sizeof(reason), "watch: %s", follower->stream_error.message);
	else if (response->error == 0 && response->status == 200)
		snprintf(reason, sizeof(reason), "watch: the stream was closed");
	else
		describe(follower, response, "watch", reason, sizeof(reason));
	start_over(follower, reason);
}

static void watch(struct follower *follower)
{
	const struct http_call wanted = { .idle_timeout_ms = follower->silence_ms,
					  .on_data = watch_data,
					  .on_done = watch_done };
	char path[FOLLOWER_NAME_MAX + 32];
	int r;

	watch_decoder_free(follower->decoder);
	follower->decoder = NULL;
	follower->stream_error = ERROR_INIT;
	follower->lost = false;
	snprintf(path, sizeof(path), "/%s/desired?watch=1", follower->name);
	r = watch_decoder_new(&follower->decoder, &stream_events, follower, follower->epoch);
	if (r == 0)
		r = call(follower, "GET", path, NULL, &wanted, &follower->watching);
	if (r < 0)
		start_over(follower, "out of memory");
}

/* Not from within the stream's own call, which cannot be ended there. */
static void ask_anew(evutil_socket_t fd, short what, void *userdata)
{
	struct follower *follower = userdata;

	start_over(follower, follower->lost_reason);
}

/* ---- registration ---- */

static void registered(const struct http_response *response, void *userdata)
{
	struct follower *follower = userdata;
	_cleanup_json_ json_t *body = NULL;
	char reason[ERROR_MESSAGE_MAX];
	uint64_t epoch;

	follower->registering = 0;
	if (response->error < 0 || response->status != 200) {
		start_over(follower,
			   describe(follower, response, "register", reason, sizeof(reason)));
		return;
	}
	body = json_loadb(response->body, response->length, 0, NULL);
	epoch = (uint64_t)json_integer_value(json_object_get(body, "epoch"));
	if (epoch == 0 || epoch < follower->epoch) {
		snprintf(reason, sizeof(reason),
			 "register: the answer is of epoch %" PRIu64 ", older than %" PRIu64, epoch,
			 follower->epoch);
		start_over(follower, reason);
		return;
	}
	if (follower->register_again)
		follower_register(follower);
	if (follower->watching == 0)
		watch(follower);
}

static void send_registration(struct follower *follower)
{
	const struct http_call wanted = { .timeout_ms = CALL_TIMEOUT_MS, .on_done = registered };
	json_t *body = follower->events.registration(follower->userdata);

	follower->register_again = false;
	if (!body)
		start_over(follower, "not ready to register yet");
	else if (call(follower, "POST", "", body, &wanted, &follower->registering) < 0)
		start_over(follower, "out of memory");
}

static void retry_due(evutil_socket_t fd, short what, void *userdata)
{
	struct follower *follower = userdata;

	set_state(follower, FOLLOWER_CONNECTING, "");
	refresh_token(follower);
	send_registration(follower);
}

/* ---- the follower ---- */

static int add_server(struct follower *follower, const char *collection, const char *text,
		      size_t length)
{
	struct server *server = &follower->servers[follower->n_servers];
	size_t prefix = strlen(FOLLOWER_UNIX_PREFIX);

	if (length == 0 || follower->n_servers == FOLLOWER_SERVERS_MAX)
		return -EINVAL;
	follower->n_servers++;
	server->name = strndup(text, length);
	if (!server->name)
		return -ENOMEM;
	if (strncmp(server->name, FOLLOWER_UNIX_PREFIX, prefix) == 0) {
		server->unix_socket = strdup(server->name + prefix);
		if (!server->unix_socket)
			return -ENOMEM;
		text = "http://localhost";
		length = strlen(text);
	}
	while (length > 0 && text[length - 1] == '/')
		length--;
	if (asprintf(&server->url, "%.*s/v1/%s", (int)length, text, collection) < 0) {
		server->url = NULL;
		return -ENOMEM;
	}
	return 0;
}

static int set_servers(struct follower *follower, const struct follower_config *config)
{
	const char *text = config->server;
	int r = 0;

	for (bool last = false; r == 0 && !last;) {
		size_t length = strcspn(text, ",");

		last = text[length] == '\0';
		r = add_server(follower, config->collection, text, length);
		text += length + 1;
	}
	return r;
}

int follower_new(struct follower **ret, struct event_base *base, struct http_client *client,
		 const struct follower_config *config, const struct follower_events *events,
		 void *userdata)
{
	_cleanup_(cleanup_follower) struct follower *follower = calloc(1, sizeof(*follower));
	int r;

	if (!follower)
		return -ENOMEM;
	follower->base = base;
	follower->client = client;
	follower->events = *events;
	follower->userdata = userdata;
	follower->heartbeat_ms = config->heartbeat_ms;
	follower->silence_ms = config->silence_ms ? config->silence_ms : WATCH_SILENCE_MS;
	follower->epoch = config->min_epoch;
	follower->backoff = (struct backoff){ .first_ms = RETRY_FIRST_MS, .max_ms = RETRY_MAX_MS };
	evtimer_assign(&follower->retry, base, retry_due, follower);
	evtimer_assign(&follower->report, base, report_due, follower);
	evtimer_assign(&follower->ask_anew, base, ask_anew, follower);
	follower->name = strdup(config->name);
	if (config->token_file)
		follower->token_file = strdup(config->token_file);
	if (!follower->name || (config->token_file && !follower->token_file))
		return -ENOMEM;
	r = set_servers(follower, config);
	if (r == 0 && config->token)
		r = set_token(follower, config->token);
	if (r < 0)
		return r;
	event_active(&follower->retry, EV_TIMEOUT, 0);
	*ret = TAKE_PTR(follower);
	return 0;
}

void follower_free(struct follower *follower)
{
	if (!follower)
		return;
	http_client_cancel(follower->client, follower->registering);
	http_client_cancel(follower->client, follower->watching);
	http_client_cancel(follower->client, follower->reporting);
	event_del(&follower->retry);
	event_del(&follower->report);
	event_del(&follower->ask_anew);
	watch_decoder_free(follower->decoder);
	for (size_t i = 0; i < follower->n_servers; i++) {
		free(follower->servers[i].name);
		free(follower->servers[i].url);
		free(follower->servers[i].unix_socket);
	}
	free(follower->name);
	free(follower->token_file);
	forget_token(follower);
	free(follower);
}

void follower_touch(struct follower *follower)
{
	follower->touched = true;
	if (follower->state == FOLLOWER_SYNCED && follower->reporting == 0)
		event_active(&follower->report, EV_TIMEOUT, 0);
}

void follower_lost(struct follower *follower, const char *reason)
{
	/* Without a stream all of it is asked for anyhow. */
	if (follower->watching == 0 || follower->lost)
		return;
	follower->lost = true;
	(void)snprintf(follower->lost_reason, sizeof(follower->lost_reason), "%s", reason);
	event_active(&follower->ask_anew, EV_TIMEOUT, 0);
}

void follower_register(struct follower *follower)
{
	if (follower->registering != 0)
		follower->register_again = true;
	else if (follower->watching != 0)
		send_registration(follower);
	/* else the next try registers */
}

int follower_post(struct follower *follower, const char *path, const struct http_call *call,
		  uint64_t *ret_id)
{
	_cleanup_free_ char *own = NULL;

	if (asprintf(&own, "/%s%s", follower->name, path) < 0) {
		own = NULL;
		return -ENOMEM;
	}
	return send_call(follower, "POST", own, call, ret_id);
}

const char *follower_server(const struct follower *follower)
{
	return follower->servers[follower->current].name;
}

enum follower_state follower_state(const struct follower *follower)
{
	return follower->state;
}

uint64_t follower_epoch(const struct follower *follower)
{
	return follower->epoch;
}
