/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The sockets that the HTTP server listens on, before it does. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "lib/address.h"
#include "lib/http_server_private.h"

int http_socket_tcp(const char *address, uint16_t port, int *ret_fd, uint16_t *ret_port,
		    struct error *err)
{
	_cleanup_close_ int fd = -1;
	struct endpoint endpoint = { .port = port };
	struct sockaddr_storage sockaddr;
	socklen_t length;
	int on = 1, r;

	if (address_parse(address, &endpoint.address) < 0)
		return error_set(err, -EINVAL, "invalid", "listen", "\"%s\" is not an IP address",
				 address);
	length = endpoint_to_sockaddr(&endpoint, &sockaddr);
	fd = socket(sockaddr.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
	    bind(fd, (struct sockaddr *)&sockaddr, length) < 0 ||
	    getsockname(fd, (struct sockaddr *)&sockaddr, &length) < 0) {
		r = -errno;
		return error_set(err, r, "listen", "listen", "cannot listen on %s port %u: %s",
				 address, port, strerror(-r));
	}
	if (ret_port)
		*ret_port = ntohs(sockaddr.ss_family == AF_INET
					  ? ((struct sockaddr_in *)&sockaddr)->sin_port
					  : ((struct sockaddr_in6 *)&sockaddr)->sin6_port);
	*ret_fd = TAKE_FD(fd);
	return 0;
}

int http_socket_from_systemd(const char *path)
{
	int n = sd_listen_fds(0);

	for (int fd = SD_LISTEN_FDS_START; fd < SD_LISTEN_FDS_START + n; fd++)
		if (sd_is_socket_unix(fd, SOCK_STREAM, 1, path, 0) > 0)
			return fd;
	return -1;
}

/* Removes a socket that nobody listens on. -EADDRINUSE where somebody does. */
static int remove_stale(const struct sockaddr_un *address)
{
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return -errno;
	if (connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0 || errno == EAGAIN)
		return -EADDRINUSE;
	if (errno == ENOENT)
		return 0;
	if (errno != ECONNREFUSED)
		return -errno;
	return unlink(address->sun_path) < 0 && errno != ENOENT ? -errno : 0;
}

int http_socket_unix(const struct sockaddr_un *address, mode_t mode, int *ret_fd)
{
	_cleanup_close_ int fd = -1;
	mode_t mask;
	int r = remove_stale(address);

	if (r < 0)
		return r;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	mask = umask(~mode & 0777);
	r = bind(fd, (const struct sockaddr *)address, sizeof(*address)) < 0 ? -errno : 0;
	umask(mask);
	if (r < 0)
		return r;
	*ret_fd = TAKE_FD(fd);
	return 0;
}
