/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the verbs of "env" share. */
#pragma once

#include "schedctl/command.h"

#define ENV_COLLECTION "/v1/environments"

extern const struct args_table env_logs_options;

int env_create(struct context *context, const struct args *args, struct error *err) _must_check_;
int env_logs(struct context *context, const struct args *args, struct error *err) _must_check_;
int env_ssh(struct context *context, const struct args *args, struct error *err) _must_check_;

/* Fetches one environment by id or name. */
int env_fetch(struct context *context, const char *name, json_t **ret, struct error *err)
	_must_check_;

/* One environment as the single row of "env list". */
int env_print_row(const struct output *output, json_t *environment) _must_check_;

/* The port of a service in an environment's answer; NULL where it has none. Borrowed. */
json_t *env_find_port(const json_t *environment, const char *service);
