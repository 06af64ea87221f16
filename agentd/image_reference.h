/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The name of an image, split for a pull: repository, and tag or digest. */
#pragma once

#include "lib/util.h"

#define IMAGE_REFERENCE_MAX 512

struct image_reference {
	char repository[IMAGE_REFERENCE_MAX]; /* "registry:5000/team/image" */
	char tag[IMAGE_REFERENCE_MAX]; /* "22.04" or "sha256:…"; "latest" if none is given */
};

/* -EINVAL for an empty name, one over the limit, and characters that no image name has. */
int image_reference_parse(const char *text, struct image_reference *ret) _must_check_;
