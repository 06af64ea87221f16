/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The mapping: external address, protocol and port to a host's address and port, with what
 * limits its use. The same JSON everywhere: files, gatewayd's local API, schedd's streams.
 */
#pragma once

#include "lib/address.h"
#include "lib/error.h"
#include "lib/json.h"

#define MAPPING_NAME_MAX 63                          /* bytes of environment and service */
#define MAPPING_ALLOW_MAX 256                        /* prefixes of one allow-list */
#define MAPPING_STRING_MAX (ENDPOINT_STRING_MAX + 4) /* "203.0.113.10:30001/tcp" */

enum on_remove {
	ON_REMOVE_REVOKE, /* its connections end at once */
	ON_REMOVE_DRAIN,  /* its connections may go on */
};

/* What makes a mapping unique. Compare with mapping_key_equal or _compare. */
struct mapping_key {
	struct address address;
	uint16_t port;
	uint8_t protocol; /* enum protocol */
};

struct prefix {
	struct address address;
	uint8_t length; /* bits */
};

struct mapping {
	struct mapping_key key;
	struct endpoint target;
	char *environment; /* owned; NULL if none; [a-z0-9-], as is service */
	char *service;     /* owned; NULL if none */
	uint64_t revision;
	struct prefix *allow; /* owned; NULL: everyone */
	size_t n_allow;
	uint32_t max_connections;            /* 0: no limit */
	uint32_t new_connections_per_minute; /* 0: no limit */
	int64_t expires_at;                  /* Unix seconds; 0: never */
	enum on_remove on_remove;
};

/* Decodes and validates one mapping. Required: port, target.address, target.port. An absent
 * address is *default_address; with NULL, or AF_UNSPEC, it is required. path is the object's place
 * for errors ("changes[3].mapping", or ""). Target and address must be of one family and unicast,
 * ports in 1…65535. Unknown fields are errors. *ret is overwritten; free it with mapping_clear. */
int mapping_decode(json_t *json, const char *path, const struct address *default_address,
		   struct mapping *ret, struct error *err) _must_check_;
/* A new object; fields at their default are left out but address, protocol and on_remove. NULL
 * when out of memory. */
json_t *mapping_encode(const struct mapping *mapping);

/* {"address","protocol","port"}, as in a delete. Same defaults and rules as mapping_decode; other
 * fields named in ignore (NULL-terminated, may be NULL) are allowed beside. */
int mapping_key_decode(json_t *json, const char *path, const struct address *default_address,
		       const char *const *ignore, struct mapping_key *ret, struct error *err)
	_must_check_;
json_t *mapping_key_encode(const struct mapping_key *key);

/* The same as text, compact and zero-terminated: for files and long lists, without the objects
 * between. Returns its length. */
#define MAPPING_TEXT_MAX ((size_t)16 << 10) /* MAPPING_ALLOW_MAX prefixes, and all the rest */
size_t mapping_write(const struct mapping *mapping, char buffer[MAPPING_TEXT_MAX]);
size_t mapping_key_write(const struct mapping_key *key, char buffer[MAPPING_TEXT_MAX]);
/* The other way, for any JSON of a mapping or key, at its quickest for what is written here. Rules
 * and errors are mapping_decode's and mapping_key_decode's. */
int mapping_read(const char *text, struct mapping *ret, struct error *err) _must_check_;
int mapping_key_read(const char *text, struct mapping_key *ret, struct error *err) _must_check_;
/* Whether this can be an environment's or a service's name. */
bool mapping_is_name(const char *text);

int mapping_copy(const struct mapping *mapping, struct mapping *ret) _must_check_; /* deep */
void mapping_clear(struct mapping *mapping); /* frees what it owns and zeroes it */
bool mapping_equal(const struct mapping *a, const struct mapping *b); /* but for revision */

/* A total order: address, protocol, port. */
int mapping_key_compare(const struct mapping_key *a, const struct mapping_key *b);
static inline bool mapping_key_equal(const struct mapping_key *a, const struct mapping_key *b)
{
	return a->port == b->port && a->protocol == b->protocol &&
	       address_equal(&a->address, &b->address);
}

/* "203.0.113.10:30001/tcp", the subject of log lines. Returns buffer. */
const char *mapping_key_format(const struct mapping_key *key, char buffer[MAPPING_STRING_MAX]);

/* "198.51.100.0/24"; a bare address is a prefix of full length; bits after the length must be
 * zero. -EINVAL otherwise. */
int prefix_parse(const char *text, struct prefix *ret) _must_check_;
#define PREFIX_STRING_MAX (ADDRESS_STRING_MAX + 4)
/* Whether inner is outer or lies within it. */
bool prefix_contains(const struct prefix *outer, const struct prefix *inner);
/* Whether the address is in it. */
bool prefix_has(const struct prefix *prefix, const struct address *address);
const char *prefix_format(const struct prefix *prefix, char buffer[PREFIX_STRING_MAX]);
