/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The flow store: what has been counted, for each mapping and each live connection, in a file that
 * is mapped into memory, so that a killed process loses nothing of it. It knows how records are
 * kept and changed in one step; what they mean is flow_table.c's.
 */
#include "gatewayd/flow_store.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "lib/file.h"
#include "lib/log.h"

#define MAGIC "PORTICOF"
#define VERSION 1
#define FILE_MODE 0600
#define RESERVE_RECORDS UINT32_C(1024)
#define BOOT_ID_LENGTH 36
#define PAGE ((size_t)4096)

struct store_header {
	char magic[8];
	uint32_t version;
	uint32_t header_size, account_size, flow_size;
	char boot[BOOT_ID_LENGTH];
	uint64_t namespace; /* the network namespace's cookie, never used twice in a boot */
	uint32_t n_accounts, n_flows; /* records beyond were never used */
	struct totals totals;
	uint32_t inbox_done;
	uint32_t pending; /* 1: change is to be done */
	struct flow_change change;
};

#define ROUND_UP(size) (((size) + PAGE - 1) / PAGE * PAGE)
#define INBOX_OFFSET ROUND_UP(sizeof(struct store_header))
#define ACCOUNTS_OFFSET ROUND_UP(INBOX_OFFSET + INBOX_SLOTS * INBOX_SLOT_SIZE)
#define FLOWS_OFFSET ROUND_UP(ACCOUNTS_OFFSET + FLOW_STORE_ACCOUNTS_MAX * sizeof(struct account))
/* Almost all of it is a hole. */
#define FILE_SIZE ROUND_UP(FLOWS_OFFSET + FLOW_STORE_FLOWS_MAX * sizeof(struct flow))

/* A kill comes between two instructions, so that it is enough to keep the compiler from putting
 * them into another order. */
static void in_order(void)
{
	atomic_signal_fence(memory_order_seq_cst);
}

/* ---- changes ---- */

static void do_change(struct flow_store *store)
{
	const struct flow_change *change = &store->header->change;

	if (change->account != FLOW_STORE_NONE)
		store->accounts[change->account] = change->account_after;
	if (change->flow != FLOW_STORE_NONE)
		store->flows[change->flow] = change->flow_after;
	store->header->totals = change->totals_after;
	store->header->inbox_done = change->inbox_done;
	in_order();
	store->header->pending = 0;
	in_order();
}

void flow_store_write_down(struct flow_store *store, const struct flow_change *change)
{
	store->header->change = *change;
	in_order();
	store->header->pending = 1;
	in_order();
}

void flow_store_commit(struct flow_store *store, const struct flow_change *change)
{
	flow_store_write_down(store, change);
	do_change(store);
}

const struct totals *flow_store_totals(const struct flow_store *store)
{
	return &store->header->totals;
}

uint32_t flow_store_inbox_done(const struct flow_store *store)
{
	return store->header->inbox_done;
}

void flow_store_set_inbox_done(struct flow_store *store, uint32_t done)
{
	store->header->inbox_done = done;
}

void flow_store_clear_inbox(struct flow_store *store, uint32_t n)
{
	for (size_t i = 0; i < n; i++)
		memset(store->inbox + i * INBOX_SLOT_SIZE, 0, sizeof(struct nlmsghdr));
	in_order(); /* or old messages would count once more */
	store->header->inbox_done = 0;
}

/* ---- records ---- */

/* Room on the file system is taken beforehand, since a mapped file finds out by SIGBUS. */
static int reserve(struct flow_store *store, size_t offset, size_t length)
{
	int r;

	if (store->fd < 0)
		return 0;
	do
		r = posix_fallocate(store->fd, (off_t)offset, (off_t)length);
	while (r == EINTR);
	return -r;
}

static int pool_take(struct flow_store *store, struct record_pool *pool, size_t offset, size_t size,
		     uint32_t *header_used, uint32_t *ret)
{
	int r;

	if (pool->n_free > 0) {
		*ret = pool->free[--pool->n_free];
		return 0;
	}
	if (pool->used == pool->max)
		return -ENOSPC;
	if (pool->used == pool->reserved) {
		uint32_t more = MIN(RESERVE_RECORDS, pool->max - pool->reserved);

		r = reserve(store, offset + pool->reserved * size, more * size);
		if (r < 0)
			return r;
		pool->reserved += more;
	}
	*ret = pool->used++;
	*header_used = pool->used;
	return 0;
}

/* Where there is no memory to note it, the record rests until the store is opened again. */
static void pool_give_back(struct record_pool *pool, uint32_t index)
{
	if (pool->n_free == pool->n_allocated) {
		size_t wanted = pool->n_allocated ? 2 * pool->n_allocated : 256;
		uint32_t *grown = reallocarray(pool->free, wanted, sizeof(*grown));

		if (!grown)
			return;
		pool->free = grown;
		pool->n_allocated = wanted;
	}
	pool->free[pool->n_free++] = index;
}

int flow_store_new_account(struct flow_store *store, uint32_t *ret)
{
	return pool_take(store, &store->account_pool, ACCOUNTS_OFFSET, sizeof(struct account),
			 &store->header->n_accounts, ret);
}

int flow_store_new_flow(struct flow_store *store, uint32_t *ret)
{
	return pool_take(store, &store->flow_pool, FLOWS_OFFSET, sizeof(struct flow),
			 &store->header->n_flows, ret);
}

void flow_store_put_account(struct flow_store *store, uint32_t index, const struct account *account)
{
	struct account record = *account;

	record.state = ACCOUNT_FREE;
	store->accounts[index] = record;
	in_order();
	store->accounts[index].state = account->state;
}

void flow_store_free_account(struct flow_store *store, uint32_t index)
{
	store->accounts[index].state = ACCOUNT_FREE;
	pool_give_back(&store->account_pool, index);
}

void flow_store_free_flow(struct flow_store *store, uint32_t index)
{
	store->flows[index].state = FLOW_FREE;
	pool_give_back(&store->flow_pool, index);
}

/* ---- opening ---- */

static void identify(struct store_header *header)
{
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	_cleanup_free_ char *boot = NULL;
	socklen_t length = sizeof(header->namespace);
	size_t n = 0;

	if (file_read("/proc/sys/kernel/random/boot_id", PAGE, &boot, &n, NULL) == 0)
		memcpy(header->boot, boot, MIN(n, sizeof(header->boot)));
	if (fd >= 0)
		(void)getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, &header->namespace, &length);
}

static struct store_header fresh_header(void)
{
	struct store_header header = {
		.version = VERSION,
		.header_size = sizeof(struct store_header),
		.account_size = sizeof(struct account),
		.flow_size = sizeof(struct flow),
	};

	memcpy(header.magic, MAGIC, sizeof(header.magic));
	identify(&header);
	return header;
}

static bool account_is_right(const struct account *account)
{
	if (account->state == ACCOUNT_FREE)
		return true;
	return account->state <= ACCOUNT_CLOSED && account->key.port > 0 &&
	       protocol_name(account->key.protocol) && address_length(&account->key.address) > 0;
}

static bool flow_is_right(const struct flow_store *store, const struct flow *flow)
{
	if (flow->state == FLOW_FREE)
		return true;
	return flow->state <= FLOW_ENDED && flow->account < store->header->n_accounts &&
	       store->accounts[flow->account].state != ACCOUNT_FREE &&
	       address_length(&flow->source.address) > 0;
}

static bool change_is_right(const struct flow_store *store)
{
	const struct store_header *header = store->header;
	const struct flow_change *change = &header->change;

	return header->pending == 0 ||
	       (header->pending == 1 &&
		(change->account == FLOW_STORE_NONE || change->account < header->n_accounts) &&
		(change->flow == FLOW_STORE_NONE || change->flow < header->n_flows) &&
		change->inbox_done <= INBOX_SLOTS);
}

/* Why the content cannot be right, NULL where it can. Finishes what a kill left half done. */
static const char *check(struct flow_store *store)
{
	const struct store_header *header = store->header;
	const struct store_header fresh = fresh_header();

	if (memcmp(header->magic, fresh.magic, sizeof(header->magic)) != 0)
		return "it is not a file of counters";
	if (header->version != fresh.version || header->header_size != fresh.header_size ||
	    header->account_size != fresh.account_size || header->flow_size != fresh.flow_size)
		return "it is of another version";
	if (header->n_accounts > FLOW_STORE_ACCOUNTS_MAX ||
	    header->n_flows > FLOW_STORE_FLOWS_MAX || header->inbox_done > INBOX_SLOTS ||
	    !change_is_right(store))
		return "its header is garbled";
	if (header->pending)
		do_change(store);
	for (uint32_t i = 0; i < header->n_accounts; i++)
		if (!account_is_right(&store->accounts[i]))
			return "an account is garbled";
	for (uint32_t i = 0; i < header->n_flows; i++)
		if (!flow_is_right(store, &store->flows[i]))
			return "a connection is garbled";
	return NULL;
}

/* Its connections ended with their boot or namespace, and counters of kernels begin anew too. */
static bool is_of_here(const struct flow_store *store)
{
	const struct store_header fresh = fresh_header();

	return memcmp(store->header->boot, fresh.boot, sizeof(fresh.boot)) == 0 &&
	       store->header->namespace == fresh.namespace;
}

static void list_free_records(struct flow_store *store)
{
	const struct store_header *header = store->header;

	store->account_pool.used = store->account_pool.reserved = header->n_accounts;
	store->flow_pool.used = store->flow_pool.reserved = header->n_flows;
	for (uint32_t i = header->n_accounts; i-- > 0;)
		if (store->accounts[i].state == ACCOUNT_FREE)
			pool_give_back(&store->account_pool, i);
	for (uint32_t i = header->n_flows; i-- > 0;)
		if (store->flows[i].state == FLOW_FREE)
			pool_give_back(&store->flow_pool, i);
}

static void unmap(struct flow_store *store)
{
	if (store->base)
		(void)munmap(store->base, FILE_SIZE);
	if (store->fd >= 0)
		close(store->fd);
	store->base = NULL;
	store->fd = -1;
}

static int map(struct flow_store *store)
{
	int flags = store->fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE : MAP_SHARED;
	uint8_t *base = mmap(NULL, FILE_SIZE, PROT_READ | PROT_WRITE, flags, store->fd, 0);

	if (base == MAP_FAILED)
		return -errno;
	store->base = base;
	store->header = (struct store_header *)base;
	store->inbox = base + INBOX_OFFSET;
	store->accounts = (struct account *)(base + ACCOUNTS_OFFSET);
	store->flows = (struct flow *)(base + FLOWS_OFFSET);
	return 0;
}

/* The file has nothing but its header. */
static int begin(struct flow_store *store)
{
	struct store_header fresh;
	int r;

	if (store->fd >= 0 &&
	    (ftruncate(store->fd, 0) < 0 || ftruncate(store->fd, (off_t)FILE_SIZE) < 0))
		return -errno;
	r = reserve(store, 0, ACCOUNTS_OFFSET);
	if (r < 0)
		return r;
	fresh = fresh_header();
	memset(fresh.magic, 0, sizeof(fresh.magic));
	*store->header = fresh;
	in_order(); /* or a kill would leave a header that looks whole */
	memcpy(store->header->magic, MAGIC, sizeof(store->header->magic));
	return 0;
}

/* A kill left it before it had begun. */
static bool has_not_begun(const struct flow_store *store)
{
	static const char nothing[sizeof(store->header->magic)];

	return memcmp(store->header->magic, nothing, sizeof(nothing)) == 0;
}

/* *ret_reason says why an old file cannot be used; the store is closed then. */
static int open_file(struct flow_store *store, const char *path, const char **ret_reason)
{
	struct stat status;
	int r;

	*ret_reason = NULL;
	store->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, FILE_MODE);
	if (store->fd < 0 || fstat(store->fd, &status) < 0)
		return -errno;
	if (status.st_size == (off_t)FILE_SIZE) {
		r = map(store);
		if (r < 0)
			return r;
		if (has_not_begun(store))
			return begin(store);
		*ret_reason = check(store);
		return *ret_reason || is_of_here(store) ? 0 : begin(store);
	}
	if (status.st_size > 0) {
		*ret_reason = "its size is not right";
		return 0;
	}
	if (ftruncate(store->fd, (off_t)FILE_SIZE) < 0)
		return -errno;
	r = map(store);
	return r < 0 ? r : begin(store);
}

static int set_aside(const char *path, const char *reason)
{
	char aside[PATH_MAX];
	int n = snprintf(aside, sizeof(aside), "%s.bad", path);

	if (n < 0 || (size_t)n >= sizeof(aside))
		return -ENAMETOOLONG;
	if (rename(path, aside) < 0)
		return -errno;
	log_warning("counters", "%s cannot be used and is set aside as %s: %s", path, aside,
		    reason);
	return 0;
}

static int open_path(struct flow_store *store, const char *path)
{
	const char *reason;
	int r;

	r = open_file(store, path, &reason);
	if (r < 0 || !reason)
		return r;
	unmap(store);
	r = set_aside(path, reason);
	return r < 0 ? r : open_file(store, path, &reason);
}

int flow_store_open(struct flow_store *ret, const char *path, struct error *err)
{
	struct flow_store store = {
		.fd = -1,
		.account_pool.max = FLOW_STORE_ACCOUNTS_MAX,
		.flow_pool.max = FLOW_STORE_FLOWS_MAX,
	};
	int r;

	if (path) {
		r = open_path(&store, path);
	} else {
		r = map(&store);
		if (r == 0)
			r = begin(&store);
	}
	if (r < 0) {
		unmap(&store);
		return error_set(err, r, "internal", NULL, "%s: %s", path ? path : "memory",
				 strerror(-r));
	}
	list_free_records(&store);
	*ret = store;
	return 0;
}

void flow_store_close(struct flow_store *store)
{
	if (store->base)
		unmap(store);
	free(store->account_pool.free);
	free(store->flow_pool.free);
	memset(store, 0, sizeof(*store));
	store->fd = -1;
}
