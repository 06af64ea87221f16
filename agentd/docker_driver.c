/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The driver's steps as chains of calls to Docker. An operation ends in one of two ways: finish(),
 * once what it did has been observed, or cancel. All steps may be repeated after a kill at any
 * point.
 */
#include "agentd/docker_driver.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <utlist.h>

#include "agentd/docker_api.h"
#include "agentd/docker_container.h"
#include "agentd/docker_image.h"
#include "agentd/docker_logs.h"
#include "agentd/docker_network.h"
#include "agentd/docker_observer.h"
#include "agentd/docker_seed.h"
#include "agentd/volumes.h"
#include "lib/loop.h"

/* From SIGTERM to SIGKILL. */
#define STOP_GRACE "10"
#define VOLUME_FOLDER "/gemini"

struct docker_driver {
	struct driver driver;
	struct docker_api *api;
	struct docker_observer *observer;
	struct volumes *volumes;
	struct event_base *base;
	char *host;
	struct address address;
	struct driver_operation *operations;
	struct driver_operation *networking; /* looks for the network, or makes it */
};

struct driver_operation {
	struct docker_driver *driver;
	struct driver_request request;
	char *id; /* the container's */
	uint64_t call;
	struct docker_image *image;
	struct docker_network *network;
	bool wants_network; /* waits until nobody else is at it */
	struct docker_seed *seed;
	bool unmarked;      /* it could not be marked as stopped, */
	struct error held;  /* and why */
	struct event begin; /* on_done must not run inside run */
	bool refreshing;
	int error; /* kept while the container is observed */
	char message[600];
	struct driver_operation *prev, *next;
};

static struct docker_driver *docker_of(struct driver *driver)
{
	return (struct docker_driver *)driver;
}

static void pass_network_on(struct driver_operation *operation);

static void operation_free(struct driver_operation *operation)
{
	DL_DELETE(operation->driver->operations, operation);
	pass_network_on(operation);
	event_del(&operation->begin);
	docker_api_cancel(operation->driver->api, operation->call);
	docker_image_free(operation->image);
	docker_network_free(operation->network);
	docker_seed_free(operation->seed);
	if (operation->refreshing)
		docker_observer_forget(operation->driver->observer, operation->id);
	free(operation->id);
	free(operation);
}

static void finish(struct driver_operation *operation)
{
	const struct driver_request request = operation->request;
	char message[sizeof(operation->message)];
	int error = operation->error;

	memcpy(message, operation->message, sizeof(message));
	operation_free(operation);
	request.on_done(request.userdata, error, message);
}

static void on_fresh(void *userdata)
{
	struct driver_operation *operation = userdata;

	operation->refreshing = false;
	finish(operation);
}

/* The end of every chain. What was done, or done in part, is looked at before it is told. */
static void conclude(struct driver_operation *operation, int error, const char *message)
{
	operation->call = 0;
	operation->error = error;
	snprintf(operation->message, sizeof(operation->message), "%s", message);
	if (operation->id) {
		operation->refreshing = true;
		if (docker_observer_refresh(operation->driver->observer, operation->id, on_fresh,
					    operation) == 0)
			return;
		operation->refreshing = false;
	}
	finish(operation);
}

static void conclude_errno(struct driver_operation *operation, int r, const struct error *err)
{
	conclude(operation, r, error_text(err, r));
}

static int call(struct driver_operation *operation, const char *name, const char *method,
		const char *path, json_t *json,
		void (*on_done)(const struct docker_reply *reply, void *userdata))
{
	return docker_api_call(operation->driver->api,
			       &(struct docker_call){
				       .operation = name,
				       .method = method,
				       .path = path,
				       .json = json,
				       .quiet = true,
				       .on_done = on_done,
				       .userdata = operation,
			       },
			       &operation->call);
}

static void progress(struct driver_operation *operation, enum container_state state,
		     const char *reason)
{
	operation->request.on_progress(operation->request.userdata, state, reason);
}

/* The last call of a chain; nothing follows but the look at the result. */
static void on_last(const struct docker_reply *reply, void *userdata)
{
	conclude(userdata, reply->error, reply->message);
}

/* ---- create: image, network, volumes, container ---- */

static void on_created(const struct docker_reply *reply, void *userdata)
{
	struct driver_operation *operation = userdata;
	const char *id = json_string_value(json_object_get(reply->json, "Id"));

	if (reply->error == 0 && id) {
		operation->id = strdup(id);
		conclude(operation, operation->id ? 0 : -ENOMEM, "");
		return;
	}
	if (reply->error == -EEXIST) {
		/* If it is ours, it was made by a call whose answer we never got. */
		docker_observer_relist(operation->driver->observer);
	}
	conclude(operation, reply->error < 0 ? reply->error : -EPROTO, reply->message);
}

static json_t *make_volumes(struct driver_operation *operation, struct error *err)
{
	const struct assignment *assignment = operation->request.assignment;
	_cleanup_json_ json_t *binds = json_array();
	const char *name;
	json_t *kind;

	json_object_foreach (assignment->spec.volumes, name, kind) {
		_cleanup_free_ char *path = NULL;

		if (volumes_make(operation->driver->volumes, assignment->environment, name,
				 volume_kind_parse(json_string_value(kind)), &path, err) < 0)
			return NULL;
		if (json_array_append_new(binds,
					  json_sprintf("%s:" VOLUME_FOLDER "/%s", path, name)) < 0)
			return NULL;
	}
	return TAKE_PTR(binds);
}

static int create_container(struct driver_operation *operation, struct error *err)
{
	const struct driver_request *request = &operation->request;
	_cleanup_json_ json_t *binds = make_volumes(operation, err);
	_cleanup_json_ json_t *body = NULL;
	char path[96];

	if (!binds)
		return err->errnum ? err->errnum : -ENOMEM;
	body = docker_container_body(&(struct docker_container_config){
		.assignment = request->assignment,
		.digest = request->digest,
		.epoch = request->epoch,
		.host = operation->driver->host,
		.address = &operation->driver->address,
		.binds = binds,
	});
	if (!body)
		return -ENOMEM;
	snprintf(path, sizeof(path), "/containers/create?name=%s", request->environment);
	return call(operation, "create", "POST", path, body, on_created);
}

static void on_network(void *userdata, int error, const char *message)
{
	struct driver_operation *operation = userdata;
	struct error err = ERROR_INIT;
	int r;

	docker_network_free(TAKE_PTR(operation->network));
	pass_network_on(operation);
	if (error < 0) {
		conclude(operation, error, message);
		return;
	}
	r = create_container(operation, &err);
	if (r < 0)
		conclude_errno(operation, r, &err);
}

static int ensure_network(struct driver_operation *operation)
{
	struct docker_driver *driver = operation->driver;
	int r = docker_network_ensure(&operation->network, driver->api, on_network, operation);

	operation->wants_network = false;
	driver->networking = r < 0 ? NULL : operation;
	return r;
}

/* One at a time: of two that do not find it, each makes one, and Docker takes both. */
static int begin_network(struct driver_operation *operation)
{
	if (!operation->driver->networking)
		return ensure_network(operation);
	operation->wants_network = true;
	return 0;
}

static void pass_network_on(struct driver_operation *operation)
{
	struct driver_operation *next, *tmp;
	int r;

	if (operation->driver->networking != operation)
		return;
	operation->driver->networking = NULL;
	DL_FOREACH_SAFE(operation->driver->operations, next, tmp)
	{
		if (!next->wants_network)
			continue;
		r = ensure_network(next);
		if (r == 0)
			return;
		conclude_errno(next, r, NULL);
	}
}

static void on_image(void *userdata, int error, const char *message)
{
	struct driver_operation *operation = userdata;
	int r;

	if (error < 0) {
		conclude(operation, error, message);
		return;
	}
	docker_image_free(TAKE_PTR(operation->image));
	progress(operation, CONTAINER_CREATING, "");
	r = begin_network(operation);
	if (r < 0)
		conclude_errno(operation, r, NULL);
}

static void on_pull(void *userdata, const char *text)
{
	char reason[64];

	snprintf(reason, sizeof(reason), "pulling%s%s", text[0] ? " " : "", text);
	progress(userdata, CONTAINER_PULLING, reason);
}

static int begin_create(struct driver_operation *operation)
{
	static const struct docker_image_events events = {
		.on_progress = on_pull,
		.on_done = on_image,
	};

	return docker_image_ensure(&operation->image, operation->driver->api,
				   operation->request.assignment->spec.image, &events, operation);
}

/* ---- start: what never ran is finished first ---- */

static int start_container(struct driver_operation *operation)
{
	char path[128];

	snprintf(path, sizeof(path), "/containers/%s/start", operation->id);
	return call(operation, "start", "POST", path, NULL, on_last);
}

static void on_seeded(void *userdata, int error, const char *message)
{
	struct driver_operation *operation = userdata;
	int r;

	if (error < 0) {
		conclude(operation, error, message);
		return;
	}
	docker_seed_free(TAKE_PTR(operation->seed));
	r = start_container(operation);
	if (r < 0)
		conclude_errno(operation, r, NULL);
}

static void on_start_inspected(const struct docker_reply *reply, void *userdata)
{
	struct driver_operation *operation = userdata;
	struct instance instance;
	int r = reply->error;

	if (r < 0) {
		conclude(operation, r, reply->message);
		return;
	}
	r = docker_container_parse(reply->json, operation->driver->host, &instance);
	if (r < 0) {
		conclude(operation, r, "the container is not ours any more");
		return;
	}
	if (instance.status == INSTANCE_CREATED)
		r = docker_seed_start(&operation->seed, operation->driver->api,
				      operation->driver->volumes, operation->id,
				      operation->request.assignment, on_seeded, operation);
	else
		r = start_container(operation);
	instance_clear(&instance);
	if (r < 0)
		conclude_errno(operation, r, NULL);
}

/* Whether it ever ran is asked again: the answer decides whether its files are written to. */
static int begin_start(struct driver_operation *operation)
{
	char path[128];

	snprintf(path, sizeof(path), "/containers/%s/json", operation->id);
	return call(operation, "inspect", "GET", path, NULL, on_start_inspected);
}

/* ---- stop and remove ---- */

static void on_stopped(const struct docker_reply *reply, void *userdata)
{
	struct driver_operation *operation = userdata;

	if (reply->error < 0 || !operation->unmarked)
		on_last(reply, operation);
	else
		conclude_errno(operation, operation->held.errnum, &operation->held);
}

/* A disk that takes no mark keeps nothing from being stopped: where a lease is over it runs
 * elsewhere in a moment. But the step has failed then, and is tried again. */
static int begin_stop(struct driver_operation *operation)
{
	char path[128];

	operation->unmarked =
		operation->request.hold &&
		volumes_hold(operation->driver->volumes, operation->request.environment,
			     operation->request.run, &operation->held) < 0;
	snprintf(path, sizeof(path), "/containers/%s/stop?t=" STOP_GRACE, operation->id);
	return call(operation, "stop", "POST", path, NULL, on_stopped);
}

/* That it is gone, or on its way, is what was wanted. */
static void on_removed(const struct docker_reply *reply, void *userdata)
{
	bool done = reply->error == -ENOENT || reply->error == -EEXIST;

	conclude(userdata, done ? 0 : reply->error, done ? "" : reply->message);
}

/* The volumes go first: after a kill between the two, the container is still there to tell. */
static int begin_remove(struct driver_operation *operation, struct error *err)
{
	char path[128];
	int r;

	if (operation->request.purge) {
		r = volumes_discard(operation->driver->volumes, operation->request.environment,
				    err);
		if (r < 0)
			return r;
	}
	if (!operation->id) {
		conclude(operation, 0, "");
		return 0;
	}
	snprintf(path, sizeof(path), "/containers/%s?force=1&v=1", operation->id);
	return call(operation, "remove", "DELETE", path, NULL, on_removed);
}

/* ---- the driver's operations ---- */

static int begin(struct driver_operation *operation, struct error *err)
{
	switch (operation->request.action) {
	case DRIVER_CREATE:
		return begin_create(operation);
	case DRIVER_START:
		return begin_start(operation);
	case DRIVER_STOP:
		return begin_stop(operation);
	case DRIVER_REMOVE:
		return begin_remove(operation, err);
	case DRIVER_ACTION_MAX:
		break;
	}
	return -EINVAL;
}

static void on_begin(evutil_socket_t fd, short what, void *userdata)
{
	struct driver_operation *operation = userdata;
	struct error err = ERROR_INIT;
	int r;

	r = begin(operation, &err);
	if (r < 0)
		conclude_errno(operation, r, &err);
}

static int docker_run(struct driver *driver, const struct driver_request *request,
		      struct driver_operation **ret)
{
	struct docker_driver *docker = docker_of(driver);
	struct driver_operation *operation = calloc(1, sizeof(*operation));

	if (!operation)
		return -ENOMEM;
	operation->driver = docker;
	operation->request = *request;
	evtimer_assign(&operation->begin, docker->base, on_begin, operation);
	DL_APPEND(docker->operations, operation);
	if (request->instance)
		operation->id = strdup(request->instance);
	if ((request->instance && !operation->id) || loop_timer_arm(&operation->begin, 0) < 0) {
		operation_free(operation);
		return -ENOMEM;
	}
	*ret = operation;
	return 0;
}

static void docker_cancel(struct driver *driver, struct driver_operation *operation)
{
	operation_free(operation);
	docker_observer_relist(docker_of(driver)->observer);
}

static int docker_validate(struct driver *driver, const struct assignment *assignment,
			   struct error *err)
{
	const struct environment_spec *spec = &assignment->spec;
	const char *name;
	json_t *kind;

	if (spec->gpu > 0 || spec->gpu_milli > 0)
		return error_set(err, -ENOTSUP, "unsupported", "gpu", "this host has no GPUs");
	if (!volumes_name_valid(assignment->environment))
		return error_set(err, -EINVAL, "invalid", "environment",
				 "'%s' is no name of a container", assignment->environment);
	json_object_foreach (spec->volumes, name, kind) {
		enum volume_kind of = volume_kind_parse(json_string_value(kind));

		if (!volumes_name_valid(name))
			return error_set(err, -EINVAL, "invalid", "volumes",
					 "'%s' is no name of a volume", name);
		if (of == VOLUME_INVALID ||
		    (of == VOLUME_SHARED && !volumes_has_shared(docker_of(driver)->volumes)))
			return error_set(err, -ENOTSUP, "unsupported", "volumes",
					 "volume '%s' is %s, and this host has local volumes only",
					 name, of == VOLUME_SHARED ? "shared" : "of no known kind");
	}
	return 0;
}

static int docker_start(struct driver *driver, const struct driver_events *events, void *userdata)
{
	struct docker_driver *docker = docker_of(driver);

	return docker_observer_new(&docker->observer,
				   &(struct docker_observer_config){
					   .base = docker->base,
					   .api = docker->api,
					   .volumes = docker->volumes,
					   .host = docker->host,
				   },
				   events, userdata);
}

static void docker_free(struct driver *driver)
{
	struct docker_driver *docker = docker_of(driver);
	struct driver_operation *operation, *next;

	DL_FOREACH_SAFE(docker->operations, operation, next)
	operation_free(operation);
	docker_observer_free(docker->observer);
	docker_api_free(docker->api);
	volumes_free(docker->volumes);
	free(docker->host);
	free(docker);
}

static int docker_logs(struct driver *driver, const struct driver_logs_request *request,
		       struct driver_logs **ret)
{
	struct docker_driver *docker = docker_of(driver);

	return docker_logs_read(ret, docker->api, docker->host, request);
}

static const struct driver_ops docker_ops = {
	.free = docker_free,
	.start = docker_start,
	.validate = docker_validate,
	.run = docker_run,
	.cancel = docker_cancel,
	.logs = docker_logs,
	.logs_pause = docker_logs_pause,
	.logs_cancel = docker_logs_cancel,
};

int docker_driver_new(struct driver **ret, const struct docker_driver_config *config,
		      struct error *err)
{
	_cleanup_(cleanup_driver) struct driver *driver = NULL;
	struct docker_driver *docker = calloc(1, sizeof(*docker));
	int r;

	if (!docker)
		return -ENOMEM;
	driver = &docker->driver;
	driver->ops = &docker_ops;
	docker->base = config->base;
	docker->address = config->address;
	docker->host = strdup(config->host);
	if (!docker->host)
		return -ENOMEM;
	r = docker_api_new(&docker->api, config->client, config->docker, config->errors);
	if (r < 0)
		return r;
	r = volumes_new(&docker->volumes, config->data_dir, config->shared_dir, err);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(driver);
	return 0;
}
