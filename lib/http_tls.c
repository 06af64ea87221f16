/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Certificates, keys and the TLS side of connections, by OpenSSL. */
#include "lib/http_tls.h"

#include <errno.h>
#include <event2/bufferevent_ssl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/sha.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/address.h"
#include "lib/file.h"

#define PIN_PREFIX "sha256//"
#define PIN_MAX (sizeof(PIN_PREFIX) + 4 * ((SHA256_DIGEST_LENGTH + 2) / 3))
#define VALID_SECONDS (10 * 365 * 86400L)
#define NAMES_MAX 4096

struct http_tls {
	SSL_CTX *context;
	char pin[PIN_MAX];
};

#define DEFINE_OPENSSL_CLEANUP(type, name)      \
	static inline void name(type **pointer) \
	{                                       \
		type##_free(*pointer);          \
	}

DEFINE_OPENSSL_CLEANUP(X509, cleanup_x509)
DEFINE_OPENSSL_CLEANUP(EVP_PKEY, cleanup_pkey)
DEFINE_OPENSSL_CLEANUP(BIO, cleanup_bio)

/* The first reason in OpenSSL's queue, which is emptied. */
static const char *openssl_reason(void)
{
	const char *reason = ERR_reason_error_string(ERR_peek_error());

	ERR_clear_error();
	return reason ? reason : "unknown error";
}

/* ---- the context ---- */

static int set_pin(struct http_tls *tls)
{
	X509 *certificate = SSL_CTX_get0_certificate(tls->context);
	unsigned char hash[SHA256_DIGEST_LENGTH];
	unsigned char *spki = NULL;
	int length = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(certificate), &spki);

	if (length < 0)
		return -ENOMEM;
	(void)SHA256(spki, (size_t)length, hash);
	OPENSSL_free(spki);
	memcpy(tls->pin, PIN_PREFIX, sizeof(PIN_PREFIX));
	(void)EVP_EncodeBlock((unsigned char *)tls->pin + sizeof(PIN_PREFIX) - 1, hash,
			      sizeof(hash));
	return 0;
}

static int check_key_mode(const char *path, struct error *err)
{
	struct stat st;

	if (stat(path, &st) < 0 || !(st.st_mode & (S_IROTH | S_IWOTH)))
		return 0; /* what cannot be read is told when it is read */
	return error_set(err, -EPERM, "io", "tls-key",
			 "%s is a private key and has mode %03o: chmod 600 it", path,
			 (unsigned)st.st_mode & 0777);
}

static int use_files(struct http_tls *tls, const char *certificate, const char *key,
		     struct error *err)
{
	if (SSL_CTX_use_certificate_chain_file(tls->context, certificate) != 1)
		return error_set(err, -EINVAL, "invalid", "tls-certificate",
				 "%s is no certificate in PEM: %s", certificate, openssl_reason());
	if (SSL_CTX_use_PrivateKey_file(tls->context, key, SSL_FILETYPE_PEM) != 1)
		return error_set(err, -EINVAL, "invalid", "tls-key",
				 "%s is not the key of %s in PEM: %s", key, certificate,
				 openssl_reason());
	return 0;
}

int http_tls_new(struct http_tls **ret, const char *certificate, const char *key, struct error *err)
{
	_cleanup_(cleanup_http_tls) struct http_tls *tls = calloc(1, sizeof(*tls));
	int r = check_key_mode(key, err);

	if (r < 0)
		return r;
	if (tls)
		tls->context = SSL_CTX_new(TLS_server_method());
	if (!tls || !tls->context)
		return -ENOMEM;
	if (SSL_CTX_set_min_proto_version(tls->context, TLS1_2_VERSION) != 1)
		return -ENOMEM;
	(void)SSL_CTX_set_options(tls->context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
	r = use_files(tls, certificate, key, err);
	if (r == 0)
		r = set_pin(tls);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(tls);
	return 0;
}

void http_tls_free(struct http_tls *tls)
{
	if (!tls)
		return;
	SSL_CTX_free(tls->context);
	free(tls);
}

int http_tls_reload(struct http_tls *tls, const char *certificate, const char *key,
		    struct error *err)
{
	_cleanup_(cleanup_http_tls) struct http_tls *fresh = NULL;
	int r = http_tls_new(&fresh, certificate, key, err);
	struct http_tls before = *tls;

	if (r < 0)
		return r;
	/* Each connection holds the context that it was made with. */
	*tls = *fresh;
	*fresh = before;
	return 0;
}

const char *http_tls_pin(const struct http_tls *tls)
{
	return tls->pin;
}

/* ---- connections ---- */

struct bufferevent *http_tls_accept(struct http_tls *tls, struct event_base *base)
{
	SSL *ssl = SSL_new(tls->context);
	struct bufferevent *bev;

	if (!ssl)
		return NULL;
	bev = bufferevent_openssl_socket_new(base, -1, ssl, BUFFEREVENT_SSL_ACCEPTING,
					     BEV_OPT_CLOSE_ON_FREE);
	if (!bev) {
		SSL_free(ssl);
		return NULL;
	}
	/* A client that closes its socket without goodbye has closed its socket. */
	bufferevent_openssl_set_allow_dirty_shutdown(bev, 1);
	return bev;
}

bool http_tls_established(struct bufferevent *bev)
{
	SSL *ssl = bufferevent_openssl_get_ssl(bev);

	return !ssl || SSL_is_init_finished(ssl);
}

/* ---- a certificate of our own ---- */

/* "DNS:localhost,IP:127.0.0.1" */
static void write_names(const char *const *names, char buffer[NAMES_MAX])
{
	size_t used = 0;

	buffer[0] = '\0';
	for (; *names && used < NAMES_MAX - 1; names++) {
		struct address address;
		int n = snprintf(buffer + used, NAMES_MAX - used, "%s%s:%s", used ? "," : "",
				 address_parse(*names, &address) == 0 ? "IP" : "DNS", *names);

		if (n < 0 || (size_t)n >= NAMES_MAX - used) {
			buffer[used] = '\0'; /* without the one that has no room */
			return;
		}
		used += (size_t)n;
	}
}

static bool add_extension(X509 *certificate, int nid, const char *value)
{
	X509_EXTENSION *extension;
	X509V3_CTX context;
	bool added;

	X509V3_set_ctx_nodb(&context);
	X509V3_set_ctx(&context, certificate, certificate, NULL, NULL, 0);
	extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
	added = extension && X509_add_ext(certificate, extension, -1) == 1;
	X509_EXTENSION_free(extension);
	return added;
}

static bool fill_certificate(X509 *certificate, EVP_PKEY *key, const char *const *names)
{
	X509_NAME *subject = X509_get_subject_name(certificate);
	char alternatives[NAMES_MAX];
	uint64_t serial;

	write_names(names, alternatives);
	return RAND_bytes((unsigned char *)&serial, sizeof(serial)) == 1 &&
	       X509_set_version(certificate, X509_VERSION_3) == 1 &&
	       ASN1_INTEGER_set_uint64(X509_get_serialNumber(certificate), serial >> 1) == 1 &&
	       X509_gmtime_adj(X509_getm_notBefore(certificate), -3600) &&
	       X509_gmtime_adj(X509_getm_notAfter(certificate), VALID_SECONDS) &&
	       X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8,
					  (const unsigned char *)"portico schedd", -1, -1,
					  0) == 1 &&
	       X509_set_issuer_name(certificate, subject) == 1 &&
	       X509_set_pubkey(certificate, key) == 1 &&
	       add_extension(certificate, NID_basic_constraints, "critical,CA:FALSE") &&
	       add_extension(certificate, NID_ext_key_usage, "serverAuth") &&
	       add_extension(certificate, NID_subject_alt_name, alternatives) &&
	       X509_sign(certificate, key, EVP_sha256()) > 0;
}

static int write_bio(const char *path, BIO *bio, mode_t mode, struct error *err)
{
	char *data;
	long length = BIO_get_mem_data(bio, &data);

	return file_write_atomic(path, data, (size_t)length, mode, err);
}

int http_tls_make(const char *certificate_path, const char *key_path, const char *const *names,
		  struct error *err)
{
	_cleanup_(cleanup_pkey) EVP_PKEY *key = NULL;
	_cleanup_(cleanup_x509) X509 *certificate = NULL;
	_cleanup_(cleanup_bio) BIO *certificate_text = NULL;
	_cleanup_(cleanup_bio) BIO *key_text = NULL;
	int r;

	if (access(certificate_path, F_OK) == 0 && access(key_path, F_OK) == 0)
		return 0;
	key = EVP_EC_gen("P-256");
	certificate = X509_new();
	certificate_text = BIO_new(BIO_s_mem());
	key_text = BIO_new(BIO_s_secmem());
	if (!key || !certificate || !certificate_text || !key_text ||
	    !fill_certificate(certificate, key, names) ||
	    PEM_write_bio_X509(certificate_text, certificate) != 1 ||
	    PEM_write_bio_PrivateKey(key_text, key, NULL, NULL, 0, NULL, NULL) != 1)
		return error_set(err, -EIO, "internal", NULL, "cannot make a certificate: %s",
				 openssl_reason());
	r = write_bio(key_path, key_text, 0600, err);
	return r < 0 ? r : write_bio(certificate_path, certificate_text, 0644, err);
}
