/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What an environment keeps: its volumes, and the mark that a run of it was stopped on request.
 * Everything is below the data folder and the shared one, and nothing else is touched there.
 *
 *	DATA/environments/ENV/{code,output,…}     bound into the container; owned by its user
 *	DATA/environments/ENV/.stopped            see volumes_hold
 *	DATA/environments/ENV/.ends               see ends_file.h
 *	DATA/trash/…                              being deleted, by a thread of its own
 *	SHARED/environments/ENV/{code,output,…}   the same on every host; never deleted here, since
 *	                                          another host may have the environment by now
 *	SHARED/.portico                           made by hand: without it nothing is mounted there
 */
#pragma once

#include <sys/types.h>

#include "lib/error.h"
#include "lib/util.h"

/* In the shared folder. */
#define VOLUMES_MOUNTED_MARK ".portico"

struct volumes;

/* Makes the folders (0700, ours) and goes on with deletions that an earlier process left. data_dir
 * is absolute; so is shared_dir, which may be NULL. */
int volumes_new(struct volumes **ret, const char *data_dir, const char *shared_dir,
		struct error *err) _must_check_;
/* Waits for the entry that is being deleted, not for the rest. NULL is fine. */
void volumes_free(struct volumes *volumes);

/* [a-z0-9-]{1,63}, not beginning with '-': one element of a path. */
bool volumes_name_valid(const char *name);

enum volume_kind {
	VOLUME_LOCAL,
	VOLUME_SHARED,
	VOLUME_INVALID = -1,
};
enum volume_kind volume_kind_parse(const char *text); /* text may be NULL */

/* Whether there is a shared folder at all. */
bool volumes_has_shared(const struct volumes *volumes);

/* Makes the folder of one volume where it is missing. The caller frees *ret_path. -ENODEV: the
 * shared folder is not mounted. */
int volumes_make(struct volumes *volumes, const char *environment, const char *name,
		 enum volume_kind kind, char **ret_path, struct error *err) _must_check_;
/* Gives a volume to its user, where it still belongs to us. */
int volumes_give(struct volumes *volumes, const char *environment, const char *name,
		 enum volume_kind kind, uid_t uid, gid_t gid, struct error *err) _must_check_;

/* The local ones: out of sight at once and by rename, so that it is whole or gone; deleted later. 0
 * where there is none. */
int volumes_discard(struct volumes *volumes, const char *environment, struct error *err)
	_must_check_;

/* The mark that a run of an environment was stopped on request, durable once it returns. It names
 * the run by its start, so the next run takes it away just by beginning: whoever is killed before
 * that finds it again, and whoever is killed after that finds none. */
int volumes_hold(struct volumes *volumes, const char *environment, const char *run,
		 struct error *err) _must_check_;
bool volumes_held(struct volumes *volumes, const char *environment, const char *run);

DEFINE_CLEANUP(struct volumes *, volumes_free, cleanup_volumes)
