/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The text of a bearer token, "portico_ID_SECRET": made, taken apart and hashed. The id finds the
 * row, so that the secret is compared once and in constant time. It knows no rows.
 */
#pragma once

#include "schedd/model.h"

#define TOKEN_SECRET_LENGTH 52 /* characters of 5 bits: 260 bits */
#define TOKEN_TEXT_MAX (sizeof("portico_") - 1 + TOKEN_ID_MAX + 1 + TOKEN_SECRET_LENGTH)
#define TOKEN_HASH_HEX_MAX (2 * TOKEN_HASH_SIZE + 1)

/* A new id, its secret text, and the hash of the text. The text is shown once and wiped. */
int token_make(char ret_id[TOKEN_ID_MAX + 1], char ret_text[TOKEN_TEXT_MAX + 1],
	       unsigned char ret_hash[TOKEN_HASH_SIZE]) _must_check_;
/* The id that a text names; -EINVAL where it has not the form of a token. */
int token_id_of(const char *text, char ret_id[TOKEN_ID_MAX + 1]) _must_check_;
/* Is this the text that was hashed? Takes the same time whatever differs. */
bool token_matches(const char *text, const unsigned char hash[TOKEN_HASH_SIZE]);

/* Hexadecimal digits, as the database takes and gives them. */
void token_hash_format(const unsigned char hash[TOKEN_HASH_SIZE], char ret[TOKEN_HASH_HEX_MAX]);
int token_hash_parse(const char *text, unsigned char ret[TOKEN_HASH_SIZE]) _must_check_;
