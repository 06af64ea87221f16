/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The table of options, and what is derived from their text. */
#include "agentd/options.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "agentd/docker_api.h"
#include "lib/file.h"
#include "proto/follower.h"
#include "proto/read.h"
#include "proto/report.h"

static const struct option_spec specs[] = {
	{ "name", OPTION_STRING, offsetof(struct options, name), NULL, "NAME",
	  "name of this host to the scheduler (default: the host name)" },
	{ "address", OPTION_STRING, offsetof(struct options, address), NULL, "ADDRESS",
	  "private address of this host that the gateways reach; services are published on it alone" },
	{ "server", OPTION_STRING, offsetof(struct options, server), "http://127.0.0.1:8000",
	  "URL[,URL…]", "the scheduler, or several of them, of which one is followed",
	  .not_empty = true },
	{ "token-file", OPTION_STRING, offsetof(struct options, token_file), NULL, "FILE",
	  "file with the bearer token for the scheduler" },
	{ "ca-file", OPTION_STRING, offsetof(struct options, ca_file), NULL, "FILE",
	  "certificates that the scheduler's may be signed by (default: the system's)" },
	{ "server-pin", OPTION_STRING, offsetof(struct options, server_pin), NULL, "sha256//…",
	  "fingerprint of the scheduler's key, as it logs it; instead of ca-file" },
	{ "docker", OPTION_STRING, offsetof(struct options, docker), "unix:///var/run/docker.sock",
	  "URL", "the Docker Engine", .not_empty = true },
	{ "data-dir", OPTION_STRING, offsetof(struct options, data_dir), "/data", "FOLDER",
	  "folder of the environments' local volumes", .not_empty = true },
	{ "shared-dir", OPTION_STRING, offsetof(struct options, shared_dir), NULL, "FOLDER",
	  "folder of shared volumes, mounted on all hosts of the pool (default: none)" },
	{ "pool", OPTION_STRING, offsetof(struct options, pool), "default", "NAME",
	  "pool of hosts that this one belongs to", .not_empty = true },
	{ "labels", OPTION_LIST, offsetof(struct options, labels), NULL, "KEY=VALUE",
	  "labels that placement can ask for" },
	{ "cpu-milli", OPTION_UINT, offsetof(struct options, cpu_milli), NULL, "N",
	  "offer this many thousandths of a core (default: all cores, less the reserve)",
	  .max = 100000000 },
	{ "memory-bytes", OPTION_UINT, offsetof(struct options, memory_bytes), NULL, "BYTES",
	  "offer this much memory (default: all memory, less the reserve)",
	  .max = (uint64_t)1 << 60 },
	{ "cpu-reserve", OPTION_UINT, offsetof(struct options, cpu_reserve), "0", "N",
	  "thousandths of a core that are kept for the machine itself", .max = 100000000 },
	{ "memory-reserve", OPTION_UINT, offsetof(struct options, memory_reserve), "0", "BYTES",
	  "memory that is kept for the machine itself", .max = (uint64_t)1 << 60 },
	{ "heartbeat", OPTION_DURATION, offsetof(struct options, heartbeat_ms), "10s", "TIME",
	  "report to the scheduler at least this often, oftener where it asks", .min = 100,
	  .max = 3600000 },
	{ "parallel", OPTION_UINT, offsetof(struct options, parallel), "4", "N",
	  "environments that are made, and as many that are removed, at the same time", .min = 1,
	  .max = 256 },
	{ "metrics-listen", OPTION_STRING, offsetof(struct options, metrics_listen),
	  "127.0.0.1:9470", "ADDRESS:PORT", "Prometheus metrics and health; empty: none" },
	{ "log-level", OPTION_STRING, offsetof(struct options, log_level), "info", "LEVEL",
	  "error, warning, info or debug", .not_empty = true },
	{ "check", OPTION_BOOL, offsetof(struct options, check), NULL, NULL,
	  "check configuration and machine, print findings with their remedies, and exit",
	  .command_line_only = true },
};

const struct program_spec agentd_program = {
	.name = "agentd",
	.summary = "Runs the environments that Portico's scheduler assigns to this host.",
	.options = specs,
	.n_options = ARRAY_SIZE(specs),
	.default_file = "/etc/portico/agentd.conf",
};

static int default_name(struct options *options)
{
	char name[HOST_NAME_MAX + 1];

	if (options->name)
		return 0;
	if (gethostname(name, sizeof(name)) < 0)
		return -errno;
	name[sizeof(name) - 1] = '\0';
	options->name = strdup(name);
	return options->name ? 0 : -ENOMEM;
}

static int resolve_address(struct options *options, struct error *err)
{
	if (!options->address)
		return error_set(err, -EINVAL, "missing", "address",
				 "address is required: the private address of this host that the "
				 "gateways reach");
	if (address_parse(options->address, &options->host_address) < 0)
		return error_set(err, -EINVAL, "invalid", "address",
				 "address '%s' is no IP address", options->address);
	if (!address_is_unicast(&options->host_address))
		return error_set(err, -EINVAL, "invalid", "address",
				 "address '%s' is not the address of one host", options->address);
	return 0;
}

static int check_docker(const struct options *options, struct error *err)
{
	if (docker_api_takes(options->docker))
		return 0;
	return error_set(err, -EINVAL, "invalid", "docker",
			 "docker '%s' is neither unix:///PATH nor http://ADDRESS:PORT",
			 options->docker);
}

static int check_pool(const struct options *options, struct error *err)
{
	if (strlen(options->pool) <= FOLLOWER_NAME_MAX && read_is_dns_label(options->pool, true))
		return 0;
	return error_set(err, -EINVAL, "invalid", "pool",
			 "pool '%s' is no name of at most %d bytes of a-z, 0-9, . and -, that "
			 "starts and ends with a letter or digit",
			 options->pool, FOLLOWER_NAME_MAX);
}

static int resolve_labels(struct options *options, struct error *err)
{
	options->label_object = json_object();
	if (!options->label_object)
		return -ENOMEM;
	for (size_t i = 0; i < options->labels.n; i++) {
		const char *text = options->labels.items[i];
		const char *equals = strchr(text, '=');
		_cleanup_free_ char *key = NULL;

		if (!equals || equals == text)
			return error_set(err, -EINVAL, "invalid", "labels",
					 "labels '%s' is not KEY=VALUE", text);
		key = strndup(text, (size_t)(equals - text));
		if (!key)
			return -ENOMEM;
		if (json_object_get(options->label_object, key))
			return error_set(err, -EINVAL, "invalid", "labels",
					 "labels '%s': %s has a value already", text, key);
		if (json_object_set_new(options->label_object, key, json_string(equals + 1)) < 0)
			return error_set(err, -EINVAL, "invalid", "labels",
					 "labels '%s' is no UTF-8 text", text);
	}
	return 0;
}

static int resolve_token(struct options *options, struct error *err)
{
	char *path;
	int r = file_or_credential(options->token_file, "portico.agentd.token", &path);

	if (r < 0)
		return r;
	free(options->token_file);
	options->token_file = path;
	if (!path)
		return 0;
	return file_read_secret(options->token_file, &options->token, err);
}

static int check_server(const struct options *options, struct error *err)
{
	const struct follower_config config = { .server = options->server, .name = options->name };

	return follower_check(&config, options->server_pin, err);
}

int options_resolve(struct options *options, struct error *err)
{
	int r;

	options->level = log_level_parse(options->log_level);
	if (options->level == LOG_LEVEL_INVALID)
		return error_set(err, -EINVAL, "invalid", "log-level",
				 "log-level '%s' is none of error, warning, info, debug",
				 options->log_level);
	if (options->metrics_listen && options->metrics_listen[0] != '\0' &&
	    endpoint_parse(options->metrics_listen, &options->metrics_endpoint) < 0)
		return error_set(err, -EINVAL, "invalid", "metrics-listen",
				 "metrics-listen '%s' is not ADDRESS:PORT",
				 options->metrics_listen);
	if (options->data_dir[0] != '/')
		return error_set(err, -EINVAL, "invalid", "data-dir",
				 "data-dir '%s' is no absolute path", options->data_dir);
	if (options->shared_dir && options->shared_dir[0] != '/')
		return error_set(err, -EINVAL, "invalid", "shared-dir",
				 "shared-dir '%s' is no absolute path", options->shared_dir);
	r = default_name(options);
	if (r == 0)
		r = check_server(options, err);
	if (r == 0)
		r = resolve_address(options, err);
	if (r == 0)
		r = check_docker(options, err);
	if (r == 0)
		r = check_pool(options, err);
	if (r == 0)
		r = resolve_labels(options, err);
	if (r == 0)
		r = resolve_token(options, err);
	return r;
}

void options_clear(struct options *options)
{
	config_clear(&agentd_program, options);
	json_decref(options->label_object);
	if (options->token)
		explicit_bzero(options->token, strlen(options->token));
	free(options->token);
	memset(options, 0, sizeof(*options));
}

struct resource_limits options_limits(const struct options *options)
{
	return (struct resource_limits){
		.cpu_milli = options->cpu_milli,
		.memory_bytes = options->memory_bytes,
		.cpu_reserve = options->cpu_reserve,
		.memory_reserve = options->memory_reserve,
	};
}
