/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A reconciler in a namespace of its own, and short ways to ask it for changes: what the tests of
 * its changesets and those of connections share.
 */
#pragma once

#include "gatewayd/reconcile.h"

#define PUBLIC "203.0.113.10"
#define HOST_A "10.0.0.5:7001"
#define HOST_B "10.0.0.6:7001"
#define PATIENCE_MS 20000
#define NO_AUDIT_MS 3600000

extern struct event_base *base;
extern struct address public_address; /* PUBLIC; it and the hosts' are on this machine */
extern struct reconciler *reconciler;

/* For Test's .init and .fini: a namespace with the addresses, and a reconciler. */
void begin_reconciler(void);
void end_reconciler(void);
/* A restart is both in turn. */
void open_reconciler(uint64_t audit_ms);
void close_reconciler(void);

/* What a changeset's sender was told. */
struct told {
	bool done;
	int errnum;
	uint64_t revision;
	size_t n_refusals;
	char refused[MAPPING_STRING_MAX]; /* the last of them */
	char message[ERROR_MESSAGE_MAX];
};

/* One that tells told, and its changes of TCP ports. Each returns the changeset. */
struct changeset *new_changeset(size_t n, bool atomic, struct told *told);
struct changeset *fill(struct changeset *changeset, size_t index, uint16_t port, const char *target,
		       bool drain);
struct changeset *fill_removal(struct changeset *changeset, size_t index, uint16_t port);

/* Turn the loop: until *done, and until no connection waits to be looked through, which goes on
 * beside the loop after the answer. */
void turn_until(const bool *done);
void turn_until_looked_through(void);

/* One port, until the answer. */
void answer_put(uint16_t port, const char *target, bool drain);
void answer_removal(uint16_t port);
/* The same, and until its connections have been looked through. */
void put_one(uint16_t port, const char *target, bool drain);
void remove_one(uint16_t port);

/* Whether nft shows this element of the map. */
bool kernel_has(const char *element);
/* Transactions so far. */
uint64_t committed(void);
