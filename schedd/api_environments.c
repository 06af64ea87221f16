/* SPDX-License-Identifier: GPL-2.0-or-later */
/* /v1/environments: create, list, show, watch, delete. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "lib/random.h"
#include "schedd/api_private.h"
#include "schedd/idempotency.h"
#include "schedd/ssh_host_key.h"
#include "schedd/tenancy.h"

#define ID_RANDOM 16 /* 80 bits */

static bool sees(const struct caller *caller, const struct entry *entry)
{
	const struct environment *environment = (const struct environment *)entry->committed;

	return access_sees(caller, environment->origin->spec.customer);
}

/* A committed row, or NULL. */
static struct environment_entry *find(struct api *api, const char *id)
{
	struct environment_entry *entry =
		state_environment(scheduler_state(api->config.scheduler), id);

	return entry && entry->entry.committed ? entry : NULL;
}

/* Names belong to their owners: an admin's is nobody's, or the only one there is. -EEXIST. */
static int find_named(struct api *api, const struct caller *caller, const char *name,
		      struct environment_entry **ret)
{
	const struct state *state = scheduler_state(api->config.scheduler);
	const char *owner = caller->role == ROLE_CUSTOMER ? caller->subject : NULL;
	struct environment_entry *entry = state_environment_named(state, owner, name), *found;

	if (!entry && !owner) {
		STATE_FOREACH(state, RECORD_ENVIRONMENT, found)
		{
			const struct environment_origin *origin = environment_newest(found)->origin;

			if (strcmp(origin->spec.name, name) != 0)
				continue;
			if (entry)
				return -EEXIST;
			entry = found;
		}
	}
	*ret = entry && entry->entry.committed ? entry : NULL;
	return 0;
}

struct environment_entry *api_find_environment(struct api *api, struct http_request *request)
{
	const struct caller *caller = access_caller(request);
	const char *id = http_request_param(request, "id");
	struct environment_entry *entry = find(api, id);
	struct error err = ERROR_INIT;

	if (!entry && find_named(api, caller, id, &entry) < 0) {
		error_set(&err, -EEXIST, "ambiguous", NULL,
			  "several customers have an environment %s: use its id", id);
		http_reply_error(request, &err);
		return NULL;
	}
	if (entry && sees(caller, &entry->entry))
		return entry;
	api_reply_not_found(request, "environment", id);
	return NULL;
}

/* ---- create ---- */

/* The password was for who had the first answer. */
static json_t *answer_again(struct api *api, const struct environment_entry *entry)
{
	const struct environment_spec *spec = &environment_committed(entry)->origin->spec;

	return api_add_notice(
		answer_environment(entry, api->config.public_name, NULL),
		spec->ssh_authorized_keys.n > 0
			? "the password was in the first answer to this request and is not shown "
			  "again; without it, log in with one of the environment's SSH keys, or "
			  "delete it and make it anew with another Idempotency-Key"
			: "the password was in the first answer to this request and is not shown "
			  "again; without it, delete the environment and make it anew with another "
			  "Idempotency-Key");
}

static void created(void *userdata, const struct error *err, const char *id)
{
	struct operation *operation = userdata;
	struct api *api = operation->api;
	struct environment_entry *entry;

	if (err->errnum < 0) {
		operation_fail(operation, err);
		return;
	}
	entry = find(api, id);
	if (entry)
		api_reply_item(operation->request, 201,
			       operation->repeat
				       ? answer_again(api, entry)
				       : answer_environment(entry, api->config.public_name,
							    operation->password));
	else /* a repeat, after it has gone */
		api_reply_item(
			operation->request, 201,
			json_pack("{s:s, s:s}", "id", id, "phase", phase_name(PHASE_DELETED)));
	operation_free(operation);
}

/* {"hosts": [{"host","reason"}]}, or the quota, beside the sentence. */
static void refuse(struct operation *operation, const struct environment_spec *spec,
		   const struct error *err)
{
	struct api *api = operation->api;
	json_t *details = NULL;

	if (strcmp(err->code, "no_capacity") == 0)
		details = json_pack("{s:o}", "hosts",
				    scheduler_refusals(api->config.scheduler, spec));
	else if (strcmp(err->code, "quota_exceeded") == 0 &&
		 scheduler_excess(api->config.scheduler, spec, &details) < 0)
		details = NULL; /* the sentence alone */
	http_reply_error_details(operation->request, http_status_of(err->errnum), err, details);
	operation_free(operation);
}

/* The hash is there: nothing is missing any more. */
static void hashed(void *userdata, char *hash)
{
	struct operation *operation = userdata;
	struct environment *environment = TAKE_PTR(operation->environment);
	struct environment_origin *origin = environment->origin;
	struct environment_spec spec = { 0 };
	char id[ENVIRONMENT_ID_MAX + 1];
	struct error err = ERROR_INIT;
	int r;

	origin->password_hash = hash;
	(void)snprintf(id, sizeof(id), "%s", origin->id);
	if (!hash || environment_spec_copy(&origin->spec, &spec) < 0) {
		record_free(&environment->record);
		error_set(&err, -ENOMEM, "internal", NULL, "the password could not be hashed");
		operation_fail(operation, &err);
		return;
	}
	if (idempotency_repeats(operation, created)) {
		record_free(&environment->record);
		environment_spec_clear(&spec);
		return;
	}
	r = scheduler_create(operation->api->config.scheduler, environment,
			     access_caller(operation->request)->actor, created, operation, &err);
	if (r < 0)
		refuse(operation, &spec, &err);
	else
		idempotency_keep(operation, id);
	environment_spec_clear(&spec);
}

static int fill_origin(struct environment_origin *origin, const char *login, struct error *err)
{
	char random[ID_RANDOM + 1];
	int r = random_text(random, ID_RANDOM);

	if (r == 0) {
		(void)snprintf(origin->id, sizeof(origin->id), "env-%s", random);
		r = ssh_host_key_make(origin->id, &origin->ssh_host_key,
				      &origin->ssh_host_key_public);
	}
	if (r == 0) {
		origin->login = strdup(login);
		r = origin->login ? 0 : -ENOMEM;
	}
	if (r < 0)
		return error_set(err, r, "internal", NULL,
				 "the environment's keys could not be made");
	return 0;
}

/* A customer's environments are its own, said or not, and it may not ask for all that an admin may.
 */
static int set_owner(const struct caller *caller, const struct string_list *images,
		     struct environment_spec *spec, struct error *err)
{
	if (caller->role != ROLE_CUSTOMER)
		return 0;
	if (spec->customer && strcmp(spec->customer, caller->subject) != 0)
		return error_set(err, -EPERM, "forbidden", "customer",
				 "customer: \"%s\" is not who you are", spec->customer);
	if (!spec->customer)
		spec->customer = strdup(caller->subject);
	if (!spec->customer)
		return error_set(err, -ENOMEM, "internal", NULL, "out of memory");
	return tenancy_check(spec, images, err);
}

static int prepare(struct operation *operation, struct error *err)
{
	struct api *api = operation->api;
	_cleanup_json_ json_t *body = NULL;
	int r;

	operation->environment = environment_new();
	operation->password = malloc(PASSWORD_LENGTH + 1);
	if (!operation->environment || !operation->password)
		return error_set(err, -ENOMEM, "internal", NULL, "out of memory");
	operation->password[0] = '\0';
	r = http_request_json(operation->request, &body, err);
	if (r == 0)
		r = environment_spec_decode(body, &operation->environment->origin->spec, err);
	if (r == 0)
		r = set_owner(access_caller(operation->request), api->config.images,
			      &operation->environment->origin->spec, err);
	if (r == 0)
		r = scheduler_ready(api->config.scheduler, err);
	if (r == 0)
		r = fill_origin(operation->environment->origin, api->config.login, err);
	if (r == 0 && random_text(operation->password, PASSWORD_LENGTH) < 0)
		r = error_set(err, -EIO, "internal", NULL, "no randomness");
	if (r < 0)
		return r;
	r = password_hash(api->config.hasher, operation->password, hashed, operation);
	return r < 0 ? error_set(err, r, "unavailable", NULL, "too many requests are waiting") : 0;
}

static void create(struct http_request *request, void *userdata)
{
	struct operation *operation;
	struct error err = ERROR_INIT;

	if (!api_takes_no_query(request))
		return;
	operation = operation_new(userdata, request);
	if (operation && prepare(operation, &err) < 0)
		operation_fail(operation, &err);
}

/* ---- delete ---- */

static void deleted(void *userdata, const struct error *err, const char *id)
{
	struct operation *operation = userdata;
	struct api *api = operation->api;
	struct environment_entry *entry;

	if (err->errnum < 0) {
		operation_fail(operation, err);
		return;
	}
	entry = find(api, id);
	if (entry)
		api_reply_item(operation->request, 202,
			       answer_environment(entry, api->config.public_name, NULL));
	else /* gone at once: it had no container and no confirmed port */
		api_reply_item(
			operation->request, 202,
			json_pack("{s:s, s:s}", "id", id, "phase", phase_name(PHASE_DELETED)));
	operation_free(operation);
}

static void delete (struct http_request *request, void *userdata)
{
	struct api *api = userdata;
	struct environment_entry *entry;
	struct operation *operation;
	struct error err = ERROR_INIT;

	if (!api_takes_no_query(request) || !api_can_read(api, request))
		return;
	entry = api_find_environment(api, request);
	if (!entry || !api_matches(request, &entry->entry, answer_environment_revision(entry)))
		return;
	operation = operation_new(api, request);
	if (operation &&
	    scheduler_delete(api->config.scheduler, entry->entry.id, access_caller(request)->actor,
			     deleted, operation, &err) < 0)
		operation_fail(operation, &err);
}

/* ---- read ---- */

static json_t *answer(const struct api *api, const struct entry *entry)
{
	return answer_environment((const struct environment_entry *)entry, api->config.public_name,
				  NULL);
}

static void list(struct http_request *request, void *userdata)
{
	api_serve_list(userdata, request, FEED_ENVIRONMENTS, RECORD_ENVIRONMENT, sees, answer);
}

static void show(struct http_request *request, void *userdata)
{
	struct api *api = userdata;
	bool failed, watch = api_wants_watch(request, &failed);
	struct environment_entry *entry;

	if (failed || !api_can_read(api, request))
		return;
	entry = api_find_environment(api, request);
	if (!entry)
		return;
	if (watch)
		api_start_watch(api, request, FEED_ENVIRONMENTS, entry->entry.id);
	else
		api_reply_item(request, 200, answer(api, &entry->entry));
}

static const struct http_route routes[] = {
	{ HTTP_POST, "/v1/environments", create },
	{ HTTP_GET, "/v1/environments", list },
	{ HTTP_GET, "/v1/environments/{id}", show },
	{ HTTP_DELETE, "/v1/environments/{id}", delete },
};

int api_environments_init(struct api *api)
{
	return http_server_routes(api->config.server, routes, ARRAY_SIZE(routes), api);
}
