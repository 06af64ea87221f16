/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Findings: what of the machine keeps the gateway from working well, each with the command that
 * mends it. A list that those who look add to; it looks at nothing itself.
 */
#pragma once

#include "lib/util.h"

#define FINDINGS_MAX 64

enum finding_level {
	FINDING_INFO,    /* works; could be better */
	FINDING_WARNING, /* does not work for some, or not always */
	FINDING_ERROR,   /* does not work at all */
	FINDING_LEVEL_MAX,
};

struct finding {
	enum finding_level level;
	const char *code; /* static, for programs: "ip_forward" */
	char subject[48]; /* of several with one code: which; "" if there can be only one */
	char message[240];
	char remedy[240]; /* a command */
	/* Where a host setting mends it, "" where not: "net.ipv4.ip_forward" and "1". */
	char setting[80];
	char value[160];
};

struct findings {
	struct finding items[FINDINGS_MAX];
	size_t n;
};

/* Adds one, without a remedy. NULL where there is no more room, which the next two accept. */
struct finding *findings_add(struct findings *findings, enum finding_level level, const char *code,
			     const char *subject, const char *format, ...) _printf_(5, 6);
void finding_remedy(struct finding *finding, const char *format, ...) _printf_(2, 3);
/* A host setting and its value; the remedy is the sysctl command that sets it. */
void finding_setting(struct finding *finding, const char *setting, const char *format, ...)
	_printf_(3, 4);

/* "info", "warning", "error". */
const char *finding_level_name(enum finding_level level);
/* Whether it is the same one, perhaps with other numbers. */
bool finding_same(const struct finding *a, const struct finding *b);
