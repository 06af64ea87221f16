/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What followers tell schedd: registrations and status reports of hosts and gateways.
 *
 * A follower's id is its configured name. It registers with POST /v1/hosts or /v1/gateways (which
 * may be repeated), watches GET /v1/{hosts,gateways}/ID/desired?watch=1 and reports with
 * POST /v1/{hosts,gateways}/ID/status: at each change and as heartbeat.
 */
#pragma once

#include "lib/address.h"
#include "lib/error.h"
#include "lib/json.h"
#include "proto/mapping.h"

#define FOLLOWER_NAME_MAX 63 /* a DNS name: [a-z0-9.-], alphanumeric at both ends */
#define REPORT_CONTAINERS_MAX 4096
#define REPORT_SERVICES_MAX 16
#define REPORT_GPUS_MAX 64
#define REPORT_FAILURES_MAX 1000

struct gpu {
	char *uuid, *model;
	uint64_t memory_bytes;
};

struct capacity {
	uint64_t cpu_milli;
	uint64_t memory_bytes;
	struct gpu *gpus;
	size_t n_gpus;
};

/* {"name","address","pool","labels","capacity":{"cpu_milli","memory_bytes","gpus":[…]},"version"}
 */
struct host_registration {
	char *name;
	struct address address; /* where services are published, on the private network */
	char *pool;
	json_t *labels;
	struct capacity capacity;
	char *version;
};
int host_registration_decode(json_t *json, struct host_registration *ret, struct error *err)
	_must_check_;
json_t *host_registration_encode(const struct host_registration *registration);
void host_registration_clear(struct host_registration *registration);

/* {"name","addresses":["203.0.113.10",…],"version"} */
struct gateway_registration {
	char *name;
	struct address *addresses;
	size_t n_addresses;
	char *version;
};
int gateway_registration_decode(json_t *json, struct gateway_registration *ret, struct error *err)
	_must_check_;
json_t *gateway_registration_encode(const struct gateway_registration *registration);
void gateway_registration_clear(struct gateway_registration *registration);

#define EXIT_CODE_NONE (-1)
#define EXIT_CODE_MAX 255

enum container_state {
	CONTAINER_WAITING, /* seen, not begun, or between two tries: the reason says why */
	CONTAINER_PULLING,
	CONTAINER_CREATING,
	CONTAINER_STARTING, /* started; a service does not answer yet */
	CONTAINER_READY,    /* every service answers on its host port */
	CONTAINER_STOPPING,
	CONTAINER_STOPPED,
	CONTAINER_REMOVING,
	CONTAINER_FAILED, /* given up until the assignment changes */
	CONTAINER_STATE_MAX,
	CONTAINER_STATE_INVALID = -1,
};
const char *container_state_name(enum container_state state);
enum container_state container_state_parse(const char *text);

/* One published service: where the gateway can reach it. */
struct service_endpoint {
	char *service;
	enum protocol protocol;
	struct endpoint endpoint;
};

struct container_report {
	char *environment;
	uint64_t revision; /* of the assignment that it follows; 0 if it has none (any more) */
	enum container_state state;
	char *reason;                      /* one sentence; NULL if none */
	int exit_code;                     /* of its last end; EXIT_CODE_NONE: it never ended */
	uint64_t crashes;                  /* ends in a row since it last ran well */
	int64_t next_try;                  /* when it is started again; 0: no start is waited for */
	struct service_endpoint *services; /* all of them, once READY or STARTING */
	size_t n_services;
};

/* {"epoch","revision","capacity":{…},"engine_error","containers":[…]}: all containers of ours on
 * the host, so an environment that is absent is gone. Not sent before the first look at Docker
 * succeeded; while Docker is away, engine_error says so and containers are the last known. */
struct host_report {
	uint64_t epoch;    /* of the stream that is followed */
	uint64_t revision; /* desired revision that was received last */
	struct capacity capacity;
	char *engine_error; /* NULL: the engine answers */
	struct container_report *containers;
	size_t n_containers;
};
int host_report_decode(json_t *json, struct host_report *ret, struct error *err) _must_check_;
json_t *host_report_encode(const struct host_report *report);
void host_report_clear(struct host_report *report);

struct mapping_failure {
	struct mapping_key key;
	char *reason;
};

/* {"epoch","revision","mappings","failed":[{"address","protocol","port","reason"}]}: revision is
 * the newest one that is in the kernel; what of it could not be applied is in failed. */
struct gateway_report {
	uint64_t epoch;
	uint64_t revision;
	uint64_t mappings;
	struct mapping_failure *failed;
	size_t n_failed;
};
int gateway_report_decode(json_t *json, struct gateway_report *ret, struct error *err) _must_check_;
json_t *gateway_report_encode(const struct gateway_report *report);
void gateway_report_clear(struct gateway_report *report);
