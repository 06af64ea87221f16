/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Columns, in the order of a statement's parameters or of a query, for the files that write and
 * read rows. */
#pragma once

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "schedd/store_private.h"

#define PARAMS_MAX 32

struct params {
	const char *values[PARAMS_MAX];
	char numbers[PARAMS_MAX][24];
	int n;
};

static inline void add_text(struct params *params, const char *text)
{
	params->values[params->n++] = text;
}

static inline void add_number(struct params *params, uint64_t number)
{
	char *text = params->numbers[params->n];

	(void)snprintf(text, sizeof(params->numbers[0]), "%" PRIu64, number);
	add_text(params, text);
}

/* A time that may be missing. */
static inline void add_time(struct params *params, int64_t seconds)
{
	if (seconds > 0)
		add_number(params, (uint64_t)seconds);
	else
		add_text(params, NULL);
}

static inline void add_key(struct params *params, const struct mapping_key *key,
			   char address[ADDRESS_STRING_MAX])
{
	add_text(params, address_format(&key->address, address));
	add_text(params, protocol_name(key->protocol));
	add_number(params, key->port);
}

static inline int execute(PGconn *connection, const char *statement, const struct params *params)
{
	return PQsendQueryPrepared(connection, statement, params->n, params->values, NULL, NULL, 0)
		       ? 0
		       : -EIO;
}

/* The columns of one row, taken in the order of the query. */
struct cursor {
	const PGresult *result;
	int row, column;
};

/* NULL for SQL's NULL. */
static inline const char *next_text(struct cursor *cursor)
{
	int column = cursor->column++;

	return PQgetisnull(cursor->result, cursor->row, column)
		       ? NULL
		       : PQgetvalue(cursor->result, cursor->row, column);
}

static inline uint64_t next_number(struct cursor *cursor)
{
	return store_number(cursor->result, cursor->row, cursor->column++);
}

static inline bool next_bool(struct cursor *cursor)
{
	const char *text = next_text(cursor);

	return text && *text == 't';
}

/* A new reference, or NULL for SQL's NULL. What jsonb holds always parses. */
static inline json_t *next_json(struct cursor *cursor)
{
	const char *text = next_text(cursor);

	return text ? json_loads(text, JSON_DECODE_ANY, NULL) : NULL;
}

/* A new copy, NULL for SQL's NULL; *failed is set where there is no memory. */
static inline char *next_copy(struct cursor *cursor, bool *failed)
{
	const char *text = next_text(cursor);
	char *copy = text ? strdup(text) : NULL;

	*failed |= text && !copy;
	return copy;
}

/* ---- store_bulk.c ---- */

/* All of a batch, as one statement each; nothing where there is none. */
int store_send_environments(PGconn *connection, const struct batch *batch) _must_check_;
int store_send_ports(PGconn *connection, const struct batch *batch) _must_check_;
int store_send_audits(PGconn *connection, const struct batch *batch) _must_check_;

/* ---- store_rows_access.c ---- */

int store_send_customer(PGconn *connection, const struct customer *customer) _must_check_;
int store_send_token(PGconn *connection, const struct token *token) _must_check_;
int store_send_key(PGconn *connection, const struct key *key) _must_check_;
int store_decode_key(struct cursor *cursor, struct record **ret, struct error *err) _must_check_;
int store_decode_customer(struct cursor *cursor, struct record **ret) _must_check_;
int store_decode_token(struct cursor *cursor, struct record **ret, struct error *err) _must_check_;
