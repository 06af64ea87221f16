#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck disable=SC2317,SC2154,SC2119,SC2016 # bats calls the tests; variables come from the lab
# Hosts that are removed, with real ones: empty, by force, with what is on shared and on local volumes. And a gateway,
# with ports that wait for it.

bats_require_minimum_version 1.5.0
load fleet

schedd_with_leases() {
	fleet_schedd --lease 4s --lease-margin 12s
}

setup_file() {
	fleet_load
	fleet_up || { fleet_logs; return 1; }
	lab_stop schedd
	schedd_with_leases
	lab_wait 20 lab_host_online host1
	lab_wait 20 lab_host_online host2
}

teardown_file() {
	lab_down
}

setup() {
	fleet_load
}

teardown() {
	[ -n "${BATS_TEST_COMPLETED:-}" ] || { fleet_logs; lab_schedctl env list -o wide; lab_schedctl host list -o wide; }
}

host_is_silent() {
	[ "$(lab_schedctl -o json host show "$1" | jq -r .heard)" = false ]
}

@test "a host with environments is refused, one that is heard of also by force" {
	lab_schedctl host cordon host2
	fleet_create shared --volume code=shared
	fleet_create local
	[ "$(fleet_env shared .host) $(fleet_env local .host)" = 'host1 host1' ]
	lab_schedctl host uncordon host2
	run -4 lab_schedctl host delete host1
	[[ $output == *'host1 has 2 environments'*'drain'* ]]
	run -4 lab_schedctl host delete host1 --force
	[[ $output == *'is heard of'*'stop its agent'* ]]
	run -3 lab_schedctl host delete host9
	[ "$(fleet_env shared .phase) $(fleet_env local .phase)" = 'running running' ]
}

@test "one that never returns is removed by force, once its lease is over" {
	local port known
	port=$(fleet_port shared)
	known=$(fleet_env shared .ssh_host_key)
	# The machine is gone with all that was on it.
	lab_schedctl host cordon host2
	# In maintenance it is expected back: nothing leaves it by itself.
	lab_schedctl host maintenance host1
	lab_stop agentd-host1 KILL
	lab_docker host1 kill "$(fleet_env shared .id)" "$(fleet_env local .id)"
	lab_wait 20 host_is_silent host1
	run -4 lab_schedctl host delete host1 --force
	[[ $output == *'by a lease: try again in'* ]]
	lab_wait 60 lab_schedctl host delete host1 --force
	run -3 lab_schedctl host show host1
	[ "$(fleet_env local .phase)" = failed ]
	fleet_reason_has local 'host host1 was removed'
	[ "$(fleet_env local .host)" = null ]
	lab_wait 10 eval '[ "$(fleet_env shared .phase)" = pending ]'
	lab_schedctl host uncordon host2
	lab_wait 60 fleet_phase_is shared running
	[ "$(fleet_env shared .host)" = host2 ]
	[ "$(fleet_port shared)" = "$port" ]
	[ "$(fleet_env shared .ssh_host_key)" = "$known" ]
	fleet_ssh shared true
	[ "$(fleet_env local .phase)" = failed ]
	lab_schedctl -o json events --action lost | jq -e '[.items[] | .message] | sort == ["host host1 was removed", "host host1 was removed, and what was on it"]'
	lab_schedctl -o json events --kind host --subject host1 --action delete | jq -e '.items[0].message == "environments=2"'
}

@test "what was lost is made anew when it is asked for, with its port and its host key" {
	local port
	port=$(fleet_port local)
	lab_schedctl env start local --wait --timeout 60s
	[ "$(fleet_env local .host)" = host2 ]
	[ "$(fleet_port local)" = "$port" ]
	fleet_ssh local true
	fleet_no_orphans_of_the_living
}

# host1 has what it had: nobody may touch it any more.
fleet_no_orphans_of_the_living() {
	local found
	found=$(fleet_no_orphans) || true
	! grep -v -e "on host1" -e "^$" <<<"$found"
}

@test "its agent is refused with the token that was revoked, and comes back clean with a new one" {
	[ "$(fleet_sql "SELECT count(*) FROM tokens WHERE subject = 'host1'")" = 0 ]
	fleet_agentd host1
	lab_wait 20 grep -qiE '401|unauthenticated|token' "$lab_dir/log/agentd-host1"
	run -3 lab_schedctl host show host1
	lab_stop agentd-host1
	rm "$lab_dir/tokens/host1"
	lab_schedctl token create host1-new --role host --subject host1 --save "$lab_dir/tokens/host1"
	fleet_agentd host1
	lab_wait 20 lab_host_online host1
	lab_wait 30 fleet_no_orphans
}

@test "an empty host is removed, and says goodbye" {
	lab_schedctl host cordon host1
	lab_schedctl host delete host1
	run -3 lab_schedctl host show host1
	[ "$(lab_schedctl -o name host list)" = host2 ]
	[ "$(lab_schedctl -o name token list | grep -c host1)" = 0 ]
}

gateway_is() { # STATUS
	[ "$(lab_schedctl -o json gateway show gw1 | jq -r .status)" = "$1" ]
}

port_is() { # PORT STATE
	[ "$(lab_schedctl -o json port list | jq -r --argjson port "$1" '.items[] | select(.port == $port) | .state')" = "$2" ]
}

env_is_gone() { # NAME
	! lab_schedctl env show "$1"
}

leads() { # PORT: somewhere, by the gateway's kernel
	lab_exec gateway nft list table inet portico | grep -q " tcp \. $1 "
}

@test "a gateway with ports is refused, one that is heard of also by force" {
	run -4 lab_schedctl gateway delete gw1
	[[ $output == *'gateway gw1 may lead 2 ports somewhere'*'by force'* ]]
	run -4 lab_schedctl gateway delete gw1 --force
	[[ $output == *'gateway gw1 is heard of'*'stop gatewayd'* ]]
	run -3 lab_schedctl gateway delete gw9 --force
	gateway_is online
}

@test "what waits for a gateway that never returns rests once that is removed, also over a kill of schedd" {
	local port kept
	port=$(fleet_port local)
	kept=$(fleet_port shared)
	lab_stop gatewayd KILL
	lab_wait 20 gateway_is offline
	lab_schedctl env delete local
	lab_wait 60 env_is_gone local
	run -3 lab_schedctl env show local
	port_is "$port" withdrawing
	leads "$port" # as from a machine that is only cut off
	run -4 lab_schedctl gateway delete gw1
	port_is "$port" withdrawing
	lab_schedctl gateway delete gw1 --force
	lab_stop schedd KILL
	schedd_with_leases
	run -3 lab_schedctl gateway show gw1
	port_is "$port" quarantined
	port_is "$kept" published
	[ "$(fleet_sql "SELECT count(*) FROM tokens WHERE subject = 'gw1'")" = 0 ]
	lab_schedctl -o json events --kind gateway --subject gw1 --action delete | jq -e '.items[0].message == "ports=2"'
	run lab_schedctl doctor
	[[ $output != *gw1* ]]
	echo "$port" >"$lab_dir/rests"
}

@test "its gatewayd is refused with the token that was revoked, and comes back clean with a new one" {
	local port
	port=$(<"$lab_dir/rests")
	fleet_gatewayd
	lab_wait 20 grep -qiE '401|unauthenticated' "$lab_dir/log/gatewayd"
	run -3 lab_schedctl gateway show gw1
	lab_stop gatewayd
	rm "$lab_dir/tokens/gw1"
	lab_schedctl token create gw1-new --role gateway --subject gw1 --save "$lab_dir/tokens/gw1"
	fleet_gatewayd
	lab_wait 20 gateway_is online
	fleet_gone_from_kernel() { ! leads "$port"; }
	lab_wait 20 fleet_gone_from_kernel
	leads "$(fleet_port shared)"
	fleet_ssh shared true
	lab_schedctl env delete shared --wait --timeout 60s
	fleet_no_orphans_of_the_living
}

@test "nothing is wrong with the daemons, to the end" {
	run ! fleet_unsound
}
