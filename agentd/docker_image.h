/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Makes an image be there: looks, and pulls it where it is missing. */
#pragma once

#include "agentd/docker_api.h"

struct docker_image;

struct docker_image_events {
	/* "12%", each time that it changes. */
	void (*on_progress)(void *userdata, const char *text);
	/* Exactly once, from the loop. */
	void (*on_done)(void *userdata, int error, const char *message);
};

/* The object lives until docker_image_free, which may be called in on_done, and ends it. */
int docker_image_ensure(struct docker_image **ret, struct docker_api *api, const char *image,
			const struct docker_image_events *events, void *userdata) _must_check_;
void docker_image_free(struct docker_image *image); /* NULL is fine */

DEFINE_CLEANUP(struct docker_image *, docker_image_free, cleanup_docker_image)
