#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck disable=SC2317 # bats calls the tests
# shellcheck disable=SC2154 # scripts/lab.sh sets lab_dir
# What hosts see as the source of a connection, in each mode of gatewayd, over IPv4 and IPv6, TCP and UDP:
# of a client outside, of a host behind another link, of the host itself (hairpin) and of the gateway. And
# that services of the gateway's own stay as they are. BUILD_DIR names the build folder (default: build).

bats_require_minimum_version 1.5.0
load gateway

export ADDRESSES=203.0.113.10,$PUBLIC6

# Hosts route back through the gateway.
routed6() {
	local n=0 namespace
	for namespace in client host1 host2; do
		n=$((n + 1))
		ip -n "$LAB-gateway" address add "2001:db8:$n::1/64" dev "to-$namespace" nodad
		ip -n "$LAB-$namespace" address add "2001:db8:$n::2/64" dev eth0 nodad
		ip -n "$LAB-$namespace" route add default via "2001:db8:$n::1"
	done
	ip -n "$LAB-gateway" address add "$PUBLIC6/128" dev to-client nodad
	lab_exec gateway sysctl -q -w net.ipv6.conf.all.forwarding=1
}

setup_file() {
	export LAB=sources-$$
	load_lab
	lab_init
	lab_network
	routed6
	ip -n "$LAB-client" route add 10.0.0.0/8 via 198.51.100.1
	# addresses of the gateway to take in turn; hosts answer them by their default route
	ip -n "$LAB-gateway" address add 10.0.0.2/32 dev lo
	ip -n "$LAB-gateway" address add 2001:db8:9::1/128 dev lo
	ip -n "$LAB-gateway" address add 2001:db8:9::2/128 dev lo
	lab_start peer1 host1 tests/helpers/port-peer serve 7001
	lab_start own gateway tests/helpers/port-peer serve 7009
	lab_wait 20 lab_listens host1 7001
	lab_wait 20 lab_listens gateway 7009
}

setup() {
	load_lab
}

# What is there to see once a test has failed; bats prints it only then.
teardown() {
	load_lab
	lab_exec gateway nft list table inet portico
	tail -n 20 "$lab_dir/log/gatewayd"
	lab_stop gatewayd
}

# start MODE [OPTION...]: gatewayd, with a port to host1 for each family and protocol.
start() {
	local protocol changes=()
	gatewayd_start --source "$@"
	for protocol in tcp udp; do
		changes+=("{\"protocol\":\"$protocol\",\"port\":30001,\"target\":{\"address\":\"10.0.1.2\",\"port\":7001}}"
			"{\"address\":\"$PUBLIC6\",\"protocol\":\"$protocol\",\"port\":30001,
			\"target\":{\"address\":\"2001:db8:2::2\",\"port\":7001}}")
	done
	curl -sf --unix-socket "$SOCKET" -X PUT --data-binary "[$(IFS=, && echo "${changes[*]}")]" \
		http://localhost/v1/mappings
}

# tcp NAMESPACE ADDRESS [PORT]: the source that the host sees; "" where there is no connection.
tcp() {
	lab_exec "$1" tests/helpers/port-peer talk "$2" "${3:-30001}" 0 | sed -n 's/^open [0-9]* //p'
}

udp() {
	echo hello | lab_exec "$1" timeout 20 nc -u -w5 -W1 "$2" 30001 | cut -d' ' -f2
}

# sees NAMESPACE SOURCE4 SOURCE6: by both protocols.
sees() {
	local protocol
	for protocol in tcp udp; do
		run "$protocol" "$1" "$lab_public"
		echo "$1 $protocol $lab_public -> $output"
		[[ $output =~ ^($2)$ ]]
		run "$protocol" "$1" "$PUBLIC6"
		echo "$1 $protocol $PUBLIC6 -> $output"
		[[ $output =~ ^($3)$ ]]
	done
}

# A port of the gateway that nobody has mapped leads to the gateway's own service, from the client's address.
own_service_is_as_it_was() {
	[ "$(tcp client 198.51.100.1 7009)" = 198.51.100.2 ]
	[ "$(tcp client "$lab_public" 7009)" = 198.51.100.2 ]
	[ "$(tcp client "$PUBLIC6" 7009)" = 2001:db8:1::2 ]
}

@test "masquerade: the gateway's address on the way to the host" {
	start masquerade
	sees client 10.0.1.1 2001:db8:2::1
	sees host2 10.0.1.1 2001:db8:2::1
	sees host1 10.0.1.1 2001:db8:2::1
	sees gateway 10.0.1.1 2001:db8:2::1
	own_service_is_as_it_was
}

@test "preserve: the client's address, but where client and host are behind the same link" {
	start preserve
	sees client 198.51.100.2 2001:db8:1::2
	sees host2 10.0.2.2 2001:db8:3::2
	sees host1 10.0.1.1 2001:db8:2::1
	own_service_is_as_it_was
}

@test "preserve: the gateway itself" {
	start preserve
	sees gateway "$lab_public|198.51.100.1|10.0.0.1|10.0.1.1" "$PUBLIC6|2001:db8:.*"
}

@test "preserve: a link that comes later" {
	start preserve
	ip -n "$LAB-gateway" link add later type veth peer name eth1 netns "$LAB-host1"
	ip -n "$LAB-gateway" address add 10.0.4.1/24 dev later
	ip -n "$LAB-host1" address add 10.0.4.2/24 dev eth1
	ip -n "$LAB-host1" link set eth1 up
	ip -n "$LAB-gateway" link set later up
	hairpin_has_later() { lab_exec gateway nft list set inet portico hairpin | grep -q '"later" . "later"'; }
	lab_wait 10 hairpin_has_later
	curl -sf --unix-socket "$SOCKET" --data-binary '{"changes":[{"op":"put","mapping":{"port":30002,
		"target":{"address":"10.0.4.2","port":7001}}}]}' http://localhost/v1/mappings:apply
	ip -n "$LAB-host1" route add "$lab_public" via 10.0.4.1
	[ "$(tcp host1 "$lab_public" 30002)" = 10.0.4.1 ]
	ip -n "$LAB-gateway" link delete later
	hairpin_has_no_later() { ! lab_exec gateway nft list set inet portico hairpin | grep -q later; }
	lab_wait 10 hairpin_has_no_later
}

@test "snat: the named addresses in turn" {
	local seen=()
	start "snat 10.0.0.1,10.0.0.2,2001:db8:9::1,2001:db8:9::2"
	sees client '10\.0\.0\.[12]' '2001:db8:9::[12]'
	sees host2 '10\.0\.0\.[12]' '2001:db8:9::[12]'
	sees host1 '10\.0\.0\.[12]' '2001:db8:9::[12]'
	sees gateway '10\.0\.0\.[12]' '2001:db8:9::[12]'
	own_service_is_as_it_was
	while [ ${#seen[@]} -lt 4 ]; do
		seen+=("$(tcp client "$lab_public")")
	done
	[ "${seen[0]}" != "${seen[1]}" ]
	[ "${seen[0]} ${seen[1]}" = "${seen[2]} ${seen[3]}" ]
}

@test "snat: an address that the machine does not have is a finding" {
	start "snat 10.0.0.1,10.0.0.99"
	found() {
		[ "$(curl -s --unix-socket "$SOCKET" http://localhost/v1/status |
			jq -r '.findings[] | select(.code == "source_missing") | .subject')" = 10.0.0.99 ]
	}
	lab_wait 10 found
}

@test "snat: a family without addresses is masqueraded" {
	start "snat 10.0.0.1"
	sees client 10.0.0.1 2001:db8:2::1
}

@test "what is not translated by a mapping keeps its source in every mode" {
	local mode
	for mode in masquerade preserve "snat 10.0.0.1"; do
		start "$mode"
		[ "$(tcp client 10.0.1.2 7001)" = 198.51.100.2 ]
		lab_stop gatewayd
	done
}

@test "fast path: on refuses to start where the kernel has none, auto says so once and goes on" {
	if lab_exec gateway nft -c 'table inet try { flowtable f { hook ingress priority 0; }; }'; then
		start preserve --fastpath on
		lab_exec gateway nft list table inet portico | grep -q 'flowtable fastpath'
	else
		run lab_exec gateway timeout 20 "$BUILD_DIR/gatewayd/gatewayd" --addresses "$lab_public" \
			--socket "$SOCKET" --run-directory "$lab_dir" --state-directory "$lab_dir/state" \
			--fastpath on
		[ "$status" -eq 1 ]
		[[ $output == *"fastpath: this kernel has no flowtable"* ]]
		rm -f "$lab_dir/log/gatewayd"
		start preserve
		said() { [ "$(grep -c 'no flowtable' "$lab_dir/log/gatewayd")" -eq 1 ]; }
		lab_wait 10 said
		[ "$(curl -s --unix-socket "$SOCKET" http://localhost/v1/status |
			jq -r '.findings[] | select(.code == "fastpath") | .level')" = info ]
	fi
	lab_stop gatewayd
	rm -f "$lab_dir/log/gatewayd"
	start preserve --fastpath off
	run ! grep -q fastpath < <(lab_exec gateway nft list table inet portico)
	[ "$(tcp client "$lab_public")" = 198.51.100.2 ]
}
