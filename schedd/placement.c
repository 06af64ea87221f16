/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Filters, policies and the choice among hosts. A policy is one function in one table. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "schedd/placement.h"

struct placement_policy {
	const char *name;
	/* The higher the better, of a host that passed the filters. */
	double (*score)(const struct placement_host *host, const struct placement_request *request);
};

static double share(uint64_t part, uint64_t whole)
{
	return whole ? (double)part / (double)whole : 1.0;
}

/* What would be free of the scarcer of CPU and memory, as a share of the host. */
static double free_share_after(const struct placement_host *host,
			       const struct placement_request *request)
{
	double cpu = share(host->cpu_free - request->cpu_milli, host->cpu_milli);
	double memory = share(host->memory_free - request->memory_bytes, host->memory_bytes);

	return MIN(cpu, memory);
}

static double score_least_used(const struct placement_host *host,
			       const struct placement_request *request)
{
	return free_share_after(host, request);
}

static double score_binpack(const struct placement_host *host,
			    const struct placement_request *request)
{
	return -free_share_after(host, request);
}

static double score_spread(const struct placement_host *host,
			   const struct placement_request *request)
{
	return -(double)host->environments;
}

static const struct placement_policy policies[] = {
	{ "least-used", score_least_used }, /* the default */
	{ "binpack", score_binpack },
	{ "spread", score_spread },
};

const struct placement_policy *placement_policy_find(const char *name)
{
	if (!name)
		return &policies[0];
	for (size_t i = 0; i < ARRAY_SIZE(policies); i++)
		if (strcmp(policies[i].name, name) == 0)
			return &policies[i];
	return NULL;
}

const char *placement_policy_names(void)
{
	return "least-used, binpack, spread";
}

static bool model_fits(const struct placement_gpu *gpu, const struct placement_request *request)
{
	const struct string_list *models = request->gpu_model;

	if (!models || models->n == 0)
		return true;
	for (size_t i = 0; i < models->n; i++)
		if (gpu->model && strcmp(models->items[i], gpu->model) == 0)
			return true;
	return false;
}

/* A share goes to the fullest GPU that still has room for it, so that whole ones stay whole. */
static bool choose_share(const struct placement_host *host, const struct placement_request *request,
			 struct placement_result *result)
{
	size_t best = host->n_gpus;

	for (size_t i = 0; i < host->n_gpus; i++) {
		const struct placement_gpu *gpu = &host->gpus[i];

		if (!model_fits(gpu, request) || gpu->free_milli < request->gpu_milli)
			continue;
		if (best == host->n_gpus || gpu->free_milli < host->gpus[best].free_milli)
			best = i;
	}
	if (best == host->n_gpus)
		return false;
	result->gpus[result->n_gpus].index = best;
	result->gpus[result->n_gpus++].milli = request->gpu_milli;
	return true;
}

static bool choose_gpus(const struct placement_host *host, const struct placement_request *request,
			struct placement_result *result)
{
	uint32_t missing = request->gpu;

	result->n_gpus = 0;
	if (request->gpu + (request->gpu_milli > 0) > PLACEMENT_GPUS_MAX)
		return false;
	if (request->gpu_milli > 0 && !choose_share(host, request, result))
		return false;
	for (size_t i = 0; i < host->n_gpus && missing > 0; i++) {
		const struct placement_gpu *gpu = &host->gpus[i];

		if (!model_fits(gpu, request) || gpu->free_milli < GPU_WHOLE)
			continue;
		if (request->gpu_milli > 0 && result->gpus[0].index == i)
			continue;
		result->gpus[result->n_gpus].index = i;
		result->gpus[result->n_gpus++].milli = GPU_WHOLE;
		missing--;
	}
	return missing == 0;
}

static void refuse_gpu(const struct placement_host *host, const struct placement_request *request,
		       char buffer[PLACEMENT_REASON_MAX])
{
	uint32_t whole = 0, suitable = 0;

	for (size_t i = 0; i < host->n_gpus; i++) {
		if (!model_fits(&host->gpus[i], request))
			continue;
		suitable++;
		whole += host->gpus[i].free_milli >= GPU_WHOLE;
	}
	if (suitable == 0)
		(void)snprintf(buffer, PLACEMENT_REASON_MAX, "has no GPU%s",
			       host->n_gpus ? " of the wanted model" : "");
	else if (request->gpu_milli > 0)
		(void)snprintf(buffer, PLACEMENT_REASON_MAX,
			       "needs %u GPUs and %u thousandths of one, %u of %u are wholly free",
			       request->gpu, request->gpu_milli, whole, suitable);
	else
		(void)snprintf(buffer, PLACEMENT_REASON_MAX, "needs %u GPUs, %u of %u free",
			       request->gpu, whole, suitable);
}

/* Memory in MiB: bytes are hard to read and GiB too coarse. */
#define MIB (UINT64_C(1) << 20)

const char *placement_refusal(const struct placement_host *host,
			      const struct placement_request *request,
			      char buffer[PLACEMENT_REASON_MAX])
{
	struct placement_result result;

	if (host->refusal) {
		(void)snprintf(buffer, PLACEMENT_REASON_MAX, "%s", host->refusal);
		return buffer;
	}
	if (request->pool && strcmp(request->pool, host->pool) != 0) {
		(void)snprintf(buffer, PLACEMENT_REASON_MAX, "is in pool %s, not %s", host->pool,
			       request->pool);
		return buffer;
	}
	if (host->cpu_free < request->cpu_milli) {
		(void)snprintf(buffer, PLACEMENT_REASON_MAX,
			       "needs %" PRIu64 " milli CPU, %" PRIu64 " free", request->cpu_milli,
			       host->cpu_free);
		return buffer;
	}
	if (host->memory_free < request->memory_bytes) {
		(void)snprintf(buffer, PLACEMENT_REASON_MAX,
			       "needs %" PRIu64 " MiB memory, %" PRIu64 " free",
			       (request->memory_bytes + MIB - 1) / MIB, host->memory_free / MIB);
		return buffer;
	}
	if ((request->gpu > 0 || request->gpu_milli > 0) && !choose_gpus(host, request, &result)) {
		refuse_gpu(host, request, buffer);
		return buffer;
	}
	return NULL;
}

/* The filters of placement_refusal without the sentence: this is the inner loop. */
static bool fits(const struct placement_host *host, const struct placement_request *request)
{
	return !host->refusal && host->cpu_free >= request->cpu_milli &&
	       host->memory_free >= request->memory_bytes &&
	       (!request->pool || strcmp(request->pool, host->pool) == 0);
}

int placement_choose(const struct placement_host *hosts, size_t n_hosts,
		     const struct placement_request *request, const struct placement_policy *policy,
		     struct placement_result *ret)
{
	bool wants_gpu = request->gpu > 0 || request->gpu_milli > 0;
	struct placement_result result, best = { .host = n_hosts };
	double best_score = 0;

	result.n_gpus = 0;
	for (size_t i = 0; i < n_hosts; i++) {
		double score;

		if (!fits(&hosts[i], request))
			continue;
		if (wants_gpu && !choose_gpus(&hosts[i], request, &result))
			continue;
		score = policy->score(&hosts[i], request);
		if (best.host < n_hosts &&
		    (score < best_score ||
		     (score == best_score && strcmp(hosts[i].name, hosts[best.host].name) > 0)))
			continue;
		best = result;
		best.host = i;
		best_score = score;
	}
	if (best.host == n_hosts)
		return -ENOSPC;
	*ret = best;
	return 0;
}

void placement_explain(const struct placement_host *hosts, size_t n_hosts,
		       const struct placement_request *request, const char *name, char *buffer,
		       size_t size)
{
	char reason[PLACEMENT_REASON_MAX];
	int used;

	if (n_hosts == 0) {
		(void)snprintf(buffer, size, "no host can take %s: no host has registered", name);
		return;
	}
	used = snprintf(buffer, size, "no host can take %s", name);
	for (size_t i = 0; i < n_hosts; i++) {
		char more[PLACEMENT_REASON_MAX + 80];
		int length;

		if (!placement_refusal(&hosts[i], request, reason))
			continue;
		length = snprintf(more, sizeof(more), "%s %s: %s", i ? ";" : ":", hosts[i].name,
				  reason);
		/* Room is kept for the count of the rest. */
		if (used < 0 || (size_t)(used + length) + sizeof("; and 4294967295 more") > size) {
			if (used >= 0 && (size_t)used < size)
				(void)snprintf(buffer + used, size - (size_t)used, "; and %zu more",
					       n_hosts - i);
			return;
		}
		memcpy(buffer + used, more, (size_t)length + 1);
		used += length;
	}
}
