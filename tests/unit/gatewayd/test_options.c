/* SPDX-License-Identifier: GPL-2.0-or-later */
/* gatewayd's options: defaults, what they mean, and the sentence for what is not right. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "gatewayd/options.h"
#include "tests/unit/gatewayd/make.h"

#define ARGUMENTS_MAX 16

static struct options options;
static struct settings settings;
static struct error err;

static void end(void)
{
	settings_clear(&settings);
	config_clear(&gatewayd_program, &options);
}

TestSuite(options, .fini = end);

/* Loads and resolves words, separated by spaces, behind a configuration file. */
static int load_file(const char *file, const char *words)
{
	char *argv[ARGUMENTS_MAX + 1] = { (char *)"gatewayd", (char *)"--config", (char *)file };
	char *copy = strdup(words), *rest = copy, *word;
	enum config_outcome outcome;
	int argc = 3, r;

	while ((word = strsep(&rest, " ")) && argc < ARGUMENTS_MAX)
		if (*word)
			argv[argc++] = word;
	end();
	memset(&options, 0, sizeof(options));
	memset(&settings, 0, sizeof(settings));
	err = ERROR_INIT;
	r = config_load(&gatewayd_program, argc, argv, &options, &outcome, NULL, &err);
	if (r == 0)
		r = options_resolve(&options, &settings, &err);
	free(copy);
	return r;
}

/* With an empty file: the machine's own must not count. */
static int load(const char *words)
{
	char path[] = "/tmp/test-options-XXXXXX";
	int fd = mkstemp(path), r;

	cr_assert_geq(fd, 0);
	close(fd);
	r = load_file(path, words);
	(void)unlink(path);
	return r;
}

Test(options, have_defaults)
{
	cr_assert_eq(load("--addresses 203.0.113.10"), 0, "%s", err.message);
	cr_assert_eq(settings.n_addresses, 1);
	cr_assert_eq(settings.source, SOURCE_MASQUERADE);
	cr_assert_eq(settings.fastpath, FASTPATH_AUTO);
	cr_assert(settings.metrics);
	cr_assert_eq(settings.metrics_listen.port, 9469);
	cr_assert_eq(settings.log_level, LOG_LEVEL_INFO);
	cr_assert_null(settings.token);
	cr_assert_not_null(settings.name);
	cr_assert_str_eq(options.socket, "/run/portico/gatewayd.sock");
	cr_assert_str_eq(options.run_directory, "/run/portico");
	cr_assert_null(options.server);
	cr_assert_eq(options.map_size, 262144);
	cr_assert_eq(options.audit_ms, 60000);
	cr_assert_eq(options.heartbeat_ms, 10000);
	cr_assert_not(options.check);
	cr_assert_eq(load(""), 0, "%s", err.message);
	cr_assert_eq(settings.n_addresses, 0);
}

Test(options, mean_what_they_say)
{
	char text[ADDRESS_STRING_MAX];

	cr_assert_eq(load("--name gw1 --addresses 203.0.113.10,2001:db8::10 --source preserve "
			  "--metrics-listen= --map-size 5 --audit-interval 2m --log-level debug"),
		     0, "%s", err.message);
	cr_assert_str_eq(settings.name, "gw1");
	cr_assert_eq(settings.n_addresses, 2);
	cr_assert_str_eq(address_format(&settings.addresses[1], text), "2001:db8::10");
	cr_assert_eq(settings.source, SOURCE_PRESERVE);
	cr_assert_not(settings.metrics);
	cr_assert_eq(options.map_size, 5);
	cr_assert_eq(options.audit_ms, 120000);
	cr_assert_eq(settings.log_level, LOG_LEVEL_DEBUG);
}

Test(options, take_a_file_of_mappings)
{
	cr_assert_eq(load("--addresses 203.0.113.10 --mappings /etc/portico/mappings.json"), 0,
		     "%s", err.message);
	cr_assert_str_eq(settings.mapping_file, "/etc/portico/mappings.json");
	cr_assert_eq(load("--addresses 203.0.113.10 --mappings="), 0, "%s", err.message);
	cr_assert_null(settings.mapping_file);
	cr_assert_eq(load("--mappings /m.json"), -EINVAL);
	cr_assert_str_eq(err.field, "addresses");
	cr_assert_eq(
		load("--addresses 203.0.113.10 --mappings /m.json --server http://10.0.0.1:8000"),
		-EINVAL);
	cr_assert_str_eq(err.field, "mappings");
}

Test(options, limit_sources)
{
	cr_assert_eq(load("--addresses 203.0.113.10"), 0, "%s", err.message);
	cr_assert_eq(settings.source_rate, 0);
	cr_assert_eq(load("--addresses 203.0.113.10 --new-connections-per-source 20/minute"), 0,
		     "%s", err.message);
	cr_assert_eq(settings.source_rate, 20);
	cr_assert_eq(settings.source_rate_s, 60);
}

Test(options, name_addresses_for_sources)
{
	cr_assert_eq(load("--source snat\t10.0.0.1,2001:db8::1,10.0.0.2 --addresses 203.0.113.10"),
		     0, "%s", err.message);
	cr_assert_eq(settings.source, SOURCE_SNAT);
	cr_assert_eq(settings.n_sources, 3);
	cr_assert_eq(settings.sources[1].family, AF_INET6);
}

/* The one too many is named. */
Test(options, name_no_more_addresses_for_sources_than_there_is_room_for)
{
	char words[2048] = "--addresses 203.0.113.10 --source snat\t";
	size_t length = strlen(words);

	for (int i = 1; i <= SHAPE_SOURCES_MAX; i++)
		length += (size_t)snprintf(words + length, sizeof(words) - length, "10.0.0.%d,", i);
	cr_assert_eq(load(words), 0, "%s", err.message);
	cr_assert_eq(settings.n_sources, SHAPE_SOURCES_MAX);
	(void)snprintf(words + length, sizeof(words) - length, "10.0.1.1");
	cr_assert_eq(load(words), -EINVAL);
	cr_assert(strstr(err.message, "more than 64"), "%s", err.message);
}

struct row {
	const char *words, *field, *sentence;
};

#define PIN "sha256//AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
#define OURS "--addresses 203.0.113.10 "

static const struct row rows[] = {
	{ "--addresses 203.0.113", "addresses", "\"203.0.113\" is not a public address" },
	{ "--addresses 0.0.0.0", "addresses", "\"0.0.0.0\"" },
	{ "--addresses 224.0.0.1", "addresses", "\"224.0.0.1\"" },
	{ "--addresses 127.0.0.1", "addresses", "\"127.0.0.1\"" },
	{ "--addresses ::1", "addresses", "\"::1\"" },
	{ "--addresses 203.0.113.10,203.0.113.10", "addresses", "is named twice" },
	{ OURS "--source both", "source",
	  "\"both\" is none of masquerade, snat ADDRESS,… and preserve" },
	{ OURS "--source snat", "source", "name the addresses" },
	{ OURS "--fastpath maybe", "fastpath", "\"maybe\" is none of auto, on and off" },
	{ OURS "--new-connections-per-source 5", "new-connections-per-source",
	  "\"5\" is not N/second" },
	{ OURS "--new-connections-per-source 0/hour", "new-connections-per-source", "N from 1" },
	{ OURS "--new-connections-per-source 5/day", "new-connections-per-source", "\"5/day\"" },
	{ OURS "--new-connections-per-source 1000001/hour", "new-connections-per-source",
	  "1000000" },
	{ OURS "--source preserve\t10.0.0.1", "source", "preserve takes no addresses" },
	{ OURS "--source snat\t10.0.0", "source", "\"10.0.0\" is not an address" },
	{ OURS "--source snat\t10.0.0.1,127.0.0.1", "source", "\"127.0.0.1\" is not an address" },
	{ OURS "--source snat\t10.0.0.1,10.0.0.1", "source", "\"10.0.0.1\" is named twice" },
	{ OURS "--host-settings maybe", "host-settings", "\"maybe\" is neither check nor set" },
	{ OURS "--metrics-listen 9469", "metrics-listen", "\"9469\" is not ADDRESS:PORT" },
	{ OURS "--metrics-listen 127.0.0.1:0", "metrics-listen", "is not ADDRESS:PORT" },
	{ OURS "--log-level loud", "log-level", "loud" },
	{ OURS
	  "--name "
	  "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	  "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	  "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	  "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
	  "name", "longer than" },
	{ OURS "--server nowhere", "server", "\"nowhere\" is neither a URL" },
	{ OURS "--server ftp://10.0.0.1", "server", "\"ftp://10.0.0.1\"" },
	{ OURS "--server http://", "server", "\"http://\"" },
	{ OURS "--server http://10.0.0.1:99999", "server", "\"http://10.0.0.1:99999\"" },
	{ OURS "--server http://10.0.0.1,,http://10.0.0.2", "server", "\"\"" },
	{ OURS "--server unix:schedd.sock", "server", "\"unix:schedd.sock\"" },
	{ OURS "--server 1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17", "server", "\"1\"" },
	{ OURS "--server http://10.0.0.1 --name A_B", "name", "\"A_B\" may consist of" },
	{ OURS "--server http://10.0.0.1 --server-pin abc", "server-pin",
	  "\"abc\" is not sha256//" },
	{ OURS "--server http://10.0.0.1 --server-pin " PIN ";", "server-pin",
	  "\"\" is not sha256//" },
	{ OURS "--map-size 0", "map-size", "1…8388608" },
	{ OURS "--map-size many", "map-size", "many" },
	{ OURS "--audit-interval 1ms", "audit-interval", "100" },
	{ OURS "--heartbeat soon", "heartbeat", "soon" },
	{ OURS "--colour red", "", "--colour: no such option" },
};

Test(options, name_servers_of_all_kinds)
{
	cr_assert_eq(load(OURS "--server https://schedd.example.com:8000/,unix:/run/s.sock,"
			       "http://[fd00::1]:8000 --name gw-1.example "
			       "--server-pin " PIN),
		     0, "%s", err.message);
	cr_assert_eq(load(OURS "--server https://10.0.0.1 --server-pin " PIN ";" PIN), 0, "%s",
		     err.message);
	cr_assert_eq(load(OURS "--name A_B"), 0, "%s", err.message); /* nobody else reads it */
}

Test(options, that_are_not_right_are_refused_by_name)
{
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		cr_assert_lt(load(rows[i].words), 0, "%s", rows[i].words);
		cr_assert(strstr(err.field, rows[i].field), "%s: field \"%s\"", rows[i].words,
			  err.field);
		cr_assert(strstr(err.message, rows[i].sentence), "%s: %s", rows[i].words,
			  err.message);
	}
}

Test(options, come_from_a_file_and_the_command_line_wins)
{
	char path[] = "/tmp/test-options-XXXXXX", token_path[] = "/tmp/test-options-XXXXXX";
	int fd = mkstemp(path), token = mkstemp(token_path), r;
	FILE *file = fdopen(fd, "w");
	char words[128];

	cr_assert(fd >= 0 && token >= 0 && file);
	cr_assert_eq(write(token, "secret\n", 7), 7);
	(void)fprintf(file,
		      "[gatewayd]\nname = from-file\naddresses = 203.0.113.10\nsource = preserve\n"
		      "token-file = %s\n",
		      token_path);
	cr_assert_eq(fclose(file), 0);
	(void)snprintf(words, sizeof(words), "--source masquerade");
	r = load_file(path, words);
	(void)unlink(path);
	(void)unlink(token_path);
	close(token);
	cr_assert_eq(r, 0, "%s", err.message);
	cr_assert_str_eq(settings.name, "from-file");
	cr_assert_eq(settings.source, SOURCE_MASQUERADE);
	cr_assert_str_eq(settings.token, "secret");
}

Test(options, take_a_token_from_the_service_manager)
{
	char folder[] = "/tmp/test-options-XXXXXX", path[64];
	FILE *file;

	cr_assert_not_null(mkdtemp(folder));
	(void)snprintf(path, sizeof(path), "%s/portico.gatewayd.token", folder);
	cr_assert_eq(setenv("CREDENTIALS_DIRECTORY", folder, 1), 0);
	cr_assert_eq(load("--addresses 203.0.113.10"), 0, "%s", err.message);
	cr_expect_null(settings.token, "there is none yet");
	file = fopen(path, "we");
	cr_assert_not_null(file);
	cr_assert_eq(fchmod(fileno(file), 0600), 0);
	(void)fputs("secret\n", file);
	cr_assert_eq(fclose(file), 0);
	cr_assert_eq(load("--addresses 203.0.113.10"), 0, "%s", err.message);
	cr_expect_str_eq(settings.token, "secret");
	cr_expect_str_eq(settings.token_file, path);
	cr_expect_lt(load("--addresses 203.0.113.10 --token-file /nonexistent"), 0,
		     "an option wins");
	(void)unlink(path);
	(void)rmdir(folder);
}
