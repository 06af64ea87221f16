/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Customers, tokens and idempotency keys: made, taken away, and when tokens were used last. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "lib/clock.h"
#include "schedd/scheduler_private.h"

#define CUSTOMERS_MAX 100000
#define TOKENS_MAX 200000
/* How exact a row's last use is: a use costs no write before so many seconds have passed. */
#define USE_SECONDS 300
/* A token that expired is shown so long before its row goes. */
#define EXPIRED_SECONDS (30 * 86400)
#define KEYS_MAX 1000000
#define KEY_SECONDS 86400
/* Taken out at a time; the next are a minute later. */
#define KEYS_FORGOTTEN_MAX 50000

static int no_memory(struct error *err)
{
	return error_set(err, -ENOMEM, "internal", NULL, "out of memory");
}

/* Waits for the batch with the row. record is taken over. */
static int add(struct scheduler *scheduler, struct record *record, scheduler_done done,
	       void *userdata, struct entry **ret, struct error *err)
{
	int r = state_add(&scheduler->state, record, ret);

	if (r == 0)
		r = scheduler_wait(scheduler, (*ret)->id, done, userdata);
	if (r == 0)
		return 0;
	scheduler_abandon_open(scheduler, -ENOMEM, "internal", "out of memory");
	return no_memory(err);
}

/* ---- customers ---- */

int scheduler_create_customer(struct scheduler *scheduler, struct customer *customer,
			      const char *actor, scheduler_done done, void *userdata,
			      struct error *err)
{
	_cleanup_(cleanup_customer) struct customer *owned = customer;
	struct entry *entry;
	int r = scheduler_ready(scheduler, err);

	if (r < 0)
		return r;
	if (state_customer(&scheduler->state, customer->id))
		return error_set(err, -EEXIST, "conflict", "name",
				 "name: there is a customer \"%s\" already", customer->id);
	if (state_count(&scheduler->state, RECORD_CUSTOMER) >= CUSTOMERS_MAX)
		return error_set(err, -ENOSPC, "too_many", NULL, "there are %d customers already",
				 CUSTOMERS_MAX);
	customer->created_at = clock_unix_seconds();
	r = add(scheduler, &TAKE_PTR(owned)->record, done, userdata, &entry, err);
	if (r == 0)
		state_audit(&scheduler->state, entry, actor, "create", "customer %s", entry->id);
	return r;
}

/* False: no memory, the batch is lost. */
static bool remove_token(struct scheduler *scheduler, struct token_entry *entry, const char *actor,
			 const char *why)
{
	struct token *token = state_edit_token(&scheduler->state, entry);

	if (!token)
		return false;
	token->record.gone = true;
	state_audit(&scheduler->state, &entry->entry, actor, "revoke", "token %s: %s", token->name,
		    why);
	return true;
}

int scheduler_remove_tokens(struct scheduler *scheduler, enum role role, const char *subject,
			    const char *actor, const char *why)
{
	struct token_entry *entry;

	STATE_FOREACH(&scheduler->state, RECORD_TOKEN, entry)
	{
		const struct token *token = token_newest(entry);

		if (!token->record.gone && token->role == role &&
		    strcmp(token->subject, subject) == 0 &&
		    !remove_token(scheduler, entry, actor, why))
			return -ENOMEM;
	}
	return 0;
}

static bool remove_customer(struct scheduler *scheduler, struct customer_entry *entry,
			    const char *actor)
{
	struct customer *customer = state_edit_customer(&scheduler->state, entry);

	if (!customer)
		return false;
	customer->record.gone = true;
	state_audit(&scheduler->state, &entry->entry, actor, "delete", "customer %s",
		    entry->entry.id);
	return scheduler_remove_tokens(scheduler, ROLE_CUSTOMER, entry->entry.id, actor,
				       "its customer was deleted") == 0;
}

/* ---- quotas ---- */

int scheduler_excess(const struct scheduler *scheduler, const struct environment_spec *spec,
		     json_t **ret)
{
	const struct customer_entry *owner =
		spec->customer ? state_customer(&scheduler->state, spec->customer) : NULL;
	const struct tally asked = tally_of(spec);
	const struct quota *quota;
	enum quota_kind kind;
	struct tally used;

	*ret = NULL;
	if (!owner)
		return 0;
	quota = &((const struct customer *)entry_newest(&owner->entry))->quota;
	used = state_tally(&scheduler->state, spec->customer);
	if (!quota_is_exceeded(quota, &used, &asked, &kind))
		return 0;
	*ret = json_pack("{s:s, s:o, s:o, s:o}", "quota", quota_name(kind), "limit",
			 quota_encode_limit(quota, kind), "used", quota_encode_used(&used, kind),
			 "requested", quota_encode_used(&asked, kind));
	return *ret ? 0 : -ENOMEM;
}

static void audit_quota(struct scheduler *scheduler, const struct customer_entry *entry,
			const struct quota *quota, const char *actor)
{
	char text[REASON_MAX] = "";

	for (int i = 0; i < QUOTA_MAX; i++) {
		size_t length = strlen(text);

		if (quota->limits[i] != QUOTA_UNLIMITED)
			(void)snprintf(text + length, sizeof(text) - length, "%s%s=%" PRIu64,
				       length ? " " : "", quota_name((enum quota_kind)i),
				       quota->limits[i]);
	}
	state_audit(&scheduler->state, &entry->entry, actor, "quota", "%s", text);
}

int scheduler_set_quota(struct scheduler *scheduler, const char *id, const struct quota *quota,
			const char *actor, scheduler_done done, void *userdata, struct error *err)
{
	struct customer_entry *entry;
	struct customer *customer;
	int r = scheduler_ready(scheduler, err);

	if (r < 0)
		return r;
	entry = state_customer(&scheduler->state, id);
	if (!entry || entry_newest(&entry->entry)->gone)
		return error_set(err, -ENOENT, "not_found", NULL, "there is no customer %s", id);
	if (scheduler_wait(scheduler, id, done, userdata) < 0)
		return no_memory(err);
	customer = state_edit_customer(&scheduler->state, entry);
	if (!customer) {
		scheduler_abandon_open(scheduler, -ENOMEM, "internal", "out of memory");
		return 0; /* done was called with the error */
	}
	customer->quota = *quota;
	audit_quota(scheduler, entry, quota, actor);
	return 0;
}

int scheduler_delete_customer(struct scheduler *scheduler, const char *id, const char *actor,
			      scheduler_done done, void *userdata, struct error *err)
{
	struct customer_entry *entry;
	int r = scheduler_ready(scheduler, err);

	if (r < 0)
		return r;
	entry = state_customer(&scheduler->state, id);
	if (!entry || entry_newest(&entry->entry)->gone)
		return error_set(err, -ENOENT, "not_found", NULL, "there is no customer %s", id);
	if (state_tally(&scheduler->state, id).used[QUOTA_ENVIRONMENTS] > 0)
		return error_set(err, -EBUSY, "in_use", NULL,
				 "customer %s has environments: delete them first", id);
	r = scheduler_wait(scheduler, id, done, userdata);
	if (r < 0)
		return no_memory(err);
	if (!remove_customer(scheduler, entry, actor))
		scheduler_abandon_open(scheduler, -ENOMEM, "internal", "out of memory");
	return 0; /* done is called in any case */
}

/* ---- tokens ---- */

static int check_token(const struct scheduler *scheduler, const struct token *token,
		       struct error *err)
{
	const struct customer_entry *owner;
	struct token_entry *other;

	STATE_FOREACH(&scheduler->state, RECORD_TOKEN, other)
	if (!token_newest(other)->record.gone &&
	    strcmp(token_newest(other)->name, token->name) == 0)
		return error_set(err, -EEXIST, "conflict", "name",
				 "name: \"%s\" is the name of token %s", token->name,
				 other->entry.id);
	if (state_count(&scheduler->state, RECORD_TOKEN) >= TOKENS_MAX)
		return error_set(err, -ENOSPC, "too_many", NULL, "there are %d tokens already",
				 TOKENS_MAX);
	if (token->role != ROLE_CUSTOMER)
		return 0;
	owner = state_customer(&scheduler->state, token->subject);
	if (owner && !entry_newest(&owner->entry)->gone)
		return 0;
	return error_set(err, -EINVAL, "invalid", "subject",
			 "subject: there is no customer \"%s\"; make it first", token->subject);
}

int scheduler_create_token(struct scheduler *scheduler, struct token *token, const char *actor,
			   scheduler_done done, void *userdata, struct error *err)
{
	_cleanup_(cleanup_token) struct token *owned = token;
	struct entry *entry;
	int r = scheduler_ready(scheduler, err);

	if (r == 0)
		r = check_token(scheduler, token, err);
	if (r < 0)
		return r;
	token->created_at = clock_unix_seconds();
	(void)snprintf(token->created_by, sizeof(token->created_by), "%s", actor);
	r = add(scheduler, &TAKE_PTR(owned)->record, done, userdata, &entry, err);
	if (r == 0)
		state_audit(&scheduler->state, entry, actor, "create",
			    "token %s role=%s subject=%s", token->name, role_name(token->role),
			    token->subject);
	return r;
}

int scheduler_revoke_token(struct scheduler *scheduler, const char *id, const char *actor,
			   scheduler_done done, void *userdata, struct error *err)
{
	struct token_entry *entry;
	int r = scheduler_ready(scheduler, err);

	if (r < 0)
		return r;
	entry = state_token(&scheduler->state, id);
	if (!entry || token_newest(entry)->record.gone)
		return error_set(err, -ENOENT, "not_found", NULL, "there is no token %s", id);
	r = scheduler_wait(scheduler, id, done, userdata);
	if (r < 0)
		return no_memory(err);
	if (!remove_token(scheduler, entry, actor, "asked for"))
		scheduler_abandon_open(scheduler, -ENOMEM, "internal", "out of memory");
	return 0; /* done is called in any case */
}

void scheduler_write_token_uses(struct scheduler *scheduler)
{
	int64_t now = clock_unix_seconds();
	struct token_entry *entry;

	if (scheduler_ready(scheduler, NULL) < 0)
		return;
	STATE_FOREACH(&scheduler->state, RECORD_TOKEN, entry)
	{
		const struct token *token = token_newest(entry);
		struct token *edited;

		if (token->record.gone)
			continue;
		if (token->expires_at > 0 && token->expires_at + EXPIRED_SECONDS < now) {
			(void)remove_token(scheduler, entry, "schedd", "it expired long ago");
		} else if (entry->last_used_at >= token->last_used_at + USE_SECONDS) {
			edited = state_edit_token(&scheduler->state, entry);
			if (edited)
				edited->last_used_at = entry->last_used_at;
		}
	}
	scheduler_wake(scheduler);
}

/* ---- idempotency keys ---- */

bool scheduler_has_room_for_key(const struct scheduler *scheduler)
{
	return state_count(&scheduler->state, RECORD_KEY) < KEYS_MAX;
}

bool scheduler_is_over_keys(const struct scheduler *scheduler, const char *caller,
			    uint64_t *ret_wait_s)
{
	const struct key_entry *oldest;
	int64_t goes_at;

	if (state_count_keys(&scheduler->state, caller, &oldest) <
	    scheduler->config.keys_per_caller)
		return false;
	goes_at = oldest ? key_newest(oldest)->created_at + KEY_SECONDS : 0;
	*ret_wait_s = (uint64_t)MAX(goes_at - clock_unix_seconds(), (int64_t)1);
	return true;
}

void scheduler_remember(struct scheduler *scheduler, struct key *key)
{
	key->created_at = clock_unix_seconds();
	if (state_add(&scheduler->state, &key->record, NULL) < 0)
		scheduler_abandon_open(scheduler, -ENOMEM, "internal", "out of memory");
}

int scheduler_settle(struct scheduler *scheduler, const char *id, scheduler_done done,
		     void *userdata, struct error *err)
{
	int r = scheduler_ready(scheduler, err);

	if (r == 0 && scheduler_wait(scheduler, id, done, userdata) < 0)
		r = no_memory(err);
	return r;
}

void scheduler_forget_keys(struct scheduler *scheduler)
{
	int64_t before = clock_unix_seconds() - KEY_SECONDS;
	struct key_entry *entry;
	unsigned n = 0;

	if (scheduler_ready(scheduler, NULL) < 0)
		return;
	STATE_FOREACH(&scheduler->state, RECORD_KEY, entry) /* oldest first */
	{
		struct key *edited;

		if (key_newest(entry)->created_at > before || n++ == KEYS_FORGOTTEN_MAX)
			break;
		edited = key_newest(entry)->record.gone ? NULL
							: state_edit_key(&scheduler->state, entry);
		if (edited)
			edited->record.gone = true;
	}
	if (n > 0)
		scheduler_wake(scheduler);
}
