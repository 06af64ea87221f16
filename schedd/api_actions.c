/* SPDX-License-Identifier: GPL-2.0-or-later */
/* POST /v1/environments/ID:VERB and /v1/hosts/ID:VERB, PATCH /v1/hosts/ID: wishes that are written
 * down at once and carried out later; the answer is the row with the wish in it. */
#include <errno.h>

#include "schedd/api_private.h"
#include "schedd/idempotency.h"

/* A body is optional where all of its fields are. */
static int read_body(struct http_request *request, json_t **ret, struct error *err)
{
	size_t length;

	(void)http_request_body(request, &length);
	if (length > 0)
		return http_request_json(request, ret, err);
	*ret = json_object();
	return *ret ? 0 : error_set(err, -ENOMEM, "internal", NULL, "out of memory");
}

static int read_nothing(struct http_request *request, struct error *err)
{
	_cleanup_json_ json_t *body = NULL;
	struct json_reader reader;
	int r = read_body(request, &body, err);

	if (r < 0)
		return r;
	json_reader_init(&reader, body, "", err);
	return json_reader_finish(&reader);
}

/* ---- environments ---- */

static void acted(void *userdata, const struct error *err, const char *id)
{
	struct operation *operation = userdata;
	struct api *api = operation->api;
	struct environment_entry *entry;

	if (err->errnum < 0) {
		operation_fail(operation, err);
		return;
	}
	entry = state_environment(scheduler_state(api->config.scheduler), id);
	if (entry && entry->entry.committed)
		api_reply_item(operation->request, 202,
			       answer_environment(entry, api->config.public_name, NULL));
	else
		api_reply_not_found(operation->request, "environment", id);
	operation_free(operation);
}

/* The request's query and its environment; NULL where it was answered. */
static struct environment_entry *take_environment(struct api *api, struct http_request *request)
{
	if (!api_takes_no_query(request) || !api_can_read(api, request))
		return NULL;
	return api_find_environment(api, request);
}

static void act(struct api *api, struct http_request *request,
		const struct environment_entry *entry, const struct scheduler_action *action)
{
	struct operation *operation;
	struct error err = ERROR_INIT;

	if (!api_matches(request, &entry->entry, answer_environment_revision(entry)))
		return;
	operation = operation_new(api, request);
	if (!operation || idempotency_repeats(operation, acted))
		return;
	if (scheduler_act(api->config.scheduler, entry->entry.id, action,
			  access_caller(request)->actor, acted, operation, &err) < 0)
		operation_fail(operation, &err);
	else
		idempotency_keep(operation, entry->entry.id);
}

static void act_plainly(struct api *api, struct http_request *request, enum scheduler_verb verb)
{
	const struct scheduler_action action = { .verb = verb };
	struct environment_entry *entry = take_environment(api, request);
	struct error err = ERROR_INIT;

	if (!entry)
		return;
	if (read_nothing(request, &err) < 0)
		http_reply_error(request, &err);
	else
		act(api, request, entry, &action);
}

static void start(struct http_request *request, void *userdata)
{
	act_plainly(userdata, request, SCHEDULER_START);
}

static void stop(struct http_request *request, void *userdata)
{
	act_plainly(userdata, request, SCHEDULER_STOP);
}

static void restart(struct http_request *request, void *userdata)
{
	act_plainly(userdata, request, SCHEDULER_RESTART);
}

static void move(struct http_request *request, void *userdata)
{
	struct scheduler_action action = { .verb = SCHEDULER_MOVE };
	struct environment_entry *entry = take_environment(userdata, request);
	_cleanup_json_ json_t *body = NULL;
	struct error err = ERROR_INIT;
	struct json_reader reader;
	int r;

	if (!entry)
		return;
	r = read_body(request, &body, &err);
	if (r == 0) {
		json_reader_init(&reader, body, "", &err);
		json_read_string(&reader, "host", JSON_OPTIONAL, FOLLOWER_NAME_MAX, &action.host);
		r = json_reader_finish(&reader);
	}
	if (r < 0)
		http_reply_error(request, &err);
	else
		act(userdata, request, entry, &action);
}

#define EXTENSION_MAX_S ((uint64_t)10 * 366 * 86400)

/* {"expires_at": TIME or null} or {"seconds": N}: exactly one. */
static int read_extension(json_t *body, struct scheduler_action *action, struct error *err)
{
	json_t *at = json_object_get(body, "expires_at");
	struct json_reader reader;
	uint64_t seconds = 0;
	int r;

	json_reader_init(&reader, body, "", err);
	if (json_is_null(at))
		json_reader_ignore(&reader, (const char *const[]){ "expires_at", NULL });
	else
		json_read_time(&reader, "expires_at", JSON_OPTIONAL, &action->expires_at);
	json_read_uint(&reader, "seconds", JSON_OPTIONAL, 1, EXTENSION_MAX_S, &seconds);
	r = json_reader_finish(&reader);
	if (r < 0)
		return r;
	if (!at == !seconds)
		return error_set(err, -EINVAL, at ? "invalid" : "missing", "seconds",
				 "seconds: give either it or expires_at");
	action->seconds = (int64_t)seconds;
	return 0;
}

static void extend(struct http_request *request, void *userdata)
{
	struct scheduler_action action = { .verb = SCHEDULER_EXTEND };
	struct environment_entry *entry = take_environment(userdata, request);
	_cleanup_json_ json_t *body = NULL;
	struct error err = ERROR_INIT;

	if (!entry)
		return;
	if (read_body(request, &body, &err) < 0 || read_extension(body, &action, &err) < 0)
		http_reply_error(request, &err);
	else
		act(userdata, request, entry, &action);
}

/* ---- hosts ---- */

/* The answer to all of them: the host as it is now. */
static void host_changed(void *userdata, const struct error *err, const char *id)
{
	struct operation *operation = userdata;
	struct host_entry *entry;

	if (err->errnum < 0) {
		operation_fail(operation, err);
		return;
	}
	entry = api_find_host(operation->api, id);
	if (entry)
		api_reply_item(
			operation->request, 200,
			answer_host(scheduler_state(operation->api->config.scheduler), entry));
	else
		api_reply_not_found(operation->request, "host", id);
	operation_free(operation);
}

static void set_mode(struct api *api, struct http_request *request, enum host_mode mode)
{
	const struct host_entry *entry;
	struct operation *operation;
	struct error err = ERROR_INIT;

	if (!api_takes_no_query(request))
		return;
	entry = api_take_host(api, request);
	if (!entry)
		return;
	if (read_nothing(request, &err) < 0) {
		http_reply_error(request, &err);
		return;
	}
	operation = operation_new(api, request);
	if (operation &&
	    scheduler_set_mode(api->config.scheduler, entry->entry.id, mode,
			       access_caller(request)->actor, host_changed, operation, &err) < 0)
		operation_fail(operation, &err);
}

static void cordon(struct http_request *request, void *userdata)
{
	set_mode(userdata, request, HOST_CORDONED);
}

static void drain(struct http_request *request, void *userdata)
{
	set_mode(userdata, request, HOST_DRAINING);
}

static void maintenance(struct http_request *request, void *userdata)
{
	set_mode(userdata, request, HOST_MAINTENANCE);
}

static void uncordon(struct http_request *request, void *userdata)
{
	set_mode(userdata, request, HOST_ACTIVE);
}

/* {"cpu_overcommit_percent": N, or null for the default}. */
static int read_settings(struct http_request *request, unsigned *ret_percent, struct error *err)
{
	static const char *const field = "cpu_overcommit_percent";
	_cleanup_json_ json_t *body = NULL;
	struct json_reader reader;
	uint64_t percent = 0;
	int r = http_request_json(request, &body, err);

	if (r < 0)
		return r;
	if (json_is_object(body) && !json_object_get(body, field))
		return error_set(err, -EINVAL, "missing", field, "%s: say how much, or null",
				 field);
	json_reader_init(&reader, body, "", err);
	json_read_uint(&reader, field, JSON_OPTIONAL, OVERCOMMIT_MIN, OVERCOMMIT_MAX, &percent);
	r = json_reader_finish(&reader);
	if (r == 0)
		*ret_percent = (unsigned)percent;
	return r;
}

static void set(struct http_request *request, void *userdata)
{
	struct api *api = userdata;
	const struct host_entry *entry;
	struct operation *operation;
	struct error err = ERROR_INIT;
	unsigned percent = 0;

	if (!api_takes_no_query(request))
		return;
	entry = api_take_host(api, request);
	if (!entry)
		return;
	if (read_settings(request, &percent, &err) < 0) {
		http_reply_error(request, &err);
		return;
	}
	operation = operation_new(api, request);
	if (operation && scheduler_set_overcommit(api->config.scheduler, entry->entry.id, percent,
						  access_caller(request)->actor, host_changed,
						  operation, &err) < 0)
		operation_fail(operation, &err);
}

static const struct http_route routes[] = {
	{ HTTP_POST, "/v1/environments/{id}:start", start },
	{ HTTP_POST, "/v1/environments/{id}:stop", stop },
	{ HTTP_POST, "/v1/environments/{id}:restart", restart },
	{ HTTP_POST, "/v1/environments/{id}:move", move },
	{ HTTP_POST, "/v1/environments/{id}:extend", extend },
	{ HTTP_PATCH, "/v1/hosts/{id}", set },
	{ HTTP_POST, "/v1/hosts/{id}:cordon", cordon },
	{ HTTP_POST, "/v1/hosts/{id}:drain", drain },
	{ HTTP_POST, "/v1/hosts/{id}:maintenance", maintenance },
	{ HTTP_POST, "/v1/hosts/{id}:uncordon", uncordon },
};

int api_actions_init(struct api *api)
{
	return http_server_routes(api->config.server, routes, ARRAY_SIZE(routes), api);
}
