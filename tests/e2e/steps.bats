#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck disable=SC2317,SC2154,SC2119 # bats calls the tests; variables come from the lab
# agentd is killed with SIGKILL at each of its calls that change something in Docker, before Docker has got it, and after
# Docker has done it and before agentd knows: while an environment is made, seeded with its keys, started, stopped and
# removed. The end is the same as if nothing had happened. tests/helpers/engine-gate holds the calls. And what happens
# while agentd is away is known when it is back. The tests build on each other.

bats_require_minimum_version 1.5.0
load fleet

setup_file() {
	fleet_load
	lab_init
	lab_network
	lab_postgres
	lab_dockerd_start host1
	lab_image host1 "$(scripts/dev-image)"
	fleet_image host1 crash '["/bin/sh", "-c", "exit 3"]'
	ssh-keygen -q -t ed25519 -N '' -C test -f "$lab_dir/key"
	install -d "$lab_data/shared"
	touch "$lab_data/shared/.portico"
	: >"$lab_dir/calls"
	lab_start gate - tests/helpers/engine-gate "$lab_dir/gate.sock" "$lab_dir/host1.sock" "$lab_dir/order" "$lab_dir/calls"
	lab_wait 10 test -S "$lab_dir/gate.sock"
	fleet_schedd
	fleet_gatewayd
	agentd_start
	# The host's first makes its network.
	fleet_create first
	echo "$(($(calls) - 1))" >"$lab_dir/calls-up" # of each further one
	lab_schedctl env delete first --wait --timeout 60s
}

teardown_file() {
	lab_down
}

setup() {
	fleet_load
}

teardown() {
	[ -n "${BATS_TEST_COMPLETED:-}" ] || { fleet_logs; cat "$lab_dir/calls"; cat "$lab_dir/order" || true; }
}

agentd_start() {
	lab_token host host1
	lab_start agentd-host1 host1 "$BUILD_DIR/agentd/agentd" --name host1 --address 10.0.1.2 --server "$lab_servers" \
		--ca-file "$lab_ca" --token-file "$lab_dir/tokens/host1" --docker "unix://$lab_dir/gate.sock" \
		--data-dir "$lab_data/host1-agentd" --heartbeat 1s --cpu-milli 1000 --memory-bytes 1073741824 \
		--shared-dir "$lab_data/shared"
	lab_wait 20 lab_host_online host1
}

create() { # NAME: not waited for
	lab_schedctl env create --name "$1" --image portico/dev:latest --cpu 250m --memory 128Mi \
		--ssh-key "$lab_dir/key.pub" --volume code=local
}

# What was made of it, but for what differs between any two environments.
picture() { # NAME
	local id
	id=$(fleet_env "$1" .id)
	lab_docker host1 inspect "$id" | jq -S '.[0] | {HostConfig, Env: .Config.Env, Image: .Config.Image,
		Labels: (.Config.Labels | del(.["portico.environment", "portico.revision", "portico.epoch", "portico.digest"])),
		Mounts: [.Mounts[] | {Destination, RW}], Running: .State.Running}' | sed "s/$id/ID/g"
	# shellcheck disable=SC2016 # the container's shell reads it
	lab_docker host1 exec "$id" sh -c 'grep developer /etc/passwd /etc/group; grep -c developer /etc/shadow
		find /etc/ssh ~developer /gemini -printf "%p %M %u %g\n" | sort; cat ~developer/.ssh/authorized_keys'
	lab_docker host1 ps -aq --filter "label=portico.environment=$id" | wc -l
	lab_docker host1 network ls -q --filter name=portico | wc -l
}

calls() {
	wc -l <"$lab_dir/calls"
}

held() {
	[ "$(cat "$lab_dir/order")" = held ]
}

# kill_at WHEN N COMMAND...: agentd dies at its Nth change from here on, and is started again.
kill_at() {
	local when=$1 n=$2
	shift 2
	echo "$when $n" >"$lab_dir/order"
	"$@"
	lab_wait 30 held
	lab_stop agentd-host1 KILL
	rm "$lab_dir/order"
	agentd_start
}

# for_each_call COUNT COMMAND...: with words WHEN and N.
for_each_call() {
	local when n count=$1
	shift
	for n in $(seq "$count"); do
		for when in before after; do
			echo "killed $when call $n: $*"
			"$@" "$when" "$n"
		done
	done
}

is_gone() { # NAME ID
	! lab_schedctl env show "$1" && ! lab_docker host1 inspect --type container "$2" &&
		[ ! -e "$lab_data/host1-agentd/environments/$2" ]
}

make_killed() { # WHEN N
	local id
	kill_at "$1" "$2" create one
	lab_wait 60 fleet_phase_is one running
	id=$(fleet_env one .id)
	picture one >"$lab_dir/picture-killed"
	diff -u "$lab_dir/picture" "$lab_dir/picture-killed"
	[ "$(fleet_ssh one whoami)" = developer ]
	lab_schedctl env delete one --wait --timeout 60s
	is_gone one "$id"
	fleet_no_orphans
}

@test "killed at each change on the way up, what is made is the same" {
	local before n
	before=$(calls)
	create one
	lab_wait 60 fleet_phase_is one running
	n=$(($(calls) - before))
	[ "$n" -ge 3 ] # made, seeded, started
	picture one >"$lab_dir/picture"
	lab_schedctl env delete one --wait --timeout 60s
	for_each_call "$n" make_killed
}

container() { # NAME TEMPLATE
	lab_docker host1 inspect --format "$2" "$(fleet_env "$1" .id)"
}

stop_killed() { # WHEN N
	local id key
	id=$(container one '{{.Id}}')
	key=$(fleet_env one .ssh_host_key)
	kill_at "$1" "$2" lab_schedctl env stop one
	lab_wait 60 fleet_phase_is one stopped
	[ "$(container one '{{.State.Running}}')" = false ]
	kill_at "$1" 1 lab_schedctl env start one
	lab_wait 60 fleet_phase_is one running
	[ "$(container one '{{.Id}}')" = "$id" ] # and not another one
	[ "$(fleet_env one .ssh_host_key)" = "$key" ]
	[ "$(fleet_ssh one cat /gemini/code/file)" = kept ]
}

@test "killed at each change of a stop and a start, it is the same container with the same keys and files" {
	local before
	create one
	lab_wait 60 fleet_phase_is one running
	fleet_ssh one 'echo kept >/gemini/code/file'
	before=$(calls)
	lab_schedctl env stop one --wait --timeout 60s
	[ "$(($(calls) - before))" -eq 1 ]
	lab_schedctl env start one --wait --timeout 60s
	[ "$(($(calls) - before))" -eq 2 ]
	for_each_call 1 stop_killed
	lab_schedctl env delete one --wait --timeout 60s
	fleet_no_orphans
}

start_killed() { # WHEN
	local id
	id=$(container once '{{.Id}}')
	lab_schedctl env stop once --wait --timeout 60s
	kill_at "$1" 1 lab_schedctl env start once
	lab_wait 60 fleet_phase_is once running
	[ "$(container once '{{.Id}}')" = "$id" ]
	[ "$(fleet_env once '[.exit_code, .crashes] | @json')" = '[null,0]' ]
}

@test "killed at a start of what is never started again by itself, it runs, and its stop was no end" {
	fleet_create once --restart never
	start_killed before
	start_killed after
}

has_ended() { # NAME
	[ "$(container "$1" '{{.State.Running}}')" = false ]
}

# end_unseen NAME: its command is killed while there is no agentd.
end_unseen() {
	local pid
	pid=$(container "$1" '{{.State.Pid}}')
	[ "$pid" -gt 1 ]
	lab_stop agentd-host1 KILL
	kill -KILL "$pid"
	lab_wait 30 has_ended "$1"
	agentd_start
}

runs_with_status() { # NAME STATUS: of its last end
	[ "$(fleet_env "$1" '"\(.phase) \(.exit_code)"')" = "running $2" ]
}

@test "what ends while agentd is away, and never did before, is counted once and with its status" {
	local time
	end_unseen once
	for time in first again; do
		lab_wait 60 fleet_phase_is once failed
		[ "$(fleet_env once '[.exit_code, .crashes, .reason] | @json')" = '[137,1,"it ended with status 137"]' ]
		[ "$time" = again ] || { lab_stop agentd-host1 KILL; agentd_start; }
	done
	# It is started when asked, also by an agentd that is killed at it: first it is stopped, so that it is known.
	kill_at before 2 lab_schedctl env start once
	lab_wait 60 fleet_phase_is once running
	# Here agentd starts it again and not Docker.
	fleet_create moving --volume code=shared
	end_unseen moving
	lab_wait 60 runs_with_status moving 137
	lab_schedctl env delete once moving --wait --timeout 60s
	fleet_no_orphans
}

restarted() { # NAME COUNT: by Docker
	[ "$(container "$1" '{{.RestartCount}}')" -ge "$2" ]
}

is_crash_loop() { # NAME COUNT
	[ "$(fleet_env "$1" '[.stage, .exit_code] | @json')" = '["crash-loop",3]' ] && [ "$(fleet_env "$1" .crashes)" -ge "$2" ]
}

@test "what ends again and again before agentd has seen it once is a crash loop when it does" {
	echo "after $(cat "$lab_dir/calls-up")" >"$lab_dir/order"
	fleet_create_image loop portico/crash:latest --restart on-failure --volume code=local
	lab_wait 30 held
	lab_stop agentd-host1 KILL
	rm "$lab_dir/order"
	lab_wait 60 restarted loop 4
	agentd_start
	lab_wait 60 is_crash_loop loop 4
	restarted loop "$(($(fleet_env loop .crashes) - 1))"
	lab_schedctl env delete loop --wait --timeout 60s
	fleet_no_orphans
}

delete_killed() { # WHEN N
	local id
	create one
	lab_wait 60 fleet_phase_is one running
	id=$(fleet_env one .id)
	kill_at "$1" "$2" lab_schedctl env delete one
	lab_wait 60 is_gone one "$id"
	fleet_no_orphans
}

@test "killed at each change on the way out, nothing is left, neither container nor volumes" {
	local before
	create one
	lab_wait 60 fleet_phase_is one running
	before=$(calls)
	lab_schedctl env delete one --wait --timeout 60s
	[ "$(($(calls) - before))" -eq 2 ] # stopped, removed
	for_each_call 2 delete_killed
}

@test "nothing is wrong with the daemons, to the end" {
	local name
	for name in agentd-host1 gatewayd schedd; do
		lab_stop "$name"
	done
	run ! fleet_unsound
}
