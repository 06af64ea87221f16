/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What clients and followers say: each request is checked against the newest versions and edits
 * rows in the open batch; a report goes into memory only. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "lib/clock.h"
#include "lib/log.h"
#include "schedd/report_news.h"
#include "schedd/scheduler_private.h"

/* So often a host's report leads to a look at all of its environments, whatever it says. */
#define LOOK_MS 60000
/* Of a number that may have thousandths. */
#define NUMBER_FORMAT (JSON_ENCODE_ANY | JSON_REAL_PRECISION(12))

static int no_memory(struct error *err)
{
	return error_set(err, -ENOMEM, "internal", NULL, "out of memory");
}

/* ---- create ---- */

static int check_name(const struct scheduler *scheduler, const struct environment_spec *spec,
		      struct error *err)
{
	const struct environment_entry *other =
		state_environment_named(&scheduler->state, spec->customer, spec->name);

	if (!other)
		return 0;
	return error_set(err, -EEXIST, "conflict", "name",
			 "name: \"%s\" is the name of %s, which is %s", spec->name, other->entry.id,
			 phase_name(environment_newest(other)->phase));
}

static int check_customer(const struct scheduler *scheduler, const struct environment_spec *spec,
			  struct error *err)
{
	const struct customer_entry *owner =
		spec->customer ? state_customer(&scheduler->state, spec->customer) : NULL;

	if (!spec->customer || (owner && !entry_newest(&owner->entry)->gone))
		return 0;
	return error_set(err, -EINVAL, "invalid", "customer",
			 "customer: there is no customer \"%s\"; make it first", spec->customer);
}

static int check_quota(const struct scheduler *scheduler, const struct environment_spec *spec,
		       struct error *err)
{
	_cleanup_free_ char *limit = NULL, *used = NULL, *asked = NULL;
	_cleanup_json_ json_t *excess = NULL;
	const char *name;

	if (scheduler_excess(scheduler, spec, &excess) < 0)
		return no_memory(err);
	if (!excess)
		return 0;
	name = json_string_value(json_object_get(excess, "quota"));
	limit = json_dumps(json_object_get(excess, "limit"), JSON_ENCODE_ANY);
	used = json_dumps(json_object_get(excess, "used"), NUMBER_FORMAT);
	asked = json_dumps(json_object_get(excess, "requested"), NUMBER_FORMAT);
	if (!limit || !used || !asked)
		return no_memory(err);
	return error_set(err, -ENOSPC, "quota_exceeded", name,
			 "%s: customer %s may have %s, has %s, and this asks for %s more", name,
			 spec->customer, limit, used, asked);
}

static int check_policy(const struct environment_spec *spec, struct error *err)
{
	if (!spec->policy || placement_policy_find(spec->policy))
		return 0;
	return error_set(err, -EINVAL, "invalid", "policy", "policy: \"%s\" is none of %s",
			 spec->policy, placement_policy_names());
}

static int explain_port(int r, const struct scheduler *scheduler, const struct service *service,
			size_t i, struct error *err)
{
	char field[ERROR_FIELD_MAX];

	(void)snprintf(field, sizeof(field), "services[%zu].external_port", i);
	switch (r) {
	case -ERANGE:
		return error_set(err, r, "out_of_range", field, "%s: %u is outside %u-%u", field,
				 service->external_port, scheduler->pool.first,
				 scheduler->pool.last);
	case -EEXIST:
		return error_set(err, r, "conflict", field,
				 "%s: %u is taken, or rests in quarantine", field,
				 service->external_port);
	default:
		return error_set(err, -ENOSPC, "no_ports", "services",
				 "services: no %s port is free in %u-%u",
				 protocol_name(service->protocol), scheduler->pool.first,
				 scheduler->pool.last);
	}
}

/* Takes a port for each service out of the pool. After an error none is taken. */
static int take_ports(struct scheduler *scheduler, const struct environment_spec *spec,
		      struct mapping_key *keys, struct error *err)
{
	struct port_pool *pool = &scheduler->state.pool;

	for (size_t i = 0; i < spec->n_services; i++) {
		int r = port_pool_find(pool, spec->services[i].protocol,
				       spec->services[i].external_port, &keys[i]);

		if (r < 0) {
			while (i-- > 0)
				port_pool_give(pool, &keys[i]);
			return explain_port(r, scheduler, &spec->services[i + 1], i + 1, err);
		}
		port_pool_take(pool, &keys[i]);
	}
	return 0;
}

static int add_port(struct state *state, const struct environment *environment,
		    const struct service *service, const struct mapping_key *key)
{
	struct port *port = port_new();

	if (!port)
		return -ENOMEM;
	port->key = *key;
	port->state = PORT_RESERVED;
	port->since = environment->phase_since;
	(void)snprintf(port->environment, sizeof(port->environment), "%s", environment->origin->id);
	(void)snprintf(port->service, sizeof(port->service), "%s", service->name);
	return state_add(state, &port->record, NULL);
}

/* Adds the rows. A failure leaves some of them: the caller abandons the batch. */
static int add_rows(struct scheduler *scheduler, struct environment *environment,
		    const struct mapping_key *keys, struct entry **ret)
{
	const struct environment_spec *spec = &environment->origin->spec;
	int r = state_add(&scheduler->state, &environment->record, ret);

	for (size_t i = 0; i < spec->n_services && r == 0; i++)
		r = add_port(&scheduler->state, environment, &spec->services[i], &keys[i]);
	return r;
}

static int check_deadline(const struct environment_spec *spec, struct error *err)
{
	if (spec->expires_at == 0 || spec->expires_at > clock_unix_seconds())
		return 0;
	return error_set(err, -ERANGE, "out_of_range", "expires_at",
			 "expires_at: that time has passed");
}

static int check_capacity(struct scheduler *scheduler, const struct environment_spec *spec,
			  struct error *err)
{
	char reason[REASON_MAX] = "";
	int r;

	if (spec->queue)
		return 0;
	r = candidates_try(scheduler, spec, NULL, reason);
	if (r == -ENOSPC)
		return error_set(err, r, "no_capacity", NULL, "%s", reason);
	return r < 0 ? no_memory(err) : 0;
}

int scheduler_create(struct scheduler *scheduler, struct environment *environment,
		     const char *actor, scheduler_done done, void *userdata, struct error *err)
{
	_cleanup_(cleanup_environment) struct environment *owned = environment;
	const struct environment_spec *spec = &environment->origin->spec;
	struct mapping_key keys[ENVIRONMENT_SERVICES_MAX];
	struct entry *entry;
	int r;

	r = scheduler_ready(scheduler, err);
	if (r == 0)
		r = check_customer(scheduler, spec, err);
	if (r == 0)
		r = check_name(scheduler, spec, err);
	if (r == 0)
		r = check_quota(scheduler, spec, err);
	if (r == 0)
		r = check_policy(spec, err);
	if (r == 0)
		r = check_deadline(spec, err);
	if (r == 0)
		r = check_capacity(scheduler, spec, err);
	if (r == 0)
		r = take_ports(scheduler, spec, keys, err);
	if (r < 0)
		return r;
	environment->phase = PHASE_PENDING;
	environment->stage = STAGE_PLACING;
	environment->power = true;
	environment->expires_at = spec->expires_at;
	environment->phase_since = clock_unix_seconds();
	environment->origin->created_at = environment->phase_since;
	r = add_rows(scheduler, TAKE_PTR(owned), keys, &entry);
	if (r == 0)
		r = scheduler_wait(scheduler, entry->id, done, userdata);
	if (r < 0) {
		scheduler_abandon_open(scheduler, -ENOMEM, "internal", "out of memory");
		return no_memory(err);
	}
	state_audit(&scheduler->state, entry, actor, "create", "name=%s image=%s", spec->name,
		    spec->image);
	state_mark(&scheduler->state, (struct environment_entry *)entry);
	return 0;
}

/* ---- delete ---- */

int scheduler_delete(struct scheduler *scheduler, const char *id, const char *actor,
		     scheduler_done done, void *userdata, struct error *err)
{
	struct environment_entry *entry;
	struct environment *environment;
	enum environment_phase phase;
	int r = scheduler_ready(scheduler, err);

	if (r < 0)
		return r;
	entry = state_environment(&scheduler->state, id);
	if (!entry || environment_newest(entry)->record.gone)
		return error_set(err, -ENOENT, "not_found", "environment",
				 "there is no environment %s", id);
	r = scheduler_wait(scheduler, id, done, userdata);
	if (r < 0)
		return no_memory(err);
	phase = environment_newest(entry)->phase;
	if (phase == PHASE_DELETING || phase == PHASE_DELETED)
		return 0;
	environment = state_edit_environment(&scheduler->state, entry);
	if (!environment) {
		scheduler_abandon_open(scheduler, -ENOMEM, "internal", "out of memory");
		return 0; /* done was called with the error */
	}
	environment->phase = PHASE_DELETING;
	environment->stage = STAGE_NONE;
	environment->phase_since = clock_unix_seconds();
	environment->reason[0] = '\0';
	state_audit(&scheduler->state, &entry->entry, actor, "delete", "name=%s",
		    environment->origin->spec.name);
	state_mark(&scheduler->state, entry);
	return 0;
}

/* ---- registrations ---- */

/* Are two registrations the same text? */
static bool same(json_t *a, json_t *b)
{
	bool equal = a && b && json_equal(a, b);

	json_decref(a);
	json_decref(b);
	return equal;
}

static int add_host(struct scheduler *scheduler, struct host_registration *registration,
		    struct host_entry **ret)
{
	struct host *host = host_new();
	struct entry *entry;
	int r;

	if (!host)
		return -ENOMEM;
	host->origin->registration = *registration;
	*registration = (struct host_registration){ 0 };
	host->online = true;
	host->status_since = clock_unix_seconds();
	host->mode_since = host->status_since;
	r = state_add(&scheduler->state, &host->record, &entry);
	if (r < 0)
		return r;
	*ret = (struct host_entry *)entry;
	/* It may have been here before, and still follow what it was told then. */
	(*ret)->lost_revision = state_open_revision(&scheduler->state);
	return 0;
}

static int renew_host(struct scheduler *scheduler, struct host_entry *entry,
		      struct host_registration *registration)
{
	struct host *host = state_edit_host(&scheduler->state, entry);
	struct host_origin *origin = host ? host_renew_origin(host) : NULL;

	if (!origin)
		return -ENOMEM;
	origin->registration = *registration;
	*registration = (struct host_registration){ 0 };
	return scheduler_place_anew(scheduler, entry);
}

/* Its row goes with a commit that is on its way: nothing may follow from what it says now. */
static int check_removal(const struct entry *entry, struct error *err)
{
	if (!entry_newest(entry)->gone)
		return 0;
	return error_set(err, -EAGAIN, "unavailable", NULL, "%s %s is being removed",
			 record_kind_name(entry->kind), entry->id);
}

static void host_seen(struct host_entry *entry)
{
	entry->last_seen_ms = entry->lease_from_ms = clock_monotonic_ms();
}

int scheduler_register_host(struct scheduler *scheduler, struct host_registration *registration,
			    const char *actor, scheduler_done done, void *userdata,
			    struct error *err)
{
	char name[FOLLOWER_NAME_MAX + 1];
	struct host_entry *entry;
	int r = scheduler_ready(scheduler, err);

	if (r < 0)
		return r;
	(void)snprintf(name, sizeof(name), "%s", registration->name);
	entry = state_host(&scheduler->state, name);
	r = entry ? check_removal(&entry->entry, err) : 0;
	if (r < 0)
		return r;
	if (scheduler_wait(scheduler, name, done, userdata) < 0)
		return no_memory(err);
	if (entry && same(host_registration_encode(registration),
			  host_registration_encode(&host_newest(entry)->origin->registration))) {
		host_seen(entry);
		scheduler->followers_changed |=
			!host_newest(entry)->online || host_newest(entry)->silent_ms > 0;
		return 0;
	}
	r = entry ? renew_host(scheduler, entry, registration)
		  : add_host(scheduler, registration, &entry);
	if (r < 0) {
		scheduler_abandon_open(scheduler, -ENOMEM, "internal", "out of memory");
		return 0; /* done was called with the error */
	}
	host_seen(entry);
	scheduler->followers_changed = true;
	scheduler->capacity_changed = true;
	state_audit(&scheduler->state, &entry->entry, actor, "register",
		    "cpu_milli=%" PRIu64 " memory_bytes=%" PRIu64 " gpus=%zu",
		    host_newest(entry)->origin->registration.capacity.cpu_milli,
		    host_newest(entry)->origin->registration.capacity.memory_bytes,
		    host_newest(entry)->origin->registration.capacity.n_gpus);
	return 0;
}

static int add_gateway(struct scheduler *scheduler, struct gateway_registration *registration,
		       struct gateway_entry **ret)
{
	struct gateway *gateway = gateway_new();
	struct entry *entry;
	int r;

	if (!gateway)
		return -ENOMEM;
	gateway->origin->registration = *registration;
	*registration = (struct gateway_registration){ 0 };
	gateway->online = true;
	gateway->status_since = clock_unix_seconds();
	gateway->addresses_revision = state_open_revision(&scheduler->state);
	r = state_add(&scheduler->state, &gateway->record, &entry);
	if (r == 0)
		*ret = (struct gateway_entry *)entry;
	return r;
}

static int renew_gateway(struct scheduler *scheduler, struct gateway_entry *entry,
			 struct gateway_registration *registration)
{
	struct gateway *gateway = state_edit_gateway(&scheduler->state, entry);
	struct gateway_origin *origin = gateway ? gateway_renew_origin(gateway) : NULL;

	if (!origin)
		return -ENOMEM;
	origin->registration = *registration;
	*registration = (struct gateway_registration){ 0 };
	gateway->addresses_revision = state_open_revision(&scheduler->state);
	return 0;
}

int scheduler_register_gateway(struct scheduler *scheduler,
			       struct gateway_registration *registration, const char *actor,
			       scheduler_done done, void *userdata, struct error *err)
{
	char name[FOLLOWER_NAME_MAX + 1];
	struct gateway_entry *entry;
	int r = scheduler_ready(scheduler, err);

	if (r < 0)
		return r;
	(void)snprintf(name, sizeof(name), "%s", registration->name);
	entry = state_gateway(&scheduler->state, name);
	r = entry ? check_removal(&entry->entry, err) : 0;
	if (r < 0)
		return r;
	if (scheduler_wait(scheduler, name, done, userdata) < 0)
		return no_memory(err);
	if (entry &&
	    same(gateway_registration_encode(registration),
		 gateway_registration_encode(&gateway_newest(entry)->origin->registration))) {
		entry->last_seen_ms = clock_monotonic_ms();
		scheduler->followers_changed |= !gateway_newest(entry)->online;
		return 0;
	}
	r = entry ? renew_gateway(scheduler, entry, registration)
		  : add_gateway(scheduler, registration, &entry);
	if (r < 0) {
		scheduler_abandon_open(scheduler, -ENOMEM, "internal", "out of memory");
		return 0; /* done was called with the error */
	}
	entry->last_seen_ms = clock_monotonic_ms();
	scheduler->followers_changed = true;
	scheduler->ports_changed = true;
	state_mark_all(&scheduler->state);
	state_audit(&scheduler->state, &entry->entry, actor, "register", "addresses=%zu",
		    gateway_newest(entry)->origin->registration.n_addresses);
	return 0;
}

/* ---- reports ---- */

static int check_epoch(const struct scheduler *scheduler, uint64_t epoch, struct error *err)
{
	/* A leader takes reports without its database, too: who reports is not silent. */
	if (scheduler->standby)
		return scheduler_ready(scheduler, err);
	if (epoch == scheduler->state.epoch)
		return 0;
	return error_set(err, -ESTALE, "stale_epoch", "epoch",
			 "epoch: the report follows epoch %" PRIu64 ", this is epoch %" PRIu64,
			 epoch, scheduler->state.epoch);
}

/* A report without news is a heartbeat. All the same everything is looked at now and then. */
static void mark_news(struct scheduler *scheduler, struct host_entry *host,
		      const struct host_report *before)
{
	uint64_t now_ms = clock_monotonic_ms();
	bool all = !host->reported || now_ms - host->looked_ms >= LOOK_MS;
	struct environment_entry *entry;

	if (all)
		host->looked_ms = now_ms;
	DL_FOREACH2(host->environments, entry, host_next)
	{
		if (all || report_has_news(before, &host->report, environment_newest(entry)))
			state_mark(&scheduler->state, entry);
	}
}

int scheduler_report_host(struct scheduler *scheduler, const char *id, struct host_report *report,
			  struct error *err)
{
	struct host_entry *entry = state_host(&scheduler->state, id);
	struct host_report before;
	int r;

	if (!entry || !host_committed(entry))
		return error_set(err, -ENOENT, "not_found", "host", "host %s is not registered",
				 id);
	r = check_removal(&entry->entry, err);
	if (r == 0)
		r = check_epoch(scheduler, report->epoch, err);
	if (r < 0)
		return r;
	before = entry->report;
	entry->report = *report;
	*report = (struct host_report){ 0 };
	report_sort(&entry->report);
	mark_news(scheduler, entry, &before);
	host_report_clear(&before);
	entry->reported = true;
	host_seen(entry);
	entry->last_heartbeat = clock_unix_seconds();
	scheduler->followers_changed |=
		!host_newest(entry)->online || host_newest(entry)->silent_ms > 0;
	if (scheduler->state.dirty || scheduler->followers_changed)
		scheduler_wake(scheduler);
	return 0;
}

int scheduler_report_gateway(struct scheduler *scheduler, const char *id,
			     struct gateway_report *report, struct error *err)
{
	struct gateway_entry *entry = state_gateway(&scheduler->state, id);
	int r;

	if (!entry || !gateway_committed(entry))
		return error_set(err, -ENOENT, "not_found", "gateway",
				 "gateway %s is not registered", id);
	r = check_removal(&entry->entry, err);
	if (r == 0)
		r = check_epoch(scheduler, report->epoch, err);
	if (r < 0)
		return r;
	gateway_report_clear(&entry->report);
	entry->report = *report;
	*report = (struct gateway_report){ 0 };
	entry->reported = true;
	entry->last_seen_ms = clock_monotonic_ms();
	entry->last_heartbeat = clock_unix_seconds();
	scheduler->followers_changed |= !gateway_newest(entry)->online;
	state_mark_waiting(&scheduler->state);
	scheduler->ports_changed |= scheduler->ports_wait;
	scheduler_wake(scheduler);
	return 0;
}
