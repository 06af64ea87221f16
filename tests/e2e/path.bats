#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck disable=SC2317,SC2154 # bats calls the tests; variables come from the lab
# The whole path, from outside: a user asks for an environment and lands in it by ssh through the gateway's
# kernel. The tests of this file build on each other.

bats_require_minimum_version 1.5.0
load fleet

setup_file() {
	fleet_load
	fleet_up || { fleet_logs; return 1; }
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

@test "an environment comes up and ends with its ssh command" {
	run --separate-stderr fleet_create one
	[ "$status" -eq 0 ]
	[ "$output" = "ssh -p 30001 developer@203.0.113.10" ]
	[[ $stderr == *"password of developer: "* ]]
	[[ $stderr == *"one: running"* ]]
	sed -n 's/^password of developer: \([^ ]*\).*/\1/p' <<<"$stderr" >"$lab_dir/password"
	[ -s "$lab_dir/password" ]
}

@test "the map in the kernel has the port and nothing else" {
	run lab_exec gateway nft -j list map inet portico mapping4
	[ "$(jq '[.nftables[].map.elem? // empty | length] | add' <<<"$output")" = 1 ]
	[[ $output == *'"203.0.113.10"'*30001* ]]
}

# Its next report is up to a heartbeat away.
@test "the gateway is behind by what it lacks, and not by what does not concern it" {
	lab_schedctl customer create nobody
	lab_schedctl gateway show gw1 | grep -q 'with all that is asked for'
	lab_schedctl customer delete nobody
}

@test "a session by key, its command and its exit status" {
	[ "$(fleet_ssh one 'whoami; hostname')" = $'developer\none' ]
	run fleet_ssh one 'exit 7'
	[ "$status" -eq 7 ]
}

@test "a session by the generated password, and none by another" {
	local port options
	port=$(fleet_port one)
	options="$(fleet_ssh_options one) -p $port -o PreferredAuthentications=password -o PubkeyAuthentication=no"
	options+=" -o NumberOfPasswordPrompts=1"
	printf '#!/bin/sh\ncat %s\n' "$lab_dir/password" >"$lab_dir/right"
	printf '#!/bin/sh\necho wrong\n' >"$lab_dir/wrong"
	chmod 700 "$lab_dir/right" "$lab_dir/wrong"
	export SSH_ASKPASS_REQUIRE=force
	# shellcheck disable=SC2086 # words
	[ "$(SSH_ASKPASS=$lab_dir/right lab_exec client ssh $options "developer@$lab_public" whoami)" = developer ]
	# shellcheck disable=SC2086
	SSH_ASKPASS=$lab_dir/wrong run lab_exec client ssh $options "developer@$lab_public" whoami
	[ "$status" -eq 255 ]
}

@test "64 MiB go in and come out unchanged" {
	local port
	port=$(fleet_port one)
	head -c 67108864 /dev/urandom >"$lab_data/in"
	# shellcheck disable=SC2046
	lab_exec client scp -q $(fleet_ssh_options one) -P "$port" "$lab_data/in" "developer@$lab_public:copy"
	# shellcheck disable=SC2046
	lab_exec client scp -q $(fleet_ssh_options one) -P "$port" "developer@$lab_public:copy" "$lab_data/out"
	cmp "$lab_data/in" "$lab_data/out"
	rm "$lab_data/in" "$lab_data/out"
	fleet_ssh one rm copy
}

@test "the container has its limits" {
	run fleet_ssh one 'cat /sys/fs/cgroup/cpu.max /sys/fs/cgroup/memory.max 2>/dev/null ||
		cat /sys/fs/cgroup/cpu/cpu.cfs_quota_us /sys/fs/cgroup/memory/memory.limit_in_bytes'
	[[ ${lines[0]} == 25000* ]]
	[ "${lines[1]}" = 134217728 ]
}

@test "hosts are not reachable for the client but by a mapping" {
	local target
	target=$(fleet_env one '.ports[0].target | "\(.address) \(.port)"')
	# shellcheck disable=SC2086 # words
	run lab_exec client nc -z -w 2 $target
	[ "$status" -ne 0 ]
	run lab_exec client nc -z -w 2 203.0.113.10 30999
	[ "$status" -ne 0 ]
}

@test "the gateway itself can use its ports" {
	run lab_exec gateway sh -c 'exec 3<>/dev/null; nc -w 2 203.0.113.10 30001 </dev/null | head -c 8'
	[ "$output" = "SSH-2.0-" ]
}

@test "environments spread over both hosts" {
	for name in two three four; do
		fleet_create "$name"
	done
	run lab_schedctl -o json env list
	[ "$(jq '[.items[].host] | group_by(.) | map(length) | tostring' <<<"$output")" = '"[2,2]"' ]
}

@test "where no host has room it is refused with each host's reason, or waits in the queue" {
	run --separate-stderr lab_schedctl env create --name big --image portico/dev:latest --cpu 750m \
		--memory 128Mi --no-queue
	[ "$status" -eq 4 ]
	[[ $stderr == *"host1: needs 750 milli CPU, 500 free; host2: needs 750 milli CPU, 500 free"* ]]
	run ! lab_schedctl env show big

	lab_schedctl env create --name big --image portico/dev:latest --cpu 750m --memory 128Mi
	lab_wait 20 fleet_phase_is big pending
	[[ $(fleet_env big .reason) == *"host1: needs 750 milli CPU, 500 free"* ]]
}

@test "deleting ends the session, refuses the port, removes the container and rests the port" {
	local container port
	container=$(fleet_env one .id)
	port=$(fleet_port one)
	fleet_ticker session one
	lab_schedctl port list | grep -qE ":$port/tcp +published +one "
	lab_schedctl env delete one --wait
	lab_wait 10 lab_gone "$(lab_pid session || echo 1)" || [ -z "$(lab_pid session)" ]
	run lab_exec client nc -z -w 2 "$lab_public" "$port"
	[ "$status" -ne 0 ]
	[ -z "$(lab_docker host1 ps -aq --filter "name=$container")" ]
	[ -z "$(lab_docker host2 ps -aq --filter "name=$container")" ]
	run lab_schedctl -o json port list
	[ "$(jq -r ".items[] | select(.port == $port) | .state" <<<"$output")" = quarantined ]
	lab_schedctl port list | grep -qE ":$port/tcp +quarantined +$container "
	run lab_exec gateway nft list map inet portico mapping4
	[[ $output != *". $port "* ]]
}

@test "what waited takes the room, and not the resting port" {
	lab_wait 30 fleet_phase_is big running
	[ "$(fleet_port big)" != 30001 ]
	run --separate-stderr lab_curl -s -w '\n%{http_code}' -d \
		'{"name":"again","image":"x","cpu_milli":10,"memory_bytes":16777216,"services":[{"name":"ssh","port":22,"external_port":30001}]}' \
		/v1/environments
	[[ $output == *'"conflict"'*'quarantine'*409 ]]
}

@test "two services have two ports, and the one that does not answer is named" {
	lab_schedctl env create --name web --image portico/dev:latest --cpu 100m --memory 64Mi \
		--service ssh:22 --service http:8080
	[ "$(fleet_env web '.ports | map(.service) | sort | join(",")')" = "http,ssh" ]
	[ "$(fleet_env web '.ports | map(.port) | unique | length')" = 2 ]
	lab_wait 20 fleet_reason_has web "service http"
	lab_schedctl env delete web --wait
}

@test "an image that nobody has is a reason, not a riddle" {
	lab_schedctl env create --name noimage --image 10.0.0.1:5000/none:1 --cpu 100m --memory 64Mi
	lab_wait 20 fleet_reason_has noimage 10.0.0.1:5000/none:1
	run fleet_env noimage .phase
	[[ $output == creating || $output == failed ]]
	lab_schedctl env delete noimage --wait
	run ! lab_schedctl env show noimage
}

@test "nothing is wrong with the daemons, to the end" {
	local name
	for name in agentd-host1 agentd-host2 gatewayd schedd; do
		lab_stop "$name"
	done
	run ! fleet_unsound
}
