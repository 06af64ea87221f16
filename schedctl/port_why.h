/* SPDX-License-Identifier: GPL-2.0-or-later */
/* "port why": what schedd knows of a port, or how one gateway walks its way, step by step. */
#pragma once

#include "schedctl/command.h"

extern const struct args_table port_why_options;

/* Prints the steps. -EIO with a sentence where one of them is broken. */
int port_why_run(struct context *context, const struct args *args, struct error *err) _must_check_;
