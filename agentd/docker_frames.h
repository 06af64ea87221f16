/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Docker's log stream, taken apart: frames of a head of eight bytes (stream, three zeros, length in
 * network order) and the text, or, where the container has a terminal, the text alone. Pure.
 */
#pragma once

#include "lib/error.h"
#include "proto/log_session.h"

struct docker_frames {
	bool terminal;   /* no heads, and no times that could be told from text */
	bool timestamps; /* each frame begins with its time and a space */
	/* Each text of up to LOG_TEXT_MAX bytes, cut between characters; time is "" where there is
	 * none. Not 0 ends the reading. */
	int (*on_text)(void *userdata, enum log_stream stream, const char *time, const char *text,
		       size_t length);
	void *userdata;

	/* Its own. */
	unsigned char head[8];
	size_t head_length;
	uint32_t left; /* of the frame */
	char time[LOG_TIME_MAX + 1];
	bool begun; /* the frame's time has been looked for */
	size_t length;
	char text[LOG_TIME_MAX + LOG_TEXT_MAX];
};

/* Takes the next bytes, in pieces of any size. -EPROTO for what is no frame; -EIO where Docker says
 * in a frame of its own what went wrong; on_text's. */
int docker_frames_feed(struct docker_frames *frames, const char *data, size_t length,
		       struct error *err) _must_check_;
/* The stream has ended: gives what is left. -EPROTO in the middle of a frame. */
int docker_frames_finish(struct docker_frames *frames, struct error *err) _must_check_;
