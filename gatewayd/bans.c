/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The list of bans: which sources may open no connections to mapped ports, until when and why. It
 * is kept in order and free of overlaps. Plain data: it knows neither kernel nor clock.
 */
#include "gatewayd/bans.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "lib/array.h"

void bans_clear(struct bans *bans)
{
	for (size_t i = 0; i < bans->n; i++)
		free(bans->items[i]);
	free(bans->items);
	*bans = BANS_INIT;
}

static int append(struct bans *bans, const struct ban *ban)
{
	struct ban **grown = array_grow(bans->items, sizeof(*grown), bans->n, &bans->allocated);
	struct ban *copy;

	if (!grown)
		return -ENOMEM;
	bans->items = grown;
	copy = malloc(sizeof(*copy));
	if (!copy)
		return -ENOMEM;
	*copy = *ban;
	bans->items[bans->n++] = copy;
	return 0;
}

int bans_copy(const struct bans *bans, struct bans *ret)
{
	struct bans copy = BANS_INIT;

	for (size_t i = 0; i < bans->n; i++) {
		int r = append(&copy, bans->items[i]);

		if (r < 0) {
			bans_clear(&copy);
			return r;
		}
	}
	*ret = copy;
	return 0;
}

static bool ends_later(const struct ban *a, const struct ban *b)
{
	return b->expires_at != 0 && (a->expires_at == 0 || a->expires_at > b->expires_at);
}

/* By address, the wider one first. */
static int compare(const struct prefix *a, const struct prefix *b)
{
	int r = address_compare(&a->address, &b->address);

	return r != 0 ? r : (int)a->length - (int)b->length;
}

/* The first place whose source is not before this one. */
static size_t place_of(const struct bans *bans, const struct prefix *source)
{
	size_t low = 0, high = bans->n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (compare(&bans->items[middle]->source, source) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* A part of the list that is replaced as a whole. */
struct slice {
	size_t from, n;
};

/* What lies within source, itself included. */
static struct slice within(const struct bans *bans, const struct prefix *source)
{
	struct slice slice = { .from = place_of(bans, source) };

	while (slice.from + slice.n < bans->n &&
	       prefix_contains(source, &bans->items[slice.from + slice.n]->source))
		slice.n++;
	return slice;
}

/* The one ban that is wider than source and contains it. Since none lies within another it stands
 * next before. */
static struct slice around(const struct bans *bans, const struct prefix *source)
{
	size_t place = place_of(bans, source);

	if (place == 0 || !prefix_contains(&bans->items[place - 1]->source, source))
		return (struct slice){ 0 };
	return (struct slice){ .from = place - 1, .n = 1 };
}

static struct prefix half_of(const struct prefix *prefix, bool upper)
{
	struct prefix half = { .address = prefix->address,
			       .length = (uint8_t)(prefix->length + 1) };

	if (upper)
		half.address.bytes[prefix->length / 8] |= (uint8_t)(0x80 >> prefix->length % 8);
	return half;
}

/* Appends what fills area with the terms of ban, but for the places of kept, which are in order and
 * within area; these come along in their places. */
static int fill(struct bans *out, const struct prefix *area, const struct ban *ban,
		const struct ban *const *kept, size_t n)
{
	struct prefix lower, upper;
	struct ban piece = *ban;
	size_t n_lower = 0;
	int r;

	if (n == 1 && kept[0]->source.length == area->length)
		return append(out, kept[0]);
	if (n == 0) {
		piece.source = *area;
		return append(out, &piece);
	}
	lower = half_of(area, false);
	upper = half_of(area, true);
	while (n_lower < n && prefix_contains(&lower, &kept[n_lower]->source))
		n_lower++;
	r = fill(out, &lower, ban, kept, n_lower);
	return r == 0 ? fill(out, &upper, ban, kept + n_lower, n - n_lower) : r;
}

static size_t count_family(const struct bans *bans, uint8_t family)
{
	size_t n = 0;

	for (size_t i = 0; i < bans->n; i++)
		n += bans->items[i]->source.address.family == family;
	return n;
}

/* Puts what is new, which is taken over, into the place of the slice. */
static int replace(struct bans *bans, struct slice slice, struct bans *new)
{
	size_t rest = bans->n - slice.from - slice.n, total = bans->n - slice.n + new->n;
	struct ban **grown;

	if (total > bans->allocated) {
		grown = reallocarray(bans->items, 2 * total, sizeof(struct ban *));
		if (!grown)
			return -ENOMEM;
		bans->items = grown;
		bans->allocated = 2 * total;
	}
	for (size_t i = 0; i < slice.n; i++)
		free(bans->items[slice.from + i]);
	if (rest > 0)
		memmove(bans->items + slice.from + new->n, bans->items + slice.from + slice.n,
			rest * sizeof(struct ban *));
	if (new->n > 0)
		memcpy(bans->items + slice.from, new->items, new->n * sizeof(struct ban *));
	bans->n = total;
	free(new->items);
	*new = BANS_INIT;
	return 0;
}

static int check_room(const struct bans *bans, struct slice slice, const struct bans *new,
		      uint8_t family, struct error *err)
{
	/* Counting costs a pass, so only where it can matter. */
	if (bans->n + new->n <= BANS_MAX || new->n <= slice.n ||
	    count_family(bans, family) - slice.n + new->n <= BANS_MAX)
		return 0;
	return error_set(err, -ENOSPC, "too_many", "source",
			 "source: there would be more than %d bans of this address family",
			 BANS_MAX);
}

/* What the new ban makes of those within it: those that end later stay, and it is split around
 * them. */
static int fill_new(struct bans *out, const struct bans *bans, struct slice slice,
		    const struct ban *ban)
{
	_cleanup_free_ const struct ban **kept = NULL;
	size_t n = 0;

	if (slice.n > 0) {
		kept = calloc(slice.n, sizeof(*kept));
		if (!kept)
			return -ENOMEM;
	}
	for (size_t i = 0; i < slice.n; i++) {
		const struct ban *old = bans->items[slice.from + i];

		if (ends_later(old, ban))
			kept[n++] = old;
	}
	return fill(out, &ban->source, ban, kept, n);
}

int bans_put(struct bans *bans, const struct ban *ban, struct error *err)
{
	struct bans new = BANS_INIT;
	struct slice slice = around(bans, &ban->source);
	int r;

	if (slice.n > 0) {
		const struct ban *wider = bans->items[slice.from];

		if (!ends_later(ban, wider))
			return 0;
		r = fill(&new, &wider->source, wider, &ban, 1);
	} else {
		slice = within(bans, &ban->source);
		r = fill_new(&new, bans, slice, ban);
	}
	if (r == 0)
		r = check_room(bans, slice, &new, ban->source.address.family, err);
	if (r == 0)
		r = replace(bans, slice, &new);
	bans_clear(&new);
	return r == -ENOMEM ? error_set(err, r, "internal", NULL, "out of memory") : r;
}

int bans_remove(struct bans *bans, const struct prefix *source)
{
	const struct ban hole = { .source = *source };
	const struct ban *const kept = &hole;
	struct bans new = BANS_INIT;
	struct slice slice = around(bans, source), gone;
	int r = 0;

	if (slice.n > 0)
		r = fill(&new, &bans->items[slice.from]->source, bans->items[slice.from], &kept, 1);
	if (r == 0 && slice.n > 0)
		r = replace(bans, slice, &new);
	bans_clear(&new);
	if (r < 0)
		return r;
	gone = within(bans, source);
	return gone.n > 0 ? replace(bans, gone, &new) : -ENOENT;
}

size_t bans_expire(struct bans *bans, int64_t now)
{
	size_t kept = 0, n = bans->n;

	for (size_t i = 0; i < n; i++) {
		struct ban *ban = bans->items[i];

		if (ban->expires_at != 0 && ban->expires_at <= now)
			free(ban);
		else
			bans->items[kept++] = ban;
	}
	bans->n = kept;
	return n - kept;
}

const struct ban *bans_find(const struct bans *bans, const struct address *address)
{
	const struct prefix host = { .address = *address,
				     .length = (uint8_t)(8 * address_length(address)) };
	size_t place = place_of(bans, &host);

	if (place < bans->n && compare(&bans->items[place]->source, &host) == 0)
		return bans->items[place];
	if (place > 0 && prefix_contains(&bans->items[place - 1]->source, &host))
		return bans->items[place - 1];
	return NULL;
}

/* ---- as members ---- */

/* The last address of a prefix. */
static struct address last_of(const struct prefix *prefix)
{
	struct address last = prefix->address;
	size_t bits = 8 * address_length(&last);

	for (size_t bit = prefix->length; bit < bits; bit++)
		last.bytes[bit / 8] |= (uint8_t)(0x80 >> bit % 8);
	return last;
}

static void clear_host_bits(struct prefix *prefix)
{
	size_t bits = 8 * address_length(&prefix->address);

	for (size_t bit = prefix->length; bit < bits; bit++)
		prefix->address.bytes[bit / 8] &= (uint8_t) ~(0x80 >> bit % 8);
}

void ban_key(const struct prefix *source, struct member_key *ret)
{
	struct address last = last_of(source);
	uint8_t length = (uint8_t)address_length(&last);

	*ret = (struct member_key){
		.set = source->address.family == AF_INET6 ? SHAPE_BAN6 : SHAPE_BAN4,
		.length = length,
		.end_length = length,
	};
	memcpy(ret->key, source->address.bytes, length);
	memcpy(ret->end, last.bytes, length);
}

int ban_of_member(const struct member_key *key, const struct member_terms *terms, struct ban *ret)
{
	struct ban ban = { .expires_at = terms->expires_at };
	struct member_key whole;
	uint8_t bits;

	ban.source.address.family = key->set == SHAPE_BAN6 ? AF_INET6 : AF_INET;
	if (key->length != address_length(&ban.source.address))
		return -EBADMSG;
	memcpy(ban.source.address.bytes, key->key, key->length);
	bits = (uint8_t)(8 * key->length);
	/* As many bits as first and last have in common. */
	while (ban.source.length < bits &&
	       !((key->key[ban.source.length / 8] ^ key->end[ban.source.length / 8]) &
		 (0x80 >> ban.source.length % 8)))
		ban.source.length++;
	clear_host_bits(&ban.source);
	ban_key(&ban.source, &whole);
	if (memcmp(&whole, key, sizeof(whole)) != 0)
		return -EBADMSG;
	if (terms->comment)
		(void)snprintf(ban.reason, sizeof(ban.reason), "%s", terms->comment);
	*ret = ban;
	return 0;
}

/* ---- JSON ---- */

/* nft shows it between double quotes. */
static bool is_reason(const char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < ' ' || *text == '"' || *text == 0x7f)
			return false;
	return true;
}

static void read_source(struct json_reader *reader, struct prefix *ret)
{
	const char *text = NULL;

	if (json_read_string(reader, "source", JSON_REQUIRED, PREFIX_STRING_MAX, &text) < 0)
		return;
	if (prefix_parse(text, ret) < 0)
		json_reader_fail(reader, -EINVAL, "invalid", "source",
				 "\"%s\" is neither an address nor a network such as "
				 "198.51.100.0/24",
				 text);
	else if (ret->length == 0)
		json_reader_fail(reader, -EINVAL, "invalid", "source",
				 "%s is everybody: remove the mappings instead", text);
}

/* now 0: of a file, whose bans were judged when they were set. */
static void check_end(struct json_reader *reader, int64_t expires_at, int64_t now)
{
	if (expires_at <= now)
		json_reader_fail(reader, -EINVAL, "invalid", "expires_at", "has passed already");
	else if (now != 0 && expires_at - now > SHAPE_TIMEOUT_MAX_S)
		json_reader_fail(reader, -EINVAL, "invalid", "expires_at",
				 "is more than 500 years away: leave it out for never");
}

int ban_decode(json_t *json, const char *path, int64_t now, struct ban *ret, struct error *err)
{
	struct ban ban = { 0 };
	struct json_reader reader;
	const char *reason = "";
	int r;

	json_reader_init(&reader, json, path, err);
	read_source(&reader, &ban.source);
	json_read_time(&reader, "expires_at", JSON_OPTIONAL, &ban.expires_at);
	json_read_string(&reader, "reason", JSON_OPTIONAL, BAN_REASON_MAX, &reason);
	if (reason && !is_reason(reason))
		json_reader_fail(&reader, -EINVAL, "invalid", "reason",
				 "must be one line without a double quote");
	if (ban.expires_at != 0)
		check_end(&reader, ban.expires_at, now);
	r = json_reader_finish(&reader);
	if (r < 0)
		return r;
	(void)snprintf(ban.reason, sizeof(ban.reason), "%s", reason);
	*ret = ban;
	return 0;
}

json_t *ban_encode(const struct ban *ban)
{
	_cleanup_json_ json_t *object = json_object();
	char source[PREFIX_STRING_MAX];

	if (!object || json_object_set_new(object, "source",
					   json_string(prefix_format(&ban->source, source))) < 0)
		return NULL;
	if (ban->expires_at != 0 &&
	    json_object_set_new(object, "expires_at", json_time(ban->expires_at)) < 0)
		return NULL;
	if (ban->reason[0] && json_object_set_new(object, "reason", json_string(ban->reason)) < 0)
		return NULL;
	return TAKE_PTR(object);
}

json_t *bans_encode(const struct bans *bans)
{
	_cleanup_json_ json_t *array = json_array();

	for (size_t i = 0; array && i < bans->n; i++)
		if (json_array_append_new(array, ban_encode(bans->items[i])) < 0)
			return NULL;
	return TAKE_PTR(array);
}

int bans_decode(json_t *array, const char *path, int64_t now, struct bans *ret, struct error *err)
{
	struct bans bans = BANS_INIT;
	int r = 0;

	for (size_t i = 0; r == 0 && i < json_array_size(array); i++) {
		char place[ERROR_FIELD_MAX];
		struct ban ban;

		(void)snprintf(place, sizeof(place), "%s[%zu]", path, i);
		r = ban_decode(json_array_get(array, i), place, now, &ban, err);
		if (r == 0)
			r = bans_put(&bans, &ban, err);
	}
	if (r < 0) {
		bans_clear(&bans);
		return r;
	}
	*ret = bans;
	return 0;
}
