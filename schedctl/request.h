/* SPDX-License-Identifier: GPL-2.0-or-later */
/* From the options of "env create" to the body of its request. It reads key files and asks nobody.
 */
#pragma once

#include "lib/error.h"
#include "lib/json.h"
#include "schedctl/args.h"

extern const struct args_table request_options;

/* Builds the body and validates it as schedd will. *ret is owned by the caller. -EINVAL with a
 * sentence that names the option, -ENOMEM. */
int request_build(const struct args *args, json_t **ret, struct error *err) _must_check_;

/* "jupyter:8888" or "mosh:60001/udp" to {"name","port","protocol"}. A new reference. */
int request_parse_service(const char *text, json_t **ret, struct error *err) _must_check_;

/* Adds "K=V" to object; the key must not be there yet. option is named in the error. */
int request_add_pair(json_t *object, const char *option, const char *text, struct error *err)
	_must_check_;

/* Appends the public keys of text to array: text is a key line itself, or names a file of them.
 * A private key is refused before anything of it is sent anywhere. */
int request_add_ssh_key(json_t *array, const char *text, struct error *err) _must_check_;
