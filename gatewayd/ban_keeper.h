/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The keeper of bans: takes requests to change the list, brings the desired members of the table in
 * line with it, and answers once the kernel has them, or has refused. It sends nothing.
 */
#pragma once

#include "gatewayd/bans.h"

enum ban_action {
	BAN_PUT,     /* each of the list is added */
	BAN_REPLACE, /* the list takes the place of all */
	BAN_REMOVE,  /* ends bans of source and within it */
};

struct ban_request {
	enum ban_action action;
	struct bans bans;     /* owned; of BAN_PUT and BAN_REPLACE */
	struct prefix source; /* of BAN_REMOVE */
	struct error error;   /* why it failed: errnum is not 0 */
	size_t n_bans;        /* in all, when it is done */
	/* Exactly once: after the kernel has it, or with error set. The request is freed by the
	 * keeper afterwards. */
	void (*on_done)(struct ban_request *request, void *userdata);
	void *userdata;
	struct ban_request *next; /* the keeper's queue */
};

int ban_request_new(struct ban_request **ret, enum ban_action action) _must_check_;
void ban_request_free(struct ban_request *request); /* NULL is fine */
DEFINE_CLEANUP(struct ban_request *, ban_request_free, cleanup_ban_request)

struct ban_keeper {
	struct bans bans;                 /* in the kernel */
	struct bans wanted;               /* with the requests that are on their way */
	struct ban_request *queue, *last; /* not answered yet */
	bool applied;                     /* wanted is what members desire */
	/* Called with each request that the kernel has, before it is answered, so that it can be
	 * noted elsewhere. May be NULL. */
	void (*on_request)(const struct ban_request *request, void *userdata);
	void *userdata;
};

void ban_keeper_clear(struct ban_keeper *keeper);

/* Adds the installed members of the table to the list, as after a restart, and desires all of it.
 * -ENOMEM. */
int ban_keeper_adopt(struct ban_keeper *keeper, struct members *members) _must_check_;

/* Queues a request, which is taken over. */
void ban_keeper_submit(struct ban_keeper *keeper, struct ban_request *request);

/* Makes the queue's list the desired one. Requests that fail by themselves are left out, and have
 * their error. Bans that have ended by now (Unix seconds) are forgotten: the kernel has done the
 * same. */
void ban_keeper_apply(struct ban_keeper *keeper, struct members *members, int64_t now);

/* The kernel refuses this member, for this reason: fails the requests that bring it, which is seen
 * with the next ban_keeper_apply. False: nobody waits for it, and it is on the list no more. */
bool ban_keeper_refuse(struct ban_keeper *keeper, const struct member_key *key, const char *reason);

/* The kernel has the desired members; or not, for this reason: the list is then what it was. All
 * requests are answered. */
void ban_keeper_settle(struct ban_keeper *keeper, struct members *members, const struct error *err);
