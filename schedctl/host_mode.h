/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The verbs of "host" that say what an operator wants of it. */
#pragma once

#include "schedctl/command.h"

#define HOST_COLLECTION "/v1/hosts"

extern const struct args_table host_drain_options, host_set_options, host_delete_options;

int host_cordon(struct context *context, const struct args *args, struct error *err) _must_check_;
int host_drain(struct context *context, const struct args *args, struct error *err) _must_check_;
int host_maintenance(struct context *context, const struct args *args, struct error *err)
	_must_check_;
int host_delete(struct context *context, const struct args *args, struct error *err) _must_check_;
int host_set(struct context *context, const struct args *args, struct error *err) _must_check_;
int host_uncordon(struct context *context, const struct args *args, struct error *err) _must_check_;
