/* SPDX-License-Identifier: GPL-2.0-or-later */
/* gatewayd's options: the table, and their validation into what the modules take. */
#include "gatewayd/options.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include "gatewayd/source.h"
#include "lib/file.h"
#include "lib/number.h"
#include "proto/follower.h"
#include "proto/report.h"

/* N of top:N. */
#define MAPPING_SERIES_MAX 1000000
#define SOURCE_RATE_MAX 1000000

static const struct option_spec specs[] = {
	{ .name = "name",
	  .type = OPTION_STRING,
	  .offset = offsetof(struct options, name),
	  .argument = "NAME",
	  .help = "This gateway's name in schedd (default: the host name)." },
	{ .name = "addresses",
	  .type = OPTION_LIST,
	  .offset = offsetof(struct options, addresses),
	  .argument = "ADDRESS,…",
	  .help = "Public addresses whose ports are mapped, the first by default (found if none)." },
	{ .name = "mappings",
	  .type = OPTION_STRING,
	  .offset = offsetof(struct options, mappings),
	  .argument = "FILE",
	  .help = "JSON file that says what all mappings are, read again at SIGHUP; without a server." },
	{ .name = "server",
	  .type = OPTION_STRING,
	  .offset = offsetof(struct options, server),
	  .argument = "URL[,URL…]",
	  .help = "schedd to follow, or several, of which one is followed; without it mappings come by the socket." },
	{ .name = "token-file",
	  .type = OPTION_STRING,
	  .offset = offsetof(struct options, token_file),
	  .argument = "FILE",
	  .help = "File with the bearer token for schedd." },
	{ .name = "ca-file",
	  .type = OPTION_STRING,
	  .offset = offsetof(struct options, ca_file),
	  .argument = "FILE",
	  .help = "Certificates that schedd's may be signed by (default: the system's)." },
	{ .name = "server-pin",
	  .type = OPTION_STRING,
	  .offset = offsetof(struct options, server_pin),
	  .argument = "sha256//…",
	  .help = "Fingerprint of schedd's key, as it logs it; instead of ca-file." },
	{ .name = "socket",
	  .type = OPTION_STRING,
	  .offset = offsetof(struct options, socket),
	  .fallback = "/run/portico/gatewayd.sock",
	  .not_empty = true,
	  .argument = "PATH",
	  .help = "Unix socket of the local API." },
	{ .name = "metrics-listen",
	  .type = OPTION_STRING,
	  .offset = offsetof(struct options, metrics_listen),
	  .fallback = "127.0.0.1:9469",
	  .argument = "ADDRESS:PORT",
	  .help = "Where /metrics is served over TCP; empty: nowhere." },
	{ .name = "source",
	  .type = OPTION_STRING,
	  .offset = offsetof(struct options, source),
	  .fallback = "masquerade",
	  .not_empty = true,
	  .argument = "MODE",
	  .help = "What hosts see: masquerade, \"snat ADDRESS,…\", or preserve (the client's)." },
	{ .name = "fastpath",
	  .type = OPTION_STRING,
	  .offset = offsetof(struct options, fastpath),
	  .fallback = "auto",
	  .not_empty = true,
	  .argument = "auto|on|off",
	  .help = "Take open connections off the kernel's usual path, where it can." },
	{ .name = "new-connections-per-source",
	  .type = OPTION_STRING,
	  .offset = offsetof(struct options, new_connections_per_source),
	  .argument = "N/UNIT",
	  .help = "A source may open N a second, minute or hour, over all ports (default: any)." },
	{ .name = "map-size",
	  .type = OPTION_UINT,
	  .offset = offsetof(struct options, map_size),
	  .fallback = "262144",
	  .argument = "N",
	  .min = 1,
	  .max = 8388608,
	  .help = "Mappings of one address family that the kernel's map can hold." },
	{ .name = "audit-interval",
	  .type = OPTION_DURATION,
	  .offset = offsetof(struct options, audit_ms),
	  .fallback = "60s",
	  .argument = "TIME",
	  .min = 100,
	  .max = 86400000,
	  .help = "How often the kernel's table is compared in full." },
	{ .name = "heartbeat",
	  .type = OPTION_DURATION,
	  .offset = offsetof(struct options, heartbeat_ms),
	  .fallback = "10s",
	  .argument = "TIME",
	  .min = 100,
	  .max = 3600000,
	  .help = "A report to schedd at least this often, oftener where it asks." },
	{ .name = "host-settings",
	  .type = OPTION_STRING,
	  .offset = offsetof(struct options, host_settings),
	  .fallback = "check",
	  .not_empty = true,
	  .argument = "check|set",
	  .help = "Say which host settings are wrong, or set them (and log the old values)." },
	{ .name = "run-directory",
	  .type = OPTION_STRING,
	  .offset = offsetof(struct options, run_directory),
	  .fallback = "/run/portico",
	  .not_empty = true,
	  .argument = "FOLDER",
	  .help = "Where the lock of this network namespace lies." },
	{ .name = "state-directory",
	  .type = OPTION_STRING,
	  .offset = offsetof(struct options, state_directory),
	  .fallback = "/var/lib/portico/gatewayd",
	  .not_empty = true,
	  .argument = "FOLDER",
	  .help = "Where the state file lies, from which ports work again after a reboot." },
	{ .name = "per-mapping-metrics",
	  .type = OPTION_STRING,
	  .offset = offsetof(struct options, per_mapping_metrics),
	  .fallback = "on",
	  .not_empty = true,
	  .argument = "on|off|top:N",
	  .help = "Mappings with metrics of their own: all, none, or those with most traffic." },
	{ .name = "event-buffer",
	  .type = OPTION_UINT,
	  .offset = offsetof(struct options, event_buffer),
	  .fallback = "67108864",
	  .argument = "BYTES",
	  .min = 4096,
	  .max = 1073741824,
	  .help = "Buffer for the kernel's events of ended connections, about 700 bytes each." },
	{ .name = "log-level",
	  .type = OPTION_STRING,
	  .offset = offsetof(struct options, log_level),
	  .fallback = "info",
	  .not_empty = true,
	  .argument = "LEVEL",
	  .help = "error, warning, info or debug." },
	{ .name = "check",
	  .type = OPTION_BOOL,
	  .offset = offsetof(struct options, check),
	  .help = "Check configuration and machine, print findings, change nothing.",
	  .command_line_only = true },
};

const struct program_spec gatewayd_program = {
	.name = "gatewayd",
	.summary = "Leads public ports to hosts by programming the kernel's nftables.",
	.options = specs,
	.n_options = ARRAY_SIZE(specs),
	.default_file = "/etc/portico/gatewayd.conf",
};

static int resolve_name(const struct options *options, struct settings *settings, struct error *err)
{
	char host[FOLLOWER_NAME_MAX + 2] = "";
	const char *name = options->name;

	if (!name || !*name) {
		if (gethostname(host, sizeof(host) - 1) < 0 || !*host)
			return error_set(err, -EINVAL, "missing", "name",
					 "name: there is no host name to use: set it");
		name = host;
	}
	if (strlen(name) > FOLLOWER_NAME_MAX)
		return error_set(err, -EINVAL, "invalid", "name", "name: longer than %d bytes",
				 FOLLOWER_NAME_MAX);
	settings->name = strdup(name);
	return settings->name ? 0 : error_set(err, -ENOMEM, "internal", NULL, "out of memory");
}

/* Without a server the name is for people only. */
static int check_server(const struct options *options, const struct settings *settings,
			struct error *err)
{
	const struct follower_config config = { .server = options->server, .name = settings->name };

	return options->server ? follower_check(&config, options->server_pin, err) : 0;
}

static int resolve_addresses(const struct options *options, struct settings *settings,
			     struct error *err)
{
	const struct string_list *list = &options->addresses;

	if (list->n == 0)
		return 0;
	settings->addresses = calloc(list->n, sizeof(*settings->addresses));
	if (!settings->addresses)
		return error_set(err, -ENOMEM, "internal", NULL, "out of memory");
	for (size_t i = 0; i < list->n; i++) {
		struct address *address = &settings->addresses[i];

		if (address_parse(list->items[i], address) < 0 || !address_is_unicast(address) ||
		    address_is_loopback(address))
			return error_set(err, -EINVAL, "invalid", "addresses",
					 "addresses: \"%s\" is not a public address",
					 list->items[i]);
		for (size_t j = 0; j < i; j++)
			if (address_equal(&settings->addresses[j], address))
				return error_set(err, -EINVAL, "invalid", "addresses",
						 "addresses: \"%s\" is named twice",
						 list->items[i]);
		settings->n_addresses++;
	}
	return 0;
}

static int resolve_mappings(const struct options *options, struct settings *settings,
			    struct error *err)
{
	if (!options->mappings || !*options->mappings)
		return 0;
	if (options->server)
		return error_set(err, -EINVAL, "invalid", "mappings",
				 "mappings: a gateway takes its mappings from a file or from a "
				 "server: remove mappings or server");
	/* Those that are found may come later than the file is read. */
	if (options->addresses.n == 0)
		return error_set(err, -EINVAL, "missing", "addresses",
				 "addresses: name the public addresses whose ports \"%s\" maps",
				 options->mappings);
	settings->mapping_file = options->mappings;
	return 0;
}

/* One address of "snat ADDRESS,ADDRESS…". */
static int add_source(struct settings *settings, const char *text, struct error *err)
{
	struct address *address = &settings->sources[settings->n_sources];
	struct source source = { .addresses = settings->sources };

	if (address_parse(text, address) < 0 || !address_is_unicast(address) ||
	    address_is_loopback(address))
		return error_set(err, -EINVAL, "invalid", "source",
				 "source: \"%s\" is not an address that hosts can answer", text);
	for (size_t i = 0; i < settings->n_sources; i++)
		if (address_equal(&settings->sources[i], address))
			return error_set(err, -EINVAL, "invalid", "source",
					 "source: \"%s\" is named twice", text);
	source.n_addresses = ++settings->n_sources;
	if (source_count(&source, address->family) > SHAPE_SOURCES_MAX)
		return error_set(err, -EINVAL, "invalid", "source",
				 "source: more than %d addresses of one family", SHAPE_SOURCES_MAX);
	return 0;
}

static int resolve_sources(const char *list, struct settings *settings, struct error *err)
{
	_cleanup_free_ char *copy = strdup(list);
	char *rest = copy, *word;
	int r = 0;

	/* two families, and the one too many */
	settings->sources = calloc(2 * SHAPE_SOURCES_MAX + 1, sizeof(*settings->sources));
	if (!copy || !settings->sources)
		return error_set(err, -ENOMEM, "internal", NULL, "out of memory");
	while (r == 0 && (word = strsep(&rest, ", \t")))
		if (*word)
			r = add_source(settings, word, err);
	if (r == 0 && settings->n_sources == 0)
		return error_set(err, -EINVAL, "missing", "source",
				 "source: name the addresses, as in \"snat 10.0.0.1,10.0.0.2\"");
	return r;
}

/* "MODE", or "snat ADDRESS,ADDRESS…". */
static int resolve_source(const struct options *options, struct settings *settings,
			  struct error *err)
{
	size_t length = strcspn(options->source, " \t");
	const char *rest = options->source + length;
	_cleanup_free_ char *mode = strndup(options->source, length);

	if (!mode)
		return error_set(err, -ENOMEM, "internal", NULL, "out of memory");
	settings->source = source_mode_parse(mode);
	if (settings->source == SOURCE_MODE_INVALID)
		return error_set(
			err, -EINVAL, "invalid", "source",
			"source: \"%s\" is none of masquerade, snat ADDRESS,… and preserve", mode);
	if (settings->source == SOURCE_SNAT)
		return resolve_sources(rest, settings, err);
	if (rest[strspn(rest, " \t")])
		return error_set(err, -EINVAL, "invalid", "source", "source: %s takes no addresses",
				 mode);
	return 0;
}

static int resolve_host_settings(const struct options *options, struct settings *settings,
				 struct error *err)
{
	settings->set_host = strcmp(options->host_settings, "set") == 0;
	if (!settings->set_host && strcmp(options->host_settings, "check") != 0)
		return error_set(err, -EINVAL, "invalid", "host-settings",
				 "host-settings: \"%s\" is neither check nor set",
				 options->host_settings);
	return 0;
}

/* "N/second", "N/minute" or "N/hour". */
static int resolve_source_rate(const struct options *options, struct settings *settings,
			       struct error *err)
{
	static const struct {
		const char *name;
		uint32_t seconds;
	} units[] = { { "/second", 1 }, { "/minute", 60 }, { "/hour", 3600 } };
	const char *text = options->new_connections_per_source, *unit = text;
	uint64_t n = 0;

	if (!text || !*text)
		return 0;
	if (number_parse(text, &n, &unit) == 0 && n >= 1 && n <= SOURCE_RATE_MAX)
		for (size_t i = 0; i < ARRAY_SIZE(units); i++)
			if (strcmp(unit, units[i].name) == 0) {
				settings->source_rate = (uint32_t)n;
				settings->source_rate_s = units[i].seconds;
				return 0;
			}
	return error_set(err, -EINVAL, "invalid", "new-connections-per-source",
			 "new-connections-per-source: \"%s\" is not N/second, N/minute or N/hour "
			 "with N from 1 to %d",
			 text, SOURCE_RATE_MAX);
}

static int resolve_fastpath(const struct options *options, struct settings *settings,
			    struct error *err)
{
	settings->fastpath = fastpath_mode_parse(options->fastpath);
	if (settings->fastpath == FASTPATH_MODE_INVALID)
		return error_set(err, -EINVAL, "invalid", "fastpath",
				 "fastpath: \"%s\" is none of auto, on and off", options->fastpath);
	return 0;
}

static int resolve_listen(const struct options *options, struct settings *settings,
			  struct error *err)
{
	if (!options->metrics_listen || !*options->metrics_listen)
		return 0;
	if (endpoint_parse(options->metrics_listen, &settings->metrics_listen) < 0)
		return error_set(err, -EINVAL, "invalid", "metrics-listen",
				 "metrics-listen: \"%s\" is not ADDRESS:PORT",
				 options->metrics_listen);
	settings->metrics = true;
	return 0;
}

static int resolve_mapping_metrics(const struct options *options, struct settings *settings,
				   struct error *err)
{
	const char *text = options->per_mapping_metrics;
	uint64_t n = 0;

	if (strcmp(text, "on") == 0)
		n = SIZE_MAX;
	else if (strcmp(text, "off") != 0 &&
		 (strncmp(text, "top:", 4) != 0 || number_parse(text + 4, &n, NULL) < 0 || n == 0 ||
		  n > MAPPING_SERIES_MAX))
		return error_set(err, -EINVAL, "invalid", "per-mapping-metrics",
				 "per-mapping-metrics: \"%s\" is none of on, off and top:N with N "
				 "in 1 to %d",
				 text, MAPPING_SERIES_MAX);
	settings->mapping_series = n;
	return 0;
}

static int resolve_token(const struct options *options, struct settings *settings,
			 struct error *err)
{
	int r = file_or_credential(options->token_file, "portico.gatewayd.token",
				   &settings->token_file);

	if (r < 0 || !settings->token_file)
		return r;
	return file_read_secret(settings->token_file, &settings->token, err);
}

int options_resolve(const struct options *options, struct settings *ret, struct error *err)
{
	struct settings settings = { 0 };
	int r;

	settings.log_level = log_level_parse(options->log_level);
	if (settings.log_level == LOG_LEVEL_INVALID)
		return error_set(err, -EINVAL, "invalid", "log-level",
				 "log-level: \"%s\" is none of error, warning, info, debug",
				 options->log_level);
	r = resolve_name(options, &settings, err);
	if (r == 0)
		r = check_server(options, &settings, err);
	if (r == 0)
		r = resolve_addresses(options, &settings, err);
	if (r == 0)
		r = resolve_mappings(options, &settings, err);
	if (r == 0)
		r = resolve_source(options, &settings, err);
	if (r == 0)
		r = resolve_host_settings(options, &settings, err);
	if (r == 0)
		r = resolve_source_rate(options, &settings, err);
	if (r == 0)
		r = resolve_fastpath(options, &settings, err);
	if (r == 0)
		r = resolve_listen(options, &settings, err);
	if (r == 0)
		r = resolve_mapping_metrics(options, &settings, err);
	if (r == 0)
		r = resolve_token(options, &settings, err);
	if (r < 0) {
		settings_clear(&settings);
		return r;
	}
	*ret = settings;
	return 0;
}

void settings_clear(struct settings *settings)
{
	free(settings->name);
	free(settings->addresses);
	free(settings->sources);
	if (settings->token)
		explicit_bzero(settings->token, strlen(settings->token));
	free(settings->token);
	free(settings->token_file);
	memset(settings, 0, sizeof(*settings));
}
