#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck disable=SC2317 # bats calls the tests
# shellcheck disable=SC2154 # scripts/lab.sh sets lab_dir
# What limits the use of a mapping, from outside: gatewayd alone, a client with two addresses, and a host.
# BUILD_DIR names the build folder (default: build).

bats_require_minimum_version 1.5.0
load gateway

export ADDRESSES=203.0.113.10

OTHER=198.51.100.130

setup_file() {
	export LAB=admission-$$
	load_lab
	lab_init
	lab_network
	ip -n "$LAB-client" address add "$OTHER/24" dev eth0
	lab_start peer1 host1 tests/helpers/port-peer serve 7001
	lab_wait 20 lab_listens host1 7001
	gatewayd_start
}

setup() {
	load_lab
	[ "$(api GET /readyz | jq -r .status)" = ready ] || gatewayd_start
	api PUT /v1/mappings '[]'
}

teardown() {
	load_lab
	tail -n 20 "$lab_dir/log/gatewayd"
}

# ---- words ----

put() { # put PORT FIELDS: a mapping to host1
	api POST /v1/mappings:apply "{\"changes\":[{\"op\":\"put\",\"mapping\":{\"port\":$1,
		\"target\":{\"address\":\"10.0.1.2\",\"port\":7001},$2}}]}"
}

# field JQ: of the first mapping.
field() {
	api GET /v1/mappings | jq -r ".items[0]$1"
}

# The first mapping, without what is counted.
as_put() {
	api GET /v1/mappings | jq -c '.items[0] | del(.revision, .refused, .connections) |
		with_entries(select(.key | test("^(bytes|packets)") | not))'
}

# opens PORT [SOURCE]: whether the host answers a new connection.
opens() {
	lab_exec client tests/helpers/port-peer talk "$lab_public" "$1" 0 ${2+"$2"} | grep '^open 7001 10.0.1.1$' >/dev/null
}

# holds FILE PORT SECONDS: a connection in the background, once it is open.
holds() {
	lab_start "$1" client tests/helpers/port-peer talk "$lab_public" "$2" "$3"
	lab_wait 20 grep -q '^open' "$lab_dir/log/$1"
}

in_seconds() {
	date -u -d "$1 seconds" +%Y-%m-%dT%H:%M:%SZ
}

has_refused() { # has_refused REASON: so say the metrics.
	[ "$(api GET /metrics | sed -n "s/^portico_gateway_refusals_total{reason=\"$1\"} //p")" -gt 0 ]
}

mapping_has_refused() {
	[ "$(field .refused)" -gt 0 ]
}

is_closed() {
	! opens "$1"
}

# ---- tests ----

@test "an allow-list lets in its networks and no others, and is listed as it was put" {
	put 30001 '"allow":["198.51.100.0/25","198.51.100.7"]'
	opens 30001
	run ! opens 30001 "$OTHER"
	[ "$(field '.allow | tostring')" = '["198.51.100.0/25"]' ]
	lab_wait 10 has_refused allow
	put 30001 "\"allow\":[\"$OTHER\"]"
	run ! opens 30001
	opens 30001 "$OTHER"
}

@test "new connections over the rate are refused, counted by mapping and by reason" {
	put 30001 '"new_connections_per_minute":2'
	opens 30001
	opens 30001
	run ! opens 30001
	lab_wait 10 mapping_has_refused
	lab_wait 10 has_refused rate
	put 30001 '"new_connections_per_minute":1000'
	opens 30001
	mapping_has_refused
}

@test "connections over the limit are refused until one ends" {
	put 30001 '"max_connections":1'
	holds held 30001 8
	run ! opens 30001
	lab_wait 20 grep -q '^alive' "$lab_dir/log/held"
	lab_wait 10 opens 30001
	lab_wait 10 has_refused connections
}

@test "a mapping ends by itself, with its connections; before that its end can be put off" {
	put 30001 "\"expires_at\":\"$(in_seconds 6)\""
	holds ending 30001 60
	lab_wait 20 grep -q '^ended' "$lab_dir/log/ending"
	run ! opens 30001
	[ "$(api GET /v1/mappings | jq '.items | length')" = 0 ]

	put 30001 "\"expires_at\":\"$(in_seconds 2)\""
	put 30001 "\"expires_at\":\"$(in_seconds 3600)\""
	holds lasting 30001 4
	lab_wait 20 grep -q '^alive' "$lab_dir/log/lasting"
	opens 30001
}

@test "all limits hold while gatewayd is dead, and the next one adopts them without a change" {
	local before
	put 30001 "\"allow\":[\"198.51.100.0/25\"],\"new_connections_per_minute\":100,\"max_connections\":5,
		\"expires_at\":\"$(in_seconds 3600)\""
	put 30002 "\"expires_at\":\"$(in_seconds 6)\""
	before=$(as_put)
	opens 30002
	lab_stop gatewayd KILL
	opens 30001
	run ! opens 30001 "$OTHER"
	lab_wait 20 is_closed 30002
	gatewayd_start
	[ "$(api GET /v1/status | jq '[.transactions[]] | add')" = 0 ]
	[ "$(as_put)" = "$before" ]
	[ "$(api GET /v1/mappings | jq '.items | length')" = 1 ]
	run ! opens 30001 "$OTHER"
}
