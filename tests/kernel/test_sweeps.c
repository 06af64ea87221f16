/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Connections that were to be ended when gatewayd was killed. Each life of it is a process of its
 * own that dies by SIGKILL at a chosen moment; the connections are the test's, and go through the
 * kernel's table all the time.
 */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <ftw.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "gatewayd/reconcile.h"
#include "lib/clock.h"
#include "lib/file.h"
#include "lib/log.h"
#include "tests/kernel/kernel.h"

#define PUBLIC "203.0.113.10"
#define HOST_A "10.0.0.5:7001"
#define HOST_B "10.0.0.6:7001"
#define PORT 30001
#define OTHER 30002
#define FOREIGN 30009
#define FIRST_OF_MANY 31000
#define PATIENCE_MS 20000
/* So many operations that the reconciler says when they begin and end. */
#define MANY 1200

static struct address public_address;
static char folder[] = "/tmp/portico-test-sweeps.XXXXXX";
static int listener_a, listener_b;

/* ---- a life of gatewayd ---- */

static struct event_base *base;
static struct metrics *metrics;
static struct state *state;
static struct reconciler *reconciler;
static bool dies_at_commit;

static void on_bulk(bool begins, void *userdata)
{
	if (!begins && dies_at_commit)
		(void)raise(SIGKILL);
}

static void begin_life(void)
{
	struct state_config state_config = { .folder = folder, .run_folder = folder };
	struct reconciler_config config = {
		.shape = { .map_size = 10000 },
		.addresses = &public_address,
		.n_addresses = 1,
		.audit_ms = 3600000,
		.on_bulk = on_bulk,
	};
	struct error err = ERROR_INIT;

	base = event_base_new();
	cr_assert_eq(metrics_new(&metrics), 0);
	state_config.metrics = metrics;
	cr_assert_eq(state_new(&state, base, &state_config, &err), 0, "%s", err.message);
	config.state = state;
	cr_assert_eq(reconciler_new(&reconciler, base, &config, metrics, &err), 0, "%s",
		     err.message);
}

static void end_life(void)
{
	reconciler_free(reconciler);
	state_free(state);
	metrics_free(metrics);
	event_base_free(base);
	reconciler = NULL;
}

/* What should become of a port. */
struct wish {
	uint16_t port;
	const char *target; /* NULL: it is removed */
	bool drain;
	int64_t seconds; /* 0: for ever */
};

static struct changeset *changeset_of(const struct wish *wishes, size_t n)
{
	struct changeset *changeset;

	cr_assert_eq(changeset_new(&changeset, n), 0);
	changeset->atomic = true;
	for (size_t i = 0; i < n; i++) {
		const struct wish *wish = &wishes[i];
		const struct mapping mapping = {
			.key = { public_address, wish->port, PROTOCOL_TCP },
			.target = endpoint_of(wish->target ?: HOST_A),
			.on_remove = wish->drain ? ON_REMOVE_DRAIN : ON_REMOVE_REVOKE,
			.expires_at = wish->seconds ? clock_unix_seconds() + wish->seconds : 0,
		};

		if (wish->target)
			cr_assert_eq(change_put(&changeset->changes[i], &mapping, "", NULL), 0);
		else
			change_remove(&changeset->changes[i], &mapping.key);
	}
	return changeset;
}

static void on_answer(struct changeset *changeset, void *userdata)
{
	bool *answered = userdata;

	cr_assert_eq(changeset->error.errnum, 0, "%s", changeset->error.message);
	*answered = true;
}

static void ask(const struct wish *wishes, size_t n)
{
	struct changeset *changeset = changeset_of(wishes, n);
	bool answered = false;

	changeset->on_done = on_answer;
	changeset->userdata = &answered;
	reconciler_submit(reconciler, changeset);
	while (!answered)
		(void)event_base_loop(base, EVLOOP_ONCE);
}

/* A connection is looked through beside the loop, which does not turn any more. */
static void on_last_answer(struct changeset *changeset, void *userdata)
{
	(void)raise(SIGKILL);
}

static void ask_and_die(const struct wish *wishes, size_t n)
{
	struct changeset *changeset = changeset_of(wishes, n);

	changeset->on_done = on_last_answer;
	reconciler_submit(reconciler, changeset);
	for (;;)
		(void)event_base_loop(base, EVLOOP_ONCE);
}

/* In a process of its own. */
static pid_t start(void (*life)(void))
{
	pid_t pid = fork();

	if (pid == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		begin_life();
		life();
		_exit(1);
	}
	return pid;
}

static void await_death(pid_t pid)
{
	int status = 0;

	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL, "status %d", status);
}

static void live(void (*life)(void))
{
	await_death(start(life));
}

static bool is_looked_through(void)
{
	struct reconciler_status status;

	reconciler_status(reconciler, &status);
	return status.conntrack_pending == 0;
}

/* The next life, until it has done what is due. */
static void live_on(void)
{
	uint64_t deadline = clock_monotonic_ms() + PATIENCE_MS;

	begin_life();
	while (!is_looked_through() && clock_monotonic_ms() < deadline)
		(void)event_base_loop(base, EVLOOP_ONCE);
	cr_assert(is_looked_through(), "connections wait to be looked through");
}

static void put(const struct wish *wishes, size_t n)
{
	begin_life();
	ask(wishes, n);
	end_life();
}

/* ---- connections ---- */

static int listen_on(const char *where)
{
	struct endpoint endpoint = endpoint_of(where);
	struct sockaddr_storage address;
	socklen_t length = endpoint_to_sockaddr(&endpoint, &address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	cr_assert_eq(bind(fd, (struct sockaddr *)&address, length), 0);
	cr_assert_eq(listen(fd, 8), 0);
	return fd;
}

struct pair {
	int client, server;
};

static struct pair connect_to(uint16_t port, int listener)
{
	struct endpoint endpoint = { .address = public_address, .port = port };
	struct pair pair = { .client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0) };
	struct sockaddr_storage address;
	socklen_t length = endpoint_to_sockaddr(&endpoint, &address);

	cr_assert_eq(connect(pair.client, (struct sockaddr *)&address, length), 0, "port %u: %s",
		     port, strerror(errno));
	pair.server = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	cr_assert_geq(pair.server, 0);
	return pair;
}

/* Whether bytes still go from client to server. */
static bool alive(const struct pair *pair)
{
	const struct timeval patience = { .tv_usec = 300000 };
	char byte = 'x';

	(void)setsockopt(pair->server, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	return send(pair->client, &byte, 1, MSG_NOSIGNAL) == 1 &&
	       recv(pair->server, &byte, 1, 0) == 1;
}

/* The kernel's entry of it, with its id. Of a connection that another's DNAT would take up again
 * without a SYN, only this says that it was left alone. */
static char *entry_of(const struct pair *pair)
{
	const char *const list[] = { "conntrack", "-L", "-p", "tcp", "-o", "id", NULL };
	struct sockaddr_in local;
	socklen_t length = sizeof(local);
	_cleanup_free_ char *listing = run(list);
	char wanted[32], *line;
	const char *id;

	cr_assert_eq(getsockname(pair->client, (struct sockaddr *)&local, &length), 0);
	(void)snprintf(wanted, sizeof(wanted), " sport=%u ", ntohs(local.sin_port));
	line = strstr(listing, wanted);
	id = line ? strstr(line, " id=") : NULL;
	cr_assert_not_null(id, "no entry with%sin %s", wanted, listing);
	return strndup(id, strcspn(id + 1, " \n") + 1);
}

/* Another's table leads this port elsewhere. */
static void do_foreign_dnat(uint16_t port, const char *to)
{
	char command[200];

	(void)snprintf(command, sizeof(command),
		       "table ip other%u { chain c { type nat hook output priority -150; ip daddr "
		       "%s tcp dport %u dnat to %s; }; }",
		       port, PUBLIC, port, to);
	do_nft(command);
}

static void open_all(void)
{
	enter_namespace();
	log_set_level(LOG_LEVEL_ERROR);
	do_ip("address add 203.0.113.10/32 dev lo");
	do_ip("address add 10.0.0.5/32 dev lo");
	do_ip("address add 10.0.0.6/32 dev lo");
	cr_assert_eq(address_parse(PUBLIC, &public_address), 0);
	cr_assert_not_null(mkdtemp(folder));
	listener_a = listen_on(HOST_A);
	listener_b = listen_on(HOST_B);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	return remove(path);
}

static void close_all(void)
{
	if (reconciler)
		end_life();
	(void)nftw(folder, remove_one, 4, FTW_DEPTH | FTW_PHYS);
}

TestSuite(sweeps, .init = open_all, .fini = close_all, .timeout = 120);

/* ---- killed right after the answer ---- */

static void remove_and_drain(void)
{
	const struct wish wishes[] = { { PORT }, { OTHER } };

	ask_and_die(wishes, ARRAY_SIZE(wishes));
}

Test(sweeps, of_a_removal_that_was_answered_are_done_by_the_next_life)
{
	const struct wish wishes[] = { { PORT, HOST_A },
				       { OTHER, HOST_A, .drain = true },
				       { 30003, HOST_A } };
	_cleanup_free_ char *before = NULL, *after = NULL;
	struct pair revoked, draining, mapped, foreign, successor;

	put(wishes, ARRAY_SIZE(wishes));
	do_foreign_dnat(FOREIGN, HOST_B);
	revoked = connect_to(PORT, listener_a);
	draining = connect_to(OTHER, listener_a);
	mapped = connect_to(30003, listener_a);
	foreign = connect_to(FOREIGN, listener_b);
	live(remove_and_drain);
	cr_assert(alive(&revoked), "it was ended already: nothing is tried here");
	/* The port is somebody else's by now. */
	do_foreign_dnat(PORT, HOST_B);
	successor = connect_to(PORT, listener_b);
	before = entry_of(&successor);

	live_on();
	after = entry_of(&successor);
	cr_expect_not(alive(&revoked), "a revoked mapping's connection lives on");
	cr_expect(alive(&draining));
	cr_expect(alive(&mapped));
	cr_expect(alive(&foreign));
	cr_expect(alive(&successor));
	cr_expect_str_eq(before, after, "a connection of another's DNAT was ended");
}

static void lead_elsewhere(void)
{
	const struct wish wish = { PORT, HOST_B };

	ask_and_die(&wish, 1);
}

Test(sweeps, of_a_port_that_was_led_elsewhere_are_done_by_the_next_life)
{
	const struct wish wish = { PORT, HOST_A };
	struct pair before, after;

	put(&wish, 1);
	before = connect_to(PORT, listener_a);
	live(lead_elsewhere);
	cr_assert(alive(&before), "it was ended already: nothing is tried here");
	after = connect_to(PORT, listener_b);
	live_on();
	cr_expect_not(alive(&before));
	cr_expect(alive(&after));
}

static void nothing_and_die(void)
{
	(void)raise(SIGKILL);
}

Test(sweeps, are_not_lost_where_the_next_life_is_killed_too)
{
	const struct wish wishes[] = { { PORT, HOST_A }, { OTHER, HOST_A, .drain = true } };
	struct pair revoked;

	put(wishes, ARRAY_SIZE(wishes));
	revoked = connect_to(PORT, listener_a);
	live(remove_and_drain);
	live(nothing_and_die);
	live(nothing_and_die);
	cr_assert(alive(&revoked), "it was ended already: nothing is tried here");
	live_on();
	cr_expect_not(alive(&revoked));
}

/* ---- killed between the kernel's commit and the file's ---- */

static void make_wishes(struct wish wishes[MANY], const char *target)
{
	for (size_t i = 0; i < MANY; i++)
		wishes[i] = (struct wish){ (uint16_t)(FIRST_OF_MANY + i), target };
}

static void remove_many_and_die(void)
{
	struct wish wishes[MANY];

	make_wishes(wishes, NULL);
	dies_at_commit = true;
	ask_and_die(wishes, MANY);
}

Test(sweeps, of_a_transaction_whose_end_is_not_in_the_file_are_done_by_the_next_life)
{
	struct wish wishes[MANY];
	struct pair revoked, draining;

	make_wishes(wishes, HOST_A);
	wishes[1].drain = true;
	put(wishes, MANY);
	revoked = connect_to(FIRST_OF_MANY, listener_a);
	draining = connect_to(FIRST_OF_MANY + 1, listener_a);
	live(remove_many_and_die);
	live_on();
	cr_expect_not(alive(&revoked));
	cr_expect(alive(&draining));
}

Test(sweeps, go_with_the_file_when_it_is_written_anew)
{
	struct wish wishes[MANY];
	struct pair revoked;

	make_wishes(wishes, HOST_A);
	put(wishes, MANY);
	revoked = connect_to(FIRST_OF_MANY, listener_a);
	live(remove_many_and_die);
	live(nothing_and_die); /* whose file is behind the table */
	cr_assert(alive(&revoked), "it was ended already: nothing is tried here");
	live_on();
	cr_expect_not(alive(&revoked));
}

/* ---- two lives of a port ---- */

static int told[2], tells[2]; /* to and from the process that dies */

static void remove_and_put_and_drain(void)
{
	const struct wish removal = { PORT }, again = { PORT, HOST_A, .drain = true };
	char byte = 'x';

	ask(&removal, 1);
	ask(&again, 1);
	cr_assert_eq(write(tells[1], &byte, 1), 1);
	cr_assert_eq(read(told[0], &byte, 1), 1);
	ask_and_die(&removal, 1);
}

Test(sweeps, of_an_earlier_life_of_a_port_spare_what_drains)
{
	const struct wish wish = { PORT, HOST_A };
	struct pair draining;
	char byte = 'x';
	pid_t pid;

	cr_assert_eq(pipe(told), 0);
	cr_assert_eq(pipe(tells), 0);
	put(&wish, 1);
	pid = start(remove_and_put_and_drain);
	cr_assert_eq(read(tells[0], &byte, 1), 1);
	draining = connect_to(PORT, listener_a);
	cr_assert_eq(write(told[1], &byte, 1), 1);
	await_death(pid);
	live_on();
	cr_expect(alive(&draining), "it was taken for one of the mapping before");
}

static bool file_has(const char *text)
{
	_cleanup_free_ char *data = NULL;
	char path[PATH_MAX];
	size_t n;

	(void)snprintf(path, sizeof(path), "%s/state", folder);
	cr_assert_eq(file_read(path, (size_t)16 << 20, &data, &n, NULL), 0);
	return memmem(data, n, text, strlen(text)) != NULL;
}

/* Nothing is left to be done for it, nor is it done again. */
Test(sweeps, that_are_done_end_nothing_in_a_later_life)
{
	const struct wish wish = { PORT, HOST_A }, removal = { PORT };
	uint64_t deadline = clock_monotonic_ms() + PATIENCE_MS;
	_cleanup_free_ char *before = NULL, *after = NULL;
	struct pair successor;

	begin_life();
	ask(&wish, 1);
	ask(&removal, 1);
	while (!file_has("swept") && clock_monotonic_ms() < deadline)
		(void)event_base_loop(base, EVLOOP_ONCE);
	cr_assert(file_has("swept"));
	end_life();
	do_foreign_dnat(PORT, HOST_A);
	successor = connect_to(PORT, listener_a);
	before = entry_of(&successor);
	live_on();
	after = entry_of(&successor);
	cr_expect_str_eq(before, after, "it was ended");
}

/* ---- ends that come while nobody runs ---- */

static void wait_until_ended(uint16_t port)
{
	uint64_t deadline = clock_monotonic_ms() + PATIENCE_MS;
	char wanted[32];
	bool there = true;

	(void)snprintf(wanted, sizeof(wanted), " %u ", port);
	while (there && clock_monotonic_ms() < deadline) {
		_cleanup_free_ char *listing = nft("list table inet portico");

		there = strstr(listing, wanted) != NULL;
	}
	cr_assert_not(there, "it does not end");
}

static const struct wish ending[] = { { PORT, HOST_A, .seconds = 4 },
				      { OTHER, HOST_A, .drain = true, .seconds = 4 } };

/* The mappings are there, and in whatever state the files are. */
static void expect_the_revoked_to_end(const struct pair *revoked, const struct pair *draining)
{
	_cleanup_free_ char *before = NULL, *after = NULL;
	struct pair successor;

	wait_until_ended(PORT);
	wait_until_ended(OTHER);
	do_foreign_dnat(PORT, HOST_B);
	successor = connect_to(PORT, listener_b);
	before = entry_of(&successor);
	cr_assert(alive(revoked), "it was ended already: nothing is tried here");
	live_on();
	after = entry_of(&successor);
	cr_expect_not(alive(revoked));
	cr_expect(alive(draining));
	cr_expect_str_eq(before, after, "a connection of another's DNAT was ended");
}

Test(sweeps, of_a_mapping_that_ended_while_nobody_ran_are_done_by_the_next_life)
{
	struct pair revoked, draining;

	put(ending, ARRAY_SIZE(ending));
	revoked = connect_to(PORT, listener_a);
	draining = connect_to(OTHER, listener_a);
	expect_the_revoked_to_end(&revoked, &draining);
}

Test(sweeps, of_a_mapping_that_ended_are_done_also_where_the_table_knows_better_than_the_file)
{
	struct wish wishes[MANY];
	struct pair revoked, draining;

	make_wishes(wishes, HOST_A);
	put(wishes, MANY);
	put(ending, ARRAY_SIZE(ending));
	revoked = connect_to(PORT, listener_a);
	draining = connect_to(OTHER, listener_a);
	live(remove_many_and_die);
	expect_the_revoked_to_end(&revoked, &draining);
}

/* ---- removals that were refused ---- */

static void remove_port_and_die(void)
{
	const struct wish removal = { PORT };

	ask_and_die(&removal, 1);
}

static void on_refused(struct changeset *changeset, void *userdata)
{
	bool *refused = userdata;

	*refused = changeset->error.errnum != 0;
}

/* Removes the port, in one request with what the kernel does not take. */
static void ask_in_vain(void)
{
	const struct wish wishes[] = { { PORT }, { OTHER, HOST_A } };
	struct changeset *changeset = changeset_of(wishes, ARRAY_SIZE(wishes));
	bool refused = false;

	changeset->changes[1].target = endpoint_of("[2001:db8::5]:1"); /* no bytes of the map */
	changeset->on_done = on_refused;
	changeset->userdata = &refused;
	reconciler_submit(reconciler, changeset);
	(void)event_base_loop(base, EVLOOP_ONCE);
	cr_assert(refused);
}

/* The port leads elsewhere by now and would drain, had it been removed. */
Test(sweeps, are_not_spared_for_a_removal_that_was_refused)
{
	const struct wish wish = { PORT, HOST_A };
	uint64_t deadline = clock_monotonic_ms() + PATIENCE_MS;
	struct pair revoked;

	put(&wish, 1);
	revoked = connect_to(PORT, listener_a);
	live(remove_port_and_die);
	do_nft("add element inet portico mapping4 { 203.0.113.10 . tcp . 30001 comment "
	       "\". . drain\" : 10.0.0.6 . 7001 }");
	cr_assert(alive(&revoked), "it was ended already: nothing is tried here");
	begin_life();
	ask_in_vain();
	while (!is_looked_through() && clock_monotonic_ms() < deadline)
		(void)event_base_loop(base, EVLOOP_ONCE);
	cr_expect_not(alive(&revoked), "nothing drains: the port was not removed");
}
