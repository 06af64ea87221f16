/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The verbs of "env" that change what is there: each asks schedd, and with --wait follows the
 * environment to where it was sent. */
#pragma once

#include "schedctl/command.h"

/* "--wait" and "--timeout" alone; those of "move" and of "extend". */
extern const struct args_table env_wait_options, env_move_options, env_extend_options;

int env_start(struct context *context, const struct args *args, struct error *err) _must_check_;
int env_stop(struct context *context, const struct args *args, struct error *err) _must_check_;
int env_restart(struct context *context, const struct args *args, struct error *err) _must_check_;
int env_move(struct context *context, const struct args *args, struct error *err) _must_check_;
int env_extend(struct context *context, const struct args *args, struct error *err) _must_check_;
int env_delete(struct context *context, const struct args *args, struct error *err) _must_check_;
