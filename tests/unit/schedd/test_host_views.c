/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What hosts have for placement: their capacity, and how much of their CPU may be given away. And
 * that what is kept of them is what their rows say, through random edits, commits and drops. */
#include "schedd/host_views.h"

#include <inttypes.h>

#include "tests/unit/schedd/rows.h"

static struct state state;
static struct host_views views;

static void set_up(void)
{
	row_state(&state);
}

static void tear_down(void)
{
	host_views_clear(&views);
	state_clear(&state);
}

TestSuite(host_views, .init = set_up, .fini = tear_down);

/* An environment of half a core and 1 GiB on the only host. */
static void place_one(unsigned overcommit)
{
	struct host *host = row_host("host1");
	struct environment *environment = row_environment("env-1", "demo");

	host->cpu_overcommit = overcommit;
	(void)snprintf(environment->host, sizeof(environment->host), "host1");
	row_load(&state, host);
	row_load(&state, environment);
}

static void expect_cpu(uint64_t all, uint64_t left)
{
	cr_assert_eq(host_views_refresh(&views, &state), 0);
	cr_assert_eq(views.n, 1);
	cr_expect_eq(views.hosts[0].cpu_milli, all);
	cr_expect_eq(views.hosts[0].cpu_free, left);
	/* What cannot be shared by waiting is not given away twice. */
	cr_expect_eq(views.hosts[0].memory_bytes, (uint64_t)8 << 30);
	cr_expect_eq(views.hosts[0].memory_free, (uint64_t)7 << 30);
}

Test(host_views, a_host_has_what_it_has)
{
	place_one(0);
	expect_cpu(4000, 3500);
}

Test(host_views, the_default_overcommit_is_for_hosts_without_their_own)
{
	state.cpu_overcommit = 150;
	place_one(0);
	expect_cpu(6000, 5500);
}

Test(host_views, a_host_has_its_own_overcommit)
{
	state.cpu_overcommit = 150;
	place_one(200);
	expect_cpu(8000, 7500);
}

Test(host_views, a_lower_overcommit_takes_nothing_away)
{
	state.cpu_overcommit = 100;
	place_one(0);
	state_host(&state, "host1")->newest.cpu_milli = 7000;
	expect_cpu(4000, 0);
}

Test(host_views, a_host_that_claims_everything_has_much)
{
	struct host *host = row_host("host1");

	host->origin->registration.capacity.cpu_milli = INT64_MAX;
	host->cpu_overcommit = OVERCOMMIT_MAX;
	cr_expect_eq(state_host_cpu(&state, host), INT64_MAX);
	record_free(&host->record);
}

/* ---- random edits ---- */

#define NAMES 6
#define EDITS 4000
#define SEEDS 20

static uint64_t seed, random_state;

static uint64_t next(uint64_t below)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state % below;
}

static bool can_edit(const struct entry *entry)
{
	return entry && !entry_newest(entry)->gone;
}

static struct host_entry *random_host(char name[16])
{
	(void)snprintf(name, 16, "host%u", (unsigned)next(NAMES));
	return state_host(&state, name);
}

static void resize(struct host *host)
{
	struct capacity *capacity = &host->origin->registration.capacity;

	capacity->cpu_milli = 1000 + next(4) * 1000;
	if (next(2))
		capacity->memory_bytes /= 2;
	/* the second GPU is taken out */
	if (next(2)) {
		free(capacity->gpus[1].uuid);
		free(capacity->gpus[1].model);
		capacity->n_gpus = 1;
	}
}

static void add_host(void)
{
	char name[16];
	struct host *host;

	if (random_host(name))
		return;
	host = row_host(name);
	resize(host);
	row_add(&state, host);
}

static void change_host(void)
{
	char name[16];
	struct host_entry *entry = random_host(name);
	struct host *host;

	if (!entry || !can_edit(&entry->entry))
		return;
	host = state_edit_host(&state, entry);
	cr_assert(host);
	host->online = next(4) > 0;
	host->mode = next(2) ? HOST_ACTIVE : (enum host_mode)next(HOST_MODE_MAX);
	host->cpu_overcommit = next(2) ? 0 : 150;
}

/* As a registration does. */
static void renew_host(void)
{
	char name[16];
	struct host_entry *entry = random_host(name);
	_cleanup_(cleanup_host) struct host *other = row_host(name);
	struct host_registration *registration = &other->origin->registration;
	struct host_origin *origin;

	if (!entry || !can_edit(&entry->entry))
		return;
	resize(other);
	origin = host_renew_origin(state_edit_host(&state, entry));
	cr_assert(origin);
	origin->registration = *registration;
	*registration = (struct host_registration){ 0 };
}

static void remove_host(void)
{
	char name[16];
	struct host_entry *entry = random_host(name);

	if (entry && can_edit(&entry->entry) && !entry->environments)
		state_edit_host(&state, entry)->record.gone = true;
}

static struct environment_entry *random_environment(char id[16])
{
	(void)snprintf(id, 16, "env-%u", (unsigned)next(3 * NAMES));
	return state_environment(&state, id);
}

static void add_environment(void)
{
	char id[16];
	struct environment *environment;

	if (random_environment(id))
		return;
	environment = row_environment(id, id);
	environment->origin->spec.cpu_milli = 100 * next(10);
	environment->origin->spec.memory_bytes = next(4) << 28;
	row_add(&state, environment);
}

static void place(void)
{
	char id[16], name[16];
	struct environment_entry *entry = random_environment(id);
	struct host_entry *host = random_host(name);
	_cleanup_json_ json_t *gpus =
		json_pack("[{s:s, s:i}]", "uuid", next(2) ? "GPU-1" : "GPU-2", "milli", 50);

	if (entry && host && !entry->host && can_edit(&entry->entry) && can_edit(&host->entry))
		cr_assert_eq(state_place(&state, entry, host, next(2) ? gpus : NULL), 0);
}

static void leave(bool for_ever)
{
	char id[16];
	struct environment_entry *entry = random_environment(id);

	if (!entry || !can_edit(&entry->entry))
		return;
	cr_assert_eq(state_release(&state, entry), 0);
	if (for_ever)
		state_edit_environment(&state, entry)->record.gone = true;
}

static void end_flight(bool committed)
{
	if (!state.in_flight) {
		(void)state_close_batch(&state);
	} else if (committed) {
		state_commit_batch(&state);
		state_finish_batch(&state);
	} else {
		state_drop_flight(&state);
	}
}

static void edit(void)
{
	switch (next(12)) {
	case 0:
		add_host();
		break;
	case 1:
		change_host();
		break;
	case 2:
		renew_host();
		break;
	case 3:
		remove_host();
		break;
	case 4:
	case 5:
		add_environment();
		break;
	case 6:
	case 7:
	case 8:
		place();
		break;
	case 9:
		leave(next(2));
		break;
	case 10:
		end_flight(next(4) > 0);
		break;
	default:
		if (next(4) == 0)
			state_drop_open(&state);
		break;
	}
}

/* ---- the same from the rows alone ---- */

static uint32_t milli_of(const struct environment *environment, const char *uuid)
{
	const json_t *gpu;
	uint32_t milli = 0;
	size_t i;

	json_array_foreach (environment->gpus, i, gpu)
		if (strcmp(json_string_value(json_object_get(gpu, "uuid")), uuid) == 0)
			milli += (uint32_t)json_integer_value(json_object_get(gpu, "milli"));
	return milli;
}

static void take(struct placement_host *host, struct placement_gpu *gpus,
		 const struct environment *environment)
{
	const struct environment_spec *spec = &environment->origin->spec;

	host->environments++;
	host->cpu_free -= MIN(host->cpu_free, spec->cpu_milli);
	host->memory_free -= MIN(host->memory_free, spec->memory_bytes);
	for (size_t i = 0; i < host->n_gpus; i++)
		gpus[i].free_milli -= milli_of(environment, gpus[i].uuid);
}

/* Whether it takes anything is compared, the sentence is not. */
static void look_at(const struct host_entry *entry, struct placement_gpu *gpus,
		    struct placement_host *ret)
{
	const struct host *host = host_newest(entry);
	const struct host_registration *registration = &host->origin->registration;
	const struct capacity *capacity = &registration->capacity;
	bool takes = !host->record.gone && host->online && host->mode == HOST_ACTIVE;
	uint64_t cpu =
		capacity->cpu_milli * (host->cpu_overcommit ? host->cpu_overcommit : 100) / 100;
	struct environment_entry *environment;

	*ret = (struct placement_host){
		.name = registration->name,
		.pool = registration->pool,
		.refusal = takes ? NULL : "no",
		.cpu_milli = cpu,
		.cpu_free = cpu,
		.memory_bytes = capacity->memory_bytes,
		.memory_free = capacity->memory_bytes,
		.gpus = gpus,
		.n_gpus = capacity->n_gpus,
	};
	for (size_t i = 0; i < capacity->n_gpus; i++)
		gpus[i] = (struct placement_gpu){ .uuid = capacity->gpus[i].uuid,
						  .model = capacity->gpus[i].model,
						  .free_milli = GPU_WHOLE };
	STATE_FOREACH(&state, RECORD_ENVIRONMENT, environment)
	if (strcmp(environment_newest(environment)->host, entry->entry.id) == 0)
		take(ret, gpus, environment_newest(environment));
}

static void compare(const struct placement_host *kept, const struct placement_host *rows)
{
	cr_assert_str_eq(kept->name, rows->name, "seed %" PRIu64, seed);
	cr_assert_str_eq(kept->pool, rows->pool);
	cr_assert_eq(!kept->refusal, !rows->refusal, "seed %" PRIu64 ": %s", seed, kept->name);
	cr_assert_eq(kept->cpu_milli, rows->cpu_milli, "seed %" PRIu64 ": %s", seed, kept->name);
	cr_assert_eq(kept->cpu_free, rows->cpu_free, "seed %" PRIu64 ": %s", seed, kept->name);
	cr_assert_eq(kept->memory_bytes, rows->memory_bytes);
	cr_assert_eq(kept->memory_free, rows->memory_free);
	cr_assert_eq(kept->environments, rows->environments);
	cr_assert_eq(kept->n_gpus, rows->n_gpus);
	for (size_t i = 0; i < kept->n_gpus; i++) {
		cr_assert_str_eq(kept->gpus[i].uuid, rows->gpus[i].uuid);
		cr_assert_str_eq(kept->gpus[i].model, rows->gpus[i].model);
		cr_assert_eq(kept->gpus[i].free_milli, rows->gpus[i].free_milli,
			     "seed %" PRIu64 ": %s", seed, kept->name);
	}
}

/* Whatever is asked for, the same host takes it, with the same GPUs. */
static void compare_choices(const struct placement_host *rows)
{
	static const char *const policies[] = { "least-used", "binpack", "spread" };
	const struct placement_policy *policy =
		placement_policy_find(policies[next(ARRAY_SIZE(policies))]);
	const struct placement_request request = {
		.cpu_milli = 100 * next(20),
		.memory_bytes = next(8) << 28,
		.gpu = (uint32_t)next(3),
		.gpu_milli = (uint32_t)next(2) * 500,
	};
	struct placement_result kept, fresh;
	int r = placement_choose(rows, views.n, &request, policy, &fresh);

	cr_assert_eq(placement_choose(views.hosts, views.n, &request, policy, &kept), r,
		     "seed %" PRIu64, seed);
	if (r < 0)
		return;
	cr_assert_eq(kept.host, fresh.host, "seed %" PRIu64, seed);
	cr_assert_eq(kept.n_gpus, fresh.n_gpus);
	for (size_t i = 0; i < kept.n_gpus; i++)
		cr_assert_eq(kept.gpus[i].index, fresh.gpus[i].index);
}

/* What waits for a place is marked when there may be one: all that have none, and no other. */
static void check_homeless(void)
{
	struct environment_entry *entry;
	size_t without = 0, listed = 0;

	STATE_FOREACH(&state, RECORD_ENVIRONMENT, entry)
	without += !environment_newest(entry)->host[0];
	DL_FOREACH2(state.homeless, entry, homeless_next)
	{
		cr_assert_str_empty(environment_newest(entry)->host, "seed %" PRIu64, seed);
		listed++;
	}
	cr_assert_eq(listed, without, "seed %" PRIu64, seed);
}

static void check(void)
{
	struct placement_host rows[NAMES];
	struct placement_gpu gpus[NAMES][2];
	struct host_entry *entry;
	size_t n = 0;

	cr_assert_eq(host_views_refresh(&views, &state), 0);
	cr_assert_eq(views.n, state_count(&state, RECORD_HOST));
	STATE_FOREACH(&state, RECORD_HOST, entry)
	{
		look_at(entry, gpus[n], &rows[n]);
		compare(&views.hosts[n], &rows[n]);
		cr_assert_eq(views.hosts[n++].userdata, entry);
	}
	compare_choices(rows);
	check_homeless();
}

Test(host_views, what_is_kept_is_what_the_rows_say)
{
	for (seed = 1; seed <= SEEDS; seed++) {
		random_state = seed * 0x9e3779b97f4a7c15 + 1;
		for (unsigned i = 0; i < EDITS; i++) {
			edit();
			if (next(3) == 0)
				check();
		}
	}
}
