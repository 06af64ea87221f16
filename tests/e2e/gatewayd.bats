#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck disable=SC2317 # bats calls the tests
# shellcheck disable=SC2154 # scripts/lab.sh sets lab_dir
# gatewayd alone, without a scheduler, from outside: its local API, the kernel's table, and real connections
# between a client, the gateway and two hosts in network namespaces. BUILD_DIR names the build folder
# (default: build).

bats_require_minimum_version 1.5.0
load gateway

export ADDRESSES=203.0.113.10,$PUBLIC6

setup_file() {
	export LAB=gatewayd-$$
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
	replace '[]'
}

# What is there to see once a test has failed; bats prints it only then.
teardown() {
	load_lab
	tail -n 20 "$lab_dir/log/gatewayd"
}

# ---- words ----

apply() { # apply CHANGE...: all in one request
	api POST /v1/mappings:apply "{\"changes\":[$(IFS=, && echo "$*")]}"
}

replace() {
	api PUT /v1/mappings "$1"
}

put() { # put PORT TARGET-ADDRESS TARGET-PORT [MORE-FIELDS]
	echo "{\"op\":\"put\",\"mapping\":{\"port\":$1,\"target\":{\"address\":\"$2\",\"port\":$3}${4+,$4}}}"
}

delete() { # delete PORT [PROTOCOL]
	echo "{\"op\":\"delete\",\"address\":\"$lab_public\",\"protocol\":\"${2:-tcp}\",\"port\":$1}"
}

status_field() {
	api GET /v1/status | jq -r "$1"
}

ctl() {
	"$BUILD_DIR/schedctl/schedctl" --gateway "$SOCKET" "$@"
}

table() {
	lab_exec gateway nft list table inet portico
}

# greet PORT [ADDRESS]: what the host says to a client's new connection, "refused" where there is none.
greet() {
	lab_exec client tests/helpers/port-peer talk "${2:-$lab_public}" "$1" 0 |
		sed -e 's/^open //' -e '/^alive$/d' -e 's/^ended$/refused/'
}

greet_udp() { # greet_udp PORT SOURCE-PORT
	echo hello | lab_exec client timeout 10 nc -u -w3 -p "$2" "$lab_public" "$1"
}

# refused STATUS CODE FIELD SENTENCE METHOD PATH BODY: the answer has these, and nothing is changed.
refused() {
	local status=$1 code=$2 field=$3 sentence=$4 before answer
	shift 4
	before=$(api GET /v1/mappings)
	answer=$(curl -s --max-time 60 --unix-socket "$SOCKET" -X "$1" --data-binary "$3" \
		-w '\n%{http_code}' "http://localhost$2")
	echo "$1 $2 $3 -> $answer"
	[ "$(tail -n 1 <<<"$answer")" = "$status" ]
	answer=$(head -n 1 <<<"$answer")
	[ "$(jq -r .code <<<"$answer")" = "$code" ]
	[ "$(jq -r '.details.field // ""' <<<"$answer")" = "$field" ]
	[[ $(jq -r .message <<<"$answer") == *"$sentence"* ]]
	[ "$(api GET /v1/mappings)" = "$before" ]
}

# ---- ports ----

@test "a port leads to its host, and no other port does" {
	apply "$(put 30001 10.0.1.2 7001)" "$(put 30002 10.0.2.2 7001)"
	[ "$(greet 30001)" = "7001 10.0.1.1" ]
	[ "$(greet 30002)" = "7001 10.0.2.1" ]
	[ "$(greet 30003)" = refused ]
	[ "$(greet 30001 198.51.100.1)" = refused ] # another address of the gateway
}

@test "the gateway itself reaches its ports" {
	apply "$(put 30001 10.0.1.2 7001)"
	run lab_exec gateway tests/helpers/port-peer talk "$lab_public" 30001 0
	[ "${lines[0]}" = "open 7001 10.0.1.1" ]
}

@test "IPv6 ports lead to IPv6 hosts" {
	apply "$(put 30001 2001:db8:2::2 7002 "\"address\":\"$PUBLIC6\"")"
	[ "$(greet 30001 "$PUBLIC6")" = "7002 2001:db8:2::1" ]
	[ "$(greet 30001)" = refused ]
}

@test "UDP ports lead to their host; a flow follows its mapping when that changes" {
	apply "$(put 30001 10.0.1.2 7001 '"protocol":"udp"')"
	[ "$(greet_udp 30001 40001)" = "7001 10.0.1.1" ]
	apply "$(put 30001 10.0.2.2 7001 '"protocol":"udp"')"
	[ "$(greet_udp 30001 40001)" = "7001 10.0.2.1" ]
	[ "$(greet 30001)" = refused ]
}

@test "the table is readable, with each mapping and whose it is" {
	apply "$(put 30001 10.0.1.2 7001 '"environment":"env-a","service":"ssh"')"
	run table
	[[ $output == *'203.0.113.10 . tcp . 30001 comment "env-a ssh" : 10.0.1.2 . 7001'* ]]
}

@test "a mapping is listed as it was put, by port and by environment" {
	apply "$(put 30001 10.0.1.2 7001 '"environment":"env-a","service":"ssh","on_remove":"drain"')" \
		"$(put 30002 10.0.1.2 7002 '"environment":"env-b"')"
	[ "$(api GET /v1/mappings | jq -c '[.items[].port]')" = '[30001,30002]' ]
	[ "$(api GET '/v1/mappings?port=30002' | jq -c '[.items[].environment]')" = '["env-b"]' ]
	[ "$(api GET '/v1/mappings?environment=env-a' | jq -c '.items | map(with_entries(select(.key | test("^(revision|connections|(bytes|packets).*)$") | not)))')" = \
		'[{"address":"203.0.113.10","protocol":"tcp","port":30001,"target":{"address":"10.0.1.2","port":7001},"environment":"env-a","service":"ssh","on_remove":"drain"}]' ]
}

@test "on a gateway of its own schedctl needs no word of where to ask" {
	lab_schedctl_here port open 30001 10.0.1.2:7001
	[ "$(lab_schedctl_here -o name port list)" = "$lab_public:30001/tcp" ]
	lab_schedctl_here session list
	run lab_schedctl_here port why 30009
	[[ $output == *'is broken at "mapping"'* ]]
	run lab_schedctl_here env list
	[ "$status" -eq 5 ]
	[[ $output == *'cannot reach schedd at http://127.0.0.1:8000'* ]]
	# Who names a schedd means it.
	run lab_schedctl_here --server http://127.0.0.1:9 port list
	[ "$status" -eq 5 ]
	lab_schedctl_here port close 30001
	[ -z "$(lab_schedctl_here -o name port list)" ]
}

@test "schedctl opens and closes ports by the names that it lists" {
	ctl port open 30001 10.0.1.2:7001
	ctl port open "$lab_public:30002/udp" 10.0.1.2:7001
	ctl port open 30003/udp 10.0.1.2:7001
	[ "$(ctl -o name port list | xargs)" = \
		"$lab_public:30001/tcp $lab_public:30002/udp $lab_public:30003/udp" ]
	run ctl port open "$lab_public:30001/tcp" 10.0.1.3:7001
	[ "$status" -eq 4 ]
	[[ $output == *'port 30001/tcp already leads to 10.0.1.2 port 7001'* ]]
	run ctl port close 30002/tcp
	[ "$status" -eq 3 ]
	run ctl port close 30002/udp --protocol tcp
	[ "$status" -eq 2 ]
	[[ $output == *'--protocol tcp is not what "30002/udp" says'* ]]
	run ctl port close "$lab_public:30002/udp" --address 203.0.113.11
	[ "$status" -eq 2 ]
	run ctl port close "203.0.113.11:30002/udp"
	[ "$status" -eq 3 ]
	ctl -o name port list | while read -r name; do ctl port close "$name"; done
	[ -z "$(ctl -o name port list)" ]
}

@test "a replacement names all that stays" {
	apply "$(put 30001 10.0.1.2 7001)" "$(put 30002 10.0.1.2 7002)"
	run replace '{"mappings":[{"port":30001,"target":{"address":"10.0.2.2","port":7001}},{"port":30003,"target":{"address":"10.0.1.2","port":7002}}]}'
	[ "$(jq -c '[.put, .deleted]' <<<"$output")" = '[2,1]' ]
	[ "$(greet 30001)" = "7001 10.0.2.1" ]
	[ "$(greet 30002)" = refused ]
	[ "$(greet 30003)" = "7002 10.0.1.1" ]
}

@test "two thousand mappings in one request are all there" {
	run replace "$(seq 20001 22000 | jq -cs '[.[] | {port: ., target: {address: "10.0.1.2", port: 7001}}]')"
	[ "$(jq .put <<<"$output")" = 2000 ]
	[ "$(table | grep -c ' : 10.0.1.2 . 7001')" = 2000 ]
	[ "$(greet 22000)" = "7001 10.0.1.1" ]
}

# ---- connections ----

# talks FILE WORD: the client has said so.
talks() {
	grep -q "^$2" "$lab_dir/log/$1"
}

@test "revoke ends the connections of a mapping that is removed, and no others" {
	apply "$(put 30001 10.0.1.2 7001)" "$(put 30002 10.0.1.2 7002)"
	lab_start revoked client tests/helpers/port-peer talk "$lab_public" 30001 60
	lab_start other client tests/helpers/port-peer talk "$lab_public" 30002 4
	lab_wait 20 talks revoked open
	lab_wait 20 talks other open
	apply "$(delete 30001)"
	lab_wait 20 talks revoked ended
	lab_wait 10 talks other alive
}

@test "drain lets the connections of a mapping that is removed go on, and takes no new ones" {
	apply "$(put 30001 10.0.1.2 7001 '"on_remove":"drain"')"
	lab_start drained client tests/helpers/port-peer talk "$lab_public" 30001 4
	lab_wait 20 talks drained open
	apply "$(delete 30001)"
	[ "$(greet 30001)" = refused ]
	lab_wait 10 talks drained alive
}

@test "a connection to the old target ends when its mapping is led elsewhere" {
	apply "$(put 30001 10.0.1.2 7001)"
	lab_start moved client tests/helpers/port-peer talk "$lab_public" 30001 60
	lab_wait 20 talks moved open
	apply "$(put 30001 10.0.2.2 7001)"
	lab_wait 20 talks moved ended
	[ "$(greet 30001)" = "7001 10.0.2.1" ]
}

# ---- what lasts ----

@test "ports and connections outlive SIGKILL; the next gatewayd adopts the table without a change" {
	apply "$(put 30001 10.0.1.2 7001 '"environment":"env-a","service":"ssh"')" \
		"$(put 30002 2001:db8:2::2 7002 "\"address\":\"$PUBLIC6\"")"
	local before
	before=$(lab_exec gateway nft -a list ruleset)
	lab_start outlives client tests/helpers/port-peer talk "$lab_public" 30001 4
	lab_wait 20 talks outlives open
	lab_stop gatewayd KILL
	[ "$(greet 30001)" = "7001 10.0.1.1" ]
	gatewayd_start
	[ "$(lab_exec gateway nft -a list ruleset)" = "$before" ] # handles too: nothing was made anew
	[ "$(status_field '[.transactions[]] | add')" = 0 ]
	[ "$(status_field '[.mappings, .desired, .in_sync] | tostring')" = '[2,2,true]' ]
	[ "$(api GET /v1/mappings | jq -r '.items[0].environment')" = env-a ]
	lab_wait 10 talks outlives alive
}

has_no_map6() {
	[[ $(table) != *mapping6* ]]
}

@test "the map of IPv6 comes with its first mapping and goes with a comparison; sessions of IPv4 notice nothing" {
	lab_stop gatewayd KILL
	gatewayd_start --audit-interval 1s
	apply "$(put 30001 10.0.1.2 7001)"
	lab_wait 20 has_no_map6 # which earlier tests used
	lab_stop gatewayd KILL
	gatewayd_start
	lab_start steady client tests/helpers/port-peer talk "$lab_public" 30001 5
	lab_wait 20 talks steady open
	apply "$(put 30002 2001:db8:2::2 7002 "\"address\":\"$PUBLIC6\"")"
	[ "$(greet 30002 "$PUBLIC6")" = "7002 2001:db8:2::1" ]
	replace "[{\"port\":30001,\"target\":{\"address\":\"10.0.1.2\",\"port\":7001}}]"
	[[ $(table) == *'dnat ip6 to'*'@mapping6'* ]]
	[ "$(greet 30002 "$PUBLIC6")" = refused ]
	lab_stop gatewayd KILL
	gatewayd_start --audit-interval 1s
	tail -n 5 "$lab_dir/log/gatewayd" | grep -q 'adopted mappings=1 changes=0 structure=intact'
	lab_wait 20 has_no_map6
	[ "$(greet 30001)" = "7001 10.0.1.1" ]
	lab_wait 10 talks steady alive
}

# many PORT: twenty thousand mappings that lead to it.
many() {
	seq 20001 40000 | jq -cs --argjson port "$1" '[.[] | {port: ., target: {address: "10.0.1.2", port: $port}}]'
}

@test "SIGKILL in the middle of an update leaves the old mappings or the new ones, never some of both" {
	local old=7001 new=7002 delay client pid counts
	many 7001 >"$lab_dir/to-7001"
	many 7002 >"$lab_dir/to-7002"
	replace "@$lab_dir/to-$old"
	for delay in 0 0.05 0.1 0.15 0.2 0.25 0.3; do
		pid=$(lab_pid gatewayd)
		api PUT /v1/mappings "@$lab_dir/to-$new" &
		client=$!
		sleep "$delay" # where in the update it is hit is left to chance
		kill -KILL "$pid"
		wait "$client" || true
		lab_stop gatewayd KILL
		table >"$lab_dir/after"
		counts="$(grep -c " : 10.0.1.2 . $old" "$lab_dir/after" || true) $(grep -c " : 10.0.1.2 . $new" "$lab_dir/after" || true)"
		echo "after $delay s: $counts"
		[ "$counts" = "20000 0" ] || [ "$counts" = "0 20000" ]
		gatewayd_start
		[ "$(status_field '[.mappings, .desired] | tostring')" = '[20000,20000]' ]
		[ "$(status_field '[.transactions[]] | add')" = 0 ]
		if [ "$counts" = "0 20000" ]; then
			new=$old
			old=$((14003 - old))
		fi
	done
}

@test "another's flush of the ruleset is repaired within a second" {
	apply "$(put 30001 10.0.1.2 7001 '"environment":"env-a","service":"ssh"')"
	local before try
	before=$(table)
	repaired() { [ "$(table)" = "$before" ]; }
	# Timely once is enough: the machine may have other things to do.
	for try in 1 2 3 4 5; do
		lab_exec gateway nft flush ruleset
		lab_wait 2 repaired && break # whole seconds: one at least
		[ "$try" -lt 5 ]
		lab_wait 20 repaired
	done
	[ "$(greet 30001)" = "7001 10.0.1.1" ]
	[[ $(tail -n 5 "$lab_dir/log/gatewayd") == *'changed by someone else, looking who="nft (pid '* ]]
}

@test "another's element and another's rule in the table are removed, its own table is not touched" {
	apply "$(put 30001 10.0.1.2 7001)"
	local before
	before=$(table)
	lab_exec gateway nft add table ip other
	lab_exec gateway nft "add map ip other m { type inet_service : inet_service; elements = { 1 : 2 }; }"
	lab_exec gateway nft 'add element inet portico mapping4 { 203.0.113.10 . tcp . 30009 : 10.0.1.2 . 7002 }'
	lab_exec gateway nft 'insert rule inet portico prerouting tcp dport 30001 drop'
	repaired() { [ "$(table)" = "$before" ]; }
	lab_wait 20 repaired
	[[ $(lab_exec gateway nft list table ip other) == *'1 : 2'* ]]
	lab_exec gateway nft delete table ip other
}

@test "a second gatewayd in the namespace is refused and does no harm" {
	apply "$(put 30001 10.0.1.2 7001)"
	run lab_exec gateway timeout 10 "$BUILD_DIR/gatewayd/gatewayd" --addresses "$lab_public" \
		--socket "$lab_dir/second.sock" --run-directory "$lab_dir" \
		--state-directory "$lab_dir/second-state" --metrics-listen ''
	echo "$status $output"
	[ "$status" -eq 1 ]
	[[ $output == *"another gatewayd (pid $(lab_pid gatewayd)) holds this network namespace"* ]]
	[ "$(greet 30001)" = "7001 10.0.1.1" ]
}

@test "without CAP_NET_ADMIN it says so and ends with 1" {
	run lab_exec host1 setpriv --bounding-set=-net_admin --inh-caps=-net_admin timeout 10 \
		"$BUILD_DIR/gatewayd/gatewayd" --addresses "$lab_public" --socket "$lab_dir/bare.sock" \
		--run-directory "$lab_dir" --state-directory "$lab_dir/bare-state" --metrics-listen ''
	echo "$status $output"
	[ "$status" -eq 1 ]
	[[ $output == *"CAP_NET_ADMIN is missing"*"run as root, or with AmbientCapabilities=CAP_NET_ADMIN"* ]]
	run lab_exec host1 setpriv --bounding-set=-net_admin --inh-caps=-net_admin timeout 10 \
		"$BUILD_DIR/gatewayd/gatewayd" --addresses "$lab_public" --check
	echo "$status $output"
	[ "$status" -eq 1 ]
	[[ $output == *"error: CAP_NET_ADMIN is missing"*"remedy: "* ]]
}

# ---- refusals ----

# bad CODE FIELD SENTENCE MAPPING: a mapping that is not taken, by either request.
bad() {
	refused 400 "$1" "changes[1].mapping$2" "$3" POST /v1/mappings:apply \
		"{\"changes\":[$(put 30001 10.0.1.2 7001),{\"op\":\"put\",\"mapping\":$4}]}"
	refused 400 "$1" "mappings[0]$2" "$3" PUT /v1/mappings "[$4]"
}

@test "a mapping that is not right is refused with its field, and nothing of its request is done" {
	local target='"target":{"address":"10.0.1.2","port":7001}'
	apply "$(put 30005 10.0.1.2 7001)"
	bad missing .port port '{'"$target"'}'
	bad missing .target target '{"port":1}'
	bad missing .target.port port '{"port":1,"target":{"address":"10.0.1.2"}}'
	bad missing .target.address address '{"port":1,"target":{"port":1}}'
	bad unknown_field .colour colour '{"port":1,"colour":"red",'"$target"'}'
	bad invalid .port port '{"port":"30001",'"$target"'}'
	bad out_of_range .port 65535 '{"port":0,'"$target"'}'
	bad out_of_range .port 65535 '{"port":65536,'"$target"'}'
	bad out_of_range .port 65535 '{"port":-1,'"$target"'}'
	bad invalid .port port '{"port":1.5,'"$target"'}'
	bad out_of_range .target.port 65535 '{"port":1,"target":{"address":"10.0.1.2","port":65536}}'
	bad invalid .target.address 10.0.1.256 '{"port":1,"target":{"address":"10.0.1.256","port":1}}'
	bad invalid .target.address loopback '{"port":1,"target":{"address":"127.0.0.1","port":1}}'
	bad invalid .target.address '' '{"port":1,"target":{"address":"224.0.0.1","port":1}}'
	bad invalid .target.address '' '{"port":1,"target":{"address":"2001:db8::1","port":1}}'
	bad invalid .protocol sctp '{"port":1,"protocol":"sctp",'"$target"'}'
	bad not_ours .address 192.0.2.1 '{"port":1,"address":"192.0.2.1",'"$target"'}'
	bad invalid .on_remove '' '{"port":1,"on_remove":"explode",'"$target"'}'
	bad invalid .environment '' '{"port":1,"environment":"Not A Name",'"$target"'}'
	bad invalid .expires_at 'in the past' '{"port":1,"expires_at":"2020-01-01T00:00:00Z",'"$target"'}'
	bad out_of_range .max_connections max_connections '{"port":1,"max_connections":0,'"$target"'}'
	bad invalid '.allow[0]' 198.51.100.1/24 '{"port":1,"allow":["198.51.100.1/24"],'"$target"'}'
	bad invalid '.allow[0]' family '{"port":1,"allow":["2001:db8::/32"],'"$target"'}'
	[ "$(greet 30005)" = "7001 10.0.1.1" ]
}

@test "a request that is not right is refused with a sentence" {
	local one='{"port":30001,"target":{"address":"10.0.1.2","port":7001}}'
	refused 400 malformed '' 'line 1' PUT /v1/mappings '[{'
	refused 400 malformed '' '' PUT /v1/mappings ''
	refused 400 malformed '' '' PUT /v1/mappings '[{"port":1,"port":2}]'
	refused 400 missing mappings mappings PUT /v1/mappings '{}'
	refused 400 invalid mappings mappings PUT /v1/mappings '{"mappings":5}'
	refused 400 invalid 'mappings[0]' '' PUT /v1/mappings '[7]'
	refused 400 missing changes changes POST /v1/mappings:apply '{}'
	refused 400 missing 'changes[0].op' 'put' POST /v1/mappings:apply '{"changes":[{}]}'
	refused 400 invalid 'changes[0].op' 'put' POST /v1/mappings:apply '{"changes":[{"op":"move"}]}'
	refused 400 missing 'changes[0].port' port POST /v1/mappings:apply '{"changes":[{"op":"delete"}]}'
	refused 409 conflict 'mappings[1]' '203.0.113.10:30001/tcp' PUT /v1/mappings "[$one,$one]"
	refused 409 conflict 'changes[1]' '203.0.113.10:30001/tcp' POST /v1/mappings:apply \
		"{\"changes\":[$(put 30001 10.0.1.2 7001),$(delete 30001)]}"
	refused 404 not_found '' '' GET /v1/nowhere ''
	refused 405 method_not_allowed '' 'GET, HEAD, PUT' DELETE /v1/mappings ''
	refused 405 method_not_allowed '' 'POST only' OPTIONS /v1/mappings:apply ''
	refused 404 not_found '' '' POST /v1/mappings:empty ''
	refused 400 invalid port 70000 GET '/v1/mappings?port=70000' ''
	refused 400 invalid environment empty GET '/v1/mappings?environment=' ''
	refused 400 invalid environment empty GET '/v1/sessions?environment=' ''
	local method path body
	while read -r method path body; do
		refused 400 unknown_field colour 'no parameter colour' "$method" "$path?colour=red" "$body"
	done <<-END
		GET /v1/mappings
		PUT /v1/mappings []
		POST /v1/mappings:apply {"changes":[]}
		GET /v1/mappings/$lab_public/tcp/1:why
		GET /v1/sessions
		GET /v1/top
		GET /v1/status
		GET /v1/bans
		PUT /v1/bans {"bans":[]}
		DELETE /v1/bans
	END
}

@test "a body over the limit is refused and the gateway goes on" {
	truncate -s 97M "$lab_dir/large"
	refused 413 too_large '' '' PUT /v1/mappings "@$lab_dir/large"
	rm "$lab_dir/large"
}

@test "more mappings than the map holds are refused as a whole" {
	lab_stop gatewayd
	gatewayd_start --map-size 3
	apply "$(put 30001 10.0.1.2 7001)"
	refused 409 map_full '' 'raise map-size' POST /v1/mappings:apply \
		"{\"changes\":[$(put 30002 10.0.1.2 7001),$(put 30003 10.0.1.2 7001),$(put 30004 10.0.1.2 7001)]}"
	[ "$(greet 30001)" = "7001 10.0.1.1" ]
	[ "$(greet 30002)" = refused ]
	# A map that is full is no lack of the kernel's.
	apply "$(put 30002 10.0.1.2 7001)" "$(put 30003 10.0.1.2 7001 '"max_connections":5')"
	run lab_exec gateway "$BUILD_DIR/gatewayd/gatewayd" --addresses "$lab_public" --map-size 3 --check
	echo "$output"
	[ "$status" -eq 0 ]
	[[ $output != *'cannot enforce'* ]]
	lab_stop gatewayd
	gatewayd_start # the map is made anew for its new size, with what was in it
	[ "$(greet 30001)" = "7001 10.0.1.1" ]
}

@test "options that are not right end it with 1 and a sentence" {
	wrong() {
		local sentence=$1
		shift
		run lab_exec gateway timeout 10 "$BUILD_DIR/gatewayd/gatewayd" "$@"
		echo "$* -> $status $output"
		[ "$status" -eq 1 ]
		[[ $output == *"configuration: "*"$sentence"* ]]
	}
	wrong '"203.0.113" is not a public address' --addresses 203.0.113
	wrong '"127.0.0.1" is not a public address' --addresses 127.0.0.1
	wrong 'is named twice' --addresses 203.0.113.10,203.0.113.10
	wrong '"keep" is none of masquerade, snat' --addresses 203.0.113.10 --source keep
	wrong '"nowhere" is not ADDRESS:PORT' --addresses 203.0.113.10 --metrics-listen nowhere
	wrong 'map-size' --addresses 203.0.113.10 --map-size 0
	wrong 'audit-interval' --addresses 203.0.113.10 --audit-interval 1ms
	wrong 'colour' --addresses 203.0.113.10 --colour red
	wrong 'cannot read' --addresses 203.0.113.10 --token-file "$lab_dir/nothing"
}

# ---- looking ----

@test "metrics and health are served on the socket and over TCP, mappings over the socket only" {
	apply "$(put 30001 10.0.1.2 7001)"
	over_tcp() { lab_exec gateway curl -s --max-time 10 "http://127.0.0.1:9469$1"; }
	[[ $(api GET /metrics) == *$'\nportico_gateway_mappings 1\n'* ]]
	[[ $(over_tcp /metrics) == *$'\nportico_gateway_mappings 1\n'* ]]
	[[ $(over_tcp /metrics) == *'portico_gateway_transactions_total{outcome="committed"} '* ]]
	[ "$(over_tcp /healthz | jq -r .status)" = ok ]
	[ "$(over_tcp /readyz | jq -r .status)" = ready ]
	[ "$(over_tcp /v1/mappings | jq -r .code)" = not_found ]
}

@test "check names what the machine lacks and keeps nothing in the kernel" {
	run lab_exec host1 "$BUILD_DIR/gatewayd/gatewayd" --addresses "$lab_public" --check
	echo "$status $output"
	[ "$status" -eq 1 ]
	[[ $output == *'error: IPv4 forwarding is off'*'remedy: sysctl -w net.ipv4.ip_forward=1'* ]]
	[ -z "$(lab_exec host1 nft list ruleset)" ]
	run lab_exec gateway "$BUILD_DIR/gatewayd/gatewayd" --addresses "$lab_public" --check
	echo "$status $output"
	[ "$status" -eq 0 ]
}
