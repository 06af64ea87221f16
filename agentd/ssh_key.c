/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The public key inside OpenSSH's private key format (PROTOCOL.key): base64 between two lines of
 * "openssh-key-v1\0", cipher, kdf, kdf options, number of keys, public key blob, private part.
 */
#include "agentd/seed_archive.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

#define KEY_BEGIN "-----BEGIN OPENSSH PRIVATE KEY-----"
#define KEY_END "-----END OPENSSH PRIVATE KEY-----"
#define KEY_MAGIC "openssh-key-v1"
#define KEY_TYPE "ssh-ed25519"
#define KEY_BYTES_MAX 4096

struct span {
	const unsigned char *at;
	size_t left;
};

static int take_number(struct span *span, uint32_t *ret)
{
	if (span->left < 4)
		return -EINVAL;
	*ret = (uint32_t)span->at[0] << 24 | (uint32_t)span->at[1] << 16 |
	       (uint32_t)span->at[2] << 8 | span->at[3];
	span->at += 4;
	span->left -= 4;
	return 0;
}

static int take_string(struct span *span, struct span *ret)
{
	uint32_t length;

	if (take_number(span, &length) < 0 || length > span->left)
		return -EINVAL;
	ret->at = span->at;
	ret->left = length;
	span->at += length;
	span->left -= length;
	return 0;
}

static bool span_is(const struct span *span, const char *text)
{
	return span->left == strlen(text) && memcmp(span->at, text, span->left) == 0;
}

static int decode_base64(const char *from, const char *to, unsigned char bytes[KEY_BYTES_MAX],
			 size_t *ret)
{
	EVP_ENCODE_CTX *context = EVP_ENCODE_CTX_new();
	int n = 0, rest = 0, r = 0;

	if (!context)
		return -ENOMEM;
	EVP_DecodeInit(context);
	if (to - from > KEY_BYTES_MAX ||
	    EVP_DecodeUpdate(context, bytes, &n, (const unsigned char *)from, (int)(to - from)) <
		    0 ||
	    EVP_DecodeFinal(context, bytes + n, &rest) < 0)
		r = -EINVAL;
	else
		*ret = (size_t)(n + rest);
	EVP_ENCODE_CTX_free(context);
	return r;
}

static int find_public(struct span key, struct span *ret)
{
	struct span cipher, kdf, options, blob, inner, type;
	uint32_t keys;

	if (key.left <= sizeof(KEY_MAGIC) || memcmp(key.at, KEY_MAGIC, sizeof(KEY_MAGIC)) != 0)
		return -EINVAL;
	key.at += sizeof(KEY_MAGIC);
	key.left -= sizeof(KEY_MAGIC);
	if (take_string(&key, &cipher) < 0 || take_string(&key, &kdf) < 0 ||
	    take_string(&key, &options) < 0 || take_number(&key, &keys) < 0 ||
	    take_string(&key, &blob) < 0)
		return -EINVAL;
	inner = blob;
	if (!span_is(&cipher, "none") || keys != 1 || take_string(&inner, &type) < 0 ||
	    !span_is(&type, KEY_TYPE))
		return -EINVAL;
	*ret = blob;
	return 0;
}

int ssh_public_key(const char *private_key, char **ret)
{
	const char *begin = strstr(private_key, KEY_BEGIN), *end;
	unsigned char bytes[KEY_BYTES_MAX];
	char encoded[256];
	struct span blob;
	size_t length;
	int r;

	if (!begin)
		return -EINVAL;
	begin += strlen(KEY_BEGIN);
	end = strstr(begin, KEY_END);
	if (!end)
		return -EINVAL;
	r = decode_base64(begin, end, bytes, &length);
	if (r == 0)
		r = find_public((struct span){ bytes, length }, &blob);
	if (r == 0 && blob.left > sizeof(encoded) / 2)
		r = -EINVAL;
	if (r == 0) {
		EVP_EncodeBlock((unsigned char *)encoded, blob.at, (int)blob.left);
		if (asprintf(ret, KEY_TYPE " %s\n", encoded) < 0)
			r = -ENOMEM;
	}
	explicit_bzero(bytes, sizeof(bytes));
	return r;
}
