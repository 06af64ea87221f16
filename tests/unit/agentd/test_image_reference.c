/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Image references: name and tag, or name and digest. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "agentd/image_reference.h"

Test(image_reference, table)
{
	static const struct {
		const char *text, *repository, *tag;
	} rows[] = {
		{ "debian", "debian", "latest" },
		{ "debian:12", "debian", "12" },
		{ "team/image:v1.2_3", "team/image", "v1.2_3" },
		{ "registry:5000/image", "registry:5000/image", "latest" },
		{ "registry:5000/team/image:9", "registry:5000/team/image", "9" },
		{ "image@sha256:abc", "image", "sha256:abc" },
		{ "registry:5000/image:tag@sha256:abc", "registry:5000/image:tag", "sha256:abc" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct image_reference reference;

		cr_assert_eq(image_reference_parse(rows[i].text, &reference), 0, "%s",
			     rows[i].text);
		cr_expect_str_eq(reference.repository, rows[i].repository);
		cr_expect_str_eq(reference.tag, rows[i].tag);
	}
}

Test(image_reference, refuses)
{
	static const char *const texts[] = { "",       "a b",  "a?b=c", ":tag", "@sha256:a",
					     "image:", "a\nb", "a#b",   "a%2f" };
	struct image_reference reference;
	char longest[IMAGE_REFERENCE_MAX + 1];

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		cr_expect_eq(image_reference_parse(texts[i], &reference), -EINVAL, "%s", texts[i]);
	memset(longest, 'a', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	cr_expect_eq(image_reference_parse(longest, &reference), -EINVAL);
	longest[sizeof(longest) - 2] = '\0';
	cr_expect_eq(image_reference_parse(longest, &reference), 0);
}
