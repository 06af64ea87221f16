/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of the API share. */
#pragma once

#include <sys/queue.h>

#include "schedd/access.h"
#include "schedd/answers.h"
#include "schedd/api.h"

/* A request that waits for its commit. */
struct operation {
	LIST_ENTRY(operation) entry;
	struct api *api;
	struct http_request *request;
	struct environment *environment; /* of a create, until the scheduler has it */
	char *password;                  /* of a create; of a token, its text */
	struct key *key;                 /* see idempotency.h; NULL: none, or kept */
	bool repeat;                     /* it was carried out before */
};

struct api {
	struct api_config config;
	LIST_HEAD(, operation) operations;
};

/* NULL where memory ran out; the request was answered then. */
struct operation *operation_new(struct api *api, struct http_request *request);
/* Frees it and what it still has; the request is not touched. */
void operation_free(struct operation *operation);
/* Answers with an error and frees it. */
void operation_fail(struct operation *operation, const struct error *err);
/* A scheduler_done: answers with the id of the row that the request was about, or with the error,
 * and frees the operation that userdata is. */
void operation_answer_id(void *userdata, const struct error *err, const char *id);

/* False where the request has a query parameter that is not in known (NULL-terminated), or whose
 * value is not UTF-8, and was answered with an error that names it. */
bool api_takes_query(struct http_request *request, const char *const *known);
/* The same where there is none to take. */
bool api_takes_no_query(struct http_request *request);
/* Takes ?force=0|1 and nothing else; *ret without it is false. False: it was answered with an
 * error. */
bool api_takes_force(struct http_request *request, bool *ret);
/* Does the request ask for a stream? -EINVAL. */
int api_read_watch(struct http_request *request, bool *ret_watch, struct error *err) _must_check_;
/* True where the request asks for a stream. False, and *ret_failed where it was answered with an
 * error: an unknown parameter, or a value that is not 0 or 1. A list has pages as well. */
bool api_wants_watch(struct http_request *request, bool *ret_failed);
/* Answers with a stream, from the revision that the request names, or with a snapshot first. */
void api_start_watch(struct api *api, struct http_request *request, enum feed_kind kind,
		     const char *id);
/* 410 for a parameter of a watch that says more than has happened: what it was seen in is not what
 * there is now, or not yet here, and a stream from there would stay silent. */
void api_reply_ahead(struct http_request *request, const char *name);
/* True where the request's If-Match, if it has one, is this revision, which nothing is about to
 * change. False where it was answered with 412. */
bool api_matches(struct http_request *request, const struct entry *entry, uint64_t revision);
/* False where the request was answered with 503: there is no state to read. */
bool api_can_read(struct api *api, struct http_request *request);

/* {"items","revision","next"} of the committed rows of a kind that the caller may see; sees NULL:
 * all. A page of them where the request asks for one. */
void api_reply_list(struct api *api, struct http_request *request, enum record_kind kind,
		    bool (*sees)(const struct caller *caller, const struct entry *entry),
		    json_t *(*answer)(const struct api *api, const struct entry *entry));
/* A list, or with watch=1 a stream of it. */
void api_serve_list(struct api *api, struct http_request *request, enum feed_kind feed,
		    enum record_kind kind,
		    bool (*sees)(const struct caller *caller, const struct entry *entry),
		    json_t *(*answer)(const struct api *api, const struct entry *entry));
/* One row that {id} names, or with watch=1 a stream of it; find returns a committed row that the
 * caller may see, or NULL. answer NULL: it is to be had as a stream only. */
void api_serve_item(struct api *api, struct http_request *request, enum feed_kind feed,
		    const char *what,
		    const struct entry *(*find)(struct api *api, struct http_request *request,
						const char *id),
		    json_t *(*answer)(const struct api *api, const struct entry *entry));
/* One row, with its revision as ETag; NULL: out of memory. */
void api_reply_item(struct http_request *request, int status, json_t *item);
/* Adds a sentence for people to an item, which is taken over. NULL: out of memory, or it was. */
json_t *api_add_notice(json_t *item, const char *notice);
void api_reply_not_found(struct http_request *request, const char *what, const char *id);

/* The committed environment that {id} names, by its id or by the name of a live one, if the caller
 * may see it. NULL where the request was answered with the reason. */
struct environment_entry *api_find_environment(struct api *api, struct http_request *request);

int api_environments_init(struct api *api) _must_check_;
int api_actions_init(struct api *api) _must_check_;
int api_hosts_init(struct api *api) _must_check_;
int api_logs_init(struct api *api) _must_check_;
int api_gateways_init(struct api *api) _must_check_;
int api_ports_init(struct api *api) _must_check_;
int api_health_init(struct api *api) _must_check_;
int api_events_init(struct api *api) _must_check_;
int api_customers_init(struct api *api) _must_check_;
int api_tokens_init(struct api *api) _must_check_;
int api_quotas_init(struct api *api) _must_check_;
int api_usage_init(struct api *api) _must_check_;

/* A follower registers itself and nobody else. -EPERM. */
int api_check_follower(const struct http_request *request, const char *name, struct error *err)
	_must_check_;
/* A committed row by its id; NULL. */
struct host_entry *api_find_host(struct api *api, const char *id);
/* The host that the path names, if it is at the revision of If-Match; NULL where it was answered.
 */
struct host_entry *api_take_host(struct api *api, struct http_request *request);

/* The done callback of a registration: {"id","epoch","revision"}. */
void api_registered(void *userdata, const struct error *err, const char *id);
/* {"epoch","revision","heartbeat_ms"}, the answer to a report; with more (taken over; may be NULL).
 */
void api_reply_report(struct api *api, struct http_request *request, json_t *more);
