/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The modules of schedd and how they are connected. */
#include "schedd/daemon.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "schedd/api.h"
#include "schedd/auth.h"
#include "schedd/certificate.h"
#include "schedd/forward.h"
#include "schedd/migrations.h"
#include "schedd/telemetry.h"

#define SOCKET_MODE 0660
#define HOLDER_MAX 128

struct daemon {
	struct loop *loop;
	const struct options *options;
	const struct settings *settings;
	struct event hangup; /* SIGHUP: the certificate's files are read again */
	char holder[HOLDER_MAX];
	char address[STORE_ADDRESS_MAX]; /* what standbys are told */
	bool failed;
	struct http_tls *tls; /* NULL: plain HTTP, or no TCP at all */
	struct http_server *server;
	struct feed *feed;
	struct scheduler *scheduler;
	struct forward *forward;
	struct archive *archive;
	struct log_sessions *logs;
	struct password_hasher *hasher;
	struct metrics *metrics;
	struct telemetry *telemetry;
	struct auth *auth;
	struct api *api;
};

static void on_commit(void *userdata, const struct batch *batch)
{
	struct daemon *daemon = userdata;

	feed_commit(daemon->feed, scheduler_state(daemon->scheduler), batch);
	for (size_t i = 0; i < batch->n; i++) {
		const struct entry *entry = batch->changes[i].entry;

		if (entry->kind == RECORD_TOKEN && entry->committed->gone)
			log_sessions_revoke(daemon->logs, entry->id);
	}
}

static void tell_logs(void *userdata, const char *host, json_t *session)
{
	struct daemon *daemon = userdata;

	feed_tell_logs(daemon->feed, scheduler_state(daemon->scheduler)->epoch, host, session);
}

static void on_reset(void *userdata)
{
	struct daemon *daemon = userdata;

	log_sessions_reset(daemon->logs);
	feed_reset(daemon->feed);
}

static void on_fatal(void *userdata, const char *reason)
{
	struct daemon *daemon = userdata;

	log_error(NULL, "cannot go on: %s", reason);
	daemon->failed = true;
	loop_stop(daemon->loop);
}

static const struct scheduler_events scheduler_events = {
	.on_commit = on_commit,
	.on_reset = on_reset,
	.on_fatal = on_fatal,
};

/* Who holds the leader's row, for people who look at it: host and process. */
static void name_holder(struct daemon *daemon)
{
	char host[64] = "unknown";

	(void)gethostname(host, sizeof(host) - 1);
	(void)snprintf(daemon->holder, sizeof(daemon->holder), "%s pid %d", host, (int)getpid());
}

/* The key goes with the address, so that a standby knows whom it speaks to whatever the certificate
 * says: who may write that row may do anything. */
static void name_address(struct daemon *daemon, const struct settings *settings)
{
	const char *pin = daemon->tls ? http_tls_pin(daemon->tls) : NULL;
	bool pinned = pin && strncmp(settings->advertise, "https:", strlen("https:")) == 0;
	int n = snprintf(daemon->address, sizeof(daemon->address), "%s%s%s", settings->advertise,
			 pinned ? "#" : "", pinned ? pin : "");

	if (n < 0 || (size_t)n >= sizeof(daemon->address))
		daemon->address[0] = '\0';
}

static void on_hangup(evutil_socket_t fd, short what, void *userdata)
{
	struct daemon *daemon = userdata;
	struct error err = ERROR_INIT;
	int r;

	if (!daemon->tls) {
		log_info(NULL, "SIGHUP: there is no certificate to read again");
		return;
	}
	r = certificate_reload(daemon->options, daemon->tls, &err);
	if (r == 0) {
		name_address(daemon, daemon->settings);
		r = scheduler_set_address(daemon->scheduler, daemon->address);
	}
	if (r < 0)
		log_error(NULL, "SIGHUP: the certificate of before stays in use: %s",
			  error_text(&err, r));
	else
		log_info(NULL, "SIGHUP: the certificate was read again pin=%s",
			 http_tls_pin(daemon->tls));
}

static int take_hangup(struct daemon *daemon)
{
	if (evsignal_assign(&daemon->hangup, loop_base(daemon->loop), SIGHUP, on_hangup, daemon) <
		    0 ||
	    evsignal_add(&daemon->hangup, NULL) < 0)
		return -ENOMEM;
	return 0;
}

static int make_modules(struct daemon *daemon, const struct options *options,
			struct settings *settings)
{
	struct event_base *base = loop_base(daemon->loop);
	const struct http_limits limits = {
		.body_bytes = options->max_body,
		.connections = (unsigned)options->max_connections,
		.request_ms = (uint32_t)options->request_timeout_ms,
		.idle_ms = (uint32_t)options->idle_timeout_ms,
		.stream_bytes = options->watch_backlog,
	};
	const struct scheduler_config scheduler = {
		.database = options->database,
		.holder = daemon->holder,
		.address = daemon->address,
		.event_retention_s = options->event_retention_ms / 1000,
		.cpu_overcommit = (unsigned)options->cpu_overcommit,
		.pool = &settings->pool,
		.limits = settings->limits,
		.offline_after_ms = (uint32_t)options->offline_after_ms,
		.lease_ms = options->lease_ms,
		.lease_margin_ms = options->lease_margin_ms,
		.policy = settings->policy,
		.keys_per_caller = (unsigned)options->token_keys,
	};
	const struct limits_config requests = {
		.rate = (unsigned)options->token_rate,
		.requests = (unsigned)options->token_requests,
		.watches = (unsigned)options->token_watches,
		.all_requests = (unsigned)options->max_requests,
		.all_watches = (unsigned)options->max_watches,
	};
	const struct log_sessions_config logs = {
		.all = (unsigned)options->max_logs,
		.per_token = (unsigned)options->token_logs,
		.timeout_ms = (uint32_t)options->logs_timeout_ms,
		.tell = tell_logs,
		.userdata = daemon,
	};
	int r = http_server_new(&daemon->server, base, &limits);

	if (r == 0)
		r = metrics_new(&daemon->metrics);
	if (r == 0)
		r = log_sessions_new(&daemon->logs, base, daemon->metrics, &logs);
	if (r == 0)
		r = archive_new(&daemon->archive, base, options->database);
	if (r == 0)
		r = feed_new(&daemon->feed, base, daemon->archive, options->public_name);
	if (r == 0)
		r = password_hasher_new(&daemon->hasher, base);
	if (r == 0)
		r = scheduler_new(&daemon->scheduler, base, &scheduler, &scheduler_events, daemon);
	if (r == 0)
		r = forward_new(&daemon->forward, base, daemon->server, daemon->scheduler,
				daemon->holder);
	if (r == 0)
		r = telemetry_new(&daemon->telemetry, daemon->metrics, daemon->scheduler,
				  daemon->feed, daemon->server, daemon->forward);
	if (r == 0)
		r = auth_new(&daemon->auth, base, daemon->server, daemon->scheduler,
			     daemon->metrics, &requests);
	return r;
}

static int make_api(struct daemon *daemon, const struct options *options)
{
	const struct api_config config = {
		.server = daemon->server,
		.scheduler = daemon->scheduler,
		.feed = daemon->feed,
		.archive = daemon->archive,
		.logs = daemon->logs,
		.hasher = daemon->hasher,
		.metrics = daemon->metrics,
		.public_name = options->public_name,
		.login = options->user,
		.images = &options->images,
	};

	return api_new(&daemon->api, &config);
}

static int listen_tcp(struct daemon *daemon, const struct options *options,
		      const struct settings *settings, struct error *err)
{
	uint16_t port = settings->listen.port;
	char address[ADDRESS_STRING_MAX];
	int r;

	address_format(&settings->listen.address, address);
	if (!settings->tls) {
		r = http_server_listen_tcp(daemon->server, address, port, NULL, err);
		if (r == 0)
			log_info(NULL, "listening address=http://%s%s", options->listen,
				 options->insecure ? " insecure=yes" : "");
		return r;
	}
	r = http_server_listen_tls(daemon->server, daemon->tls, address, port, NULL, err);
	if (r == 0)
		log_info(NULL, "listening address=https://%s pin=%s", options->listen,
			 http_tls_pin(daemon->tls));
	return r;
}

static int listen_all(struct daemon *daemon, const struct options *options,
		      const struct settings *settings, struct error *err)
{
	int r = settings->tcp ? listen_tcp(daemon, options, settings, err) : 0;

	if (r < 0)
		return r;
	if (!options->socket || !*options->socket)
		return 0;
	return http_server_listen_unix(daemon->server, options->socket, SOCKET_MODE, err);
}

int daemon_new(struct daemon **ret, struct loop *loop, const struct options *options,
	       struct settings *settings, struct error *err)
{
	_cleanup_(cleanup_daemon) struct daemon *daemon = calloc(1, sizeof(*daemon));
	int r;

	if (!daemon)
		return -ENOMEM;
	daemon->loop = loop;
	daemon->options = options;
	daemon->settings = settings;
	name_holder(daemon);
	r = settings->tls ? certificate_open(options, settings, &daemon->tls, err) : 0;
	if (r < 0)
		return r;
	name_address(daemon, settings);
	r = make_modules(daemon, options, settings);
	if (r == 0)
		r = make_api(daemon, options);
	if (r == 0)
		r = listen_all(daemon, options, settings, err);
	if (r == 0)
		r = take_hangup(daemon);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(daemon);
	return 0;
}

void daemon_free(struct daemon *daemon)
{
	if (!daemon)
		return;
	if (event_initialized(&daemon->hangup))
		(void)event_del(&daemon->hangup);
	api_free(daemon->api);
	forward_free(daemon->forward);
	log_sessions_free(daemon->logs);
	archive_free(daemon->archive); /* with the questions of both */
	feed_free(daemon->feed);       /* its streams are counted by auth */
	daemon->feed = NULL;
	auth_free(daemon->auth);
	password_hasher_free(daemon->hasher);
	scheduler_free(daemon->scheduler);
	telemetry_free(daemon->telemetry);
	feed_free(daemon->feed);
	http_server_free(daemon->server);
	http_tls_free(daemon->tls);
	metrics_free(daemon->metrics);
	free(daemon);
}

bool daemon_failed(const struct daemon *daemon)
{
	return daemon->failed;
}

bool daemon_check(const struct options *options, const struct settings *settings)
{
	struct error err = ERROR_INIT;
	unsigned version;
	int r = store_probe(options->database, &version, &err);

	printf("ok: configuration: %zu ports on %zu addresses\n", port_pool_size(&settings->pool),
	       settings->pool.n_addresses);
	if (r < 0) {
		printf("error: %s%s\n", error_text(&err, r),
		       r == -EINVAL ? "" : "; start PostgreSQL, or mend the option database");
		return false;
	}
	if (version > n_migrations) {
		printf("error: the schema has version %u and this schedd knows %u; install a newer one\n",
		       version, n_migrations);
		return false;
	}
	if (version < n_migrations)
		printf("ok: database: schema version %u, to be migrated to %u at start\n", version,
		       n_migrations);
	else
		printf("ok: database: schema version %u\n", version);
	return true;
}
