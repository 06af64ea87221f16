/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The socket on which the kernel tells of ended connections, with their last counts. It loses none:
 * what finds no room in its buffer stays in the kernel and comes again, and the socket itself
 * outlives a killed process in systemd's file descriptor store.
 */
#pragma once

#include "lib/error.h"
#include "lib/util.h"

struct ct_events {
	int fd;               /* -1 while closed */
	bool restored;        /* it has events of the time since the last process ended */
	size_t receive_bytes; /* buffer that was granted */
	uint64_t overruns;    /* times that the buffer was full */
};

#define CT_EVENTS_INIT ((struct ct_events){ .fd = -1 })

/* Takes the socket of an earlier process, or makes one. buffer is asked for by SO_RCVBUFFORCE. */
int ct_events_open(struct ct_events *ret, size_t buffer, struct error *err) _must_check_;
/* From now on nobody reads for a while: the kernel keeps nothing back. Closed already is fine. */
void ct_events_close(struct ct_events *events);

/* Whether the kernel keeps an ended connection until we have room for its event. Only for the time
 * in which somebody reads: such connections count against nf_conntrack_max. */
void ct_events_set_reliable(struct ct_events *events, bool reliable);

/* Reads up to n messages into slots of that size. Returns how many, 0 where there are none now, or
 * -errno. A message that is cut off has a length in its header that its slot has no room for. */
int ct_events_read(struct ct_events *events, uint8_t *slots, size_t slot_size, unsigned n)
	_must_check_;
