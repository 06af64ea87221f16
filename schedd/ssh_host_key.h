/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The SSH host key of an environment: made once, so that it survives restarts and moves. */
#pragma once

#include "lib/util.h"

/* A new Ed25519 key: the private part as OpenSSH's own text format (openssh-key-v1, PROTOCOL.key of
 * OpenSSH), the public part as "ssh-ed25519 AAAA… COMMENT". comment is one word. The caller frees
 * both; wipe the private one first. -ENOMEM, -EINVAL for a comment of over 128
 * bytes, -EIO where OpenSSL fails. */
int ssh_host_key_make(const char *comment, char **ret_private, char **ret_public) _must_check_;
