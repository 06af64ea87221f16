#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck disable=SC2317 # bats calls the tests
# shellcheck disable=SC2154 # scripts/lab.sh sets lab_dir
# Live connections through a gateway alone, as users see them: listed and ended with schedctl, over IPv4 and
# IPv6, TCP and UDP. BUILD_DIR names the build folder (default: build).

bats_require_minimum_version 1.5.0
load gateway

export ADDRESSES=203.0.113.10,$PUBLIC6

setup_file() {
	export LAB=sessions-$$
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
	put 30001 '"target":{"address":"10.0.1.2","port":7001},"environment":"env-a","service":"ssh"'
	put 30002 '"target":{"address":"10.0.2.2","port":7001},"environment":"env-b"'
	lab_exec gateway conntrack -D -g >/dev/null 2>&1 || true
}

teardown() {
	load_lab
	tail -n 20 "$lab_dir/log/gatewayd"
}

put() { # put PORT FIELDS
	[ "$(api POST /v1/mappings:apply "{\"changes\":[{\"op\":\"put\",\"mapping\":{\"port\":$1,$2}}]}" | jq .put)" = 1 ]
}

schedctl() {
	"$BUILD_DIR/schedctl/schedctl" --gateway "$SOCKET" "$@"
}

# talk NAME PORT [ADDRESS]: a connection that stays open; waits until it is.
talk() {
	rm -f "$lab_dir/log/$1"
	lab_start "$1" client tests/helpers/port-peer talk "${3:-$lab_public}" "$2" 300
	lab_wait 20 says "$1" open
}

# says NAME WORD
says() {
	grep -q "^$2" "$lab_dir/log/$1"
}

ids() { # ids [OPTION...]
	schedctl -o name session list "$@" | sort
}

@test "a session is listed with who, where to, whose, its state and its age" {
	talk one 30001
	run -0 schedctl -o json session list
	[ "$(jq '.items | length' <<<"$output")" = 1 ]
	[ "$(jq -c '.items[0] | [.protocol, .address, .port, .source.address, .target, .environment, .service, .state, .draining]' <<<"$output")" = \
		'["tcp","203.0.113.10",30001,"198.51.100.2",{"address":"10.0.1.2","port":7001},"env-a","ssh","established",false]' ]
	[ "$(jq '.items[0] | .age_seconds < 60 and .bytes_in > 100 and .packets_out > 1 and .bytes == .bytes_in + .bytes_out' <<<"$output")" = true ]
	run -0 schedctl session list
	[[ ${lines[0]} == ID*SOURCE*PORT*TARGET*ENVIRONMENT*STATE*AGE*IN*OUT ]]
	[[ ${lines[1]} == *198.51.100.2:*203.0.113.10:30001/tcp*10.0.1.2:7001*env-a*established* ]]
}

@test "sessions are chosen by port, environment and source" {
	talk one 30001
	talk two 30002
	[ "$(ids | wc -l)" = 2 ]
	[ "$(schedctl -o json session list --port 30002 | jq -c '[.items[].environment]')" = '["env-b"]' ]
	[ "$(schedctl -o json session list --environment env-a | jq -c '[.items[].port]')" = '[30001]' ]
	[ "$(ids --source 198.51.100.0/24 | wc -l)" = 2 ]
	[ "$(ids --source 198.51.100.3 | wc -l)" = 0 ]
	[ "$(ids --source 2001:db8::/32 | wc -l)" = 0 ]
}

@test "ending a session ends this connection and no other of the port" {
	local id
	talk one 30001
	id=$(ids)
	talk two 30001
	run -0 schedctl session end "$id"
	lab_wait 20 says one ended
	[ "$(ids)" != "$id" ]
	[ "$(ids | wc -l)" = 1 ]
	run -0 lab_exec gateway conntrack -L -p tcp -d "$lab_public" --state ESTABLISHED
	[ "$(grep -c 'dport=30001' <<<"$output")" = 1 ]
	says two open
	run ! says two ended
	run -3 schedctl session end "$id"
	[[ $output == "schedctl: there is no session \"$id\"" ]]
	run -3 schedctl session end no-such-id
}

@test "a connection of another's translation is none of our sessions" {
	lab_exec gateway nft 'table ip other { chain c { type nat hook prerouting priority -90; ip daddr 203.0.113.10 tcp dport 30009 dnat to 10.0.1.2:7002; }; }'
	talk foreign 30009
	[ "$(ids | wc -l)" = 0 ]
	lab_exec gateway nft delete table ip other
}

@test "IPv6 sessions are listed and ended" {
	put 30006 "\"address\":\"$PUBLIC6\",\"target\":{\"address\":\"2001:db8:2::2\",\"port\":7002}"
	talk six 30006 "$PUBLIC6"
	[ "$(schedctl -o json session list --source 2001:db8:1::/64 | jq -c '.items[0] | [.address, .source.address, .target.address]')" = \
		'["2001:db8:f::10","2001:db8:1::2","2001:db8:2::2"]' ]
	run -0 schedctl session list
	[[ ${lines[1]} == *'[2001:db8:1::2]:'*'[2001:db8:f::10]:30006/tcp'*'[2001:db8:2::2]:7002'* ]]
	schedctl session end "$(ids --port 30006)"
	lab_wait 20 says six ended
}

@test "UDP flows are sessions, and one that is ended begins anew with the next datagram" {
	local id
	put 30053 '"protocol":"udp","target":{"address":"10.0.1.2","port":7001}'
	# shellcheck disable=SC2016 # the shell of the client expands it
	lab_exec client bash -c 'echo hello | nc -u -w20 -W1 -p 40053 '"$lab_public"' 30053'
	id=$(ids --port 30053)
	[ "$(schedctl -o json session list --port 30053 | jq -c '.items[0] | [.protocol, .source.port, .state, .packets_in, .packets_out]')" = \
		'["udp",40053,"replied",1,1]' ]
	schedctl session end "$id"
	[ -z "$(ids --port 30053)" ]
	lab_exec client bash -c 'echo hello | nc -u -w20 -W1 -p 40053 '"$lab_public"' 30053'
	[ "$(schedctl -o json session list --port 30053 | jq -c '.items[0].packets_in')" = 1 ]
}

@test "a session that drains is listed as such, and can be ended" {
	put 30003 '"target":{"address":"10.0.1.2","port":7001},"on_remove":"drain"'
	talk drains 30003
	[ "$(ids --port 30003 | wc -l)" = 1 ]
	api POST /v1/mappings:apply "{\"changes\":[{\"op\":\"delete\",\"port\":30003}]}"
	[ "$(schedctl -o json session list --port 30003 | jq -c '.items[0] | [.draining, .state]')" = '[true,"established"]' ]
	lab_stop gatewayd KILL
	gatewayd_start
	[ "$(schedctl -o json session list --port 30003 | jq -c '[.items[].draining]')" = '[true]' ]
	schedctl session end "$(ids --port 30003)"
	lab_wait 20 says drains ended
}

@test "the age of a session outlives gatewayd" {
	local since
	talk one 30001
	since=$(schedctl -o json session list | jq -r '.items[0].since')
	lab_stop gatewayd KILL
	gatewayd_start
	[ "$(schedctl -o json session list | jq -r '.items[0].since')" = "$since" ]
}

@test "three thousand sessions come in pages, each once" {
	lab_start many client python3 -c '
import resource, socket, sys, time
resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))
kept = [socket.create_connection((sys.argv[1], 30001)) for _ in range(3000)]
print("open", flush=True)
time.sleep(600)' "$lab_public"
	lab_wait 60 says many open
	[ "$(ids | uniq | wc -l)" = 3000 ]
	[ "$(api GET '/v1/sessions?limit=1000' | jq '.items | length')" = 1000 ]
	[ "$(api GET '/v1/sessions?limit=1000' | jq '.sessions')" = 3000 ]
	lab_stop many
}

# The kernel ends a reset connection when its client comes again from the same port, and may give the new one
# the place and with it the number of the old one.
@test "a connection that follows a reset one of the same client is listed at once" {
	lab_exec client python3 - "$lab_public" "$SOCKET" <<'END'
import http.client, json, socket, struct, sys

def talk(port):
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.bind(("", port))
    client.connect((sys.argv[1], 30001))
    client.recv(100)
    return client

def listed(port):
    gateway = http.client.HTTPConnection("localhost")
    gateway.sock = socket.socket(socket.AF_UNIX)
    gateway.sock.connect(sys.argv[2])
    gateway.request("GET", "/v1/sessions?limit=1000")
    items = json.load(gateway.getresponse())["items"]
    return [item["state"] for item in items if item["source"]["port"] == port]

for port in range(20000, 20030):
    talk(port).close()
    second = talk(port)
    states = listed(port)
    assert states == ["established"], f"{port}: {states}"
    second.close()
END
}

# bad FIELD QUERY
bad() {
	local answer
	answer=$(curl -s --unix-socket "$SOCKET" -w '\n%{http_code}' "http://localhost/v1/sessions?$2")
	echo "$2 -> $answer"
	[ "$(tail -n 1 <<<"$answer")" = 400 ]
	[ "$(head -n 1 <<<"$answer" | jq -r .details.field)" = "$1" ]
	[[ $(head -n 1 <<<"$answer" | jq -r .message) == *"$1"* ]]
}

@test "queries that are not right are refused with their field" {
	bad port port=0
	bad port port=ssh
	bad source source=198.51.100.256
	bad source source=198.51.100.2/24
	bad limit limit=0
	bad limit limit=1001
	bad limit limit=-1
	bad cursor cursor=xyz
	bad colour colour=red
	[ "$(curl -s -o /dev/null -w '%{http_code}' --unix-socket "$SOCKET" -X DELETE http://localhost/v1/sessions/0123456789abcdef)" = 404 ]
	run -2 schedctl session list --port 70000
	run -2 schedctl session list --source somewhere
	run -2 schedctl session list --environment 'a&b'
	run -2 schedctl session end
}

@test "answers are as the description of the API says" {
	talk one 30001
	api GET /v1/sessions | tests/helpers/check-answer proto/gateway.yaml Sessions
	api GET '/v1/sessions?limit=1&port=9' | tests/helpers/check-answer proto/gateway.yaml Sessions
	api GET /v1/mappings | tests/helpers/check-answer proto/gateway.yaml Mappings
}

@test "top shows the busiest mappings, once where there is no terminal and again and again on one" {
	talk one 30001
	# Rates are over a whole listing: of the next one at the latest.
	busy() { [ "$(schedctl -o json top | jq '[.items[] | select(.port == 30001) | .bytes_in_per_second > 100] | any')" = true ]; }
	lab_wait 15 busy
	[ "$(schedctl -o name top --limit 1)" = 203.0.113.10:30001/tcp ]
	api GET '/v1/top?by=connections&limit=5' | tests/helpers/check-answer proto/gateway.yaml Top
	run -0 schedctl top
	[[ ${lines[0]} =~ ^sessions\ [1-9] ]]
	[[ $output == *"IN/S"*"203.0.113.10:30001/tcp"*env-a* ]]
	[[ $output != *$'\033'* ]]
	run -2 schedctl top --by colour
	run -2 schedctl top --limit 0
	run -2 schedctl top --interval 1ms
	[ "$(api GET '/v1/top?by=colour' | jq -r .details.field)" = by ]
	[ "$(api GET '/v1/top?limit=1001' | jq -r .details.field)" = limit ]
	# script gives it a terminal; it draws until it is ended.
	TERM=xterm lab_start top - script -qec "$BUILD_DIR/schedctl/schedctl --gateway $SOCKET top --interval 200ms" /dev/null
	drawn() { [ "$(grep -o $'\033\\[H' "$lab_dir/log/top" | wc -l)" -ge 3 ]; }
	lab_wait 20 drawn
	lab_stop top
}
