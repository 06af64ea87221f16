#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck disable=SC2317,SC2154,SC2119,SC2016 # bats calls the tests; variables come from the lab
# The logs of environments, from real containers through agentd and schedd to schedctl: what is shown, what a slow
# reader costs, and what becomes of a reading when one of those on the way goes. The tests build on each other.

bats_require_minimum_version 1.5.0
load fleet

setup_file() {
	fleet_load
	lab_init
	lab_network
	lab_postgres
	lab_dockerd_start host1
	fleet_image host1 talker '["/bin/sh", "-c", "echo first; echo problem >&2; sleep 1; printf \"\\377\\303\\244\\n\"; echo last; exec sleep 3600"]'
	fleet_image host1 clock '["/bin/sh", "-c", "i=0; while :; do i=$((i + 1)); echo tick $i; sleep 0.2; done"]'
	fleet_image host1 flood '["/bin/sh", "-c", "yes 0123456789012345678901234567890123456789012345678901234567890123456789 | head -c 10485760; echo end; exec sleep 3600"]'
	fleet_image host1 brief '["/bin/sh", "-c", "echo brief; exit 0"]'
	fleet_schedd --token-logs 3 --max-logs 4 --logs-timeout 6s
	fleet_agentd host1
	lab_wait 20 lab_host_online host1
	lab_schedctl customer create alice
	lab_schedctl customer create bob
	lab_token customer alice
	lab_token customer bob
	TOKEN=alice create talker --wait --timeout 60s # before the others: the host's first makes its network
	create clock
	create flood
	create brief --restart never
	lab_wait 60 states_are running running running stopped
	lab_wait 20 eval '[ "$(logs talker --tail 1)" = last ]'
}

teardown_file() {
	lab_down
}

setup() {
	fleet_load
}

teardown() {
	[ -z "${BATS_TEST_COMPLETED:-}" ] || return 0
	fleet_logs
}

create() { # NAME [OPTION...]
	local name=$1
	shift
	lab_schedctl env create --name "$name" --image "portico/$name:latest" --cpu 100m --memory 64Mi --no-ssh "$@"
}

states_are() { # of talker, clock, flood and brief
	[ "$(for name in talker clock flood brief; do fleet_env "$name" .phase; done | xargs)" = "$*" ]
}

logs() {
	lab_schedctl env logs "$@"
}

# What schedctl has written in the background, as NAME.
reading() { # NAME ARGUMENT...
	local name=$1
	shift
	lab_start "$name" gateway "$BUILD_DIR/schedctl/schedctl" --server "$lab_server" --ca-file "$lab_ca" \
		--token-file "$lab_dir/tokens/${TOKEN:-admin}" env logs "$@"
}

has() { # NAME TEXT: in what it has written
	grep -qF -- "$2" "$lab_dir/log/$1"
}

lines_of() { # NAME: more than so many
	[ "$(wc -l <"$lab_dir/log/$1")" -gt "$2" ]
}

metric() { # NAME: of schedd
	lab_curl -s /metrics | awk -v name="$1" '$1 == name { print $2 }'
}

agent_metric() {
	lab_exec host1 curl -s http://127.0.0.1:9470/metrics | awk -v name="$1" '$1 == name { print $2 }'
}

# Nobody reads, and both daemons know.
all_free() {
	[ "$(metric portico_sched_log_sessions)" = 0 ] && [ "$(agent_metric portico_agent_log_sessions)" = 0 ]
}

@test "what a container has written, both streams, also what is no UTF-8" {
	run --separate-stderr logs talker
	[ "$status" -eq 0 ]
	[ "$(sort <<<"$output")" = "$(printf 'first\nlast\nproblem\n\ufffdä\n' | sort)" ]
	[ -z "$stderr" ]
	lab_schedctl -o json env logs talker >"$lab_dir/json"
	[ "$(jq -r 'select(.stream == "stderr").text' "$lab_dir/json")" = problem ]
	[ "$(jq -s 'map(select(.stream == "stdout")) | length' "$lab_dir/json")" -eq 3 ]
	[ "$(jq -s 'map(has("time")) | any' "$lab_dir/json")" = false ]
	lab_wait 20 all_free
}

@test "only the newest lines, since a time, with times" {
	[ "$(logs talker --tail 1)" = last ]
	[ -z "$(logs talker --tail 0)" ]
	[[ $(logs talker --tail 1 --timestamps) =~ ^20[0-9-]{8}T[0-9:.]+Z\ last$ ]]
	[ -z "$(logs talker --since 2099-01-01T00:00:00Z)" ]
	[ "$(logs talker --since 2020-01-01T00:00:00Z | wc -l)" -eq 4 ]
	[ "$(logs talker --since 1d | wc -l)" -eq 4 ]
	lab_wait 15 eval '[ "$(logs clock | wc -l)" -gt 20 ]' # four seconds
	local ticks
	ticks=$(logs clock --since 2s | wc -l)
	[ "$ticks" -ge 1 ]
	[ "$ticks" -lt "$(logs clock | wc -l)" ]
}

@test "what is wrong in the request is named" {
	local case
	for case in tail=x tail=-1 tail=1000000001 follow=2 timestamps=yes since=yesterday; do
		[ "$(lab_curl -s -o "$lab_dir/answer" -w '%{http_code}' "/v1/environments/talker/logs?$case")" = 400 ]
		[ "$(jq -r .details.field "$lab_dir/answer")" = "${case%%=*}" ]
	done
	run logs talker --tail some
	[ "$status" -eq 2 ]
	[[ $output == *'--tail "some"'* ]]
	run logs talker --since yesterday
	[ "$status" -eq 2 ]
	[[ $output == *'--since "yesterday"'* ]]
	run logs nobody
	[ "$status" -eq 3 ]
}

@test "an environment that has stopped shows its log, one without a container says so" {
	[ "$(logs brief)" = brief ]
	run --separate-stderr logs brief --follow
	[ "$status" -eq 0 ]
	[ "$output" = brief ]
	lab_schedctl env create --name waiting --image portico/brief:latest --cpu 100 --memory 64Mi --no-ssh
	run logs waiting
	[ "$status" -eq 4 ]
	[[ $output == *'waiting is pending and on no host'* ]]
}

@test "a customer reads its own logs and nobody else's" {
	TOKEN=alice run logs talker --tail 1
	[ "$output" = last ]
	TOKEN=bob run logs talker
	[ "$status" -eq 3 ]
	TOKEN=bob run logs "$(fleet_env talker .id)"
	[ "$status" -eq 3 ]
	[ "$(TOKEN=host1 lab_curl -s -o /dev/null -w '%{http_code}' /v1/environments/talker/logs)" = 403 ]
	# a host posts for its own sessions, under its own name
	[ "$(TOKEN=host1 lab_curl -s -X POST -o /dev/null -w '%{http_code}' '/v1/hosts/host2/logs/abc?sequence=0')" = 403 ]
	[ "$(TOKEN=host1 lab_curl -s -X POST -o /dev/null -w '%{http_code}' '/v1/hosts/host1/logs/abc?sequence=0')" = 410 ]
	[ "$(TOKEN=alice lab_curl -s -X POST -o /dev/null -w '%{http_code}' '/v1/hosts/host1/logs/abc?sequence=0')" = 403 ]
}

@test "follow goes on with what is written, and a reader that hangs up frees the session at both ends" {
	reading follower clock --follow --tail 1
	lab_wait 15 lines_of follower 3
	grep -qE '^tick [0-9]+$' "$lab_dir/log/follower"
	[ "$(metric portico_sched_log_sessions)" = 1 ]
	[ "$(agent_metric portico_agent_log_sessions)" = 1 ]
	lab_stop follower KILL
	lab_wait 20 all_free
	# one that leaves before the host has begun
	lab_exec gateway timeout -s KILL 0.02 "$BUILD_DIR/schedctl/schedctl" --server "$lab_server" --ca-file "$lab_ca" \
		--token-file "$lab_dir/tokens/admin" env logs clock --follow || true
	lab_wait 20 all_free
	metric 'portico_sched_log_sessions_ended_total{reason="reader_gone"}' | grep -qE '^[12]$'
}

rss() { # NAME: kB of a daemon
	awk '/^VmRSS/ { print $2 }' "/proc/$(lab_pid "$1")/status"
}

# What a reader of 3 MB/s costs a daemon and agentd: at most so many kB more than before. SOCKET DAEMON
# curl's own limit of the rate stalls with TLS, so this one goes over the Unix socket, where a token is as good.
read_slowly() {
	local most=0 now before
	before=$(($(rss "$2") + $(rss agentd-host1)))
	rm -f "$lab_dir/log/slow"
	lab_start slow gateway curl -sSN --limit-rate 3M --unix-socket "$1" -o "$lab_dir/flood" \
		-H "Authorization: Bearer $(cat "$lab_dir/tokens/admin")" http://localhost/v1/environments/flood/logs
	until fleet_gone slow; do
		now=$(($(rss "$2") + $(rss agentd-host1) - before))
		[ "$now" -le "$most" ] || most=$now
		sleep 0.1 # a sample
	done
	echo "most: $most kB $(cat "$lab_dir/log/slow")"
	[ "$(tail -n 1 "$lab_dir/flood" | jq -r .code)" = complete ]
	# every byte: the lines that are all the same, and the last one
	[ "$(jq -j 'select(.type == "text").text' "$lab_dir/flood" | md5sum)" = "$( (yes "$(printf '0123456789%.0s' {1..7})" |
		head -c 10485760; echo end) | md5sum)" ]
	# a sanitizer keeps what was freed
	grep -q __asan_init "$BUILD_DIR/schedd/schedd" || [ "$most" -lt 4096 ]
}

@test "ten megabytes through a slow reader, and neither daemon keeps more than a few pieces" {
	read_slowly "$lab_dir/schedd.sock" schedd
	lab_wait 20 all_free
}

@test "no more logs at once than the limits say" {
	local n
	for n in 1 2 3; do
		TOKEN=alice reading "reader$n" talker --follow
	done
	lab_wait 15 eval '[ "$(metric portico_sched_log_sessions)" = 3 ]'
	TOKEN=alice run logs talker
	[ "$status" -eq 5 ]
	[[ $output == *'token-logs'* ]]
	[ "$(logs talker --tail 1)" = last ] # with another token
	reading reader4 talker --follow
	lab_wait 15 eval '[ "$(metric portico_sched_log_sessions)" = 4 ]'
	run logs talker # for which there is room, but not in all
	[ "$status" -eq 5 ]
	[[ $output == *'max-logs'* ]]
	# Each was counted, however often schedctl has asked for it.
	[ "$(metric 'portico_sched_http_requests_refused_total{limit="token-logs"}')" -ge 1 ]
	[ "$(metric 'portico_sched_http_requests_refused_total{limit="max-logs"}')" -ge 1 ]
	for n in 1 2 3 4; do
		lab_stop "reader$n"
	done
	lab_wait 20 all_free
	[ "$(TOKEN=alice logs talker --tail 1)" = last ]
}

@test "a container that is restarted ends the reading, which can be begun again" {
	reading restarted clock --follow --tail 0
	lab_wait 15 lines_of restarted 2
	lab_schedctl env restart clock --wait --timeout 60s
	lab_wait 10 fleet_gone restarted
	run ! has restarted schedctl: # it is no error
	lab_wait 20 eval 'logs clock | grep -cx "tick 1" | grep -qx 2' # the log has both runs
	lab_wait 20 all_free
}

@test "a revoked token ends its reading" {
	lab_schedctl token create short --role customer --subject alice --save "$lab_dir/tokens/short"
	TOKEN=short reading revoked talker --follow
	lab_wait 15 has revoked last
	lab_schedctl token revoke short
	lab_wait 20 has revoked 'the log ends here: the token was revoked'
	lab_wait 20 all_free
}

@test "a host whose agentd is gone is given up, and says so" {
	reading widow clock --follow --tail 0
	lab_wait 15 lines_of widow 2
	lab_stop agentd-host1 KILL
	run logs clock # not known to be offline yet, or already
	[ "$status" -eq 5 ]
	[[ $output == *'host host1 has said nothing of this log for 6 s'* || $output == *'host host1 is offline since'* ]]
	lab_wait 10 has widow 'the log ends here: host host1 has said nothing of this log for 6 s'
	lab_wait 10 eval '! lab_host_online host1'
	run logs clock
	[ "$status" -eq 5 ]
	[[ $output == *'host host1 is offline since 20'*'Z: the log is there'* ]]
	[ "$(metric portico_sched_log_sessions)" = 0 ]
	fleet_agentd host1
	lab_wait 20 lab_host_online host1
	[ "$(logs talker --tail 1)" = last ]
}

@test "a host that hangs is given up, and what it says later is not believed" {
	local pid
	pid=$(lab_pid agentd-host1)
	kill -STOP "$pid"
	run logs talker
	[ "$status" -eq 5 ]
	[[ $output == *'host host1 has said nothing of this log for 6 s'* || $output == *'is offline since'* ]]
	kill -CONT "$pid"
	lab_wait 20 lab_host_online host1
	[ "$(logs talker --tail 1)" = last ]
	lab_wait 20 all_free
}

@test "Docker that is away is the reason" {
	kill -STOP "$(lab_pid dockerd-host1)"
	run logs talker
	kill -CONT "$(lab_pid dockerd-host1)"
	[ "$status" -eq 5 ]
	[[ $output == *'host1 has said nothing'* || $output == *Docker* ]]
	lab_wait 30 eval '[ "$(logs talker --tail 1)" = last ]'
	lab_wait 70 all_free # Docker had its time to answer
}

# A second schedd, and who speaks to it.
standby_start() {
	lab_start standby gateway "$BUILD_DIR/schedd/schedd" --database "$lab_database" --listen 10.0.0.1:8001 \
		--state-directory "$lab_dir/schedd" --socket "$lab_dir/standby.sock" --port-addresses "$lab_public" \
		--port-range 30001-30999 --logs-timeout 6s
	lab_wait 20 standby_metric portico_sched_ready
	lab_wait 20 curl -sf --unix-socket "$lab_dir/standby.sock" 'http://localhost/readyz?standby=1'
}

standby_metric() {
	curl -sf --unix-socket "$lab_dir/standby.sock" http://localhost/metrics | awk -v name="$1" '$1 == name { print $2 }'
}

at_standby() {
	lab_server=https://10.0.0.1:8001 "$@"
}

@test "a standby passes the log of the leader through, at the reader's pace" {
	standby_start
	[ "$(at_standby logs talker --tail 1)" = last ]
	TOKEN=bob run at_standby logs talker
	[ "$status" -eq 3 ]
	at_standby reading through clock --follow --tail 0
	lab_wait 15 lines_of through 3
	[ "$(metric portico_sched_log_sessions)" = 1 ]
	lab_stop through KILL
	lab_wait 20 all_free
	read_slowly "$lab_dir/standby.sock" standby
}

@test "a host that follows a standby hears of it with its next report" {
	lab_stop agentd-host1
	at_standby eval 'lab_servers=$lab_server fleet_agentd host1'
	lab_wait 20 lab_host_online host1
	lab_wait 20 eval '[ "$(standby_metric portico_sched_watchers)" = 1 ]'
	[ "$(logs talker --tail 1)" = last ]
	[ "$(at_standby logs talker --tail 1)" = last ]
	reading through2 clock --follow --tail 0
	lab_wait 15 lines_of through2 3
	lab_stop through2 KILL
	lab_wait 15 all_free # it hears of the end with its next piece
	lab_stop agentd-host1
	lab_stop standby
	fleet_agentd host1
	lab_wait 20 lab_host_online host1
}

@test "schedd that ends says so, and the next one reads again" {
	reading orphan clock --follow --tail 0
	lab_wait 15 lines_of orphan 2
	lab_stop schedd
	lab_wait 10 fleet_gone orphan
	has orphan 'schedctl: the log was cut off: '
	fleet_schedd --token-logs 3 --max-logs 4 --logs-timeout 6s
	lab_wait 20 lab_host_online host1
	lab_wait 20 eval '[ "$(logs talker --tail 1)" = last ]'
	lab_wait 20 all_free
}

@test "nothing is wrong with the daemons, to the end" {
	lab_stop agentd-host1
	lab_stop schedd
	run ! fleet_unsound
}
