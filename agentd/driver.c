/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The plain data of the driver interface. */
#include "agentd/driver.h"

#include <string.h>

void instance_clear(struct instance *instance)
{
	free(instance->environment);
	free(instance->id);
	free(instance->digest);
	free(instance->started);
	free(instance->error);
	free(instance->ports);
	memset(instance, 0, sizeof(*instance));
}

const char *driver_action_name(enum driver_action action)
{
	switch (action) {
	case DRIVER_CREATE:
		return "create";
	case DRIVER_START:
		return "start";
	case DRIVER_STOP:
		return "stop";
	case DRIVER_REMOVE:
		return "remove";
	case DRIVER_ACTION_MAX:
		break;
	}
	return NULL;
}
