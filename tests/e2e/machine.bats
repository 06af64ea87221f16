#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck disable=SC2317 # bats calls the tests
# shellcheck disable=SC2154 # scripts/lab.sh sets lab_dir
# gatewayd and the machine beneath it: services of the gateway's own, addresses and links that come and go,
# host settings, rules of others. BUILD_DIR names the build folder (default: build).

bats_require_minimum_version 1.5.0
load gateway

setup_file() {
	export LAB=machine-$$
	load_lab
	lab_init
	lab_network
	lab_start peer1 host1 tests/helpers/port-peer serve 7001 7002
	lab_wait 20 lab_listens host1 7002
	gatewayd_start --addresses "$lab_public"
}

setup() {
	load_lab
	api PUT /v1/mappings '[]'
}

# What is there to see once a test has failed; bats prints it only then.
teardown() {
	load_lab
	lab_stop listener
	tail -n 20 "$lab_dir/log/gatewayd"
}

# ---- words ----

port() { # port VERB ARGUMENT...: with status and output
	run lab_exec gateway "$BUILD_DIR/schedctl/schedctl" --gateway "$SOCKET" port "$@"
	echo "port $* -> $status $output"
}

# greet PORT [ADDRESS]: what the host says to a client's new connection, "refused" where there is none.
greet() {
	lab_exec client tests/helpers/port-peer talk "${2:-$lab_public}" "$1" 0 |
		sed -e 's/^open //' -e '/^alive$/d' -e 's/^ended$/refused/'
}

# listen PORT...: a service of the gateway's own, on all addresses, TCP and UDP.
listen() {
	lab_start listener gateway tests/helpers/port-peer serve "$@"
	lab_wait 20 lab_exec gateway tests/helpers/port-peer talk 127.0.0.1 "$1" 0
	lab_wait 20 greets "$1"
}

greets() {
	[ "$(lab_exec client tests/helpers/port-peer talk 198.51.100.1 "$1" 0 | head -n 1)" = "open $1 198.51.100.2" ]
}

# ---- services of the gateway's own ----

@test "a port on which the gateway itself listens is not mapped, unless that is forced" {
	listen 2200
	port open 2200 10.0.1.2:7001
	[ "$status" -eq 4 ]
	[[ $output == *"the gateway itself listens there, on [::]:2200 (python3, pid $(lab_pid listener)); choose another port, or force it"* ]]
	port open 2200 10.0.1.2:7001 --protocol udp
	[ "$status" -eq 4 ]
	[ "$(greet 2200)" = "2200 198.51.100.2" ]
	port open 2200 10.0.1.2:7001 --force
	[ "$status" -eq 0 ]
	[ "$(greet 2200)" = "7001 10.0.1.1" ]
	port close 2200
	[ "$(greet 2200)" = "2200 198.51.100.2" ]
}

@test "a request with one such port is refused as a whole, and names it" {
	listen 2200
	local body='[{"port":2199,"target":{"address":"10.0.1.2","port":7001}},{"port":2200,"target":{"address":"10.0.1.2","port":7001}}]'
	local answer
	answer=$(api PUT /v1/mappings "$body")
	[ "$(jq -r .code <<<"$answer")" = in_use ]
	[ "$(jq -r .details.field <<<"$answer")" = 'mappings[1].port' ]
	[ "$(api GET /v1/mappings | jq '.items | length')" = 0 ]
	answer=$(api PUT '/v1/mappings?force=yes' "$body")
	[ "$(jq -r '.code + " " + .details.field' <<<"$answer")" = 'invalid force' ]
	answer=$(api PUT '/v1/mappings?force=1' "$body")
	[ "$(jq .put <<<"$answer")" = 2 ]
	[ "$(greet 2200)" = "7001 10.0.1.1" ]
}

@test "a mapping of the scheduler's on such a port is reported with the reason, and applied once the port is free" {
	local server=http://10.0.0.1:8000
	local reason='the gateway itself listens there, on [::]:220'
	lab_start scheduler gateway tests/helpers/host-peer 10.0.0.1 8000
	lab_wait 20 lab_exec gateway curl -sf "$server/peer/seen"
	listen 2200 2201
	lab_stop gatewayd
	gatewayd_start --addresses "$lab_public" --name gw1 --server "$server"
	assign() { # assign PORT...
		lab_exec gateway curl -sf -X PUT "$server/peer/assignments" -d "$(jq -cn '[$ARGS.positional[] | {
			address: "203.0.113.10", protocol: "tcp", port: tonumber, target: {address: "10.0.1.2", port: 7001}}]' --args "$@")"
	}
	reported() { # reported PORT...
		[ "$(lab_exec gateway curl -sf "$server/peer/report" |
			jq -r --arg reason "$reason" '[.failed[] | select(.reason | startswith($reason)) | .port] | sort | join(" ")')" = "$*" ]
	}
	assign 2199 2200 2201
	lab_wait 10 reported 2200 2201
	# What schedd takes back meanwhile waits no longer.
	assign 2199 2200
	lab_wait 10 reported 2200
	[ "$(greet 2199)" = "7001 10.0.1.1" ]
	[ "$(greet 2200)" = "2200 198.51.100.2" ]
	port why 2200
	[ "$status" -eq 1 ]
	[[ $output == *"schedd wants 203.0.113.10:2200/tcp, and it cannot be applied: $reason"* ]]
	lab_stop listener
	all_is_applied() { [ "$(lab_exec gateway curl -sf "$server/peer/report" | jq -c '[.mappings, .failed]')" = '[2,[]]' ]; }
	lab_wait 30 all_is_applied
	[ "$(greet 2200)" = "7001 10.0.1.1" ]
	[ "$(grep -c '203.0.113.10:2200/tcp: not applied' "$lab_dir/log/gatewayd")" = 1 ]
	lab_stop gatewayd
	lab_stop scheduler
	gatewayd_start --addresses "$lab_public"
}

@test "a mapping stays where a service begins to listen on its port" {
	port open 2200 10.0.1.2:7001
	lab_start listener gateway tests/helpers/port-peer serve 2200
	lab_wait 20 lab_listens gateway 2200
	port open 2200 10.0.1.2:7002 --replace
	[ "$status" -eq 0 ]
	[ "$(greet 2200)" = "7002 10.0.1.1" ]
}

# ---- addresses ----

gateway_address() { # gateway_address add|delete ADDRESS
	ip -n "$LAB-gateway" address "$1" "$2/32" dev to-client
}

# status_is FILTER VALUE
status_is() {
	[ "$(api GET /v1/status | jq -c "$1")" = "$2" ]
}

@test "without configured addresses they are found, and one that comes later is admitted at once" {
	lab_stop gatewayd
	gatewayd_start
	status_is '[.addresses_from, .addresses]' '["network",["198.51.100.1","203.0.113.10"]]'
	port open 30001 10.0.1.2:7001 --address 203.0.113.77
	[ "$status" -eq 4 ]
	[[ $output == *'203.0.113.77 is not an address of this gateway'* ]]
	gateway_address add 203.0.113.77
	lab_wait 20 status_is .addresses '["198.51.100.1","203.0.113.10","203.0.113.77"]'
	port open 30001 10.0.1.2:7001 --address 203.0.113.77
	[ "$status" -eq 0 ]
	[ "$(greet 30001 203.0.113.77)" = "7001 10.0.1.1" ]
	# Adopted, although the address is away when it starts.
	gateway_address delete 203.0.113.77
	lab_stop gatewayd
	gatewayd_start
	status_is '[.mappings, .addresses_missing]' '[1,["203.0.113.77"]]'
	gateway_address add 203.0.113.77
	lab_wait 20 status_is .addresses_missing '[]'
	[ "$(greet 30001 203.0.113.77)" = "7001 10.0.1.1" ]
	port close 30001
	gateway_address delete 203.0.113.77
	lab_wait 20 status_is .addresses '["198.51.100.1","203.0.113.10"]'
	lab_stop gatewayd
	gatewayd_start --addresses "$lab_public"
}

@test "a public address that goes is reported, and its mappings work when it is back" {
	port open 30001 10.0.1.2:7001
	gateway_address delete "$lab_public"
	lab_wait 20 status_is '[.addresses_from, .addresses_missing]' '["configuration",["203.0.113.10"]]'
	status_is '[.mappings, .in_sync]' '[1,true]'
	[[ $(api GET /metrics) == *'portico_gateway_address_present{address="203.0.113.10"} 0'* ]]
	grep -q '203.0.113.10: public address is not on this machine.* mappings=1$' "$lab_dir/log/gatewayd"
	gateway_address add "$lab_public"
	lab_wait 20 status_is .addresses_missing '[]'
	[ "$(greet 30001)" = "7001 10.0.1.1" ]
}

# ---- findings ----

# found CODE: LEVEL and subject of the findings with this code.
found() {
	api GET /v1/status | jq -r --arg code "$1" '.findings[] | select(.code == $code) | .level + " " + .subject'
}

finds() { # finds CODE TEXT
	[ "$(found "$1")" = "$2" ]
}

@test "what keeps it from working is found while it runs, with the command that mends it, and is logged once" {
	local remedy count
	lab_exec gateway nft 'table inet strict { chain f { type filter hook forward priority 0; policy drop; }; }'
	lab_exec gateway sysctl -q -w net.ipv4.ip_forward=0
	lab_wait 20 finds ip_forward 'error ipv4'
	lab_wait 20 finds forward_policy 'warning strict f'
	count=$(grep -c 'finding=ip_forward remedy="sysctl -w net.ipv4.ip_forward=1"' "$lab_dir/log/gatewayd")
	[ "$count" = 1 ]
	for remedy in ip_forward forward_policy; do
		lab_exec gateway sh -c "$(api GET /v1/status |
			jq -r --arg code $remedy '.findings[] | select(.code == $code).remedy')"
	done
	lab_wait 20 finds ip_forward ''
	lab_wait 20 finds forward_policy ''
	grep -q 'no longer: IPv4 forwarding is off' "$lab_dir/log/gatewayd"
	lab_exec gateway nft delete table inet strict
}

@test "host settings are set where the configuration says so, and the old values are said" {
	lab_exec gateway sysctl -q -w net.ipv4.ip_forward=0
	lab_stop gatewayd
	gatewayd_start --addresses "$lab_public"
	[ "$(lab_exec gateway sysctl -n net.ipv4.ip_forward)" = 0 ]
	lab_stop gatewayd
	gatewayd_start --addresses "$lab_public" --host-settings set
	[ "$(lab_exec gateway sysctl -n net.ipv4.ip_forward)" = 1 ]
	grep -q 'set net.ipv4.ip_forward=1 old="0" finding=ip_forward' "$lab_dir/log/gatewayd"
	finds ip_forward ''
	lab_stop gatewayd
	gatewayd_start --addresses "$lab_public"
}

@test "check prints each finding with its level and remedy" {
	run lab_exec host1 "$BUILD_DIR/gatewayd/gatewayd" --addresses "$lab_public" --check
	echo "$status $output"
	[ "$status" -eq 1 ]
	[[ $output == *'error: IPv4 forwarding is off'*$'\n  remedy: sysctl -w net.ipv4.ip_forward=1\n'* ]]
	[[ $output == *"warning: public address $lab_public is not on this machine"*'  remedy: ip address add'* ]]
	run lab_exec gateway "$BUILD_DIR/gatewayd/gatewayd" --check
	echo "$status $output"
	[ "$status" -eq 0 ]
	[[ $output == *'configuration and machine are fine' ]]
}
