#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck disable=SC2317,SC2154,SC2119,SC2016 # bats calls the tests; variables come from the lab
# The schema, with a real PostgreSQL: what it refuses by itself, and events. How it comes about is in
# migrations.bats.

bats_require_minimum_version 1.5.0
load fleet
load scheduler

setup_file() {
	fleet_load
	lab_init
	lab_postgres
	start
	call POST /v1/hosts -f -d "$host" >/dev/null
}

teardown_file() {
	lab_down
}

setup() {
	fleet_load
}

sql() {
	psql -h "$lab_dir/postgres" -U portico -d "${database:-portico}" -v ON_ERROR_STOP=1 -qAtc "$1"
}

environment() { # NAME [MORE]
	echo "{\"name\":\"$1\",\"image\":\"x\",\"cpu_milli\":400,\"memory_bytes\":16777216${2:-}}"
}

host='{"name":"h1","address":"10.0.0.1","pool":"default","labels":{},"version":"1",
	"capacity":{"cpu_milli":1000,"memory_bytes":1073741824,"gpus":[{"uuid":"GPU-1","model":"H200","memory_bytes":1}]}}'

# refuses SQL TEXT: the database does, and says so.
refuses() {
	run sql "$1"
	[ "$status" -ne 0 ] && [[ $output == *"$2"* ]] && return
	echo "$1: $output"
	return 1
}

placed() {
	[ "$(call GET /v1/environments | jq '[.items[] | select(.host == "h1")] | length')" = "$1" ]
}

@test "no host has more than it has, whoever writes" {
	local id
	call POST /v1/environments -f -d "$(environment a ',"gpu_milli":600')" >/dev/null
	call POST /v1/environments -f -d "$(environment b)" >/dev/null
	call POST /v1/environments -f -d "$(environment c)" >/dev/null
	lab_wait 10 placed 2
	[[ $(call GET /v1/environments/c | jq -r .reason) == *"needs 400 milli CPU, 200 free"* ]]
	id=$(call GET /v1/environments/c | jq -r .id)
	refuses "UPDATE environments SET host = 'h1' WHERE id = '$id'" 'host h1 has 1000 milli CPU'
	id=$(call GET /v1/environments/b | jq -r .id)
	refuses "UPDATE environments SET gpu_milli = 401, gpus = '[{\"uuid\":\"GPU-1\",\"milli\":401}]' WHERE id = '$id'" 'GPU GPU-1 of host h1'
	sql "BEGIN; UPDATE environments SET gpu_milli = 400, gpus = '[{\"uuid\":\"GPU-1\",\"milli\":400}]' WHERE id = '$id'; SET CONSTRAINTS ALL IMMEDIATE; ROLLBACK"
	# Nor by more of the same place, whatever phase it is in.
	refuses "UPDATE environments SET cpu_milli = 601 WHERE id = '$id'" 'host h1 has 1000 milli CPU'
	refuses "UPDATE environments SET memory_bytes = 1073741824 WHERE id = '$id'" 'host h1 has'
	refuses "UPDATE environments SET gpu = 1 WHERE id = '$id'" 'asks for 1 whole GPUs'
	refuses "UPDATE environments SET gpu = 1, gpus = '[{\"uuid\":\"GPU-2\",\"milli\":1000}]' WHERE id = '$id'" 'host h1 has no GPU GPU-2'
	refuses "UPDATE environments SET cpu_milli = 601, phase = 'stopped', assignment = 'stopped', power = 'off' WHERE id = '$id'" 'host h1 has'
	sql "BEGIN; UPDATE environments SET cpu_milli = 600 WHERE id = '$id'; SET CONSTRAINTS ALL IMMEDIATE; ROLLBACK"
	refuses "UPDATE environments SET host = 'h2' WHERE id = '$id'" environments_host_fkey
	# A host that shrinks keeps what it has, and the fleet goes on.
	call POST /v1/hosts -f -d "${host/\"cpu_milli\":1000/\"cpu_milli\":500}" >/dev/null
	[ "$(sql "SELECT cpu_milli FROM hosts")" = 500 ]
	call DELETE /v1/environments/c -f >/dev/null
	placed 2
}

# A session whose statements come one by one, from a fifo.
session_start() {
	mkfifo "$lab_dir/session"
	psql -h "$lab_dir/postgres" -U portico -d portico -XqAt <"$lab_dir/session" >"$lab_dir/log/session" 2>&1 3>&- &
	session=$!
	exec 7>"$lab_dir/session"
}

session_says() { # SQL: and waits until it has run
	echo "$1; SELECT 'done $((++said))';" >&7
	lab_wait 10 grep -qx "done $said" "$lab_dir/log/session"
}

session_end() {
	exec 7>&-
	wait "$session"
	rm -f "$lab_dir/session" "$lab_dir/log/session"
}

waits_for_lock() { # N: sessions
	[ "$(sql "SELECT count(*) FROM pg_stat_activity WHERE datname = 'portico' AND wait_event_type = 'Lock'")" = "$1" ]
}

@test "nor by two sessions at once" {
	local first second
	call POST /v1/hosts -f -d "$host" >/dev/null
	call POST /v1/environments -f -d "$(environment one)" >/dev/null
	call POST /v1/environments -f -d "$(environment two)" >/dev/null
	first=$(call GET /v1/environments/one | jq -r .id) second=$(call GET /v1/environments/two | jq -r .id)
	[ "$(sql "SELECT count(*) FROM environments WHERE host IS NULL AND id IN ('$first', '$second')")" = 2 ]
	# 800 of 1000 are given away: there is room for half of one.
	session_start
	session_says "BEGIN; UPDATE environments SET cpu_milli = 200, host = 'h1' WHERE id = '$first'; SET CONSTRAINTS ALL IMMEDIATE"
	sql "BEGIN; UPDATE environments SET cpu_milli = 200, host = 'h1' WHERE id = '$second'; COMMIT" >"$lab_dir/log/second" 2>&1 7>&- &
	lab_wait 10 waits_for_lock 1
	session_says COMMIT
	run ! wait $!
	grep 'host h1 has 1000 milli CPU.*would have 1200' "$lab_dir/log/second"
	sql "UPDATE environments SET host = NULL, cpu_milli = 400 WHERE id = '$first'"
	# A snapshot of before the lock would not do.
	refuses "BEGIN ISOLATION LEVEL REPEATABLE READ; UPDATE environments SET cpu_milli = 200, host = 'h1' WHERE id = '$first'; COMMIT" \
		'at read committed, and not'
	refuses "BEGIN ISOLATION LEVEL SERIALIZABLE; UPDATE environments SET cpu_milli = 200, host = 'h1' WHERE id = '$first'; COMMIT" \
		'at read committed, and not'
	session_end
	for id in one two; do call DELETE "/v1/environments/$id" -f >/dev/null; done
}

active() { # REQUESTS
	call GET /metrics | grep -qx "portico_sched_http_requests_active $1"
}

# What is asked for while a commit waits for us goes into one batch, the next.
@test "a host that shrinks while places on it are on their way says so, and they are looked at anew" {
	local id answers=()
	call POST /v1/hosts -f -d "$host" >/dev/null
	session_start
	session_says "BEGIN; SELECT 1 FROM leader FOR UPDATE"
	call POST /v1/customers -f -d '{"name":"slow"}' -o /dev/null 7>&- & answers+=($!)
	lab_wait 10 waits_for_lock 1
	call POST /v1/environments -f -d '{"name":"small","image":"x","cpu_milli":200,"memory_bytes":16777216}' -o /dev/null 7>&- & answers+=($!)
	lab_wait 10 active 3 # the customer, this one, and the one that asks
	call POST /v1/hosts -f -d "${host/\"cpu_milli\":1000/\"cpu_milli\":900}" -o /dev/null 7>&- & answers+=($!)
	lab_wait 10 active 4
	session_says COMMIT
	session_end
	for id in "${answers[@]}"; do wait "$id"; done
	[ "$(sql "SELECT cpu_milli FROM hosts")" = 900 ]
	lab_wait 10 eval '[[ $(call GET /v1/environments/small | jq -r .reason) == *"needs 200 milli CPU, 100 free"* ]]'
	run ! grep 'refused a commit' "$lab_dir/log/schedd"
	call DELETE /v1/environments/small -f >/dev/null
}

customers() {
	call GET /v1/customers | jq -r '[.items[].id] | join(" ")'
}

# PostgreSQL does not look whether anybody waits for its answer before it has written.
@test "what is being committed when schedd stops is answered as unknown, and what comes behind it as not done" {
	local id answers=()
	call POST /v1/customers -f -d '{"name":"before"}' >/dev/null
	session_start
	session_says "BEGIN; SELECT 1 FROM leader FOR UPDATE"
	call POST /v1/customers -d '{"name":"under-way"}' -w ' %{http_code}' -o "$lab_dir/first" >"$lab_dir/first-code" 7>&- & answers+=($!)
	lab_wait 10 waits_for_lock 1
	call POST /v1/customers -d '{"name":"behind"}' -w ' %{http_code}' -o "$lab_dir/second" >"$lab_dir/second-code" 7>&- & answers+=($!)
	lab_wait 10 active 3 # both, and the one that asks
	lab_stop schedd
	for id in "${answers[@]}"; do wait "$id"; done
	session_says COMMIT
	session_end
	[ "$(jq -r .code "$lab_dir/first")$(cat "$lab_dir/first-code")" = "outcome_unknown 504" ]
	[ "$(jq -r .code "$lab_dir/second")$(cat "$lab_dir/second-code")" = "unavailable 503" ]
	start
	[[ " $(customers) " == *" under-way "* ]]
	[[ " $(customers) " != *" behind "* ]]
	for id in before under-way; do call DELETE "/v1/customers/$id" -f >/dev/null; done
}

# What a host says ends up in rows, cut to what they take: not amid a character, for which the database would refuse the
# whole batch, and all that comes after it.
@test "no words of a host stop a commit, whatever language they are in" {
	local id long pad report
	call POST /v1/hosts -f -d "$host" >/dev/null
	call POST /v1/environments -f -d '{"name":"words","image":"x","cpu_milli":50,"memory_bytes":16777216}' >/dev/null
	lab_wait 10 eval '[ "$(call GET /v1/environments/words | jq -r .host)" = h1 ]'
	id=$(call GET /v1/environments/words | jq -r .id)
	long=$(printf '\303\251%.0s\360\237\230\200%.0s' {1..300})
	for pad in a ab abc abcd; do
		report=$(call GET /v1/hosts | jq -c --arg id "$id" --arg reason "$pad$long" --argjson epoch "$(sql "SELECT epoch FROM leader")" \
			'{epoch: $epoch, revision, capacity: .items[0].capacity, containers: [{environment: $id, revision, state: "failed",
			reason: $reason[:1000]}]}')
		call POST /v1/hosts/h1/status -f -d "$report" >/dev/null
		lab_wait 10 eval '[[ $(call GET /v1/environments/words | jq -r .reason) == "'"$pad"'é"* ]]'
		call POST /v1/customers -f -d "{\"name\":\"$pad\"}" >/dev/null
	done
	call GET /v1/environments | jq -e '.items | length > 0'
	call GET "/v1/events?subject=$id&action=failed" | jq -e '.items[0].message | startswith("a\u00e9")'
	run ! grep 'refused a commit' "$lab_dir/log/schedd"
	call DELETE /v1/environments/words -f >/dev/null
	report=$(jq -c '.containers = [] | .revision += 1000' <<<"$report")
	call POST /v1/hosts/h1/status -f -d "$(jq -c --argjson now "$(call GET /v1/hosts | jq .revision)" '.revision = $now' <<<"$report")" >/dev/null
	lab_wait 10 eval '[ "$(call GET /v1/environments/words | jq -r .code)" = not_found ]'
}

@test "a database that cannot hold every text is refused before anything is written" {
	local encoding option
	for encoding in LATIN1 SQL_ASCII; do
		lab_as_postgres "$lab_postgres_bin/createdb" -h "$lab_dir/postgres" -U portico -E "$encoding" --locale C -T template0 \
			"other-$encoding"
		for option in '' --check --bootstrap; do
			# shellcheck disable=SC2086 # one option or none
			run timeout 20 "$BUILD_DIR/schedd/schedd" $option --bootstrap-file "$lab_dir/none.token" --state-directory "$lab_dir" \
				--database "host=$lab_dir/postgres user=portico dbname=other-$encoding" \
				--listen "" --socket "$lab_dir/other.sock" --port-addresses "$lab_public"
			echo "$option: $status $output"
			[ "$status" -eq 1 ]
			[[ $output == *"database other-$encoding has the encoding $encoding and has to have UTF8: make another with createdb --encoding UTF8 "* ]]
			[[ $output != *'start PostgreSQL'* ]]
		done
		[ "$(database=other-$encoding sql "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace")" = 0 ]
		[ ! -e "$lab_dir/none.token" ]
	done
}

@test "texts stay what they are, whatever encoding the role or the environment speaks" {
	local id text='Приве́т 日本'
	sql "ALTER ROLE portico SET client_encoding = 'LATIN1'"
	lab_stop schedd
	PGCLIENTENCODING=LATIN1 start
	id=$(call POST /v1/environments -f -d "$(environment spoken ",\"labels\":{\"said\":\"$text\"},\"pool\":\"none\"")" | jq -r .id)
	[ "$(PGCLIENTENCODING=UTF8 sql "SELECT spec -> 'labels' ->> 'said' FROM environments WHERE id = '$id'")" = "$text" ]
	lab_stop schedd
	PGCLIENTENCODING=LATIN1 start
	[ "$(call GET "/v1/environments/$id" | jq -r .labels.said)" = "$text" ]
	call DELETE "/v1/environments/$id" -f -o /dev/null
	sql "ALTER ROLE portico RESET client_encoding"
	lab_stop schedd
	start
}

@test "CPU is given away more than once where overcommit says so, by placement and by the database" {
	local ctl=("$BUILD_DIR/schedctl/schedctl" --server "unix:$lab_dir/schedd.sock") id
	call POST /v1/hosts -f -d "$host" >/dev/null
	call POST /v1/environments -f -d "$(environment d)" >/dev/null
	[[ $(call GET /v1/environments/d | jq -r .reason) == *"needs 400 milli CPU, 200 free"* ]]
	id=$(call GET /v1/environments/d | jq -r .id)
	refuses "UPDATE environments SET host = 'h1' WHERE id = '$id'" 'host h1 has 1000 milli CPU'
	[ "$(call GET /v1/hosts/h1 | jq -c '[.cpu_overcommit_percent, .free.cpu_milli]')" = '[100,200]' ]
	run -2 "${ctl[@]}" host set h1 --cpu-overcommit much
	run -4 "${ctl[@]}" host set h1 --cpu-overcommit 99
	[[ $output == *'cpu_overcommit_percent'*'100'*'1600'* ]]
	run -3 "${ctl[@]}" host set h9 --cpu-overcommit 150
	"${ctl[@]}" host set h1 --cpu-overcommit 120
	lab_wait 10 placed 3
	[ "$(call GET /v1/hosts/h1 | jq -c '[.cpu_overcommit_percent, .free.cpu_milli, .capacity.cpu_milli]')" = '[120,0,1000]' ]
	[[ $("${ctl[@]}" host show h1) == *'CPU overcommit:'*'120%'* ]]
	# A registration leaves it, memory has none, and the database goes by the host's own.
	call POST /v1/hosts -f -d "${host/\"version\":\"1\"/\"version\":\"2\"}" >/dev/null
	[ "$(sql "SELECT cpu_overcommit_percent FROM hosts")" = 120 ]
	call POST /v1/environments -f -d '{"name":"e","image":"x","cpu_milli":10,"memory_bytes":16777216}' >/dev/null
	id=$(call GET /v1/environments/e | jq -r .id)
	refuses "UPDATE environments SET host = 'h1' WHERE id = '$id'" 'host h1 has 1200 milli CPU'
	# Lowered, what is there stays.
	"${ctl[@]}" host set h1 --cpu-overcommit default
	[ "$(sql "SELECT cpu_overcommit_percent IS NULL FROM hosts")" = t ]
	placed 3
	[ "$(call GET /v1/hosts/h1 | jq .free.cpu_milli)" = 0 ]
	call GET '/v1/events?action=set' | jq -e '[.items[].message] == ["cpu_overcommit_percent=120", "cpu_overcommit_percent=default"]'
	# The default of the next leader is known to the database, too.
	lab_stop schedd
	start --cpu-overcommit 130
	lab_wait 10 placed 4
	[ "$(call GET /v1/hosts/h1 | jq -c '[.cpu_overcommit_percent, .free.cpu_milli]')" = '[130,90]' ]
	refuses "UPDATE hosts SET cpu_overcommit_percent = 1601" check
	lab_stop schedd
	start
	for id in d e; do call DELETE "/v1/environments/$id" -f >/dev/null; done
}

@test "a port has one owner, and states are states" {
	local id
	id=$(call GET /v1/environments/a | jq -r .id)
	refuses "INSERT INTO port_mappings SELECT address, protocol, port, '$id', 'x', state, NULL, NULL, 1, now(), NULL, 1 FROM port_mappings LIMIT 1" port_mappings_pkey
	refuses "UPDATE port_mappings SET state = 'lost'" check
	refuses "UPDATE port_mappings SET state = 'published'" check
	refuses "UPDATE environments SET phase = 'gone'" check
	refuses "UPDATE environments SET assignment = 'running', host = NULL" check
	refuses "DELETE FROM hosts" environments_host_fkey
	refuses "DELETE FROM environments" port_mappings_environment_fkey
}

@test "events are only added, and old ones go after their time" {
	local before
	before=$(sql "SELECT count(*) FROM events")
	[ "$before" -ge 4 ]
	refuses "UPDATE events SET actor = 'nobody'" 'events are only ever added'
	refuses "DELETE FROM events" 'events are only ever added'
	refuses "TRUNCATE events" 'events are only ever added'
	sql "INSERT INTO events (at, revision, actor, subject_kind, subject, action, message)
		SELECT now() - interval '3 hours', 1, 'test', 'host', 'old', 'x', '' FROM generate_series(1, 1500)" >/dev/null
	# The oldest are looked for first: what was inserted late is found by its time.
	[ "$(sql "SELECT leader_forget((SELECT epoch FROM leader) - 1, 3600)")" = f ]
	[ "$(sql "SELECT count(*) FROM events WHERE subject = 'old'")" = 1500 ]
	sql "BEGIN; SELECT leader_forget(epoch, 3600) FROM leader; COMMIT" >/dev/null
	[ "$(sql "SELECT count(*) FROM events WHERE subject = 'old'")" -lt 1500 ]
	[ "$(sql "SELECT count(*) FROM events WHERE subject <> 'old'")" = "$before" ]
	refuses "DELETE FROM events" 'events are only ever added'
}

@test "a schedd with a short retention forgets by itself" {
	lab_stop schedd
	start --event-retention 1h
	lab_wait 30 eval '[ "$(sql "SELECT count(*) FROM events WHERE subject = '"'old'"'")" = 0 ]'
	[ "$(sql "SELECT count(*) FROM events WHERE action = 'create'")" -ge 3 ]
}

@test "events are read by page and by filter" {
	local first all
	call GET /v1/events | tests/helpers/check-answer proto/openapi.yaml Events
	all=$(call GET '/v1/events?limit=1000' | jq -c '[.items[].id]')
	[ "$all" = "$(jq -c 'sort | unique' <<<"$all")" ]
	[ "$(call GET '/v1/events?limit=2' | jq -c '[.items[].id]')" = "$(jq -c '.[-2:]' <<<"$all")" ]
	[ "$(call GET '/v1/events?limit=2' | jq .more)" = true ]
	first=$(jq '.[0]' <<<"$all")
	[ "$(call GET "/v1/events?after=$first&limit=1000" | jq -c '[.items[].id]')" = "$(jq -c '.[1:]' <<<"$all")" ]
	[ "$(call GET "/v1/events?before=$((first + 1))" | jq -c '[.items[].id]')" = "[$first]" ]
	[ "$(call GET "/v1/events?after=$(jq '.[-1]' <<<"$all")" | jq -c '[.items, .more, .last]')" = '[[],false,null]' ]
	call GET '/v1/events?kind=environment&action=create' | jq -e '.items | length >= 3 and all(.kind == "environment" and .action == "create")'
	call GET "/v1/events?subject=$(call GET /v1/environments/a | jq -r .id)" | jq -e '.items | length >= 1 and (.[0].message | startswith("name=a "))'
	call GET '/v1/events?subject=%27%3B+DROP+TABLE+events' | jq -e '.items == []'
	[ "$(call GET '/v1/events?limit=0' | jq -r .code)" = out_of_range ]
	for first in subject kind actor action customer; do
		[ "$(call GET "/v1/events?$first=a%ff" | jq -r '.code, .message' | paste -sd ' ')" = "invalid $first: is not UTF-8" ]
	done
	[ "$(call GET '/v1/usage?customer=%c3' | jq -r .details.field)" = customer ]
	[ "$(call GET '/v1/events?after=x' | jq -r .details.field)" = after ]
	[ "$(call GET '/v1/events?since=1' | jq -r .code)" = unknown_field ]
}

@test "schedctl lists events, and goes on with those to come" {
	local id
	id=$(call GET /v1/environments/a | jq -r .id)
	run -0 ctl events --subject "$id" --action create
	[[ ${lines[0]} == AT*MESSAGE ]]
	[[ ${lines[1]} == *"create"*"environment $id"*"name=a "* ]]
	[ "${#lines[@]}" -eq 2 ]
	[ "$(ctl -o name events --limit 2)" = "$(call GET '/v1/events?limit=2' | jq '.items[].id')" ]
	run -2 ctl events --subject 'x&limit=1'
	[[ $output == *'--subject "x&limit=1" is not of letters'* ]]
	lab_start follower - "$BUILD_DIR/schedctl/schedctl" --server "unix:$lab_dir/schedd.sock" -o json events --follow --limit 1
	lab_wait 10 grep -q '"action"' "$lab_dir/log/follower"
	call DELETE /v1/environments/a -f >/dev/null
	lab_wait 10 grep -q "\"subject\":\"$id\".*\"action\":\"delete\"" "$lab_dir/log/follower"
	[ "$(jq -s 'map(.id) | . == (sort | unique)' "$lab_dir/log/follower")" = true ]
	lab_stop follower
}

@test "what the database refuses of one environment stops no other" {
	call POST /v1/environments -f -d '{"name":"refused","image":"x","cpu_milli":5000,"memory_bytes":16777216}' >/dev/null
	sql "CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS \$\$ BEGIN RAISE EXCEPTION 'not this one'; END \$\$;
		CREATE TRIGGER no BEFORE UPDATE ON environments FOR EACH ROW
		WHEN (NEW.name = 'refused' AND NEW.host IS NOT NULL) EXECUTE FUNCTION no()"
	# Room for it comes with a registration, which shares the first refusal, and is repeated as agents do.
	lab_wait 20 call POST /v1/hosts -f -d "${host/\"cpu_milli\":1000/\"cpu_milli\":20000}"
	lab_wait 10 grep -q 'env-.*: the database refuses what is to become of it.*not this one' "$lab_dir/log/schedd"
	call POST /v1/environments -f -d "$(environment beside)" >/dev/null
	lab_wait 10 eval '[ "$(call GET /v1/environments/beside | jq -r .host)" = h1 ]'
	[ "$(call GET /v1/environments/refused | jq -r .phase)" = pending ]
	sql "DROP TRIGGER no ON environments; DROP FUNCTION no()"
	lab_wait 30 eval '[ "$(call GET /v1/environments/refused | jq -r .host)" = h1 ]'
}

@test "what one request does has all of its events, however many" {
	local n=25000
	call POST /v1/customers -f -o /dev/null -d '{"name":"many"}'
	lab_stop schedd
	sql "INSERT INTO tokens (id, name, role, subject, hash, created_by, created_at, revision)
		SELECT 'tok-' || n, 'many-' || n, 'customer', 'many', sha256(n::text::bytea), 'test', now(), 1
		FROM generate_series(1, $n) AS n"
	start
	call DELETE /v1/customers/many -f -o /dev/null
	[ "$(sql 'SELECT count(*) FROM tokens')" = 0 ]
	[ "$(sql "SELECT count(DISTINCT subject), count(*), count(DISTINCT revision) FROM events
		WHERE action = 'revoke' AND message LIKE 'token many-%: its customer was deleted'")" = "$n|$n|1" ]
}

gone() { # PID...
	local pid
	for pid; do
		[ ! -e "/proc/$pid" ] || return 1
	done
}

@test "a database that a test left standing still goes with the lab" {
	local pid processes
	pid=$(lab_pid postgres)
	# shellcheck disable=SC2207 # into words
	processes=("$pid" $(cat "/proc/$pid/task/$pid/children"))
	[ "${#processes[@]}" -gt 3 ]
	kill -STOP "${processes[@]}"
	lab_down
	lab_wait 20 gone "${processes[@]}"
}
