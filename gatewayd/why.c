/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Why a port works or does not: walks the way of a packet from the public address to the host's
 * service, step by step, and names the first hop that is broken. It looks, opens one connection to
 * the target, and changes nothing.
 */
#include "gatewayd/why.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "gatewayd/shape.h"

struct walk {
	struct why *why;
	struct mapping_key key;
	struct address source;
	struct probe *probe;
	void (*on_done)(json_t *answer, const struct error *err, void *userdata);
	void *userdata;
};

struct why {
	struct event_base *base;
	struct why_view view;
	struct listeners listeners;
	struct walk *walks[WHY_WALKS_MAX];
};

/* ---- reports ---- */

struct why_step *why_add(struct why_report *report, const char *name, enum why_verdict verdict,
			 const char *format, ...)
{
	struct why_step *step;
	va_list arguments;

	if (report->n == WHY_STEPS_MAX)
		return NULL;
	step = &report->steps[report->n++];
	*step = (struct why_step){ .name = name, .verdict = verdict };
	va_start(arguments, format);
	(void)vsnprintf(step->message, sizeof(step->message), format, arguments);
	va_end(arguments);
	return step;
}

void why_remedy(struct why_step *step, const char *format, ...)
{
	va_list arguments;

	if (!step)
		return;
	va_start(arguments, format);
	(void)vsnprintf(step->remedy, sizeof(step->remedy), format, arguments);
	va_end(arguments);
}

static json_t *encode_steps(const struct why_report *report)
{
	static const char *const verdicts[WHY_VERDICT_MAX] = {
		[WHY_OK] = "ok",
		[WHY_FAIL] = "fail",
		[WHY_WARN] = "warn",
		[WHY_UNKNOWN] = "unknown",
	};
	json_t *array = json_array();

	for (size_t i = 0; array && i < report->n; i++) {
		const struct why_step *step = &report->steps[i];
		json_t *item = json_pack("{s:s, s:s, s:s, s:s}", "name", step->name, "result",
					 verdicts[step->verdict], "message", step->message,
					 "remedy", step->remedy);

		if (json_array_append_new(array, item) < 0) {
			json_decref(array);
			return NULL;
		}
	}
	return array;
}

static json_t *encode_target(const struct entry *entry)
{
	char text[ADDRESS_STRING_MAX];

	if (!entry)
		return json_null();
	return json_pack("{s:s, s:i}", "address", address_format(&entry->target.address, text),
			 "port", (int)entry->target.port);
}

static json_t *encode(const struct why_subject *subject, const struct why_report *report)
{
	const char *broken = NULL;
	char text[ADDRESS_STRING_MAX];

	for (size_t i = 0; i < report->n && !broken; i++)
		if (report->steps[i].verdict == WHY_FAIL)
			broken = report->steps[i].name;
	return json_pack("{s:s, s:s, s:i, s:o, s:s?, s:o}", "address",
			 address_format(&subject->key.address, text), "protocol",
			 protocol_name(subject->key.protocol), "port", (int)subject->key.port,
			 "target", encode_target(subject->entry), "broken", broken, "steps",
			 encode_steps(report));
}

/* ---- walks ---- */

static const struct entry *find_entry(const struct why *why, const struct mapping_key *key)
{
	const struct entry *entry = ledger_find(why->view.machine.ledger, key);

	return entry && (entry->flags & ENTRY_DESIRED) ? entry : NULL;
}

bool why_speaks_first(const struct entry *entry)
{
	struct shape_label label;

	shape_label_parse(entry->label, &label);
	return strcmp(label.service, "ssh") == 0 || entry->target.port == 22;
}

static void end_walk(struct walk *walk, json_t *answer, const struct error *err)
{
	for (size_t i = 0; i < WHY_WALKS_MAX; i++)
		if (walk->why->walks[i] == walk)
			walk->why->walks[i] = NULL;
	walk->on_done(answer, err, walk->userdata);
	free(walk);
}

/* The mapping may have changed while the probe was on its way: all else is as of now. */
static void conclude(struct walk *walk, const struct probe_result *probe)
{
	struct why_report *report = calloc(1, sizeof(*report));
	struct why_subject subject = { .view = &walk->why->view,
				       .key = walk->key,
				       .source = walk->source,
				       .entry = find_entry(walk->why, &walk->key) };
	struct error err = ERROR_INIT;
	json_t *answer = NULL;

	if (probe) {
		subject.probed = true;
		subject.probe = *probe;
	}
	if (report) {
		why_run_checks(&subject, report);
		answer = encode(&subject, report);
	}
	if (!answer)
		error_set(&err, -ENOMEM, "internal", NULL, "out of memory");
	free(report);
	end_walk(walk, answer, &err);
}

static void on_probed(const struct probe_result *result, void *userdata)
{
	struct walk *walk = userdata;

	walk->probe = NULL;
	conclude(walk, result);
}

/* A probe first: it also makes the kernel ask for its neighbour. */
static void start(struct walk *walk)
{
	const struct entry *entry = find_entry(walk->why, &walk->key);
	struct probe_result failed = { 0 };
	int r;

	if (!entry || walk->key.protocol != PROTOCOL_TCP) {
		conclude(walk, NULL);
		return;
	}
	r = probe_start(&walk->probe, walk->why->base, &entry->target, why_speaks_first(entry),
			on_probed, walk);
	if (r < 0) {
		failed.errnum = r;
		conclude(walk, &failed);
	}
}

void why_walk(struct why *why, const struct mapping_key *key, const struct address *source,
	      void (*on_done)(json_t *answer, const struct error *err, void *userdata),
	      void *userdata)
{
	struct error err = ERROR_INIT;
	struct walk *walk = NULL;
	size_t slot = 0;

	while (slot < WHY_WALKS_MAX && why->walks[slot])
		slot++;
	if (slot == WHY_WALKS_MAX)
		error_set(&err, -EAGAIN, "busy", NULL,
			  "%d ports are looked into already: ask again in some seconds",
			  WHY_WALKS_MAX);
	else
		walk = calloc(1, sizeof(*walk));
	if (!walk) {
		error_set(&err, -ENOMEM, "internal", NULL, "out of memory");
		on_done(NULL, &err, userdata);
		return;
	}
	*walk = (struct walk){
		.why = why, .key = *key, .source = *source, .on_done = on_done, .userdata = userdata
	};
	why->walks[slot] = walk;
	start(walk);
}

int why_new(struct why **ret, struct event_base *base, const struct why_view *view)
{
	struct why *why = calloc(1, sizeof(*why));

	if (!why)
		return -ENOMEM;
	why->base = base;
	why->view = *view;
	why->listeners = LISTENERS_INIT;
	if (listeners_open(&why->listeners) == 0)
		why->view.machine.listeners = &why->listeners;
	*ret = why;
	return 0;
}

void why_free(struct why *why)
{
	struct error err = ERROR_INIT;

	if (!why)
		return;
	error_set(&err, -ECANCELED, "stopping", NULL, "gatewayd is stopping");
	for (size_t i = 0; i < WHY_WALKS_MAX; i++) {
		if (!why->walks[i])
			continue;
		probe_cancel(why->walks[i]->probe);
		end_walk(why->walks[i], NULL, &err);
	}
	listeners_close(&why->listeners);
	free(why);
}
