/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The steps of seeding, one call each: three files out, two questions, one archive in. */
#include "agentd/docker_seed.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "agentd/seed_archive.h"

enum step {
	STEP_PASSWD,
	STEP_GROUP,
	STEP_SHADOW,
	STEP_SHELL,
	STEP_HOME,
	STEP_PUT,
};

struct docker_seed {
	struct docker_api *api;
	struct volumes *volumes;
	char *container;
	const struct assignment *assignment;
	void (*on_done)(void *userdata, int error, const char *message);
	void *userdata;
	uint64_t call;
	enum step step;
	struct account_files files;
	struct account account;
	struct seed_modes modes;
	bool has_bash, has_home;
};

static int next_step(struct docker_seed *seed, struct error *err);

static void finish(struct docker_seed *seed, int error, const char *message)
{
	seed->call = 0;
	seed->on_done(seed->userdata, error, message);
}

/* Keeps a file that was read; a missing one stays NULL, and gets the mode that Debian gives it. */
static int take_file(const struct docker_reply *reply, char **text, mode_t *mode, uid_t *uid,
		     gid_t *gid, struct error *err)
{
	struct tar_file file;
	int r;

	if (reply->error == -ENOENT)
		return 0;
	r = tar_read_file(reply->body, reply->length, ACCOUNT_FILE_MAX, &file, err);
	if (r < 0)
		return r;
	*text = file.data;
	*mode = file.mode;
	*uid = file.uid;
	*gid = file.gid;
	return 0;
}

/* Everything is known about the image's users: decide on ours. */
static int edit_accounts(struct docker_seed *seed, struct error *err)
{
	return account_ensure(&seed->files, seed->assignment->user, seed->assignment->password_hash,
			      seed->has_bash ? "/bin/bash" : "/bin/sh", &seed->account, err);
}

static int take_answer(struct docker_seed *seed, const struct docker_reply *reply,
		       struct error *err)
{
	struct seed_modes *modes = &seed->modes;

	switch (seed->step) {
	case STEP_PASSWD:
		return take_file(reply, &seed->files.passwd, &modes->passwd.mode,
				 &modes->passwd.uid, &modes->passwd.gid, err);
	case STEP_GROUP:
		return take_file(reply, &seed->files.group, &modes->group.mode, &modes->group.uid,
				 &modes->group.gid, err);
	case STEP_SHADOW:
		return take_file(reply, &seed->files.shadow, &modes->shadow.mode,
				 &modes->shadow.uid, &modes->shadow.gid, err);
	case STEP_SHELL:
		seed->has_bash = reply->error == 0;
		return edit_accounts(seed, err);
	case STEP_HOME:
		seed->has_home = reply->error == 0;
		return 0;
	case STEP_PUT:
		return 0;
	}
	return 0;
}

static void on_answer(const struct docker_reply *reply, void *userdata)
{
	struct docker_seed *seed = userdata;
	bool may_be_missing = seed->step != STEP_PUT;
	struct error err = ERROR_INIT;
	int r;

	if (reply->error < 0 && !(may_be_missing && reply->error == -ENOENT)) {
		finish(seed, reply->error, reply->message);
		return;
	}
	r = take_answer(seed, reply, &err);
	if (r == 0 && seed->step == STEP_PUT) {
		finish(seed, 0, "");
		return;
	}
	if (r == 0) {
		seed->step++;
		r = next_step(seed, &err);
	}
	if (r < 0)
		finish(seed, r, error_text(&err, r));
}

static int ask(struct docker_seed *seed, const char *method, const char *inner)
{
	_cleanup_free_ char *escaped = docker_escape(inner);
	_cleanup_free_ char *path = NULL;

	if (!escaped ||
	    asprintf(&path, "/containers/%s/archive?path=%s", seed->container, escaped) < 0)
		return -ENOMEM;
	return docker_api_call(seed->api,
			       &(struct docker_call){
				       .operation = "get_archive",
				       .method = method,
				       .path = path,
				       .raw = true,
				       .quiet = true,
				       .max_body = ACCOUNT_FILE_MAX + 65536,
				       .on_done = on_answer,
				       .userdata = seed,
			       },
			       &seed->call);
}

static int give_volumes(struct docker_seed *seed, struct error *err)
{
	const char *name;
	json_t *kind;
	int r;

	json_object_foreach (seed->assignment->spec.volumes, name, kind) {
		r = volumes_give(seed->volumes, seed->assignment->environment, name,
				 volume_kind_parse(json_string_value(kind)), seed->account.uid,
				 seed->account.gid, err);
		if (r < 0)
			return r;
	}
	return 0;
}

static int put_archive(struct docker_seed *seed, struct error *err)
{
	_cleanup_(cleanup_tar_writer) struct tar_writer *writer = NULL;
	_cleanup_free_ char *path = NULL;
	const struct seed content = {
		.assignment = seed->assignment,
		.account = seed->assignment->user ? &seed->account : NULL,
		.files = &seed->files,
		.modes = seed->modes,
		.make_home = !seed->has_home,
	};
	const void *data;
	size_t length;
	int r;

	r = tar_writer_new(&writer);
	if (r == 0)
		r = seed_write(&content, writer, err);
	if (r == 0)
		r = tar_finish(writer, &data, &length);
	if (r < 0)
		return r;
	if (asprintf(&path, "/containers/%s/archive?path=/", seed->container) < 0)
		return -ENOMEM;
	return docker_api_call(seed->api,
			       &(struct docker_call){
				       .operation = "put_archive",
				       .method = "PUT",
				       .path = path,
				       .body = data,
				       .body_length = length,
				       .raw = true,
				       .on_done = on_answer,
				       .userdata = seed,
			       },
			       &seed->call);
}

static int next_step(struct docker_seed *seed, struct error *err)
{
	int r;

	switch (seed->step) {
	case STEP_PASSWD:
		return ask(seed, "GET", "/etc/passwd");
	case STEP_GROUP:
		return ask(seed, "GET", "/etc/group");
	case STEP_SHADOW:
		return ask(seed, "GET", "/etc/shadow");
	case STEP_SHELL:
		return ask(seed, "HEAD", "/bin/bash");
	case STEP_HOME:
		return ask(seed, "HEAD", seed->account.home);
	case STEP_PUT:
		r = give_volumes(seed, err);
		return r < 0 ? r : put_archive(seed, err);
	}
	return -EINVAL;
}

int docker_seed_start(struct docker_seed **ret, struct docker_api *api, struct volumes *volumes,
		      const char *container, const struct assignment *assignment,
		      void (*on_done)(void *userdata, int error, const char *message),
		      void *userdata)
{
	_cleanup_(cleanup_docker_seed) struct docker_seed *seed = calloc(1, sizeof(*seed));
	int r;

	if (!seed)
		return -ENOMEM;
	seed->api = api;
	seed->volumes = volumes;
	seed->assignment = assignment;
	seed->on_done = on_done;
	seed->userdata = userdata;
	seed->modes.passwd.mode = seed->modes.group.mode = 0644;
	seed->modes.shadow.mode = 0600;
	seed->container = strdup(container);
	if (!seed->container)
		return -ENOMEM;
	seed->step = assignment->user ? STEP_PASSWD : STEP_PUT;
	r = next_step(seed, NULL);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(seed);
	return 0;
}

void docker_seed_free(struct docker_seed *seed)
{
	if (!seed)
		return;
	docker_api_cancel(seed->api, seed->call);
	account_files_clear(&seed->files);
	free(seed->container);
	free(seed);
}
