/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Rows as clients and followers see them: JSON of committed versions, with what is known besides.
 */
#pragma once

#include "lib/json.h"
#include "schedd/state.h"

/* Each returns a new object, NULL when out of memory. The entry has a committed version. */

/* public_name stands for the address in `connect`; NULL: the port's own address. password (NULL:
 * left out) is shown once, in the answer to the request that made the environment. */
json_t *answer_environment(const struct environment_entry *entry, const char *public_name,
			   const char *password);
/* The revision in it: of the row, or of a port of it that changed later. */
uint64_t answer_environment_revision(const struct environment_entry *entry);
json_t *answer_host(const struct state *state, const struct host_entry *entry);
json_t *answer_gateway(const struct state *state, const struct gateway_entry *entry);
json_t *answer_port(const struct port_entry *entry);
/* What a customer may have and has. */
json_t *answer_quota(const struct state *state, const struct customer_entry *entry);
json_t *answer_customer(const struct customer_entry *entry);
/* text (NULL: left out) is the token itself, in the answer to the request that made it. */
json_t *answer_token(const struct token_entry *entry, const char *text);

/* The items of a host's and of a gateway's desired state. An assignment carries secrets. */
json_t *answer_assignment(const struct environment *environment);
json_t *answer_mapping(const struct port *port);
