/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The certificate of the API: the operator's, or one of our own that is made at the first start and
 * kept in the state directory.
 */
#pragma once

#include "lib/http_tls.h"
#include "schedd/options.h"

int certificate_open(const struct options *options, const struct settings *settings,
		     struct http_tls **ret, struct error *err) _must_check_;
/* Reads the same files again. On an error the certificate of before stays in use. */
int certificate_reload(const struct options *options, struct http_tls *tls, struct error *err)
	_must_check_;
