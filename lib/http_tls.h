/* SPDX-License-Identifier: GPL-2.0-or-later */
/* TLS for the HTTP server: a certificate and its key from files, or made here. TLS 1.2 and newer.
 */
#pragma once

#include <event2/bufferevent.h>

#include "lib/error.h"
#include "lib/util.h"

struct http_tls;

/* Reads a PEM certificate (with its chain) and its key. -EINVAL where they do not fit each other,
 * -EPERM where others may read the key; the sentence names the file. */
int http_tls_new(struct http_tls **ret, const char *certificate, const char *key, struct error *err)
	_must_check_;
void http_tls_free(struct http_tls *tls); /* NULL is fine */
/* The same for connections from now on; those that are open stay as they are. On an error nothing
 * has changed. */
int http_tls_reload(struct http_tls *tls, const char *certificate, const char *key,
		    struct error *err) _must_check_;

/* Makes a self-signed certificate for these names (DNS names and addresses, NULL-terminated), and
 * its key with mode 0600. Nothing is done where both files are there. */
int http_tls_make(const char *certificate, const char *key, const char *const *names,
		  struct error *err) _must_check_;

/* The public key's fingerprint, as clients pin it: "sha256//…". */
const char *http_tls_pin(const struct http_tls *tls);

/* The server's side of a connection that evhttp is about to give its socket. NULL: no memory. */
struct bufferevent *http_tls_accept(struct http_tls *tls, struct event_base *base);
/* Has the handshake come to its end? */
bool http_tls_established(struct bufferevent *bev);

DEFINE_CLEANUP(struct http_tls *, http_tls_free, cleanup_http_tls)
