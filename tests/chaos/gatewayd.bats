#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck disable=SC2317 # bats calls the tests
# shellcheck disable=SC1091,SC2154 # scripts/lab.sh sets lab_dir
# gatewayd under what should never happen. CHAOS_SEED says which of it; without one each run has its own, and says
# it. CHAOS_KILLS is how often it is killed (default 100). BUILD_DIR names the build folder (default: build).

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
	lab_wait 20 lab_listens host1 7002
	lab_wait 20 lab_listens host2 7012
}

teardown_file() {
	load_lab
	lab_down
}

setup() {
	load_lab
}

gatewayd() { # gatewayd [COMMAND...]: by itself, or started by the command
	"$@" "$BUILD_DIR/gatewayd/gatewayd" --addresses "$lab_public" --socket "$lab_dir/gatewayd.sock" \
		--run-directory "$lab_dir" --state-directory "$lab_dir/state" --metrics-listen ''
}

no_sanitizer_found_anything() {
	run grep -E 'Sanitizer|runtime error:' "$lab_dir/log/gatewayd"
	[ "$status" -eq 1 ]
}

@test "killed at random moments under changes and traffic, it loses and misleads nothing" {
	lab_wait 10 lab_exec gateway bash -c 'exec 3<>/dev/tcp/10.0.1.2/7002 4<>/dev/tcp/10.0.2.2/7012'
	gatewayd tests/chaos/kill-gatewayd "${CHAOS_KILLS:-100}" "${CHAOS_SEED:-$RANDOM}" "$lab_dir/gatewayd.sock" "$lab_public" \
		"$LAB-client" "$LAB-gateway" 2>"$lab_dir/log/gatewayd"
	no_sanitizer_found_anything
}

@test "ten thousand malformed requests are refused or closed, and it goes on" {
	local before
	gatewayd lab_start gatewayd gateway
	lab_wait 30 curl -sf --unix-socket "$lab_dir/gatewayd.sock" http://localhost/readyz
	curl -sf --unix-socket "$lab_dir/gatewayd.sock" -X PUT http://localhost/v1/mappings \
		-d '[{"port":30001,"target":{"address":"10.0.1.2","port":7001}}]'
	before=$(lab_exec gateway nft list table inet portico)
	# None of them does anything as long as it is right.
	tests/chaos/malformed-requests 10000 "${CHAOS_SEED:-$RANDOM}" "$lab_dir/gatewayd.sock" "$(lab_pid gatewayd)" \
		'GET /v1/mappings?port=30001' 'GET /v1/status' 'GET /metrics' \
		'PUT /v1/mappings [{"port":30001,"target":{"address":"10.0.1.2","port":7001},"on_remove":"revoke"}]' \
		'POST /v1/mappings:apply {"changes":[{"op":"delete","address":"203.0.113.10","protocol":"tcp","port":40000}]}' \
		'POST /v1/mappings:apply {"changes":[{"op":"put","mapping":{"port":30001,"target":{"address":"10.0.1.2","port":7001}}}]}'
	# A number with another digit is a request that is right as well: what it did is taken back.
	curl -sf --unix-socket "$lab_dir/gatewayd.sock" -X PUT http://localhost/v1/mappings \
		-d '[{"port":30001,"target":{"address":"10.0.1.2","port":7001}}]'
	[ "$(lab_exec gateway nft list table inet portico)" = "$before" ]
	lab_stop gatewayd
	no_sanitizer_found_anything
}
