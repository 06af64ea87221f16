/* SPDX-License-Identifier: GPL-2.0-or-later */
/* libcurl's multi interface inside libevent. libcurl tells which sockets and which timer it waits
 * for; libevent tells it what has happened.
 *
 * libcurl must not be entered from its own callbacks, and those run the caller's on_data. So
 * starting and cancelling only change our lists; `work` carries it out from the event loop.
 */
#include "lib/http_client.h"

#include <curl/curl.h>
#include <errno.h>
#include <event2/event_struct.h>
#include <stdio.h>
#include <string.h>
#include <sys/queue.h>

#define HASH_NONFATAL_OOM 1
#define uthash_nonfatal_oom(element) \
	do {                         \
	} while (0)
#include <uthash.h>

#define CONNECT_TIMEOUT_MS 5000
#define MAX_BODY ((size_t)16 << 20)

struct call {
	uint64_t id;
	struct http_client *client;
	CURL *easy;
	struct curl_slist *headers;
	struct event idle;
	uint32_t idle_timeout_ms;
	bool added; /* to the multi handle */
	bool cancelled;
	bool paused; /* as the caller wants it */
	bool held;   /* libcurl keeps a piece that came meanwhile */
	int status;
	int abort_error; /* why a callback of ours ended the transfer */
	char *body;
	size_t length, allocated, max_body;
	char message[CURL_ERROR_SIZE];
	int (*on_data)(const char *data, size_t length, void *userdata);
	void (*on_done)(const struct http_response *response, void *userdata);
	void *userdata;
	TAILQ_ENTRY(call) work; /* in `changed` */
	bool changed;
	UT_hash_handle hh; /* by id */
};

struct http_client {
	struct event_base *base;
	CURLM *multi;
	struct event timer, work;
	struct call *calls;
	TAILQ_HEAD(, call) changed; /* to be added or, once cancelled, removed */
	uint64_t last_id;
	char *ca_file, *pin;
};

static struct timeval to_timeval(uint64_t ms)
{
	return (struct timeval){ .tv_sec = (time_t)(ms / 1000),
				 .tv_usec = (suseconds_t)(ms % 1000 * 1000) };
}

/* ---- calls ---- */

static void call_free(struct call *call)
{
	if (call->hh.tbl)
		HASH_DEL(call->client->calls, call);
	if (call->changed)
		TAILQ_REMOVE(&call->client->changed, call, work);
	if (call->added)
		curl_multi_remove_handle(call->client->multi, call->easy);
	event_del(&call->idle);
	curl_easy_cleanup(call->easy);
	curl_slist_free_all(call->headers);
	free(call->body);
	free(call);
}

static void call_changed(struct call *call)
{
	if (!call->changed)
		TAILQ_INSERT_TAIL(&call->client->changed, call, work);
	call->changed = true;
	event_active(&call->client->work, EV_TIMEOUT, 0);
}

const char *http_response_header(const struct http_response *response, const char *name)
{
	struct curl_header *header;

	/* -1: of the last answer, where there were several */
	if (curl_easy_header(response->handle, name, 0, CURLH_HEADER, -1, &header) != CURLHE_OK)
		return NULL;
	return header->value;
}

static void call_finish(struct call *call, int error, const char *message)
{
	struct http_response response = {
		.error = error,
		.status = call->status,
		.body = call->body ? call->body : "",
		.length = call->length,
		.handle = call->easy,
	};
	void (*on_done)(const struct http_response *, void *) = call->on_done;

	snprintf(response.message, sizeof(response.message), "%s", message);
	/* Out of libcurl and of our lists first: on_done may start and cancel calls. */
	if (call->added)
		curl_multi_remove_handle(call->client->multi, call->easy);
	call->added = false;
	HASH_DEL(call->client->calls, call);
	call->hh.tbl = NULL;
	if (!call->cancelled && on_done)
		on_done(&response, call->userdata);
	call_free(call);
}

/* errno values for libcurl's results. */
static int error_of(const struct call *call, CURLcode code)
{
	long os_error = 0;

	switch (code) {
	case CURLE_OK:
		return 0;
	case CURLE_WRITE_ERROR:
		return call->abort_error ? call->abort_error : -ENOMEM;
	case CURLE_COULDNT_CONNECT:
		curl_easy_getinfo(call->easy, CURLINFO_OS_ERRNO, &os_error);
		return os_error > 0 ? -(int)os_error : -ECONNREFUSED;
	case CURLE_COULDNT_RESOLVE_HOST:
		return -EHOSTUNREACH;
	case CURLE_OPERATION_TIMEDOUT:
		return -ETIMEDOUT;
	case CURLE_GOT_NOTHING:
	case CURLE_RECV_ERROR:
	case CURLE_SEND_ERROR:
	case CURLE_PARTIAL_FILE:
		return -ECONNRESET;
	case CURLE_PEER_FAILED_VERIFICATION:
	case CURLE_SSL_PINNEDPUBKEYNOTMATCH:
	case CURLE_SSL_CACERT_BADFILE:
		return -EKEYREJECTED;
	case CURLE_OUT_OF_MEMORY:
		return -ENOMEM;
	default:
		return -EPROTO;
	}
}

static void finish_done(struct http_client *client)
{
	CURLMsg *message;
	int left;

	while ((message = curl_multi_info_read(client->multi, &left))) {
		CURLcode code = message->data.result;
		struct call *call = NULL;

		if (message->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&call);
		call_finish(call, error_of(call, code),
			    code == CURLE_OK   ? ""
			    : call->message[0] ? call->message
					       : curl_easy_strerror(code));
	}
}

static void idle_passed(evutil_socket_t fd, short what, void *userdata)
{
	struct call *call = userdata;
	char message[64];

	snprintf(message, sizeof(message), "nothing was received for %u ms", call->idle_timeout_ms);
	call_finish(call, -ETIMEDOUT, message);
}

/* Delivers what was held back, and goes on. */
static void go_on(struct call *call)
{
	CURLcode code;

	call->held = false;
	code = curl_easy_pause(call->easy, CURLPAUSE_CONT);
	if (code != CURLE_OK && !call->cancelled)
		call_finish(call, error_of(call, code),
			    call->message[0] ? call->message : curl_easy_strerror(code));
}

static void do_work(evutil_socket_t fd, short what, void *userdata)
{
	struct http_client *client = userdata;
	struct call *call;

	while ((call = TAILQ_FIRST(&client->changed))) {
		TAILQ_REMOVE(&client->changed, call, work);
		call->changed = false;
		if (call->cancelled) {
			call_free(call);
		} else if (call->added) {
			if (call->held && !call->paused)
				go_on(call);
		} else if (curl_multi_add_handle(client->multi, call->easy) == CURLM_OK) {
			call->added = true;
		} else {
			call_finish(call, -ENOMEM, "out of memory");
		}
	}
}

/* ---- libcurl's callbacks ---- */

/* Keeps the status of the newest status line, so that 100 Continue is followed by the answer's. */
static size_t on_header(char *data, size_t size, size_t n, void *userdata)
{
	struct call *call = userdata;
	size_t length = size * n;
	const char *code = memchr(data, ' ', length);

	if (length >= 12 && memcmp(data, "HTTP/", 5) == 0 && code && data + length - code >= 4)
		call->status = (code[1] - '0') * 100 + (code[2] - '0') * 10 + (code[3] - '0');
	return length;
}

static int body_append(struct call *call, const char *data, size_t length)
{
	size_t needed = call->length + length + 1;

	if (length > call->max_body || call->length > call->max_body - length)
		return -EMSGSIZE;
	if (needed > call->allocated) {
		size_t allocated = MAX(needed, call->allocated * 2);
		char *body = realloc(call->body, allocated);

		if (!body)
			return -ENOMEM;
		call->body = body;
		call->allocated = allocated;
	}
	memcpy(call->body + call->length, data, length);
	call->length += length;
	call->body[call->length] = '\0';
	return 0;
}

static size_t on_body(char *data, size_t size, size_t n, void *userdata)
{
	struct call *call = userdata;
	size_t length = size * n;
	struct timeval idle = to_timeval(call->idle_timeout_ms);

	if (call->cancelled)
		return 0;
	if (call->paused) {
		call->held = true;
		return CURL_WRITEFUNC_PAUSE;
	}
	if (call->idle_timeout_ms > 0)
		event_add(&call->idle, &idle);
	if (call->on_data && call->status / 100 == 2)
		call->abort_error = call->on_data(data, length, call->userdata);
	else
		call->abort_error = body_append(call, data, length);
	if (call->abort_error == -EMSGSIZE && !call->on_data)
		snprintf(call->message, sizeof(call->message),
			 "the answer is larger than %zu bytes", call->max_body);
	return call->abort_error == 0 && !call->cancelled ? length : 0;
}

static void socket_ready(evutil_socket_t fd, short what, void *userdata)
{
	struct http_client *client = userdata;
	int running, action = (what & EV_READ ? CURL_CSELECT_IN : 0) |
			      (what & EV_WRITE ? CURL_CSELECT_OUT : 0);

	curl_multi_socket_action(client->multi, fd, action, &running);
	finish_done(client);
}

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *userdata, void *assigned)
{
	struct http_client *client = userdata;
	struct event *event = assigned;
	short events = (short)(EV_PERSIST | (what & CURL_POLL_IN ? EV_READ : 0) |
			       (what & CURL_POLL_OUT ? EV_WRITE : 0));

	if (event)
		event_free(event);
	event = NULL;
	if (what != CURL_POLL_REMOVE) {
		event = event_new(client->base, fd, events, socket_ready, client);
		if (!event || event_add(event, NULL) < 0)
			return -1;
	}
	curl_multi_assign(client->multi, fd, event);
	return 0;
}

static void timer_fired(evutil_socket_t fd, short what, void *userdata)
{
	struct http_client *client = userdata;
	int running;

	curl_multi_socket_action(client->multi, CURL_SOCKET_TIMEOUT, 0, &running);
	finish_done(client);
}

static int on_timer(CURLM *multi, long ms, void *userdata)
{
	struct http_client *client = userdata;
	struct timeval timeout = to_timeval(ms > 0 ? (uint64_t)ms : 0);

	if (ms < 0)
		event_del(&client->timer);
	else
		event_add(&client->timer, &timeout);
	return 0;
}

/* ---- the client ---- */

int http_client_new(struct http_client **ret, struct event_base *base)
{
	struct http_client *client;

	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		return -ENOMEM;
	client = calloc(1, sizeof(*client));
	if (client)
		client->multi = curl_multi_init();
	if (!client || !client->multi) {
		free(client);
		curl_global_cleanup();
		return -ENOMEM;
	}
	client->base = base;
	TAILQ_INIT(&client->changed);
	evtimer_assign(&client->timer, base, timer_fired, client);
	event_assign(&client->work, base, -1, 0, do_work, client);
	curl_multi_setopt(client->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
	curl_multi_setopt(client->multi, CURLMOPT_SOCKETDATA, client);
	curl_multi_setopt(client->multi, CURLMOPT_TIMERFUNCTION, on_timer);
	curl_multi_setopt(client->multi, CURLMOPT_TIMERDATA, client);
	*ret = client;
	return 0;
}

void http_client_free(struct http_client *client)
{
	struct call *call, *next;

	if (!client)
		return;
	HASH_ITER (hh, client->calls, call, next)
		call_free(call);
	curl_multi_cleanup(client->multi);
	event_del(&client->timer);
	event_del(&client->work);
	free(client->ca_file);
	free(client->pin);
	free(client);
	curl_global_cleanup();
}

static int replace_text(char **text, const char *value)
{
	char *copy = value && *value ? strdup(value) : NULL;

	if (value && *value && !copy)
		return -ENOMEM;
	free(*text);
	*text = copy;
	return 0;
}

bool http_client_takes_url(const char *url)
{
	CURLU *parsed = curl_url();
	char *scheme = NULL;
	bool takes = parsed && curl_url_set(parsed, CURLUPART_URL, url, 0) == CURLUE_OK &&
		     curl_url_get(parsed, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
		     (strcmp(scheme, "http") == 0 || strcmp(scheme, "https") == 0);

	curl_free(scheme);
	curl_url_cleanup(parsed);
	return takes;
}

int http_client_trust(struct http_client *client, const char *ca_file, const char *pin)
{
	int r = replace_text(&client->ca_file, ca_file);

	return r < 0 ? r : replace_text(&client->pin, pin);
}

static int add_header(struct call *call, const char *header)
{
	struct curl_slist *headers = curl_slist_append(call->headers, header);

	if (!headers)
		return -ENOMEM;
	call->headers = headers;
	return 0;
}

static int set_headers(struct call *call, const struct http_call *wanted)
{
	char type[128];
	int r = add_header(call, "Expect:"); /* no round trip before a body */

	for (const char *const *header = wanted->headers; header && *header && r == 0; header++)
		r = add_header(call, *header);
	if (wanted->body && r == 0) {
		snprintf(type, sizeof(type), "Content-Type: %s",
			 wanted->content_type ? wanted->content_type : "application/json");
		r = add_header(call, type);
	}
	return r;
}

/* False where libcurl has no memory, the only failure of these options. */
static bool set_request(struct call *call, const struct http_call *wanted)
{
	const char *method = wanted->method ? wanted->method : "GET";
	CURLcode r = CURLE_OK;

	r |= curl_easy_setopt(call->easy, CURLOPT_URL, wanted->url);
	if (wanted->unix_socket)
		r |= curl_easy_setopt(call->easy, CURLOPT_UNIX_SOCKET_PATH, wanted->unix_socket);
	if (wanted->body || strcmp(method, "POST") == 0 || strcmp(method, "PUT") == 0) {
		r |= curl_easy_setopt(call->easy, CURLOPT_POSTFIELDSIZE_LARGE,
				      (curl_off_t)wanted->body_length);
		r |= curl_easy_setopt(call->easy, CURLOPT_COPYPOSTFIELDS,
				      wanted->body ? wanted->body : "");
	}
	if (strcmp(method, "HEAD") == 0)
		r |= curl_easy_setopt(call->easy, CURLOPT_NOBODY, 1L);
	else
		r |= curl_easy_setopt(call->easy, CURLOPT_CUSTOMREQUEST, method);
	r |= curl_easy_setopt(call->easy, CURLOPT_HTTPHEADER, call->headers);
	r |= curl_easy_setopt(call->easy, CURLOPT_PROTOCOLS_STR, "http,https");
	r |= curl_easy_setopt(call->easy, CURLOPT_NOPROXY, "*");
	r |= curl_easy_setopt(call->easy, CURLOPT_NOSIGNAL, 1L);
	return r == CURLE_OK;
}

static bool set_trust(struct call *call, const struct http_client *client)
{
	CURLcode r =
		curl_easy_setopt(call->easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);

	if (client->ca_file)
		r |= curl_easy_setopt(call->easy, CURLOPT_CAINFO, client->ca_file);
	if (client->pin) {
		r |= curl_easy_setopt(call->easy, CURLOPT_PINNEDPUBLICKEY, client->pin);
		r |= curl_easy_setopt(call->easy, CURLOPT_SSL_VERIFYPEER, 0L);
		r |= curl_easy_setopt(call->easy, CURLOPT_SSL_VERIFYHOST, 0L);
	}
	return r == CURLE_OK;
}

static bool set_callbacks(struct call *call, const struct http_call *wanted)
{
	long connect = wanted->connect_timeout_ms ? wanted->connect_timeout_ms : CONNECT_TIMEOUT_MS;
	CURLcode r = CURLE_OK;

	r |= curl_easy_setopt(call->easy, CURLOPT_CONNECTTIMEOUT_MS, connect);
	r |= curl_easy_setopt(call->easy, CURLOPT_TIMEOUT_MS, (long)wanted->timeout_ms);
	r |= curl_easy_setopt(call->easy, CURLOPT_ERRORBUFFER, call->message);
	r |= curl_easy_setopt(call->easy, CURLOPT_HEADERFUNCTION, on_header);
	r |= curl_easy_setopt(call->easy, CURLOPT_HEADERDATA, call);
	r |= curl_easy_setopt(call->easy, CURLOPT_WRITEFUNCTION, on_body);
	r |= curl_easy_setopt(call->easy, CURLOPT_WRITEDATA, call);
	r |= curl_easy_setopt(call->easy, CURLOPT_PRIVATE, call);
	return r == CURLE_OK;
}

static struct call *call_new(struct http_client *client, const struct http_call *wanted)
{
	struct call *call = calloc(1, sizeof(*call));

	if (!call)
		return NULL;
	call->client = client;
	call->idle_timeout_ms = wanted->idle_timeout_ms;
	call->max_body = wanted->max_body ? wanted->max_body : MAX_BODY;
	call->on_data = wanted->on_data;
	call->on_done = wanted->on_done;
	call->userdata = wanted->userdata;
	evtimer_assign(&call->idle, client->base, idle_passed, call);
	call->easy = curl_easy_init();
	if (!call->easy || set_headers(call, wanted) < 0 || !set_request(call, wanted) ||
	    !set_trust(call, client) || !set_callbacks(call, wanted)) {
		call_free(call);
		return NULL;
	}
	return call;
}

int http_client_call(struct http_client *client, const struct http_call *wanted, uint64_t *ret_id)
{
	struct call *call = call_new(client, wanted);
	struct timeval idle = to_timeval(wanted->idle_timeout_ms);

	if (!call)
		return -ENOMEM;
	call->id = ++client->last_id;
	HASH_ADD(hh, client->calls, id, sizeof(call->id), call);
	if (!call->hh.tbl) {
		call_free(call);
		return -ENOMEM;
	}
	if (call->idle_timeout_ms > 0)
		event_add(&call->idle, &idle);
	call_changed(call);
	if (ret_id)
		*ret_id = call->id;
	return 0;
}

void http_client_cancel(struct http_client *client, uint64_t id)
{
	struct call *call = NULL;

	HASH_FIND(hh, client->calls, &id, sizeof(id), call);
	if (!call || call->cancelled)
		return;
	call->cancelled = true;
	event_del(&call->idle);
	call_changed(call);
}

void http_client_pause(struct http_client *client, uint64_t id, bool paused)
{
	struct call *call = NULL;
	struct timeval idle;

	HASH_FIND(hh, client->calls, &id, sizeof(id), call);
	if (!call || call->cancelled || call->paused == paused)
		return;
	idle = to_timeval(call->idle_timeout_ms);
	call->paused = paused;
	if (paused)
		event_del(&call->idle);
	else if (call->idle_timeout_ms > 0)
		event_add(&call->idle, &idle);
	call_changed(call);
}
