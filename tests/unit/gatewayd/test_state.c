/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The state file: what is in it after each end it can meet, and how it is done without. The
 * mappings that should be are a table of ports here, and each reading of a file is compared with
 * it.
 */
#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "gatewayd/state_private.h"
#include "lib/file.h"
#include "lib/log.h"
#include "tests/unit/gatewayd/make.h"

#define PORTS_MAX 65536
#define BAN "{\"source\":\"192.0.2.0/24\"}"
#define OTHER_BAN "{\"source\":\"198.51.100.7\"}"

/* What should be, or what a file says: the last digits of each port's target, 0 for none. */
struct model {
	uint8_t target[PORTS_MAX];
	size_t n;
	unsigned bans, lifted;
	unsigned unreadable;
};

static struct model model, read_back;
static struct event_base *base;
static struct metrics *metrics;
static struct state *state;
static char folder[] = "/tmp/portico-test-state.XXXXXX";
static char file[PATH_MAX];

/* ---- what is desired ---- */

static struct mapping_key key_at(uint16_t port)
{
	struct mapping_key key = key_of("203.0.113.10:1");

	key.port = port;
	return key;
}

static size_t write_mapping(const struct mapping_key *key, char buffer[MAPPING_TEXT_MAX],
			    void *userdata)
{
	const struct model *m = userdata;
	struct mapping mapping = { .key = *key, .target = endpoint_of("10.0.0.1:22") };

	if (key->protocol != PROTOCOL_TCP || m->target[key->port] == 0)
		return 0;
	mapping.target.address.bytes[3] = m->target[key->port];
	mapping.environment = (char *)"env-1";
	return mapping_write(&mapping, buffer);
}

static size_t count(void *userdata)
{
	const struct model *m = userdata;

	return m->n;
}

static const struct state_source source = {
	.write_mapping = write_mapping,
	.count = count,
	.userdata = &model,
};

static void set(struct model *m, uint16_t port, uint8_t target)
{
	m->n += (size_t)(target != 0) - (size_t)(m->target[port] != 0);
	m->target[port] = target;
}

static void change(uint16_t port, uint8_t target)
{
	struct mapping_key key = key_at(port);

	set(&model, port, target);
	state_note(state, &key);
}

/* ---- opening and reading ---- */

static void open_state(void)
{
	const struct state_config config = { .folder = folder,
					     .run_folder = folder,
					     .metrics = metrics };

	cr_assert_eq(state_new(&state, base, &config, NULL), 0);
}

static void close_state(void)
{
	state_free(state);
	state = NULL;
}

static int on_put(struct mapping *mapping, void *userdata)
{
	cr_assert_str_eq(mapping->environment, "env-1");
	set(userdata, mapping->key.port, mapping->target.address.bytes[3]);
	return 0;
}

static int on_delete(const struct mapping_key *key, void *userdata)
{
	set(userdata, key->port, 0);
	return 0;
}

static int on_ban(json_t *ban, bool lifted, void *userdata)
{
	struct model *m = userdata;

	cr_assert_not_null(json_object_get(ban, "source"));
	*(lifted ? &m->lifted : &m->bans) += 1;
	return 0;
}

static void on_unreadable(const char *text, const struct error *err, void *userdata)
{
	struct model *m = userdata;

	m->unreadable++;
}

static void read_state(bool pending)
{
	const struct state_handlers handlers = {
		.on_put = on_put,
		.on_delete = on_delete,
		.on_ban = on_ban,
		.on_unreadable = on_unreadable,
		.userdata = &read_back,
	};

	memset(&read_back, 0, sizeof(read_back));
	cr_assert_eq(state_replay(state, pending, &handlers), 0);
}

/* Opens the state anew and reads what was kept. */
static void reopen(void)
{
	close_state();
	open_state();
	read_state(false);
}

static void start(bool rewrite)
{
	struct mapping_key key = key_at(1);

	state_know(state, &key.address);
	state_start(state, &source, rewrite);
}

static bool same(const struct model *a, const struct model *b)
{
	return a->n == b->n && memcmp(a->target, b->target, sizeof(a->target)) == 0;
}

static void open_all(void)
{
	log_set_level(LOG_LEVEL_ERROR);
	memset(&model, 0, sizeof(model));
	cr_assert_not_null(mkdtemp(folder));
	(void)snprintf(file, sizeof(file), "%s/state", folder);
	base = event_base_new();
	cr_assert_eq(metrics_new(&metrics), 0);
	open_state();
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	return remove(path);
}

static void close_all(void)
{
	close_state();
	metrics_free(metrics);
	event_base_free(base);
	(void)nftw(folder, remove_one, 4, FTW_DEPTH | FTW_PHYS);
}

TestSuite(state, .init = open_all, .fini = close_all, .timeout = 120);

static struct state_status status_now(void)
{
	struct state_status status;

	state_status(state, &status);
	return status;
}

/* ---- what is kept ---- */

Test(state, nothing_was_kept_at_first)
{
	reopen();
	cr_expect_eq(state_revision(state), 0);
	cr_expect_eq(state_epoch(state), 0);
	cr_expect_not(state_behind(state));
	cr_expect_eq(read_back.n, 0);
}

Test(state, changes_survive)
{
	start(false);
	for (uint16_t port = 1; port <= 300; port++)
		change(port, 5);
	state_commit(state, 7);
	for (uint16_t port = 1; port <= 100; port++)
		change(port, port % 2 ? 0 : 6);
	state_commit(state, 8);
	state_note_ban(state, BAN, false);
	state_note_ban(state, OTHER_BAN, false);
	state_note_ban(state, BAN, true);
	reopen();
	cr_expect(same(&model, &read_back));
	cr_expect_eq(read_back.n, 250);
	cr_expect_eq(state_revision(state), 8);
	cr_expect_not(state_behind(state));
	cr_expect_eq(read_back.bans, 2);
	cr_expect_eq(read_back.lifted, 1);
}

Test(state, written_at_once_for_whoever_is_killed)
{
	_cleanup_free_ char *text = NULL;

	start(false);
	change(1, 5);
	state_commit(state, 1);
	cr_assert_eq(file_read(file, 1 << 20, &text, NULL, NULL), 0);
	cr_expect_not_null(strstr(
		text, " put {\"address\":\"203.0.113.10\",\"protocol\":\"tcp\",\"port\":1,"));
	cr_expect_not_null(strstr(text, " commit {\"revision\":1,\"epoch\":0}\n"));
}

Test(state, what_is_appended_to_an_old_file)
{
	start(false);
	change(1, 5);
	state_commit(state, 1);
	reopen();
	start(false);
	change(2, 6);
	state_commit(state, 2);
	reopen();
	cr_expect(same(&model, &read_back));
	cr_expect_eq(read_back.n, 2);
}

Test(state, the_highest_epoch_is_kept)
{
	start(false);
	state_note_epoch(state, 4);
	state_note_epoch(state, 3);
	reopen();
	cr_expect_eq(state_epoch(state), 4);
	start(true);
	reopen();
	cr_expect_eq(state_epoch(state), 4, "a file written anew has it too");
}

Test(state, a_change_on_its_way_leaves_the_file_behind)
{
	start(false);
	change(1, 5);
	state_commit(state, 1);
	change(1, 6);
	change(2, 6);
	state_intend(state);
	reopen();
	cr_expect(state_behind(state));
	cr_expect(read_back.n == 1 && read_back.target[1] == 5);
	read_state(true);
	cr_expect(same(&model, &read_back));
	start(false);
	reopen();
	cr_expect_not(state_behind(state), "it was written anew");
	cr_expect(same(&model, &read_back));
}

static size_t one_ban(size_t index, char buffer[STATE_BAN_MAX], void *userdata)
{
	return index == 0 ? strlen(strcpy(buffer, OTHER_BAN)) : 0;
}

Test(state, a_new_file_has_the_bans_of_its_source)
{
	state_set_bans(state, one_ban, NULL);
	start(false);
	state_note_ban(state, BAN, false);
	reopen();
	cr_expect_eq(read_back.bans, 2);
	state_set_bans(state, one_ban, NULL);
	start(true);
	reopen();
	cr_expect_eq(read_back.bans, 1);
}

/* ---- what is to be looked through ---- */

static char sweeps[1024]; /* as they are read */

static int on_sweep(const struct mapping_key *key, const struct endpoint *led, void *userdata)
{
	size_t n = strlen(sweeps);
	char text[ENDPOINT_STRING_MAX];

	(void)snprintf(sweeps + n, sizeof(sweeps) - n, "sweep %u %s\n", key->port,
		       endpoint_format(led, text));
	return 0;
}

static int on_spare(const struct mapping_key *key, void *userdata)
{
	size_t n = strlen(sweeps);

	(void)snprintf(sweeps + n, sizeof(sweeps) - n, "spare %u\n", key->port);
	return 0;
}

static void on_swept(void *userdata)
{
	(void)strncat(sweeps, "swept\n", sizeof(sweeps) - strlen(sweeps) - 1);
}

static const char *read_sweeps(void)
{
	const struct state_handlers handlers = {
		.on_put = on_put,
		.on_delete = on_delete,
		.on_sweep = on_sweep,
		.on_spare = on_spare,
		.on_swept = on_swept,
		.on_unreadable = on_unreadable,
		.userdata = &read_back,
	};

	sweeps[0] = '\0';
	cr_assert_eq(state_replay(state, false, &handlers), 0);
	return sweeps;
}

static void sweep(uint16_t port, const char *led)
{
	const struct mapping_key key = key_at(port);
	const struct endpoint endpoint = endpoint_of(led);

	state_note_sweep(state, &key, &endpoint);
}

static void spare(uint16_t port)
{
	const struct mapping_key key = key_at(port);

	state_note_spare(state, &key);
}

Test(state, what_is_to_be_looked_through_is_kept_in_its_order)
{
	start(false);
	spare(9); /* of nothing: it is not written */
	sweep(1, "10.0.0.1:22");
	state_commit(state, 1);
	spare(1);
	sweep(2, "10.0.0.2:22");
	state_commit(state, 2);
	reopen();
	cr_expect_str_eq(read_sweeps(), "sweep 1 10.0.0.1:22\nspare 1\nsweep 2 10.0.0.2:22\n");
	cr_expect_eq(read_back.unreadable, 0);
}

/* What it is that was, nobody reads again: it may be much. */
Test(state, that_all_was_looked_through_is_written_once)
{
	start(false);
	sweep(1, "10.0.0.1:22");
	state_commit(state, 1);
	reopen();
	start(false);
	state_swept(state);
	state_swept(state);
	reopen();
	cr_expect_not(state_behind(state));
	cr_expect_str_eq(read_sweeps(), "swept\n");
	start(false);
	state_swept(state);
	reopen();
	cr_expect_str_eq(read_sweeps(), "swept\n");
	start(false);
	sweep(2, "10.0.0.2:22");
	state_commit(state, 2);
	reopen();
	cr_expect_str_eq(read_sweeps(), "swept\nsweep 2 10.0.0.2:22\n");
}

static int one_sweep(int (*take)(const struct sweep *sweep, void *userdata), void *take_userdata,
		     void *userdata)
{
	const struct sweep sweep = { .key = key_at(5), .led = endpoint_of("10.0.0.5:22") };

	return take(&sweep, take_userdata);
}

Test(state, a_new_file_has_what_is_to_be_looked_through_of_its_source)
{
	const struct state_source with_sweep = { .write_mapping = write_mapping,
						 .count = count,
						 .each_sweep = one_sweep,
						 .userdata = &model };

	state_start(state, &with_sweep, true);
	reopen();
	cr_expect_str_eq(read_sweeps(), "sweep 5 10.0.0.5:22\n");
}

/* ---- ends it can meet ---- */

static char *contents;
static size_t contents_length;

static void write_file(const char *data, size_t length)
{
	_cleanup_close_ int fd = open(file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	cr_assert_geq(fd, 0);
	cr_assert_eq(write_all(fd, data, length), 0);
}

static void make_contents(void)
{
	start(true);
	for (uint16_t port = 1; port <= 4; port++) {
		change(port, 5);
		change((uint16_t)(port + 100), 6);
		state_commit(state, port);
	}
	close_state();
	cr_assert_eq(file_read(file, 1 << 20, &contents, &contents_length, NULL), 0);
	open_state();
}

Test(state, cut_at_every_byte)
{
	make_contents();
	for (size_t length = 1; length < contents_length; length++) {
		bool at_commit =
			contents[length - 1] == '\n' &&
			memrchr(contents, '{', length) > memrchr(contents, '\n', length - 1) &&
			strncmp((char *)memrchr(contents, '\n', length - 1) + 10, "commit", 6) == 0;
		uint64_t revision;

		write_file(contents, length);
		reopen();
		revision = state_revision(state);
		cr_assert_eq(read_back.n, 2 * revision, "%zu bytes: %zu mappings of revision %ju",
			     length, read_back.n, (uintmax_t)revision);
		for (uint16_t port = 1; port <= revision; port++)
			cr_assert(read_back.target[port] == 5 && read_back.target[port + 100] == 6);
		if (length > strlen(STATE_HEADER) + 10)
			cr_assert_eq(state_behind(state), !at_commit, "%zu bytes", length);
	}
	free(contents);
}

static unsigned count_set_aside(void)
{
	DIR *directory = opendir(folder);
	unsigned n = 0;

	for (struct dirent *entry; (entry = readdir(directory));)
		n += strncmp(entry->d_name, "state.damaged-", 14) == 0;
	closedir(directory);
	return n;
}

static void expect_set_aside(const char *why)
{
	struct findings findings = { 0 };

	reopen();
	cr_expect_eq(read_back.n, 0);
	cr_expect_eq(count_set_aside(), 1);
	findings.n = 0;
	state_findings(state, &findings);
	cr_assert_eq(findings.n, 1);
	cr_expect_not_null(strstr(findings.items[0].message, why), "%s", findings.items[0].message);
	cr_expect_neq(access(file, F_OK), 0);
	start(false);
	change(9, 9);
	state_commit(state, 12);
	reopen();
	cr_expect(same(&model, &read_back), "it is rebuilt");
	cr_expect_eq(count_set_aside(), 1);
}

Test(state, garbled_is_set_aside)
{
	make_contents();
	contents[contents_length / 2] ^= 1;
	write_file(contents, contents_length);
	expect_set_aside("is damaged and was set aside as state.damaged-");
	free(contents);
}

Test(state, another_version_is_set_aside)
{
	struct line_buffer lines = { 0 };

	cr_assert_eq(line_add(&lines, "portico-gateway-state 2", 23), 0);
	cr_assert_eq(line_add(&lines, "commit {\"revision\":1,\"epoch\":1}", 31), 0);
	write_file(lines.data, lines.length);
	line_buffer_clear(&lines);
	expect_set_aside("is of another version and was set aside as state.damaged-");
}

Test(state, a_line_that_cannot_be_read_is_left_out)
{
	static const char *const texts[] = {
		STATE_HEADER,
		"put {\"address\":\"203.0.113.10\",\"protocol\":\"tcp\",\"port\":1,\"target\":"
		"{\"address\":\"10.0.0.5\",\"port\":22},\"environment\":\"env-1\",\"shiny\":1}",
		"put {\"port\":2,\"address\":\"203.0.113.10\",\"environment\":\"env-1\",\"target\":"
		"{\"address\":\"10.0.0.5\",\"port\":22}}",
		"commit {\"revision\":1,\"epoch\":1}",
	};
	struct line_buffer lines = { 0 };

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		cr_assert_eq(line_add(&lines, texts[i], strlen(texts[i])), 0);
	write_file(lines.data, lines.length);
	line_buffer_clear(&lines);
	reopen();
	cr_expect_eq(read_back.unreadable, 1);
	cr_expect_eq(read_back.n, 1);
	cr_expect_eq(read_back.target[2], 5, "in whichever order the fields stand");
}

/* ---- written anew ---- */

/* Whether the file is another one than at the last call. */
static bool take_rewrite(void)
{
	static ino_t inode;
	struct stat st;
	bool other;

	cr_assert_eq(stat(file, &st), 0);
	other = inode != 0 && inode != st.st_ino;
	inode = st.st_ino;
	return other;
}

Test(state, written_anew_while_it_changes)
{
	struct state_status status;
	unsigned random = 1, commits = 0, rewrites = 0;

	start(false);
	/* Over a small range, so that most lines are of the past. */
	while (rewrites < 5) {
		for (int i = 0; i < 50; i++) {
			random = random * 1103515245 + 12345;
			change((uint16_t)(1 + (random >> 8) % 4000), (uint8_t)(random >> 24));
		}
		state_commit(state, ++commits);
		cr_assert_geq(event_base_loop(base, EVLOOP_NONBLOCK), 0);
		rewrites += take_rewrite();
		if (commits % 97 == 0) { /* what a process that is killed here leaves */
			reopen();
			cr_assert(same(&model, &read_back), "after %u commits", commits);
			start(false);
		}
	}
	state_status(state, &status);
	cr_expect_lt(status.bytes, 8 << 20);
	cr_expect_not(status.failing);
	reopen();
	cr_expect(same(&model, &read_back));
	cr_expect_eq(state_revision(state), commits);
}

/* The kernel did not take a change that a new file has already, and the file is finished before
 * anything else is written. */
Test(state, written_anew_without_what_was_taken_back)
{
	start(false);
	change(1, 5);
	change(2, 5);
	state_commit(state, 1);
	rewrite_start(state);
	change(1, 6);
	change(3, 6);
	state_intend(state);
	change(1, 5);
	change(3, 0);
	while (status_now().rewrites == 1)
		cr_assert_eq(event_base_loop(base, EVLOOP_ONCE), 0);
	reopen();
	cr_expect_not(state_behind(state));
	cr_expect(same(&model, &read_back));
}

/* What was noted when the file failed may be of the past when another one is begun. */
Test(state, a_failure_forgets_what_was_noted)
{
	start(false);
	change(1, 5);
	state_commit(state, 1);
	change(1, 6);
	state_fail(state, "written", -ENOMEM);
	change(1, 7);
	rewrite_start(state);
	while (status_now().failing)
		cr_assert_eq(event_base_loop(base, EVLOOP_ONCE), 0);
	state_commit(state, 2);
	reopen();
	cr_expect(same(&model, &read_back));
}

Test(state, every_port_of_an_address)
{
	start(false);
	for (unsigned port = 1; port < PORTS_MAX; port++)
		change((uint16_t)port, 5);
	state_commit(state, 1);
	reopen();
	start(true);
	reopen();
	cr_expect(same(&model, &read_back));
	cr_expect_eq(read_back.n, PORTS_MAX - 1);
}

/* ---- done without ---- */

static void limit_files(rlim_t bytes)
{
	struct rlimit limit;

	cr_assert_eq(getrlimit(RLIMIT_FSIZE, &limit), 0);
	limit.rlim_cur = bytes;
	cr_assert_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
	(void)signal(SIGXFSZ, SIG_IGN);
}

Test(state, a_file_that_takes_no_more)
{
	struct findings findings = { 0 };
	struct model kept;

	start(false);
	change(1, 5);
	state_commit(state, 1);
	kept = model;
	limit_files(status_now().bytes + 100);
	change(2, 6);
	change(3, 6);
	state_commit(state, 2);
	cr_expect(status_now().failing);
	cr_expect_eq(status_now().errors, 1);
	findings.n = 0;
	state_findings(state, &findings);
	cr_assert_eq(findings.n, 1);
	cr_expect_not_null(
		strstr(findings.items[0].message, "state cannot be written: File too large"), "%s",
		findings.items[0].message);
	change(4, 6);
	state_commit(state, 3);
	/* A restart meanwhile: the kernel's table knows better, and without one this is all. */
	reopen();
	cr_expect(state_behind(state));
	cr_expect(same(&kept, &read_back));
	start(false);
	cr_expect(status_now().failing);
	limit_files(RLIM_INFINITY);
	while (status_now().failing)
		cr_assert_eq(event_base_loop(base, EVLOOP_ONCE), 0);
	findings.n = 0;
	state_findings(state, &findings);
	cr_expect_eq(findings.n, 0);
	reopen();
	cr_expect_not(state_behind(state));
	cr_expect(same(&model, &read_back));
}

Test(state, a_folder_is_for_one_gatewayd)
{
	const struct state_config config = { .folder = folder,
					     .run_folder = "/nonexistent",
					     .metrics = metrics };
	struct findings findings = { 0 };
	struct state *second;

	start(false);
	change(1, 5);
	state_commit(state, 1);
	cr_assert_eq(state_new(&second, base, &config, NULL), 0);
	cr_expect_eq(state_revision(second), 0);
	findings.n = 0;
	state_findings(second, &findings);
	cr_assert_eq(findings.n, 1);
	cr_expect_not_null(strstr(findings.items[0].message, "another gatewayd uses it"), "%s",
			   findings.items[0].message);
	state_free(second);
	reopen();
	cr_expect(same(&model, &read_back));
}

Test(state, a_folder_that_cannot_be_made)
{
	const struct state_config config = { .folder = "/dev/null/state",
					     .run_folder = folder,
					     .metrics = metrics };

	close_state();
	cr_assert_eq(state_new(&state, base, &config, NULL), 0);
	cr_expect(status_now().failing);
	start(false);
	change(1, 5);
	state_commit(state, 1);
	cr_expect_geq(status_now().errors, 1);
}
