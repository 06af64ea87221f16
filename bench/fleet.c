/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Hosts and a gateway without anything behind them, as schedd sees them: they register, watch what
 * they should have, and report that they have it.
 *
 *	bench-fleet SERVER TOKEN-FILE HOSTS INTERVAL-MS STATE ADDRESS…
 *
 * STATE is what a host says of its containers: "ready", at once, or "waiting". Each ADDRESS is one
 * that the gateway serves. A line "up" says that all watch and have reported; after SIGTERM each
 * assignment that came as a change is a line "host ENVIRONMENT SEEN", each mapping "gateway
 * ENVIRONMENT SEEN", with monotonic nanoseconds.
 */
#include <event2/buffer.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/api.h"
#include "proto/environment.h"
#include "proto/report.h"
#include "proto/watch.h"

#define TARGET "10.0.0.5" /* of every host */
#define TARGET_PORT 32768
#define STARTING_MAX 64 /* followers that are on their way in at the same time */
#define PATH_MAX_LENGTH 128

struct held {
	struct held *next;
	char environment[ENVIRONMENT_ID_MAX + 1];
	uint64_t revision;
	struct service *services;
	size_t n_services;
};

struct follower {
	struct evhttp_connection *watch, *report;
	struct watch_decoder *decoder;
	struct event *heartbeat;
	char name[32];
	bool gateway, up, reporting, changed;
	uint64_t epoch, revision;
	struct held *held;
	size_t n_held;
};

struct seen {
	bool gateway;
	char environment[ENVIRONMENT_ID_MAX + 1];
	uint64_t at;
};

static struct {
	struct api api;
	struct follower *followers;
	size_t n, started, up;
	struct timeval interval;
	bool ready;
	json_t *addresses;
	struct address target;
	struct seen *seen;
	size_t n_seen, capacity;
} bench;

static void start_next(void);
static void send_report(struct follower *follower);

static void note(bool gateway, const char *environment)
{
	struct seen *seen;

	if (bench.n_seen == bench.capacity) {
		bench.capacity = bench.capacity ? bench.capacity * 2 : 4096;
		bench.seen = reallocarray(bench.seen, bench.capacity, sizeof(*bench.seen));
		if (!bench.seen)
			errx(1, "out of memory");
	}
	seen = &bench.seen[bench.n_seen++];
	*seen = (struct seen){ .gateway = gateway, .at = now_ns() };
	(void)snprintf(seen->environment, sizeof(seen->environment), "%s", environment);
}

/* ---- what a host has ---- */

static void held_free(struct held *held)
{
	for (size_t i = 0; i < held->n_services; i++)
		free(held->services[i].name);
	free(held->services);
	free(held);
}

static void drop(struct follower *follower, const char *environment)
{
	for (struct held **at = &follower->held; *at; at = &(*at)->next) {
		struct held *held = *at;

		if (environment && strcmp(held->environment, environment) != 0)
			continue;
		*at = held->next;
		held_free(held);
		follower->n_held--;
		return;
	}
}

static void hold(struct follower *follower, json_t *item)
{
	struct error error = ERROR_INIT;
	struct assignment assignment;
	struct held *held = calloc(1, sizeof(*held));

	if (!held || assignment_decode(item, "", &assignment, &error) < 0)
		errx(1, "%s: an assignment: %s", follower->name, error.message);
	drop(follower, assignment.environment);
	(void)snprintf(held->environment, sizeof(held->environment), "%s", assignment.environment);
	held->revision = assignment.revision;
	held->services = assignment.spec.services;
	held->n_services = assignment.spec.n_services;
	assignment.spec.services = NULL;
	assignment.spec.n_services = 0;
	assignment_clear(&assignment);
	held->next = follower->held;
	follower->held = held;
	follower->n_held++;
}

/* ---- reports ---- */

static void fill_container(const struct held *held, struct container_report *ret)
{
	*ret = (struct container_report){
		.environment = (char *)held->environment,
		.revision = held->revision,
		.state = bench.ready ? CONTAINER_READY : CONTAINER_WAITING,
		.exit_code = EXIT_CODE_NONE,
		.n_services = bench.ready ? held->n_services : 0,
	};
	ret->services = calloc(held->n_services + 1, sizeof(*ret->services));
	if (!ret->services)
		errx(1, "out of memory");
	for (size_t i = 0; i < ret->n_services; i++) {
		ret->services[i].service = held->services[i].name;
		ret->services[i].protocol = held->services[i].protocol;
		ret->services[i].endpoint.address = bench.target;
		ret->services[i].endpoint.port = TARGET_PORT;
	}
}

static json_t *host_status(const struct follower *follower)
{
	struct host_report report = {
		.epoch = follower->epoch,
		.revision = follower->revision,
		.capacity = { .cpu_milli = INT64_MAX / 2, .memory_bytes = INT64_MAX / 2 },
	};
	json_t *json;

	report.containers = calloc(follower->n_held + 1, sizeof(*report.containers));
	if (!report.containers)
		errx(1, "out of memory");
	for (const struct held *held = follower->held; held; held = held->next) {
		fill_container(held, &report.containers[report.n_containers++]);
	}
	json = host_report_encode(&report);
	for (size_t i = 0; i < report.n_containers; i++)
		free(report.containers[i].services);
	free(report.containers);
	return json;
}

static json_t *gateway_status(const struct follower *follower)
{
	const struct gateway_report report = { .epoch = follower->epoch,
					       .revision = follower->revision };

	return gateway_report_encode(&report);
}

static void reported(struct evhttp_request *request, void *userdata)
{
	struct follower *follower = userdata;

	if (api_code(request) != 200)
		errx(1, "%s: its report was answered with %d", follower->name, api_code(request));
	follower->reporting = false;
	if (!follower->up) {
		follower->up = true;
		if (++bench.up == bench.n) {
			(void)printf("up\n");
			(void)fflush(stdout);
		}
		start_next();
	}
	if (follower->changed)
		send_report(follower);
}

static void send_report(struct follower *follower)
{
	char path[PATH_MAX_LENGTH];
	json_t *json;
	char *body;

	follower->changed = follower->reporting;
	if (follower->reporting)
		return;
	json = follower->gateway ? gateway_status(follower) : host_status(follower);
	body = json ? json_dumps(json, JSON_COMPACT) : NULL;
	if (!body)
		errx(1, "out of memory");
	(void)snprintf(path, sizeof(path), "/v1/%s/%s/status",
		       follower->gateway ? "gateways" : "hosts", follower->name);
	follower->reporting = true;
	api_send(&bench.api, follower->report, EVHTTP_REQ_POST, path, body, reported, NULL,
		 follower);
	free(body);
	json_decref(json);
}

static void heartbeat_due(evutil_socket_t fd, short what, void *userdata)
{
	struct follower *follower = userdata;

	(void)event_add(follower->heartbeat, &bench.interval);
	if (follower->epoch > 0)
		send_report(follower);
}

/* ---- the stream ---- */

static void take(struct follower *follower, json_t *items, bool change)
{
	size_t i;
	json_t *item;

	json_array_foreach (items, i, item) {
		if (change)
			note(follower->gateway,
			     json_string_value(json_object_get(item, "environment")));
		if (!follower->gateway)
			hold(follower, item);
	}
}

static void on_snapshot(void *userdata, uint64_t epoch, uint64_t revision, json_t *items)
{
	struct follower *follower = userdata;

	follower->epoch = epoch;
	follower->revision = revision;
	take(follower, items, false);
	send_report(follower);
}

static void on_change(void *userdata, uint64_t epoch, uint64_t revision, json_t *put,
		      json_t *deleted)
{
	struct follower *follower = userdata;
	size_t i;
	json_t *item;

	follower->revision = revision;
	take(follower, put, true);
	if (!follower->gateway)
		json_array_foreach (deleted, i, item)
			drop(follower, json_string_value(json_object_get(item, "environment")));
	if (follower->gateway || bench.ready)
		send_report(follower);
}

static void on_bookmark(void *userdata, uint64_t epoch, uint64_t revision)
{
	((struct follower *)userdata)->revision = revision;
}

static void watched(struct evhttp_request *request, void *userdata)
{
	struct follower *follower = userdata;
	struct evbuffer *body = evhttp_request_get_input_buffer(request);
	struct error error = ERROR_INIT;
	size_t length = evbuffer_get_length(body);

	if (watch_decoder_feed(follower->decoder, (const char *)evbuffer_pullup(body, -1), length,
			       &error) < 0)
		errx(1, "%s: its stream: %s", follower->name, error.message);
	(void)evbuffer_drain(body, length);
}

/* The server went away: what was seen before counts. */
static void watch_ended(struct evhttp_request *request, void *userdata)
{
	event_base_loopbreak(bench.api.base);
}

static void registered(struct evhttp_request *request, void *userdata)
{
	static const struct watch_events events = { on_snapshot, on_change, on_bookmark };
	struct follower *follower = userdata;
	char path[PATH_MAX_LENGTH];

	if (api_code(request) != 200)
		errx(1, "%s: its registration was answered with %d", follower->name,
		     api_code(request));
	if (watch_decoder_new(&follower->decoder, &events, follower, 0) < 0)
		errx(1, "out of memory");
	(void)snprintf(path, sizeof(path), "/v1/%s/%s/desired?watch=1",
		       follower->gateway ? "gateways" : "hosts", follower->name);
	follower->watch = api_connect(&bench.api);
	api_send(&bench.api, follower->watch, EVHTTP_REQ_GET, path, NULL, watch_ended, watched,
		 follower);
}

/* ---- the start ---- */

static void start(struct follower *follower)
{
	size_t index = (size_t)(follower - bench.followers);
	struct timeval first = { .tv_sec = 1 +
					   (time_t)index * bench.interval.tv_sec / (time_t)bench.n,
				 .tv_usec = (suseconds_t)(index * 7919 % 1000000) };
	json_t *json = follower->gateway
			       ? json_pack("{s:s, s:O, s:s}", "name", follower->name, "addresses",
					   bench.addresses, "version", "bench")
			       : json_pack("{s:s, s:s, s:s, s:{}, s:{s:I, s:I, s:[]}, s:s}", "name",
					   follower->name, "address", TARGET, "pool", "default",
					   "labels", "capacity", "cpu_milli",
					   (json_int_t)INT64_MAX / 2, "memory_bytes",
					   (json_int_t)INT64_MAX / 2, "gpus", "version", "bench");
	char *body = json ? json_dumps(json, JSON_COMPACT) : NULL;

	if (!body)
		errx(1, "out of memory");
	follower->report = api_connect(&bench.api);
	follower->heartbeat = evtimer_new(bench.api.base, heartbeat_due, follower);
	(void)event_add(follower->heartbeat, &first);
	api_send(&bench.api, follower->report, EVHTTP_REQ_POST,
		 follower->gateway ? "/v1/gateways" : "/v1/hosts", body, registered, NULL,
		 follower);
	free(body);
	json_decref(json);
}

static void start_next(void)
{
	if (bench.started < bench.n)
		start(&bench.followers[bench.started++]);
}

static void terminated(evutil_socket_t fd, short what, void *userdata)
{
	event_base_loopbreak(bench.api.base);
}

static void clear(void)
{
	for (size_t i = 0; i < bench.started; i++) {
		struct follower *follower = &bench.followers[i];

		event_free(follower->heartbeat);
		if (follower->watch)
			evhttp_connection_free(follower->watch);
		evhttp_connection_free(follower->report);
		watch_decoder_free(follower->decoder);
		while (follower->held)
			drop(follower, NULL);
	}
	free(bench.followers);
	free(bench.seen);
	json_decref(bench.addresses);
	api_clear(&bench.api);
}

static void arguments(int argc, char **argv)
{
	unsigned long ms;

	if (argc < 7)
		errx(2, "SERVER TOKEN-FILE HOSTS INTERVAL-MS ready|waiting ADDRESS…");
	api_init(&bench.api, argv[1], argv[2]);
	bench.n = argument(argv[3], "HOSTS", 0, 100000) + 1;
	ms = argument(argv[4], "INTERVAL-MS", 100, 3600000);
	bench.interval = (struct timeval){ (time_t)(ms / 1000), (suseconds_t)(ms % 1000 * 1000) };
	bench.ready = strcmp(argv[5], "ready") == 0;
	bench.addresses = json_array();
	for (int i = 6; i < argc; i++)
		if (json_array_append_new(bench.addresses, json_string(argv[i])) < 0)
			errx(1, "out of memory");
	if (address_parse(TARGET, &bench.target) < 0)
		errx(1, TARGET " is not an address");
	bench.followers = calloc(bench.n, sizeof(*bench.followers));
	if (!bench.followers)
		errx(1, "out of memory");
	for (size_t i = 0; i < bench.n; i++)
		(void)snprintf(bench.followers[i].name, sizeof(bench.followers[i].name), "host%zu",
			       i);
	bench.followers[0].gateway = true;
	(void)snprintf(bench.followers[0].name, sizeof(bench.followers[0].name), "gateway");
}

int main(int argc, char **argv)
{
	struct event *term;

	arguments(argc, argv);
	term = evsignal_new(bench.api.base, SIGTERM, terminated, NULL);
	if (!term || event_add(term, NULL) < 0)
		errx(1, "out of memory");
	for (int i = 0; i < STARTING_MAX; i++)
		start_next();
	(void)event_base_dispatch(bench.api.base);
	for (size_t i = 0; i < bench.n_seen; i++)
		(void)printf("%s %s %llu\n", bench.seen[i].gateway ? "gateway" : "host",
			     bench.seen[i].environment, (unsigned long long)bench.seen[i].at);
	event_free(term);
	clear();
	return 0;
}
