/* SPDX-License-Identifier: GPL-2.0-or-later */
/* schedd's options: defaults, what they mean, the sentence for what is not right, the example file.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "lib/file.h"
#include "schedd/options.h"

#define ARGUMENTS_MAX 24

static struct options options;
static struct settings settings;
static struct error err;

static void end(void)
{
	settings_clear(&settings);
	config_clear(&schedd_program, &options);
	options = (struct options){ 0 };
}

TestSuite(options, .fini = end);

/* Loads and resolves a file of this content and the words, NULL-terminated. */
static int load_file(const char *content, const char *const *words)
{
	char path[] = "/tmp/portico-options-XXXXXX";
	char *argv[ARGUMENTS_MAX + 1] = { (char *)"schedd", (char *)"--config", path };
	enum config_outcome outcome;
	int argc = 3, fd = mkstemp(path), r;
	FILE *file = fd >= 0 ? fdopen(fd, "w") : NULL;

	cr_assert(file);
	cr_assert_geq(fputs(content, file), 0);
	cr_assert_eq(fclose(file), 0);
	while (*words && argc < ARGUMENTS_MAX)
		argv[argc++] = (char *)*words++;
	end();
	err = ERROR_INIT;
	r = config_load(&schedd_program, argc, argv, &options, &outcome, NULL, &err);
	if (r == 0)
		r = options_resolve(&options, &settings, &err);
	unlink(path);
	return r;
}

/* With an empty file: the machine's own must not count. */
#define load(...) load_file("", (const char *const[]){ __VA_ARGS__, NULL })
#define POOL "--port-addresses", "203.0.113.10"

Test(options, have_defaults)
{
	struct address loopback;

	cr_assert_eq(load(POOL), 0, "%s", err.message);
	cr_assert_eq(address_parse("127.0.0.1", &loopback), 0);
	cr_assert(settings.tcp);
	cr_assert(address_equal(&settings.listen.address, &loopback));
	cr_assert_eq(settings.listen.port, 8000);
	cr_assert_str_eq(options.socket, "/run/portico/schedd.sock");
	cr_assert_str_eq(options.database, "dbname=portico");
	cr_assert_str_eq(options.user, "developer");
	cr_assert_null(options.public_name);
	cr_assert_eq(settings.limits.quarantine_s, 600);
	cr_assert_eq(settings.limits.withdraw_timeout_s, 30);
	cr_assert_eq(settings.limits.unready_grace_ms, 30000);
	cr_assert_eq(settings.limits.expiry_warning_s, 3600);
	cr_assert_eq(options.offline_after_ms, 35000);
	cr_assert_eq(options.lease_ms, 300000);
	cr_assert_eq(options.lease_margin_ms, 30000);
	cr_assert_eq(settings.policy, placement_policy_find("least-used"));
	cr_assert_eq(settings.log_level, LOG_LEVEL_INFO);
	cr_assert_not(options.insecure);
	cr_assert_not(options.check);
}

Test(options, the_pool_is_addresses_times_ports_times_protocols)
{
	cr_assert_eq(load("--port-addresses", "203.0.113.10,2001:db8::10", "--port-range",
			  "30001-30010"),
		     0, "%s", err.message);
	cr_assert_eq(settings.pool.n_addresses, 2);
	cr_assert_eq(settings.pool.first, 30001);
	cr_assert_eq(settings.pool.last, 30010);
	cr_assert_eq(port_pool_size(&settings.pool), 2 * 10 * 2);
	cr_assert_eq(port_pool_taken(&settings.pool), 0);
}

Test(options, mean_what_they_say)
{
	cr_assert_eq(load(POOL, "--quarantine", "90s", "--withdraw-timeout", "2m",
			  "--offline-after", "4s", "--expiry-warning", "10m", "--policy", "binpack",
			  "--public-name", "ssh.example.com", "--user", "dev_1", "--log-level",
			  "debug", "--check", "--max-body", "1024"),
		     0, "%s", err.message);
	cr_assert_eq(settings.limits.quarantine_s, 90);
	cr_assert_eq(settings.limits.withdraw_timeout_s, 120);
	cr_assert_eq(settings.limits.expiry_warning_s, 600);
	cr_assert_eq(options.offline_after_ms, 4000);
	cr_assert_eq(settings.policy, placement_policy_find("binpack"));
	cr_assert_str_eq(options.public_name, "ssh.example.com");
	cr_assert_str_eq(options.user, "dev_1");
	cr_assert_eq(settings.log_level, LOG_LEVEL_DEBUG);
	cr_assert(options.check);
	cr_assert_eq(options.max_body, 1024);
}

Test(options, other_schedds_are_told_where_this_one_listens)
{
	cr_assert_eq(load(POOL), 0);
	cr_assert_str_eq(settings.advertise, "http://127.0.0.1:8000");
	cr_assert_eq(load(POOL, "--listen", "[2001:db8::1]:80", "--insecure"), 0);
	cr_assert_str_eq(settings.advertise, "http://[2001:db8::1]:80");
	cr_assert_eq(load(POOL, "--listen", ""), 0);
	cr_assert_str_eq(settings.advertise, "unix:/run/portico/schedd.sock");
	cr_assert_eq(load(POOL, "--listen", "0.0.0.0:80", "--insecure"), 0);
	cr_assert_str_eq(settings.advertise, "", "every address is none");
	cr_assert_eq(load(POOL, "--advertise", "https://sched1.example.com:8000"), 0);
	cr_assert_str_eq(settings.advertise, "https://sched1.example.com:8000");
	cr_assert_eq(load(POOL, "--advertise", "sched1:8000"), -EINVAL);
	cr_assert_str_eq(err.field, "advertise");
}

Test(options, beyond_loopback_it_is_https_unless_plain_http_is_wanted)
{
	cr_assert_eq(load(POOL, "--listen", "10.0.0.1:8000"), 0, "%s", err.message);
	cr_assert(settings.tls);
	cr_assert_eq(load(POOL, "--listen", "0.0.0.0:8000"), 0, "%s", err.message);
	cr_assert(settings.tls);
	cr_assert_eq(load(POOL, "--listen", "[::]:8000"), 0, "%s", err.message);
	cr_assert(settings.tls);
	cr_assert_eq(load(POOL, "--listen", "10.0.0.1:8000", "--insecure"), 0, "%s", err.message);
	cr_assert_not(settings.tls);
	cr_assert_eq(load(POOL, "--listen", "127.1.2.3:1"), 0, "%s", err.message);
	cr_assert_not(settings.tls);
	cr_assert_eq(load(POOL, "--listen", "[::1]:8000"), 0, "%s", err.message);
	cr_assert_not(settings.tls);
	cr_assert_eq(load(POOL, "--tls"), 0, "%s", err.message);
	cr_assert(settings.tls);
	cr_assert_eq(load(POOL, "--tls-certificate", "/c", "--tls-key", "/k"), 0, "%s",
		     err.message);
	cr_assert(settings.tls);
	cr_assert_eq(load(POOL, "--tls", "--insecure"), -EINVAL);
	cr_assert_str_eq(err.field, "insecure");
	cr_assert_eq(load(POOL, "--tls-certificate", "/c"), -EINVAL);
	cr_assert_str_eq(err.field, "tls-key");
	cr_assert_eq(load(POOL, "--tls-key", "/k"), -EINVAL);
	cr_assert_str_eq(err.field, "tls-certificate");
}

Test(options, one_listener_is_enough_and_needed)
{
	cr_assert_eq(load(POOL, "--listen", ""), 0, "%s", err.message);
	cr_assert_not(settings.tcp);
	cr_assert_eq(load(POOL, "--socket", ""), 0, "%s", err.message);
	cr_assert(settings.tcp);
	cr_assert_eq(load(POOL, "--socket", "", "--listen", ""), -EINVAL);
	cr_assert_str_eq(err.field, "listen");
}

static const struct row {
	const char *words[6], *field, *sentence;
} rows[] = {
	{ { NULL }, "port-addresses", "name the public addresses" },
	{ { "--port-addresses", "203.0.113" }, "port-addresses", "\"203.0.113\"" },
	{ { "--port-addresses", "224.0.0.1" }, "port-addresses", "224.0.0.1" },
	{ { "--port-addresses", "203.0.113.1,203.0.113.1" }, "port-addresses", "given twice" },
	{ { "--port-addresses", "127.0.0.1" }, "port-addresses", "\"127.0.0.1\"" },
	{ { "--port-addresses", "203.0.113.1,::1" }, "port-addresses", "\"::1\"" },
	{ { POOL, "--advertise", "https://" }, "advertise", "\"https://\"" },
	{ { POOL, "--advertise", "unix:x" }, "advertise", "\"unix:x\"" },
	{ { POOL, "--public-name", "a b" }, "public-name", "\"a b\"" },
	{ { POOL, "--public-name", "a;b" }, "public-name", "\"a;b\"" },
	{ { POOL, "--public-name", "-oX" }, "public-name", "\"-oX\"" },
	{ { POOL, "--lease", "999ms" }, "lease", "999ms is less than 1000ms" },
	{ { POOL, "--port-range", "30001-30000" }, "port-range", "\"30001-30000\"" },
	{ { POOL, "--port-range", "0-10" }, "port-range", "\"0-10\"" },
	{ { POOL, "--port-range", "30001-65536" }, "port-range", "65536" },
	{ { POOL, "--port-range", "30001-" }, "port-range", "\"30001-\"" },
	{ { POOL, "--port-range", "many" }, "port-range", "\"many\"" },
	{ { POOL, "--listen", "8000" }, "listen", "\"8000\" is not ADDRESS:PORT" },
	{ { POOL, "--listen", "127.0.0.1:0" }, "listen", "is not ADDRESS:PORT" },
	{ { POOL, "--listen", "localhost:80" }, "listen", "is not ADDRESS:PORT" },
	{ { POOL, "--user", "root" }, "user", "\"root\"" },
	{ { POOL, "--user", "" }, "user", "empty" },
	{ { POOL, "--policy", "" }, "policy", "empty" },
	{ { POOL, "--database", "" }, "database", "empty" },
	{ { POOL, "--port-range", "" }, "port-range", "empty" },
	{ { POOL, "--log-level", "" }, "log-level", "empty" },
	{ { POOL, "--user", "1st" }, "user", "\"1st\"" },
	{ { POOL, "--user", "-rf" }, "user", "\"-rf\"" },
	{ { POOL, "--user", "a:b" }, "user", "\"a:b\"" },
	{ { POOL, "--user", "Developer" }, "user", "\"Developer\"" },
	{ { POOL, "--user", "abcdefghijklmnopqrstuvwxyzabcdefg" }, "user", "login name" },
	{ { POOL, "--policy", "best" }, "policy", "\"best\" is none of" },
	{ { POOL, "--database", "host" }, "database", "\"=\"" },
	{ { POOL, "--database", "colour=red" }, "database", "colour" },
	{ { POOL, "--log-level", "loud" }, "log-level", "\"loud\"" },
	{ { POOL, "--quarantine", "soon" }, "quarantine", "soon" },
	{ { POOL, "--quarantine", "31d" }, "quarantine", "" },
	{ { POOL, "--offline-after", "1ms" }, "offline-after", "100" },
	{ { POOL, "--max-body", "10" }, "max-body", "1024" },
	{ { POOL, "--max-connections", "0" }, "max-connections", "" },
	{ { POOL, "--colour", "red" }, "", "--colour" },
};

Test(options, that_are_not_right_are_refused_by_name)
{
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const char *value = rows[i].words[3] ? rows[i].words[3] : "";

		cr_assert_lt(load_file("", rows[i].words), 0, "row %zu: %s", i, value);
		cr_assert(strstr(err.field, rows[i].field), "row %zu, %s: field \"%s\"", i, value,
			  err.field);
		cr_assert(strstr(err.message, rows[i].sentence), "row %zu, %s: %s", i, value,
			  err.message);
	}
}

Test(options, a_password_in_the_database_string_is_refused_and_not_repeated)
{
	cr_assert_eq(load(POOL, "--database", "dbname=portico password=tiger7"), -EINVAL);
	cr_assert_str_eq(err.field, "database");
	cr_assert(strstr(err.message, "PGPASSFILE"), "%s", err.message);
	cr_assert_null(strstr(err.message, "tiger7"));
	cr_assert_eq(load(POOL, "--database", "postgresql://u:tiger7@/portico"), -EINVAL);
	cr_assert_null(strstr(err.message, "tiger7"), "%s", err.message);
	cr_assert_eq(load(POOL, "--database", "postgresql://u:tiger7@[::1/portico"), -EINVAL);
	cr_assert_null(strstr(err.message, "tiger7"), "%s", err.message);
	cr_assert_eq(load(POOL, "--database", "password= tiger7"), -EINVAL);
	cr_assert_null(strstr(err.message, "tiger7"), "%s", err.message);
}

Test(options, come_from_a_file_and_the_command_line_wins)
{
	const char *const words[] = { "--user", "line", NULL };

	cr_assert_eq(load_file("[schedd]\nport-addresses = 203.0.113.10\nuser = file\n"
			       "public_name = ssh.example.com\ninsecure = yes\n",
			       words),
		     0, "%s", err.message);
	cr_assert_str_eq(options.user, "line");
	cr_assert_str_eq(options.public_name, "ssh.example.com");
	cr_assert(options.insecure);
}

/* The example shows defaults and examples as comments: with the comment signs taken away it says
 * what is said without it, but for what has no default. */
Test(options, the_example_file_shows_the_defaults)
{
	const char *root = getenv("SOURCE_ROOT");
	char path[4096], *text = NULL;
	struct options defaults;

	cr_assert(root, "SOURCE_ROOT is not set: run it by meson test");
	(void)snprintf(path, sizeof(path), "%s/systemd/schedd.conf", root);
	cr_assert_eq(file_read(path, 65536, &text, NULL, &err), 0, "%s", err.message);
	for (char *c = text; (c = strstr(c, "\n#")); c++)
		if (c[2] != ' ')
			memmove(c + 1, c + 2, strlen(c + 2) + 1);
	cr_assert_eq(load(POOL), 0, "%s", err.message);
	defaults = options;
	options = (struct options){ 0 };
	cr_assert_eq(load_file(text, (const char *const[]){ NULL }), 0, "%s", err.message);
	free(text);
	cr_assert_str_eq(options.database, defaults.database);
	cr_assert_str_eq(options.listen, defaults.listen);
	cr_assert_str_eq(options.socket, defaults.socket);
	cr_assert_eq(options.insecure, defaults.insecure);
	cr_assert_str_eq(options.port_range, defaults.port_range);
	cr_assert_str_eq(options.user, defaults.user);
	cr_assert_str_eq(options.policy, defaults.policy);
	cr_assert_eq(options.quarantine_ms, defaults.quarantine_ms);
	cr_assert_eq(options.withdraw_timeout_ms, defaults.withdraw_timeout_ms);
	cr_assert_eq(options.unready_grace_ms, defaults.unready_grace_ms);
	cr_assert_eq(options.offline_after_ms, defaults.offline_after_ms);
	cr_assert_eq(options.max_connections, defaults.max_connections);
	cr_assert_eq(options.max_body, defaults.max_body);
	cr_assert_str_eq(options.log_level, defaults.log_level);
	cr_assert_str_eq(options.state_directory, defaults.state_directory);
	cr_assert_str_eq(options.bootstrap_file, defaults.bootstrap_file);
	config_clear(&schedd_program, &defaults);
}
