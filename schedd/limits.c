/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Callers by key, each with what it has taken. */
#include "schedd/limits.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "schedd/hash.h"

/* Callers that are remembered; those who have nothing to remember go first. */
#define CALLERS_MAX 65536
#define PRUNE_MAX 64
/* When to come back for what is freed by others' ends. */
#define WAIT_MS 1000

struct limits_caller {
	char key[LIMITS_KEY_MAX];
	bool exempt;
	unsigned requests, watches;
	uint64_t due_us; /* when its rate would be used up, were it used steadily */
	UT_hash_handle hh;
};

struct limits {
	struct limits_config config;
	struct limits_caller *callers;
	unsigned requests, watches;
};

int limits_new(struct limits **ret, const struct limits_config *config)
{
	struct limits *limits = calloc(1, sizeof(*limits));

	if (!limits)
		return -ENOMEM;
	limits->config = *config;
	*ret = limits;
	return 0;
}

void limits_free(struct limits *limits)
{
	struct limits_caller *caller, *next;

	if (!limits)
		return;
	HASH_ITER (hh, limits->callers, caller, next) {
		HASH_DEL(limits->callers, caller);
		free(caller);
	}
	free(limits);
}

static int over(const char *limit, uint64_t wait_ms, const char **ret_limit, uint64_t *ret_wait_ms)
{
	*ret_limit = limit;
	*ret_wait_ms = wait_ms;
	return -EAGAIN;
}

/* ---- callers ---- */

/* Forgets some who have nothing taken and their whole rate left. */
static void prune(struct limits *limits, uint64_t now_us)
{
	struct limits_caller *caller, *next;
	unsigned seen = 0;

	HASH_ITER (hh, limits->callers, caller, next) {
		if (seen++ == PRUNE_MAX)
			return;
		HASH_DEL(limits->callers, caller);
		if (caller->requests == 0 && caller->watches == 0 && caller->due_us <= now_us)
			free(caller);
		else
			HASH_ADD_STR(limits->callers, key, caller); /* to the end */
	}
}

static struct limits_caller *find(struct limits *limits, const char *key, bool exempt,
				  uint64_t now_us)
{
	struct limits_caller *caller;

	HASH_FIND_STR(limits->callers, key, caller);
	if (caller)
		return caller;
	if (HASH_COUNT(limits->callers) >= CALLERS_MAX)
		prune(limits, now_us);
	if (HASH_COUNT(limits->callers) >= CALLERS_MAX)
		return NULL;
	caller = calloc(1, sizeof(*caller));
	if (!caller)
		return NULL;
	(void)snprintf(caller->key, sizeof(caller->key), "%s", key);
	caller->exempt = exempt;
	HASH_ADD_STR(limits->callers, key, caller);
	if (caller->hh.tbl)
		return caller;
	free(caller);
	return NULL;
}

static uint64_t interval_us(const struct limits *limits)
{
	return MAX(1000000 / limits->config.rate, 1);
}

/* How long until the caller's rate allows one more; 0: now. */
static uint64_t rate_wait_us(const struct limits *limits, const struct limits_caller *caller,
			     uint64_t now_us)
{
	uint64_t burst_us = 2 * limits->config.rate * interval_us(limits);
	uint64_t due = MAX(caller->due_us, now_us) + interval_us(limits);

	return due - now_us > burst_us ? due - now_us - burst_us : 0;
}

int limits_take(struct limits *limits, const char *key, bool exempt, uint64_t now_us,
		struct limits_caller **ret, const char **ret_limit, uint64_t *ret_wait_ms)
{
	const struct limits_config *config = &limits->config;
	struct limits_caller *caller;
	uint64_t wait_us = 0;

	if (!exempt && limits->requests >= config->all_requests)
		return over("max-requests", WAIT_MS, ret_limit, ret_wait_ms);
	caller = find(limits, key, exempt, now_us);
	if (!caller)
		return -ENOMEM;
	if (!exempt && config->rate > 0)
		wait_us = rate_wait_us(limits, caller, now_us);
	if (wait_us > 0)
		return over("token-rate", (wait_us + 999) / 1000, ret_limit, ret_wait_ms);
	if (!exempt && caller->requests >= config->requests)
		return over("token-requests", WAIT_MS, ret_limit, ret_wait_ms);
	if (!exempt && config->rate > 0)
		caller->due_us = MAX(caller->due_us, now_us) + interval_us(limits);
	caller->requests++;
	limits->requests++;
	*ret = caller;
	return 0;
}

int limits_take_watch(struct limits *limits, struct limits_caller *caller, const char **ret_limit,
		      uint64_t *ret_wait_ms)
{
	if (!caller->exempt && limits->watches >= limits->config.all_watches)
		return over("max-watches", WAIT_MS, ret_limit, ret_wait_ms);
	if (!caller->exempt && caller->watches >= limits->config.watches)
		return over("token-watches", WAIT_MS, ret_limit, ret_wait_ms);
	caller->watches++;
	limits->watches++;
	caller->requests--;
	limits->requests--;
	return 0;
}

void limits_give(struct limits *limits, struct limits_caller *caller, bool watch)
{
	if (watch) {
		caller->watches--;
		limits->watches--;
	} else {
		caller->requests--;
		limits->requests--;
	}
}

unsigned limits_requests(const struct limits *limits)
{
	return limits->requests;
}
