/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the HTTP server listens on: it binds, or takes what systemd has bound, hands the sockets to
 * evhttp, and removes those of its own that have a path. Connections are http_server.c's.
 */
#include <errno.h>
#include <event2/listener.h>
#include <string.h>
#include <sys/un.h>

#include "lib/file.h"
#include "lib/http_server_private.h"

static int remember_socket(struct http_server *server, const char *path)
{
	struct http_socket *socket = calloc(1, sizeof(*socket));

	if (!socket)
		return -ENOMEM;
	socket->path = path ? strdup(path) : NULL;
	if (path && !socket->path) {
		free(socket);
		return -ENOMEM;
	}
	socket->next = server->sockets;
	server->sockets = socket;
	return 0;
}

/* Takes over a listening or bound socket. */
static int serve(struct http_server *server, struct evhttp *evhttp, int fd)
{
	struct evconnlistener *listener;

	listener = evconnlistener_new(server->base, NULL, NULL,
				      LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, SOMAXCONN, fd);
	if (!listener) {
		close(fd);
		return -errno;
	}
	if (!evhttp_bind_listener(evhttp, listener)) {
		evconnlistener_free(listener);
		return -ENOMEM;
	}
	return 0;
}

static int listen_tcp(struct http_server *server, struct evhttp *evhttp, const char *address,
		      uint16_t port, uint16_t *ret_port, struct error *err)
{
	int fd, r = http_socket_tcp(address, port, &fd, ret_port, err);

	if (r < 0)
		return r;
	r = serve(server, evhttp, fd);
	return r < 0 ? error_set(err, r, "listen", "listen", "cannot listen on %s port %u: %s",
				 address, port, strerror(-r))
		     : 0;
}

int http_server_listen_tcp(struct http_server *server, const char *address, uint16_t port,
			   uint16_t *ret_port, struct error *err)
{
	return listen_tcp(server, server->evhttp, address, port, ret_port, err);
}

int http_server_listen_tls(struct http_server *server, struct http_tls *tls, const char *address,
			   uint16_t port, uint16_t *ret_port, struct error *err)
{
	int r = http_server_prepare_tls(server, tls);

	return r < 0 ? r : listen_tcp(server, server->evhttps, address, port, ret_port, err);
}

int http_server_listen_unix(struct http_server *server, const char *path, mode_t mode,
			    struct error *err)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = http_socket_from_systemd(path), r;

	if (fd >= 0) {
		r = evutil_make_socket_nonblocking(fd) < 0 ? -errno
							   : serve(server, server->evhttp, fd);
		return r < 0 ? error_set(err, r, "listen", "socket", "cannot use systemd's %s: %s",
					 path, strerror(-r))
			     : 0;
	}
	if (strlen(path) >= sizeof(address.sun_path))
		return error_set(err, -ENAMETOOLONG, "invalid", "socket",
				 "%s is longer than the %zu bytes of a socket's path", path,
				 sizeof(address.sun_path) - 1);
	memcpy(address.sun_path, path, strlen(path));
	r = folder_make_parents(path);
	if (r == 0)
		r = http_socket_unix(&address, mode, &fd);
	if (r == 0)
		r = serve(server, server->evhttp, fd);
	if (r == 0)
		r = remember_socket(server, path);
	if (r == -EADDRINUSE)
		return error_set(err, r, "listen", "socket", "another process is listening on %s",
				 path);
	if (r < 0)
		return error_set(err, r, "listen", "socket", "cannot listen on %s: %s", path,
				 strerror(-r));
	return 0;
}

void http_listen_remove_sockets(struct http_server *server)
{
	for (struct http_socket *socket; (socket = server->sockets);) {
		server->sockets = socket->next;
		if (socket->path)
			unlink(socket->path);
		free(socket->path);
		free(socket);
	}
}
