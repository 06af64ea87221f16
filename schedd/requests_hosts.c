/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What makes environments leave a host at once. Its removal: by force it takes what is on it along;
 * what finds its data elsewhere is placed anew, once the host's lease is over; what does not has
 * failed. And a host that becomes less while places on it are on their way into a commit. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "lib/clock.h"
#include "schedd/scheduler_private.h"

/* Its data is on other hosts as well, and this one has stopped it, or will have, by its lease. */
static bool runs_by_lease(const struct scheduler *scheduler, const struct environment *environment)
{
	return scheduler->config.lease_ms > 0 &&
	       environment_spec_is_movable(&environment->origin->spec);
}

/* Only what is stopped is proven not to run. That it is to stop, or to be deleted, has not reached
 * a host that is not heard of. */
static bool may_run(const struct environment *environment)
{
	return environment->power || environment->phase != PHASE_STOPPED;
}

static int check_lease(const struct scheduler *scheduler, const struct host_entry *host,
		       struct error *err)
{
	uint64_t left_ms = scheduler_lease_left_ms(scheduler, host, clock_monotonic_ms());
	const struct environment_entry *entry;

	DL_FOREACH2(host->environments, entry, host_next)
	{
		const struct environment *environment = environment_newest(entry);

		if (left_ms > 0 && may_run(environment) && runs_by_lease(scheduler, environment))
			return error_set(err, -EBUSY, "in_use", NULL,
					 "host %s may still run %s, by a lease: try again in "
					 "%" PRIu64 " s",
					 host->entry.id, environment->origin->spec.name,
					 left_ms / 1000 + 1);
	}
	return 0;
}

static int check(const struct scheduler *scheduler, const struct host_entry *host, bool force,
		 struct error *err)
{
	const char *id = host->entry.id;
	unsigned n = host->newest.environments;

	if (n == 0)
		return 0;
	if (!force)
		return error_set(
			err, -EBUSY, "in_use", NULL,
			"host %s has %u environments: drain it, move or delete them; or, if "
			"it never returns, remove it by force: schedctl host delete --force",
			id, n);
	if (host_newest(host)->online)
		return error_set(
			err, -EBUSY, "in_use", NULL,
			"host %s is heard of, and has %u environments: stop its agent first", id,
			n);
	return check_lease(scheduler, host, err);
}

/* What becomes of it is decided by the row alone, as ever; only that its data is lost is said here.
 */
static int leave(struct scheduler *scheduler, struct environment_entry *entry, const char *host,
		 const char *actor)
{
	struct state *state = &scheduler->state;
	struct environment *environment = state_edit_environment(state, entry);
	bool kept;

	if (!environment || state_release(state, entry) < 0)
		return -ENOMEM;
	kept = runs_by_lease(scheduler, environment);
	if (kept && environment->phase == PHASE_STOPPED && lifecycle_has_ended(environment))
		environment->power = false; /* elsewhere it would begin anew */
	environment->assignment = ASSIGNMENT_NONE;
	environment->assignment_revision = state_open_revision(state);
	state_audit(state, &entry->entry, actor, "lost", "host %s was removed%s", host,
		    kept ? "" : ", and what was on it");
	if (environment->power && environment->phase != PHASE_DELETING && !kept) {
		environment->phase = PHASE_FAILED;
		environment->stage = STAGE_NONE;
		environment->action = ACTION_NONE;
		environment->move_to[0] = '\0';
		environment->phase_since = clock_unix_seconds();
		(void)snprintf(environment->reason, sizeof(environment->reason),
			       "its host %s was removed, and what was on it: starting it makes it "
			       "anew",
			       host);
	}
	state_mark(state, entry);
	return 0;
}

static int remove_host(struct scheduler *scheduler, struct host_entry *entry, const char *actor)
{
	unsigned n = entry->newest.environments;
	struct host *host;

	while (entry->environments)
		if (leave(scheduler, entry->environments, entry->entry.id, actor) < 0)
			return -ENOMEM;
	host = state_edit_host(&scheduler->state, entry);
	if (!host)
		return -ENOMEM;
	host->record.gone = true;
	state_audit(&scheduler->state, &entry->entry, actor, "delete", "environments=%u", n);
	scheduler->capacity_changed = true;
	return scheduler_remove_tokens(scheduler, ROLE_HOST, entry->entry.id, actor,
				       "its host was removed");
}

int scheduler_delete_host(struct scheduler *scheduler, const char *id, bool force,
			  const char *actor, scheduler_done done, void *userdata, struct error *err)
{
	struct host_entry *entry;
	int r = scheduler_ready(scheduler, err);

	if (r < 0)
		return r;
	entry = state_host(&scheduler->state, id);
	if (!entry || host_newest(entry)->record.gone)
		return error_set(err, -ENOENT, "not_found", "host", "there is no host %s", id);
	r = check(scheduler, entry, force, err);
	if (r < 0)
		return r;
	if (scheduler_wait(scheduler, id, done, userdata) < 0)
		return error_set(err, -ENOMEM, "internal", NULL, "out of memory");
	if (remove_host(scheduler, entry, actor) < 0)
		/* done is called with the error */
		scheduler_abandon_open(scheduler, -ENOMEM, "internal", "out of memory");
	return 0;
}

/* ---- a host that becomes less ---- */

static bool is_new_here(const struct environment_entry *entry)
{
	const struct entry *row = &entry->entry;
	const struct environment *before =
		(const struct environment *)(row->flight ? row->flight : row->committed);

	return row->draft && (!before || strcmp(before->host, entry->host->entry.id) != 0);
}

int scheduler_place_anew(struct scheduler *scheduler, struct host_entry *host)
{
	struct state *state = &scheduler->state;
	struct environment_entry *entry, *next;

	DL_FOREACH_SAFE2(host->environments, entry, next, host_next)
	{
		struct environment *environment;

		if (!is_new_here(entry))
			continue;
		environment = state_edit_environment(state, entry);
		if (!environment || state_release(state, entry) < 0)
			return -ENOMEM;
		environment->assignment = ASSIGNMENT_NONE;
		environment->assignment_revision = state_open_revision(state);
		if (environment->phase != PHASE_DELETING) {
			environment->phase = PHASE_PENDING;
			environment->stage = STAGE_PLACING;
		}
		state_mark(state, entry);
	}
	return 0;
}
