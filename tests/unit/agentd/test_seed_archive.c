/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is unpacked into a new container: every path with its owner and mode. The keys were made for
 * this test by ssh-keygen and open nothing.
 */
#include <archive.h>
#include <archive_entry.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "agentd/seed_archive.h"

static const char host_key[] =
	"-----BEGIN OPENSSH PRIVATE KEY-----\n"
	"b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAMwAAAAtzc2gtZW\n"
	"QyNTUxOQAAACAMJDsSbqQ3ahiRVOZfVxQdcRl9q18rMUXmu/XUNJ7uxwAAAIhDGYwPQxmM\n"
	"DwAAAAtzc2gtZWQyNTUxOQAAACAMJDsSbqQ3ahiRVOZfVxQdcRl9q18rMUXmu/XUNJ7uxw\n"
	"AAAEDx+YPidBqxX0KvRLz5Pa+LvGkCbsJk6QnMuwmmU4oS1wwkOxJupDdqGJFU5l9XFB1x\n"
	"GX2rXysxRea79dQ0nu7HAAAAAAECAwQF\n"
	"-----END OPENSSH PRIVATE KEY-----\n";
static const char host_key_public[] =
	"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAwkOxJupDdqGJFU5l9XFB1xGX2rXysxRea79dQ0nu7H\n";
static const char encrypted_key[] =
	"-----BEGIN OPENSSH PRIVATE KEY-----\n"
	"b3BlbnNzaC1rZXktdjEAAAAACmFlczI1Ni1jdHIAAAAGYmNyeXB0AAAAGAAAABDW3UfM63\n"
	"X2X/KVQ0/gRjKOAAAAEAAAAAEAAAAzAAAAC3NzaC1lZDI1NTE5AAAAIJrWKPFHg/y/TXqj\n"
	"ckaEVTgBZMsOvEg84OkLjR9UN6YUAAAAkCQQQQy7jyXBtqmE6QPotW8w45VgM2yJ8JRVq+\n"
	"CIreoTDDL7MXj3llS6J7ZNjLaRyP5Gh4mQqsIQAFPcFsNKTAqCRdOhP0eJqwC8N2zrYbN6\n"
	"8iNGUJELeCAfrEboTNQYvG6NYgeOlG3tX+0tqGROD0qJAFBY29bWyofKqtDaqzBsts4357\n"
	"bjrIVWN+JixLGhQg==\n"
	"-----END OPENSSH PRIVATE KEY-----\n";
static const char ecdsa_key[] =
	"-----BEGIN OPENSSH PRIVATE KEY-----\n"
	"b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAaAAAABNlY2RzYS\n"
	"1zaGEyLW5pc3RwMjU2AAAACG5pc3RwMjU2AAAAQQTkF9FDnqw/HGQzB+i13tQKf1PgzanC\n"
	"0Z1bys1+03iluJQOD3B5Hyzz0CM20aVEv1n8B98KChNQ9Sacm4jnKIsYAAAAoNrxXMba8V\n"
	"zGAAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBOQX0UOerD8cZDMH\n"
	"6LXe1Ap/U+DNqcLRnVvKzX7TeKW4lA4PcHkfLPPQIzbRpUS/WfwH3woKE1D1JpybiOcoix\n"
	"gAAAAhAJ3j6bjAs/o/DZZZNaCyqHhDc8OU7px2PJyf6PZWUS1oAAAAAAECAwQFBgc=\n"
	"-----END OPENSSH PRIVATE KEY-----\n";

Test(ssh_key, public_part)
{
	char *public = NULL;

	cr_assert_eq(ssh_public_key(host_key, &public), 0);
	cr_expect_str_eq(public, host_key_public);
	free(public);
}

Test(ssh_key, refuses)
{
	static const char *const texts[] = {
		"",
		"-----BEGIN OPENSSH PRIVATE KEY-----",
		"-----BEGIN OPENSSH PRIVATE KEY-----\n-----END OPENSSH PRIVATE KEY-----\n",
		"-----BEGIN OPENSSH PRIVATE KEY-----\n!!!!\n-----END OPENSSH PRIVATE KEY-----\n",
		"-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEA\n"
		"-----END OPENSSH PRIVATE KEY-----\n",
		encrypted_key,
		ecdsa_key,
	};
	char *public = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		cr_expect_eq(ssh_public_key(texts[i], &public), -EINVAL, "%zu", i);
}

/* Every prefix of a key is a key that was cut: none may be read past its end (run under ASan). */
Test(ssh_key, cut_keys)
{
	size_t length = strlen(host_key);
	char *public = NULL;

	for (size_t n = 36; n + 34 < length; n++) {
		char *text = malloc(n + 40);

		memcpy(text, host_key, n);
		snprintf(text + n, 40, "\n-----END OPENSSH PRIVATE KEY-----");
		if (ssh_public_key(text, &public) == 0) {
			cr_expect_str_eq(public, host_key_public);
			free(public);
		}
		free(text);
	}
}

struct expected {
	const char *path;
	int type;
	mode_t mode;
	uid_t uid;
	gid_t gid;
	const char *content;
};

static void expect_archive(const void *data, size_t length, const struct expected *expected,
			   size_t n)
{
	struct archive *reader = archive_read_new();
	struct archive_entry *entry;

	archive_read_support_format_tar(reader);
	cr_assert_eq(archive_read_open_memory(reader, data, length), ARCHIVE_OK);
	for (size_t i = 0; i < n; i++) {
		char content[4096] = "";

		cr_assert_eq(archive_read_next_header(reader, &entry), ARCHIVE_OK, "%s",
			     expected[i].path);
		cr_expect_eq(strncmp(archive_entry_pathname(entry), expected[i].path,
				     strlen(expected[i].path)),
			     0, "%s is %s", expected[i].path, archive_entry_pathname(entry));
		cr_expect_eq((int)archive_entry_filetype(entry), expected[i].type, "%s",
			     expected[i].path);
		cr_expect_eq(archive_entry_perm(entry), expected[i].mode, "%s", expected[i].path);
		cr_expect_eq(archive_entry_uid(entry), expected[i].uid, "%s", expected[i].path);
		cr_expect_eq(archive_entry_gid(entry), expected[i].gid, "%s", expected[i].path);
		cr_expect_geq(archive_read_data(reader, content, sizeof(content) - 1), 0);
		if (expected[i].content)
			cr_expect_str_eq(content, expected[i].content);
	}
	cr_expect_eq(archive_read_next_header(reader, &entry), ARCHIVE_EOF);
	archive_read_free(reader);
}

static char *keys[] = { (char *)"ssh-ed25519 AAAA a", (char *)"ssh-rsa BBBB b" };

Test(seed_archive, everything)
{
	struct assignment assignment = { .ssh_host_key = (char *)host_key };
	struct account account = { .uid = 1000, .gid = 1001, .home = "/home/d" };
	struct account_files files = { (char *)"p\n", (char *)"g\n", (char *)"s\n" };
	const struct seed seed = {
		.assignment = &assignment,
		.account = &account,
		.files = &files,
		.modes = { .passwd = { 0644, 0, 0 },
			   .group = { 0644, 0, 0 },
			   .shadow = { 0640, 0, 42 } },
		.make_home = true,
	};
	const struct expected expected[] = {
		{ "etc/ssh/ssh_host_ed25519_key", AE_IFREG, 0600, 0, 0, host_key },
		{ "etc/ssh/ssh_host_ed25519_key.pub", AE_IFREG, 0644, 0, 0, host_key_public },
		{ "etc/passwd", AE_IFREG, 0644, 0, 0, "p\n" },
		{ "etc/group", AE_IFREG, 0644, 0, 0, "g\n" },
		{ "etc/shadow", AE_IFREG, 0640, 0, 42, "s\n" },
		{ "home/d", AE_IFDIR, 0755, 1000, 1001, NULL },
		{ "home/d/.ssh", AE_IFDIR, 0700, 1000, 1001, NULL },
		{ "home/d/.ssh/authorized_keys", AE_IFREG, 0600, 1000, 1001,
		  "ssh-ed25519 AAAA a\nssh-rsa BBBB b\n" },
	};
	struct tar_writer *writer = NULL;
	const void *data;
	size_t length;

	assignment.spec.ssh_authorized_keys = (struct string_list){ keys, ARRAY_SIZE(keys) };
	cr_assert_eq(tar_writer_new(&writer), 0);
	cr_assert_eq(seed_write(&seed, writer, NULL), 0);
	cr_assert_eq(tar_finish(writer, &data, &length), 0);
	expect_archive(data, length, expected, ARRAY_SIZE(expected));
	tar_writer_free(writer);
}

/* The image's home keeps its mode; an image without groups gets none. */
Test(seed_archive, home_of_the_image)
{
	struct assignment assignment = { 0 };
	struct account account = { .uid = 0, .gid = 0, .home = "/root" };
	struct account_files files = { (char *)"p\n", NULL, (char *)"s\n" };
	const struct seed seed = {
		.assignment = &assignment,
		.account = &account,
		.files = &files,
		.modes = { .passwd = { 0644, 0, 0 }, .shadow = { 0600, 0, 0 } },
	};
	const struct expected expected[] = {
		{ "etc/passwd", AE_IFREG, 0644, 0, 0, "p\n" },
		{ "etc/shadow", AE_IFREG, 0600, 0, 0, "s\n" },
		{ "root/.ssh", AE_IFDIR, 0700, 0, 0, NULL },
		{ "root/.ssh/authorized_keys", AE_IFREG, 0600, 0, 0, "" },
	};
	struct tar_writer *writer = NULL;
	const void *data;
	size_t length;

	cr_assert_eq(tar_writer_new(&writer), 0);
	cr_assert_eq(seed_write(&seed, writer, NULL), 0);
	cr_assert_eq(tar_finish(writer, &data, &length), 0);
	expect_archive(data, length, expected, ARRAY_SIZE(expected));
	tar_writer_free(writer);
}

Test(seed_archive, a_bad_host_key_is_named_and_not_shown)
{
	struct assignment assignment = { .ssh_host_key = (char *)"secret text" };
	const struct seed seed = { .assignment = &assignment };
	struct tar_writer *writer = NULL;
	struct error err = ERROR_INIT;

	cr_assert_eq(tar_writer_new(&writer), 0);
	cr_expect_eq(seed_write(&seed, writer, &err), -EINVAL);
	cr_expect_str_eq(err.field, "ssh_host_key");
	cr_expect_not(strstr(err.message, "secret"));
	tar_writer_free(writer);
}
