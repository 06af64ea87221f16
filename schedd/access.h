/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Who may call what: the one table of every route and what each role may do there. A route without
 * a rule is nobody's.
 */
#pragma once

#include "lib/http_server.h"
#include "schedd/model.h"

enum access {
	ACCESS_NONE, /* 403 */
	ACCESS_OWN,  /* on objects of its own; what is another's does not exist for a customer */
	ACCESS_ALL,
};

struct access_rule {
	enum http_method method;
	const char *pattern; /* as in struct http_route */
	bool open;           /* for whoever asks, without a token */
	enum access by_role[ROLE_MAX];
};

extern const struct access_rule access_rules[];
extern const size_t access_n_rules;

/* The rule of a route; NULL where there is none. */
const struct access_rule *access_find(enum http_method method, const char *pattern);

/* Who calls, for as long as the request and its stream last. */
struct caller {
	enum role role;
	enum access access;                  /* to this route */
	char subject[FOLLOWER_NAME_MAX + 1]; /* the customer, host or gateway; "" for an admin */
	char token[TOKEN_ID_MAX + 1];        /* "" for a user of the Unix socket */
	char actor[ACTOR_MAX + 1];           /* for the audit: "customer/alice" */
	int64_t expires_at;                  /* 0: never */
};

/* The caller of a request that passed the guard; an admin without a token where no guard is set. */
const struct caller *access_caller(const struct http_request *request);

/* Does the caller see what this customer (NULL: nobody) owns? */
bool access_sees(const struct caller *caller, const char *customer);
