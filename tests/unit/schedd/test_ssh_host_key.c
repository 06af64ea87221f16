/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Host keys as OpenSSH itself reads them, and as sshd and known_hosts want them. */
#include "schedd/ssh_host_key.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define COMMENT "env-abc"
#define BEGIN_LINE "-----BEGIN OPENSSH PRIVATE KEY-----\n"
#define END_LINE "-----END OPENSSH PRIVATE KEY-----\n"

static char *private_text, *public_text;
static char folder[] = "/tmp/portico-key-XXXXXX";
static char path[sizeof(folder) + 8];

static void setup(void)
{
	cr_assert(mkdtemp(folder));
	(void)snprintf(path, sizeof(path), "%s/key", folder);
	cr_assert_eq(ssh_host_key_make(COMMENT, &private_text, &public_text), 0);
}

static void teardown(void)
{
	free(private_text);
	free(public_text);
	unlink(path);
	rmdir(folder);
}

TestSuite(ssh_host_key, .init = setup, .fini = teardown);

static void write_private(void)
{
	FILE *file = fopen(path, "we");

	cr_assert(file);
	cr_assert_eq(fchmod(fileno(file), 0600), 0);
	cr_assert_geq(fputs(private_text, file), 0);
	cr_assert_eq(fclose(file), 0);
}

/* Runs ssh-keygen with option and the file; what it prints, without the newline. */
static void ssh_keygen(const char *option, char *output, size_t size)
{
	int fds[2], status;
	ssize_t n;
	size_t length = 0;
	pid_t child;

	cr_assert_eq(pipe(fds), 0);
	child = fork();
	cr_assert_geq(child, 0);
	if (child == 0) {
		dup2(fds[1], STDOUT_FILENO);
		close(fds[0]);
		close(fds[1]);
		execlp("ssh-keygen", "ssh-keygen", option, "-f", path, "-P", "", (char *)NULL);
		_exit(127);
	}
	close(fds[1]);
	while ((n = read(fds[0], output + length, size - 1 - length)) > 0)
		length += (size_t)n;
	close(fds[0]);
	output[length] = '\0';
	output[strcspn(output, "\n")] = '\0';
	cr_assert_eq(waitpid(child, &status, 0), child);
	cr_assert(WIFEXITED(status));
	cr_assert_eq(WEXITSTATUS(status), 0, "ssh-keygen %s: %d", option, WEXITSTATUS(status));
}

Test(ssh_host_key, openssh_reads_the_private_key_and_finds_the_same_public_one)
{
	char output[512];

	write_private();
	ssh_keygen("-y", output, sizeof(output));
	cr_assert_str_eq(output, public_text);
}

Test(ssh_host_key, openssh_sees_an_ed25519_key_of_256_bits_with_the_comment)
{
	char output[512];

	write_private();
	ssh_keygen("-l", output, sizeof(output));
	cr_assert_eq(strncmp(output, "256 SHA256:", 11), 0, "%s", output);
	cr_assert(strstr(output, " " COMMENT " "), "%s", output);
	cr_assert(strstr(output, "(ED25519)"), "%s", output);
}

Test(ssh_host_key, the_text_is_armoured_in_lines_of_70)
{
	const char *line = private_text + strlen(BEGIN_LINE);
	size_t length = strlen(private_text);

	cr_assert_eq(strncmp(private_text, BEGIN_LINE, strlen(BEGIN_LINE)), 0);
	cr_assert_str_eq(private_text + length - strlen(END_LINE), END_LINE);
	while (strcmp(line, END_LINE) != 0) {
		size_t n = strcspn(line, "\n");

		cr_assert_leq(n, 70);
		cr_assert(n == 70 || strcmp(line + n + 1, END_LINE) == 0);
		line += n + 1;
	}
}

Test(ssh_host_key, the_public_line_is_one_line_of_three_words)
{
	cr_assert_eq(strncmp(public_text, "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI", 37), 0);
	cr_assert_null(strchr(public_text, '\n'));
	cr_assert_str_eq(strrchr(public_text, ' '), " " COMMENT);
}

Test(ssh_host_key, each_key_is_another)
{
	char *other_private = NULL, *other_public = NULL;

	cr_assert_eq(ssh_host_key_make(COMMENT, &other_private, &other_public), 0);
	cr_assert_str_neq(other_private, private_text);
	cr_assert_str_neq(other_public, public_text);
	free(other_private);
	free(other_public);
}

/* The block of the private part is padded to a multiple of 8: each remainder has to be right. */
Test(ssh_host_key, every_length_of_comment_is_padded_right)
{
	for (size_t n = 1; n <= 9; n++) {
		char comment[16] = "", output[512];

		memset(comment, 'c', n);
		free(private_text);
		free(public_text);
		cr_assert_eq(ssh_host_key_make(comment, &private_text, &public_text), 0);
		unlink(path);
		write_private();
		ssh_keygen("-y", output, sizeof(output));
		cr_assert_str_eq(output, public_text);
	}
}

Test(ssh_host_key, a_comment_that_is_too_long_is_refused)
{
	char comment[130] = "";
	char *other_private = NULL, *other_public = NULL;

	memset(comment, 'c', sizeof(comment) - 1);
	cr_assert_eq(ssh_host_key_make(comment, &other_private, &other_public), -EINVAL);
	cr_assert_null(other_private);
	cr_assert_null(other_public);
}
