/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The flowtable of our nftables table as a libnftnl object, and whether what the kernel has is the
 * same. It sends and receives nothing.
 */
#include "gatewayd/shape_set.h"

#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <string.h>

#define FLOWTABLE_PRIORITY 0

bool shape_devices_have(const struct shape_devices *devices, const char *name)
{
	for (size_t i = 0; i < devices->n; i++)
		if (strcmp(devices->names[i], name) == 0)
			return true;
	return false;
}

static int set_devices(struct nftnl_flowtable *flowtable, const struct shape_devices *devices)
{
	const char *names[SHAPE_DEVICES_MAX + 1];

	for (size_t i = 0; i < devices->n; i++)
		names[i] = devices->names[i];
	names[devices->n] = NULL;
	return devices->n > 0 ? nftnl_flowtable_set_array(flowtable, NFTNL_FLOWTABLE_DEVICES, names)
			      : 0;
}

struct nftnl_flowtable *shape_make_flowtable(const struct shape *shape)
{
	_cleanup_(cleanup_nftnl_flowtable) struct nftnl_flowtable *made = nftnl_flowtable_alloc();

	if (!made || nftnl_flowtable_set_str(made, NFTNL_FLOWTABLE_TABLE, SHAPE_TABLE) < 0 ||
	    nftnl_flowtable_set_str(made, NFTNL_FLOWTABLE_NAME, SHAPE_FLOWTABLE) < 0 ||
	    set_devices(made, &shape->devices) < 0)
		return NULL;
	nftnl_flowtable_set_u32(made, NFTNL_FLOWTABLE_FAMILY, NFPROTO_INET);
	nftnl_flowtable_set_u32(made, NFTNL_FLOWTABLE_HOOKNUM, NF_NETDEV_INGRESS);
	nftnl_flowtable_set_s32(made, NFTNL_FLOWTABLE_PRIO, FLOWTABLE_PRIORITY);
	nftnl_flowtable_set_u32(made, NFTNL_FLOWTABLE_FLAGS, NFT_FLOWTABLE_COUNTER);
	return TAKE_PTR(made);
}

bool shape_flowtable_matches(const struct nftnl_flowtable *actual)
{
	return nftnl_flowtable_get_u32(actual, NFTNL_FLOWTABLE_HOOKNUM) == NF_NETDEV_INGRESS &&
	       nftnl_flowtable_get_s32(actual, NFTNL_FLOWTABLE_PRIO) == FLOWTABLE_PRIORITY &&
	       nftnl_flowtable_get_u32(actual, NFTNL_FLOWTABLE_FLAGS) == NFT_FLOWTABLE_COUNTER;
}
