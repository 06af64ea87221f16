/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The inspector looks at the machine again and again, says what is new and what is mended, and sets
 * host settings where the configuration says so. What is wrong is judged by findings.h.
 */
#include "gatewayd/inspector.h"

#include <errno.h>
#include <string.h>

#include "gatewayd/host_setting.h"
#include "lib/clock.h"
#include "lib/log.h"
#include "lib/loop.h"

#define SUBJECT "host"
#define INTERVAL_MS 30000
/* Changes come in flocks. */
#define DOUBT_DELAY_MS 500
/* Of a look that is asked for: whoever asks again and again gets the same answer so long. */
#define FRESH_MS 1000
/* Slots of the ledger that are surveyed in one turn of the loop, some tenths of a millisecond. */
#define SURVEY_STEP 4096
/* And targets whose route is looked up in one. */
#define ROUTE_STEP 64
/* A ledger of so few is surveyed whenever somebody asks. */
#define SURVEY_AT_ONCE (4 * SURVEY_STEP)

struct inspector {
	struct inspector_config config;
	struct listeners listeners;
	struct findings features; /* of the kernel: they stay */
	struct findings machine;  /* of the last look, with features */
	struct findings now;      /* with those of other modules */
	struct findings before;   /* scratch of a look */
	uint64_t looked_at;       /* monotonic ms */
	struct survey *survey;    /* NULL: no mappings are known */
	size_t route_index;       /* the next of its targets whose route is looked up */
	struct event timer, step; /* a look is due; its survey goes on */
	bool doubted;             /* the timer says soon */
	struct metric *count;
};

static const struct finding *find(const struct findings *findings, const struct finding *wanted)
{
	for (size_t i = 0; i < findings->n; i++)
		if (finding_same(&findings->items[i], wanted))
			return &findings->items[i];
	return NULL;
}

static void tell(const struct finding *finding)
{
	static const enum log_level levels[FINDING_LEVEL_MAX] = {
		[FINDING_INFO] = LOG_LEVEL_INFO,
		[FINDING_WARNING] = LOG_LEVEL_WARNING,
		[FINDING_ERROR] = LOG_LEVEL_ERROR,
	};

	log_write(levels[finding->level], SUBJECT, "%s finding=%s remedy=\"%s\"", finding->message,
		  finding->code, finding->remedy);
}

/* True where it is set now. */
static bool set(const struct finding *finding)
{
	_cleanup_free_ char *old = host_setting_read(finding->setting);
	int r = host_setting_write(finding->setting, finding->value);

	if (r < 0) {
		log_error(SUBJECT, "cannot set %s=%s: %s finding=%s", finding->setting,
			  finding->value, strerror(-r), finding->code);
		return false;
	}
	log_info(SUBJECT, "set %s=%s old=\"%s\" finding=%s", finding->setting, finding->value,
		 old ? old : "", finding->code);
	return true;
}

static void collect(struct inspector *inspector)
{
	inspector->machine = inspector->features;
	findings_collect(&inspector->machine, &inspector->config.view);
	inspector->looked_at = clock_monotonic_ms();
}

static void join(struct inspector *inspector)
{
	inspector->now = inspector->machine;
	if (inspector->config.on_collect)
		inspector->config.on_collect(&inspector->now, inspector->config.userdata);
}

/* Only what has just been found is set: what somebody sets back, or cannot be set, is told and
 * left. */
static bool set_new(struct inspector *inspector)
{
	bool any = false;

	for (size_t i = 0; i < inspector->now.n; i++) {
		const struct finding *finding = &inspector->now.items[i];

		if (finding->setting[0] && !find(&inspector->before, finding))
			any |= set(finding);
	}
	return any;
}

static void look(struct inspector *inspector, bool anew)
{
	inspector->before = inspector->now;
	if (anew)
		collect(inspector);
	join(inspector);
	if (inspector->config.set && set_new(inspector)) {
		collect(inspector);
		join(inspector);
	}
	for (size_t i = 0; i < inspector->now.n; i++)
		if (!find(&inspector->before, &inspector->now.items[i]))
			tell(&inspector->now.items[i]);
	for (size_t i = 0; i < inspector->before.n; i++)
		if (!find(&inspector->now, &inspector->before.items[i]))
			log_info(SUBJECT, "no longer: %s finding=%s",
				 inspector->before.items[i].message,
				 inspector->before.items[i].code);
}

static void on_step(evutil_socket_t fd, short what, void *userdata)
{
	struct inspector *inspector = userdata;

	if (inspector->survey &&
	    (!survey_step(inspector->survey, SURVEY_STEP) ||
	     !findings_find_routes(&inspector->config.view, &inspector->route_index, ROUTE_STEP))) {
		(void)loop_timer_arm(&inspector->step, 0);
		return;
	}
	look(inspector, true);
	if (!evtimer_pending(&inspector->timer, NULL)) /* else somebody doubted meanwhile */
		(void)loop_timer_arm(&inspector->timer, INTERVAL_MS);
}

/* Without memory for a survey the last one stays. */
static void on_timer(evutil_socket_t fd, short what, void *userdata)
{
	struct inspector *inspector = userdata;

	inspector->doubted = false;
	if (inspector->survey)
		(void)!survey_begin(inspector->survey);
	inspector->route_index = 0;
	(void)loop_timer_arm(&inspector->step, 0);
}

/* Routes that never come to rest do not put it off. */
void inspector_doubt(struct inspector *inspector)
{
	if (!inspector->doubted)
		(void)loop_timer_arm(&inspector->timer, DOUBT_DELAY_MS);
	inspector->doubted = true;
}

const struct findings *inspector_findings(struct inspector *inspector)
{
	bool anew = clock_monotonic_ms() - inspector->looked_at >= FRESH_MS;

	if (anew && inspector->survey && inspector->config.view.ledger->n_slots <= SURVEY_AT_ONCE)
		(void)!survey_take(inspector->survey);
	look(inspector, anew);
	return &inspector->now;
}

static void meter(void *userdata)
{
	const struct inspector *inspector = userdata;
	unsigned counts[FINDING_LEVEL_MAX] = { 0 };

	for (size_t i = 0; i < inspector->now.n; i++)
		counts[inspector->now.items[i].level]++;
	for (int level = 0; level < FINDING_LEVEL_MAX; level++) {
		const char *const values[] = { finding_level_name(level), NULL };

		metric_set(inspector->count, values, counts[level]);
	}
}

static int open_survey(struct inspector *inspector)
{
	int r;

	if (!inspector->config.view.ledger)
		return 0;
	r = survey_new(&inspector->survey, inspector->config.view.ledger);
	if (r == 0)
		r = survey_take(inspector->survey);
	inspector->config.view.survey = inspector->survey;
	return r;
}

int inspector_new(struct inspector **ret, struct event_base *base,
		  const struct inspector_config *config, struct metrics *metrics)
{
	static const char *const by_level[] = { "level", NULL };
	_cleanup_(cleanup_inspector) struct inspector *inspector = calloc(1, sizeof(*inspector));
	int r;

	if (!inspector)
		return -ENOMEM;
	inspector->config = *config;
	inspector->listeners = LISTENERS_INIT;
	(void)evtimer_assign(&inspector->timer, base, on_timer, inspector);
	(void)evtimer_assign(&inspector->step, base, on_step, inspector);
	inspector->count =
		metrics_register(metrics, METRIC_GAUGE, "portico_gateway_findings",
				 "What of the machine keeps it from working well", by_level);
	r = metrics_on_write(metrics, meter, inspector);
	if (r < 0)
		return r;
	r = open_survey(inspector);
	if (r < 0)
		return r;
	/* Without sock_diag there is one finding fewer; the guard has said so. */
	if (listeners_open(&inspector->listeners) == 0)
		inspector->config.view.listeners = &inspector->listeners;
	findings_features(&inspector->features, config->no_flowtable);
	look(inspector, true);
	(void)loop_timer_arm(&inspector->timer, INTERVAL_MS);
	*ret = TAKE_PTR(inspector);
	return 0;
}

void inspector_free(struct inspector *inspector)
{
	if (!inspector)
		return;
	event_del(&inspector->timer);
	event_del(&inspector->step);
	survey_free(inspector->survey);
	listeners_close(&inspector->listeners);
	free(inspector);
}
