/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The query for usage. An interval counts for the part of it that lies within the time asked for;
 * one that goes on counts up to now. */
#include "schedd/usage_log.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

/* $1, $2: since and until; $3: the customer; $4: by customer; $5: the page after; $6: its length */
static const char sql[] =
	"WITH span AS (SELECT"
	"  coalesce(to_timestamp($1::double precision), date_trunc('month', now(), 'UTC')) AS since,"
	"  coalesce(to_timestamp($2::double precision), now()) AS until),"
	" piece AS (SELECT environment, customer, cpu_milli, memory_bytes, gpu_milli, running,"
	"  extract(epoch FROM least(coalesce(ended_at, now()), until) - greatest(started_at, since))"
	"  AS s FROM usage_intervals, span WHERE started_at < until"
	"  AND (ended_at IS NULL OR ended_at > since) AND ($3::text IS NULL OR customer = $3)),"
	" sums AS (SELECT CASE WHEN $4::boolean THEN coalesce(customer, '') ELSE environment END AS id,"
	"  customer, sum(s) AS held_s, coalesce(sum(s) FILTER (WHERE running), 0) AS running_s,"
	"  sum(s * cpu_milli / 1000) AS cpu_s, sum(s * memory_bytes / 1073741824) AS memory_s,"
	"  sum(s * gpu_milli / 1000) AS gpu_s FROM piece WHERE s > 0 GROUP BY 1, 2),"
	" page AS (SELECT * FROM sums WHERE $5::text IS NULL OR id > $5"
	"  ORDER BY id LIMIT $6::bigint + 1),"
	" shown AS (SELECT * FROM page ORDER BY id LIMIT $6::bigint)"
	" SELECT json_build_object("
	"'since', to_char(since AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"'),"
	" 'until', to_char(until AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"'),"
	" 'items', coalesce((SELECT json_agg(json_build_object('id', shown.id,"
	"  'environment', CASE WHEN $4::boolean THEN NULL ELSE shown.id END,"
	"  'name', environments.name, 'customer', shown.customer, 'seconds', round(held_s, 3),"
	"  'running_seconds', round(running_s, 3), 'cpu_core_seconds', round(cpu_s, 3),"
	"  'memory_gib_seconds', round(memory_s, 3), 'gpu_seconds', round(gpu_s, 3))"
	"  ORDER BY shown.id) FROM shown"
	"  LEFT JOIN environments ON environments.id = shown.id AND NOT $4::boolean), '[]'),"
	" 'next', CASE WHEN (SELECT count(*) FROM page) > $6::bigint"
	"  THEN (SELECT max(id) FROM shown) END)::text FROM span";

struct reading {
	usage_log_done done;
	void *userdata;
};

static void answer(const void *context, const struct error *err, const PGresult *result)
{
	const struct reading *reading = context;
	_cleanup_json_ json_t *usage = NULL;
	struct error no_memory = ERROR_INIT;

	if (!result) {
		reading->done(reading->userdata, err, NULL);
		return;
	}
	usage = json_loads(PQgetvalue(result, 0, 0), 0, NULL);
	if (!usage)
		error_set(&no_memory, -ENOMEM, "internal", NULL, "out of memory");
	reading->done(reading->userdata, usage ? err : &no_memory, usage);
}

int usage_log_read(struct archive *archive, const struct usage_query *query, usage_log_done done,
		   void *userdata)
{
	const struct reading reading = { done, userdata };
	char since[24], until[24], limit[24];
	const char *const values[] = { query->since > 0 ? since : NULL,
				       query->until > 0 ? until : NULL,
				       query->customer,
				       query->by_customer ? "true" : "false",
				       query->after,
				       limit };

	(void)snprintf(since, sizeof(since), "%" PRId64, query->since);
	(void)snprintf(until, sizeof(until), "%" PRId64, query->until);
	(void)snprintf(limit, sizeof(limit), "%u", query->limit);
	return archive_ask(archive, sql, ARRAY_SIZE(values), values, answer, &reading,
			   sizeof(reading));
}
