#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck disable=SC2317 # bats calls the tests
# shellcheck disable=SC2154 # scripts/lab.sh sets lab_dir
# What gatewayd counts, compared to the byte with nft's counters and conntrack's own, over everything that may
# come between: ended connections, re-pointed and removed mappings, SIGKILL at any moment, events that find no
# room. BUILD_DIR names the build folder (default: build).

bats_require_minimum_version 1.5.0
load gateway

export ADDRESSES=203.0.113.10,$PUBLIC6

setup_file() {
	export LAB=accounting-$$
	load_lab
	lab_init
	lab_network
	network6
	lab_start peer1 host1 tests/helpers/port-peer serve 7001 7002
	lab_start peer2 host2 tests/helpers/port-peer serve 7001
	lab_wait 20 lab_listens host1 7002
	lab_wait 20 lab_listens host2 7001
	gatewayd_start
}

setup() {
	load_lab
	[ "$(api GET /readyz | jq -r .status)" = ready ] || gatewayd_start
	[ "$(api PUT /v1/mappings '[]' | jq .put)" = 0 ]
	# As it is by default, whatever a test before had it to be.
	lab_exec gateway sysctl -q -w net.netfilter.nf_conntrack_tcp_timeout_time_wait=120 net.netfilter.nf_conntrack_acct=1
	lab_exec gateway nft -f - <<-END
		table inet oracle
		delete table inet oracle
		table inet oracle {
			chain in { type filter hook prerouting priority raw; }
			chain out { type filter hook postrouting priority 300; }
		}
	END
}

teardown() {
	load_lab
	tail -n 20 "$lab_dir/log/gatewayd"
}

put() { # put PORT FIELDS
	[ "$(api POST /v1/mappings:apply "{\"changes\":[{\"op\":\"put\",\"mapping\":{\"port\":$1,$2}}]}" | jq .put)" = 1 ]
}

delete() { # delete PORT
	[ "$(api POST /v1/mappings:apply "{\"changes\":[{\"op\":\"delete\",\"port\":$1}]}" | jq .deleted)" = 1 ]
}

host1='"target":{"address":"10.0.1.2","port":7001}'
host2='"target":{"address":"10.0.2.2","port":7001}'

# watch FAMILY ADDRESS PROTOCOL PORT: nft counts what comes in to a port and what goes out from it, where the
# client sees it.
watch() {
	lab_exec gateway nft "add rule inet oracle in iifname to-client $1 daddr $2 $3 dport $4 counter comment \"$4 in\"
		add rule inet oracle out oifname to-client $1 saddr $2 $3 sport $4 counter comment \"$4 out\""
}

# oracle PORT: "[packets in, bytes in, packets out, bytes out]" of nft.
oracle() {
	lab_exec gateway nft -j list table inet oracle | jq -c --arg port "$1" '
		[.nftables[].rule? // empty | select(.comment == "\($port) in", .comment == "\($port) out")
		 | .expr[] | .counter? // empty | .packets, .bytes]'
}

# counted PORT: the same of ours.
counted() {
	api GET "/v1/mappings?port=$1" | jq -c '.items[0] | [.packets_in, .bytes_in, .packets_out, .bytes_out]'
}

connections() { # connections PORT
	api GET "/v1/mappings?port=$1" | jq -c '.items[0].connections'
}

# Asks for the sessions, which lists the kernel's connections anew.
settle() {
	api GET '/v1/sessions?limit=1' >/dev/null
}

# agrees PORT CONNECTIONS: with what nft counted, once the last event is in; and it is not nothing.
agrees() {
	same() {
		settle
		[ "$(counted "$1")" = "$(oracle "$1")" ] && [ "$(connections "$1")" = "$2" ]
	}
	lab_wait 20 same "$@" || {
		echo "ours $(counted "$1") in $(connections "$1") connections, nft's $(oracle "$1") in $2"
		return 1
	}
	[ "$(counted "$1" | jq 'min > 0')" = true ]
}

# talk SECONDS PORT [ADDRESS]: one connection, from its beginning to its end.
talk() {
	lab_exec client tests/helpers/port-peer talk "${3:-$lab_public}" "$2" "$1"
}

# several N PORT SECONDS: so many connections at the same time.
several() {
	local i
	for ((i = 0; i < $1; i++)); do
		lab_start "talker$i" client tests/helpers/port-peer talk "$lab_public" "$2" "$3"
	done
}

several_gone() { # several_gone N
	local i
	for ((i = 0; i < $1; i++)); do
		[ -z "$(lab_pid "talker$i")" ] || return 1
	done
}

metric() { # metric NAME-AND-LABELS
	api GET /metrics | sed -n "s/^$1 //p"
}

# ---- to the byte ----

@test "TCP, over IPv4 and IPv6, and UDP are counted to the byte" {
	local i
	put 30001 "$host1"
	put 30053 '"protocol":"udp",'"$host1"
	put 30006 "\"address\":\"$PUBLIC6\",\"target\":{\"address\":\"2001:db8:2::2\",\"port\":7002}"
	watch ip "$lab_public" tcp 30001
	watch ip "$lab_public" udp 30053
	watch ip6 "$PUBLIC6" tcp 30006
	for i in 1 2 3; do
		talk 0.2 30001
		talk 0.1 30006 "$PUBLIC6"
		echo hello | lab_exec client nc -u -w1 -p 4005$i "$lab_public" 30053
	done
	agrees 30001 3
	agrees 30006 3
	agrees 30053 3
}

@test "bulk TCP and UDP of iperf3 are counted to the byte" {
	lab_start iperf host1 iperf3 -s -p 7003
	lab_wait 20 lab_listens host1 7003
	put 30003 '"target":{"address":"10.0.1.2","port":7003}'
	put 30003 '"protocol":"udp","target":{"address":"10.0.1.2","port":7003}'
	lab_exec gateway nft "add rule inet oracle in iifname to-client ip daddr $lab_public th dport 30003 counter comment \"30003 in\"
		add rule inet oracle out oifname to-client ip saddr $lab_public th sport 30003 counter comment \"30003 out\""
	# The server turns away who comes before it is done with the client before.
	lab_wait 30 lab_exec client iperf3 -c "$lab_public" -p 30003 -n 20M -P 3
	lab_wait 30 lab_exec client iperf3 -c "$lab_public" -p 30003 -R -n 20M
	lab_wait 30 lab_exec client iperf3 -u -c "$lab_public" -p 30003 -b 20M -t 1
	both() {
		settle
		[ "$(api GET '/v1/mappings?port=30003' | jq -c '.items | [map(.packets_in), map(.bytes_in), map(.packets_out), map(.bytes_out)] | map(add)')" = "$(oracle 30003)" ]
	}
	lab_wait 20 both
	# iperf3 counts what it has written: some of that may never leave its sockets.
	[ "$(oracle 30003 | jq '.[1] > 10000000 and .[3] > 10000000')" = true ]
	lab_stop iperf
}

@test "live connections are counted as conntrack has them" {
	put 30001 "$host1"
	several 5 30001 30
	five() { [ "$(api GET /v1/sessions | jq .sessions)" = 5 ]; }
	lab_wait 10 five
	as_conntrack() {
		local before after
		before=$(lab_exec gateway conntrack -L -d "$lab_public" -p tcp --dport 30001 2>/dev/null | grep -oE 'bytes=[0-9]+' | awk -F= '{ s += $2 } END { print s }')
		settle
		after=$(lab_exec gateway conntrack -L -d "$lab_public" -p tcp --dport 30001 2>/dev/null | grep -oE 'bytes=[0-9]+' | awk -F= '{ s += $2 } END { print s }')
		counted=$(api GET '/v1/mappings?port=30001' | jq '.items[0].bytes')
		echo "$before <= $counted <= $after"
		[ "$before" -gt 0 ] && [ "$counted" -ge "$before" ] && [ "$counted" -le "$after" ]
	}
	as_conntrack
	[ "$(connections 30001)" = 5 ]
	api PUT /v1/mappings '[]'
	lab_wait 20 several_gone 5
}

@test "what is refused or not ours counts nowhere" {
	local before
	put 30001 "$host1"
	before=$(metric portico_gateway_connections_total)
	lab_exec client nc -z -w1 "$lab_public" 30002 || true
	echo hello | lab_exec client nc -u -w1 "$lab_public" 30001
	settle
	[ "$(metric portico_gateway_connections_total)" = "$before" ]
	[ "$(counted 30001)" = '[0,0,0,0]' ]
}

# ---- what mappings do ----

@test "counters go on where a mapping is led elsewhere, and where another one changes" {
	put 30001 "$host1"
	watch ip "$lab_public" tcp 30001
	talk 0.2 30001
	put 30001 "$host2"
	talk 0.2 30001
	put 30002 "$host1"
	delete 30002
	agrees 30001 2
	several 2 30001 30
	two() { [ "$(api GET '/v1/sessions?port=30001' | jq '[.items[] | select(.state == "established")] | length')" = 2 ]; }
	lab_wait 10 two
	put 30001 "$host1" # which ends the two
	lab_wait 10 several_gone 2
	talk 0.2 30001
	settle
	[ "$(connections 30001)" = 5 ]
}

@test "a removed mapping's port begins at 0, and another environment's too" {
	put 30001 "$host1,\"environment\":\"env-a\""
	talk 0.1 30001
	settle
	[ "$(connections 30001)" = 1 ]
	delete 30001
	put 30001 "$host1,\"environment\":\"env-a\""
	[ "$(counted 30001)" = '[0,0,0,0]' ]
	talk 0.1 30001
	settle
	[ "$(connections 30001)" = 1 ]
	put 30001 "$host1,\"environment\":\"env-b\""
	[ "$(counted 30001)" = '[0,0,0,0]' ]
}

# sums: bytes of all mappings that there are and were.
sums() {
	api GET /v1/status | jq -c '.accounting | [.packets_in, .bytes_in, .packets_out, .bytes_out]'
}

@test "what ended connections of a removed mapping carried is in the sums, to the byte" {
	local before i
	before=$(sums)
	for i in 1 2 3 4 5; do
		put 30001 "$host1"
		talk 0.1 30001
		delete 30001
	done
	watch ip "$lab_public" tcp 30001
	put 30001 "$host1"
	talk 0.1 30001
	delete 30001
	one_is_a_sixth() {
		settle
		jq -ne --argjson before "$before" --argjson now "$(sums)" '$now[1] - $before[1] > 1000'
	}
	lab_wait 20 one_is_a_sixth
	[ "$(oracle 30001 | jq '.[0] > 5')" = true ]
}

# ---- what may go wrong ----

# supervised_start: gatewayd under what keeps its descriptors and starts it again, as systemd does.
supervised_start() {
	lab_stop gatewayd
	rm -f "$lab_dir/notify"
	lab_start supervisor gateway tests/helpers/fd-store "$lab_dir/notify" "$BUILD_DIR/gatewayd/gatewayd" \
		--addresses "$lab_public,$PUBLIC6" --socket "$SOCKET" --run-directory "$lab_dir" \
		--state-directory "$lab_dir/state"
	lab_wait 30 curl -sf --unix-socket "$SOCKET" http://localhost/readyz
}

supervised_pid() {
	sed -n 's/^started \([0-9]*\) .*/\1/p' "$lab_dir/log/supervisor" | tail -n 1
}

# Many connections in a row come to use every port of the client. A peer of its own knows none of them yet from
# connections that lost their mapping, to which it would answer as to an old one: conntrack then sees two.
churn_host='"target":{"address":"10.0.1.2","port":7008}'

churn_peer() {
	[ -n "$(lab_pid churned-peer)" ] || lab_start churned-peer host1 tests/helpers/port-peer serve 7008
	lab_wait 20 lab_listens host1 7008
}

@test "SIGKILL at any moment loses nothing and counts nothing twice" {
	local i pid
	supervised_start
	churn_peer
	put 30001 "$churn_host"
	watch ip "$lab_public" tcp 30001
	# Entries end while the others are made, so that there are events all the time.
	lab_exec gateway sysctl -q -w net.netfilter.nf_conntrack_tcp_timeout_time_wait=1
	lab_start talker0 client tests/helpers/port-peer talk "$lab_public" 30001 300
	lab_exec client tests/helpers/port-peer churn "$lab_public" 30001 12 >"$lab_dir/churned" &
	local client=$!
	for i in {1..25}; do
		settle
		sleep "0.$((RANDOM % 4))$((RANDOM % 10))" # where it is hit is left to chance
		pid=$(supervised_pid)
		kill -KILL "$pid"
		again() { [ "$(supervised_pid)" != "$pid" ]; }
		lab_wait 10 again
		lab_wait 10 curl -sf --unix-socket "$SOCKET" http://localhost/readyz
	done
	wait "$client"
	[ "$(cat "$lab_dir/churned")" -gt 100 ]
	echo "$(cat "$lab_dir/churned") connections"
	[ "$(grep -c 'with 1 descriptors' "$lab_dir/log/supervisor")" -ge 25 ]
	lab_stop talker0
	agrees 30001 "$(($(cat "$lab_dir/churned") + 1))"
	run ! grep 'set aside' "$lab_dir/log/supervisor"
	lab_stop supervisor
	gatewayd_start
	agrees 30001 "$(($(cat "$lab_dir/churned") + 1))"
}

@test "events that find no room are not lost" {
	local count
	lab_stop gatewayd
	gatewayd_start --event-buffer 16384
	churn_peer
	put 30001 "$churn_host"
	watch ip "$lab_public" tcp 30001
	count=$(lab_exec client tests/helpers/port-peer churn "$lab_public" 30001 2)
	[ "$count" -gt 100 ]
	# Not read for a while, the buffer is too small for sure.
	kill -STOP "$(lab_pid gatewayd)"
	lab_exec gateway conntrack -D -d "$lab_public" >/dev/null 2>&1
	kill -CONT "$(lab_pid gatewayd)"
	agrees 30001 "$count"
	[ "$(api GET /v1/status | jq .accounting.event_overruns)" -gt 0 ]
	lab_stop gatewayd
	gatewayd_start
}

@test "connections that begin and end while the kernel is listed again and again are counted once" {
	local client
	churn_peer
	put 30001 "$churn_host"
	watch ip "$lab_public" tcp 30001
	lab_exec gateway sysctl -q -w net.netfilter.nf_conntrack_tcp_timeout_time_wait=1
	lab_exec client tests/helpers/port-peer churn "$lab_public" 30001 4 >"$lab_dir/churned" &
	client=$!
	while kill -0 "$client" 2>/dev/null; do
		settle
		lab_exec gateway conntrack -D -p tcp --state TIME_WAIT >/dev/null 2>&1 || true
	done
	wait "$client"
	[ "$(cat "$lab_dir/churned")" -gt 100 ]
	agrees 30001 "$(cat "$lab_dir/churned")"
}

@test "without nf_conntrack_acct connections are counted, and the finding says what is not" {
	lab_exec gateway sysctl -q -w net.netfilter.nf_conntrack_acct=0
	put 30001 "$host1"
	talk 0.1 30001
	one() {
		settle
		[ "$(connections 30001)" = 1 ] && [ "$(api GET /v1/status | jq -r .accounting.counts)" = connections ]
	}
	lab_wait 20 one
	[ "$(counted 30001)" = '[0,0,0,0]' ]
}

# ---- metrics ----

@test "metrics are what promtool wants, and what the API says" {
	put 30001 "$host1,\"environment\":\"env-a\",\"service\":\"ssh\""
	watch ip "$lab_public" tcp 30001
	talk 0.2 30001
	agrees 30001 1
	api GET /metrics >"$BATS_TEST_TMPDIR/metrics"
	run -0 promtool check metrics <"$BATS_TEST_TMPDIR/metrics"
	[ -z "$output" ]
	labels='{address="203.0.113.10",protocol="tcp",port="30001",environment="env-a",service="ssh"'
	[ "$(metric "portico_gateway_mapping_bytes_total$labels,direction=\"in\"}")" = "$(oracle 30001 | jq '.[1]')" ]
	[ "$(metric "portico_gateway_mapping_bytes_total$labels,direction=\"out\"}")" = "$(oracle 30001 | jq '.[3]')" ]
	[ "$(metric "portico_gateway_mapping_packets_total$labels,direction=\"out\"}")" = "$(oracle 30001 | jq '.[2]')" ]
	[ "$(metric "portico_gateway_mapping_connections_total$labels}")" = 1 ]
	[ "$(metric portico_gateway_conntrack_limit)" -gt 0 ]
	[ "$(metric portico_gateway_conntrack_entries)" -gt 0 ]
	# Who connects from where is nobody's label.
	run ! grep -F 198.51.100 "$BATS_TEST_TMPDIR/metrics"
}

@test "series of mappings are limited to those with most traffic, or off" {
	local i
	lab_stop gatewayd
	gatewayd_start --per-mapping-metrics top:2
	for i in 1 2 3 4; do
		put "3000$i" "$host1"
	done
	talk 0.1 30001
	lab_start talker0 client tests/helpers/port-peer talk "$lab_public" 30002 30
	lab_start talker1 client tests/helpers/port-peer talk "$lab_public" 30003 30
	series() {
		settle
		api GET /metrics | grep -oE '^portico_gateway_mapping_connections_total.*port="[0-9]+' | grep -oE '[0-9]+$' | sort
	}
	busiest() { [ "$(series)" = $'30002\n30003' ]; }
	lab_wait 10 busiest
	api PUT /v1/mappings '[]'
	lab_wait 20 several_gone 2
	lab_stop gatewayd
	gatewayd_start --per-mapping-metrics off
	put 30001 "$host1"
	[ -z "$(series)" ]
	[ "$(metric portico_gateway_connections_total)" -gt 0 ]
	run -1 lab_exec gateway timeout 10 "$BUILD_DIR/gatewayd/gatewayd" --per-mapping-metrics top:0
	[[ $output == *'per-mapping-metrics: "top:0" is none of on, off and top:N'* ]]
	lab_stop gatewayd
	gatewayd_start
}
