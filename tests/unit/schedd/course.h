/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A course of life: hosts with agents that do what they are told, and what a test wants to happen
 * to them, a gateway, clients that ask until they are answered, and a leader that is killed at a
 * commit of the plan. Nothing runs twice on the way; where it ends is a text to compare. */
#pragma once

#include <inttypes.h>

#include "tests/unit/schedd/world.h"

#define HOSTS 3
#define BOXES 4
#define ROUND_MS 250
#define ROUNDS_MAX 2000
/* So long without a change is the end: longer than any lease, and than a port rests. */
#define REST_ROUNDS ((WORLD_LEASE_MS + WORLD_MARGIN_MS + WORLD_QUARANTINE_S * 1000) / ROUND_MS)

/* What a host has of one environment, and what becomes of it there. */
struct box {
	char environment[RECORD_ID_MAX];
	bool wanted, runs_as_wanted, movable, exists;
	enum container_state state;
	int exit_code, port;
	unsigned crashes;
};

/* What the containers do that have nobody to tell them. */
enum mood {
	WELL,
	SILENT_SERVICE, /* it is up and does not answer */
	ENDED_WELL,     /* for good */
	ENDED_BADLY,
	GIVEN_UP, /* by the host */
	RESTARTS, /* the host starts it again, once */
	CRASHES,  /* again and again: down */
	CRASHES_UP,
	RECOVERED, /* and it has answered for a while */
	RE_POINTED,
};

struct machine {
	const char *name;
	bool registered, away, slow; /* it takes no further step */
	uint64_t revision, epoch, lease_until;
	struct box boxes[BOXES];
};

/* When the leader is killed. */
struct plan {
	unsigned at;   /* this commit; 0: none */
	bool happened; /* it was committed, and nobody was told */
	bool every;    /* each commit, told to nobody by the one who made it */
};

static struct course {
	const char *name;
	struct plan plan;
	unsigned commits;
	struct machine machines[HOSTS];
	enum mood mood;
	bool gateway_away, gateway_slow;
	int next_port;
	bool answered, crashed;
	bool rests; /* nothing more is asked for */
} course;

#define require(rule, ...)                                                                     \
	do {                                                                                   \
		char _why[ERROR_MESSAGE_MAX + 100];                                            \
		(void)snprintf(_why, sizeof(_why), __VA_ARGS__);                               \
		cr_assert(rule, "%s, killed at commit %u%s%s, now %u: %s", course.name,        \
			  course.plan.at, course.plan.happened ? " once it has happened" : "", \
			  course.plan.every ? " (at every one)" : "", course.commits, _why);   \
	} while (0)

/* ---- a host ---- */

static struct box *find_box(struct machine *machine, const char *environment)
{
	struct box *free_one = NULL;

	for (size_t i = 0; i < BOXES; i++) {
		struct box *box = &machine->boxes[i];

		if (strcmp(box->environment, environment) == 0)
			return box;
		if (!box->exists && !box->wanted)
			free_one = box;
	}
	cr_assert(free_one);
	*free_one = (struct box){ .exit_code = EXIT_CODE_NONE };
	(void)snprintf(free_one->environment, sizeof(free_one->environment), "%s", environment);
	return free_one;
}

static void receive(struct machine *machine)
{
	const struct state *state = &world.scheduler->state;
	struct environment_entry *entry;

	machine->epoch = state->epoch;
	machine->revision = state->revision;
	for (size_t i = 0; i < BOXES; i++)
		machine->boxes[i].wanted = false;
	STATE_FOREACH(state, RECORD_ENVIRONMENT, entry)
	{
		const struct environment *row = environment_committed(entry);
		struct box *box;

		if (!row || row->assignment == ASSIGNMENT_NONE ||
		    strcmp(row->host, machine->name) != 0)
			continue;
		box = find_box(machine, entry->entry.id);
		box->wanted = true;
		box->runs_as_wanted = row->assignment == ASSIGNMENT_RUNNING;
		box->movable = environment_spec_is_movable(&row->origin->spec);
	}
}

static bool box_runs(const struct box *box)
{
	return box->exists && (box->state == CONTAINER_STARTING || box->state == CONTAINER_READY ||
			       box->state == CONTAINER_STOPPING);
}

static void start_box(struct box *box)
{
	box->state = CONTAINER_STARTING;
	box->port = 40000 + course.next_port++;
}

static void keep_lease(struct machine *machine)
{
	for (size_t i = 0; i < BOXES; i++) {
		struct box *box = &machine->boxes[i];

		if (box->movable && machine->lease_until <= world.ms && box_runs(box))
			box->state = CONTAINER_STOPPED;
	}
}

/* One step towards its end: stop first, then remove. */
static void step_away(struct box *box)
{
	if (box->state == CONTAINER_STOPPING)
		box->state = CONTAINER_STOPPED;
	else if (box_runs(box))
		box->state = CONTAINER_STOPPING;
	else if (box->state == CONTAINER_REMOVING || box->state == CONTAINER_PULLING)
		*box = (struct box){ .exit_code = EXIT_CODE_NONE };
	else
		box->state = CONTAINER_REMOVING;
}

static void step_to_stop(struct box *box)
{
	if (box_runs(box) && box->state != CONTAINER_STOPPING)
		box->state = CONTAINER_STOPPING;
	else
		box->state = CONTAINER_STOPPED;
	box->crashes = 0;
	if (course.mood != SILENT_SERVICE)
		course.mood = WELL; /* it gets another go */
}

static void end_box(struct box *box, enum container_state state, int exit_code, unsigned crashes)
{
	box->state = state;
	box->exit_code = exit_code;
	box->crashes = crashes;
}

/* What its program does, once it has been ready. */
static void step_by_mood(struct box *box)
{
	switch (course.mood) {
	case WELL:
		box->state = CONTAINER_READY;
		break;
	case SILENT_SERVICE:
		box->state = CONTAINER_STARTING;
		break;
	case ENDED_WELL:
		end_box(box, CONTAINER_STOPPED, 0, 0);
		break;
	case ENDED_BADLY:
		end_box(box, CONTAINER_STOPPED, 3, 0);
		break;
	case GIVEN_UP:
		end_box(box, CONTAINER_FAILED, EXIT_CODE_NONE, 0);
		break;
	case RESTARTS:
		box->state = CONTAINER_STOPPING;
		course.mood = WELL;
		break;
	case CRASHES:
		end_box(box, CONTAINER_STARTING, 1, 3);
		break;
	case CRASHES_UP:
		end_box(box, CONTAINER_READY, 1, 5);
		break;
	case RECOVERED:
		end_box(box, CONTAINER_READY, 1, 0);
		break;
	case RE_POINTED:
		start_box(box);
		box->state = CONTAINER_READY;
		course.mood = WELL;
		break;
	}
}

static void step_to_run(const struct machine *machine, struct box *box)
{
	if (box->movable && machine->lease_until <= world.ms)
		return;
	if (!box->exists) {
		box->exists = true;
		box->state = CONTAINER_PULLING;
		return;
	}
	switch (box->state) {
	case CONTAINER_PULLING:
		box->state = CONTAINER_CREATING;
		break;
	case CONTAINER_WAITING:
	case CONTAINER_CREATING:
	case CONTAINER_STOPPING:
	case CONTAINER_REMOVING:
		start_box(box);
		break;
	case CONTAINER_STARTING:
	case CONTAINER_READY:
		step_by_mood(box);
		break;
	case CONTAINER_STOPPED:
	case CONTAINER_FAILED:
		if (course.mood == WELL || course.mood == SILENT_SERVICE)
			start_box(box);
		break;
	case CONTAINER_STATE_MAX:
	case CONTAINER_STATE_INVALID:
		break;
	}
}

static void act(struct machine *machine)
{
	for (size_t i = 0; i < BOXES; i++) {
		struct box *box = &machine->boxes[i];

		if (!box->wanted && box->exists)
			step_away(box);
		else if (box->wanted && box->runs_as_wanted)
			step_to_run(machine, box);
		else if (box->wanted && box->exists)
			step_to_stop(box);
	}
}

static json_t *container_of(const struct machine *machine, const struct box *box)
{
	json_t *json =
		json_pack("{s:s, s:I, s:s, s:I}", "environment", box->environment, "revision",
			  (json_int_t)machine->revision, "state", container_state_name(box->state),
			  "crashes", (json_int_t)box->crashes);

	if (box->exit_code != EXIT_CODE_NONE)
		json_object_set_new(json, "exit_code", json_integer(box->exit_code));
	if (box->state == CONTAINER_STARTING || box->state == CONTAINER_READY)
		json_object_set_new(json, "services",
				    json_pack("[{s:s, s:s, s:i}]", "service", "ssh", "address",
					      "10.0.1.2", "port", box->port));
	return json;
}

static void report(struct machine *machine)
{
	_cleanup_json_ json_t *containers = json_array();
	_cleanup_json_ json_t *json = NULL;
	struct error err = ERROR_INIT;
	struct host_report decoded;
	uint64_t lease_ms;

	for (size_t i = 0; i < BOXES; i++)
		if (machine->boxes[i].exists)
			json_array_append_new(containers,
					      container_of(machine, &machine->boxes[i]));
	json = json_pack("{s:I, s:I, s:{s:i, s:I}, s:O}", "epoch", (json_int_t)machine->epoch,
			 "revision", (json_int_t)machine->revision, "capacity", "cpu_milli", 1000,
			 "memory_bytes", (json_int_t)8 << 30, "containers", containers);
	require(host_report_decode(json, &decoded, &err) == 0, "%s", err.message);
	if (scheduler_report_host(world.scheduler, machine->name, &decoded, &err) == 0 &&
	    scheduler_grants_lease(world.scheduler, machine->name, &lease_ms))
		machine->lease_until = world.ms + lease_ms;
	host_report_clear(&decoded);
}

static void gateway_reports(void)
{
	_cleanup_json_ json_t *json =
		json_pack("{s:I, s:I, s:i, s:[]}", "epoch", (json_int_t)world.epoch, "revision",
			  (json_int_t)world.scheduler->state.revision, "mappings", 0, "failed");
	struct error err = ERROR_INIT;
	struct gateway_report decoded;

	require(gateway_report_decode(json, &decoded, &err) == 0, "%s", err.message);
	require(scheduler_report_gateway(world.scheduler, "gw1", &decoded, &err) == 0, "%s",
		err.message);
	gateway_report_clear(&decoded);
}

/* ---- time, commits and kills ---- */

static void kill_leader(bool happened)
{
	world_crash(happened);
	course.crashed = true;
}

static void reach_commit(void)
{
	course.commits++;
	if (course.plan.every && !course.rests && world.flight->n > 0)
		kill_leader(true);
	else if (course.commits == course.plan.at)
		kill_leader(course.plan.happened);
	else
		world_commit();
}

static void turn(void)
{
	for (int i = 0; i < 100; i++) {
		world_turn();
		if (!world.flight)
			return;
		reach_commit();
	}
	require(false, "%s", "it does not come to rest");
}

static void check_copies(void)
{
	for (size_t i = 0; i < HOSTS * BOXES; i++) {
		const struct box *box = &course.machines[i / BOXES].boxes[i % BOXES];
		unsigned running = 0;

		for (size_t j = 0; j < HOSTS * BOXES; j++) {
			const struct box *other = &course.machines[j / BOXES].boxes[j % BOXES];

			running += box_runs(box) && box_runs(other) &&
				   strcmp(box->environment, other->environment) == 0;
		}
		require(running <= 1, "%s runs on %u hosts", box->environment, running);
	}
}

static void live(void)
{
	world.ms += ROUND_MS;
	for (size_t i = 0; i < HOSTS; i++) {
		struct machine *machine = &course.machines[i];

		keep_lease(machine);
		if (machine->registered && !machine->away)
			report(machine);
	}
	if (!course.gateway_away && !course.gateway_slow)
		gateway_reports();
	turn();
	for (size_t i = 0; i < HOSTS; i++) {
		struct machine *machine = &course.machines[i];

		if (!machine->registered || machine->away || machine->slow)
			continue;
		receive(machine);
		act(machine);
	}
	check_copies();
}

static void live_for(uint64_t ms)
{
	for (uint64_t until = world.ms + ms; world.ms < until;)
		live();
}

/* ---- what is there ---- */

struct picture {
	char *lines[64];
	size_t n;
};

static void add(struct picture *picture, const char *format, ...) _printf_(2, 3);

static void add(struct picture *picture, const char *format, ...)
{
	va_list arguments;

	cr_assert(picture->n < ARRAY_SIZE(picture->lines));
	va_start(arguments, format);
	cr_assert(vasprintf(&picture->lines[picture->n++], format, arguments) > 0);
	va_end(arguments);
}

/* Without times, which a kill may change. */
static const char *plain(const char *reason, char buffer[REASON_MAX])
{
	size_t n = 0;

	for (; *reason; reason++) {
		bool digit = *reason >= '0' && *reason <= '9';

		if (!digit || n == 0 || buffer[n - 1] != '#')
			buffer[n++] = digit ? '#' : *reason;
	}
	buffer[n] = '\0';
	return buffer;
}

static void add_rows(struct picture *picture)
{
	const struct state *state = &world.scheduler->state;
	struct environment_entry *environment;
	struct host_entry *host;
	struct port_entry *port;
	char reason[REASON_MAX];

	STATE_FOREACH(state, RECORD_HOST, host)
	add(picture, "%s online=%d mode=%s environments=%u", host->entry.id,
	    host_newest(host)->online, host_mode_name(host_newest(host)->mode),
	    host->newest.environments);
	STATE_FOREACH(state, RECORD_ENVIRONMENT, environment)
	{
		const struct environment *row = environment_newest(environment);

		add(picture,
		    "%s %s/%s power=%d action=%s assignment=%s host=%s exit=%d crashes=%u: %s",
		    environment->entry.id, phase_name(row->phase), stage_name(row->stage),
		    row->power, environment_action_name(row->action),
		    assignment_name(row->assignment), row->host, row->exit_code, row->crashes,
		    plain(row->reason, reason));
	}
	STATE_FOREACH(state, RECORD_PORT, port)
	add(picture, "port %u of %s is %s, leads somewhere=%d", port_newest(port)->key.port,
	    port_newest(port)->environment, port_state_name(port_newest(port)->state),
	    port_newest(port)->has_target);
}

static int compare_lines(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* All that is there, but for times, revisions and host ports, and in whatever order it came. */
static char *take_picture(void)
{
	struct picture picture = { 0 };
	size_t length = 1;
	char *text;

	add_rows(&picture);
	for (size_t i = 0; i < HOSTS * BOXES; i++) {
		const struct box *box = &course.machines[i / BOXES].boxes[i % BOXES];

		if (box->exists)
			add(&picture, "%s has %s, %s", course.machines[i / BOXES].name,
			    box->environment, container_state_name(box->state));
	}
	qsort(picture.lines, picture.n, sizeof(*picture.lines), compare_lines);
	for (size_t i = 0; i < picture.n; i++)
		length += strlen(picture.lines[i]) + 1;
	text = calloc(1, length);
	cr_assert(text);
	for (size_t i = 0, at = 0; i < picture.n; i++) {
		at += (size_t)snprintf(text + at, length - at, "%s\n", picture.lines[i]);
		free(picture.lines[i]);
	}
	return text;
}

/* Nobody does anything any more. */
static inline char *rest(void)
{
	char *before = take_picture();

	course.rests = true;
	for (unsigned same = 0, n = 0; same < REST_ROUNDS; same++, n++) {
		char *now;

		require(n < ROUNDS_MAX, "it does not come to rest: %s", before);
		live();
		now = take_picture();
		if (strcmp(now, before) != 0)
			same = 0;
		free(before);
		before = now;
	}
	return before;
}

static const struct environment *one(void)
{
	return world_environment("env-a");
}

static bool phase_is(enum environment_phase phase)
{
	return one() && one()->phase == phase;
}

static void fail_to_see(const char *condition)
{
	_cleanup_free_ char *now = take_picture();

	require(false, "never: %s, but %s", condition, now);
}

#define live_until(condition)                               \
	do {                                                \
		for (unsigned _n = 0; !(condition); _n++) { \
			if (_n == ROUNDS_MAX)               \
				fail_to_see(#condition);    \
			live();                             \
		}                                           \
	} while (0)

/* ---- requests: asked again until they are answered, as a client does ---- */

static void on_answer(void *userdata, const struct error *err, const char *id)
{
	course.answered = err->errnum == 0;
}

typedef int (*asking)(const void *argument, struct error *err);

static void ask(asking request, const void *argument)
{
	course.answered = false;
	for (unsigned n = 0; !course.answered; n++) {
		struct error err = ERROR_INIT;
		int r;

		require(n < ROUNDS_MAX, "%s", "no answer");
		course.crashed = false;
		r = request(argument, &err);
		/* Asked again it may be done already. */
		require(r == 0 || n > 0, "refused: %s", err.message);
		if (r < 0)
			return;
		while (!course.answered && !course.crashed)
			turn();
	}
}

struct wanted {
	const char *name;
	bool local, delete_at_deadline;
};

static int create_request(const void *argument, struct error *err)
{
	struct environment *environment = environment_new();
	struct environment_origin *origin = environment->origin;
	const struct wanted *wanted = argument;
	_cleanup_json_ json_t *json = json_pack(
		"{s:s, s:s, s:i, s:i, s:[{s:s, s:i}], s:{s:s}, s:s}", "name", wanted->name, "image",
		"x", "cpu_milli", 400, "memory_bytes", 1 << 24, "services", "name", "ssh", "port",
		22, "volumes", "code", wanted->local ? "local" : "shared", "on_expiry",
		wanted->delete_at_deadline ? "delete" : "stop");

	cr_assert_eq(environment_spec_decode(json, &origin->spec, err), 0, "%s", err->message);
	(void)snprintf(origin->id, sizeof(origin->id), "env-%s", wanted->name);
	origin->login = strdup("developer");
	origin->password_hash = strdup("$y$");
	origin->ssh_host_key = strdup("KEY");
	origin->ssh_host_key_public = strdup("ssh-ed25519 AAAA");
	return scheduler_create(world.scheduler, environment, "test", on_answer, NULL, err);
}

static void create(const struct wanted *wanted)
{
	ask(create_request, wanted);
}

static int act_request(const void *argument, struct error *err)
{
	return scheduler_act(world.scheduler, "env-a", argument, "test", on_answer, NULL, err);
}

static void ask_for(enum scheduler_verb verb)
{
	const struct scheduler_action action = { .verb = verb };

	ask(act_request, &action);
}

static void extend(int64_t seconds)
{
	const struct scheduler_action action = {
		.verb = SCHEDULER_EXTEND,
		.expires_at = seconds ? clock_unix_seconds() + seconds : 0,
	};

	ask(act_request, &action);
}

static int delete_request(const void *argument, struct error *err)
{
	return scheduler_delete(world.scheduler, argument, "test", on_answer, NULL, err);
}

static inline void delete_one(void)
{
	ask(delete_request, "env-a");
}

struct mode {
	const char *host;
	enum host_mode mode;
};

static int mode_request(const void *argument, struct error *err)
{
	const struct mode *mode = argument;

	return scheduler_set_mode(world.scheduler, mode->host, mode->mode, "test", on_answer, NULL,
				  err);
}

static inline void set_mode(const char *host, enum host_mode mode)
{
	ask(mode_request, &(struct mode){ host, mode });
}

static inline int remove_request(const void *argument, struct error *err)
{
	return scheduler_delete_host(world.scheduler, argument, true, "test", on_answer, NULL, err);
}

/* A world with a gateway, and machines that are no hosts yet. */
static void course_begin(const char *name, struct plan plan)
{
	course = (struct course){ .name = name, .plan = plan };
	course.machines[0].name = "host1";
	course.machines[1].name = "host2";
	course.machines[2].name = "host3";
	world_begin();
	world_register_gateway("gw1");
	world_settle();
}

static void add_host(unsigned i)
{
	struct machine *machine = &course.machines[i];

	for (machine->registered = true; !state_host(&world.scheduler->state, machine->name);) {
		world_register_host(machine->name, 1000);
		turn();
	}
}

/* It is heard of before it reports. */
static void come_back(unsigned i)
{
	struct machine *machine = &course.machines[i];

	machine->away = false;
	world_register_host(machine->name, 1000);
	turn();
}

static bool is_online(unsigned i)
{
	struct host_entry *host = state_host(&world.scheduler->state, course.machines[i].name);

	return host && host_newest(host)->online;
}

static void go_away(unsigned i)
{
	course.machines[i].away = true;
	live_until(!is_online(i));
}
