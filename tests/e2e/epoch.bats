#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck disable=SC2317,SC2119 # bats calls the tests
# shellcheck disable=SC1091,SC2154 # scripts/lab.sh sets lab_dir
# A scheduler that went back in time, as after a restored backup, is refused by a gateway that has seen a
# later leader, also when the gateway was restarted or its machine was.

bats_require_minimum_version 1.5.0

setup() {
	cd "$BATS_TEST_DIRNAME/../.." || return 1
	export LAB=epoch-$$
	# shellcheck source=scripts/lab.sh
	. scripts/lab.sh
	lab_init
	lab_network
	lab_postgres
}

teardown() {
	[ -n "${BATS_TEST_COMPLETED:-}" ] || tail -n 20 "$lab_dir/log/schedd" "$lab_dir/log/gatewayd"
	lab_down
}

follower() {
	curl -s --unix-socket "$lab_dir/gatewayd.sock" http://localhost/v1/status | jq -r ".follower.$1"
}

follower_is() { # FIELD VALUE
	[ "$(follower "$1")" = "$2" ]
}

sql() {
	lab_as_postgres "$lab_postgres_bin/psql" -XAtq -h "$lab_dir/postgres" -U portico portico -c "$1"
}

is_older() {
	follower reason | grep -q "older than"
}

refused() {
	lab_wait 20 follower_is state waiting
	lab_wait 20 is_older
	[ "$(follower epoch)" -gt "$(sql 'SELECT epoch FROM leader')" ]
}

@test "an older leader is refused over restarts of the gateway, and over a reboot" {
	for _ in 1 2 3; do
		lab_stop schedd
		lab_schedd
	done
	lab_gatewayd
	lab_wait 20 follower_is state synced
	lab_stop gatewayd KILL
	lab_stop schedd
	sql 'UPDATE leader SET epoch = 0'
	lab_schedd
	lab_gatewayd
	refused
	# A reboot: the table is gone, and so is what was in the run folder.
	lab_stop gatewayd
	lab_exec gateway nft delete table inet portico
	rm -f "$lab_dir"/gatewayd-*.lock
	lab_gatewayd
	refused
	# Leaders come and go until there is a later one.
	for _ in 1 2 3; do
		lab_stop schedd
		lab_schedd
	done
	lab_wait 30 follower_is state synced
}
