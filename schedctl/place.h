/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A public port as people name it, and as `port list` prints it. */
#pragma once

#include "lib/address.h"
#include "lib/error.h"

struct place {
	struct address address; /* AF_UNSPEC: it names a port only */
	uint16_t port;
	enum protocol protocol; /* PROTOCOL_INVALID: it names none */
};

/* "30001", "30001/udp", "203.0.113.10:30001" or "[2001:db8::10]:30001/udp". -EINVAL with a sentence
 * for anything else. */
int place_parse(const char *text, struct place *ret, struct error *err) _must_check_;
