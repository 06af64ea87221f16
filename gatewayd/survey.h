/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A survey of the mappings: how many have which port, and how many lead to which host. It is taken
 * in steps, so that it holds up nobody however many there are, and what it says is of the last pass
 * that was complete. It judges nothing.
 */
#pragma once

#include "gatewayd/ledger.h"

/* Hosts that are counted; mappings to further ones are not. */
#define SURVEY_TARGETS_MAX 4096
#define SURVEY_PORTS 65536

struct survey_target {
	struct address address;
	bool looked_up; /* what follows is known */
	uint8_t kind;   /* enum route_kind: the way to it */
	int errnum;     /* why there is none */
	size_t mappings;
};

struct survey;

/* The ledger is borrowed. Until the first pass is complete there are no mappings. */
int survey_new(struct survey **ret, const struct ledger *ledger) _must_check_;
void survey_free(struct survey *survey); /* NULL is fine */

/* A new pass; what one has seen that was not complete is forgotten. Mappings that come, go or
 * change while it goes on are counted as they were found, or not. */
int survey_begin(struct survey *survey) _must_check_;
/* Goes on through so many slots of the ledger; true where the pass is complete, or there is none.
 */
bool survey_step(struct survey *survey, size_t slots);
/* A pass in one go. */
int survey_take(struct survey *survey) _must_check_;

/* Desired mappings by port: SURVEY_PORTS of them. NULL before the first pass. */
const uint32_t *survey_ports(const struct survey *survey);
/* The hosts one by one, in no order: index starts at 0; NULL at the end. The way to a host is for
 * others to find; it is kept until the next pass is complete. */
struct survey_target *survey_next_target(struct survey *survey, size_t *index);

DEFINE_CLEANUP(struct survey *, survey_free, cleanup_survey)
