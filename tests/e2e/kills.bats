#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck disable=SC2317,SC2154,SC2119,SC2016 # bats calls the tests; variables come from the lab
# schedd is killed with SIGKILL after each of its commits, all the way through the life of an environment: made,
# stopped, started, restarted, moved, drained, deleted; in a crash loop and out of it; up to its deadline and after it.
# The end is the same as if nothing had happened.
#
# A trigger of the test's own, in the database, lets one commit through for each permit; the program knows
# nothing of it.

bats_require_minimum_version 1.5.0
load fleet

setup_file() {
	fleet_load
	fleet_up || { fleet_logs; return 1; }
	local host
	for host in host1 host2; do
		# It ends until a file says that it may run.
		fleet_image "$host" fragile \
			'["/bin/sh", "-c", "[ ! -e /gemini/code/well ] || exec /usr/sbin/sshd -D -e; exit 3"]'
	done
}

teardown_file() {
	lab_down
}

setup() {
	fleet_load
}

teardown() {
	[ -n "${BATS_TEST_COMPLETED:-}" ] || { fleet_logs; cat "$lab_dir/kills" "$lab_dir/violations"; }
}

revision() {
	fleet_sql "SELECT revision FROM leader"
}

# From here on a commit waits until it is permitted.
gate_close() {
	fleet_sql "
		CREATE TABLE gate (permits bigint NOT NULL);
		INSERT INTO gate VALUES (0);
		CREATE FUNCTION gate_pass() RETURNS trigger LANGUAGE plpgsql AS \$\$
		BEGIN
			LOOP
				UPDATE gate SET permits = permits - 1 WHERE permits > 0;
				EXIT WHEN FOUND;
				PERFORM pg_sleep(0.01);
			END LOOP;
			RETURN NEW;
		END \$\$;
		CREATE TRIGGER gate BEFORE UPDATE ON leader FOR EACH ROW WHEN (NEW.revision > OLD.revision)
			EXECUTE FUNCTION gate_pass();"
}

# Those who wait go through first: the trigger cannot be taken from under a commit.
gate_open() {
	fleet_sql "UPDATE gate SET permits = 1000000"
	fleet_sql "DROP TRIGGER gate ON leader; DROP FUNCTION gate_pass; DROP TABLE gate"
}

# What the dead process had begun is ended as the server would, once it notices.
end_sessions() {
	fleet_sql "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
		WHERE datname = 'portico' AND pid <> pg_backend_pid()" >/dev/null
}

ready() {
	lab_curl /readyz -f
}

# Until the file "enough" is there: one commit, a kill, a start. Each kill is noted with its revision.
kill_at_each_commit() {
	local before now
	while [ ! -e "$lab_dir/enough" ]; do
		before=$(revision)
		fleet_sql "UPDATE gate SET permits = 1"
		until now=$(revision) && [ "$now" != "$before" ]; do
			[ ! -e "$lab_dir/enough" ] || return 0
		done
		lab_stop schedd KILL
		end_sessions
		echo "$before $now $(fleet_sql "SELECT string_agg(phase || '/' || stage || '/' || assignment, ' ') FROM environments")" \
			>>"$lab_dir/kills"
		look_for_violations
		fleet_schedd --lease 0
	done
}

# At most one copy runs, and no port leads to what keeps ending.
look_for_violations() {
	local id running
	fleet_sql "SELECT 'port ' || port || ' of a crash loop is published' FROM port_mappings p JOIN environments e
		ON e.id = p.environment WHERE e.stage = 'crash-loop' AND p.state = 'published'" >>"$lab_dir/violations"
	for id in $(fleet_sql "SELECT id FROM environments"); do
		running=$({
			lab_docker host1 ps -q --filter "name=$id"
			lab_docker host2 ps -q --filter "name=$id"
		} | wc -l)
		[ "$running" -le 1 ] || echo "$running copies of $id run" >>"$lab_dir/violations"
	done
}

start_killing() {
	rm -f "$lab_dir/enough"
	: >"$lab_dir/kills"
	: >"$lab_dir/violations"
	lab_stop schedd
	fleet_schedd --lease 0
	gate_close
	first=$(revision)
	kill_at_each_commit >"$lab_dir/log/killer" 2>&1 3>&- 4>&- &
	killer=$!
}

stop_killing() {
	touch "$lab_dir/enough"
	wait "$killer" || true
	gate_open
	end_sessions
	lab_stop schedd KILL
	fleet_schedd --lease 0
}

# Five seconds from when it is answered: it may take longer than that until somebody does.
ends_soon() { # NAME
	lab_schedctl env extend "$1" --until "$(date -u -d '+5 seconds' +%FT%TZ)"
}

# ask COMMAND...: until it was answered, whoever is killed meanwhile.
ask() {
	lab_wait 120 lab_schedctl "$@"
}

row_is() { # NAME PHASE [HOST]
	[ "$(fleet_sql "SELECT phase || ' ' || action || ' ' || coalesce(host, '-') FROM environments WHERE name = '$1'
		AND phase <> 'deleted'")" = "$2  ${3:-$(place "$1")}" ]
}

place() { # NAME
	fleet_sql "SELECT coalesce(host, '-') FROM environments WHERE name = '$1' AND phase <> 'deleted'"
}

there_is() { # NAME
	[ -n "$(place "$1")" ]
}

create_once() { # NAME [IMAGE]: an answer that was lost makes the name a taken one
	there_is "$1" || lab_schedctl env create --name "$1" --image "portico/${2:-dev}:latest" --cpu 250m --memory 128Mi \
		--ssh-key "$lab_dir/key.pub" --volume code=shared || there_is "$1"
}

facts() { # NAME: what must never change
	fleet_sql "SELECT e.id, e.ssh_host_key_public, p.port FROM environments e JOIN port_mappings p ON p.environment = e.id
		WHERE e.name = '$1' AND e.phase <> 'deleted'"
}

@test "killed after each commit, everything ends where it should" {
	local first killer facts from
	start_killing
	lab_wait 120 create_once one
	facts=$(facts one)
	lab_wait 200 row_is one running
	ask env stop one
	lab_wait 200 row_is one stopped
	ask env start one
	lab_wait 200 row_is one running
	from=$(place one)
	ask env move one
	lab_wait 300 row_is one running "$([ "$from" = host1 ] && echo host2 || echo host1)"
	[ "$(facts one)" = "$facts" ]
	stop_killing
	lab_wait 60 fleet_phase_is one running
	[ "$(fleet_ssh one whoami)" = developer ]
	[ ! -s "$lab_dir/violations" ]
	# Each commit was followed by a kill, up to the one that ended it.
	[ "$(wc -l <"$lab_dir/kills")" -ge 20 ]
	[ "$(awk '$2 != $1 + 1' "$lab_dir/kills" | wc -l)" = 0 ]
	[ "$(head -n 1 "$lab_dir/kills" | cut -d' ' -f1)" = "$first" ]
	fleet_no_orphans
}

restarted() { # NAME STARTED
	row_is "$1" running && [ "$(lab_docker "$(place "$1")" inspect -f '{{.State.StartedAt}}' "$(fleet_sql "SELECT id FROM environments WHERE name = '$1' AND phase <> 'deleted'")")" != "$2" ]
}

@test "the same through a restart, a drain and the end" {
	local first killer facts from to started id
	facts=$(facts one)
	id=$(fleet_env one .id)
	from=$(place one)
	to=$([ "$from" = host1 ] && echo host2 || echo host1)
	started=$(lab_docker "$from" inspect -f '{{.State.StartedAt}}' "$id")
	start_killing
	ask env restart one
	lab_wait 200 restarted one "$started"
	ask host drain "$from"
	lab_wait 300 row_is one running "$to"
	[ "$(facts one)" = "$facts" ]
	ask env delete one
	lab_wait 200 eval '! there_is one'
	ask host uncordon "$from"
	stop_killing
	[ ! -s "$lab_dir/violations" ]
	[ "$(awk '$2 != $1 + 1' "$lab_dir/kills" | wc -l)" = 0 ]
	[ "$(fleet_sql "SELECT phase FROM environments WHERE id = '$id'")" = deleted ]
	run lab_docker host1 inspect "$id"
	[ "$status" -ne 0 ]
	run lab_docker host2 inspect "$id"
	[ "$status" -ne 0 ]
	fleet_no_orphans
}

crash_loops() { # NAME: it has ended three times and more
	[ "$(fleet_sql "SELECT count(*) FROM environments WHERE name = '$1' AND phase = 'creating' AND stage = 'crash-loop'
		AND crashes >= 3")" = 1 ]
}

runs_well() { # NAME: nothing is held against it any more
	row_is "$1" running && [ "$(fleet_sql "SELECT crashes FROM environments WHERE name = '$1' AND phase <> 'deleted'")" = 0 ]
}

@test "the same into a crash loop, out of it, and past a deadline" {
	local first killer facts id
	start_killing
	lab_wait 120 create_once loop fragile
	facts=$(facts loop)
	id=${facts%%|*}
	lab_wait 200 crash_loops loop
	touch "$lab_data/shared/environments/$id/code/well"
	lab_wait 300 runs_well loop
	[ "$(facts loop)" = "$facts" ]
	lab_wait 120 ends_soon loop
	lab_wait 200 row_is loop stopped
	ask env extend loop --by 1h
	ask env start loop
	lab_wait 200 row_is loop running
	[ "$(facts loop)" = "$facts" ]
	stop_killing
	lab_wait 60 fleet_phase_is loop running
	[ "$(fleet_ssh loop whoami)" = developer ]
	[ ! -s "$lab_dir/violations" ]
	grep -q 'creating/crash-loop/running' "$lab_dir/kills"
	[ "$(awk '$2 != $1 + 1' "$lab_dir/kills" | wc -l)" = 0 ]
	fleet_no_orphans
	lab_schedctl env delete loop --wait --timeout 60s
	fleet_no_orphans
}

@test "nothing is wrong with the daemons, to the end" {
	local name
	for name in agentd-host1 agentd-host2 gatewayd schedd; do
		lab_stop "$name"
	done
	run ! fleet_unsound
}
