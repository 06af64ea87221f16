/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Whom placement is asked about, and what becomes of its answer. The choice itself is
 * placement.c's.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "lib/clock.h"
#include "schedd/scheduler_private.h"

struct candidates {
	const struct placement_host *hosts; /* userdata: struct host_entry */
	size_t n_hosts;
	struct placement_host *narrowed; /* the same, where they are this request's alone */
	struct placement_request request;
};

static void candidates_clear(struct candidates *candidates)
{
	free(candidates->narrowed);
	*candidates = (struct candidates){ 0 };
}

/* Leaves only those that the wish asks for. */
static int narrow(struct candidates *candidates, const struct candidates_wish *wish)
{
	struct placement_host *hosts;

	if (!wish->prefer && !wish->avoid)
		return 0;
	hosts = calloc(candidates->n_hosts + 1, sizeof(*hosts));
	if (!hosts)
		return -ENOMEM;
	memcpy(hosts, candidates->hosts, candidates->n_hosts * sizeof(*hosts));
	for (size_t i = 0; i < candidates->n_hosts; i++) {
		if (wish->prefer && hosts[i].userdata != wish->prefer)
			hosts[i].refusal = "is not the host that was asked for";
		else if (wish->avoid && hosts[i].userdata == wish->avoid && !hosts[i].refusal)
			hosts[i].refusal = "is the host that it leaves";
	}
	candidates->hosts = candidates->narrowed = hosts;
	return 0;
}

/* Those of the wish among the hosts as they are now, and the request for this spec. Valid until
 * something of a host changes. */
static int candidates_make(struct scheduler *scheduler, const struct environment_spec *spec,
			   const struct candidates_wish *wish, struct candidates *ret)
{
	struct candidates candidates = {
		.request = { .cpu_milli = spec->cpu_milli,
			     .memory_bytes = spec->memory_bytes,
			     .gpu = spec->gpu,
			     .gpu_milli = spec->gpu_milli,
			     .gpu_model = &spec->gpu_model,
			     .pool = spec->pool },
	};
	int r = host_views_refresh(&scheduler->views, &scheduler->state);

	if (r < 0)
		return r;
	candidates.hosts = scheduler->views.hosts;
	candidates.n_hosts = scheduler->views.n;
	r = narrow(&candidates, wish);
	if (r == 0)
		*ret = candidates;
	return r;
}

static const struct candidates_wish any = { NULL };

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

/* Among the hosts as they are now. */
static int choose_by(struct scheduler *scheduler, const struct environment_spec *spec,
		     const struct candidates_wish *wish, struct candidates *ret_candidates,
		     struct placement_result *ret, char reason[REASON_MAX])
{
	struct candidates candidates;
	int r = candidates_make(scheduler, spec, wish, &candidates);

	if (r < 0)
		return r;
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
	const struct candidates_wish others = { .avoid = wish->avoid };
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
	struct placement_result result;
	struct candidates candidates;
	int r = choose_by(scheduler, spec, wish ? wish : &any, &candidates, &result, reason);

	if (r == 0)
		candidates_clear(&candidates);
	return r;
}

int candidates_ask(struct scheduler *scheduler, const struct environment_spec *spec,
		   const struct host_entry *host, char reason[REASON_MAX])
{
	char buffer[PLACEMENT_REASON_MAX];
	struct candidates candidates;
	int r = candidates_make(scheduler, spec, &any, &candidates);

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

json_t *scheduler_refusals(struct scheduler *scheduler, const struct environment_spec *spec)
{
	_cleanup_json_ json_t *refusals = json_array();
	char buffer[PLACEMENT_REASON_MAX];
	struct candidates candidates;

	if (!refusals || candidates_make(scheduler, spec, &any, &candidates) < 0)
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
