# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash disable=SC2034,SC2154 # the tests use what is set here; scripts/lab.sh sets lab_dir
# What the tests of gatewayd alone share: a lab without a scheduler, and words for the local API. Loaded by
# bats. BUILD_DIR names the build folder (default: build).

PUBLIC6=2001:db8:f::10

load_lab() {
	cd "$BATS_TEST_DIRNAME/../.." || return 1
	# shellcheck source=scripts/lab.sh
	. scripts/lab.sh
	lab_paths
	SOCKET=$lab_dir/gatewayd.sock
}

# IPv6 beside IPv4 for client, gateway and host1, as lab_network has it.
network6() {
	ip -n "$LAB-gateway" address add 2001:db8:1::1/64 dev to-client nodad
	ip -n "$LAB-gateway" address add "$PUBLIC6/128" dev to-client nodad
	ip -n "$LAB-gateway" address add 2001:db8:2::1/64 dev to-host1 nodad
	ip -n "$LAB-client" address add 2001:db8:1::2/64 dev eth0 nodad
	ip -n "$LAB-client" route add 2001:db8:f::/64 via 2001:db8:1::1
	ip -n "$LAB-host1" address add 2001:db8:2::2/64 dev eth0 nodad
	lab_exec gateway sysctl -q -w net.ipv6.conf.all.forwarding=1
}

# gatewayd_start [OPTION...]: with these addresses if ADDRESSES is set; waits until it is ready.
gatewayd_start() {
	lab_start gatewayd gateway "$BUILD_DIR/gatewayd/gatewayd" ${ADDRESSES:+--addresses "$ADDRESSES"} \
		--socket "$SOCKET" --run-directory "$lab_dir" --state-directory "$lab_dir/state" "$@"
	lab_wait 30 curl -sf --unix-socket "$SOCKET" http://localhost/readyz
}

api() { # api METHOD PATH [BODY]
	curl -s --max-time 20 --unix-socket "$SOCKET" -X "$1" ${3+--data-binary "$3"} "http://localhost$2"
}

teardown_file() {
	load_lab
	lab_down
}
