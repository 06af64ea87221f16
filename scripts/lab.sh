# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# A small fleet on one machine, for the demo and the end-to-end tests. Sourced, not run.
#
#   client 198.51.100.2 ── gateway 198.51.100.1, 203.0.113.10 ── host1 10.0.1.2
#                              └ control 10.0.0.1             └── host2 10.0.2.2
#
# Everything that a lab makes is noted in its folder before it is used, so that lab_down removes it also
# after the script that made it was killed. Processes are ended by their noted id and start time.
#
# The caller sets LAB (a short name, which also begins the namespaces' names) and may set BUILD_DIR.

LAB_ROOT=${LAB_ROOT:-/run/portico-lab}
LAB_DATA_ROOT=${LAB_DATA_ROOT:-/var/tmp/portico-lab}
BUILD_DIR=${BUILD_DIR:-build}

lab_public=203.0.113.10
lab_server=https://10.0.0.1:8000
# Followers may be given several, with commas between.
lab_servers=${lab_servers:-$lab_server}

lab_paths() {
	lab_dir=$LAB_ROOT/$LAB
	lab_data=$LAB_DATA_ROOT/$LAB
	lab_ca=$lab_dir/schedd/tls.crt # schedd makes it at its first start
	lab_database="host=$lab_dir/postgres user=portico dbname=portico"
	# Empty until PostgreSQL is installed.
	lab_postgres_bin=$({ find /usr/lib/postgresql -path '*/bin/initdb' -printf '%h\n' 2>/dev/null || true; } |
		sort -V | tail -1)
}

lab_init() {
	lab_paths
	mkdir -p "$lab_dir/log" "$lab_data"
	install -d -m 700 "$lab_dir/tokens"
	chmod 711 "$LAB_ROOT" "$lab_dir"
}

# lab_wait SECONDS COMMAND...: until the command succeeds; fails when the time is over.
lab_wait() {
	local deadline=$((SECONDS + $1))
	shift
	until "$@" >/dev/null 2>&1; do
		[ "$SECONDS" -lt "$deadline" ] || return 1
		sleep 0.1
	done
}

# ---- processes ----

lab_start_time() {
	local stat
	stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 1
	# what follows the command's closing parenthesis begins with field 3
	stat=${stat##*) }
	# shellcheck disable=SC2086 # into words
	set -- $stat
	# A killed process of several threads is a zombie before the last of them has let go of its files.
	[ "$1" != Z ] || [ "${18}" -gt 1 ] || return 1
	echo "${20}"
}

# lab_start NAME NAMESPACE|- COMMAND...: in the background, with its output in log/NAME.
lab_start() {
	local name=$1 namespace=$2 enter=()
	shift 2
	[ "$namespace" = - ] || enter=(nsenter "--net=/run/netns/$LAB-$namespace")
	setsid "${enter[@]}" "$@" </dev/null >>"$lab_dir/log/$name" 2>&1 3>&- 4>&- &
	local pid=$!
	disown
	echo "$pid $(lab_start_time "$pid") $name" >>"$lab_dir/pids"
}

# The newest process of that name, if it still runs.
lab_pid() {
	local pid start name found=
	while read -r pid start name; do
		[ "$name" = "$1" ] && [ "$(lab_start_time "$pid")" = "$start" ] && found=$pid
	done <"$lab_dir/pids"
	[ -n "$found" ] && echo "$found"
}

lab_gone() {
	! lab_start_time "$1"
}

# lab_stop NAME [SIGNAL]: ends it and waits until it is gone.
lab_stop() {
	local pid
	pid=$(lab_pid "$1") || return 0
	kill "-${2:-TERM}" "$pid" 2>/dev/null || true
	lab_wait 20 lab_gone "$pid" && return
	kill -KILL "$pid" 2>/dev/null || true
	lab_wait 5 lab_gone "$pid"
}

# ---- network ----

lab_exec() {
	local namespace=$1
	shift
	nsenter "--net=/run/netns/$LAB-$namespace" "$@"
}

lab_link() { # lab_link NAMESPACE GATEWAY_ADDRESS ADDRESS
	local device=to-$1
	ip -n "$LAB-gateway" link add "$device" type veth peer name eth0 netns "$LAB-$1"
	ip -n "$LAB-gateway" address add "$2/24" dev "$device"
	ip -n "$LAB-gateway" link set "$device" up
	ip -n "$LAB-$1" address add "$3/24" dev eth0
	ip -n "$LAB-$1" link set eth0 up
}

lab_network() {
	local namespace
	for namespace in client gateway host1 host2; do
		echo "$LAB-$namespace" >>"$lab_dir/namespaces"
		ip netns add "$LAB-$namespace"
		ip -n "$LAB-$namespace" link set lo up
	done
	lab_link client 198.51.100.1 198.51.100.2
	lab_link host1 10.0.1.1 10.0.1.2
	lab_link host2 10.0.2.1 10.0.2.2
	ip -n "$LAB-gateway" address add "$lab_public/32" dev to-client
	ip -n "$LAB-gateway" address add 10.0.0.1/32 dev lo
	ip -n "$LAB-client" route add 203.0.113.0/24 via 198.51.100.1
	ip -n "$LAB-host1" route add default via 10.0.1.1
	ip -n "$LAB-host2" route add default via 10.0.2.1
	lab_exec gateway sysctl -q -w net.ipv4.ip_forward=1 net.netfilter.nf_conntrack_acct=1
}

lab_listens() { # NAMESPACE PORT: somebody does, for TCP
	lab_exec "$1" ss -Hltn "sport = :$2" | grep -q .
}

# ---- PostgreSQL: a private cluster on a Unix socket ----

lab_as_postgres() {
	env --chdir=/ setpriv --reuid=postgres --regid=postgres --clear-groups -- "$@"
}

lab_postgres_start() {
	lab_start postgres - setpriv --reuid=postgres --regid=postgres --clear-groups -- \
		"$lab_postgres_bin/postgres" -D "$lab_data/postgres" -k "$lab_dir/postgres" -c listen_addresses=
	lab_wait 60 "$lab_postgres_bin/pg_isready" -q -h "$lab_dir/postgres" -U portico -d postgres
}

lab_postgres() {
	install -d -o postgres -g postgres -m 700 "$lab_data/postgres" "$lab_dir/postgres"
	lab_as_postgres "$lab_postgres_bin/initdb" -D "$lab_data/postgres" -U portico -A trust --no-locale -E UTF8 \
		>"$lab_dir/log/initdb" 2>&1
	lab_postgres_start
	lab_as_postgres "$lab_postgres_bin/createdb" -h "$lab_dir/postgres" -U portico portico
}

# ---- Docker: one engine for each host, in the host's namespace ----

lab_docker() {
	local host=$1
	shift
	/usr/bin/docker -H "unix://$lab_dir/$host.sock" "$@"
}

lab_dockerd_start() {
	lab_start "dockerd-$1" "$1" dockerd --data-root "$lab_data/$1" --exec-root "$lab_dir/$1" \
		--pidfile "$lab_dir/$1.pid" --host "unix://$lab_dir/$1.sock" --live-restore
	lab_wait 60 lab_docker "$1" version
}

# Takes an image file into the host's engine as portico/dev:latest.
lab_image() {
	lab_docker "$1" import --change 'CMD ["/usr/sbin/sshd", "-D", "-e"]' --change 'EXPOSE 22' "$2" \
		portico/dev:latest >/dev/null
}

# ---- our daemons ----

# The admin's token is made once, before the first start.
lab_bootstrap() {
	[ -f "$lab_dir/tokens/admin" ] || "$BUILD_DIR/schedd/schedd" --bootstrap --bootstrap-file "$lab_dir/tokens/admin" \
		--database "$lab_database" --port-addresses "$lab_public" >>"$lab_dir/log/bootstrap" 2>&1
}

# lab_token ROLE SUBJECT: its token is in tokens/SUBJECT from here on.
lab_token() {
	[ -f "$lab_dir/tokens/$2" ] || lab_schedctl token create "$2" --role "$1" --subject "$2" \
		--save "$lab_dir/tokens/$2" 2>>"$lab_dir/log/tokens"
}

# lab_curl [CURL-OPTION...] PATH: schedd's API as an admin, or as TOKEN (a file in tokens/) says.
lab_curl() {
	local path=${*: -1}
	lab_exec gateway curl --cacert "$lab_ca" "${@:1:$#-1}" -H @<(printf 'Authorization: Bearer %s\n' \
		"$(cat "$lab_dir/tokens/${TOKEN:-admin}")") "$lab_server$path"
}

lab_schedd() {
	lab_bootstrap
	lab_start schedd gateway "$BUILD_DIR/schedd/schedd" --database "$lab_database" --listen 10.0.0.1:8000 \
		--state-directory "$lab_dir/schedd" --socket "$lab_dir/schedd.sock" --port-addresses "$lab_public" \
		--port-range 30001-30999 --quarantine 10m "$@"
	lab_wait 30 lab_curl -sf /readyz
}

lab_gatewayd() {
	lab_token gateway gw1
	lab_start gatewayd gateway "$BUILD_DIR/gatewayd/gatewayd" --name gw1 --addresses "$lab_public" \
		--server "$lab_servers" --ca-file "$lab_ca" --token-file "$lab_dir/tokens/gw1" \
		--socket "$lab_dir/gatewayd.sock" \
		--run-directory "$lab_dir" --state-directory "$lab_dir/gatewayd-state" "$@"
	lab_wait 30 curl -sf --unix-socket "$lab_dir/gatewayd.sock" http://localhost/readyz
}

lab_agentd() { # lab_agentd HOST ADDRESS [OPTION...]
	local host=$1 address=$2
	shift 2
	lab_token host "$host"
	lab_start "agentd-$host" "$host" "$BUILD_DIR/agentd/agentd" --name "$host" --address "$address" \
		--server "$lab_servers" --ca-file "$lab_ca" --token-file "$lab_dir/tokens/$host" --docker "unix://$lab_dir/$host.sock" --data-dir "$lab_data/$host-agentd" "$@"
}

lab_schedctl() {
	lab_exec gateway "$BUILD_DIR/schedctl/schedctl" --server "$lab_server" --ca-file "$lab_ca" --token-file "$lab_dir/tokens/${TOKEN:-admin}" "$@"
}

# schedctl where /run/portico has the sockets of this lab and nothing names a server, as on a machine of its own.
lab_schedctl_here() {
	# shellcheck disable=SC2016 # for the inner shell
	env -u PORTICO_SERVER -u PORTICO_TOKEN_FILE nsenter "--net=/run/netns/$LAB-gateway" unshare -m sh -c '
		mount --bind "$0" /mnt && mount -t tmpfs tmpfs /run && mkdir /run/portico &&
			mount --bind /mnt /run/portico && : >/run/none && exec "$@"' \
		"$lab_dir" "$PWD/$BUILD_DIR/schedctl/schedctl" --config /run/none "$@"
}

lab_host_online() {
	[ "$(lab_curl -sf "/v1/hosts/$1" | jq -r .status)" = online ]
}

# ---- the end ----

lab_end_processes() { # SIGNAL
	local pid start name
	while read -r pid start name; do
		[ "$(lab_start_time "$pid")" = "$start" ] && kill "-$1" "$pid" 2>/dev/null
	done <"$lab_dir/pids"
	return 0
}

# A test that failed may have left something standing still: it would hear nothing but SIGKILL, and the
# processes of a database outlive their parent then.
lab_resume_processes() {
	local pid start name
	while read -r pid start name; do
		# shellcheck disable=SC2046 # into words
		[ "$(lab_start_time "$pid")" = "$start" ] &&
			kill -CONT "$pid" $(cat "/proc/$pid/task/$pid/children") 2>/dev/null
	done <"$lab_dir/pids"
	return 0
}

lab_processes_gone() {
	local pid start name
	while read -r pid start name; do
		[ "$(lab_start_time "$pid")" = "$start" ] && return 1
	done <"$lab_dir/pids"
	return 0
}

# Containers outlive a dockerd that was killed. Their shims say on their command line whose they are, and
# their processes have a root file system of ours in a mount namespace of their own.
lab_end_containers() {
	local directory cmdline own
	own=$(readlink /proc/self/ns/mnt)
	for directory in /proc/[0-9]*; do
		cmdline=$(tr '\0' ' ' 2>/dev/null <"$directory/cmdline") || continue
		case $cmdline in
		*containerd*"$lab_dir/host"[12]*) kill -KILL "${directory#/proc/}" 2>/dev/null ;;
		*)
			[ "$(readlink "$directory/ns/mnt" 2>/dev/null)" != "$own" ] &&
				grep -qs "$lab_data/host[12]/" "$directory/mountinfo" &&
				kill -KILL "${directory#/proc/}" 2>/dev/null
			;;
		esac
	done
	return 0
}

# What runs in a namespace of ours (a container's process whose shim has gone, a client).
lab_end_namespace() {
	local pid
	for pid in $(ip netns pids "$1" 2>/dev/null); do
		kill -KILL "$pid" 2>/dev/null
	done
	return 0
}

lab_unmount() {
	local mount
	awk -v a="$lab_dir/" -v b="$lab_data/" 'index($2, a) == 1 || index($2, b) == 1 { print $2 }' /proc/mounts |
		sort -r | while read -r mount; do
		umount -l "$mount" 2>/dev/null
	done
	return 0
}

lab_remove_containers() {
	local host ids
	for host in host1 host2; do
		[ -S "$lab_dir/$host.sock" ] || continue
		ids=$(timeout 10 /usr/bin/docker -H "unix://$lab_dir/$host.sock" ps -aq 2>/dev/null) || continue
		# shellcheck disable=SC2086 # into words
		[ -z "$ids" ] || timeout 30 /usr/bin/docker -H "unix://$lab_dir/$host.sock" rm -f $ids >/dev/null 2>&1
	done
	return 0
}

# Removes all that the lab made. May be called at any time, and again.
lab_down() {
	lab_remove || true # which also keeps `set -e` out of it
}

lab_remove() {
	local namespace
	[ -d "$lab_dir" ] || [ -d "$lab_data" ] || return 0
	touch "$lab_dir/pids" "$lab_dir/namespaces" 2>/dev/null
	lab_resume_processes
	local name
	for name in agentd-host1 agentd-host2 gatewayd schedd; do
		lab_stop "$name"
	done
	lab_remove_containers
	lab_end_processes TERM
	lab_wait 20 lab_processes_gone || lab_end_processes KILL
	lab_end_containers
	while read -r namespace; do
		lab_end_namespace "$namespace"
	done <"$lab_dir/namespaces"
	lab_unmount
	while read -r namespace; do
		ip netns delete "$namespace" 2>/dev/null
	done <"$lab_dir/namespaces"
	rm -rf "$lab_data" "$lab_dir"
	rmdir "$LAB_DATA_ROOT" "$LAB_ROOT" 2>/dev/null
	return 0
}
