# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash disable=SC2154 # scripts/lab.sh sets lab_dir
# What the tests of schedd alone share: one on its Unix socket, with a PostgreSQL of its own and followers
# that the tests play themselves. Loaded by bats, behind fleet.

start() { # [OPTION...]
	lab_start schedd - "$BUILD_DIR/schedd/schedd" --database "$lab_database" --listen "" --socket "$lab_dir/schedd.sock" \
		--port-addresses "$lab_public" --port-range 30001-30999 --offline-after 5m "$@"
	lab_wait 20 call GET /readyz -f || { cat "$lab_dir/log/schedd" >&2; return 1; }
}

ctl() {
	"$BUILD_DIR/schedctl/schedctl" --server "unix:$lab_dir/schedd.sock" "$@"
}

call() { # as root: METHOD PATH [CURL-OPTION...]
	local method=$1 path=$2
	shift 2
	curl -s -m 30 -X "$method" --unix-socket "$lab_dir/schedd.sock" "http://localhost$path" "$@"
}
