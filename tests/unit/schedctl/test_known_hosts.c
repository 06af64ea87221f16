/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The private known_hosts file: where it is, who may read it, and what may not get into it. */

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/file.h"
#include "schedctl/known_hosts.h"
#include "schedctl/text.h"

#define KEY "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIB demo"

static char folder[] = "/tmp/schedctl-test-XXXXXX";

static void set_up(void)
{
	cr_assert_not_null(mkdtemp(folder));
	(void)setenv("XDG_RUNTIME_DIR", folder, 1);
}

static void tear_down(void)
{
	_cleanup_free_ char *file = text_format("%s/portico/known_hosts.env-1", folder);
	_cleanup_free_ char *inner = text_format("%s/portico", folder);

	(void)unlink(file);
	(void)rmdir(inner);
	cr_expect_eq(rmdir(folder), 0);
}

TestSuite(known_hosts, .init = set_up, .fini = tear_down);

static void expect_content(const char *content)
{
	_cleanup_free_ char *path = text_format("%s/portico/known_hosts.env-1", folder);
	_cleanup_free_ char *read = NULL;
	struct stat status;

	cr_assert_eq(file_read(path, 4096, &read, NULL, NULL), 0);
	cr_expect_str_eq(read, content);
	cr_assert_eq(stat(path, &status), 0);
	cr_expect_eq(status.st_mode & 0777, 0600);
}

Test(known_hosts, written_for_ssh)
{
	_cleanup_free_ char *option = NULL, *again = NULL;
	_cleanup_free_ char *expected =
		text_format("UserKnownHostsFile=\"%s/portico/known_hosts.env-1\"", folder);

	cr_assert_eq(known_hosts_write("env-1", KEY, &option, NULL), 0);
	cr_expect_str_eq(option, expected);
	expect_content("env-1 " KEY "\n");
	cr_assert_eq(known_hosts_write("env-1", "ssh-rsa BBBB", &again, NULL), 0);
	expect_content("env-1 ssh-rsa BBBB\n");
}

Test(known_hosts, without_a_key_the_file_stays)
{
	_cleanup_free_ char *option = NULL, *again = NULL;

	cr_assert_eq(known_hosts_write("env-1", KEY, &option, NULL), 0);
	cr_assert_eq(known_hosts_write("env-1", "", &again, NULL), 0);
	cr_expect_str_eq(option, again);
	expect_content("env-1 " KEY "\n");
}

Test(known_hosts, no_second_line_gets_in)
{
	static const char *const keys[] = {
		"ssh-ed25519 AAAA\n* ssh-ed25519 BBBB", "ssh-ed25519 AAAA\r", "ssh-ed25519",
		"@cert-authority * ssh-ed25519 AAAA",   "# comment",          " ssh-ed25519 AAAA",
	};

	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		struct error err = ERROR_INIT;
		char *option = NULL;

		cr_expect_eq(known_hosts_write("env-1", keys[i], &option, &err), -EPROTO, "%s",
			     keys[i]);
		cr_expect_null(option);
		cr_expect_neq(strstr(err.message, "host key"), NULL);
	}
}

Test(known_hosts, option_is_quoted)
{
	_cleanup_free_ char *option = known_hosts_option("/a b/50%/q\"x\\y");

	cr_expect_str_eq(option, "UserKnownHostsFile=\"/a b/50%%/q\\\"x\\\\y\"");
}

Test(known_hosts, cache_folder_without_a_runtime_folder)
{
	_cleanup_free_ char *option = NULL;
	struct error err = ERROR_INIT;

	(void)unsetenv("XDG_RUNTIME_DIR");
	(void)setenv("XDG_CACHE_HOME", folder, 1);
	cr_assert_eq(known_hosts_write("env-1", KEY, &option, NULL), 0);
	expect_content("env-1 " KEY "\n");

	(void)unsetenv("XDG_CACHE_HOME");
	(void)unsetenv("HOME");
	cr_expect_lt(known_hosts_write("env-1", KEY, &option, &err), 0);
	cr_expect_neq(strstr(err.message, "HOME"), NULL);
}
