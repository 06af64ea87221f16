/* SPDX-License-Identifier: GPL-2.0-or-later */
/* agentd's options, from its configuration file and the command line. */
#pragma once

#include "agentd/resources.h"
#include "lib/address.h"
#include "lib/config.h"
#include "lib/json.h"
#include "lib/log.h"

struct options {
	char *name, *address, *server, *token_file, *ca_file, *server_pin;
	char *docker, *data_dir, *shared_dir, *pool, *metrics_listen, *log_level;
	struct string_list labels;
	uint64_t cpu_milli, memory_bytes, cpu_reserve, memory_reserve;
	uint64_t heartbeat_ms, parallel;
	bool check;

	/* Derived by options_resolve. */
	struct address host_address;
	struct endpoint metrics_endpoint; /* port 0: no listener */
	enum log_level level;
	json_t *label_object;
	char *token; /* NULL: none */
};

extern const struct program_spec agentd_program;

/* Checks and derives: what can be known without asking the machine. */
int options_resolve(struct options *options, struct error *err) _must_check_;
void options_clear(struct options *options);

struct resource_limits options_limits(const struct options *options);
