#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck disable=SC2317 # bats calls the tests
# The rules of CONTRIBUTING.md that a program can check: layers, banned calls, form of files. Runs on
# what git tracks, or on every file where there is no git.

bats_require_minimum_version 1.5.0

setup_file() {
	cd "$BATS_TEST_DIRNAME/.." || return 1
	if git rev-parse --git-dir >/dev/null 2>&1; then
		git ls-files
	else
		find . -type f -not -path './build*/*' -printf '%P\n'
	fi | while read -r file; do [ -f "$file" ] && echo "$file"; done >"$BATS_FILE_TMPDIR/files"
}

setup() {
	cd "$BATS_TEST_DIRNAME/.." || return 1
}

# tracked EXTENDED-REGEX: files whose path matches.
tracked() {
	grep -E "$1" "$BATS_FILE_TMPDIR/files"
}

c_files() {
	tracked '^(lib|proto|gatewayd|schedd|agentd|schedctl|tests|bench)/.*\.[ch]$'
}

scripts() {
	tracked '^(scripts/[^/]+|\.ci/run|bench/run|.*\.(sh|bash|bats))$' |
		while read -r file; do
			if head -n 1 "$file" | grep -qE '^#!.*(sh|bats)' ||
				[[ $file =~ \.(sh|bash|bats)$ ]]; then
				echo "$file"
			fi
		done
}

# Prints findings and fails where there are any.
expect_none() {
	local findings
	findings=$(cat)
	[ -z "$findings" ] || { echo "$findings"; return 1; }
}

# Includes of ours in a folder that are not in the folders of the second argument.
foreign_includes() {
	local folder=$1 allowed=$2
	tracked "^$folder/.*\.[ch]$" | xargs -r grep -nE '^[[:space:]]*#[[:space:]]*include[[:space:]]+"' |
		grep -vE "include[[:space:]]+\"($allowed)/"
}

@test "lib/ includes only lib/" {
	foreign_includes lib 'lib' | expect_none
}

@test "proto/ includes only lib/ and proto/" {
	foreign_includes proto 'lib|proto' | expect_none
}

@test "no program includes another's header" {
	local program
	for program in gatewayd schedd agentd schedctl; do
		foreign_includes "$program" "lib|proto|$program"
	done | expect_none
}

@test "lib/ and proto/ do not log" {
	tracked '^(lib|proto)/.*\.[ch]$' | grep -vE '^lib/log\.[ch]$' |
		xargs -r grep -nE '\blog_(error|warning|info|debug|write)\(|include "lib/log\.h"' |
		expect_none
}

@test "banned calls are not called" {
	local names='v?sprintf|str[n]?cpy|stpcpy|str[n]?cat|strtok(_r)?|strto(l|ll|d|f|ld|imax)'
	names+='|ato[ifl]|atoll|v?f?scanf|v?sscanf|localtime|gmtime|ctime(_r)?|asctime|system'
	names+='|popen|gets|mktemp|tmpnam|tempnam|alloca|s?rand(_r|om)?|usleep|signal_r|vfork'
	# The preprocessor takes comments out; it leaves includes and macros as they are.
	tracked '^(lib|proto|gatewayd|schedd|agentd|schedctl)/.*\.[ch]$' | while read -r file; do
		gcc -fpreprocessed -dD -E -P -w "$file" 2>/dev/null | sed 's/"\([^"\\]\|\\.\)*"/""/g' |
			grep -nE "(^|[^[:alnum:]_>.])($names)[[:space:]]*\(" | sed "s|^|$file: |"
	done | expect_none
}

@test "strtoul and its kind have one home" {
	tracked '^(lib|proto|gatewayd|schedd|agentd|schedctl)/.*\.c$' |
		xargs -r grep -lE '\bstrtou(l|ll|max)[[:space:]]*\(' | sed 1d | expect_none
}

@test "each C file opens with its licence and what it is" {
	c_files | while read -r file; do
		[ "$(sed -n 1p "$file")" = '/* SPDX-License-Identifier: GPL-2.0-or-later */' ] ||
			echo "$file: the first line is not the SPDX line"
		# A sentence of at least three words.
		sed -n 2p "$file" | grep -qE '^/\* [^ ]+ [^ ]+ [^ ]+' ||
			echo "$file: the second line does not open a comment that says what it is"
	done | expect_none
}

@test "each header has an include guard" {
	tracked '\.h$' | xargs -r grep -LE '^#pragma once' | expect_none
}

@test "each script opens with its licence" {
	scripts | while read -r file; do
		head -n 3 "$file" | grep -q 'SPDX-License-Identifier: GPL-2.0-or-later' || echo "$file"
	done | expect_none
}

@test "each test of C is built" {
	local name
	tracked '^tests/(unit|kernel)/.*/?test_[^/]*\.c$' | while read -r file; do
		name=$(basename "$file" .c)
		grep -qE "'(${name#test_}|$name\.c)'" "$(dirname "$file")/meson.build" || echo "$file"
	done | expect_none
}

@test "nothing is marked as unfinished" {
	# Spelt so that this line does not find itself.
	tracked '\.([chs]|sh|bash|bats|md|yaml|sql|build|in|conf)$|^scripts/' |
		xargs -r grep -nE '\b(TO''DO|FIX''ME|XX''X|HA''CK)\b' | expect_none
}

@test "no file is over 1000 lines" {
	tracked '\.([ch]|sh|bash|bats|sql)$|^scripts/' | while read -r file; do
		count=$(wc -l <"$file")
		[ "$count" -le 1000 ] || echo "$file: $count lines"
	done | expect_none
}

@test "no trailing blanks, and a newline at the end" {
	tracked '\.([ch]|sh|bash|bats|md|yaml|sql|build|in|conf|service|socket)$|^scripts/' |
		while read -r file; do
			grep -nE '[[:blank:]]+$' "$file" | sed "s|^|$file:|"
			[ -z "$(tail -c 1 "$file")" ] || echo "$file: no newline at the end"
		done | expect_none
}

@test "no path of a development machine and no registry" {
	# In pieces, so that these lines do not find themselves. Image names in agentd's tests are data.
	tracked '.' | grep -vE '^(tests/unit/agentd/|LICENSE$)' |
		xargs -r grep -nIE \
			'/wo''rk/|/tmp/bu''ild|/home/[a-z]+/|gh''cr\.io|qu''ay\.io|nv''cr\.io|registry-1\.' |
		expect_none
}

@test "clang-format 14 finds nothing to change" {
	local formatter
	formatter=$(command -v clang-format-14) || skip "clang-format-14 is not installed"
	c_files | while read -r file; do
		"$formatter" --dry-run -Werror "$file" >/dev/null 2>&1 || echo "$file"
	done | expect_none
}

@test "shellcheck finds nothing in scripts and tests" {
	command -v shellcheck >/dev/null || skip "shellcheck is not installed"
	scripts | xargs -r shellcheck -x
}

@test "a lab is described where nothing is installed yet" {
	# Like the commands of the README, with errors fatal. There is no PostgreSQL to be found.
	run bash -c 'set -euo pipefail; find() { return 1; }; LAB=bare; . scripts/lab.sh; lab_paths; echo "$lab_dir"'
	[ "$status" -eq 0 ]
	[ "${lines[0]}" = /run/portico-lab/bare ]
}

@test "scripts are executable" {
	tracked '^(scripts/[^/]+|\.ci/run|bench/run)$' | while read -r file; do
		head -n 1 "$file" | grep -q '^#!' || continue
		[ -x "$file" ] || echo "$file"
	done | expect_none
}

@test "no program has a switch for tests" {
	tracked '^(lib|proto|gatewayd|schedd|agentd)/.*\.c$' |
		xargs -r grep -nE 'getenv\("(TEST|BATS|CI)' | expect_none
}
