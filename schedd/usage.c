/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What environments hold of a host: sums that are kept as versions come and go. */
#include <errno.h>
#include <string.h>

#include "schedd/usage.h"

void usage_clear(struct usage *usage)
{
	for (size_t i = 0; i < usage->n_gpus; i++)
		free(usage->gpus[i].uuid);
	free(usage->gpus);
	*usage = (struct usage){ 0 };
}

uint32_t usage_of_gpu(const struct usage *usage, const char *uuid)
{
	for (size_t i = 0; i < usage->n_gpus; i++)
		if (strcmp(usage->gpus[i].uuid, uuid) == 0)
			return usage->gpus[i].milli;
	return 0;
}

static int add_gpu(struct usage *usage, const char *uuid, uint32_t milli)
{
	struct gpu_usage *gpus;
	char *copy;

	for (size_t i = 0; i < usage->n_gpus; i++) {
		if (strcmp(usage->gpus[i].uuid, uuid) != 0)
			continue;
		usage->gpus[i].milli += milli;
		return 0;
	}
	gpus = reallocarray(usage->gpus, usage->n_gpus + 1, sizeof(*gpus));
	if (!gpus)
		return -ENOMEM;
	usage->gpus = gpus;
	copy = strdup(uuid);
	if (!copy)
		return -ENOMEM;
	gpus[usage->n_gpus++] = (struct gpu_usage){ .uuid = copy, .milli = milli };
	return 0;
}

static void remove_gpu(struct usage *usage, const char *uuid, uint32_t milli)
{
	for (size_t i = 0; i < usage->n_gpus; i++) {
		struct gpu_usage *gpu = &usage->gpus[i];

		if (strcmp(gpu->uuid, uuid) != 0)
			continue;
		gpu->milli -= MIN(milli, gpu->milli);
		if (gpu->milli == 0) {
			free(gpu->uuid);
			*gpu = usage->gpus[--usage->n_gpus];
		}
		return;
	}
}

static const char *gpu_uuid(const json_t *gpu)
{
	return json_string_value(json_object_get(gpu, "uuid"));
}

static uint32_t gpu_milli(const json_t *gpu)
{
	return (uint32_t)json_integer_value(json_object_get(gpu, "milli"));
}

int usage_add(struct usage *usage, const struct environment_spec *spec, const json_t *gpus)
{
	const json_t *gpu;
	size_t i;

	json_array_foreach ((json_t *)gpus, i, gpu) {
		int r = add_gpu(usage, gpu_uuid(gpu), gpu_milli(gpu));

		if (r < 0) {
			while (i-- > 0) {
				gpu = json_array_get(gpus, i);
				remove_gpu(usage, gpu_uuid(gpu), gpu_milli(gpu));
			}
			return r;
		}
	}
	usage->cpu_milli += spec->cpu_milli;
	usage->memory_bytes += spec->memory_bytes;
	usage->environments++;
	return 0;
}

void usage_remove(struct usage *usage, const struct environment_spec *spec, const json_t *gpus)
{
	const json_t *gpu;
	size_t i;

	json_array_foreach ((json_t *)gpus, i, gpu)
		remove_gpu(usage, gpu_uuid(gpu), gpu_milli(gpu));
	usage->cpu_milli -= MIN(usage->cpu_milli, spec->cpu_milli);
	usage->memory_bytes -= MIN(usage->memory_bytes, spec->memory_bytes);
	usage->environments -= usage->environments > 0;
}
