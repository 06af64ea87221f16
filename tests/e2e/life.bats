#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck disable=SC2317,SC2154,SC2119,SC2016 # bats calls the tests; variables come from the lab
# The life of environments on two real Docker hosts: stopped, started, restarted, ended by themselves. Each
# test ends with a look for what nobody owns. The tests build on each other.

bats_require_minimum_version 1.5.0
load fleet

setup_file() {
	fleet_load
	fleet_up || { fleet_logs; return 1; }
	local host
	for host in host1 host2; do
		fleet_image "$host" crash '["/bin/sh", "-c", "sleep 0.2; exit 3"]'
		fleet_image "$host" once '["/bin/sh", "-c", "exit 0"]'
	done
	fleet_create one
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

container() { # ENVIRONMENT TEMPLATE
	lab_docker "$(fleet_env "$1" .host)" inspect --format "$2" "$(fleet_env "$1" .id)"
}

@test "stopped: the port is withdrawn first, and kept; nobody is led anywhere" {
	local port
	port=$(fleet_port one)
	fleet_ticker session one
	lab_schedctl env stop one --wait --timeout 60s
	[ "$(fleet_env one '[.phase, .power, .reason] | join(" ")')" = 'stopped off ' ]
	[ "$(fleet_env one '.ports[0] | [.port, .state, .target] | @json')" = "[$port,\"reserved\",null]" ]
	[ "$(container one '{{.State.Running}}')" = false ]
	lab_wait 20 fleet_gone session
	run fleet_ssh one true
	[ "$status" -ne 0 ]
	fleet_no_orphans
	# Asked again: nothing to do.
	lab_schedctl env stop one --wait --timeout 60s
}

@test "what is stopped stays so through restarts of everything" {
	local daemon
	for daemon in schedd agentd-host1 agentd-host2 gatewayd; do
		lab_stop "$daemon" KILL
	done
	fleet_schedd
	fleet_gatewayd
	fleet_agentd host1
	fleet_agentd host2
	lab_wait 20 lab_host_online host1
	lab_wait 20 lab_host_online host2
	[ "$(fleet_env one .phase)" = stopped ]
	[ "$(container one '{{.State.Running}}')" = false ]
}

@test "a stopped one cannot be restarted, only started" {
	run --separate-stderr lab_schedctl env restart one
	[ "$status" -eq 4 ]
	[[ $stderr == *"one is stopped: start it"* ]]
}

@test "started: the same port and the same host key" {
	local port
	port=$(fleet_port one)
	lab_schedctl env start one --wait --timeout 60s
	[ "$(fleet_port one)" = "$port" ]
	[ "$(fleet_ssh one whoami)" = developer ]
	fleet_no_orphans
}

@test "restarted: another run of the same container, behind the same port" {
	local before port
	before=$(container one '{{.Id}} {{.State.StartedAt}}')
	port=$(fleet_port one)
	lab_schedctl env restart one --wait --timeout 60s
	[ "$(container one '{{.Id}}')" = "${before% *}" ]
	[ "$(container one '{{.State.StartedAt}}')" != "${before#* }" ]
	[ "$(fleet_port one)" = "$port" ]
	[ "$(fleet_ssh one whoami)" = developer ]
	[ "$(fleet_env one .action)" = '' ]
	fleet_no_orphans
}

@test "one that ends by itself says with what status, and is started anew when asked" {
	fleet_create_image ended portico/once:latest --restart on-failure
	lab_wait 30 fleet_phase_is ended stopped
	[ "$(fleet_env ended '[.power, .exit_code, .reason] | @json')" = '["on",0,"it ended with status 0"]' ]
	fleet_create_image never portico/crash:latest --restart never
	lab_wait 30 fleet_phase_is never failed
	[ "$(fleet_env never '[.exit_code, .reason] | @json')" = '[3,"it ended with status 3"]' ]
	local started
	started=$(container never '{{.State.StartedAt}}')
	lab_schedctl env start never
	lab_wait 30 ran_again never "$started"
	lab_wait 30 fleet_phase_is never failed
	lab_schedctl env delete ended never --wait --timeout 60s
	fleet_no_orphans
}

ran_again() { # ENVIRONMENT STARTED
	[ "$(container "$1" '{{.State.StartedAt}}')" != "$2" ]
}

crashed() { # ENVIRONMENT COUNT
	[ "$(fleet_env "$1" .crashes)" -ge "$2" ]
}

# Both at once: there is no next try while it runs again.
tells_next_try() { # ENVIRONMENT
	[[ $(fleet_env "$1" '"\(.reason) and \(.next_try)"') == *'times in a row, with status 3; next try 20'*' and 20'*Z ]]
}

@test "a crash loop is seen as one: count, status, next try; no port is led there" {
	fleet_create_image loop portico/crash:latest
	lab_wait 60 crashed loop 4
	[ "$(fleet_env loop '[.phase, .stage, .exit_code] | @json')" = '["creating","crash-loop",3]' ]
	lab_wait 30 tells_next_try loop
	[ "$(fleet_env loop '.ports[0].state')" = reserved ]
	# Stopped, it rests.
	lab_schedctl env stop loop --wait --timeout 60s
	[ "$(fleet_env loop '[.phase, .crashes, .next_try] | @json')" = '["stopped",0,null]' ]
	lab_schedctl env delete loop --wait --timeout 60s
	fleet_no_orphans
}

# Until it has ended once more; all the time it is the crash loop that it was, but for what schedd hears nothing of.
goes_on() { # ENVIRONMENT CRASHES
	local phase stage status crashes=$2 deadline=$((SECONDS + 90))
	while [ "$crashes" -le "$2" ]; do
		[ "$SECONDS" -lt "$deadline" ]
		sleep 0.1
		read -r phase stage status crashes < <(fleet_env "$1" '"\(.phase) \(.stage) \(.exit_code) \(.crashes)"')
		echo "$1: $phase $stage status=$status crashes=$crashes"
		[ "$phase" != unreachable ] || continue
		[ "$phase $stage $status" = 'creating crash-loop 3' ]
		[ "$crashes" -ge "$2" ]
	done
}

ended_unseen() { # ENVIRONMENT COUNT: more often by Docker's own count
	[ "$(container "$1" '{{.RestartCount}}')" -gt "$2" ]
}

@test "a crash loop outlives agentd: killed, it goes on counting, and waits as long as before" {
	local host id loop moving unseen
	# Docker starts the one again, agentd the other.
	fleet_create_image loop portico/crash:latest
	fleet_create_image moving portico/crash:latest --volume code=shared
	lab_wait 60 crashed loop 4
	lab_wait 60 crashed moving 3
	loop=$(fleet_env loop .crashes) moving=$(fleet_env moving .crashes)
	unseen=$(container loop '{{.RestartCount}}')
	for host in host1 host2; do
		lab_stop "agentd-$host" KILL
	done
	lab_wait 60 ended_unseen loop "$unseen"
	for host in host1 host2; do
		fleet_agentd "$host"
	done
	goes_on loop "$((loop + 1))"
	goes_on moving "$moving"
	# Another go is another count, and nothing of it is left in the end.
	lab_schedctl env stop loop --wait --timeout 60s
	[ "$(fleet_env loop .crashes)" = 0 ]
	id=$(fleet_env loop .id)
	host=$(fleet_env loop .host)
	[ -f "$lab_data/$host-agentd/environments/$id/.ends" ]
	lab_schedctl env delete loop moving --wait --timeout 60s
	[ ! -e "$lab_data/$host-agentd/environments/$id" ]
	fleet_no_orphans
}

@test "a crash is forgiven after a while of health" {
	local pid
	fleet_create healthy
	pid=$(container healthy '{{.State.Pid}}')
	kill -KILL "$pid"
	lab_wait 30 crashed healthy 1
	[ "$(fleet_env healthy .exit_code)" = 137 ]
	lab_wait 30 fleet_phase_is healthy running
	lab_wait 30 forgiven healthy
	[ "$(fleet_env healthy .exit_code)" = 137 ]
	[ "$(fleet_ssh healthy whoami)" = developer ]
	lab_schedctl env delete healthy --wait --timeout 60s
	fleet_no_orphans
}

forgiven() {
	[ "$(fleet_env "$1" .crashes)" = 0 ]
}

expires() { # ENVIRONMENT [SECONDS]: as the gateway's kernel has it, in so many at most
	lab_exec gateway nft -j list table inet portico | jq -e --argjson port "$(fleet_port "$1")" --argjson most "${2:-3600}" \
		'[.. | objects | select(has("elem")) | .elem | objects | select(.expires <= $most and has("expires")) | .. | numbers] | index($port)'
}

@test "a deadline: said before, moved in place, kept by the kernel, and then it is stopped" {
	fleet_create timed --expires-in 1h
	fleet_reason_has timed 'it will be stopped then'
	expires timed
	lab_schedctl env extend timed --never
	lab_wait 10 fleet_phase_is timed running
	[ "$(fleet_env timed '[.expires_at, .reason] | @json')" = '[null,""]' ]
	lab_wait 10 not_expiring timed
	# No session notices.
	fleet_ticker session timed
	lab_schedctl env extend timed --by 3600s
	lab_wait 10 expires timed
	fleet_ticks session
	run --separate-stderr lab_schedctl env extend timed --until 2001-01-01T00:00:00Z
	[ "$status" -eq 4 ]
	[[ $stderr == *"that time has passed"* ]]
	lab_schedctl env extend timed --until "$(date -u -d '+8 seconds' +%FT%TZ)"
	lab_wait 30 fleet_phase_is timed stopped
	fleet_reason_has timed 'its time was over at 20'
	[ "$(container timed '{{.State.Running}}')" = false ]
	run --separate-stderr lab_schedctl env start timed
	[ "$status" -eq 4 ]
	[[ $stderr == *"extend it first"* ]]
	lab_schedctl env extend timed --by 1h
	lab_schedctl env start timed --wait --timeout 60s
	[ "$(fleet_ssh timed whoami)" = developer ]
	fleet_no_orphans
}

not_expiring() {
	! expires "$1"
}

@test "a deadline holds with every daemon dead, and one that deletes leaves nothing" {
	local daemon port
	fleet_create gone --expires-in 1h --on-expiry delete
	port=$(fleet_port gone)
	[ "$(fleet_ssh gone whoami)" = developer ]
	# Only now, however long it took to come so far.
	lab_schedctl env extend gone --until "$(date -u -d '+15 seconds' +%FT%TZ)"
	lab_wait 10 expires gone 15
	for daemon in schedd gatewayd agentd-host1 agentd-host2; do
		lab_stop "$daemon" KILL
	done
	lab_wait 60 shut "$port"
	fleet_schedd
	fleet_gatewayd
	fleet_agentd host1
	fleet_agentd host2
	lab_wait 60 is_gone gone
	lab_wait 20 fleet_phase_is timed running
	fleet_no_orphans
}

shut() { # PORT
	! lab_exec client nc -z -w 2 "$lab_public" "$1"
}

is_gone() {
	! lab_schedctl env show "$1"
}

@test "nothing is wrong with the daemons, to the end" {
	local name
	for name in agentd-host1 agentd-host2 gatewayd schedd; do
		lab_stop "$name"
	done
	run ! fleet_unsound
}
