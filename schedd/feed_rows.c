/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Streams of what the lists show: hosts, gateways, ports, customers and tokens. What is known in
 * memory only, such as a heartbeat, comes with the next change of the row. */
#include <string.h>

#include "proto/watch.h"
#include "schedd/answers.h"
#include "schedd/feed_private.h"

enum record_kind feed_rows_of(enum feed_kind kind)
{
	switch (kind) {
	case FEED_HOSTS:
		return RECORD_HOST;
	case FEED_GATEWAYS:
		return RECORD_GATEWAY;
	case FEED_PORTS:
		return RECORD_PORT;
	case FEED_CUSTOMERS:
	case FEED_QUOTAS:
		return RECORD_CUSTOMER;
	case FEED_TOKENS:
		return RECORD_TOKEN;
	case FEED_ENVIRONMENTS:
	case FEED_ASSIGNMENTS:
	case FEED_MAPPINGS:
	case FEED_EVENTS:
	case FEED_KIND_MAX:
		break;
	}
	return RECORD_KIND_MAX;
}

/* Hosts and gateways have no owner: who has a route to them sees them. */
static bool is_owned(enum feed_kind kind)
{
	return kind == FEED_PORTS || kind == FEED_CUSTOMERS || kind == FEED_QUOTAS ||
	       kind == FEED_TOKENS;
}

bool feed_rows_shows(const struct stream *stream, const char *id, const char *owner)
{
	return (!stream->id[0] || strcmp(stream->id, id) == 0) &&
	       (!is_owned(stream->kind) || access_sees(&stream->caller, owner));
}

static json_t *answer(const struct state *state, enum feed_kind kind, const struct entry *entry)
{
	switch (entry->kind) {
	case RECORD_HOST:
		return answer_host(state, (const struct host_entry *)entry);
	case RECORD_GATEWAY:
		return answer_gateway(state, (const struct gateway_entry *)entry);
	case RECORD_PORT:
		return answer_port((const struct port_entry *)entry);
	case RECORD_CUSTOMER:
		if (kind == FEED_QUOTAS)
			return answer_quota(state, (const struct customer_entry *)entry);
		return answer_customer((const struct customer_entry *)entry);
	case RECORD_TOKEN:
		return answer_token((const struct token_entry *)entry, NULL);
	case RECORD_ENVIRONMENT:
	case RECORD_KEY:
	case RECORD_KIND_MAX:
		break;
	}
	return NULL;
}

static json_t *key_of(enum record_kind kind, const char *id, const struct mapping_key *key)
{
	return kind == RECORD_PORT ? mapping_key_encode(key) : json_pack("{s:s}", "id", id);
}

int feed_rows_write(const struct feed *feed, const struct state *state, const struct stream *stream,
		    struct evbuffer *out)
{
	struct entry *entry;
	int r = 0;

	STATE_FOREACH(state, feed_rows_of(stream->kind), entry)
	{
		_cleanup_json_ json_t *item = NULL;

		if (r < 0 || !entry->committed ||
		    !feed_rows_shows(stream, entry->id, entry_owner(entry)))
			continue;
		item = answer(state, stream->kind, entry);
		r = item ? watch_write_item(out, item) : -ENOMEM;
	}
	return r;
}

void feed_rows_say(struct stream *stream, const struct state *state,
		   const struct feed_log_change *change)
{
	const struct entry *entry = state_find(state, change->kind, change->id);
	const char *owner = change->owner[0] ? change->owner : NULL;
	bool is = entry && entry->committed && !entry->committed->gone &&
		  feed_rows_shows(stream, change->id, entry_owner(entry));

	/* What is no more, or not the reader's any more. */
	if (is)
		feed_add(stream, true, answer(state, stream->kind, entry));
	else if (feed_rows_shows(stream, change->id, owner))
		feed_add(stream, false, key_of(change->kind, change->id, &change->key));
}

/* ---- a commit ---- */

/* Whose it is after this commit. A port may outlive its environment by its quarantine, and is
 * nobody's then: tell_orphans says that it is gone, and nothing says otherwise in the same change.
 */
static const char *owner_after(const struct entry *entry)
{
	const struct environment_entry *environment;

	if (entry->kind == RECORD_PORT) {
		environment = ((const struct port_entry *)entry)->environment;
		if (environment && environment->entry.committed &&
		    environment->entry.committed->gone)
			return NULL;
	}
	return entry_owner(entry);
}

static void tell_topic(struct stream *first, const struct entry *entry, bool put, json_t *item)
{
	const char *owner = owner_after(entry);
	struct stream *stream;

	DL_FOREACH2(first, stream, topic_next)
	{
		if (feed_rows_shows(stream, entry->id, owner))
			feed_add(stream, put, json_incref(item));
	}
}

static void tell(struct feed *feed, const struct state *state, enum feed_kind kind,
		 const struct entry *entry)
{
	struct stream *all = feed_watchers(feed, kind, "");
	struct stream *one = feed_watchers(feed, kind, entry->id);
	bool gone = entry->committed->gone;
	json_t *item;

	if (!all && !one)
		return;
	item = gone ? key_of(entry->kind, entry->id,
			     entry->kind == RECORD_PORT
				     ? &((const struct port *)entry->committed)->key
				     : NULL)
		    : answer(state, kind, entry);
	tell_topic(all, entry, !gone, item);
	tell_topic(one, entry, !gone, item);
	json_decref(item);
}

/* Once for each batch, whatever it is that has changed of it. */
static void tell_host(struct feed *feed, const struct state *state, const char *id)
{
	struct host_entry *host = state_host(state, id);

	if (!host || !host->entry.committed || host->told == feed->serial)
		return;
	host->told = feed->serial;
	tell(feed, state, FEED_HOSTS, &host->entry);
}

static void tell_quota(struct feed *feed, const struct state *state, const char *id)
{
	struct customer_entry *customer = id ? state_customer(state, id) : NULL;

	if (!customer || !customer->entry.committed || customer->told == feed->serial)
		return;
	customer->told = feed->serial;
	tell(feed, state, FEED_QUOTAS, &customer->entry);
}

/* The ports of what is gone are their owner's no more. */
static void tell_orphans(struct feed *feed, const struct environment_entry *environment)
{
	const char *owner = entry_owner(&environment->entry);
	struct stream *stream;

	DL_FOREACH2(feed_watchers(feed, FEED_PORTS, ""), stream, topic_next)
	{
		if (stream->caller.access == ACCESS_ALL || !access_sees(&stream->caller, owner))
			continue;
		for (size_t i = 0; i < environment->n_ports; i++)
			feed_add(stream, false,
				 mapping_key_encode(&port_newest(environment->ports[i])->key));
	}
}

static void tell_around(struct feed *feed, const struct state *state, const struct change *change)
{
	const struct environment_entry *entry = (const struct environment_entry *)change->entry;
	const struct environment *new = environment_committed(entry);
	const struct environment *old = (const struct environment *)change->old;

	if (feed->of_kind[FEED_HOSTS] > 0 && feed_log_changes_host(change)) {
		if (old && old->host[0])
			tell_host(feed, state, old->host);
		if (new->host[0])
			tell_host(feed, state, new->host);
	}
	if (feed->of_kind[FEED_QUOTAS] > 0 && (!old || new->record.gone))
		tell_quota(feed, state, new->origin->spec.customer);
	if (new->record.gone && feed->of_kind[FEED_PORTS] > 0)
		tell_orphans(feed, entry);
}

void feed_rows_tell(struct feed *feed, const struct state *state, const struct change *change)
{
	switch (change->entry->kind) {
	case RECORD_HOST:
		tell_host(feed, state, change->entry->id);
		break;
	case RECORD_GATEWAY:
		tell(feed, state, FEED_GATEWAYS, change->entry);
		break;
	case RECORD_PORT:
		tell(feed, state, FEED_PORTS, change->entry);
		break;
	case RECORD_CUSTOMER:
		tell(feed, state, FEED_CUSTOMERS, change->entry);
		tell_quota(feed, state, change->entry->id);
		break;
	case RECORD_TOKEN:
		tell(feed, state, FEED_TOKENS, change->entry);
		break;
	case RECORD_ENVIRONMENT:
		tell_around(feed, state, change);
		break;
	case RECORD_KEY:
	case RECORD_KIND_MAX:
		break;
	}
}
