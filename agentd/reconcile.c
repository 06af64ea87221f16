/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The table of environments, and the list of those to look at in the next turn of the loop. */
#include "agentd/reconcile.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <utlist.h>

#include "agentd/entry.h"
#include "lib/log.h"
#include "lib/loop.h"

struct reconcile {
	struct entry_context context; /* the first member: entries know no other */
	struct entry *entries;        /* by environment, in order of arrival */
	struct entry *dirty;
	struct event turn;
	bool looked;
	char *engine_error;
	void (*on_change)(void *userdata);
	void *userdata;
};

static struct reconcile *reconcile_of(struct entry_context *context)
{
	return (struct reconcile *)context;
}

static void look_again(struct entry *entry)
{
	struct reconcile *reconcile = reconcile_of(entry->context);

	if (!entry->dirty) {
		entry->dirty = true;
		DL_APPEND(reconcile->dirty, entry);
	}
	(void)loop_timer_arm(&reconcile->turn, 0);
}

static void look_at_all(struct reconcile *reconcile)
{
	struct entry *entry, *next;

	HASH_ITER (hh, reconcile->entries, entry, next)
		look_again(entry);
}

static void on_turn(struct entry_context *context)
{
	struct reconcile *reconcile = reconcile_of(context);
	struct entry *entry, *next;

	HASH_ITER (hh, reconcile->entries, entry, next)
		if (entry->queued)
			look_again(entry);
}

static void on_change(struct entry_context *context)
{
	struct reconcile *reconcile = reconcile_of(context);

	reconcile->on_change(reconcile->userdata);
}

static void drop(struct reconcile *reconcile, struct entry *entry)
{
	if (entry->dirty)
		DL_DELETE(reconcile->dirty, entry);
	HASH_DEL(reconcile->entries, entry);
	entry_free(entry);
}

static void take_turn(evutil_socket_t fd, short what, void *userdata)
{
	struct reconcile *reconcile = userdata;
	struct entry *entry, *next;

	DL_FOREACH_SAFE(reconcile->dirty, entry, next)
	{
		DL_DELETE(reconcile->dirty, entry);
		entry->dirty = false;
		if (entry_step(entry))
			continue;
		log_info(entry->subject, "is gone");
		drop(reconcile, entry);
		reconcile->on_change(reconcile->userdata);
	}
}

static struct entry *find(struct reconcile *reconcile, const char *environment)
{
	struct entry *entry;

	HASH_FIND_STR(reconcile->entries, environment, entry);
	return entry;
}

static struct entry *find_or_add(struct reconcile *reconcile, const char *environment)
{
	struct entry *entry = find(reconcile, environment);

	if (entry)
		return entry;
	if (entry_new(&entry, &reconcile->context, environment) < 0)
		return NULL;
	HASH_ADD_KEYPTR(hh, reconcile->entries, entry->environment, strlen(entry->environment),
			entry);
	if (!entry->hh.tbl) {
		entry_free(entry);
		return NULL;
	}
	return entry;
}

/* ---- the driver's events ---- */

static void on_instance(void *userdata, const struct instance *instance)
{
	struct reconcile *reconcile = userdata;
	struct entry *entry = find_or_add(reconcile, instance->environment);

	if (!entry || entry_observe(entry, instance) < 0)
		log_error(NULL, "cannot follow a container: out of memory container=%.12s",
			  instance->id);
}

static void on_gone(void *userdata, const char *environment, const char *id)
{
	struct entry *entry = find(userdata, environment);

	if (entry)
		entry_gone(entry, id);
}

static void on_synced(void *userdata)
{
	struct reconcile *reconcile = userdata;

	if (!reconcile->looked) {
		log_info("docker", "seen in full containers=%u", HASH_COUNT(reconcile->entries));
		reconcile->on_change(reconcile->userdata);
	}
	reconcile->looked = true;
	look_at_all(reconcile);
}

/* A failure while the engine was away says nothing about the step: no delay once it is back. */
static void on_engine(void *userdata, const char *error)
{
	struct reconcile *reconcile = userdata;
	struct entry *entry, *next;

	reconcile->context.able = !error;
	if (error && (!reconcile->engine_error || strcmp(error, reconcile->engine_error) != 0))
		log_error("docker", "%s", error);
	if (!error)
		log_info("docker", "answers");
	free(reconcile->engine_error);
	reconcile->engine_error = error ? strdup(error) : NULL;
	HASH_ITER (hh, reconcile->entries, entry, next)
		if (!error)
			entry_hurry(entry);
		else
			look_again(entry);
	reconcile->on_change(reconcile->userdata);
}

/* ---- the watch stream ---- */

static int put_item(struct reconcile *reconcile, json_t *item)
{
	_cleanup_(cleanup_desired) struct desired *desired = NULL;
	struct error err = ERROR_INIT;
	struct entry *entry;
	int r;

	r = desired_new(&desired, item, reconcile->context.driver, &err);
	if (r == -ENOMEM)
		return r;
	if (r < 0) {
		log_error(NULL, "cannot read an assignment: %s", error_text(&err, r));
		return r;
	}
	entry = find_or_add(reconcile, desired->assignment.environment);
	if (!entry)
		return -ENOMEM;
	if (desired->refusal)
		log_warning(entry->subject, "cannot run here: %s", desired->refusal);
	entry->marked = true;
	entry_assign(entry, TAKE_PTR(desired));
	return 0;
}

/* Nobody knows what an item that cannot be read wanted: nothing is unwanted then. Asked for again
 * it would be the same, so only what memory was missing for is lost. */
static int put_items(struct reconcile *reconcile, json_t *items, bool *complete)
{
	json_t *item;
	int lost = 0;
	size_t i;

	json_array_foreach (items, i, item) {
		int r = put_item(reconcile, item);

		if (r < 0)
			*complete = false;
		if (r == -ENOMEM)
			lost = r;
	}
	return lost;
}

int reconcile_snapshot(struct reconcile *reconcile, uint64_t epoch, json_t *items)
{
	struct entry *entry, *next;
	bool complete = true;
	int r;

	reconcile->context.epoch = epoch;
	HASH_ITER (hh, reconcile->entries, entry, next)
		entry->marked = false;
	r = put_items(reconcile, items, &complete);
	if (complete)
		HASH_ITER (hh, reconcile->entries, entry, next)
			if (!entry->marked && entry->desired)
				entry_assign(entry, NULL);
	reconcile->context.complete = complete;
	look_at_all(reconcile);
	reconcile->on_change(reconcile->userdata);
	return r;
}

int reconcile_apply(struct reconcile *reconcile, uint64_t epoch, json_t *put, json_t *deleted)
{
	json_t *item;
	size_t i;
	int r;

	reconcile->context.epoch = epoch;
	json_array_foreach (deleted, i, item) {
		const char *environment = json_string_value(json_object_get(item, "environment"));
		struct entry *entry = environment ? find(reconcile, environment) : NULL;

		if (entry)
			entry_assign(entry, NULL);
	}
	r = put_items(reconcile, put, &reconcile->context.complete);
	reconcile->on_change(reconcile->userdata);
	return r;
}

void reconcile_renew(struct reconcile *reconcile)
{
	struct entry *entry, *next;

	HASH_ITER (hh, reconcile->entries, entry, next)
		entry_renew(entry);
}

/* ---- what is told ---- */

bool reconcile_looked(const struct reconcile *reconcile)
{
	return reconcile->looked;
}

const char *reconcile_engine_error(const struct reconcile *reconcile)
{
	return reconcile->engine_error;
}

static int report_services(const struct entry *entry, struct container_report *report)
{
	const struct environment_spec *spec = &entry->desired->assignment.spec;

	report->services = calloc(MAX(spec->n_services, (size_t)1), sizeof(*report->services));
	if (!report->services)
		return -ENOMEM;
	for (size_t i = 0; i < spec->n_services; i++) {
		const struct instance_port *port =
			instance_find_port(&entry->instance, &spec->services[i]);
		struct service_endpoint *service = &report->services[report->n_services];

		if (!port)
			continue;
		service->service = strdup(spec->services[i].name);
		if (!service->service)
			return -ENOMEM;
		service->protocol = port->protocol;
		service->endpoint = port->endpoint;
		report->n_services++;
	}
	return 0;
}

static int report_entry(const struct entry *entry, struct container_report *report)
{
	bool running = entry->state == CONTAINER_STARTING || entry->state == CONTAINER_READY;

	report->environment = strdup(entry->environment);
	report->revision = entry->desired ? entry->desired->assignment.revision : 0;
	report->state = entry->state;
	report->exit_code = entry->ends.exit_code;
	report->crashes = entry->ends.count;
	report->next_try = entry->ends.next_try;
	if (entry->reason[0] != '\0')
		report->reason = strdup(entry->reason);
	if (!report->environment || (entry->reason[0] != '\0' && !report->reason))
		return -ENOMEM;
	if (running && entry->exists && entry->desired)
		return report_services(entry, report);
	return 0;
}

int reconcile_report(const struct reconcile *reconcile, struct host_report *report)
{
	size_t n = HASH_COUNT(reconcile->entries);
	struct entry *entry, *next;

	report->containers = calloc(MAX(n, (size_t)1), sizeof(*report->containers));
	if (!report->containers)
		return -ENOMEM;
	HASH_ITER (hh, reconcile->entries, entry, next) {
		int r = report_entry(entry, &report->containers[report->n_containers++]);

		if (r < 0)
			return r;
	}
	return 0;
}

void reconcile_count(const struct reconcile *reconcile, size_t counts[CONTAINER_STATE_MAX])
{
	struct entry *entry, *next;

	memset(counts, 0, CONTAINER_STATE_MAX * sizeof(*counts));
	HASH_ITER (hh, reconcile->entries, entry, next)
		counts[entry->state]++;
}

/* ---- life ---- */

int reconcile_new(struct reconcile **ret, const struct reconcile_config *config)
{
	static const struct driver_events events = {
		.on_instance = on_instance,
		.on_gone = on_gone,
		.on_synced = on_synced,
		.on_engine = on_engine,
	};
	_cleanup_(cleanup_reconcile) struct reconcile *reconcile = calloc(1, sizeof(*reconcile));
	int r;

	if (!reconcile)
		return -ENOMEM;
	reconcile->context = (struct entry_context){
		.base = config->base,
		.driver = config->driver,
		.seconds = config->seconds,
		.lease = config->lease,
		.data_dir = config->data_dir,
		.parallel = config->parallel,
		.look_again = look_again,
		.on_turn = on_turn,
		.on_change = on_change,
	};
	reconcile->on_change = config->on_change;
	reconcile->userdata = config->userdata;
	evtimer_assign(&reconcile->turn, config->base, take_turn, reconcile);
	r = config->driver->ops->start(config->driver, &events, reconcile);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(reconcile);
	return 0;
}

void reconcile_free(struct reconcile *reconcile)
{
	struct entry *entry, *next;

	if (!reconcile)
		return;
	HASH_ITER (hh, reconcile->entries, entry, next)
		drop(reconcile, entry);
	event_del(&reconcile->turn);
	free(reconcile->engine_error);
	free(reconcile);
}
