/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The file of mappings of a gateway that stands alone: read at start and at SIGHUP. */
#include "gatewayd/mapping_file.h"

#include <errno.h>
#include <event2/event_struct.h>
#include <signal.h>
#include <stdio.h>

#include "gatewayd/api_decode.h"
#include "lib/file.h"
#include "lib/log.h"

#define SUBJECT "file of mappings"
/* The same as a body of the local API. */
#define FILE_MAX ((size_t)96 << 20)

struct mapping_file {
	struct mapping_file_config config;
	struct event hangup;
	const struct changeset *latest; /* of the last reading, until it is answered; else NULL */
	/* Of the last reading: */
	bool failed;                    /* nothing of it is applied */
	size_t n_left_out;              /* mappings that are not */
	char reason[ERROR_MESSAGE_MAX]; /* why, for all or the first of them; "": all are applied */
};

/* ---- reading ---- */

static int read_mappings(const char *path, const struct admission *admission,
			 struct changeset **ret, struct error *err)
{
	_cleanup_free_ char *text = NULL;
	struct error fault = ERROR_INIT;
	size_t length;
	int r;

	r = file_read(path, FILE_MAX, &text, &length, err);
	if (r < 0)
		return r;
	if (length == 0)
		return error_set(err, -EINVAL, "invalid", NULL,
				 "%s: is empty; no mappings at all are []", path);
	r = api_decode_replace(text, length, admission, ret, &fault);
	return r == 0 ? 0
		      : error_set(err, r, "invalid", NULL, "%s: %s", path, error_text(&fault, r));
}

/* ---- into the kernel ---- */

static void tell_left_out(const struct mapping_key *key, const char *reason)
{
	char name[MAPPING_STRING_MAX];

	log_warning(mapping_key_format(key, name), "not applied: %s", reason);
}

static void leave_out(struct mapping_file *file, const struct mapping_key *key, const char *reason)
{
	char name[MAPPING_STRING_MAX];

	tell_left_out(key, reason);
	if (file->n_left_out++ == 0)
		(void)snprintf(file->reason, sizeof(file->reason), "%s: %s",
			       mapping_key_format(key, name), reason);
}

static void fail(struct mapping_file *file, const char *reason)
{
	log_error(SUBJECT, "the mappings of before stay: %s", reason);
	file->failed = true;
	(void)snprintf(file->reason, sizeof(file->reason), "%s", reason);
}

/* The file was read again before this was answered: what is found wrong is what it says now. */
static void on_late(const struct changeset *changeset)
{
	for (size_t i = 0; i < changeset->n_refusals; i++)
		tell_left_out(&changeset->refusals[i].key, changeset->refusals[i].reason);
}

static void on_done(struct changeset *changeset, void *userdata)
{
	struct mapping_file *file = userdata;
	size_t n = 0;

	if (changeset != file->latest) {
		on_late(changeset);
		return;
	}
	file->latest = NULL;
	if (changeset->error.errnum != 0) {
		if (changeset->error.errnum != -ECANCELED)
			fail(file, changeset->error.message);
		return;
	}
	for (size_t i = 0; i < changeset->n_refusals; i++)
		leave_out(file, &changeset->refusals[i].key, changeset->refusals[i].reason);
	for (size_t i = 0; i < changeset->n_changes; i++)
		n += !changeset->changes[i].removal && !changeset->changes[i].refused;
	log_info(SUBJECT, "applied file=%s mappings=%zu left_out=%zu removed=%zu",
		 file->config.path, n, file->n_left_out, changeset->n_removed);
}

struct examination {
	struct mapping_file *file;
	struct changeset *changeset;
};

static bool on_taken(size_t index, const char *reason, void *userdata)
{
	const struct examination *examination = userdata;
	struct change *change = &examination->changeset->changes[index];
	const struct mapping_key key = change->key;

	leave_out(examination->file, &key, reason);
	change_clear(change);
	change_remove(change, &key);
	return true;
}

static void take(struct mapping_file *file)
{
	_cleanup_(cleanup_changeset) struct changeset *changeset = NULL;
	struct examination examination = { .file = file };
	struct error err = ERROR_INIT;
	int r;

	r = read_mappings(file->config.path, file->config.admission, &changeset, &err);
	file->latest = changeset;
	file->failed = false;
	file->n_left_out = 0;
	file->reason[0] = '\0';
	if (r < 0) {
		fail(file, error_text(&err, r));
		return;
	}
	examination.changeset = changeset;
	guard_examine(file->config.guard, changeset, on_taken, &examination);
	/* One that the kernel refuses does not keep the others out. */
	changeset->atomic = false;
	changeset->on_done = on_done;
	changeset->userdata = file;
	reconciler_submit(file->config.reconciler, TAKE_PTR(changeset));
}

static void on_hangup(evutil_socket_t fd, short what, void *userdata)
{
	struct mapping_file *file = userdata;

	if (file->config.path)
		take(file);
	else
		log_info(NULL, "SIGHUP: there is no file of mappings to read again");
}

/* ---- what is wrong ---- */

static void add_finding(struct findings *findings, enum finding_level level, const char *reason)
{
	finding_remedy(findings_add(findings, level, "mapping_file", "", "%s", reason),
		       "mend the file, then: systemctl reload portico-gatewayd");
}

void mapping_file_findings(const struct mapping_file *file, struct findings *findings)
{
	if (file->reason[0])
		add_finding(findings, file->failed ? FINDING_ERROR : FINDING_WARNING, file->reason);
}

void mapping_file_check(const char *path, const struct admission *admission,
			struct findings *findings)
{
	_cleanup_(cleanup_changeset) struct changeset *changeset = NULL;
	struct error err = ERROR_INIT;
	int r = read_mappings(path, admission, &changeset, &err);

	if (r < 0)
		add_finding(findings, FINDING_ERROR, error_text(&err, r));
}

/* ---- setting up ---- */

int mapping_file_new(struct mapping_file **ret, struct event_base *base,
		     const struct mapping_file_config *config)
{
	_cleanup_(cleanup_mapping_file) struct mapping_file *file = calloc(1, sizeof(*file));

	if (!file)
		return -ENOMEM;
	file->config = *config;
	if (evsignal_assign(&file->hangup, base, SIGHUP, on_hangup, file) < 0 ||
	    evsignal_add(&file->hangup, NULL) < 0)
		return -ENOMEM;
	if (config->path)
		take(file);
	*ret = TAKE_PTR(file);
	return 0;
}

void mapping_file_free(struct mapping_file *file)
{
	if (!file)
		return;
	if (event_initialized(&file->hangup))
		(void)event_del(&file->hangup);
	free(file);
}
