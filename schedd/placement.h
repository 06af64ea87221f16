/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Placement: hosts and a request in, a host and its GPUs or the reasons why not out. Pure functions
 * without state: the caller fills in what is free. */
#pragma once

#include "lib/config.h"
#include "lib/error.h"
#include "lib/util.h"

#define PLACEMENT_GPUS_MAX 64
#define PLACEMENT_REASON_MAX 256
#define GPU_WHOLE 1000 /* thousandths of one GPU */

struct placement_gpu {
	const char *uuid, *model;
	uint32_t free_milli; /* 0…GPU_WHOLE */
};

struct placement_host {
	const char *name;
	const char *pool;
	const char *refusal; /* why it takes nothing new, as a sentence; NULL: it does */
	uint64_t cpu_milli, cpu_free;
	uint64_t memory_bytes, memory_free;
	const struct placement_gpu *gpus; /* may be NULL where the request asks for none */
	size_t n_gpus;
	uint32_t environments;
	void *userdata; /* the caller's */
};

struct placement_request {
	uint64_t cpu_milli, memory_bytes;
	uint32_t gpu;                        /* whole GPUs */
	uint32_t gpu_milli;                  /* and a share of one more; 0: none */
	const struct string_list *gpu_model; /* any of these; NULL or empty: any */
	const char *pool;
};

struct placement_result {
	size_t host; /* index */
	struct {
		size_t index; /* in the host's gpus */
		uint32_t milli;
	} gpus[PLACEMENT_GPUS_MAX];
	size_t n_gpus;
};

struct placement_policy;

/* NULL asks for the default, "least-used". NULL where there is none of that name. */
const struct placement_policy *placement_policy_find(const char *name);
/* "binpack, least-used, spread", for an error's sentence. */
const char *placement_policy_names(void);

/* Chooses the best host under the policy; among equals the one whose name sorts first. -ENOSPC
 * where none can take it. */
int placement_choose(const struct placement_host *hosts, size_t n_hosts,
		     const struct placement_request *request, const struct placement_policy *policy,
		     struct placement_result *ret) _must_check_;

/* Why this host cannot take the request, in buffer; NULL where it can. */
const char *placement_refusal(const struct placement_host *host,
			      const struct placement_request *request,
			      char buffer[PLACEMENT_REASON_MAX]);

/* "no host can take NAME: host1: needs …; host2: …; and 4 more" into buffer, cut at its end. */
void placement_explain(const struct placement_host *hosts, size_t n_hosts,
		       const struct placement_request *request, const char *name, char *buffer,
		       size_t size);
