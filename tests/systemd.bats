#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck disable=SC2317 # bats calls the tests
# The units, users and folders for systemd, checked by systemd's own tools on an installed tree. BUILD_DIR
# names the build folder (default: build).

bats_require_minimum_version 1.5.0

DAEMONS=(gatewayd schedd agentd)

# Installs into a folder of its own; there each unit's program is the one that was built.
setup_file() {
	cd "$BATS_TEST_DIRNAME/.." || return 1
	local build=${BUILD_DIR:-build} daemon
	export TREE="$BATS_FILE_TMPDIR/tree" UNITS="$BATS_FILE_TMPDIR/units"
	for daemon in "${DAEMONS[@]}" schedctl; do
		[ -x "$build/$daemon/$daemon" ] || return 0
	done
	DESTDIR="$TREE" meson install -C "$build" --no-rebuild --quiet || return 1
	mkdir "$UNITS"
	find "$TREE" \( -name 'portico-*.service' -o -name 'portico-*.socket' \) -exec cp -t "$UNITS" {} +
	sed -i -E "s|^ExecStart=|&$TREE|" "$UNITS"/*.service
}

setup() {
	[ -d "$UNITS" ] || skip "not all programs are built"
	command -v systemd-analyze >/dev/null || skip "systemd-analyze is not installed"
}

installed() {
	find "$TREE" -path "*/$1" -type f
}

@test "all units are there" {
	local daemon
	for daemon in "${DAEMONS[@]}"; do
		[ -f "$UNITS/portico-$daemon.service" ]
	done
	[ -f "$UNITS/portico-gatewayd.socket" ]
	[ -f "$UNITS/portico-schedd.socket" ]
}

@test "systemd-analyze verify has nothing to say" {
	local unit
	for unit in "$UNITS"/*; do
		run systemd-analyze verify --man=no --recursive-errors=no "$unit"
		echo "$unit: $output"
		[ "$status" -eq 0 ]
		# Unknown keys are only warned of; what is said of the machine's own units is not ours.
		[[ $output != *"$UNITS"* && $output != *portico* ]]
	done
}

@test "the documentation that a unit names is installed" {
	local page
	[ "$(grep -ho '^Documentation=.*' "$UNITS"/*.service | wc -l)" -eq 3 ]
	grep -ho '^Documentation=.*' "$UNITS"/*.service | while IFS= read -r page; do
		echo "$page"
		[ -s "$TREE${page#Documentation=file://}" ]
	done
}

# exposure UNIT MAXIMUM, in systemd's scale of 0 (nothing) to 10, times 10.
exposure() {
	systemd-analyze security --offline=yes --no-pager --threshold="$2" "$UNITS/$1"
}

@test "gatewayd is exposed to little" {
	exposure portico-gatewayd.service 20
}

@test "schedd is exposed to little" {
	exposure portico-schedd.service 16
}

@test "agentd is exposed to little" {
	exposure portico-agentd.service 25
}

@test "each daemon has a user of its own, and it is made" {
	local daemon user sysusers
	sysusers=$(installed 'sysusers.d/portico.conf')
	for daemon in "${DAEMONS[@]}"; do
		user=$(sed -n 's/^User=//p' "$UNITS/portico-$daemon.service")
		[ "$user" != root ]
		grep -q "^u $user " "$sysusers"
		echo "$user"
	done | sort | uniq -d | { ! grep .; }
}

# capabilities DAEMON LIST: these, and no way to more.
capabilities() {
	[ "$(sed -n 's/^AmbientCapabilities=//p' "$UNITS/portico-$1.service")" = "$2" ]
	[ "$(sed -n 's/^CapabilityBoundingSet=//p' "$UNITS/portico-$1.service")" = "$2" ]
	grep -qx 'CapabilityBoundingSet=.*' "$UNITS/portico-$1.service"
}

@test "no daemon has a capability that it does not need" {
	capabilities gatewayd CAP_NET_ADMIN
	capabilities schedd ''
	capabilities agentd 'CAP_CHOWN CAP_DAC_OVERRIDE CAP_FOWNER'
}

@test "stopping gatewayd runs nothing that could take the table away" {
	run ! grep -E '^ExecStop(Post)?=' "$UNITS/portico-gatewayd.service"
}

@test "each daemon is watched and started again for ever" {
	local daemon
	for daemon in "${DAEMONS[@]}"; do
		grep -qx 'Type=notify' "$UNITS/portico-$daemon.service"
		grep -qE '^WatchdogSec=[1-9]' "$UNITS/portico-$daemon.service"
		grep -qx 'Restart=always' "$UNITS/portico-$daemon.service"
		grep -qx 'StartLimitIntervalSec=0' "$UNITS/portico-$daemon.service"
	done
}

@test "systemd-sysusers makes the users in an empty root" {
	local root="$BATS_TEST_TMPDIR/root" user
	mkdir -p "$root/etc"
	run systemd-sysusers --root="$root" "$(installed 'sysusers.d/portico.conf')"
	echo "$output"
	[ "$status" -eq 0 ]
	for user in portico-gateway portico-sched portico-agent; do
		grep -q "^$user:" "$root/etc/passwd"
	done
	grep -q '^portico:' "$root/etc/group"
	grep -qE '^docker:.*portico-agent' "$root/etc/group"
}

@test "systemd-tmpfiles makes the folders in an empty root" {
	local root="$BATS_TEST_TMPDIR/root"
	mkdir -p "$root/etc"
	systemd-sysusers --root="$root" "$(installed 'sysusers.d/portico.conf')"
	run systemd-tmpfiles --create --root="$root" "$(installed 'tmpfiles.d/portico.conf')"
	echo "$output"
	[ "$status" -eq 0 ]
	[ "$(stat -c '%a %u' "$root/run/portico")" = \
		"755 $(awk -F: '$1 == "portico-gateway" { print $3 }' "$root/etc/passwd")" ]
	[ "$(stat -c '%a %u' "$root/var/lib/portico/schedd")" = \
		"700 $(awk -F: '$1 == "portico-sched" { print $3 }' "$root/etc/passwd")" ]
	[ "$(stat -c %a "$root/data")" = 755 ]
}

@test "the sockets are where the daemons look for them by default" {
	local daemon path
	for daemon in gatewayd schedd; do
		path=$(sed -n 's/^ListenStream=//p' "$UNITS/portico-$daemon.socket")
		grep -qx "#socket = $path" "systemd/$daemon.conf"
		grep -qx "Requires=portico-$daemon.socket" "$UNITS/portico-$daemon.service"
	done
}

@test "an installation overwrites no configuration" {
	[ "$(find "$TREE/etc/portico" -type f ! -name '*.example' | wc -l)" -eq 0 ]
	[ "$(find "$TREE/etc/portico" -name '*.conf.example' | wc -l)" -eq 4 ]
}

@test "what is taken away from gatewayd leaves it its sockets" {
	local families
	families=$(sed -n 's/^RestrictAddressFamilies=//p' "$UNITS/portico-gatewayd.service")
	[[ $families == *AF_NETLINK* && $families == *AF_UNIX* && $families == *AF_INET6* ]]
	[[ $(sed -n 's/^RestrictAddressFamilies=//p' "$UNITS/portico-agentd.service") == *AF_UNIX* ]]
}

@test "what is taken away from agentd leaves it fchown for its volumes" {
	# @privileged contains @chown; the last line that names one of the two counts.
	[ "$(grep -E '^SystemCallFilter=~?@(privileged|chown)$' "$UNITS/portico-agentd.service" | tail -n 1)" = \
		'SystemCallFilter=@chown' ]
}
