/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The keeper of bans: takes requests to change the list, brings the desired members of the table in
 * line with it, and answers once the kernel has them, or has refused.
 */
#include "gatewayd/ban_keeper.h"

#include <errno.h>
#include <string.h>

#define OWN_SETS (SHAPE_BIT(SHAPE_BAN4) | SHAPE_BIT(SHAPE_BAN6))

int ban_request_new(struct ban_request **ret, enum ban_action action)
{
	struct ban_request *request = calloc(1, sizeof(*request));

	if (!request)
		return -ENOMEM;
	request->action = action;
	*ret = request;
	return 0;
}

void ban_request_free(struct ban_request *request)
{
	if (!request)
		return;
	bans_clear(&request->bans);
	free(request);
}

void ban_keeper_clear(struct ban_keeper *keeper)
{
	while (keeper->queue) {
		struct ban_request *next = keeper->queue->next;

		ban_request_free(keeper->queue);
		keeper->queue = next;
	}
	keeper->last = NULL;
	bans_clear(&keeper->bans);
	bans_clear(&keeper->wanted);
}

void ban_keeper_submit(struct ban_keeper *keeper, struct ban_request *request)
{
	request->next = NULL;
	if (keeper->last)
		keeper->last->next = request;
	else
		keeper->queue = request;
	keeper->last = request;
}

/* ---- the table's members ---- */

static bool is_own(const struct member_key *key)
{
	return OWN_SETS & SHAPE_BIT(key->set);
}

/* Desires exactly the bans of the list. What has no room in memory is left as it was. */
static int desire(const struct bans *bans, struct members *members)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < bans->n; i++) {
		const struct ban *ban = bans->items[i];
		const struct member_terms terms = {
			.expires_at = ban->expires_at,
			.comment = ban->reason[0] ? ban->reason : NULL,
		};
		struct member_key key;
		struct member *member;

		ban_key(&ban->source, &key);
		r = members_desire(members, &key, &terms, &member);
		if (r == 0)
			member->flags |= MEMBER_MARKED;
	}
	for (struct member *member = members->all; member; member = member->hh.next) {
		if (r == 0 && is_own(&member->key) && !(member->flags & MEMBER_MARKED))
			members_undesire(members, member);
		member->flags &= (uint8_t)~MEMBER_MARKED;
	}
	return r;
}

int ban_keeper_adopt(struct ban_keeper *keeper, struct members *members)
{
	struct bans *bans = &keeper->bans;
	int r = 0;

	for (struct member *member = members->all; r == 0 && member; member = member->hh.next) {
		struct ban ban;

		/* An interval that is no prefix is somebody else's, and goes. */
		if (is_own(&member->key) && (member->flags & MEMBER_INSTALLED) &&
		    ban_of_member(&member->key, &member->installed, &ban) == 0)
			r = bans_put(bans, &ban, NULL);
	}
	return r == 0 ? desire(bans, members) : r;
}

/* The kernel has dropped it by itself: neither side has it any more. */
static void forget_ended(struct members *members, int64_t now)
{
	for (struct member *member = members->all; member; member = member->hh.next)
		if (is_own(&member->key) && (member->flags & MEMBER_DESIRED) &&
		    member->desired.expires_at != 0 && member->desired.expires_at <= now) {
			members_undesire(members, member);
			members_uninstall(members, member);
		}
}

/* ---- requests ---- */

static int apply(struct ban_request *request, struct bans *bans)
{
	char source[PREFIX_STRING_MAX];
	int r = 0;

	switch (request->action) {
	case BAN_REPLACE:
		bans_clear(bans);
		return bans_copy(&request->bans, bans);
	case BAN_PUT:
		for (size_t i = 0; r == 0 && i < request->bans.n; i++)
			r = bans_put(bans, request->bans.items[i], &request->error);
		return r;
	case BAN_REMOVE:
		r = bans_remove(bans, &request->source);
		if (r == -ENOENT)
			error_set(&request->error, r, "not_found", "source", "%s is not banned",
				  prefix_format(&request->source, source));
		return r;
	}
	return r;
}

/* All of a request, or nothing. */
static int apply_whole(struct ban_request *request, struct bans *bans)
{
	struct bans changed;
	int r;

	r = bans_copy(bans, &changed);
	if (r == 0) {
		r = apply(request, &changed);
		if (r < 0)
			bans_clear(&changed);
	}
	if (r < 0)
		return error_set(&request->error, r, "internal", NULL, "%s", strerror(-r));
	bans_clear(bans);
	*bans = changed;
	return 0;
}

/* The list is what it was. That can only need memory for what is in it anyway. */
static void take_back(struct ban_keeper *keeper, struct members *members)
{
	bans_clear(&keeper->wanted);
	keeper->applied = false;
	(void)!desire(&keeper->bans, members);
}

void ban_keeper_apply(struct ban_keeper *keeper, struct members *members, int64_t now)
{
	int r;

	if (bans_expire(&keeper->bans, now) > 0)
		forget_ended(members, now);
	if (!keeper->queue)
		return;
	bans_clear(&keeper->wanted);
	r = bans_copy(&keeper->bans, &keeper->wanted);
	for (struct ban_request *request = keeper->queue; r == 0 && request;
	     request = request->next)
		if (request->error.errnum == 0)
			(void)!apply_whole(request, &keeper->wanted);
	if (r == 0)
		r = desire(&keeper->wanted, members);
	keeper->applied = r == 0;
	if (r < 0)
		take_back(keeper, members);
}

/* Whether the request brings a ban of this source, or of a part of it, or of more. */
static bool brings(const struct ban_request *request, const struct prefix *source)
{
	for (size_t i = 0; i < request->bans.n; i++) {
		const struct prefix *own = &request->bans.items[i]->source;

		if (prefix_contains(source, own) || prefix_contains(own, source))
			return true;
	}
	return false;
}

bool ban_keeper_refuse(struct ban_keeper *keeper, const struct member_key *key, const char *reason)
{
	const struct member_terms terms = { 0 };
	char text[PREFIX_STRING_MAX];
	bool found = false;
	struct ban ban;

	if (!is_own(key) || ban_of_member(key, &terms, &ban) < 0)
		return false;
	for (struct ban_request *request = keeper->queue; request; request = request->next) {
		if (request->error.errnum != 0 || !brings(request, &ban.source))
			continue;
		error_set(&request->error, -EINVAL, "refused", "source", "source: %s: %s",
			  prefix_format(&ban.source, text), reason);
		found = true;
	}
	if (!found)
		(void)!bans_remove(&keeper->bans, &ban.source);
	return found;
}

void ban_keeper_settle(struct ban_keeper *keeper, struct members *members, const struct error *err)
{
	static const struct error no_memory = { .errnum = -ENOMEM,
						.code = "internal",
						.message = "out of memory" };
	struct ban_request *queue = keeper->queue;

	if (!queue)
		return;
	keeper->queue = keeper->last = NULL;
	if (!err && !keeper->applied)
		err = &no_memory;
	if (err) {
		take_back(keeper, members);
	} else {
		bans_clear(&keeper->bans);
		keeper->bans = keeper->wanted;
		keeper->wanted = BANS_INIT;
	}
	keeper->applied = false;
	while (queue) {
		struct ban_request *request = queue;

		queue = request->next;
		if (err && request->error.errnum == 0)
			request->error = *err;
		request->n_bans = keeper->bans.n;
		if (request->error.errnum == 0 && keeper->on_request)
			keeper->on_request(request, keeper->userdata);
		if (request->on_done)
			request->on_done(request, request->userdata);
		ban_request_free(request);
	}
}
