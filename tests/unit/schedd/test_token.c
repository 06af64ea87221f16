/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A token's text: made, recognised, compared by its hash. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "schedd/token.h"

static char id[TOKEN_ID_MAX + 1], text[TOKEN_TEXT_MAX + 1];
static unsigned char hash[TOKEN_HASH_SIZE];

static void setup(void)
{
	cr_assert_eq(token_make(id, text, hash), 0);
}

TestSuite(token, .init = setup);

Test(token, names_its_id_and_matches_its_hash)
{
	char found[TOKEN_ID_MAX + 1];

	cr_assert_eq(strlen(text), TOKEN_TEXT_MAX);
	cr_assert_eq(token_id_of(text, found), 0);
	cr_assert_str_eq(found, id);
	cr_assert(token_matches(text, hash));
}

Test(token, is_another_one_each_time)
{
	char second_id[TOKEN_ID_MAX + 1], second[TOKEN_TEXT_MAX + 1];
	unsigned char second_hash[TOKEN_HASH_SIZE];

	cr_assert_eq(token_make(second_id, second, second_hash), 0);
	cr_assert_str_neq(second_id, id);
	cr_assert_neq(memcmp(second + TOKEN_TEXT_MAX - TOKEN_SECRET_LENGTH,
			     text + TOKEN_TEXT_MAX - TOKEN_SECRET_LENGTH, TOKEN_SECRET_LENGTH),
		      0);
	cr_assert_not(token_matches(second, hash));
}

Test(token, matches_with_every_character_only)
{
	for (size_t i = 0; i < TOKEN_TEXT_MAX; i++) {
		char kept = text[i];

		text[i] = kept == 'a' ? 'b' : 'a';
		cr_assert_not(token_matches(text, hash), "character %zu", i);
		text[i] = kept;
	}
	text[TOKEN_TEXT_MAX - 1] = '\0';
	cr_assert_not(token_matches(text, hash));
}

Test(token, of_another_form_is_none)
{
	static const char *const others[] = { "", "portico_", "portico_tok-1_x", "Bearer",
					      "portico" };
	char found[TOKEN_ID_MAX + 1], longer[TOKEN_TEXT_MAX + 2];

	for (size_t i = 0; i < ARRAY_SIZE(others); i++)
		cr_assert_eq(token_id_of(others[i], found), -EINVAL, "\"%s\"", others[i]);
	(void)snprintf(longer, sizeof(longer), "%sx", text);
	cr_assert_eq(token_id_of(longer, found), -EINVAL);
	text[0] = 'P';
	cr_assert_eq(token_id_of(text, found), -EINVAL);
}

Test(token, hash_survives_the_database)
{
	char hex[TOKEN_HASH_HEX_MAX];
	unsigned char back[TOKEN_HASH_SIZE];

	token_hash_format(hash, hex);
	cr_assert_eq(strlen(hex), 64);
	cr_assert_eq(token_hash_parse(hex, back), 0);
	cr_assert_arr_eq(back, hash, TOKEN_HASH_SIZE);
	hex[5] = 'g';
	cr_assert_eq(token_hash_parse(hex, back), -EINVAL);
	hex[5] = '\0';
	cr_assert_eq(token_hash_parse(hex, back), -EINVAL);
}
