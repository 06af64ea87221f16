/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The Docker Engine API as calls: version prefix, JSON in and out, streams of JSON lines, Docker's
 * own sentence for each error. It knows no resource of Docker's and keeps no state but the version.
 */
#pragma once

#include "lib/http_client.h"
#include "lib/json.h"
#include "lib/metrics.h"

/* The versions whose fields this program knows. */
#define DOCKER_API_OLDEST "1.30"
#define DOCKER_API_NEWEST "1.47"
#define DOCKER_VERSION_MAX 16

struct docker_api;

struct docker_reply {
	int error;         /* 0 for 2xx and 304, -ENOENT 404, -EEXIST 409, -EINVAL 400, -EIO any
			    * other status; without an answer http_response's, and -ENOTCONN for
			    * any of the above */
	int status;        /* 0 where no answer came */
	char message[400]; /* Docker's sentence, or why there is none */
	json_t *json;      /* borrowed; NULL for a raw or empty answer */
	const char *body;  /* for raw calls */
	size_t length;
};

struct docker_call {
	const char *operation; /* static; label of the error metric */
	const char *method;    /* NULL: GET */
	const char *path;      /* behind the version: "/containers/json?all=1" */
	json_t *json;          /* borrowed body; NULL: none */
	const void *body;      /* raw body, instead of json */
	size_t body_length;
	bool raw;            /* the answer is no JSON */
	bool quiet;          /* 404 is an answer, not an error to count */
	size_t max_body;     /* 0: http_client's default */
	uint32_t timeout_ms; /* 0: 60 s; streams have none */
	uint32_t idle_timeout_ms;
	/* A stream: called for each line. Not 0 ends it with that error; it must not cancel it. */
	int (*on_line)(json_t *line, void *userdata);
	/* Another kind of stream: its bytes as they come, by the same rules. */
	int (*on_data)(const char *data, size_t length, void *userdata);
	void (*on_done)(const struct docker_reply *reply, void *userdata);
	void *userdata;
};

/* Whether it is an address like "unix:///var/run/docker.sock" or "http://127.0.0.1:2375". */
bool docker_api_takes(const char *address);

/* address: one that docker_api_takes. errors may be NULL; it has the label "operation". */
int docker_api_new(struct docker_api **ret, struct http_client *client, const char *address,
		   struct metric *errors) _must_check_;
/* Ends every call without its callback. NULL is fine. */
void docker_api_free(struct docker_api *api);

/* Asks for the server's version and settles which one to speak. Other calls made before it has
 * succeeded once fail with -ENOTCONN. on_done as in a call; *ret_id as in docker_api_call. One at
 * a time. */
int docker_api_connect(struct docker_api *api,
		       void (*on_done)(const struct docker_reply *reply, void *userdata),
		       void *userdata, uint64_t *ret_id) _must_check_;
/* "1.41", or "" before. */
const char *docker_api_version(const struct docker_api *api);

/* Starts a call; on_done runs exactly once, from the loop. */
int docker_api_call(struct docker_api *api, const struct docker_call *call, uint64_t *ret_id)
	_must_check_;
/* Ends a call without on_done; an id that is done or 0 is ignored. */
void docker_api_cancel(struct docker_api *api, uint64_t id);
/* Holds a stream back, or lets it go on: see http_client_pause. Also from on_data. */
void docker_api_pause(struct docker_api *api, uint64_t id, bool paused);

/* The newest version that both sides speak. -EINVAL for what is no version; -ENOTSUP where there
 * is none, with a sentence. */
int docker_version_choose(const char *server_min, const char *server_max,
			  char ret[DOCKER_VERSION_MAX], struct error *err) _must_check_;

/* Percent-encodes for one path element or query value. The caller frees it; NULL: out of memory. */
char *docker_escape(const char *text);

DEFINE_CLEANUP(struct docker_api *, docker_api_free, cleanup_docker_api)
