#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck disable=SC2317,SC2154,SC2119,SC2016 # bats calls the tests; variables come from the lab
# What is asked, or happens, while something else is on its way: with containers that take their time to stop, so that
# there is a midway. The tests build on each other.

bats_require_minimum_version 1.5.0
load fleet

setup_file() {
	fleet_load
	fleet_up || { fleet_logs; return 1; }
	local host
	for host in host1 host2; do
		# It does not hear SIGTERM, and is killed after ten seconds.
		fleet_image "$host" stubborn \
			'["/bin/sh", "-c", "trap \"\" TERM; /usr/sbin/sshd -D -e & while :; do sleep 1; done"]'
	done
	lab_stop schedd
	fleet_schedd --lease 4s --lease-margin 15s
	lab_wait 20 lab_host_online host1
	lab_wait 20 lab_host_online host2
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

create() { # NAME
	fleet_create_image "$1" portico/stubborn:latest --volume code=shared --ssh-key "$lab_dir/key.pub" --wait --timeout 60s
}

host_of() {
	fleet_env "$1" .host
}

other() {
	[ "$1" = host1 ] && echo host2 || echo host1
}

no_container() { # HOST ENVIRONMENT-ID
	! lab_docker "$1" inspect --type container "$2"
}

# Its host has been told, and its container still runs.
is_midway() { # NAME ASSIGNMENT HOST
	[ "$(fleet_sql "SELECT assignment FROM environments WHERE name = '$1' AND phase <> 'deleted'")" = "$2" ] &&
		[ "$(lab_docker "$3" inspect --format '{{.State.Running}}' "$(fleet_env "$1" .id)")" = true ]
}

move_midway() { # NAME: asked for, and the old host is at it
	local from
	from=$(host_of "$1")
	lab_schedctl env move "$1"
	lab_wait 20 is_midway "$1" none "$from"
}

# When its container was started on a host, or ended there, in ns: HOST ENVIRONMENT-ID start|die
times_of() {
	lab_docker "$1" events --since 0 --until "$(($(date +%s) + 1))" --filter "event=$3" --filter "container=$2" \
		--format '{{.TimeNano}}'
}

@test "deleted while it moves: it is gone, and the other host never had it" {
	local from id
	create one
	from=$(host_of one)
	id=$(fleet_env one .id)
	move_midway one
	lab_schedctl env delete one --wait --timeout 60s
	no_container host1 "$id"
	no_container host2 "$id"
	[ -n "$(times_of "$from" "$id" start)" ]
	[ -z "$(times_of "$(other "$from")" "$id" start)" ]
	fleet_no_orphans
}

@test "stopped while it moves: it leaves, and is placed when it is started" {
	local port
	create one
	port=$(fleet_port one)
	move_midway one
	lab_schedctl env stop one --wait --timeout 60s
	[ "$(fleet_env one '[.phase, .host, .action] | @json')" = '["stopped",null,""]' ]
	fleet_no_orphans
	lab_schedctl env start one --wait --timeout 60s
	[ "$(fleet_port one)" = "$port" ]
	[ "$(fleet_ssh one whoami)" = developer ]
}

@test "told to move while it stops: it stops, and then leaves" {
	lab_schedctl env stop one
	lab_wait 20 is_midway one stopped "$(host_of one)"
	lab_schedctl env move one
	lab_wait 60 eval '[ "$(fleet_env one "[.phase, .host] | @json")" = "[\"stopped\",null]" ]'
	fleet_no_orphans
	lab_schedctl env start one --wait --timeout 60s
}

@test "sent to another host while it moves: it goes there, with its port, its host key and one copy" {
	local from id port
	from=$(host_of one)
	id=$(fleet_env one .id)
	port=$(fleet_port one)
	move_midway one
	run --separate-stderr lab_schedctl env move one --to "$from"
	[ "$status" -eq 4 ] # that is where it is, so far
	lab_schedctl env move one --to "$(other "$from")"
	[ "$(fleet_sql "SELECT move_to FROM environments WHERE id = '$id'")" = "$(other "$from")" ]
	lab_wait 60 eval '[ "$(fleet_env one "[.host, .phase, .action] | @json")" = "[\"$(other "$from")\",\"running\",\"\"]" ]'
	no_container "$from" "$id"
	[ "$(fleet_port one)" = "$port" ]
	[ "$(fleet_ssh one whoami)" = developer ]
	fleet_no_orphans
}

@test "its host is lost while it moves: the other one has it once the lease is over, and the old copy goes" {
	local from to id
	from=$(host_of one)
	to=$(other "$from")
	id=$(fleet_env one .id)
	move_midway one
	ip -n "$LAB-gateway" link set "to-$from" down
	lab_wait 90 fleet_phase_is one running
	[ "$(host_of one)" = "$to" ]
	# It was stopped before the other one was started, whoever had noticed what.
	[ "$(lab_docker "$from" ps -q --filter "name=$id")" = "" ]
	[ "$(times_of "$from" "$id" die | tail -n 1)" -lt "$(times_of "$to" "$id" start | tail -n 1)" ]
	[ "$(fleet_ssh one whoami)" = developer ]
	ip -n "$LAB-gateway" link set "to-$from" up
	lab_wait 60 lab_host_online "$from"
	lab_wait 60 no_container "$from" "$id"
	[ "$(host_of one)" = "$to" ]
	fleet_no_orphans
}

@test "extended in the second in which it ends: it runs on, or has stopped and can be started, and nothing between" {
	local until
	until=$(($(date +%s) + 8))
	lab_schedctl env extend one --until "$(date -u -d "@$until" +%FT%TZ)"
	lab_wait 20 eval "[ \$(date +%s) -ge $until ]"
	lab_schedctl env extend one --by 1h
	lab_wait 60 eval '[[ $(fleet_env one "[.phase, .power] | @json") =~ ^\[\"(running\",\"on|stopped\",\"off)\"\]$ ]]'
	[[ $(fleet_env one .expires_at) > $(date -u -d '+50 minutes' +%FT%TZ) ]]
	[ "$(fleet_env one .phase)" = running ] || lab_schedctl env start one --wait --timeout 60s
	# The kernel has the new deadline, and not the one that has passed.
	[ "$(fleet_ssh one whoami)" = developer ]
	lab_schedctl env delete one --wait --timeout 60s
	fleet_no_orphans
}

@test "nothing is wrong with the daemons, to the end" {
	local name
	for name in agentd-host1 agentd-host2 gatewayd schedd; do
		lab_stop "$name"
	done
	run ! fleet_unsound
}
