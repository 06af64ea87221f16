/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The file of mappings that is read again before the kernel has what it said before: what is found
 * wrong is what the last reading says. Guard and reconciler are the test's. */
#include "gatewayd/mapping_file.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lib/file.h"

#define MAPPING(port) "{\"port\":" #port ",\"target\":{\"address\":\"10.0.0.5\",\"port\":22}}"

static struct event_base *base;
static struct mapping_file *file;
static struct changeset *queue[2]; /* oldest first */
static size_t n_queue;
static bool taken; /* the first mapping's port is not free */
static char path[64];

void __wrap_reconciler_submit(struct reconciler *reconciler, struct changeset *changeset);
void __wrap_reconciler_submit(struct reconciler *reconciler, struct changeset *changeset)
{
	cr_assert_lt(n_queue, ARRAY_SIZE(queue));
	queue[n_queue++] = changeset;
}

void __wrap_guard_examine(struct guard *guard, const struct changeset *changeset,
			  bool (*on_taken)(size_t index, const char *reason, void *userdata),
			  void *userdata);
void __wrap_guard_examine(struct guard *guard, const struct changeset *changeset,
			  bool (*on_taken)(size_t index, const char *reason, void *userdata),
			  void *userdata)
{
	if (taken)
		(void)on_taken(0, "taken", userdata);
}

static void write_file(const char *text)
{
	struct error err = ERROR_INIT;

	cr_assert_eq(file_replace(path, text, strlen(text), 0600, &err), 0, "%s", err.message);
}

static void start(void)
{
	static const struct address address = { .family = AF_INET, .bytes = { 192, 0, 2, 1 } };
	static const struct admission admission = { &address, 1 };
	const struct mapping_file_config config = { .path = path, .admission = &admission };

	(void)snprintf(path, sizeof(path), "/tmp/portico-mappings-%d.json", (int)getpid());
	write_file("[" MAPPING(30001) "," MAPPING(30002) "]");
	base = event_base_new();
	cr_assert_eq(mapping_file_new(&file, base, &config), 0);
	cr_assert_eq(n_queue, 1u);
}

static void stop(void)
{
	mapping_file_free(file);
	event_base_free(base);
	(void)unlink(path);
}

TestSuite(mapping_file, .init = start, .fini = stop, .timeout = 60);

static void read_again(const char *text)
{
	write_file(text);
	cr_assert_eq(raise(SIGHUP), 0);
	cr_assert_geq(event_base_loop(base, EVLOOP_ONCE), 0);
}

/* Answers the oldest that waits; refused: the kernel does not take this port of it. */
static void answer(uint16_t refused)
{
	struct changeset *changeset = queue[0];

	queue[0] = queue[1];
	n_queue--;
	for (size_t i = 0; i < changeset->n_changes; i++)
		if (changeset->changes[i].key.port == refused) {
			const struct mapping_key key = changeset->changes[i].key;

			cr_assert(changeset_refuse(changeset, &key, "refused"));
		}
	changeset->on_done(changeset, changeset->userdata);
	changeset_free(changeset);
}

static void expect_finding(enum finding_level level, const char *part)
{
	static struct findings findings;

	findings.n = 0;
	mapping_file_findings(file, &findings);
	cr_assert_eq(findings.n, part ? 1u : 0u);
	if (!part)
		return;
	cr_expect_eq(findings.items[0].level, level);
	cr_expect(strstr(findings.items[0].message, part), "%s", findings.items[0].message);
}

Test(mapping_file, what_was_refused_of_an_older_reading_is_not_found)
{
	read_again("[" MAPPING(30001) "]");
	cr_assert_eq(n_queue, 2u);
	answer(30002);
	expect_finding(FINDING_WARNING, NULL);
	answer(30001);
	expect_finding(FINDING_WARNING, "30001/tcp: refused");
}

Test(mapping_file, a_damaged_file_stays_found_when_the_one_of_before_is_applied)
{
	read_again("[");
	cr_assert_eq(n_queue, 1u);
	expect_finding(FINDING_ERROR, path);
	answer(30002);
	expect_finding(FINDING_ERROR, path);
}

Test(mapping_file, a_file_of_which_nothing_is_applied_is_an_error_whatever_was_left_out)
{
	answer(0);
	expect_finding(FINDING_WARNING, NULL);
	taken = true;
	read_again("[" MAPPING(30003) "," MAPPING(30004) "]");
	expect_finding(FINDING_WARNING, "30003/tcp: taken");
	error_set(&queue[0]->error, -ENOMEM, "internal", NULL, "out of memory");
	answer(0);
	expect_finding(FINDING_ERROR, "out of memory");
}
