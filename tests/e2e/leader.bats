#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck disable=SC2317,SC2154,SC2119,SC2016 # bats calls the tests; variables come from the lab
# Two schedd and a real PostgreSQL: the standby's copy, requests that it passes on, who leads after one was
# stopped, killed, or lost its session; and commits whose connection is cut before and after they happened.

bats_require_minimum_version 1.5.0
load fleet

setup_file() {
	fleet_load
	lab_init
	lab_postgres
	echo none >"$lab_dir/order"
	install -d -m 711 "$lab_dir/proxy"
	lab_start database-proxy - tests/helpers/database-proxy "$lab_dir/proxy/.s.PGSQL.5432" \
		"$lab_dir/postgres/.s.PGSQL.5432" "$lab_dir/order"
	lab_wait 10 test -S "$lab_dir/proxy/.s.PGSQL.5432"
	start a
	lab_wait 20 is_ready a
	start b
	lab_wait 20 is_standby b
}

teardown_file() {
	lab_down
}

setup() {
	fleet_load
}

teardown() {
	[ -n "${BATS_TEST_COMPLETED:-}" ] || kill -CONT "$(lab_pid a)" "$(lab_pid b)"
	touch "$lab_dir/stop" # creators of a test that failed
	[ -n "${BATS_TEST_COMPLETED:-}" ] || tail -n 15 "$lab_dir"/log/[ab]
}

# Their database is reached through the proxy.
start() { # NAME [DATABASE OFFLINE-AFTER]
	lab_start "$1" - "$BUILD_DIR/schedd/schedd" --database "host=$lab_dir/proxy user=portico dbname=${2:-portico}" \
		--listen "" --socket "$lab_dir/$1.sock" --port-addresses "$lab_public" --port-range 30001-39999 \
		--offline-after "${3:-5m}"
}

# call NAME METHOD PATH [CURL-OPTION...]: the answer's body.
call() {
	local name=$1 method=$2 path=$3
	shift 3
	curl -s -m 60 -X "$method" --unix-socket "$lab_dir/$name.sock" "http://localhost$path" "$@"
}

status() {
	call "$@" -o "$lab_dir/answer" -w '%{http_code}'
}

is_ready() {
	call "$1" GET /readyz -f
}

is_standby() {
	[ "$(call "$1" GET '/readyz?standby=1' -f | jq -r .status)" = standby ]
}

# Larger than any host here, so that it stays in the queue; but for where a host is wanted.
environment() { # NAME [MORE]
	echo "{\"name\":\"$1\",\"image\":\"x\",\"cpu_milli\":${cpu:-1000000},\"memory_bytes\":16777216${2:-}}"
}

create() { # SCHEDD NAME
	call "$1" POST /v1/environments -f -d "$(environment "$2")" >/dev/null
}

names() { # SCHEDD
	call "$1" GET /v1/environments | jq -r '.items[].name' | sort
}

sql() {
	psql -h "$lab_dir/postgres" -U portico -d portico -qAtc "$1"
}

sees() { # SCHEDD NAME
	names "$1" | grep -qx "$2"
}

leader() {
	sql "SELECT holder FROM leader" | grep -oE '[0-9]+$'
}

# The one that leads, and the other.
roles() {
	leads=a follows=b
	if [ "$(leader)" = "$(lab_pid b)" ]; then
		leads=b follows=a
	fi
}

# What is in the rows is what readers see, on both.
agree() {
	diff <(sql "SELECT name FROM environments WHERE phase <> 'deleted' ORDER BY name COLLATE \"C\"") <(names a) &&
		diff <(names a) <(names b)
}

@test "a standby reads its copy and passes writes on" {
	create a one
	create b two
	lab_wait 20 agree
	[ "$(names b)" = $'one\ntwo' ]
	[ "$(status b GET /readyz)" = 503 ]
	[[ $(jq -r .message "$lab_dir/answer") == *"another schedd is the leader"*"unix:$lab_dir/a.sock"* ]]
	[ "$(status b POST /v1/environments -d "$(environment one)")" = 409 ]
	[ "$(jq -r .details.field "$lab_dir/answer")" = name ]
	[ "$(status b DELETE /v1/environments/two)" = 202 ]
	lab_wait 20 agree
	lab_wait 20 eval '! sees b two'
	call b GET /v1/ports -D - -o /dev/null | grep -qi '^portico-role: standby'
	run ! grep -qi '^portico-stale-since' <(call b GET /v1/ports -D -)
	agree_ports
	call b GET /metrics | grep -qx 'portico_sched_role{role="standby"} 1'
	call b GET /metrics | grep -qx 'portico_sched_forwarded_requests_total{result="answered"} 3'
}

@test "a follower that watches the standby has what the leader commits, in the leader's epoch" {
	local watcher host='{"name":"h1","address":"10.0.0.1","pool":"default","labels":{},"version":"1",
		"capacity":{"cpu_milli":1000,"memory_bytes":1073741824,"gpus":[]}}'
	call b POST /v1/hosts -f -d "$host" >"$lab_dir/answer"
	[ "$(jq .epoch "$lab_dir/answer")" = "$(sql 'SELECT epoch FROM leader')" ]
	lab_wait 20 call b GET /v1/hosts/h1 -f
	timeout 60 curl -sN --unix-socket "$lab_dir/b.sock" 'http://localhost/v1/hosts/h1/desired?watch=1' >"$lab_dir/stream" &
	watcher=$!
	lab_wait 20 grep -q '"synced"' "$lab_dir/stream"
	cpu=100 create a three
	lab_wait 20 grep -q '"change".*three' "$lab_dir/stream"
	call a DELETE /v1/environments/three -f >/dev/null
	lab_wait 20 grep -q '"change".*"delete":\[{"environment"' "$lab_dir/stream"
	kill "$watcher"
	wait "$watcher" || true
	[ "$(jq -r .epoch "$lab_dir/stream" | grep -v null | sort -u)" = "$(sql 'SELECT epoch FROM leader')" ]
	local report='"revision":0,"capacity":{"cpu_milli":1000,"memory_bytes":1073741824,"gpus":[]},"containers":[]'
	[ "$(status b POST /v1/hosts/h1/status -d "{\"epoch\":$(sql 'SELECT epoch FROM leader'),$report}")" = 200 ]
	[ "$(status b POST /v1/hosts/h1/status -d "{\"epoch\":0,$report}")" != 200 ]
	lab_wait 20 agree
}

@test "a key that was freed and given out again is the new owner's in the copy" {
	create a again
	lab_wait 20 sees b again
	kill -STOP "$(lab_pid b)"
	call a DELETE /v1/environments/again -f >/dev/null
	lab_wait 20 eval '! sees a again'
	create a again
	kill -CONT "$(lab_pid b)"
	lab_wait 10 agree
	lab_wait 10 agree_ports
	[ "$(call b GET /v1/environments/again | jq -r .id)" = "$(call a GET /v1/environments/again | jq -r .id)" ]
}

is_offline() { # SCHEDD HOST
	[ "$(call "$1" GET "/v1/hosts/$2" | jq -r .status)" = offline ]
}

told_after() { # REVISION: something of a later one
	jq -se "map(.revision // 0) | max > $1" "$lab_dir/stream"
}

# How long a host is silent is written for the next leader, and changes nothing that a reader sees.
@test "a standby tells of the revision of a commit that has nothing to tell" {
	local watcher revision
	lab_as_postgres "$lab_postgres_bin/createdb" -h "$lab_dir/postgres" -U portico quiet
	start c quiet 1s
	lab_wait 20 is_ready c
	start d quiet 1s
	lab_wait 20 is_standby d
	call c POST /v1/hosts -f -d '{"name":"silent","address":"10.0.0.1","pool":"default","labels":{},"version":"1",
		"capacity":{"cpu_milli":1000,"memory_bytes":1073741824,"gpus":[]}}' >/dev/null
	lab_wait 20 is_offline d silent
	timeout 60 curl -sN --unix-socket "$lab_dir/d.sock" 'http://localhost/v1/hosts?watch=1' >"$lab_dir/stream" 3>&- &
	watcher=$!
	lab_wait 20 grep -q '"synced"' "$lab_dir/stream"
	revision=$(jq -s 'map(.revision // 0) | max' "$lab_dir/stream")
	lab_wait 20 told_after "$revision"
	kill "$watcher"
	wait "$watcher" || true
	run ! grep '"change"' "$lab_dir/stream"
	lab_stop d
	lab_stop c
}

# A stream of the standby's that was there before: PATH
stream_start() {
	timeout 60 curl -sN --unix-socket "$lab_dir/$follows.sock" "http://localhost$1" >"$lab_dir/stream" 3>&- &
	stream=$!
	lab_wait 20 grep -q '"synced"' "$lab_dir/stream"
}

stream_end() {
	kill "$stream"
	wait "$stream" || true
}

# No line tells a revision before the stream has what that revision has: the rows "put" of the last change are in
# the first line that tells their revision.
tells_the_truth() { # NAME
	local revision
	revision=$(jq -r "select(.type == \"change\") | select(any(.put[]?; .name == \"$1\")) | .revision" "$lab_dir/stream" | head -n 1)
	[ -n "$revision" ]
	jq -sce "map(select(.revision >= $revision)) | .[0].put | any(.name == \"$1\")" "$lab_dir/stream"
}

@test "a standby that is cut off between removals and rows tells nobody of a revision that it has not got" {
	roles
	create "$leads" leaves
	lab_wait 20 sees "$follows" leaves
	stream_start '/v1/environments?watch=1'
	for how in none before-ports; do
		kill -STOP "$(lab_pid "$follows")"
		call "$leads" DELETE /v1/environments/leaves -f >/dev/null
		lab_wait 20 eval '! sees "$leads" leaves'
		create "$leads" "comes-$how"
		create "$leads" leaves
		echo "$how" >"$lab_dir/order"
		kill -CONT "$(lab_pid "$follows")"
		lab_wait 10 grep -q "\"change\".*comes-$how" "$lab_dir/stream"
		tells_the_truth "comes-$how"
		lab_wait 10 agree
		lab_wait 10 agree_ports
	done
	grep -qx "done" "$lab_dir/order"
	echo none >"$lab_dir/order"
	# Nothing is missing in the stream, and nothing was told twice as new.
	[ "$(jq -sc '[.[] | select(.type == "change") | .put[]?.name | select(startswith("comes-"))] | unique' "$lab_dir/stream")" = \
		'["comes-before-ports","comes-none"]' ]
	stream_end
}

agree_ports() {
	[ "$(call a GET /v1/ports | jq -S '.items | sort_by(.port)')" = "$(call b GET /v1/ports | jq -S '.items | sort_by(.port)')" ]
}

# Creates one after the other through a schedd until told to stop, and notes what was answered with 201.
creator() { # SCHEDD PREFIX
	local i=0
	: >"$lab_dir/$2.answered"
	while [ ! -e "$lab_dir/stop" ]; do
		i=$((i + 1))
		[ "$(call "$1" POST /v1/environments -o /dev/null -w '%{http_code}' -d "$(environment "$2-$i" ',"services":[]')")" = 201 ] &&
			echo "$2-$i" >>"$lab_dir/$2.answered"
	done
	true
}

creators_start() {
	rm -f "$lab_dir/stop"
	for i in 1 2 3 4; do
		creator "$follows" "$1$i" 3>&- &
	done
	lab_wait 20 answered_more "$1" 0
}

# More than N creates were answered by now.
answered_more() { # PREFIX N
	[ "$(cat "$lab_dir/$1"?.answered 2>/dev/null | wc -l)" -gt "$2" ]
}

creators_stop() { # PREFIX
	touch "$lab_dir/stop"
	wait
	# What was answered is there, each once; and its event with it.
	comm -23 <(sort "$lab_dir/$1"?.answered) <(sql "SELECT name FROM environments" | sort) >"$lab_dir/missing"
	[ ! -s "$lab_dir/missing" ]
	[ -z "$(sql "SELECT name FROM environments WHERE phase <> 'deleted' GROUP BY name HAVING count(*) > 1")" ]
	[ "$(sql "SELECT count(*) FROM environments")" = "$(sql "SELECT count(*) FROM events WHERE action = 'create' AND subject_kind = 'environment'")" ]
	lab_wait 20 agree
}

count_after() { # PREFIX
	wc -l < <(cat "$lab_dir/$1"?.answered)
}

@test "a leader that is killed loses no answered write, and the standby takes over by itself" {
	roles
	local epoch before
	epoch=$(sql 'SELECT epoch FROM leader')
	creators_start kill
	before=$(lab_pid "$leads")
	kill -KILL "$before"
	lab_wait 20 is_ready "$follows"
	lab_wait 20 answered_more kill "$(count_after kill)"
	[ "$(sql 'SELECT epoch FROM leader')" -gt "$epoch" ]
	start "$leads"
	lab_wait 20 is_standby "$leads"
	creators_stop kill
}

@test "a leader that was stopped loses the lock, and ends when it wakes up" {
	roles
	local old epoch
	old=$(lab_pid "$leads")
	epoch=$(sql 'SELECT epoch FROM leader')
	kill -STOP "$old"
	lab_wait 40 is_ready "$follows"
	create "$follows" woken
	kill -CONT "$old"
	# What it still had to say is refused, and it ends.
	lab_wait 20 lab_gone "$old"
	grep -q 'cannot go on: another schedd became the leader' "$lab_dir/log/$leads"
	[ "$(sql 'SELECT epoch FROM leader')" = "$((epoch + 1))" ]
	start "$leads"
	lab_wait 20 is_standby "$leads"
	lab_wait 10 agree
}

# Reports of a host: SCHEDD EPOCH [CURL-OPTION...]
report_status() {
	status "$1" POST /v1/hosts/h1/status -d "{\"epoch\":$2,\"revision\":0,
		\"capacity\":{\"cpu_milli\":1000,\"memory_bytes\":1073741824,\"gpus\":[]},\"containers\":[]}" "${@:3}"
}

@test "what a stopped leader still says when it wakes up is of its epoch, and nobody who knows the next one takes it" {
	roles
	local old epoch
	old=$(lab_pid "$leads")
	epoch=$(sql 'SELECT epoch FROM leader')
	timeout 90 curl -sN --unix-socket "$lab_dir/$leads.sock" 'http://localhost/v1/hosts/h1/desired?watch=1' \
		>"$lab_dir/stream" 3>&- &
	lab_wait 20 grep -q '"synced"' "$lab_dir/stream"
	kill -STOP "$old"
	lab_wait 40 is_ready "$follows"
	# A report that is on its way to the stopped one, of somebody who has seen the next leader.
	report_status "$leads" "$((epoch + 1))" -v >"$lab_dir/late" 2>"$lab_dir/late.log" 3>&- &
	lab_wait 10 grep -q '^> POST' "$lab_dir/late.log"
	kill -CONT "$old"
	lab_wait 20 lab_gone "$old"
	wait
	[ "$(cat "$lab_dir/late")" != 200 ]
	grep -q 'error .*cannot go on: another schedd became the leader' "$lab_dir/log/$leads"
	# Its stream has ended; what it said was of its epoch, to the end.
	[ "$(jq -r '.epoch // empty' "$lab_dir/stream" | sort -u)" = "$epoch" ]
	# And who comes with its epoch to the next leader is told.
	[ "$(report_status "$follows" "$epoch")" = 409 ]
	[ "$(jq -r .code "$lab_dir/answer")" = stale_epoch ]
	[ "$(report_status "$follows" "$((epoch + 1))")" = 200 ]
	start "$leads"
	lab_wait 20 is_standby "$leads"
	lab_wait 10 agree
}

# From here on nobody writes: a commit waits, and so does who would lead.
writes_hold() {
	mkfifo "$lab_dir/holder"
	rm -f "$lab_dir/holds"
	psql -h "$lab_dir/postgres" -U portico -d portico -XqAt <"$lab_dir/holder" >"$lab_dir/holds" 3>&- &
	holder=$!
	exec 7>"$lab_dir/holder"
	echo "BEGIN; SELECT 'holds', epoch FROM leader FOR UPDATE;" >&7
	lab_wait 10 grep -q holds "$lab_dir/holds"
}

writes_go_on() {
	echo "COMMIT;" >&7
	exec 7>&-
	wait "$holder"
	rm "$lab_dir/holder"
}

# A standby has the lock and waits to write that it leads.
takes_over() {
	[ "$(sql "SELECT count(*) FROM pg_stat_activity a JOIN pg_locks l ON l.pid = a.pid AND l.locktype = 'advisory'
		WHERE l.granted AND a.wait_event_type = 'Lock' AND a.query LIKE 'UPDATE leader SET epoch%'")" = 1 ]
}

@test "a standby that is killed with the lock and before its first write leaves no harm, and the next one leads" {
	roles
	local epoch holder
	epoch=$(sql 'SELECT epoch FROM leader')
	create "$leads" before-the-lock
	writes_hold
	kill -KILL "$(lab_pid "$leads")"
	lab_wait 20 takes_over
	# It has the lock, and leads not before it is written: reads are its copy, and nothing is taken.
	[ "$(status "$follows" GET /readyz)" = 503 ]
	[ "$(status "$follows" POST /v1/environments -d "$(environment too-early)")" = 503 ]
	kill -KILL "$(lab_pid "$follows")"
	lab_wait 10 eval '! lab_pid "$follows" >/dev/null'
	start "$leads" 7>&-
	writes_go_on
	lab_wait 40 is_ready "$leads"
	# The server may have carried out what the dead one had sent; nobody writes with that epoch.
	[ "$(sql 'SELECT epoch FROM leader')" -gt "$epoch" ]
	[ "$(sql 'SELECT epoch FROM leader')" = "$(call "$leads" GET /metrics | sed -n 's/^portico_sched_epoch //p')" ]
	[ "$(sql "SELECT count(*) FROM environments WHERE name = 'too-early'")" = 0 ]
	sees "$leads" before-the-lock
	create "$leads" after-the-lock
	start "$follows"
	lab_wait 20 is_standby "$follows"
	lab_wait 10 agree
}

@test "a write with an old epoch or an old revision fails in the database" {
	local epoch revision
	epoch=$(sql 'SELECT epoch FROM leader')
	revision=$(sql 'SELECT revision FROM leader')
	run sql "SELECT leader_advance($((epoch - 1)), $revision, $((revision + 1)))"
	[[ $output == *"is not the leader any more"* ]]
	run sql "BEGIN; UPDATE hosts SET pool = 'stolen'; SELECT leader_advance($epoch, $((revision - 1)), $((revision + 1))); COMMIT"
	[[ $output == *"is not the leader any more"* ]]
	run sql "SELECT leader_advance($epoch, $revision, $revision)"
	[[ $output == *"is not the leader any more"* ]]
	[ "$(sql 'SELECT revision FROM leader')" = "$revision" ]
	[ "$(sql 'SELECT pool FROM hosts')" = default ]
}

@test "the connection is cut before a commit: it did not happen, and that is the answer" {
	roles
	lab_stop "$follows" # it would take over
	echo before-commit >"$lab_dir/order"
	[ "$(status "$leads" POST /v1/environments -D "$lab_dir/head" -d "$(environment cut-before)")" = 503 ]
	grep -qx "done" "$lab_dir/order"
	[ "$(jq -r .code "$lab_dir/answer")" = unavailable ]
	grep -qi '^retry-after: ' "$lab_dir/head"
	lab_wait 20 is_ready "$leads"
	[ "$(sql "SELECT count(*) FROM environments WHERE name = 'cut-before'")" = 0 ]
	create "$leads" cut-before
}

@test "the connection is cut after a commit, before its answer: it did happen, once, and that is the answer" {
	roles
	local pid epoch
	pid=$(lab_pid "$leads")
	epoch=$(sql 'SELECT epoch FROM leader')
	echo after-commit >"$lab_dir/order"
	[ "$(status "$leads" POST /v1/environments -d "$(environment cut-after)")" = 201 ]
	grep -qx "done" "$lab_dir/order"
	[ "$(sql "SELECT count(*) FROM environments WHERE name = 'cut-after'")" = 1 ]
	[ "$(sql "SELECT count(*) FROM events WHERE message LIKE 'name=cut-after %'")" = 1 ]
	lab_wait 20 is_ready "$leads"
	[ "$(lab_pid "$leads")" = "$pid" ]
	[ "$(sql 'SELECT epoch FROM leader')" = "$epoch" ]
	start "$follows"
	lab_wait 20 is_standby "$follows"
	lab_wait 10 agree
}

@test "a standby that stops does not say of what it has passed on that it was not done" {
	roles
	local holder client
	writes_hold
	status "$follows" POST /v1/customers -d '{"name":"passed-on"}' >"$lab_dir/code" 3>&- 7>&- & client=$!
	lab_wait 20 eval '[ "$(sql "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = '"'Lock'"'")" = 1 ]'
	lab_stop "$follows"
	wait "$client"
	writes_go_on
	[ "$(cat "$lab_dir/code") $(jq -r .code "$lab_dir/answer")" = '504 outcome_unknown' ]
	lab_wait 20 call "$leads" GET /v1/customers/passed-on -f
	start "$follows"
	lab_wait 20 is_standby "$follows"
}

metric() { # SCHEDD LINE-PREFIX
	call "$1" GET /metrics | sed -n "s/^$2 //p"
}

@test "requests that come during a commit share the next one, and are answered after it" {
	roles
	local holder i commits rows
	commits=$(metric "$leads" 'portico_sched_commits_total{result="committed"}')
	writes_hold
	for i in $(seq 20); do
		call "$leads" POST /v1/environments -o /dev/null -w '%{http_code}\n' \
			-d "$(environment "shared-$i" ',"services":[]')" >"$lab_dir/shared-$i" 3>&- 7>&- &
	done
	# The loop does not wait for the database: reads are answered. With the one that asks, all have arrived.
	lab_wait 20 eval '[ "$(metric "$leads" portico_sched_http_requests_active)" = 21 ]'
	call "$leads" GET /v1/environments -f >/dev/null
	run ! sees "$leads" shared-1
	run cat "$lab_dir"/shared-*
	[ -z "$output" ]
	writes_go_on
	wait
	[ "$(cat "$lab_dir"/shared-* | sort | uniq -c | tr -s ' ')" = ' 20 201' ]
	# One or two for those who came first, one for all others, and what follows from them.
	rows=$(metric "$leads" 'portico_sched_commits_total{result="committed"}')
	[ "$((rows - commits))" -le 6 ]
	lab_wait 10 agree
}

# One leads, the other follows; who has ended (the leader that was replaced does) is started again.
both_up() {
	local name
	for name in a b; do
		lab_pid "$name" || start "$name"
	done
	{ is_ready a && is_standby b; } || { is_ready b && is_standby a; }
}

# Both together: whoever lost its session may seem to be up until it has heard of that, and ends then.
goes_on() { # N: more than so many creates were answered
	both_up && answered_more term "$1"
}

@test "sessions that the server ends under load: whoever leads then, no answered write is missing, none is there twice" {
	roles
	local i
	creators_start term
	for i in 1 2 3; do
		lab_wait 40 goes_on "$(count_after term)"
		sql "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted" >/dev/null
	done
	lab_wait 40 goes_on "$(count_after term)"
	creators_stop term
}

@test "without the database both answer reads, and say since when they are old; then all goes on by itself" {
	roles
	local name before
	before=$(names a)
	lab_stop postgres INT
	for name in a b; do
		lab_wait 20 eval "call $name GET /v1/environments | jq -e .stale_since"
		call "$name" GET /v1/environments -D "$lab_dir/head" -o "$lab_dir/answer"
		grep -qiE '^portico-stale-since: 20[0-9-]{8}T[0-9:]{8}Z' "$lab_dir/head"
		tests/helpers/check-answer proto/openapi.yaml Environments <"$lab_dir/answer"
		[ "$(names "$name")" = "$before" ]
		[ "$(status "$name" POST /v1/environments -D "$lab_dir/head" -d "$(environment none)")" = 503 ]
		grep -qi '^retry-after: ' "$lab_dir/head"
		[ "$(status "$name" GET '/readyz?standby=1')" = 503 ]
		[ "$(metric "$name" portico_sched_stale_seconds)" -ge 0 ]
	done
	lab_postgres_start
	lab_wait 20 both_up
	for name in a b; do
		[ "$(call "$name" GET /v1/environments | jq .stale_since)" = null ]
	done
	create a back-again
	lab_wait 10 agree
}

# What a standby says of the schema: NAME TEXT, how often in its log since the test began.
said() {
	tail -n +"$log_before" "$lab_dir/log/$1" | grep -c "$2"
}

@test "a standby of another version says so once, in its log, and to whoever asks; and follows when it is the same again" {
	roles
	local version log_before
	version=$(sql 'SELECT max(version) FROM schema_migrations')
	log_before=$(($(wc -l <"$lab_dir/log/$follows") + 1))
	# With a copy: another one led in between, and migrated.
	sql "INSERT INTO schema_migrations (version, name) VALUES ($((version + 1)), 'later')"
	lab_wait 10 said "$follows" "error .*the schema has version $((version + 1)) and this schedd knows $version"
	lab_wait 10 eval '[ "$(status "$follows" GET "/readyz?standby=1")" = 503 ]'
	jq -e --argjson knows "$version" '.code == "other_schema" and (.message | contains("schema has version \($knows + 1) and this schedd knows \($knows)"))' "$lab_dir/answer"
	call "$follows" GET /v1/environments | jq -e .stale_since
	create "$leads" after-the-migration
	run ! sees "$follows" after-the-migration
	run -1 "$BUILD_DIR/schedctl/schedctl" --server "unix:$lab_dir/$follows.sock" doctor
	[[ $output == *"error"*"database"*"the schema has version $((version + 1))"*"install the same version of schedd"* ]]
	# Without one.
	lab_stop "$follows"
	start "$follows"
	lab_wait 10 eval '[ "$(status "$follows" GET /v1/environments)" = 503 ]'
	lab_wait 10 eval '[ "$(status "$follows" GET /readyz)" = 503 ] && [ "$(jq -r .code "$lab_dir/answer")" = other_schema ]'
	lab_wait 10 said "$follows" "error .*the schema has version"
	sql "DELETE FROM schema_migrations WHERE version = $((version + 1))"
	lab_wait 10 is_standby "$follows"
	lab_wait 10 agree
	[ "$(said "$follows" 'the schema has version')" = 2 ]
	# It is newer: its time comes when it leads.
	sql "UPDATE schema_migrations SET version = 0 WHERE version = $version"
	lab_wait 10 said "$follows" "warning .*the schema has version $((version - 1)) and this schedd knows $version"
	[ "$(status "$follows" GET /readyz)" = 503 ]
	sql "UPDATE schema_migrations SET version = $version WHERE version = 0"
	lab_wait 10 is_standby "$follows"
	[ "$(said "$follows" 'the schema has version')" = 3 ]
}

@test "nothing is wrong with the daemons, to the end" {
	lab_stop a
	lab_stop b
	run ! grep -E 'ERROR: (Address|Leak)Sanitizer|runtime error:' "$lab_dir/log/a" "$lab_dir/log/b"
}
