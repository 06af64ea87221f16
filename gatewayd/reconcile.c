/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The reconciler: takes changesets from the local API and from schedd, joins those of one turn of
 * the event loop into one kernel transaction, answers each when its own is committed, and repairs
 * the table when it is not what it should be. It owns the ledger.
 */
#include "gatewayd/reconcile_private.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "lib/clock.h"
#include "lib/log.h"
#include "lib/loop.h"

/* A foreign change is often one of several: look once they are through. */
#define DOUBT_DELAY_MS 50
#define RETRY_FIRST_MS 200
#define RETRY_MAX_MS 10000
/* The clock by which mappings end may be set while we wait. */
#define EXPIRY_WAIT_MAX_MS 60000
#define SUBJECT "table inet portico"

static void touch(struct reconciler *reconciler)
{
	if (reconciler->config.on_change)
		reconciler->config.on_change(reconciler->config.userdata);
}

/* ---- hooks of the applier ---- */

static void on_plan(const struct plan *plan, void *userdata)
{
	struct reconciler *reconciler = userdata;

	sweeper_note(reconciler->sweeper, plan);
	reconciler_intend(reconciler);
	accounting_note(reconciler->config.accounting, plan);
}

static void on_bulk(bool begins, void *userdata)
{
	struct reconciler *reconciler = userdata;

	if (reconciler->config.on_bulk)
		reconciler->config.on_bulk(begins, reconciler->config.userdata);
}

static void on_transaction(double seconds, void *userdata)
{
	struct reconciler *reconciler = userdata;

	metric_observe(reconciler->transaction_seconds, NULL, seconds);
}

static void on_socket(uint32_t port_id, void *userdata)
{
	struct reconciler *reconciler = userdata;

	if (reconciler->on_socket)
		reconciler->on_socket(port_id, reconciler->on_socket_userdata);
}

/* ---- running ---- */

/* What was noted as intended is not. */
static void roll_back(struct reconciler *reconciler)
{
	struct journal *journal = &reconciler->journal;
	size_t n = journal->n;
	struct mapping_key *keys = calloc(n + 1, sizeof(*keys));

	for (size_t i = 0; keys && i < n; i++)
		keys[i] = *journal_key(journal, i);
	if (journal_rollback(journal, 0, &reconciler->ledger) < 0 || !keys)
		log_error(SUBJECT, "out of memory while taking changes back");
	for (size_t i = 0; reconciler->intended && keys && i < n; i++)
		state_note(reconciler->config.state, &keys[i]);
	reconciler->intended = false;
	free(keys);
}

/* A mapping that the kernel refuses and that no queued changeset brought: adopted, or of a time
 * when the kernel took it. It cannot be kept. */
static void give_up(struct reconciler *reconciler, const struct apply_refusal *refusal)
{
	struct entry *entry = ledger_find(&reconciler->ledger, &refusal->key);
	char name[MAPPING_STRING_MAX];

	log_error(mapping_key_format(&refusal->key, name), "given up: %s", refusal->reason);
	if (entry)
		ledger_undesire(&reconciler->ledger, entry);
	if (reconciler->config.state)
		state_note(reconciler->config.state, &refusal->key);
}

/* A member that the kernel refuses, and that belongs to no mapping. */
static void refuse_member(struct reconciler *reconciler, const struct apply_refusal *refusal)
{
	struct member *member = members_find(&reconciler->ledger.members, &refusal->member);

	if (ban_keeper_refuse(&reconciler->bans, &refusal->member, refusal->reason))
		return;
	log_error(SUBJECT, "an element of set %s is given up: %s",
		  shape_set_name(refusal->member.set), refusal->reason);
	if (member)
		members_undesire(&reconciler->ledger.members, member);
}

static void take_refusals(struct reconciler *reconciler, const struct apply_result *result)
{
	roll_back(reconciler);
	/* The next plan may not remove what this one did. */
	sweeper_forget(reconciler->sweeper);
	accounting_forget(reconciler->config.accounting);
	for (size_t i = 0; i < result->n_refusals; i++) {
		const struct apply_refusal *refusal = &result->refusals[i];

		if (!refusal->of_mapping)
			refuse_member(reconciler, refusal);
		else if (!change_queue_refuse(&reconciler->queue, &refusal->key, refusal->reason))
			give_up(reconciler, refusal);
	}
	/* Without the requests that have failed by now. */
	ban_keeper_apply(&reconciler->bans, &reconciler->ledger.members, clock_unix_seconds());
}

/* Until the kernel has what the ledger says, or cannot be brought to it for now. */
static enum apply_outcome converge(struct reconciler *reconciler, struct apply_result *result,
				   struct error *err)
{
	for (;;) {
		enum apply_outcome outcome;

		change_queue_apply(&reconciler->queue, &reconciler->ledger,
				   reconciler->config.shape.map_size, reconciler->revision + 1,
				   &reconciler->journal);
		outcome = applier_run(&reconciler->applier, result, err);
		if (outcome != APPLY_REFUSED)
			return outcome;
		if (result->n_refusals == 0)
			return APPLY_FAILED;
		take_refusals(reconciler, result);
	}
}

static void on_looked(void *userdata)
{
	struct reconciler *reconciler = userdata;

	change_queue_answer_held(&reconciler->queue, sweeper_looks(reconciler->sweeper));
}

static void set_reason(struct reconciler *reconciler, const char *reason)
{
	reconciler->in_sync = reason[0] == '\0';
	(void)snprintf(reconciler->reason, sizeof(reconciler->reason), "%s", reason);
}

static void on_done(struct reconciler *reconciler)
{
	uint64_t look;

	reconciler->revision = change_queue_number(&reconciler->queue, reconciler->revision);
	reconciler_keep(reconciler);
	journal_clear(&reconciler->journal);
	set_reason(reconciler, "");
	backoff_reset(&reconciler->backoff);
	evtimer_del(&reconciler->retry);
	accounting_run(reconciler->config.accounting, &reconciler->ledger);
	look = sweeper_run(reconciler->sweeper, &reconciler->ledger);
	change_queue_settle(&reconciler->queue, true, look);
	ban_keeper_settle(&reconciler->bans, &reconciler->ledger.members, NULL);
	touch(reconciler);
}

/* Whoever waits for an answer gets it; what is not atomic stays queued, since its sender's state is
 * what should be whenever the kernel allows it. */
static void on_failed(struct reconciler *reconciler, const struct error *err)
{
	uint32_t delay = backoff_next_ms(&reconciler->backoff);

	if (reconciler->in_sync || strcmp(reconciler->reason, err->message) != 0)
		log_error(SUBJECT, "%s; trying again retry_ms=%u", error_text(err, -EIO), delay);
	roll_back(reconciler);
	ban_keeper_settle(&reconciler->bans, &reconciler->ledger.members, err);
	ledger_settle(&reconciler->ledger);
	change_queue_fail(&reconciler->queue, err, false);
	set_reason(reconciler, error_text(err, -EIO));
	sweeper_forget(reconciler->sweeper);
	accounting_forget(reconciler->config.accounting);
	(void)loop_timer_arm(&reconciler->retry, delay);
	change_queue_settle(&reconciler->queue, false, 0);
	touch(reconciler);
}

/* What has reached its end is no longer desired, also where the kernel has ended it already: its
 * connections are looked through like those of any mapping that is removed. */
static void expire(struct reconciler *reconciler)
{
	int64_t now = clock_unix_seconds();
	struct entry *entry;
	size_t n = 0;

	while ((entry = ledger_due(&reconciler->ledger, now))) {
		int64_t end = entry_desired_end(entry);

		ledger_undesire(&reconciler->ledger, entry);
		if (!(entry->flags & ENTRY_INSTALLED)) /* no plan will say it */
			sweeper_note_ended(reconciler->sweeper, entry);
		if (reconciler->config.state)
			state_note(reconciler->config.state, &entry->key);
		if (reconciler->config.on_expired)
			reconciler->config.on_expired(&entry->key, end,
						      reconciler->config.userdata);
		n++;
	}
	if (n > 0)
		log_info(SUBJECT, "mappings have reached their expires_at mappings=%zu", n);
}

static void arm_expiry(struct reconciler *reconciler)
{
	int64_t next = ledger_next_end(&reconciler->ledger);
	int64_t left = next * 1000 - clock_unix_ms();

	if (next == 0)
		evtimer_del(&reconciler->expiry);
	else
		(void)loop_timer_arm(&reconciler->expiry,
				     left < 0 ? 0 : (uint64_t)MIN(left, EXPIRY_WAIT_MAX_MS));
}

static bool run_now(struct reconciler *reconciler, struct apply_result *result)
{
	struct error err = ERROR_INIT;

	expire(reconciler);
	ban_keeper_apply(&reconciler->bans, &reconciler->ledger.members, clock_unix_seconds());
	if (converge(reconciler, result, &err) == APPLY_DONE) {
		on_done(reconciler);
		return true;
	}
	if (err.errnum == 0)
		error_set(&err, -EIO, "kernel", NULL, "the kernel refuses the transaction");
	on_failed(reconciler, &err);
	return false;
}

static bool run(struct reconciler *reconciler, struct apply_result *result)
{
	bool done = run_now(reconciler, result);

	arm_expiry(reconciler);
	return done;
}

static void on_expiry(evutil_socket_t fd, short what, void *userdata)
{
	struct reconciler *reconciler = userdata;
	struct apply_result result;

	if (ledger_due(&reconciler->ledger, clock_unix_seconds()))
		(void)run(reconciler, &result);
	else
		arm_expiry(reconciler);
}

static void on_commit(evutil_socket_t fd, short what, void *userdata)
{
	struct reconciler *reconciler = userdata;
	struct apply_result result;

	(void)run(reconciler, &result);
}

static void on_retry(evutil_socket_t fd, short what, void *userdata)
{
	struct reconciler *reconciler = userdata;
	struct apply_result result;

	if (run(reconciler, &result))
		log_info(SUBJECT, "in sync again changes=%zu", result.n_changes);
}

/* Whether there is something to do that was asked for, or has come to its end. */
static bool has_own_work(const struct reconciler *reconciler)
{
	return event_pending(&reconciler->commit, EV_TIMEOUT, NULL) ||
	       ledger_due(&reconciler->ledger, clock_unix_seconds());
}

/* Level-triggered: the table is read and compared whether or not anybody said that it changed. */
static void on_audit(evutil_socket_t fd, short what, void *userdata)
{
	struct reconciler *reconciler = userdata;
	struct apply_result result;
	enum resync_reason why;

	/* What is done now is not of someone else's making. */
	if (reconciler->applier.current && has_own_work(reconciler))
		(void)run(reconciler, &result);
	reconciler->looks_soon = false;
	applier_doubt(&reconciler->applier, RESYNC_AUDIT);
	why = reconciler->applier.why;
	if (run(reconciler, &result) && (result.n_changes > 0 || result.restructured))
		log_warning(SUBJECT,
			    "was changed by someone else and is repaired changes=%zu "
			    "structure=%s found_by=%s",
			    result.n_changes, result.restructured ? "remade" : "intact",
			    resync_reason_name(why));
	(void)loop_timer_arm(&reconciler->audit, reconciler->config.audit_ms);
}

/* At the end of this turn: what else was ready to be read in it joins the transaction. */
static void commit_soon(struct reconciler *reconciler)
{
	event_active(&reconciler->commit, EV_TIMEOUT, 0);
}

void reconciler_submit(struct reconciler *reconciler, struct changeset *changeset)
{
	change_queue_add(&reconciler->queue, changeset);
	commit_soon(reconciler);
}

void reconciler_submit_bans(struct reconciler *reconciler, struct ban_request *request)
{
	ban_keeper_submit(&reconciler->bans, request);
	commit_soon(reconciler);
}

void reconciler_set_links(struct reconciler *reconciler, const int *links, size_t n_links)
{
	if (source_desire(&reconciler->config.source, links, n_links, &reconciler->ledger.members) <
	    0)
		log_error(SUBJECT, "out of memory while taking in links");
	commit_soon(reconciler);
}

void reconciler_set_devices(struct reconciler *reconciler, const struct shape_devices *devices)
{
	if (!reconciler->config.shape.fastpath)
		return;
	applier_set_devices(&reconciler->applier, devices);
	commit_soon(reconciler);
}

void reconciler_doubt(struct reconciler *reconciler)
{
	applier_doubt(&reconciler->applier, RESYNC_FOREIGN);
	/* Whoever goes on and on does not put it off. */
	if (!reconciler->looks_soon)
		(void)loop_timer_arm(&reconciler->audit, DOUBT_DELAY_MS);
	reconciler->looks_soon = true;
}

/* ---- start ---- */

static int start(struct reconciler *reconciler, struct error *err)
{
	const struct applier_hooks hooks = {
		.on_plan = on_plan,
		.on_bulk = on_bulk,
		.on_transaction = on_transaction,
		.on_socket = on_socket,
		.userdata = reconciler,
	};
	struct restore_result restored;
	struct apply_result result;
	int r;

	r = applier_open(&reconciler->applier, &reconciler->config.shape, &reconciler->ledger,
			 &hooks, err);
	if (r < 0)
		return r;
	r = reconciler_restore(reconciler, &restored, err);
	if (r < 0)
		return r;
	r = source_desire(&reconciler->config.source, reconciler->config.links,
			  reconciler->config.n_links, &reconciler->ledger.members);
	if (r < 0)
		return error_set(err, r, "internal", NULL, "out of memory");
	if (run(reconciler, &result))
		log_info(SUBJECT,
			 "adopted mappings=%zu changes=%zu structure=%s from_state_file=%zu",
			 restored.adopted + restored.restored, result.n_changes,
			 result.restructured ? "made" : "intact", restored.restored);
	return 0;
}

static void assign_events(struct reconciler *reconciler)
{
	(void)evtimer_assign(&reconciler->commit, reconciler->base, on_commit, reconciler);
	(void)evtimer_assign(&reconciler->audit, reconciler->base, on_audit, reconciler);
	(void)evtimer_assign(&reconciler->retry, reconciler->base, on_retry, reconciler);
	(void)evtimer_assign(&reconciler->expiry, reconciler->base, on_expiry, reconciler);
}

int reconciler_new(struct reconciler **ret, struct event_base *base,
		   const struct reconciler_config *config, struct metrics *metrics,
		   struct error *err)
{
	static const double bounds[] = { 0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005,
					 0.01,    0.025,  0.05,    0.1,    0.25,  0.5,    1 };
	_cleanup_(cleanup_reconciler) struct reconciler *reconciler = NULL;
	int r;

	reconciler = calloc(1, sizeof(*reconciler));
	if (!reconciler)
		return error_set(err, -ENOMEM, "internal", NULL, "out of memory");
	reconciler->config = *config;
	reconciler->base = base;
	reconciler->applier.netlink = NETLINK_INIT;
	change_queue_init(&reconciler->queue);
	reconciler->in_sync = true;
	reconciler->backoff =
		(struct backoff){ .first_ms = RETRY_FIRST_MS, .max_ms = RETRY_MAX_MS };
	reconciler->transaction_seconds = metrics_register_histogram(
		metrics, "portico_gateway_transaction_seconds",
		"Time of a kernel transaction, from encoding to the receipt", NULL, bounds,
		ARRAY_SIZE(bounds));
	assign_events(reconciler);
	r = sweeper_new(&reconciler->sweeper, base);
	if (r < 0)
		return error_set(err, r, "kernel", NULL, "cannot open a conntrack socket: %s",
				 strerror(-r));
	sweeper_on_looked(reconciler->sweeper, on_looked, reconciler);
	reconciler_keep_sweeps(reconciler);
	sweeper_observe(reconciler->sweeper, accounting_observer(config->accounting));
	r = refusals_new(&reconciler->refusals, base, &reconciler->config.shape,
			 &reconciler->ledger);
	if (r < 0)
		return error_set(err, r, "internal", NULL, "out of memory");
	r = start(reconciler, err);
	if (r < 0)
		return r;
	refusals_read(reconciler->refusals);
	(void)loop_timer_arm(&reconciler->audit, reconciler->config.audit_ms);
	*ret = TAKE_PTR(reconciler);
	return 0;
}

void reconciler_free(struct reconciler *reconciler)
{
	static const struct error stopping = { .errnum = -ECANCELED,
					       .code = "stopping",
					       .message = "gatewayd is stopping" };

	if (!reconciler)
		return;
	evtimer_del(&reconciler->commit);
	evtimer_del(&reconciler->audit);
	evtimer_del(&reconciler->retry);
	evtimer_del(&reconciler->expiry);
	change_queue_fail(&reconciler->queue, &stopping, true);
	change_queue_settle(&reconciler->queue, true, 0);
	sweeper_free(reconciler->sweeper);
	change_queue_answer_held(&reconciler->queue, UINT64_MAX);
	ban_keeper_settle(&reconciler->bans, &reconciler->ledger.members, &stopping);
	ban_keeper_clear(&reconciler->bans);
	refusals_free(reconciler->refusals);
	applier_close(&reconciler->applier);
	journal_clear(&reconciler->journal);
	ledger_clear(&reconciler->ledger);
	free(reconciler);
}

/* ---- looking ---- */

uint64_t reconciler_refused(const struct reconciler *reconciler, enum shape_counter counter)
{
	return refusals_total(reconciler->refusals, counter);
}

const struct ledger *reconciler_ledger(const struct reconciler *reconciler)
{
	return &reconciler->ledger;
}

const struct bans *reconciler_bans(const struct reconciler *reconciler)
{
	return &reconciler->bans.bans;
}

void reconciler_status(const struct reconciler *reconciler, struct reconciler_status *ret)
{
	*ret = (struct reconciler_status){
		.revision = reconciler->revision,
		.mappings = reconciler->ledger.n_installed,
		.desired = reconciler->ledger.n_desired,
		.in_sync = reconciler->in_sync,
		.reason = reconciler->reason,
		.applier = reconciler->applier.stats,
		.conntrack_deleted = sweeper_deleted(reconciler->sweeper),
		.conntrack_pending = sweeper_pending(reconciler->sweeper),
	};
}

uint32_t reconciler_port_id(const struct reconciler *reconciler)
{
	return reconciler->applier.netlink.port_id;
}

void reconciler_on_socket(struct reconciler *reconciler,
			  void (*callback)(uint32_t port_id, void *userdata), void *userdata)
{
	reconciler->on_socket = callback;
	reconciler->on_socket_userdata = userdata;
	callback(reconciler->applier.netlink.port_id, userdata);
}
