/* SPDX-License-Identifier: GPL-2.0-or-later */
/* From a request to its caller, and the sources whose tokens are wrong. */
#include "schedd/auth.h"

#include <arpa/inet.h>
#include <errno.h>
#include <event2/event_struct.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "lib/clock.h"
#include "lib/log.h"
#include "lib/loop.h"
#include "schedd/token.h"

#define SCHEME "Bearer "
#define USES_FLUSH_MS 10000
#define FIRST_FLUSH_MS 1000
/* A source may fail this often at once, and then once in so many milliseconds. */
#define FAILURES_BURST 20
#define FAILURE_REFILL_MS 3000
#define SOURCES_MAX 4096

/* An address that failed; a /64 of IPv6, which is one customer's. */
struct source {
	char name[INET6_ADDRSTRLEN];
	uint64_t full_ms;  /* monotonic: when it will have all of its failures back */
	UT_hash_handle hh; /* by name, the longest silent first */
};

struct auth {
	struct http_server *server;
	struct scheduler *scheduler;
	struct event flush;
	struct source *sources;
	struct limits *limits;
	struct metric *failures, *refused, *active;
};

/* What goes with a request, and then with its stream. The caller is first: see access_caller. */
struct ticket {
	struct caller caller;
	struct auth *auth;
	struct limits_caller *taken;
	bool watch;
};

/* ---- sources ---- */

static void name_source(const char *peer, char ret[INET6_ADDRSTRLEN])
{
	struct in6_addr address;

	(void)snprintf(ret, INET6_ADDRSTRLEN, "%s", peer);
	if (inet_pton(AF_INET6, peer, &address) != 1 || IN6_IS_ADDR_V4MAPPED(&address))
		return;
	memset(&address.s6_addr[8], 0, 8);
	(void)inet_ntop(AF_INET6, &address, ret, INET6_ADDRSTRLEN);
}

/* The source, made where it is not known: at the end of the list. NULL: out of memory. */
static struct source *touch_source(struct auth *auth, const char *peer)
{
	char name[INET6_ADDRSTRLEN];
	struct source *source;

	name_source(peer, name);
	HASH_FIND_STR(auth->sources, name, source);
	if (source) {
		HASH_DEL(auth->sources, source);
	} else {
		if (HASH_COUNT(auth->sources) >= SOURCES_MAX) {
			struct source *oldest = auth->sources;

			HASH_DEL(auth->sources, oldest);
			free(oldest);
		}
		source = calloc(1, sizeof(*source));
		if (!source)
			return NULL;
		(void)snprintf(source->name, sizeof(source->name), "%s", name);
	}
	HASH_ADD_STR(auth->sources, name, source);
	if (source->hh.tbl)
		return source;
	free(source);
	return NULL;
}

/* Counts a failure. 0, or how many ms the source has to wait before the next. */
static uint64_t count_failure(struct auth *auth, const char *peer)
{
	uint64_t now_ms = clock_monotonic_ms(), allowed = FAILURES_BURST * FAILURE_REFILL_MS;
	struct source *source = touch_source(auth, peer);

	if (!source)
		return 0;
	source->full_ms = MAX(source->full_ms, now_ms);
	if (source->full_ms - now_ms + FAILURE_REFILL_MS > allowed)
		return source->full_ms - now_ms + FAILURE_REFILL_MS - allowed;
	source->full_ms += FAILURE_REFILL_MS;
	if (source->full_ms - now_ms + FAILURE_REFILL_MS > allowed)
		log_warning("api", "too many requests without a valid token source=%s",
			    source->name);
	return 0;
}

/* ---- the caller ---- */

static int reject(struct error *err, const char *why)
{
	return error_set(err, -EACCES, "unauthenticated", NULL, "%s", why);
}

static int from_token(struct auth *auth, const char *text, struct caller *ret, struct error *err)
{
	static const unsigned char nothing[TOKEN_HASH_SIZE];
	const struct state *state = scheduler_state(auth->scheduler);
	char id[TOKEN_ID_MAX + 1];
	struct token_entry *entry;
	const struct token *token;
	int64_t now = clock_unix_seconds();

	if (token_id_of(text, id) < 0)
		return reject(err, "this is not a token of Portico");
	entry = state_token(state, id);
	token = entry ? token_committed(entry) : NULL;
	if (!token_matches(text, token ? token->hash : nothing) || !token)
		return reject(err, "the token is not known here: it is wrong, or was revoked");
	if (token->expires_at > 0 && token->expires_at <= now)
		return reject(err, "the token has expired: ask for a new one");
	entry->last_used_at = now;
	*ret = (struct caller){ .role = token->role, .expires_at = token->expires_at };
	(void)snprintf(ret->subject, sizeof(ret->subject), "%s", token->subject);
	(void)snprintf(ret->token, sizeof(ret->token), "%s", token->id);
	(void)snprintf(ret->actor, sizeof(ret->actor), "%s/%s", role_name(token->role),
		       token->role == ROLE_ADMIN ? token->name : token->subject);
	return 0;
}

static int authenticate(struct auth *auth, struct http_request *request, struct caller *ret,
			struct error *err)
{
	const char *header = http_request_header(request, "Authorization");
	uid_t uid;

	if (header) {
		if (strncasecmp(header, SCHEME, sizeof(SCHEME) - 1) != 0)
			return reject(err, "the header Authorization is not \"Bearer TOKEN\"");
		return from_token(auth, header + sizeof(SCHEME) - 1, ret, err);
	}
	if (!http_request_peer_uid(request, &uid))
		return reject(err, "a token is needed: Authorization: Bearer TOKEN");
	if (uid != 0 && uid != geteuid())
		return reject(err, "only root needs no token on this socket: "
				   "Authorization: Bearer TOKEN");
	*ret = (struct caller){ .role = ROLE_ADMIN };
	(void)snprintf(ret->actor, sizeof(ret->actor), "unix/%s", uid == 0 ? "root" : "schedd");
	return 0;
}

/* ---- answers ---- */

static void refuse_unknown(struct auth *auth, struct http_request *request, const struct error *err)
{
	uint64_t wait_ms = count_failure(auth, http_request_peer(request));
	struct error limited = ERROR_INIT;
	char seconds[24];

	metric_add(auth->failures, (const char *const[]){ wait_ms ? "limited" : "token" }, 1);
	if (wait_ms == 0) {
		http_reply_header(request, "WWW-Authenticate", "Bearer");
		http_reply_error(request, err);
		return;
	}
	(void)snprintf(seconds, sizeof(seconds), "%" PRIu64, (wait_ms + 999) / 1000);
	http_reply_header(request, "Retry-After", seconds);
	error_set(&limited, -EAGAIN, "rate_limited", "authentication_failures",
		  "too many requests without a valid token from this address; try again in %s s",
		  seconds);
	http_reply_error_details(request, 429, &limited, NULL);
}

static bool refuse_known(struct auth *auth, struct http_request *request, const struct error *err)
{
	metric_add(auth->failures, (const char *const[]){ "role" }, 1);
	http_reply_error(request, err);
	return false;
}

static bool refuse_role(struct auth *auth, struct http_request *request,
			const struct caller *caller, const struct http_route *route)
{
	struct error err = ERROR_INIT;

	error_set(&err, -EPERM, "forbidden", NULL, "the role %s may not %s %s",
		  role_name(caller->role), http_method_name(route->method), route->pattern);
	return refuse_known(auth, request, &err);
}

static bool refuse_subject(struct auth *auth, struct http_request *request,
			   const struct caller *caller)
{
	struct error err = ERROR_INIT;

	error_set(&err, -EPERM, "forbidden", NULL, "this token is for %s %s and not for %s",
		  role_name(caller->role), caller->subject, http_request_param(request, "id"));
	return refuse_known(auth, request, &err);
}

/* A follower's routes name it in the path; it has no other's. */
static bool names_another(const struct caller *caller, const struct http_request *request)
{
	const char *id = http_request_param(request, "id");

	return caller->access == ACCESS_OWN && id && strcmp(id, caller->subject) != 0 &&
	       (caller->role == ROLE_HOST || caller->role == ROLE_GATEWAY);
}

/* ---- limits ---- */

/* Whatever the limit, it is counted here. auth NULL: a request that came by no guard. */
static void answer_over(struct auth *auth, struct http_request *request, const char *limit,
			const char *why, uint64_t wait_ms)
{
	struct error err = ERROR_INIT;
	char seconds[24];

	if (auth)
		metric_add(auth->refused, (const char *const[]){ limit }, 1);
	(void)snprintf(seconds, sizeof(seconds), "%" PRIu64, (wait_ms + 999) / 1000);
	http_reply_header(request, "Retry-After", seconds);
	error_set(&err, -EAGAIN, "rate_limited", NULL, "over the limit %s%s%s; try again in %s s",
		  limit, why ? ": " : "", why ? why : "", seconds);
	http_reply_error_details(request, 429, &err, json_pack("{s:s}", "limit", limit));
}

static void refuse_over(struct auth *auth, struct http_request *request, int r, const char *limit,
			uint64_t wait_ms)
{
	struct error err = ERROR_INIT;

	if (r != -EAGAIN) {
		error_set(&err, r, "internal", NULL, "out of memory");
		http_reply_error(request, &err);
		return;
	}
	answer_over(auth, request, limit, NULL, wait_ms);
}

void auth_refuse_over(struct http_request *request, const char *limit, const char *why,
		      uint64_t wait_ms)
{
	const struct ticket *ticket = http_request_attachment(request);

	answer_over(ticket ? ticket->auth : NULL, request, limit, why, wait_ms);
}

static void ticket_release(void *data)
{
	struct ticket *ticket = data;

	limits_give(ticket->auth->limits, ticket->taken, ticket->watch);
	free(ticket);
}

/* Who shares a rate: the token, or the address of who needs none. Root on the Unix socket is held
 * by none: it has to get in when others keep everybody out. */
static bool take(struct auth *auth, struct http_request *request, const struct caller *caller)
{
	const char *key = caller->token[0] ? caller->token : http_request_peer(request);
	bool exempt = !caller->token[0] && caller->access == ACCESS_ALL;
	struct ticket *ticket = malloc(sizeof(*ticket));
	const char *limit = "";
	uint64_t wait_ms = 0;
	int r = -ENOMEM;

	if (ticket) {
		*ticket = (struct ticket){ .caller = *caller, .auth = auth };
		r = limits_take(auth->limits, key, exempt, clock_monotonic_us(), &ticket->taken,
				&limit, &wait_ms);
	}
	if (r == 0) {
		http_request_attach(request, ticket, ticket_release);
		return true;
	}
	free(ticket);
	refuse_over(auth, request, r, limit, wait_ms);
	return false;
}

/* While the request waited for something: what was open ended with the token, and what opens now
 * would not. */
static bool was_revoked(const struct ticket *ticket)
{
	const struct state *state = scheduler_state(ticket->auth->scheduler);

	return ticket->caller.token[0] && !state_token(state, ticket->caller.token);
}

bool auth_takes_watch(struct http_request *request)
{
	struct ticket *ticket = http_request_attachment(request);
	struct error err = ERROR_INIT;
	const char *limit = "";
	uint64_t wait_ms = 0;
	int r;

	if (!ticket)
		return true;
	if (was_revoked(ticket)) {
		reject(&err, "the token was revoked");
		http_reply_header(request, "WWW-Authenticate", "Bearer");
		http_reply_error(request, &err);
		return false;
	}
	r = limits_take_watch(ticket->auth->limits, ticket->taken, &limit, &wait_ms);
	if (r < 0) {
		refuse_over(ticket->auth, request, r, limit, wait_ms);
		return false;
	}
	ticket->watch = true;
	return true;
}

/* ---- the guard ---- */

static bool guard(struct http_request *request, const struct http_route *route, void *userdata)
{
	const struct access_rule *rule = access_find(route->method, route->pattern);
	struct caller caller = { .role = ROLE_INVALID };
	struct auth *auth = userdata;
	struct error err = ERROR_INIT;

	if (rule && rule->open)
		return take(auth, request, &caller);
	if (!scheduler_loaded(auth->scheduler) &&
	    scheduler_ready(auth->scheduler, &err) < 0) { /* no token is known yet */
		http_reply_error(request, &err);
		return false;
	}
	if (authenticate(auth, request, &caller, &err) < 0) {
		refuse_unknown(auth, request, &err);
		return false;
	}
	caller.access = rule ? rule->by_role[caller.role] : ACCESS_NONE;
	if (caller.access == ACCESS_NONE)
		return refuse_role(auth, request, &caller, route);
	if (names_another(&caller, request))
		return refuse_subject(auth, request, &caller);
	return take(auth, request, &caller);
}

/* ---- uses ---- */

static void flush_due(evutil_socket_t fd, short what, void *userdata)
{
	struct auth *auth = userdata;

	(void)loop_timer_arm(&auth->flush, USES_FLUSH_MS);
	scheduler_write_token_uses(auth->scheduler);
	scheduler_forget_keys(auth->scheduler);
}

static void collect(void *userdata)
{
	struct auth *auth = userdata;

	metric_set(auth->active, NULL, limits_requests(auth->limits));
}

int auth_new(struct auth **ret, struct event_base *base, struct http_server *server,
	     struct scheduler *scheduler, struct metrics *metrics,
	     const struct limits_config *limits)
{
	static const char *const reason[] = { "reason", NULL }, *const limit[] = { "limit", NULL };
	struct auth *auth = calloc(1, sizeof(*auth));

	if (!auth)
		return -ENOMEM;
	if (limits_new(&auth->limits, limits) < 0) {
		free(auth);
		return -ENOMEM;
	}
	auth->server = server;
	auth->scheduler = scheduler;
	auth->failures =
		metrics_register(metrics, METRIC_COUNTER, "portico_sched_auth_failures_total",
				 "Requests that were refused for who sent them.", reason);
	auth->refused = metrics_register(
		metrics, METRIC_COUNTER, "portico_sched_http_requests_refused_total",
		"Requests, watches and logs over a limit, by its option.", limit);
	auth->active = metrics_register(metrics, METRIC_GAUGE, "portico_sched_http_requests_active",
					"Requests that wait for their answer.", NULL);
	if (metrics_on_write(metrics, collect, auth) < 0) {
		limits_free(auth->limits);
		free(auth);
		return -ENOMEM;
	}
	(void)evtimer_assign(&auth->flush, base, flush_due, auth);
	(void)loop_timer_arm(&auth->flush, FIRST_FLUSH_MS);
	http_server_set_guard(server, guard, auth);
	*ret = auth;
	return 0;
}

void auth_free(struct auth *auth)
{
	struct source *source, *next;

	if (!auth)
		return;
	http_server_set_guard(auth->server, NULL, NULL);
	(void)event_del(&auth->flush);
	HASH_ITER (hh, auth->sources, source, next) {
		HASH_DEL(auth->sources, source);
		free(source);
	}
	limits_free(auth->limits);
	free(auth);
}
