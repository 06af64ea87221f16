#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck disable=SC2317,SC2154,SC2119,SC2016 # bats calls the tests; variables come from the lab
# The API is what proto/openapi.yaml says: every operation is called with its example and in the ways that must
# fail, and each answer is held against its schema. That the routes are the same stands in tests/docs.bats.

bats_require_minimum_version 1.5.0
load fleet

setup_file() {
	fleet_load
	lab_init
	lab_postgres
	start schedd
	lab_wait 20 curl -sf --unix-socket "$lab_dir/schedd.sock" http://localhost/readyz
	start standby
	lab_wait 20 curl -sf --unix-socket "$lab_dir/standby.sock" 'http://localhost/readyz?standby=1'
	"$BUILD_DIR/schedctl/schedctl" --server "unix:$lab_dir/schedd.sock" token create host9 --role host --subject host9 \
		--save "$lab_dir/tokens/host9"
}

start() { # NAME
	lab_start "$1" - "$BUILD_DIR/schedd/schedd" --database "$lab_database" --listen "" --socket "$lab_dir/$1.sock" \
		--port-addresses "$lab_public" --port-range 30001-30099 --offline-after 5m --logs-timeout 6s
}

check() { # OPENAPI
	run tests/helpers/api-check "$lab_dir/schedd.sock" "$1" "$lab_dir/tokens/host9" "$lab_dir/standby.sock"
	echo "$output"
}

teardown_file() {
	lab_down
}

setup() {
	fleet_load
	python3 -c 'import jsonschema, yaml' 2>/dev/null || skip "python3-jsonschema or python3-yaml is not installed"
}

@test "every operation with its example, each answer by its schema" {
	check proto/openapi.yaml
	[ "$status" -eq 0 ]
}

@test "what is not as described is found" {
	sed -e 's/required: \[id, created_at, revision\]/required: [id, created_at, colour]/' -e 's/ETag: {$ref[^}]*}, //' \
		-e 's/    Cache-Control: {/    Cache-Control: {required: true, /' proto/openapi.yaml >"$lab_dir/wrong.yaml"
	run ! cmp -s proto/openapi.yaml "$lab_dir/wrong.yaml"
	check "$lab_dir/wrong.yaml"
	[ "$status" -eq 1 ]
	[[ $output == *"'colour' is a required property"* ]]
	[[ $output == *"header etag: "*" is not documented"* ]]
	[[ $output == *"header cache-control is missing"* ]]
}

@test "nothing is wrong with the daemon, to the end" {
	lab_stop standby
	lab_stop schedd
	run ! grep -E 'ERROR: (Address|Leak)Sanitizer|runtime error:' "$lab_dir/log/schedd" "$lab_dir/log/standby"
}
