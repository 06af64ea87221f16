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
#define FIRST_PORT 1024
#define PORTS (30000u - FIRST_PORT) /* below what the benchmark's schedd gives out */
#define ROWS_OF_A_CREATE 4          /* environment, port, and two events */

struct writer {
	PGconn *connection;
	bool active;
};

static struct {
	struct writer writers[CONNECTIONS_MAX];
	struct environment *environment;
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

static void connect_writer(struct writer *writer, const char *conninfo)
{
	writer->connection = PQconnectdb(conninfo);
	if (PQstatus(writer->connection) != CONNECTION_OK)
		errx(1, "%s", PQerrorMessage(writer->connection));
	prepare(writer->connection);
	if (PQsetnonblocking(writer->connection, 1) < 0 || !PQenterPipelineMode(writer->connection))
		errx(1, "%s", PQerrorMessage(writer->connection));
}

/* What schedd would have in its batch, with a key and a hash of the usual length. */
static void make_environment(void)
{
	struct error error = ERROR_INIT;
	json_t *json = json_pack(
		"{s:s, s:s, s:i, s:i, s:[{s:s, s:i}], s:[s]}", "name", "bench", "image",
		"dev-ubuntu22-pytorch:latest", "cpu_milli", 10, "memory_bytes", 16777216,
		"services", "name", "ssh", "port", 22, "ssh_authorized_keys",
		"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJyM9zGqVbJ3Rk2lq0m4uUu8g2D3H0c1cFh4n6vQxK7w");
	struct environment_origin *origin;

	bench.environment = environment_new();
	if (!json || !bench.environment)
		errx(1, "out of memory");
	origin = bench.environment->origin;
	if (environment_spec_decode(json, &origin->spec, &error) < 0)
		errx(1, "%s", error.message);
	json_decref(json);
	origin->login = strdup("developer");
	if (asprintf(&origin->password_hash, "%073d", 0) < 0 ||
	    asprintf(&origin->ssh_host_key, "%0387d", 0) < 0 ||
	    asprintf(&origin->ssh_host_key_public, "%080d", 0) < 0)
		errx(1, "out of memory");
	bench.environment->phase = PHASE_CREATING;
	bench.environment->stage = STAGE_PLACING;
	bench.environment->assignment = ASSIGNMENT_RUNNING;
	bench.environment->power = true;
	bench.environment->exit_code = EXIT_CODE_NONE;
	bench.environment->origin->created_at = bench.environment->phase_since = bench.now;
}

static int send_environment(PGconn *connection)
{
	struct environment *environment = bench.environment;
	struct entry entry = { .kind = RECORD_ENVIRONMENT, .flight = &environment->record };

	(void)snprintf(environment->origin->id, sizeof(environment->origin->id), "env-%s%u",
		       bench.prefix, bench.n);
	free(environment->origin->spec.name);
	environment->origin->spec.name = strdup(environment->origin->id);
	(void)snprintf(environment->host, sizeof(environment->host), "host%zu",
		       1 + bench.n % bench.n_hosts);
	(void)snprintf(environment->reason, sizeof(environment->reason), "placed on %s",
		       environment->host);
	return store_send_change(connection, &entry);
}

static int send_port(PGconn *connection)
{
	struct port port = {
		.record.kind = RECORD_PORT,
		.key = { .address = bench.addresses[bench.n / PORTS],
			 .protocol = PROTOCOL_TCP,
			 .port = (uint16_t)(FIRST_PORT + bench.n % PORTS) },
		.state = PORT_RESERVED,
		.service = "ssh",
		.since = bench.now,
	};
	struct entry entry = { .kind = RECORD_PORT, .flight = &port.record };

	(void)snprintf(port.environment, sizeof(port.environment), "%s",
		       bench.environment->origin->id);
	return store_send_change(connection, &entry);
}

static int send_event(PGconn *connection, const char *action)
{
	struct audit audit = { .kind = RECORD_ENVIRONMENT,
			       .actor = "admin/bench",
			       .action = action };

	(void)snprintf(audit.id, sizeof(audit.id), "%s", bench.environment->origin->id);
	(void)snprintf(audit.message, sizeof(audit.message), "name=%s", audit.id);
	return store_send_audit(connection, &audit, 1);
}

static void send_transaction(struct writer *writer, size_t creates)
{
	PGconn *connection = writer->connection;

	for (size_t i = 0; i < creates; i++, bench.n++) {
		if (bench.n == PORTS * bench.n_addresses)
			errx(1, "no ports are left");
		if (send_environment(connection) < 0 || send_port(connection) < 0 ||
		    send_event(connection, "create") < 0 || send_event(connection, "creating") < 0)
			errx(1, "%s", PQerrorMessage(connection));
	}
	if (!PQpipelineSync(connection))
		errx(1, "%s", PQerrorMessage(connection));
	while (PQflush(connection) > 0)
		if (!PQconsumeInput(connection))
			errx(1, "%s", PQerrorMessage(connection));
	writer->active = true;
}

/* True once the transaction has been committed. */
static bool committed(struct writer *writer)
{
	bool null_before = false;

	if (!PQconsumeInput(writer->connection))
		errx(1, "%s", PQerrorMessage(writer->connection));
	while (!PQisBusy(writer->connection)) {
		PGresult *result = PQgetResult(writer->connection);
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
		polls[i] = (struct pollfd){ PQsocket(bench.writers[i].connection), POLLIN, 0 };
		send_transaction(&bench.writers[i], creates);
	}
	while (active > 0) {
		if (poll(polls, n, -1) < 0)
			err(1, "poll");
		for (size_t i = 0; i < n; i++) {
			if (!(polls[i].revents & POLLIN) || !committed(&bench.writers[i]))
				continue;
			done += creates;
			if (now_ns() < end)
				send_transaction(&bench.writers[i], creates);
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
	creates = argument(argv[3], "CREATES", 1, 1000);
	seconds = argument(argv[4], "SECONDS", 1, 3600);
	bench.prefix = argv[5];
	bench.n_hosts = argument(argv[6], "HOSTS", 1, 100000);
	bench.now = clock_unix_seconds();
	for (int i = 7; i < argc && bench.n_addresses < ARRAY_SIZE(bench.addresses); i++)
		if (address_parse(argv[i], &bench.addresses[bench.n_addresses++]) < 0)
			errx(2, "\"%s\" is not an address", argv[i]);
	make_environment();
	for (size_t i = 0; i < n; i++)
		connect_writer(&bench.writers[i], argv[1]);
	begin = now_ns();
	done = run(n, creates, begin + seconds * 1000000000);
	(void)printf("%.1f %d\n", (double)done * 1e9 / (double)(now_ns() - begin),
		     ROWS_OF_A_CREATE);
	for (size_t i = 0; i < n; i++)
		PQfinish(bench.writers[i].connection);
	record_free(&bench.environment->record);
	return 0;
}
