/* SPDX-License-Identifier: GPL-2.0-or-later */
/* schedd's options: the table, and their validation into what the modules take. */
#include "schedd/options.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <string.h>

#include "lib/http_client.h"
#include "schedd/store.h"

#define LOGIN_MAX 32
#define HOST_NAME_TEXT_MAX 253 /* RFC 1035, 2.3.4, without the lengths of its labels */
#define LEASE_MIN_MS 1000

static const struct option_spec specs[] = {
	{ .name = "database",
	  .type = OPTION_STRING,
	  .offset = offsetof(struct options, database),
	  .fallback = "dbname=portico",
	  .not_empty = true,
	  .argument = "CONNINFO",
	  .help = "PostgreSQL, as a connection string of libpq without a password." },
	{ .name = "listen",
	  .type = OPTION_STRING,
	  .offset = offsetof(struct options, listen),
	  .fallback = "127.0.0.1:8000",
	  .argument = "ADDRESS:PORT",
	  .help = "Where the API listens over TCP; empty: nowhere." },
	{ .name = "socket",
	  .type = OPTION_STRING,
	  .offset = offsetof(struct options, socket),
	  .fallback = "/run/portico/schedd.sock",
	  .argument = "PATH",
	  .help = "Unix socket of the API, for root and the daemon's group; empty: none." },
	{ .name = "tls-certificate",
	  .type = OPTION_STRING,
	  .offset = offsetof(struct options, tls_certificate),
	  .argument = "FILE",
	  .help = "Certificate for HTTPS, with its chain, in PEM (default: one is made)." },
	{ .name = "tls-key",
	  .type = OPTION_STRING,
	  .offset = offsetof(struct options, tls_key),
	  .argument = "FILE",
	  .help = "Its private key in PEM." },
	{ .name = "tls",
	  .type = OPTION_BOOL,
	  .offset = offsetof(struct options, tls),
	  .help = "HTTPS on loopback as well; elsewhere it is always so." },
	{ .name = "state-directory",
	  .type = OPTION_STRING,
	  .offset = offsetof(struct options, state_directory),
	  .fallback = "/var/lib/portico/schedd",
	  .not_empty = true,
	  .argument = "FOLDER",
	  .help = "Where a certificate that was made is kept." },
	{ .name = "insecure",
	  .type = OPTION_BOOL,
	  .offset = offsetof(struct options, insecure),
	  .help = "Allow plain HTTP on an address that is not loopback: tokens can be overheard." },
	{ .name = "advertise",
	  .type = OPTION_STRING,
	  .offset = offsetof(struct options, advertise),
	  .argument = "URL",
	  .help = "Where other schedds reach this one, to pass requests on to it." },
	{ .name = "port-addresses",
	  .type = OPTION_LIST,
	  .offset = offsetof(struct options, port_addresses),
	  .argument = "ADDRESS,…",
	  .help = "Public addresses whose ports are given out, in this order. Required." },
	{ .name = "port-range",
	  .type = OPTION_STRING,
	  .offset = offsetof(struct options, port_range),
	  .fallback = "30001-39999",
	  .not_empty = true,
	  .argument = "FIRST-LAST",
	  .help = "Ports of each address that are given out." },
	{ .name = "public-name",
	  .type = OPTION_STRING,
	  .offset = offsetof(struct options, public_name),
	  .argument = "NAME",
	  .help = "Name that stands for the address in ssh commands, such as ssh.example.com." },
	{ .name = "user",
	  .type = OPTION_STRING,
	  .offset = offsetof(struct options, user),
	  .fallback = "developer",
	  .not_empty = true,
	  .argument = "LOGIN",
	  .help = "Login name in new environments." },
	{ .name = "images",
	  .type = OPTION_LIST,
	  .offset = offsetof(struct options, images),
	  .argument = "PATTERN,…",
	  .help = "Images that customers may use, as in dev-*:latest (default: all)." },
	{ .name = "policy",
	  .type = OPTION_STRING,
	  .offset = offsetof(struct options, policy),
	  .fallback = "least-used",
	  .not_empty = true,
	  .argument = "POLICY",
	  .help = "Placement where a request names none: least-used, binpack or spread." },
	{ .name = "cpu-overcommit",
	  .type = OPTION_UINT,
	  .offset = offsetof(struct options, cpu_overcommit),
	  .fallback = "100",
	  .argument = "PERCENT",
	  .min = OVERCOMMIT_MIN,
	  .max = OVERCOMMIT_MAX,
	  .help = "How much of a host's CPU is given away, where the host has no setting." },
	{ .name = "quarantine",
	  .type = OPTION_DURATION,
	  .offset = offsetof(struct options, quarantine_ms),
	  .fallback = "10m",
	  .argument = "TIME",
	  .max = 2592000000,
	  .help = "How long a released port rests before it is given out again." },
	{ .name = "withdraw-timeout",
	  .type = OPTION_DURATION,
	  .offset = offsetof(struct options, withdraw_timeout_ms),
	  .fallback = "30s",
	  .argument = "TIME",
	  .max = 3600000,
	  .help = "Longest wait for a gateway's confirmation before a container is stopped." },
	{ .name = "unready-grace",
	  .type = OPTION_DURATION,
	  .offset = offsetof(struct options, unready_grace_ms),
	  .fallback = "30s",
	  .argument = "TIME",
	  .max = 3600000,
	  .help = "How long a service may be silent before its port is withdrawn." },
	{ .name = "expiry-warning",
	  .type = OPTION_DURATION,
	  .offset = offsetof(struct options, expiry_warning_ms),
	  .fallback = "1h",
	  .argument = "TIME",
	  .max = 2592000000,
	  .help = "So long before its deadline an environment says so." },
	{ .name = "offline-after",
	  .type = OPTION_DURATION,
	  .offset = offsetof(struct options, offline_after_ms),
	  .fallback = "35s",
	  .argument = "TIME",
	  .min = 100,
	  .max = 3600000,
	  .help = "A host or gateway is offline once it was not heard of for so long." },
	{ .name = "lease",
	  .type = OPTION_DURATION,
	  .offset = offsetof(struct options, lease_ms),
	  .fallback = "5m",
	  .argument = "TIME",
	  .max = 86400000,
	  .help = "A host that is not heard for so long stops what can run elsewhere; 0: never." },
	{ .name = "lease-margin",
	  .type = OPTION_DURATION,
	  .offset = offsetof(struct options, lease_margin_ms),
	  .fallback = "30s",
	  .argument = "TIME",
	  .min = 1000,
	  .max = 3600000,
	  .help = "How long it may take to stop before another host starts it." },
	{ .name = "event-retention",
	  .type = OPTION_DURATION,
	  .offset = offsetof(struct options, event_retention_ms),
	  .fallback = "90d",
	  .argument = "TIME",
	  .min = 3600000,
	  .max = 315360000000,
	  .help = "How long events are kept." },
	{ .name = "max-connections",
	  .type = OPTION_UINT,
	  .offset = offsetof(struct options, max_connections),
	  .fallback = "16384",
	  .argument = "N",
	  .min = 1,
	  .max = 1000000,
	  .help = "Connections to the API at once; over it, the longest idle one is closed." },
	{ .name = "max-requests",
	  .type = OPTION_UINT,
	  .offset = offsetof(struct options, max_requests),
	  .fallback = "8192",
	  .argument = "N",
	  .min = 1,
	  .max = 1000000,
	  .help = "Requests that wait for their answer at once; more are answered with 429." },
	{ .name = "max-watches",
	  .type = OPTION_UINT,
	  .offset = offsetof(struct options, max_watches),
	  .fallback = "16384",
	  .argument = "N",
	  .min = 1,
	  .max = 1000000,
	  .help = "Watch streams at once." },
	{ .name = "token-rate",
	  .type = OPTION_UINT,
	  .offset = offsetof(struct options, token_rate),
	  .fallback = "500",
	  .argument = "N",
	  .max = 1000000,
	  .help = "Requests a second with one token, and twice as many at once; 0: no limit." },
	{ .name = "token-requests",
	  .type = OPTION_UINT,
	  .offset = offsetof(struct options, token_requests),
	  .fallback = "1024",
	  .argument = "N",
	  .min = 1,
	  .max = 1000000,
	  .help = "Requests with one token that wait for their answer at once." },
	{ .name = "token-watches",
	  .type = OPTION_UINT,
	  .offset = offsetof(struct options, token_watches),
	  .fallback = "256",
	  .argument = "N",
	  .min = 1,
	  .max = 1000000,
	  .help = "Watch streams with one token at once." },
	{ .name = "token-keys",
	  .type = OPTION_UINT,
	  .offset = offsetof(struct options, token_keys),
	  .fallback = "50000",
	  .argument = "N",
	  .min = 1,
	  .max = 1000000,
	  .help = "Idempotency keys of one caller that are remembered at once." },
	{ .name = "max-logs",
	  .type = OPTION_UINT,
	  .offset = offsetof(struct options, max_logs),
	  .fallback = "256",
	  .argument = "N",
	  .min = 1,
	  .max = 65536,
	  .help = "Logs of environments that are read at once." },
	{ .name = "token-logs",
	  .type = OPTION_UINT,
	  .offset = offsetof(struct options, token_logs),
	  .fallback = "16",
	  .argument = "N",
	  .min = 1,
	  .max = 65536,
	  .help = "Logs that are read with one token at once." },
	{ .name = "logs-timeout",
	  .type = OPTION_DURATION,
	  .offset = offsetof(struct options, logs_timeout_ms),
	  .fallback = "20s",
	  .argument = "TIME",
	  .min = 6000,
	  .max = 3600000,
	  .help = "A host that says nothing of a log for so long is given up." },
	{ .name = "request-timeout",
	  .type = OPTION_DURATION,
	  .offset = offsetof(struct options, request_timeout_ms),
	  .fallback = "30s",
	  .argument = "TIME",
	  .min = 100,
	  .max = 3600000,
	  .help = "How long a request may take to arrive, header and body." },
	{ .name = "idle-timeout",
	  .type = OPTION_DURATION,
	  .offset = offsetof(struct options, idle_timeout_ms),
	  .fallback = "75s",
	  .argument = "TIME",
	  .min = 100,
	  .max = 3600000,
	  .help = "How long a connection may be idle, or may not take what is sent." },
	{ .name = "watch-backlog",
	  .type = OPTION_UINT,
	  .offset = offsetof(struct options, watch_backlog),
	  .fallback = "16777216",
	  .argument = "BYTES",
	  .min = 4096,
	  .max = 1073741824,
	  .help = "How far a watch's reader may be behind before it has to start over." },
	{ .name = "max-body",
	  .type = OPTION_UINT,
	  .offset = offsetof(struct options, max_body),
	  .fallback = "4194304",
	  .argument = "BYTES",
	  .min = 1024,
	  .max = 1073741824,
	  .help = "Largest body of a request." },
	{ .name = "log-level",
	  .type = OPTION_STRING,
	  .offset = offsetof(struct options, log_level),
	  .fallback = "info",
	  .not_empty = true,
	  .argument = "LEVEL",
	  .help = "error, warning, info or debug." },
	{ .name = "bootstrap",
	  .type = OPTION_BOOL,
	  .offset = offsetof(struct options, bootstrap),
	  .help = "Make the first admin token into bootstrap-file, and end.",
	  .command_line_only = true },
	{ .name = "bootstrap-file",
	  .type = OPTION_STRING,
	  .offset = offsetof(struct options, bootstrap_file),
	  .fallback = "/var/lib/portico/schedd/admin.token",
	  .not_empty = true,
	  .argument = "FILE",
	  .help = "Where --bootstrap puts the token, with mode 0600; never overwritten." },
	{ .name = "check",
	  .type = OPTION_BOOL,
	  .offset = offsetof(struct options, check),
	  .help = "Check configuration and database, print findings, change nothing.",
	  .command_line_only = true },
};

const struct program_spec schedd_program = {
	.name = "schedd",
	.summary = "Places environments on hosts, gives them ports, and tells hosts and gateways.",
	.options = specs,
	.n_options = ARRAY_SIZE(specs),
	.default_file = "/etc/portico/schedd.conf",
};

static bool is_set(const char *text)
{
	return text && *text;
}

/* Plain HTTP is for loopback, or has to be wanted. */
static int resolve_tls(const struct options *options, struct settings *settings, struct error *err)
{
	bool wanted = options->tls || is_set(options->tls_certificate);

	if (is_set(options->tls_certificate) != is_set(options->tls_key))
		return error_set(err, -EINVAL, "missing",
				 is_set(options->tls_key) ? "tls-certificate" : "tls-key",
				 "tls-certificate and tls-key are needed together");
	if (wanted && options->insecure)
		return error_set(err, -EINVAL, "invalid", "insecure",
				 "insecure: plain HTTP is wanted, and a certificate for HTTPS as "
				 "well: leave out one of them");
	settings->tls =
		wanted || (!address_is_loopback(&settings->listen.address) && !options->insecure);
	return 0;
}

static int resolve_listen(const struct options *options, struct settings *settings,
			  struct error *err)
{
	settings->tcp = options->listen && *options->listen;
	if (!settings->tcp && (!options->socket || !*options->socket))
		return error_set(
			err, -EINVAL, "missing", "listen",
			"listen: there is neither a TCP address nor a socket to listen on");
	if (!settings->tcp)
		return 0;
	if (endpoint_parse(options->listen, &settings->listen) < 0)
		return error_set(err, -EINVAL, "invalid", "listen",
				 "listen: \"%s\" is not ADDRESS:PORT", options->listen);
	return resolve_tls(options, settings, err);
}

/* What standbys are told: as configured, or where we listen, unless that is every address. */
static int resolve_advertise(const struct options *options, struct settings *settings,
			     struct error *err)
{
	const char *given = options->advertise;
	char listen[ENDPOINT_STRING_MAX];
	int n = 0;

	if (given && ((strncmp(given, "unix:/", 6) != 0 && !http_client_takes_url(given)) ||
		      strlen(given) >= sizeof(settings->advertise)))
		return error_set(err, -EINVAL, "invalid", "advertise",
				 "advertise: \"%s\" is not a URL like http://10.0.0.1:8000, or is "
				 "longer than %zu bytes",
				 given, sizeof(settings->advertise) - 1);
	if (given)
		n = snprintf(settings->advertise, sizeof(settings->advertise), "%s", given);
	else if (settings->tcp && address_is_unicast(&settings->listen.address))
		n = snprintf(settings->advertise, sizeof(settings->advertise), "%s://%s",
			     settings->tls ? "https" : "http",
			     endpoint_format(&settings->listen, listen));
	else if (!settings->tcp)
		n = snprintf(settings->advertise, sizeof(settings->advertise), "unix:%s",
			     options->socket);
	/* A socket's path that does not fit is told to nobody. */
	if (n < 0 || (size_t)n >= sizeof(settings->advertise))
		settings->advertise[0] = '\0';
	return 0;
}

static int parse_addresses(const struct string_list *list, struct address *addresses,
			   struct error *err)
{
	for (size_t i = 0; i < list->n; i++) {
		if (address_parse(list->items[i], &addresses[i]) < 0)
			return error_set(err, -EINVAL, "invalid", "port-addresses",
					 "port-addresses: \"%s\" is not an IP address",
					 list->items[i]);
		if (address_is_loopback(&addresses[i]))
			return error_set(err, -EINVAL, "invalid", "port-addresses",
					 "port-addresses: \"%s\" is no address at which a gateway "
					 "can be reached",
					 list->items[i]);
	}
	return 0;
}

static int resolve_pool(const struct options *options, struct settings *settings, struct error *err)
{
	const struct string_list *list = &options->port_addresses;
	_cleanup_free_ struct address *addresses = NULL;
	uint16_t first, last;
	int r;

	if (list->n == 0)
		return error_set(
			err, -EINVAL, "missing", "port-addresses",
			"port-addresses: name the public addresses whose ports are given out, "
			"as in --port-addresses 203.0.113.10");
	addresses = calloc(list->n, sizeof(*addresses));
	if (!addresses)
		return error_set(err, -ENOMEM, "internal", NULL, "out of memory");
	r = parse_addresses(list, addresses, err);
	if (r == 0)
		r = port_range_parse(options->port_range, &first, &last, err);
	if (r == 0)
		r = port_pool_init(&settings->pool, addresses, list->n, first, last, err);
	return r;
}

/* A name that useradd would take. */
static int check_user(const char *user, struct error *err)
{
	bool good = *user && strlen(user) <= LOGIN_MAX && !(*user >= '0' && *user <= '9') &&
		    *user != '-' && strcmp(user, "root") != 0;

	for (const char *c = user; good && *c; c++)
		good = (*c >= 'a' && *c <= 'z') || (*c >= '0' && *c <= '9') || *c == '_' ||
		       *c == '-';
	if (!good)
		return error_set(
			err, -EINVAL, "invalid", "user",
			"user: \"%s\" is not a login name of a-z, 0-9, _ and - that is not root",
			user);
	return 0;
}

/* It goes into commands that users paste into a shell. */
static int check_public_name(const char *name, struct error *err)
{
	bool good = !name || (strlen(name) <= HOST_NAME_TEXT_MAX && *name != '-');

	for (const char *c = name; good && c && *c; c++)
		good = isalnum((unsigned char)*c) || strchr(".-_:", *c);
	if (!good)
		return error_set(err, -EINVAL, "invalid", "public-name",
				 "public-name: \"%s\" is neither a host name nor an address", name);
	return 0;
}

/* Reports come three times in a lease. */
static int check_lease(uint64_t lease_ms, struct error *err)
{
	if (lease_ms == 0 || lease_ms >= LEASE_MIN_MS)
		return 0;
	return error_set(err, -ERANGE, "out_of_range", "lease",
			 "lease: %" PRIu64 "ms is less than %dms, and not 0", lease_ms,
			 LEASE_MIN_MS);
}

static int resolve_policy(const struct options *options, struct settings *settings,
			  struct error *err)
{
	settings->policy = placement_policy_find(options->policy);
	if (settings->policy)
		return 0;
	return error_set(err, -EINVAL, "invalid", "policy", "policy: \"%s\" is none of %s",
			 options->policy, placement_policy_names());
}

int options_resolve(const struct options *options, struct settings *ret, struct error *err)
{
	struct settings settings = {
		.limits = { .quarantine_s = (int64_t)(options->quarantine_ms / 1000),
			    .withdraw_timeout_s = (int64_t)(options->withdraw_timeout_ms / 1000),
			    .unready_grace_ms = options->unready_grace_ms,
			    .expiry_warning_s = (int64_t)(options->expiry_warning_ms / 1000) },
	};
	int r;

	settings.log_level = log_level_parse(options->log_level);
	if (settings.log_level == LOG_LEVEL_INVALID)
		return error_set(err, -EINVAL, "invalid", "log-level",
				 "log-level: \"%s\" is none of error, warning, info, debug",
				 options->log_level);
	r = store_check_conninfo(options->database, err);
	if (r == 0)
		r = check_user(options->user, err);
	if (r == 0)
		r = check_public_name(options->public_name, err);
	if (r == 0)
		r = check_lease(options->lease_ms, err);
	if (r == 0)
		r = resolve_policy(options, &settings, err);
	if (r == 0)
		r = resolve_listen(options, &settings, err);
	if (r == 0)
		r = resolve_advertise(options, &settings, err);
	if (r == 0)
		r = resolve_pool(options, &settings, err);
	if (r < 0) {
		settings_clear(&settings);
		return r;
	}
	*ret = settings;
	return 0;
}

void settings_clear(struct settings *settings)
{
	port_pool_clear(&settings->pool);
	*settings = (struct settings){ 0 };
}
