/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which certificate, and the names in one of our own. */
#include "schedd/certificate.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define NAMES_MAX 64
#define HOST_MAX 256

struct names {
	char texts[NAMES_MAX][HOST_MAX];
	const char *list[NAMES_MAX + 1];
	size_t n;
};

static void add(struct names *names, const char *text)
{
	if (!text || !*text || names->n == NAMES_MAX)
		return;
	for (size_t i = 0; i < names->n; i++)
		if (strcmp(names->texts[i], text) == 0)
			return;
	(void)snprintf(names->texts[names->n], HOST_MAX, "%s", text);
	names->list[names->n] = names->texts[names->n];
	names->list[++names->n] = NULL;
}

static void add_interfaces(struct names *names)
{
	struct ifaddrs *all, *one;
	char text[INET6_ADDRSTRLEN];

	if (getifaddrs(&all) < 0)
		return;
	for (one = all; one; one = one->ifa_next) {
		const void *address = NULL;

		if (one->ifa_addr && one->ifa_addr->sa_family == AF_INET)
			address = &((const struct sockaddr_in *)one->ifa_addr)->sin_addr;
		else if (one->ifa_addr && one->ifa_addr->sa_family == AF_INET6)
			address = &((const struct sockaddr_in6 *)one->ifa_addr)->sin6_addr;
		if (address && inet_ntop(one->ifa_addr->sa_family, address, text, sizeof(text)))
			add(names, text);
	}
	freeifaddrs(all);
}

/* What clients may call us. Whoever pins the key needs none of it. */
static void collect(struct names *names, const struct options *options,
		    const struct settings *settings)
{
	char text[ADDRESS_STRING_MAX], host[HOST_MAX] = "";

	add(names, "localhost");
	if (address_is_unicast(&settings->listen.address))
		add(names, address_format(&settings->listen.address, text));
	else
		add_interfaces(names);
	if (gethostname(host, sizeof(host) - 1) == 0)
		add(names, host);
	add(names, options->public_name);
}

/* Where a certificate that was made is kept. The caller frees both. */
static int name_own(const struct options *options, char **ret_certificate, char **ret_key)
{
	_cleanup_free_ char *certificate = NULL;

	if (asprintf(&certificate, "%s/tls.crt", options->state_directory) < 0) {
		certificate = NULL;
		return -ENOMEM;
	}
	if (asprintf(ret_key, "%s/tls.key", options->state_directory) < 0) {
		*ret_key = NULL;
		return -ENOMEM;
	}
	*ret_certificate = TAKE_PTR(certificate);
	return 0;
}

static int make_own(const struct options *options, const struct settings *settings,
		    const char *certificate, const char *key, struct error *err)
{
	struct names names = { .n = 0 };
	int r;

	if (mkdir(options->state_directory, 0700) < 0 && errno != EEXIST) {
		r = -errno;
		return error_set(err, r, "io", "state-directory",
				 "cannot make the folder %s for a certificate: %s; make it, or set "
				 "tls-certificate and tls-key",
				 options->state_directory, strerror(-r));
	}
	collect(&names, options, settings);
	return http_tls_make(certificate, key, names.list, err);
}

static bool is_operators(const struct options *options)
{
	return options->tls_certificate && *options->tls_certificate;
}

int certificate_open(const struct options *options, const struct settings *settings,
		     struct http_tls **ret, struct error *err)
{
	_cleanup_free_ char *certificate = NULL, *key = NULL;
	int r;

	if (is_operators(options))
		return http_tls_new(ret, options->tls_certificate, options->tls_key, err);
	r = name_own(options, &certificate, &key);
	if (r == 0)
		r = make_own(options, settings, certificate, key, err);
	return r < 0 ? r : http_tls_new(ret, certificate, key, err);
}

int certificate_reload(const struct options *options, struct http_tls *tls, struct error *err)
{
	_cleanup_free_ char *certificate = NULL, *key = NULL;
	int r;

	if (is_operators(options))
		return http_tls_reload(tls, options->tls_certificate, options->tls_key, err);
	r = name_own(options, &certificate, &key);
	return r < 0 ? r : http_tls_reload(tls, certificate, key, err);
}
