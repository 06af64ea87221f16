/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The text of a bearer token, its parts and its hash. */
#include "schedd/token.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <string.h>

#include "lib/random.h"

#define PREFIX "portico_"
#define ID_PREFIX "tok-"
#define ID_RANDOM (TOKEN_ID_MAX - (sizeof(ID_PREFIX) - 1))

static void hash_text(const char *text, unsigned char ret[TOKEN_HASH_SIZE])
{
	(void)SHA256((const unsigned char *)text, strlen(text), ret);
}

int token_make(char ret_id[TOKEN_ID_MAX + 1], char ret_text[TOKEN_TEXT_MAX + 1],
	       unsigned char ret_hash[TOKEN_HASH_SIZE])
{
	char random[ID_RANDOM + 1], secret[TOKEN_SECRET_LENGTH + 1];
	int r = random_text(random, ID_RANDOM);

	if (r == 0)
		r = random_text(secret, TOKEN_SECRET_LENGTH);
	if (r < 0)
		return r;
	(void)snprintf(ret_id, TOKEN_ID_MAX + 1, ID_PREFIX "%s", random);
	(void)snprintf(ret_text, TOKEN_TEXT_MAX + 1, PREFIX "%s_%s", ret_id, secret);
	explicit_bzero(secret, sizeof(secret));
	hash_text(ret_text, ret_hash);
	return 0;
}

int token_id_of(const char *text, char ret_id[TOKEN_ID_MAX + 1])
{
	size_t prefix = sizeof(PREFIX) - 1;

	if (strlen(text) != TOKEN_TEXT_MAX || strncmp(text, PREFIX, prefix) != 0 ||
	    text[prefix + TOKEN_ID_MAX] != '_')
		return -EINVAL;
	memcpy(ret_id, text + prefix, TOKEN_ID_MAX);
	ret_id[TOKEN_ID_MAX] = '\0';
	return 0;
}

bool token_matches(const char *text, const unsigned char hash[TOKEN_HASH_SIZE])
{
	unsigned char own[TOKEN_HASH_SIZE];

	hash_text(text, own);
	return CRYPTO_memcmp(own, hash, sizeof(own)) == 0;
}

void token_hash_format(const unsigned char hash[TOKEN_HASH_SIZE], char ret[TOKEN_HASH_HEX_MAX])
{
	for (size_t i = 0; i < TOKEN_HASH_SIZE; i++)
		(void)snprintf(ret + 2 * i, 3, "%02x", hash[i]);
}

static int digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int token_hash_parse(const char *text, unsigned char ret[TOKEN_HASH_SIZE])
{
	if (strlen(text) != TOKEN_HASH_HEX_MAX - 1)
		return -EINVAL;
	for (size_t i = 0; i < TOKEN_HASH_SIZE; i++) {
		int high = digit(text[2 * i]), low = digit(text[2 * i + 1]);

		if (high < 0 || low < 0)
			return -EINVAL;
		ret[i] = (unsigned char)(high * 16 + low);
	}
	return 0;
}
