/* SPDX-License-Identifier: GPL-2.0-or-later */
/* gatewayd's options: the table, and their validation into what the modules take. */
#pragma once

#include "gatewayd/fastpath.h"
#include "gatewayd/shape_set.h"
#include "lib/address.h"
#include "lib/config.h"
#include "lib/log.h"

/* As they stand in file and command line. */
struct options {
	char *name, *mappings, *server, *token_file, *ca_file, *server_pin, *socket,
		*metrics_listen, *source, *host_settings, *new_connections_per_source, *fastpath,
		*run_directory, *state_directory, *per_mapping_metrics, *log_level;
	struct string_list addresses;
	uint64_t audit_ms, heartbeat_ms, map_size, event_buffer;
	bool check;
};

/* What they mean. */
struct settings {
	char *name;                /* owned; ours in schedd */
	struct address *addresses; /* owned; none: to be found */
	size_t n_addresses;
	const char *mapping_file; /* borrowed from the options; NULL: none */
	char *token, *token_file; /* owned; NULL: none */
	enum source_mode source;
	struct address *sources; /* owned; of SOURCE_SNAT */
	size_t n_sources;
	uint32_t source_rate, source_rate_s; /* 0: no limit */
	enum fastpath_mode fastpath;
	bool set_host; /* host settings that mend a finding */
	bool metrics;  /* there is a TCP listener */
	struct endpoint metrics_listen;
	size_t mapping_series; /* mappings with series of their own; SIZE_MAX: all */
	enum log_level log_level;
};

extern const struct program_spec gatewayd_program;

/* Checks values and reads the token. -EINVAL and others with the option as field. */
int options_resolve(const struct options *options, struct settings *ret, struct error *err)
	_must_check_;
void settings_clear(struct settings *settings);
