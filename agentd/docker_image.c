/* SPDX-License-Identifier: GPL-2.0-or-later */
/* GET /images/NAME/json, and POST /images/create with its stream of progress. */
#include "agentd/docker_image.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "agentd/image_reference.h"
#include "agentd/pull_progress.h"

/* A pull without a byte for so long is dead. Unpacking a large layer is silent for a while. */
#define PULL_IDLE_MS 600000

struct docker_image {
	struct docker_api *api;
	char *name;
	struct image_reference reference;
	struct docker_image_events events;
	void *userdata;
	uint64_t call;
	struct pull_progress progress;
	int percent; /* told last */
};

static void finish(struct docker_image *image, int error, const char *message)
{
	image->call = 0;
	image->events.on_done(image->userdata, error, message);
}

static int on_pull_line(json_t *line, void *userdata)
{
	struct docker_image *image = userdata;
	char text[16];
	int percent;

	pull_progress_feed(&image->progress, line);
	percent = pull_progress_percent(&image->progress);
	if (percent >= 0 && percent != image->percent) {
		image->percent = percent;
		snprintf(text, sizeof(text), "%d%%", percent);
		image->events.on_progress(image->userdata, text);
	}
	return 0;
}

static void on_pulled(const struct docker_reply *reply, void *userdata)
{
	struct docker_image *image = userdata;
	const char *reason = image->progress.error[0] ? image->progress.error : reply->message;
	char message[1024];

	if (reply->error == 0 && image->progress.error[0] == '\0') {
		finish(image, 0, "");
		return;
	}
	snprintf(message, sizeof(message),
		 "image '%s' is not on this host and cannot be pulled: %s", image->name, reason);
	finish(image, reply->error < 0 ? reply->error : -ENOENT, message);
}

static int pull(struct docker_image *image)
{
	_cleanup_free_ char *repository = docker_escape(image->reference.repository);
	_cleanup_free_ char *tag = docker_escape(image->reference.tag);
	_cleanup_free_ char *path = NULL;

	if (!repository || !tag ||
	    asprintf(&path, "/images/create?fromImage=%s&tag=%s", repository, tag) < 0)
		return -ENOMEM;
	image->percent = -1;
	image->events.on_progress(image->userdata, "");
	return docker_api_call(image->api,
			       &(struct docker_call){
				       .operation = "pull",
				       .method = "POST",
				       .path = path,
				       .idle_timeout_ms = PULL_IDLE_MS,
				       .on_line = on_pull_line,
				       .on_done = on_pulled,
				       .userdata = image,
			       },
			       &image->call);
}

static void on_inspected(const struct docker_reply *reply, void *userdata)
{
	struct docker_image *image = userdata;
	int r = reply->error;

	if (r == -ENOENT) {
		r = pull(image);
		if (r == 0)
			return;
	}
	finish(image, r, reply->error == r ? reply->message : strerror(-r));
}

int docker_image_ensure(struct docker_image **ret, struct docker_api *api, const char *name,
			const struct docker_image_events *events, void *userdata)
{
	_cleanup_(cleanup_docker_image) struct docker_image *image = calloc(1, sizeof(*image));
	_cleanup_free_ char *escaped = docker_escape(name);
	_cleanup_free_ char *path = NULL;
	int r;

	if (!image || !escaped || asprintf(&path, "/images/%s/json", escaped) < 0)
		return -ENOMEM;
	image->api = api;
	image->events = *events;
	image->userdata = userdata;
	image->name = strdup(name);
	if (!image->name)
		return -ENOMEM;
	r = image_reference_parse(name, &image->reference);
	if (r < 0)
		return r;
	r = docker_api_call(api,
			    &(struct docker_call){
				    .operation = "inspect_image",
				    .path = path,
				    .quiet = true,
				    .on_done = on_inspected,
				    .userdata = image,
			    },
			    &image->call);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(image);
	return 0;
}

void docker_image_free(struct docker_image *image)
{
	if (!image)
		return;
	docker_api_cancel(image->api, image->call);
	free(image->name);
	free(image);
}
