#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck disable=SC2317 # bats calls the tests
# shellcheck disable=SC2154 # scripts/lab.sh sets lab_dir
# gatewayd with 60,000 mappings: all in one request, listed and scraped while others change them, and adopted.
# BUILD_DIR names the build folder (default: build).

bats_require_minimum_version 1.5.0
load gateway

export ADDRESSES=203.0.113.10
COUNT=60000

setup_file() {
	export LAB=bulk-$$
	load_lab
	lab_init
	lab_network
	gatewayd_start
	bodies
}

setup() {
	load_lab
	[ "$(put_all "$lab_dir/all.json" | jq .put)" = "$COUNT" ]
}

teardown() {
	load_lab
	tail -n 20 "$lab_dir/log/gatewayd"
}

# All mappings as one body, and the same with one in the middle that cannot be.
bodies() {
	python3 - "$lab_dir" "$COUNT" <<-'EOF'
		import json, sys
		folder, count = sys.argv[1], int(sys.argv[2])
		items = [{"address": "203.0.113.10", "port": port, "target": {"address": "10.9.2.2", "port": port}}
		         for port in range(1024, 1024 + count)]
		json.dump(items, open(f"{folder}/all.json", "w"))
		items[41234]["target"]["port"] = 65536
		json.dump(items, open(f"{folder}/bad.json", "w"))
	EOF
}

put_all() { # put_all FILE
	curl -s --max-time 60 --unix-socket "$SOCKET" -X PUT --data-binary "@$1" http://localhost/v1/mappings
}

client() { # client TEST
	tests/helpers/bulk-client "$SOCKET" "$(lab_pid gatewayd)" "$ADDRESSES" "$COUNT" "$1"
}

@test "one bad mapping among 60,000 is named, and none of its request is done" {
	load_lab
	answer=$(put_all "$lab_dir/bad.json")
	[ "$(jq -r .code <<<"$answer")" = out_of_range ]
	[ "$(jq -r .details.field <<<"$answer")" = 'mappings[41234].target.port' ]
	head -c 3000000 "$lab_dir/all.json" >"$lab_dir/cut.json"
	[ "$(put_all "$lab_dir/cut.json" | jq -r .code)" = malformed ]
	[ "$(api GET /v1/status | jq .mappings)" = "$COUNT" ]
}

@test "listings and scrapes that nobody reads on cost little memory, and end as they began" {
	load_lab
	client stalled
}

@test "a change waits for no listing of all" {
	load_lab
	client latency
}

@test "60,000 mappings, replaced once and led back, are adopted without a transaction" {
	load_lab
	api PUT /v1/mappings '[]'
	put_all "$lab_dir/all.json"
	lab_stop gatewayd KILL
	gatewayd_start
	[ "$(api GET /v1/status | jq -c '[.mappings, .transactions.committed, .transactions.rejected]')" = "[$COUNT,0,0]" ]
}
