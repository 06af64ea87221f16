/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The follower's events go to the reconciler, its changes to the follower's next report. */
#include "agentd/agent.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "agentd/agent_metrics.h"
#include "agentd/docker_driver.h"
#include "agentd/epoch_file.h"
#include "agentd/lease.h"
#include "agentd/log_upload.h"
#include "agentd/reconcile.h"
#include "agentd/resources.h"
#include "lib/http_client.h"
#include "lib/http_server.h"
#include "lib/log.h"
#include "proto/follower.h"
#include "proto/report.h"

struct agent {
	const struct options *options;
	struct agent_metrics metrics;
	struct http_client *client;
	struct http_server *server; /* NULL: no metrics listener */
	struct driver *driver;
	struct reconcile *reconcile;
	struct follower *follower;
	struct log_uploads *logs;
	struct capacity capacity;
	struct lease lease;
	uint64_t min_epoch;       /* from the file */
	uint64_t epoch, revision; /* received last */
};

/* ---- the follower ---- */

/* Durable before it is acted upon, so that a kill cannot make us forget it. Where the disk refuses,
 * going on is the smaller evil: the follower itself still refuses older ones until we end. */
static void keep_epoch(struct agent *agent, uint64_t epoch)
{
	struct error err = ERROR_INIT;
	int r;

	if (epoch <= agent->min_epoch)
		return;
	r = epoch_file_write(agent->options->data_dir, epoch, &err);
	if (r < 0)
		log_warning("scheduler", "its epoch cannot be kept across a restart: %s",
			    error_text(&err, r));
	else
		agent->min_epoch = epoch;
}

/* Until all of it has arrived anew, what was received before is what a report is of: of a later
 * revision a missing container would pass for a removed one. */
static void lose(struct agent *agent)
{
	static const char reason[] = "out of memory: assignments are lost";

	log_error("scheduler", "%s, and all are asked for anew", reason);
	follower_lost(agent->follower, reason);
}

static void on_snapshot(void *userdata, uint64_t epoch, uint64_t revision, json_t *items)
{
	struct agent *agent = userdata;

	keep_epoch(agent, epoch);
	log_info("scheduler", "assignments=%zu epoch=%" PRIu64 " revision=%" PRIu64,
		 json_array_size(items), epoch, revision);
	if (reconcile_snapshot(agent->reconcile, epoch, items) < 0) {
		lose(agent);
		return;
	}
	agent->epoch = epoch;
	agent->revision = revision;
}

static void on_change(void *userdata, uint64_t epoch, uint64_t revision, json_t *put,
		      json_t *deleted)
{
	struct agent *agent = userdata;

	keep_epoch(agent, epoch);
	log_debug("scheduler", "put=%zu deleted=%zu epoch=%" PRIu64 " revision=%" PRIu64,
		  json_array_size(put), json_array_size(deleted), epoch, revision);
	if (reconcile_apply(agent->reconcile, epoch, put, deleted) < 0) {
		lose(agent);
		return;
	}
	agent->epoch = epoch;
	agent->revision = revision;
}

static void on_bookmark(void *userdata, uint64_t epoch, uint64_t revision)
{
	struct agent *agent = userdata;

	agent->epoch = epoch;
	agent->revision = revision;
}

static void on_logs(void *userdata, uint64_t epoch, json_t *session)
{
	struct agent *agent = userdata;

	log_uploads_ask(agent->logs, session);
}

static json_t *make_registration(void *userdata)
{
	struct agent *agent = userdata;
	const struct host_registration registration = {
		.name = agent->options->name,
		.address = agent->options->host_address,
		.pool = agent->options->pool,
		.labels = agent->options->label_object,
		.capacity = agent->capacity,
		.version = (char *)PORTICO_VERSION,
	};

	return host_registration_encode(&registration);
}

/* Nothing is reported before Docker was seen in full: an absent environment means a removed one. */
static json_t *make_report(void *userdata)
{
	struct agent *agent = userdata;
	struct host_report report = { .epoch = agent->epoch, .revision = agent->revision };
	const char *engine_error = reconcile_engine_error(agent->reconcile);
	json_t *json = NULL;

	if (!reconcile_looked(agent->reconcile))
		return NULL;
	report.capacity = agent->capacity;
	report.engine_error = (char *)engine_error;
	if (reconcile_report(agent->reconcile, &report) == 0)
		json = host_report_encode(&report);
	else
		log_error(NULL, "cannot make a report: out of memory");
	/* Borrowed. */
	memset(&report.capacity, 0, sizeof(report.capacity));
	report.engine_error = NULL;
	host_report_clear(&report);
	return json;
}

/* Where the disk refuses, the lease holds for as long as we run. */
static void renew_lease(struct agent *agent, const json_t *answer, uint64_t sent_ms)
{
	const json_t *length = json_object_get(answer, "lease_ms");
	struct error err = ERROR_INIT;
	int r;

	if (!json_is_integer(length) || json_integer_value(length) < 0)
		return;
	r = lease_renew(&agent->lease, sent_ms, (uint64_t)json_integer_value(length), &err);
	if (r < 0)
		log_warning("scheduler", "its lease cannot be kept across a restart: %s",
			    error_text(&err, r));
	reconcile_renew(agent->reconcile);
}

static void on_answer(void *userdata, const json_t *answer, uint64_t sent_ms)
{
	struct agent *agent = userdata;
	json_t *session;
	size_t i;

	renew_lease(agent, answer, sent_ms);
	json_array_foreach (json_object_get(answer, "logs"), i, session)
		log_uploads_ask(agent->logs, session);
}

static void on_heartbeat(void *userdata, uint32_t heartbeat_ms, const char *complaint)
{
	if (*complaint)
		log_warning("scheduler", "%s", complaint);
	else
		log_info("scheduler", "heartbeat: every %u ms, as configured", heartbeat_ms);
}

static void on_state(void *userdata, enum follower_state state, const char *reason)
{
	switch (state) {
	case FOLLOWER_CONNECTING:
		log_debug("scheduler", "connecting");
		return;
	case FOLLOWER_SYNCED:
		log_info("scheduler", "is followed");
		loop_ready("Following the scheduler");
		return;
	case FOLLOWER_WAITING:
		log_warning("scheduler", "cannot be followed: %s", reason);
		loop_status("Waiting for the scheduler");
		return;
	}
}

static void on_reconciled(void *userdata)
{
	struct agent *agent = userdata;

	if (agent->follower)
		follower_touch(agent->follower);
}

/* ---- metrics and health ---- */

static void collect(void *userdata)
{
	struct agent *agent = userdata;
	struct agent_metrics *metrics = &agent->metrics;
	size_t counts[CONTAINER_STATE_MAX];
	bool synced = agent->follower && follower_state(agent->follower) == FOLLOWER_SYNCED;
	bool up = reconcile_looked(agent->reconcile) && !reconcile_engine_error(agent->reconcile);

	reconcile_count(agent->reconcile, counts);
	for (int i = 0; i < CONTAINER_STATE_MAX; i++)
		metric_set(metrics->containers, (const char *[]){ container_state_name(i) },
			   (double)counts[i]);
	metric_set(metrics->follower_connected, NULL, synced);
	metric_set(metrics->engine_up, NULL, up);
	metric_set(metrics->revision, NULL, (double)agent->revision);
	metric_set(metrics->epoch, NULL, (double)agent->epoch);
	metric_set(metrics->log_sessions, NULL, agent->logs ? log_uploads_count(agent->logs) : 0);
	metric_set(metrics->cpu_milli, NULL, (double)agent->capacity.cpu_milli);
	metric_set(metrics->memory_bytes, NULL, (double)agent->capacity.memory_bytes);
}

static void handle_metrics(struct http_request *request, void *userdata)
{
	struct agent *agent = userdata;
	struct evbuffer *out = evbuffer_new();
	struct error err = ERROR_INIT;

	if (out && metrics_write(agent->metrics.registry, out) == 0) {
		http_reply_buffer(request, 200, METRICS_CONTENT_TYPE, out);
	} else {
		error_set(&err, -ENOMEM, "internal", NULL, "out of memory");
		http_reply_error(request, &err);
	}
	if (out)
		evbuffer_free(out);
}

static void handle_health(struct http_request *request, void *userdata)
{
	http_reply_json(request, 200, json_pack("{s:s}", "status", "ok"));
}

static void handle_ready(struct http_request *request, void *userdata)
{
	struct agent *agent = userdata;
	const char *engine_error = reconcile_engine_error(agent->reconcile);
	struct error err = ERROR_INIT;

	if (engine_error || !reconcile_looked(agent->reconcile))
		error_set(&err, -EAGAIN, "unavailable", NULL, "%s",
			  engine_error ? engine_error : "Docker has not been seen in full yet");
	else if (follower_state(agent->follower) != FOLLOWER_SYNCED)
		error_set(&err, -EAGAIN, "unavailable", NULL, "the scheduler is not followed");
	if (err.errnum)
		http_reply_error(request, &err);
	else
		http_reply_json(request, 200, json_pack("{s:s}", "status", "ok"));
}

static int start_server(struct agent *agent, struct event_base *base, struct error *err)
{
	static const struct http_route routes[] = {
		{ HTTP_GET, "/metrics", handle_metrics },
		{ HTTP_GET, "/healthz", handle_health },
		{ HTTP_GET, "/readyz", handle_ready },
	};
	const struct endpoint *endpoint = &agent->options->metrics_endpoint;
	char address[ADDRESS_STRING_MAX];
	int r;

	r = metrics_on_write(agent->metrics.registry, collect, agent);
	if (r < 0 || endpoint->port == 0)
		return r;
	r = http_server_new(&agent->server, base, NULL);
	if (r < 0)
		return r;
	r = http_server_routes(agent->server, routes, ARRAY_SIZE(routes), agent);
	if (r < 0)
		return r;
	return http_server_listen_tcp(agent->server, address_format(&endpoint->address, address),
				      endpoint->port, NULL, err);
}

/* ---- life ---- */

static int start_driver(struct agent *agent, struct event_base *base, struct error *err)
{
	const struct options *options = agent->options;
	int r;

	r = docker_driver_new(&agent->driver,
			      &(struct docker_driver_config){
				      .base = base,
				      .client = agent->client,
				      .docker = options->docker,
				      .host = options->name,
				      .address = options->host_address,
				      .data_dir = options->data_dir,
				      .shared_dir = options->shared_dir,
				      .errors = agent->metrics.docker_errors,
			      },
			      err);
	if (r < 0)
		return r;
	return reconcile_new(&agent->reconcile, &(struct reconcile_config){
							.base = base,
							.driver = agent->driver,
							.parallel = (unsigned)options->parallel,
							.lease = &agent->lease,
							.data_dir = options->data_dir,
							.seconds = agent->metrics.reconcile_seconds,
							.on_change = on_reconciled,
							.userdata = agent,
						});
}

static int start_follower(struct agent *agent, struct event_base *base)
{
	static const struct follower_events events = {
		.watch = {
			.on_snapshot = on_snapshot,
			.on_change = on_change,
			.on_bookmark = on_bookmark,
			.on_logs = on_logs,
		},
		.registration = make_registration,
		.report = make_report,
		.on_answer = on_answer,
		.on_heartbeat = on_heartbeat,
		.on_state = on_state,
	};
	const struct follower_config config = {
		.server = agent->options->server,
		.collection = "hosts",
		.name = agent->options->name,
		.token = agent->options->token,
		.token_file = agent->options->token_file,
		.heartbeat_ms = (uint32_t)agent->options->heartbeat_ms,
		.min_epoch = agent->min_epoch,
	};

	return follower_new(&agent->follower, base, agent->client, &config, &events, agent);
}

static int start_logs(struct agent *agent, struct event_base *base)
{
	return log_uploads_new(&agent->logs, &(struct log_uploads_config){
						     .base = base,
						     .client = agent->client,
						     .follower = agent->follower,
						     .driver = agent->driver,
						     .bytes = agent->metrics.log_bytes,
					     });
}

static int start(struct agent *agent, struct event_base *base, struct error *err)
{
	const struct resource_limits limits = options_limits(agent->options);
	int r;

	r = resources_read(&limits, &agent->capacity, err);
	if (r < 0)
		return r;
	r = agent_metrics_init(&agent->metrics);
	if (r < 0)
		return r;
	r = http_client_new(&agent->client, base);
	if (r == 0)
		r = http_client_trust(agent->client, agent->options->ca_file,
				      agent->options->server_pin);
	if (r < 0)
		return r;
	/* Makes the data folder, in which the epoch is kept. */
	r = start_driver(agent, base, err);
	if (r < 0)
		return r;
	r = lease_init(&agent->lease, agent->options->data_dir, err);
	if (r < 0)
		return r;
	r = epoch_file_read(agent->options->data_dir, &agent->min_epoch, err);
	if (r < 0)
		return r;
	r = start_server(agent, base, err);
	if (r < 0)
		return r;
	r = start_follower(agent, base);
	if (r == 0)
		r = start_logs(agent, base);
	return r == -EINVAL ? error_set(err, r, "invalid", "server",
					"server: \"%s\" is not up to %d URLs with commas between",
					agent->options->server, FOLLOWER_SERVERS_MAX)
			    : r;
}

int agent_new(struct agent **ret, struct loop *loop, const struct options *options,
	      struct error *err)
{
	_cleanup_(cleanup_agent) struct agent *agent = calloc(1, sizeof(*agent));
	int r;

	if (!agent)
		return -ENOMEM;
	agent->options = options;
	r = start(agent, loop_base(loop), err);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(agent);
	return 0;
}

void agent_free(struct agent *agent)
{
	if (!agent)
		return;
	log_uploads_free(agent->logs);
	agent->logs = NULL;
	follower_free(agent->follower);
	agent->follower = NULL;
	http_server_free(agent->server);
	reconcile_free(agent->reconcile);
	driver_free(agent->driver);
	http_client_free(agent->client);
	lease_clear(&agent->lease);
	agent_metrics_release(&agent->metrics);
	capacity_release(&agent->capacity);
	free(agent);
}
