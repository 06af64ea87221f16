/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which version of Docker's API is spoken. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "agentd/docker_api.h"

Test(docker_version, newest_of_both)
{
	static const struct {
		const char *min, *max, *choice;
	} rows[] = {
		{ "1.12", "1.41", "1.41" },
		{ "1.12", DOCKER_API_OLDEST, DOCKER_API_OLDEST },
		{ "1.24", "1.99", DOCKER_API_NEWEST },
		{ "1.44", "1.52", DOCKER_API_NEWEST },
		{ DOCKER_API_NEWEST, "2.0", DOCKER_API_NEWEST },
	};
	char version[DOCKER_VERSION_MAX];

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		cr_assert_eq(docker_version_choose(rows[i].min, rows[i].max, version, NULL), 0,
			     "%s", rows[i].max);
		cr_expect_str_eq(version, rows[i].choice);
	}
}

Test(docker_version, none_in_common)
{
	char version[DOCKER_VERSION_MAX];
	struct error err = ERROR_INIT;

	cr_expect_eq(docker_version_choose("1.12", "1.9", version, &err), -ENOTSUP,
		     "numbers and not text are compared");
	cr_expect(strstr(err.message, "1.9"));
	cr_expect_eq(docker_version_choose("1.90", "1.99", version, NULL), -ENOTSUP);
}

Test(docker_version, refuses_what_is_none)
{
	static const char *const texts[] = {
		"", "1", "1.", ".1", "a.b", "1.2.3", "1.999999", "-1.2"
	};
	char version[DOCKER_VERSION_MAX];

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		cr_expect_eq(docker_version_choose("1.12", texts[i], version, NULL), -EINVAL);
		cr_expect_eq(docker_version_choose(texts[i], "1.41", version, NULL), -EINVAL);
	}
	cr_expect_eq(docker_version_choose(NULL, NULL, version, NULL), -EINVAL);
}

Test(docker_version, escape)
{
	char *text = docker_escape("a/b:c d%\"{\xc3\xa4}~-_.");

	cr_expect_str_eq(text, "a%2Fb%3Ac%20d%25%22%7B%C3%A4%7D~-_.");
	free(text);
}
