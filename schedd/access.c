/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The table of routes and roles. */
#include "schedd/access.h"

#include <string.h>

#define NONE ACCESS_NONE
#define OWN ACCESS_OWN
#define ALL ACCESS_ALL
/* In the order of enum role: admin, customer, host, gateway. */
#define FOR(admin, customer, host, gateway) .by_role = { admin, customer, host, gateway }

const struct access_rule access_rules[] = {
	{ HTTP_GET, "/v1/environments", FOR(ALL, OWN, NONE, NONE) },
	{ HTTP_POST, "/v1/environments", FOR(ALL, OWN, NONE, NONE) },
	{ HTTP_GET, "/v1/environments/{id}", FOR(ALL, OWN, NONE, NONE) },
	{ HTTP_DELETE, "/v1/environments/{id}", FOR(ALL, OWN, NONE, NONE) },
	{ HTTP_POST, "/v1/environments/{id}:start", FOR(ALL, OWN, NONE, NONE) },
	{ HTTP_POST, "/v1/environments/{id}:stop", FOR(ALL, OWN, NONE, NONE) },
	{ HTTP_POST, "/v1/environments/{id}:restart", FOR(ALL, OWN, NONE, NONE) },
	{ HTTP_POST, "/v1/environments/{id}:extend", FOR(ALL, OWN, NONE, NONE) },
	{ HTTP_GET, "/v1/environments/{id}/logs", FOR(ALL, OWN, NONE, NONE) },
	/* Where it runs is the operator's. */
	{ HTTP_POST, "/v1/environments/{id}:move", FOR(ALL, NONE, NONE, NONE) },
	{ HTTP_GET, "/v1/ports", FOR(ALL, OWN, NONE, NONE) },
	{ HTTP_GET, "/v1/hosts", FOR(ALL, NONE, NONE, NONE) },
	{ HTTP_POST, "/v1/hosts", FOR(ALL, NONE, OWN, NONE) },
	{ HTTP_GET, "/v1/hosts/{id}", FOR(ALL, NONE, OWN, NONE) },
	{ HTTP_DELETE, "/v1/hosts/{id}", FOR(ALL, NONE, NONE, NONE) },
	{ HTTP_PATCH, "/v1/hosts/{id}", FOR(ALL, NONE, NONE, NONE) },
	{ HTTP_GET, "/v1/hosts/{id}/desired", FOR(ALL, NONE, OWN, NONE) },
	{ HTTP_POST, "/v1/hosts/{id}/status", FOR(ALL, NONE, OWN, NONE) },
	{ HTTP_POST, "/v1/hosts/{id}/logs/{session}", FOR(ALL, NONE, OWN, NONE) },
	{ HTTP_POST, "/v1/hosts/{id}:cordon", FOR(ALL, NONE, NONE, NONE) },
	{ HTTP_POST, "/v1/hosts/{id}:drain", FOR(ALL, NONE, NONE, NONE) },
	{ HTTP_POST, "/v1/hosts/{id}:maintenance", FOR(ALL, NONE, NONE, NONE) },
	{ HTTP_POST, "/v1/hosts/{id}:uncordon", FOR(ALL, NONE, NONE, NONE) },
	{ HTTP_GET, "/v1/gateways", FOR(ALL, NONE, NONE, NONE) },
	{ HTTP_POST, "/v1/gateways", FOR(ALL, NONE, NONE, OWN) },
	{ HTTP_GET, "/v1/gateways/{id}", FOR(ALL, NONE, NONE, OWN) },
	{ HTTP_DELETE, "/v1/gateways/{id}", FOR(ALL, NONE, NONE, NONE) },
	{ HTTP_GET, "/v1/gateways/{id}/desired", FOR(ALL, NONE, NONE, OWN) },
	{ HTTP_POST, "/v1/gateways/{id}/status", FOR(ALL, NONE, NONE, OWN) },
	{ HTTP_GET, "/v1/customers", FOR(ALL, OWN, NONE, NONE) },
	{ HTTP_POST, "/v1/customers", FOR(ALL, NONE, NONE, NONE) },
	{ HTTP_GET, "/v1/customers/{id}", FOR(ALL, OWN, NONE, NONE) },
	{ HTTP_DELETE, "/v1/customers/{id}", FOR(ALL, NONE, NONE, NONE) },
	{ HTTP_GET, "/v1/tokens", FOR(ALL, NONE, NONE, NONE) },
	{ HTTP_POST, "/v1/tokens", FOR(ALL, NONE, NONE, NONE) },
	{ HTTP_GET, "/v1/tokens/{id}", FOR(ALL, NONE, NONE, NONE) },
	{ HTTP_DELETE, "/v1/tokens/{id}", FOR(ALL, NONE, NONE, NONE) },
	{ HTTP_GET, "/v1/quotas", FOR(ALL, OWN, NONE, NONE) },
	{ HTTP_GET, "/v1/quotas/{id}", FOR(ALL, OWN, NONE, NONE) },
	{ HTTP_PUT, "/v1/quotas/{id}", FOR(ALL, NONE, NONE, NONE) },
	{ HTTP_GET, "/v1/usage", FOR(ALL, OWN, NONE, NONE) },
	{ HTTP_GET, "/v1/events", FOR(ALL, OWN, NONE, NONE) },
	/* They tell numbers and states, no names: a load balancer and Prometheus need no secret. */
	{ HTTP_GET, "/healthz", .open = true },
	{ HTTP_GET, "/readyz", .open = true },
	{ HTTP_GET, "/metrics", .open = true },
};
const size_t access_n_rules = ARRAY_SIZE(access_rules);

const struct access_rule *access_find(enum http_method method, const char *pattern)
{
	for (size_t i = 0; i < ARRAY_SIZE(access_rules); i++)
		if (access_rules[i].method == method &&
		    strcmp(access_rules[i].pattern, pattern) == 0)
			return &access_rules[i];
	return NULL;
}

const struct caller *access_caller(const struct http_request *request)
{
	static const struct caller nobody_asked = { .role = ROLE_ADMIN,
						    .access = ACCESS_ALL,
						    .actor = "admin" };
	const struct caller *caller = http_request_attachment(request);

	return caller ? caller : &nobody_asked;
}

bool access_sees(const struct caller *caller, const char *customer)
{
	if (caller->access == ACCESS_ALL)
		return true;
	return caller->role == ROLE_CUSTOMER && customer && strcmp(customer, caller->subject) == 0;
}
