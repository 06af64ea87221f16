#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck disable=SC2317,SC2154,SC2119,SC2034 # bats calls the tests; variables come from the lab
# Secrets are replaced while everything runs: schedd's certificate and key by SIGHUP, also where a standby passes
# requests on to it over HTTPS; the tokens of gatewayd and agentd in their files; a customer's.

bats_require_minimum_version 1.5.0
load fleet

setup_file() {
	fleet_load
	lab_init
	lab_network
	lab_postgres
	certificate first
	install -m 600 "$lab_dir/first.key" "$lab_dir/own.key"
	cp "$lab_dir/first.crt" "$lab_dir/own.crt"
	cp "$lab_dir/first.crt" "$lab_dir/both.crt"
	lab_ca=$lab_dir/both.crt
	lab_schedd --tls-certificate "$lab_dir/own.crt" --tls-key "$lab_dir/own.key" --offline-after 4s
}

teardown_file() {
	lab_down
}

setup() {
	fleet_load
	lab_ca=$lab_dir/both.crt # everything that was ever valid
}

teardown() {
	[ -n "${BATS_TEST_COMPLETED:-}" ] || tail -n 10 "$lab_dir"/log/{schedd,standby,gatewayd,agentd-host1} || true
}

certificate() { # NAME
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 -subj "/CN=$1" \
		-addext subjectAltName=IP:10.0.0.1 -keyout "$lab_dir/$1.key" -out "$lab_dir/$1.crt" 2>/dev/null
}

# Puts a new certificate, and its key, where schedd reads its own.
replace() { # NAME
	certificate "$1"
	cat "$lab_dir/$1.crt" >>"$lab_dir/both.crt"
	cp "$lab_dir/$1.crt" "$lab_dir/own.crt"
	install -m 600 "$lab_dir/$1.key" "$lab_dir/own.key"
}

serves() { # NAME: its certificate is what a client is shown
	lab_exec gateway openssl s_client -connect 10.0.0.1:8000 </dev/null 2>/dev/null | openssl x509 -noout -subject |
		grep -qx "subject=CN = $1"
}

hangup() { # LINE that schedd logs then
	local before
	before=$(grep -c "$1" "$lab_dir/log/schedd" || true)
	kill -HUP "$(lab_pid schedd)"
	lab_wait 10 eval "[ \"\$(grep -c '$1' '$lab_dir/log/schedd')\" -gt $before ]"
}

@test "SIGHUP reads certificate and key again, and what was connected stays so" {
	local pid watch
	pid=$(lab_pid schedd)
	serves first
	lab_curl -sN --max-time 60 '/v1/environments?watch=1' >"$lab_dir/stream" 3>&- &
	watch=$!
	lab_wait 20 grep -q '"synced"' "$lab_dir/stream"
	replace second
	serves first
	hangup 'the certificate was read again pin='
	serves second
	[ "$(lab_pid schedd)" = "$pid" ]
	lab_curl -sf -o /dev/null -d '{"name":"seen","image":"x","cpu_milli":1000,"memory_bytes":16777216}' /v1/environments
	lab_wait 20 grep -q '"change".*seen' "$lab_dir/stream"
	kill "$watch"
	wait "$watch" || true
}

@test "a certificate that cannot be used leaves the one before, and says why" {
	certificate third
	# the key of another
	cp "$lab_dir/third.crt" "$lab_dir/own.crt"
	hangup 'the certificate of before stays in use: .*own.key is not the key of .*own.crt'
	serves second
	# none at all
	echo nonsense >"$lab_dir/own.crt"
	hangup 'the certificate of before stays in use: .*own.crt is no certificate in PEM'
	serves second
	# a key that everybody may read
	cp "$lab_dir/second.crt" "$lab_dir/own.crt"
	chmod 644 "$lab_dir/own.key"
	hangup 'the certificate of before stays in use: .*own.key is a private key and has mode 644'
	serves second
	chmod 600 "$lab_dir/own.key"
	hangup 'the certificate was read again pin='
	lab_curl -sf -o /dev/null /v1/hosts
}

standby_start() {
	lab_start standby gateway "$BUILD_DIR/schedd/schedd" --database "$lab_database" --listen 10.0.0.1:8001 \
		--state-directory "$lab_dir/standby" --socket "$lab_dir/standby.sock" --port-addresses "$lab_public" \
		--port-range 30001-30999
	lab_wait 20 is_standby
}

is_standby() {
	lab_exec gateway curl -sf --unix-socket "$lab_dir/standby.sock" 'http://localhost/readyz?standby=1'
}

# As the admin, through the standby: its answer and its status.
through_standby() { # PATH [CURL-OPTION...]
	local path=$1
	shift
	lab_exec gateway curl -s -w ' %{http_code}' --cacert "$lab_dir/standby/tls.crt" "https://10.0.0.1:8001$path" "$@" \
		-H @<(printf 'Authorization: Bearer %s\n' "$(cat "$lab_dir/tokens/admin")")
}

passes_on() { # NAME
	[[ $(through_standby /v1/customers -d "{\"name\":\"$1\"}") == *' 201' ]]
}

@test "a standby passes requests on over HTTPS to the one whose key is in the database, and to nobody else" {
	local address
	standby_start
	# Nobody on the way signs this certificate for it: the pin is what it believes.
	passes_on by-standby
	lab_curl -sf -o /dev/null /v1/customers/by-standby
	address=$(fleet_sql "SELECT address FROM leader")
	[[ $address == https://10.0.0.1:8000#sha256//* ]]
	# What the request needs goes with it, and what it says comes back.
	run through_standby /v1/customers -d '{"name":"once"}' -H 'Idempotency-Key: one'
	[[ $output == *' 201' ]]
	run through_standby /v1/customers -d '{"name":"once"}' -H 'Idempotency-Key: one' -D -
	[[ $output == *'Idempotency-Replayed: true'*' 201' ]]
	# Somebody else at the leader's address.
	lab_stop standby
	fleet_sql "UPDATE leader SET address = 'https://10.0.0.1:8000#sha256//AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA='"
	standby_start
	run through_standby /v1/customers -d '{"name":"stolen"}'
	[[ $output == *'"unavailable"'*'cannot be reached'*' 503' ]]
	[ "$(lab_curl -s -o /dev/null -w '%{http_code}' /v1/customers/stolen)" = 404 ]
	fleet_sql "UPDATE leader SET address = '$address'"
	lab_wait 10 passes_on after-all
}

@test "a leader's new key reaches its standbys" {
	local before
	before=$(fleet_sql "SELECT address FROM leader")
	replace fourth
	hangup 'the certificate was read again pin='
	lab_wait 10 eval "[ \"\$(fleet_sql 'SELECT address FROM leader')\" != '$before' ]"
	lab_wait 10 passes_on newer-key
	# A new connection, which has only the new key to hold against its pin.
	lab_stop standby
	standby_start
	passes_on newest-key
	lab_stop standby
}

online() { # COLLECTION NAME
	[ "$(lab_curl -s "/v1/$1/$2" | jq -r .status)" = online ]
}

used() { # TOKEN
	[ "$(lab_curl -s "/v1/tokens/$1" | jq -r '.last_used_at // ""')" != "" ]
}

# A follower's token is replaced in its file, then revoked: it goes on, in the same process.
rotate() { # PROCESS ROLE NAME COLLECTION
	local pid
	pid=$(lab_pid "$1")
	lab_schedctl token create "$3-new" --role "$2" --subject "$3" --save "$lab_dir/tokens/$3-new"
	mv "$lab_dir/tokens/$3-new" "$lab_dir/tokens/$3"
	lab_schedctl token revoke "$3"
	lab_wait 20 used "$3-new"
	lab_wait 20 online "$4" "$3"
	[ "$(lab_pid "$1")" = "$pid" ]
}

@test "gatewayd goes on with the token that took the place of a revoked one" {
	lab_gatewayd --heartbeat 1s
	lab_wait 20 online gateways gw1
	rotate gatewayd gateway gw1 gateways
}

@test "agentd goes on with the token that took the place of a revoked one" {
	lab_agentd host1 10.0.1.2 --heartbeat 1s --cpu-milli 1000 --memory-bytes 1073741824
	lab_wait 20 online hosts host1
	rotate agentd-host1 host host1 hosts
}

@test "a token that was revoked before it was replaced is looked for until it is there" {
	local pid
	pid=$(lab_pid gatewayd)
	mv "$lab_dir/tokens/gw1" "$lab_dir/tokens/gw1-away"
	lab_schedctl token revoke gw1-new
	lab_wait 20 grep -q 'status 401.*cannot read .*tokens/gw1' "$lab_dir/log/gatewayd"
	lab_schedctl token create gw1-third --role gateway --subject gw1 --save "$lab_dir/tokens/gw1"
	lab_wait 30 used gw1-third
	lab_wait 20 online gateways gw1
	[ "$(lab_pid gatewayd)" = "$pid" ]
}

@test "a customer's token is replaced: two are valid until the old one is revoked" {
	lab_schedctl customer create carol
	lab_schedctl token create carol-old --role customer --subject carol --save "$lab_dir/tokens/carol-old"
	lab_schedctl token create carol-new --role customer --subject carol --save "$lab_dir/tokens/carol-new"
	TOKEN=carol-old lab_curl -sf -o /dev/null /v1/environments
	TOKEN=carol-new lab_curl -sf -o /dev/null /v1/environments
	lab_schedctl token revoke carol-old
	[ "$(TOKEN=carol-old lab_curl -s -o /dev/null -w '%{http_code}' /v1/environments)" = 401 ]
	TOKEN=carol-new lab_curl -sf -o /dev/null /v1/environments
}

@test "nothing is wrong with the daemons, to the end" {
	lab_stop schedd
	lab_stop gatewayd
	lab_stop agentd-host1
	run ! grep -E 'ERROR: (Address|Leak)Sanitizer|runtime error:' "$lab_dir"/log/{schedd,standby,gatewayd,agentd-host1}
}
