/* SPDX-License-Identifier: GPL-2.0-or-later */
/* schedd's whole API: "METHOD TARGET", header lines, an empty line and a body, sent over the Unix
 * socket to the daemon as it is: Authorization, cursors and queries, Idempotency-Key, If-Match, and
 * the body of each route. Only PostgreSQL is not there: the store is replaced when linking (see
 * meson.build) by one that loads a few rows before each input and commits at once, and so is the
 * slow hash of passwords. */
#include <event2/event.h>
#include <openssl/sha.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/file.h"
#include "schedd/daemon.h"
#include "schedd/password.h"
#include "schedd/store.h"
#include "tests/fuzz/fuzz.h"

#define ANSWER_MAX ((size_t)1 << 20)
#define IDLE_TURNS 8
#define SECRET "kept-from-everybody"

static struct loop *loop;
static struct daemon *the_daemon;
static struct options options;
static struct settings settings;
static char folder[] = "/tmp/portico-fuzz-XXXXXX", path[64], empty[64];

/* ---- the store: rows in, commits at once ---- */

int __wrap_store_new(struct store **ret, struct event_base *base, const struct store_config *config,
		     const struct store_events *events, void *userdata);
void __wrap_store_free(struct store *store);
enum store_role __wrap_store_role(const struct store *store);
int __wrap_store_commit(struct store *store, uint64_t epoch, const struct batch *batch);
int __wrap_password_hash(struct password_hasher *hasher, const char *password,
			 void (*done)(void *userdata, char *hash), void *userdata);

static struct {
	struct event_base *base;
	const struct store_events *events;
	void *userdata;
	enum store_role role;
} fake;

int __wrap_store_new(struct store **ret, struct event_base *base, const struct store_config *config,
		     const struct store_events *events, void *userdata)
{
	fake.base = base;
	fake.events = events;
	fake.userdata = userdata;
	*ret = (struct store *)&fake;
	return 0;
}

void __wrap_store_free(struct store *store)
{
}

enum store_role __wrap_store_role(const struct store *store)
{
	return fake.role;
}

static void committed(evutil_socket_t fd, short what, void *userdata)
{
	fake.events->on_commit(fake.userdata, 0, "");
}

int __wrap_store_commit(struct store *store, uint64_t epoch, const struct batch *batch)
{
	static const struct timeval now = { 0 };

	return event_base_once(fake.base, -1, EV_TIMEOUT, committed, NULL, &now);
}

struct hashed {
	void (*done)(void *userdata, char *hash);
	void *userdata;
};

static void hashed(evutil_socket_t fd, short what, void *userdata)
{
	struct hashed hashed = *(struct hashed *)userdata;

	free(userdata);
	hashed.done(hashed.userdata, strdup("$y$" SECRET));
}

int __wrap_password_hash(struct password_hasher *hasher, const char *password,
			 void (*done)(void *userdata, char *hash), void *userdata)
{
	static const struct timeval now = { 0 };
	struct hashed *later = malloc(sizeof(*later));

	if (!later)
		return -ENOMEM;
	*later = (struct hashed){ done, userdata };
	return event_base_once(fake.base, -1, EV_TIMEOUT, hashed, later, &now);
}

/* ---- rows ---- */

static void load(void *row)
{
	struct record *record = row;

	record->revision = 10;
	fuzz_require(fake.events->on_row(fake.userdata, record) == 0);
}

static json_t *parsed(const char *text)
{
	json_t *json = json_loads(text, 0, NULL);

	fuzz_require(json);
	return json;
}

static void load_host(void)
{
	_cleanup_json_ json_t *json = parsed(
		"{\"name\":\"h1\",\"address\":\"10.0.0.1\",\"pool\":\"default\",\"labels\":{},"
		"\"version\":\"1\",\"capacity\":{\"cpu_milli\":4000,\"memory_bytes\":8589934592,"
		"\"gpus\":[{\"uuid\":\"GPU-1\",\"model\":\"H200\",\"memory_bytes\":1}]}}");
	struct host *host = host_new();
	struct error err = ERROR_INIT;

	fuzz_require(host_registration_decode(json, &host->origin->registration, &err) == 0);
	host->online = true;
	host->status_since = host->mode_since = clock_unix_seconds();
	load(host);
}

static void load_gateway(void)
{
	_cleanup_json_ json_t *json =
		parsed("{\"name\":\"g1\",\"addresses\":[\"203.0.113.10\"],\"version\":\"1\"}");
	struct gateway *gateway = gateway_new();
	struct error err = ERROR_INIT;

	fuzz_require(gateway_registration_decode(json, &gateway->origin->registration, &err) == 0);
	gateway->online = true;
	gateway->status_since = clock_unix_seconds();
	load(gateway);
}

static void load_environment(const char *id, const char *spec)
{
	_cleanup_json_ json_t *json = parsed(spec);
	struct environment *environment = environment_new();
	struct environment_origin *origin = environment->origin;
	struct error err = ERROR_INIT;

	fuzz_require(environment_spec_decode(json, &origin->spec, &err) == 0);
	(void)snprintf(origin->id, sizeof(origin->id), "%s", id);
	origin->login = strdup("developer");
	origin->password_hash = strdup("$y$" SECRET);
	origin->ssh_host_key = strdup(SECRET);
	origin->ssh_host_key_public = strdup("ssh-ed25519 AAAA");
	origin->created_at = environment->phase_since = clock_unix_seconds();
	environment->power = true;
	load(environment);
}

static void load_customer(const char *id)
{
	struct customer *customer = customer_new();

	(void)snprintf(customer->id, sizeof(customer->id), "%s", id);
	load(customer);
}

/* Its text is "portico_tok-", 16 times the letter, "_", and 52 times the letter. */
static void load_token(char letter, enum role role, const char *subject)
{
	struct token *token = token_new();
	char random[16 + 1] = "", secret[52 + 1] = "", text[128];

	memset(random, letter, sizeof(random) - 1);
	memset(secret, letter, sizeof(secret) - 1);
	(void)snprintf(token->id, sizeof(token->id), "tok-%s", random);
	(void)snprintf(token->name, sizeof(token->name), "token-%c", letter);
	(void)snprintf(token->subject, sizeof(token->subject), "%s", subject);
	(void)snprintf(text, sizeof(text), "portico_%s_%s", token->id, secret);
	(void)SHA256((const unsigned char *)text, strlen(text), token->hash);
	token->role = role;
	load(token);
}

static void load_rows(void)
{
	fake.role = STORE_DOWN;
	fake.events->on_role(fake.userdata, fake.role, "another input");
	fake.events->on_load(fake.userdata);
	load_host();
	load_gateway();
	load_environment("env-1", "{\"name\":\"demo\",\"image\":\"x\",\"cpu_milli\":500,"
				  "\"memory_bytes\":16777216,\"services\":[]}");
	load_customer("alice");
	load_environment("env-2", "{\"name\":\"hers\",\"image\":\"x\",\"cpu_milli\":500,"
				  "\"memory_bytes\":16777216,\"services\":[],"
				  "\"customer\":\"alice\"}");
	load_token('a', ROLE_ADMIN, "");
	load_token('c', ROLE_CUSTOMER, "alice");
	load_token('h', ROLE_HOST, "h1");
	load_token('g', ROLE_GATEWAY, "g1");
	fake.events->on_leader(fake.userdata, 3, 10);
	fake.role = STORE_READY;
	fake.events->on_role(fake.userdata, fake.role, "");
}

/* ---- the daemon ---- */

static void end(void)
{
	daemon_free(the_daemon);
	loop_free(loop);
	config_clear(&schedd_program, &options);
	settings_clear(&settings);
	(void)unlink(empty);
	(void)rmdir(folder);
}

static void start(void)
{
	char *arguments[] = { "schedd",
			      "--config",
			      empty,
			      "--database",
			      "host=/none",
			      "--listen",
			      "",
			      "--socket",
			      path,
			      "--log-level",
			      "error",
			      "--token-rate",
			      "0",
			      "--port-addresses",
			      "203.0.113.10",
			      "--port-range",
			      "30001-30020",
			      NULL };
	enum config_outcome outcome = CONFIG_RUN;
	struct error err = ERROR_INIT;

	fuzz_require(mkdtemp(folder));
	(void)snprintf(path, sizeof(path), "%s/socket", folder);
	(void)snprintf(empty, sizeof(empty), "%s/schedd.conf", folder);
	fuzz_require(file_write_atomic(empty, "", 0, 0600, &err) == 0);
	fuzz_require(config_load(&schedd_program, ARRAY_SIZE(arguments) - 1, arguments, &options,
				 &outcome, NULL, &err) == 0);
	fuzz_require(options_resolve(&options, &settings, &err) == 0);
	log_set_level(settings.log_level);
	fuzz_require(loop_new(&loop) == 0);
	fuzz_require(daemon_new(&the_daemon, loop, &options, &settings, &err) == 0);
	(void)atexit(end);
}

/* ---- one request ---- */

static char *request_of(const char *input, size_t *ret_length)
{
	const char *line_end = strchr(input, '\n'), *body = strstr(input, "\n\n");
	const char *head = line_end ? line_end + 1 : "";
	int head_length = body && body >= head ? (int)(body + 1 - head) : 0;
	char *request;
	int n;

	body = body ? body + 2 : "";
	n = asprintf(&request,
		     "%.*s HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %zu\r\n"
		     "%.*s\r\n%s",
		     line_end ? (int)(line_end - input) : (int)strlen(input), input, strlen(body),
		     head_length, head, body);
	fuzz_require(n >= 0);
	*ret_length = (size_t)n;
	return request;
}

static int dial(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	(void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	fuzz_require(fd >= 0);
	fuzz_require(connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0);
	return fd;
}

/* Until the server has closed, or has nothing more to say: a stream has no end. */
static char *exchange(const char *request, size_t length)
{
	char *answer = malloc(ANSWER_MAX + 1);
	size_t sent = 0, got = 0;
	int fd = dial();
	ssize_t n = -1;

	fuzz_require(answer);
	for (int idle = 0; idle < IDLE_TURNS && n != 0 && got < ANSWER_MAX; idle++) {
		if (sent < length) {
			n = send(fd, request + sent, length - sent, MSG_NOSIGNAL);
			sent += n > 0 ? (size_t)n : 0;
		}
		(void)event_base_loop(loop_base(loop), EVLOOP_NONBLOCK);
		n = recv(fd, answer + got, ANSWER_MAX - got, 0);
		if (n > 0) {
			got += (size_t)n;
			idle = 0;
		}
	}
	answer[got] = '\0';
	(void)close(fd);
	for (int idle = 0; idle < IDLE_TURNS; idle++)
		(void)event_base_loop(loop_base(loop), EVLOOP_NONBLOCK);
	return answer;
}

/* No request is the server's fault, every refusal has a code and a sentence, and no answer but a
 * host's own stream has a secret. */
static void check(const char *input, const char *answer)
{
	const char *body = strstr(answer, "\r\n\r\n");
	struct error err = ERROR_INIT;
	json_t *json = NULL;

	if (!*answer || strncmp(answer, "HTTP/1.0 ", 9) == 0)
		return; /* no request at all */
	fuzz_require(strncmp(answer, "HTTP/1.1 ", 9) == 0);
	fuzz_require(strncmp(answer + 9, "500", 3) != 0);
	if (!strstr(input, SECRET) && !strcasestr(answer, "\r\nTransfer-Encoding: chunked"))
		fuzz_require(!strstr(answer, SECRET));
	if (answer[9] < '4' || !body || !strcasestr(answer, "\r\nContent-Type: application/json"))
		return;
	fuzz_require(json_decode(body + 4, strlen(body + 4), &json, &err) == 0 ||
		     strncasecmp(input, "HEAD", 4) == 0);
	fuzz_require(!json ||
		     (json_is_string(json_object_get(json, "code")) &&
		      json_string_length(json_object_get(json, "message")) > 0) ||
		     strstr(input, "z"));
	json_decref(json);
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
	char *input = fuzz_text(data, size), *request, *answer;
	size_t length;

	if (!the_daemon)
		start();
	load_rows();
	request = request_of(input, &length);
	answer = exchange(request, length);
	check(input, answer);
	free(answer);
	free(request);
	free(input);
	return 0;
}
