/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Connect, subscribe, list, inspect. The stream is asked for events since a moment before the list,
 * so that nothing falls between the two; what is told twice is inspected twice, and changes
 * nothing.
 */
#include "agentd/docker_observer.h"

#include <errno.h>
#include <event2/event_struct.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define HASH_NONFATAL_OOM 1
#include <uthash.h>
#include <utlist.h>

#include "agentd/docker_container.h"
#include "lib/backoff.h"
#include "lib/clock.h"
#include "lib/loop.h"

#define LIST_MS 60000
#define INSPECTS_MAX 16 /* at the same time */
#define OVERLAP_S 2     /* of the event stream with the time before it */

struct watched {
	struct docker_observer *observer;
	char *id;
	char *environment; /* NULL until it was inspected and is ours */
	uint64_t call;     /* inspect under way; 0: none */
	bool dirty;        /* in the queue */
	bool listed;       /* part of the list that is being worked off */
	void (*on_fresh)(void *userdata);
	void *userdata;
	struct watched *prev, *next; /* the queue */
	UT_hash_handle hh;
};

struct docker_observer {
	struct docker_api *api;
	struct volumes *volumes;
	char *host;
	uint32_t list_ms;
	struct driver_events events;
	void *userdata;
	struct event retry, relist;
	struct event pump_soon; /* a stream's callback must not end the stream, and pump() may */
	struct backoff backoff;
	bool answering; /* told so by on_engine(NULL) */
	bool listing;   /* from the list's call to the last of its inspects */
	uint64_t connect_call, stream_call, list_call;
	struct watched *watched; /* by id */
	struct watched *queue;   /* dirty ones */
	unsigned inspecting, unlisted;
};

static void pump(struct docker_observer *observer);
static void disconnect(struct docker_observer *observer, const char *why);

static void watched_free(struct docker_observer *observer, struct watched *watched)
{
	if (watched->dirty)
		DL_DELETE(observer->queue, watched);
	if (watched->call) {
		docker_api_cancel(observer->api, watched->call);
		observer->inspecting--;
	}
	if (watched->listed)
		observer->unlisted--;
	HASH_DEL(observer->watched, watched);
	free(watched->id);
	free(watched->environment);
	free(watched);
}

static struct watched *watched_get(struct docker_observer *observer, const char *id)
{
	struct watched *watched;

	HASH_FIND_STR(observer->watched, id, watched);
	if (watched)
		return watched;
	watched = calloc(1, sizeof(*watched));
	if (!watched)
		return NULL;
	watched->observer = observer;
	watched->id = strdup(id);
	if (watched->id)
		HASH_ADD_KEYPTR(hh, observer->watched, watched->id, strlen(watched->id), watched);
	if (!watched->id || !watched->hh.tbl) {
		free(watched->id);
		free(watched);
		return NULL;
	}
	return watched;
}

static void mark_dirty(struct docker_observer *observer, struct watched *watched)
{
	if (watched->dirty)
		return;
	watched->dirty = true;
	DL_APPEND(observer->queue, watched);
}

/* ---- the list is done when all of its containers have been inspected ---- */

static void check_synced(struct docker_observer *observer)
{
	if (!observer->listing || observer->list_call || observer->unlisted > 0)
		return;
	observer->listing = false;
	backoff_reset(&observer->backoff);
	(void)loop_timer_arm(&observer->relist, observer->list_ms);
	observer->events.on_synced(observer->userdata);
	if (observer->answering)
		return;
	observer->answering = true;
	observer->events.on_engine(observer->userdata, NULL);
}

static void settle(struct docker_observer *observer, struct watched *watched)
{
	if (!watched->listed)
		return;
	watched->listed = false;
	observer->unlisted--;
}

/* The look that a waiter waits for is the one that began after it asked. */
static void tell_waiter(struct watched *watched)
{
	void (*on_fresh)(void *userdata) = watched->on_fresh;

	if (!on_fresh || watched->dirty || watched->call)
		return;
	watched->on_fresh = NULL;
	on_fresh(watched->userdata);
}

static void forget_container(struct docker_observer *observer, struct watched *watched)
{
	void (*on_fresh)(void *userdata) = watched->on_fresh;
	_cleanup_free_ char *environment = TAKE_PTR(watched->environment);
	_cleanup_free_ char *id = strdup(watched->id);
	void *userdata = watched->userdata;

	watched_free(observer, watched);
	if (environment && id)
		observer->events.on_gone(observer->userdata, environment, id);
	if (on_fresh)
		on_fresh(userdata);
}

static int take_instance(struct docker_observer *observer, struct watched *watched, json_t *json)
{
	struct instance instance;
	int r;

	r = docker_container_parse(json, observer->host, &instance);
	if (r < 0)
		return r;
	instance.stopped_on_request =
		volumes_held(observer->volumes, instance.environment, instance.started);
	if (!watched->environment)
		watched->environment = strdup(instance.environment);
	observer->events.on_instance(observer->userdata, &instance);
	instance_clear(&instance);
	return 0;
}

/* A list with a hole in it would make us act on what we do not know: begin again instead. */
static void on_inspect_failed(struct docker_observer *observer, struct watched *watched,
			      const struct docker_reply *reply, int r)
{
	char reason[512];

	snprintf(reason, sizeof(reason), "cannot inspect container %.12s: %s", watched->id,
		 reply->error < 0 ? reply->message : strerror(-r));
	mark_dirty(observer, watched);
	disconnect(observer, reason);
}

static void on_inspected(const struct docker_reply *reply, void *userdata)
{
	struct watched *watched = userdata;
	struct docker_observer *observer = watched->observer;
	int r = reply->error;

	watched->call = 0;
	observer->inspecting--;
	if (r == 0)
		r = take_instance(observer, watched, reply->json);
	if (r < 0 && r != -ENOENT) {
		on_inspect_failed(observer, watched, reply, r);
		return;
	}
	settle(observer, watched);
	if (r == -ENOENT && !watched->dirty)
		forget_container(observer, watched);
	else
		tell_waiter(watched);
	check_synced(observer);
	pump(observer);
}

static int inspect(struct docker_observer *observer, struct watched *watched)
{
	_cleanup_free_ char *path = NULL;
	int r;

	if (asprintf(&path, "/containers/%s/json", watched->id) < 0)
		return -ENOMEM;
	r = docker_api_call(observer->api,
			    &(struct docker_call){
				    .operation = "inspect",
				    .path = path,
				    .quiet = true,
				    .on_done = on_inspected,
				    .userdata = watched,
			    },
			    &watched->call);
	if (r == 0)
		observer->inspecting++;
	return r;
}

/* Starts inspects as far as the limit allows. One that cannot be started is left to the next list.
 */
static void pump(struct docker_observer *observer)
{
	struct watched *watched, *next;

	DL_FOREACH_SAFE(observer->queue, watched, next)
	{
		if (observer->inspecting >= INSPECTS_MAX)
			return;
		if (watched->call)
			continue;
		DL_DELETE(observer->queue, watched);
		watched->dirty = false;
		if (inspect(observer, watched) == 0)
			continue;
		disconnect(observer, strerror(ENOMEM));
		return;
	}
}

/* ---- the list ---- */

static void add_to_list(struct docker_observer *observer, struct watched *watched)
{
	if (!watched->listed)
		observer->unlisted++;
	watched->listed = true;
	mark_dirty(observer, watched);
}

/* What was known and is not listed any more is inspected too, and found to be gone. */
static void on_listed(const struct docker_reply *reply, void *userdata)
{
	struct docker_observer *observer = userdata;
	struct watched *watched, *next;
	json_t *item;
	size_t i;

	observer->list_call = 0;
	if (reply->error < 0) {
		disconnect(observer, reply->message);
		return;
	}
	json_array_foreach (reply->json, i, item) {
		const char *id = json_string_value(json_object_get(item, "Id"));

		if (id && !watched_get(observer, id)) {
			disconnect(observer, strerror(ENOMEM));
			return;
		}
	}
	HASH_ITER (hh, observer->watched, watched, next)
		add_to_list(observer, watched);
	pump(observer);
	check_synced(observer);
}

/* {"label":["portico.host=NAME"]} as a query value. */
static char *host_filter(const struct docker_observer *observer, bool events)
{
	_cleanup_free_ char *text = NULL;
	_cleanup_json_ json_t *json =
		json_pack("{s:[o]}", "label", json_sprintf(LABEL_HOST "=%s", observer->host));

	if (!json ||
	    (events && json_object_set_new(json, "type", json_pack("[s]", "container")) < 0))
		return NULL;
	text = json_encode(json);
	return text ? docker_escape(text) : NULL;
}

static int list(struct docker_observer *observer)
{
	_cleanup_free_ char *filter = host_filter(observer, false);
	_cleanup_free_ char *path = NULL;
	int r;

	if (!filter || asprintf(&path, "/containers/json?all=1&filters=%s", filter) < 0)
		return -ENOMEM;
	r = docker_api_call(observer->api,
			    &(struct docker_call){
				    .operation = "list",
				    .path = path,
				    .on_done = on_listed,
				    .userdata = observer,
			    },
			    &observer->list_call);
	if (r == 0)
		observer->listing = true;
	return r;
}

/* ---- the event stream ---- */

static int on_event(json_t *event, void *userdata)
{
	struct docker_observer *observer = userdata;
	const char *id = json_string_value(json_object_get(json_object_get(event, "Actor"), "ID"));
	struct watched *watched;

	if (!id)
		return 0;
	watched = watched_get(observer, id);
	if (!watched)
		return -ENOMEM;
	mark_dirty(observer, watched);
	return loop_timer_arm(&observer->pump_soon, 0);
}

static void pump_now(evutil_socket_t fd, short what, void *userdata)
{
	pump(userdata);
}

static void on_stream_end(const struct docker_reply *reply, void *userdata)
{
	struct docker_observer *observer = userdata;

	observer->stream_call = 0;
	disconnect(observer, reply->error < 0 ? reply->message : "Docker ended its event stream");
}

static int subscribe(struct docker_observer *observer)
{
	_cleanup_free_ char *filter = host_filter(observer, true);
	_cleanup_free_ char *path = NULL;

	if (!filter || asprintf(&path, "/events?since=%" PRId64 "&filters=%s",
				clock_unix_seconds() - OVERLAP_S, filter) < 0)
		return -ENOMEM;
	return docker_api_call(observer->api,
			       &(struct docker_call){
				       .operation = "events",
				       .path = path,
				       .on_line = on_event,
				       .on_done = on_stream_end,
				       .userdata = observer,
			       },
			       &observer->stream_call);
}

/* ---- the connection ---- */

static void on_connected(const struct docker_reply *reply, void *userdata)
{
	struct docker_observer *observer = userdata;
	int r;

	observer->connect_call = 0;
	if (reply->error < 0) {
		disconnect(observer, reply->message);
		return;
	}
	r = subscribe(observer);
	if (r == 0)
		r = list(observer);
	if (r < 0)
		disconnect(observer, strerror(-r));
}

static void connect_now(evutil_socket_t fd, short what, void *userdata)
{
	struct docker_observer *observer = userdata;
	int r;

	r = docker_api_connect(observer->api, on_connected, observer, &observer->connect_call);
	if (r < 0)
		disconnect(observer, strerror(-r));
}

/* Everything under way is given up, and begun again later. What is known stays known. */
static void disconnect(struct docker_observer *observer, const char *why)
{
	char reason[512];

	if (event_pending(&observer->retry, EV_TIMEOUT, NULL))
		return;
	snprintf(reason, sizeof(reason), "%s", why);
	docker_api_cancel(observer->api, observer->connect_call);
	docker_api_cancel(observer->api, observer->stream_call);
	docker_api_cancel(observer->api, observer->list_call);
	observer->connect_call = observer->stream_call = observer->list_call = 0;
	observer->listing = false;
	event_del(&observer->relist);
	(void)loop_timer_arm(&observer->retry, backoff_next_ms(&observer->backoff));
	observer->answering = false;
	observer->events.on_engine(observer->userdata, reason);
}

static void relist_now(evutil_socket_t fd, short what, void *userdata)
{
	struct docker_observer *observer = userdata;
	int r;

	if (observer->listing || !observer->stream_call)
		return;
	r = list(observer);
	if (r < 0)
		disconnect(observer, strerror(-r));
}

/* ---- public ---- */

int docker_observer_new(struct docker_observer **ret, const struct docker_observer_config *config,
			const struct driver_events *events, void *userdata)
{
	_cleanup_(cleanup_docker_observer) struct docker_observer *observer =
		calloc(1, sizeof(*observer));

	if (!observer)
		return -ENOMEM;
	observer->api = config->api;
	observer->volumes = config->volumes;
	observer->list_ms = config->list_ms ? config->list_ms : LIST_MS;
	observer->events = *events;
	observer->userdata = userdata;
	observer->backoff = (struct backoff){ .first_ms = 200, .max_ms = 15000 };
	evtimer_assign(&observer->retry, config->base, connect_now, observer);
	evtimer_assign(&observer->relist, config->base, relist_now, observer);
	evtimer_assign(&observer->pump_soon, config->base, pump_now, observer);
	observer->host = strdup(config->host);
	if (!observer->host || loop_timer_arm(&observer->retry, 0) < 0)
		return -ENOMEM;
	*ret = TAKE_PTR(observer);
	return 0;
}

void docker_observer_free(struct docker_observer *observer)
{
	struct watched *watched, *next;

	if (!observer)
		return;
	docker_api_cancel(observer->api, observer->connect_call);
	docker_api_cancel(observer->api, observer->stream_call);
	docker_api_cancel(observer->api, observer->list_call);
	HASH_ITER (hh, observer->watched, watched, next)
		watched_free(observer, watched);
	event_del(&observer->retry);
	event_del(&observer->relist);
	event_del(&observer->pump_soon);
	free(observer->host);
	free(observer);
}

int docker_observer_refresh(struct docker_observer *observer, const char *id,
			    void (*on_fresh)(void *userdata), void *userdata)
{
	struct watched *watched = watched_get(observer, id);

	if (!watched)
		return -ENOMEM;
	watched->on_fresh = on_fresh;
	watched->userdata = userdata;
	mark_dirty(observer, watched);
	pump(observer);
	return 0;
}

void docker_observer_forget(struct docker_observer *observer, const char *id)
{
	struct watched *watched;

	HASH_FIND_STR(observer->watched, id, watched);
	if (watched)
		watched->on_fresh = NULL;
}

void docker_observer_relist(struct docker_observer *observer)
{
	(void)loop_timer_arm(&observer->relist, 0);
}
