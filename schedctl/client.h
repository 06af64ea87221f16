/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One server that schedctl talks to, call by call: schedd over TCP or a Unix socket, or gatewayd's
 * local API. Each call runs its own event loop to completion, since a person waits for it. Errors
 * have the errno values of exit_status_of and a sentence that says what to do next.
 */
#pragma once

#include "lib/error.h"
#include "lib/json.h"
#include "proto/watch.h"

#define CLIENT_PATH_MAX 512

struct client;

struct client_config {
	const char *server;     /* "http://HOST:PORT", "https://…" or "unix:/PATH" */
	const char *gateway;    /* the path of gatewayd's socket; with it, server is not used */
	const char *token_file; /* of the bearer token for schedd; NULL: none */
	const char *ca_file, *server_pin; /* whom https is to be believed; see http_client_trust */
};

/* Everything is copied. -EINVAL where server has another form, or the token's file cannot be used.
 */
int client_new(struct client **ret, const struct client_config *config, struct error *err)
	_must_check_;
void client_free(struct client *client); /* NULL is fine */

/* Writes "COLLECTION/ID?QUERY" with ID percent-encoded; id and query may be NULL. -EINVAL for an
 * empty or too long id. */
int client_path(char path[CLIENT_PATH_MAX], const char *collection, const char *id,
		const char *query, struct error *err) _must_check_;

/* Writes "COLLECTION/ID" and suffix, such as ":VERB". */
int client_action_path(char path[CLIENT_PATH_MAX], const char *collection, const char *id,
		       const char *suffix, struct error *err) _must_check_;

/* One request. body may be NULL and is borrowed. *ret (may be NULL) gets the answer, owned by the
 * caller. -ENOENT for 404, -EPERM for another 4xx, -ENOTCONN where there is no answer, 429 or
 * 503, -EPROTO for what is not the API's. The error's code is "unauthenticated" for 401,
 * "forbidden" for 403, "rate_limited" for 429, and "other_schema" where a standby says so.
 * Who is told by 429 or 503 to come back later does so, for as long as client_set_patience says:
 * what might be done twice (a POST to schedd) carries a key by which schedd does it once, and a
 * DELETE is repeated after 429 only. */
int client_call(struct client *client, const char *method, const char *path, json_t *body,
		json_t **ret, struct error *err) _must_check_;

/* How long a call comes back to a server that cannot serve now; 0: not at all. Default: 10 s. */
void client_set_patience(struct client *client, uint64_t ms);

/* Follows a watch stream until client_stop is called from an event. A stream that was open and is
 * lost is opened again with back-off; events then start with a snapshot again, and on_lost (may be
 * NULL) is told why; path is read again then, so that an event may change where it goes on.
 * timeout_ms 0: no end. -ETIMEDOUT, or client_call's errors. */
int client_watch(struct client *client, const char *path, const struct watch_events *events,
		 void (*on_lost)(void *userdata, const char *reason), void *userdata,
		 uint64_t timeout_ms, struct error *err) _must_check_;
/* Reads a stream that is no watch, once: on_data gets each piece of it, and not 0 ends it with that
 * error, which has set *err. silence_ms: nothing for so long ends it with -ENOTCONN. 0 at the end
 * of the stream, or client_call's errors. */
int client_read(struct client *client, const char *path, uint32_t silence_ms,
		int (*on_data)(const char *data, size_t length, void *userdata), void *userdata,
		struct error *err) _must_check_;
/* Ends the running client_watch with 0. */
void client_stop(struct client *client);

DEFINE_CLEANUP(struct client *, client_free, cleanup_client)
