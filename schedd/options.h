/* SPDX-License-Identifier: GPL-2.0-or-later */
/* schedd's options: the table, and their validation into what the modules take. */
#pragma once

#include "lib/address.h"
#include "lib/config.h"
#include "lib/log.h"
#include "schedd/lifecycle.h"
#include "schedd/model.h"
#include "schedd/placement.h"
#include "schedd/ports.h"

#define ADVERTISE_MAX 256

/* As they stand in file and command line. */
struct options {
	char *database, *listen, *socket, *port_range, *public_name, *advertise, *user, *policy,
		*log_level;
	char *bootstrap_file, *tls_certificate, *tls_key, *state_directory;
	struct string_list port_addresses, images;
	uint64_t quarantine_ms, withdraw_timeout_ms, unready_grace_ms, offline_after_ms,
		expiry_warning_ms;
	uint64_t lease_ms, lease_margin_ms;
	uint64_t max_connections, max_body, max_requests, max_watches;
	uint64_t token_rate, token_requests, token_watches, token_keys;
	uint64_t max_logs, token_logs, logs_timeout_ms;
	uint64_t request_timeout_ms, idle_timeout_ms, watch_backlog;
	uint64_t event_retention_ms;
	uint64_t cpu_overcommit;
	bool insecure, tls, check, bootstrap;
};

/* What they mean. */
struct settings {
	struct endpoint listen;
	bool tcp;                      /* there is a TCP listener */
	char advertise[ADVERTISE_MAX]; /* where other schedds reach this one; "" for nowhere */
	bool tls;                      /* it speaks HTTPS */
	struct port_pool pool;         /* owned until the scheduler takes it */
	struct lifecycle_limits limits;
	const struct placement_policy *policy;
	enum log_level log_level;
};

extern const struct program_spec schedd_program;

/* Checks values. -EINVAL and others with the option as field. */
int options_resolve(const struct options *options, struct settings *ret, struct error *err)
	_must_check_;
void settings_clear(struct settings *settings);
