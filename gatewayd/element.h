/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One element of a set to the kernel's attributes and back. It is written and read without
 * libnftnl, which keeps an object of half a KiB for each.
 */
#pragma once

#include <linux/netlink.h>

#include "gatewayd/plan.h"
#include "gatewayd/shape.h"

/* An element needs at most so many bytes of a message. */
#define ELEMENT_BYTES_MAX ((size_t)768)

struct element {
	struct member_key key; /* whatever the set: its bytes */
	uint8_t value_length;  /* of a map's */
	uint8_t value[SHAPE_VALUE_MAX];
	uint64_t timeout_ms; /* 0: none. When read back, what is left of it */
	uint32_t limit;      /* of its own statement */
	uint64_t packets;    /* of its own counter; when read back */
	bool interval_end;   /* read: it ends an interval, and is no element by itself */
	char comment[SHAPE_COMMENT_MAX]; /* "" if none */
};

/* The key of a mapping's element in a set. */
void element_key_of(enum shape_set set, const struct mapping_key *key, struct member_key *ret);

/* The element of an operation's mapping or member: as it should be at now_ms (Unix time) for an
 * addition, and as it is for a deletion. */
void element_of(const struct operation *operation, int64_t now_ms, struct element *ret);

/* Appends the element to the list of a message with room bytes in all; only its key where it is to
 * be deleted. False: no room. */
bool element_put(struct nlmsghdr *header, size_t room, const struct element *element, bool only_key)
	_must_check_;

/* Reads an element of this set. -EBADMSG where it is not of the set's form. */
int element_read(const struct nlattr *element, enum shape_set set, struct element *ret)
	_must_check_;

/* Hands each element of an answer of the kernel to the callback, until one returns an error, which
 * is the result then. */
int element_for_each(const struct nlmsghdr *message,
		     int (*callback)(const struct nlattr *attr, void *userdata), void *userdata)
	_must_check_;

/* When an element that was read at now_ms (Unix time) ends, in Unix seconds; 0: never. */
int64_t element_end(const struct element *element, int64_t now_ms);
