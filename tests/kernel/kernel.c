/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the tests against the kernel share: a network namespace for the test's own process, which
 * ends with it, commands run in it as another program would, and short ways to say addresses.
 */
#include "tests/kernel/kernel.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "lib/clock.h"

#define WORDS_MAX 24

void enter_namespace(void)
{
	cr_assert_eq(unshare(CLONE_NEWNET), 0, "these tests need CAP_SYS_ADMIN: %s",
		     strerror(errno));
	do_ip("link set lo up");
}

/* What comes out of a descriptor until its end; the caller frees it. */
static char *read_all(int fd)
{
	char *text = NULL;
	size_t length = 0, allocated = 0;
	ssize_t n;

	do {
		if (allocated - length < 4096) {
			allocated = allocated ? 2 * allocated : 8192;
			text = realloc(text, allocated);
			cr_assert_not_null(text);
		}
		n = read(fd, text + length, allocated - length - 1);
		if (n > 0)
			length += (size_t)n;
	} while (n > 0 || (n < 0 && errno == EINTR));
	text[length] = '\0';
	return text;
}

char *run(const char *const *argv)
{
	char *output;
	int pipes[2], status;
	pid_t pid;

	cr_assert_eq(pipe(pipes), 0);
	pid = fork();
	cr_assert_geq(pid, 0);
	if (pid == 0) {
		(void)dup2(pipes[1], STDOUT_FILENO);
		(void)dup2(pipes[1], STDERR_FILENO);
		close(pipes[0]);
		close(pipes[1]);
		(void)execvp(argv[0], (char *const *)(uintptr_t)argv);
		_exit(127);
	}
	close(pipes[1]);
	output = read_all(pipes[0]);
	close(pipes[0]);
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0, "%s %s: %s", argv[0],
		  argv[1] ? argv[1] : "", output);
	return output;
}

char *nft(const char *command)
{
	const char *const argv[] = { "nft", command, NULL };

	return run(argv);
}

void do_nft(const char *command)
{
	free(nft(command));
}

char *list_ruleset(void)
{
	const char *const argv[] = { "nft", "-a", "list", "ruleset", NULL };

	return run(argv);
}

void do_ip(const char *arguments)
{
	_cleanup_free_ char *copy = strdup(arguments);
	const char *argv[WORDS_MAX + 2] = { "ip" };
	char *rest = copy, *word;
	size_t n = 1;

	while ((word = strsep(&rest, " ")) && n <= WORDS_MAX)
		argv[n++] = word;
	free(run(argv));
}

bool listing_has(const char *text)
{
	_cleanup_free_ char *listing = nft("list table inet portico");

	return strstr(listing, text) != NULL;
}

void expect_listing(const char *part, bool there)
{
	_cleanup_free_ char *listing = nft("list table inet portico");

	cr_assert_eq(strstr(listing, part) != NULL, there, "%s\nin\n%s", part, listing);
}

void expect_listing_loads(void)
{
	const char *const argv[] = { "sh", "-c", "nft list ruleset | nft -c -f -", NULL };

	free(run(argv));
}

bool adopt_all(const struct dump_element *element, void *userdata)
{
	return true;
}

struct endpoint endpoint_of(const char *text)
{
	struct endpoint endpoint = { 0 };

	cr_assert_eq(endpoint_parse(text, &endpoint), 0, "\"%s\"", text);
	return endpoint;
}

struct mapping_key key_of(const char *text)
{
	struct endpoint endpoint = endpoint_of(text);

	return (struct mapping_key){ .address = endpoint.address,
				     .port = endpoint.port,
				     .protocol = PROTOCOL_TCP };
}

struct entry *desire(struct ledger *ledger, const char *key, const char *target, const char *label)
{
	struct mapping_key k = key_of(key);
	struct endpoint t = endpoint_of(target);
	struct entry *entry = NULL;

	cr_assert_eq(ledger_desire(ledger, &k, &t, label, NULL, 1, &entry), 0);
	return entry;
}

struct entry *desire_with(struct ledger *ledger, const char *key, const char *target,
			  const struct policy *policy)
{
	struct mapping_key k = key_of(key);
	struct endpoint t = endpoint_of(target);
	struct entry *entry = NULL;

	cr_assert_eq(ledger_desire(ledger, &k, &t, NULL, policy, 1, &entry), 0);
	return entry;
}

struct entry *desire_for(struct ledger *ledger, const char *key, const char *target,
			 int64_t seconds)
{
	const struct policy policy = { .expires_at = clock_unix_seconds() + seconds };

	return desire_with(ledger, key, target, &policy);
}

void undesire(struct ledger *ledger, const char *key)
{
	struct mapping_key k = key_of(key);
	struct entry *entry = ledger_find(ledger, &k);

	cr_assert_not_null(entry);
	ledger_undesire(ledger, entry);
}

void open_applier(struct applier *ret, struct ledger *ledger, bool masquerade)
{
	const struct shape shape = { .source = masquerade ? SOURCE_MASQUERADE : SOURCE_PRESERVE,
				     .map_size = TEST_MAP_SIZE };
	struct error err = ERROR_INIT;

	cr_assert_eq(applier_open(ret, &shape, ledger, NULL, &err), 0, "%s", err.message);
}

struct apply_result apply_all(struct applier *applier)
{
	struct apply_result result;
	struct error err = ERROR_INIT;
	enum apply_outcome outcome = applier_run(applier, &result, &err);

	cr_assert_eq(outcome, APPLY_DONE, "%d: %s %s", outcome, err.message,
		     result.n_refusals ? result.refusals[0].reason : "");
	return result;
}
