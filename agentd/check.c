/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Each check is one function that prints at most a few findings. */
#include "agentd/check.h"

#include <errno.h>
#include <ifaddrs.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "agentd/docker_api.h"
#include "agentd/resources.h"
#include "agentd/volumes.h"
#include "lib/file.h"
#include "lib/loop.h"
#include "proto/report.h"

#define BRIDGE_FILTER "/proc/sys/net/bridge/bridge-nf-call-iptables"

_printf_(2, 3) static unsigned finding(const char *remedy, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vprintf(format, arguments);
	va_end(arguments);
	printf("\n    remedy: %s\n", remedy);
	return 1;
}

static bool same_address(const struct sockaddr *socket, const struct address *address)
{
	const void *bytes;

	if (!socket || socket->sa_family != address->family)
		return false;
	bytes = socket->sa_family == AF_INET
			? (const void *)&((const struct sockaddr_in *)socket)->sin_addr
			: (const void *)&((const struct sockaddr_in6 *)socket)->sin6_addr;
	return memcmp(bytes, address->bytes, address_length(address)) == 0;
}

static unsigned check_address(const struct options *options)
{
	struct ifaddrs *list = NULL;
	bool found = false;

	if (getifaddrs(&list) < 0)
		return finding("run it as root on the host itself",
			       "address: cannot list this machine's addresses: %s",
			       strerror(errno));
	for (struct ifaddrs *at = list; at && !found; at = at->ifa_next)
		found = same_address(at->ifa_addr, &options->host_address);
	freeifaddrs(list);
	if (found)
		return 0;
	return finding("set address to one that 'ip address' shows",
		       "address: %s is not an address of this machine", options->address);
}

/* The data folder, or, where agentd is still to make it, the folder that it will be in. */
static unsigned check_data_dir(const struct options *options)
{
	_cleanup_free_ char *parent = strdup(options->data_dir);
	const char *folder = options->data_dir;
	char *slash = parent ? strrchr(parent, '/') : NULL;

	if (access(folder, F_OK) < 0 && errno == ENOENT && slash) {
		*slash = '\0';
		folder = parent[0] ? parent : "/";
	}
	if (access(folder, W_OK | X_OK) == 0)
		return 0;
	return finding("make the folder, owned by root, on a file system with room for volumes",
		       "data-dir: cannot write to %s: %s", folder, strerror(errno));
}

static unsigned check_shared_dir(const struct options *options)
{
	_cleanup_free_ char *mark = NULL;

	if (!options->shared_dir ||
	    asprintf(&mark, "%s/" VOLUMES_MOUNTED_MARK, options->shared_dir) < 0)
		return 0;
	if (access(mark, F_OK) == 0)
		return 0;
	return finding("mount the shared file system there, and make the file once with touch",
		       "shared-dir: %s: %s", mark, strerror(errno));
}

/* Without it, packets between two containers of a bridge never meet the rule that drops them. */
static unsigned check_bridge_filter(void)
{
	_cleanup_free_ char *text = NULL;

	if (file_read(BRIDGE_FILTER, 64, &text, NULL, NULL) == 0 && text[0] == '1')
		return 0;
	return finding("modprobe br_netfilter && sysctl net.bridge.bridge-nf-call-iptables=1",
		       "isolation: the kernel does not filter bridged packets, so environments can "
		       "reach each other");
}

static unsigned check_capacity(const struct options *options)
{
	const struct resource_limits limits = options_limits(options);
	struct capacity capacity;
	struct error err = ERROR_INIT;
	int r;

	r = resources_read(&limits, &capacity, &err);
	if (r < 0)
		return finding("lower the reserve", "capacity: %s", error_text(&err, r));
	capacity_release(&capacity);
	return 0;
}

struct docker_check {
	struct loop *loop;
	bool done;
	int error;
	char message[512];
};

static void on_version(const struct docker_reply *reply, void *userdata)
{
	struct docker_check *check = userdata;

	check->done = true;
	check->error = reply->error;
	snprintf(check->message, sizeof(check->message), "%s", reply->message);
	loop_stop(check->loop);
}

static int ask_docker(const struct options *options, struct docker_check *check)
{
	_cleanup_(cleanup_loop) struct loop *loop = NULL;
	_cleanup_(cleanup_http_client) struct http_client *client = NULL;
	_cleanup_(cleanup_docker_api) struct docker_api *api = NULL;
	int r;

	r = loop_new(&loop);
	if (r == 0)
		r = http_client_new(&client, loop_base(loop));
	if (r == 0)
		r = docker_api_new(&api, client, options->docker, NULL);
	if (r < 0)
		return r;
	check->loop = loop;
	r = docker_api_connect(api, on_version, check, NULL);
	if (r == 0)
		r = loop_run(loop);
	if (r == 0 && !check->done)
		r = -EINTR;
	return r < 0 ? r : check->error;
}

static unsigned check_docker(const struct options *options)
{
	struct docker_check check = { 0 };
	int r;

	r = ask_docker(options, &check);
	if (r == 0)
		return 0;
	if (r == -ENOTSUP)
		return finding("install a supported version of Docker", "docker: %s",
			       check.message);
	return finding("start Docker, or set docker to its socket", "docker: %s: %s",
		       options->docker, check.message[0] ? check.message : strerror(-r));
}

unsigned check_machine(const struct options *options)
{
	unsigned findings = 0;

	findings += check_address(options);
	findings += check_data_dir(options);
	findings += check_shared_dir(options);
	findings += check_bridge_filter();
	findings += check_capacity(options);
	findings += check_docker(options);
	if (findings == 0)
		printf("No findings.\n");
	return findings;
}
