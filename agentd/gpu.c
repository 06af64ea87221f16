/* SPDX-License-Identifier: GPL-2.0-or-later */
/* No vendor library is loaded yet, so every machine counts as one without GPUs. */
#include "agentd/gpu.h"

int gpu_list(struct capacity *capacity)
{
	capacity->gpus = NULL;
	capacity->n_gpus = 0;
	return 0;
}
