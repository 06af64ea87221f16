/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A large answer made piece by piece, each when its client has taken the one before. */
#include "lib/http_pieces.h"

#include <errno.h>
#include <sys/socket.h>

#include "lib/http_server_private.h"

struct pieces {
	struct http_stream *stream;
	const struct http_source *source;
	void *userdata;
};

static void pieces_free(struct pieces *pieces)
{
	pieces->source->release(pieces->userdata);
	free(pieces);
}

/* The client has gone, or the server. */
static void on_close(struct http_stream *stream, void *userdata)
{
	pieces_free(userdata);
}

/* evhttp cleans up once it reads the end. */
static void cut_off(const struct pieces *pieces)
{
	(void)shutdown(bufferevent_getfd(pieces->stream->connection->bev), SHUT_RDWR);
}

static void send_next(struct evhttp_connection *evcon, void *userdata);

static void send_piece(struct pieces *pieces, struct evbuffer *piece, bool more)
{
	if (more && evbuffer_get_length(piece) == 0) { /* nobody would ask for the next one */
		cut_off(pieces);
		return;
	}
	if (more) {
		pieces->stream->begun = true;
		evhttp_send_reply_chunk_with_cb(pieces->stream->evreq, piece, send_next, pieces);
		return;
	}
	http_stream_end_with(pieces->stream, piece);
	pieces_free(pieces);
}

static void send_next(struct evhttp_connection *evcon, void *userdata)
{
	struct pieces *pieces = userdata;
	struct evbuffer *piece = evbuffer_new();
	int r = piece ? pieces->source->next(piece, pieces->userdata) : -ENOMEM;

	if (r < 0)
		cut_off(pieces);
	else
		send_piece(pieces, piece, r > 0);
	if (piece)
		evbuffer_free(piece);
}

/* In chunks, since the first piece is not all. */
static int start(struct http_request *request, const char *content_type,
		 const struct http_source *source, void *userdata, struct evbuffer *first)
{
	struct pieces *pieces = malloc(sizeof(*pieces));
	int r;

	if (!pieces) {
		http_reply_buffer(request, 500, NULL, NULL);
		return -ENOMEM;
	}
	*pieces = (struct pieces){ .source = source, .userdata = userdata };
	r = http_stream_start(request, content_type, on_close, pieces, &pieces->stream);
	if (r < 0) {
		free(pieces);
		return r;
	}
	send_piece(pieces, first, true);
	return 0;
}

void http_reply_pieces(struct http_request *request, const char *content_type,
		       const struct http_source *source, void *userdata)
{
	struct evbuffer *first = evbuffer_new();
	int r = first ? source->next(first, userdata) : -ENOMEM;

	if (r > 0) {
		r = start(request, content_type, source, userdata, first);
		if (r < 0)
			source->release(userdata);
	} else {
		http_reply_buffer(request, r < 0 ? 500 : 200, r < 0 ? NULL : content_type,
				  r < 0 ? NULL : first);
		source->release(userdata);
	}
	if (first)
		evbuffer_free(first);
}
