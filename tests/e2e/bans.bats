#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck disable=SC2317 # bats calls the tests
# shellcheck disable=SC2154 # scripts/lab.sh sets lab_dir
# Banned sources, with real clients: whom gatewayd refuses and whom not, over the local API and schedctl, for
# how long, and over restarts. BUILD_DIR names the build folder (default: build).

bats_require_minimum_version 1.5.0
load gateway

export ADDRESSES=203.0.113.10,$PUBLIC6

# The client has three addresses; the gateway a service of its own on port 7009.
setup_file() {
	export LAB=bans-$$
	load_lab
	lab_init
	lab_network
	ip -n "$LAB-client" address add 198.51.100.3/24 dev eth0
	ip -n "$LAB-client" address add 198.51.100.77/24 dev eth0
	network6
	mkdir -p "$lab_dir/state"
	lab_start peer1 host1 tests/helpers/port-peer serve 7001
	lab_start own gateway tests/helpers/port-peer serve 7009
	lab_wait 20 lab_listens host1 7001
	lab_wait 20 lab_listens gateway 7009
	gatewayd_start
}

setup() {
	load_lab
	[ -n "$(lab_pid gatewayd)" ] || gatewayd_start
	api PUT /v1/bans '{"bans":[]}'
	api PUT /v1/mappings "[{\"port\":30001,\"target\":{\"address\":\"10.0.1.2\",\"port\":7001}},
		{\"protocol\":\"udp\",\"port\":30001,\"target\":{\"address\":\"10.0.1.2\",\"port\":7001}},
		{\"address\":\"$PUBLIC6\",\"port\":30001,\"target\":{\"address\":\"2001:db8:2::2\",\"port\":7001}}]"
}

# What is there to see once a test has failed; bats prints it only then.
teardown() {
	load_lab
	lab_stop ticker
	lab_exec gateway nft list table inet portico
	tail -n 20 "$lab_dir/log/gatewayd"
}

# ---- words ----

schedctl() {
	lab_exec gateway "$BUILD_DIR/schedctl/schedctl" --gateway "$SOCKET" "$@"
}

# served SOURCE [ADDRESS PORT]: whether a TCP connection from this address of the client is answered, in a second or
# in PATIENCE.
served() {
	[ -n "$(echo | lab_exec client timeout 20 nc -N -w "${PATIENCE:-1}" -s "$1" "${2:-$lab_public}" "${3:-30001}")" ]
}

served_udp() {
	[ -n "$(echo hello | lab_exec client timeout 5 nc -u -w 1 -W 1 -s "$1" "$lab_public" 30001)" ]
}

later() { # later SECONDS: that time as the API wants it
	date -u -d "+$1 seconds" +%Y-%m-%dT%H:%M:%SZ
}

# sources: of the bans in the list, a line
sources() {
	api GET /v1/bans | jq -r '[.items[].source] | join(" ")'
}

# ---- who is refused ----

@test "a banned source opens no connection, another does" {
	api PUT /v1/bans '{"source":"198.51.100.2","reason":"too many logins"}'
	run ! served 198.51.100.2
	run ! served_udp 198.51.100.2
	lab_wait 20 served 198.51.100.3
	lab_wait 20 served_udp 198.51.100.3
	[ "$(api GET /v1/bans | jq -c '.items[0] | [.source, .reason]')" = '["198.51.100.2/32","too many logins"]' ]
	# And its owner can read why.
	run schedctl port why 30001 --source 198.51.100.2
	[ "$status" -eq 4 ]
	[[ $output == *"say which, as in [$PUBLIC6]:30001/tcp"* ]]
	run schedctl port why "$lab_public:30001" --source 198.51.100.2
	echo "$status $output"
	[ "$status" -eq 1 ]
	[[ $output == *'198.51.100.2 is banned with 198.51.100.2/32'*'too many logins'* ]]
	run -0 schedctl port why "$lab_public:30001" --source 198.51.100.3
}

@test "what was refused is counted, by ban and by reason" {
	api PUT /v1/bans '{"source":"198.51.100.2"}'
	run ! served 198.51.100.2
	counted() { [ "$(api GET /v1/bans | jq '.items[0].refused')" -ge 1 ]; }
	lab_wait 30 counted
	api GET /metrics | grep -qE '^portico_gateway_refusals_total\{reason="ban"\} [1-9]'
}

@test "a banned network, IPv4 and IPv6" {
	api PUT /v1/bans '{"source":"198.51.100.0/26"}'
	api PUT /v1/bans '{"source":"2001:db8:1::/64"}'
	run ! served 198.51.100.3
	lab_wait 20 served 198.51.100.77
	run ! served 2001:db8:1::2 "$PUBLIC6"
	[ "$(sources)" = "198.51.100.0/26 2001:db8:1::/64" ]
	api DELETE /v1/bans/2001:db8:1::%2F64
	lab_wait 20 served 2001:db8:1::2 "$PUBLIC6"
}

@test "a ban keeps nobody out of the gateway itself" {
	api PUT /v1/bans '{"source":"198.51.100.0/24"}'
	run ! served 198.51.100.2
	lab_wait 20 served 198.51.100.2 198.51.100.1 7009
	lab_wait 20 served 198.51.100.2 "$lab_public" 7009
}

@test "a connection that is open goes on" {
	lab_start ticker client tests/helpers/port-peer talk "$lab_public" 30001 5
	lab_wait 20 grep -q open "$lab_dir/log/ticker"
	api PUT /v1/bans '{"source":"198.51.100.0/24"}'
	run ! served 198.51.100.2
	lab_wait 15 grep -q alive "$lab_dir/log/ticker"
	rm "$lab_dir/log/ticker"
}

@test "of bans that overlap the one that ends last holds" {
	api PUT /v1/bans '{"source":"198.51.100.2"}'
	api PUT /v1/bans "{\"source\":\"198.51.100.0/24\",\"expires_at\":\"$(later 6)\"}"
	run ! served 198.51.100.2
	run ! served 198.51.100.77
	lab_wait 20 served 198.51.100.77
	run ! served 198.51.100.2
	[ "$(sources)" = 198.51.100.2/32 ]
}

@test "one source can be taken out of a banned network" {
	api PUT /v1/bans '{"source":"198.51.100.0/24"}'
	api DELETE '/v1/bans?source=198.51.100.3'
	lab_wait 20 served 198.51.100.3
	run ! served 198.51.100.2
	run ! served 198.51.100.77
}

# ---- how long ----

@test "a ban ends by itself, also while gatewayd is dead" {
	api PUT /v1/bans "{\"source\":\"198.51.100.2\",\"expires_at\":\"$(later 6)\"}"
	lab_stop gatewayd KILL
	run ! served 198.51.100.2
	lab_wait 20 served 198.51.100.2
	gatewayd_start
	[ "$(sources)" = "" ]
}

@test "bans survive a restart as they are, and a restart changes nothing" {
	local before
	api PUT /v1/bans "{\"bans\":[{\"source\":\"198.51.100.2\",\"reason\":\"why\"},
		{\"source\":\"2001:db8::/32\",\"expires_at\":\"$(later 3600)\"}]}"
	before=$(lab_exec gateway nft -a list table inet portico | sed 's/expires [^ }]*//')
	lab_stop gatewayd
	gatewayd_start
	[ "$(lab_exec gateway nft -a list table inet portico | sed 's/expires [^ }]*//')" = "$before" ]
	[ "$(api GET /v1/bans | jq -c '[.items[] | [.source, .reason]]')" = \
		'[["198.51.100.2/32","why"],["2001:db8::/32",null]]' ]
	run ! served 198.51.100.2
}

@test "bans survive a reboot" {
	api PUT /v1/bans '{"bans":[{"source":"198.51.100.2","reason":"why"},{"source":"198.51.100.3"}]}'
	api DELETE /v1/bans/198.51.100.3
	lab_stop gatewayd
	lab_exec gateway nft flush ruleset
	gatewayd_start
	[ "$(api GET /v1/bans | jq -c '[.items[] | [.source, .reason]]')" = '[["198.51.100.2/32","why"]]' ]
	run ! served 198.51.100.2
	lab_wait 20 served 198.51.100.3
}

@test "what another does to the bans is repaired" {
	api PUT /v1/bans '{"bans":[{"source":"198.51.100.2"},{"source":"198.51.100.64/26"}]}'
	lab_exec gateway nft flush set inet portico ban4
	repaired() { ! served 198.51.100.2 && ! served 198.51.100.77; }
	lab_wait 10 repaired
	[ "$(sources)" = "198.51.100.2/32 198.51.100.64/26" ]
}

@test "nobody banned: the table has neither set nor chain for it" {
	api PUT /v1/bans '{"source":"198.51.100.2"}'
	api DELETE /v1/bans/198.51.100.2
	lab_stop gatewayd
	gatewayd_start
	run lab_exec gateway nft list table inet portico
	[[ $output != *ban4* ]]
	[[ $output != *"chain sources"* ]]
}

# ---- the rate of a source ----

@test "a source opens so many connections and no more, over all ports; others are not concerned" {
	local n=0
	lab_stop gatewayd
	gatewayd_start --new-connections-per-source 5/hour
	while [ "$n" -lt 5 ]; do
		PATIENCE=10 served 198.51.100.2 # once: another try would count
		n=$((n + 1))
	done
	run ! served 198.51.100.2
	run ! served_udp 198.51.100.2
	lab_wait 20 served 198.51.100.3
	lab_wait 20 served 198.51.100.2 198.51.100.1 7009
	refused() { api GET /metrics | grep -qE '^portico_gateway_refusals_total\{reason="source_rate"\} [1-9]'; }
	lab_wait 30 refused
	lab_stop gatewayd
	gatewayd_start
	lab_wait 20 served 198.51.100.2
}

@test "a ban is ended by its source in the path, also a network's as it is written" {
	local path
	for path in /192.0.2.1 /192.0.2.0/24 /192.0.2.0%2F24 /2001:db8::/32 '?source=192.0.2.0/24'; do
		api PUT /v1/bans '{"bans":[{"source":"192.0.2.1"},{"source":"2001:db8:1::/48"},{"source":"198.51.100.9"}]}'
		run api DELETE "/v1/bans$path"
		echo "$path -> $output"
		[ "$(jq .bans <<<"$output")" = 2 ]
	done
	[ "$(api DELETE /v1/bans/192.0.2.0/33 | jq -r .code)" = invalid ]
}

# ---- schedctl, and what is refused ----

@test "schedctl adds, lists and removes" {
	schedctl ban add 198.51.100.0/24 --for 10m --reason "too many logins"
	run ! served 198.51.100.2
	run schedctl ban list
	[[ ${lines[0]} =~ ^SOURCE\ +EXPIRES\ +REFUSED\ +REASON$ ]]
	[[ ${lines[1]} =~ ^198.51.100.0/24\ +20[0-9TZ:-]+\ +[0-9]+\ +"too many logins"$ ]]
	[ "$(schedctl -o name ban list)" = 198.51.100.0/24 ]
	schedctl ban remove 198.51.100.0/24
	lab_wait 20 served 198.51.100.2
	run schedctl ban remove 198.51.100.0/24
	[ "$status" -eq 3 ]
	[ "$output" = "schedctl: 198.51.100.0/24 is not banned" ]
	run schedctl ban add 198.51.100.1/24
	[ "$status" -eq 2 ]
	[[ $output == *"neither an address nor a network"* ]]
}

@test "what is no ban is refused with its field, and nothing is done" {
	local body
	for body in '{}' '{"source":"198.51.100.1/24"}' '{"source":"0.0.0.0/0"}' '{"bans":{}}' \
		'{"bans":[{"source":"192.0.2.1"},{"source":"x"}]}' '{"source":"192.0.2.1","expires_at":"2001-01-01T00:00:00Z"}'; do
		run api PUT /v1/bans "$body"
		echo "$body -> $output"
		[ "$(jq -r '.code | IN("missing", "invalid")' <<<"$output")" = true ]
	done
	[ "$(jq -r .details.field <<<"$output")" = expires_at ]
	run api DELETE /v1/bans
	[ "$(jq -r .code <<<"$output")" = missing ]
	run api DELETE /v1/bans/192.0.2.1
	[ "$(jq -r .code <<<"$output")" = not_found ]
	[ "$(sources)" = "" ]
}
