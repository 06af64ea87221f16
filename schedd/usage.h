/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What environments hold of a host: CPU, memory and thousandths of GPUs by UUID. */
#pragma once

#include "lib/util.h"
#include "proto/environment.h"

struct gpu_usage {
	char *uuid; /* owned */
	uint32_t milli;
};

struct usage {
	uint64_t cpu_milli, memory_bytes;
	uint32_t environments;
	struct gpu_usage *gpus; /* owned; those in use */
	size_t n_gpus;
};

/* gpus is [{"uuid","milli"}] or NULL. -ENOMEM changes nothing. */
int usage_add(struct usage *usage, const struct environment_spec *spec, const json_t *gpus)
	_must_check_;
void usage_remove(struct usage *usage, const struct environment_spec *spec, const json_t *gpus);
void usage_clear(struct usage *usage);

/* Thousandths in use of the GPU with this UUID. */
uint32_t usage_of_gpu(const struct usage *usage, const char *uuid);
