/* SPDX-License-Identifier: GPL-2.0-or-later */
/* First a look at the container: whether it is ours, and whether it has a terminal, which decides
 * how its log is written. Then its log, for as long as Docker gives any. */
#include "agentd/docker_logs.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "agentd/docker_container.h"
#include "agentd/docker_frames.h"

struct driver_logs {
	struct docker_api *api;
	char *host;
	struct driver_logs_request request;
	struct log_session session;
	struct docker_frames frames;
	struct error err; /* of the frames */
	uint64_t call;
};

void docker_logs_cancel(struct driver_logs *logs)
{
	if (!logs)
		return;
	docker_api_cancel(logs->api, logs->call);
	free(logs->host);
	free(logs);
}

/* The end of both calls. */
static void finish(struct driver_logs *logs, int error, const char *message)
{
	const struct driver_logs_request request = logs->request;
	char text[ERROR_MESSAGE_MAX];

	(void)snprintf(text, sizeof(text), "%s", message);
	logs->call = 0;
	docker_logs_cancel(logs);
	request.on_done(request.userdata, error, text);
}

static int on_data(const char *data, size_t length, void *userdata)
{
	struct driver_logs *logs = userdata;

	return docker_frames_feed(&logs->frames, data, length, &logs->err);
}

static void on_log(const struct docker_reply *reply, void *userdata)
{
	struct driver_logs *logs = userdata;
	int r = reply->error;

	if (r == 0)
		r = docker_frames_finish(&logs->frames, &logs->err);
	if (logs->err.errnum < 0)
		finish(logs, r, error_text(&logs->err, r));
	else
		finish(logs, r, reply->message);
}

static int read_log(struct driver_logs *logs)
{
	const struct log_session *session = &logs->session;
	char path[256], tail[24] = "all", since[40] = "";

	if (session->tail != LOG_TAIL_ALL)
		(void)snprintf(tail, sizeof(tail), "%" PRIu64, session->tail);
	if (session->since > 0)
		(void)snprintf(since, sizeof(since), "&since=%" PRId64, session->since);
	(void)snprintf(path, sizeof(path),
		       "/containers/%s/logs?stdout=1&stderr=1&follow=%d&timestamps=%d&tail=%s%s",
		       session->environment, session->follow, session->timestamps, tail, since);
	return docker_api_call(logs->api,
			       &(struct docker_call){ .operation = "logs",
						      .path = path,
						      .raw = true,
						      .quiet = true,
						      .on_data = on_data,
						      .on_done = on_log,
						      .userdata = logs },
			       &logs->call);
}

static void on_inspected(const struct docker_reply *reply, void *userdata)
{
	struct driver_logs *logs = userdata;
	struct instance instance;
	int r = reply->error;

	if (r == 0)
		r = docker_container_parse(reply->json, logs->host, &instance);
	if (r == -ENOENT) {
		finish(logs, r, "there is no container of it on this host");
		return;
	}
	if (r < 0) {
		finish(logs, r, reply->error < 0 ? reply->message : strerror(-r));
		return;
	}
	instance_clear(&instance);
	logs->frames.terminal =
		json_is_true(json_object_get(json_object_get(reply->json, "Config"), "Tty"));
	r = read_log(logs);
	if (r < 0)
		finish(logs, r, strerror(-r));
	else
		logs->request.on_begin(logs->request.userdata);
}

int docker_logs_read(struct driver_logs **ret, struct docker_api *api, const char *host,
		     const struct driver_logs_request *request)
{
	_cleanup_(cleanup_docker_logs) struct driver_logs *logs = calloc(1, sizeof(*logs));
	char path[ENVIRONMENT_ID_MAX + 32];
	int r;

	if (!logs)
		return -ENOMEM;
	logs->api = api;
	logs->request = *request;
	logs->session = *request->session;
	logs->frames.timestamps = logs->session.timestamps;
	logs->frames.on_text = request->on_text;
	logs->frames.userdata = request->userdata;
	logs->host = strdup(host);
	if (!logs->host)
		return -ENOMEM;
	(void)snprintf(path, sizeof(path), "/containers/%s/json", logs->session.environment);
	r = docker_api_call(api,
			    &(struct docker_call){ .operation = "inspect",
						   .path = path,
						   .quiet = true,
						   .on_done = on_inspected,
						   .userdata = logs },
			    &logs->call);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(logs);
	return 0;
}

void docker_logs_pause(struct driver_logs *logs, bool paused)
{
	docker_api_pause(logs->api, logs->call, paused);
}
