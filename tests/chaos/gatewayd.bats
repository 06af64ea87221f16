#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck disable=SC2317 # bats calls the tests
# shellcheck disable=SC1091,SC2154 # scripts/lab.sh sets lab_dir
# gatewayd killed again and again. CHAOS_KILLS says how often (default 100), CHAOS_SEED which moments and
# changes; without one each run has its own, and says it. BUILD_DIR names the build folder (default: build).

bats_require_minimum_version 1.5.0

load_lab() {
	cd "$BATS_TEST_DIRNAME/../.." || return 1
	# shellcheck source=scripts/lab.sh
	. scripts/lab.sh
	lab_paths
}

setup_file() {
	export LAB=chaos-$$
	load_lab
	lab_init
	lab_network
	lab_start peer1 host1 tests/helpers/port-peer serve 7001 7002
	lab_start peer2 host2 tests/helpers/port-peer serve 7011 7012
}

teardown_file() {
	load_lab
	lab_down
}

setup() {
	load_lab
}

@test "killed at random moments under changes and traffic, it loses and misleads nothing" {
	lab_wait 10 lab_exec gateway bash -c 'exec 3<>/dev/tcp/10.0.1.2/7002 4<>/dev/tcp/10.0.2.2/7012'
	tests/chaos/kill-gatewayd "${CHAOS_KILLS:-100}" "${CHAOS_SEED:-$RANDOM}" "$lab_dir/gatewayd.sock" "$lab_public" \
		"$LAB-client" "$LAB-gateway" "$BUILD_DIR/gatewayd/gatewayd" --addresses "$lab_public" \
		--socket "$lab_dir/gatewayd.sock" --run-directory "$lab_dir" --state-directory "$lab_dir/state" --metrics-listen '' 2>"$lab_dir/log/gatewayd"
	run grep -E 'Sanitizer|runtime error:' "$lab_dir/log/gatewayd"
	[ "$status" -eq 1 ]
}
