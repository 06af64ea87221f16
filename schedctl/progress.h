/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The way of an environment to its goal, told on stderr as it comes: a line for each step, or one
 * line with a bar that is overwritten where stderr is a terminal.
 */
#pragma once

#include "lib/json.h"
#include "lib/util.h"

struct progress {
	bool interactive;
	bool open; /* a line without its end stands on the terminal */
	char last[512];
};

/* Shows an environment's answer, if it says something new. */
void progress_show(struct progress *progress, const json_t *environment);
/* The same for a sentence about the way itself: a lost connection. */
void progress_note(struct progress *progress, const char *sentence);
/* Ends the line that stands open. */
void progress_end(struct progress *progress);

/* "running", or "creating/pulling" where the stage says more. Returns buffer. */
const char *progress_phase(const json_t *environment, char *buffer, size_t size);

/* How far creating has come, in thousandths: five stages, and within one the first "N%" of the
 * reason. */
unsigned progress_permille(const json_t *environment);
