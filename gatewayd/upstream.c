/* SPDX-License-Identifier: GPL-2.0-or-later */
/* gatewayd as a follower of schedd: its stream's mappings become changesets, and what became of
 * them is reported. It never touches the kernel itself.
 *
 * A mapping that cannot be applied is reported with its reason and its port is closed; the others
 * go on. It is taken up again when schedd sends it anew, and one whose port the gateway itself
 * listens on as soon as that has ended. Where only memory was lacking, schedd is asked for all
 * anew.
 */
#include "gatewayd/upstream.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "lib/clock.h"
#include "lib/log.h"
#include "lib/loop.h"
#include "proto/follower.h"
#include "proto/report.h"

#define SUBJECT "schedd"
/* Failures that are remembered; what is beyond is logged only. */
#define FAILED_MAX REPORT_FAILURES_MAX
/* Mappings that wait for their port, at most FAILED_MAX, are tried again so often: a question to
 * the kernel for each, or one for many. */
#define RETRY_MS 5000
#define OUT_OF_MEMORY "out of memory: changes are lost"

struct upstream {
	struct upstream_config config;
	struct follower *follower;
	uint64_t epoch;            /* of what was applied last */
	uint64_t desired_revision; /* received */
	uint64_t applied_revision; /* in the kernel */
	bool applied;              /* a snapshot is in the kernel */
	unsigned in_flight;        /* changesets that the kernel does not have yet */
	uint64_t losses;           /* changesets that it never had, or not all of */
	bool starved;              /* memory ran out within the one that is being taken */
	struct refusal failed[FAILED_MAX];
	size_t n_failed;
	struct change waiting[FAILED_MAX]; /* whose port the gateway itself listens on */
	size_t n_waiting;
	struct event retry;
	char reason[ERROR_MESSAGE_MAX];
};

/* A changeset on its way. */
struct delivery {
	struct upstream *upstream;
	uint64_t epoch;
	uint64_t losses; /* before it */
};

/* ---- failures ---- */

static void forget_failure(struct upstream *upstream, const struct mapping_key *key)
{
	for (size_t i = 0; i < upstream->n_failed; i++)
		if (mapping_key_compare(&upstream->failed[i].key, key) == 0) {
			upstream->failed[i] = upstream->failed[--upstream->n_failed];
			return;
		}
}

/* Said once, however often it is tried. */
static void note_failure(struct upstream *upstream, const struct mapping_key *key,
			 const char *reason)
{
	const char *before = upstream_failure(upstream, key);
	char name[MAPPING_STRING_MAX];
	struct refusal *refusal;

	if (before && strcmp(before, reason) == 0)
		return;
	log_warning(mapping_key_format(key, name), "not applied: %s", reason);
	forget_failure(upstream, key);
	if (upstream->n_failed == FAILED_MAX)
		return;
	refusal = &upstream->failed[upstream->n_failed++];
	refusal->key = *key;
	(void)snprintf(refusal->reason, sizeof(refusal->reason), "%s", reason);
}

/* ---- mappings that wait for their port ---- */

static void forget_waiting(struct upstream *upstream, const struct mapping_key *key)
{
	for (size_t i = 0; i < upstream->n_waiting; i++)
		if (mapping_key_compare(&upstream->waiting[i].key, key) == 0) {
			change_clear(&upstream->waiting[i]);
			upstream->waiting[i] = upstream->waiting[--upstream->n_waiting];
			return;
		}
}

static void forget_all_waiting(struct upstream *upstream)
{
	while (upstream->n_waiting > 0)
		change_clear(&upstream->waiting[--upstream->n_waiting]);
}

/* Leaves a removal in its place. */
static void wait_for_port(struct upstream *upstream, struct change *change)
{
	const struct mapping_key key = change->key;

	forget_waiting(upstream, &key);
	if (upstream->n_waiting < FAILED_MAX) {
		upstream->waiting[upstream->n_waiting++] = *change;
		*change = (struct change){ 0 };
		if (!evtimer_pending(&upstream->retry, NULL))
			(void)loop_timer_arm(&upstream->retry, RETRY_MS);
	}
	change_clear(change);
	change_remove(change, &key);
}

/* ---- from the stream to the reconciler ---- */

/* No revision from here on is in the kernel as a whole, until a snapshot is. */
static void lose(struct upstream *upstream, const char *what)
{
	log_error(SUBJECT, "%s, and all mappings are asked for anew", what);
	upstream->losses++;
	follower_lost(upstream->follower, what);
}

static void on_done(struct changeset *changeset, void *userdata)
{
	_cleanup_free_ struct delivery *delivery = userdata;
	struct upstream *upstream = delivery->upstream;

	upstream->in_flight--;
	for (size_t i = 0; i < changeset->n_refusals; i++)
		note_failure(upstream, &changeset->refusals[i].key, changeset->refusals[i].reason);
	if (changeset->error.errnum != 0) {
		if (changeset->error.errnum != -ECANCELED) {
			log_error(SUBJECT, "changes not applied revision=%llu: %s",
				  (unsigned long long)changeset->revision,
				  changeset->error.message);
			lose(upstream, "changes could not be applied");
		}
		return;
	}
	if (delivery->losses != upstream->losses)
		return;
	upstream->applied = true;
	upstream->epoch = delivery->epoch;
	/* Bookmarks that came meanwhile say that nothing more has changed since. */
	upstream->applied_revision =
		upstream->in_flight > 0 ? changeset->revision : upstream->desired_revision;
	follower_touch(upstream->follower);
}

struct examination {
	struct upstream *upstream;
	struct changeset *changeset;
};

/* A port on which the gateway itself listens is left to it. */
static bool on_taken(size_t index, const char *reason, void *userdata)
{
	const struct examination *examination = userdata;
	struct change *change = &examination->changeset->changes[index];

	note_failure(examination->upstream, &change->key, reason);
	wait_for_port(examination->upstream, change);
	return true;
}

/* As soon as it is seen: what an older leader says is refused from here on. */
static void keep_epoch(struct upstream *upstream, uint64_t epoch)
{
	if (upstream->config.state)
		state_note_epoch(upstream->config.state, epoch);
}

static void deliver(struct upstream *upstream, struct changeset *changeset, uint64_t epoch,
		    uint64_t revision)
{
	struct delivery *delivery = malloc(sizeof(*delivery));
	const uint64_t losses = upstream->losses;

	/* What is left of it is applied, and its revision is not said to be. */
	if (!delivery || upstream->starved)
		lose(upstream, OUT_OF_MEMORY);
	upstream->starved = false;
	if (!delivery) {
		changeset_free(changeset);
		return;
	}
	*delivery = (struct delivery){ .upstream = upstream, .epoch = epoch, .losses = losses };
	changeset->revision = revision;
	changeset->on_done = on_done;
	changeset->userdata = delivery;
	upstream->in_flight++;
	upstream->desired_revision = revision;
	reconciler_submit(upstream->config.reconciler, changeset);
}

static void submit(struct upstream *upstream, struct changeset *changeset, uint64_t epoch,
		   uint64_t revision)
{
	struct examination examination = { .upstream = upstream, .changeset = changeset };

	guard_examine(upstream->config.guard, changeset, on_taken, &examination);
	keep_epoch(upstream, epoch);
	deliver(upstream, changeset, epoch, revision);
}

/* Its end may have come while it waited. */
static bool has_ended(struct upstream *upstream, const struct change *change)
{
	int64_t end = change->policy ? change->policy->expires_at : 0;

	if (end == 0 || end > clock_unix_seconds())
		return false;
	upstream_expired(upstream, &change->key, end);
	return true;
}

/* Keeps the puts whose port is free: the others wait again, or have ended. */
static void keep_free(struct upstream *upstream, struct changeset *changeset)
{
	struct examination examination = { .upstream = upstream, .changeset = changeset };
	size_t kept = 0;

	guard_examine(upstream->config.guard, changeset, on_taken, &examination);
	for (size_t i = 0; i < changeset->n_changes; i++) {
		struct change *change = &changeset->changes[i];

		if (change->removal || has_ended(upstream, change)) {
			change_clear(change);
			continue;
		}
		forget_failure(upstream, &change->key);
		if (kept < i)
			changeset->changes[kept] = *change;
		kept++;
	}
	changeset->n_changes = kept;
}

static void on_retry(evutil_socket_t fd, short what, void *userdata)
{
	struct upstream *upstream = userdata;
	struct changeset *changeset;

	if (upstream->n_waiting == 0)
		return;
	(void)loop_timer_arm(&upstream->retry, RETRY_MS);
	/* What they would come behind is not in the kernel yet. */
	if (!upstream->applied || upstream->in_flight > 0 ||
	    changeset_new(&changeset, upstream->n_waiting) < 0)
		return;
	memcpy(changeset->changes, upstream->waiting,
	       upstream->n_waiting * sizeof(*changeset->changes));
	changeset->n_changes = upstream->n_waiting;
	upstream->n_waiting = 0;
	keep_free(upstream, changeset);
	if (changeset->n_changes == 0) {
		changeset_free(changeset);
		return;
	}
	log_info(SUBJECT, "ports have become free mappings=%zu", changeset->n_changes);
	deliver(upstream, changeset, upstream->epoch, upstream->desired_revision);
}

/* A mapping that cannot be applied is noted, and its port closed: it must not go on to an old
 * target. */
static void refuse(struct upstream *upstream, struct change *change, const struct mapping_key *key,
		   const char *reason)
{
	note_failure(upstream, key, reason);
	change_remove(change, key);
}

/* One mapping of schedd's. False: not even its key can be read. */
static bool take_mapping(struct upstream *upstream, json_t *item, struct change *change)
{
	struct mapping mapping = { 0 };
	struct error err = ERROR_INIT;
	int r;

	r = mapping_decode(item, "", NULL, &mapping, &err);
	upstream->starved |= r == -ENOMEM;
	if (r < 0) {
		struct mapping_key key;
		/* Its key, if at least that can be read, so that schedd learns which it was. */
		static const char *const all[] = {
			"target",     "environment",     "service",
			"revision",   "allow",           "on_remove",
			"expires_at", "max_connections", "new_connections_per_minute",
			NULL
		};

		if (mapping_key_decode(item, "", NULL, all, &key, NULL) < 0) {
			log_error(SUBJECT, "unreadable mapping: %s", error_text(&err, r));
			return false;
		}
		forget_waiting(upstream, &key);
		refuse(upstream, change, &key, error_text(&err, r));
		return true;
	}
	r = admit_mapping(upstream->config.admission, &mapping, "", &err);
	if (r == 0)
		r = change_put(change, &mapping, "", &err);
	upstream->starved |= r == -ENOMEM;
	forget_waiting(upstream, &mapping.key);
	if (r < 0)
		refuse(upstream, change, &mapping.key, error_text(&err, r));
	else
		forget_failure(upstream, &mapping.key);
	mapping_clear(&mapping);
	return true;
}

static void take_mappings(struct upstream *upstream, json_t *items, struct changeset *changeset,
			  size_t *n)
{
	json_t *item;
	size_t i;

	json_array_foreach (items, i, item) {
		struct change *change = &changeset->changes[*n];

		if (take_mapping(upstream, item, change))
			(*n)++;
	}
}

static void take_deletions(struct upstream *upstream, json_t *items, struct changeset *changeset,
			   size_t *n)
{
	json_t *item;
	size_t i;

	json_array_foreach (items, i, item) {
		struct error err = ERROR_INIT;
		struct mapping_key key;

		if (mapping_key_decode(item, "", NULL, NULL, &key, &err) < 0) {
			log_error(SUBJECT, "unreadable key: %s", err.message);
			continue;
		}
		forget_failure(upstream, &key);
		forget_waiting(upstream, &key);
		change_remove(&changeset->changes[(*n)++], &key);
	}
}

static void on_snapshot(void *userdata, uint64_t epoch, uint64_t revision, json_t *items)
{
	struct upstream *upstream = userdata;
	struct changeset *changeset;
	size_t n = 0;

	if (changeset_new(&changeset, json_array_size(items)) < 0) {
		lose(upstream, OUT_OF_MEMORY);
		return;
	}
	upstream->n_failed = 0;
	forget_all_waiting(upstream);
	changeset->replace = true;
	take_mappings(upstream, items, changeset, &n);
	changeset->n_changes = n;
	log_info(SUBJECT, "snapshot epoch=%llu revision=%llu mappings=%zu",
		 (unsigned long long)epoch, (unsigned long long)revision, n);
	submit(upstream, changeset, epoch, revision);
}

static void on_change(void *userdata, uint64_t epoch, uint64_t revision, json_t *put,
		      json_t *deleted)
{
	struct upstream *upstream = userdata;
	struct changeset *changeset;
	size_t n = 0;

	if (changeset_new(&changeset, json_array_size(put) + json_array_size(deleted)) < 0) {
		lose(upstream, OUT_OF_MEMORY);
		return;
	}
	take_deletions(upstream, deleted, changeset, &n);
	take_mappings(upstream, put, changeset, &n);
	changeset->n_changes = n;
	submit(upstream, changeset, epoch, revision);
}

static void on_bookmark(void *userdata, uint64_t epoch, uint64_t revision)
{
	struct upstream *upstream = userdata;

	keep_epoch(upstream, epoch);
	upstream->desired_revision = revision;
	if (!upstream->applied || upstream->in_flight > 0)
		return;
	upstream->epoch = epoch;
	upstream->applied_revision = revision;
}

/* ---- to schedd ---- */

static json_t *registration(void *userdata)
{
	struct upstream *upstream = userdata;
	const struct admission *admission = upstream->config.admission;
	struct gateway_registration registration = {
		.name = (char *)upstream->config.name,
		.addresses = (struct address *)admission->addresses,
		.n_addresses = admission->n_addresses,
		.version = (char *)PORTICO_VERSION,
	};

	/* Found by themselves, and none is there yet: it comes with upstream_reregister. */
	if (admission->n_addresses == 0)
		return NULL;
	return gateway_registration_encode(&registration);
}

static json_t *report(void *userdata)
{
	struct upstream *upstream = userdata;
	_cleanup_free_ struct mapping_failure *failed = NULL;
	struct reconciler_status status;
	struct gateway_report report = { 0 };

	/* What is in the kernel is of no revision that this leader knows: its snapshot is on the
	 * way into it. */
	if (!upstream->applied || upstream->epoch != follower_epoch(upstream->follower))
		return NULL;
	failed = calloc(upstream->n_failed + 1, sizeof(*failed));
	if (!failed)
		return NULL;
	for (size_t i = 0; i < upstream->n_failed; i++)
		failed[i] = (struct mapping_failure){ .key = upstream->failed[i].key,
						      .reason = upstream->failed[i].reason };
	reconciler_status(upstream->config.reconciler, &status);
	report.epoch = upstream->epoch;
	report.revision = upstream->applied_revision;
	report.mappings = status.mappings;
	report.failed = failed;
	report.n_failed = upstream->n_failed;
	return gateway_report_encode(&report);
}

static void on_heartbeat(void *userdata, uint32_t heartbeat_ms, const char *complaint)
{
	if (*complaint)
		log_warning(SUBJECT, "%s", complaint);
	else
		log_info(SUBJECT, "heartbeat: every %u ms, as configured", heartbeat_ms);
}

static void on_state(void *userdata, enum follower_state state, const char *reason)
{
	struct upstream *upstream = userdata;

	switch (state) {
	case FOLLOWER_CONNECTING:
		break;
	case FOLLOWER_SYNCED:
		log_info(SUBJECT, "following server=%s", follower_server(upstream->follower));
		break;
	case FOLLOWER_WAITING:
		/* The same reason once: back-off repeats it for as long as schedd is away. */
		if (strcmp(upstream->reason, reason) != 0)
			log_warning(SUBJECT, "not reachable, mappings stay as they are: %s",
				    reason);
		break;
	}
	(void)snprintf(upstream->reason, sizeof(upstream->reason), "%s",
		       state == FOLLOWER_CONNECTING ? upstream->reason : reason);
}

int upstream_new(struct upstream **ret, struct event_base *base, struct http_client *client,
		 const struct upstream_config *config)
{
	static const struct follower_events events = {
		.watch = { .on_snapshot = on_snapshot,
			   .on_change = on_change,
			   .on_bookmark = on_bookmark },
		.registration = registration,
		.report = report,
		.on_heartbeat = on_heartbeat,
		.on_state = on_state,
	};
	const struct follower_config follower_config = {
		.server = config->server,
		.collection = "gateways",
		.name = config->name,
		.token = config->token,
		.token_file = config->token_file,
		.heartbeat_ms = config->heartbeat_ms,
		.min_epoch = config->state ? state_epoch(config->state) : 0,
	};
	_cleanup_(cleanup_upstream) struct upstream *upstream = calloc(1, sizeof(*upstream));
	int r;

	if (!upstream)
		return -ENOMEM;
	upstream->config = *config;
	(void)evtimer_assign(&upstream->retry, base, on_retry, upstream);
	/* What the kernel has until schedd says more. */
	if (config->state)
		upstream->applied_revision = state_revision(config->state);
	r = follower_new(&upstream->follower, base, client, &follower_config, &events, upstream);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(upstream);
	return 0;
}

void upstream_free(struct upstream *upstream)
{
	if (!upstream)
		return;
	evtimer_del(&upstream->retry);
	forget_all_waiting(upstream);
	follower_free(upstream->follower);
	free(upstream);
}

void upstream_touch(struct upstream *upstream)
{
	if (upstream->applied)
		follower_touch(upstream->follower);
}

void upstream_reregister(struct upstream *upstream)
{
	follower_register(upstream->follower);
}

void upstream_expired(struct upstream *upstream, const struct mapping_key *key, int64_t expires_at)
{
	char when[TIME_STRING_MAX], reason[sizeof("expired at ") + TIME_STRING_MAX];

	(void)snprintf(reason, sizeof(reason), "expired at %s", time_format(expires_at, when));
	note_failure(upstream, key, reason);
	upstream_touch(upstream);
}

const char *upstream_server(const struct upstream *upstream)
{
	return upstream->config.server;
}

const char *upstream_failure(const struct upstream *upstream, const struct mapping_key *key)
{
	for (size_t i = 0; i < upstream->n_failed; i++)
		if (mapping_key_compare(&upstream->failed[i].key, key) == 0)
			return upstream->failed[i].reason;
	return NULL;
}

static const char *state_name(enum follower_state state)
{
	switch (state) {
	case FOLLOWER_CONNECTING:
		return "connecting";
	case FOLLOWER_SYNCED:
		return "synced";
	case FOLLOWER_WAITING:
		return "waiting";
	}
	return "unknown";
}

void upstream_status(const struct upstream *upstream, struct upstream_status *ret)
{
	*ret = (struct upstream_status){
		.state = state_name(follower_state(upstream->follower)),
		.reason = upstream->reason,
		.epoch = follower_epoch(upstream->follower),
		.desired_revision = upstream->desired_revision,
		.applied_revision = upstream->applied_revision,
		.n_failed = upstream->n_failed,
	};
}
