/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How far the pull of an image is, from the engine's stream of messages about its layers. */
#pragma once

#include "lib/json.h"
#include "lib/util.h"

#define PULL_LAYERS_MAX 256 /* Docker's own limit is 127 */

struct pull_layer {
	char id[16];
	uint64_t current, total; /* bytes downloaded */
	bool done;
};

/* Plain data; all zero at first. */
struct pull_progress {
	struct pull_layer layers[PULL_LAYERS_MAX];
	size_t n_layers;
	char error[256]; /* the engine's sentence, once the pull has failed */
};

/* Takes one message; what is not understood changes nothing. */
void pull_progress_feed(struct pull_progress *progress, json_t *message);

/* 0…100 by bytes of the layers whose size is known, all of them counted alike before that. -1
 * while no layer is known. Never 100 before every layer is done. */
int pull_progress_percent(const struct pull_progress *progress);
