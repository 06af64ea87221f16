#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck disable=SC2317,SC2154 # bats calls the tests; variables come from the lab
# What schedctl doctor finds, and what it says to do, with each thing really broken: PostgreSQL and gatewayd that are
# stopped, a pool without ports, a port that the gateway needs itself, tokens that open nothing, a clock that is off.

bats_require_minimum_version 1.5.0
load fleet

setup_file() {
	fleet_load
	lab_init
	lab_network
	lab_postgres
	"$BUILD_DIR/schedd/schedd" --bootstrap --bootstrap-file "$lab_dir/tokens/admin" --database "$lab_database" \
		--port-addresses "$lab_public" >>"$lab_dir/log/bootstrap" 2>&1
	TOKEN=$lab_dir/tokens/admin start_schedd
}

start_schedd() {
	lab_start schedd gateway "$BUILD_DIR/schedd/schedd" --database "$lab_database" --listen 127.0.0.1:8000 \
		--socket "$lab_dir/schedd.sock" --port-addresses "$lab_public" --port-range 30001-30003 --offline-after 4s
	lab_wait 30 ctl host list
}

teardown_file() {
	lab_down
}

setup() {
	fleet_load
	SERVER=http://127.0.0.1:8000 TOKEN=$lab_dir/tokens/admin
}

teardown() {
	[ -n "${BATS_TEST_COMPLETED:-}" ] || { echo "$output"; tail -n 10 "$lab_dir"/log/schedd "$lab_dir"/log/gatewayd; }
}

ctl() {
	lab_exec gateway "$BUILD_DIR/schedctl/schedctl" --server "${SERVER:-http://127.0.0.1:8000}" \
		${TOKEN+--token-file "$TOKEN"} "$@"
}

found() { # LEVEL SUBJECT: what was found of it, a line for each, in $output
	jq -r --arg level "$1" --arg subject "$2" '.items[] | select(.level == $level and .subject == $subject) |
		.finding + " -> " + .remedy' <<<"$output"
}

# doctor LEVEL SUBJECT FINDING REMEDY: it finds that, in both forms, and its status says whether there is something to mend.
doctor() {
	local text errors
	run --separate-stderr ctl doctor
	text=$output
	[[ $text == *"$1"*"$2"*"$3"*"$4"* ]] || { echo "no $1 of $2 in: $text"; return 1; }
	if grep -q '^error ' <<<"$text"; then
		errors=$(grep -c '^error ' <<<"$text")
		[ "$status" -eq 1 ]
		[[ $stderr == "schedctl: $errors thing"*" to mend" ]]
	else
		[ "$status" -eq 0 ]
		[ -z "$stderr" ]
	fi
	run --separate-stderr ctl -o json doctor
	[[ $(found "$1" "$2") == *"$3"*" -> "*"$4"* ]] || { echo "no $1 of $2 in: $output"; return 1; }
	[ "$status" -eq "$(jq 'if any(.items[]; .level == "error") then 1 else 0 end' <<<"$output")" ]
	# Whatever is wrong has a remedy, and what is right needs none.
	jq -e 'all(.items[]; (.level == "ok") == (.remedy == ""))' <<<"$output"
}

environment() { # NAME
	ctl env create --name "$1" --image x --cpu 10m --memory 16M
}

gateway_is() { # STATUS
	[ "$(ctl -o json gateway show gw1 | jq -r .status)" = "$1" ]
}

# By itself it would be heard of once in an hour.
start_gatewayd() {
	lab_start gatewayd gateway "$BUILD_DIR/gatewayd/gatewayd" --name gw1 --addresses "$lab_public" --heartbeat 1h \
		--server "unix:$lab_dir/schedd.sock" --socket "$lab_dir/gatewayd.sock" --run-directory "$lab_dir" \
		--state-directory "$lab_dir/gatewayd-state"
	lab_wait 30 gateway_is online
}

@test "a fleet without hosts and gateways is told what to start" {
	doctor error gateways "none has registered: no port leads anywhere" "start gatewayd with --server, --name and --addresses"
	doctor error hosts "none has registered: nothing can run" "start agentd with --server and --address on one"
	[ "$(found ok server)" = 'schedd answers -> ' ]
	[ "$(found ok clock)" = "schedd's clock is ours -> " ]
	[ "$(found ok database)" = 'schedd takes requests -> ' ]
	[ "$(found ok token)" = "it is an admin's -> " ]
}

@test "a port that no gateway serves, until one does" {
	environment first
	doctor error ports "1 port is on an address that no gateway serves, such as $lab_public" "add the address to a gateway's --addresses"
	start_gatewayd
	doctor ok ports "1 in use or resting" ""
	doctor ok "gateway gw1" "online, 0 mappings" ""
}

heard_of_after() { # TIME
	[[ $(ctl -o json gateway show gw1 | jq -r .last_heartbeat) > $1 ]]
}

@test "a gateway whose heartbeat is longer than offline-after reports as often as schedd asks for, and says so" {
	grep -q 'warning .*heartbeat: every 3600000 ms is too seldom.*wants a report every 1333 ms' "$lab_dir/log/gatewayd"
	for _ in 1 2 3; do
		lab_wait 20 heard_of_after "$(ctl -o json gateway show gw1 | jq -r .last_heartbeat)"
	done
	gateway_is online
}

@test "a gateway that is gone, until it is back" {
	lab_stop gatewayd KILL
	lab_wait 20 gateway_is offline
	doctor error "gateway gw1" "not heard of since 20" "see systemctl status portico-gatewayd there; its ports go on as they are; if it never returns: schedctl gateway delete"
	start_gatewayd
	doctor ok "gateway gw1" "online" ""
}

@test "a host that was never heard of again" {
	TOKEN=$lab_dir/tokens/admin lab_exec gateway curl -sf -o /dev/null http://127.0.0.1:8000/v1/hosts \
		-H @<(printf 'Authorization: Bearer %s\n' "$(cat "$lab_dir/tokens/admin")") -d '{"name":"h1","address":"10.0.1.2",
			"pool":"default","labels":{},"version":"1","capacity":{"cpu_milli":1000,"memory_bytes":1073741824,"gpus":[]}}'
	host_is() { [ "$(ctl -o json host show h1 | jq -r .status)" = "$1" ]; }
	lab_wait 20 host_is offline
	doctor error "host h1" "not heard of since 20" "see systemctl status portico-agentd there"
	doctor error hosts "none takes environments" "schedctl host uncordon, or start agentd on one"
}

silent_for_more_than() { # MILLISECONDS
	[ "$(fleet_sql "SELECT silent_ms FROM hosts WHERE id = 'h1'")" -gt "$1" ]
}

@test "how long a host is silent is written down, and is no change of what is shown" {
	local before
	before=$(ctl -o json host show h1 | jq .revision)
	lab_wait 30 silent_for_more_than "$(fleet_sql "SELECT silent_ms FROM hosts WHERE id = 'h1'")"
	[ "$(ctl -o json host show h1 | jq .revision)" = "$before" ]
	[ "$(fleet_sql "SELECT revision FROM hosts WHERE id = 'h1'")" = "$before" ]
}

@test "a pool without a free port, also while ports rest" {
	environment second
	doctor ok ports "2 in use or resting" ""
	environment third
	run ! environment fourth
	[[ $output == *"no tcp port is free in 30001-30003"* ]]
	doctor error ports "no tcp port is free, 0 rest in quarantine: environments that need one are refused" \
		"widen schedd's port-range or port-addresses"
	[ -z "$(found ok ports)" ]
	[[ $(found error ports) != *udp* ]]
	ctl env delete third --wait --timeout 60s
	doctor error ports "no tcp port is free, 1 rest in quarantine" "delete environments that nobody needs"
}

@test "a database that is gone: what can be read is still looked at" {
	lab_stop postgres INT
	refused() { [ "$(lab_exec gateway curl -s -o /dev/null -w '%{http_code}' http://127.0.0.1:8000/readyz)" = 503 ]; }
	lab_wait 20 refused
	doctor error database "the database" "start PostgreSQL, and see schedd --check on schedd's machine"
	[ "$(found ok server)" = 'schedd answers -> ' ]
	[[ $(found ok "gateway gw1") == online* ]]
	lab_postgres_start
	accepted() { ! refused; }
	lab_wait 30 accepted
	doctor ok database "schedd takes requests" ""
}

@test "a token that is missing, wrong, revoked or expired; a customer's sees less" {
	local remedy="give one with --token-file; an admin makes it: schedctl token create"
	ctl token create revoked --role admin --save "$lab_dir/tokens/revoked"
	ctl token revoke revoked
	ctl token create brief --role admin --expires 5s --save "$lab_dir/tokens/brief"
	ctl customer create carol
	ctl token create carol --role customer --subject carol --save "$lab_dir/tokens/carol"
	opens() { lab_exec gateway curl -sf -o /dev/null http://127.0.0.1:8000/v1/hosts -H "Authorization: Bearer $(cat "$lab_dir/tokens/brief")"; }
	shut() { ! opens; }
	lab_wait 20 shut
	TOKEN=$lab_dir/tokens/brief doctor error token "the token has expired: ask for a new one" "$remedy"
	TOKEN=$lab_dir/tokens/revoked doctor error token "is wrong, or was revoked" "$remedy"
	install -m 600 /dev/stdin "$lab_dir/tokens/wrong" <<<"portico_$(head -c 40 /dev/zero | tr '\0' a)"
	TOKEN=$lab_dir/tokens/wrong doctor error token "this is not a token of Portico" "$remedy"
	(
		unset TOKEN
		doctor error token "a token is needed" "$remedy"
	)
	# It is no fault of the fleet's that this one may not see it.
	TOKEN=$lab_dir/tokens/carol doctor warning token "it is not an admin's" "use an admin's token to see the rest"
	[ "$(jq -r '[.items[].subject] | join(" ")' <<<"$output")" = 'server clock database token' ]
}

@test "a clock that is off, ahead and behind; a little is no fault" {
	local seconds words
	while read -r seconds words; do
		lab_start "front$seconds" - tests/helpers/clock-front "$lab_dir/front$seconds.sock" "$lab_dir/schedd.sock" "$seconds"
		SERVER=unix:$lab_dir/front$seconds.sock
		lab_wait 10 ctl host list
		if [ -z "$words" ]; then
			doctor ok clock "schedd's clock is ours" ""
		else
			doctor error clock "$words ours" "set both by NTP: timedatectl set-ntp true"
			[[ $(found error clock) =~ "schedd's clock is "(3599|3600|3601)" s $words ours" ]]
		fi
		lab_stop "front$seconds"
	done <<-END
		3600 ahead of
		-3600 behind
		2
	END
}

# Host h1 speaks as its agentd would: METHOD PATH [CURL-OPTION...]
host_says() {
	local method=$1 path=$2
	shift 2
	lab_exec gateway curl -s -X "$method" "http://127.0.0.1:8000$path" "$@" \
		-H @<(printf 'Authorization: Bearer %s\n' "$(cat "$lab_dir/tokens/admin")")
}

# Its container of an environment answers at this port of the host: NAME PORT. Once it is assigned.
host_has_ready() {
	local id epoch revision
	id=$(ctl -o json env show "$1" | jq -r .id)
	host_says POST /v1/hosts -o /dev/null -d '{"name":"h1","address":"10.0.1.2","pool":"default","labels":{},
		"version":"1","capacity":{"cpu_milli":1000,"memory_bytes":1073741824,"gpus":[]}}'
	# The stream goes on: its beginning is enough.
	host_says GET '/v1/hosts/h1/desired?watch=1' -m 1 >"$lab_dir/desired" || true
	grep -q "\"$id\"" "$lab_dir/desired" || return 1
	read -r epoch revision < <(jq -r 'select(.type == "synced") | "\(.epoch) \(.revision)"' "$lab_dir/desired")
	host_says POST /v1/hosts/h1/status -f -o /dev/null -d "{\"epoch\":$epoch,\"revision\":$revision,
		\"capacity\":{\"cpu_milli\":1000,\"memory_bytes\":1073741824,\"gpus\":[]},
		\"containers\":[{\"environment\":\"$id\",\"revision\":$revision,\"state\":\"ready\",
			\"services\":[{\"service\":\"ssh\",\"address\":\"10.0.1.2\",\"port\":$2}]}]}"
}

port_is() { # PORT STATE
	[ "$(ctl -o json port list | jq -r --argjson port "$1" '.items[] | select(.port == $port) | .state')" = "$2" ]
}

could_not() { # COUNT: so many mappings could not be applied, as the gateway reports
	[ "$(ctl -o json gateway show gw1 | jq '.failed | length')" = "$1" ]
}

@test "a mapping that the gateway could not apply, until it can" {
	local port
	port=$(ctl -o json env show first | jq '.ports[0].port')
	lab_start squatter gateway tests/helpers/port-peer serve "$port"
	lab_wait 20 lab_listens gateway "$port" # before the mapping comes
	lab_wait 20 host_has_ready first 40022
	lab_wait 20 could_not 1
	doctor error "gateway gw1" "1 mapping could not be applied: the gateway itself listens there" \
		"see schedctl gateway show, and gatewayd's log there"
	lab_stop squatter
	lab_wait 30 could_not 0
	doctor ok "gateway gw1" "online, 1 mappings" ""
}

@test "a port that waits for a minute to be withdrawn, until its gateway is back" {
	local port
	port=$(ctl -o json env show first | jq '.ports[0].port')
	lab_stop gatewayd KILL
	lab_wait 20 gateway_is offline
	ctl env delete first
	lab_wait 20 port_is "$port" withdrawing
	run ! grep "to be withdrawn" < <(ctl doctor)
	# A minute passes, as the row says.
	lab_stop schedd KILL
	fleet_sql "UPDATE port_mappings SET since = since - interval '61 seconds' WHERE port = $port"
	start_schedd
	doctor warning ports "1 port waits to be withdrawn for more than a minute" "bring the gateway back that has not confirmed"
	start_gatewayd
	lab_wait 20 port_is "$port" quarantined
	run ! grep "to be withdrawn" < <(ctl doctor)
}
