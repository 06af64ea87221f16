/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Findings: what of the machine keeps the gateway from working well, each with the command that
 * mends it. A list that those who look add to; it looks at nothing itself.
 */
#include "gatewayd/finding.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct finding *findings_add(struct findings *findings, enum finding_level level, const char *code,
			     const char *subject, const char *format, ...)
{
	struct finding *finding;
	va_list arguments;

	if (findings->n == FINDINGS_MAX)
		return NULL;
	finding = &findings->items[findings->n++];
	*finding = (struct finding){ .level = level, .code = code };
	(void)snprintf(finding->subject, sizeof(finding->subject), "%s", subject);
	va_start(arguments, format);
	(void)vsnprintf(finding->message, sizeof(finding->message), format, arguments);
	va_end(arguments);
	return finding;
}

void finding_remedy(struct finding *finding, const char *format, ...)
{
	va_list arguments;

	if (!finding)
		return;
	va_start(arguments, format);
	(void)vsnprintf(finding->remedy, sizeof(finding->remedy), format, arguments);
	va_end(arguments);
}

void finding_setting(struct finding *finding, const char *setting, const char *format, ...)
{
	va_list arguments;

	if (!finding)
		return;
	(void)snprintf(finding->setting, sizeof(finding->setting), "%s", setting);
	va_start(arguments, format);
	(void)vsnprintf(finding->value, sizeof(finding->value), format, arguments);
	va_end(arguments);
	finding_remedy(finding, "sysctl -w %s=%s", finding->setting, finding->value);
}

const char *finding_level_name(enum finding_level level)
{
	static const char *const names[FINDING_LEVEL_MAX] = {
		[FINDING_INFO] = "info",
		[FINDING_WARNING] = "warning",
		[FINDING_ERROR] = "error",
	};

	return names[level];
}

bool finding_same(const struct finding *a, const struct finding *b)
{
	return strcmp(a->code, b->code) == 0 && strcmp(a->subject, b->subject) == 0;
}
