#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck disable=SC2317,SC2154,SC2119,SC2016 # bats calls the tests; variables come from the lab
# Who may do what: the first token, tokens of all roles, every route with every role, what a customer sees of
# others, revocation and expiry.

bats_require_minimum_version 1.5.0
load fleet

setup_file() {
	fleet_load
	lab_init
	lab_postgres
	lab_bootstrap
	start
	local role
	for role in alice bob; do
		ctl customer create "$role"
	done
	# What the table of routes is tried with.
	mkdir "$lab_dir/roles"
	ctl token create ops --role admin --save "$lab_dir/roles/admin"
	ctl token create alice --role customer --subject alice --save "$lab_dir/roles/customer"
	ctl token create h1 --role host --subject h1 --save "$lab_dir/roles/host"
	ctl token create g1 --role gateway --subject g1 --save "$lab_dir/roles/gateway"
	ctl token create bob --role customer --subject bob --save "$lab_dir/roles/bob"
}

teardown_file() {
	lab_down
}

setup() {
	fleet_load
	need_yaml() {
		python3 -c 'import yaml' 2>/dev/null || skip "python3-yaml is not installed"
	}
}

start() {
	lab_start schedd - "$BUILD_DIR/schedd/schedd" --database "$lab_database" --listen "" \
		--socket "$lab_dir/schedd.sock" --port-addresses "$lab_public" --port-range 30001-30099 --images 'x,team/*'
	lab_wait 20 curl -sf --unix-socket "$lab_dir/schedd.sock" http://localhost/readyz
}

ctl() {
	"$BUILD_DIR/schedctl/schedctl" --server "unix:$lab_dir/schedd.sock" "$@"
}

# as ROLE METHOD PATH [CURL-OPTION...]: with its token.
as() {
	local role=$1 method=$2 path=$3
	shift 3
	curl -s -X "$method" --unix-socket "$lab_dir/schedd.sock" "http://localhost$path" \
		-H @<(printf 'Authorization: Bearer %s\n' "$(cat "$lab_dir/roles/$role")") "$@"
}

status_as() {
	as "$@" -o /dev/null -w '%{http_code}'
}

environment() { # NAME [MORE]
	echo "{\"name\":\"$1\",\"image\":\"x\",\"cpu_milli\":100,\"memory_bytes\":16777216${2:-}}"
}

@test "the first token: into a file of its owner, not twice, never over another file" {
	local bootstrap=("$BUILD_DIR/schedd/schedd" --bootstrap --database "$lab_database" --port-addresses "$lab_public")
	[ "$(stat -c %a "$lab_dir/tokens/admin")" = 600 ]
	grep -qE '^portico_tok-[a-z0-9]{16}_[a-z0-9]{52}$' "$lab_dir/tokens/admin"
	# beside a running schedd there is another way
	run "${bootstrap[@]}" --bootstrap-file "$lab_dir/second"
	[ "$status" -eq 1 ]
	[[ $output == *'schedctl --server unix:'* ]]
	[ ! -e "$lab_dir/second" ]
	lab_stop schedd
	local before
	before=$(cat "$lab_dir/tokens/admin")
	run "${bootstrap[@]}" --bootstrap-file "$lab_dir/tokens/admin"
	[ "$status" -eq 0 ]
	[[ $output == *'already'* && $output != *"$before"* ]]
	[ "$(cat "$lab_dir/tokens/admin")" = "$before" ]
	run "${bootstrap[@]}" --bootstrap-file "$lab_dir/second"
	[ "$status" -eq 1 ]
	[ ! -e "$lab_dir/second" ]
	echo something >"$lab_dir/other"
	run "${bootstrap[@]}" --bootstrap-file "$lab_dir/other"
	[ "$status" -eq 1 ]
	[ "$(cat "$lab_dir/other")" = something ]
	run "${bootstrap[@]}" --bootstrap-file "$lab_dir/nowhere/token"
	[ "$status" -eq 1 ]
	start
}

@test "every route with every role" {
	need_yaml
	as customer POST /v1/environments -f -d "$(environment mine)" >/dev/null
	as bob POST /v1/environments -f -d "$(environment theirs)" >/dev/null
	ask() { as "$1" POST "/v1/$2" -f -d "$3" >/dev/null; }
	ask admin hosts '{"name":"h1","address":"10.0.0.1","pool":"default","version":"1","capacity":{"cpu_milli":100,"memory_bytes":1,"gpus":[]}}'
	ask admin hosts '{"name":"h2","address":"10.0.0.2","pool":"default","version":"1","capacity":{"cpu_milli":100,"memory_bytes":1,"gpus":[]}}'
	ask gateway gateways '{"name":"g1","addresses":["203.0.113.10"],"version":"1"}'
	ask admin gateways '{"name":"g2","addresses":["203.0.113.11"],"version":"1"}'
	run tests/helpers/access-table "$lab_dir/schedd.sock" proto/openapi.yaml docs/schedd.md "$lab_dir/roles" \
		'mine h1 g1 alice' "$(as bob GET /v1/environments | jq -r '.items[0].id') h2 g2 bob"
	echo "$output"
	[ "$status" -eq 0 ]
	lab_stop schedd # it has seen enough wrong tokens to slow down
	start
}

@test "a follower registers itself and nobody else" {
	run as host POST /v1/hosts -w ' %{http_code}' -d '{"name":"h2","address":"10.0.0.2","pool":"default","version":"1",
		"capacity":{"cpu_milli":100,"memory_bytes":1,"gpus":[]}}'
	[[ $output == *'"forbidden"'*'h1'*' 403' ]]
	run as gateway POST /v1/gateways -w ' %{http_code}' -d '{"name":"g2","addresses":["203.0.113.11"],"version":"1"}'
	[[ $output == *'"forbidden"'*' 403' ]]
}

@test "a customer sees and names its own alone" {
	[ "$(as customer GET /v1/environments | jq -c '[.items[] | [.name, .customer]]')" = '[["mine","alice"]]' ]
	[ "$(as bob GET /v1/environments | jq -c '[.items[].name]')" = '["theirs"]' ]
	[ "$(as customer GET /v1/ports | jq '.items | length')" = 1 ]
	[ "$(as customer GET /v1/customers | jq -c '[.items[].id]')" = '["alice"]' ]
	[ "$(status_as customer GET /v1/environments/theirs)" = 404 ]
	# the same name is another environment
	[ "$(status_as customer POST /v1/environments -d "$(environment theirs)")" = 201 ]
	[ "$(as customer GET /v1/environments/theirs | jq -r .customer)" = alice ]
	[ "$(as bob GET /v1/environments/theirs | jq -r .customer)" = bob ]
	run as admin GET /v1/environments/theirs
	[[ $output == *'"ambiguous"'*'id'* ]]
	run as customer POST /v1/environments -w ' %{http_code}' -d "$(environment more ',"customer":"bob"')"
	[[ $output == *'"forbidden"'*'"field":"customer"'*' 403' ]]
	run as admin POST /v1/environments -w ' %{http_code}' -d "$(environment more ',"customer":"carol"')"
	[[ $output == *'"invalid"'*carol*' 400' ]]
	[ "$(status_as admin POST /v1/environments -d "$(environment given ',"customer":"bob"')")" = 201 ]
	[ "$(status_as bob GET /v1/environments/given)" = 200 ]
	[ "$(status_as admin POST /v1/environments -d "$(environment free)")" = 201 ]
	[ "$(as admin GET /v1/environments/free | jq -r .customer)" = null ]
	[ "$(status_as bob GET /v1/environments/free)" = 404 ]
}

@test "a customer may not have every image and variable, an admin may" {
	local field
	refused() { # FIELD MORE
		run as customer POST /v1/environments -w ' %{http_code}' -d "$(environment tight "$2")"
		[[ $output == *'"forbidden"'*"\"field\":\"$1\""*' 403' ]] || { echo "$output"; return 1; }
	}
	refused env.LD_PRELOAD ',"env":{"LD_PRELOAD":"./x.so"}'
	refused env.NVIDIA_VISIBLE_DEVICES ',"env":{"NVIDIA_VISIBLE_DEVICES":"all"}'
	run as customer POST /v1/environments -w ' %{http_code}' -d '{"name":"tight","image":"other/x","cpu_milli":100,"memory_bytes":16777216}'
	[[ $output == *'"forbidden"'*'"field":"image"'*' 403' ]]
	# there is no way to name a path of the host
	for field in ',"mounts":["/etc"]' ',"binds":["/:/host"]' ',"volumes":{"code":"/etc"}' ',"volumes":{"../etc":"local"}' \
		',"devices":["/dev/mem"]' ',"privileged":true'; do
		[ "$(status_as customer POST /v1/environments -d "$(environment tight "$field")")" = 400 ]
		[ "$(status_as admin POST /v1/environments -d "$(environment tight "$field")")" = 400 ]
	done
	[ "$(status_as admin POST /v1/environments -d '{"name":"loose","image":"other/x","cpu_milli":100,"memory_bytes":16777216,"env":{"LD_PRELOAD":"x"}}')" = 201 ]
	as admin DELETE /v1/environments/loose -f >/dev/null
	[ "$(status_as customer POST /v1/environments -d '{"name":"team","image":"team/x","cpu_milli":100,"memory_bytes":16777216,"env":{"A":"x"}}')" = 201 ]
	as customer DELETE /v1/environments/team -f >/dev/null
}

@test "a password is shown once and kept as its hash" {
	local password dump
	password=$(as customer POST /v1/environments -f -d "$(environment secret)" | jq -r .password)
	[ "${#password}" -eq 20 ]
	dump=$(lab_as_postgres "$lab_postgres_bin/pg_dump" -h "$lab_dir/postgres" -U portico portico)
	[[ $dump == *'$y$'* ]]
	run ! grep -qF "$password" <<<"$dump"
	run ! grep -rqF "$password" "$lab_dir/log"
	run ! grep -qF "$password" <<<"$(as customer GET /v1/environments/secret)"
	as customer DELETE /v1/environments/secret -f >/dev/null
}

@test "a customer's stream has its own alone" {
	timeout 60 curl -sN --unix-socket "$lab_dir/schedd.sock" 'http://localhost/v1/environments?watch=1' \
		-H @<(printf 'Authorization: Bearer %s\n' "$(cat "$lab_dir/roles/customer")") >"$lab_dir/stream" &
	local watcher=$!
	lab_wait 20 grep -q '"synced"' "$lab_dir/stream"
	as bob DELETE /v1/environments/given -f >/dev/null
	as customer DELETE /v1/environments/theirs -f >/dev/null
	lab_wait 20 grep -qE '"type":"change".*"delete":\[\{"id"' "$lab_dir/stream"
	kill "$watcher"
	wait "$watcher" || true
	[ "$(grep -o '"customer":"[a-z]*"' "$lab_dir/stream" | sort -u)" = '"customer":"alice"' ]
	[ "$(jq -rs '[.[] | .delete[]?.id] | unique | length' "$lab_dir/stream")" = 1 ]
}

@test "a revoked token ends its streams and opens nothing" {
	local watcher
	ctl token create short --role customer --subject alice --save "$lab_dir/roles/short"
	curl -sN --max-time 60 --unix-socket "$lab_dir/schedd.sock" 'http://localhost/v1/environments?watch=1' \
		-H @<(printf 'Authorization: Bearer %s\n' "$(cat "$lab_dir/roles/short")") >"$lab_dir/stream" &
	watcher=$!
	lab_wait 20 grep -q '"synced"' "$lab_dir/stream"
	ctl token revoke short
	wait "$watcher" # its end is no time-out
	run as short GET /v1/environments -w ' %{http_code}'
	[[ $output == *'"unauthenticated"'*' 401' ]]
	run as short GET /v1/environments -D - -o /dev/null
	[[ $output == *'WWW-Authenticate: Bearer'* ]]
	run ! ctl token revoke short
}

@test "an expired token ends its streams and opens nothing" {
	local watcher at
	at=$(date -u -d '+8 seconds' +%Y-%m-%dT%H:%M:%SZ)
	as admin POST /v1/tokens -f -d "{\"name\":\"brief\",\"role\":\"admin\",\"expires_at\":\"$at\"}" | jq -r .token >"$lab_dir/roles/brief"
	curl -sN --max-time 60 --unix-socket "$lab_dir/schedd.sock" 'http://localhost/v1/environments?watch=1' \
		-H @<(printf 'Authorization: Bearer %s\n' "$(cat "$lab_dir/roles/brief")") >"$lab_dir/stream" &
	watcher=$!
	lab_wait 20 grep -q '"synced"' "$lab_dir/stream"
	wait "$watcher"
	run as brief GET /v1/environments -w ' %{http_code}'
	[[ $output == *'expired'*' 401' ]]
	run as admin POST /v1/tokens -w ' %{http_code}' -d '{"name":"late","role":"admin","expires_at":"2020-01-01T00:00:00Z"}'
	[[ $output == *'"expires_at"'*' 400' ]]
}

@test "tokens say what they are for, by name and once" {
	run as admin POST /v1/tokens -w ' %{http_code}' -d '{"name":"ops","role":"admin"}'
	[[ $output == *'"conflict"'*' 409' ]]
	run as admin POST /v1/tokens -w ' %{http_code}' -d '{"name":"x","role":"root"}'
	[[ $output == *'"role"'*' 400' ]]
	run as admin POST /v1/tokens -w ' %{http_code}' -d '{"name":"x","role":"host"}'
	[[ $output == *'"missing"'*'"subject"'*' 400' ]]
	run as admin POST /v1/tokens -w ' %{http_code}' -d '{"name":"x","role":"admin","subject":"y"}'
	[[ $output == *'"subject"'*' 400' ]]
	run as admin POST /v1/tokens -w ' %{http_code}' -d '{"name":"x","role":"customer","subject":"nobody"}'
	[[ $output == *'"subject"'*' 400' ]]
	[ "$(as admin GET /v1/tokens | jq '[.items[] | has("token")] | any')" = false ]
	[ "$(as admin GET /v1/tokens/ops | jq -r '.last_used_at != null')" = true ]
	run ctl token list
	[[ $output == *'alice'*'customer'* ]]
	run --separate-stderr ctl token create shown --role host --subject h9
	[[ $output == portico_tok-* ]]
	run ctl token create again --role host --subject h9 --save "$lab_dir/roles/admin"
	[ "$status" -eq 2 ]
}

@test "when a token was used is written, and not at each use" {
	local before
	used() { lab_as_postgres psql -h "$lab_dir/postgres" -U portico -d portico -Atqc "SELECT last_used_at IS NOT NULL FROM tokens WHERE name = 'ops'"; }
	is_written() { [ "$(used)" = t ]; }
	as admin GET /v1/hosts -f -o /dev/null
	lab_wait 20 is_written
	before=$(as admin GET /v1/tokens/ops | jq .revision) # of its row alone
	for _ in {1..50}; do
		as admin GET /v1/hosts -f -o /dev/null
	done
	[ "$(as admin GET /v1/tokens/ops | jq .revision)" = "$before" ]
}

@test "a customer goes with its tokens, once it has no environment" {
	ctl customer create dave
	ctl token create dave --role customer --subject dave --save "$lab_dir/roles/dave"
	as dave POST /v1/environments -f -d "$(environment last)" >/dev/null
	run ctl customer delete dave
	[ "$status" -eq 4 ]
	[[ $output == *'has environments'* ]]
	as dave DELETE /v1/environments/last -f >/dev/null
	lab_wait 10 ctl customer delete dave
	[ "$(status_as dave GET /v1/environments)" = 401 ]
	run ctl customer delete dave
	[ "$status" -eq 3 ]
	ctl customer create dave
	[ "$(as admin GET /v1/environments | jq '[.items[] | select(.customer == "dave")] | length')" = 0 ]
}

@test "another user of the socket needs a token" {
	chmod 666 "$lab_dir/schedd.sock"
	run setpriv --reuid=65534 --regid=65534 --clear-groups -- curl -s -w ' %{http_code}' \
		--unix-socket "$lab_dir/schedd.sock" http://localhost/v1/environments
	[[ $output == *'only root'*' 401' ]]
	run setpriv --reuid=65534 --regid=65534 --clear-groups -- curl -s -o /dev/null -w '%{http_code}' \
		--unix-socket "$lab_dir/schedd.sock" http://localhost/v1/environments \
		-H @- <<<"Authorization: Bearer $(cat "$lab_dir/roles/bob")"
	[ "$output" = 200 ]
}

@test "without a valid token one is slowed down, and with one not" {
	local wrong
	# Thirty on one connection, as fast as it can.
	for wrong in 'Bearer wrong' 'Basic eA=='; do
		run curl -s -D - --unix-socket "$lab_dir/schedd.sock" 'http://localhost/v1/hosts#[1-30]' -H "Authorization: $wrong"
		[[ $output == *'HTTP/1.1 429'*'Retry-After: '*'authentication_failures'* ]]
	done
	[ "$(status_as admin GET /v1/hosts)" = 200 ]
	run as admin GET /metrics
	[[ $output == *'portico_sched_auth_failures_total{reason="limited"}'* ]]
}

@test "tokens last over a restart, and are nowhere to be read" {
	lab_stop schedd KILL
	start
	[ "$(status_as customer GET /v1/environments)" = 200 ]
	local token
	for token in "$lab_dir"/roles/* "$lab_dir/tokens/admin"; do
		token=$(cut -d_ -f3 "$token")
		run ! grep -rqF "$token" "$lab_dir/log"
		run ! grep -qF "$token" <(lab_as_postgres "$lab_postgres_bin/pg_dump" -h "$lab_dir/postgres" -U portico portico)
	done
}

@test "a token's file that others can read is refused" {
	cp "$lab_dir/roles/admin" "$lab_dir/open-token"
	chmod 644 "$lab_dir/open-token"
	run ctl --token-file "$lab_dir/open-token" env list
	[ "$status" -eq 2 ]
	[[ $output == *'mode 644'*'chmod 600'* ]]
	PORTICO_TOKEN_FILE="$lab_dir/roles/customer" run ctl -o name env list
	[ "$output" = mine ]
	run ctl --token-file "$lab_dir/roles/customer" host list
	[ "$status" -eq 4 ]
	[[ $output == *'customer may not GET /v1/hosts'* ]]
	run ctl --token-file "$lab_dir/roles/short" host list
	[ "$status" -eq 4 ]
	[[ $output == *'--token-file'* ]]
}

@test "nothing is wrong with the daemon, to the end" {
	lab_stop schedd
	run ! grep -E 'ERROR: (Address|Leak)Sanitizer|runtime error:' "$lab_dir/log/schedd"
}
