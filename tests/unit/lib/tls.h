/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A certificate for 127.0.0.1, of which no file stays behind. */
#pragma once

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/http_tls.h"

static inline struct http_tls *local_tls(void)
{
	static const char *const names[] = { "127.0.0.1", NULL };
	char folder[] = "/tmp/portico-tls-XXXXXX", certificate[64], key[64];
	struct error err = ERROR_INIT;
	struct http_tls *tls;

	cr_assert_not_null(mkdtemp(folder));
	(void)snprintf(certificate, sizeof(certificate), "%s/tls.crt", folder);
	(void)snprintf(key, sizeof(key), "%s/tls.key", folder);
	cr_assert_eq(http_tls_make(certificate, key, names, &err), 0, "%s", err.message);
	cr_assert_eq(http_tls_new(&tls, certificate, key, &err), 0, "%s", err.message);
	(void)unlink(certificate);
	(void)unlink(key);
	(void)rmdir(folder);
	return tls;
}
