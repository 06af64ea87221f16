#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck disable=SC2317,SC2154,SC2119 # bats calls the tests; variables come from the lab
# schedd's HTTPS: the certificate that it makes, one of the operator's, whom clients believe, old protocols,
# and handshakes that never end.

bats_require_minimum_version 1.5.0
load fleet

setup_file() {
	fleet_load
	lab_init
	lab_network
	lab_postgres
	lab_schedd
}

teardown_file() {
	lab_down
}

setup() {
	fleet_load
}

pin() {
	sed -n 's/.* pin=\(sha256[^ ]*\).*/\1/p' "$lab_dir/log/schedd" | tail -n 1
}

ctl() { # without the lab's own trust
	lab_exec gateway env -u PORTICO_CA_FILE "$BUILD_DIR/schedctl/schedctl" --server "$lab_server" \
		--token-file "$lab_dir/tokens/admin" "$@"
}

@test "without a certificate one is made, kept and told" {
	[ "$(stat -c %a "$lab_dir/schedd/tls.key")" = 600 ]
	local of_file
	of_file=sha256//$(openssl x509 -in "$lab_ca" -noout -pubkey | openssl pkey -pubin -outform der | openssl dgst -sha256 -binary | base64)
	[ "$(pin)" = "$of_file" ]
	openssl x509 -in "$lab_ca" -noout -checkip 10.0.0.1 | grep -q 'does match'
	openssl x509 -in "$lab_ca" -noout -checkend $((5 * 365 * 86400))
	lab_stop schedd
	lab_schedd
	[ "$(pin)" = "$of_file" ]
}

@test "clients believe the file or the fingerprint, and nobody else" {
	run lab_exec gateway curl -s "$lab_server/healthz"
	[ "$status" -eq 60 ]
	lab_curl -sf /v1/hosts
	lab_exec gateway curl -sfk --pinnedpubkey "$(pin)" "$lab_server/healthz"
	run --separate-stderr ctl host list
	[ "$status" -eq 5 ]
	[[ ${stderr:-} == *'not trusted'*'--ca-file'*'--server-pin'* ]]
	ctl --ca-file "$lab_ca" host list
	ctl --server-pin "$(pin)" host list
	lab_exec gateway env PORTICO_SERVER_PIN="$(pin)" PORTICO_TOKEN_FILE="$lab_dir/tokens/admin" \
		"$BUILD_DIR/schedctl/schedctl" --server "$lab_server" host list
	run --separate-stderr ctl --server-pin "sha256//$(head -c 32 /dev/zero | base64)" host list
	[ "$status" -eq 5 ]
	[[ ${stderr:-} == *'not trusted'* ]]
	# plain HTTP has no answer here
	run lab_exec gateway curl -s --max-time 20 "http://10.0.0.1:8000/healthz"
	[ "$status" -ne 0 ]
}

@test "a follower that believes nobody says what to do" {
	lab_start distrustful host2 "$BUILD_DIR/gatewayd/gatewayd" --name gw2 --addresses 203.0.113.99 --server "$lab_server" \
		--token-file "$lab_dir/tokens/admin" --socket "$lab_dir/gw2/gatewayd.sock" --metrics-listen '' \
		--run-directory "$lab_dir/gw2" --state-directory "$lab_dir/gw2-state"
	lab_wait 10 grep -q 'register: .*certificate.*ca-file.*server-pin' "$lab_dir/log/distrustful"
	lab_stop distrustful
}

@test "old protocols are refused" {
	# shellcheck disable=SC2329
	speaks() {
		lab_exec gateway openssl s_client -connect 10.0.0.1:8000 -CAfile "$lab_ca" -verify_return_error \
			-cipher 'DEFAULT@SECLEVEL=0' "$1" </dev/null
	}
	run ! speaks -tls1_1
	run ! speaks -tls1
	run -0 speaks -tls1_2
	run -0 speaks -tls1_3
}

@test "bodies and streams as without TLS" {
	head -c 5000000 /dev/zero | tr '\0' a >"$lab_dir/big"
	run lab_curl -s --data-binary "@$lab_dir/big" -w '\n%{http_code}' /v1/environments
	[[ $output == *'"too_large"'*413 ]]
	run lab_curl -s -H 'Expect: 100-continue' --data-binary "@$lab_dir/big" -D - -w '\n%{http_code} %{size_upload}' /v1/environments
	[[ $output == *'"too_large"'*'413 0' && $output != *'HTTP/1.1 100'* ]]
	lab_wait 30 streams
	lab_curl -sf /healthz
}

streams() {
	[[ $(lab_curl -sN --max-time 7 '/v1/environments?watch=1') == *'"synced"'*'"bookmark"'* ]]
}

# The end of a handshake that does not move, or that crawls, as the client sees it.
stuck() { # HOW
	lab_exec gateway timeout 40 python3 - "$1" <<'END'
import socket, sys, time
hello = bytes.fromhex("160301020001000001fc0303") + bytes(32)
connection = socket.create_connection(("10.0.0.1", 8000))
connection.settimeout(0.5)
end = time.monotonic() + 30
while time.monotonic() < end:
    try:
        if sys.argv[1] == "slow" and hello:
            connection.sendall(hello[:1])
            hello = hello[1:]
        if not connection.recv(100):
            break
    except socket.timeout:
        continue
    except OSError:
        break
else:
    sys.exit("the connection is still open")
END
}

@test "a handshake that does not end is ended, and nobody else waits for it" {
	local first second
	stuck silent &
	first=$!
	stuck slow &
	second=$!
	lab_curl -sf /v1/hosts
	ctl --ca-file "$lab_ca" host list
	wait "$first"
	wait "$second"
	[ "$(lab_curl -s /metrics | sed -n 's/^portico_sched_tls_handshakes_failed_total //p')" -ge 2 ]
	[ "$(lab_curl -s /metrics | sed -n 's/^portico_sched_http_connections //p')" = 1 ]
}

@test "a certificate of the operator's, with its key" {
	lab_stop schedd
	local own="$lab_dir/own"
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 -subj /CN=sched \
		-addext subjectAltName=IP:10.0.0.1 -keyout "$own.key" -out "$own.crt" 2>/dev/null
	run "$BUILD_DIR/schedd/schedd" --port-addresses "$lab_public" --socket "$lab_dir/x.sock" --listen 127.0.0.1:1 \
		--tls-certificate "$own.crt" --tls-key "$lab_dir/schedd/tls.key"
	[ "$status" -eq 1 ]
	[[ $output == *'is not the key of'* ]]
	cp "$own.key" "$own-open.key"
	chmod 644 "$own-open.key"
	run "$BUILD_DIR/schedd/schedd" --port-addresses "$lab_public" --socket "$lab_dir/x.sock" --listen 127.0.0.1:1 \
		--tls-certificate "$own.crt" --tls-key "$own-open.key"
	[ "$status" -eq 1 ]
	[[ $output == *'chmod 600'* ]]
	lab_ca=$own.crt lab_schedd --tls-certificate "$own.crt" --tls-key "$own.key"
	ctl --ca-file "$own.crt" host list
	run ctl --ca-file "$lab_ca" host list
	[ "$status" -eq 5 ]
}

@test "nothing is wrong with the daemon, to the end" {
	lab_stop schedd
	run ! grep -E 'ERROR: (Address|Leak)Sanitizer|runtime error:' "$lab_dir/log/schedd"
}
