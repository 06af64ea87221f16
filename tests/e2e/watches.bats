#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck disable=SC2317,SC2154,SC2119,SC2016 # bats calls the tests; variables come from the lab
# Streams of every list, and of events: what they begin with, what they are told, where they go on, what a customer
# sees of them, and when they end.

bats_require_minimum_version 1.5.0
load fleet
load scheduler

setup_file() {
	fleet_load
	lab_init
	lab_postgres
	start
	ctl customer create alice
	ctl customer create bob
	mkdir "$lab_dir/roles"
	ctl token create alice --role customer --subject alice --save "$lab_dir/roles/alice"
	ctl token create bob --role customer --subject bob --save "$lab_dir/roles/bob"
	ctl token create short --role customer --subject alice --save "$lab_dir/roles/short"
	call POST /v1/hosts -f -d "$(host h1)" >/dev/null
	call POST /v1/gateways -f -d '{"name":"g1","addresses":["203.0.113.10"],"version":"1"}' >/dev/null
}

teardown_file() {
	lab_down
}

setup() {
	fleet_load
}

host() { # NAME
	echo "{\"name\":\"$1\",\"address\":\"10.0.0.1\",\"pool\":\"default\",\"labels\":{},\"version\":\"1\",
		\"capacity\":{\"cpu_milli\":1000,\"memory_bytes\":1073741824,\"gpus\":[]}}"
}

environment() { # NAME CUSTOMER
	echo "{\"name\":\"$1\",\"customer\":\"$2\",\"image\":\"x\",\"cpu_milli\":400,\"memory_bytes\":16777216}"
}

sql() {
	psql -h "$lab_dir/postgres" -U portico -d portico -v ON_ERROR_STOP=1 -qAtc "$1"
}

# watch NAME ROLE PATH: the lines of a stream into its log. ROLE is root or a token's.
watch() {
	local arguments=()
	[ "$2" = root ] || arguments=(-H "Authorization: Bearer $(cat "$lab_dir/roles/$2")")
	rm -f "$lab_dir/log/$1"
	lab_start "$1" - curl -sN --unix-socket "$lab_dir/schedd.sock" "http://localhost$3" "${arguments[@]}"
}

# told NAME FILTER: a line of the stream is as the filter says.
told() {
	jq -se "map(select($2)) | length > 0" "$lab_dir/log/$1" >/dev/null
}

# Its last revision.
revision_of() { # NAME
	jq -s 'map(.revision // empty) | last' "$lab_dir/log/$1"
}

# Waits until the stream is told of what happens now, whatever that is.
synced() { # NAME
	lab_wait 10 told "$1" '.type == "synced"'
}

@test "each list is a stream: its rows, then its changes" {
	local list
	for list in environments hosts gateways ports customers tokens; do
		watch "$list" root "/v1/$list?watch=1"
		synced "$list"
	done
	[ "$(jq -s 'map(select(.type == "item").item.id)' -c "$lab_dir/log/hosts")" = '["h1"]' ]
	[ "$(jq -s 'map(select(.type == "item").item.id)' -c "$lab_dir/log/customers")" = '["alice","bob"]' ]
	[ "$(jq -s 'map(select(.type == "item").item) | length' "$lab_dir/log/tokens")" = 3 ]
	run ! grep -q portico_tok "$lab_dir/log/tokens"
	call POST /v1/environments -f -d "$(environment one alice)" >/dev/null
	lab_wait 10 told environments '.put[]?.name == "one"'
	lab_wait 10 told ports '.put[]?.state == "reserved"'
	# What is free of a host follows its environments, without a change of its row.
	lab_wait 10 told hosts '.put[]? | .environments == 1 and .free.cpu_milli == 600'
	ctl host cordon h1
	lab_wait 10 told hosts '.put[]?.mode == "cordoned"'
	ctl host uncordon h1
	ctl customer create carol
	lab_wait 10 told customers '.put[]?.id == "carol"'
	ctl token create carol --role customer --subject carol --save "$lab_dir/roles/carol"
	lab_wait 10 told tokens '.put[]?.name == "carol"'
	ctl customer delete carol
	lab_wait 10 told customers '.delete[]?.id == "carol"'
	lab_wait 10 told tokens '.delete[]? | .id | startswith("tok-")'
	call POST /v1/gateways -f -d '{"name":"g1","addresses":["203.0.113.10"],"version":"2"}' >/dev/null
	lab_wait 10 told gateways '.put[]?.version == "2"'
	for list in hosts gateways ports customers tokens; do
		jq -s 'map(.revision // empty) | . == sort' "$lab_dir/log/$list" | grep -qx true
	done
}

@test "each list goes on from a revision" {
	local list last
	for list in environments hosts gateways ports customers tokens; do
		last=$(revision_of "$list")
		lab_stop "$list"
		echo "$last" >"$lab_dir/$list.revision"
	done
	call POST /v1/environments -f -d "$(environment two bob)" >/dev/null
	ctl customer create dave
	ctl token create dave --role customer --subject dave --save "$lab_dir/roles/dave"
	ctl token revoke short
	call POST /v1/gateways -f -d '{"name":"g1","addresses":["203.0.113.10"],"version":"3"}' >/dev/null
	lab_wait 10 eval '[ "$(call GET /v1/environments/two | jq -r .host)" = h1 ]'
	for list in environments hosts gateways ports customers tokens; do
		watch "$list" root "/v1/$list?watch=1&revision=$(cat "$lab_dir/$list.revision")"
		lab_wait 10 test -s "$lab_dir/log/$list"
		run ! told "$list" '.type == "snapshot"'
	done
	lab_wait 10 told environments '.put[]?.name == "two"'
	lab_wait 10 told hosts '.put[]?.environments == 2'
	lab_wait 10 told gateways '.put[]?.version == "3"'
	lab_wait 10 told ports '.put[]?.state == "reserved"'
	lab_wait 10 told customers '.put[]?.id == "dave"'
	lab_wait 10 told tokens '([.put[]?.name] | index("dave")) and (.delete | length == 1)'
	for list in environments hosts gateways ports customers tokens; do
		lab_stop "$list"
		[ "$(call GET "/v1/$list?watch=1&revision=999999999" -o /dev/null -w '%{http_code}')" = 410 ]
	done
}

# What there is not yet would be waited for in silence, and for ever where the database is another than the reader knew.
@test "no stream goes on from what has not happened" {
	local path next
	ctl customer create erin
	next=$(($(call GET /v1/hosts | jq .revision) + 1000))
	for path in environments hosts hosts/h1 gateways gateways/g1 ports customers tokens quotas quotas/alice \
		events hosts/h1/desired gateways/g1/desired environments/one; do
		call GET "/v1/$path?watch=1&revision=$next" -w ' %{http_code}' >"$lab_dir/answer"
		grep -q "\"gone\".*revision: there is no $next yet: start over without it.* 410$" "$lab_dir/answer" ||
			{ echo "$path: $(cat "$lab_dir/answer")"; false; }
	done
	next=$(($(call GET '/v1/events?limit=1' | jq '.items[0].id') + 1000))
	call GET "/v1/events?watch=1&after=$next&kind=host" -w ' %{http_code}' | grep "after: there is no $next yet.* 410$"
	call GET "/v1/events?watch=1&revision=18446744073709551615" -w ' %{http_code}' | grep ' 410$'
	# Where an id or a revision is the last, what comes next is told.
	next=$(call GET '/v1/events?limit=1' | jq '.items[0].id')
	watch after root "/v1/events?watch=1&after=$next"
	watch revision root "/v1/events?watch=1&revision=$(call GET /v1/hosts | jq .revision)"
	lab_wait 10 told after '.type == "bookmark"'
	lab_wait 10 told revision '.type == "bookmark"'
	ctl customer delete erin
	lab_wait 10 told after '.put[]?.subject == "erin"'
	lab_wait 10 told revision '.put[]?.subject == "erin"'
	lab_stop after
	lab_stop revision
}

@test "one host or gateway is a stream of its own" {
	call POST /v1/hosts -f -d "$(host h2)" >/dev/null
	watch one root '/v1/hosts/h2?watch=1'
	synced one
	[ "$(jq -s 'map(select(.type == "item").item.id)' -c "$lab_dir/log/one")" = '["h2"]' ]
	ctl host cordon h1
	ctl host cordon h2
	lab_wait 10 told one '.put[]? | .id == "h2" and .mode == "cordoned"'
	run ! told one '.put[]?.id == "h1"'
	ctl host uncordon h1
	lab_stop one
	[ "$(call GET '/v1/hosts/h9?watch=1' -o /dev/null -w '%{http_code}')" = 404 ]
}

@test "a customer's streams have what is its own" {
	watch ports alice '/v1/ports?watch=1'
	watch customers alice '/v1/customers?watch=1'
	watch events alice '/v1/events?watch=1'
	synced ports
	synced customers
	synced events
	[ "$(jq -s 'map(select(.type == "item").item.id)' -c "$lab_dir/log/customers")" = '["alice"]' ]
	[ "$(jq -s 'map(select(.type == "item").item) | length' "$lab_dir/log/ports")" = 1 ]
	jq -se 'map(select(.type == "item").item) | length > 2 and all(.customer == "alice")' "$lab_dir/log/events"
	call POST /v1/environments -f -d "$(environment three bob)" >/dev/null
	call POST /v1/environments -f -d "$(environment four alice)" >/dev/null
	lab_wait 10 told ports '.put | length == 1'
	lab_wait 10 told events '.put[]? | .action == "create" and (.message | startswith("name=four "))'
	run ! told events '.put[]?.customer != "alice"'
	[ "$(jq -s 'map(.put // [] | .[].port) | unique | length' "$lab_dir/log/ports")" = 1 ]
	# What is gone is the customer's no more, though the port rests.
	call DELETE /v1/environments/four -f >/dev/null
	lab_wait 20 told ports '.delete | length == 1'
	# Lists and streams of others' events are refused.
	[ "$(call GET '/v1/events?customer=bob' -H "Authorization: Bearer $(cat "$lab_dir/roles/alice")" | jq -r .code)" = forbidden ]
	call GET '/v1/events?limit=1000' -H "Authorization: Bearer $(cat "$lab_dir/roles/alice")" |
		jq -e '.items | length > 2 and all(.customer == "alice")'
	call GET '/v1/events?limit=1000' -H "Authorization: Bearer $(cat "$lab_dir/roles/alice")" |
		tests/helpers/check-answer proto/openapi.yaml Events
	lab_stop ports
	lab_stop customers
	lab_stop events
}

# Ids of all events that a stream told of, in order.
ids() { # NAME
	jq -sc 'map((select(.type == "item").item.id), (.put // [] | .[].id))' "$lab_dir/log/$1"
}

has_ids() { # NAME IDS
	[ "$(ids "$1")" = "$2" ]
}

@test "events are streamed as they happen, each once, and go on after an id or a revision" {
	local all middle revision last
	ctl host uncordon h2
	# What waited for room is placed there, which is an event as well.
	lab_wait 10 eval '[ "$(call GET /v1/environments/three | jq -r .host)" = h2 ]'
	watch news root '/v1/events?watch=1&limit=3'
	watch filtered root '/v1/events?watch=1&kind=host&action=cordoned&limit=1'
	synced news
	synced filtered
	[ "$(ids news)" = "$(call GET '/v1/events?limit=3' | jq -c '[.items[].id]')" ]
	for _ in 1 2 3 4 5 6 7 8 9 10; do
		ctl host cordon h2
		ctl host uncordon h2
	done
	last=$(call GET '/v1/events?limit=1' | jq '.items[0].id')
	lab_wait 10 told news ".put[]?.id == $last"
	all=$(ids news)
	[ "$all" = "$(call GET "/v1/events?limit=1000&after=$(($(jq '.[0]' <<<"$all") - 1))" | jq -c '[.items[].id]')" ]
	lab_wait 10 has_ids filtered "$(call GET '/v1/events?kind=host&action=cordoned&limit=11' | jq -c '[.items[].id]')"
	middle=$(jq '.[5]' <<<"$all")
	watch resumed root "/v1/events?watch=1&after=$middle"
	lab_wait 10 has_ids resumed "$(jq -c '.[6:]' <<<"$all")"
	run ! told resumed '.type == "snapshot"'
	revision=$(call GET "/v1/events?after=$((middle - 1))&limit=1" | jq '.items[0].revision')
	watch later root "/v1/events?watch=1&revision=$revision"
	lab_wait 10 has_ids later "$(call GET "/v1/events?limit=1000&after=$middle" | jq -c "[.items[] | select(.revision > $revision).id]")"
	# Where nothing is missing, nothing is told until something happens.
	watch quiet root "/v1/events?watch=1&after=$last"
	lab_wait 10 told quiet '.type == "bookmark"'
	ctl host cordon h2
	last=$(call GET '/v1/events?limit=1' | jq '.items[0].id')
	lab_wait 10 has_ids quiet "[$last]"
	lab_wait 10 told later ".put[]?.id == $last"
	[ "$(call GET '/v1/events?watch=1&before=3' | jq -r .details.field)" = before ]
	[ "$(call GET '/v1/events?revision=3' | jq -r .details.field)" = revision ]
	for name in news filtered resumed later quiet; do lab_stop "$name"; done
}

@test "a long way is caught up with, page by page, beside what happens" {
	local n
	sql "INSERT INTO events (revision, actor, subject_kind, subject, action, message)
		SELECT 1, 'test', 'host', 'old', 'x', '' FROM generate_series(1, 3500)"
	watch all root '/v1/events?watch=1&after=0'
	ctl host uncordon h2
	lab_wait 20 told all '.put[]? | .action == "active" and .subject == "h2"'
	n=$(sql 'SELECT count(*) FROM events')
	lab_wait 20 eval '[ "$(ids all | jq length)" = '"$n"' ]'
	ids all | jq -e '. == (sort | unique)'
	lab_stop all
}

# Queries of schedd for events and usage that the database works on.
archive_at_work() {
	sql "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'portico-schedd-archive' AND state = 'active'"
}

@test "a query that takes too long is ended by the database and answered so, and streams go on" {
	watch events root '/v1/events?watch=1'
	synced events
	lab_start holder - psql -h "$lab_dir/postgres" -U portico -d portico -c 'BEGIN' \
		-c 'LOCK TABLE usage_intervals IN ACCESS EXCLUSIVE MODE' -c 'SELECT pg_sleep(60)'
	lab_wait 10 eval '[ "$(sql "SELECT count(*) FROM pg_locks WHERE relation = '"'usage_intervals'"'::regclass AND mode = '"'AccessExclusiveLock'"' AND granted")" = 1 ]'
	rm -f "$lab_dir/log/usage"
	lab_start usage - curl -s -w ' %{http_code}' --unix-socket "$lab_dir/schedd.sock" http://localhost/v1/usage
	lab_wait 10 eval '[ "$(archive_at_work)" = 1 ]'
	ctl host cordon h1
	lab_wait 40 told events '.put[]? | .action == "cordoned" and .subject == "h1"'
	lab_wait 10 grep -q '^{.*} 503$' "$lab_dir/log/usage"
	jq -e '.code == "timeout" and (.message | contains("statement timeout") and contains("ask for less"))' <<<"$(sed 's/ 503$//' "$lab_dir/log/usage")"
	lab_wait 10 eval '[ "$(archive_at_work)" = 0 ]' # the error is sent before that
	sql "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(60)'"
	call GET /v1/usage -f >/dev/null
	ctl host uncordon h1
	lab_wait 10 told events '.put[]? | .action == "active" and .subject == "h1"'
	run ! told events '.type == "end"'
	lab_stop events
}

@test "a stream of events ends with its token, counts as a watch, and schedctl goes on where it was" {
	ctl token create late --role customer --subject bob --save "$lab_dir/roles/late"
	watch late late '/v1/events?watch=1'
	synced late
	ctl token revoke late
	lab_wait 10 told late '.type == "end" and .code == "unauthenticated"'
	lab_start follower - "$BUILD_DIR/schedctl/schedctl" --server "unix:$lab_dir/schedd.sock" -o name events --follow --limit 2
	lab_wait 10 eval '[ "$(wc -l <"$lab_dir/log/follower")" -ge 2 ]'
	ctl host cordon h2
	lab_stop schedd
	start --token-watches 1
	ctl host uncordon h2
	lab_wait 20 grep -qx "$(call GET '/v1/events?limit=1' | jq '.items[0].id')" "$lab_dir/log/follower"
	grep -E '^[0-9]+$' "$lab_dir/log/follower" | sort -n | uniq -d | wc -l | grep -qx 0
	[ "$(grep -cE '^[0-9]+$' "$lab_dir/log/follower")" = "$(call GET "/v1/events?limit=1000&after=$(($(grep -m1 -E '^[0-9]+$' "$lab_dir/log/follower") - 1))" | jq '.items | length')" ]
	lab_stop follower
	watch first alice '/v1/events?watch=1'
	synced first
	[ "$(call GET '/v1/events?watch=1' -H "Authorization: Bearer $(cat "$lab_dir/roles/alice")" | jq -r .details.limit)" = token-watches ]
	lab_stop first
}

@test "nothing is wrong with the daemon, to the end" {
	lab_stop schedd
	run ! grep -E 'ERROR: (Address|Leak)Sanitizer|runtime error:' "$lab_dir/log/schedd"
}
