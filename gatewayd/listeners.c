/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Sockets of the gateway itself that wait for strangers: TCP that listens, UDP that is bound and
 * not connected. A mapping of their port would take it away from them. It reads sock_diag and
 * changes nothing.
 */
#include "gatewayd/listeners.h"

#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/inet_diag.h>
#include <linux/sock_diag.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>

#include "gatewayd/socket_owner.h"
#include "lib/array.h"

#define TIMEOUT_MS 1000
#define REQUEST_MAX 256
/* Sockets that are taken in; a machine with more has other troubles. */
#define LIST_MAX ((size_t)1 << 18)
#define INTERRUPTIONS_MAX 4

static int compare_addresses(const struct endpoint *a, const struct endpoint *b)
{
	return address_compare(&a->address, &b->address);
}

int listener_compare(const struct listener *a, const struct listener *b)
{
	if (a->protocol != b->protocol)
		return a->protocol < b->protocol ? -1 : 1;
	if (a->local.port != b->local.port)
		return a->local.port < b->local.port ? -1 : 1;
	return compare_addresses(&a->local, &b->local);
}

static int compare_for_sort(const void *a, const void *b)
{
	return listener_compare(a, b);
}

static bool is_wildcard(const struct address *address)
{
	static const uint8_t zeros[16];

	return memcmp(address->bytes, zeros, address_length(address)) == 0;
}

bool listener_takes(const struct listener *listener, const struct mapping_key *key)
{
	const struct address *local = &listener->local.address;

	if (listener->protocol != key->protocol || listener->local.port != key->port)
		return false;
	if (!is_wildcard(local))
		return address_equal(local, &key->address);
	return local->family == key->address.family ||
	       (local->family == AF_INET6 && !listener->v6_only);
}

const struct listener *listeners_search(const struct listener *list, size_t n,
					const struct mapping_key *key)
{
	const struct listener least = { .protocol = key->protocol, .local.port = key->port };
	size_t low = 0, high = n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (listener_compare(&list[middle], &least) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	for (; low < n && list[low].protocol == key->protocol && list[low].local.port == key->port;
	     low++)
		if (listener_takes(&list[low], key))
			return &list[low];
	return NULL;
}

const char *listener_describe(const struct listener *listener, char buffer[LISTENER_STRING_MAX])
{
	char local[ENDPOINT_STRING_MAX], owner[SOCKET_OWNER_MAX];
	bool known = socket_owner_find(listener->inode, owner);

	endpoint_format(&listener->local, local);
	(void)snprintf(buffer, LISTENER_STRING_MAX, "%s%s%s%s", local, known ? " (" : "",
		       known ? owner : "", known ? ")" : "");
	return buffer;
}

/* ---- the kernel's messages ---- */

static struct nlmsghdr *put_request(void *buffer, uint8_t family, uint8_t protocol, uint16_t flags)
{
	struct nlmsghdr *header = mnl_nlmsg_put_header(buffer);
	struct inet_diag_req_v2 *request;

	header->nlmsg_type = SOCK_DIAG_BY_FAMILY;
	header->nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags);
	request = mnl_nlmsg_put_extra_header(header, sizeof(*request));
	request->sdiag_family = family;
	request->sdiag_protocol = protocol;
	/* A UDP socket that is not connected is "closed". */
	request->idiag_states = protocol == PROTOCOL_TCP ? 1u << TCP_LISTEN : 1u << TCP_CLOSE;
	request->id.idiag_cookie[0] = INET_DIAG_NOCOOKIE;
	request->id.idiag_cookie[1] = INET_DIAG_NOCOOKIE;
	return header;
}

/* An IPv6 socket may be bound to an IPv4 address, as ::ffff:203.0.113.10. */
static void read_address(const struct inet_diag_msg *message, struct address *ret)
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
	const uint8_t *bytes = (const uint8_t *)message->id.idiag_src;

	memset(ret, 0, sizeof(*ret));
	if (message->idiag_family == AF_INET6 && memcmp(bytes, mapped, sizeof(mapped)) != 0) {
		ret->family = AF_INET6;
		memcpy(ret->bytes, bytes, 16);
		return;
	}
	ret->family = AF_INET;
	memcpy(ret->bytes, message->idiag_family == AF_INET6 ? bytes + 12 : bytes, 4);
}

struct reading {
	uint8_t protocol;
	struct listener *list; /* grows; owned by who asks */
	size_t n, allocated;
};

static int take_listener(struct reading *reading, const struct listener *listener)
{
	struct listener *grown;

	if (reading->n == LIST_MAX)
		return -E2BIG;
	grown = array_grow(reading->list, sizeof(*grown), reading->n, &reading->allocated);
	if (!grown)
		return -ENOMEM;
	reading->list = grown;
	reading->list[reading->n++] = *listener;
	return 0;
}

static int on_socket(const struct nlmsghdr *header, void *userdata)
{
	const struct inet_diag_msg *message = mnl_nlmsg_get_payload(header);
	struct reading *reading = userdata;
	struct listener listener = { .protocol = reading->protocol };
	const struct nlattr *attr;

	if (header->nlmsg_type != SOCK_DIAG_BY_FAMILY ||
	    mnl_nlmsg_get_payload_len(header) < sizeof(*message))
		return 0;
	listener.local.port = ntohs(message->id.idiag_sport);
	if (listener.local.port == 0)
		return 0;
	read_address(message, &listener.local.address);
	listener.inode = message->idiag_inode;
	mnl_attr_for_each(attr, header, sizeof(*message))
	{
		if (mnl_attr_get_type(attr) == INET_DIAG_SKV6ONLY &&
		    mnl_attr_validate(attr, MNL_TYPE_U8) >= 0)
			listener.v6_only = mnl_attr_get_u8(attr) != 0;
	}
	return take_listener(reading, &listener);
}

int listeners_find(struct listeners *listeners, const struct mapping_key *key, bool *ret_found,
		   struct listener *ret)
{
	_Alignas(struct nlmsghdr) uint8_t buffer[REQUEST_MAX] = { 0 };
	struct nlmsghdr *header = put_request(buffer, key->address.family, key->protocol, 0);
	struct inet_diag_req_v2 *request = mnl_nlmsg_get_payload(header);
	struct reading reading = { .protocol = key->protocol };
	bool udp = key->protocol == PROTOCOL_UDP;
	int r;

	/* udp_diag has the two sides the other way round, "for historical reasons". */
	memcpy(udp ? request->id.idiag_dst : request->id.idiag_src, key->address.bytes,
	       address_length(&key->address));
	if (udp)
		request->id.idiag_dport = htons(key->port);
	else
		request->id.idiag_sport = htons(key->port);
	r = netlink_request(&listeners->netlink, header, TIMEOUT_MS, on_socket, &reading);
	if (r == 0 || r == -ENOENT) {
		*ret_found = r == 0 && reading.n > 0;
		if (*ret_found)
			*ret = reading.list[0];
		r = 0;
	}
	free(reading.list);
	return r;
}

static int list_part(struct listeners *listeners, uint8_t family, struct reading *reading)
{
	size_t before = reading->n;
	int r = -EINTR;

	for (int i = 0; i < INTERRUPTIONS_MAX && r == -EINTR; i++) {
		_Alignas(struct nlmsghdr) uint8_t buffer[REQUEST_MAX] = { 0 };

		reading->n = before;
		r = netlink_request(&listeners->netlink,
				    put_request(buffer, family, reading->protocol, NLM_F_DUMP),
				    TIMEOUT_MS, on_socket, reading);
	}
	return r;
}

int listeners_list(struct listeners *listeners, struct listener **ret, size_t *ret_n)
{
	static const uint8_t families[] = { AF_INET, AF_INET6 };
	static const uint8_t protocols[] = { PROTOCOL_TCP, PROTOCOL_UDP };
	struct reading reading = { 0 };
	int r = 0;

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(families) * ARRAY_SIZE(protocols); i++) {
		reading.protocol = protocols[i / ARRAY_SIZE(families)];
		r = list_part(listeners, families[i % ARRAY_SIZE(families)], &reading);
	}
	if (r < 0) {
		free(reading.list);
		return r;
	}
	if (reading.n > 0)
		qsort(reading.list, reading.n, sizeof(*reading.list), compare_for_sort);
	*ret = reading.list;
	*ret_n = reading.n;
	return 0;
}

int listeners_open(struct listeners *ret)
{
	struct listeners listeners = LISTENERS_INIT;
	_cleanup_free_ struct listener *list = NULL;
	size_t n;
	int r;

	r = netlink_open_protocol(&listeners.netlink, NETLINK_SOCK_DIAG, 0);
	if (r < 0)
		return r;
	/* A question for one socket cannot tell "there is none" from "I do not know this protocol":
	 * both are ENOENT. A listing can. */
	r = listeners_list(&listeners, &list, &n);
	if (r < 0) {
		listeners_close(&listeners);
		return r;
	}
	*ret = listeners;
	return 0;
}

void listeners_close(struct listeners *listeners)
{
	netlink_close(&listeners->netlink);
}
