/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The GPUs of this machine. A machine without the vendor's library has none, and no error. */
#pragma once

#include "proto/report.h"

/* Fills gpus and n_gpus of *capacity, which it owns from then on. */
int gpu_list(struct capacity *capacity) _must_check_;
