/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The messages of a pull, as Docker 20.10 sends them. */
#include <criterion/criterion.h>
#include <string.h>

#include "agentd/pull_progress.h"

static void feed(struct pull_progress *progress, const char *text)
{
	json_t *json = json_loads(text, 0, NULL);

	cr_assert(json, "%s", text);
	pull_progress_feed(progress, json);
	json_decref(json);
}

Test(pull_progress, counts_bytes)
{
	struct pull_progress progress = { 0 };

	cr_expect_eq(pull_progress_percent(&progress), -1);
	feed(&progress, "{\"status\":\"Pulling from library/debian\",\"id\":\"bookworm\"}");
	cr_expect_eq(pull_progress_percent(&progress), -1, "a tag is no layer");
	feed(&progress,
	     "{\"status\":\"Pulling fs layer\",\"progressDetail\":{},\"id\":\"0123456789ab\"}");
	feed(&progress,
	     "{\"status\":\"Pulling fs layer\",\"progressDetail\":{},\"id\":\"0123456789ac\"}");
	cr_expect_eq(pull_progress_percent(&progress), 0);
	feed(&progress, "{\"status\":\"Downloading\",\"progressDetail\":{\"current\":1048576,"
			"\"total\":4194304},\"id\":\"0123456789ab\"}");
	cr_expect_eq(pull_progress_percent(&progress), 25);
	feed(&progress, "{\"status\":\"Downloading\",\"progressDetail\":{\"current\":4194304,"
			"\"total\":12582912},\"id\":\"0123456789ac\"}");
	cr_expect_eq(pull_progress_percent(&progress), 31);
	feed(&progress, "{\"status\":\"Download complete\",\"progressDetail\":{},"
			"\"id\":\"0123456789ac\"}");
	feed(&progress, "{\"status\":\"Download complete\",\"progressDetail\":{},"
			"\"id\":\"0123456789ab\"}");
	cr_expect_eq(pull_progress_percent(&progress), 99, "it is still to be unpacked");
	feed(&progress, "{\"status\":\"Extracting\",\"progressDetail\":{\"current\":1,\"total\":2},"
			"\"id\":\"0123456789ab\"}");
	cr_expect_eq(pull_progress_percent(&progress), 99);
	feed(&progress, "{\"status\":\"Pull complete\",\"id\":\"0123456789ab\"}");
	feed(&progress, "{\"status\":\"Pull complete\",\"id\":\"0123456789ac\"}");
	cr_expect_eq(pull_progress_percent(&progress), 100);
}

Test(pull_progress, layers_that_are_there_already)
{
	struct pull_progress progress = { 0 };

	feed(&progress, "{\"status\":\"Already exists\",\"id\":\"0123456789ab\"}");
	cr_expect_eq(pull_progress_percent(&progress), 100);
	feed(&progress, "{\"status\":\"Waiting\",\"id\":\"0123456789ac\"}");
	cr_expect_eq(pull_progress_percent(&progress), 50);
}

Test(pull_progress, error_of_the_stream)
{
	struct pull_progress progress = { 0 };

	feed(&progress, "{\"errorDetail\":{\"message\":\"manifest unknown\"},\"error\":\"old\"}");
	cr_expect_str_eq(progress.error, "manifest unknown");
	feed(&progress, "{\"error\":\"only this\"}");
	cr_expect_str_eq(progress.error, "only this");
}

Test(pull_progress, survives_noise_and_too_many_layers)
{
	struct pull_progress progress = { 0 };
	char text[128];

	feed(&progress, "{}");
	feed(&progress, "{\"id\":7,\"status\":[]}");
	feed(&progress, "{\"id\":\"0123456789ab\",\"status\":\"Downloading\","
			"\"progressDetail\":{\"current\":-5,\"total\":\"x\"}}");
	for (int i = 0; i < PULL_LAYERS_MAX + 50; i++) {
		snprintf(text, sizeof(text), "{\"status\":\"Waiting\",\"id\":\"%012x\"}", i);
		feed(&progress, text);
	}
	cr_expect_eq(progress.n_layers, PULL_LAYERS_MAX);
	cr_expect_eq(pull_progress_percent(&progress), 0);
}
