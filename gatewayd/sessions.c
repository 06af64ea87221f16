/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Sessions: live connections of the flow table as users see them, chosen, put in order and encoded.
 * It changes nothing.
 */
#include "gatewayd/sessions.h"

#include <errno.h>
#include <inttypes.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nf_conntrack_tcp.h>
#include <stdio.h>
#include <string.h>

#include "gatewayd/shape.h"
#include "lib/json.h"

/* ---- ids ---- */

int session_id_parse(const char *text, uint64_t *ret)
{
	uint64_t id = 0;

	if (strlen(text) != SESSION_ID_LENGTH)
		return -EINVAL;
	for (const char *c = text; *c; c++) {
		const char *digits = "0123456789abcdef", *digit = strchr(digits, *c);

		if (!digit)
			return -EINVAL;
		id = id << 4 | (uint64_t)(digit - digits);
	}
	*ret = id;
	return 0;
}

const char *session_id_format(uint64_t id, char buffer[SESSION_ID_LENGTH + 1])
{
	(void)snprintf(buffer, SESSION_ID_LENGTH + 1, "%016" PRIx64, id);
	return buffer;
}

/* ---- choosing ---- */

static const struct account *account_of(const struct flow_table *table, uint32_t flow)
{
	return &table->store.accounts[table->store.flows[flow].account];
}

/* Whose it is; nothing where the mapping has ended. */
static void label_of(const struct flow_table *table, const struct account *account,
		     struct shape_label *ret)
{
	const struct entry *entry =
		account->state == ACCOUNT_OPEN ? ledger_find(table->ledger, &account->key) : NULL;

	shape_label_parse(entry ? entry->label : NULL, ret);
}

static bool is_chosen(const struct flow_table *table, const struct session_filter *filter,
		      uint32_t flow)
{
	const struct account *account;
	struct shape_label label;

	if (!flow_table_is_live(table, flow))
		return false;
	account = account_of(table, flow);
	if (filter->port > 0 && account->key.port != filter->port)
		return false;
	if (filter->from && !prefix_has(&filter->source, &table->store.flows[flow].source.address))
		return false;
	if (!filter->environment)
		return true;
	label_of(table, account, &label);
	return strcmp(label.environment, filter->environment) == 0;
}

/* The smallest ids so far, the largest of them on top. */
struct heap {
	struct {
		uint64_t id;
		uint32_t flow;
	} items[SESSIONS_LIMIT_MAX + 1];
	size_t n, max;
};

static void heap_swap(struct heap *heap, size_t a, size_t b)
{
	__typeof__(heap->items[0]) item = heap->items[a];

	heap->items[a] = heap->items[b];
	heap->items[b] = item;
}

static void heap_sink(struct heap *heap, size_t at)
{
	for (size_t child; (child = 2 * at + 1) < heap->n; at = child) {
		if (child + 1 < heap->n && heap->items[child + 1].id > heap->items[child].id)
			child++;
		if (heap->items[at].id >= heap->items[child].id)
			return;
		heap_swap(heap, at, child);
	}
}

static void heap_add(struct heap *heap, uint64_t id, uint32_t flow)
{
	size_t at = heap->n;

	if (heap->n == heap->max) {
		heap->items[0].id = id;
		heap->items[0].flow = flow;
		heap_sink(heap, 0);
		return;
	}
	heap->items[at].id = id;
	heap->items[at].flow = flow;
	heap->n++;
	for (; at > 0 && heap->items[(at - 1) / 2].id < heap->items[at].id; at = (at - 1) / 2)
		heap_swap(heap, at, (at - 1) / 2);
}

/* Whether an id with these upper bits can belong to the first ones; most do not, which saves the
 * making of the id. */
static bool may_belong(const struct heap *heap, const struct session_filter *filter, uint32_t upper)
{
	return upper >= filter->after >> 32 &&
	       (heap->n < heap->max || upper <= heap->items[0].id >> 32);
}

size_t sessions_choose(const struct flow_table *table, const struct session_filter *filter,
		       uint32_t ret[SESSIONS_LIMIT_MAX], bool *ret_more)
{
	struct heap heap = { .n = 0, .max = filter->limit + 1 };
	size_t n;

	for (uint32_t flow = 0; flow < table->store.flow_pool.used; flow++) {
		uint64_t id;

		if (!may_belong(&heap, filter, table->store.flows[flow].id) ||
		    !is_chosen(table, filter, flow))
			continue;
		id = flow_table_id(table, flow);
		if (id > filter->after && (heap.n < heap.max || id < heap.items[0].id))
			heap_add(&heap, id, flow);
	}
	*ret_more = heap.n > filter->limit;
	n = MIN(heap.n, filter->limit);
	while (heap.n > 0) {
		if (heap.n <= n)
			ret[heap.n - 1] = heap.items[0].flow;
		heap.n--;
		heap.items[0] = heap.items[heap.n];
		heap_sink(&heap, 0);
	}
	return n;
}

/* ---- encoding ---- */

static const char *state_of(const struct flow_live *live, uint8_t protocol)
{
	static const char *const names[] = {
		[TCP_CONNTRACK_SYN_SENT] = "syn_sent",       [TCP_CONNTRACK_SYN_RECV] = "syn_recv",
		[TCP_CONNTRACK_ESTABLISHED] = "established", [TCP_CONNTRACK_FIN_WAIT] = "fin_wait",
		[TCP_CONNTRACK_CLOSE_WAIT] = "close_wait",   [TCP_CONNTRACK_LAST_ACK] = "last_ack",
		[TCP_CONNTRACK_TIME_WAIT] = "time_wait",     [TCP_CONNTRACK_CLOSE] = "close",
		[TCP_CONNTRACK_SYN_SENT2] = "syn_sent",
	};

	if (protocol == PROTOCOL_TCP) {
		if (live->tcp_state < ARRAY_SIZE(names) && names[live->tcp_state])
			return names[live->tcp_state];
		return "unknown";
	}
	if (live->status & IPS_ASSURED)
		return "assured";
	return live->status & IPS_SEEN_REPLY ? "replied" : "unreplied";
}

static json_t *encode_endpoint(const struct endpoint *endpoint)
{
	char address[ADDRESS_STRING_MAX];

	return json_pack("{s:s, s:i}", "address", address_format(&endpoint->address, address),
			 "port", (int)endpoint->port);
}

int traffic_encode(json_t *object, const struct traffic *traffic)
{
	const struct {
		const char *name;
		uint64_t value;
	} fields[] = {
		{ "bytes", traffic->bytes[CT_IN] + traffic->bytes[CT_OUT] },
		{ "bytes_in", traffic->bytes[CT_IN] },
		{ "bytes_out", traffic->bytes[CT_OUT] },
		{ "packets", traffic->packets[CT_IN] + traffic->packets[CT_OUT] },
		{ "packets_in", traffic->packets[CT_IN] },
		{ "packets_out", traffic->packets[CT_OUT] },
	};

	for (size_t i = 0; i < ARRAY_SIZE(fields); i++)
		if (json_object_set_new(object, fields[i].name,
					json_integer((json_int_t)fields[i].value)) < 0)
			return -ENOMEM;
	return 0;
}

json_t *session_encode(const struct flow_table *table, uint32_t flow, int64_t wall)
{
	const struct flow *record = &table->store.flows[flow];
	const struct account *account = account_of(table, flow);
	char id[SESSION_ID_LENGTH + 1], address[ADDRESS_STRING_MAX];
	struct shape_label label;
	_cleanup_json_ json_t *json = NULL;

	label_of(table, account, &label);
	json = json_pack("{s:s, s:s, s:s, s:i, s:o, s:o, s:s*, s:s*, s:s, s:o, s:I, s:b}", "id",
			 session_id_format(flow_table_id(table, flow), id), "address",
			 address_format(&account->key.address, address), "protocol",
			 protocol_name(account->key.protocol), "port", (int)account->key.port,
			 "source", encode_endpoint(&record->source), "target",
			 encode_endpoint(&record->target), "environment",
			 label.environment[0] ? label.environment : NULL, "service",
			 label.service[0] ? label.service : NULL, "state",
			 state_of(&table->flow_live[flow], account->key.protocol), "since",
			 json_time(record->since), "age_seconds",
			 (json_int_t)MAX(wall - record->since, (int64_t)0), "draining",
			 (int)(account->state == ACCOUNT_CLOSED));
	if (!json || traffic_encode(json, &record->counted) < 0)
		return NULL;
	return TAKE_PTR(json);
}
