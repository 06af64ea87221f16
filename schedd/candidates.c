/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Hosts as placement sees them: what is free by the newest versions of rows, and why a host takes
 * nothing. The choice itself is placement.c's. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "lib/clock.h"
#include "schedd/scheduler_private.h"

static const char *refusal_of(const struct host *host)
{
	if (host->record.gone)
		return "is being removed";
	if (!host->online)
		return "is offline";
	switch (host->mode) {
	case HOST_CORDONED:
	case HOST_DRAINING:
		return "is draining";
	case HOST_MAINTENANCE:
		return "is in maintenance";
	case HOST_ACTIVE:
	case HOST_MODE_MAX:
	case HOST_MODE_INVALID:
		break;
	}
	return NULL;
}

static uint64_t free_of(uint64_t capacity, uint64_t used)
{
	return capacity > used ? capacity - used : 0;
}

/* gpus is where this host's go. */
static void fill(const struct state *state, const struct host_entry *entry,
		 struct placement_gpu *gpus, struct placement_host *ret)
{
	const struct host *host = host_newest(entry);
	const struct host_registration *registration = &host->origin->registration;
	const struct capacity *capacity = &registration->capacity;
	uint64_t cpu_milli = state_host_cpu(state, host);

	*ret = (struct placement_host){
		.name = registration->name,
		.pool = registration->pool,
		.refusal = refusal_of(host),
		.cpu_milli = cpu_milli,
		.cpu_free = free_of(cpu_milli, entry->newest.cpu_milli),
		.memory_bytes = capacity->memory_bytes,
		.memory_free = free_of(capacity->memory_bytes, entry->newest.memory_bytes),
		.gpus = gpus,
		.n_gpus = gpus ? capacity->n_gpus : 0,
		.environments = entry->newest.environments,
		.userdata = (void *)entry,
	};
	for (size_t i = 0; gpus && i < capacity->n_gpus; i++)
		gpus[i] = (struct placement_gpu){
			.uuid = capacity->gpus[i].uuid,
			.model = capacity->gpus[i].model,
			.free_milli =
				GPU_WHOLE - usage_of_gpu(&entry->newest, capacity->gpus[i].uuid),
		};
}

static size_t count_gpus(const struct state *state)
{
	struct host_entry *entry;
	size_t n = 0;

	STATE_FOREACH(state, RECORD_HOST, entry)
	n += host_newest(entry)->origin->registration.capacity.n_gpus;
	return n;
}

int candidates_make(const struct state *state, const struct environment_spec *spec,
		    struct candidates *ret)
{
	struct candidates candidates = {
		.request = { .cpu_milli = spec->cpu_milli,
			     .memory_bytes = spec->memory_bytes,
			     .gpu = spec->gpu,
			     .gpu_milli = spec->gpu_milli,
			     .gpu_model = &spec->gpu_model,
			     .pool = spec->pool },
	};
	bool wants_gpu = spec->gpu > 0 || spec->gpu_milli > 0;
	struct placement_gpu *gpus = NULL;
	struct host_entry *entry;

	candidates.hosts = calloc(state_count(state, RECORD_HOST) + 1, sizeof(*candidates.hosts));
	if (wants_gpu)
		gpus = candidates.gpus = calloc(count_gpus(state) + 1, sizeof(*gpus));
	if (!candidates.hosts || (wants_gpu && !gpus)) {
		candidates_clear(&candidates);
		return -ENOMEM;
	}
	STATE_FOREACH(state, RECORD_HOST, entry)
	{
		fill(state, entry, gpus, &candidates.hosts[candidates.n_hosts++]);
		if (gpus)
			gpus += host_newest(entry)->origin->registration.capacity.n_gpus;
	}
	*ret = candidates;
	return 0;
}

void candidates_clear(struct candidates *candidates)
{
	free(candidates->hosts);
	free(candidates->gpus);
	*candidates = (struct candidates){ 0 };
}

/* The GPUs of a placement as the row has them; NULL where there are none or memory ran out. */
static int gpus_of(const struct candidates *candidates, const struct placement_result *result,
		   json_t **ret)
{
	const struct placement_host *host = &candidates->hosts[result->host];
	_cleanup_json_ json_t *gpus = NULL;

	*ret = NULL;
	if (result->n_gpus == 0)
		return 0;
	gpus = json_array();
	for (size_t i = 0; gpus && i < result->n_gpus; i++)
		if (json_array_append_new(gpus, json_pack("{s:s, s:i}", "uuid",
							  host->gpus[result->gpus[i].index].uuid,
							  "milli", (int)result->gpus[i].milli)) < 0)
			return -ENOMEM;
	*ret = TAKE_PTR(gpus);
	return *ret ? 0 : -ENOMEM;
}

static const struct placement_policy *policy_of(const struct scheduler *scheduler,
						const struct environment_spec *spec)
{
	const struct placement_policy *policy =
		spec->policy ? placement_policy_find(spec->policy) : scheduler->config.policy;

	return policy ? policy : placement_policy_find(NULL);
}

static int choose(struct scheduler *scheduler, const struct environment_spec *spec,
		  const struct candidates *candidates, struct placement_result *ret,
		  char reason[REASON_MAX])
{
	uint64_t started = clock_monotonic_us();
	int r = placement_choose(candidates->hosts, candidates->n_hosts, &candidates->request,
				 policy_of(scheduler, spec), ret);

	scheduler->stats.placement_seconds += (double)(clock_monotonic_us() - started) / 1e6;
	if (r == 0) {
		scheduler->stats.placements++;
		return 0;
	}
	scheduler->stats.placement_refusals++;
	placement_explain(candidates->hosts, candidates->n_hosts, &candidates->request, spec->name,
			  reason, REASON_MAX);
	return r;
}

/* Leaves only those that the wish asks for. */
static void narrow(struct candidates *candidates, const struct candidates_wish *wish)
{
	for (size_t i = 0; i < candidates->n_hosts; i++) {
		struct placement_host *host = &candidates->hosts[i];

		if (wish->prefer && host->userdata != wish->prefer)
			host->refusal = "is not the host that was asked for";
		else if (wish->avoid && host->userdata == wish->avoid && !host->refusal)
			host->refusal = "is the host that it leaves";
	}
}

/* Among the hosts as they are now. */
static int choose_by(struct scheduler *scheduler, const struct environment_spec *spec,
		     const struct candidates_wish *wish, struct candidates *ret_candidates,
		     struct placement_result *ret, char reason[REASON_MAX])
{
	struct candidates candidates;
	int r = candidates_make(&scheduler->state, spec, &candidates);

	if (r < 0)
		return r;
	narrow(&candidates, wish);
	r = choose(scheduler, spec, &candidates, ret, reason);
	if (r < 0)
		candidates_clear(&candidates);
	else
		*ret_candidates = candidates;
	return r;
}

/* The wish as far as can be: the host asked for, then any other, then any. */
static int choose_nearest(struct scheduler *scheduler, const struct environment_spec *spec,
			  const struct candidates_wish *wish, struct candidates *ret_candidates,
			  struct placement_result *ret, char reason[REASON_MAX])
{
	const struct candidates_wish others = { .avoid = wish->avoid }, any = { NULL };
	int r = -ENOSPC;

	if (wish->prefer)
		r = choose_by(scheduler, spec, wish, ret_candidates, ret, reason);
	if (r == -ENOSPC && wish->avoid)
		r = choose_by(scheduler, spec, &others, ret_candidates, ret, reason);
	if (r == -ENOSPC)
		r = choose_by(scheduler, spec, &any, ret_candidates, ret, reason);
	return r;
}

int candidates_try(struct scheduler *scheduler, const struct environment_spec *spec,
		   const struct candidates_wish *wish, char reason[REASON_MAX])
{
	const struct candidates_wish any = { NULL };
	struct placement_result result;
	struct candidates candidates;
	int r = choose_by(scheduler, spec, wish ? wish : &any, &candidates, &result, reason);

	if (r == 0)
		candidates_clear(&candidates);
	return r;
}

int candidates_ask(const struct scheduler *scheduler, const struct environment_spec *spec,
		   const struct host_entry *host, char reason[REASON_MAX])
{
	char buffer[PLACEMENT_REASON_MAX];
	struct candidates candidates;
	int r = candidates_make(&scheduler->state, spec, &candidates);

	if (r < 0)
		return r;
	for (size_t i = 0; i < candidates.n_hosts; i++) {
		const struct placement_host *asked = &candidates.hosts[i];
		const char *why = NULL;

		if (asked->userdata == host)
			why = placement_refusal(asked, &candidates.request, buffer);
		if (!why)
			continue;
		r = asked->refusal ? -EBUSY : -ENOSPC;
		if (asked->refusal)
			(void)snprintf(reason, REASON_MAX, "%s %s", asked->name, why);
		else
			(void)snprintf(reason, REASON_MAX, "%s cannot take %s: %s", asked->name,
				       spec->name, why);
	}
	candidates_clear(&candidates);
	return r;
}

int candidates_place(struct scheduler *scheduler, struct environment_entry *environment,
		     const struct candidates_wish *wish, char reason[REASON_MAX])
{
	const struct environment_spec *spec = &environment_newest(environment)->origin->spec;
	_cleanup_json_ json_t *gpus = NULL;
	struct placement_result result;
	struct candidates candidates;
	int r = choose_nearest(scheduler, spec, wish, &candidates, &result, reason);

	if (r < 0)
		return r;
	r = gpus_of(&candidates, &result, &gpus);
	if (r == 0)
		r = state_place(&scheduler->state, environment,
				candidates.hosts[result.host].userdata, gpus);
	candidates_clear(&candidates);
	return r;
}

json_t *scheduler_refusals(const struct scheduler *scheduler, const struct environment_spec *spec)
{
	_cleanup_json_ json_t *refusals = json_array();
	char buffer[PLACEMENT_REASON_MAX];
	struct candidates candidates;

	if (!refusals || candidates_make(&scheduler->state, spec, &candidates) < 0)
		return NULL;
	for (size_t i = 0; i < candidates.n_hosts; i++) {
		const char *reason =
			placement_refusal(&candidates.hosts[i], &candidates.request, buffer);

		if (reason && json_array_append_new(refusals, json_pack("{s:s, s:s}", "host",
									candidates.hosts[i].name,
									"reason", reason)) < 0)
			break;
	}
	candidates_clear(&candidates);
	return TAKE_PTR(refusals);
}
