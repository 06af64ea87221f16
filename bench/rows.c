/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The least that durable creates can cost: the rows of a create, by schedd's own statements, sent
 * by libpq over several connections with nothing in front of them.
 *
 *	bench-rows CONNINFO CONNECTIONS CREATES SECONDS PREFIX HOSTS ADDRESS…
 *
 * CREATES is how many of them are one transaction. The leader's row is left alone, since it would
 * have the connections wait for each other. Prints creates a second, and rows of one create.
 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/bench.h"
#include "lib/clock.h"
#include "lib/util.h"
#include "schedd/store_private.h"

#define CONNECTIONS_MAX 256
#define CREATES_MAX 1000 /* of a transaction */
#define FIRST_PORT 1024
#define PORTS (30000u - FIRST_PORT) /* below what the benchmark's schedd gives out */
#define ROWS_OF_A_CREATE 4          /* environment, port, and two events */

/* What of a create is alive until it is sent. */
struct creation {
	struct environment *environment;
	struct port port;
	struct entry entries[2];
};

static struct {
	PGconn *writers[CONNECTIONS_MAX];
	struct creation creations[CREATES_MAX];
	struct change changes[2 * CREATES_MAX];
	struct audit audits[2 * CREATES_MAX];
	const char *prefix;
	struct address addresses[16];
	size_t n_addresses, n_hosts;
	unsigned n; /* creates that were sent */
	int64_t now;
} bench;

/* The statements of store_rows.c that a create needs. */
static void prepare(PGconn *connection)
{
	for (size_t i = 0; i < store_n_statements; i++) {
		PGresult *result = PQprepare(connection, store_statements[i].name,
					     store_statements[i].sql, 0, NULL);

		if (PQresultStatus(result) != PGRES_COMMAND_OK)
			errx(1, "%s", PQresultErrorMessage(result));
		PQclear(result);
	}
}

static PGconn *connect_writer(const char *conninfo)
{
	PGconn *connection = PQconnectdb(conninfo);

	if (PQstatus(connection) != CONNECTION_OK)
		errx(1, "%s", PQerrorMessage(connection));
	prepare(connection);
	if (PQsetnonblocking(connection, 1) < 0 || !PQenterPipelineMode(connection))
		errx(1, "%s", PQerrorMessage(connection));
	return connection;
}

/* With a key and a hash of the usual length. */
static void fill_origin(struct environment_origin *origin)
{
	struct error error = ERROR_INIT;
	json_t *json = json_pack(
		"{s:s, s:s, s:i, s:i, s:[{s:s, s:i}], s:[s]}", "name", "bench", "image",
		"dev-ubuntu22-pytorch:latest", "cpu_milli", 10, "memory_bytes", 16777216,
		"services", "name", "ssh", "port", 22, "ssh_authorized_keys",
		"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJyM9zGqVbJ3Rk2lq0m4uUu8g2D3H0c1cFh4n6vQxK7w");

	if (!json)
		errx(1, "out of memory");
	if (environment_spec_decode(json, &origin->spec, &error) < 0)
		errx(1, "%s", error.message);
	json_decref(json);
	origin->login = strdup("developer");
	if (!origin->login || asprintf(&origin->password_hash, "%073d", 0) < 0 ||
	    asprintf(&origin->ssh_host_key, "%0387d", 0) < 0 ||
	    asprintf(&origin->ssh_host_key_public, "%080d", 0) < 0)
		errx(1, "out of memory");
	origin->created_at = bench.now;
}

static void make_creation(struct creation *creation)
{
	struct environment *environment = environment_new();

	if (!environment)
		errx(1, "out of memory");
	fill_origin(environment->origin);
	environment->phase = PHASE_CREATING;
	environment->stage = STAGE_PLACING;
	environment->assignment = ASSIGNMENT_RUNNING;
	environment->power = true;
	environment->exit_code = EXIT_CODE_NONE;
	environment->phase_since = bench.now;
	creation->environment = environment;
	creation->port = (struct port){ .record.kind = RECORD_PORT,
					.state = PORT_RESERVED,
					.service = "ssh",
					.since = bench.now };
	creation->entries[0] =
		(struct entry){ .kind = RECORD_ENVIRONMENT, .flight = &environment->record };
	creation->entries[1] =
		(struct entry){ .kind = RECORD_PORT, .flight = &creation->port.record };
}

/* The next environment, with a name, a host and a port of its own. */
static void renew_creation(struct creation *creation, unsigned n)
{
	struct environment *environment = creation->environment;
	struct environment_origin *origin = environment->origin;

	if (n >= PORTS * bench.n_addresses)
		errx(1, "no ports are left");
	(void)snprintf(origin->id, sizeof(origin->id), "env-%s%u", bench.prefix, n);
	free(origin->spec.name);
	origin->spec.name = strdup(origin->id);
	(void)snprintf(environment->host, sizeof(environment->host), "host%zu",
		       1 + n % bench.n_hosts);
	(void)snprintf(environment->reason, sizeof(environment->reason), "placed on %s",
		       environment->host);
	creation->port.key = (struct mapping_key){
		.address = bench.addresses[n / PORTS],
		.protocol = PROTOCOL_TCP,
		.port = (uint16_t)(FIRST_PORT + n % PORTS),
	};
	(void)snprintf(creation->port.environment, sizeof(creation->port.environment), "%s",
		       origin->id);
}

static void fill_audit(struct audit *audit, const char *id, const char *action)
{
	*audit = (struct audit){ .kind = RECORD_ENVIRONMENT, .action = action };
	(void)snprintf(audit->actor, sizeof(audit->actor), "admin/bench");
	(void)snprintf(audit->id, sizeof(audit->id), "%s", id);
	(void)snprintf(audit->message, sizeof(audit->message), "name=%s", id);
}

static void send_transaction(PGconn *connection, size_t creates)
{
	const struct batch batch = { .changes = bench.changes,
				     .n = 2 * creates,
				     .audits = bench.audits,
				     .n_audits = 2 * creates };

	for (size_t i = 0; i < creates; i++) {
		struct creation *creation = &bench.creations[i];
		const char *id = creation->environment->origin->id;

		renew_creation(creation, bench.n++);
		bench.changes[2 * i].entry = &creation->entries[0];
		bench.changes[2 * i + 1].entry = &creation->entries[1];
		fill_audit(&bench.audits[2 * i], id, "create");
		fill_audit(&bench.audits[2 * i + 1], id, "creating");
	}
	if (store_send_rows(connection, &batch) < 0 || !PQpipelineSync(connection))
		errx(1, "%s", PQerrorMessage(connection));
	while (PQflush(connection) > 0)
		if (!PQconsumeInput(connection))
			errx(1, "%s", PQerrorMessage(connection));
}

/* True once the transaction has been committed. */
static bool committed(PGconn *connection)
{
	bool null_before = false;

	if (!PQconsumeInput(connection))
		errx(1, "%s", PQerrorMessage(connection));
	while (!PQisBusy(connection)) {
		PGresult *result = PQgetResult(connection);
		ExecStatusType status = PQresultStatus(result);

		if (!result && null_before)
			return false;
		null_before = !result;
		if (result && status != PGRES_COMMAND_OK && status != PGRES_PIPELINE_SYNC)
			errx(1, "%s", PQresultErrorMessage(result));
		PQclear(result);
		if (status == PGRES_PIPELINE_SYNC)
			return true;
	}
	return false;
}

static size_t run(size_t n, size_t creates, uint64_t end)
{
	struct pollfd polls[CONNECTIONS_MAX];
	size_t done = 0, active = n;

	for (size_t i = 0; i < n; i++) {
		polls[i] = (struct pollfd){ PQsocket(bench.writers[i]), POLLIN, 0 };
		send_transaction(bench.writers[i], creates);
	}
	while (active > 0) {
		if (poll(polls, n, -1) < 0)
			err(1, "poll");
		for (size_t i = 0; i < n; i++) {
			if (!(polls[i].revents & POLLIN) || !committed(bench.writers[i]))
				continue;
			done += creates;
			if (now_ns() < end)
				send_transaction(bench.writers[i], creates);
			else
				active--;
		}
	}
	return done;
}

int main(int argc, char **argv)
{
	size_t n, creates, done;
	uint64_t begin, seconds;

	if (argc < 8)
		errx(2, "CONNINFO CONNECTIONS CREATES SECONDS PREFIX HOSTS ADDRESS…");
	n = argument(argv[2], "CONNECTIONS", 1, CONNECTIONS_MAX);
	creates = argument(argv[3], "CREATES", 1, CREATES_MAX);
	seconds = argument(argv[4], "SECONDS", 1, 3600);
	bench.prefix = argv[5];
	bench.n_hosts = argument(argv[6], "HOSTS", 1, 100000);
	bench.now = clock_unix_seconds();
	for (int i = 7; i < argc && bench.n_addresses < ARRAY_SIZE(bench.addresses); i++)
		if (address_parse(argv[i], &bench.addresses[bench.n_addresses++]) < 0)
			errx(2, "\"%s\" is not an address", argv[i]);
	for (size_t i = 0; i < creates; i++)
		make_creation(&bench.creations[i]);
	for (size_t i = 0; i < n; i++)
		bench.writers[i] = connect_writer(argv[1]);
	begin = now_ns();
	done = run(n, creates, begin + seconds * 1000000000);
	(void)printf("%.1f %d\n", (double)done * 1e9 / (double)(now_ns() - begin),
		     ROWS_OF_A_CREATE);
	for (size_t i = 0; i < n; i++)
		PQfinish(bench.writers[i]);
	for (size_t i = 0; i < creates; i++)
		record_free(&bench.creations[i].environment->record);
	return 0;
}
