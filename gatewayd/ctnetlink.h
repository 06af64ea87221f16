/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Messages of connection tracking: its entries read, and requests for them made, in this one place.
 * It sends and receives nothing.
 */
#pragma once

#include <linux/netlink.h>

#include "proto/mapping.h"

/* Room for any request that is made here. */
#define CT_REQUEST_MAX 512

enum ct_direction {
	CT_IN,  /* from who opened the connection: client to host */
	CT_OUT, /* its replies */
	CT_DIRECTION_MAX,
};

struct ct_tuple {
	struct endpoint source, destination;
	uint8_t protocol;
};

struct ct_entry {
	struct ct_tuple original; /* as its first packet came in */
	struct ct_tuple reply;    /* its source is where the connection leads */
	uint32_t status;          /* IPS_… of the kernel */
	uint32_t id;
	uint16_t zone;
	uint8_t tcp_state; /* TCP_CONNTRACK_… of the kernel; of TCP only */
	uint64_t bytes[CT_DIRECTION_MAX], packets[CT_DIRECTION_MAX]; /* 0 where not counted */
	int64_t started; /* Unix seconds; 0 where the kernel notes no times */
};

/* Reads one entry from a message of a listing or an event. -EBADMSG where it is not one, or has no
 * original tuple. */
int ct_entry_parse(const struct nlmsghdr *message, struct ct_entry *ret) _must_check_;

/* Whether the kernel translated this entry's destination, as it does for our mappings. */
bool ct_entry_is_translated(const struct ct_entry *entry);
/* The mapping that it would be of. */
struct mapping_key ct_entry_key(const struct ct_entry *entry);

/* Each makes a request in buffer and returns it; the sequence number is the sender's to set. */

/* All entries whose original destination is this key. */
struct nlmsghdr *ct_request_of_key(void *buffer, const struct mapping_key *key);
/* All entries of a family. */
struct nlmsghdr *ct_request_of_family(void *buffer, uint8_t family);
/* All entries whose destination was translated, of both families. */
struct nlmsghdr *ct_request_translated(void *buffer);
/* Deletes this very entry, and none that took its place: its original tuple, id and zone count. */
struct nlmsghdr *ct_request_delete(void *buffer, const struct ct_entry *entry);
/* How full the table is; and what each CPU had to refuse. See ct_stats.c. */
struct nlmsghdr *ct_request_fill(void *buffer);
struct nlmsghdr *ct_request_cpu_stats(void *buffer);
