#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck disable=SC2317,SC2154,SC2119 # bats calls the tests; variables come from the lab
# Clients over the network that are no good: they vanish without a word at every point of a connection, send
# nonsense ahead, and hold what they can. schedd gives up each of them, and has as many descriptors and
# about as much memory as before.

bats_require_minimum_version 1.5.0
load fleet

setup_file() {
	fleet_load
	lab_init
	lab_network
	lab_postgres
	lab_schedd --request-timeout 5s --idle-timeout 6s --max-body 65536 --max-connections 300 --token-rate 0
	lab_curl -sf -o /dev/null /v1/hosts
}

teardown_file() {
	lab_down
}

setup() {
	fleet_load
	lab_wait 60 alone
	descriptors=$(open_files)
	memory=$(resident)
}

teardown() {
	lab_exec host1 ip link set eth0 up
	lab_exec host1 ip route replace default via 10.0.1.1
	[ -n "${BATS_TEST_COMPLETED:-}" ] || tail -n 10 "$lab_dir/log/schedd"
}

metric() {
	lab_curl -s /metrics | sed -n "s/^$1 //p"
}

# Nobody but the one who asks.
alone() {
	[ "$(metric portico_sched_http_connections)" = 1 ] && [ "$(metric portico_sched_watchers)" = 0 ]
}

open_files() {
	find "/proc/$(lab_pid schedd)/fd" -mindepth 1 | wc -l
}

resident() { # KiB
	sed -n 's/^VmRSS:[^0-9]*\([0-9]*\).*/\1/p' "/proc/$(lab_pid schedd)/status"
}

# A crowd on host1, which says "there" once it is where it wants to be, and then does nothing more: HOW N
crowd_start() {
	lab_start crowd host1 tests/helpers/bad-clients https://10.0.0.1:8000 "$lab_ca" "$lab_dir/tokens/admin" "$1" "$2"
	lab_wait 60 grep -q there "$lab_dir/log/crowd"
	rm -f "$lab_dir/log/crowd"
}

# Its cable is pulled: no FIN, no RST.
vanish() {
	lab_exec host1 ip link set eth0 down
	lab_stop crowd KILL
}

as_before() {
	lab_wait 60 alone
	lab_wait 10 eval "[ \"\$(open_files)\" -le $descriptors ]"
	lab_curl -sf -o /dev/null /v1/hosts
}

@test "clients that vanish are given up, whatever they were at" {
	local how
	for how in handshake idle header body watch; do
		crowd_start "$how" 20
		[ "$(metric portico_sched_http_connections)" -ge 20 ]
		[ "$how" != watch ] || [ "$(metric portico_sched_watchers)" = 20 ]
		vanish
		as_before
		teardown
	done
}

@test "clients that stay and do nothing are given up as well" {
	local how
	for how in idle header body; do
		crowd_start "$how" 20
		[ "$(metric portico_sched_http_connections)" -ge 20 ]
		as_before
		lab_stop crowd KILL
	done
}

@test "more connections than there may be: those that do nothing make room, and those that do something go on" {
	local refused
	refused=$(metric portico_sched_http_connections_refused_total)
	crowd_start watch 250
	lab_exec gateway tests/helpers/bad-clients https://10.0.0.1:8000 "$lab_ca" "$lab_dir/tokens/admin" overcrowd 100
	[ "$(metric portico_sched_http_connections_refused_total)" -gt "$refused" ]
	[ "$(metric portico_sched_watchers)" = 250 ]
	[ "$(open_files)" -le $((descriptors + 310)) ]
	lab_stop crowd KILL
	as_before
}

@test "requests that are sent ahead are answered, and garbage behind them ends the connection" {
	lab_exec gateway tests/helpers/bad-clients https://10.0.0.1:8000 "$lab_ca" "$lab_dir/tokens/admin" pipeline 20
	as_before
}

@test "bodies that grow up to the limit cost no more than it" {
	crowd_start fat 100
	# 100 times header and body, and what TLS and the allocator add to that.
	[ $(($(resident) - memory)) -lt 65536 ]
	as_before
	lab_stop crowd KILL
}

@test "nothing is wrong with the daemon, to the end" {
	lab_stop schedd
	run ! grep -E 'ERROR: (Address|Leak)Sanitizer|runtime error:' "$lab_dir/log/schedd"
}
