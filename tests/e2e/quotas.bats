#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck disable=SC2317,SC2154,SC2119,SC2016 # bats calls the tests; variables come from the lab
# What customers may have at once, and what they had: quotas are kept to, and usage is written by the database itself.

bats_require_minimum_version 1.5.0
load fleet
load scheduler

setup_file() {
	fleet_load
	lab_init
	lab_postgres
	start
	ctl customer create alice
	ctl customer create bob
	mkdir "$lab_dir/roles"
	ctl token create alice --role customer --subject alice --save "$lab_dir/roles/alice"
	call POST /v1/hosts -f -d '{"name":"h1","address":"10.0.0.1","pool":"default","labels":{},"version":"1","capacity":
		{"cpu_milli":8000,"memory_bytes":8589934592,"gpus":[{"uuid":"GPU-1","model":"H200","memory_bytes":1},
		{"uuid":"GPU-2","model":"H200","memory_bytes":1}]}}' >/dev/null
}

teardown_file() {
	lab_down
}

setup() {
	fleet_load
}

as_alice() { # METHOD PATH [CURL-OPTION...]
	call "$@" -H "Authorization: Bearer $(cat "$lab_dir/roles/alice")"
}

environment() { # NAME CUSTOMER [MORE]
	echo "{\"name\":\"$1\",\"customer\":\"$2\",\"image\":\"x\",\"cpu_milli\":1000,\"memory_bytes\":1073741824${3:-}}"
}

sql() {
	psql -h "$lab_dir/postgres" -U portico -d portico -v ON_ERROR_STOP=1 -qAtc "$1"
}

# refused BODY QUOTA LIMIT USED REQUESTED
refused() {
	local answer
	answer=$(as_alice POST /v1/environments -d "$1" -w ' %{http_code}')
	tests/helpers/check-answer proto/openapi.yaml Error <<<"${answer% *}" || return 1
	[ "${answer##* }" = 409 ] && [ "$(jq -c '[.code, .details.field, .details.quota, .details.limit, .details.used, .details.requested]' \
		<<<"${answer% *}")" = "[\"quota_exceeded\",\"$2\",\"$2\",$3,$4,$5]" ] && return
	echo "$answer"
	return 1
}

@test "a customer has at most what its quota says, and is told which" {
	as_alice POST /v1/environments -f -d "$(environment a alice ',"gpu_milli":500')" >/dev/null
	ctl quota set alice --cpu 1.5 --gpu 1 --ports 5
	refused "$(environment b alice)" cpu_milli 1500 1000 1000
	ctl quota set alice --cpu none
	refused "$(environment b alice ',"gpu":1')" gpu 1 0.5 1
	as_alice POST /v1/environments -d "$(environment b alice ',"gpu":1')" | jq -e '.message | contains("gpu: customer alice may have 1, has 0.5, and this asks for 1 more")'
	ctl quota set alice --memory 1G
	refused "$(environment b alice)" memory_bytes 1073741824 1073741824 1073741824
	ctl quota set alice --memory none --environments 1
	refused "$(environment b alice)" environments 1 1 1
	ctl quota set alice --environments 2 --ports 2
	refused "$(environment b alice ',"services":[{"name":"ssh","port":22},{"name":"web","port":80}]')" ports 2 1 2
	# An admin who makes it for her is held by it, and others are not.
	call POST /v1/environments -d "$(environment b alice ',"services":[{"name":"ssh","port":22},{"name":"web","port":80}]')" |
		jq -e '.code == "quota_exceeded"'
	call POST /v1/environments -f -d "$(environment b bob)" >/dev/null
	as_alice POST /v1/environments -f -d "$(environment b alice)" >/dev/null
	refused "$(environment c alice)" environments 2 2 1
	[ "$(call GET /v1/quotas/alice | jq -c '[.limits, .used]')" = '[{"environments":2,"cpu_milli":null,"memory_bytes":null,"gpu":1,"ports":2},{"environments":2,"cpu_milli":2000,"memory_bytes":2147483648,"gpu":0.5,"ports":2}]' ]
}

@test "a quota holds after a restart, follows what is deleted, and may be lowered below what there is" {
	lab_stop schedd
	start
	refused "$(environment c alice)" environments 2 2 1
	ctl quota set alice --environments 1
	[ "$(as_alice GET /v1/environments | jq '.items | length')" = 2 ]
	[ "$(sql "SELECT environments FROM quotas WHERE customer = 'alice'")" = 1 ]
	# What waits for no host is gone at once.
	ctl quota set alice --environments 3 --ports none
	as_alice POST /v1/environments -f -d "$(environment d alice ',"pool":"nowhere"')" >/dev/null
	refused "$(environment e alice)" environments 3 3 1
	as_alice DELETE /v1/environments/d -f >/dev/null
	lab_wait 10 eval '[ "$(call GET /v1/quotas/alice | jq .used.environments)" = 2 ]'
	as_alice POST /v1/environments -f -d "$(environment e alice ',"pool":"nowhere"')" >/dev/null
	as_alice DELETE /v1/environments/e -f >/dev/null
	run -4 ctl customer delete alice
	[[ $output == *'has environments'* ]]
}

@test "customers read their own quota, admins set it, and a stream tells of both" {
	[ "$(as_alice GET /v1/quotas | jq -c '[.items[].id]')" = '["alice"]' ]
	[ "$(as_alice GET /v1/quotas/bob -o /dev/null -w '%{http_code}')" = 404 ]
	[ "$(as_alice PUT /v1/quotas/alice -d '{}' -o /dev/null -w '%{http_code}')" = 403 ]
	[ "$(call PUT /v1/quotas/carol -d '{}' -o /dev/null -w '%{http_code}')" = 404 ]
	[ "$(call PUT /v1/quotas/alice -d '{"gpu":-1}' | jq -r .details.field)" = gpu ]
	[ "$(call PUT /v1/quotas/alice -d '{"gpus":1}' | jq -r .code)" = unknown_field ]
	[ "$(call PUT /v1/quotas/alice -d '{}' -H 'If-Match: "999"' -o /dev/null -w '%{http_code}')" = 412 ]
	call GET /v1/events'?action=quota&limit=1' | jq -e '.items[0] | .kind == "customer" and .subject == "alice" and (.message | startswith("environments=3 gpu=1"))'
	lab_start stream - curl -sN --unix-socket "$lab_dir/schedd.sock" 'http://localhost/v1/quotas?watch=1'
	lab_wait 10 grep -q synced "$lab_dir/log/stream"
	ctl quota set bob --ports 9
	lab_wait 10 jq -se 'any(.[].put[]?; .id == "bob" and .limits.ports == 9)' "$lab_dir/log/stream"
	call POST /v1/environments -f -d "$(environment late bob ',"pool":"nowhere"')" >/dev/null
	lab_wait 10 jq -se 'any(.[].put[]?; .id == "bob" and .used.environments == 2)' "$lab_dir/log/stream"
	call DELETE "/v1/environments/$(call GET /v1/environments | jq -r '.items[] | select(.name == "late").id')" -f >/dev/null
	lab_wait 10 jq -se 'map(.put[]? | select(.id == "bob").used.environments) | last == 1' "$lab_dir/log/stream"
	lab_stop stream
}

@test "schedctl shows and sets quotas" {
	run -0 ctl quota list
	[[ ${lines[1]} == alice*2/3*2*2Gi*0.5/1*2* ]]
	run -0 ctl quota show bob
	[[ $output == *'Ports:'*'1 of 9'* && $output == *'CPU:'*'1, no limit'* ]]
	[ "$(ctl -o name quota list)" = $'alice\nbob' ]
	[ "$(ctl -o json quota show bob | jq .limits.ports)" = 9 ]
	[ "$(ctl -o name quota set bob --gpu 1)" = bob ]
	[ "$(ctl -o json quota set bob --gpu none | jq -c '[.limits.gpu, .limits.ports]')" = '[null,9]' ]
	[ "$(ctl -o json customer create zoe | jq -r .id)" = zoe ]
	[ "$(ctl token create zoe --role customer --subject zoe -o json | jq -r .name)" = zoe ]
	[ "$(ctl -o name token revoke zoe)" = zoe ]
	[ "$(ctl -o json customer delete zoe | jq -c .)" = '{"id":"zoe"}' ]
	run -2 ctl quota set bob
	run -2 ctl quota set bob --gpu some
	run -3 ctl quota set carol --gpu 1
	run -3 ctl quota show carol
}

open_intervals() { # NAME: of its environment
	sql "SELECT string_agg(usage_intervals.host || ' ' || usage_intervals.cpu_milli || ' ' || usage_intervals.gpu_milli || ' ' || running || ' ' ||
		(ended_at IS NULL), ',' ORDER BY usage_intervals.id) FROM usage_intervals JOIN environments ON environments.id = environment
		WHERE name = '$1' AND environments.customer = 'alice'"
}

@test "the database writes what is held, with each change of it, and keeps it" {
	local id
	lab_wait 10 eval '[ "$(open_intervals a)" = "h1 1000 500 true true" ]'
	id=$(as_alice GET /v1/environments/a | jq -r .id)
	sql "BEGIN; UPDATE environments SET assignment = 'stopped', phase = 'stopped' WHERE id = '$id'; COMMIT"
	[ "$(open_intervals a)" = 'h1 1000 500 true false,h1 1000 500 false true' ]
	sql "UPDATE environments SET reason = 'x' WHERE id = '$id'"
	[ "$(open_intervals a)" = 'h1 1000 500 true false,h1 1000 500 false true' ]
	sql "UPDATE environments SET host = NULL, gpus = NULL, assignment = 'none' WHERE id = '$id'"
	[ "$(open_intervals a)" = 'h1 1000 500 true false,h1 1000 500 false false' ]
	[ "$(sql "SELECT count(*) FROM usage_intervals a JOIN usage_intervals b ON a.environment = b.environment AND a.ended_at = b.started_at
		WHERE a.environment = '$id'")" = 1 ]
	for change in 'UPDATE usage_intervals SET cpu_milli = 1' 'UPDATE usage_intervals SET ended_at = now() WHERE ended_at IS NOT NULL' \
		'DELETE FROM usage_intervals' 'TRUNCATE usage_intervals'; do
		run ! sql "$change"
		[[ $output == *'usage is only ever added'* ]]
	done
}

@test "usage is summed up over a time, by environment and by customer" {
	local a b
	a=$(sql "SELECT id FROM environments WHERE name = 'a'")
	b=$(sql "SELECT id FROM environments WHERE name = 'b' AND customer = 'bob'")
	# Two hours of 2 cores, 4 GiB and a half of a GPU, of which one was stopped; an hour of 1 core.
	sql "INSERT INTO usage_intervals (environment, customer, host, cpu_milli, memory_bytes, gpu_milli, running, started_at, ended_at) VALUES
		('$a', 'alice', 'h0', 2000, 4294967296, 500, true, '2020-01-01 10:00Z', '2020-01-01 11:00Z'),
		('$a', 'alice', 'h0', 2000, 4294967296, 500, false, '2020-01-01 11:00Z', '2020-01-01 12:00Z'),
		('$b', 'bob', 'h0', 1000, 1073741824, 0, true, '2020-01-01 11:00Z', '2020-01-01 12:00Z')"
	local span='since=2020-01-01T00:00:00Z&until=2020-01-02T00:00:00Z'
	call GET "/v1/usage?$span" | tests/helpers/check-answer proto/openapi.yaml Usage
	[ "$(call GET "/v1/usage?$span&customer=alice" | jq -c '.items[] | [.name, .customer, .seconds, .running_seconds, .cpu_core_seconds, .memory_gib_seconds, .gpu_seconds] | map(if type == "number" then floor else . end)')" = \
		'["a","alice",7200,3600,14400,28800,3600]' ]
	# What lies outside does not count.
	[ "$(call GET '/v1/usage?since=2020-01-01T10:30:00Z&until=2020-01-01T11:15:00Z&by=customer' |
		jq -c '[.items[] | [.id, .environment, (.seconds | floor), (.running_seconds | floor)]]')" = '[["alice",null,2700,1800],["bob",null,900,900]]' ]
	[ "$(as_alice GET "/v1/usage?$span" | jq -c '[.items[].customer]')" = '["alice"]' ]
	[ "$(as_alice GET "/v1/usage?$span&customer=bob" | jq -r .code)" = forbidden ]
	[ "$(call GET "/v1/usage?$span&limit=1" | jq -c '[(.items | length), .next == .items[0].id]')" = '[1,true]' ]
	[ "$(call GET "/v1/usage?$span&limit=1&after=$(call GET "/v1/usage?$span&limit=1" | jq -r .next)" | jq -c '[(.items | length), .next]')" = '[1,null]' ]
	[ "$(call GET '/v1/usage?since=yesterday' | jq -r .details.field)" = since ]
	[ "$(call GET '/v1/usage?since=2020-01-02T00:00:00Z&until=2020-01-01T00:00:00Z' | jq -r .details.field)" = until ]
	[ "$(call GET '/v1/usage?by=host' | jq -r .details.field)" = by ]
	# What goes on counts up to now.
	call GET '/v1/usage?by=customer' | jq -e '.items | any(.id == "bob" and .seconds > 0)'
	run -0 --separate-stderr ctl usage show --since 2020-01-01T00:00:00Z --until 2020-01-02T00:00:00Z --customer alice
	[[ ${lines[0]} == ENVIRONMENT*'GPU HOURS' ]]
	[[ ${lines[1]} == a*alice*2.00*1.00*4.00*8.00*1.00 ]]
	[ "$(ctl -o name usage show --by customer --since 2020-01-01T00:00:00Z --until 2020-01-02T00:00:00Z)" = $'alice\nbob' ]
	run -2 ctl usage show --since 'x&y'
}

# What the database's clock says cannot be set here, but when an interval began can.
began_ahead() { # ENVIRONMENT-ID
	sql "BEGIN; ALTER TABLE usage_intervals DISABLE TRIGGER usage_is_kept;
		UPDATE usage_intervals SET started_at = now() + '1 hour' WHERE environment = '$1' AND ended_at IS NULL;
		ALTER TABLE usage_intervals ENABLE TRIGGER usage_is_kept; COMMIT"
}

@test "where the database's clock was set back, no time of an environment counts twice" {
	local id
	id=$(sql "SELECT id FROM environments WHERE name = 'b' AND customer = 'bob'")
	# What it had until an hour from now, says the clock before.
	sql "INSERT INTO usage_intervals (environment, customer, host, cpu_milli, memory_bytes, gpu_milli, running, started_at, ended_at)
		VALUES ('$id', 'bob', 'h1', 1000, 1, 0, true, now() - interval '1 minute', now() + interval '1 hour')"
	began_ahead "$id"
	sql "UPDATE environments SET assignment = 'stopped', phase = 'stopped' WHERE id = '$id'"
	sql "UPDATE environments SET host = NULL, assignment = 'none' WHERE id = '$id'"
	sql "UPDATE environments SET host = 'h1', assignment = 'running', phase = 'running' WHERE id = '$id'"
	[ "$(sql "SELECT count(*) FROM usage_intervals WHERE environment = '$id' AND started_at > now()")" = 3 ]
	[ "$(sql "SELECT count(*) FROM usage_intervals a JOIN usage_intervals b ON a.environment = b.environment AND a.id < b.id
		WHERE tstzrange(a.started_at, a.ended_at) && tstzrange(b.started_at, b.ended_at) AND a.started_at > '2021-01-01'")" = 0 ]
}

@test "nothing is wrong with the daemon, to the end" {
	lab_stop schedd
	run ! grep -E 'ERROR: (Address|Leak)Sanitizer|runtime error:' "$lab_dir/log/schedd"
}
