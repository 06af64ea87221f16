/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which mappings this gateway takes, beyond what makes a mapping well-formed: its own addresses
 * only, targets that can be reached, and ends that are to come.
 */
#include "gatewayd/admit.h"

#include <errno.h>
#include <stdio.h>

#include "gatewayd/shape_set.h"
#include "lib/clock.h"

static int fail(struct error *err, const char *code, const char *path, const char *field,
		const char *message)
{
	char full[ERROR_FIELD_MAX];

	(void)snprintf(full, sizeof(full), "%s%s%s", path, *path ? "." : "", field);
	return error_set(err, -EINVAL, code, full, "%s: %s", full, message);
}

int admit_key(const struct admission *admission, const struct mapping_key *key, const char *path,
	      struct error *err)
{
	char text[ADDRESS_STRING_MAX], message[ADDRESS_STRING_MAX + 64];

	for (size_t i = 0; i < admission->n_addresses; i++)
		if (address_equal(&admission->addresses[i], &key->address))
			return 0;
	(void)snprintf(message, sizeof(message), "%s is not an address of this gateway",
		       address_format(&key->address, text));
	return fail(err, "not_ours", path, "address", message);
}

static int check_end(const struct mapping *mapping, const char *path, struct error *err)
{
	char when[TIME_STRING_MAX], message[TIME_STRING_MAX + 80];
	int64_t now = clock_unix_seconds();

	if (mapping->expires_at == 0)
		return 0;
	time_format(mapping->expires_at, when);
	if (mapping->expires_at <= now) {
		(void)snprintf(message, sizeof(message), "%s is in the past", when);
		return fail(err, "invalid", path, "expires_at", message);
	}
	if (mapping->expires_at - now > SHAPE_TIMEOUT_MAX_S) {
		(void)snprintf(message, sizeof(message),
			       "%s is more than 500 years away: leave it out for never", when);
		return fail(err, "invalid", path, "expires_at", message);
	}
	return 0;
}

int admit_mapping(const struct admission *admission, const struct mapping *mapping,
		  const char *path, struct error *err)
{
	int r;

	r = admit_key(admission, &mapping->key, path, err);
	if (r < 0)
		return r;
	/* It would need route_localnet, which opens what listens on loopback only to the network.
	 */
	if (address_is_loopback(&mapping->target.address))
		return fail(err, "invalid", path, "target.address",
			    "a loopback address cannot be reached from outside");
	return check_end(mapping, path, err);
}
