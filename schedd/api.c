/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What all resources of the API have in common. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "schedd/api_private.h"

struct operation *operation_new(struct api *api, struct http_request *request)
{
	struct operation *operation = calloc(1, sizeof(*operation));
	struct error err = ERROR_INIT;

	if (!operation) {
		error_set(&err, -ENOMEM, "internal", NULL, "out of memory");
		http_reply_error(request, &err);
		return NULL;
	}
	operation->api = api;
	operation->request = request;
	LIST_INSERT_HEAD(&api->operations, operation, entry);
	return operation;
}

void operation_free(struct operation *operation)
{
	LIST_REMOVE(operation, entry);
	record_free((struct record *)operation->environment);
	record_free((struct record *)operation->key);
	if (operation->password)
		explicit_bzero(operation->password, strlen(operation->password));
	free(operation->password);
	free(operation);
}

void operation_fail(struct operation *operation, const struct error *err)
{
	http_reply_error(operation->request, err);
	operation_free(operation);
}

void operation_answer_id(void *userdata, const struct error *err, const char *id)
{
	struct operation *operation = userdata;

	if (err->errnum < 0) {
		operation_fail(operation, err);
		return;
	}
	api_reply_item(operation->request, 200, json_pack("{s:s}", "id", id));
	operation_free(operation);
}

bool api_can_read(struct api *api, struct http_request *request)
{
	struct error err = ERROR_INIT;

	if (scheduler_loaded(api->config.scheduler))
		return true;
	if (scheduler_ready(api->config.scheduler, &err) == 0)
		return true;
	http_reply_error(request, &err);
	return false;
}

/* A list and what a follower is told have a revision as well, but not of a row. */
static void add_tag(struct http_request *request, const json_t *item)
{
	const json_t *revision = json_object_get(item, "revision");
	char tag[32];

	if (!revision || json_object_get(item, "items") || json_object_get(item, "epoch"))
		return;
	(void)snprintf(tag, sizeof(tag), "\"%" JSON_INTEGER_FORMAT "\"",
		       json_integer_value(revision));
	http_reply_header(request, "ETag", tag);
}

/* What was made is beside its list. */
static void add_location(struct http_request *request, const json_t *item)
{
	const char *id = json_string_value(json_object_get(item, "id"));
	char location[RECORD_ID_MAX + 64];

	if (!id)
		return;
	(void)snprintf(location, sizeof(location), "%s/%s", http_request_path(request), id);
	http_reply_header(request, "Location", location);
}

void api_reply_item(struct http_request *request, int status, json_t *item)
{
	struct error err = ERROR_INIT;

	add_tag(request, item);
	if (status == 201)
		add_location(request, item);
	if (json_object_get(item, "password") || json_object_get(item, "token"))
		http_reply_header(request, "Cache-Control", "no-store");
	if (item) {
		http_reply_json(request, status, item);
		return;
	}
	error_set(&err, -ENOMEM, "internal", NULL, "out of memory");
	http_reply_error(request, &err);
}

json_t *api_add_notice(json_t *item, const char *notice)
{
	_cleanup_json_ json_t *owned = item;

	if (!item || json_object_set_new(item, "notice", json_string(notice)) < 0)
		return NULL;
	return TAKE_PTR(owned);
}

void api_reply_not_found(struct http_request *request, const char *what, const char *id)
{
	struct error err = ERROR_INIT;

	error_set(&err, -ENOENT, "not_found", NULL, "there is no %s %s", what, id);
	http_reply_error(request, &err);
}

int api_check_follower(const struct http_request *request, const char *name, struct error *err)
{
	const struct caller *caller = access_caller(request);

	if (caller->access == ACCESS_ALL || strcmp(name, caller->subject) == 0)
		return 0;
	return error_set(err, -EPERM, "forbidden", "name",
			 "name: this token is for %s %s and not for %s", role_name(caller->role),
			 caller->subject, name);
}

void api_registered(void *userdata, const struct error *err, const char *id)
{
	struct operation *operation = userdata;
	const struct state *state = scheduler_state(operation->api->config.scheduler);

	if (err->errnum < 0) {
		operation_fail(operation, err);
		return;
	}
	api_reply_item(operation->request, 200,
		       json_pack("{s:s, s:I, s:I}", "id", id, "epoch", (json_int_t)state->epoch,
				 "revision", (json_int_t)state->revision));
	operation_free(operation);
}

void api_reply_report(struct api *api, struct http_request *request, json_t *more)
{
	const struct state *state = scheduler_state(api->config.scheduler);
	json_int_t heartbeat_ms = scheduler_heartbeat_ms(api->config.scheduler);
	json_t *answer = json_pack("{s:I, s:I, s:I}", "epoch", (json_int_t)state->epoch, "revision",
				   (json_int_t)state->revision, "heartbeat_ms", heartbeat_ms);

	if (answer && more && json_object_update(answer, more) < 0) {
		json_decref(answer);
		answer = NULL;
	}
	json_decref(more);
	api_reply_item(request, 200, answer);
}

int api_new(struct api **ret, const struct api_config *config)
{
	_cleanup_(cleanup_api) struct api *api = calloc(1, sizeof(*api));
	int r;

	if (!api)
		return -ENOMEM;
	api->config = *config;
	LIST_INIT(&api->operations);
	r = api_environments_init(api);
	if (r == 0)
		r = api_actions_init(api);
	if (r == 0)
		r = api_hosts_init(api);
	if (r == 0)
		r = api_logs_init(api);
	if (r == 0)
		r = api_gateways_init(api);
	if (r == 0)
		r = api_ports_init(api);
	if (r == 0)
		r = api_health_init(api);
	if (r == 0)
		r = api_events_init(api);
	if (r == 0)
		r = api_customers_init(api);
	if (r == 0)
		r = api_tokens_init(api);
	if (r == 0)
		r = api_quotas_init(api);
	if (r == 0)
		r = api_usage_init(api);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(api);
	return 0;
}

void api_free(struct api *api)
{
	struct operation *operation;
	struct error err = ERROR_INIT;

	if (!api)
		return;
	scheduler_stop(api->config.scheduler);
	error_set(&err, -ENOTCONN, "unavailable", NULL, "schedd is stopping");
	while ((operation = LIST_FIRST(&api->operations)))
		operation_fail(operation, &err);
	free(api);
}
