/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The way of an environment to its goal, told on stderr. */

#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

#include "schedctl/output.h"
#include "schedctl/progress.h"
#include "schedctl/text.h"

#define BAR_WIDTH 20u
#define STAGES 5u

const char *progress_phase(const json_t *environment, char *buffer, size_t size)
{
	const char *phase = text_field(environment, "phase"),
		   *stage = text_field(environment, "stage");

	(void)snprintf(buffer, size, "%s%s%s", phase, *stage ? "/" : "", stage);
	return buffer;
}

/* The number before the first '%', capped at 100; 0 where there is none. */
static unsigned percent_in(const char *text)
{
	const char *sign = strchr(text, '%'), *c = sign;
	unsigned percent = 0;

	if (!sign)
		return 0;
	while (c > text && c[-1] >= '0' && c[-1] <= '9' && sign - c < 3)
		c--;
	for (; c < sign; c++)
		percent = 10 * percent + (unsigned)(*c - '0');
	return MIN(percent, 100u);
}

unsigned progress_permille(const json_t *environment)
{
	static const char *const stages[STAGES] = { "placing", "pulling", "creating", "starting",
						    "publishing" };
	const char *stage = text_field(environment, "stage");

	if (strcmp(text_field(environment, "phase"), "running") == 0)
		return 1000;
	for (unsigned i = 0; i < STAGES; i++) {
		if (strcmp(stage, stages[i]) == 0)
			return (i * 100 + percent_in(text_field(environment, "reason"))) * 10 /
			       STAGES;
	}
	return 0;
}

static unsigned terminal_width(void)
{
	struct winsize size;

	if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) < 0 || size.ws_col < 20)
		return 80;
	return size.ws_col;
}

static void overwrite(struct progress *progress, unsigned permille, const char *line)
{
	unsigned filled = permille * BAR_WIDTH / 1000;
	char bar[BAR_WIDTH + 1], text[sizeof(progress->last)];

	memset(bar, '.', BAR_WIDTH);
	memset(bar, '#', filled);
	bar[BAR_WIDTH] = '\0';
	(void)snprintf(text, sizeof(text), "%s", line);
	text_make_printable(text);
	text_cut(text, terminal_width() - BAR_WIDTH - 4);
	(void)fprintf(stderr, "\r\033[K[%s] %s", bar, text);
	(void)fflush(stderr);
	progress->open = true;
}

/* A pull's reason changes with each percent, which is for a terminal only; the reason of what
 * stands still is news everywhere. */
static bool reason_is_news(const json_t *environment)
{
	const char *phase = text_field(environment, "phase");

	return strcmp(phase, "creating") != 0;
}

void progress_show(struct progress *progress, const json_t *environment)
{
	const char *reason = text_field(environment, "reason");
	char phase[64], key[sizeof(progress->last)], line[sizeof(progress->last)];

	(void)progress_phase(environment, phase, sizeof(phase));
	(void)snprintf(line, sizeof(line), "%s: %s%s%s", text_field(environment, "name"), phase,
		       *reason ? ": " : "", reason);
	(void)snprintf(key, sizeof(key), "%s",
		       progress->interactive || reason_is_news(environment) ? line : phase);
	if (strcmp(key, progress->last) == 0)
		return;
	memcpy(progress->last, key, sizeof(key));
	if (progress->interactive)
		overwrite(progress, progress_permille(environment), line);
	else
		note("%s", line);
}

void progress_note(struct progress *progress, const char *sentence)
{
	progress_end(progress);
	if (strcmp(sentence, progress->last) == 0)
		return;
	(void)snprintf(progress->last, sizeof(progress->last), "%s", sentence);
	note("%s", sentence);
}

void progress_end(struct progress *progress)
{
	if (progress->open)
		(void)fputc('\n', stderr);
	progress->open = false;
}
