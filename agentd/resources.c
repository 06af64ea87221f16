/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Capacity from sched_getaffinity(2) and /proc/meminfo. */
#include "agentd/resources.h"

#include <errno.h>
#include <inttypes.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "agentd/gpu.h"
#include "lib/file.h"

static int parse_number(const char **at, uint64_t max, uint64_t *ret)
{
	uint64_t value = 0;

	if (**at < '0' || **at > '9')
		return -EINVAL;
	for (; **at >= '0' && **at <= '9'; (*at)++) {
		uint64_t digit = (uint64_t)(**at - '0');

		if (value > (max - digit) / 10)
			return -EINVAL;
		value = value * 10 + digit;
	}
	*ret = value;
	return 0;
}

int resources_parse_meminfo(const char *text, uint64_t *ret)
{
	static const char key[] = "MemTotal:";
	const char *at = strstr(text, key);
	uint64_t kib;

	if (!at || (at != text && at[-1] != '\n'))
		return -EINVAL;
	at += sizeof(key) - 1;
	at += strspn(at, " \t");
	if (parse_number(&at, UINT64_MAX / 1024, &kib) < 0 || strncmp(at, " kB", 3) != 0)
		return -EINVAL;
	*ret = kib * 1024;
	return 0;
}

static int subtract(uint64_t total, uint64_t reserve, const char *option, uint64_t *ret,
		    struct error *err)
{
	if (reserve >= total)
		return error_set(err, -ERANGE, "out_of_range", option,
				 "%s %" PRIu64 " leaves nothing of the machine's %" PRIu64, option,
				 reserve, total);
	*ret = total - reserve;
	return 0;
}

int resources_apply(const struct resource_limits *limits, uint64_t cores, uint64_t memory,
		    struct capacity *ret, struct error *err)
{
	struct capacity capacity = {
		.cpu_milli = limits->cpu_milli,
		.memory_bytes = limits->memory_bytes,
	};
	int r;

	if (capacity.cpu_milli == 0) {
		r = subtract(cores * 1000, limits->cpu_reserve, "cpu-reserve", &capacity.cpu_milli,
			     err);
		if (r < 0)
			return r;
	}
	if (capacity.memory_bytes == 0) {
		r = subtract(memory, limits->memory_reserve, "memory-reserve",
			     &capacity.memory_bytes, err);
		if (r < 0)
			return r;
	}
	*ret = capacity;
	return 0;
}

static int read_cores(uint64_t *ret, struct error *err)
{
	cpu_set_t *set;
	int max = 8192, r = 0;
	size_t size = CPU_ALLOC_SIZE(max);

	set = CPU_ALLOC(max);
	if (!set)
		return -ENOMEM;
	if (sched_getaffinity(0, size, set) < 0)
		r = error_set(err, -errno, "internal", NULL, "cannot count processors");
	else
		*ret = (uint64_t)CPU_COUNT_S(size, set);
	CPU_FREE(set);
	return r;
}

int resources_read(const struct resource_limits *limits, struct capacity *ret, struct error *err)
{
	_cleanup_free_ char *text = NULL;
	struct capacity capacity;
	uint64_t cores = 0, memory = 0;
	int r;

	r = read_cores(&cores, err);
	if (r < 0)
		return r;
	r = file_read("/proc/meminfo", 64 << 10, &text, NULL, err);
	if (r < 0)
		return r;
	r = resources_parse_meminfo(text, &memory);
	if (r < 0)
		return error_set(err, r, "invalid", NULL, "/proc/meminfo has no MemTotal");
	r = resources_apply(limits, cores, memory, &capacity, err);
	if (r < 0)
		return r;
	r = gpu_list(&capacity);
	if (r < 0)
		return r;
	*ret = capacity;
	return 0;
}

void capacity_release(struct capacity *capacity)
{
	for (size_t i = 0; i < capacity->n_gpus; i++) {
		free(capacity->gpus[i].uuid);
		free(capacity->gpus[i].model);
	}
	free(capacity->gpus);
	memset(capacity, 0, sizeof(*capacity));
}
