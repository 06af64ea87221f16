/* SPDX-License-Identifier: GPL-2.0-or-later */
/* agentd's main: options, check or loop. */
#include <stdlib.h>

#include "agentd/agent.h"
#include "agentd/check.h"
#include "agentd/options.h"
#include "lib/log.h"
#include "lib/loop.h"

static int run(const struct options *options)
{
	_cleanup_(cleanup_loop) struct loop *loop = NULL;
	_cleanup_(cleanup_agent) struct agent *agent = NULL;
	struct error err = ERROR_INIT;
	int r;

	r = loop_new(&loop);
	if (r == 0)
		r = agent_new(&agent, loop, options, &err);
	if (r < 0) {
		log_error(NULL, "cannot start: %s", error_text(&err, r));
		return r;
	}
	log_info(NULL, "agentd " PORTICO_VERSION " name=%s address=%s", options->name,
		 options->address);
	/* Waiting for Docker or the scheduler is a state, not a failure to start. */
	loop_ready("Starting");
	r = loop_run(loop);
	log_info(NULL, "ends; containers go on");
	return r;
}

int main(int argc, char **argv)
{
	struct options options = { 0 };
	struct error err = ERROR_INIT;
	enum config_outcome outcome;
	int r;

	r = config_load(&agentd_program, argc, argv, &options, &outcome, NULL, &err);
	if (r == 0 && outcome == CONFIG_RUN)
		r = options_resolve(&options, &err);
	if (r < 0) {
		log_error(NULL, "%s", error_text(&err, r));
		options_clear(&options);
		return EXIT_FAILURE;
	}
	if (outcome == CONFIG_RUN) {
		log_set_level(options.level);
		r = options.check ? -(int)check_machine(&options) : run(&options);
	}
	options_clear(&options);
	return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
