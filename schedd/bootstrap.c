/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The first admin token: a scheduler of its own, one commit, one file. */
#include "schedd/bootstrap.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "lib/clock.h"
#include "lib/file.h"
#include "lib/log.h"
#include "lib/loop.h"
#include "schedd/scheduler.h"
#include "schedd/token.h"

#define NAME "bootstrap"
#define SUBJECT "bootstrap"

struct bootstrap {
	struct loop *loop;
	struct scheduler *scheduler;
	const char *path;
	char *known;  /* what the file has already; NULL: there is none */
	bool written; /* by us */
	bool done;
};

static void finish(struct bootstrap *bootstrap, bool done)
{
	bootstrap->done = done;
	if (!done && bootstrap->written)
		(void)unlink(bootstrap->path);
	loop_stop(bootstrap->loop);
}

static bool is_valid_admin(const struct token *token)
{
	return token && token->role == ROLE_ADMIN &&
	       (token->expires_at == 0 || token->expires_at > clock_unix_seconds());
}

/* The file is there: does it have what was asked for? */
static void check_known(struct bootstrap *bootstrap, const struct state *state)
{
	char id[TOKEN_ID_MAX + 1];
	struct token_entry *entry = NULL;
	const struct token *token;

	if (token_id_of(bootstrap->known, id) == 0)
		entry = state_token(state, id);
	token = entry ? token_committed(entry) : NULL;
	if (is_valid_admin(token) && token_matches(bootstrap->known, token->hash)) {
		log_info(SUBJECT, "%s has admin token %s already", bootstrap->path, id);
		finish(bootstrap, true);
		return;
	}
	log_error(SUBJECT, "%s is there and has no valid admin token: move it away and try again",
		  bootstrap->path);
	finish(bootstrap, false);
}

static bool has_admin(const struct state *state)
{
	struct token_entry *entry;

	STATE_FOREACH(state, RECORD_TOKEN, entry)
	{
		if (is_valid_admin(token_committed(entry)))
			return true;
	}
	return false;
}

static int write_file(const char *path, const char *text)
{
	_cleanup_close_ int fd =
		open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	int r;

	if (fd < 0)
		return -errno;
	r = write_all(fd, text, strlen(text));
	if (r == 0)
		r = write_all(fd, "\n", 1);
	if (r == 0 && fsync(fd) < 0)
		r = -errno;
	if (r < 0)
		(void)unlink(path);
	return r;
}

static void committed(void *userdata, const struct error *err, const char *id)
{
	struct bootstrap *bootstrap = userdata;

	if (err->errnum < 0)
		log_error(SUBJECT, "no token was made: %s", error_text(err, err->errnum));
	else
		log_info(SUBJECT, "admin token %s is in %s", id, bootstrap->path);
	finish(bootstrap, err->errnum == 0);
}

static int make(struct bootstrap *bootstrap, struct error *err)
{
	_cleanup_(cleanup_token) struct token *token = token_new();
	char text[TOKEN_TEXT_MAX + 1];
	int r;

	if (!token)
		return -ENOMEM;
	token->role = ROLE_ADMIN;
	(void)snprintf(token->name, sizeof(token->name), "%s", NAME);
	r = token_make(token->id, text, token->hash);
	if (r < 0)
		return r;
	r = write_file(bootstrap->path, text);
	explicit_bzero(text, sizeof(text));
	if (r < 0)
		return error_set(err, r, "io", "bootstrap-file", "cannot write %s: %s",
				 bootstrap->path, error_text(NULL, r));
	bootstrap->written = true;
	return scheduler_create_token(bootstrap->scheduler, TAKE_PTR(token), SUBJECT, committed,
				      bootstrap, err);
}

static void on_ready(struct bootstrap *bootstrap)
{
	const struct state *state = scheduler_state(bootstrap->scheduler);
	struct error err = ERROR_INIT;
	int r;

	if (bootstrap->known) {
		check_known(bootstrap, state);
		return;
	}
	if (has_admin(state)) {
		log_error(SUBJECT,
			  "there is an admin token already; as root, beside a running schedd: "
			  "schedctl --server unix:/run/portico/schedd.sock token create");
		finish(bootstrap, false);
		return;
	}
	r = make(bootstrap, &err);
	if (r == 0)
		return;
	log_error(SUBJECT, "no token was made: %s", error_text(&err, r));
	finish(bootstrap, false);
}

static void on_role(void *userdata, enum store_role role, const char *reason)
{
	struct bootstrap *bootstrap = userdata;

	switch (role) {
	case STORE_READY:
		on_ready(bootstrap);
		break;
	case STORE_WAITING:
		log_error(SUBJECT, "a schedd is running on this database; as root, beside it: "
				   "schedctl --server unix:/run/portico/schedd.sock token create");
		finish(bootstrap, false);
		break;
	case STORE_DOWN:
		log_error(SUBJECT, "no database: %s", reason);
		finish(bootstrap, false);
		break;
	case STORE_STARTING:
		break;
	}
}

static void on_commit(void *userdata, const struct batch *batch)
{
}

static void on_reset(void *userdata)
{
}

static void on_fatal(void *userdata, const char *reason)
{
	struct bootstrap *bootstrap = userdata;

	log_error(SUBJECT, "cannot go on: %s", reason);
	finish(bootstrap, false);
}

static int read_known(struct bootstrap *bootstrap, struct error *err)
{
	int r = file_read(bootstrap->path, TOKEN_TEXT_MAX + 2, &bootstrap->known, NULL, err);

	if (r == -ENOENT) {
		*err = ERROR_INIT;
		return 0;
	}
	if (r == 0)
		bootstrap->known[strcspn(bootstrap->known, "\r\n")] = '\0';
	return r;
}

static int run(struct bootstrap *bootstrap, const struct options *options,
	       struct settings *settings, struct error *err)
{
	static const struct scheduler_events events = { .on_commit = on_commit,
							.on_reset = on_reset,
							.on_role = on_role,
							.on_fatal = on_fatal };
	const struct scheduler_config config = {
		.cpu_overcommit = (unsigned)options->cpu_overcommit,
		.database = options->database,
		.holder = SUBJECT,
		.address = "",
		.pool = &settings->pool,
		.limits = settings->limits,
		.offline_after_ms = (uint32_t)options->offline_after_ms,
		.policy = settings->policy,
	};
	int r = read_known(bootstrap, err);

	if (r == 0)
		r = loop_new(&bootstrap->loop);
	if (r == 0)
		r = scheduler_new(&bootstrap->scheduler, loop_base(bootstrap->loop), &config,
				  &events, bootstrap);
	return r == 0 ? loop_run(bootstrap->loop) : r;
}

bool bootstrap_run(const struct options *options, struct settings *settings)
{
	struct bootstrap bootstrap = { .path = options->bootstrap_file };
	struct error err = ERROR_INIT;
	int r = run(&bootstrap, options, settings, &err);

	if (r < 0)
		log_error(SUBJECT, "%s", error_text(&err, r));
	scheduler_free(bootstrap.scheduler);
	loop_free(bootstrap.loop);
	if (bootstrap.known)
		explicit_bzero(bootstrap.known, strlen(bootstrap.known));
	free(bootstrap.known);
	return r == 0 && bootstrap.done;
}
