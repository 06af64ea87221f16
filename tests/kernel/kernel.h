/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the tests against the kernel share: a network namespace for the test's own process, which
 * ends with it, commands run in it as another program would, and short ways to say addresses.
 */
#pragma once

#include "gatewayd/applier.h"

/* For Test's .init: a new network namespace with loopback up. Fails the test without privilege. */
void enter_namespace(void);

/* Runs a command in the namespace; argv ends with NULL. Returns its output (stdout and stderr),
 * which the caller frees; fails the test where the command does. */
char *run(const char *const *argv);
/* nft with one argument, which may hold several commands. */
char *nft(const char *command);
/* The same where the output does not matter. */
void do_nft(const char *command);
/* Whether nft's listing of our table has this text; it must, or must not. */
bool listing_has(const char *text);
void expect_listing(const char *part, bool there);
/* nft reads its own listing and finds nothing wrong with it. */
void expect_listing_loads(void);
/* The whole ruleset with its handles, which tell what was made anew. */
char *list_ruleset(void);
void do_ip(const char *arguments); /* words separated by spaces */

struct endpoint endpoint_of(const char *text);
struct mapping_key key_of(const char *text); /* "203.0.113.10:30001": TCP */

/* Wants a mapping in a ledger: desire(&ledger, "203.0.113.10:30001", "10.0.0.5:22", "env-a ssh").
 */
struct entry *desire(struct ledger *ledger, const char *key, const char *target, const char *label);
/* One that ends so many seconds from now. */
struct entry *desire_for(struct ledger *ledger, const char *key, const char *target,
			 int64_t seconds);
struct entry *desire_with(struct ledger *ledger, const char *key, const char *target,
			  const struct policy *policy);
void undesire(struct ledger *ledger, const char *key);

/* Opens an applier on the test's namespace, and runs it to APPLY_DONE; both fail the test
 * otherwise. */
void open_applier(struct applier *ret, struct ledger *ledger, bool masquerade);
struct apply_result apply_all(struct applier *applier);

/* For applier_read: whatever the kernel has becomes desired. */
bool adopt_all(const struct dump_element *element, void *userdata);

#define TEST_MAP_SIZE 200000
