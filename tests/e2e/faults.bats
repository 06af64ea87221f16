#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck disable=SC2317,SC2154,SC2119,SC2016 # bats calls the tests; variables come from the lab
# Everything that can die does, while a session runs: the session goes on, nothing is lost, nothing is done
# twice, and whoever comes back changes nothing.

bats_require_minimum_version 1.5.0
load fleet

# Hosts and gateway know two, of which the second mostly does not run.
export lab_servers=https://10.0.0.1:8000,http://10.0.0.1:8001

setup_file() {
	fleet_load
	fleet_up || { fleet_logs; return 1; }
	fleet_create one
	fleet_create two
	fleet_ticker session one
}

teardown_file() {
	lab_down
}

setup() {
	fleet_load
}

teardown() {
	[ -n "${BATS_TEST_COMPLETED:-}" ] || fleet_logs
}

kill_it() {
	: >"$lab_dir/log/$1"
	lab_stop "$1" KILL
}

status_of() { # KIND NAME
	lab_curl -sf "/v1/$1/$2" | jq -r .status
}

status_is() { # KIND NAME STATUS
	[ "$(status_of "$1" "$2")" = "$3" ]
}

table() {
	lab_exec gateway nft -a list table inet portico
}

@test "gatewayd killed: sessions go on, new ones open, and it comes back with zero changes" {
	local before
	before=$(table)
	kill_it gatewayd
	fleet_ticks session
	[ "$(fleet_ssh two echo new)" = new ]
	fleet_gatewayd
	lab_wait 10 grep -q 'adopted mappings=2 changes=0 structure=intact' "$lab_dir/log/gatewayd"
	lab_wait 10 status_is gateways gw1 online
	[ "$(table)" = "$before" ]
	fleet_ticks session
}

last_epoch() {
	sed -n 's/.*leader: epoch=\([0-9]*\).*/\1/p' "$lab_dir/log/schedd" | tail -n 1
}

@test "schedd killed: the fleet goes on, and the next leader finds everything as it is" {
	local before starts port epoch
	before=$(table)
	starts=$(fleet_starts)
	port=$(fleet_port one)
	epoch=$(last_epoch)
	kill_it schedd
	fleet_ticks session
	fleet_schedd
	[ "$(last_epoch)" -gt "$epoch" ]
	lab_wait 10 status_is hosts host1 online
	lab_wait 10 fleet_phase_is one running
	lab_wait 10 fleet_phase_is two running
	[ "$(fleet_port one)" = "$port" ]
	[ "$(table)" = "$before" ]
	[ "$(fleet_starts)" = "$starts" ]
	fleet_ticks session
}

@test "agentd killed: containers go on, and it adopts them untouched" {
	local starts
	starts=$(fleet_starts)
	kill_it agentd-host1
	kill_it agentd-host2
	lab_wait 20 status_is hosts host1 offline
	lab_wait 20 status_is hosts host2 offline
	[ "$(fleet_env one .phase)" = unreachable ]
	fleet_ticks session
	[ "$(fleet_ssh two echo new)" = new ]
	fleet_agentd host1
	fleet_agentd host2
	lab_wait 20 fleet_phase_is one running
	lab_wait 20 fleet_phase_is two running
	[ "$(fleet_starts)" = "$starts" ]
	fleet_ticks session
}

@test "PostgreSQL away: writes are refused with the reason, reads go on, nothing is lost" {
	lab_stop postgres INT
	run --separate-stderr lab_schedctl env create --name three --image portico/dev:latest --cpu 100m --memory 64Mi
	[ "$status" -ne 0 ]
	[[ $stderr == *"database"* ]]
	run lab_curl -s -o /dev/null -w '%{http_code}' /readyz
	[ "$output" = 503 ]
	[ "$(fleet_env one .phase)" = running ]
	fleet_ticks session
	lab_postgres_start
	lab_wait 20 lab_curl -sf /readyz
	run ! lab_schedctl env show three
	fleet_create three
	[ "$(fleet_ssh three whoami)" = developer ]
	lab_schedctl env delete three --wait
}

@test "PostgreSQL away at the start: schedd waits for it and says so" {
	lab_stop schedd
	lab_stop postgres INT
	: >"$lab_dir/log/schedd"
	lab_start schedd gateway "$BUILD_DIR/schedd/schedd" --database "$lab_database" --listen 10.0.0.1:8000 \
		--state-directory "$lab_dir/schedd" --socket "$lab_dir/schedd.sock" --port-addresses "$lab_public" --port-range 30001-30999 --offline-after 4s
	lab_wait 10 grep -q 'database: .*next try' "$lab_dir/log/schedd"
	run lab_curl -s "/v1/environments"
	[[ $output == *'"unavailable"'* ]]
	lab_postgres_start
	lab_wait 20 fleet_phase_is one running
	fleet_ticks session
}

heard_by_second() { # KIND/NAME
	lab_exec gateway "$BUILD_DIR/schedctl/schedctl" --server http://10.0.0.1:8001 --token-file "$lab_dir/tokens/admin" -o json \
		"${1%%s/*}" show "${1#*/}" | jq -e '.last_heartbeat != null and .status == "online"'
}

@test "a second schedd waits for the first and takes over" {
	lab_start schedd2 gateway "$BUILD_DIR/schedd/schedd" --database "$lab_database" --listen 10.0.0.1:8001 --insecure \
		--socket "" --port-addresses "$lab_public" --port-range 30001-30999
	lab_wait 10 grep -q 'another schedd is the leader' "$lab_dir/log/schedd2"
	run lab_exec gateway curl -s "http://10.0.0.1:8001/readyz"
	[[ $output == *'another schedd is the leader'* ]]
	lab_stop schedd KILL
	lab_wait 20 lab_exec gateway curl -sf "http://10.0.0.1:8001/readyz"
	# Hosts and gateway go on with it, and so does what runs.
	lab_wait 30 heard_by_second hosts/host1
	lab_wait 30 heard_by_second hosts/host2
	lab_wait 30 heard_by_second gateways/gw1
	fleet_ticks session
	lab_stop schedd2
	fleet_schedd
	lab_wait 30 status_is hosts host1 online
	lab_wait 30 status_is gateways gw1 online
	lab_wait 20 fleet_phase_is one running
	fleet_ticks session
}

engine_error() {
	lab_curl -sf "/v1/hosts/$1" | jq -r '.engine_error // empty'
}

engine_fails() {
	[ -n "$(engine_error "$1")" ]
}

engine_answers() {
	[ -z "$(engine_error "$1")" ]
}

@test "Docker away: the host says so, and nothing is restarted when it is back" {
	local starts
	starts=$(fleet_starts)
	lab_stop dockerd-host2
	lab_wait 20 engine_fails host2
	[ "$(status_of hosts host2)" = online ]
	[ "$(fleet_ssh two echo new)" = new ]
	lab_dockerd_start host2
	lab_wait 60 engine_answers host2
	lab_wait 30 fleet_phase_is two running
	[ "$(fleet_ssh two whoami)" = developer ]
	[ "$(fleet_starts)" = "$starts" ]
}

@test "a table that somebody flushed is put right" {
	fleet_ticks session
	lab_exec gateway nft flush ruleset
	lab_wait 10 eval 'lab_exec gateway nft list map inet portico mapping4 | grep -q "30001"'
	[ "$(fleet_ssh two echo again)" = again ]
	grep -q 'changed by someone else' "$lab_dir/log/gatewayd"
}

@test "what is not ours is not touched" {
	lab_docker host1 run -d --name stranger portico/dev:latest sleep 1000 >/dev/null
	lab_exec gateway nft add table inet strangers
	lab_stop agentd-host1
	lab_stop gatewayd
	fleet_agentd host1
	fleet_gatewayd
	lab_wait 20 fleet_phase_is one running
	[ "$(lab_docker host1 inspect -f '{{.State.Running}}' stranger)" = true ]
	lab_exec gateway nft list table inet strangers
}

@test "nothing is wrong with the daemons, to the end" {
	local name
	for name in agentd-host1 agentd-host2 gatewayd schedd; do
		lab_stop "$name"
	done
	run ! fleet_unsound
}
