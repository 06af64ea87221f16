#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck disable=SC2317 # bats calls the tests
# schedctl from outside, without any server: usage, help, and what it says where nobody answers. BUILD_DIR
# names the build folder (default: build).

bats_require_minimum_version 1.5.0

setup() {
	cd "$BATS_TEST_DIRNAME/../.." || return 1
	SCHEDCTL=${BUILD_DIR:-build}/schedctl/schedctl
	[ -x "$SCHEDCTL" ] || skip "schedctl is not built"
	unset PORTICO_SERVER
	# Nobody listens on a port that was just given back.
	NOBODY=http://127.0.0.1:9
}

# usage SENTENCE ARGUMENT…: exit status 2, the sentence on stderr, nothing on stdout.
usage() {
	local sentence=$1
	shift
	run --separate-stderr "$SCHEDCTL" "$@"
	echo "status $status, stdout: $output, stderr: ${stderr:-}"
	[ "$status" -eq 2 ]
	[ -z "$output" ]
	[[ ${stderr:-} == "schedctl: "*"$sentence"* ]]
}

@test "mistakes on the command line are told in one sentence" {
	usage 'say what to do'
	usage 'there is no "bogus"' bogus
	usage 'say what to do with env' env
	usage 'env has no verb "bogus"' env bogus
	usage 'unknown option --bogus' env list --bogus
	usage 'unknown option --wait; a command'"'"'s own options go behind its verb; see schedctl --help' --wait env create
	usage 'env show needs ENV' env show
	usage 'env show does not know what to do with "b"' env show a b
	usage 'output "yaml" is not table, wide, json or name' env list -o yaml
	usage 'is given twice' env list -o json -o name
	usage 'server "ftp://x" is not' --server ftp://x env list
	usage 'env list asks schedd, not a gateway' --gateway /nowhere env list
	usage 'doctor asks schedd, not a gateway' --gateway /nowhere doctor
	usage 'events does not know what to do with "b"; see schedctl events --help' events b
	usage '"" is no name' env show ''
}

@test "every command tells an unknown option from its own, and where to read which it has" {
	local command n=0
	usage 'unknown option --bogus; a command'"'"'s own options go behind its verb; see schedctl --help' --bogus
	usage 'unknown option -x; a command'"'"'s own options go behind its verb; see schedctl env --help' env -x
	usage '--cpu needs an argument: CORES; see schedctl env create --help' env create --cpu
	while read -r command; do
		# shellcheck disable=SC2086 # noun and verb are words
		usage "unknown option --bogus; see schedctl $command --help" $command --bogus
		[ "$(wc -l <<<"$stderr")" -eq 1 ]
		n=$((n + 1))
	done < <("$SCHEDCTL" --help | sed -nE 's/^  ([a-z]+) +([a-z]*) +[A-Z].*/\1 \2/p' | sed 's/ $//')
	[ "$n" -gt 40 ]
}

@test "values are checked before anything is sent" {
	local create=(env create --name demo --image dev --cpu 1 --memory 1G)
	usage 'needs --name' env create
	usage 'needs --memory' env create --name demo --image dev --cpu 1
	usage '--cpu "lots"' env create --name demo --image dev --cpu lots --memory 1G
	usage '--memory "1Q"' env create --name demo --image dev --cpu 1 --memory 1Q
	usage '--service "web"' "${create[@]}" --service web
	usage '--ssh-key' "${create[@]}" --ssh-key /nonexistent.pub
	usage '" is not UTF-8' env move demo --to $'h\xff'
	usage '--timeout "soon"' "${create[@]}" --wait --timeout soon
	usage 'port "0" is not in 1…65535' --gateway /nowhere port open 0 10.0.0.5:22
	usage 'target "10.0.0.5" is not ADDRESS:PORT' --gateway /nowhere port open 1 10.0.0.5
	usage '--protocol "icmp"' --gateway /nowhere port close 1 --protocol icmp
	usage '--address "x"' --gateway /nowhere port close 1 --address x
}

@test "a private key does not leave the machine" {
	command -v ssh-keygen >/dev/null || skip "ssh-keygen is not installed"
	ssh-keygen -q -t ed25519 -N '' -f "$BATS_TEST_TMPDIR/key"
	usage 'is a private key' --server "$NOBODY" env create --name demo --image dev --cpu 1 \
		--memory 1G --ssh-key "$BATS_TEST_TMPDIR/key"
}

@test "help is there at each level and goes to stdout" {
	local words
	for words in "" env host port gateway "env create" "env ssh" "port open" "gateway show"; do
		# shellcheck disable=SC2086 # words are split on purpose
		run --separate-stderr "$SCHEDCTL" $words --help
		[ "$status" -eq 0 ]
		[[ $output == "Usage: schedctl"* ]]
		[ -z "${stderr:-}" ]
		[ "$(awk '{ if (length($0) > 200) print }' <<<"$output")" = "" ]
	done
}

@test "the version is told" {
	run --separate-stderr "$SCHEDCTL" --version
	[ "$status" -eq 0 ]
	[[ $output =~ ^schedctl\ [0-9]+\.[0-9]+ ]]
}

@test "where nobody answers the status is 5 and the sentence names the server" {
	run --separate-stderr "$SCHEDCTL" --server "$NOBODY" env list
	echo "$status ${stderr:-}"
	[ "$status" -eq 5 ]
	[ -z "$output" ]
	[[ ${stderr:-} == *"cannot reach schedd at $NOBODY"*"PORTICO_SERVER"* ]]

	run --separate-stderr "$SCHEDCTL" --gateway "$BATS_TEST_TMPDIR/none.sock" port list
	[ "$status" -eq 5 ]
	[[ ${stderr:-} == *"gatewayd at $BATS_TEST_TMPDIR/none.sock"* ]]

	run --separate-stderr "$SCHEDCTL" --server "unix:$BATS_TEST_TMPDIR/none.sock" host list
	[ "$status" -eq 5 ]
}

@test "command line wins over PORTICO_SERVER, that over the file" {
	local file="$BATS_TEST_TMPDIR/schedctl.conf"
	printf '[schedctl]\nserver = http://127.0.0.1:7\n' >"$file"

	run --separate-stderr "$SCHEDCTL" --config "$file" env list
	[[ ${stderr:-} == *"http://127.0.0.1:7:"* ]]
	PORTICO_SERVER=http://127.0.0.1:8 run --separate-stderr "$SCHEDCTL" --config "$file" env list
	[[ ${stderr:-} == *"http://127.0.0.1:8:"* ]]
	PORTICO_SERVER=http://127.0.0.1:8 run --separate-stderr "$SCHEDCTL" --config "$file" \
		--server "$NOBODY" env list
	[[ ${stderr:-} == *"$NOBODY:"* ]]
}

@test "a wrong configuration file is told with file and line" {
	local file="$BATS_TEST_TMPDIR/schedctl.conf"
	printf '[schedctl]\nsevrer = http://127.0.0.1:7\n' >"$file"
	usage "$file" --config "$file" env list
	[[ ${stderr:-} == *sevrer* ]]
	usage "$BATS_TEST_TMPDIR/absent.conf" --config "$BATS_TEST_TMPDIR/absent.conf" env list
}

@test "an empty value is a mistake, and none that stands for something else" {
	local file="$BATS_TEST_TMPDIR/schedctl.conf" key
	usage '--output "": must not be empty' -o '' env list
	usage '--server "": must not be empty' --server '' env list
	usage '--gateway "": must not be empty' --gateway '' port list
	for key in output server; do
		printf '[schedctl]\n%s =\n' "$key" >"$file"
		usage "$file:2: $key = \"\": must not be empty" --config "$file" env list
	done
	# An empty variable says nothing.
	printf '[schedctl]\nserver = %s\n' "$NOBODY" >"$file"
	PORTICO_SERVER='' run --separate-stderr "$SCHEDCTL" --config "$file" env list
	[ "$status" -eq 5 ]
	[[ ${stderr:-} == *"$NOBODY:"* ]]
}

@test "what cannot be written is an error" {
	[ -c /dev/full ] || skip "there is no /dev/full"
	run bash -c '"$1" --help >/dev/full' - "$SCHEDCTL"
	echo "$output"
	[ "$status" -eq 1 ]
	[[ $output == *"cannot write to standard output"* ]]
}

# complete WORD...: what bash would offer for the last one.
complete_words() {
	bash -c 'source "$1"; shift
		COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=()
		_schedctl
		printf "%s\n" "${COMPREPLY[@]}"' - "${BUILD_DIR:-build}/schedctl/schedctl.bash" "$@"
}

# Every option that help has, long and short, is offered, and nothing else is.
options_complete() { # NOUN [VERB]
	diff <("$SCHEDCTL" "$@" --help | sed -nE 's/^ +(-[a-z]), (--[a-z-]+).*/\1\n\2/p; s/^ +(--[a-z-]+).*/\1/p' | sort -u) \
		<(complete_words schedctl "$@" - | sort -u) || { echo "$*"; return 1; }
}

@test "completion for bash knows every noun, verb and option" {
	local nouns noun verb
	shellcheck -s bash "${BUILD_DIR:-build}/schedctl/schedctl.bash"
	diff <("$SCHEDCTL" completion) "${BUILD_DIR:-build}/schedctl/schedctl.bash"
	nouns=$("$SCHEDCTL" --help | sed -nE 's/^  ([a-z]+) .*/\1/p' | sort -u)
	[ "$(complete_words schedctl '' | sort)" = "$nouns" ]
	[ "$(complete_words schedctl h)" = host ]
	for noun in $nouns; do
		for verb in $("$SCHEDCTL" "$noun" --help | sed -nE "s/^  $noun +([a-z]+) +[A-Z].*/\1/p"); do
			complete_words schedctl "$noun" '' | grep -qx "$verb"
			options_complete "$noun" "$verb"
		done
		[ -n "${verb:-}" ] || options_complete "$noun"
		verb=
	done
	# An option's argument is neither noun nor verb.
	[ "$(complete_words schedctl --server http://127.0.0.1:9 -o json env cr)" = create ]
	[ "$(complete_words schedctl -o j)" = json ]
	complete_words schedctl --config "$BATS_TEST_DIRNAME/sched" | grep -q 'schedctl.bats$'
}

@test "completion asks for the names of what exists" {
	# A program in schedctl's place, which is asked for the list.
	printf '#!/bin/sh\necho "$*" >"%s"\nprintf "alice\\nbob\\n"\n' "$BATS_TEST_TMPDIR/asked" >"$BATS_TEST_TMPDIR/schedctl"
	chmod +x "$BATS_TEST_TMPDIR/schedctl"
	[ "$(complete_words "$BATS_TEST_TMPDIR/schedctl" --server unix:/x env stop a)" = alice ]
	[ "$(cat "$BATS_TEST_TMPDIR/asked")" = '--server unix:/x -o name env list' ]
	[ "$(complete_words "$BATS_TEST_TMPDIR/schedctl" --gateway /g.sock port close b)" = bob ]
	[ "$(cat "$BATS_TEST_TMPDIR/asked")" = '--gateway /g.sock -o name port list' ]
}

@test "the doctor says what to do where no server answers" {
	run --separate-stderr "$SCHEDCTL" --server "$NOBODY" doctor
	[ "$status" -eq 1 ]
	[[ $output == *"error"*"server"*"systemctl start portico-schedd"* ]]
	[[ $stderr == *"1 thing to mend"* ]]
	run --separate-stderr "$SCHEDCTL" --server "$NOBODY" -o json doctor
	[ "$(jq -r '.items | map(.level) | join(" ")' <<<"$output")" = error ]
	usage 'does not know what to do with "now"' doctor now
}
