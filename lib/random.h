/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Randomness from getrandom(2), for identifiers and secrets. */
#pragma once

#include "lib/util.h"

/* Fills buffer. Never fails on Linux 3.17 or newer once the pool is ready; -errno otherwise. */
int random_bytes(void *buffer, size_t length) _must_check_;

/* Writes length characters of a 32-letter alphabet without look-alikes (5 bits each) and a
 * terminating zero; buffer holds length + 1. */
int random_text(char *buffer, size_t length) _must_check_;

/* A number below limit (limit > 0), for jitter; not for secrets. */
uint32_t random_below(uint32_t limit);
