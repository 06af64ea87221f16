#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck disable=SC2317,SC2154,SC2016,SC2030,SC2031,SC2034 # bats calls the tests; variables come from the lab, words are evaluated
# Every command of schedctl in every form of output, against a real schedd and a real gatewayd: what is on stdout is data
# in that form and nothing else. A command without a row in commands() fails.

bats_require_minimum_version 1.5.0
load fleet

setup_file() {
	fleet_load
	lab_init
	lab_network
	lab_postgres
	lab_start schedd - "$BUILD_DIR/schedd/schedd" --database "$lab_database" --listen "" --socket "$lab_dir/schedd.sock" \
		--port-addresses "$lab_public" --port-range 30001-30999 --offline-after 5m
	lab_wait 20 api GET /readyz
	lab_start gatewayd gateway "$BUILD_DIR/gatewayd/gatewayd" --addresses "$lab_public" --socket "$lab_dir/gatewayd.sock" \
		--run-directory "$lab_dir" --state-directory "$lab_dir/gatewayd-state"
	lab_start peer host1 tests/helpers/port-peer serve 7001
	lab_wait 20 lab_listens host1 7001
	register h1 default
	register h2 default
	api POST /v1/gateways -d "{\"name\":\"gw1\",\"addresses\":[\"$lab_public\"],\"version\":\"1\"}"
	lab_wait 30 curl -sf --unix-socket "$lab_dir/gatewayd.sock" http://localhost/readyz
}

teardown_file() {
	lab_down
}

setup() {
	fleet_load
}

teardown() {
	[ -n "${BATS_TEST_COMPLETED:-}" ] || tail -n 10 "$lab_dir"/log/schedd "$lab_dir"/log/gatewayd
}

api() { # METHOD PATH [CURL-OPTION...]
	local method=$1 path=$2
	shift 2
	curl -sf -m 30 -X "$method" --unix-socket "$lab_dir/schedd.sock" "http://localhost$path" "$@"
}

register() { # HOST POOL
	api POST /v1/hosts -o /dev/null -d '{"name":"'"$1"'","address":"10.0.1.2","pool":"'"$2"'","labels":{},"version":"1",
		"capacity":{"cpu_milli":8000,"memory_bytes":8589934592,"gpus":[]}}'
}

# One that serves no address of ports, and has all that it should.
register_gateway() { # NAME
	local known
	known=$(api POST /v1/gateways -d '{"name":"'"$1"'","addresses":["203.0.113.99"],"version":"1"}')
	api POST "/v1/gateways/$1/status" -o /dev/null -d "$(jq '{epoch, revision, mappings: 0, failed: []}' <<<"$known")"
}

SCHEDD() {
	"$BUILD_DIR/schedctl/schedctl" --server "unix:$lab_dir/schedd.sock" "$@"
}

GATEWAY() {
	"$BUILD_DIR/schedctl/schedctl" --gateway "$lab_dir/gatewayd.sock" "$@"
}

# A command that goes on until what it follows ends: the environment is deleted once the command has shown it.
ENDING() { # ENV WORDS...
	local environment=$1
	shift
	{
		lab_wait 10 grep -q "$environment" "$lab_dir/ending"
		api DELETE "/v1/environments/$environment" -o /dev/null
	} 3>&- &
	SCHEDD "$@" | tee "$lab_dir/ending"
}

# A stream that has no end: what comes of it at first.
FOLLOWING() {
	local name
	name=following-$RANDOM
	lab_start "$name" - "$BUILD_DIR/schedctl/schedctl" --server "unix:$lab_dir/schedd.sock" "$@"
	lab_wait 10 grep -q . "$lab_dir/log/$name"
	lab_stop "$name"
	cat "$lab_dir/log/$name"
}

session() { # the id of a live session of port 30500
	lab_start "talker-$F" client tests/helpers/port-peer talk "$lab_public" 30500 60
	lab_wait 10 grep -q open "$lab_dir/log/talker-$F"
	GATEWAY -o name session list --port 30500 | tail -n 1
}

made=(--image x --cpu 100m --memory 16M)

# Every command, in an order in which each finds what it needs: FORM, who is asked, and the words. FORM is json: an object for
# each thing that is named, or one answer; lines: a stream, an object a line; text: it is no data, and is the same in
# all forms. $F is the form of output that is asked for, and part of names, as the rows are run for each.
commands() {
	cat <<'END'
json  SCHEDD   customer create c-$F
json  SCHEDD   customer list
json  SCHEDD   env create --name one-$F "${made[@]}" --volume code=shared --customer c-$F
json  SCHEDD   env create --name two-$F "${made[@]}" --no-ssh --service web:80
json  SCHEDD   env create --name three-$F "${made[@]}" --pool nowhere
json  SCHEDD   env list
json  SCHEDD   env show one-$F
json  SCHEDD   env move one-$F --to $(other one-$F)
json  SCHEDD   env stop two-$F three-$F
json  SCHEDD   env start two-$F
json  SCHEDD   env restart two-$F
json  SCHEDD   env extend two-$F --by 2h
text  SCHEDD   env logs three-$F
lines ENDING   three-$F env watch three-$F
json  SCHEDD   env delete two-$F
text  SCHEDD   env ssh one-$F
json  SCHEDD   host list
json  SCHEDD   host show h1
json  SCHEDD   host cordon h1 h2
json  SCHEDD   host drain h1
json  SCHEDD   host maintenance h2
json  SCHEDD   host uncordon h1 h2
json  SCHEDD   host set h1 --cpu-overcommit 120
json  SCHEDD   host delete spare-$F
json  SCHEDD   port list
json  SCHEDD   gateway list
json  SCHEDD   gateway show gw1
json  SCHEDD   gateway delete gone-$F
json  SCHEDD   token create t-$F --role admin
json  SCHEDD   token create s-$F --role admin --save $lab_dir/saved-$F
json  SCHEDD   token list
json  SCHEDD   token revoke t-$F
json  SCHEDD   quota set c-$F --environments 3
json  SCHEDD   quota list
json  SCHEDD   quota show c-$F
json  SCHEDD   usage show
json  SCHEDD   events --limit 5
lines FOLLOWING events --follow --limit 2
json  SCHEDD   doctor
text  SCHEDD   completion
json  SCHEDD   customer create d-$F
json  SCHEDD   customer delete d-$F
json  GATEWAY  port open 30500 10.0.1.2:7001
json  GATEWAY  port list
json  GATEWAY  port why 30500
json  GATEWAY  session list --port 30500 $(session >/dev/null)
json  GATEWAY  session end $(session)
json  GATEWAY  ban add 192.0.2.1 --reason test
json  GATEWAY  ban list
json  GATEWAY  ban remove 192.0.2.1
json  GATEWAY  top
json  GATEWAY  port close 30500
END
}

other() { # ENV: a host that it is not on
	[ "$(api GET "/v1/environments/$1" | jq -r .host)" = h1 ] && echo h2 || echo h1
}

# "env create", "top": all that help lists.
listed() {
	"$BUILD_DIR/schedctl/schedctl" --help | sed -nE 's/^  ([a-z]+) +([a-z]*) +[A-Z].*/\1 \2/p' | sed 's/ $//' | sort -u
}

@test "every command that help lists has a row" {
	local nouns
	nouns=$(listed | grep -v ' ' | paste -sd'|')
	# In ENDING's rows the environment stands before the command.
	commands | sed -E 's/^lines ENDING +[^ ]+/lines ENDING/' | awk '{ print $3, $4 }' |
		sed -E "s/^($nouns) .*/\1/; s/ $//" | sort -u >"$BATS_TEST_TMPDIR/rows"
	listed >"$BATS_TEST_TMPDIR/listed"
	[ "$(wc -l <"$BATS_TEST_TMPDIR/listed")" -gt 40 ]
	diff "$BATS_TEST_TMPDIR/listed" "$BATS_TEST_TMPDIR/rows"
}

# What each form of output promises, of the last command.
is_json() {
	jq -se 'length > 0 and all(.[]; type == "object")' <<<"$output" >"$BATS_TEST_TMPDIR/jq" 2>&1
}

is_lines() {
	local line
	[ -n "$output" ]
	while read -r line; do
		jq -e 'type == "object"' <<<"$line" >"$BATS_TEST_TMPDIR/jq" 2>&1 || return 1
	done <<<"$output"
}

# A name a line: no titles, no columns.
is_name() {
	[[ $output != *'{'* && $output != *'  '* && $output != *$'\n\n'* ]]
}

is_table() {
	[[ $output != *'{'* && $output != *'null'* ]]
}

# Runs all rows in one form, and says which of them is not in it.
each() { # FORM
	local F=$1 kind side words bad=0
	register "spare-$F" spare
	register_gateway "gone-$F"
	while read -r kind side words; do
		eval "set -- $words"
		if [ "$side" = ENDING ]; then
			run --separate-stderr "$side" "$1" -o "$F" "${@:2}"
		else
			run --separate-stderr "$side" -o "$F" "$@"
		fi
		[ "$kind" != text ] || continue
		[ "$F" = json ] || kind=${F/wide/table}
		# The doctor's status says that hosts are played here.
		[ "$status" -eq 0 ] || [ "$words" = doctor ] && "is_$kind" && continue
		printf '%s -o %s: status %s\n%s\n%s\n' "$words" "$F" "$status" "$output" "${stderr:-}"
		bad=1
	done < <(commands)
	return "$bad"
}

@test "-o json: everything is JSON, and a stream is JSON lines" {
	each json
}

@test "-o name: everything is a word a line" {
	each name
}

@test "-o table and -o wide: no JSON comes through" {
	each table
	each wide
}

@test "what is not there: status 3, one sentence, and nothing on stdout, in each form" {
	local side words form bad=0
	while read -r side words; do
		for form in table json name; do
			eval "set -- $words"
			run --separate-stderr "$side" -o "$form" "$@"
			[ "$status" -eq 3 ] && [ -z "$output" ] && [ "$(wc -l <<<"$stderr")" -eq 1 ] && [[ $stderr == schedctl:* ]] && continue
			printf '%s -o %s: status %s\n%s\n%s\n' "$words" "$form" "$status" "$output" "$stderr"
			bad=1
		done
	done <<-'END'
		SCHEDD env show none
		SCHEDD env start none
		SCHEDD env stop none
		SCHEDD env restart none
		SCHEDD env move none
		SCHEDD env extend none --never
		SCHEDD env delete none
		SCHEDD env logs none
		SCHEDD env ssh none
		SCHEDD env watch none
		SCHEDD host show none
		SCHEDD host cordon none
		SCHEDD host drain none
		SCHEDD host maintenance none
		SCHEDD host uncordon none
		SCHEDD host set none --cpu-overcommit 120
		SCHEDD host delete none
		SCHEDD gateway show none
		SCHEDD gateway delete none
		SCHEDD customer delete none
		SCHEDD token revoke none
		SCHEDD quota show none
		SCHEDD quota set none --ports 3
		GATEWAY port close 30777
		GATEWAY session end 0123456789abcdef
		GATEWAY ban remove 192.0.2.99
	END
	return "$bad"
}

@test "of several names the others are done, and the first that fails decides" {
	SCHEDD env create --name left "${made[@]}" --pool nowhere -o name
	SCHEDD env create --name right "${made[@]}" --pool nowhere -o name
	run --separate-stderr SCHEDD -o json env stop left none right
	[ "$status" -eq 3 ]
	[ "$(jq -r .name <<<"$output" | paste -sd' ')" = 'left right' ]
	[[ $stderr == 'schedctl: '*none* ]]
	[ "$(SCHEDD -o json env show right | jq -r .power)" = off ]
}

@test "--wait tells the way on stderr: lines, and on a terminal one line with a bar" {
	run --separate-stderr SCHEDD -o json env create --name waits "${made[@]}" --pool nowhere --wait --timeout 3s
	[ "$status" -eq 1 ]
	[ "$(jq -r '[.name, .phase, (.password | length)] | join(" ")' <<<"$output")" = 'waits pending 20' ]
	[[ $stderr == 'waits: pending/placing: no host can take'*$'\n''schedctl: waits is still pending/placing: no host'*'see schedctl env show waits' ]]
	[[ $stderr != *[$'\r\e#']* && $stderr != *'[..'* ]]
	TERM=xterm run script -qec "$BUILD_DIR/schedctl/schedctl --server unix:$lab_dir/schedd.sock env start waits --wait --timeout 3s" /dev/null
	[ "$status" -eq 1 ]
	[[ $output == *$'\r\e[K[....................] waits: pending/placing: no host'*'schedctl: waits is still pending'* ]]
}

step() { # NAME: "RESULT MESSAGE" of a step in $output
	jq -r --arg name "$1" '.steps[] | select(.name == $name) | .result + " " + .message' <<<"$output"
}

why() { # STATUS BROKEN PORT
	run --separate-stderr SCHEDD -o json port why "$3"
	[ "$status" -eq "$1" ]
	[ "$(jq -r .broken <<<"$output")" = "$2" ]
}

@test "port why, as far as schedd knows: from a port that nobody has to one that rests" {
	local port id epoch revision
	run --separate-stderr SCHEDD port why 30900
	[ "$status" -eq 3 ]
	[[ $stderr == 'schedctl: nobody has port 30900/tcp; schedctl port list shows which are given' ]]
	SCHEDD env create --name way "${made[@]}" --pool nowhere -o name
	port=$(SCHEDD -o json env show way | jq '.ports[0].port')
	why 1 environment "$port"
	[[ $(step port) == 'warn it is reserved for env-'* ]]
	[[ $(step environment) == 'fail way is pending: no host can take way'* ]]
	[[ $(step gateway) == 'ok gw1 has that address'* ]]
	run --separate-stderr SCHEDD port why "$lab_public:$port/tcp"
	[ "$status" -eq 1 ]
	[[ $output == STEP*REMEDY*environment*fail*'schedctl env show way'* ]]
	[[ $stderr == "schedctl: port $port/tcp is broken at \"environment\": way is pending"* ]]
	# A customer asks of its own only, and sees no gateways.
	SCHEDD customer create mallory -o name
	SCHEDD token create mallory --role customer --subject mallory --save "$lab_dir/mallory"
	run --separate-stderr SCHEDD --token-file "$lab_dir/mallory" port why "$port"
	[ "$status" -eq 3 ]
	SCHEDD env delete way --wait --timeout 60s
	why 1 port "$port"
	[[ $(step port) == 'fail it rests until 20'* ]]
	# One that runs, as its host and its gateway say.
	register way-host way
	SCHEDD env create --name runs "${made[@]}" --pool way -o name
	on_host() { [ "$(api GET /v1/environments/runs | jq -r .host)" = way-host ]; }
	lab_wait 10 on_host
	id=$(api GET /v1/environments/runs | jq -r .id)
	port=$(api GET /v1/environments/runs | jq '.ports[0].port')
	revision=$(api GET /v1/environments/runs | jq .revision)
	epoch=$(api POST /v1/gateways -d "{\"name\":\"gw1\",\"addresses\":[\"$lab_public\"],\"version\":\"1\"}" | jq .epoch)
	api POST /v1/hosts/way-host/status -o /dev/null -d '{"epoch":'"$epoch"',"revision":'"$revision"',
		"capacity":{"cpu_milli":8000,"memory_bytes":8589934592,"gpus":[]},"containers":[{"environment":"'"$id"'",
		"revision":'"$revision"',"state":"ready","services":[{"service":"ssh","protocol":"tcp","address":"10.0.1.2","port":41000}]}]}'
	applied() {
		api POST /v1/gateways/gw1/status -o /dev/null -d "{\"epoch\":$epoch,\"failed\":[],\"mappings\":1,
			\"revision\":$(api GET /v1/gateways/gw1 | jq .desired_revision)}"
		[ "$(api GET /v1/environments/runs | jq -r .phase)" = running ]
	}
	lab_wait 10 applied
	why 0 null "$port"
	[ "$(jq -r '[.steps[].result] | unique | join(" ")' <<<"$output")" = ok ]
	[[ $(step environment) == 'ok runs runs on host way-host' ]]
	api POST /v1/gateways/gw1/status -o /dev/null -d "{\"epoch\":$epoch,\"mappings\":0,\"failed\":[{\"address\":\"$lab_public\",
		\"protocol\":\"tcp\",\"port\":$port,\"reason\":\"the kernel says no\"}],
		\"revision\":$(api GET /v1/gateways/gw1 | jq .desired_revision)}"
	why 1 gateway "$port"
	[ "$(step gateway)" = 'fail gw1 could not apply it: the kernel says no' ]
}
