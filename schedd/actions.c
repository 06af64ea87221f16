/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What clients ask of what is there: environments are started, stopped, restarted, moved and
 * extended, hosts get another mode. Each request only writes down the wish, in the open batch; the
 * reconciler does the rest. Repeating one is no error. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "lib/clock.h"
#include "schedd/scheduler_private.h"

/* What a request would write into the row. */
struct wish {
	bool power;
	enum environment_action action;
	const char *move_to;
	int64_t expires_at;
};

static int conflict(struct error *err, const char *field, const char *format, ...) _printf_(3, 4);

static int conflict(struct error *err, const char *field, const char *format, ...)
{
	char message[ERROR_MESSAGE_MAX];
	va_list arguments;

	va_start(arguments, format);
	(void)vsnprintf(message, sizeof(message), format, arguments);
	va_end(arguments);
	return error_set(err, -EEXIST, "conflict", field, "%s", message);
}

static const char *name_of(const struct environment *environment)
{
	return environment->origin->spec.name;
}

/* ---- what each verb asks for ---- */

static int wish_start(const struct environment *environment, struct wish *wish, struct error *err)
{
	bool ended = environment->phase == PHASE_STOPPED || environment->phase == PHASE_FAILED;
	char at[TIME_STRING_MAX];

	if (environment->expires_at > 0 && environment->expires_at <= clock_unix_seconds())
		return conflict(err, NULL, "the time of %s was over at %s: extend it first",
				name_of(environment), time_format(environment->expires_at, at));
	/* One that ended by itself is still wanted to run: it gets another go. */
	if (environment->power && ended && environment->action == ACTION_NONE)
		wish->action = ACTION_RESTART;
	wish->power = true;
	return 0;
}

static int wish_restart(const struct environment *environment, struct wish *wish, struct error *err)
{
	if (!environment->power)
		return conflict(err, NULL, "%s is stopped: start it", name_of(environment));
	/* To move is to be started anew; what has no host yet runs nowhere, and what was lost with
	 * its host gets no other without being asked for. */
	if (environment->action == ACTION_NONE &&
	    (environment->host[0] || environment->phase == PHASE_FAILED))
		wish->action = ACTION_RESTART;
	return 0;
}

/* Anywhere else, or on the host that was asked for: then that one's reason counts, and only where
 * it is one of room is room what is missing. */
static int check_room(struct scheduler *scheduler, const struct environment_entry *entry,
		      const struct host_entry *target, struct error *err)
{
	const struct environment_spec *spec = &environment_newest(entry)->origin->spec;
	const struct candidates_wish wish = { .avoid = entry->host };
	char reason[REASON_MAX] = "";
	int r = target ? candidates_ask(scheduler, spec, target, reason)
		       : candidates_try(scheduler, spec, &wish, reason);

	if (r == -EBUSY)
		return conflict(err, "host", "host: %s", reason);
	if (r == -ENOSPC)
		return error_set(err, r, "no_capacity", target ? "host" : NULL, "%s%s",
				 target ? "host: " : "", reason);
	return r < 0 ? error_set(err, r, "internal", NULL, "out of memory") : 0;
}

static int wish_move(struct scheduler *scheduler, const struct environment_entry *entry,
		     const char *host, struct wish *wish, struct error *err)
{
	const struct environment *environment = environment_newest(entry);
	const struct host_entry *target = host ? state_host(&scheduler->state, host) : NULL;
	bool runs = environment->power && !lifecycle_has_ended(environment);

	/* One whose removal is on its way is none any more: room there is not what is missing. */
	if (host && (!target || host_newest(target)->record.gone))
		return error_set(err, -ENOENT, "not_found", "host", "host: there is no host %s",
				 host);
	if (!environment_spec_is_movable(&environment->origin->spec))
		return conflict(err, "volumes",
				"%s cannot move: only what has volumes, and all of them shared, "
				"finds its data on another host",
				name_of(environment));
	if (!entry->host)
		return conflict(err, NULL, "%s is on no host: there is nothing to move",
				name_of(environment));
	if (target == entry->host)
		return conflict(err, "host", "host: %s is on %s already", name_of(environment),
				host);
	if (target && !runs)
		return conflict(err, "host",
				"host: %s is stopped, and finds its host when it is started",
				name_of(environment));
	/* It is on its way already; where to is not decided before it has left. */
	if (environment->action == ACTION_MOVE && !host)
		return 0;
	wish->action = ACTION_MOVE;
	wish->move_to = host ? host : "";
	return runs ? check_room(scheduler, entry, target, err) : 0;
}

static int wish_extend(const struct environment *environment, const struct scheduler_action *asked,
		       struct wish *wish, struct error *err)
{
	int64_t now = clock_unix_seconds();

	wish->expires_at = asked->expires_at;
	if (asked->seconds > 0)
		wish->expires_at = MAX(environment->expires_at, now) + asked->seconds;
	if (wish->expires_at != 0 && wish->expires_at <= now)
		return error_set(err, -ERANGE, "out_of_range", "expires_at",
				 "expires_at: that time has passed");
	return 0;
}

static int wish_of(struct scheduler *scheduler, const struct environment_entry *entry,
		   const struct scheduler_action *asked, struct wish *wish, struct error *err)
{
	const struct environment *environment = environment_newest(entry);

	*wish = (struct wish){
		.power = environment->power,
		.action = environment->action,
		.move_to = environment->move_to,
		.expires_at = environment->expires_at,
	};
	if (environment->phase == PHASE_DELETING)
		return conflict(err, NULL, "%s is being deleted", name_of(environment));
	switch (asked->verb) {
	case SCHEDULER_START:
		return wish_start(environment, wish, err);
	case SCHEDULER_STOP:
		wish->power = false;
		return 0;
	case SCHEDULER_RESTART:
		return wish_restart(environment, wish, err);
	case SCHEDULER_MOVE:
		return wish_move(scheduler, entry, asked->host, wish, err);
	case SCHEDULER_EXTEND:
		return wish_extend(environment, asked, wish, err);
	}
	return -EINVAL;
}

/* ---- carried out ---- */

static bool is_granted(const struct environment *environment, const struct wish *wish)
{
	return environment->power == wish->power && environment->action == wish->action &&
	       environment->expires_at == wish->expires_at &&
	       strcmp(environment->move_to, wish->move_to) == 0;
}

static void audit(struct scheduler *scheduler, const struct environment_entry *entry,
		  const struct scheduler_action *asked, const struct wish *wish, const char *actor)
{
	static const char *const verbs[] = {
		[SCHEDULER_START] = "start",     [SCHEDULER_STOP] = "stop",
		[SCHEDULER_RESTART] = "restart", [SCHEDULER_MOVE] = "move",
		[SCHEDULER_EXTEND] = "extend",
	};
	const char *name = name_of(environment_newest(entry));
	char until[TIME_STRING_MAX];

	if (asked->verb == SCHEDULER_EXTEND)
		state_audit(&scheduler->state, &entry->entry, actor, verbs[asked->verb],
			    "name=%s until=%s", name,
			    wish->expires_at > 0 ? time_format(wish->expires_at, until) : "never");
	else
		state_audit(&scheduler->state, &entry->entry, actor, verbs[asked->verb],
			    "name=%s%s%s", name, *wish->move_to ? " host=" : "", wish->move_to);
}

static int grant(struct scheduler *scheduler, struct environment_entry *entry,
		 const struct wish *wish)
{
	struct environment *environment;
	char move_to[sizeof(environment->move_to)];

	/* It may point into the row that is about to be edited. */
	(void)snprintf(move_to, sizeof(move_to), "%s", wish->move_to);
	environment = state_edit_environment(&scheduler->state, entry);
	if (!environment)
		return -ENOMEM;
	drain_forget(scheduler, entry);
	environment->power = wish->power;
	environment->action = wish->action;
	environment->expires_at = wish->expires_at;
	memcpy(environment->move_to, move_to, sizeof(move_to));
	state_mark(&scheduler->state, entry);
	return 0;
}

int scheduler_act(struct scheduler *scheduler, const char *id, const struct scheduler_action *asked,
		  const char *actor, scheduler_done done, void *userdata, struct error *err)
{
	struct environment_entry *entry;
	struct wish wish;
	int r = scheduler_ready(scheduler, err);

	if (r < 0)
		return r;
	entry = state_environment(&scheduler->state, id);
	if (!entry || environment_newest(entry)->record.gone)
		return error_set(err, -ENOENT, "not_found", "environment",
				 "there is no environment %s", id);
	r = wish_of(scheduler, entry, asked, &wish, err);
	if (r < 0)
		return r;
	if (scheduler_wait(scheduler, id, done, userdata) < 0)
		return error_set(err, -ENOMEM, "internal", NULL, "out of memory");
	if (is_granted(environment_newest(entry), &wish))
		return 0;
	audit(scheduler, entry, asked, &wish, actor);
	if (grant(scheduler, entry, &wish) < 0)
		/* done is called with the error */
		scheduler_abandon_open(scheduler, -ENOMEM, "internal", "out of memory");
	return 0;
}

/* ---- hosts ---- */

/* The host of a request that waits for its batch from here on. */
static int await_host(struct scheduler *scheduler, const char *id, scheduler_done done,
		      void *userdata, struct host_entry **ret, struct error *err)
{
	int r = scheduler_ready(scheduler, err);

	if (r < 0)
		return r;
	*ret = state_host(&scheduler->state, id);
	if (!*ret || host_newest(*ret)->record.gone)
		return error_set(err, -ENOENT, "not_found", "host", "there is no host %s", id);
	if (scheduler_wait(scheduler, id, done, userdata) < 0)
		return error_set(err, -ENOMEM, "internal", NULL, "out of memory");
	return 0;
}

/* NULL where memory ran out: done was called with the error. */
static struct host *edit_host(struct scheduler *scheduler, struct host_entry *entry)
{
	struct host *host = state_edit_host(&scheduler->state, entry);

	if (!host)
		scheduler_abandon_open(scheduler, -ENOMEM, "internal", "out of memory");
	return host;
}

int scheduler_set_mode(struct scheduler *scheduler, const char *id, enum host_mode mode,
		       const char *actor, scheduler_done done, void *userdata, struct error *err)
{
	struct environment_entry *environment;
	struct host_entry *entry;
	struct host *host;
	int r = await_host(scheduler, id, done, userdata, &entry, err);

	if (r < 0 || host_newest(entry)->mode == mode)
		return r;
	host = edit_host(scheduler, entry);
	if (!host)
		return 0;
	host->mode = mode;
	host->mode_since = clock_unix_seconds();
	DL_FOREACH2(entry->environments, environment, host_next)
	drain_forget(scheduler, environment);
	state_audit(&scheduler->state, &entry->entry, actor, host_mode_name(mode), "%s", "");
	scheduler_mark_host(scheduler, entry);
	scheduler->capacity_changed = true;
	return 0;
}

int scheduler_set_overcommit(struct scheduler *scheduler, const char *id, unsigned percent,
			     const char *actor, scheduler_done done, void *userdata,
			     struct error *err)
{
	struct host_entry *entry;
	struct host *host;
	int r = await_host(scheduler, id, done, userdata, &entry, err);

	if (r < 0 || host_newest(entry)->cpu_overcommit == percent)
		return r;
	host = edit_host(scheduler, entry);
	if (!host)
		return 0;
	host->cpu_overcommit = percent;
	if (percent > 0)
		state_audit(&scheduler->state, &entry->entry, actor, "set",
			    "cpu_overcommit_percent=%u", percent);
	else
		state_audit(&scheduler->state, &entry->entry, actor, "set",
			    "cpu_overcommit_percent=default");
	scheduler->capacity_changed = true;
	if (scheduler_place_anew(scheduler, entry) < 0)
		scheduler_abandon_open(scheduler, -ENOMEM, "internal", "out of memory");
	return 0;
}
