/* SPDX-License-Identifier: GPL-2.0-or-later */
/* GET /networks/portico, and POST /networks/create where there is none. */
#include "agentd/docker_network.h"

#include <errno.h>
#include <string.h>

#include "agentd/docker_container.h"

#define ICC_OPTION "com.docker.network.bridge.enable_icc"

struct docker_network {
	struct docker_api *api;
	void (*on_done)(void *userdata, int error, const char *message);
	void *userdata;
	uint64_t call;
};

static void finish(struct docker_network *network, int error, const char *message)
{
	network->call = 0;
	network->on_done(network->userdata, error, message);
}

/* Somebody else was faster: as good. */
static void on_created(const struct docker_reply *reply, void *userdata)
{
	finish(userdata, reply->error == -EEXIST ? 0 : reply->error, reply->message);
}

static int create(struct docker_network *network)
{
	_cleanup_json_ json_t *body = json_pack(
		"{s:s, s:s, s:b, s:{s:s}, s:{s:s}}", "Name", DOCKER_NETWORK, "Driver", "bridge",
		/* Docker allows several networks of one name unless told not to. */
		"CheckDuplicate", 1, "Labels", "portico.network", "1", "Options",
		/* Environments may belong to different customers. */
		ICC_OPTION, "false");

	if (!body)
		return -ENOMEM;
	return docker_api_call(network->api,
			       &(struct docker_call){
				       .operation = "create_network",
				       .method = "POST",
				       .path = "/networks/create",
				       .json = body,
				       .on_done = on_created,
				       .userdata = network,
			       },
			       &network->call);
}

static void on_inspected(const struct docker_reply *reply, void *userdata)
{
	struct docker_network *network = userdata;
	const char *icc;
	int r;

	if (reply->error == -ENOENT) {
		r = create(network);
		if (r < 0)
			finish(network, r, strerror(-r));
		return;
	}
	if (reply->error < 0) {
		finish(network, reply->error, reply->message);
		return;
	}
	icc = json_string_value(
		json_object_get(json_object_get(reply->json, "Options"), ICC_OPTION));
	if (!icc || strcmp(icc, "false") != 0) {
		finish(network, -EEXIST,
		       "Docker's network 'portico' lets its containers reach each other; remove it, "
		       "and agentd makes it anew");
		return;
	}
	finish(network, 0, "");
}

int docker_network_ensure(struct docker_network **ret, struct docker_api *api,
			  void (*on_done)(void *userdata, int error, const char *message),
			  void *userdata)
{
	_cleanup_(cleanup_docker_network) struct docker_network *network =
		calloc(1, sizeof(*network));
	int r;

	if (!network)
		return -ENOMEM;
	network->api = api;
	network->on_done = on_done;
	network->userdata = userdata;
	r = docker_api_call(api,
			    &(struct docker_call){
				    .operation = "inspect_network",
				    .path = "/networks/" DOCKER_NETWORK,
				    .quiet = true,
				    .on_done = on_inspected,
				    .userdata = network,
			    },
			    &network->call);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(network);
	return 0;
}

void docker_network_free(struct docker_network *network)
{
	if (!network)
		return;
	docker_api_cancel(network->api, network->call);
	free(network);
}
