/* SPDX-License-Identifier: GPL-2.0-or-later */
/* An Ed25519 key pair from OpenSSL, written in OpenSSH's formats. */
#include "schedd/ssh_host_key.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

#include "lib/random.h"

#define KEY_BYTES 32
#define COMMENT_MAX 128
#define TYPE "ssh-ed25519"
#define MAGIC "openssh-key-v1" /* with its terminating zero */
#define CIPHER_BLOCK 8         /* of cipher "none" */
#define LINE 70
#define BEGIN "-----BEGIN OPENSSH PRIVATE KEY-----\n"
#define END "-----END OPENSSH PRIVATE KEY-----\n"

/* RFC 4251 encoding into a buffer that is large enough by construction. */
struct blob {
	uint8_t data[512];
	size_t length;
};

static void put_raw(struct blob *blob, const void *data, size_t length)
{
	memcpy(blob->data + blob->length, data, length);
	blob->length += length;
}

static void put_uint32(struct blob *blob, uint32_t value)
{
	const uint8_t bytes[] = { (uint8_t)(value >> 24), (uint8_t)(value >> 16),
				  (uint8_t)(value >> 8), (uint8_t)value };

	put_raw(blob, bytes, sizeof(bytes));
}

static void put_string(struct blob *blob, const void *data, size_t length)
{
	put_uint32(blob, (uint32_t)length);
	put_raw(blob, data, length);
}

static void put_public(struct blob *blob, const uint8_t public[KEY_BYTES])
{
	put_string(blob, TYPE, strlen(TYPE));
	put_string(blob, public, KEY_BYTES);
}

/* check, check, type, public, private and public, comment, padding 1, 2, 3, … */
static int put_private(struct blob *blob, const uint8_t private[KEY_BYTES],
		       const uint8_t public[KEY_BYTES], const char *comment)
{
	uint8_t both[2 * KEY_BYTES], padding = 0;
	uint32_t check;
	int r = random_bytes(&check, sizeof(check));

	if (r < 0)
		return r;
	memcpy(both, private, KEY_BYTES);
	memcpy(both + KEY_BYTES, public, KEY_BYTES);
	put_uint32(blob, check);
	put_uint32(blob, check);
	put_public(blob, public);
	put_string(blob, both, sizeof(both));
	put_string(blob, comment, strlen(comment));
	while (blob->length % CIPHER_BLOCK != 0)
		put_raw(blob, &(uint8_t){ ++padding }, 1);
	OPENSSL_cleanse(both, sizeof(both));
	return 0;
}

static char *base64(const uint8_t *data, size_t length)
{
	char *text = malloc((length + 2) / 3 * 4 + 1);

	if (text)
		EVP_EncodeBlock((unsigned char *)text, data, (int)length);
	return text;
}

/* The text between OpenSSH's BEGIN and END lines, written once into a buffer of the right size: a
 * buffer that grows would leave copies of the secret behind. */
static int armour(const struct blob *blob, char **ret)
{
	char *text = base64(blob->data, blob->length), *out, *at;
	size_t length;

	if (!text)
		return -ENOMEM;
	length = strlen(text);
	out = malloc(strlen(BEGIN) + length + length / LINE + 1 + strlen(END) + 1);
	if (out) {
		at = mempcpy(out, BEGIN, strlen(BEGIN));
		for (size_t i = 0; i < length; i += LINE) {
			at = mempcpy(at, text + i, MIN((size_t)LINE, length - i));
			*at++ = '\n';
		}
		memcpy(at, END, strlen(END) + 1);
	}
	OPENSSL_cleanse(text, length);
	free(text);
	if (!out)
		return -ENOMEM;
	*ret = out;
	return 0;
}

static int encode_private(const uint8_t private[KEY_BYTES], const uint8_t public[KEY_BYTES],
			  const char *comment, char **ret)
{
	struct blob file = { .length = 0 }, inner = { .length = 0 };
	int r;

	inner.length = 0;
	put_raw(&file, MAGIC, sizeof(MAGIC));
	put_string(&file, "none", 4); /* cipher */
	put_string(&file, "none", 4); /* key derivation */
	put_string(&file, "", 0);     /* its options */
	put_uint32(&file, 1);         /* keys */
	put_public(&inner, public);
	put_string(&file, inner.data, inner.length);
	inner.length = 0;
	r = put_private(&inner, private, public, comment);
	if (r == 0) {
		put_string(&file, inner.data, inner.length);
		r = armour(&file, ret);
	}
	OPENSSL_cleanse(&inner, sizeof(inner));
	OPENSSL_cleanse(&file, sizeof(file));
	return r;
}

static int encode_public(const uint8_t public[KEY_BYTES], const char *comment, char **ret)
{
	struct blob blob = { .length = 0 };
	_cleanup_free_ char *text = NULL;

	put_public(&blob, public);
	text = base64(blob.data, blob.length);
	if (!text || asprintf(ret, TYPE " %s %s", text, comment) < 0)
		return -ENOMEM;
	return 0;
}

static int generate(uint8_t private[KEY_BYTES], uint8_t public[KEY_BYTES])
{
	EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	size_t private_length = KEY_BYTES, public_length = KEY_BYTES;
	bool ok = key && EVP_PKEY_get_raw_private_key(key, private, &private_length) == 1 &&
		  EVP_PKEY_get_raw_public_key(key, public, &public_length) == 1;

	EVP_PKEY_free(key);
	return ok ? 0 : -EIO;
}

int ssh_host_key_make(const char *comment, char **ret_private, char **ret_public)
{
	uint8_t private[KEY_BYTES], public[KEY_BYTES];
	char *private_text = NULL, *public_text = NULL;
	int r;

	if (strlen(comment) > COMMENT_MAX)
		return -EINVAL;
	r = generate(private, public);
	if (r == 0)
		r = encode_private(private, public, comment, &private_text);
	if (r == 0)
		r = encode_public(public, comment, &public_text);
	OPENSSL_cleanse(private, sizeof(private));
	if (r < 0) {
		if (private_text)
			OPENSSL_cleanse(private_text, strlen(private_text));
		free(private_text);
		return r;
	}
	*ret_private = private_text;
	*ret_public = public_text;
	return 0;
}
