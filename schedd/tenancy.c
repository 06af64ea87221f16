/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Images and variables that customers are refused.
 *
 * A container's variables are also those of the hooks that its runtime runs as root on the host,
 * before the container is closed in (CVE-2025-23266: LD_PRELOAD, relative to the image). So
 * whatever the loader, libc, a shell or the runtime itself acts on is refused; what only the
 * customer's own programs read is not. What the image itself sets is the operator's list's to
 * judge.
 */
#include "schedd/tenancy.h"

#include <errno.h>
#include <fnmatch.h>
#include <stdio.h>
#include <string.h>

static bool is_refused(const char *name)
{
	static const char *const prefixes[] = { "LD_",     "NVIDIA_",        "GLIBC_",
						"MALLOC_", "_LIBCONTAINER_", "LISTEN_" };
	static const char *const names[] = { "PATH",        "GCONV_PATH", "LOCPATH",
					     "NLSPATH",     "BASH_ENV",   "ENV",
					     "IFS",         "SHELLOPTS",  "HOSTALIASES",
					     "LOCALDOMAIN", "RES_OPTIONS" };

	for (size_t i = 0; i < ARRAY_SIZE(prefixes); i++)
		if (strncmp(name, prefixes[i], strlen(prefixes[i])) == 0)
			return true;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (strcmp(name, names[i]) == 0)
			return true;
	return false;
}

static int check_variables(const struct environment_spec *spec, struct error *err)
{
	char field[ERROR_FIELD_MAX];
	const char *name;
	json_t *value;

	json_object_foreach (spec->env, name, value) {
		if (!is_refused(name))
			continue;
		(void)snprintf(field, sizeof(field), "env.%s", name);
		return error_set(
			err, -EPERM, "forbidden", field,
			"%s: this variable would reach programs outside the container; set "
			"it inside, in a start-up file",
			field);
	}
	return 0;
}

static int check_image(const char *image, const struct string_list *images, struct error *err)
{
	if (images->n == 0)
		return 0;
	for (size_t i = 0; i < images->n; i++)
		if (fnmatch(images->items[i], image, FNM_PATHNAME | FNM_NOESCAPE) == 0)
			return 0;
	return error_set(err, -EPERM, "forbidden", "image",
			 "image: \"%s\" is not on the operator's list of images", image);
}

int tenancy_check(const struct environment_spec *spec, const struct string_list *images,
		  struct error *err)
{
	int r = check_image(spec->image, images, err);

	return r < 0 ? r : check_variables(spec, err);
}
