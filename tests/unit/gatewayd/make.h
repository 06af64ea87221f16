/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Short ways for the tests of gatewayd to say addresses, keys and elements. */
#pragma once

#include <criterion/criterion.h>

#include "gatewayd/ledger.h"

static inline struct endpoint endpoint_of(const char *text)
{
	struct endpoint endpoint = { 0 };

	cr_assert_eq(endpoint_parse(text, &endpoint), 0, "\"%s\"", text);
	return endpoint;
}

/* "203.0.113.10:30001": TCP. */
static inline struct mapping_key key_of(const char *text)
{
	struct endpoint endpoint = endpoint_of(text);

	return (struct mapping_key){ .address = endpoint.address,
				     .port = endpoint.port,
				     .protocol = PROTOCOL_TCP };
}

static inline struct entry *find(const struct ledger *ledger, const char *key)
{
	struct mapping_key k = key_of(key);

	return ledger_find(ledger, &k);
}

static inline struct entry *desire(struct ledger *ledger, const char *key, const char *target,
				   const char *label)
{
	struct mapping_key k = key_of(key);
	struct endpoint t = endpoint_of(target);
	struct entry *entry = NULL;

	cr_assert_eq(ledger_desire(ledger, &k, &t, label, NULL, 1, &entry), 0);
	return entry;
}

static inline struct entry *install(struct ledger *ledger, const char *key, const char *target,
				    const char *comment)
{
	struct mapping_key k = key_of(key);
	struct endpoint t = endpoint_of(target);
	struct entry *entry = NULL;

	cr_assert_eq(ledger_install(ledger, &k, &t, comment, 0, &entry), 0);
	return entry;
}

/* Wants a mapping that ends by itself, and has one in the kernel. */
static inline struct entry *desire_until(struct ledger *ledger, const char *key, const char *target,
					 int64_t expires_at)
{
	const struct policy policy = { .expires_at = expires_at };
	struct mapping_key k = key_of(key);
	struct endpoint t = endpoint_of(target);
	struct entry *entry = NULL;

	cr_assert_eq(ledger_desire(ledger, &k, &t, NULL, &policy, 1, &entry), 0);
	return entry;
}

static inline struct entry *install_until(struct ledger *ledger, const char *key,
					  const char *target, int64_t expires_at)
{
	struct mapping_key k = key_of(key);
	struct endpoint t = endpoint_of(target);
	struct entry *entry = NULL;

	cr_assert_eq(ledger_install(ledger, &k, &t, NULL, expires_at, &entry), 0);
	return entry;
}
