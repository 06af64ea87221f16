#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck disable=SC2317,SC2154,SC2119,SC2016 # bats calls the tests; variables come from the lab
# schedd alone, with a real PostgreSQL, as its clients and followers see it: bad input, the follower
# protocol, what is durable.

bats_require_minimum_version 1.5.0
load fleet

setup_file() {
	fleet_load
	lab_init
	lab_postgres
	start
}

teardown_file() {
	lab_down
}

setup() {
	fleet_load
}

start() {
	lab_start schedd - "$BUILD_DIR/schedd/schedd" --database "$lab_database" --listen "" \
		--socket "$lab_dir/schedd.sock" --port-addresses "$lab_public" --port-range 30001-30003 --offline-after 5m
	lab_wait 20 call GET /readyz -f
}

# call METHOD PATH [CURL-OPTION...]: the answer's body.
call() {
	local method=$1 path=$2
	shift 2
	curl -s -m 30 -X "$method" --unix-socket "$lab_dir/schedd.sock" "http://localhost$path" "$@"
}

# expect METHOD PATH BODY STATUS CODE FIELD: an error as it must be.
expect() {
	local answer
	answer=$(call "$1" "$2" -d "$3" -w '\n%{http_code}')
	if [ "${answer##*$'\n'}" != "$4" ] || [ "$(jq -r .code <<<"${answer%$'\n'*}")" != "$5" ] ||
		[ "$(jq -r '.details.field // ""' <<<"${answer%$'\n'*}")" != "$6" ] ||
		[ -z "$(jq -r .message <<<"${answer%$'\n'*}")" ]; then
		echo "$1 $2 $3: expected $4 $5 $6, got $answer"
		return 1
	fi
}

environment() { # NAME [MORE]
	echo "{\"name\":\"$1\",\"image\":\"x\",\"cpu_milli\":100,\"memory_bytes\":16777216${2:-}}"
}

host='{"name":"h1","address":"10.0.0.1","pool":"default","labels":{},"version":"1",
	"capacity":{"cpu_milli":1000,"memory_bytes":1073741824,"gpus":[]}}'

@test "bad requests are answered with code, field and sentence, and change nothing" {
	local before
	before=$(call GET /v1/environments | jq -c .items)
	expect POST /v1/environments '' 400 malformed ''
	expect POST /v1/environments '{' 400 malformed ''
	expect POST /v1/environments '[]' 400 invalid ''
	expect POST /v1/environments '{}' 400 missing name
	expect POST /v1/environments "$(environment a ',"bogus":1')" 400 unknown_field bogus
	expect POST /v1/environments "$(environment A)" 400 invalid name
	expect POST /v1/environments "$(environment a ',"gpu":"many"')" 400 invalid gpu
	expect POST /v1/environments "$(environment a ',"gpu":65')" 400 out_of_range gpu
	expect POST /v1/environments "$(environment a ',"services":[{"name":"ssh","port":0}]')" 400 out_of_range 'services[0].port'
	expect POST /v1/environments "$(environment a ',"services":[{"name":"ssh","port":65536}]')" 400 out_of_range 'services[0].port'
	expect POST /v1/environments "$(environment a ',"services":[{"name":"a","port":1},{"name":"a","port":2}]')" 400 invalid 'services[1].name'
	expect POST /v1/environments "$(environment a ',"services":[{"name":"a","port":1,"external_port":30009}]')" 400 out_of_range 'services[0].external_port'
	expect POST /v1/environments "$(environment a ',"ssh_authorized_keys":["no key"]')" 400 invalid 'ssh_authorized_keys[0]'
	expect POST /v1/environments "$(environment a ',"env":{"1A":"x"}')" 400 invalid 'env.1A'
	expect POST /v1/environments "$(environment a ',"volumes":{"code":"cloud"}')" 400 invalid 'volumes.code'
	expect POST /v1/environments "$(environment a ',"policy":"best"')" 400 invalid policy
	expect GET '/v1/environments?watch=2' '' 400 invalid watch
	expect GET '/v1/environments?colour=2' '' 400 unknown_field colour
	expect GET '/v1/environments?limit=0' '' 400 out_of_range limit
	expect GET '/v1/environments?limit=1001' '' 400 out_of_range limit
	expect GET '/v1/environments?limit=many' '' 400 out_of_range limit
	expect GET '/v1/environments?revision=1' '' 400 invalid revision
	expect GET '/v1/environments?watch=1&revision=x' '' 400 invalid revision
	expect GET '/v1/environments?watch=1&limit=1' '' 400 invalid limit
	expect GET '/v1/environments/none?limit=1' '' 400 unknown_field limit
	expect POST '/v1/environments?dry=1' "$(environment a)" 400 unknown_field dry
	expect DELETE '/v1/environments/none?force' '' 400 unknown_field force
	expect GET '/v1/ports?address=x' '' 400 unknown_field address
	expect GET '/v1/hosts?watch=2' '' 400 invalid watch
	expect GET '/v1/hosts/h1/desired' '' 400 missing watch
	expect POST '/v1/hosts/h1/status?x=1' '{}' 400 unknown_field x
	expect GET /v1/environments/none '' 404 not_found ''
	expect DELETE /v1/environments/none '' 404 not_found ''
	expect PUT /v1/environments '{}' 405 method_not_allowed ''
	expect GET /v2 '' 404 not_found ''
	expect POST /v1/hosts '{"name":"h"}' 400 missing address
	expect POST /v1/gateways '{"name":"g","addresses":["224.0.0.1"],"version":"1"}' 400 invalid 'addresses[0]'
	[ "$(call GET /v1/environments | jq -c .items)" = "$before" ]
}

@test "actions say what they need, and change nothing where they cannot" {
	local before
	expect POST /v1/environments/none:start '' 404 not_found ''
	expect POST /v1/hosts/none:drain '' 404 not_found ''
	expect POST /v1/environments "$(environment a ',"expires_at":"soon"')" 400 invalid expires_at
	expect POST /v1/environments "$(environment a ',"expires_at":"2001-01-01T00:00:00Z"')" 400 out_of_range expires_at
	expect POST /v1/environments "$(environment a ',"on_expiry":"explode"')" 400 invalid on_expiry
	call POST /v1/environments -f -d "$(environment acts ',"services":[]')" >/dev/null
	before=$(call GET /v1/environments/acts)
	expect POST /v1/environments/acts:start '{"now":1}' 400 unknown_field now
	expect POST '/v1/environments/acts:stop?force=1' '' 400 unknown_field force
	expect POST /v1/environments/acts:move '' 409 conflict volumes
	expect POST /v1/environments/acts:move '{"host":7}' 400 invalid host
	expect POST /v1/environments/acts:move '{"host":"none"}' 404 not_found host
	expect POST /v1/environments/acts:extend '' 400 missing seconds
	expect POST /v1/environments/acts:extend '{"seconds":0}' 400 out_of_range seconds
	expect POST /v1/environments/acts:extend '{"seconds":60,"expires_at":null}' 400 invalid seconds
	expect POST /v1/environments/acts:extend '{"expires_at":"2001-01-01T00:00:00Z"}' 400 out_of_range expires_at
	[ "$(call GET /v1/environments/acts)" = "$before" ]
	# Stopped without a host, started into the queue again.
	call POST /v1/environments/acts:stop -f >/dev/null
	[ "$(call GET /v1/environments/acts | jq -r '[.phase, .power] | join(" ")')" = 'stopped off' ]
	expect POST /v1/environments/acts:restart '' 409 conflict ''
	call POST /v1/environments/acts:start -f >/dev/null
	[ "$(call GET /v1/environments/acts | jq -r .phase)" = pending ]
	call POST /v1/environments/acts:extend -f -d '{"seconds":3600}' | jq -e '.expires_at > "2026"'
	call POST /v1/environments/acts:extend -f -d '{"expires_at":null}' | jq -e '.expires_at == null'
	call DELETE /v1/environments/acts -f >/dev/null
	expect POST /v1/environments/acts:start '' 404 not_found ''
}

@test "a body over the limit is refused while it comes, or before" {
	head -c 5000000 /dev/zero | tr '\0' a >"$lab_dir/big"
	run call POST /v1/environments --data-binary "@$lab_dir/big" -w '\n%{http_code}'
	[[ $output == *'"too_large"'*413 ]]
	# before it comes, where the client says how long it is and waits to be asked for it
	run call POST /v1/environments -H 'Expect: 100-continue' --data-binary "@$lab_dir/big" -D - -w '\n%{http_code} %{size_upload}'
	[[ $output == *'the body of 5000000 bytes is larger than 4194304 bytes'*'413 0' && $output != *'HTTP/1.1 100'* ]]
	# without a length, and far over it
	run bash -c "yes | head -c 30000000 | curl -s --unix-socket '$lab_dir/schedd.sock' http://localhost/v1/environments \
		-H 'Transfer-Encoding: chunked' --data-binary @- -w '\n%{http_code}'"
	[[ $output == *'"too_large"'*413 ]]
	call GET /healthz -f
}

@test "without a host: in the queue with the reason, or refused" {
	run call POST /v1/environments -d "$(environment a ',"queue":false')" -w '\n%{http_code}'
	[[ $output == *'"no_capacity"'*409 ]]
	run call POST /v1/environments -d "$(environment a)"
	[ "$(jq -r .phase <<<"$output")" = pending ]
	[ "$(jq -r '.password | length' <<<"$output")" = 20 ]
	[ "$(call GET /v1/environments/a | jq -r 'has("password")')" = false ]
	expect POST /v1/environments "$(environment a)" 409 conflict name
}

@test "a port is asked for by number once" {
	call POST /v1/environments -f -d "$(environment b ',"services":[{"name":"ssh","port":22,"external_port":30003}]')" >/dev/null
	[ "$(call GET /v1/environments/b | jq '.ports[0].port')" = 30003 ]
	expect POST /v1/environments "$(environment c ',"services":[{"name":"ssh","port":22,"external_port":30003}]')" 409 conflict 'services[0].external_port'
}

@test "when no port is free nothing is half made" {
	call POST /v1/environments -f -d "$(environment c)" >/dev/null
	expect POST /v1/environments "$(environment d)" 409 no_ports services
	expect GET /v1/environments/d '' 404 not_found ''
	[ "$(call GET /v1/ports | jq '.items | length')" = 3 ]
}

@test "what was answered is there after a kill" {
	local before
	before=$(call GET /v1/environments | jq -S '.items | sort_by(.id)')
	lab_stop schedd KILL
	start
	[ "$(call GET /v1/environments | jq -S '.items | sort_by(.id)')" = "$before" ]
}

@test "a follower registers, and its reports are fenced by the epoch" {
	local epoch
	expect GET '/v1/hosts/h1/desired?watch=1' '' 404 not_found ''
	epoch=$(call POST /v1/hosts -f -d "$host" | jq .epoch)
	[ "$epoch" -ge 2 ]
	[ "$(call GET /v1/hosts/h1 | jq -r .status)" = online ]
	local report='"revision":0,"capacity":{"cpu_milli":1000,"memory_bytes":1073741824,"gpus":[]},"containers":[]'
	call POST /v1/hosts/h1/status -f -d "{\"epoch\":$epoch,$report}"
	expect POST /v1/hosts/h1/status "{\"epoch\":$((epoch - 1)),$report}" 409 stale_epoch epoch
	expect POST /v1/hosts/h1/status "{\"epoch\":$epoch,$report,\"more\":1}" 400 unknown_field more
	expect POST /v1/hosts/h2/status "{\"epoch\":$epoch,$report}" 404 not_found host
}

@test "the stream: a snapshot with the assignments, then changes and bookmarks" {
	lab_wait 20 placed
	timeout 60 curl -sN --unix-socket "$lab_dir/schedd.sock" 'http://localhost/v1/hosts/h1/desired?watch=1' >"$lab_dir/stream" &
	local watcher=$!
	lab_wait 20 grep -q '"synced"' "$lab_dir/stream"
	call DELETE /v1/environments/a -f >/dev/null
	lab_wait 20 eval 'sed "1,/\"change\"/d" "$lab_dir/stream" | grep -q "\"type\":\"bookmark\""'
	kill "$watcher"
	wait "$watcher" || true
	[ "$(head -n 1 "$lab_dir/stream" | jq -r .type)" = snapshot ]
	[ "$(grep -c '"type":"item"' "$lab_dir/stream")" = 3 ]
	[ "$(jq -r 'select(.type == "item") | .item | has("ssh_host_key") and has("password_hash")' "$lab_dir/stream" | sort -u)" = true ]
	[ "$(jq -r 'select(.type == "change") | .delete[].environment' "$lab_dir/stream")" = "$(call GET /v1/environments/a | jq -r .id)" ]
}

placed() {
	[ "$(call GET /v1/environments | jq '[.items[] | select(.host == "h1")] | length')" = 3 ]
}

@test "a gateway has its mapping once the service answers, and the port is published once the gateway has it" {
	local epoch id address revision report
	epoch=$(call POST /v1/gateways -f -d '{"name":"g1","addresses":["'"$lab_public"'"],"version":"1"}' | jq .epoch)
	id=$(call GET /v1/environments/c | jq -r .id)
	address=$(call GET /v1/environments/c | jq '.ports[0].port')
	revision=$(call GET /v1/environments/c | jq .revision)
	report='{"epoch":'$epoch',"revision":'$revision',"capacity":{"cpu_milli":1000,"memory_bytes":1073741824,"gpus":[]},
		"containers":[{"environment":"'$id'","revision":'$revision',"state":"ready",
		"services":[{"service":"ssh","protocol":"tcp","address":"10.0.0.1","port":41000}]}]}'
	call POST /v1/hosts/h1/status -f -d "$report" >/dev/null
	lab_wait 20 mapped "$address"
	[ "$(call GET /v1/environments/c | jq -r '[.phase, .stage] | join(" ")')" = 'creating publishing' ]
	[[ $(call GET /v1/environments/c | jq -r .reason) == *g1* ]]
	revision=$(call GET /v1/gateways/g1 | jq .desired_revision)
	call POST /v1/gateways/g1/status -f -d "{\"epoch\":$epoch,\"revision\":$revision,\"mappings\":1,\"failed\":[]}" >/dev/null
	lab_wait 20 is_running c
	[ "$(call GET /v1/environments/c | jq -r '.ports[0].state')" = published ]
	[ "$(call GET /v1/gateways/g1 | jq '[.mappings, .revision]' -c)" = "[1,$revision]" ]
	expect POST /v1/gateways/g1/status "{\"epoch\":$((epoch - 1)),\"revision\":0,\"mappings\":0,\"failed\":[]}" 409 stale_epoch epoch
	expect POST /v1/gateways/g2/status "{\"epoch\":$epoch,\"revision\":0,\"mappings\":0,\"failed\":[]}" 404 not_found gateway
}

# A gateway that looks now finds the port with the host's endpoint.
mapped() {
	timeout 1 curl -sN --unix-socket "$lab_dir/schedd.sock" 'http://localhost/v1/gateways/g1/desired?watch=1' >"$lab_dir/mappings"
	[ "$(jq -c 'select(.type == "item") | .item | [.port, .target.address, .target.port]' "$lab_dir/mappings")" = "[$1,\"10.0.0.1\",41000]" ]
}

is_running() {
	[ "$(call GET "/v1/environments/$1" | jq -r .phase)" = running ]
}

matches() { # SCHEMA: what comes in
	tests/helpers/check-answer proto/openapi.yaml "$1"
}

@test "answers are as the API's description says" {
	python3 -c 'import jsonschema, yaml' 2>/dev/null || skip "python3-jsonschema or python3-yaml is not installed"
	local kind
	for kind in environments hosts gateways ports; do
		[ "$(call GET "/v1/$kind" | jq '.items | length')" -gt 0 ]
		call GET "/v1/$kind" | matches "${kind^}"
	done
	environment x ',"gpu":1' | matches EnvironmentRequest
	run ! matches EnvironmentRequest <<<"$(environment x ',"bogus":1')"
	call GET /v1/environments/none | matches Error
	call POST /v1/hosts -d "$host" | matches Registered
	matches HostRegistration <<<"$host"
}

@test "a watcher of one environment sees its end" {
	local watcher
	timeout 60 curl -sN --unix-socket "$lab_dir/schedd.sock" 'http://localhost/v1/environments/b?watch=1' >"$lab_dir/one" &
	watcher=$!
	lab_wait 20 grep -q '"synced"' "$lab_dir/one"
	call DELETE /v1/environments/b -f >/dev/null
	lab_wait 10 grep -q '"phase":"deleting"' "$lab_dir/one"
	kill "$watcher"
	wait "$watcher" || true
	[ "$(jq -r 'select(.type == "item") | .item.name' "$lab_dir/one")" = b ]
	run ! grep -qE 'PRIVATE KEY|password' "$lab_dir/one"
}

@test "without the database: writes are refused with the reason, reads go on, and it comes back by itself" {
	local before pid
	pid=$(lab_pid schedd)
	before=$(call GET /v1/environments | jq -S '.items | map(del(.phase, .stage, .reason, .revision))')
	lab_stop postgres INT
	lab_wait 10 refused
	expect GET /readyz '' 503 unavailable ''
	[[ $(call GET /readyz | jq -r .message) == *database* ]]
	call GET /healthz -f
	[ "$(call GET /v1/environments | jq -S '.items | map(del(.phase, .stage, .reason, .revision))')" = "$before" ]
	expect POST /v1/environments "$(environment e)" 503 unavailable ''
	expect DELETE /v1/environments/c '' 503 unavailable ''
	expect GET /v1/environments/e '' 404 not_found ''
	lab_postgres_start
	lab_wait 20 call GET /readyz -f
	[ "$(lab_pid schedd)" = "$pid" ]
	expect GET /v1/environments/e '' 404 not_found ''
	[ "$(call GET /v1/environments | jq -S '.items | map(del(.phase, .stage, .reason, .revision))')" = "$before" ]
}

# With the database gone a request is refused, and not left waiting.
refused() {
	[ "$(call GET /readyz -o /dev/null -w '%{http_code}')" = 503 ]
}

@test "secrets are in no answer and in no log" {
	run call GET /v1/environments
	[[ $output != *'PRIVATE KEY'* && $output != *'$y$'* ]]
	run cat "$lab_dir/log/schedd"
	[[ $output != *'PRIVATE KEY'* && $output != *'$y$'* ]]
}

@test "metrics are Prometheus text" {
	run call GET /metrics
	[[ $output == *$'\n# TYPE portico_sched_environments gauge\n'* ]]
	[[ $output == *$'\nportico_sched_hosts{status="online"} 1\n'* ]]
	[[ $output == *$'\nportico_sched_ready 1\n'* ]]
}

@test "the folder of the socket is made where it is missing" {
	lab_start alone - "$BUILD_DIR/schedd/schedd" --database "host=$lab_dir/nowhere" --listen "" \
		--socket "$lab_dir/run/portico/schedd.sock" --port-addresses "$lab_public"
	lab_wait 10 curl -sf --unix-socket "$lab_dir/run/portico/schedd.sock" http://localhost/healthz
	[ "$(stat -c %a "$lab_dir/run/portico")" = 755 ]
	lab_stop alone
}

@test "wrong options say which and why" {
	run "$BUILD_DIR/schedd/schedd" --port-range 40000-30000 --port-addresses 203.0.113.10
	[ "$status" -eq 1 ]
	[[ $output == *port-range*40000-30000* ]]
	run "$BUILD_DIR/schedd/schedd" --listen 10.0.0.1:8000 --tls --insecure --port-addresses 203.0.113.10
	[ "$status" -eq 1 ]
	[[ $output == *"insecure"*"plain HTTP"* ]]
	run "$BUILD_DIR/schedd/schedd" --database 'host=/x password=secret' --port-addresses 203.0.113.10
	[ "$status" -eq 1 ]
	[[ $output == *"password does not belong here"* && $output != *secret* ]]
	run "$BUILD_DIR/schedd/schedd" --check --database "$lab_database" --port-addresses 203.0.113.10
	[ "$status" -eq 0 ]
	run "$BUILD_DIR/schedd/schedd" --check --database "host=$lab_dir/nowhere" --port-addresses 203.0.113.10
	[ "$status" -eq 1 ]
	[[ $output == *"start PostgreSQL"* ]]
}

@test "nothing is wrong with the daemon, to the end" {
	lab_stop schedd
	run ! grep -E 'ERROR: (Address|Leak)Sanitizer|runtime error:' "$lab_dir/log/schedd"
}
