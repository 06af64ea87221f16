#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck disable=SC2317,SC2030,SC2031 # bats calls the tests, each in a subshell
# shellcheck disable=SC1091,SC2154 # scripts/lab.sh sets lab_dir
# gatewayd's state file, from outside: reboots (a network namespace made anew), kills, a disk that is full
# or cannot be written, and damage. BUILD_DIR names the build folder (default: build).

bats_require_minimum_version 1.5.0

load_lab() {
	cd "$BATS_TEST_DIRNAME/../.." || return 1
	# shellcheck source=scripts/lab.sh
	. scripts/lab.sh
	lab_paths
	SOCKET=$lab_dir/gatewayd.sock
	STATE=$lab_dir/state
	PUBLIC=203.0.113.10
}

setup() {
	export LAB=state-$$-$BATS_TEST_NUMBER
	load_lab
	lab_init
	echo "$LAB-gateway" >>"$lab_dir/namespaces"
	boot
}

teardown() {
	load_lab
	[ ! -e "$lab_dir/log/gatewayd" ] || tail -n 20 "$lab_dir/log/gatewayd"
	lab_down
}

# A machine that starts: a network namespace without any table, and an empty run folder.
boot() {
	ip netns delete "$LAB-gateway" 2>/dev/null || true
	rm -rf "$lab_dir/run"
	ip netns add "$LAB-gateway"
	ip -n "$LAB-gateway" link set lo up
	ip -n "$LAB-gateway" address add "$PUBLIC/32" dev lo
}

gatewayd_start() {
	lab_start gatewayd gateway "$BUILD_DIR/gatewayd/gatewayd" --addresses "$PUBLIC" --socket "$SOCKET" \
		--run-directory "$lab_dir/run" --state-directory "$STATE" --metrics-listen ''
	lab_wait 30 curl -sf --unix-socket "$SOCKET" http://localhost/readyz
}

reboot() {
	lab_stop gatewayd
	boot
	gatewayd_start
}

api() { # api METHOD PATH [BODY]
	curl -s --max-time 20 --unix-socket "$SOCKET" -X "$1" ${3+--data-binary "$3"} "http://localhost$2"
}

apply() {
	api POST /v1/mappings:apply "{\"changes\":[$(IFS=, && echo "$*")]}"
}

put() { # put PORT TARGET-ADDRESS [MORE-FIELDS]
	echo "{\"op\":\"put\",\"mapping\":{\"port\":$1,\"target\":{\"address\":\"$2\",\"port\":22}${3+,$3}}}"
}

delete() {
	echo "{\"op\":\"delete\",\"protocol\":\"tcp\",\"port\":$1}"
}

mappings() {
	api GET /v1/mappings | jq -c '[.items[] | del(.packets, .bytes, .connections)]'
}

status_field() {
	api GET /v1/status | jq -r "$1"
}

# "PORT TARGET", as the kernel has them.
kernel() {
	lab_exec gateway nft list table inet portico |
		grep -oE "$PUBLIC \. tcp \. [0-9]+ .*: [0-9.]+ \. 22" | sed -E 's/.*tcp \. ([0-9]+) .*: ([0-9.]+) .*/\1 \2/' | sort -n
}

# The same, as gatewayd says.
desired() {
	mappings | jq -r '.[] | "\(.port) \(.target.address)"' | sort -n
}

metric() {
	api GET /metrics | sed -n "s/^portico_gateway_state_$1 //p"
}

mended() {
	[ "$(metric failing)" = 0 ]
}

finding() {
	status_field '.findings[].message' | grep -F "$1"
}

@test "a reboot: the ports are in the kernel again before anybody says so, with all their fields" {
	gatewayd_start
	apply "$(put 30001 10.0.0.5 '"environment":"env-a","service":"ssh","on_remove":"drain"')" \
		"$(put 30002 10.0.0.6 '"protocol":"udp"')" "$(put 30003 10.0.0.7)"
	apply "$(delete 30003)" "$(put 30004 10.0.0.8)"
	local before
	before=$(mappings)
	[ "$(jq length <<<"$before")" -eq 3 ]
	reboot
	[ "$(mappings)" = "$before" ]
	[ "$(status_field .revision)" -eq 2 ]
	[ "$(kernel)" = $'30001 10.0.0.5\n30004 10.0.0.8' ]
	grep -q 'adopted mappings=3 changes=3 structure=made from_state_file=3' "$lab_dir/log/gatewayd"
	apply "$(put 30005 10.0.0.9)"
	[ "$(status_field .revision)" -eq 3 ]
}

@test "a restart: the file says what should be, and what the table has beyond it is adopted" {
	gatewayd_start
	apply "$(put 30001 10.0.0.5)" "$(put 30002 10.0.0.6)"
	lab_stop gatewayd
	# One gone, one led elsewhere, one more.
	local map
	map=$(lab_exec gateway nft list table inet portico | grep -B9 -F "$PUBLIC . tcp . 30001" |
		sed -nE 's/^[[:space:]]*map ([^ ]+) .*/\1/p' | tail -1)
	lab_exec gateway nft "delete element inet portico $map { $PUBLIC . tcp . 30001 }
		delete element inet portico $map { $PUBLIC . tcp . 30002 }
		add element inet portico $map { $PUBLIC . tcp . 30002 : 10.0.0.66 . 22 }
		add element inet portico $map { $PUBLIC . tcp . 30003 : 10.0.0.7 . 22 }"
	gatewayd_start
	[ "$(kernel)" = $'30001 10.0.0.5\n30002 10.0.0.6\n30003 10.0.0.7' ]
	[ "$(desired)" = "$(kernel)" ]
	reboot
	[ "$(kernel)" = $'30001 10.0.0.5\n30002 10.0.0.6\n30003 10.0.0.7' ]
}

# Lasting changes from two clients; each tells what it was answered.
change_until_killed() {
	local client=$1 n=0
	while :; do
		n=$((n + 1))
		apply "$(put $((30000 + client)) "10.$client.$((n / 250)).$((1 + n % 250))")" \
			"$(put $((31000 + client)) "10.$client.$((n / 250)).$((1 + n % 250))")" \
			>"$lab_dir/answer.$client" 2>/dev/null || return 0
		grep -q '"put":2' "$lab_dir/answer.$client" || return 0
		echo "10.$client.$((n / 250)).$((1 + n % 250))" >"$lab_dir/last.$client"
	done
}

@test "SIGKILL at many moments under changes: what was answered is there, whole, also after a reboot" {
	local round client target
	gatewayd_start
	for round in $(seq 20); do
		rm -f "$lab_dir"/last.*
		change_until_killed 1 &
		local first=$!
		change_until_killed 2 &
		local second=$!
		lab_wait 20 test -s "$lab_dir/last.1" -a -s "$lab_dir/last.2"
		sleep "0.0$((RANDOM % 10))"
		lab_stop gatewayd KILL
		wait "$first" "$second" || true
		[ $((round % 4)) -ne 0 ] || boot
		gatewayd_start
		[ "$(desired)" = "$(kernel)" ]
		for client in 1 2; do
			target=$(kernel | sed -n "s/^3000$client //p")
			[ "$target" = "$(kernel | sed -n "s/^3100$client //p")" ]
			# The last that was answered, or the one behind it that was on its way.
			[ "$(ip_number "$target")" -ge "$(ip_number "$(cat "$lab_dir/last.$client")")" ]
		done
	done
}

ip_number() {
	local a b c d
	IFS=. read -r a b c d <<<"$1"
	echo $(((a << 24) + (b << 16) + (c << 8) + d))
}

@test "a full disk: changes go on, it is said, and the file is whole once there is room" {
	mkdir "$lab_dir/disk"
	mount -t tmpfs -o size=64k tmpfs "$lab_dir/disk"
	STATE=$lab_dir/disk/state
	gatewayd_start
	apply "$(put 30001 10.0.0.5)"
	dd if=/dev/zero of="$lab_dir/disk/filler" bs=1k 2>/dev/null || true
	local n
	for n in $(seq 30); do
		apply "$(put 30001 "10.0.1.$n")" "$(put 30002 "10.0.2.$n")" "$(put $((30100 + n)) 10.0.0.9)" |
			grep -q '"put":3'
	done
	[ "$(metric failing)" -eq 1 ]
	[ "$(metric errors_total)" -ge 1 ]
	finding 'state cannot be'
	finding 'No space left on device'
	# Killed meanwhile: the table knows better than the file.
	lab_stop gatewayd KILL
	gatewayd_start
	[ "$(desired)" = "$(kernel)" ]
	[ "$(kernel | wc -l)" -eq 32 ]
	[ "$(kernel | head -2)" = $'30001 10.0.1.30\n30002 10.0.2.30' ]
	apply "$(delete 30002)"
	rm "$lab_dir/disk/filler"
	lab_wait 40 mended
	run ! finding 'state cannot be'
	local before
	before=$(kernel)
	reboot
	[ "$(kernel)" = "$before" ]
	[ "$(kernel | wc -l)" -eq 31 ]
}

@test "a folder that cannot be written: the ports of the file work, changes go on, and it is said" {
	gatewayd_start
	apply "$(put 30001 10.0.0.5)"
	lab_stop gatewayd
	boot
	mkdir "$lab_dir/ro"
	mount --bind "$STATE" "$lab_dir/ro"
	mount -o remount,bind,ro "$lab_dir/ro"
	STATE=$lab_dir/ro
	gatewayd_start
	[ "$(kernel)" = '30001 10.0.0.5' ]
	apply "$(put 30002 10.0.0.6)"
	[ "$(kernel)" = $'30001 10.0.0.5\n30002 10.0.0.6' ]
	[ "$(metric failing)" -eq 1 ]
	finding 'Read-only file system'
	mount -o remount,bind,rw "$lab_dir/ro"
	lab_wait 40 mended
	reboot
	[ "$(kernel)" = $'30001 10.0.0.5\n30002 10.0.0.6' ]
}

@test "a file that is cut off is used up to its last whole change" {
	gatewayd_start
	apply "$(put 30001 10.0.0.5)" "$(put 30002 10.0.0.5)"
	apply "$(put 30001 10.0.0.6)" "$(put 30002 10.0.0.6)"
	lab_stop gatewayd
	truncate -s -3 "$STATE/state"
	boot
	gatewayd_start
	grep -q 'its end is missing: used up to byte' "$lab_dir/log/gatewayd"
	[ "$(kernel)" = $'30001 10.0.0.5\n30002 10.0.0.5' ]
	[ "$(status_field .revision)" -eq 1 ]
}

@test "a garbled file is set aside and rebuilt from the table" {
	gatewayd_start
	apply "$(put 30001 10.0.0.5)" "$(put 30002 10.0.0.5)"
	lab_stop gatewayd
	sed -i '2s/ / #/' "$STATE/state"
	gatewayd_start
	finding 'is damaged and was set aside as state.damaged-'
	[ "$(find "$STATE" -name 'state.damaged-*' | wc -l)" -eq 1 ]
	[ "$(kernel)" = $'30001 10.0.0.5\n30002 10.0.0.5' ]
	reboot
	[ "$(kernel)" = $'30001 10.0.0.5\n30002 10.0.0.5' ]
	run ! finding 'set aside'
}
