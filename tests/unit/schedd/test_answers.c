/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The JSON of rows, field by field, without secrets and without what is not committed. */
#include "schedd/answers.h"

#include "tests/unit/schedd/rows.h"

#define ENV "env-abc"

static struct state state;

static void setup(void)
{
	row_state(&state);
	row_load(&state, row_host("host1"));
	row_load(&state, row_gateway("gw1", "203.0.113.10"));
}

static void teardown(void)
{
	state_clear(&state);
}

TestSuite(answers, .init = setup, .fini = teardown);

/* Compares with text in which ' stands for ", and takes over actual. */
static void expect(json_t *actual, const char *text)
{
	char *copy = strdup(text), *shown;
	json_error_t error;
	json_t *expected;

	cr_assert(actual, "out of memory");
	for (char *c = copy; *c; c++)
		if (*c == '\'')
			*c = '"';
	expected = json_loads(copy, JSON_DECODE_ANY, &error);
	cr_assert(expected, "%s: %s", error.text, copy);
	shown = json_dumps(actual, JSON_SORT_KEYS | JSON_INDENT(1));
	cr_assert(json_equal(actual, expected), "%s\n\ninstead of\n\n%s", shown, copy);
	free(shown);
	free(copy);
	json_decref(actual);
	json_decref(expected);
}

/* The field of an object that is taken over. */
static json_t *field(json_t *object, const char *name)
{
	json_t *value;

	cr_assert(object, "out of memory");
	value = json_incref(json_object_get(object, name));
	cr_assert(value, "there is no field %s", name);
	json_decref(object);
	return value;
}

static struct environment_entry *load_environment(void)
{
	struct environment *environment = row_environment(ENV, "demo");
	struct port *ssh = row_port(ENV, "ssh", "203.0.113.10:30001");
	struct port *web = row_port(ENV, "web", "203.0.113.10:30002");

	environment->phase = PHASE_RUNNING;
	environment->assignment = ASSIGNMENT_RUNNING;
	environment->assignment_revision = 77;
	(void)snprintf(environment->host, sizeof(environment->host), "host1");
	environment->gpus = json_pack("[{s:s, s:i}]", "uuid", "GPU-1", "milli", 300);
	ssh->state = PORT_PUBLISHED;
	ssh->has_target = true;
	ssh->target = row_endpoint("10.0.1.2:41000");
	ssh->mapping_revision = 88;
	row_load(&state, environment);
	row_load(&state, ssh);
	row_load(&state, web);
	return state_environment(&state, ENV);
}

Test(answers, an_environment_is_its_specification_and_its_state)
{
	expect(answer_environment(load_environment(), NULL, NULL),
	       "{'name':'demo','image':'ubuntu:24.04','cpu_milli':500,'memory_bytes':1073741824,"
	       "'gpu':0,'gpu_milli':0,'gpu_model':[],'ssh_authorized_keys':[],'env':{},"
	       "'volumes':{},'labels':{'team':'a'},'restart':'always','pool':'default',"
	       "'queue':true,'on_expiry':'stop','expires_at':null,'power':'on','action':'',"
	       "'exit_code':null,'crashes':0,'next_try':null,"
	       "'services':[{'name':'ssh','port':22,'protocol':'tcp'},"
	       "{'name':'web','port':8080,'protocol':'tcp'}],"
	       "'id':'env-abc','phase':'running','stage':'','reason':'','customer':null,'host':'host1',"
	       "'gpus':[{'uuid':'GPU-1','milli':300}],"
	       "'ports':[{'service':'ssh','protocol':'tcp','address':'203.0.113.10','port':30001,"
	       "'state':'published','target':{'address':'10.0.1.2','port':41000}},"
	       "{'service':'web','protocol':'tcp','address':'203.0.113.10','port':30002,"
	       "'state':'reserved','target':null}],"
	       "'user':'developer','connect':'ssh -p 30001 developer@203.0.113.10',"
	       "'ssh_host_key':'ssh-ed25519 AAAA env','revision':100,"
	       "'created_at':'2027-01-15T08:00:00Z','phase_since':'2027-01-15T08:00:05Z'}");
}

Test(answers, a_public_name_stands_for_the_address)
{
	struct environment_entry *entry = load_environment();

	expect(field(answer_environment(entry, "ssh.example.com", NULL), "connect"),
	       "'ssh -p 30001 developer@ssh.example.com'");
	expect(field(answer_environment(entry, "", NULL), "connect"),
	       "'ssh -p 30001 developer@203.0.113.10'");
}

Test(answers, without_an_ssh_port_there_is_no_command)
{
	row_load(&state, row_environment(ENV, "demo"));
	row_load(&state, row_port(ENV, "web", "203.0.113.10:30002"));
	expect(field(answer_environment(state_environment(&state, ENV), "x", NULL), "connect"),
	       "null");
}

Test(answers, the_password_is_shown_where_it_is_given)
{
	struct environment_entry *entry = load_environment();
	json_t *without = answer_environment(entry, NULL, NULL);

	expect(field(answer_environment(entry, NULL, "pass"), "password"), "'pass'");
	cr_assert_null(json_object_get(without, "password"));
	json_decref(without);
}

Test(answers, an_answer_has_no_secret)
{
	json_t *answer = answer_environment(load_environment(), NULL, NULL);
	char *text = json_dumps(answer, 0);

	cr_assert_null(strstr(text, "secret-hash"));
	cr_assert_null(strstr(text, "PRIVATE KEY"));
	free(text);
	json_decref(answer);
}

/* What a commit on its way will change is not shown before it has arrived. */
Test(answers, only_what_is_committed_is_shown)
{
	struct environment_entry *entry = load_environment();
	struct port_entry *ssh = entry->ports[0];

	expect(field(answer_port(ssh), "environment_name"), "'demo'");
	state_edit_environment(&state, entry)->phase = PHASE_DELETING;
	state_edit_port(&state, ssh)->state = PORT_WITHDRAWING;
	expect(field(answer_environment(entry, NULL, NULL), "phase"), "'running'");
	expect(field(answer_port(ssh), "state"), "'published'");
	cr_assert(state_close_batch(&state));
	expect(field(answer_environment(entry, NULL, NULL), "phase"), "'running'");
	state_commit_batch(&state);
	expect(field(answer_environment(entry, NULL, NULL), "phase"), "'deleting'");
	expect(field(answer_port(ssh), "state"), "'withdrawing'");
	expect(field(answer_environment(entry, NULL, NULL), "revision"), "101");
	state_finish_batch(&state);
}

Test(answers, the_revision_is_that_of_the_newest_row_shown)
{
	struct environment_entry *entry = load_environment();

	state_edit_port(&state, entry->ports[1])->state = PORT_PUBLISHED;
	cr_assert(state_close_batch(&state));
	state_commit_batch(&state);
	state_finish_batch(&state);
	expect(field(answer_environment(entry, NULL, NULL), "revision"), "101");
}

Test(answers, a_host_shows_what_is_free)
{
	load_environment();
	expect(answer_host(&state, state_host(&state, "host1")),
	       "{'id':'host1','address':'10.0.1.2','pool':'default','labels':{'zone':'a'},"
	       "'version':'1.2','capacity':{'cpu_milli':4000,'memory_bytes':8589934592,"
	       "'gpus':[{'uuid':'GPU-1','model':'H200','memory_bytes':151397597184},"
	       "{'uuid':'GPU-2','model':'H200','memory_bytes':151397597184}]},"
	       "'free':{'cpu_milli':3500,'memory_bytes':7516192768,"
	       "'gpus':[{'uuid':'GPU-1','free_milli':700},{'uuid':'GPU-2','free_milli':1000}]},"
	       "'status':'online','status_since':'2027-01-15T08:00:00Z','environments':1,'heard':true,'drain':null,'cpu_overcommit_percent':100,"
	       "'mode':'active','mode_since':'2027-01-15T08:00:00Z',"
	       "'engine_error':null,'last_heartbeat':null,'revision':100}");
}

Test(answers, a_draining_host_shows_what_is_left)
{
	struct environment_entry *entry = load_environment();
	struct host_entry *host = state_host(&state, "host1");

	state_edit_host(&state, host)->mode = HOST_DRAINING;
	cr_assert(state_close_batch(&state));
	state_commit_batch(&state);
	state_finish_batch(&state);
	expect(field(answer_host(&state, host), "drain"), "{'left':1,'moving':0,'staying':1}");
	state_edit_environment(&state, entry)->action = ACTION_MOVE;
	expect(field(answer_host(&state, host), "drain"), "{'left':1,'moving':0,'staying':1}");
	cr_assert(state_close_batch(&state));
	state_commit_batch(&state);
	expect(field(answer_host(&state, host), "drain"), "{'left':1,'moving':1,'staying':0}");
	state_finish_batch(&state);
}

Test(answers, a_host_shows_its_last_report)
{
	struct host_entry *host = state_host(&state, "host1");

	host->report.engine_error = strdup("Docker does not answer");
	host->last_heartbeat = ROW_TIME + 60;
	expect(field(answer_host(&state, host), "engine_error"), "'Docker does not answer'");
	expect(field(answer_host(&state, host), "last_heartbeat"), "'2027-01-15T08:01:00Z'");
}

Test(answers, the_status_of_a_host_is_what_counts_most)
{
	static const struct {
		bool online;
		enum host_mode mode;
		const char *status;
	} rows[] = {
		{ true, HOST_ACTIVE, "'online'" },
		{ true, HOST_CORDONED, "'draining'" },
		{ true, HOST_DRAINING, "'draining'" },
		{ true, HOST_MAINTENANCE, "'maintenance'" },
		{ false, HOST_ACTIVE, "'offline'" },
		{ false, HOST_DRAINING, "'offline'" },
		{ false, HOST_MAINTENANCE, "'maintenance'" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct host_entry *entry = state_host(&state, "host1");
		struct host *host = state_edit_host(&state, entry);

		host->online = rows[i].online;
		host->mode = rows[i].mode;
		cr_assert(state_close_batch(&state));
		state_commit_batch(&state);
		state_finish_batch(&state);
		expect(field(answer_host(&state, entry), "status"), rows[i].status);
	}
}

Test(answers, a_gateway_shows_how_far_it_is_and_what_failed)
{
	struct gateway_entry *gateway = state_gateway(&state, "gw1");
	struct mapping_failure *failed = calloc(1, sizeof(*failed));
	_cleanup_(cleanup_port) struct port *port = row_port(ENV, "ssh", "203.0.113.10:30005");

	failed->key = port->key;
	failed->reason = strdup("it is taken");
	gateway->report = (struct gateway_report){
		.epoch = 3, .revision = 98, .mappings = 12, .failed = failed, .n_failed = 1
	};
	gateway->last_heartbeat = ROW_TIME;
	expect(answer_gateway(&state, gateway),
	       "{'id':'gw1','addresses':['203.0.113.10'],'version':'1.2','status':'online',"
	       "'status_since':'2027-01-15T08:00:00Z','revision':98,'desired_revision':0,"
	       "'mappings':12,'failed':[{'address':'203.0.113.10','protocol':'tcp','port':30005,"
	       "'reason':'it is taken'}],'last_heartbeat':'2027-01-15T08:00:00Z'}");
}

/* And not with whatever else is committed. */
Test(answers, a_gateway_falls_behind_with_a_mapping_that_is_committed)
{
	struct gateway_entry *gateway = state_gateway(&state, "gw1");
	struct port *port = row_port(ENV, "ssh", "[2001:db8::10]:30001");
	struct port_entry *entry;

	port->mapping_revision = 97;
	row_load(&state, port);
	entry = state_port(&state, &port->key);
	expect(field(answer_gateway(&state, gateway), "desired_revision"), "97");
	state_edit_gateway(&state, gateway)->online = false;
	state_edit_port(&state, entry)->mapping_revision = 101;
	cr_assert(state_close_batch(&state));
	expect(field(answer_gateway(&state, gateway), "desired_revision"), "97");
	state_commit_batch(&state);
	expect(field(answer_gateway(&state, gateway), "desired_revision"), "101");
	state_finish_batch(&state);
	state_edit_gateway(&state, gateway)->online = true;
	cr_assert(state_close_batch(&state));
	state_commit_batch(&state);
	expect(field(answer_gateway(&state, gateway), "desired_revision"), "101");
	state_finish_batch(&state);
}

Test(answers, a_port_in_quarantine_says_until_when)
{
	struct port *port = row_port(ENV, "ssh", "[2001:db8::10]:30001");

	port->state = PORT_QUARANTINED;
	port->quarantined_until = ROW_TIME + 600;
	row_load(&state, port);
	expect(answer_port(state_port(&state, &port->key)),
	       "{'address':'2001:db8::10','protocol':'tcp','port':30001,'state':'quarantined',"
	       "'environment':'env-abc','environment_name':null,'service':'ssh','target':null,"
	       "'since':'2027-01-15T08:00:00Z','until':'2027-01-15T08:10:00Z','revision':100}");
}

Test(answers, an_assignment_is_read_back_by_the_host_with_its_secrets)
{
	json_t *json = answer_assignment(environment_committed(load_environment()));
	struct assignment assignment = { 0 };
	struct error err = ERROR_INIT;

	cr_assert_eq(assignment_decode(json, "", &assignment, &err), 0, "%s", err.message);
	cr_assert_str_eq(assignment.environment, ENV);
	cr_assert_eq(assignment.revision, 77);
	cr_assert(assignment.running);
	cr_assert_str_eq(assignment.spec.name, "demo");
	cr_assert_eq(assignment.spec.n_services, 2);
	cr_assert_str_eq(assignment.user, "developer");
	cr_assert_str_eq(assignment.password_hash, "$y$secret-hash");
	cr_assert_str_eq(assignment.ssh_host_key, "PRIVATE KEY");
	assignment_clear(&assignment);
	json_decref(json);
}

Test(answers, a_mapping_is_read_back_by_the_gateway)
{
	json_t *json = answer_mapping(port_committed(load_environment()->ports[0]));
	struct mapping mapping = { 0 };
	struct error err = ERROR_INIT;
	struct endpoint target = row_endpoint("10.0.1.2:41000");

	cr_assert_eq(mapping_decode(json, "", NULL, &mapping, &err), 0, "%s", err.message);
	cr_assert_eq(mapping.key.port, 30001);
	cr_assert_eq(endpoint_compare(&mapping.target, &target), 0);
	cr_assert_str_eq(mapping.environment, ENV);
	cr_assert_str_eq(mapping.service, "ssh");
	cr_assert_eq(mapping.revision, 88);
	cr_assert_eq(mapping.on_remove, ON_REMOVE_DRAIN);
	mapping_clear(&mapping);
	json_decref(json);
}
