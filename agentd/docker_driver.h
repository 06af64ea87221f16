/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The Docker driver: see driver.h for what it must do. */
#pragma once

#include <event2/event.h>

#include "agentd/driver.h"
#include "lib/address.h"
#include "lib/http_client.h"
#include "lib/metrics.h"

struct docker_driver_config {
	struct event_base *base;
	struct http_client *client;
	const char *docker;     /* see docker_api_takes */
	const char *host;       /* name of this host */
	struct address address; /* services are published on it */
	const char *data_dir;
	const char *shared_dir; /* NULL: no shared volumes */
	struct metric *errors;  /* docker_errors_total{operation}; may be NULL */
};

int docker_driver_new(struct driver **ret, const struct docker_driver_config *config,
		      struct error *err) _must_check_;
