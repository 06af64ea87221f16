#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck disable=SC2317 # bats calls the tests
# shellcheck disable=SC1091,SC2154 # scripts/lab.sh sets lab_dir and lab_data
# agentd with a real Docker engine in a network namespace of its own. The scheduler's end of the protocol is
# tests/helpers/host-peer, so that a test decides what arrives on the stream and when. BUILD_DIR names the
# build folder (default: build). The tests build on each other.

bats_require_minimum_version 1.5.0

ADDRESS=10.0.1.2
PEER=http://10.0.0.1:8000

load_lab() {
	cd "$BATS_TEST_DIRNAME/../.." || return 1
	# shellcheck source=scripts/lab.sh
	. scripts/lab.sh
	lab_paths
}

dockerd_start() {
	# dockerd takes processes of its pid files that have ended, and that init has not waited for yet, for living ones.
	local file
	for file in "$lab_dir/host1.pid" "$lab_dir/host1/containerd/containerd.pid"; do
		[ ! -f "$file" ] || lab_start_time "$(cat "$file")" >/dev/null || rm -f "$file"
	done
	lab_start dockerd-host1 host1 dockerd --data-root "$lab_data/host1" --exec-root "$lab_dir/host1" \
		--pidfile "$lab_dir/host1.pid" --host "unix://$lab_dir/host1.sock" --userland-proxy=false --live-restore
	lab_wait 60 lab_docker host1 version
}

peer_start() {
	lab_start peer gateway tests/helpers/host-peer 10.0.0.1 8000
	lab_wait 10 peer seen
}

# As its unit runs it: nobody of its own, in Docker's group, with three capabilities.
agentd_start() {
	local capabilities=-all,+chown,+dac_override,+fowner
	lab_start agentd-host1 host1 setpriv --reuid=nobody --regid=nogroup --groups="$(getent group docker | cut -d: -f3)" \
		--bounding-set="$capabilities" --inh-caps="$capabilities" --ambient-caps="$capabilities" --no-new-privs \
		"$BUILD_DIR/agentd/agentd" --name host1 --address "$ADDRESS" --server "$PEER" \
		--docker "unix://$lab_dir/host1.sock" --data-dir "$lab_data/host1-agentd" \
		--memory-reserve 64000000 --labels disk=ssd --heartbeat 2s --metrics-listen 127.0.0.1:9470
}

setup_file() {
	export LAB=agentd-$$
	load_lab
	lab_init
	lab_network
	dockerd_start
	lab_image host1 "$(scripts/dev-image)"
	peer_start
	ssh-keygen -q -t ed25519 -N '' -C '' -f "$lab_dir/user"
	ssh-keygen -q -t ed25519 -N '' -C '' -f "$lab_dir/host-key"
	agentd_start
}

teardown_file() {
	load_lab
	lab_down
}

setup() {
	load_lab
}

# What is there to see, once a test has failed; bats prints it only then.
teardown() {
	[ -z "${BATS_TEST_COMPLETED:-}" ] || return 0
	peer report | jq -c .
	lab_docker host1 ps -a --no-trunc --format '{{.Names}} {{.Status}}'
	tail -n 30 "$lab_dir/log/agentd-host1"
	grep -E 'level=(error|fatal)|failed|still running' "$lab_dir/log/dockerd-host1" | tail -n 10
}

# ---- the peer ----

peer() { # peer WHAT [JSON]: asks for something, or sets it
	if [ $# -eq 1 ]; then
		# jq -e takes no input at all for a yes.
		lab_exec gateway curl -sf "$PEER/peer/$1" || {
			echo null
			return 1
		}
	else
		lab_exec gateway curl -sf -X PUT -d "$2" -o /dev/null "$PEER/peer/$1"
	fi
}

# item ENV [JQ-FILTER]: an assignment, with changes.
item() {
	jq -n --arg env "$1" --rawfile key "$lab_dir/user.pub" --rawfile host "$lab_dir/host-key" \
		--arg hash "$(openssl passwd -6 -salt saltsalt 'correct horse')" '{
		environment: $env, revision: 1, state: "running", user: "developer", password_hash: $hash,
		ssh_host_key: $host,
		spec: {name: "demo", image: "portico/dev:latest", cpu_milli: 500, memory_bytes: 268435456,
			services: [{name: "ssh", port: 22}], ssh_authorized_keys: [$key | rtrimstr("\n")]}
	} | '"${2:-.}"
}

# assign ITEM...: exactly these.
assign() {
	peer assignments "$(printf '%s\n' "$@" | jq -s .)"
}

# reports ENV JQ-CONDITION: whether the last report says so of the environment.
reports() {
	peer report | jq -e --arg env "$1" ".containers[] | select(.environment == \$env) | $2"
}

reports_not() {
	peer report | jq -e --arg env "$1" '[.containers[].environment] | index($env) == null'
}

report_is() { # report_is JQ-CONDITION: of the whole report
	peer report | jq -e "$1"
}

log_has() { # log_has TEXT: in what agentd wrote since its last start
	grep -qF -- "$1" "$lab_dir/log/agentd-host1"
}

# ---- the engine ----

container() { # container ENV TEMPLATE
	lab_docker host1 inspect --type container --format "$2" "$1"
}

signal_container() { # signal_container SIGNAL ENV: to its first process
	local pid
	pid=$(container "$2" '{{.State.Pid}}')
	[ "$pid" -gt 1 ] && kill "-$1" "$pid"
}

no_container() {
	! lab_docker host1 inspect --type container "$1"
}

endpoint() { # endpoint ENV SERVICE: "ADDRESS PORT" as reported
	peer report | jq -er --arg env "$1" --arg service "$2" '.containers[] | select(.environment == $env)
		.services[] | select(.service == $service) | "\(.address) \(.port)"'
}

# in_env ENV SSH-OPTION... -- COMMAND: over SSH from the gateway, with the expected host key only.
in_env() {
	local env=$1 address port
	shift
	read -r address port <<<"$(endpoint "$env" ssh)"
	echo "[$address]:$port $(cut -d' ' -f1,2 "$lab_dir/host-key.pub")" >"$lab_dir/known"
	timeout 30 nsenter "--net=/run/netns/$LAB-gateway" ssh -F none -p "$port" -o UserKnownHostsFile="$lab_dir/known" \
		-o GlobalKnownHostsFile=none -o StrictHostKeyChecking=yes -o LogLevel=ERROR -o ConnectTimeout=10 \
		"developer@$address" "$@"
}

with_key() {
	local env=$1
	shift
	in_env "$env" -i "$lab_dir/user" -o IdentitiesOnly=yes -o BatchMode=yes "$@"
}

with_password() { # with_password PASSWORD ENV COMMAND
	printf '#!/bin/sh\necho "%s"\n' "$1" >"$lab_dir/askpass"
	chmod 700 "$lab_dir/askpass"
	shift
	local env=$1
	shift
	SSH_ASKPASS="$lab_dir/askpass" SSH_ASKPASS_REQUIRE=force in_env "$env" -o PubkeyAuthentication=no \
		-o NumberOfPasswordPrompts=1 "$@"
}

# ---- the tests ----

@test "it registers with address, labels and what it offers" {
	lab_wait 20 peer registration
	run -0 peer registration
	jq -e --arg address "$ADDRESS" '.name == "host1" and .address == $address and .labels == {disk: "ssd"}
		and .pool == "default" and .capacity.cpu_milli == '"$(nproc)"'000' <<<"$output"
	local memory
	memory=$(awk '/^MemTotal:/ { printf "%.0f", $2 * 1024 - 64000000 }' /proc/meminfo)
	jq -e ".capacity.memory_bytes == $memory" <<<"$output"
	lab_wait 20 report_is '.containers == [] and .engine_error == null'
	# Neither root nor more capabilities than CHOWN, DAC_OVERRIDE and FOWNER.
	# shellcheck disable=SC2016 # awk's field
	run -0 awk '/^(Uid|CapEff|CapBnd):/ { print $2 }' "/proc/$(lab_pid agentd-host1)/status"
	[ "$output" = "$(id -u nobody)"$'\n000000000000000b\n000000000000000b' ]
}

@test "its check finds nothing here, and names what is wrong with its remedy" {
	check() { # check ADDRESS SOCKET [OPTION...]
		run lab_exec host1 "$BUILD_DIR/agentd/agentd" --check --data-dir "$lab_data/host1-agentd" --address "$1" \
			--docker "unix://$2" "${@:3}"
	}
	check "$ADDRESS" "$lab_dir/host1.sock"
	[ "$status" -eq 0 ]
	[ "$output" = "No findings." ]
	check 10.0.7.7 /nowhere/docker.sock
	[ "$status" -eq 1 ]
	[[ $output == *"address: 10.0.7.7 is not an address of this machine"*remedy:* ]]
	[[ $output == *"docker: unix:///nowhere/docker.sock: Docker does not answer: "*remedy:* ]]
	check "$ADDRESS" "$lab_dir/host1.sock" --memory-reserve 1000000000000000
	[ "$status" -eq 1 ]
	[[ $output == *"memory-reserve"*remedy:* ]]
}

@test "the first containers of a host share one network, however many begin at once" {
	local i
	for _ in 1 2 3; do
		for i in 1 2 3 4 5 6; do
			item "env-many-$i" '.spec.memory_bytes = 33554432'
		done >"$lab_dir/many"
		peer assignments "$(jq -s . "$lab_dir/many")"
		for i in 1 2 3 4 5 6; do
			lab_wait 60 lab_docker host1 inspect --type container "env-many-$i"
		done
		[ "$(lab_docker host1 network ls -q --filter name='^portico$' | wc -l)" -eq 1 ]
		peer assignments '[]'
		for i in 1 2 3 4 5 6; do
			lab_wait 60 no_container "env-many-$i"
		done
		lab_docker host1 network rm portico
	done
}

@test "an assignment becomes a container that answers" {
	assign "$(item env-a)"
	lab_wait 60 reports env-a '.state == "ready" and .revision == 1'
	[ "$(container env-a '{{.State.Running}}')" = true ]
	local address port
	read -r address port <<<"$(endpoint env-a ssh)"
	[ "$address" = "$ADDRESS" ]
	[ "$(container env-a '{{(index (index .NetworkSettings.Ports "22/tcp") 0).HostPort}}')" = "$port" ]
}

@test "the container carries labels and no secret" {
	run -0 lab_docker host1 inspect env-a
	jq -e '.[0].Config.Labels | .["portico.environment"] == "env-a" and .["portico.host"] == "host1"
		and .["portico.revision"] == "1" and .["portico.epoch"] == "1"
		and (.["portico.digest"] | test("^[0-9a-f]{64}$"))' <<<"$output"
	[[ $output != *PRIVATE* ]]
	[[ $output != *saltsalt* ]]
	[[ $(cat "$lab_dir/log/agentd-host1") != *saltsalt* ]]
}

@test "the key opens it, under the host key that was assigned" {
	run -0 with_key env-a -- id -un
	[ "$output" = developer ]
	run -0 with_key env-a -- stat -c '%U:%a' .ssh .ssh/authorized_keys
	[ "$output" = $'developer:700\ndeveloper:600' ]
	run -0 lab_docker host1 exec env-a stat -c '%U:%G:%a' /etc/ssh/ssh_host_ed25519_key /etc/shadow /etc/passwd
	[ "$output" = $'root:root:600\nroot:shadow:640\nroot:root:644' ]
}

@test "the password opens it, and another does not" {
	run -0 with_password 'correct horse' env-a -- id -un
	[ "$output" = developer ]
	run with_password 'wrong horse' env-a -- id -un
	[ "$status" -eq 255 ]
	[[ $output == *"Permission denied"* ]]
}

@test "limits hold inside" {
	[ "$(container env-a '{{.HostConfig.NanoCpus}} {{.HostConfig.Memory}} {{.HostConfig.MemorySwap}}')" = \
		"500000000 268435456 268435456" ]
	run -0 with_key env-a -- 'cat /sys/fs/cgroup/memory.max 2>/dev/null || cat /sys/fs/cgroup/memory/memory.limit_in_bytes'
	[ "$output" = 268435456 ]
	run -0 with_key env-a -- 'cat /sys/fs/cgroup/cpu.max 2>/dev/null || cat /sys/fs/cgroup/cpu/cpu.cfs_quota_us'
	[ "${output%% *}" = 50000 ]
	run -0 with_key env-a -- 'cat /sys/fs/cgroup/pids.max 2>/dev/null || cat /sys/fs/cgroup/pids/pids.max'
	[ "$output" = 8192 ]
	run -0 with_key env-a -- 'df --output=size --block-size=1 /dev/shm | tail -n 1'
	[ "${output// /}" = 134217728 ]
	run with_key env-a -- 'head -c 400000000 /dev/zero | tail'
	[ "$status" -ne 0 ]
	reports env-a '.state == "ready"'
}

@test "it is published on the private address and on no other" {
	local port
	port=$(endpoint env-a ssh | cut -d' ' -f2)
	ip -n "$LAB-host1" address add 10.0.9.9/32 dev lo
	ip -n "$LAB-gateway" route add 10.0.9.9/32 via "$ADDRESS"
	run -0 lab_exec gateway nc -z -w 5 "$ADDRESS" "$port"
	run lab_exec gateway nc -z -w 2 10.0.9.9 "$port"
	[ "$status" -ne 0 ]
	run lab_exec host1 nc -z -w 2 127.0.0.1 "$port"
	[ "$status" -ne 0 ]
}

@test "environments of a host cannot reach each other" {
	assign "$(item env-a)" "$(item env-b)"
	lab_wait 60 reports env-b '.state == "ready"'
	local target=()
	target[0]="$(container env-a '{{.NetworkSettings.Networks.portico.IPAddress}}') 22"
	target[1]=$(endpoint env-a ssh)
	# From the host it answers: the address is the right one.
	# shellcheck disable=SC2086 # address and port
	run -0 lab_exec host1 nc -z -w 5 ${target[0]}
	local one
	for one in "${target[@]}"; do
		run with_key env-b -- "timeout 3 bash -c 'exec 3<>/dev/tcp/${one/ //}' && echo reached"
		[[ $output != *reached* ]]
	done
	assign "$(item env-a)"
	lab_wait 60 reports_not env-b
	no_container env-b
}

@test "an image that nobody has is told, and tried again with growing delays" {
	assign "$(item env-a)" "$(item env-c '.spec.image = "203.0.113.99:5000/none/such:1"')"
	lab_wait 60 reports env-c '.state == "waiting" and (.reason | contains("cannot create it: ") and contains("203.0.113.99:5000"))'
	log_has "environment env-c: cannot create it: "
	lab_wait 60 test_backoff env-c
	no_container env-c
	# Another image, and it begins at once.
	assign "$(item env-a)" "$(item env-c '.revision = 2')"
	lab_wait 30 reports env-c '.state == "ready" and .revision == 2'
	assign "$(item env-a)"
	lab_wait 60 reports_not env-c
}

# The first delays double from about one second.
test_backoff() {
	local delays
	mapfile -t delays < <(grep -F "environment $1: cannot create it" "$lab_dir/log/agentd-host1" |
		sed -n 's/.*retry_ms=\([0-9]*\).*/\1/p')
	[ "${#delays[@]}" -ge 3 ] && [ "${delays[2]}" -gt "${delays[0]}" ]
}

@test "what cannot run here is refused with its reason, and nothing is made" {
	assign "$(item env-a)" "$(item env-d '.spec.volumes = {code: "shared"}')"
	lab_wait 30 reports env-d '.state == "failed" and (.reason | contains("code"))'
	no_container env-d
	assign "$(item env-a)"
	lab_wait 30 reports_not env-d
}

@test "volumes belong to the user, stay over a replacement, and go with the environment" {
	local with_volume='.spec.volumes = {code: "local"}' data=$lab_data/host1-agentd
	assign "$(item env-a)" "$(item env-v "$with_volume")"
	lab_wait 60 reports env-v '.state == "ready"'
	with_key env-v -- 'echo kept >/gemini/code/file'
	local first
	first=$(container env-v '{{.Id}}')
	assign "$(item env-a)" "$(item env-v "$with_volume | .revision = 2 | .spec.cpu_milli = 250")"
	lab_wait 60 reports env-v '.state == "ready" and .revision == 2'
	[ "$(container env-v '{{.Id}}')" != "$first" ]
	[ "$(container env-v '{{.HostConfig.NanoCpus}}')" = 250000000 ]
	run -0 with_key env-v -- cat /gemini/code/file
	[ "$output" = kept ]
	[ -f "$data/environments/env-v/code/file" ]
	assign "$(item env-a)"
	lab_wait 60 reports_not env-v
	[ ! -e "$data/environments/env-v" ]
	lab_wait 20 empty "$data/trash"
}

@test "volumes go with their environment also where no container is left to go with" {
	local data=$lab_data/host1-agentd with_volume='.spec.volumes = {code: "local"}'
	assign "$(item env-a)" "$(item env-w "$with_volume")"
	lab_wait 60 reports env-w '.state == "ready"'
	# Its next container cannot be made.
	assign "$(item env-a)" \
		"$(item env-w "$with_volume | .revision = 2 | .spec.image = \"203.0.113.99:5000/none/such:1\"")"
	lab_wait 60 reports env-w '.state == "waiting" and (.reason | startswith("cannot create it: "))'
	no_container env-w
	[ -d "$data/environments/env-w/code" ]
	assign "$(item env-a)"
	lab_wait 60 reports_not env-w
	[ ! -e "$data/environments/env-w" ]
	lab_wait 20 empty "$data/trash"
}

empty() {
	[ -z "$(ls -A "$1")" ]
}

@test "a new revision alone restarts nothing" {
	local before
	before=$(container env-a '{{.Id}} {{.State.StartedAt}}')
	assign "$(item env-a '.revision = 5 | .spec.labels = {team: "x"}')"
	lab_wait 30 reports env-a '.state == "ready" and .revision == 5'
	[ "$(container env-a '{{.Id}} {{.State.StartedAt}}')" = "$before" ]
}

@test "stopped, it stays stopped, also when Docker starts anew; started, it answers on its new port" {
	assign "$(item env-a '.revision = 6 | .state = "stopped"')"
	lab_wait 30 reports env-a '.state == "stopped" and .services == []'
	[ "$(container env-a '{{.State.Running}}')" = false ]
	lab_stop dockerd-host1
	dockerd_start
	lab_wait 30 report_is '.engine_error == null'
	[ "$(container env-a '{{.State.Running}}')" = false ]
	assign "$(item env-a '.revision = 7')"
	lab_wait 30 reports env-a '.state == "ready" and .revision == 7'
	run -0 with_key env-a -- true
	tells_its_port env-a
}

@test "a disk that takes no mark keeps nothing from being stopped, and it is told" {
	local mark=$lab_data/host1-agentd/environments/env-a/.stopped
	rm -f "$mark"
	mkdir -p "$mark"
	assign "$(item env-a '.revision = 8 | .state = "stopped"')"
	lab_wait 30 reports env-a '.state == "stopping" and (.reason | startswith("cannot stop it: cannot mark the volumes of env-a"))'
	[ "$(container env-a '{{.State.Running}}')" = false ]
	rmdir "$mark"
	lab_wait 90 reports env-a '.state == "stopped" and .revision == 8'
	assign "$(item env-a '.revision = 9')"
	lab_wait 30 reports env-a '.state == "ready" and .revision == 9'
}

# What is reported of its ssh is where Docker has it now: another port at each start.
tells_its_port() { # ENV
	[ "$(endpoint "$1" ssh)" = \
		"$(container "$1" '{{with index .NetworkSettings.Ports "22/tcp"}}{{(index . 0).HostIp}} {{(index . 0).HostPort}}{{end}}')" ]
}

@test "a service that does not answer is told, and when it answers again" {
	# The kernel still accepts connections to a stopped sshd, but nobody says a banner.
	signal_container STOP env-a
	lab_wait 150 reports env-a '.state == "starting" and (.reason | contains("service ssh: 10.0.1.2:"))'
	signal_container CONT env-a
	lab_wait 60 reports env-a '.state == "ready"'
}

@test "what ends is started again, on request of its policy" {
	local started
	started=$(container env-a '{{.State.StartedAt}}')
	signal_container KILL env-a
	lab_wait 30 started_after env-a "$started"
	lab_wait 30 tells_its_port env-a
	lab_wait 30 reports env-a '.state == "ready"'
	run -0 with_key env-a -- true
	assign "$(item env-a '.revision = 7')" "$(item env-n '.spec.restart = "no"')"
	lab_wait 60 reports env-n '.state == "ready"'
	signal_container KILL env-n
	lab_wait 30 reports env-n '.state == "stopped" and .reason == "it ended with status 137"'
	assign "$(item env-a '.revision = 7')"
	lab_wait 30 reports_not env-n
}

started_after() {
	[ "$(container "$1" '{{.State.StartedAt}} {{.State.Running}}')" != "$2 true" ] &&
		[ "$(container "$1" '{{.State.Running}}')" = true ]
}

@test "a foreign container is never touched" {
	# One without our labels, one of another host, one whose image inherited labels of ours.
	lab_docker host1 run -d --name foreign portico/dev:latest sleep 1000000
	lab_docker host1 run -d --name other --label portico.host=host9 --label portico.environment=other \
		portico/dev:latest sleep 1000000
	lab_docker host1 run -d --name copied --label portico.host=host1 --label portico.environment=env-a \
		portico/dev:latest sleep 1000000
	lab_stop agentd-host1
	agentd_start
	local before
	before=$(peer seen | jq .reports)
	lab_wait 30 report_after "$before" 3
	report_is '[.containers[].environment] == ["env-a"]'
	local name
	for name in foreign other copied env-a; do
		[ "$(container "$name" '{{.State.Running}}')" = true ]
	done
	lab_docker host1 rm -f other copied
}

report_after() { # report_after COUNT MORE
	peer seen | jq -e ".reports >= $1 + $2"
}

@test "nothing is removed before the list of assignments is complete" {
	assign "$(item env-a '.revision = 7')" "$(item env-e)"
	lab_wait 60 reports env-e '.state == "ready"'
	lab_stop agentd-host1 KILL
	peer stream '{"synced": false}'
	assign
	local streams
	streams=$(peer seen | jq .streams)
	agentd_start
	lab_wait 20 streams_after "$streams"
	# It has seen Docker, the stream is open, and its list is empty so far.
	lab_wait 20 lab_exec host1 curl -s -o /dev/null http://127.0.0.1:9470/readyz
	lab_wait 20 metric 'portico_agent_containers{state="waiting"} 2'
	hold 3 both_run
	peer stream '{"synced": true}'
	lab_wait 60 report_is '.containers == []'
	no_container env-a
	no_container env-e
	[ "$(container foreign '{{.State.Running}}')" = true ]
}

streams_after() {
	peer seen | jq -e ".streams > $1"
}

both_run() {
	[ "$(container env-a '{{.State.Running}}')$(container env-e '{{.State.Running}}')" = truetrue ]
}

# hold SECONDS COMMAND: it succeeds all that time.
hold() {
	local deadline=$((SECONDS + $1))
	shift
	while [ "$SECONDS" -lt "$deadline" ]; do
		"$@" || return 1
		sleep 0.2
	done
}

metric() { # metric LINE: among agentd's metrics
	lab_exec host1 curl -sf http://127.0.0.1:9470/metrics | grep -qxF -- "$1"
}

# How many containers were made, started, stopped, removed by agentd since its start.
operations() {
	lab_exec host1 curl -sf http://127.0.0.1:9470/metrics |
		awk '/^portico_agent_reconcile_seconds_count/ { n += $2 } END { print n + 0 }'
}

@test "killed and started again, it adopts everything without a single step" {
	assign "$(item env-a)" "$(item env-b)"
	lab_wait 60 report_is '[.containers[].state] == ["ready", "ready"]'
	lab_wait 10 metric 'portico_agent_containers{state="ready"} 2'
	local before after reports
	before=$(container env-a '{{.Id}} {{.State.StartedAt}}')$(container env-b '{{.Id}} {{.State.StartedAt}}')
	lab_stop agentd-host1 KILL
	reports=$(peer seen | jq .reports)
	# Connections do not need agentd.
	run -0 with_key env-a -- true
	agentd_start
	lab_wait 30 report_after "$reports" 2
	lab_wait 30 report_is '[.containers[].state] == ["ready", "ready"]'
	after=$(container env-a '{{.Id}} {{.State.StartedAt}}')$(container env-b '{{.Id}} {{.State.StartedAt}}')
	[ "$after" = "$before" ]
	[ "$(operations)" -eq 0 ]
}

@test "killed in the middle of its work, it finishes it" {
	local attempt
	for attempt in 1 2 3 4 5; do
		assign "$(item env-a)" "$(item env-b)" "$(item "env-k$attempt")"
		# Somewhere between the pull's look and the first answer, at another place each time.
		lab_wait 20 reports "env-k$attempt" '.state'
		sleep "0.$((attempt - 1))5"
		lab_stop agentd-host1 KILL
		agentd_start
		lab_wait 30 reports "env-k$attempt" '.state == "ready"'
		run -0 with_key "env-k$attempt" -- id -un
		[ "$output" = developer ]
	done
	assign "$(item env-a)" "$(item env-b)"
	lab_wait 60 report_is '(.containers | length) == 2'
}

@test "Docker killed: it is told, nothing else changes; back, it is adopted" {
	local before steps
	before=$(container env-a '{{.Id}} {{.State.StartedAt}}')$(container env-b '{{.Id}} {{.State.StartedAt}}')
	steps=$(operations)
	lab_stop dockerd-host1 KILL
	lab_wait 30 report_is '(.engine_error // "" | startswith("Docker does not answer: nobody listens on /"))
		and (.containers | length) == 2'
	metric 'portico_agent_engine_up 0'
	run lab_exec host1 curl -s -o /dev/null -w '%{http_code}' http://127.0.0.1:9470/readyz
	[ "$output" = 503 ]
	run -0 with_key env-a -- true
	# What is assigned meanwhile waits, and begins when Docker answers.
	assign "$(item env-a)" "$(item env-b)" "$(item env-f)"
	lab_wait 20 reports env-f '.state == "waiting" and .reason == "the container engine does not answer"'
	dockerd_start
	lab_wait 60 reports env-f '.state == "ready"'
	report_is '.engine_error == null and [.containers[].state] == ["ready", "ready", "ready"]'
	[ "$(container env-a '{{.Id}} {{.State.StartedAt}}')$(container env-b '{{.Id}} {{.State.StartedAt}}')" = "$before" ]
	# Those of env-f only: create and start.
	[ "$(operations)" -eq $((steps + 2)) ]
}

@test "the scheduler away: everything stays, and what ends is started again" {
	local started
	lab_stop peer
	lab_wait 30 metric 'portico_agent_follower_connected 0'
	started=$(container env-b '{{.State.StartedAt}}')
	signal_container KILL env-b
	lab_wait 30 started_after env-b "$started"
	lab_wait 30 metric 'portico_agent_containers{state="ready"} 3'
	peer_start
	assign "$(item env-a)" "$(item env-b)" "$(item env-f)"
}

@test "an epoch lower than one it has seen is refused, also after a restart" {
	peer stream '{"epoch": 7}'
	lab_wait 60 report_is '.epoch == 7 and [.containers[].state] == ["ready", "ready", "ready"]'
	# A database from before, which knows none of them.
	peer stream '{"epoch": 3, "items": []}'
	lab_wait 30 log_has 'is of epoch 3, older than 7'
	lab_stop agentd-host1 KILL
	agentd_start
	local registrations
	registrations=$(peer seen | jq .registrations)
	lab_wait 30 registrations_after "$registrations"
	hold 2 both_running
	metric 'portico_agent_follower_connected 0'
}

registrations_after() {
	peer seen | jq -e ".registrations >= $1 + 2"
}

both_running() {
	[ "$(container env-a '{{.State.Running}}')$(container env-b '{{.State.Running}}')" = truetrue ]
}

@test "ended in order, it leaves the containers, and no sanitizer has found anything" {
	lab_stop agentd-host1
	both_running
	run grep -E 'Sanitizer|runtime error:' "$lab_dir/log/agentd-host1"
	[ "$status" -eq 1 ]
}
