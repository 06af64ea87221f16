/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The applier makes the kernel's table what the ledger says: it runs plan, encode, transact and
 * dump until there is no difference, and decides what each outcome of a transaction means. It never
 * decides what should be.
 */
#include "gatewayd/applier.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "gatewayd/encode.h"
#include "gatewayd/restrictions.h"
#include "gatewayd/transact.h"
#include "lib/clock.h"

#define RECEIVE_BYTES ((size_t)1 << 20)
#define TRANSACTION_TIMEOUT_MS 5000
#define ATTEMPTS_MAX 8
/* From so many elements on a new table is filled before it is hooked. */
#define FILL_FIRST_MIN 1000
/* And a transaction of so many goes without its events. */
#define BULK_MIN 1000

const char *resync_reason_name(enum resync_reason reason)
{
	static const char *const names[RESYNC_REASON_MAX] = {
		[RESYNC_START] = "start",           [RESYNC_AUDIT] = "audit",
		[RESYNC_FOREIGN] = "foreign",       [RESYNC_CONFLICT] = "conflict",
		[RESYNC_GENERATION] = "generation", [RESYNC_UNKNOWN] = "unknown",
	};

	return names[reason];
}

static int open_socket(struct applier *applier)
{
	int r;

	netlink_close(&applier->netlink);
	r = netlink_open(&applier->netlink, RECEIVE_BYTES);
	if (r < 0)
		return r;
	if (applier->hooks.on_socket)
		applier->hooks.on_socket(applier->netlink.port_id, applier->hooks.userdata);
	return 0;
}

int applier_open(struct applier *ret, const struct shape *shape, struct ledger *ledger,
		 const struct applier_hooks *hooks, struct error *err)
{
	struct applier applier = {
		.shape = *shape,
		.ledger = ledger,
		.netlink = NETLINK_INIT,
		.why = RESYNC_START,
	};
	int r;

	if (hooks)
		applier.hooks = *hooks;
	r = open_socket(&applier);
	if (r == 0)
		r = transact_probe(&applier.netlink, &applier.end_acked);
	if (r == -EPERM)
		error_set(err, r, "privilege", NULL,
			  "CAP_NET_ADMIN is missing in this network namespace's user namespace: "
			  "run as root, or with AmbientCapabilities=CAP_NET_ADMIN");
	else if (r < 0)
		error_set(err, r, "kernel", NULL, "nf_tables does not answer: %s", strerror(-r));
	if (r < 0) {
		applier_close(&applier);
		return r;
	}
	*ret = applier;
	return 0;
}

void applier_close(struct applier *applier)
{
	netlink_close(&applier->netlink);
	structure_clear(&applier->structure);
}

void applier_set_devices(struct applier *applier, const struct shape_devices *devices)
{
	for (size_t i = 0; i < devices->n; i++)
		if (!shape_devices_have(&applier->shape.devices, devices->names[i]))
			applier->structure.devices = false;
	applier->shape.devices = *devices;
}

void applier_doubt(struct applier *applier, enum resync_reason reason)
{
	if (applier->current)
		applier->why = reason;
	applier->current = false;
}

/* ---- reading ---- */

static int take_mappings(struct applier *applier, struct dump *dump,
			 bool (*adopt)(const struct dump_element *element, void *userdata),
			 void *userdata)
{
	struct ledger *ledger = applier->ledger;
	int r;

	for (size_t i = 0; i < dump->n_elements; i++) {
		const struct dump_element *element = &dump->elements[i];
		const struct policy policy = { .expires_at = element->expires_at };
		struct entry *entry;

		r = ledger_install(ledger, &element->key, &element->target, element->comment,
				   element->expires_at, &entry);
		if (r < 0)
			return r;
		/* In two maps at once, of which only one can be ours. */
		if (entry->flags & ENTRY_MARKED)
			dump->structure.stale = true;
		entry->flags |= ENTRY_MARKED;
		if (!adopt || (entry->flags & ENTRY_DESIRED) || !adopt(element, userdata))
			continue;
		r = ledger_desire(ledger, &element->key, &element->target, element->comment,
				  &policy, 0, NULL);
		if (r < 0)
			return r;
		entry->flags |= ENTRY_ADOPTED;
	}
	return 0;
}

static int take_members(struct applier *applier, const struct dump *dump)
{
	struct member *member;
	int r;

	for (size_t i = 0; i < dump->n_members; i++) {
		const struct dump_member *read = &dump->members[i];

		r = members_install(&applier->ledger->members, &read->key, &read->terms, &member);
		if (r < 0)
			return r;
		member->packets = read->packets;
		member->flags |= MEMBER_MARKED;
	}
	return 0;
}

/* The limits of a mapping that was adopted a moment ago. */
static int adopt_limit(struct applier *applier, const struct dump_member *read)
{
	struct mapping_key key;
	struct policy policy;
	struct entry *entry;
	int r;

	if (restrictions_owner(&read->key, &key) < 0)
		return 0;
	entry = ledger_find(applier->ledger, &key);
	if (!entry || !(entry->flags & ENTRY_ADOPTED))
		return 0;
	r = policy_copy(entry_policy(entry), &policy);
	if (r < 0)
		return r;
	r = restrictions_read(&read->key, &read->terms, &policy);
	if (r == 0)
		r = ledger_desire(applier->ledger, &key, &entry->target, entry->label, &policy, 0,
				  NULL);
	policy_clear(&policy);
	return r == -EBADMSG ? 0 : r;
}

/* What was guarded by an allow-list that is gone must not be open to all. */
static void close_unguarded(struct applier *applier, const struct dump *dump)
{
	for (size_t i = 0; i < dump->n_members; i++) {
		const struct member_key *member = &dump->members[i].key;
		struct mapping_key key;
		struct entry *entry;

		if ((member->set != SHAPE_GUARDED4 && member->set != SHAPE_GUARDED6) ||
		    restrictions_owner(member, &key) < 0)
			continue;
		entry = ledger_find(applier->ledger, &key);
		if (entry && (entry->flags & ENTRY_ADOPTED) && entry_policy(entry)->n_allow == 0)
			ledger_undesire(applier->ledger, entry);
	}
}

static int adopt_limits(struct applier *applier, const struct dump *dump)
{
	struct entry *entry;
	size_t index = 0;
	int r = 0;

	for (size_t i = 0; r == 0 && i < dump->n_members; i++)
		r = adopt_limit(applier, &dump->members[i]);
	if (r == 0)
		close_unguarded(applier, dump);
	while ((entry = ledger_next(applier->ledger, &index)))
		entry->flags &= (uint8_t)~ENTRY_ADOPTED;
	return r;
}

/* Whatever the dump did not have is not installed; nothing is, where the table has to go. */
static void forget_others(struct applier *applier, bool all)
{
	struct members *members = &applier->ledger->members;
	struct entry *entry;
	size_t index = 0;

	while ((entry = ledger_next(applier->ledger, &index))) {
		if (all || !(entry->flags & ENTRY_MARKED))
			ledger_uninstall(applier->ledger, entry);
		entry->flags &= (uint8_t)~ENTRY_MARKED;
	}
	for (struct member *member = members->all; member; member = member->hh.next) {
		if (all || !(member->flags & MEMBER_MARKED))
			members_uninstall(members, member);
		member->flags &= (uint8_t)~MEMBER_MARKED;
	}
	ledger_settle(applier->ledger);
}

/* A start takes over what is there, so that it makes no transaction where nothing else differs; a
 * comparison in full takes the maps of nobody away. */
static void note_shrinking(struct applier *applier)
{
	if (applier->why == RESYNC_START)
		applier->shrink = PLAN_SHRINK | PLAN_KEEP_MAPS;
	else if (applier->why == RESYNC_AUDIT)
		applier->shrink = PLAN_SHRINK;
}

int applier_read(struct applier *applier,
		 bool (*adopt)(const struct dump_element *element, void *userdata), void *userdata,
		 struct error *err)
{
	struct dump dump = { 0 };
	int r;

	if (applier->current)
		return 0;
	applier->stats.resyncs[applier->why]++;
	r = dump_table(&applier->netlink, &applier->shape, &dump);
	if (r < 0) {
		(void)open_socket(applier);
		return error_set(err, r, "kernel", NULL, "cannot read the table back: %s",
				 strerror(-r));
	}
	r = take_mappings(applier, &dump, adopt, userdata);
	if (r == 0)
		r = take_members(applier, &dump);
	if (r == 0 && adopt)
		r = adopt_limits(applier, &dump);
	forget_others(applier, dump.structure.stale);
	structure_clear(&applier->structure);
	applier->structure = dump.structure;
	memset(&dump.structure, 0, sizeof(dump.structure));
	applier->generation = dump.generation;
	dump_clear(&dump);
	if (r < 0)
		return error_set(err, r, "kernel", NULL, "cannot read the table back: %s",
				 strerror(-r));
	applier->current = true;
	note_shrinking(applier);
	return 0;
}

/* ---- one transaction ---- */

struct attempt {
	struct plan plan;
	struct batch batch;
	struct transact_result result;
	bool one_by_one; /* one element per message, so that each failure has its own answer */
	bool bulk;       /* nobody listens; see applier_hooks */
	uint32_t before; /* the generation when that began; 0: unknown */
};

static void attempt_clear(struct attempt *attempt)
{
	batch_clear(&attempt->batch);
	plan_clear(&attempt->plan);
}

static int make_batch(struct applier *applier, struct attempt *attempt)
{
	struct encode_options options = {
		.first_sequence =
			netlink_sequences(&applier->netlink, batch_sequences_max(&attempt->plan)),
		.generation = applier->generation,
		.elements_per_message = attempt->one_by_one ? 1 : 0,
		.echo = !applier->end_acked,
		.now_ms = clock_unix_ms(),
	};

	return encode_plan(&attempt->plan, &applier->shape, &options, &attempt->batch);
}

static double seconds_now(void)
{
	struct timespec now = { 0 };

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void begin_bulk(struct applier *applier, struct attempt *attempt)
{
	bool end_acked;

	attempt->bulk = applier->hooks.on_bulk && attempt->plan.n_operations >= BULK_MIN;
	if (!attempt->bulk)
		return;
	/* While somebody listens still: what is committed from here on shows in the generation. The
	 * kernel tells of a commit behind its number, so one that is under way is waited for, as an
	 * empty batch does. */
	if (dump_generation(&applier->netlink, &attempt->before) < 0 ||
	    (applier->end_acked && transact_probe(&applier->netlink, &end_acked) < 0))
		attempt->before = 0;
	applier->hooks.on_bulk(true, applier->hooks.userdata);
}

/* Each commit makes one generation, and none is 0. Ours is the only one, or the table is read. */
static void end_bulk(struct applier *applier, const struct attempt *attempt)
{
	bool committed = attempt->result.outcome == TRANSACT_COMMITTED;
	uint32_t expected = attempt->before + committed, after = 0;

	if (!attempt->bulk)
		return;
	applier->hooks.on_bulk(false, applier->hooks.userdata);
	if (expected == 0)
		expected = 1;
	if (attempt->before == 0 || dump_generation(&applier->netlink, &after) < 0 ||
	    after != expected)
		applier_doubt(applier, RESYNC_FOREIGN);
}

static int send_batch(struct applier *applier, struct attempt *attempt, struct error *err)
{
	double begin = seconds_now();
	int r;

	r = make_batch(applier, attempt);
	if (r < 0)
		return error_set(err, r, "internal", NULL, "cannot make a transaction: %s",
				 strerror(-r));
	r = transact(&applier->netlink, &attempt->batch, true, TRANSACTION_TIMEOUT_MS,
		     &attempt->result, err);
	if (r < 0)
		return r;
	applier->stats.last_seconds = seconds_now() - begin;
	if (applier->hooks.on_transaction)
		applier->hooks.on_transaction(applier->stats.last_seconds, applier->hooks.userdata);
	return 0;
}

static void note_committed(struct applier *applier, const struct attempt *attempt,
			   struct apply_result *ret)
{
	applier->stats.transactions[APPLIER_COMMITTED]++;
	applier->stats.last_at = clock_unix_seconds();
	applier->stats.last_changes = attempt->plan.n_changes;
	ret->n_changes += attempt->plan.n_changes;
	ret->restructured |= attempt->plan.steps != 0 && !attempt->plan.only_shrinks;
	plan_done(&attempt->plan, &applier->shape, applier->ledger, &applier->structure);
	if (!attempt->plan.only_prefixes)
		applier->shrink = 0;
	/* From here on we know by our own receipts, whoever else changes other tables. */
	applier->generation = 0;
}

static void note_unknown(struct applier *applier)
{
	applier->stats.transactions[APPLIER_UNKNOWN]++;
	applier_doubt(applier, RESYNC_UNKNOWN);
	(void)open_socket(applier);
}

enum verdict {
	VERDICT_AGAIN,
	VERDICT_DONE,
	VERDICT_REFUSED,
	VERDICT_FAILED,
};

/* Errors that say something of one element, whatever the state of kernel and table. */
static bool blames_element(int errnum)
{
	return errnum == -EINVAL || errnum == -ENFILE || errnum == -EOPNOTSUPP ||
	       errnum == -ERANGE || errnum == -E2BIG;
}

/* A mapping is refused once, also where several of its elements are. */
static bool is_refused(const struct apply_result *result, const struct mapping_key *key)
{
	for (size_t i = 0; i < result->n_refusals; i++)
		if (result->refusals[i].of_mapping &&
		    mapping_key_compare(&result->refusals[i].key, key) == 0)
			return true;
	return false;
}

static void note_refusal(const struct operation *operation, const struct transact_error *error,
			 struct apply_result *ret)
{
	const char *field = restrictions_field(operation->set);
	struct apply_refusal refusal = { 0 };

	if (operation->entry) {
		refusal.of_mapping = true;
		refusal.key = operation->entry->key;
	} else {
		refusal.member = operation->member->key;
		refusal.of_mapping = restrictions_owner(&refusal.member, &refusal.key) == 0;
	}
	if (ret->n_refusals == APPLY_REFUSALS_MAX ||
	    (refusal.of_mapping && is_refused(ret, &refusal.key)))
		return;
	(void)snprintf(refusal.reason, sizeof(refusal.reason), "%s%sthe kernel refuses it: %s%s%s",
		       field ? field : "", field ? ": " : "", strerror(-error->errnum),
		       error->text[0] ? ": " : "", error->text);
	ret->refusals[ret->n_refusals++] = refusal;
}

static enum verdict fail_with(const struct transact_error *error, struct error *err)
{
	error_set(err, error->errnum, "kernel", NULL, "the kernel refuses a transaction: %s%s%s",
		  strerror(-error->errnum), error->text[0] ? ": " : "", error->text);
	return VERDICT_FAILED;
}

/* A kernel that lacks what a set needs: whatever wanted to be in it is refused. */
static bool refuse_set(const struct attempt *attempt, const struct transact_error *error,
		       struct apply_result *ret)
{
	enum shape_set set = batch_find_set(&attempt->batch, error->sequence);
	bool refused = false;

	if (set == SHAPE_SET_INVALID)
		return false;
	for (size_t i = 0; i < attempt->plan.n_operations; i++) {
		const struct operation *operation = &attempt->plan.operations[i];

		if (operation->set != set || operation->kind != OPERATION_ADD)
			continue;
		note_refusal(operation, error, ret);
		refused = true;
	}
	return refused;
}

static enum verdict judge_error(struct applier *applier, struct attempt *attempt,
				const struct transact_error *error, struct apply_result *ret,
				struct error *err)
{
	size_t operation;
	int r;

	if (refuse_set(attempt, error, ret))
		return VERDICT_REFUSED;
	/* What should be there is not, or the contrary: we believed something wrong. */
	if (error->errnum == -EEXIST || error->errnum == -ENOENT || error->errnum == -EBUSY) {
		applier_doubt(applier, RESYNC_CONFLICT);
		return VERDICT_AGAIN;
	}
	if (!blames_element(error->errnum))
		return fail_with(error, err);
	r = batch_find_operation(&attempt->batch, error->sequence, error->offset, &operation);
	if (r == -ENOENT) {
		attempt->one_by_one = true;
		return VERDICT_AGAIN;
	}
	if (r < 0)
		return fail_with(error, err);
	note_refusal(&attempt->plan.operations[operation], error, ret);
	return VERDICT_REFUSED;
}

static enum verdict judge_batch_error(struct applier *applier, int errnum, struct error *err)
{
	switch (errnum) {
	case -ERESTART:
		applier_doubt(applier, RESYNC_GENERATION);
		return VERDICT_AGAIN;
	case -EPERM:
		error_set(err, errnum, "privilege", NULL,
			  "CAP_NET_ADMIN is missing: the kernel refuses the transaction");
		return VERDICT_FAILED;
	default:
		error_set(err, errnum, "kernel", NULL, "the kernel refuses the transaction: %s",
			  strerror(-errnum));
		return VERDICT_FAILED;
	}
}

static enum verdict judge_rejected(struct applier *applier, struct attempt *attempt,
				   struct apply_result *ret, struct error *err)
{
	const struct transact_result *result = &attempt->result;
	enum verdict verdict = VERDICT_FAILED;

	applier->stats.transactions[APPLIER_REJECTED]++;
	if (result->n_errors == 0)
		return judge_batch_error(applier, result->batch_error, err);
	ret->n_refusals = 0;
	for (size_t i = 0; i < result->n_errors; i++) {
		verdict = judge_error(applier, attempt, &result->errors[i], ret, err);
		if (verdict != VERDICT_REFUSED)
			return verdict;
	}
	return verdict;
}

static enum verdict judge(struct applier *applier, struct attempt *attempt,
			  struct apply_result *ret, struct error *err)
{
	switch (attempt->result.outcome) {
	case TRANSACT_COMMITTED:
		note_committed(applier, attempt, ret);
		return VERDICT_AGAIN; /* to find that nothing is left, or to hook what was filled */
	case TRANSACT_REJECTED:
		return judge_rejected(applier, attempt, ret, err);
	case TRANSACT_ACKED:
	case TRANSACT_UNKNOWN:
		note_unknown(applier);
		return VERDICT_AGAIN;
	}
	return VERDICT_FAILED;
}

static unsigned ways_of(const struct applier *applier)
{
	unsigned ways = applier->shrink;

	if (applier->ledger->n_dirty >= FILL_FIRST_MIN)
		ways |= PLAN_FILL_FIRST;
	return ways;
}

static enum verdict run_once(struct applier *applier, struct attempt *attempt,
			     struct apply_result *ret, struct error *err)
{
	enum verdict verdict;
	int r;

	r = applier_read(applier, NULL, NULL, err);
	if (r < 0)
		return VERDICT_FAILED;
	r = plan_make(applier->ledger, &applier->shape, &applier->structure, ways_of(applier),
		      &attempt->plan);
	if (r < 0) {
		error_set(err, r, "internal", NULL, "out of memory");
		return VERDICT_FAILED;
	}
	if (plan_is_empty(&attempt->plan)) {
		ledger_settle(applier->ledger);
		applier->shrink = 0;
		return VERDICT_DONE;
	}
	if (applier->hooks.on_plan)
		applier->hooks.on_plan(&attempt->plan, applier->hooks.userdata);
	begin_bulk(applier, attempt);
	r = send_batch(applier, attempt, err);
	verdict = r < 0 ? VERDICT_FAILED : judge(applier, attempt, ret, err);
	end_bulk(applier, attempt);
	return verdict;
}

enum apply_outcome applier_run(struct applier *applier, struct apply_result *ret, struct error *err)
{
	struct attempt attempt = { 0 };

	memset(ret, 0, sizeof(*ret));
	attempt.result.outcome = TRANSACT_UNKNOWN;
	for (unsigned i = 0; i < ATTEMPTS_MAX; i++) {
		enum verdict verdict = run_once(applier, &attempt, ret, err);

		attempt_clear(&attempt);
		switch (verdict) {
		case VERDICT_AGAIN:
			continue;
		case VERDICT_DONE:
			return APPLY_DONE;
		case VERDICT_REFUSED:
			return APPLY_REFUSED;
		case VERDICT_FAILED:
			return APPLY_FAILED;
		}
	}
	error_set(err, -EAGAIN, "busy", NULL,
		  "the ruleset of this network namespace keeps changing under our transactions");
	return APPLY_FAILED;
}
