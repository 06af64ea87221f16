/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The gateway: makes all modules of the daemon, connects them, and takes them apart again in the
 * order that their callbacks need. It decides nothing.
 */
#include "gatewayd/gateway.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "gatewayd/api.h"
#include "gatewayd/findings.h"
#include "gatewayd/guard.h"
#include "gatewayd/lock.h"
#include "gatewayd/monitor.h"
#include "gatewayd/reconcile.h"
#include "gatewayd/telemetry.h"
#include "gatewayd/upstream.h"
#include "lib/http_client.h"
#include "lib/log.h"

struct gateway {
	int lock;
	struct admission admission;
	struct metrics *metrics;
	struct reconciler *reconciler;
	struct monitor *monitor;
	struct guard *guard;
	struct http_client *client;
	struct upstream *upstream;
	struct telemetry *telemetry;
	struct api *api;
};

static struct shape shape_of(const struct options *options, const struct settings *settings)
{
	return (struct shape){ .masquerade = settings->masquerade,
			       .map_size = (uint32_t)options->map_size };
}

static void on_change(void *userdata)
{
	struct gateway *gateway = userdata;

	if (gateway->upstream)
		upstream_touch(gateway->upstream);
}

static void on_foreign_change(const char *who, void *userdata)
{
	struct gateway *gateway = userdata;

	log_warning("table inet portico", "changed by someone else, looking who=\"%s\"", who);
	reconciler_doubt(gateway->reconciler);
}

static void on_socket(uint32_t port_id, void *userdata)
{
	struct gateway *gateway = userdata;

	monitor_ignore(gateway->monitor, port_id);
}

static int open_kernel(struct gateway *gateway, struct event_base *base,
		       const struct options *options, const struct settings *settings,
		       struct error *err)
{
	const struct reconciler_config config = {
		.shape = shape_of(options, settings),
		.addresses = settings->addresses,
		.n_addresses = settings->n_addresses,
		.audit_ms = options->audit_ms,
		.on_change = on_change,
		.userdata = gateway,
	};
	int r;

	r = reconciler_new(&gateway->reconciler, base, &config, gateway->metrics, err);
	if (r < 0)
		return r;
	r = monitor_new(&gateway->monitor, base, on_foreign_change, gateway);
	if (r < 0)
		return error_set(err, r, "kernel", NULL,
				 "cannot listen for changes of the ruleset: %s", strerror(-r));
	reconciler_on_socket(gateway->reconciler, on_socket, gateway);
	r = guard_new(&gateway->guard, reconciler_ledger(gateway->reconciler));
	return r == 0 ? 0 : error_set(err, r, "internal", NULL, "out of memory");
}

static int follow(struct gateway *gateway, struct event_base *base, const struct options *options,
		  const struct settings *settings, struct error *err)
{
	const struct upstream_config config = {
		.server = options->server,
		.name = settings->name,
		.token = settings->token,
		.heartbeat_ms = (uint32_t)options->heartbeat_ms,
		.admission = gateway->admission,
		.reconciler = gateway->reconciler,
		.guard = gateway->guard,
	};
	int r;

	if (!options->server)
		return 0;
	r = http_client_new(&gateway->client, base);
	if (r == 0)
		r = upstream_new(&gateway->upstream, base, gateway->client, &config);
	return r == 0 ? 0
		      : error_set(err, r, "invalid", "server", "server: cannot follow \"%s\": %s",
				  options->server, strerror(-r));
}

static int serve(struct gateway *gateway, struct event_base *base, const struct options *options,
		 const struct settings *settings, struct error *err)
{
	const struct api_config config = {
		.name = settings->name,
		.socket = options->socket,
		.metrics = settings->metrics,
		.metrics_listen = settings->metrics_listen,
		.admission = gateway->admission,
		.shape = shape_of(options, settings),
		.reconciler = gateway->reconciler,
		.guard = gateway->guard,
		.upstream = gateway->upstream,
		.registry = gateway->metrics,
	};
	int r;

	r = telemetry_new(&gateway->telemetry, gateway->metrics, gateway->reconciler,
			  gateway->upstream);
	if (r < 0)
		return error_set(err, r, "internal", NULL, "out of memory");
	return api_new(&gateway->api, base, &config, err);
}

static void log_findings(const struct gateway *gateway)
{
	struct finding findings[FINDINGS_MAX];
	size_t n = findings_collect(findings, &gateway->admission,
				    reconciler_ledger(gateway->reconciler));

	for (size_t i = 0; i < n; i++)
		log_warning("host", "%s remedy=\"%s\"", findings[i].message, findings[i].remedy);
}

int gateway_new(struct gateway **ret, struct event_base *base, const struct options *options,
		const struct settings *settings, struct error *err)
{
	_cleanup_(cleanup_gateway) struct gateway *gateway = calloc(1, sizeof(*gateway));
	int r;

	if (!gateway)
		return error_set(err, -ENOMEM, "internal", NULL, "out of memory");
	gateway->lock = -1;
	gateway->admission = (struct admission){ .addresses = settings->addresses,
						 .n_addresses = settings->n_addresses };
	r = lock_take(options->run_directory, &gateway->lock, err);
	if (r < 0)
		return r;
	r = metrics_new(&gateway->metrics);
	if (r < 0)
		return error_set(err, r, "internal", NULL, "out of memory");
	r = open_kernel(gateway, base, options, settings, err);
	if (r == 0)
		r = follow(gateway, base, options, settings, err);
	if (r == 0)
		r = serve(gateway, base, options, settings, err);
	if (r < 0)
		return r;
	log_findings(gateway);
	*ret = TAKE_PTR(gateway);
	return 0;
}

void gateway_free(struct gateway *gateway)
{
	if (!gateway)
		return;
	/* The reconciler answers what waits for it, to API and upstream. */
	reconciler_free(gateway->reconciler);
	api_free(gateway->api);
	upstream_free(gateway->upstream);
	http_client_free(gateway->client);
	guard_free(gateway->guard);
	monitor_free(gateway->monitor);
	metrics_free(gateway->metrics);
	telemetry_free(gateway->telemetry);
	if (gateway->lock >= 0)
		close(gateway->lock);
	free(gateway);
}

bool gateway_check(const struct options *options, const struct settings *settings)
{
	const struct admission admission = { .addresses = settings->addresses,
					     .n_addresses = settings->n_addresses };
	const struct shape shape = shape_of(options, settings);
	struct finding findings[FINDINGS_MAX];
	size_t n;

	n = findings_collect(findings, &admission, NULL);
	n = findings_kernel(findings, n, &shape);
	for (size_t i = 0; i < n; i++)
		(void)printf("%s: %s\n  remedy: %s\n", findings[i].error ? "error" : "warning",
			     findings[i].message, findings[i].remedy);
	if (n == 0)
		(void)printf("configuration and machine are fine\n");
	return n == 0;
}
