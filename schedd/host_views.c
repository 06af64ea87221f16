/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Views of hosts, made in full where there are others than before, and one by one otherwise. */
#include "schedd/host_views.h"

#include <errno.h>

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

static const struct capacity *capacity_of(const struct host_entry *entry)
{
	return &host_newest(entry)->origin->registration.capacity;
}

/* gpus is where this host's go. */
static void fill(const struct state *state, const struct host_entry *entry,
		 struct placement_gpu *gpus, struct placement_host *ret)
{
	const struct host *host = host_newest(entry);
	const struct capacity *capacity = capacity_of(entry);
	uint64_t cpu_milli = state_host_cpu(state, host);

	*ret = (struct placement_host){
		.name = host->origin->registration.name,
		.pool = host->origin->registration.pool,
		.refusal = refusal_of(host),
		.cpu_milli = cpu_milli,
		.cpu_free = free_of(cpu_milli, entry->newest.cpu_milli),
		.memory_bytes = capacity->memory_bytes,
		.memory_free = free_of(capacity->memory_bytes, entry->newest.memory_bytes),
		.gpus = gpus,
		.n_gpus = capacity->n_gpus,
		.environments = entry->newest.environments,
		.userdata = (void *)entry,
	};
	for (size_t i = 0; i < capacity->n_gpus; i++)
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
	n += capacity_of(entry)->n_gpus;
	return n;
}

static int make_all(struct host_views *views, struct state *state)
{
	struct placement_gpu *gpus;
	struct host_entry *entry;

	host_views_clear(views);
	views->hosts = calloc(state_count(state, RECORD_HOST) + 1, sizeof(*views->hosts));
	views->gpus = gpus = calloc(count_gpus(state) + 1, sizeof(*gpus));
	if (!views->hosts || !gpus) {
		host_views_clear(views);
		return -ENOMEM;
	}
	STATE_FOREACH(state, RECORD_HOST, entry)
	{
		entry->view = views->n++;
		fill(state, entry, gpus, &views->hosts[entry->view]);
		gpus += capacity_of(entry)->n_gpus;
	}
	while (state_take_changed_host(state))
		;
	state->hosts_replaced = false;
	return 0;
}

int host_views_refresh(struct host_views *views, struct state *state)
{
	struct host_entry *entry;

	while (!state->hosts_replaced && (entry = state_take_changed_host(state))) {
		struct placement_host *host = &views->hosts[entry->view];
		ptrdiff_t first_gpu = host->gpus - views->gpus;

		if (host->n_gpus == capacity_of(entry)->n_gpus)
			fill(state, entry, &views->gpus[first_gpu], host);
		else
			state->hosts_replaced = true; /* there is no room for another number */
	}
	return state->hosts_replaced ? make_all(views, state) : 0;
}

void host_views_clear(struct host_views *views)
{
	free(views->hosts);
	free(views->gpus);
	*views = (struct host_views){ 0 };
}
