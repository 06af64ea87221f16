/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a customer may not ask for, though an admin may: images off the operator's list, and
 * variables of the environment that reach code outside the container. A pure function.
 */
#pragma once

#include "proto/environment.h"

/* images: patterns as in fnmatch(3), where '*' ends at a slash; none: every image. -EPERM
 * "forbidden" names the field. */
int tenancy_check(const struct environment_spec *spec, const struct string_list *images,
		  struct error *err) _must_check_;
