/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is asked of a host, and how it says that it is over. */
#include "proto/log_session.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

json_t *log_session_encode(const struct log_session *session)
{
	json_t *json = json_pack("{s:s}", "id", session->id);
	int r = 0;

	if (!json || !session->environment[0])
		return json;
	r |= json_object_set_new(json, "environment", json_string(session->environment));
	r |= json_object_set_new(json, "follow", json_boolean(session->follow));
	r |= json_object_set_new(json, "timestamps", json_boolean(session->timestamps));
	if (session->tail != LOG_TAIL_ALL)
		r |= json_object_set_new(json, "tail", json_integer((json_int_t)session->tail));
	if (session->since > 0)
		r |= json_object_set_new(json, "since", json_integer(session->since));
	if (r == 0)
		return json;
	json_decref(json);
	return NULL;
}

/* Letters and digits: it stands in paths. */
static void read_id(struct json_reader *reader, char ret[LOG_SESSION_ID_MAX + 1])
{
	const char *id = NULL;

	if (json_read_string(reader, "id", JSON_REQUIRED, LOG_SESSION_ID_MAX, &id) < 0)
		return;
	if (!*id || strspn(id, "abcdefghijklmnopqrstuvwxyz0123456789") != strlen(id))
		json_reader_fail(reader, -EINVAL, "invalid", "id", "\"%s\" is no id", id);
	else
		(void)snprintf(ret, LOG_SESSION_ID_MAX + 1, "%s", id);
}

/* It stands in paths as well, behind a host's back. */
static void read_environment(struct json_reader *reader, char ret[ENVIRONMENT_ID_MAX + 1])
{
	const char *text = NULL;

	json_read_string(reader, "environment", JSON_OPTIONAL, ENVIRONMENT_ID_MAX, &text);
	if (reader->status < 0 || !text)
		return;
	if (!*text || strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-") != strlen(text))
		json_reader_fail(reader, -EINVAL, "invalid", "environment",
				 "\"%s\" is no environment", text);
	else
		(void)snprintf(ret, ENVIRONMENT_ID_MAX + 1, "%s", text);
}

int log_session_decode(json_t *json, struct log_session *ret, struct error *err)
{
	struct log_session session = { .tail = LOG_TAIL_ALL };
	struct json_reader reader;
	uint64_t since = 0;
	int r;

	json_reader_init(&reader, json, "", err);
	read_id(&reader, session.id);
	read_environment(&reader, session.environment);
	json_read_bool(&reader, "follow", JSON_OPTIONAL, &session.follow);
	json_read_bool(&reader, "timestamps", JSON_OPTIONAL, &session.timestamps);
	json_read_uint(&reader, "tail", JSON_OPTIONAL, 0, LOG_TAIL_MAX, &session.tail);
	json_read_uint(&reader, "since", JSON_OPTIONAL, 0, INT64_MAX, &since);
	session.since = (int64_t)since;
	r = json_reader_finish(&reader);
	if (r == 0)
		*ret = session;
	return r;
}

json_t *log_end_encode(const struct log_end *end)
{
	return json_pack("{s:s, s:o}", "code", end->code, "message", json_text(end->message));
}

int log_end_decode(json_t *json, struct log_end *ret, struct error *err)
{
	const char *code = "", *message = "";
	struct json_reader reader;
	int r;

	json_reader_init(&reader, json, "", err);
	json_read_string(&reader, "code", JSON_REQUIRED, LOG_CODE_MAX, &code);
	json_read_string(&reader, "message", JSON_REQUIRED, ERROR_MESSAGE_MAX - 1, &message);
	r = json_reader_finish(&reader);
	if (r < 0)
		return r;
	(void)snprintf(ret->code, sizeof(ret->code), "%s", code);
	(void)snprintf(ret->message, sizeof(ret->message), "%s", message);
	return 0;
}
