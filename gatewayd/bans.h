/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The list of bans: which sources may open no connections to mapped ports, until when and why. It
 * is kept in order and free of overlaps, as the kernel wants its intervals. Plain data: it knows
 * neither kernel nor clock.
 *
 * Where two bans overlap, the one that ends later holds for what both cover: a ban is never ended
 * early by another one, not even by one of the same source. The wider one is then split around the
 * narrower, so that each source is in one ban at most.
 */
#pragma once

#include "gatewayd/members.h"
#include "lib/json.h"

/* Of one address family. The kernel builds such a set anew at every change. */
#define BANS_MAX SHAPE_BANS_MAX
/* Bytes of a reason, which the kernel keeps as the element's comment. */
#define BAN_REASON_MAX 120

struct ban {
	struct prefix source;
	int64_t expires_at; /* Unix seconds; 0: never */
	char reason[BAN_REASON_MAX + 1];
};

struct bans {
	struct ban **items; /* by address, none within another; owned */
	size_t n, allocated;
};

#define BANS_INIT ((struct bans){ 0 })

void bans_clear(struct bans *bans);
int bans_copy(const struct bans *bans, struct bans *ret) _must_check_;

/* Adds a ban. -ENOSPC with a sentence where the list would have more than BANS_MAX of
 * its family; nothing is changed then. */
int bans_put(struct bans *bans, const struct ban *ban, struct error *err) _must_check_;

/* Ends all bans of this source and of what lies within it; a wider ban is split around it.
 * -ENOENT where none of it was banned. */
int bans_remove(struct bans *bans, const struct prefix *source) _must_check_;

/* Drops what has ended by now (Unix seconds); returns how many. */
size_t bans_expire(struct bans *bans, int64_t now);

/* The ban that this address is in; NULL if none. */
const struct ban *bans_find(const struct bans *bans, const struct address *address);

/* A ban as a member of the table, and back; the key of a wider or narrower interval than a prefix
 * is -EBADMSG. */
void ban_key(const struct prefix *source, struct member_key *ret);
int ban_of_member(const struct member_key *key, const struct member_terms *terms, struct ban *ret)
	_must_check_;

/* {"source","expires_at","reason"}: expires_at must lie behind now (Unix seconds), by at most what
 * the kernel can count, and is absent for a ban without end; the reason is printable and without a
 * double quote. With now 0 any end will do. */
int ban_decode(json_t *json, const char *path, int64_t now, struct ban *ret, struct error *err)
	_must_check_;
/* A new object; NULL when out of memory. */
json_t *ban_encode(const struct ban *ban);

/* An array of bans and back: for the local API and for a file. bans_decode makes a new list. */
json_t *bans_encode(const struct bans *bans);
int bans_decode(json_t *array, const char *path, int64_t now, struct bans *ret, struct error *err)
	_must_check_;
