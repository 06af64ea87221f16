/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Why a port works or not, as far as schedd knows: whose it is, whether that runs, and which
 * gateway has it. What a gateway's kernel does with it is that gateway's to say. */
#pragma once

#include "lib/address.h"
#include "schedctl/command.h"

/* *ret has the form of a gateway's answer:
 * {"address","protocol","port","steps":[{"name","result","message","remedy"}], "broken"}, the last
 * one being null where no step fails. address AF_UNSPEC: any. -ENOENT where nobody has such a port,
 * -EPERM where several addresses do, or client_call's errors. */
int port_trace(struct context *context, const struct address *address, uint16_t port,
	       const char *protocol, json_t **ret, struct error *err) _must_check_;
