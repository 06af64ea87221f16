/* SPDX-License-Identifier: GPL-2.0-or-later */
/* agentd's options: what is taken, and the sentence for what is not. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "agentd/options.h"

#define ARGUMENTS_MAX 16

static struct options options;
static struct error err;

static void end(void)
{
	options_clear(&options);
}

TestSuite(options, .fini = end);

/* With an empty file: the machine's own must not count. */
static int load(const char *const *words)
{
	char path[] = "/tmp/portico-options-XXXXXX";
	char *argv[ARGUMENTS_MAX + 1] = { (char *)"agentd", (char *)"--config", path };
	enum config_outcome outcome;
	int argc = 3, fd = mkstemp(path), r;

	cr_assert_geq(fd, 0);
	(void)close(fd);
	while (*words && argc < ARGUMENTS_MAX)
		argv[argc++] = (char *)*words++;
	end();
	err = ERROR_INIT;
	r = config_load(&agentd_program, argc, argv, &options, &outcome, NULL, &err);
	if (r == 0)
		r = options_resolve(&options, &err);
	unlink(path);
	return r;
}

#define HERE "--address", "10.0.0.5"
#define L64 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

Test(options, mean_what_they_say)
{
	const char *const words[] = { HERE,        "--name",   "h1.example",
				      "--pool",    "a100.x",   "--labels",
				      "zone=a,x=", "--docker", "http://127.0.0.1:2375",
				      NULL };

	cr_assert_eq(load(words), 0, "%s", err.message);
	cr_expect_str_eq(options.pool, "a100.x");
	cr_expect_str_eq(json_string_value(json_object_get(options.label_object, "zone")), "a");
	cr_expect_str_eq(json_string_value(json_object_get(options.label_object, "x")), "");
	cr_expect_str_eq(options.docker, "http://127.0.0.1:2375");
	cr_expect_eq(options.heartbeat_ms, 10000);
}

static const struct row {
	const char *words[6], *field, *sentence;
} rows[] = {
	{ { NULL }, "address", "address is required" },
	{ { "--address", "10.0.0" }, "address", "'10.0.0'" },
	{ { "--address", "0.0.0.0" }, "address", "'0.0.0.0'" },
	{ { HERE, "--name", "A_B" }, "name", "\"A_B\"" },
	{ { HERE, "--server", "nowhere" }, "server", "\"nowhere\"" },
	{ { HERE, "--server-pin", "abc" }, "server-pin", "\"abc\"" },
	{ { HERE, "--docker", "foo" }, "docker", "'foo' is neither unix:///PATH" },
	{ { HERE, "--docker", "unix://relative" }, "docker", "'unix://relative'" },
	{ { HERE, "--docker", "http://" }, "docker", "'http://'" },
	{ { HERE, "--data-dir", "data" }, "data-dir", "'data' is no absolute path" },
	{ { HERE, "--shared-dir", "data" }, "shared-dir", "'data' is no absolute path" },
	{ { HERE, "--pool", "a b" }, "pool", "'a b'" },
	{ { HERE, "--pool", L64 }, "pool", "at most 63 bytes" },
	{ { HERE, "--labels", "zone" }, "labels", "'zone' is not KEY=VALUE" },
	{ { HERE, "--labels", "=a" }, "labels", "'=a' is not KEY=VALUE" },
	{ { HERE, "--labels", "zone=a,zone=b" }, "labels", "'zone=b': zone has a value" },
	{ { HERE, "--heartbeat", "1ms" }, "heartbeat", "100" },
	{ { HERE, "--parallel", "0" }, "parallel", "" },
	{ { HERE, "--metrics-listen", "9470" }, "metrics-listen", "'9470' is not ADDRESS:PORT" },
	{ { HERE, "--log-level", "loud" }, "log-level", "'loud'" },
	{ { HERE, "--token-file", "/nowhere/token" }, "", "/nowhere/token" },
	{ { HERE, "--colour", "red" }, "", "--colour" },
};

Test(options, that_are_not_right_are_refused_by_name)
{
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const char *value = rows[i].words[3] ? rows[i].words[3] : "";

		cr_assert_lt(load(rows[i].words), 0, "row %zu: %s", i, value);
		cr_expect(strstr(err.field, rows[i].field), "row %zu, %s: field \"%s\"", i, value,
			  err.field);
		cr_expect(strstr(err.message, rows[i].sentence), "row %zu, %s: %s", i, value,
			  err.message);
	}
}
