/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a customer asks for (the environment's specification), its phases, and the assignment:
 * what schedd tells a host to run.
 */
#pragma once

#include "lib/address.h"
#include "lib/config.h"
#include "lib/error.h"
#include "lib/json.h"

#define ENVIRONMENT_ID_MAX 40       /* "env-" and random text */
#define ENVIRONMENT_NAME_MAX 63     /* a DNS label: [a-z0-9]([a-z0-9-]*[a-z0-9])? */
#define ENVIRONMENT_CUSTOMER_MAX 63 /* a DNS label */
#define ENVIRONMENT_SERVICES_MAX 16
#define ENVIRONMENT_KEYS_MAX 64 /* ssh_authorized_keys */
#define ENVIRONMENT_VARIABLES_MAX 256
#define ENVIRONMENT_VOLUMES_MAX 16

enum environment_phase {
	PHASE_PENDING,  /* not placed yet; the reason says why */
	PHASE_CREATING, /* placed: image, container, service, port are being made */
	PHASE_RUNNING,  /* its ports are published */
	PHASE_STOPPING,
	PHASE_STOPPED,
	PHASE_FAILED,
	PHASE_UNREACHABLE, /* its host is offline */
	PHASE_DELETING,
	PHASE_DELETED,
	PHASE_MAX,
	PHASE_INVALID = -1,
};

const char *phase_name(enum environment_phase phase);
enum environment_phase phase_parse(const char *text);

enum restart_policy {
	RESTART_ALWAYS,
	RESTART_ON_FAILURE,
	RESTART_NEVER,
};

/* What happens to an environment at its deadline. */
enum expiry_action {
	EXPIRY_STOP,
	EXPIRY_DELETE,
};

struct service {
	char *name;             /* owned; [a-z0-9-]{1,32}, unique in the environment */
	uint16_t port;          /* inside the container */
	enum protocol protocol; /* default tcp */
	uint16_t external_port; /* asked for by number; 0: any */
};

struct environment_spec {
	char *name;
	char *image;
	uint64_t cpu_milli;           /* 10…1,024,000 */
	uint64_t memory_bytes;        /* 16 MiB…64 TiB */
	uint32_t gpu;                 /* 0…64 */
	uint32_t gpu_milli;           /* 0…999: a share of one GPU */
	struct string_list gpu_model; /* any of these; empty: any */
	struct service *services;     /* default: ssh 22/tcp */
	size_t n_services;
	struct string_list ssh_authorized_keys; /* one OpenSSH public key line each */
	json_t *env;     /* owned object of strings, never NULL; names [A-Za-z_][A-Za-z0-9_]* */
	json_t *volumes; /* owned object: name -> "local" or "shared", never NULL */
	json_t *labels;  /* owned object of strings, never NULL */
	enum restart_policy restart;
	int64_t expires_at; /* Unix seconds, as asked for at first; 0: never */
	enum expiry_action on_expiry;
	char *customer; /* who owns it; NULL: nobody, an admin's */
	char *policy;   /* placement policy's name; NULL: the scheduler's default */
	char *pool;     /* default "default" */
	bool queue;     /* default true: wait where nothing fits; false: refuse at once */
};

/* Decodes and validates a request. Required: name, image, cpu_milli, memory_bytes. Errors name the
 * field ("services[1].port"). *ret is overwritten; free it with environment_spec_clear. */
int environment_spec_decode(json_t *json, struct environment_spec *ret, struct error *err)
	_must_check_;
/* All fields, defaults included; environment_spec_decode reads it back. NULL: out of memory. */
json_t *environment_spec_encode(const struct environment_spec *spec);
int environment_spec_copy(const struct environment_spec *spec, struct environment_spec *ret)
	_must_check_;
void environment_spec_clear(struct environment_spec *spec);

/* Whether it can run on another host with all that it keeps: it has volumes, and all are shared. */
bool environment_spec_is_movable(const struct environment_spec *spec);

/* What schedd tells a host: one environment that should exist there. JSON: {"environment",
 * "revision", "state": "running"|"stopped", "spec": {…}, "user", "password_hash", "ssh_host_key"}.
 * It carries secrets: never log it. */
struct assignment {
	char *environment; /* id */
	uint64_t revision; /* of its last change */
	bool running;      /* false: the container should exist and be stopped */
	struct environment_spec spec;
	char *user;          /* login name in the container */
	char *password_hash; /* crypt(5); NULL: no password */
	char *ssh_host_key;  /* OpenSSH private key text; NULL: the image's own */
};

int assignment_decode(json_t *json, const char *path, struct assignment *ret, struct error *err)
	_must_check_;
json_t *assignment_encode(const struct assignment *assignment);
void assignment_clear(struct assignment *assignment);
