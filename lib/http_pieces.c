/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A large answer made piece by piece, the next while the one before waits for its client. */
#include "lib/http_pieces.h"

#include <errno.h>
#include <sys/socket.h>

#include "lib/http_server_private.h"

struct pieces {
	struct http_stream *stream;
	const struct http_source *source;
	void *userdata;
};

/* While the last of a piece waits for room in the kernel the next one is made, so that neither the
 * client nor we wait for each other. At the end the server has to be told when all is sent. */
static void overlap(struct pieces *pieces, bool begins)
{
	struct bufferevent *bev = pieces->stream->connection->bev;

	bufferevent_setwatermark(bev, EV_WRITE, begins ? HTTP_PIECE_BYTES : 0, 0);
	(void)bufferevent_set_max_single_write(bev, begins ? HTTP_PIECE_BYTES : 0);
}

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
	overlap(pieces, false);
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
	overlap(pieces, true);
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
