/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One struct upload for each session: what the driver has given waits in `out` until the piece
 * before it was answered. All sessions together post at most once in POST_PAUSE_MS, so that logs
 * never use up the rate of the host's token, with which it also reports. */
#include "agentd/log_upload.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/event_struct.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <utlist.h>

#include "lib/clock.h"
#include "lib/log.h"
#include "lib/loop.h"

/* So much waits before the driver is held back. */
#define OUT_MAX ((size_t)128 << 10)
#define POST_PAUSE_MS 10
#define POST_TIMEOUT_MS 15000
/* A piece without an answer is sent again; its number says that it is the same. */
#define RETRY_MS 1000
#define RETRIES_MAX 10

struct upload {
	struct upload *prev, *next;
	struct log_uploads *all;
	struct log_session session;
	struct driver_logs *logs; /* NULL: not begun, or ended */
	struct evbuffer *out;
	size_t sent; /* of out, in the piece on its way */
	uint64_t sequence, posting;
	unsigned retries;
	bool ready;  /* there is something to say */
	bool full;   /* schedd takes no more for now */
	bool paused; /* the driver */
	bool ended, last;
	struct log_end end;
	struct event due; /* the next piece */
};

struct log_uploads {
	struct log_uploads_config config;
	struct upload *uploads;
	unsigned n;
	uint64_t next_ms; /* when the next piece may go */
};

static void upload_free(struct upload *upload)
{
	struct log_uploads *all = upload->all;

	DL_DELETE(all->uploads, upload);
	all->n--;
	if (upload->logs)
		all->config.driver->ops->logs_cancel(upload->logs);
	http_client_cancel(all->config.client, upload->posting);
	(void)event_del(&upload->due);
	if (upload->out)
		evbuffer_free(upload->out);
	free(upload);
}

/* ---- pieces ---- */

/* Posts what there is to post now: as soon as the pause allows, or an idle line after a while. */
static void plan(struct upload *upload)
{
	uint64_t now = clock_monotonic_ms();
	bool something = upload->full || upload->ended || evbuffer_get_length(upload->out) > 0;
	uint64_t wait = upload->all->next_ms > now ? upload->all->next_ms - now : 0;

	if (upload->posting == 0 && upload->ready && upload->retries == 0)
		(void)loop_timer_arm(&upload->due, something ? wait : LOG_IDLE_MS);
}

static void hold(struct upload *upload, bool paused)
{
	if (!upload->logs || upload->paused == paused)
		return;
	upload->paused = paused;
	upload->all->config.driver->ops->logs_pause(upload->logs, paused);
}

static void taken(struct upload *upload, const struct http_response *response)
{
	_cleanup_json_ json_t *answer = NULL;

	if (upload->last) {
		upload_free(upload);
		return;
	}
	answer = json_loadb(response->body, response->length, 0, NULL);
	upload->full = json_is_true(json_object_get(answer, "full"));
	metric_add(upload->all->config.bytes, NULL, (double)upload->sent);
	(void)evbuffer_drain(upload->out, upload->sent);
	upload->sequence++;
	upload->retries = 0;
	if (evbuffer_get_length(upload->out) < OUT_MAX)
		hold(upload, false);
	plan(upload);
}

/* Trouble on the way passes; a session that is not known does not come back. */
static void posted(const struct http_response *response, void *userdata)
{
	struct upload *upload = userdata;
	int status = response->error < 0 ? 0 : response->status;

	upload->posting = 0;
	if (status == 200) {
		taken(upload, response);
	} else if ((status == 0 || status == 429 || status == 503 || status == 504) &&
		   upload->retries < RETRIES_MAX) {
		upload->retries++;
		(void)loop_timer_arm(&upload->due, RETRY_MS);
	} else {
		log_debug(upload->session.environment, "its log is not read any more status=%d",
			  status);
		upload_free(upload);
	}
}

static int post(struct upload *upload, const char *query, const char *type, const void *body,
		size_t length)
{
	const struct http_call call = { .body = body,
					.body_length = length,
					.content_type = type,
					.timeout_ms = POST_TIMEOUT_MS,
					.on_done = posted,
					.userdata = upload };
	char path[LOG_SESSION_ID_MAX + 64];

	(void)snprintf(path, sizeof(path), "/logs/%s?sequence=%" PRIu64 "%s", upload->session.id,
		       upload->sequence, query);
	upload->all->next_ms = clock_monotonic_ms() + POST_PAUSE_MS;
	return follower_post(upload->all->config.follower, path, &call, &upload->posting);
}

static int post_text(struct upload *upload)
{
	if (upload->retries == 0) /* else the same as before */
		upload->sent = upload->full ? 0 : evbuffer_get_length(upload->out);
	return post(upload, "", "application/jsonl", evbuffer_pullup(upload->out, -1),
		    upload->sent);
}

static int post_end(struct upload *upload)
{
	_cleanup_json_ json_t *json = log_end_encode(&upload->end);
	_cleanup_free_ char *text = json ? json_encode(json) : NULL;

	if (!text)
		return -ENOMEM;
	upload->last = true;
	return post(upload, "&last=1", "application/json", text, strlen(text));
}

static void piece_due(evutil_socket_t fd, short what, void *userdata)
{
	struct upload *upload = userdata;
	bool empty = evbuffer_get_length(upload->out) == 0;
	int r = 0;

	if (upload->retries == 0 && clock_monotonic_ms() < upload->all->next_ms) {
		plan(upload); /* another session was quicker */
		return;
	}
	if (upload->retries == 0 && empty && !upload->full && !upload->ended)
		r = log_write_idle(upload->out);
	if (r == 0)
		r = upload->last || (upload->retries == 0 && upload->ended && empty &&
				     !upload->full)
			    ? post_end(upload)
			    : post_text(upload);
	if (r < 0)
		upload_free(upload); /* schedd says that we are silent */
}

/* ---- the driver ---- */

static void on_begin(void *userdata)
{
	struct upload *upload = userdata;

	upload->ready = true;
	if (log_write_idle(upload->out) == 0)
		plan(upload);
}

static int on_text(void *userdata, enum log_stream stream, const char *time, const char *text,
		   size_t length)
{
	struct upload *upload = userdata;
	int r = log_write_text(upload->out, stream, time, text, length);

	if (evbuffer_get_length(upload->out) >= OUT_MAX)
		hold(upload, true);
	plan(upload);
	return r;
}

static void end(struct upload *upload, const char *code, const char *message)
{
	upload->ready = upload->ended = true;
	(void)snprintf(upload->end.code, sizeof(upload->end.code), "%s", code);
	(void)snprintf(upload->end.message, sizeof(upload->end.message), "%s", message);
	plan(upload);
}

static void on_done(void *userdata, int error, const char *message)
{
	struct upload *upload = userdata;

	upload->logs = NULL;
	if (error == 0)
		end(upload, "complete",
		    upload->session.follow ? "the container has ended" : "that is all");
	else
		end(upload, error == -ENOENT ? "no_container" : "engine_error", message);
}

/* ---- sessions ---- */

static struct upload *find(struct log_uploads *uploads, const char *id)
{
	struct upload *upload;

	DL_FOREACH (uploads->uploads, upload)
		if (strcmp(upload->session.id, id) == 0)
			return upload;
	return NULL;
}

static void begin(struct upload *upload)
{
	const struct driver_logs_request request = { .session = &upload->session,
						     .on_begin = on_begin,
						     .on_text = on_text,
						     .on_done = on_done,
						     .userdata = upload };
	const struct driver *driver = upload->all->config.driver;
	int r;

	if (upload->all->n > LOG_UPLOADS_MAX) {
		end(upload, "too_many", "too many logs of this host are being read");
		return;
	}
	r = driver->ops->logs(upload->all->config.driver, &request, &upload->logs);
	if (r < 0)
		end(upload, "engine_error",
		    r == -ENOTCONN ? "Docker does not answer" : strerror(-r));
}

void log_uploads_ask(struct log_uploads *uploads, json_t *json)
{
	struct log_session session;
	struct error err = ERROR_INIT;
	struct upload *upload;

	if (log_session_decode(json, &session, &err) < 0) {
		log_warning("scheduler", "asks for a log that makes no sense: %s", err.message);
		return;
	}
	upload = find(uploads, session.id);
	if (upload && !session.environment[0])
		upload_free(upload);
	if (upload || !session.environment[0] || uploads->n >= 2 * LOG_UPLOADS_MAX)
		return;
	upload = calloc(1, sizeof(*upload));
	if (!upload)
		return;
	upload->all = uploads;
	upload->session = session;
	upload->out = evbuffer_new();
	(void)evtimer_assign(&upload->due, uploads->config.base, piece_due, upload);
	DL_APPEND(uploads->uploads, upload);
	uploads->n++;
	if (upload->out)
		begin(upload);
	else
		upload_free(upload);
}

int log_uploads_new(struct log_uploads **ret, const struct log_uploads_config *config)
{
	struct log_uploads *uploads = calloc(1, sizeof(*uploads));

	if (!uploads)
		return -ENOMEM;
	uploads->config = *config;
	*ret = uploads;
	return 0;
}

void log_uploads_free(struct log_uploads *uploads)
{
	if (!uploads)
		return;
	while (uploads->uploads)
		upload_free(uploads->uploads);
	free(uploads);
}

unsigned log_uploads_count(const struct log_uploads *uploads)
{
	return uploads->n;
}
