# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash disable=SC2119,SC2120 # options are for the tests that need them
# What the tests of a whole fleet share: a lab with all daemons, and the client's tools. Loaded by bats.

fleet_load() {
	cd "$BATS_TEST_DIRNAME/../.." || return 1
	BUILD_DIR=${BUILD_DIR:-build}
	# Of this file and this run: two runs at the same time do not meet.
	LAB=${LAB:-$(basename "$BATS_TEST_FILENAME" .bats)-$PPID}
	export LAB BUILD_DIR
	# shellcheck source=scripts/lab.sh
	. scripts/lab.sh
	lab_paths
}

# Short times, so that what takes minutes in life takes seconds here.
fleet_schedd() {
	lab_schedd --offline-after 4s --withdraw-timeout 5s --unready-grace 5s "$@"
}

fleet_gatewayd() {
	lab_gatewayd --heartbeat 1s --audit-interval 2s "$@"
}

fleet_agentd() { # HOST
	lab_agentd "$1" "10.0.${1#host}.2" --heartbeat 1s --cpu-milli 1000 --memory-bytes 1073741824 \
		--shared-dir "$lab_data/shared"
}

fleet_up() {
	lab_init
	lab_network
	lab_postgres
	lab_dockerd_start host1
	lab_dockerd_start host2
	local image
	image=$(scripts/dev-image)
	lab_image host1 "$image"
	lab_image host2 "$image"
	ssh-keygen -q -t ed25519 -N '' -C test -f "$lab_dir/key"
	# A mounted folder that is the same on both hosts.
	install -d "$lab_data/shared"
	touch "$lab_data/shared/.portico"
	fleet_schedd
	fleet_gatewayd
	fleet_agentd host1
	fleet_agentd host2
	lab_wait 20 lab_host_online host1
	lab_wait 20 lab_host_online host2
}

# What a failed test leaves to look at.
fleet_logs() {
	local log
	for log in "$lab_dir"/log/{schedd,gatewayd,agentd-host1,agentd-host2}; do
		[ -f "$log" ] || continue
		echo "---- $(basename "$log")"
		tail -n 15 "$log"
	done
}

fleet_create() { # NAME [OPTION...]
	local name=$1
	shift
	lab_schedctl env create --name "$name" --image portico/dev:latest --cpu 250m --memory 128Mi \
		--ssh-key "$lab_dir/key.pub" --wait --timeout 60s "$@"
}

fleet_env() { # NAME FILTER
	lab_schedctl -o json env show "$1" | jq -r "$2"
}

fleet_phase_is() { # NAME PHASE
	[ "$(fleet_env "$1" .phase)" = "$2" ]
}

fleet_reason_has() { # NAME TEXT
	[[ $(fleet_env "$1" .reason) == *"$2"* ]]
}

fleet_port() { # NAME
	fleet_env "$1" '.ports[0].port'
}

# ssh into an environment as a client does, with its host key checked: NAME COMMAND...
fleet_ssh() {
	local name=$1 port
	shift
	port=$(fleet_port "$name")
	echo "[$lab_public]:$port $(fleet_env "$name" .ssh_host_key)" >"$lab_dir/known_hosts-$name"
	# shellcheck disable=SC2046 # words
	lab_exec client ssh $(fleet_ssh_options "$name") -p "$port" "developer@$lab_public" "$@"
}

fleet_ssh_options() { # NAME
	echo "-F none -i $lab_dir/key -o IdentitiesOnly=yes -o UserKnownHostsFile=$lab_dir/known_hosts-$1" \
		"-o GlobalKnownHostsFile=/dev/null -o StrictHostKeyChecking=yes -o ConnectTimeout=10 -o LogLevel=ERROR"
}

# A session that writes a line ten times a second, as process NAME.
fleet_ticker() { # NAME ENVIRONMENT
	local port
	port=$(fleet_port "$2")
	fleet_ssh "$2" true
	# shellcheck disable=SC2046
	lab_start "$1" client ssh $(fleet_ssh_options "$2") -p "$port" "developer@$lab_public" \
		'while echo tick; do sleep 0.1; done'
	lab_wait 10 grep -q tick "$lab_dir/log/$1"
}

# It still writes.
fleet_ticks() { # NAME
	local before
	before=$(wc -l <"$lab_dir/log/$1")
	lab_wait 10 fleet_ticked "$1" "$((before + 3))"
}

fleet_ticked() {
	[ "$(wc -l <"$lab_dir/log/$1")" -ge "$2" ]
}

# When each of our containers was started: the same as long as none was touched.
fleet_starts() {
	local host
	for host in host1 host2; do
		lab_docker "$host" ps -q --no-trunc | sort | xargs -r /usr/bin/docker -H "unix://$lab_dir/$host.sock" \
			inspect --format '{{.Id}} {{.State.StartedAt}}'
	done
}

# A sanitizer found something in one of our daemons.
fleet_unsound() {
	grep -lE 'ERROR: (Address|Leak)Sanitizer|runtime error:' "$lab_dir"/log/{schedd,gatewayd,agentd-host1,agentd-host2}
}

# portico/NAME:latest with a command of its own, from the image of the lab: HOST NAME COMMAND
fleet_image() {
	lab_docker "$1" import --change "CMD $3" --change 'EXPOSE 22' "$(scripts/dev-image)" "portico/$2:latest" >/dev/null
}

# One that need not come up: NAME IMAGE [OPTION...]
fleet_create_image() {
	local name=$1 image=$2
	shift 2
	lab_schedctl env create --name "$name" --image "$image" --cpu 100m --memory 64Mi "$@"
}

# The process NAME of lab_start has ended.
fleet_gone() {
	! lab_pid "$1"
}

fleet_sql() { # QUERY
	lab_as_postgres "$lab_postgres_bin/psql" -XAtq -h "$lab_dir/postgres" -U portico portico -c "$1"
}

# What nobody owns: rows that refer to what is gone, and containers that no row knows. Says what it finds.
fleet_no_orphans() {
	local host id found
	found=$(fleet_sql "
		SELECT 'port of a deleted environment that does not rest: ' || p.port FROM port_mappings p
			JOIN environments e ON e.id = p.environment
			WHERE e.phase = 'deleted' AND p.state NOT IN ('quarantined', 'withdrawing')
		UNION ALL SELECT 'environment with another number of ports than services: ' || e.name FROM environments e
			WHERE e.phase <> 'deleted' AND jsonb_array_length(e.spec->'services') <>
			(SELECT count(*) FROM port_mappings p WHERE p.environment = e.id)
		UNION ALL SELECT 'deleted environment with a place or a secret: ' || id FROM environments
			WHERE phase = 'deleted' AND (host IS NOT NULL OR assignment <> 'none' OR action <> '' OR
			password_hash IS NOT NULL OR ssh_host_key IS NOT NULL)
		UNION ALL SELECT 'port that leads to an environment that does not run: ' || p.port FROM port_mappings p
			JOIN environments e ON e.id = p.environment
			WHERE p.state = 'published' AND e.phase IN ('stopped', 'failed', 'pending', 'deleted')")
	for host in host1 host2; do
		for id in $(lab_docker "$host" ps -a --filter label=portico.host --format '{{.Names}}'); do
			[ "$(fleet_sql "SELECT host FROM environments WHERE id = '$id' AND assignment <> 'none'")" = "$host" ] ||
				found+=$'\n'"container $id on $host, where it does not belong"
		done
	done
	[ -z "$found" ] || { echo "$found"; return 1; }
}
