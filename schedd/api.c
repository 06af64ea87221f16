/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What all resources of the API have in common. */
#include <errno.h>
#include <string.h>

#include "schedd/api_private.h"
#include "schedd/auth.h"

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

bool api_takes_query(struct http_request *request, const char *const *known)
{
	const char *unknown = http_request_unknown_query(request, known);
	struct error err = ERROR_INIT;

	if (!unknown)
		return true;
	error_set(&err, -EINVAL, "unknown_field", unknown, "there is no parameter %s", unknown);
	http_reply_error(request, &err);
	return false;
}

bool api_takes_no_query(struct http_request *request)
{
	static const char *const none[] = { NULL };

	return api_takes_query(request, none);
}

bool api_wants_watch(struct http_request *request, bool *ret_failed)
{
	static const char *const known[] = { "watch", NULL };
	const char *watch = http_request_query(request, "watch");
	struct error err = ERROR_INIT;

	*ret_failed = true;
	if (!api_takes_query(request, known))
		return false;
	if (watch && strcmp(watch, "1") != 0 && strcmp(watch, "0") != 0) {
		error_set(&err, -EINVAL, "invalid", "watch", "watch: \"%s\" is neither 0 nor 1",
			  watch);
		http_reply_error(request, &err);
		return false;
	}
	if (watch && *watch == '1' && !auth_takes_watch(request))
		return false;
	*ret_failed = false;
	return watch && *watch == '1';
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

void api_reply_item(struct http_request *request, int status, json_t *item)
{
	struct error err = ERROR_INIT;

	if (item) {
		http_reply_json(request, status, item);
		return;
	}
	error_set(&err, -ENOMEM, "internal", NULL, "out of memory");
	http_reply_error(request, &err);
}

void api_reply_not_found(struct http_request *request, const char *what, const char *id)
{
	struct error err = ERROR_INIT;

	error_set(&err, -ENOENT, "not_found", NULL, "there is no %s %s", what, id);
	http_reply_error(request, &err);
}

void api_reply_list(struct api *api, struct http_request *request, enum record_kind kind,
		    bool (*sees)(const struct caller *caller, const struct entry *entry),
		    json_t *(*answer)(const struct api *api, const struct entry *entry))
{
	const struct caller *caller = access_caller(request);
	const struct state *state = scheduler_state(api->config.scheduler);
	json_t *items = json_array();
	struct entry *entry;
	int r = items ? 0 : -1;

	STATE_FOREACH(state, kind, entry)
	{
		if (r == 0 && entry->committed && (!sees || sees(caller, entry)))
			r = json_array_append_new(items, answer(api, entry));
	}
	if (r < 0) {
		json_decref(items);
		api_reply_item(request, 500, NULL);
		return;
	}
	api_reply_item(
		request, 200,
		json_pack("{s:o, s:I}", "items", items, "revision", (json_int_t)state->revision));
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
	json_t *answer = json_pack("{s:I, s:I}", "epoch", (json_int_t)state->epoch, "revision",
				   (json_int_t)state->revision);

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
		r = api_gateways_init(api);
	if (r == 0)
		r = api_ports_init(api);
	if (r == 0)
		r = api_health_init(api);
	if (r == 0)
		r = api_customers_init(api);
	if (r == 0)
		r = api_tokens_init(api);
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
	error_set(&err, -ENOTCONN, "unavailable", NULL, "schedd is stopping");
	while ((operation = LIST_FIRST(&api->operations)))
		operation_fail(operation, &err);
	free(api);
}
