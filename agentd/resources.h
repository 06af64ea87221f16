/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What this host offers to environments: its cores and memory less a reserve, or fixed figures. */
#pragma once

#include "lib/error.h"
#include "proto/report.h"

struct resource_limits {
	uint64_t cpu_milli;      /* fixed; 0: what the machine has, less cpu_reserve */
	uint64_t memory_bytes;   /* fixed; 0: what the machine has, less memory_reserve */
	uint64_t cpu_reserve;    /* milli CPU left to the machine itself */
	uint64_t memory_reserve; /* bytes left to the machine itself */
};

/* MemTotal of /proc/meminfo's text, in bytes. -EINVAL. */
int resources_parse_meminfo(const char *text, uint64_t *ret) _must_check_;

/* The arithmetic alone. -ERANGE where the reserve leaves nothing, naming the option. */
int resources_apply(const struct resource_limits *limits, uint64_t cores, uint64_t memory,
		    struct capacity *ret, struct error *err) _must_check_;

/* Reads the machine. Free *ret with capacity_release. */
int resources_read(const struct resource_limits *limits, struct capacity *ret, struct error *err)
	_must_check_;
void capacity_release(struct capacity *capacity);
