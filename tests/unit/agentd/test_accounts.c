/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Editing of passwd, group and shadow, on what images bring. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "agentd/accounts.h"

static char *text(const char *from)
{
	return from ? strdup(from) : NULL;
}

static struct account_files files_of(const char *passwd, const char *group, const char *shadow)
{
	return (struct account_files){ text(passwd), text(group), text(shadow) };
}

#define PASSWD "root:x:0:0:root:/root:/bin/bash\nnobody:x:65534:65534::/nonexistent:/bin/false\n"
#define GROUP "root:x:0:\nnogroup:x:65534:\n"
#define SHADOW "root:*:19000:0:99999:7:::\nnobody:*:19000:0:99999:7:::\n"

Test(accounts, makes_a_user)
{
	struct account_files files = files_of(PASSWD, GROUP, SHADOW);
	struct account account;

	cr_assert_eq(account_ensure(&files, "developer", "$y$hash", "/bin/bash", &account, NULL),
		     0);
	cr_expect_str_eq(files.passwd, PASSWD "developer:x:1000:1000::/home/developer:/bin/bash\n");
	cr_expect_str_eq(files.group, GROUP "developer:x:1000:\n");
	cr_expect_eq(strncmp(files.shadow,
			     SHADOW "developer:$y$hash:", strlen(SHADOW "developer:$y$hash:")),
		     0);
	cr_expect_eq(account.uid, 1000);
	cr_expect_eq(account.gid, 1000);
	cr_expect(account.created);
	cr_expect_str_eq(account.home, "/home/developer");
	account_files_clear(&files);
}

/* The day of the last change must not be 0, which asks for a new password at login. */
Test(accounts, new_password_is_not_expired)
{
	struct account_files files = files_of(PASSWD, GROUP, SHADOW);
	struct account account;
	const char *line;

	cr_assert_eq(account_ensure(&files, "developer", "h", "/bin/sh", &account, NULL), 0);
	line = strstr(files.shadow, "developer:h:");
	cr_assert(line);
	cr_expect_neq(line[strlen("developer:h:")], '0');
	cr_expect_neq(line[strlen("developer:h:")], ':');
	account_files_clear(&files);
}

Test(accounts, is_idempotent)
{
	struct account_files files = files_of(PASSWD, GROUP, SHADOW);
	struct account_files before;
	struct account account;

	cr_assert_eq(account_ensure(&files, "developer", "h", "/bin/sh", &account, NULL), 0);
	before = files_of(files.passwd, files.group, files.shadow);
	cr_assert_eq(account_ensure(&files, "developer", "h", "/bin/bash", &account, NULL), 0);
	cr_expect_str_eq(files.passwd, before.passwd);
	cr_expect_str_eq(files.group, before.group);
	cr_expect_str_eq(files.shadow, before.shadow);
	cr_expect_not(account.created);
	account_files_clear(&files);
	account_files_clear(&before);
}

Test(accounts, keeps_a_user_of_the_image)
{
	struct account_files files =
		files_of("root:x:0:0::/root:/bin/sh\ndev:!:1234:100:Dev,,,:/work:/bin/zsh\n",
			 "root:x:0:\nusers:x:100:\n", "root:*:1:::::\ndev:old:1:0:99999:7:::\n");
	struct account account;

	cr_assert_eq(account_ensure(&files, "dev", "new", "/bin/bash", &account, NULL), 0);
	cr_expect_str_eq(files.passwd,
			 "root:x:0:0::/root:/bin/sh\ndev:x:1234:100:Dev,,,:/work:/bin/zsh\n");
	cr_expect_str_eq(files.shadow, "root:*:1:::::\ndev:new:1:0:99999:7:::\n");
	cr_expect_str_eq(files.group, "root:x:0:\nusers:x:100:\n");
	cr_expect_eq(account.uid, 1234);
	cr_expect_eq(account.gid, 100);
	cr_expect_str_eq(account.home, "/work");
	account_files_clear(&files);
}

/* As in Ubuntu 24.04, which has a user of its own at 1000. */
Test(accounts, takes_the_next_free_number)
{
	struct account_files files = files_of("ubuntu:x:1000:1000::/home/ubuntu:/bin/bash\n"
					      "other:x:1001:1::/:/bin/sh\n",
					      "ubuntu:x:1000:\n", NULL);
	struct account account;

	cr_assert_eq(account_ensure(&files, "developer", NULL, "/bin/sh", &account, NULL), 0);
	cr_expect_eq(account.uid, 1002);
	cr_expect_eq(account.gid, 1001);
	account_files_clear(&files);
}

Test(accounts, uses_a_group_of_the_name)
{
	struct account_files files = files_of(PASSWD, "developer:x:55:\n", SHADOW);
	struct account account;

	cr_assert_eq(account_ensure(&files, "developer", NULL, "/bin/sh", &account, NULL), 0);
	cr_expect_eq(account.gid, 55);
	cr_expect_str_eq(files.group, "developer:x:55:\n");
	account_files_clear(&files);
}

Test(accounts, works_with_no_files_at_all)
{
	struct account_files files = files_of(NULL, NULL, NULL);
	struct account account;

	cr_assert_eq(account_ensure(&files, "developer", "h", "/bin/sh", &account, NULL), 0);
	cr_expect_str_eq(files.passwd, "developer:x:1000:1000::/home/developer:/bin/sh\n");
	cr_expect_str_eq(files.group, "developer:x:1000:\n");
	cr_expect(strncmp(files.shadow, "developer:h:", 12) == 0);
	account_files_clear(&files);
}

Test(accounts, mends_a_missing_last_newline)
{
	struct account_files files = files_of("root:x:0:0::/root:/bin/sh", "root:x:0:", "root:*:1");
	struct account account;

	cr_assert_eq(account_ensure(&files, "d", NULL, "/bin/sh", &account, NULL), 0);
	cr_expect_str_eq(files.passwd,
			 "root:x:0:0::/root:/bin/sh\nd:x:1000:1000::/home/d:/bin/sh\n");
	account_files_clear(&files);
}

/* "!" would make sshd without PAM refuse the account altogether. */
Test(accounts, no_password_opens_nothing_and_locks_nothing)
{
	struct account_files files = files_of("d:x:1000:1000::/home/d:/bin/sh\n", "d:x:1000:\n",
					      "d:secret-of-the-image:1:0:99999:7:::\n");
	struct account account;

	cr_assert_eq(account_ensure(&files, "d", NULL, "/bin/sh", &account, NULL), 0);
	cr_expect_str_eq(files.shadow, "d:*:1:0:99999:7:::\n");
	account_files_clear(&files);
}

Test(accounts, name_that_is_the_start_of_another)
{
	struct account_files files = files_of("devel:x:1000:1000::/home/devel:/bin/sh\n",
					      "devel:x:1000:\n", "devel:a:1::::::\n");
	struct account account;

	cr_assert_eq(account_ensure(&files, "dev", "b", "/bin/sh", &account, NULL), 0);
	cr_expect_eq(account.uid, 1001);
	cr_expect(strstr(files.shadow, "devel:a:1::::::\n"));
	cr_expect(strstr(files.shadow, "\ndev:b:"));
	account_files_clear(&files);
}

Test(accounts, refuses_bad_names_and_hashes)
{
	static const char *const names[] = { "",
					     "-a",
					     "a:b",
					     "a\nb",
					     "A",
					     "1a",
					     "a/b",
					     "..",
					     "a b",
					     "\xc3\xa4",
					     "a123456789012345678901234567890123" };
	static const char *const hashes[] = { "a:b", "a\nroot::0", "a b", "\x7f" };
	struct account_files files = files_of(PASSWD, GROUP, SHADOW);
	struct error err = ERROR_INIT;
	struct account account;

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		err = ERROR_INIT;
		cr_expect_eq(account_ensure(&files, names[i], "h", "/bin/sh", &account, &err),
			     -EINVAL, "%s", names[i]);
		cr_expect_str_eq(err.field, "user");
	}
	for (size_t i = 0; i < ARRAY_SIZE(hashes); i++) {
		err = ERROR_INIT;
		cr_expect_eq(account_ensure(&files, "a", hashes[i], "/bin/sh", &account, &err),
			     -EINVAL, "%s", hashes[i]);
		cr_expect_not(strstr(err.message, hashes[i]), "a hash is not repeated");
	}
	cr_expect_str_eq(files.passwd, PASSWD);
	cr_expect_str_eq(files.shadow, SHADOW);
	account_files_clear(&files);
}

Test(accounts, refuses_a_broken_entry_of_the_user)
{
	static const char *const lines[] = { "d:x:1000\n", "d:x:one:1::/home/d:/bin/sh\n",
					     "d:x:1:1:::/bin/sh\n", "d:x:1:1::relative:/bin/sh\n",
					     "d:x:99999999999:1::/d:/bin/sh\n" };

	for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
		struct account_files files = files_of(lines[i], NULL, NULL);
		struct account account;

		cr_expect_eq(account_ensure(&files, "d", NULL, "/bin/sh", &account, NULL), -EINVAL,
			     "%s", lines[i]);
		cr_expect_str_eq(files.passwd, lines[i]);
		account_files_clear(&files);
	}
}
