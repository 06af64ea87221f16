/* SPDX-License-Identifier: GPL-2.0-or-later */
/* "env ssh": becomes OpenSSH, with the environment's port and its host key known beforehand. The
 * user's own known_hosts is neither read for it nor written.
 */

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <string.h>

#include "schedctl/env.h"
#include "schedctl/known_hosts.h"
#include "schedctl/progress.h"
#include "schedctl/text.h"

#define SSH_OPTIONS_MAX 24

struct target {
	const char *id, *user, *address, *host_key; /* borrowed from the answer */
	uint64_t port;
};

struct command_line {
	const char **items; /* owned array of borrowed strings, NULL-terminated */
	size_t n;
};

/* What becomes a word of ssh's command line must not be taken for an option of it, whatever a
 * server says. */
static bool is_safe_word(const char *text)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789_.:-";

	return *text != '\0' && *text != '-' && text[strspn(text, allowed)] == '\0';
}

static int find_target(const json_t *environment, const char *name, struct target *ret,
		       struct error *err)
{
	const json_t *port = env_find_port(environment, "ssh");
	const char *reason = text_field(environment, "reason");
	char phase[64];

	(void)progress_phase(environment, phase, sizeof(phase));
	if (strcmp(phase, "running") != 0)
		return error_set(err, -EPERM, "refused", NULL,
				 "%s is %s%s%s; schedctl env watch %s shows when it runs", name,
				 phase, *reason ? ": " : "", reason, name);
	if (!port)
		return error_set(err, -EPERM, "refused", NULL,
				 "%s has no service \"ssh\"; schedctl env show %s lists its ports",
				 name, name);
	*ret = (struct target){
		.id = text_field(environment, "id"),
		.user = text_field(environment, "user"),
		.address = text_field(port, "address"),
		.host_key = text_field(environment, "ssh_host_key"),
		.port = number_field(port, "port"),
	};
	if (!is_safe_word(ret->id) || !is_safe_word(ret->user) || !is_safe_word(ret->address) ||
	    ret->port == 0 || ret->port > 65535)
		return error_set(err, -EPROTO, "protocol", NULL,
				 "the answer for %s does not say how to connect", name);
	return 0;
}

static void add(struct command_line *line, const char *word)
{
	line->items[line->n++] = word;
}

static void add_option(struct command_line *line, const char *option)
{
	add(line, "-o");
	add(line, option);
}

/* Without a key from the server the first one seen is kept: its own file is then the memory. */
static const char *checking(const struct target *target)
{
	return *target->host_key ? "StrictHostKeyChecking=yes" : "StrictHostKeyChecking=accept-new";
}

/* Runs ssh in place of this program; comes back only where that fails. */
static int become_ssh(const struct target *target, const char *known_hosts, const struct args *args,
		      struct error *err)
{
	_cleanup_free_ const char **items =
		calloc(args->n_positional + SSH_OPTIONS_MAX, sizeof(*items));
	struct command_line line = { .items = items };
	char port[8], alias[256];

	if (!items)
		return -ENOMEM;
	(void)snprintf(port, sizeof(port), "%" PRIu64, target->port);
	(void)snprintf(alias, sizeof(alias), "HostKeyAlias=%s", target->id);
	add(&line, "ssh");
	add(&line, "-p");
	add(&line, port);
	add(&line, "-l");
	add(&line, target->user);
	add_option(&line, known_hosts);
	add_option(&line, "GlobalKnownHostsFile=/dev/null");
	add_option(&line, checking(target));
	add_option(&line, "UpdateHostKeys=no");
	add_option(&line, alias);
	add(&line, target->address);
	/* ssh takes options behind the address too; "--" ends them where a command is meant. */
	if (!args->after_dashes && args->n_positional > 1)
		add(&line, "--");
	for (size_t i = 1; i < args->n_positional; i++)
		add(&line, args->positional[i]);
	(void)signal(SIGPIPE, SIG_DFL);
	(void)execvp("ssh", (char *const *)line.items);
	return error_set(err, -errno == -EINVAL ? -EIO : -ECANCELED, "failed", NULL,
			 "cannot run ssh: %s; install OpenSSH's client", strerror(errno));
}

int env_ssh(struct context *context, const struct args *args, struct error *err)
{
	_cleanup_json_ json_t *environment = NULL;
	_cleanup_free_ char *option = NULL;
	const char *name = args->positional[0];
	struct target target = { 0 };
	int r;

	r = env_fetch(context, name, &environment, err);
	if (r == 0)
		r = find_target(environment, name, &target, err);
	if (r == 0)
		r = known_hosts_write(target.id, target.host_key, &option, err);
	if (r < 0)
		return r;
	return become_ssh(&target, option, args, err);
}
