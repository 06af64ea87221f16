#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck disable=SC2317 # bats calls the tests
# shellcheck disable=SC2154 # scripts/lab.sh sets lab_dir
# "port why": each hop of a port's way is broken for real, and named. BUILD_DIR names the build folder
# (default: build).

bats_require_minimum_version 1.5.0
load gateway

export ADDRESSES=203.0.113.10

# 7001 greets, 7022 accepts and is silent, 7023 greets as SSH, 7004 is dropped by the host.
setup_file() {
	export LAB=why-$$
	load_lab
	lab_init
	lab_network
	lab_start peer host1 tests/helpers/port-peer serve 7001 7004
	lab_start silent host1 nc -lk 7022
	lab_start ssh host1 sh -c 'while printf "SSH-2.0-test\r\n" | nc -lN 7023; do :; done'
	local listening
	for listening in 7004 7022 7023; do
		lab_wait 20 lab_listens host1 "$listening"
	done
	lab_exec host1 nft 'table inet f { chain i { type filter hook input priority 0; tcp dport 7004 drop; }; }'
	gatewayd_start
}

setup() {
	load_lab
	api PUT /v1/mappings '[]'
}

# What is there to see once a test has failed; bats prints it only then.
teardown() {
	load_lab
	tail -n 20 "$lab_dir/log/gatewayd"
}

# ---- words ----

port() { # port VERB ARGUMENT...
	lab_exec gateway "$BUILD_DIR/schedctl/schedctl" --gateway "$SOCKET" port "$@"
}

# map ADDRESS PORT [MORE-FIELDS]: 30001 leads there.
map() {
	api POST /v1/mappings:apply "{\"changes\":[{\"op\":\"put\",\"mapping\":{\"port\":30001,\"target\":{\"address\":\"$1\",\"port\":$2}${3+,$3}}}]}" |
		jq -e .put
}

# why [ARGUMENT...]: of port 30001; status and, in answer, its JSON.
why() {
	run --separate-stderr port why "${@:-30001}" -o json
	echo "$status $output $stderr"
	answer=$output
}

# step NAME: "RESULT MESSAGE" of a step.
step() {
	jq -r --arg name "$1" '.steps[] | select(.name == $name) | .result + " " + .message' <<<"$answer"
}

# broken_at NAME MESSAGE REMEDY: that step is named, says and mends so; schedctl ends with 1.
broken_at() {
	why
	[ "$status" -eq 1 ]
	[ "$(jq -r .broken <<<"$answer")" = "$1" ]
	[[ $(step "$1") == "fail "*"$2"* ]]
	[[ $(jq -r --arg name "$1" '.steps[] | select(.name == $name) | .remedy' <<<"$answer") == *"$3"* ]]
	[[ $stderr == "schedctl: port 30001/tcp is broken at \"$1\": "*"$2"* ]]
}

fine() {
	why "$@"
	[ "$status" -eq 0 ]
	[ "$(jq -r .broken <<<"$answer")" = null ]
}

# ---- hops ----

@test "a port that works has no broken hop" {
	map 10.0.1.2 7001
	fine
	[ "$(jq -r '[.steps[] | .name + "=" + .result] | join(" ")' <<<"$answer")" = \
		'mapping=ok element=ok address=ok listener=ok conntrack=ok connections=ok forwarding=ok route=ok neighbour=ok forward=ok source=ok connect=ok greeting=ok' ]
	[[ $(step greeting) == 'ok it greets with 7001 10.0.1.1' ]]
	[ "$(jq -c '[.address, .protocol, .port, .target]' <<<"$answer")" = \
		'["203.0.113.10","tcp",30001,{"address":"10.0.1.2","port":7001}]' ]
	fine 203.0.113.10:30001/tcp
	run port why 30001
	[[ ${lines[0]} == STEP*RESULT*WHAT*REMEDY ]]
	[[ ${lines[1]} == 'mapping '*' ok '*'203.0.113.10:30001/tcp leads to 10.0.1.2:7001'* ]]
}

@test "connections that are open are counted, and those that nobody answers are a warning" {
	map 10.0.1.2 7001
	lab_start talker client tests/helpers/port-peer talk "$lab_public" 30001 20
	answered() { why && [ "$(step connections)" = 'ok 1 connections are open, of which the host has answered 1' ]; }
	lab_wait 20 answered
	lab_stop talker
	map 10.0.1.2 7004 '"protocol":"udp"' # nobody receives there
	lab_exec host1 nft 'add rule inet f i udp dport 7004 drop'
	echo hello | lab_exec client nc -u -w1 "$lab_public" 30001
	unanswered() { why 30001/udp && [ "$(step connections)" = 'warn 1 connections are open, and the host has answered none' ]; }
	lab_wait 20 unanswered
}

@test "an IPv6 port is walked as well" {
	ip -n "$LAB-gateway" address add 2001:db8:2::1/64 dev to-host1 nodad
	ip -n "$LAB-gateway" address add 2001:db8:f::10/128 dev to-client nodad
	ip -n "$LAB-host1" address add 2001:db8:2::2/64 dev eth0 nodad
	lab_stop gatewayd
	ADDRESSES=$lab_public,$PUBLIC6 gatewayd_start
	map 2001:db8:2::2 7001 '"address":"2001:db8:f::10"'
	why '[2001:db8:f::10]:30001'
	[ "$(jq -r .broken <<<"$answer")" = forwarding ]
	lab_exec gateway sysctl -q -w net.ipv6.conf.all.forwarding=1
	fine '[2001:db8:f::10]:30001'
	map 2001:db8:2::99 7001 '"address":"2001:db8:f::10"'
	why '[2001:db8:f::10]:30001'
	[ "$(jq -r .broken <<<"$answer")" = neighbour ]
	lab_stop gatewayd
	gatewayd_start
}

@test "a port that is not mapped" {
	broken_at mapping 'is not mapped' 'port open 30001'
	[ "$(jq '.steps | length' <<<"$answer")" = 1 ]
	map 10.0.1.2 7001
	why 30001/udp
	[ "$status" -eq 1 ]
	why 203.0.113.99:30001
	[ "$status" -eq 1 ]
}

@test "no route to the target" {
	map 10.9.9.9 7001
	broken_at route 'there is no route to 10.9.9.9: Network is unreachable' 'ip route add 10.9.9.9'
	ip -n "$LAB-gateway" route add prohibit 10.9.9.0/24
	broken_at route 'Permission denied' 'ip route add'
	ip -n "$LAB-gateway" route delete prohibit 10.9.9.0/24
}

@test "a host that is down" {
	map 10.0.1.99 7001
	broken_at neighbour '10.0.1.99 does not answer on link to-host1' 'ip neighbour show 10.0.1.99 dev to-host1'
	[[ $(step connect) == 'fail 10.0.1.99:7001 '* ]]
	ip -n "$LAB-gateway" route add 10.8.0.0/16 via 10.0.1.98
	map 10.8.0.1 7001
	broken_at neighbour '10.0.1.98 does not answer on link to-host1' ''
	ip -n "$LAB-gateway" route delete 10.8.0.0/16
}

@test "a link that is down" {
	map 10.0.2.2 7001
	ip -n "$LAB-gateway" link set to-host2 down
	broken_at route 'there is no route to 10.0.2.2' ''
	ip -n "$LAB-gateway" link set to-host2 up
}

@test "a service that does not listen, and one that the host drops" {
	map 10.0.1.2 7999
	broken_at connect '10.0.1.2:7999 refuses: nothing listens there' 'ss -ltn sport = :7999'
	map 10.0.1.2 7004
	broken_at connect '10.0.1.2:7004 does not answer within 3 s' 'port 7004'
}

@test "an SSH service that greets, one that is silent, and one that is none" {
	map 10.0.1.2 7023 '"service":"ssh"'
	fine
	[ "$(step greeting)" = 'ok it greets with SSH-2.0-test' ]
	map 10.0.1.2 7022 '"service":"ssh"'
	broken_at greeting 'says nothing for 3 s' 'sshd'
	map 10.0.1.2 7001 '"service":"ssh"'
	broken_at greeting 'it is no SSH server: it says 7001' ''
	map 10.0.1.2 7022
	fine # nobody says that this one should speak first
	[ "$(step greeting)" = '' ]
}

@test "forwarding is off" {
	map 10.0.1.2 7001
	lab_exec gateway sysctl -q -w net.ipv4.ip_forward=0
	broken_at forwarding 'IPv4 forwarding is off' 'sysctl -w net.ipv4.ip_forward=1'
	lab_exec gateway sysctl -q -w net.ipv4.ip_forward=1
	fine
}

@test "a forward chain like Docker's drops it, and its remedy lets it pass" {
	map 10.0.1.2 7001
	lab_exec gateway iptables-nft -N DOCKER-USER
	lab_exec gateway iptables-nft -A FORWARD -j DOCKER-USER
	lab_exec gateway iptables-nft -P FORWARD DROP
	run lab_exec client timeout 2 tests/helpers/port-peer talk "$lab_public" 30001 0
	[[ $output != open* ]]
	broken_at forward 'chain FORWARD of table filter (Docker) drops' \
		'iptables -I DOCKER-USER -m conntrack --ctstate DNAT -j ACCEPT'
	lab_exec gateway sh -c "$(jq -r '.steps[] | select(.name == "forward") | .remedy' <<<"$answer")"
	fine
	run lab_exec client tests/helpers/port-peer talk "$lab_public" 30001 0
	[[ $output == open* ]]
	lab_exec gateway nft delete table ip filter
	lab_exec gateway nft 'table ip6 other { chain f { type filter hook forward priority 0; policy drop; }; }'
	fine # of another family
	lab_exec gateway nft delete table ip6 other
}

@test "a service of the gateway's own in the way, and an address that is missing, are warnings" {
	map 10.0.1.2 7001
	lab_start listener gateway tests/helpers/port-peer serve 30001
	in_the_way() { why && [[ $(step listener) == 'warn '*'on [::]:30001 (python3, pid '* ]]; }
	lab_wait 20 in_the_way
	fine
	lab_stop listener
	ip -n "$LAB-gateway" address delete "$lab_public/32" dev to-client
	missing() { why && [[ $(step address) == 'warn 203.0.113.10 is not on this machine'* ]]; }
	lab_wait 20 missing
	ip -n "$LAB-gateway" address add "$lab_public/32" dev to-client
	back() { why && [[ $(step address) == 'ok '* ]]; }
	lab_wait 20 back
}

@test "what cannot be seen from the gateway is unknown, and not broken" {
	map 10.0.1.2 7001 '"protocol":"udp"'
	fine 30001/udp
	[[ $(step connect) == 'unknown UDP has no handshake'* ]]
	lab_stop gatewayd
	gatewayd_start --source preserve
	map 10.0.1.2 7001
	fine
	[[ $(step source) == "unknown the host sees the client's address"* ]]
	lab_stop gatewayd
	gatewayd_start
}

# ---- questions ----

@test "questions that are not right are refused with a sentence" {
	wrong() { # wrong PATH FIELD SENTENCE
		answer=$(api GET "/v1/mappings/$1:why${4-}")
		echo "$1 -> $answer"
		[ "$(jq -r '.code + " " + .details.field' <<<"$answer")" = "invalid $2" ]
		[[ $(jq -r .message <<<"$answer") == *"$3"* ]]
	}
	wrong nowhere/tcp/1 address '"nowhere"'
	wrong 203.0.113.10/sctp/1 protocol '"sctp"'
	wrong 203.0.113.10/tcp/0 port '"0"'
	wrong 203.0.113.10/tcp/70000 port '"70000"'
	wrong 203.0.113.10/tcp/1 source '"nobody"' '?source=nobody'
	wrong 203.0.113.10/tcp/1 source 'family' '?source=2001:db8::1'
	run port why 30001x
	[ "$status" -eq 2 ]
	run port why 30001/sctp
	[ "$status" -eq 2 ]
	run port why 30001 --source me
	[ "$status" -eq 2 ]
}

@test "so many are answered at once, and further ones are told to come again" {
	local busy asking
	map 10.0.1.2 7004 # three seconds each
	curl -s --parallel --parallel-immediate --parallel-max 20 --max-time 60 --unix-socket "$SOCKET" \
		-o "$lab_dir/answer-#1" 'http://localhost/v1/mappings/203.0.113.10/tcp/30001:why#[1-20]' &
	asking=$!
	api GET /healthz | jq -e . # it goes on meanwhile
	kill -0 "$asking"
	wait "$asking"
	busy=$(grep -l '"code":"busy"' "$lab_dir"/answer-* | wc -l)
	echo "busy: $busy"
	[ "$busy" = 4 ]
	[ "$(grep -l '"broken":"connect"' "$lab_dir"/answer-* | wc -l)" = 16 ]
	# Clients that go away leave nothing behind.
	for _ in $(seq 16); do
		curl -s --max-time 0.2 --unix-socket "$SOCKET" \
			http://localhost/v1/mappings/203.0.113.10/tcp/30001:why >/dev/null || true
	done
	free() { map 10.0.1.2 7001 && fine; }
	lab_wait 20 free
}
