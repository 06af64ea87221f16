/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The pool of external ports as bits. */
#include <errno.h>
#include <string.h>

#include "schedd/ports.h"

#define PROTOCOLS 2

static size_t bitmap_index(const struct port_pool *pool, size_t address, enum protocol protocol)
{
	return (address * PROTOCOLS + (protocol == PROTOCOL_UDP)) * pool->words;
}

static int check_addresses(const struct address *addresses, size_t n, struct error *err)
{
	char text[ADDRESS_STRING_MAX];

	if (n == 0 || n > PORT_POOL_ADDRESSES_MAX)
		return error_set(err, -EINVAL, "invalid", "port-addresses",
				 "port-addresses needs 1 to %d addresses, not %zu",
				 PORT_POOL_ADDRESSES_MAX, n);
	for (size_t i = 0; i < n; i++) {
		address_format(&addresses[i], text);
		if (!address_is_unicast(&addresses[i]))
			return error_set(err, -EINVAL, "invalid", "port-addresses",
					 "port-addresses: %s is no address of one machine", text);
		for (size_t j = 0; j < i; j++)
			if (address_equal(&addresses[i], &addresses[j]))
				return error_set(err, -EINVAL, "invalid", "port-addresses",
						 "port-addresses: %s is given twice", text);
	}
	return 0;
}

int port_pool_init(struct port_pool *pool, const struct address *addresses, size_t n_addresses,
		   uint16_t first, uint16_t last, struct error *err)
{
	struct port_pool new = { .n_addresses = n_addresses, .first = first, .last = last };
	int r;

	r = check_addresses(addresses, n_addresses, err);
	if (r < 0)
		return r;
	if (first == 0 || first > last)
		return error_set(err, -EINVAL, "invalid", "port-range", "port-range %u-%u is empty",
				 first, last);
	new.words = ((size_t)(last - first) + 64) / 64;
	new.addresses = calloc(n_addresses, sizeof(*addresses));
	new.taken = calloc(n_addresses * PROTOCOLS * new.words, sizeof(*new.taken));
	if (!new.addresses || !new.taken) {
		port_pool_clear(&new);
		return -ENOMEM;
	}
	memcpy(new.addresses, addresses, n_addresses * sizeof(*addresses));
	*pool = new;
	return 0;
}

void port_pool_clear(struct port_pool *pool)
{
	free(pool->addresses);
	free(pool->taken);
	*pool = (struct port_pool){ 0 };
}

int port_range_parse(const char *text, uint16_t *ret_first, uint16_t *ret_last, struct error *err)
{
	char first[sizeof("65535")] = "";
	const char *dash = strchr(text, '-');
	size_t length = dash ? (size_t)(dash - text) : strlen(text);
	uint16_t low, high;

	if (length < sizeof(first)) {
		memcpy(first, text, length);
		if (port_parse(first, &low) == 0 &&
		    port_parse(dash ? dash + 1 : first, &high) == 0 && low <= high) {
			*ret_first = low;
			*ret_last = high;
			return 0;
		}
	}
	return error_set(err, -EINVAL, "invalid", "port-range",
			 "port-range: \"%s\" is no range of ports like 30001-30999", text);
}

static bool locate(const struct port_pool *pool, const struct mapping_key *key, size_t *ret_word,
		   uint64_t *ret_bit)
{
	if (key->port < pool->first || key->port > pool->last)
		return false;
	for (size_t i = 0; i < pool->n_addresses; i++) {
		if (!address_equal(&pool->addresses[i], &key->address))
			continue;
		*ret_word = bitmap_index(pool, i, key->protocol) + (key->port - pool->first) / 64;
		*ret_bit = UINT64_C(1) << (key->port - pool->first) % 64;
		return true;
	}
	return false;
}

bool port_pool_contains(const struct port_pool *pool, const struct mapping_key *key)
{
	size_t word;
	uint64_t bit;

	return locate(pool, key, &word, &bit);
}

void port_pool_take(struct port_pool *pool, const struct mapping_key *key)
{
	size_t word;
	uint64_t bit;

	if (locate(pool, key, &word, &bit))
		pool->taken[word] |= bit;
}

void port_pool_give(struct port_pool *pool, const struct mapping_key *key)
{
	size_t word;
	uint64_t bit;

	if (locate(pool, key, &word, &bit))
		pool->taken[word] &= ~bit;
}

static bool first_free(const struct port_pool *pool, const uint64_t *bits, uint16_t *ret)
{
	for (size_t i = 0; i < pool->words; i++) {
		size_t offset;

		if (bits[i] == UINT64_MAX)
			continue;
		offset = i * 64 + (size_t)__builtin_ctzll(~bits[i]);
		if (offset > (size_t)(pool->last - pool->first))
			return false;
		*ret = (uint16_t)(pool->first + offset);
		return true;
	}
	return false;
}

static bool is_free(const struct port_pool *pool, const uint64_t *bits, uint16_t port)
{
	unsigned offset = port - pool->first;

	return !(bits[offset / 64] & UINT64_C(1) << offset % 64);
}

int port_pool_find(const struct port_pool *pool, enum protocol protocol, uint16_t wanted,
		   struct mapping_key *ret)
{
	uint16_t port = wanted;

	if (wanted && (wanted < pool->first || wanted > pool->last))
		return -ERANGE;
	for (size_t i = 0; i < pool->n_addresses; i++) {
		const uint64_t *bits = &pool->taken[bitmap_index(pool, i, protocol)];

		if (wanted ? !is_free(pool, bits, wanted) : !first_free(pool, bits, &port))
			continue;
		*ret = (struct mapping_key){
			.address = pool->addresses[i],
			.protocol = (uint8_t)protocol,
			.port = port,
		};
		return 0;
	}
	return wanted ? -EEXIST : -ENOSPC;
}

size_t port_pool_size(const struct port_pool *pool)
{
	return pool->n_addresses * PROTOCOLS * ((size_t)(pool->last - pool->first) + 1);
}

static size_t count_taken(const struct port_pool *pool, size_t address, enum protocol protocol)
{
	const uint64_t *bits = &pool->taken[bitmap_index(pool, address, protocol)];
	size_t n = 0;

	for (size_t i = 0; i < pool->words; i++)
		n += (size_t)__builtin_popcountll(bits[i]);
	return n;
}

size_t port_pool_taken(const struct port_pool *pool)
{
	size_t n = 0;

	for (size_t i = 0; i < pool->n_addresses; i++)
		n += count_taken(pool, i, PROTOCOL_TCP) + count_taken(pool, i, PROTOCOL_UDP);
	return n;
}

size_t port_pool_free(const struct port_pool *pool, enum protocol protocol)
{
	size_t n = pool->n_addresses * ((size_t)(pool->last - pool->first) + 1);

	for (size_t i = 0; i < pool->n_addresses; i++)
		n -= count_taken(pool, i, protocol);
	return n;
}
