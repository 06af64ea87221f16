/* SPDX-License-Identifier: GPL-2.0-or-later */
/* sshd refuses keys whose files others may write to, so each path gets its exact mode and owner. */
#include "agentd/seed_archive.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define HOST_KEY_PATH "etc/ssh/ssh_host_ed25519_key"

static int add_host_key(const char *key, struct tar_writer *writer, struct error *err)
{
	_cleanup_free_ char *public = NULL;
	int r;

	r = ssh_public_key(key, &public);
	if (r == -EINVAL)
		return error_set(err, r, "invalid", "ssh_host_key",
				 "the host key is no OpenSSH ed25519 key without a passphrase");
	if (r < 0)
		return r;
	r = tar_add_file(writer, HOST_KEY_PATH, 0600, 0, 0, key, strlen(key));
	if (r < 0)
		return r;
	return tar_add_file(writer, HOST_KEY_PATH ".pub", 0644, 0, 0, public, strlen(public));
}

static int join_keys(const struct string_list *keys, char **ret)
{
	char *buffer = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&buffer, &size);

	if (!out)
		return -ENOMEM;
	for (size_t i = 0; i < keys->n; i++)
		fprintf(out, "%s\n", keys->items[i]);
	if (fclose(out) != 0) {
		free(buffer);
		return -ENOMEM;
	}
	*ret = buffer;
	return 0;
}

/* "/home/a" + "/.ssh" without the slash in front; root's home may be "/". */
static int home_path(const struct account *account, const char *name, char path[512])
{
	const char *home = account->home + strspn(account->home, "/");
	int n = snprintf(path, 512, "%s%s%s", home, home[0] != '\0' ? "/" : "", name);

	return n < 512 ? 0 : -ENAMETOOLONG;
}

static int add_home(const struct seed *seed, struct tar_writer *writer)
{
	const struct account *account = seed->account;
	_cleanup_free_ char *keys = NULL;
	char path[512];
	int r;

	if (seed->make_home) {
		r = tar_add_directory(writer, account->home + strspn(account->home, "/"), 0755,
				      account->uid, account->gid);
		if (r < 0)
			return r;
	}
	r = join_keys(&seed->assignment->spec.ssh_authorized_keys, &keys);
	if (r < 0)
		return r;
	r = home_path(account, ".ssh", path);
	if (r == 0)
		r = tar_add_directory(writer, path, 0700, account->uid, account->gid);
	if (r == 0)
		r = home_path(account, ".ssh/authorized_keys", path);
	if (r == 0)
		r = tar_add_file(writer, path, 0600, account->uid, account->gid, keys,
				 strlen(keys));
	return r;
}

static int add_accounts(const struct seed *seed, struct tar_writer *writer)
{
	const struct account_files *files = seed->files;
	const struct seed_modes *modes = &seed->modes;
	int r;

	r = tar_add_file(writer, "etc/passwd", modes->passwd.mode, modes->passwd.uid,
			 modes->passwd.gid, files->passwd, strlen(files->passwd));
	if (r == 0 && files->group)
		r = tar_add_file(writer, "etc/group", modes->group.mode, modes->group.uid,
				 modes->group.gid, files->group, strlen(files->group));
	if (r == 0)
		r = tar_add_file(writer, "etc/shadow", modes->shadow.mode, modes->shadow.uid,
				 modes->shadow.gid, files->shadow, strlen(files->shadow));
	return r;
}

int seed_write(const struct seed *seed, struct tar_writer *writer, struct error *err)
{
	int r;

	if (seed->assignment->ssh_host_key) {
		r = add_host_key(seed->assignment->ssh_host_key, writer, err);
		if (r < 0)
			return r;
	}
	if (!seed->account)
		return 0;
	r = add_accounts(seed, writer);
	if (r < 0)
		return r;
	return add_home(seed, writer);
}
