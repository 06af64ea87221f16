/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Sessions: live connections of the flow table as users see them, chosen, put in order and encoded.
 * It changes nothing.
 */
#pragma once

#include <jansson.h>

#include "gatewayd/flow_table.h"

#define SESSIONS_LIMIT_DEFAULT 100
#define SESSIONS_LIMIT_MAX 1000
#define SESSION_ID_LENGTH 16 /* hexadecimal digits */

struct session_filter {
	uint16_t port;           /* of the mapping; 0: any */
	const char *environment; /* NULL: any */
	bool from;               /* only from source */
	struct prefix source;
	uint64_t after; /* only ids above this one */
	size_t limit;   /* 1 to SESSIONS_LIMIT_MAX */
};

/* The first sessions that are chosen, by id, in ret with room for limit. *ret_more: there are
 * further ones. Returns how many. */
size_t sessions_choose(const struct flow_table *table, const struct session_filter *filter,
		       uint32_t ret[SESSIONS_LIMIT_MAX], bool *ret_more);

/* One session. NULL: out of memory. */
json_t *session_encode(const struct flow_table *table, uint32_t flow, int64_t wall);

/* Adds bytes, bytes_in, bytes_out and the same of packets. -ENOMEM. */
int traffic_encode(json_t *object, const struct traffic *traffic) _must_check_;

/* 16 hexadecimal digits. -EINVAL for anything else. */
int session_id_parse(const char *text, uint64_t *ret) _must_check_;
const char *session_id_format(uint64_t id, char buffer[SESSION_ID_LENGTH + 1]);
