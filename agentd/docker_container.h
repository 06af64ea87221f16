/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A container in Docker's JSON: the body of a create, and the reading of an inspect. Pure. */
#pragma once

#include "agentd/driver.h"

#define LABEL_ENVIRONMENT "portico.environment"
#define LABEL_HOST "portico.host"
#define LABEL_REVISION "portico.revision"
#define LABEL_EPOCH "portico.epoch"
#define LABEL_DIGEST "portico.digest"
#define LABEL_MOVABLE "portico.movable"

#define DOCKER_NETWORK "portico"

/* Processes and threads of one environment: enough for any build, and no fork bomb. */
#define CONTAINER_PIDS_MAX 8192

struct docker_container_config {
	const struct assignment *assignment;
	const char *digest;
	uint64_t epoch;
	const char *host;              /* the name of this host */
	const struct address *address; /* services are published on it and nowhere else */
	json_t *binds;                 /* borrowed array of "SOURCE:TARGET" */
};

/* The body of POST /containers/create; NULL: out of memory. It carries no secret. */
json_t *docker_container_body(const struct docker_container_config *config);

/* Reads the answer of GET /containers/ID/json. -ENOENT where the container is not one that the host
 * of this name made: the labels must say so, and its name must be its environment's, since labels
 * are inherited by images that a user commits. -EPROTO where fields are missing. Clear *ret. */
int docker_container_parse(json_t *json, const char *host, struct instance *ret) _must_check_;
