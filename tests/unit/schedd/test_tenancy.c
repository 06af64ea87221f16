/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What customers are refused: images off the list, and variables that reach the runtime's hooks. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "schedd/tenancy.h"

static struct environment_spec spec;
static struct error err;

static void end(void)
{
	environment_spec_clear(&spec);
}

TestSuite(tenancy, .fini = end);

static void ask(const char *image, const char *variable)
{
	_cleanup_json_ json_t *json =
		json_pack("{s:s, s:s, s:i, s:i, s:{s:s}}", "name", "a", "image", image, "cpu_milli",
			  100, "memory_bytes", 16 << 20, "env", variable, "x");

	end();
	err = ERROR_INIT;
	cr_assert_eq(environment_spec_decode(json, &spec, &err), 0, "%s", err.message);
}

#define LIST(...)                                                  \
	&(const struct string_list)                                \
	{                                                          \
		.items = (char *[]){ __VA_ARGS__ },                \
		.n = ARRAY_SIZE(((const char *[]){ __VA_ARGS__ })) \
	}
static const struct string_list none;

Test(tenancy, variables_that_reach_hooks_are_refused_by_name)
{
	static const char *const refused[] = {
		"LD_PRELOAD",
		"LD_LIBRARY_PATH",
		"LD_AUDIT",
		"LD_",
		"NVIDIA_VISIBLE_DEVICES",
		"NVIDIA_DRIVER_CAPABILITIES",
		"GLIBC_TUNABLES",
		"GCONV_PATH",
		"MALLOC_TRACE_",
		"PATH",
		"BASH_ENV",
		"ENV",
		"LISTEN_FDS",
		"_LIBCONTAINER_INITPIPE",
	};

	for (size_t i = 0; i < ARRAY_SIZE(refused); i++) {
		ask("x", refused[i]);
		cr_assert_eq(tenancy_check(&spec, &none, &err), -EPERM, "%s", refused[i]);
		cr_assert_str_eq(err.code, "forbidden");
		cr_assert(strstr(err.field, refused[i]), "%s", err.field);
	}
}

Test(tenancy, a_customers_own_variables_pass)
{
	static const char *const allowed[] = { "HOME",       "LANG",
					       "PYTHONPATH", "CUDA_VISIBLE_DEVICES",
					       "OLD_PATH",   "WANDB_API_KEY",
					       "ld_preload", "ENVIRONMENT" };

	for (size_t i = 0; i < ARRAY_SIZE(allowed); i++) {
		ask("x", allowed[i]);
		cr_assert_eq(tenancy_check(&spec, &none, &err), 0, "%s", err.message);
	}
}

Test(tenancy, an_image_is_on_the_list_or_refused)
{
	const struct string_list *list = LIST("dev-*:latest", "portico/*", "10.0.0.1:5000/team/*");
	static const char *const allowed[] = { "dev-ubuntu22:latest", "portico/dev:1",
					       "10.0.0.1:5000/team/x@sha256:00" };
	static const char *const refused[] = {
		"dev-ubuntu22:1", "dev-a/b:latest", "portico/a/b",          "docker.io/portico/dev",
		"portico",        "xportico/dev",   "10.0.0.1:5000/other/x"
	};

	for (size_t i = 0; i < ARRAY_SIZE(allowed); i++) {
		ask(allowed[i], "A");
		cr_assert_eq(tenancy_check(&spec, list, &err), 0, "%s", err.message);
	}
	for (size_t i = 0; i < ARRAY_SIZE(refused); i++) {
		ask(refused[i], "A");
		cr_assert_eq(tenancy_check(&spec, list, &err), -EPERM, "%s", refused[i]);
		cr_assert_str_eq(err.field, "image");
		cr_assert(strstr(err.message, refused[i]), "%s", err.message);
	}
	ask("anything/at/all", "A");
	cr_assert_eq(tenancy_check(&spec, &none, &err), 0);
}
