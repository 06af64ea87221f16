/* SPDX-License-Identifier: GPL-2.0-or-later */
/* An HTTP client on libcurl's multi interface inside the event loop: TCP or Unix sockets,
 * kept-alive connections, whole or streamed answers, deadlines, and cancelling.
 *
 * A call's on_done runs exactly once, from the event loop and never from inside
 * http_client_call; after http_client_cancel or http_client_free it does not run. Callbacks
 * may start and cancel other calls (libcurl itself is never entered from its callbacks).
 */
#pragma once

#include <event2/event.h>

#include "lib/error.h"
#include "lib/util.h"

struct http_client;

struct http_response {
	int error;         /* 0, or why there is no complete answer: -ECONNREFUSED,
			    * -EHOSTUNREACH, -ETIMEDOUT, -ECONNRESET, -EMSGSIZE (body over
			    * max_body), -EKEYREJECTED (a certificate that is not trusted), -ECANCELED
			    * (on_data said so), -EPROTO, -ENOMEM */
	char message[256]; /* libcurl's sentence for error */
	int status;        /* HTTP status, 0 where none came */
	const char *body;  /* zero-terminated, "" with on_data; valid during the callback */
	size_t length;
	void *handle; /* for http_response_header */
};

/* A header of the answer, in any case; NULL where there is none. Valid during the callback. */
const char *http_response_header(const struct http_response *response, const char *name);

struct http_call {
	const char *method;         /* "GET" if NULL; static */
	const char *url;            /* copied; "http://localhost/…" with unix_socket */
	const char *unix_socket;    /* copied; NULL for TCP */
	const char *const *headers; /* "Name: value", NULL-terminated, copied; may be NULL */
	const void *body;           /* copied; NULL for none */
	size_t body_length;
	const char *content_type;    /* default application/json where there is a body */
	uint32_t connect_timeout_ms; /* default 5,000 */
	uint32_t timeout_ms;         /* for the whole call; 0: none, for streams */
	uint32_t idle_timeout_ms;    /* no byte received for so long ends the call with
				      * -ETIMEDOUT; 0: none. For streams with bookmarks */
	size_t max_body;             /* default 16 MiB; not for streams */
	/* Streamed answers: called with each piece where the status is 2xx; other answers are
	 * collected as body. Not 0 ends the call with that error. May be NULL. */
	int (*on_data)(const char *data, size_t length, void *userdata);
	void (*on_done)(const struct http_response *response, void *userdata);
	void *userdata;
};

/* Whether it is a URL of http or https with a host. */
bool http_client_takes_url(const char *url);

int http_client_new(struct http_client **ret, struct event_base *base) _must_check_;
/* Ends every call without its callback. NULL is fine. */
void http_client_free(struct http_client *client);

/* Whom https is to be believed: the certificates in ca_file (NULL: the system's), or, with a pin,
 * who has this public key, whatever its certificate says ("sha256//…", as in curl --pinnedpubkey).
 * For the calls that start from here on. */
int http_client_trust(struct http_client *client, const char *ca_file, const char *pin)
	_must_check_;

/* Starts a call. *ret_id (may be NULL) is never 0. Everything in *call is copied. */
int http_client_call(struct http_client *client, const struct http_call *call, uint64_t *ret_id)
	_must_check_;
/* Ends a call without its callbacks; an id that is done or 0 is ignored. Safe in callbacks. */
void http_client_cancel(struct http_client *client, uint64_t id);
/* Holds a streamed answer back: on_data is not called, what the server sends stays with it once the
 * socket's buffers are full, and idle_timeout_ms does not run. Or lets it go on. An id that is done
 * or 0 is ignored. Safe in callbacks. */
void http_client_pause(struct http_client *client, uint64_t id, bool paused);

DEFINE_CLEANUP(struct http_client *, http_client_free, cleanup_http_client)
