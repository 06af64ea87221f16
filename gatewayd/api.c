/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The local API: HTTP over the Unix socket, and metrics and health over TCP as well. It decodes,
 * asks the reconciler, and answers when the kernel has committed.
 */
#include "gatewayd/api.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "gatewayd/api_bans.h"
#include "gatewayd/api_decode.h"
#include "gatewayd/api_encode.h"
#include "gatewayd/api_mappings.h"
#include "gatewayd/api_query.h"
#include "gatewayd/api_sessions.h"
#include "gatewayd/api_why.h"
#include "gatewayd/api_top.h"
#include "lib/http_pieces.h"

/* 200,000 mappings with long names in one body. */
#define BODY_MAX ((size_t)96 << 20)
#define REQUEST_MS 120000
#define SOCKET_MODE 0660

struct api {
	struct api_config config;
	struct top_view top;
	struct http_server *local, *tcp;
};

/* ---- changes ---- */

static void on_committed(struct changeset *changeset, void *userdata)
{
	struct http_request *request = userdata;
	size_t puts = 0;

	if (changeset->error.errnum != 0) {
		http_reply_error(request, &changeset->error);
		return;
	}
	for (size_t i = 0; i < changeset->n_changes; i++)
		puts += !changeset->changes[i].removal;
	http_reply_json(request, 200,
			json_pack("{s:I, s:I, s:I}", "revision", (json_int_t)changeset->revision,
				  "put", (json_int_t)puts, "deleted",
				  (json_int_t)changeset->n_removed));
}

struct taken {
	const char *field; /* "changes[%zu].mapping.port" without its index */
	const char *rest;
	struct error *err;
};

static bool on_taken(size_t index, const char *reason, void *userdata)
{
	const struct taken *taken = userdata;
	char field[ERROR_FIELD_MAX];

	(void)snprintf(field, sizeof(field), "%s[%zu]%s", taken->field, index, taken->rest);
	error_set(taken->err, -EBUSY, "in_use", field, "%s: %s, or force it", field, reason);
	return false;
}

/* A change stands where its mapping stood in the body. */
static int refuse_taken(struct api *api, const struct changeset *changeset, struct error *err)
{
	struct taken taken = { .field = changeset->replace ? "mappings" : "changes",
			       .rest = changeset->replace ? ".port" : ".mapping.port",
			       .err = err };

	guard_examine(api->config.guard, changeset, on_taken, &taken);
	return err->errnum;
}

/* ?force=1 on a replacement, which has no place for it beside each mapping. */
static int read_force(const struct http_request *request, struct changeset *changeset,
		      struct error *err)
{
	static const char *const known[] = { "force", NULL };
	const char *force = http_request_query(request, "force");
	int r = api_check_query(request, known, err);

	if (r < 0 || !force || strcmp(force, "0") == 0)
		return r;
	if (!changeset->replace || strcmp(force, "1") != 0)
		return error_set(err, -EINVAL, "invalid", "force",
				 changeset->replace
					 ? "force: \"%s\" is neither 0 nor 1"
					 : "force: \"%s\" belongs beside \"op\" of a change",
				 force);
	for (size_t i = 0; i < changeset->n_changes; i++)
		changeset->changes[i].force = true;
	return 0;
}

/* Somebody else says what the mappings are, and would undo the change. */
static bool refuse_following(const struct api *api, struct error *err)
{
	if (api->config.upstream)
		error_set(err, -EBUSY, "following", NULL,
			  "this gateway takes its mappings from %s: change them there",
			  upstream_server(api->config.upstream));
	else if (api->config.mapping_file)
		error_set(err, -EBUSY, "following", NULL,
			  "this gateway takes its mappings from the file %s: change them there, "
			  "then \"systemctl reload portico-gatewayd\"",
			  api->config.mapping_file);
	return err->errnum != 0;
}

static void change(struct http_request *request, struct api *api,
		   int (*decode)(const char *body, size_t length, const struct admission *admission,
				 struct changeset **ret, struct error *err))
{
	_cleanup_(cleanup_changeset) struct changeset *changeset = NULL;
	struct error err = ERROR_INIT;
	const char *body;
	size_t length;
	int r;

	if (refuse_following(api, &err)) {
		http_reply_error(request, &err);
		return;
	}
	body = http_request_body(request, &length);
	r = body ? decode(body, length, public_addresses_admission(api->config.addresses),
			  &changeset, &err)
		 : -ENOMEM;
	if (r == 0)
		r = read_force(request, changeset, &err);
	if (r == 0)
		r = refuse_taken(api, changeset, &err);
	if (r < 0) {
		error_set(&err, r, "internal", NULL, "%s", strerror(-r));
		http_reply_error(request, &err);
		return;
	}
	changeset->on_done = on_committed;
	changeset->userdata = request;
	reconciler_submit(api->config.reconciler, TAKE_PTR(changeset));
}

static void handle_replace(struct http_request *request, void *userdata)
{
	change(request, userdata, api_decode_replace);
}

static void handle_apply(struct http_request *request, void *userdata)
{
	change(request, userdata, api_decode_apply);
}

/* ---- reading ---- */

static void reply_or_fail(struct http_request *request, json_t *body)
{
	struct error err = ERROR_INIT;

	if (body) {
		http_reply_json(request, 200, body);
		return;
	}
	error_set(&err, -ENOMEM, "internal", NULL, "out of memory");
	http_reply_error(request, &err);
}

static void handle_list(struct http_request *request, void *userdata)
{
	struct api *api = userdata;
	struct mapping_view view = {
		.ledger = reconciler_ledger(api->config.reconciler),
		.flows = accounting_table(api->config.accounting),
	};
	struct reconciler_status status;

	reconciler_status(api->config.reconciler, &status);
	view.revision = status.revision;
	api_mappings(request, &view);
}

static void handle_why(struct http_request *request, void *userdata)
{
	const struct api *api = userdata;

	api_why(request, api->config.why);
}

static void handle_status(struct http_request *request, void *userdata)
{
	struct api *api = userdata;
	struct error err = ERROR_INIT;
	const struct status_view view = {
		.name = api->config.name,
		.addresses = api->config.addresses,
		.inspector = api->config.inspector,
		.shape = &api->config.shape,
		.reconciler = api->config.reconciler,
		.accounting = api->config.accounting,
		.upstream = api->config.upstream,
	};

	if (api_check_query(request, NULL, &err) < 0)
		http_reply_error(request, &err);
	else
		reply_or_fail(request, encode_status(&view));
}

static int next_metrics(struct evbuffer *out, void *userdata)
{
	return metrics_scrape_next(userdata, HTTP_PIECE_BYTES, out);
}

static void release_metrics(void *userdata)
{
	metrics_scrape_end(userdata);
	free(userdata);
}

static void handle_metrics(struct http_request *request, void *userdata)
{
	static const struct http_source source = { .next = next_metrics,
						   .release = release_metrics };
	struct api *api = userdata;
	struct metrics_scrape *scrape = malloc(sizeof(*scrape));
	struct error err = ERROR_INIT;

	if (scrape) {
		metrics_scrape_begin(scrape, api->config.registry);
		http_reply_pieces(request, METRICS_CONTENT_TYPE, &source, scrape);
	} else {
		error_set(&err, -ENOMEM, "internal", NULL, "out of memory");
		http_reply_error(request, &err);
	}
}

static void handle_healthz(struct http_request *request, void *userdata)
{
	reply_or_fail(request, json_pack("{s:s}", "status", "ok"));
}

/* Ready: the kernel has what it should. That schedd is away does not make a gateway unready. */
static void handle_readyz(struct http_request *request, void *userdata)
{
	struct api *api = userdata;
	struct reconciler_status status;
	struct error err = ERROR_INIT;

	reconciler_status(api->config.reconciler, &status);
	if (status.in_sync) {
		reply_or_fail(request, json_pack("{s:s}", "status", "ready"));
		return;
	}
	error_set(&err, -EAGAIN, "not_ready", NULL, "%s", status.reason);
	http_reply_error(request, &err);
}

/* ---- setting up ---- */

static const struct http_route local_routes[] = {
	{ HTTP_GET, "/v1/mappings", handle_list },
	{ HTTP_PUT, "/v1/mappings", handle_replace },
	{ HTTP_POST, "/v1/mappings:apply", handle_apply },
	{ HTTP_GET, "/v1/mappings/{address}/{protocol}/{port}:why", handle_why },
	{ HTTP_GET, "/v1/status", handle_status },
};

/* Without a word about who connects where, so that they may be read over the network. */
static const struct http_route common_routes[] = {
	{ HTTP_GET, "/metrics", handle_metrics },
	{ HTTP_GET, "/healthz", handle_healthz },
	{ HTTP_GET, "/readyz", handle_readyz },
};

static int open_local(struct api *api, struct event_base *base, struct error *err)
{
	const struct http_limits limits = { .body_bytes = BODY_MAX, .request_ms = REQUEST_MS };
	int r;

	r = http_server_new(&api->local, base, &limits);
	if (r == 0)
		r = http_server_routes(api->local, local_routes, ARRAY_SIZE(local_routes), api);
	if (r == 0)
		r = http_server_routes(api->local, common_routes, ARRAY_SIZE(common_routes), api);
	if (r == 0)
		r = api_sessions_serve(api->local, api->config.accounting);
	if (r == 0)
		r = api_bans_routes(api->local, api->config.reconciler);
	if (r == 0)
		r = api_top_serve(api->local, &api->top);
	if (r < 0)
		return error_set(err, r, "internal", NULL, "cannot make an HTTP server: %s",
				 strerror(-r));
	return http_server_listen_unix(api->local, api->config.socket, SOCKET_MODE, err);
}

static int open_tcp(struct api *api, struct event_base *base, struct error *err)
{
	char address[ADDRESS_STRING_MAX];
	int r;

	r = http_server_new(&api->tcp, base, NULL);
	if (r == 0)
		r = http_server_routes(api->tcp, common_routes, ARRAY_SIZE(common_routes), api);
	if (r < 0)
		return error_set(err, r, "internal", NULL, "cannot make an HTTP server: %s",
				 strerror(-r));
	return http_server_listen_tcp(api->tcp,
				      address_format(&api->config.metrics_listen.address, address),
				      api->config.metrics_listen.port, NULL, err);
}

int api_new(struct api **ret, struct event_base *base, const struct api_config *config,
	    struct error *err)
{
	_cleanup_(cleanup_api) struct api *api = calloc(1, sizeof(*api));
	int r;

	if (!api)
		return error_set(err, -ENOMEM, "internal", NULL, "out of memory");
	api->config = *config;
	api->top = (struct top_view){ config->accounting, reconciler_ledger(config->reconciler) };
	r = open_local(api, base, err);
	if (r < 0)
		return r;
	if (config->metrics) {
		r = open_tcp(api, base, err);
		if (r < 0)
			return r;
	}
	*ret = TAKE_PTR(api);
	return 0;
}

void api_free(struct api *api)
{
	if (!api)
		return;
	http_server_free(api->local);
	http_server_free(api->tcp);
	free(api);
}
