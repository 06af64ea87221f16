#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck disable=SC2317,SC2154,SC2016 # bats calls the tests; variables come from the lab
# What schedctl makes of answers: of a server that cannot serve now, of those that are cut, that are none, or that
# would like to command a terminal; and of a reader of its output that goes away.

bats_require_minimum_version 1.5.0
load fleet

setup() {
	export LAB=answers-$$-$BATS_TEST_NUMBER
	fleet_load
	lab_init
	SCHEDCTL=$BUILD_DIR/schedctl/schedctl
}

teardown() {
	[ -n "${BATS_TEST_COMPLETED:-}" ] || { echo "$status $output ${stderr:-}"; cat "$lab_dir"/log/* || true; }
	lab_down
}

# serve FILE...: from here on the server answers with these.
serve() {
	lab_start server - tests/helpers/canned-server "$lab_dir/server.sock" "${@/#/$lab_dir/}"
	lab_wait 10 test -S "$lab_dir/server.sock"
}

# answer NAME STATUS BODY [HEADER...]: makes a file to serve.
answer() {
	local name=$1 code=$2 body=$3
	shift 3
	{
		printf 'HTTP/1.1 %s Whatever\r\nContent-Type: application/json\r\nConnection: close\r\n' "$code"
		[ $# -eq 0 ] || printf '%s\r\n' "$@"
		printf 'Content-Length: %s\r\n\r\n%s' "$(printf %s "$body" | wc -c)" "$body"
	} >"$lab_dir/$name"
}

ctl() {
	"$SCHEDCTL" --server "unix:$lab_dir/server.sock" "$@"
}

asked() { # PATTERN: how many of the lines of all requests have it
	grep -cE "$1" "$lab_dir/log/server"
}

# refused STATUS PATTERN WORDS...: nothing on stdout, and one sentence on stderr.
refused() {
	local wanted=$1 pattern=$2
	shift 2
	run --separate-stderr ctl "$@"
	[ "$status" -eq "$wanted" ]
	[ -z "$output" ]
	[ "$(wc -l <<<"$stderr")" -eq 1 ]
	[[ $stderr =~ ^schedctl:\ .*$pattern ]]
}

away='{"code":"unavailable","message":"the database is away","details":{}}'
environment='{"id":"env-1","name":"demo","phase":"pending"}'

@test "who is told to come back does, and asks for the same thing once" {
	answer away 503 "$away" 'Retry-After: 1'
	answer made 201 "$environment"
	serve away away made
	run --separate-stderr ctl -o name env create --name demo --image x --cpu 1 --memory 1G
	[ "$status" -eq 0 ]
	[ "$output" = demo ]
	[ "$stderr" = 'the database is away; trying again' ]
	[ "$(asked '^POST /v1/environments ')" -eq 3 ]
	[ "$(asked '^Idempotency-Key: schedctl-[a-z0-9]{26}.?$')" -eq 3 ]
	[ "$(grep '^Idempotency-Key' "$lab_dir/log/server" | sort -u | wc -l)" -eq 1 ]
}

@test "a password that was lost with the answer to the first try is missed aloud" {
	local again lost='an earlier try of this request made the environment, and its password was lost with the answer'
	again=$(jq -c '. + {"notice":"it was in the first answer"}' <<<"$environment")
	answer away 503 "$away" 'Retry-After: 1'
	answer made 201 "$again" 'Idempotency-Replayed: true'
	answer opened 201 "$(jq -c '. + {"ssh_authorized_keys":["ssh-ed25519 AAAA"]}' <<<"$again")" 'Idempotency-Replayed: true'
	answer first 201 "$(jq -c '. + {"password":"secret"}' <<<"$environment")"
	serve away made opened made first
	run --separate-stderr ctl -o name env create --name demo --image x --cpu 1 --memory 1G
	[ "$status" -eq 0 ]
	[ "$output" = demo ]
	[[ $stderr == *"$lost"*'to get another, "schedctl env delete env-1" and create it anew' ]]
	run --separate-stderr ctl -o name env create --name demo --image x --cpu 1 --memory 1G
	[[ $stderr == "$lost"*'; log in with an SSH key, or, to get another, '* ]]
	run --separate-stderr ctl -o json env create --name demo --image x --cpu 1 --memory 1G
	[ "$(jq -r .notice <<<"$output")" = 'it was in the first answer' ]
	[[ $stderr == "$lost"* ]]
	run --separate-stderr ctl -o json env create --name demo --image x --cpu 1 --memory 1G
	[ "$(jq -r .password <<<"$output")" = secret ]
	[ -z "$stderr" ]
}

@test "a token that was lost with the answer to the first try is an error, and no file" {
	local token='{"id":"tok-1","name":"ops","role":"admin","notice":"it was in the first answer"}' form
	answer away 503 "$away" 'Retry-After: 1'
	answer made 201 "$token" 'Idempotency-Replayed: true'
	serve away made made made
	for form in '' "--save $lab_dir/ops" '-o json'; do
		# shellcheck disable=SC2086 # into words
		run --separate-stderr ctl token create ops --role admin $form
		[ "$status" -eq 1 ]
		[ -z "$output" ]
		[[ ${stderr##*$'\n'} == 'schedctl: an earlier try of this request made token ops, and its text was lost with the answer'*'"schedctl token revoke ops" and create it anew' ]]
	done
	[ ! -e "$lab_dir/ops" ]
}

@test "who is to come back too late, or is not told to, does not" {
	answer away 503 "$away" 'Retry-After: 60'
	answer never 503 "$away"
	serve away never
	refused 5 'the database is away$' env list
	refused 5 'the database is away$' env list
	[ "$(asked '^GET /v1/environments')" -eq 2 ]
}

@test "what may have been deleted is not deleted again, but after a refusal for being too often" {
	answer away 503 "$away" 'Retry-After: 1'
	answer often 429 '{"code":"rate_limited","message":"over the limit token-rate; try again in 1 s","details":{}}' 'Retry-After: 1'
	answer gone 200 '{"id":"carol"}'
	serve away often gone
	refused 5 'the database is away$' customer delete carol
	run --separate-stderr ctl -o name customer delete carol
	[ "$status" -eq 0 ]
	[ "$output" = carol ]
	[ "$(asked '^DELETE /v1/customers/carol')" -eq 3 ]
}

@test "an answer that is cut, or is none, is an error of one sentence" {
	answer whole 200 '{"items":[{"name":"demo"}],"revision":1,"next":null}'
	head -c -10 "$lab_dir/whole" >"$lab_dir/cut"
	answer html 502 '<html>Bad gateway</html>'
	answer text 200 'hello'
	answer list 200 '[1,2]'
	answer empty 200 ''
	printf 'SSH-2.0-OpenSSH_9.2\r\n' >"$lab_dir/ssh"
	: >"$lab_dir/nothing"
	serve cut html text list empty ssh nothing
	refused 5 'cannot reach schedd at unix:' env list
	refused 1 'answered HTTP 502 without a reason; is it schedd\?' env list
	refused 1 'gave an answer that is not JSON' env list
	refused 1 'the answer has no list of items' env list
	refused 1 'gave an empty answer' env list
	refused 1 'gave an answer that makes no sense' env list
	refused 5 'cannot reach schedd' env list
}

@test "a terminal obeys nothing that a server says, in any form" {
	answer evil 200 '{"id":"env-1","name":"demo","phase":"failed","reason":"\u001b]0;x\u0007 \u009b31m \u007f \u202eabc"}'
	serve evil
	local form
	for form in table wide json name; do
		run ctl -o "$form" env show demo
		[ "$status" -eq 0 ]
		[[ $output != *[$'\e\a\x7f']* && $output != *$'\xc2\x9b'* ]]
		[ "$form" = json ] || [[ $output != *$'\xe2\x80\xae'* ]]
	done
	# JSON says the same, in a form that is obeyed by nobody.
	ctl -o json env show demo | jq -e '.reason == "\u001b]0;x\u0007 \u009b31m \u007f \u202eabc"'
	answer words 409 '{"code":"conflict","message":"\u001b[2J taken","details":{}}'
	lab_stop server
	rm "$lab_dir/server.sock"
	serve words
	refused 4 '\?\[2J taken$' env show demo
}

@test "columns line up also where names are ideographs" {
	answer quotas 200 '{"items":[{"id":"東京","used":{"environments":1}},{"id":"x","used":{"environments":2}}],"revision":1,"next":null}'
	serve quotas
	run ctl quota list
	[ "$status" -eq 0 ]
	# CUSTOMER is eight columns wide, two ideographs are four.
	[[ ${lines[1]} == "東京         1 "* ]]
	[[ ${lines[2]} == "x            2 "* ]]
}

@test "a reader that goes away ends it, without a word" {
	# In each form far more than a pipe and the reader's buffer hold: it would be written to its end else.
	local items
	items=$(jq -nc '{items: [range(20000) | {id: "customer-\(.)", created_at: "2026-01-01T00:00:00Z"}], revision: 1, next: null}')
	answer many 200 "$items"
	serve many
	local form
	for form in table json name; do
		run --separate-stderr bash -c '"$1" --server "unix:$2/server.sock" -o "$3" customer list | head -n 1; echo "${PIPESTATUS[0]}"' - \
			"$SCHEDCTL" "$lab_dir" "$form"
		[ "${lines[-1]}" -eq $((128 + 13)) ]
		[ -z "$stderr" ]
	done
	run --separate-stderr bash -c '"$1" --server "unix:$2/server.sock" customer list >/dev/full' - "$SCHEDCTL" "$lab_dir"
	[ "$status" -eq 1 ]
	[[ $stderr == "schedctl: cannot write to standard output: "* ]]
}

@test "a file of the token that others may read is refused, and none of it is sent" {
	answer list 200 '{"items":[],"revision":1,"next":null}'
	serve list
	install -m 644 /dev/stdin "$lab_dir/token" <<<portico_secret
	refused 2 'no token: .*mode 644' --token-file "$lab_dir/token" env list
	[ ! -s "$lab_dir/log/server" ]
	chmod 600 "$lab_dir/token"
	ctl --token-file "$lab_dir/token" env list
	[ "$(asked '^Authorization: Bearer portico_secret')" -eq 1 ]
}
