/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Clients that create environments, each one after the other over a connection of its own:
 *
 *	bench-creates SERVER TOKEN-FILE CLIENTS SECONDS PREFIX
 *
 * Each answered create is a line "ID SENT ANSWERED" with monotonic nanoseconds. A client whose
 * connection is lost stops: what it had asked for has no answer. Any other answer ends the tool.
 */
#include <event2/buffer.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/api.h"

#define CLIENTS_MAX 4096
#define ID_MAX 48
#define ID_FIELD "\"id\":\"env-"

struct created {
	char id[ID_MAX];
	uint64_t sent, answered;
};

struct client {
	struct evhttp_connection *connection;
	unsigned index, n;
	uint64_t sent;
};

static struct {
	struct api api;
	struct client clients[CLIENTS_MAX];
	const char *prefix;
	uint64_t end;
	unsigned running;
	struct created *created;
	size_t n, capacity;
} bench;

static void answered(struct evhttp_request *request, void *userdata);

static void create(struct client *client)
{
	char body[512];

	(void)snprintf(body, sizeof(body),
		       "{\"name\":\"%s-%u-%u\",\"image\":\"dev-ubuntu22-pytorch:latest\","
		       "\"cpu_milli\":10,\"memory_bytes\":16777216,"
		       "\"services\":[{\"name\":\"ssh\",\"port\":22}],"
		       "\"ssh_authorized_keys\":[\"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ"
		       "yM9zGqVbJ3Rk2lq0m4uUu8g2D3H0c1cFh4n6vQxK7w bench\"]}",
		       bench.prefix, client->index, client->n++);
	client->sent = now_ns();
	api_send(&bench.api, client->connection, EVHTTP_REQ_POST, "/v1/environments", body,
		 answered, NULL, client);
}

static void stop(void)
{
	if (--bench.running == 0)
		event_base_loopbreak(bench.api.base);
}

static void note(const struct client *client, struct evhttp_request *request)
{
	struct evbuffer *body = evhttp_request_get_input_buffer(request);
	struct evbuffer_ptr at = evbuffer_search(body, ID_FIELD, strlen(ID_FIELD), NULL);
	struct created *created;

	if (bench.n == bench.capacity) {
		bench.capacity = bench.capacity ? bench.capacity * 2 : 4096;
		bench.created = reallocarray(bench.created, bench.capacity, sizeof(*bench.created));
		if (!bench.created)
			errx(1, "out of memory");
	}
	created = &bench.created[bench.n++];
	*created = (struct created){ .sent = client->sent, .answered = now_ns() };
	if (at.pos < 0 || evbuffer_ptr_set(body, &at, strlen("\"id\":\""), EVBUFFER_PTR_ADD) < 0 ||
	    evbuffer_copyout_from(body, &at, created->id, ID_MAX - 1) < 0)
		errx(1, "an answer without an id");
	created->id[strcspn(created->id, "\"")] = '\0';
}

static void answered(struct evhttp_request *request, void *userdata)
{
	struct client *client = userdata;
	int code = api_code(request);

	if (code == 0) {
		stop();
		return;
	}
	if (code != 201) {
		struct evbuffer *body = evhttp_request_get_input_buffer(request);

		errx(1, "answered with %d: %.*s", code, (int)evbuffer_get_length(body),
		     (const char *)evbuffer_pullup(body, -1));
	}
	note(client, request);
	if (now_ns() < bench.end)
		create(client);
	else
		stop();
}

int main(int argc, char **argv)
{
	if (argc != 6)
		errx(2, "SERVER TOKEN-FILE CLIENTS SECONDS PREFIX");
	api_init(&bench.api, argv[1], argv[2]);
	bench.running = (unsigned)argument(argv[3], "CLIENTS", 1, CLIENTS_MAX);
	bench.end = now_ns() + argument(argv[4], "SECONDS", 1, 3600) * 1000000000;
	bench.prefix = argv[5];
	for (unsigned i = 0, n = bench.running; i < n; i++) {
		bench.clients[i].index = i;
		bench.clients[i].connection = api_connect(&bench.api);
		create(&bench.clients[i]);
	}
	(void)event_base_dispatch(bench.api.base);
	for (size_t i = 0; i < bench.n; i++)
		(void)printf("%s %llu %llu\n", bench.created[i].id,
			     (unsigned long long)bench.created[i].sent,
			     (unsigned long long)bench.created[i].answered);
	free(bench.created);
	for (size_t i = 0; i < CLIENTS_MAX && bench.clients[i].connection; i++)
		evhttp_connection_free(bench.clients[i].connection);
	api_clear(&bench.api);
	return 0;
}
