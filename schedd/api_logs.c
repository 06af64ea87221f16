/* SPDX-License-Identifier: GPL-2.0-or-later */
/* /v1/environments/ID/logs for who reads a log, /v1/hosts/ID/logs/SESSION for the host that has it.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "lib/clock.h"
#include "lib/number.h"
#include "schedd/api_private.h"
#include "schedd/auth.h"

/* Another log may have ended by then. */
#define LATER_MS 1000

static int read_flag(struct http_request *request, const char *name, bool *ret, struct error *err)
{
	const char *text = http_request_query(request, name);

	if (text && strcmp(text, "0") != 0 && strcmp(text, "1") != 0)
		return error_set(err, -EINVAL, "invalid", name, "%s: \"%s\" is neither 0 nor 1",
				 name, text);
	*ret = text && *text == '1';
	return 0;
}

static int read_query(struct http_request *request, struct log_session *ret, struct error *err)
{
	const char *tail = http_request_query(request, "tail");
	const char *since = http_request_query(request, "since");
	int r;

	*ret = (struct log_session){ .tail = LOG_TAIL_ALL };
	r = read_flag(request, "follow", &ret->follow, err);
	if (r == 0)
		r = read_flag(request, "timestamps", &ret->timestamps, err);
	if (r < 0)
		return r;
	if (tail && (number_parse(tail, &ret->tail, NULL) < 0 || ret->tail > LOG_TAIL_MAX))
		return error_set(err, -ERANGE, "out_of_range", "tail",
				 "tail: \"%s\" is not in 0…%d", tail, LOG_TAIL_MAX);
	if (since && time_parse(since, &ret->since) < 0)
		return error_set(err, -EINVAL, "invalid", "since",
				 "since: \"%s\" is not a time like 2027-01-01T00:00:00Z", since);
	return 0;
}

/* The host of this environment, if it can be asked now. */
static struct host_entry *find_host(struct api *api, const struct environment *environment,
				    struct error *err)
{
	struct host_entry *entry;
	char since[TIME_STRING_MAX];

	entry = environment->host[0] ? api_find_host(api, environment->host) : NULL;
	if (!entry) {
		error_set(err, -EEXIST, "no_container", NULL,
			  "%s is %s and on no host: there is no container that could have a log",
			  environment->origin->spec.name, phase_name(environment->phase));
		return NULL;
	}
	if (!host_committed(entry)->online) {
		error_set(err, -ENOTCONN, "host_offline", NULL,
			  "host %s is offline since %s: the log is there", environment->host,
			  time_format(host_committed(entry)->status_since, since));
		return NULL;
	}
	return entry;
}

/* Only the leader hears of a host whatever schedd that follows; a standby has passed this on, or
 * knows of no leader. */
static bool leads(struct api *api, struct http_request *request)
{
	struct scheduler_standing standing;
	struct error err = ERROR_INIT;

	scheduler_standing(api->config.scheduler, &standing);
	if (!standing.standby)
		return true;
	error_set(&err, -ENOTCONN, "unavailable", NULL,
		  "this schedd is a standby and knows of no leader to ask for a log");
	http_reply_error(request, &err);
	return false;
}

static bool takes_log(struct api *api, struct http_request *request)
{
	const char *limit = log_sessions_limit(api->config.logs, access_caller(request));

	if (!limit)
		return auth_takes_watch(request);
	auth_refuse_over(request, limit, "as many logs are being read already", LATER_MS);
	return false;
}

static void show(struct http_request *request, void *userdata)
{
	static const char *const known[] = { "follow", "tail", "since", "timestamps", NULL };
	struct api *api = userdata;
	struct environment_entry *entry;
	struct host_entry *host;
	struct log_session wanted;
	struct error err = ERROR_INIT;

	if (!api_takes_query(request, known) || !api_can_read(api, request) || !leads(api, request))
		return;
	if (read_query(request, &wanted, &err) < 0) {
		http_reply_error(request, &err);
		return;
	}
	entry = api_find_environment(api, request);
	if (!entry)
		return;
	host = find_host(api, environment_committed(entry), &err);
	if (!host) {
		http_reply_error(request, &err);
		return;
	}
	(void)snprintf(wanted.environment, sizeof(wanted.environment), "%s",
		       environment_committed(entry)->origin->id);
	if (takes_log(api, request))
		log_sessions_open(api->config.logs, request, environment_committed(entry)->host,
				  &wanted);
}

static void take(struct http_request *request, void *userdata)
{
	static const char *const known[] = { "sequence", "last", NULL };
	struct api *api = userdata;
	const char *sequence = http_request_query(request, "sequence");
	struct error err = ERROR_INIT;
	uint64_t number = 0;
	bool last = false;

	if (!api_takes_query(request, known) || !api_can_read(api, request) || !leads(api, request))
		return;
	if (!api_find_host(api, http_request_param(request, "id"))) {
		api_reply_not_found(request, "host", http_request_param(request, "id"));
		return;
	}
	if (!sequence || number_parse(sequence, &number, NULL) < 0 || number == UINT64_MAX)
		error_set(&err, -EINVAL, "invalid", "sequence",
			  "sequence: is required, the number of the piece from 0 on");
	else
		(void)read_flag(request, "last", &last, &err);
	if (err.errnum < 0)
		http_reply_error(request, &err);
	else
		log_sessions_piece(api->config.logs, request, http_request_param(request, "id"),
				   http_request_param(request, "session"), number, last);
}

static const struct http_route routes[] = {
	{ HTTP_GET, "/v1/environments/{id}/logs", show },
	{ HTTP_POST, "/v1/hosts/{id}/logs/{session}", take },
};

int api_logs_init(struct api *api)
{
	return http_server_routes(api->config.server, routes, ARRAY_SIZE(routes), api);
}
