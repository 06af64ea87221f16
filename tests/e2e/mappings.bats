#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck disable=SC2317 # bats calls the tests
# shellcheck disable=SC2154 # scripts/lab.sh sets lab_dir
# A gateway that stands alone, with all its mappings in a file: what is read, at start and at SIGHUP, and what
# a file that is wrong does. BUILD_DIR names the build folder (default: build).

bats_require_minimum_version 1.5.0
load gateway

export ADDRESSES=203.0.113.10

# The gateway has a service of its own on port 7009.
setup_file() {
	export LAB=mappings-$$
	load_lab
	lab_init
	lab_network
	mkdir -p "$lab_dir/state"
	lab_start peer1 host1 tests/helpers/port-peer serve 7001
	lab_start own gateway tests/helpers/port-peer serve 7009
	lab_wait 10 lab_exec host1 nc -z 10.0.1.2 7001
	lab_wait 10 lab_exec gateway nc -z 127.0.0.1 7009
}

setup() {
	load_lab
	FILE=$lab_dir/mappings.json
	write "$(mapping 30001)" "$(mapping 30002)"
	gatewayd_start --mappings "$FILE"
}

teardown() {
	load_lab
	tail -n 20 "$lab_dir/log/gatewayd"
	lab_stop ticker
	lab_stop gatewayd
}

mapping() { # mapping PORT [MORE-FIELDS]
	echo "{\"port\":$1,\"target\":{\"address\":\"10.0.1.2\",\"port\":7001}${2+,$2}}"
}

write() {
	(IFS=, && echo "[$*]") >"$FILE"
}

# Ports that the kernel has, in order.
ports() {
	lab_exec gateway nft list table inet portico |
		sed -nE 's/.*203\.0\.113\.10 \. tcp \. ([0-9]+) .*: 10\.0\.1\.2 \. 7001.*/\1/p' | sort -n | paste -sd,
}

ports_are() {
	[ "$(ports)" = "$1" ]
}

reload() {
	kill -HUP "$(lab_pid gatewayd)"
}

finding() { # its level and message
	api GET /v1/status | jq -r '.findings[] | select(.code == "mapping_file") | .level + " " + .message'
}

finding_has() {
	[[ $(finding) == *"$1"* ]]
}

no_finding() {
	[ -z "$(finding)" ]
}

served() { # served PORT
	[ -n "$(echo | lab_exec client timeout 5 nc -N -w 1 "$lab_public" "$1")" ]
}

transactions() {
	api GET /v1/status | jq .transactions.committed
}

@test "mappings of the file are there after the start, and what it no longer names is closed" {
	ports_are 30001,30002
	served 30001
	lab_stop gatewayd
	write "$(mapping 30002)" "$(mapping 30003)"
	gatewayd_start --mappings "$FILE"
	lab_wait 10 ports_are 30002,30003
	served 30003
}

@test "a restart with the same file changes nothing in the kernel" {
	lab_stop gatewayd
	: >"$lab_dir/log/gatewayd"
	gatewayd_start --mappings "$FILE"
	lab_wait 10 grep -q 'file of mappings: applied' "$lab_dir/log/gatewayd"
	grep -q 'adopted mappings=2 changes=0' "$lab_dir/log/gatewayd"
	[ "$(transactions)" -eq 0 ]
}

@test "SIGHUP applies what has changed, and an open connection does not notice" {
	local pid lines
	pid=$(lab_pid gatewayd)
	lab_start ticker client bash -c 'while echo tick; do sleep 0.1; done | nc 203.0.113.10 30001'
	lab_wait 10 grep -q . "$lab_dir/log/ticker"
	write "$(mapping 30001)" "$(mapping 30003)"
	reload
	lab_wait 10 ports_are 30001,30003
	served 30003
	run served 30002
	[ "$status" -ne 0 ]
	[ "$(lab_pid gatewayd)" = "$pid" ]
	lines=$(wc -c <"$lab_dir/log/ticker")
	lab_wait 10 eval "[ \$(wc -c <'$lab_dir/log/ticker') -gt $lines ]"
}

@test "a file that is wrong changes nothing, says where, and is taken once it is mended" {
	local before fault
	before=$(transactions)
	while read -r fault; do
		echo "$fault" >"$FILE"
		reload
		read -r fault
		lab_wait 10 finding_has "error $FILE: $fault" || { finding; false; }
	done <<-END
		[$(mapping 30001), {"port": 70000, "target": {"address": "10.0.1.2", "port": 22}}]
		mappings[1].port:
		[{"address": "198.51.100.77", "port": 30001, "target": {"address": "10.0.1.2", "port": 22}}]
		mappings[0].address:
		[$(mapping 30005), $(mapping 30005)]
		mappings[1]: 203.0.113.10:30005/tcp is named more than once
		{"mapping": []}
		mapping
	END
	: >"$FILE"
	reload
	lab_wait 10 finding_has 'is empty'
	rm "$FILE"
	reload
	lab_wait 10 finding_has 'No such file'
	ports_are 30001,30002
	[ "$(transactions)" = "$before" ]
	write "$(mapping 30007)"
	reload
	lab_wait 10 ports_are 30007
	lab_wait 10 no_finding
}

@test "gatewayd starts with a file that is wrong, and what it had before goes on" {
	lab_stop gatewayd
	echo '[' >"$FILE"
	gatewayd_start --mappings "$FILE"
	ports_are 30001,30002
	finding_has "error $FILE"
	served 30001
}

@test "a port on which the gateway itself listens is left out, and the others are applied" {
	write "$(mapping 7009)" "$(mapping 30004)"
	reload
	lab_wait 10 ports_are 30004
	lab_wait 10 finding_has 'warning 203.0.113.10:7009/tcp: '
	run ! finding_has 'force' # which a file has no place for
	[ "$(api GET /v1/mappings | jq -c '[.items[].port]')" = '[30004]' ]
}

@test "the local API and schedctl refuse to change what the file says, and name it" {
	run api POST /v1/mappings:apply "{\"changes\":[{\"op\":\"put\",\"mapping\":$(mapping 30009)}]}"
	[ "$(jq -r .code <<<"$output")" = following ]
	run lab_exec gateway "$BUILD_DIR/schedctl/schedctl" --gateway "$SOCKET" port open 30009 10.0.1.2:22
	[ "$status" -eq 4 ]
	[[ $output == *"$FILE"* ]]
	ports_are 30001,30002
}

@test "--check reads the file" {
	run lab_exec gateway "$BUILD_DIR/gatewayd/gatewayd" --check --addresses "$ADDRESSES" --mappings "$FILE"
	[[ $output != *"$FILE"* ]]
	echo '[{"port": 30001}]' >"$FILE"
	run lab_exec gateway "$BUILD_DIR/gatewayd/gatewayd" --check --addresses "$ADDRESSES" --mappings "$FILE"
	[ "$status" -eq 1 ]
	[[ $output == *"error: $FILE: mappings[0].target: "* ]]
}

@test "without a file SIGHUP is said to be for nothing, and gatewayd goes on" {
	lab_stop gatewayd
	gatewayd_start
	: >"$lab_dir/log/gatewayd"
	reload
	lab_wait 10 grep -q 'SIGHUP: there is no file of mappings' "$lab_dir/log/gatewayd"
	served 30001
}
