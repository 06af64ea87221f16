/* SPDX-License-Identifier: GPL-2.0-or-later */
/* /v1/hosts: for operators to read, for agentd to register, watch and report. */
#include <errno.h>

#include "schedd/api_private.h"

struct host_entry *api_find_host(struct api *api, const char *id)
{
	struct host_entry *entry = state_host(scheduler_state(api->config.scheduler), id);

	return entry && host_committed(entry) ? entry : NULL;
}

struct host_entry *api_take_host(struct api *api, struct http_request *request)
{
	const char *id = http_request_param(request, "id");
	struct host_entry *entry;

	if (!api_can_read(api, request))
		return NULL;
	entry = api_find_host(api, id);
	if (!entry)
		api_reply_not_found(request, "host", id);
	else if (!api_matches(request, &entry->entry, host_committed(entry)->record.revision))
		return NULL;
	return entry;
}

static json_t *answer(const struct api *api, const struct entry *entry)
{
	return answer_host(scheduler_state(api->config.scheduler),
			   (const struct host_entry *)entry);
}

static const struct entry *find(struct api *api, struct http_request *request, const char *id)
{
	const struct host_entry *entry = api_find_host(api, id);

	return entry ? &entry->entry : NULL;
}

static void list(struct http_request *request, void *userdata)
{
	api_serve_list(userdata, request, FEED_HOSTS, RECORD_HOST, NULL, answer);
}

static void show(struct http_request *request, void *userdata)
{
	api_serve_item(userdata, request, FEED_HOSTS, "host", find, answer);
}

static void enroll(struct http_request *request, void *userdata)
{
	struct api *api = userdata;
	struct operation *operation;
	struct host_registration registration = { 0 };
	_cleanup_json_ json_t *body = NULL;
	struct error err = ERROR_INIT;
	int r;

	if (!api_takes_no_query(request))
		return;
	operation = operation_new(api, request);
	if (!operation)
		return;
	r = http_request_json(request, &body, &err);
	if (r == 0)
		r = host_registration_decode(body, &registration, &err);
	if (r == 0)
		r = api_check_follower(request, registration.name, &err);
	if (r == 0)
		r = scheduler_register_host(api->config.scheduler, &registration,
					    access_caller(request)->actor, api_registered,
					    operation, &err);
	host_registration_clear(&registration);
	if (r < 0)
		operation_fail(operation, &err);
}

/* ?force=1 also where it has environments. */
static void delete (struct http_request *request, void *userdata)
{
	struct api *api = userdata;
	const struct host_entry *entry;
	struct operation *operation;
	struct error err = ERROR_INIT;
	bool force;

	if (!api_takes_force(request, &force))
		return;
	entry = api_take_host(api, request);
	if (!entry)
		return;
	operation = operation_new(api, request);
	if (operation && scheduler_delete_host(api->config.scheduler, entry->entry.id, force,
					       access_caller(request)->actor, operation_answer_id,
					       operation, &err) < 0)
		operation_fail(operation, &err);
}

static void watch(struct http_request *request, void *userdata)
{
	api_serve_item(userdata, request, FEED_ASSIGNMENTS, "host", find, NULL);
}

/* How long what can run elsewhere may run on without another report; without it nothing is said,
 * and the host goes by what it was told before. And which logs it was asked for, in case it did not
 * hear: it may follow a standby, which does not know. */
static json_t *more(const struct api *api, const char *host)
{
	json_t *object = json_object();
	json_t *logs = log_sessions_wanted(api->config.logs, host);
	uint64_t lease_ms;

	/* What there is no memory for is said another time. */
	if (scheduler_grants_lease(api->config.scheduler, host, &lease_ms))
		(void)json_object_set_new(object, "lease_ms", json_integer((json_int_t)lease_ms));
	if (logs)
		(void)json_object_set_new(object, "logs", logs);
	return object;
}

static void report(struct http_request *request, void *userdata)
{
	struct api *api = userdata;
	struct host_report report = { 0 };
	_cleanup_json_ json_t *body = NULL;
	struct error err = ERROR_INIT;
	int r;

	if (!api_takes_no_query(request) || !api_can_read(api, request))
		return;
	r = http_request_json(request, &body, &err);
	if (r == 0)
		r = host_report_decode(body, &report, &err);
	if (r == 0)
		r = scheduler_report_host(api->config.scheduler, http_request_param(request, "id"),
					  &report, &err);
	host_report_clear(&report);
	if (r < 0)
		http_reply_error(request, &err);
	else
		api_reply_report(api, request, more(api, http_request_param(request, "id")));
}

static const struct http_route routes[] = {
	{ HTTP_GET, "/v1/hosts", list },
	{ HTTP_POST, "/v1/hosts", enroll },
	{ HTTP_GET, "/v1/hosts/{id}", show },
	{ HTTP_DELETE, "/v1/hosts/{id}", delete },
	{ HTTP_GET, "/v1/hosts/{id}/desired", watch },
	{ HTTP_POST, "/v1/hosts/{id}/status", report },
};

int api_hosts_init(struct api *api)
{
	return http_server_routes(api->config.server, routes, ARRAY_SIZE(routes), api);
}
