/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One container's log, read from Docker: the driver's logs, logs_pause and logs_cancel. */
#pragma once

#include "agentd/docker_api.h"
#include "agentd/driver.h"

/* host: the name of this host, whose containers are ours; copied. */
int docker_logs_read(struct driver_logs **ret, struct docker_api *api, const char *host,
		     const struct driver_logs_request *request) _must_check_;
void docker_logs_pause(struct driver_logs *logs, bool paused);
void docker_logs_cancel(struct driver_logs *logs); /* NULL is fine */

DEFINE_CLEANUP(struct driver_logs *, docker_logs_cancel, cleanup_docker_logs)
