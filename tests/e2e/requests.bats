#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck disable=SC2317,SC2154,SC2119 # bats calls the tests; variables come from the lab
# Requests that may be repeated, hold only for a revision, come in pages, or go on from where a stream ended.

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
}

teardown_file() {
	lab_down
}

setup() {
	fleet_load
}

as() { # ROLE METHOD PATH [CURL-OPTION...]
	local role=$1
	shift
	call "$@" -H @<(printf 'Authorization: Bearer %s\n' "$(cat "$lab_dir/roles/$role")")
}

environment() { # NAME
	echo "{\"name\":\"$1\",\"image\":\"x\",\"cpu_milli\":100,\"memory_bytes\":16777216}"
}

keyed() { # KEY NAME [CURL-OPTION...]
	local key=$1 name=$2
	shift 2
	call POST /v1/environments -H "Idempotency-Key: $key" -d "$(environment "$name")" "$@"
}

sql() {
	lab_as_postgres psql -h "$lab_dir/postgres" -U portico -d portico -Atqc "$1"
}

# refused CODE FIELD MESSAGE [CURL-OPTION...]: a create, with the field that is to blame
refused() {
	local code=$1 field=$2 message=$3 answer
	shift 3
	answer=$(call POST "/v1/environments${query:-}" -w ' %{http_code}' "$@")
	[[ $answer == *' 400' ]] || { echo "$answer"; return 1; }
	jq -e --arg code "$code" --arg field "$field" --arg message "$message" \
		'.code == $code and .details.field == $field and .message == $message' <<<"${answer% 400}"
}

@test "a policy that there is not, and a trial run, are refused by name, and nothing is made" {
	local body
	body=$(environment tried)
	refused invalid policy 'policy: "fgd" is none of least-used, binpack, spread' -d "${body%\}},\"policy\":\"fgd\"}"
	refused unknown_field dry_run 'dry_run: is not a known field' -d "${body%\}},\"dry_run\":true}"
	query='?dry_run=1' refused unknown_field dry_run 'there is no parameter dry_run' -d "$body"
	run -4 ctl env create --name tried --image x --cpu 100m --memory 16M --policy fgd
	[[ $output == *'policy: "fgd" is none of least-used, binpack, spread'* ]]
	[ "$(call GET /v1/environments | jq '.items | length')" = 0 ]
}

@test "a repeat has the same answer, but the password" {
	local first second
	first=$(keyed one demo -f)
	second=$(keyed one demo -f -D "$lab_dir/head")
	[ "$(jq -r .password <<<"$first" | wc -c)" -eq 21 ]
	[ "$(jq -S 'del(.password)' <<<"$first")" = "$(jq -S 'del(.notice)' <<<"$second")" ]
	[ "$(jq 'has("notice")' <<<"$first")" = false ]
	[[ $(jq -r .notice <<<"$second") == "the password was in the first answer"*"delete the environment and make it anew"* ]]
	grep -qi '^HTTP/1.1 201' "$lab_dir/head"
	! grep -qi '^Cache-Control: no-store' "$lab_dir/head" || false
	call POST /v1/environments -f -o /dev/null -D "$lab_dir/made" -d "$(environment made)"
	grep -qi '^Cache-Control: no-store' "$lab_dir/made"
	grep -qi '^Idempotency-Replayed: true' "$lab_dir/head"
	# without a key it is another request
	[ "$(call POST /v1/environments -d "$(environment demo)" -o /dev/null -w '%{http_code}')" = 409 ]
}

@test "a key is of one request and of one caller" {
	run keyed one other -w ' %{http_code}'
	[[ $output == *'"key_reused"'*'Idempotency-Key'*' 409' ]]
	run call POST /v1/customers -H 'Idempotency-Key: one' -d '{"name":"carol"}' -w ' %{http_code}'
	[[ $output == *'"key_reused"'* ]]
	local id
	id=$(as alice POST /v1/environments -H 'Idempotency-Key: one' -f -d "$(environment other)" | jq -r .id)
	[ "$(as alice POST /v1/environments -H 'Idempotency-Key: one' -f -d "$(environment other)" | jq -r .id)" = "$id" ]
	[ "$(as bob POST /v1/environments -H 'Idempotency-Key: one' -f -d "$(environment other)" | jq -r .id)" != "$id" ]
	for key in '' 'a b' "$(head -c 129 /dev/zero | tr '\0' k)"; do
		run keyed "$key" more -w ' %{http_code}'
		[[ $output == *'"invalid"'*' 400' || ($key == '' && $output == *' 201') ]]
	done
}

@test "callers whose long names differ in the last letter share no key" {
	local long i made
	long=$(head -c 62 /dev/zero | tr '\0' n)
	for i in a b; do
		ctl customer create "$long$i"
		ctl token create "long-$i" --role customer --subject "$long$i" --save "$lab_dir/roles/$i"
	done
	made=$(as a POST /v1/environments -H 'Idempotency-Key: long' -f -d "$(environment long)" | jq -r .id)
	as b POST /v1/environments -H 'Idempotency-Key: long' -f -d "$(environment long)" >"$lab_dir/answer"
	[ "$(jq -r .id "$lab_dir/answer")" != "$made" ]
	[ "$(jq -r .customer "$lab_dir/answer")" = "${long}b" ]
	[ "$(sql "SELECT actor FROM events WHERE subject = '$made' AND action = 'create'")" = "customer/${long}a" ]
}

@test "a request that failed leaves no key" {
	run keyed two demo -w ' %{http_code}'
	[[ $output == *'"conflict"'*' 409' ]]
	[ "$(keyed two fresh -o /dev/null -w '%{http_code}')" = 201 ]
}

@test "many at a time are one, and one of them has the password" {
	local i
	for i in {1..20}; do
		keyed many crowd -f >"$lab_dir/crowd-$i" &
	done
	wait
	[ "$(jq -r .id "$lab_dir"/crowd-* | sort -u | wc -l)" = 1 ]
	[ "$(jq -r .id "$lab_dir"/crowd-* | wc -l)" = 20 ]
	[ "$(jq -r 'select(has("password")) | .id' "$lab_dir"/crowd-* | wc -l)" = 1 ]
}

@test "tokens and customers, too, without the secret" {
	local body='{"name":"twice","role":"admin"}'
	run call POST /v1/tokens -H 'Idempotency-Key: t' -f -d "$body"
	[[ $output == *'"token":"portico_'* ]]
	run call POST /v1/tokens -H 'Idempotency-Key: t' -f -d "$body"
	[[ $output == *'"name":"twice"'* && $output != *'portico_'* ]]
	[[ $(jq -r .notice <<<"$output") == "the token's text was in the first answer"*"revoke the token and make another"* ]]
	call POST /v1/customers -H 'Idempotency-Key: c' -f -d '{"name":"dora"}' >/dev/null
	[ "$(call POST /v1/customers -H 'Idempotency-Key: c' -f -d '{"name":"dora"}' | jq -r .id)" = dora ]
}

@test "with an SSH key there is a way in, and the notice says so" {
	local body
	body=$(environment opened | jq -c '.ssh_authorized_keys = ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIMqqDHYS7VYWKzVqzzqZHYUPj5aDBHYXgd6bxbbnjzcr a"]')
	call POST /v1/environments -H 'Idempotency-Key: opened' -f -o /dev/null -d "$body"
	[[ $(call POST /v1/environments -H 'Idempotency-Key: opened' -f -d "$body" | jq -r .notice) == *"log in with one of the environment's SSH keys"* ]]
}

@test "what has gone is not made anew by a repeat" {
	keyed gone short-lived -f -o /dev/null
	call DELETE /v1/environments/short-lived -f -o /dev/null
	lab_wait 20 is_gone short-lived
	[ "$(keyed gone short-lived -f | jq -c 'del(.id)')" = '{"phase":"deleted"}' ]
	call POST /v1/tokens -H 'Idempotency-Key: gone-t' -f -o /dev/null -d '{"name":"gone-t","role":"admin"}'
	call DELETE /v1/tokens/gone-t -f -o /dev/null
	[ "$(call POST /v1/tokens -H 'Idempotency-Key: gone-t' -o /dev/null -w '%{http_code}' -d '{"name":"gone-t","role":"admin"}')" = 404 ]
	is_gone short-lived
}

@test "an action is carried out once" {
	local before
	events() { sql "SELECT count(*) FROM events WHERE action = 'stop'"; }
	before=$(events)
	call POST /v1/environments/demo:stop -H 'Idempotency-Key: s' -f >/dev/null
	call POST /v1/environments/demo:stop -H 'Idempotency-Key: s' -f >/dev/null
	[ "$(events)" = $((before + 1)) ]
}

@test "a key holds over SIGKILL at any moment" {
	local i first
	for i in {1..6}; do
		keyed "kill-$i" "killed-$i" >"$lab_dir/first" &
		first=$!
		# at once, or a little later: before, in and after the commit
		[ "$i" -le 2 ] || lab_wait 1 test "$((i % 2))" = 0 || true
		lab_stop schedd KILL
		wait "$first" || true
		start
		[ "$(keyed "kill-$i" "killed-$i" -o "$lab_dir/second" -w '%{http_code}')" = 201 ]
		[ "$(call GET "/v1/environments/killed-$i" | jq -r .id)" = "$(jq -r .id "$lab_dir/second")" ]
		# what was answered is what is there
		! grep -q '"id"' "$lab_dir/first" || [ "$(jq -r .id "$lab_dir/first")" = "$(jq -r .id "$lab_dir/second")" ]
	done
}

@test "a key of the day before yesterday is forgotten" {
	lab_stop schedd
	sql "UPDATE idempotency_keys SET created_at = created_at - interval '25 hours'"
	start
	lab_wait 10 no_keys
	[ "$(keyed one later -o /dev/null -w '%{http_code}')" = 201 ]
}

no_keys() {
	[ "$(sql 'SELECT count(*) FROM idempotency_keys')" = 0 ]
}

of_customer() { # CUSTOMER KEY NAME [CURL-OPTION...]
	local customer=$1 key=$2 name=$3
	shift 3
	as "$customer" POST /v1/environments -H "Idempotency-Key: $key" -d "$(environment "$name")" "$@"
}

# One more key of CUSTOMER is refused as over its limit, and nothing is made.
is_full() { # CUSTOMER
	of_customer "$1" full "full-$1" -D "$lab_dir/head" >"$lab_dir/full"
	grep -q '^HTTP/1.1 429' "$lab_dir/head"
	[ "$(jq -r '.code, .details.limit' "$lab_dir/full" | paste -sd' ')" = 'rate_limited token-keys' ]
	grep -q 'over the limit token-keys: this caller has .*; try again in [0-9]* s' "$lab_dir/full"
	# once the oldest is a day old
	[ "$(sed -n 's/^Retry-After: \([0-9]*\).*/\1/p' "$lab_dir/head")" -gt 86000 ]
	[ "$(as "$1" GET "/v1/environments/full-$1" -o /dev/null -w '%{http_code}')" = 404 ]
}

@test "a caller has so many keys and no more, also after a kill, and no other caller is concerned" {
	local i first codes
	lab_stop schedd
	sql 'DELETE FROM idempotency_keys'
	start --token-keys 3
	first=$(of_customer alice a1 a-1 -f | jq -r .id)
	# a refusal takes no room
	[ "$(of_customer alice a2 a-1 -o /dev/null -w '%{http_code}')" = 409 ]
	# many at once are not more than one after the other
	codes=$(for i in {2..9}; do of_customer alice "a$i" "a-$i" -o /dev/null -w '%{http_code}\n' & done; wait)
	[ "$(sort <<<"$codes" | uniq -c | tr -s ' \n' ' ')" = ' 2 201 6 429 ' ]
	is_full alice
	[ "$(of_customer bob b1 b-1 -o /dev/null -w '%{http_code}')" = 201 ]
	[ "$(keyed r1 r-1 -o /dev/null -w '%{http_code}')" = 201 ]
	# what is remembered is answered, and what has no key is taken
	[ "$(of_customer alice a1 a-1 -f | jq -r .id)" = "$first" ]
	[ "$(as alice POST /v1/environments -d "$(environment keyless)" -o /dev/null -w '%{http_code}')" = 201 ]
	call GET /metrics >"$lab_dir/metrics"
	grep -qx 'portico_sched_http_requests_refused_total{limit="token-keys"} 7' "$lab_dir/metrics"
	grep -qx 'portico_sched_idempotency_keys 5' "$lab_dir/metrics"

	lab_stop schedd KILL
	start --token-keys 3
	is_full alice
	[ "$(of_customer alice a1 a-1 -f | jq -r .id)" = "$first" ]
	[ "$(of_customer bob b2 b-2 -o /dev/null -w '%{http_code}')" = 201 ]
	[ "$(of_customer bob b3 b-3 -o /dev/null -w '%{http_code}')" = 201 ]
	is_full bob

	# a day later there is room for as many as are gone
	lab_stop schedd
	sql "UPDATE idempotency_keys SET created_at = created_at - interval '25 hours' WHERE subject = '$first'"
	start --token-keys 3
	lab_wait 10 takes_again alice
	is_full alice
	is_full bob
	lab_stop schedd
	start
}

takes_again() { # CUSTOMER
	[ "$(of_customer "$1" again again -o /dev/null -w '%{http_code}')" = 201 ]
}

@test "If-Match: a change of another revision only is refused" {
	local tag verb
	call GET /v1/environments/crowd -D "$lab_dir/head" >"$lab_dir/crowd"
	tag=$(tr -d '\r' <"$lab_dir/head" | sed -n 's/^ETag: //ip')
	[ "$tag" = "\"$(jq .revision "$lab_dir/crowd")\"" ]
	run call DELETE /v1/environments/crowd -H 'If-Match: "1"' -w ' %{http_code}'
	[[ $output == *'"precondition_failed"'*' 412' ]]
	run call POST /v1/environments/crowd:stop -H 'If-Match: "1"' -w ' %{http_code}'
	[[ $output == *' 412' ]]
	[ "$(call GET /v1/environments/crowd | jq .revision)" = "$(jq .revision "$lab_dir/crowd")" ]
	run call DELETE /v1/environments/crowd -H "If-Match: $tag" -w ' %{http_code}'
	[[ $output == *' 202' ]]
	[ "$(call DELETE /v1/tokens/twice -H 'If-Match: "1"' -o /dev/null -w '%{http_code}')" = 412 ]
	[ "$(call DELETE /v1/tokens/twice -H 'If-Match: *' -o /dev/null -w '%{http_code}')" = 200 ]
	call POST /v1/customers -f -o /dev/null -d '{"name":"conditional"}'
	[ "$(call DELETE /v1/customers/conditional -H 'If-Match: "1"' -o /dev/null -w '%{http_code}')" = 412 ]
	[ "$(call DELETE /v1/customers/conditional -o /dev/null -w '%{http_code}')" = 200 ]
	call POST /v1/hosts -f -o /dev/null -d '{"name":"h1","address":"10.0.0.1","pool":"none","labels":{},"version":"1",
		"capacity":{"cpu_milli":1,"memory_bytes":1,"gpus":[]}}'
	for verb in cordon drain maintenance uncordon; do
		[ "$(call POST "/v1/hosts/h1:$verb" -H 'If-Match: "1"' -o /dev/null -w '%{http_code}')" = 412 ]
	done
	[ "$(call DELETE '/v1/hosts/h1?force=1' -H 'If-Match: "1"' -o /dev/null -w '%{http_code}')" = 412 ]
	[ "$(call GET /v1/hosts/h1 | jq -r .mode)" = active ]
}

@test "pages: each row once, whatever comes and goes between them" {
	local page after='' ids=() all i
	for i in {1..8}; do
		call POST /v1/environments -f -o /dev/null -d "$(environment "page-$i")"
	done
	all=$(call GET /v1/environments | jq -r '.items[].id' | sort)
	[ "$(wc -l <<<"$all")" -ge 8 ]
	[ "$(call GET /v1/environments | jq .next)" = null ]
	while :; do
		page=$(call GET "/v1/environments?limit=3${after:+&after=$after}")
		[ "$(jq '.items | length' <<<"$page")" -le 3 ]
		mapfile -t -O "${#ids[@]}" ids < <(jq -r '.items[].id' <<<"$page")
		after=$(jq -r '.next // empty' <<<"$page")
		[ -n "$after" ] || break
		# the row that the cursor names goes, and another comes
		call DELETE "/v1/environments/$after" -f -o /dev/null
		call POST /v1/environments -f -o /dev/null -d "$(environment "between-${#ids[@]}")"
	done
	[ -z "$(printf '%s\n' "${ids[@]}" | sort | uniq -d)" ]
	# what was there all the time is there
	[ -z "$(comm -23 <(cat <<<"$all") <(printf '%s\n' "${ids[@]}" | sort))" ]
	as alice POST /v1/environments -f -o /dev/null -d "$(environment hers)"
	[ "$(as alice GET '/v1/environments?limit=1' | jq -r '.items[0].customer')" = alice ]
	[ "$(call GET '/v1/ports?limit=1000' | jq '.items | length')" = "$(call GET /v1/ports | jq '.items | length')" ]
}

@test "schedctl lists what has more than one page" {
	lab_stop schedd
	sql "INSERT INTO customers (id, deleted, created_at, revision)
		SELECT 'page-' || n, false, now(), 1 FROM generate_series(1, 2500) AS n"
	start
	[ "$(ctl -o name customer list | grep -c '^page-')" = 2500 ]
	[ "$(ctl -o json customer list | jq '[.items[].id] | unique | length')" = "$(ctl -o json customer list | jq '.items | length')" ]
	lab_stop schedd
	sql "DELETE FROM customers WHERE id LIKE 'page-%'"
	start
}

@test "a watch goes on from a revision, or starts over" {
	local revision id gone
	call POST /v1/environments -f -o /dev/null -d "$(environment leaves)"
	gone=$(call GET /v1/environments/leaves | jq -r .id)
	revision=$(call GET /v1/environments | jq .revision)
	id=$(call POST /v1/environments -f -d "$(environment comes)" | jq -r .id)
	call DELETE /v1/environments/leaves -f -o /dev/null
	lab_wait 20 is_gone leaves
	follow() { # REVISION WHO...: the first line
		head -n 1 < <("${@:2}" GET "/v1/environments?watch=1&revision=$1" -N 3>&-) >"$lab_dir/line"
	}
	follow "$revision" call
	[ "$(jq -r .type "$lab_dir/line")" = change ]
	[ "$(jq -r "[.put[] | select(.id == \"$id\")] | length" "$lab_dir/line")" = 1 ]
	[ "$(jq -r '.delete[].id' "$lab_dir/line")" = "$gone" ]
	# what did not change is not said, and a newest revision has nothing to say
	[ "$(jq -r '.put | length' "$lab_dir/line")" -le 2 ]
	follow "$(call GET /v1/environments | jq .revision)" call
	[ "$(jq -r .type "$lab_dir/line")" = bookmark ]
	# another's are not said either
	follow "$revision" as alice
	[ "$(jq -r .type "$lab_dir/line")" = bookmark ]
	run call GET '/v1/environments?watch=1&revision=999999' -w ' %{http_code}'
	[[ $output == *'"gone"'*'start over'*' 410' ]]
	lab_stop schedd
	start
	run call GET "/v1/environments?watch=1&revision=$revision" -w ' %{http_code}'
	[[ $output == *' 410' ]]
}

is_gone() {
	[ "$(call GET "/v1/environments/$1" -o /dev/null -w '%{http_code}')" = 404 ]
}

# told STATUS CODE METHOD PATH [ALLOW]: refused as the API refuses everything, in JSON.
told() {
	local answer
	answer=$(call "$3" "$4" -D "$lab_dir/head" -w '\n%{http_code}')
	echo "$3 $4 -> $answer"
	[ "$(tail -n 1 <<<"$answer")" = "$1" ]
	answer=$(head -n 1 <<<"$answer")
	[ "$(jq -r .code <<<"$answer")" = "$2" ]
	[[ $(jq -r .message <<<"$answer") == *"$4"* ]]
	[ "$(sed -n 's/^Allow: \(.*\)\r$/\1/p' "$lab_dir/head")" = "${5:-}" ]
}

@test "methods and actions that there are not" {
	told 405 method_not_allowed OPTIONS /v1/environments "GET, HEAD, POST"
	told 405 method_not_allowed TRACE /v1/environments "GET, HEAD, POST"
	told 405 method_not_allowed PUT /v1/environments "GET, HEAD, POST"
	told 405 method_not_allowed POST /v1/environments/demo "GET, HEAD, DELETE"
	told 404 not_found POST /v1/environments/demo:fly
	told 404 not_found OPTIONS /v1/nowhere
}

@test "a request with two lengths is refused and is not two requests" {
	local answer
	answer=$(printf '%s\r\n' 'POST /v1/environments HTTP/1.1' 'Host: x' 'Content-Length: 2' 'Content-Length: 44' '' \
		'{}GET /v1/hosts HTTP/1.1' 'Host: x' '' | nc -N -U "$lab_dir/schedd.sock")
	echo "$answer"
	[ "$(grep -c '^HTTP/1.1' <<<"$answer")" = 1 ]
	[[ $answer == "HTTP/1.1 400"*'"code":"malformed"'*"more than one Content-Length"* ]]
}

@test "nothing is wrong with the daemon, to the end" {
	lab_stop schedd
	run ! grep -E 'ERROR: (Address|Leak)Sanitizer|runtime error:' "$lab_dir/log/schedd"
}
