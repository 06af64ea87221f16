/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Limits and sums. */
#include "schedd/quota.h"

#include <errno.h>

#define GPU_MILLI 1000
/* What a column of the database can hold, and a GPU's thousandths with it. */
#define LIMIT_MAX ((uint64_t)INT64_MAX / GPU_MILLI)

const char *quota_name(enum quota_kind kind)
{
	static const char *const names[QUOTA_MAX] = {
		[QUOTA_ENVIRONMENTS] = "environments",
		[QUOTA_CPU] = "cpu_milli",
		[QUOTA_MEMORY] = "memory_bytes",
		[QUOTA_GPU] = "gpu",
		[QUOTA_PORTS] = "ports",
	};

	return names[kind];
}

void quota_unlimit(struct quota *quota)
{
	for (int i = 0; i < QUOTA_MAX; i++)
		quota->limits[i] = QUOTA_UNLIMITED;
}

struct tally tally_of(const struct environment_spec *spec)
{
	return (struct tally){ .used = {
				       [QUOTA_ENVIRONMENTS] = 1,
				       [QUOTA_CPU] = spec->cpu_milli,
				       [QUOTA_MEMORY] = spec->memory_bytes,
				       [QUOTA_GPU] =
					       (uint64_t)spec->gpu * GPU_MILLI + spec->gpu_milli,
				       [QUOTA_PORTS] = spec->n_services,
			       } };
}

void tally_add(struct tally *tally, const struct tally *more)
{
	for (int i = 0; i < QUOTA_MAX; i++)
		if (__builtin_add_overflow(tally->used[i], more->used[i], &tally->used[i]))
			tally->used[i] = UINT64_MAX;
}

void tally_remove(struct tally *tally, const struct tally *less)
{
	for (int i = 0; i < QUOTA_MAX; i++)
		tally->used[i] -= MIN(tally->used[i], less->used[i]);
}

static uint64_t limit_of(const struct quota *quota, enum quota_kind kind)
{
	uint64_t limit = quota->limits[kind];

	return kind == QUOTA_GPU && limit != QUOTA_UNLIMITED ? limit * GPU_MILLI : limit;
}

bool quota_is_exceeded(const struct quota *quota, const struct tally *used,
		       const struct tally *asked, enum quota_kind *ret)
{
	for (int i = 0; i < QUOTA_MAX; i++) {
		uint64_t limit = limit_of(quota, (enum quota_kind)i);

		/* Who has more than it may, since the limit was lowered, may still ask for none. */
		if (asked->used[i] == 0 || limit == QUOTA_UNLIMITED ||
		    (used->used[i] <= limit && asked->used[i] <= limit - used->used[i]))
			continue;
		*ret = (enum quota_kind)i;
		return true;
	}
	return false;
}

json_t *quota_encode_limit(const struct quota *quota, enum quota_kind kind)
{
	uint64_t limit = quota->limits[kind];

	return limit == QUOTA_UNLIMITED ? json_null() : json_integer((json_int_t)limit);
}

json_t *quota_encode_used(const struct tally *tally, enum quota_kind kind)
{
	uint64_t used = tally->used[kind];

	if (kind != QUOTA_GPU)
		return json_integer((json_int_t)used);
	if (used % GPU_MILLI == 0)
		return json_integer((json_int_t)(used / GPU_MILLI));
	return json_real((double)used / GPU_MILLI);
}

json_t *quota_encode(const struct quota *quota)
{
	_cleanup_json_ json_t *object = json_object();

	for (int i = 0; object && i < QUOTA_MAX; i++)
		if (json_object_set_new(object, quota_name((enum quota_kind)i),
					quota_encode_limit(quota, (enum quota_kind)i)) < 0)
			return NULL;
	return TAKE_PTR(object);
}

json_t *tally_encode(const struct tally *tally)
{
	_cleanup_json_ json_t *object = json_object();

	for (int i = 0; object && i < QUOTA_MAX; i++)
		if (json_object_set_new(object, quota_name((enum quota_kind)i),
					quota_encode_used(tally, (enum quota_kind)i)) < 0)
			return NULL;
	return TAKE_PTR(object);
}

int quota_decode(json_t *body, struct quota *ret, struct error *err)
{
	struct json_reader reader;
	struct quota quota;
	int r;

	quota_unlimit(&quota);
	json_reader_init(&reader, body, "", err);
	for (int i = 0; i < QUOTA_MAX; i++)
		json_read_uint(&reader, quota_name((enum quota_kind)i), JSON_OPTIONAL, 0, LIMIT_MAX,
			       &quota.limits[i]);
	r = json_reader_finish(&reader);
	if (r == 0)
		*ret = quota;
	return r;
}
