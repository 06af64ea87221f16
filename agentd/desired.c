/* SPDX-License-Identifier: GPL-2.0-or-later */
/* From the stream's item to an assignment that can be planned with. */
#include "agentd/desired.h"

#include <errno.h>
#include <string.h>

#include "agentd/digest.h"

static int refuse(struct desired *desired, const char *reason)
{
	desired->refusal = strdup(reason);
	return desired->refusal ? 0 : -ENOMEM;
}

static int take_unreadable(struct desired *desired, json_t *item, int r, struct error *err)
{
	const char *environment = json_string_value(json_object_get(item, "environment"));
	json_int_t revision = json_integer_value(json_object_get(item, "revision"));

	if (r == -ENOMEM || !environment)
		return r;
	memset(&desired->assignment, 0, sizeof(desired->assignment));
	desired->assignment.environment = strdup(environment);
	if (!desired->assignment.environment)
		return -ENOMEM;
	desired->assignment.revision = revision > 0 ? (uint64_t)revision : 0;
	return refuse(desired, error_text(err, r));
}

static int derive(struct desired *desired, struct driver *driver)
{
	struct error err = ERROR_INIT;
	int r;

	r = driver->ops->validate(driver, &desired->assignment, &err);
	if (r == -ENOMEM)
		return r;
	if (r < 0)
		return refuse(desired, error_text(&err, r));
	return assignment_digest(&desired->assignment, desired->digest);
}

int desired_new(struct desired **ret, json_t *item, struct driver *driver, struct error *err)
{
	_cleanup_(cleanup_desired) struct desired *desired = calloc(1, sizeof(*desired));
	int r;

	if (!desired)
		return -ENOMEM;
	desired->references = 1;
	r = assignment_decode(item, "", &desired->assignment, err);
	if (r < 0)
		r = take_unreadable(desired, item, r, err);
	else
		r = derive(desired, driver);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(desired);
	return 0;
}

struct desired *desired_ref(struct desired *desired)
{
	desired->references++;
	return desired;
}

void desired_unref(struct desired *desired)
{
	if (!desired || --desired->references > 0)
		return;
	assignment_clear(&desired->assignment);
	free(desired->refusal);
	free(desired);
}
