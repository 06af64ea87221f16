/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Docker's pull messages: {"id":LAYER,"status":…,"progressDetail":{"current","total"}}. */
#include "agentd/pull_progress.h"

#include <stdio.h>
#include <string.h>

static struct pull_layer *find_layer(struct pull_progress *progress, const char *id)
{
	struct pull_layer *layer;

	for (size_t i = 0; i < progress->n_layers; i++)
		if (strcmp(progress->layers[i].id, id) == 0)
			return &progress->layers[i];
	if (progress->n_layers == PULL_LAYERS_MAX)
		return NULL;
	layer = &progress->layers[progress->n_layers++];
	snprintf(layer->id, sizeof(layer->id), "%s", id);
	return layer;
}

/* The first message of a pull has the tag as its id; layers have twelve hex digits. */
static bool is_layer(const char *id)
{
	return strlen(id) == 12 && strspn(id, "0123456789abcdef") == 12;
}

static uint64_t detail(json_t *message, const char *field)
{
	json_t *value = json_object_get(json_object_get(message, "progressDetail"), field);
	json_int_t number = json_is_integer(value) ? json_integer_value(value) : 0;

	return number > 0 ? (uint64_t)number : 0;
}

static void feed_error(struct pull_progress *progress, json_t *message)
{
	const char *text = json_string_value(
		json_object_get(json_object_get(message, "errorDetail"), "message"));

	if (!text)
		text = json_string_value(json_object_get(message, "error"));
	if (text)
		snprintf(progress->error, sizeof(progress->error), "%s", text);
}

void pull_progress_feed(struct pull_progress *progress, json_t *message)
{
	const char *id = json_string_value(json_object_get(message, "id"));
	const char *status = json_string_value(json_object_get(message, "status"));
	struct pull_layer *layer;

	feed_error(progress, message);
	if (!id || !status || !is_layer(id))
		return;
	layer = find_layer(progress, id);
	if (!layer)
		return;
	if (strcmp(status, "Downloading") == 0) {
		layer->total = MAX(layer->total, detail(message, "total"));
		layer->current = MAX(layer->current, detail(message, "current"));
	} else if (strcmp(status, "Download complete") == 0) {
		layer->current = layer->total;
	} else if (strcmp(status, "Pull complete") == 0 || strcmp(status, "Already exists") == 0) {
		layer->current = layer->total;
		layer->done = true;
	}
}

int pull_progress_percent(const struct pull_progress *progress)
{
	uint64_t current = 0, total = 0;
	size_t done = 0;
	int percent;

	if (progress->n_layers == 0)
		return -1;
	for (size_t i = 0; i < progress->n_layers; i++) {
		current += MIN(progress->layers[i].current, progress->layers[i].total) >> 10;
		total += progress->layers[i].total >> 10;
		done += progress->layers[i].done;
	}
	if (done == progress->n_layers)
		return 100;
	percent = total > 0 ? (int)(current * 100 / total) : (int)(done * 100 / progress->n_layers);
	return MIN(percent, 99);
}
