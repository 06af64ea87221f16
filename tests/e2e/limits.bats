#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck disable=SC2317,SC2154,SC2119 # bats calls the tests; variables come from the lab
# What schedd's API does not let a client do: ask too often, too much at a time, too slowly, or nonsense.

bats_require_minimum_version 1.5.0
load fleet
load scheduler

setup_file() {
	fleet_load
	lab_init
	lab_postgres
	start_limited
	ctl token create one --role admin --save "$lab_dir/tokens/one"
	ctl token create two --role admin --save "$lab_dir/tokens/two"
}

teardown_file() {
	lab_down
}

setup() {
	fleet_load
}

start_limited() {
	start --token-rate 10 --token-requests 2 --max-requests 3 --token-watches 2 --max-watches 3 --request-timeout 2s \
		--idle-timeout 3s --watch-backlog 65536 --max-connections 100
}

as() { # TOKEN METHOD PATH [CURL-OPTION...]
	local token=$1
	shift
	call "$@" -H @<(printf 'Authorization: Bearer %s\n' "$(cat "$lab_dir/tokens/$token")")
}

metric() {
	call GET /metrics | sed -n "s/^$1 //p"
}

# A watch is taken, and begins: WHO...
streams() {
	[[ $("$@" GET '/v1/environments?watch=1' --max-time 1) == *'"synced"'* ]]
}

is() { # METRIC VALUE
	[ "$(metric "$1")" = "$2" ]
}

@test "a token that asks too often is told when to come back, and no other is" {
	local codes
	# From one process: forty of them take their time on a busy machine.
	codes=$(as one GET '/v1/hosts#[1-200]' -Z --parallel-max 40 -o /dev/null -w '%{http_code}\n')
	grep -q 200 <<<"$codes"
	grep -q 429 <<<"$codes"
	# One after the other on one connection, as fast as it can.
	run as one GET '/v1/hosts#[1-200]' -D -
	[[ $output == *'HTTP/1.1 429'*'Retry-After: '*'"rate_limited"'*'"limit":"token-rate"'* ]]
	[ "$(as two GET /v1/hosts -o /dev/null -w '%{http_code}')" = 200 ]
	[ "$(call GET /v1/hosts -o /dev/null -w '%{http_code}')" = 200 ]
	[ "$(metric 'portico_sched_http_requests_refused_total{limit="token-rate"}')" -gt 0 ]
	run ctl --token-file "$lab_dir/tokens/two" host list
	[ "$status" -eq 0 ]
}

@test "watches of a token and of all have a limit, and ended ones count no more" {
	local pids=() i
	watch() { # TOKEN
		curl -sN --unix-socket "$lab_dir/schedd.sock" 'http://localhost/v1/environments?watch=1' -o /dev/null \
			-H @<(printf 'Authorization: Bearer %s\n' "$(cat "$lab_dir/tokens/$1")") &
		pids+=($!)
	}
	watch two
	watch two
	lab_wait 20 is portico_sched_watchers 2
	run as two GET '/v1/environments?watch=1' -w ' %{http_code}'
	[[ $output == *'"limit":"token-watches"'*' 429' ]]
	curl -sN --unix-socket "$lab_dir/schedd.sock" 'http://localhost/v1/environments?watch=1' -o /dev/null &
	pids+=($!)
	lab_wait 20 is portico_sched_watchers 3
	run call GET '/v1/environments?watch=1' -w ' %{http_code}'
	[[ $output == *'"limit":"max-watches"'*' 429' ]]
	kill "${pids[@]}"
	lab_wait 20 is portico_sched_watchers 0
	# what waits for no answer any more is free again
	lab_wait 20 streams as two
}

# All of the database's processes.
database() { # SIGNAL
	local pid
	pid=$(lab_pid postgres)
	# shellcheck disable=SC2046 # into words
	kill "-$1" "$pid" $(cat "/proc/$pid/task/$pid/children")
}

@test "requests that wait have a limit, of a token and of all, and root gets in" {
	local i pids=()
	create() { # TOKEN NAME
		as "$1" POST /v1/customers -d "{\"name\":\"$2\"}" -w ' %{http_code}' >"$lab_dir/waits-$2" &
		pids+=($!)
	}
	as_ok() { [ "$(as one GET /v1/hosts -o /dev/null -w '%{http_code}')" = 200 ]; }
	lab_wait 20 as_ok
	database STOP
	create one a
	create one b
	lab_wait 20 is portico_sched_http_requests_active 3 # and the one that asks
	run as one GET /v1/hosts -w ' %{http_code}'
	[[ $output == *'"limit":"token-requests"'*' 429' ]]
	create two c
	lab_wait 20 waits
	run as two GET /v1/hosts -w ' %{http_code}'
	[[ $output == *'"limit":"max-requests"'*' 429' ]]
	[ "$(call GET /v1/hosts -o /dev/null -w '%{http_code}')" = 200 ]
	database CONT
	wait "${pids[@]}"
	for i in a b c; do
		[[ $(cat "$lab_dir/waits-$i") == *' 201' ]]
	done
}

waits() {
	[[ $(as two GET /v1/hosts) == *'"limit":"max-requests"'* ]]
}

@test "what is no request is refused, and the next one served" {
	lab_wait 10 calm
	run tests/helpers/raw-http "$lab_dir/schedd.sock" malformed
	echo "$output"
	[ "$status" -eq 0 ]
}

calm() {
	[ "$(call GET /healthz -o /dev/null -w '%{http_code}')" = 200 ]
}

@test "a request that crawls ends with 408, an idle connection is closed" {
	run tests/helpers/raw-http "$lab_dir/schedd.sock" slow
	echo "$output"
	[ "$status" -eq 0 ]
	run tests/helpers/raw-http "$lab_dir/schedd.sock" idle
	[ "$status" -eq 0 ]
	[ "$(metric portico_sched_http_timeouts_total)" -ge 2 ]
	lab_wait 10 is portico_sched_http_connections 1
}

# HOW COUNT: connections that hold what they can, until each of them was closed.
crowd() {
	python3 - "$lab_dir/schedd.sock" "$1" "$2" "$lab_dir/crowd" <<'END'
import socket, sys
open_ones = []
for _ in range(int(sys.argv[3])):
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(sys.argv[1])
    if sys.argv[2] == "half":
        connection.sendall(b"POST /v1/environments HTTP/1.1\r\nContent-Length: 10\r\n\r\n")
    open_ones.append(connection)
open(sys.argv[4], "w").close()
for connection in open_ones:
    connection.settimeout(20)
    try:
        while connection.recv(1000):
            pass
    except ConnectionResetError:
        pass
END
}

# Ninety are fewer than the limit, and 300 are more.
@test "half-open and idle connections keep nobody out, however many they are, and end no stream" {
	local how n pid refused
	lab_start held - curl -sN --unix-socket "$lab_dir/schedd.sock" 'http://localhost/v1/hosts?watch=1'
	lab_wait 10 grep -q synced "$lab_dir/log/held"
	for how in half idle; do
		for n in 90 300; do
			rm -f "$lab_dir/crowd"
			refused=$(metric portico_sched_http_connections_refused_total)
			crowd "$how" "$n" 3>&- &
			pid=$!
			lab_wait 10 test -e "$lab_dir/crowd"
			call GET /v1/hosts -f >/dev/null
			[ "$(metric portico_sched_http_connections)" -le 100 ]
			wait "$pid" # each was answered or closed by itself
			lab_wait 20 is portico_sched_http_connections 2
			[ $(($(metric portico_sched_http_connections_refused_total) > refused)) = $((n > 100)) ]
		done
	done
	lab_pid held
	lab_stop held
	lab_wait 10 is portico_sched_http_connections 1
}

@test "a reader that does not keep up is told to start over" {
	local big i
	big=$(head -c 8000 /dev/zero | tr '\0' x)
	mkfifo "$lab_dir/go"
	tests/helpers/raw-http "$lab_dir/schedd.sock" reader <"$lab_dir/go" >"$lab_dir/reader" &
	local reader=$!
	exec 7>"$lab_dir/go"
	lab_wait 20 grep -q watching "$lab_dir/reader"
	for i in {1..30}; do
		call POST /v1/environments -f -o /dev/null -d @- <<<"{\"name\":\"e$i\",\"image\":\"x\",\"cpu_milli\":100,\"memory_bytes\":16777216,\"env\":{\"A\":\"$big\",\"B\":\"$big\",\"C\":\"$big\",\"D\":\"$big\"}}"
	done
	lab_wait 20 is 'portico_sched_watches_ended_total{reason="too_slow"}' 1
	echo >&7
	exec 7>&-
	wait "$reader"
	[[ $(tail -n 1 "$lab_dir/reader") == *'"type":"end"'*'"too_slow"'*'start over'* ]]
	lab_wait 20 streams call
}

@test "nothing is wrong with the daemon, to the end" {
	lab_stop schedd
	run ! grep -E 'ERROR: (Address|Leak)Sanitizer|runtime error:' "$lab_dir/log/schedd"
}
