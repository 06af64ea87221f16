/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The follower's side of the protocol, the same for gatewayd and agentd: register, watch the
 * desired state, report what is; reconnect with back-off; refuse a lower epoch.
 *
 * It never gives up and never blocks. What has been received stays valid while schedd is away.
 */
#pragma once

#include <event2/event.h>

#include "lib/error.h"
#include "lib/http_client.h"
#include "lib/json.h"
#include "proto/watch.h"

struct follower;

enum follower_state {
	FOLLOWER_CONNECTING,
	FOLLOWER_SYNCED,  /* a snapshot has arrived and the stream is open */
	FOLLOWER_WAITING, /* between two tries; the reason says why */
};

struct follower_config {
	/* "http://10.0.0.1:8000" or "unix:/path", or several of them with commas between, which are
	 * tried in turn; copied */
	const char *server;
	const char *collection; /* "hosts" or "gateways", static */
	const char *name;       /* our id, copied */
	const char *token;      /* bearer token, copied; NULL: none */
	/* Where it is from, copied; NULL: it stays. Read again before each try, so that a token
	 * that was replaced there and then revoked needs no restart. */
	const char *token_file;
	uint32_t heartbeat_ms; /* a report at least this often, or oftener where schedd asks */
	uint32_t silence_ms;   /* a stream silent so long is dead; 0: WATCH_SILENCE_MS */
	uint64_t min_epoch;    /* highest epoch ever seen, from a state file; 0: none */
};

struct follower_events {
	struct watch_events watch;
	/* The registration's body, a new reference; NULL: cannot register yet, ask again later. */
	json_t *(*registration)(void *userdata);
	/* The report's body, a new reference; NULL: nothing to report yet. */
	json_t *(*report)(void *userdata);
	/* The answer to a report that was sent at this time (CLOCK_BOOTTIME); borrowed. May be
	 * NULL. */
	void (*on_answer)(void *userdata, const json_t *answer, uint64_t sent_ms);
	/* schedd wants reports more often than configured, and now gets them so often; or does not
	 * any more. At each change, for the log; complaint is a sentence for the first, else "".
	 * May be NULL. */
	void (*on_heartbeat)(void *userdata, uint32_t heartbeat_ms, const char *complaint);
	/* At each change of state, for the log. reason is a sentence for WAITING, else "". */
	void (*on_state)(void *userdata, enum follower_state state, const char *reason);
};

#define FOLLOWER_SERVERS_MAX 16
#define FOLLOWER_UNIX_PREFIX "unix:" /* of a server that is a socket */

/* Whether name and server of the configuration, and a pin for http_client_trust (NULL: none), can
 * be used at all; the error names option and value. */
int follower_check(const struct follower_config *config, const char *pin, struct error *err)
	_must_check_;

/* Starts to connect at once, from the event loop. -EINVAL for an empty server, or more than the
 * maximum; -ENOMEM. */
int follower_new(struct follower **ret, struct event_base *base, struct http_client *client,
		 const struct follower_config *config, const struct follower_events *events,
		 void *userdata) _must_check_;
void follower_free(struct follower *follower); /* NULL is fine */

/* There is something new to report: one is sent as soon as none is on its way. */
void follower_touch(struct follower *follower);
/* Something that the stream said was lost, and cannot be made good: the stream is ended, and all of
 * it asked for anew. Also from within the stream's events, none of which is called again before the
 * next snapshot. */
void follower_lost(struct follower *follower, const char *reason);
/* The registration has changed: it is sent again. */
void follower_register(struct follower *follower);

/* Posts to a path below our own, "/logs/ID", at the server that is followed or tried: body, its
 * type, times and callbacks are the call's. It is ended by http_client_cancel. -ENOMEM. */
int follower_post(struct follower *follower, const char *path, const struct http_call *call,
		  uint64_t *ret_id) _must_check_;

/* The server that is followed, or tried. */
const char *follower_server(const struct follower *follower);
enum follower_state follower_state(const struct follower *follower);
uint64_t follower_epoch(const struct follower *follower); /* highest seen, 0 before */

DEFINE_CLEANUP(struct follower *, follower_free, cleanup_follower)
