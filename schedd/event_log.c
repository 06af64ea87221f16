/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The query for events, and its rows as JSON. */
#include "schedd/event_log.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

/* Along the primary key, in either direction. The database makes the JSON; one row more than is
 * asked for tells whether there are others. */
#define SELECT                                                                                     \
	"SELECT json_build_object('id', id, 'at',"                                                 \
	" to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"'), 'revision', revision," \
	" 'actor', actor, 'kind', subject_kind, 'subject', subject, 'customer', customer,"         \
	" 'action', action, 'message', message)::text FROM events WHERE id > $1 AND id < $2"       \
	" AND ($3::text IS NULL OR subject_kind = $3) AND ($4::text IS NULL OR subject = $4)"      \
	" AND ($5::text IS NULL OR actor = $5) AND ($6::text IS NULL OR action = $6)"              \
	" AND ($7::text IS NULL OR customer = $7) AND ($8::bigint IS NULL OR revision > $8)"
#define FORWARD SELECT " ORDER BY id LIMIT $9"
#define BACKWARD SELECT " ORDER BY id DESC LIMIT $9"

struct reading {
	event_log_done done;
	void *userdata;
	unsigned wanted;
	bool forward;
};

/* In the order of ids, whichever way they were read. */
static json_t *items_of(const struct reading *reading, const PGresult *result, int n)
{
	json_t *items = json_array();

	for (int i = 0; items && i < n; i++) {
		const char *text = PQgetvalue(result, reading->forward ? i : n - 1 - i, 0);

		if (json_array_append_new(items, json_loads(text, 0, NULL)) < 0) {
			json_decref(items);
			items = NULL;
		}
	}
	return items;
}

static void answer(const void *context, const struct error *err, const PGresult *result)
{
	const struct reading *reading = context;
	_cleanup_json_ json_t *items = NULL;
	struct error no_memory = ERROR_INIT;
	int n;

	if (!result) {
		reading->done(reading->userdata, err, NULL, false);
		return;
	}
	n = MIN(PQntuples(result), (int)reading->wanted);
	items = items_of(reading, result, n);
	if (!items)
		error_set(&no_memory, -ENOMEM, "internal", NULL, "out of memory");
	reading->done(reading->userdata, items ? err : &no_memory, items, PQntuples(result) > n);
}

int event_log_read(struct archive *archive, const struct event_query *query, event_log_done done,
		   void *userdata)
{
	const struct reading reading = { done, userdata, query->limit, query->forward };
	char after[24], before[24], revision[24], limit[24];
	const char *const values[] = {
		after,        before,        query->kind,     query->subject,
		query->actor, query->action, query->customer, query->revision > 0 ? revision : NULL,
		limit
	};

	(void)snprintf(after, sizeof(after), "%" PRId64, query->after);
	(void)snprintf(before, sizeof(before), "%" PRId64,
		       query->before > 0 ? query->before : INT64_MAX);
	(void)snprintf(revision, sizeof(revision), "%" PRIu64, query->revision);
	(void)snprintf(limit, sizeof(limit), "%u", query->limit + 1);
	return archive_ask(archive, query->forward ? FORWARD : BACKWARD, ARRAY_SIZE(values), values,
			   answer, &reading, sizeof(reading));
}
