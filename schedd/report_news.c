/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reports of hosts, container by container. */
#include "schedd/report_news.h"

#include <stdlib.h>
#include <string.h>

static int compare_containers(const void *a, const void *b)
{
	return strcmp(((const struct container_report *)a)->environment,
		      ((const struct container_report *)b)->environment);
}

void report_sort(struct host_report *report)
{
	if (report->n_containers > 0)
		qsort(report->containers, report->n_containers, sizeof(*report->containers),
		      compare_containers);
}

static int compare_to_id(const void *id, const void *container)
{
	return strcmp(id, ((const struct container_report *)container)->environment);
}

const struct container_report *report_container(const struct host_report *report,
						const char *environment)
{
	if (report->n_containers == 0)
		return NULL;
	return bsearch(environment, report->containers, report->n_containers,
		       sizeof(*report->containers), compare_to_id);
}

static bool same_text(const char *a, const char *b)
{
	return strcmp(a ? a : "", b ? b : "") == 0;
}

static bool same_services(const struct container_report *a, const struct container_report *b)
{
	if (a->n_services != b->n_services)
		return false;
	for (size_t i = 0; i < a->n_services; i++)
		if (strcmp(a->services[i].service, b->services[i].service) != 0 ||
		    a->services[i].protocol != b->services[i].protocol ||
		    endpoint_compare(&a->services[i].endpoint, &b->services[i].endpoint) != 0)
			return false;
	return true;
}

static bool same_container(const struct container_report *a, const struct container_report *b)
{
	if (!a || !b)
		return a == b;
	return a->state == b->state && a->exit_code == b->exit_code && a->crashes == b->crashes &&
	       a->next_try == b->next_try && same_text(a->reason, b->reason) && same_services(a, b);
}

bool report_has_news(const struct host_report *before, const struct host_report *now,
		     const struct environment *environment)
{
	const char *id = environment->origin->id;
	uint64_t assigned = environment->assignment_revision;

	return (before->revision >= assigned) != (now->revision >= assigned) ||
	       !same_text(before->engine_error, now->engine_error) ||
	       !same_container(report_container(before, id), report_container(now, id));
}
