/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The gateway: makes all modules of the daemon, connects them, and takes them apart again in the
 * order that their callbacks need. It decides nothing.
 */
#include "gatewayd/gateway.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "gatewayd/accounting.h"
#include "gatewayd/api.h"
#include "gatewayd/fastpath.h"
#include "gatewayd/findings.h"
#include "gatewayd/guard.h"
#include "gatewayd/inspector.h"
#include "gatewayd/lock.h"
#include "gatewayd/mapping_file.h"
#include "gatewayd/monitor.h"
#include "gatewayd/network.h"
#include "gatewayd/public_addresses.h"
#include "gatewayd/reconcile.h"
#include "gatewayd/route.h"
#include "gatewayd/state.h"
#include "gatewayd/telemetry.h"
#include "gatewayd/traffic_metrics.h"
#include "gatewayd/upstream.h"
#include "gatewayd/why.h"
#include "lib/http_client.h"
#include "lib/log.h"

struct gateway {
	int lock;
	struct network *network;
	struct routes routes;
	struct source source;
	struct public_addresses *addresses;
	struct shape shape;
	struct fastpath_question question;
	struct fastpath_choice fastpath;
	struct inspector *inspector;
	struct why *why;
	struct metrics *metrics;
	struct state *state;
	struct accounting *accounting;
	struct reconciler *reconciler;
	struct monitor *monitor;
	struct guard *guard;
	struct http_client *client;
	struct upstream *upstream;
	struct mapping_file *mapping_file;
	struct telemetry *telemetry;
	struct traffic_metrics *traffic_metrics;
	struct api *api;
};

static struct source source_of(const struct settings *settings)
{
	return (struct source){ .mode = settings->source,
				.addresses = settings->sources,
				.n_addresses = settings->n_sources };
}

static struct shape shape_of(const struct options *options, const struct settings *settings)
{
	const struct source source = source_of(settings);

	return (struct shape){ .source = source.mode,
			       .n_sources4 = source_count(&source, AF_INET),
			       .n_sources6 = source_count(&source, AF_INET6),
			       .source_rate = settings->source_rate,
			       .source_rate_s = settings->source_rate_s,
			       .map_size = (uint32_t)options->map_size };
}

static void on_change(void *userdata)
{
	struct gateway *gateway = userdata;

	if (gateway->upstream)
		upstream_touch(gateway->upstream);
}

static void on_expired(const struct mapping_key *key, int64_t expires_at, void *userdata)
{
	struct gateway *gateway = userdata;

	if (gateway->upstream)
		upstream_expired(gateway->upstream, key, expires_at);
}

static void on_foreign_change(const char *who, void *userdata)
{
	struct gateway *gateway = userdata;

	log_warning("table inet portico", "changed by someone else, looking who=\"%s\"", who);
	reconciler_doubt(gateway->reconciler);
}

/* Our own changes are none of the monitor's business, and cost the kernel an event each. */
static void on_bulk(bool begins, void *userdata)
{
	struct gateway *gateway = userdata;

	if (gateway->monitor)
		monitor_listen(gateway->monitor, !begins);
}

static void on_socket(uint32_t port_id, void *userdata)
{
	struct gateway *gateway = userdata;

	monitor_ignore(gateway->monitor, port_id);
}

/* The indexes of links that carry traffic, and as many of their names as the fast path takes. */
static size_t live_links(const struct gateway *gateway, int ret[NETWORK_LINKS_MAX],
			 struct shape_devices *ret_devices)
{
	struct network_link links[NETWORK_LINKS_MAX];
	size_t n = network_links(gateway->network, links, NETWORK_LINKS_MAX), live = 0;

	*ret_devices = (struct shape_devices){ 0 };
	for (size_t i = 0; i < n; i++) {
		if (!links[i].up || links[i].loopback)
			continue;
		ret[live++] = links[i].index;
		if (ret_devices->n < SHAPE_DEVICES_MAX)
			memcpy(ret_devices->names[ret_devices->n++], links[i].name, IF_NAMESIZE);
	}
	return live;
}

static void take_links(struct gateway *gateway)
{
	int links[NETWORK_LINKS_MAX];
	struct shape_devices devices;
	size_t n = live_links(gateway, links, &devices);

	reconciler_set_links(gateway->reconciler, links, n);
	reconciler_set_devices(gateway->reconciler, &devices);
}

static void on_network_change(unsigned what, void *userdata)
{
	struct gateway *gateway = userdata;

	if (what & NETWORK_LINKS)
		take_links(gateway);
	if (public_addresses_refresh(gateway->addresses, reconciler_ledger(gateway->reconciler)) &&
	    gateway->upstream)
		upstream_reregister(gateway->upstream);
	inspector_doubt(gateway->inspector);
}

/* base NULL: for a look only. */
static int open_network(struct gateway *gateway, struct event_base *base,
			const struct settings *settings, struct error *err)
{
	int r;

	r = network_new(&gateway->network, base, on_network_change, gateway);
	if (r == 0)
		r = routes_open(&gateway->routes);
	if (r < 0)
		return error_set(err, r, "kernel", NULL, "cannot read links and addresses: %s",
				 strerror(-r));
	r = public_addresses_new(&gateway->addresses, settings->addresses, settings->n_addresses,
				 gateway->network, &gateway->routes);
	if (r < 0)
		return error_set(err, r, "invalid", "addresses",
				 "addresses: cannot be taken in: %s", strerror(-r));
	return 0;
}

static int open_state(struct gateway *gateway, struct event_base *base,
		      const struct options *options, struct error *err)
{
	const struct state_config config = {
		.folder = options->state_directory,
		.run_folder = options->run_directory,
		.metrics = gateway->metrics,
	};

	return state_new(&gateway->state, base, &config, err);
}

static int open_accounting(struct gateway *gateway, struct event_base *base,
			   const struct options *options, struct error *err)
{
	char path[PATH_MAX];
	int r;

	r = lock_file_path(options->run_directory, "counters", path, err);
	return r < 0 ? r
		     : accounting_new(&gateway->accounting, base, path, options->event_buffer, err);
}

static int open_kernel(struct gateway *gateway, struct event_base *base,
		       const struct options *options, const struct settings *settings,
		       struct error *err)
{
	int links[NETWORK_LINKS_MAX];
	struct reconciler_config config = {
		.shape = shape_of(options, settings),
		.addresses = settings->addresses,
		.n_addresses = settings->n_addresses,
		.source = source_of(settings),
		.links = links,
		.audit_ms = options->audit_ms,
		.on_expired = on_expired,
		.state = gateway->state,
		.accounting = gateway->accounting,
		.on_bulk = on_bulk,
		.on_change = on_change,
		.userdata = gateway,
	};
	int r;

	config.n_links = live_links(gateway, links, &config.shape.devices);
	r = fastpath_choose(&gateway->question, &gateway->fastpath, err);
	if (r < 0)
		return r;
	config.shape.fastpath = gateway->fastpath.used;
	r = reconciler_new(&gateway->reconciler, base, &config, gateway->metrics, err);
	if (r < 0)
		return r;
	(void)public_addresses_refresh(gateway->addresses, reconciler_ledger(gateway->reconciler));
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
		.token_file = settings->token_file,
		.heartbeat_ms = (uint32_t)options->heartbeat_ms,
		.admission = public_addresses_admission(gateway->addresses),
		.reconciler = gateway->reconciler,
		.guard = gateway->guard,
		.state = gateway->state,
	};
	int r;

	if (!options->server)
		return 0;
	r = http_client_new(&gateway->client, base);
	if (r == 0)
		r = http_client_trust(gateway->client, options->ca_file, options->server_pin);
	if (r == 0)
		r = upstream_new(&gateway->upstream, base, gateway->client, &config);
	return r == 0 ? 0
		      : error_set(err, r, "invalid", "server", "server: cannot follow \"%s\": %s",
				  options->server, strerror(-r));
}

static int take_file(struct gateway *gateway, struct event_base *base,
		     const struct settings *settings, struct error *err)
{
	const struct mapping_file_config config = {
		.path = settings->mapping_file,
		.admission = public_addresses_admission(gateway->addresses),
		.reconciler = gateway->reconciler,
		.guard = gateway->guard,
	};
	int r = mapping_file_new(&gateway->mapping_file, base, &config);

	return r == 0 ? 0 : error_set(err, r, "internal", NULL, "out of memory");
}

static int serve(struct gateway *gateway, struct event_base *base, const struct options *options,
		 const struct settings *settings, struct error *err)
{
	const struct api_config config = {
		.name = settings->name,
		.socket = options->socket,
		.metrics = settings->metrics,
		.metrics_listen = settings->metrics_listen,
		.addresses = gateway->addresses,
		.inspector = gateway->inspector,
		.why = gateway->why,
		.shape = shape_of(options, settings),
		.reconciler = gateway->reconciler,
		.guard = gateway->guard,
		.accounting = gateway->accounting,
		.upstream = gateway->upstream,
		.mapping_file = settings->mapping_file,
		.registry = gateway->metrics,
	};
	int r;

	r = telemetry_new(&gateway->telemetry, gateway->metrics, gateway->reconciler,
			  gateway->upstream);
	if (r == 0)
		r = public_addresses_meter(gateway->addresses, gateway->metrics);
	if (r == 0)
		r = traffic_metrics_new(&gateway->traffic_metrics, gateway->metrics,
					gateway->accounting, reconciler_ledger(gateway->reconciler),
					settings->mapping_series);
	if (r < 0)
		return error_set(err, r, "internal", NULL, "out of memory");
	return api_new(&gateway->api, base, &config, err);
}

static struct findings_view view_of(struct gateway *gateway, const struct shape *shape)
{
	return (struct findings_view){ .addresses = gateway->addresses,
				       .network = gateway->network,
				       .routes = &gateway->routes,
				       .shape = shape,
				       .source = gateway->source };
}

static void on_collect(struct findings *findings, void *userdata)
{
	const struct gateway *gateway = userdata;

	if (gateway->state)
		state_findings(gateway->state, findings);
	if (gateway->mapping_file)
		mapping_file_findings(gateway->mapping_file, findings);
}

static int inspect(struct gateway *gateway, struct event_base *base,
		   const struct settings *settings, struct error *err)
{
	struct inspector_config config = { .view = view_of(gateway, &gateway->shape),
					   .set = settings->set_host,
					   .no_flowtable = gateway->fastpath.no_flowtable,
					   .on_collect = on_collect,
					   .userdata = gateway };
	struct why_view view;
	int r;

	config.view.ledger = reconciler_ledger(gateway->reconciler);
	view = (struct why_view){ .machine = config.view,
				  .upstream = gateway->upstream,
				  .flows = accounting_table(gateway->accounting),
				  .bans = reconciler_bans(gateway->reconciler) };
	r = inspector_new(&gateway->inspector, base, &config, gateway->metrics);
	if (r == 0)
		r = why_new(&gateway->why, base, &view);
	return r == 0 ? 0 : error_set(err, r, "internal", NULL, "out of memory");
}

int gateway_new(struct gateway **ret, struct event_base *base, const struct options *options,
		const struct settings *settings, struct error *err)
{
	_cleanup_(cleanup_gateway) struct gateway *gateway = calloc(1, sizeof(*gateway));
	int r;

	if (!gateway)
		return error_set(err, -ENOMEM, "internal", NULL, "out of memory");
	gateway->lock = -1;
	gateway->routes = ROUTES_INIT;
	gateway->shape = shape_of(options, settings);
	gateway->source = source_of(settings);
	r = lock_take(options->run_directory, &gateway->lock, err);
	if (r < 0)
		return r;
	/* The kernel takes its time, in which the state file is read. */
	fastpath_ask(&gateway->question, settings->fastpath);
	r = metrics_new(&gateway->metrics);
	if (r < 0)
		return error_set(err, r, "internal", NULL, "out of memory");
	r = open_network(gateway, base, settings, err);
	if (r == 0)
		r = open_state(gateway, base, options, err);
	if (r == 0)
		r = open_accounting(gateway, base, options, err);
	if (r == 0)
		r = open_kernel(gateway, base, options, settings, err);
	if (r == 0)
		r = follow(gateway, base, options, settings, err);
	if (r == 0)
		r = take_file(gateway, base, settings, err);
	if (r == 0)
		r = inspect(gateway, base, settings, err);
	if (r == 0)
		r = serve(gateway, base, options, settings, err);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(gateway);
	return 0;
}

void gateway_free(struct gateway *gateway)
{
	if (!gateway)
		return;
	fastpath_forget(&gateway->question);
	/* Walks, reconciler and accounting answer what waits for them, to API, upstream and file;
	 * accounting counts what the reconciler ends at last. */
	why_free(gateway->why);
	reconciler_free(gateway->reconciler);
	accounting_free(gateway->accounting);
	api_free(gateway->api);
	upstream_free(gateway->upstream);
	mapping_file_free(gateway->mapping_file);
	http_client_free(gateway->client);
	guard_free(gateway->guard);
	monitor_free(gateway->monitor);
	state_free(gateway->state);
	inspector_free(gateway->inspector);
	metrics_free(gateway->metrics);
	telemetry_free(gateway->telemetry);
	traffic_metrics_free(gateway->traffic_metrics);
	network_free(gateway->network);
	public_addresses_free(gateway->addresses);
	routes_close(&gateway->routes);
	if (gateway->lock >= 0)
		close(gateway->lock);
	free(gateway);
}

bool gateway_check(const struct options *options, const struct settings *settings)
{
	_cleanup_(cleanup_gateway) struct gateway *gateway = calloc(1, sizeof(*gateway));
	_cleanup_free_ struct findings *findings = calloc(1, sizeof(*findings));
	const struct shape shape = shape_of(options, settings);
	struct findings_view view;
	struct error err = ERROR_INIT;
	bool fine = true;
	int r;

	if (!gateway || !findings)
		return false;
	gateway->lock = -1;
	gateway->routes = ROUTES_INIT;
	r = open_network(gateway, NULL, settings, &err);
	if (r < 0) {
		(void)printf("error: %s\n", error_text(&err, r));
		return false;
	}
	gateway->source = source_of(settings);
	view = view_of(gateway, &shape);
	findings_kernel(findings, &shape);
	fastpath_ask(&gateway->question, settings->fastpath);
	if (fastpath_choose(&gateway->question, &gateway->fastpath, &err) < 0)
		(void)findings_add(findings, FINDING_ERROR, "fastpath", "", "%s", err.message);
	findings_features(findings, gateway->fastpath.no_flowtable);
	findings_collect(findings, &view);
	if (settings->mapping_file)
		mapping_file_check(settings->mapping_file,
				   public_addresses_admission(gateway->addresses), findings);
	for (size_t i = 0; i < findings->n; i++) {
		const struct finding *finding = &findings->items[i];

		(void)printf("%s: %s\n  remedy: %s\n", finding_level_name(finding->level),
			     finding->message, finding->remedy);
		fine &= finding->level == FINDING_INFO;
	}
	if (fine)
		(void)printf("configuration and machine are fine\n");
	return fine;
}
