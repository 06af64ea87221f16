/* SPDX-License-Identifier: GPL-2.0-or-later */
/* /v1/tokens: bearer tokens, made, listed and revoked. A token's text is in the answer to the
 * request that made it and nowhere else. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "lib/clock.h"
#include "proto/read.h"
#include "schedd/api_private.h"
#include "schedd/idempotency.h"
#include "schedd/token.h"

static json_t *answer(const struct api *api, const struct entry *entry)
{
	return answer_token((const struct token_entry *)entry, NULL);
}

static void list(struct http_request *request, void *userdata)
{
	api_serve_list(userdata, request, FEED_TOKENS, RECORD_TOKEN, NULL, answer);
}

/* By id or by name; a committed row, or NULL. */
static struct token_entry *find(struct api *api, const char *id)
{
	const struct state *state = scheduler_state(api->config.scheduler);
	struct token_entry *entry = state_token(state, id);

	if (entry)
		return token_committed(entry) ? entry : NULL;
	STATE_FOREACH(state, RECORD_TOKEN, entry)
	{
		if (token_committed(entry) && strcmp(token_committed(entry)->name, id) == 0)
			return entry;
	}
	return NULL;
}

static void show(struct http_request *request, void *userdata)
{
	const char *id = http_request_param(request, "id");
	struct token_entry *entry;

	if (!api_takes_no_query(request) || !api_can_read(userdata, request))
		return;
	entry = find(userdata, id);
	if (entry)
		api_reply_item(request, 200, answer_token(entry, NULL));
	else
		api_reply_not_found(request, "token", id);
}

/* ---- create ---- */

static json_t *answer_again(const struct token_entry *entry)
{
	return api_add_notice(answer_token(entry, NULL),
			      "the token's text was in the first answer to this request and is not "
			      "shown again; without it, revoke the token and make another with "
			      "another Idempotency-Key");
}

static void created(void *userdata, const struct error *err, const char *id)
{
	struct operation *operation = userdata;
	struct token_entry *entry;

	if (err->errnum < 0) {
		operation_fail(operation, err);
		return;
	}
	entry = find(operation->api, id);
	if (entry)
		api_reply_item(operation->request, 201,
			       operation->repeat ? answer_again(entry)
						 : answer_token(entry, operation->password));
	else
		api_reply_not_found(operation->request, "token", id);
	operation_free(operation);
}

static void read_role(struct json_reader *reader, struct token *token)
{
	const char *text = "";

	json_read_string(reader, "role", JSON_REQUIRED, 16, &text);
	token->role = role_parse(text);
	if (token->role == ROLE_INVALID)
		json_reader_fail(reader, -EINVAL, "invalid", "role",
				 "\"%s\" is none of admin, customer, host, gateway", text);
}

/* Whom the token stands for. */
static void read_subject(struct json_reader *reader, struct token *token)
{
	bool follower = token->role == ROLE_HOST || token->role == ROLE_GATEWAY;
	_cleanup_free_ char *subject = NULL;

	read_dns_label(reader, "subject", token->role == ROLE_ADMIN ? JSON_OPTIONAL : JSON_REQUIRED,
		       FOLLOWER_NAME_MAX, follower, &subject);
	if (subject && token->role == ROLE_ADMIN)
		json_reader_fail(reader, -EINVAL, "invalid", "subject",
				 "an admin's token stands for nobody: leave it out");
	(void)snprintf(token->subject, sizeof(token->subject), "%s", subject ? subject : "");
}

static void read_expiry(struct json_reader *reader, struct token *token)
{
	json_read_time(reader, "expires_at", JSON_OPTIONAL, &token->expires_at);
	if (token->expires_at != 0 && token->expires_at <= clock_unix_seconds())
		json_reader_fail(reader, -EINVAL, "invalid", "expires_at", "is in the past");
}

static int decode(struct http_request *request, struct token *ret, struct error *err)
{
	_cleanup_json_ json_t *body = NULL;
	_cleanup_free_ char *name = NULL;
	struct json_reader reader;
	int r = http_request_json(request, &body, err);

	if (r < 0)
		return r;
	json_reader_init(&reader, body, "", err);
	read_dns_label(&reader, "name", JSON_REQUIRED, TOKEN_NAME_MAX, true, &name);
	read_role(&reader, ret);
	if (reader.status == 0)
		read_subject(&reader, ret);
	read_expiry(&reader, ret);
	r = json_reader_finish(&reader);
	if (r == 0)
		(void)snprintf(ret->name, sizeof(ret->name), "%s", name);
	return r;
}

static int prepare(struct operation *operation, struct token *token, struct error *err)
{
	int r;

	operation->password = calloc(1, TOKEN_TEXT_MAX + 1);
	if (!token || !operation->password)
		return error_set(err, -ENOMEM, "internal", NULL, "out of memory");
	r = decode(operation->request, token, err);
	if (r < 0)
		return r;
	r = token_make(token->id, operation->password, token->hash);
	return r < 0 ? error_set(err, r, "internal", NULL, "no randomness") : 0;
}

static void create(struct http_request *request, void *userdata)
{
	_cleanup_(cleanup_token) struct token *token = token_new();
	char id[TOKEN_ID_MAX + 1] = "";
	struct api *api = userdata;
	struct operation *operation;
	struct error err = ERROR_INIT;
	int r;

	if (!api_takes_no_query(request))
		return;
	operation = operation_new(api, request);
	if (!operation)
		return;
	r = prepare(operation, token, &err);
	if (r == 0 && idempotency_repeats(operation, created))
		return;
	if (r == 0) {
		(void)snprintf(id, sizeof(id), "%s", token->id);
		r = scheduler_create_token(api->config.scheduler, TAKE_PTR(token),
					   access_caller(request)->actor, created, operation, &err);
	}
	if (r < 0)
		operation_fail(operation, &err);
	else
		idempotency_keep(operation, id);
}

/* ---- revoke ---- */

static void take_back(struct http_request *request, void *userdata)
{
	struct api *api = userdata;
	const char *id = http_request_param(request, "id");
	struct token_entry *entry;
	struct operation *operation;
	struct error err = ERROR_INIT;

	if (!api_takes_no_query(request) || !api_can_read(api, request))
		return;
	entry = find(api, id);
	if (!entry) {
		api_reply_not_found(request, "token", id);
		return;
	}
	if (!api_matches(request, &entry->entry, token_committed(entry)->record.revision))
		return;
	operation = operation_new(api, request);
	if (operation && scheduler_revoke_token(api->config.scheduler, entry->entry.id,
						access_caller(request)->actor, operation_answer_id,
						operation, &err) < 0)
		operation_fail(operation, &err);
}

static const struct http_route routes[] = {
	{ HTTP_GET, "/v1/tokens", list },
	{ HTTP_POST, "/v1/tokens", create },
	{ HTTP_GET, "/v1/tokens/{id}", show },
	{ HTTP_DELETE, "/v1/tokens/{id}", take_back },
};

int api_tokens_init(struct api *api)
{
	return http_server_routes(api->config.server, routes, ARRAY_SIZE(routes), api);
}
