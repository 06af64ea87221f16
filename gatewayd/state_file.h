/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What stands in the state file, and what of a file that was found can be used. It reads; state.c
 * writes.
 *
 * The file is a sequence of lines with checksums (lib/checked_lines.h), a verb and its JSON:
 *
 *	portico-gateway-state 1       the first line: format and version
 *	put {MAPPING}                 a mapping that should be, with all its fields
 *	delete {KEY}                  a mapping that should be no longer
 *	ban {BAN}, unban {BAN}        the same for banned sources
 *	sweep {MAPPING}               connections of this key to this target are to be ended
 *	spare {KEY}                   those of this key drain: the sweeps before count no longer
 *	swept {}                      all sweeps before are done
 *	commit {"revision":N,"epoch":N}   all before it is done
 *
 * Later lines win over earlier ones. Changes are written before they are sent to the kernel, and
 *the commit when it has them. So lines behind the last commit may or may not have become true,
 *which only the kernel's table can say.
 */
#pragma once

#include "lib/checked_lines.h"
#include "lib/error.h"
#include "proto/mapping.h"

#define STATE_HEADER "portico-gateway-state 1"
#define STATE_PUT "put "
#define STATE_DELETE "delete "
#define STATE_BAN "ban "
#define STATE_UNBAN "unban "
#define STATE_SWEEP "sweep "
#define STATE_SPARE "spare "
#define STATE_SWEPT "swept {}"
#define STATE_COMMIT "commit "

enum state_condition {
	STATE_ABSENT,
	STATE_USABLE,
	STATE_FOREIGN, /* of another version, or of something else */
	STATE_GARBLED,
};

struct state_summary {
	enum state_condition condition;
	bool cut;           /* its end is missing */
	bool behind;        /* the kernel may know more: it was cut, or does not end in a commit */
	uint64_t committed; /* bytes up to the last commit */
	uint64_t good;      /* bytes up to the first bad line */
	uint64_t size;      /* bytes in all */
	uint64_t n_lines;   /* up to the last commit */
	bool sweeps;        /* some are behind the last swept */
	uint64_t swept;     /* bytes up to that */
	uint64_t revision;
	uint64_t epoch; /* the highest, also where the file is garbled: it only ever refuses more */
};

/* Looks through a whole file without decoding its mappings. read(2)'s errors, -ENOMEM. */
int state_file_examine(int fd, struct state_summary *ret) _must_check_;

struct state_handlers {
	/* Each in the file's order; what they are given is theirs to read only during the call. */
	int (*on_put)(struct mapping *mapping, void *userdata);
	int (*on_delete)(const struct mapping_key *key, void *userdata);
	int (*on_ban)(json_t *ban, bool lifted, void *userdata);
	/* These may be NULL. */
	int (*on_sweep)(const struct mapping_key *key, const struct endpoint *led, void *userdata);
	int (*on_spare)(const struct mapping_key *key, void *userdata);
	void (*on_swept)(void *userdata);
	/* A line that this version cannot read; the rest goes on. */
	void (*on_unreadable)(const char *text, const struct error *err, void *userdata);
	void *userdata;
};

/* Decodes what a usable file says between two offsets where lines begin; of sweeps only those
 * behind a third. A handler's error ends it. */
int state_file_replay(int fd, uint64_t from, uint64_t to, uint64_t swept,
		      const struct state_handlers *handlers) _must_check_;
