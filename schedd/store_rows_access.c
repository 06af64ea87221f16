/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The rows of customers, tokens and idempotency keys. */
#include <errno.h>

#include "schedd/store_columns.h"
#include "schedd/token.h"

int store_send_customer(PGconn *connection, const struct customer *customer)
{
	struct params params = { .n = 0 };

	add_text(&params, customer->id);
	add_text(&params, customer->record.gone ? "true" : "false");
	add_time(&params, customer->created_at);
	add_number(&params, customer->record.revision);
	for (int i = 0; i < QUOTA_MAX; i++) {
		if (customer->quota.limits[i] == QUOTA_UNLIMITED)
			add_text(&params, NULL);
		else
			add_number(&params, customer->quota.limits[i]);
	}
	return execute(connection, "put_customer", &params);
}

int store_send_token(PGconn *connection, const struct token *token)
{
	char hash[2 + TOKEN_HASH_HEX_MAX] = "\\x"; /* how bytea is written */
	struct params params = { .n = 0 };

	token_hash_format(token->hash, hash + 2);
	add_text(&params, token->id);
	add_text(&params, token->name);
	add_text(&params, role_name(token->role));
	add_text(&params, token->subject);
	add_text(&params, hash);
	add_text(&params, token->created_by);
	add_time(&params, token->created_at);
	add_time(&params, token->expires_at);
	add_time(&params, token->last_used_at);
	add_number(&params, token->record.revision);
	return execute(connection, "put_token", &params);
}

int store_decode_customer(struct cursor *cursor, struct record **ret)
{
	struct customer *customer = customer_new();

	if (!customer)
		return -ENOMEM;
	(void)snprintf(customer->id, sizeof(customer->id), "%s", next_text(cursor));
	customer->created_at = (int64_t)next_number(cursor);
	customer->record.revision = next_number(cursor);
	for (int i = 0; i < QUOTA_MAX; i++) {
		bool limited = !PQgetisnull(cursor->result, cursor->row, cursor->column);
		uint64_t limit = next_number(cursor);

		customer->quota.limits[i] = limited ? limit : QUOTA_UNLIMITED;
	}
	*ret = &customer->record;
	return 0;
}

int store_decode_token(struct cursor *cursor, struct record **ret, struct error *err)
{
	_cleanup_(cleanup_token) struct token *token = token_new();

	if (!token)
		return -ENOMEM;
	(void)snprintf(token->id, sizeof(token->id), "%s", next_text(cursor));
	(void)snprintf(token->name, sizeof(token->name), "%s", next_text(cursor));
	token->role = role_parse(next_text(cursor));
	(void)snprintf(token->subject, sizeof(token->subject), "%s", next_text(cursor));
	if (token->role == ROLE_INVALID || token_hash_parse(next_text(cursor), token->hash) < 0)
		return error_set(err, -EINVAL, "invalid", "hash",
				 "token %s has a role or a hash that cannot be read", token->id);
	(void)snprintf(token->created_by, sizeof(token->created_by), "%s", next_text(cursor));
	token->created_at = (int64_t)next_number(cursor);
	token->expires_at = (int64_t)next_number(cursor);
	token->last_used_at = (int64_t)next_number(cursor);
	token->record.revision = next_number(cursor);
	*ret = &TAKE_PTR(token)->record;
	return 0;
}

int store_send_key(PGconn *connection, const struct key *key)
{
	char hash[2 + TOKEN_HASH_HEX_MAX] = "\\x";
	struct params params = { .n = 0 };

	token_hash_format(key->fingerprint, hash + 2);
	add_text(&params, key->id);
	add_text(&params, hash);
	add_text(&params, key->subject);
	add_time(&params, key->created_at);
	add_number(&params, key->record.revision);
	add_text(&params, key->caller);
	return execute(connection, "put_key", &params);
}

int store_decode_key(struct cursor *cursor, struct record **ret, struct error *err)
{
	_cleanup_(cleanup_key) struct key *key = key_new();

	if (!key)
		return -ENOMEM;
	(void)snprintf(key->id, sizeof(key->id), "%s", next_text(cursor));
	if (token_hash_parse(next_text(cursor), key->fingerprint) < 0)
		return error_set(err, -EINVAL, "invalid", "fingerprint",
				 "key %s has a fingerprint that cannot be read", key->id);
	(void)snprintf(key->subject, sizeof(key->subject), "%s", next_text(cursor));
	key->created_at = (int64_t)next_number(cursor);
	key->record.revision = next_number(cursor);
	(void)snprintf(key->caller, sizeof(key->caller), "%s", next_text(cursor));
	*ret = &TAKE_PTR(key)->record;
	return 0;
}
