/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The life of an environment as one pure function: from what is wanted, what the host reports and
 * what the gateways have confirmed to what the rows should say next. It changes nothing itself;
 * asked again after its answer was carried out, it goes one step further, and where nothing is
 * left to do it answers what is. So it may be asked at any time and after any crash.
 */
#pragma once

#include "schedd/model.h"

/* An environment that ends so often in a row is in a crash loop. */
#define CRASH_LOOP_ENDS 3

struct lifecycle_limits {
	int64_t quarantine_s;
	int64_t withdraw_timeout_s; /* longest wait for gateways before a container may stop */
	uint64_t unready_grace_ms;  /* a service may be silent this long and stay published */
	int64_t expiry_warning_s;   /* before its deadline an environment says so */
};

struct lifecycle_host {
	const char *name;
	enum host_mode mode;
	bool online;
	int64_t status_since;
	/* Until it has stopped what may run elsewhere, if it is not heard of; 0: it has. */
	uint64_t lease_left_ms;
	bool reported;            /* there is a report of this epoch; the rest is from it */
	uint64_t revision;        /* desired revision that it has received */
	const char *engine_error; /* NULL: none */
	const struct container_report *container; /* NULL: it has none for this environment */
};

struct lifecycle_gateway {
	const char *name;
	const struct gateway *row;
	bool reported;
	uint64_t applied; /* newest revision in its kernel */
	const struct mapping_failure *failed;
	size_t n_failed;
};

struct lifecycle_input {
	const struct environment *environment;
	const struct port *const *ports; /* in the order of services */
	size_t n_ports;
	/* How long each port has been waiting to leave the gateways, under whichever leader. */
	uint64_t withdrawing_ms[ENVIRONMENT_SERVICES_MAX];
	const struct lifecycle_host *host; /* NULL: not placed, or the host's row is gone */
	const struct lifecycle_gateway *gateways;
	size_t n_gateways;
	const struct lifecycle_limits *limits;
	int64_t now;         /* Unix seconds */
	uint64_t unready_ms; /* how long the container has not been ready while published */
	const char *no_room; /* why no other host takes it from its draining one; NULL: one does, or
				nobody has looked */
};

struct lifecycle_port {
	enum port_state state;
	bool has_target;
	struct endpoint target;
	int64_t expires_at; /* with a target: the kernel ends it then, whoever is alive; 0: never */
};

struct lifecycle_decision {
	enum environment_phase phase;
	enum environment_stage stage;
	enum assignment_state assignment;
	enum environment_action action;
	bool power;
	int exit_code;
	unsigned crashes;
	int64_t next_try;
	bool release;        /* its host's resources are free again */
	bool place;          /* it needs a host: phase, stage and reason are the placement's. With
				release: one that is not the host it leaves, if there is one */
	bool watch_ready;    /* count the time since now in which the container is not ready */
	uint64_t recheck_ms; /* ask again after this time even if nothing happens; 0: no need */
	struct lifecycle_port ports[ENVIRONMENT_SERVICES_MAX];
	char reason[REASON_MAX]; /* what is being waited for, or what went wrong; "" if nothing */
};

void lifecycle_decide(const struct lifecycle_input *input, struct lifecycle_decision *ret);

/* It ended by itself, for good: nothing of it runs, and nothing starts it, on whatever host, before
 * somebody asks for it. */
bool lifecycle_has_ended(const struct environment *environment);

/* What happens next to a port whose environment is gone: it waits for the gateways, rests, and is
 * free. */
enum port_fate {
	PORT_STAYS,
	PORT_RESTS, /* becomes quarantined */
	PORT_FREE,
};
enum port_fate lifecycle_orphan(const struct port *port, const struct lifecycle_gateway *gateways,
				size_t n_gateways, int64_t now);
