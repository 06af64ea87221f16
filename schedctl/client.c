/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One server that schedctl talks to. The asynchronous lib/http_client is run to completion here,
 * and nowhere else in schedctl; what goes wrong becomes one sentence here.
 */

#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "lib/backoff.h"
#include "lib/clock.h"
#include "lib/file.h"
#include "lib/http_client.h"
#include "lib/loop.h"
#include "lib/number.h"
#include "lib/random.h"
#include "schedctl/client.h"
#include "schedctl/output.h"
#include "schedctl/text.h"

#define CALL_TIMEOUT_MS 30000
#define CONNECT_TIMEOUT_MS 5000
#define PATIENCE_MS 10000
#define LATER_MAX_S UINT64_C(3600)
#define KEY_RANDOM 26 /* characters: 130 bits */
#define UNIX_PREFIX "unix:"

struct client {
	struct event_base *base;
	struct event *timer; /* ends the loop at a deadline */
	struct http_client *http;
	char *prefix;        /* "http://10.0.0.1:8000", without a slash at the end */
	char *unix_socket;   /* NULL for TCP */
	char *peer;          /* for sentences: "schedd at http://10.0.0.1:8000" */
	const char *hint;    /* what to do where it cannot be reached */
	char *authorization; /* header; NULL: none */
	uint64_t patience_ms;
	bool is_gateway;
	bool stopped; /* by client_stop */
};

/* One call on its way; lives on the stack of the function that waits for it. */
struct exchange {
	struct client *client;
	struct watch_decoder *decoder; /* borrowed; NULL for a plain call */
	/* Of another stream; NULL for none. */
	int (*sink)(const char *data, size_t length, void *userdata);
	void *sink_userdata;
	uint32_t silence_ms; /* of a stream */
	const char *key;     /* header of a call that is to be done once; NULL: none */
	uint64_t
		later_s; /* the server says that it cannot now, and when to come back; 0: neither */
	bool data_seen, done;
	int r; /* where the stream's content was wrong */
	json_t *answer;
	struct error *err;
};

static int set_up_server(struct client *client, const char *server, struct error *err)
{
	size_t length = strlen(server);

	client->hint = "check --server or PORTICO_SERVER, and that schedd runs";
	client->peer = text_format("schedd at %s", server);
	if (!client->peer)
		return -ENOMEM;
	if (strncmp(server, UNIX_PREFIX "/", strlen(UNIX_PREFIX) + 1) == 0) {
		client->unix_socket = strdup(server + strlen(UNIX_PREFIX));
		client->prefix = strdup("http://localhost");
		return client->unix_socket && client->prefix ? 0 : -ENOMEM;
	}
	if (strncasecmp(server, "http://", 7) != 0 && strncasecmp(server, "https://", 8) != 0)
		return error_set(err, -EINVAL, "usage", "server",
				 "server \"%s\" is not http://HOST:PORT, https://HOST:PORT or "
				 "unix:/PATH",
				 server);
	while (length > 0 && server[length - 1] == '/')
		length--;
	client->prefix = strndup(server, length);
	return client->prefix ? 0 : -ENOMEM;
}

static int set_up_gateway(struct client *client, const char *path)
{
	client->is_gateway = true;
	client->hint =
		"check --gateway, that gatewayd runs on this machine, and that you may open its socket";
	client->unix_socket = strdup(path);
	client->prefix = strdup("http://localhost");
	client->peer = text_format("gatewayd at %s", path);
	return client->unix_socket && client->prefix && client->peer ? 0 : -ENOMEM;
}

/* The loop's caller sees by the clock that the time is up. */
static void on_deadline(int fd, short what, void *userdata)
{
	(void)event_base_loopbreak(userdata);
}

/* A token is for schedd alone. */
static int set_up_token(struct client *client, const char *path, struct error *err)
{
	struct error detail = ERROR_INIT;
	char *token = NULL;
	int r;

	if (!path || !*path)
		return 0;
	r = file_read_secret(path, &token, &detail);
	if (r < 0)
		return r == -ENOMEM ? r
				    : error_set(err, -EINVAL, "usage", "token-file", "no token: %s",
						error_text(&detail, r));
	client->authorization = text_format("Authorization: Bearer %s", token);
	explicit_bzero(token, strlen(token));
	free(token);
	return client->authorization ? 0 : -ENOMEM;
}

int client_new(struct client **ret, const struct client_config *config, struct error *err)
{
	_cleanup_(cleanup_client) struct client *client = calloc(1, sizeof(*client));
	int r;

	if (!client)
		return -ENOMEM;
	client->patience_ms = PATIENCE_MS;
	r = config->gateway ? set_up_gateway(client, config->gateway)
			    : set_up_server(client, config->server, err);
	if (r == 0 && !config->gateway)
		r = set_up_token(client, config->token_file, err);
	if (r < 0)
		return r;
	client->base = event_base_new();
	if (!client->base)
		return -ENOMEM;
	client->timer = evtimer_new(client->base, on_deadline, client->base);
	if (!client->timer)
		return -ENOMEM;
	r = http_client_new(&client->http, client->base);
	if (r == 0)
		r = http_client_trust(client->http, config->ca_file, config->server_pin);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(client);
	return 0;
}

void client_free(struct client *client)
{
	if (!client)
		return;
	http_client_free(client->http);
	if (client->timer)
		event_free(client->timer);
	if (client->base)
		event_base_free(client->base);
	free(client->prefix);
	free(client->unix_socket);
	free(client->peer);
	if (client->authorization)
		explicit_bzero(client->authorization, strlen(client->authorization));
	free(client->authorization);
	free(client);
}

static bool is_unreserved(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '-' || c == '.' || c == '_' || c == '~';
}

/* Writes text percent-encoded; false where it does not fit. */
static bool encode_segment(const char *text, char *buffer, size_t size)
{
	size_t used = 0;

	for (; *text; text++) {
		size_t needed = is_unreserved(*text) ? 1 : 3;

		if (used + needed >= size)
			return false;
		(void)snprintf(buffer + used, size - used, needed == 1 ? "%c" : "%%%02X",
			       (unsigned char)*text);
		used += needed;
	}
	buffer[used] = '\0';
	return true;
}

int client_path(char path[CLIENT_PATH_MAX], const char *collection, const char *id,
		const char *query, struct error *err)
{
	char encoded[CLIENT_PATH_MAX] = "";
	int length;

	/* "." and ".." would be taken out of the path on the way. */
	if (id && (id[0] == '\0' || strcmp(id, ".") == 0 || strcmp(id, "..") == 0))
		return error_set(err, -EINVAL, "usage", NULL, "\"%s\" is no name", id);
	if (id && !encode_segment(id, encoded, sizeof(encoded)))
		return error_set(err, -EINVAL, "usage", NULL, "the name is too long");
	length = snprintf(path, CLIENT_PATH_MAX, "%s%s%s%s%s", collection, id ? "/" : "", encoded,
			  query ? "?" : "", query ? query : "");
	if (length < 0 || length >= CLIENT_PATH_MAX)
		return error_set(err, -EINVAL, "usage", NULL, "the name is too long");
	return 0;
}

int client_action_path(char path[CLIENT_PATH_MAX], const char *collection, const char *id,
		       const char *suffix, struct error *err)
{
	size_t length;
	int r;

	r = client_path(path, collection, id, NULL, err);
	if (r < 0)
		return r;
	length = strlen(path);
	if (length + strlen(suffix) >= CLIENT_PATH_MAX)
		return error_set(err, -EINVAL, "usage", NULL, "the name is too long");
	memcpy(path + length, suffix, strlen(suffix) + 1);
	return 0;
}

/* The errno value of exit_status_of for an HTTP status that is no success. */
static int errnum_of_status(int status)
{
	if (status == 404)
		return -ENOENT;
	if (status == 429 || status == 503)
		return -ENOTCONN;
	if (status >= 400 && status < 500)
		return -EPERM;
	return -EPROTO;
}

/* No whole answer came: says to whom we spoke and what to look at. */
static int fail_transport(struct exchange *exchange, const struct http_response *response)
{
	const struct client *client = exchange->client;

	if (response->error == -ENOMEM)
		return -ENOMEM;
	if (response->error == -EKEYREJECTED)
		return error_set(exchange->err, -ENOTCONN, "unreachable", NULL,
				 "%s has a certificate that is not trusted: %s; name who signed it "
				 "by --ca-file, or its key by --server-pin",
				 client->peer, response->message);
	if (response->error == -EMSGSIZE || response->error == -EPROTO)
		return error_set(exchange->err, -EPROTO, "protocol", NULL,
				 "%s gave an answer that makes no sense: %s", client->peer,
				 response->message);
	return error_set(exchange->err, -ENOTCONN, "unreachable", NULL, "cannot reach %s: %s; %s",
			 client->peer,
			 response->message[0] ? response->message : strerror(-response->error),
			 client->hint);
}

/* The codes that somebody here asks for. */
static const char *code_of(int status, const json_t *body)
{
	const char *code = json_string_value(json_object_get(body, "code"));

	if (status == 403)
		return "forbidden";
	if (status == 429)
		return "rate_limited";
	return code && strcmp(code, "other_schema") == 0 ? "other_schema" : "refused";
}

/* The server's own sentence, or what can be said without one. */
static int fail_status(struct exchange *exchange, const struct http_response *response)
{
	_cleanup_json_ json_t *body = NULL;
	const char *message = NULL, *field = NULL, *code;
	int errnum = errnum_of_status(response->status);

	if (json_decode(response->body, response->length, &body, NULL) == 0) {
		message = json_string_value(json_object_get(body, "message"));
		field = json_string_value(
			json_object_get(json_object_get(body, "details"), "field"));
	}
	if (!message)
		return error_set(exchange->err, errnum == -ENOENT ? -EPROTO : errnum, "protocol",
				 NULL, "%s answered HTTP %d without a reason; is it %s?",
				 exchange->client->peer, response->status,
				 exchange->client->is_gateway ? "gatewayd" : "schedd");
	if (response->status == 401)
		return error_set(exchange->err, errnum, "unauthenticated", NULL,
				 "%s; name a file with one by --token-file or PORTICO_TOKEN_FILE",
				 message);
	code = code_of(response->status, body);
	if (field && *field && errnum != -ENOENT && !strstr(message, field))
		return error_set(exchange->err, errnum, code, field, "%s: %s", field, message);
	return error_set(exchange->err, errnum, code, field, "%s", message);
}

/* A refusal for now: by "Retry-After: SECONDS". */
static uint64_t when_later(const struct http_response *response)
{
	const char *header = http_response_header(response, "Retry-After");
	uint64_t seconds;

	if ((response->status != 429 && response->status != 503) || !header ||
	    number_parse(header, &seconds, NULL) < 0)
		return 0;
	return MIN(MAX(seconds, UINT64_C(1)), LATER_MAX_S);
}

static void on_done(const struct http_response *response, void *userdata)
{
	struct exchange *exchange = userdata;

	exchange->done = true;
	if (exchange->r == 0 && response->error != 0)
		exchange->r = fail_transport(exchange, response);
	else if (exchange->r == 0 && (response->status < 200 || response->status > 299)) {
		exchange->r = fail_status(exchange, response);
		exchange->later_s = when_later(response);
	} else if (exchange->r == 0 && exchange->silence_ms == 0 && response->length > 0)
		exchange->r =
			json_decode(response->body, response->length, &exchange->answer, NULL);
	if (exchange->r == -EINVAL)
		exchange->r =
			error_set(exchange->err, -EPROTO, "protocol", NULL,
				  "%s gave an answer that is not JSON", exchange->client->peer);
	(void)event_base_loopbreak(exchange->client->base);
}

static int on_stream(const char *data, size_t length, void *userdata)
{
	struct exchange *exchange = userdata;
	struct error detail = ERROR_INIT;
	int r;

	if (exchange->client->stopped)
		return 0;
	exchange->data_seen = true;
	if (exchange->sink) {
		exchange->r = exchange->sink(data, length, exchange->sink_userdata);
		return exchange->r;
	}
	r = watch_decoder_feed(exchange->decoder, data, length, &detail);
	if (r == 0)
		return 0;
	if (r == -ECONNRESET)
		exchange->r = error_set(exchange->err, -ENOTCONN, "unreachable", NULL,
					"%s ended the stream: %s", exchange->client->peer,
					error_text(&detail, r));
	else
		exchange->r = error_set(exchange->err, -EPROTO, "protocol", NULL,
					"%s sent a stream that makes no sense: %s",
					exchange->client->peer, error_text(&detail, r));
	return r;
}

/* Starts a call whose end sets exchange->done. */
static int start(struct exchange *exchange, const char *method, const char *path, json_t *body,
		 uint64_t *ret_id)
{
	struct client *client = exchange->client;
	const char *const headers[] = { "User-Agent: schedctl/" PORTICO_VERSION,
					client->authorization ? client->authorization
							      : exchange->key,
					client->authorization ? exchange->key : NULL, NULL };
	bool stream = exchange->silence_ms > 0;
	_cleanup_free_ char *url = NULL, *text = NULL;

	url = text_format("%s%s", client->prefix, path);
	if (!url)
		return -ENOMEM;
	if (body) {
		text = json_encode(body);
		if (!text)
			return -ENOMEM;
	}
	return http_client_call(client->http,
				&(struct http_call){
					.method = method,
					.url = url,
					.unix_socket = client->unix_socket,
					.headers = headers,
					.body = text,
					.body_length = text ? strlen(text) : 0,
					.connect_timeout_ms = CONNECT_TIMEOUT_MS,
					.timeout_ms = stream ? 0 : CALL_TIMEOUT_MS,
					.idle_timeout_ms = exchange->silence_ms,
					.on_data = stream ? on_stream : NULL,
					.on_done = on_done,
					.userdata = exchange,
				},
				ret_id);
}

/* Runs the loop until the exchange is done, the client is stopped or the time is up. */
static int run(struct exchange *exchange, uint64_t deadline_ms)
{
	struct client *client = exchange->client;

	while (!exchange->done && !client->stopped) {
		uint64_t now = clock_monotonic_ms();

		if (deadline_ms != 0 && now >= deadline_ms)
			return -ETIMEDOUT;
		if (deadline_ms != 0 && loop_timer_arm(client->timer, deadline_ms - now) < 0)
			return -ENOMEM;
		if (event_base_loop(client->base, 0) != 0 && !exchange->done)
			return -EIO;
	}
	(void)evtimer_del(client->timer);
	return 0;
}

/* Waits in the loop, so that the deadline and a later client_stop are one mechanism. */
static int pause_for(struct client *client, uint64_t ms, uint64_t deadline_ms)
{
	struct exchange nothing = { .client = client };
	uint64_t until = clock_monotonic_ms() + ms;
	int r;

	if (deadline_ms != 0 && deadline_ms < until)
		until = deadline_ms;
	r = run(&nothing, until);
	if (r == -ETIMEDOUT && until != deadline_ms)
		return 0;
	return r;
}

/* One try of a call; *ret_later_s as in struct exchange. */
static int try_call(struct client *client, const char *method, const char *path, json_t *body,
		    const char *key, json_t **ret, uint64_t *ret_later_s, struct error *err)
{
	struct exchange exchange = { .client = client, .key = key, .err = err };
	int r;

	r = start(&exchange, method, path, body, NULL);
	if (r == 0)
		r = run(&exchange, 0);
	if (r == 0)
		r = exchange.r;
	*ret = exchange.answer;
	*ret_later_s = exchange.later_s;
	return r;
}

static bool repeatable(const char *method, const struct error *err)
{
	return strcmp(method, "DELETE") != 0 || strcmp(err->code, "rate_limited") == 0;
}

/* "Idempotency-Key: …" for what must not be done twice; NULL in *ret for what may. */
static int make_key(const struct client *client, const char *method, char **ret)
{
	char random[KEY_RANDOM + 1];
	int r = 0;

	*ret = NULL;
	if (strcmp(method, "POST") != 0 || client->is_gateway)
		return 0;
	r = random_text(random, KEY_RANDOM);
	if (r == 0)
		*ret = text_format("Idempotency-Key: schedctl-%s", random);
	return r == 0 && !*ret ? -ENOMEM : r;
}

int client_call(struct client *client, const char *method, const char *path, json_t *body,
		json_t **ret, struct error *err)
{
	uint64_t deadline_ms = clock_monotonic_ms() + client->patience_ms, later_s;
	_cleanup_json_ json_t *answer = NULL;
	_cleanup_free_ char *key = NULL;
	struct error last = ERROR_INIT;
	bool told = false;
	int r;

	client->stopped = false;
	r = make_key(client, method, &key);
	while (r == 0) {
		last = ERROR_INIT;
		r = try_call(client, method, path, body, key, &answer, &later_s, &last);
		if (r == 0 || later_s == 0 || !repeatable(method, &last) ||
		    clock_monotonic_ms() + 1000 * later_s > deadline_ms)
			break;
		if (!told)
			note("%s; trying again", error_text(&last, r));
		told = true;
		r = pause_for(client, 1000 * later_s, 0);
	}
	if (r < 0 && last.errnum < 0 && err && err->errnum == 0)
		*err = last;
	if (r == 0 && ret && !answer)
		r = error_set(err, -EPROTO, "protocol", NULL, "%s gave an empty answer",
			      client->peer);
	if (r == 0 && ret)
		*ret = TAKE_PTR(answer);
	return r;
}

void client_set_patience(struct client *client, uint64_t ms)
{
	client->patience_ms = ms;
}

void client_stop(struct client *client)
{
	client->stopped = true;
	(void)event_base_loopbreak(client->base);
}

/* One stream from its start to its end. *ret_seen: something came. 0 where it was stopped,
 * -ENOTCONN for an ordinary end. */
static int watch_once(struct client *client, const char *path, const struct watch_events *events,
		      void *userdata, uint64_t deadline_ms, bool *ret_seen, struct error *err)
{
	_cleanup_(cleanup_watch_decoder) struct watch_decoder *decoder = NULL;
	struct exchange exchange = { .client = client, .err = err };
	uint64_t id = 0;
	int r;

	r = watch_decoder_new(&decoder, events, userdata, 0);
	if (r < 0)
		return r;
	exchange.decoder = decoder;
	exchange.silence_ms = WATCH_SILENCE_MS;
	r = start(&exchange, "GET", path, NULL, &id);
	if (r < 0)
		return r;
	r = run(&exchange, deadline_ms);
	*ret_seen = exchange.data_seen;
	if (!exchange.done)
		http_client_cancel(client->http, id);
	if (r < 0 || client->stopped)
		return r;
	if (exchange.r < 0)
		return exchange.r;
	return error_set(err, -ENOTCONN, "unreachable", NULL, "%s ended the stream", client->peer);
}

int client_read(struct client *client, const char *path, uint32_t silence_ms,
		int (*on_data)(const char *data, size_t length, void *userdata), void *userdata,
		struct error *err)
{
	struct exchange exchange = { .client = client,
				     .sink = on_data,
				     .sink_userdata = userdata,
				     .silence_ms = silence_ms,
				     .err = err };
	int r;

	client->stopped = false;
	r = start(&exchange, "GET", path, NULL, NULL);
	if (r == 0)
		r = run(&exchange, 0);
	return r < 0 ? r : exchange.r;
}

int client_watch(struct client *client, const char *path, const struct watch_events *events,
		 void (*on_lost)(void *userdata, const char *reason), void *userdata,
		 uint64_t timeout_ms, struct error *err)
{
	uint64_t deadline_ms = timeout_ms ? clock_monotonic_ms() + timeout_ms : 0;
	struct backoff backoff = { .first_ms = 250, .max_ms = 5000 };
	bool ever_seen = false;
	int r;

	client->stopped = false;
	for (;;) {
		struct error last = ERROR_INIT;
		bool seen = false;

		r = watch_once(client, path, events, userdata, deadline_ms, &seen, &last);
		ever_seen = ever_seen || seen;
		if (r == -ENOTCONN && ever_seen) {
			if (seen)
				backoff_reset(&backoff);
			if (on_lost)
				on_lost(userdata, error_text(&last, r));
			r = pause_for(client, backoff_next_ms(&backoff), deadline_ms);
			if (r == 0)
				continue;
		}
		if (r < 0 && last.errnum != 0 && r == last.errnum && err && err->errnum == 0)
			*err = last;
		return r;
	}
}
