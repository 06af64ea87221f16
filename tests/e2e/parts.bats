#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck disable=SC2317 # bats calls the tests
# shellcheck disable=SC2154 # scripts/lab.sh sets lab_dir
# The table has only what is used: a part's first use makes its sets and all rules anew, and its last one is followed by
# the same. Here under traffic, which has to notice none of it. BUILD_DIR names the build folder (default: build).

bats_require_minimum_version 1.5.0
load gateway

export ADDRESSES=203.0.113.10,$PUBLIC6

# How often each part comes and goes.
ROUNDS=3

setup_file() {
	export LAB=parts-$$
	load_lab
	lab_init
	lab_network
	network6
	# A port that is used again soon would be a test of connection tracking.
	lab_exec client sysctl -q -w net.ipv4.ip_local_port_range='1024 65535'
	lab_start peer1 host1 tests/helpers/port-peer serve 7001 7002
	lab_start peer2 host2 tests/helpers/port-peer serve 7001
	lab_wait 20 lab_exec gateway bash -c 'exec 3<>/dev/tcp/10.0.1.2/7002 4<>/dev/tcp/10.0.2.2/7001'
	gatewayd_start --audit-interval 100ms
}

setup() {
	load_lab
	first=$((30000 + 10 * BATS_TEST_NUMBER)) # nothing was counted yet
	second=$((first + 1))
	changing=$((first + 2))
	replace "[$(mapping "$first" 10.0.1.2 7001),$(mapping "$second" 10.0.2.2 7001),$(mapping "$changing" 10.0.1.2 7002)]"
	lab_wait 20 has_no_parts
}

teardown() {
	load_lab
	local port
	for port in "$first" "$second" "$changing"; do
		tail -n 3 "$(log stream "$port")" || true
		lab_stop "$(named stream "$port")"
		lab_stop "$(named session "$port")"
	done
	tail -n 20 "$lab_dir/log/gatewayd"
}

# ---- words ----

mapping() { # mapping PORT TARGET-ADDRESS TARGET-PORT [MORE-FIELDS]
	echo "{\"port\":$1,\"target\":{\"address\":\"$2\",\"port\":$3}${4+,$4}}"
}

replace() { # replace MAPPINGS
	[ "$(api PUT /v1/mappings "$1" | jq 'has("revision")')" = true ]
}

put() { # put MAPPING
	[ "$(api POST /v1/mappings:apply "{\"changes\":[{\"op\":\"put\",\"mapping\":$1}]}" | jq .put)" = 1 ]
}

# parts: names of all sets and maps of the table
parts() {
	lab_exec gateway nft -j list sets inet | jq -r '[.nftables[].set? // empty | select(.table == "portico") | .name] | sort | join(" ")'
	lab_exec gateway nft -j list maps inet | jq -r '[.nftables[].map? // empty | select(.table == "portico") | .name] | sort | join(" ")'
}

has_no_parts() {
	[ "$(parts)" = $'\nmapping4' ]
}

has_part() { # has_part NAME
	[[ " $(parts) " == *[[:space:]]"$1"[[:space:]]* ]]
}

lacks_part() {
	! has_part "$1"
}

# A log begins with its process.
named() { # named WHAT PORT
	echo "$1-$2-$BATS_TEST_NUMBER"
}

log() { # log WHAT PORT
	echo "$lab_dir/log/$(named "$@")"
}

# A stream of new connections, and a session, on each of the ports.
traffic() {
	stream "$first" '7001 10.0.1.1'
	stream "$second" '7001 10.0.2.1'
	stream "$changing" '7002 10.0.1.1'
	retransmitted=$(syn_retransmissions)
	counted=$(counters)
}

stream() { # stream PORT GREETING
	lab_start "$(named session "$1")" client tests/helpers/port-peer talk "$lab_public" "$1" 600
	lab_wait 20 grep -q "^open $2" "$(log session "$1")"
	lab_start "$(named stream "$1")" client tests/helpers/port-peer churn "$lab_public" "$1" 600 "$2"
	lab_wait 20 has_stream "$1"
}

# Asks for the sessions, which lists the kernel's connections anew.
settle() {
	api GET '/v1/sessions?limit=1' >/dev/null
}

has_stream() { # has_stream PORT
	[ "$(connections "$1")" -gt 20 ]
}

connections() { # connections PORT: that were opened to it so far, says gatewayd
	settle
	api GET "/v1/mappings?port=$1" | jq '.items[0].connections'
}

# A packet that was dropped is sent again, by which its connection is late and not refused.
syn_retransmissions() {
	lab_exec client nstat -asz TcpExtTCPSynRetrans | awk '/^Tcp/ { print $2 }'
}

counters() {
	settle
	api GET /v1/mappings | jq -c '[.items[] | select(.protocol == "tcp" and .address == "'"$lab_public"'") |
		 .packets_in, .bytes_in, .packets_out, .bytes_out, .connections]'
}

# What is counted goes on from where it was.
counters_go_on() {
	local now
	now=$(counters)
	echo "counters $counted $now"
	jq -en --argjson a "$counted" --argjson b "$now" '[$a, $b] | transpose | all(.[0] < .[1])' >/dev/null
	counted=$now
}

counted_once() { # counted_once PORT: each connection of its stream, and its session
	[ "$(connections "$1")" = $(($(cat "$(log stream "$1")") + 1)) ]
}

# Not one connection was refused, ended, led elsewhere or late, and each was counted once.
undisturbed() {
	local port
	for port in "$first" "$second" "$changing"; do
		lab_pid "$(named stream "$port")" # it ends at the first that fails
		lab_stop "$(named stream "$port")"
		echo "$port: $(cat "$(log stream "$port")") connections"
		[ "$(cat "$(log stream "$port")")" -gt 100 ]
		[ "$(wc -l <"$(log session "$port")")" = 1 ] # "open", and no end
		lab_wait 20 counted_once "$port"
		lab_stop "$(named session "$port")"
	done
	[ "$(syn_retransmissions)" = "$retransmitted" ]
	counters_go_on
}

# ---- IPv6, and what refuses ----

open6() {
	put "$(mapping 30006 2001:db8:2::2 7001 "\"address\":\"$PUBLIC6\"")"
}

close6() {
	[ "$(api POST /v1/mappings:apply "{\"changes\":[{\"op\":\"delete\",\"address\":\"$PUBLIC6\",\"port\":30006}]}" | jq .deleted)" = 1 ]
}

greet6() {
	lab_exec client tests/helpers/port-peer talk "$PUBLIC6" 30006 0 | grep '^open 7001 2001:db8:2::1$' >/dev/null
}

# datagram PORT [SECONDS]: one, from a source port of its own; prints the answer, for which it waits so long.
datagram() {
	lab_exec client bash -c "exec 3<>/dev/udp/$lab_public/$1; echo hello >&3
		[ -z '${2-}' ] || timeout '${2-}' head -n 1 <&3" # in one piece: the rest of a datagram is lost
}

refused() { # refused REASON: packets
	api GET /metrics | sed -n "s/^portico_gateway_refusals_total{reason=\"$1\"} //p"
}

# All that were sent where nobody was let in, by reason, and by mapping where that is counted.
refused_all() { # refused_all N
	[ "$(refused allow) $(refused connections)" = "$1 $1" ] &&
		[ "$(api GET "/v1/mappings?port=30005" | jq '.items[0].refused')" = "$1" ]
}

# ---- tests ----

@test "the maps of IPv6 come and go under traffic, which goes on, and so do limits and what they have counted" {
	local round
	lab_exec gateway sysctl -q -w net.netfilter.nf_conntrack_udp_timeout=600
	put "$(mapping 30004 10.0.1.2 7001 '"protocol":"udp","allow":["192.0.2.0/24"]')"
	put "$(mapping 30005 10.0.1.2 7001 '"protocol":"udp","max_connections":1')"
	[ "$(datagram 30005 10)" = "7001 10.0.1.1" ] # the one flow that there may be
	traffic
	for ((round = 0; round < ROUNDS; round++)); do
		open6
		has_part mapping6
		greet6
		datagram 30004
		datagram 30005
		close6
		lab_wait 20 lacks_part mapping6
		datagram 30004
		datagram 30005
		counters_go_on
	done
	undisturbed
	lab_wait 20 refused_all $((2 * ROUNDS))
}

# limited FIELD: of a port with traffic, which it lets through.
limited() {
	put "$(mapping "$changing" 10.0.1.2 7002 "$1")"
}

@test "allow-lists, rates, limits, ends and bans come and go under traffic, and disturb none that they let through" {
	local round
	traffic
	for ((round = 0; round < ROUNDS; round++)); do
		limited '"allow":["198.51.100.0/24"]'
		has_part guarded4
		limited '"new_connections_per_minute":1000000'
		has_part rate4
		limited '"max_connections":1000000'
		has_part connections4
		limited '"expires_at":"2100-01-01T00:00:00Z"'
		has_part expiring4
		[ "$(api PUT /v1/bans '{"source":"192.0.2.1"}' | jq .bans)" = 1 ]
		has_part ban4
		open6
		has_part mapping6
		limited '"allow":["198.51.100.0/24"],"new_connections_per_minute":1000000,"max_connections":1000000'
		[ "$(api DELETE /v1/bans/192.0.2.1 | jq .bans)" = 0 ]
		close6
		put "$(mapping "$changing" 10.0.1.2 7002)"
		lab_wait 20 has_no_parts
		counters_go_on
	done
	undisturbed
}

# In one transaction with many others, which the kernel takes some time to end.
@test "the first allow-list of a port keeps nobody out that it names, not for a moment" {
	local round open guarded
	open="$(mapping "$first" 10.0.1.2 7001),$(mapping "$second" 10.0.2.2 7001)"
	guarded=$(mapping "$changing" 10.0.1.2 7002 '"allow":["198.51.100.0/24"]')
	jq -nc --argjson few "[$open,$guarded]" \
		'[range(40001; 60001) | {port: ., target: {address: "10.0.2.2", port: 7001}}] + $few' >"$lab_dir/many"
	traffic
	for ((round = 0; round < ROUNDS; round++)); do
		replace "@$lab_dir/many"
		has_part guarded4
		replace "[$open,$(mapping "$changing" 10.0.1.2 7002)]"
		lab_wait 20 lacks_part guarded4
	done
	undisturbed
}
