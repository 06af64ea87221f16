/* SPDX-License-Identifier: GPL-2.0-or-later */
/* schedd's entry: reads the options, makes the loop and the daemon, and runs until a signal. */
#include <stdio.h>

#include "lib/log.h"
#include "schedd/bootstrap.h"
#include "schedd/daemon.h"

static int run(const struct options *options, struct settings *settings)
{
	_cleanup_(cleanup_loop) struct loop *loop = NULL;
	_cleanup_(cleanup_daemon) struct daemon *daemon = NULL;
	struct error err = ERROR_INIT;
	int r;

	log_set_level(settings->log_level);
	r = loop_new(&loop);
	if (r == 0)
		r = daemon_new(&daemon, loop, options, settings, &err);
	if (r < 0) {
		log_error(NULL, "cannot start: %s", error_text(&err, r));
		return EXIT_FAILURE;
	}
	loop_ready("serving");
	r = loop_run(loop);
	if (r < 0)
		log_error(NULL, "event loop: %s", error_text(NULL, r));
	log_info(NULL, "stopped; hosts and gateways go on with what they have");
	return r < 0 || daemon_failed(daemon) ? EXIT_FAILURE : EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
	struct options options = { 0 };
	struct settings settings = { 0 };
	struct error err = ERROR_INIT;
	enum config_outcome outcome = CONFIG_RUN;
	int r, status = EXIT_SUCCESS;

	r = config_load(&schedd_program, argc, argv, &options, &outcome, NULL, &err);
	if (r == 0 && outcome == CONFIG_RUN)
		r = options_resolve(&options, &settings, &err);
	if (r < 0) {
		log_error(NULL, "configuration: %s", error_text(&err, r));
		status = EXIT_FAILURE;
	} else if (outcome == CONFIG_RUN) {
		if (options.check)
			status = daemon_check(&options, &settings) ? EXIT_SUCCESS : EXIT_FAILURE;
		else if (options.bootstrap)
			status = bootstrap_run(&options, &settings) ? EXIT_SUCCESS : EXIT_FAILURE;
		else
			status = run(&options, &settings);
	}
	settings_clear(&settings);
	config_clear(&schedd_program, &options);
	return status;
}
