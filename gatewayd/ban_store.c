/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Bans in the state file: what was kept is read at the start, and each request that the kernel has
 * is noted.
 */
#include "gatewayd/ban_store.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* ---- reading ---- */

static int lift(const json_t *json, struct bans *bans)
{
	const char *text = json_string_value(json_object_get(json, "source"));
	struct prefix source;
	int r;

	if (!text || prefix_parse(text, &source) < 0)
		return 0;
	r = bans_remove(bans, &source);
	return r == -ENOENT ? 0 : r;
}

/* What has ended meanwhile goes when all is read. */
static int on_ban(json_t *json, bool lifted, void *userdata)
{
	struct bans *bans = userdata;
	struct ban ban;
	int r;

	if (lifted)
		return lift(json, bans);
	if (ban_decode(json, "", 0, &ban, NULL) < 0)
		return 0;
	r = bans_put(bans, &ban, NULL);
	return r == -ENOSPC ? 0 : r;
}

static int on_put(struct mapping *mapping, void *userdata)
{
	return 0;
}

static int on_delete(const struct mapping_key *key, void *userdata)
{
	return 0;
}

static void on_unreadable(const char *text, const struct error *err, void *userdata)
{
	/* said by whoever reads the mappings */
}

int ban_store_read(const struct state *state, int64_t now, struct bans *ret)
{
	struct bans bans = BANS_INIT;
	const struct state_handlers handlers = {
		.on_put = on_put,
		.on_delete = on_delete,
		.on_ban = on_ban,
		.on_unreadable = on_unreadable,
		.userdata = &bans,
	};
	int r;

	r = state_replay(state, false, &handlers);
	if (r < 0) {
		bans_clear(&bans);
		return r;
	}
	(void)bans_expire(&bans, now);
	*ret = bans;
	return 0;
}

/* ---- writing ---- */

static size_t write_ban(size_t index, char buffer[STATE_BAN_MAX], void *userdata)
{
	const struct ban_keeper *keeper = userdata;
	_cleanup_json_ json_t *json = NULL;
	_cleanup_free_ char *text = NULL;
	size_t length;

	if (index >= keeper->bans.n)
		return 0;
	json = ban_encode(keeper->bans.items[index]);
	text = json ? json_encode(json) : NULL;
	length = text ? strlen(text) : 0;
	if (length == 0 || length >= STATE_BAN_MAX)
		return 0;
	memcpy(buffer, text, length + 1);
	return length;
}

static void note(struct state *state, json_t *taken, bool lifted)
{
	_cleanup_json_ json_t *json = taken;
	_cleanup_free_ char *text = json ? json_encode(json) : NULL;

	if (text)
		state_note_ban(state, text, lifted);
}

static void note_lifted(struct state *state, const char *source)
{
	note(state, json_pack("{s:s}", "source", source), true);
}

static void on_request(const struct ban_request *request, void *userdata)
{
	struct state *state = userdata;
	char source[PREFIX_STRING_MAX];

	switch (request->action) {
	case BAN_REMOVE:
		note_lifted(state, prefix_format(&request->source, source));
		return;
	case BAN_REPLACE:
		note_lifted(state, "0.0.0.0/0");
		note_lifted(state, "::/0");
		break;
	case BAN_PUT:
		break;
	}
	for (size_t i = 0; i < request->bans.n; i++)
		note(state, ban_encode(request->bans.items[i]), false);
}

void ban_store_attach(struct state *state, struct ban_keeper *keeper)
{
	state_set_bans(state, write_ban, keeper);
	keeper->on_request = on_request;
	keeper->userdata = state;
}
