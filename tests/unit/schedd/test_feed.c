/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Watch streams: what a snapshot holds, which change goes to whom, who is ended and when. */
#include <sys/socket.h>
#include <sys/un.h>

#include "tests/unit/schedd/streams.h"

TestSuite(feed, .init = streams_setup, .fini = streams_teardown, .timeout = 60);

/* ---- snapshots ---- */

Test(feed, a_snapshot_has_epoch_revision_and_every_environment)
{
	struct watcher *watcher;

	load("env-a", "a", "host1");
	load("env-b", "b", "");
	watcher = watch("environments");
	cr_assert_eq(watcher->epoch, 3);
	cr_assert_eq(watcher->revision, 100);
	cr_assert_eq(json_array_size(watcher->items), 2);
	cr_assert_str_eq(text(watcher->items, 0, "id"), "env-a");
	cr_assert_str_eq(text(watcher->items, 1, "id"), "env-b");
	cr_assert_eq(feed_count(feed), 1);
}

Test(feed, one_environment_is_watched_alone)
{
	struct environment_entry *a = load("env-a", "a", ""), *b = load("env-b", "b", "");
	struct watcher *watcher = watch("environments/env-b");

	cr_assert_eq(json_array_size(watcher->items), 1);
	cr_assert_str_eq(text(watcher->items, 0, "id"), "env-b");
	state_edit_environment(&state, a)->phase = PHASE_FAILED;
	commit();
	state_edit_environment(&state, b)->phase = PHASE_CREATING;
	commit();
	wait_until(watcher->changes == 1);
	cr_assert_eq(watcher->revision, 102);
	cr_assert_str_eq(text(watcher->put, 0, "phase"), "creating");
}

Test(feed, a_host_gets_its_assignments_only)
{
	struct watcher *watcher;

	load("env-a", "a", "host1");
	load("env-b", "b", "host2");
	load("env-c", "c", "");
	watcher = watch("hosts/host1");
	cr_assert_eq(json_array_size(watcher->items), 1);
	cr_assert_str_eq(text(watcher->items, 0, "environment"), "env-a");
}

/* A host that connects while its environment is on the way elsewhere still has it. */
Test(feed, a_snapshot_follows_what_is_committed_and_not_what_is_on_its_way)
{
	struct environment_entry *a = load("env-a", "a", "host1");
	struct watcher *first, *second;

	cr_assert_eq(state_release(&state, a), 0);
	cr_assert_eq(state_place(&state, a, state_host(&state, "host2"), NULL), 0);
	first = watch("hosts/host1");
	second = watch("hosts/host2");
	cr_assert_eq(json_array_size(first->items), 1);
	cr_assert_eq(json_array_size(second->items), 0);
	commit();
	wait_until(first->changes == 1 && second->changes == 1);
	cr_assert_eq(json_array_size(first->put), 0);
	cr_assert_str_eq(text(first->deleted, 0, "environment"), "env-a");
	cr_assert_str_eq(text(second->put, 0, "environment"), "env-a");
	cr_assert_eq(json_array_size(second->deleted), 0);
}

Test(feed, a_gateway_gets_the_mappings_of_its_addresses)
{
	struct watcher *four, *six;

	load("env-a", "a", "host1");
	load("env-b", "b", "host1");
	load_port("env-a", "203.0.113.10:30001", true);
	load_port("env-b", "[2001:db8::10]:30001", true);
	load_port("env-b", "203.0.113.10:30002", false);
	four = watch("gateways/gw4");
	six = watch("gateways/gw6");
	cr_assert_eq(json_array_size(four->items), 1);
	cr_assert_str_eq(text(four->items, 0, "environment"), "env-a");
	cr_assert_eq(json_array_size(six->items), 1);
	cr_assert_str_eq(text(six->items, 0, "environment"), "env-b");
}

/* Larger than the limit of a stream: it has to arrive all the same. */
Test(feed, a_large_snapshot_arrives_whole)
{
	struct watcher *watcher;
	char id[32], name[32];

	for (unsigned i = 0; i < 1000; i++) {
		(void)snprintf(id, sizeof(id), "env-%u", i);
		(void)snprintf(name, sizeof(name), "n%u", i);
		load(id, name, "");
	}
	watcher = watch("environments");
	cr_assert_eq(json_array_size(watcher->items), 1000);
	cr_assert_str_eq(text(watcher->items, 999, "id"), "env-999");
}

/* ---- changes ---- */

Test(feed, one_commit_is_one_line_with_everything)
{
	struct environment_entry *a = load("env-a", "a", "");
	struct port_entry *port = load_port("env-a", "203.0.113.10:30001", false);
	struct watcher *watcher = watch("environments");

	row_add(&state, row_environment("env-b", "b"));
	state_edit_environment(&state, a)->phase = PHASE_RUNNING;
	state_edit_port(&state, port)->state = PORT_PUBLISHED;
	commit();
	wait_until(watcher->changes == 1);
	cr_assert_eq(watcher->revision, 101);
	cr_assert_eq(json_array_size(watcher->put), 2, "each environment once");
	cr_assert_str_eq(text(watcher->put, 0, "id"), "env-b");
	cr_assert_str_eq(text(watcher->put, 1, "phase"), "running");
	cr_assert_str_eq(
		text(json_object_get(json_array_get(watcher->put, 1), "ports"), 0, "state"),
		"published");
}

Test(feed, a_port_that_changes_alone_is_a_change_of_its_environment)
{
	struct port_entry *port;
	struct watcher *watcher;

	load("env-a", "a", "");
	port = load_port("env-a", "203.0.113.10:30001", false);
	watcher = watch("environments");
	state_edit_port(&state, port)->state = PORT_PUBLISHED;
	commit();
	wait_until(watcher->changes == 1);
	cr_assert_str_eq(text(watcher->put, 0, "id"), "env-a");
}

Test(feed, an_environment_that_is_gone_is_told_by_its_id)
{
	struct environment_entry *a = load("env-a", "a", "");
	struct watcher *watcher = watch("environments");

	state_edit_environment(&state, a)->record.gone = true;
	commit();
	wait_until(watcher->changes == 1);
	cr_assert_eq(json_array_size(watcher->put), 0);
	cr_assert_eq(json_array_size(watcher->deleted), 1);
	cr_assert_str_eq(text(watcher->deleted, 0, "id"), "env-a");
}

Test(feed, a_host_hears_of_its_item_only_when_that_has_changed)
{
	struct environment_entry *a = load("env-a", "a", "host1");
	struct watcher *watcher = watch("hosts/host1");
	struct environment *edit;

	state_edit_environment(&state, a)->phase = PHASE_RUNNING;
	commit();
	edit = state_edit_environment(&state, a);
	edit->assignment = ASSIGNMENT_STOPPED;
	edit->assignment_revision = state_open_revision(&state);
	commit();
	wait_until(watcher->changes == 1);
	cr_assert_eq(watcher->revision, 102, "the phase alone is not told");
	cr_assert_str_eq(text(watcher->put, 0, "state"), "stopped");
	edit = state_edit_environment(&state, a);
	edit->assignment = ASSIGNMENT_NONE;
	edit->assignment_revision = state_open_revision(&state);
	commit();
	wait_until(watcher->changes == 2);
	cr_assert_str_eq(text(watcher->deleted, 0, "environment"), "env-a");
}

Test(feed, a_mapping_comes_with_its_target_and_goes_with_its_withdrawal)
{
	struct port_entry *port;
	struct watcher *four, *six;
	struct port *edit;

	load("env-a", "a", "host1");
	port = load_port("env-a", "203.0.113.10:30001", false);
	four = watch("gateways/gw4");
	six = watch("gateways/gw6");
	cr_assert_eq(json_array_size(four->items), 0);
	edit = state_edit_port(&state, port);
	edit->has_target = true;
	edit->mapping_revision = state_open_revision(&state);
	commit();
	wait_until(four->changes == 1);
	cr_assert_eq(json_integer_value(json_object_get(json_array_get(four->put, 0), "port")),
		     30001);
	state_edit_port(&state, port)->state = PORT_PUBLISHED;
	commit();
	edit = state_edit_port(&state, port);
	edit->state = PORT_WITHDRAWING;
	edit->mapping_revision = state_open_revision(&state);
	commit();
	wait_until(four->changes == 2);
	cr_assert_eq(four->revision, 103, "published is no change for the gateway");
	cr_assert_eq(json_array_size(four->deleted), 1);
	cr_assert_eq(json_array_size(four->put), 0);
	cr_assert_eq(six->changes, 0);
}

Test(feed, who_is_not_concerned_learns_the_revision_by_a_bookmark)
{
	struct environment_entry *a = load("env-a", "a", "host1");
	struct watcher *watcher = watch("hosts/host2");

	state_edit_environment(&state, a)->phase = PHASE_RUNNING;
	commit();
	wait_until(watcher->bookmarks == 1);
	cr_assert_eq(watcher->changes, 0);
	cr_assert_eq(watcher->revision, 101);
}

/* ---- rows ---- */

Test(feed, a_row_is_told_to_those_who_watch_it_or_all_of_its_kind)
{
	struct watcher *all = watch("rows/hosts"), *one = watch("rows/hosts?id=host1");
	struct watcher *other = watch("rows/hosts?id=host2"), *ports = watch("rows/ports");

	cr_assert_eq(json_array_size(all->items), 2);
	cr_assert_eq(json_array_size(one->items), 1);
	state_edit_host(&state, state_host(&state, "host1"))->mode = HOST_CORDONED;
	commit();
	state_edit_host(&state, state_host(&state, "host2"))->mode = HOST_CORDONED;
	commit();
	wait_until(all->changes == 2 && one->changes == 1 && other->changes == 1);
	cr_assert_str_eq(text(all->put, 0, "id"), "host2");
	cr_assert_str_eq(text(one->put, 0, "id"), "host1");
	cr_assert_eq(one->revision, 101);
	cr_assert_str_eq(text(other->put, 0, "id"), "host2");
	cr_assert_eq(other->revision, 102);
	cr_assert_eq(ports->changes, 0);
}

Test(feed, what_is_edited_quietly_is_told_to_nobody)
{
	struct host_entry *host = state_host(&state, "host1");
	struct watcher *hosts, *ports, *environments;
	struct port_entry *port;

	load("env-a", "a", "");
	port = load_port("env-a", "203.0.113.10:30001", false);
	hosts = watch("rows/hosts?id=host1");
	ports = watch("rows/ports");
	environments = watch("environments");
	state_edit_host_quietly(&state, host)->silent_ms = 5;
	state_edit_port_quietly(&state, port)->waited_ms = 5;
	commit();
	state_edit_host(&state, host)->mode = HOST_CORDONED;
	state_edit_port(&state, port)->state = PORT_PUBLISHED;
	commit();
	wait_until(hosts->changes > 0 && ports->changes > 0 && environments->changes > 0);
	cr_assert_eq(hosts->changes + ports->changes + environments->changes, 3);
	cr_assert_eq(hosts->revision, 102);
	cr_assert_eq(ports->revision, 102);
	cr_assert_eq(environments->revision, 102);
}

/* Who applies what is put after what is deleted would keep it for ever. */
Test(feed, a_port_that_rests_without_its_environment_is_deleted_for_the_customer_and_put_for_admins)
{
	struct environment *row = row_environment("env-a", "a");
	struct watcher *admin, *alice;
	struct port_entry *port;

	row->origin->spec.customer = strdup("alice");
	row_load(&state, row);
	port = load_port("env-a", "203.0.113.10:30001", false);
	admin = watch("rows/ports");
	alice = watch("rows/ports?alice=1");
	cr_assert_eq(json_array_size(alice->items), 1);
	state_edit_port(&state, port)->state = PORT_QUARANTINED;
	state_edit_environment(&state, state_environment(&state, "env-a"))->record.gone = true;
	commit();
	wait_until(admin->changes == 1 && alice->changes == 1);
	cr_assert_eq(json_array_size(alice->put), 0);
	cr_assert_eq(json_array_size(alice->deleted), 1);
	cr_assert_eq(json_integer_value(json_object_get(json_array_get(alice->deleted, 0), "port")),
		     30001);
	cr_assert_eq(json_array_size(admin->deleted), 0);
	cr_assert_str_eq(text(admin->put, 0, "state"), "quarantined");
	/* What becomes of it is nothing to her. */
	state_edit_port(&state, port)->record.gone = true;
	commit();
	wait_until(admin->changes == 2);
	cr_assert_eq(json_array_size(admin->deleted), 1);
	cr_assert_eq(alice->changes, 1);
}

/* ---- ends ---- */

Test(feed, a_gateway_with_other_addresses_starts_over)
{
	struct watcher *four = watch("gateways/gw4"), *six = watch("gateways/gw6");

	state_edit_gateway(&state, state_gateway(&state, "gw4"))->addresses_revision =
		state_open_revision(&state);
	commit();
	wait_until(four->ended);
	cr_assert(strstr(four->last_words, "has changed"), "%s", four->last_words);
	cr_assert_eq(feed_ended(feed, FEED_CHANGED), 1);
	cr_assert_not(six->ended);
	cr_assert_eq(feed_count(feed), 1);
}

Test(feed, a_gateway_that_was_removed_is_told_nothing_any_more)
{
	struct watcher *four = watch("gateways/gw4"), *six = watch("gateways/gw6");

	state_edit_gateway(&state, state_gateway(&state, "gw4"))->record.gone = true;
	commit();
	wait_until(four->ended);
	cr_assert_eq(feed_ended(feed, FEED_CHANGED), 1);
	cr_assert_not(six->ended);
	cr_assert_eq(feed_count(feed), 1);
}

Test(feed, a_reset_ends_every_stream)
{
	struct watcher *first = watch("environments"), *second = watch("hosts/host1");

	feed_reset(feed);
	cr_assert_eq(feed_count(feed), 0);
	wait_until(first->ended && second->ended);
	cr_assert(strstr(first->last_words, "loaded anew"), "%s", first->last_words);
	cr_assert_str_eq(first->last_words, second->last_words);
	cr_assert_eq(feed_ended(feed, FEED_RESET), 2);
}

Test(feed, a_reader_that_leaves_is_forgotten)
{
	struct environment_entry *a = load("env-a", "a", "");
	struct watcher *watcher = watch("environments");

	http_client_free(TAKE_PTR(client));
	wait_until(feed_count(feed) == 0);
	state_edit_environment(&state, a)->phase = PHASE_RUNNING;
	commit();
	cr_assert_eq(watcher->changes, 0);
}

static int connect_and_ask(void)
{
	static const char request[] = "GET /environments HTTP/1.1\r\nHost: localhost\r\n\r\n";
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	cr_assert_geq(fd, 0);
	cr_assert_eq(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	cr_assert_eq(write(fd, request, strlen(request)), (ssize_t)strlen(request));
	return fd;
}

Test(feed, a_reader_that_does_not_read_loses_its_stream_and_nobody_else_does)
{
	struct environment_entry *a = load("env-a", "a", "");
	struct watcher *watcher = watch("environments");
	unsigned changes = 0;
	int fd = connect_and_ask();

	wait_until(feed_count(feed) == 2);
	while (feed_count(feed) == 2 && changes < 100000) {
		struct environment *edit = state_edit_environment(&state, a);

		memset(edit->reason, 'x', sizeof(edit->reason) - 1);
		commit();
		changes++;
		wait_until(watcher->changes == changes);
	}
	cr_assert_eq(feed_count(feed), 1, "after %u changes", changes);
	cr_assert_not(watcher->ended);
	close(fd);
}
