#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck disable=SC2317,SC2154,SC2119,SC2016 # bats calls the tests; variables come from the lab
# Environments and hosts: moves, cordon, drain, maintenance, hosts that are lost, leases. What is checked after
# each: no row and no container without an owner, and never two copies of what is on shared volumes.

bats_require_minimum_version 1.5.0
load fleet

setup_file() {
	fleet_load
	fleet_up || { fleet_logs; return 1; }
	lab_stop schedd
	moves_schedd
	lab_wait 20 lab_host_online host1
	lab_wait 20 lab_host_online host2
	local host
	for host in host1 host2; do
		fleet_image "$host" batch '["/bin/sh", "-c", "echo run >>/gemini/code/runs"]'
	done
}

teardown_file() {
	lab_down
}

setup() {
	fleet_load
}

teardown() {
	[ -n "${BATS_TEST_COMPLETED:-}" ] || { fleet_logs; lab_schedctl env list -o wide; lab_schedctl host list -o wide; }
}

moves_schedd() {
	fleet_schedd --lease 4s --lease-margin 4s
}

shared() { # NAME [OPTION...]
	fleet_create "$1" --volume code=shared "${@:2}"
}

host_of() {
	fleet_env "$1" .host
}

is_on() { # NAME HOST: and it runs
	[ "$(fleet_env "$1" '[.host, .phase] | join(" ")')" = "$2 running" ]
}

other() {
	[ "$1" = host1 ] && echo host2 || echo host1
}

container() { # HOST ENVIRONMENT-ID TEMPLATE
	lab_docker "$1" inspect --format "$3" "$2" 2>/dev/null
}

runs() { # HOST ENVIRONMENT-ID
	[ "$(container "$1" "$2" '{{.State.Running}}')" = true ]
}

no_container() { # HOST ENVIRONMENT-ID
	! lab_docker "$1" inspect --type container "$2" >/dev/null 2>&1
}

status_is() { # HOST STATUS
	[ "$(lab_schedctl -o json host show "$1" | jq -r .status)" = "$2" ]
}

cut_off() { # HOST
	ip -n "$LAB-gateway" link set "to-$1" down
}

reach_again() {
	ip -n "$LAB-gateway" link set "to-$1" up
}

@test "the doctor finds a sound fleet sound" {
	lab_wait 20 lab_schedctl doctor
	run --separate-stderr lab_schedctl -o json doctor
	[ "$status" -eq 0 ]
	[ "$(jq -r '[.items[] | .level] | unique | @json' <<<"$output")" = '["ok"]' ]
	[ "$(jq -r '[.items[] | .subject] | @json' <<<"$output")" = \
		'["server","clock","database","token","gateway gw1","host host1","host host2","ports","environments"]' ]
}

@test "on schedd's machine root's schedctl needs neither server nor token" {
	[ "$(lab_schedctl_here -o name host list | xargs)" = 'host1 host2' ]
	# gatewayd is there as well: schedd comes first, and what only a gateway does is asked of it.
	lab_schedctl_here port list | grep -q STATE
	lab_schedctl_here session list | grep -q SOURCE
	lab_schedctl_here host cordon host1
	lab_schedctl_here host list | grep -q '^host1  cordoned '
	lab_schedctl_here host show host1 | grep -qE '^Status: +cordoned$'
	lab_schedctl_here host uncordon host1
	lab_schedctl_here host list | grep -q '^host1  online '
}

@test "what keeps something on its host cannot move, and says why" {
	fleet_create local --volume code=local
	run --separate-stderr lab_schedctl env move local
	[ "$status" -eq 4 ]
	[[ $stderr == *"local cannot move: only what has volumes, and all of them shared"* ]]
	lab_schedctl env delete local --wait --timeout 60s
}

@test "moved: the same port, the same host key, the same files, one copy" {
	shared one
	local from to port id
	from=$(host_of one)
	to=$(other "$from")
	port=$(fleet_port one)
	id=$(fleet_env one .id)
	fleet_ssh one 'echo kept >/gemini/code/file'
	run --separate-stderr lab_schedctl env move one --to "$from"
	[ "$status" -eq 4 ]
	run --separate-stderr lab_schedctl env move one --to host9
	[ "$status" -eq 3 ]
	lab_schedctl env move one --wait --timeout 60s
	is_on one "$to"
	[ "$(fleet_port one)" = "$port" ]
	# with the host key of before
	[ "$(fleet_ssh one cat /gemini/code/file)" = kept ]
	no_container "$from" "$id"
	fleet_no_orphans
	lab_schedctl env move one --to "$from" --wait --timeout 60s
	is_on one "$from"
	[ "$(fleet_ssh one cat /gemini/code/file)" = kept ]
	no_container "$to" "$id"
	fleet_no_orphans
}

log_sessions() { # COUNT: so many logs are being read
	[ "$(lab_curl -s /metrics | awk '$1 == "portico_sched_log_sessions" { print $2 }')" = "$1" ]
}

@test "a log that is followed ends with the move, without an error, and is read anew where it runs then" {
	local from to
	from=$(host_of one)
	to=$(other "$from")
	fleet_ssh one true
	lab_wait 10 eval 'lab_schedctl env logs one | grep -q "Accepted publickey"'
	lab_start follower gateway "$BUILD_DIR/schedctl/schedctl" --server "$lab_server" --ca-file "$lab_ca" \
		--token-file "$lab_dir/tokens/admin" env logs one --follow
	lab_wait 15 grep -q 'Accepted publickey' "$lab_dir/log/follower"
	lab_schedctl env move one --wait --timeout 60s
	is_on one "$to"
	lab_wait 15 fleet_gone follower
	run ! grep 'schedctl:' "$lab_dir/log/follower"
	lab_wait 20 log_sessions 0
	# The new container has a log of its own.
	lab_wait 10 eval 'lab_schedctl env logs one | grep -q "Server listening"'
	run ! eval 'lab_schedctl env logs one | grep "Accepted publickey"'
	lab_start follower gateway "$BUILD_DIR/schedctl/schedctl" --server "$lab_server" --ca-file "$lab_ca" \
		--token-file "$lab_dir/tokens/admin" env logs one --follow
	lab_wait 15 log_sessions 1
	fleet_ssh one true
	lab_wait 15 grep -q 'Accepted publickey' "$lab_dir/log/follower"
	lab_stop follower KILL
	lab_wait 20 log_sessions 0
}

@test "a stopped one leaves its host, and is placed when it is started" {
	lab_schedctl env stop one --wait --timeout 60s
	lab_schedctl env move one --wait --timeout 60s
	[ "$(fleet_env one '[.phase, .host] | @json')" = '["stopped",null]' ]
	fleet_no_orphans
	lab_schedctl env start one --wait --timeout 60s
	[ "$(fleet_ssh one cat /gemini/code/file)" = kept ]
	fleet_no_orphans
}

@test "a cordoned host takes nothing new and keeps what it has" {
	local host
	host=$(host_of one)
	lab_schedctl host cordon "$host"
	status_is "$host" draining
	fleet_create new
	[ "$(host_of new)" = "$(other "$host")" ]
	is_on one "$host"
	run --separate-stderr lab_schedctl env move new --to "$host"
	[ "$status" -eq 4 ]
	lab_schedctl host uncordon "$host"
	status_is "$host" online
	lab_schedctl env delete new --wait --timeout 60s
}

drain_is() { # HOST COUNTS
	[ "$(lab_schedctl -o json host show "$1" | jq -c .drain)" = "$2" ]
}

@test "a drained host is emptied: what can move does, what cannot is named and waits" {
	local host id
	host=$(host_of one)
	lab_schedctl host cordon "$(other "$host")"
	fleet_create stays --volume code=local
	shared two
	shared three
	lab_schedctl host uncordon "$(other "$host")"
	id=$(fleet_env stays .id)
	lab_schedctl host drain "$host"
	lab_wait 90 drain_is "$host" '{"left":1,"moving":0,"staying":1}'
	run --separate-stderr lab_schedctl host drain "$host" --wait --timeout 3s
	[ "$status" -eq 1 ]
	[[ $stderr == *"$host: 1 left, 0 moving; cannot move: stays"* ]]
	lab_wait 30 is_on one "$(other "$host")"
	lab_wait 30 is_on two "$(other "$host")"
	lab_wait 30 is_on three "$(other "$host")"
	is_on stays "$host"
	fleet_reason_has stays "$host is draining, and not all of its volumes are shared"
	drain_is "$host" '{"left":1,"moving":0,"staying":1}'
	runs "$host" "$id"
	lab_schedctl env delete stays
	lab_schedctl host drain "$host" --wait --timeout 60s
	lab_schedctl host uncordon "$host"
	lab_schedctl env delete two three --wait --timeout 60s
	fleet_no_orphans
}

@test "a drain that finds no room says why, environment by environment, until there is some" {
	local host
	host=$(host_of one)
	lab_schedctl host cordon "$(other "$host")"
	run --separate-stderr lab_schedctl host drain "$host" --wait --timeout 3s
	[ "$status" -eq 1 ]
	[[ $stderr == *"$host: 1 left, 0 moving"* ]]
	[[ $stderr == *"$host: one: host $host is draining: it waits for room elsewhere: "*"$(other "$host"): is draining"* ]]
	# What it waits for is told when that changes, and not again with each change of something else.
	lab_schedctl host uncordon "$(other "$host")"
	run --separate-stderr lab_schedctl host drain "$host" --wait --timeout 60s
	[ "$status" -eq 0 ]
	[[ $stderr == *"$host: 0 left, 0 moving"* ]]
	[ "$(sort <<<"$stderr" | uniq -d)" = '' ]
	lab_wait 30 is_on one "$(other "$host")"
	lab_schedctl host uncordon "$host"
	fleet_no_orphans
}

runs_of() { # ENVIRONMENT-ID: how often its command has begun
	wc -l <"$lab_data/shared/environments/$1/code/runs"
}

@test "what has ended for good begins anew for nobody but who asks: not for a host that is lost, nor for a drain" {
	local from id
	fleet_create_image batch portico/batch:latest --restart never --volume code=shared
	lab_wait 30 fleet_phase_is batch stopped
	from=$(host_of batch)
	id=$(fleet_env batch .id)
	[ "$(runs_of "$id")" = 1 ]
	lab_stop "agentd-$from" KILL
	lab_wait 20 status_is "$from" offline
	lab_wait 40 lease_of_is_over "$from"
	[ "$(fleet_env batch '[.phase, .host] | join(" ")')" = "stopped $from" ]
	fleet_agentd "$from"
	lab_wait 20 lab_host_online "$from"
	lab_schedctl host drain "$from" --wait --timeout 60s
	[ "$(fleet_env batch '[.phase, .host] | @json')" = '["stopped",null]' ]
	lab_schedctl host uncordon "$from"
	[ "$(runs_of "$id")" = 1 ]
	lab_schedctl env start batch
	lab_wait 30 eval '[ "$(runs_of '"$id"')" = 2 ]'
	lab_wait 30 fleet_phase_is batch stopped
	lab_schedctl env delete batch --wait --timeout 60s
	fleet_no_orphans
}

@test "a host in maintenance may be away: nothing is moved, and its environments say so" {
	local host
	host=$(host_of one)
	lab_schedctl host maintenance "$host"
	lab_wait 10 fleet_reason_has one "$host is in maintenance"
	is_on one "$host"
	lab_stop "agentd-$host" KILL
	lab_wait 20 fleet_phase_is one unreachable
	status_is "$host" maintenance
	fleet_reason_has one 'it is expected back'
	# Nobody else takes it over: longer than its lease. Its port stays as it is.
	lab_wait 30 lease_would_be_over
	[ "$(host_of one)" = "$host" ]
	[ "$(fleet_env one '.ports[0].state')" = published ]
	fleet_agentd "$host"
	lab_wait 30 is_on one "$host"
	lab_schedctl host uncordon "$host"
	lab_wait 10 lab_host_online "$host"
	fleet_no_orphans
}

lease_would_be_over() {
	lease_of_is_over "$(host_of one)"
}

# Since the host was heard of for the last time, lease and margin have passed.
lease_of_is_over() { # HOST
	local since
	since=$(lab_schedctl -o json host show "$1" | jq -r .last_heartbeat)
	[ $(($(date +%s) - $(date +%s -d "$since"))) -gt 10 ]
}

@test "a host that is lost: local ones wait for it, shared ones move once they are stopped there" {
	local from to one stays started finished
	from=$(host_of one)
	to=$(other "$from")
	lab_schedctl host cordon "$to"
	fleet_create stays --volume code=local
	lab_schedctl host uncordon "$to"
	one=$(fleet_env one .id)
	stays=$(fleet_env stays .id)
	started=$(container "$from" "$stays" '{{.State.StartedAt}}')
	cut_off "$from"
	lab_wait 20 status_is "$from" offline
	run --separate-stderr lab_schedctl doctor
	[ "$status" -eq 1 ]
	[[ $output == *"error"*"host $from"*"not heard of since 20"*"portico-agentd"* ]]
	[[ $output == *"warning"*"environments"*"do not run as wanted"* ]]
	fleet_phase_is stays unreachable
	fleet_reason_has stays "host $from was not heard of since 20"
	lab_wait 60 is_on one "$to"
	# The lost host has stopped it by itself, before the other one has started it, and nothing else.
	[ "$(container "$from" "$one" '{{.State.Running}}')" = false ]
	finished=$(container "$from" "$one" '{{.State.FinishedAt}}')
	[[ $finished < $(container "$to" "$one" '{{.State.StartedAt}}') ]]
	runs "$from" "$stays"
	[ "$(fleet_ssh one cat /gemini/code/file)" = kept ]
	fleet_phase_is stays unreachable
	# Back: the old copy goes, the rest is adopted as it is.
	reach_again "$from"
	lab_wait 60 lab_host_online "$from"
	lab_wait 60 no_container "$from" "$one"
	lab_wait 30 is_on stays "$from"
	[ "$(container "$from" "$stays" '{{.State.StartedAt}}')" = "$started" ]
	is_on one "$to"
	[ "$(fleet_ssh stays whoami)" = developer ]
	lab_schedctl env delete stays --wait --timeout 60s
	fleet_no_orphans
}

@test "a lease is neither lengthened by a restart of agentd nor by one of schedd" {
	local from to one finished
	from=$(host_of one)
	to=$(other "$from")
	one=$(fleet_env one .id)
	cut_off "$from"
	lab_stop "agentd-$from" KILL
	lab_stop schedd KILL
	fleet_agentd "$from"
	moves_schedd
	lab_wait 60 is_on one "$to"
	[ "$(container "$from" "$one" '{{.State.Running}}')" = false ]
	finished=$(container "$from" "$one" '{{.State.FinishedAt}}')
	[[ $finished < $(container "$to" "$one" '{{.State.StartedAt}}') ]]
	reach_again "$from"
	lab_wait 60 lab_host_online "$from"
	lab_wait 60 no_container "$from" "$one"
	fleet_no_orphans
}

@test "a host that comes back after its lease and before it was missed starts again what it stopped" {
	local host one before
	host=$(host_of one)
	one=$(fleet_env one .id)
	before=$(container "$host" "$one" '{{.State.StartedAt}}')
	# Nobody is there to take it over.
	lab_schedctl host cordon "$(other "$host")"
	cut_off "$host"
	lab_wait 30 stopped_by_lease "$host" "$one"
	reach_again "$host"
	# A report of before, which was under way meanwhile, may let it pass for running until the next one.
	lab_wait 60 started_anew "$host" "$one" "$before"
	lab_wait 60 is_on one "$host"
	lab_schedctl host uncordon "$(other "$host")"
	[ "$(fleet_ssh one cat /gemini/code/file)" = kept ]
	fleet_no_orphans
}

stopped_by_lease() { # HOST ENVIRONMENT-ID
	[ "$(container "$1" "$2" '{{.State.Running}}')" = false ]
}

started_anew() { # HOST ENVIRONMENT-ID BEFORE: it runs, since later than that
	[[ $(container "$1" "$2" '{{.State.Running}} {{.State.StartedAt}}') > "true $3" ]]
}

@test "schedd stood still: nobody is blamed for it" {
	local pid offline
	pid=$(lab_pid schedd)
	host_of one >"$lab_dir/host-of-one" # schedd cannot be asked while it stands still
	offline=$(fleet_sql "SELECT count(*) FROM events WHERE action = 'offline'")
	kill -STOP "$pid"
	lab_wait 20 silent_for 6
	kill -CONT "$pid"
	lab_wait 20 grep -q 'nobody is blamed' "$lab_dir/log/schedd"
	lab_wait 20 is_on one "$(host_of one)"
	[ "$(fleet_sql "SELECT count(*) FROM events WHERE action = 'offline'")" = "$offline" ]
}

# agentd's last report is so old.
silent_for() { # SECONDS
	local changed
	changed=$(stat -c %Y "$lab_data/$(cat "$lab_dir/host-of-one")-agentd/lease.json")
	[ $(($(date +%s) - changed)) -ge "$1" ]
}

@test "deleted: the row is gone from its host, the data on shared volumes is left" {
	local id
	id=$(fleet_env one .id)
	lab_schedctl env delete one --wait --timeout 60s
	no_container host1 "$id"
	no_container host2 "$id"
	[ "$(cat "$lab_data/shared/environments/$id/code/file")" = kept ]
	fleet_no_orphans
}

@test "nothing is wrong with the daemons, to the end" {
	local name
	for name in agentd-host1 agentd-host2 gatewayd schedd; do
		lab_stop "$name"
	done
	run ! fleet_unsound
}
