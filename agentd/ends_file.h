/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The count of an environment's ends in DATA/environments/ENV/.ends, so that a crash loop stays one
 * over a kill of agentd and over a boot. It goes with the environment's volumes.
 */
#pragma once

#include "agentd/ends.h"
#include "lib/error.h"

/* Into ends as ends_init made it. What is missing, damaged or of no valid name says nothing. */
int ends_file_read(const char *data_dir, const char *environment, struct ends *ends) _must_check_;
/* Over a kill once it returns. It does not wait for the disk, which may take as long as it likes,
 * and heartbeats with it: a loss of power may cost the newest counts. */
int ends_file_write(const char *data_dir, const char *environment, const struct ends *ends,
		    struct error *err) _must_check_;
