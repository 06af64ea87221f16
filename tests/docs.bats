#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck disable=SC2016,SC2317 # backticks are text; bats calls the tests
# What is written is what is there: options, metrics, routes and configuration keys, each compared with
# the documentation in both directions. BUILD_DIR names the build folder (default: build).

bats_require_minimum_version 1.5.0

setup() {
	cd "$BATS_TEST_DIRNAME/.." || return 1
	BUILD_DIR=${BUILD_DIR:-build}
}

# need PROGRAM: skips where it is not built.
need() {
	[ -x "$BUILD_DIR/$1/$1" ] || skip "$1 is not built in $BUILD_DIR"
}

# same NAME1 NAME2 FILE1 FILE2: fails with what is in one sorted list only.
same() {
	local only1 only2
	only1=$(comm -23 "$3" "$4")
	only2=$(comm -13 "$3" "$4")
	[ -z "$only1" ] || printf 'in %s and not in %s:\n%s\n' "$1" "$2" "$only1"
	[ -z "$only2" ] || printf 'in %s and not in %s:\n%s\n' "$2" "$1" "$only2"
	[ -z "$only1$only2" ]
}

# Options at the start of --help's lines, "  -o, --output FORMAT" or "  --output FORMAT".
help_options() {
	sed -nE 's/^ +(-[a-zA-Z], )?(--[a-z][a-z0-9-]*).*/\2/p'
}

# --help of a program, and of each of its commands where it has any.
all_help() { # PROGRAM
	local program="$BUILD_DIR/$1/$1" noun verb
	"$program" --help
	"$program" --help | sed -nE '/^Commands:/,/^Options:/s/^  ([a-z]+) +([a-z]*) +[A-Z].*/\1 \2/p' |
		while read -r noun verb; do "$program" "$noun" ${verb:+"$verb"} --help; done
}

# Options that a page explains: those in the first column of a table or at the start of an item.
page_options() {
	sed -nE 's/^(\| |- |\* )((`-[a-zA-Z]`, )?`--[^`]*`(, )?)+.*/&/p' "$1" |
		sed -E 's/^(\| |- |\* )(`[^`]*`(, `[^`]*`)*).*/\2/' | grep -oE -- '--[a-z][a-z0-9-]*'
}

check_daemon_options() {
	local program=$1
	need "$program"
	[ -f "docs/$program.md" ] || { echo "docs/$program.md is missing"; return 1; }
	"$BUILD_DIR/$program/$program" --help | help_options | sort -u >"$BATS_TEST_TMPDIR/help"
	page_options "docs/$program.md" | sort -u >"$BATS_TEST_TMPDIR/page"
	[ -s "$BATS_TEST_TMPDIR/help" ]
	same "$program --help" "docs/$program.md" "$BATS_TEST_TMPDIR/help" "$BATS_TEST_TMPDIR/page"
}

@test "gatewayd's options are those of its page" {
	check_daemon_options gatewayd
}

@test "schedd's options are those of its page" {
	check_daemon_options schedd
}

@test "agentd's options are those of its page" {
	check_daemon_options agentd
}

@test "schedctl's options, of all its commands, are those of its page" {
	need schedctl
	all_help schedctl | help_options | sort -u >"$BATS_TEST_TMPDIR/help"
	page_options docs/schedctl.md | sort -u >"$BATS_TEST_TMPDIR/page"
	[ -s "$BATS_TEST_TMPDIR/help" ]
	# delete's are explained in a sentence with create's.
	same "--help" "docs/schedctl.md" "$BATS_TEST_TMPDIR/help" "$BATS_TEST_TMPDIR/page"
}

@test "schedctl's commands are those of its page" {
	need schedctl
	"$BUILD_DIR/schedctl/schedctl" --help | sed -nE 's/^  ([a-z]+) +([a-z]*) +[A-Z].*/\1 \2/p' |
		sort -u >"$BATS_TEST_TMPDIR/help"
	sed -nE '/^## Commands/,/^## Options/p' docs/schedctl.md | grep -E '^\| `' |
		cut -d'|' -f2 | grep -oE '`[^`]*`' | tr -d '`' | sed -E 's/^--gateway SOCKET //' |
		awk '{ print $1, $2 }' | sort -u >"$BATS_TEST_TMPDIR/page"
	[ -s "$BATS_TEST_TMPDIR/help" ]
	same "--help" "docs/schedctl.md" "$BATS_TEST_TMPDIR/help" "$BATS_TEST_TMPDIR/page"
}

@test "each metric in the source is in the documentation, and the other way round" {
	grep -rhoE '"portico_[a-z0-9_]+"' --include='*.c' --include='*.h' lib gatewayd schedd agentd |
		tr -d '"' | grep -v '_$' | sort -u >"$BATS_TEST_TMPDIR/source"
	[ -s "$BATS_TEST_TMPDIR/source" ] || skip "no metric is registered yet"
	# A trailing underscore is a prefix that a text speaks of; histograms are named by their family.
	grep -rhoE 'portico_(gateway|sched|agent|metrics)[a-z0-9_]*' docs --include='*.md' |
		grep -v '_$' | sed -E 's/_(bucket|sum|count)$//' | sort -u >"$BATS_TEST_TMPDIR/docs"
	same "the source" "docs/" "$BATS_TEST_TMPDIR/source" "$BATS_TEST_TMPDIR/docs"
}

# Routes of a program's tables, "GET /v1/x/{}".
source_routes() {
	cat "$1"/*.c | tr '\n\t' '  ' |
		grep -oE '\bHTTP_(GET|POST|PUT|DELETE|PATCH)[, ]+(\.pattern *= *)?"/[^"]*"' |
		sed -E 's/^HTTP_([A-Z]+)[^"]*"([^"]*)".*/\1 \2/; s/\{[^}]*\}/{}/g' | sort -u
}

# Routes of an OpenAPI file in block style: paths indented by two, methods by four.
described_routes() {
	awk '/^[a-z]/ { in_paths = /^paths:/ }
	     in_paths && /^  ["\047]?\// {
		path = $0; sub(/^  ["\047]?/, "", path); sub(/["\047]?:[[:space:]]*$/, "", path)
	     }
	     in_paths && /^    (get|post|put|delete|patch):/ {
		method = $1; sub(/:.*/, "", method); print toupper(method), path
	     }' "$1" | sed -E 's/\{[^}]*\}/{}/g' | sort -u
}

check_routes() {
	local program=$1 description=$2
	source_routes "$program" >"$BATS_TEST_TMPDIR/source"
	[ -s "$BATS_TEST_TMPDIR/source" ] || skip "$program has no routes yet"
	[ -f "$description" ] || { echo "$description is missing"; return 1; }
	described_routes "$description" >"$BATS_TEST_TMPDIR/described"
	same "$program/" "$description" "$BATS_TEST_TMPDIR/source" "$BATS_TEST_TMPDIR/described"
}

@test "schedd's routes are those of its API description" {
	check_routes schedd proto/openapi.yaml
}

@test "gatewayd's routes are those of its API description" {
	check_routes gatewayd proto/gateway.yaml
}

# Keys of an example configuration, which are all commented out.
example_keys() {
	sed -nE 's/^#([a-z][a-z0-9-]*) *=.*/\1/p' "$1"
}

check_example() {
	local program=$1
	need "$program"
	example_keys "systemd/$program.conf" | sort >"$BATS_TEST_TMPDIR/example"
	[ -z "$(uniq -d "$BATS_TEST_TMPDIR/example")" ]
	grep -qxF "[$program]" "systemd/$program.conf"
	# What makes no sense in a file is on the command line only.
	"$BUILD_DIR/$program/$program" --help | help_options | sed 's/^--//' |
		grep -vxE 'config|check|bootstrap|help|version|gateway' | sort -u >"$BATS_TEST_TMPDIR/help"
	same "systemd/$program.conf" "$program --help" "$BATS_TEST_TMPDIR/example" \
		"$BATS_TEST_TMPDIR/help"
}

@test "gatewayd's example configuration has each of its keys" {
	check_example gatewayd
}

@test "schedd's example configuration has each of its keys" {
	check_example schedd
}

@test "agentd's example configuration has each of its keys" {
	check_example agentd
}

@test "schedctl's example configuration has each of its keys" {
	check_example schedctl
}

@test "options in the units are options of the programs" {
	local unit program option status=0
	for unit in systemd/*.service.in; do
		program=$(sed -nE 's|^ExecStart=@sbindir@/([a-z]+).*|\1|p' "$unit")
		[ -n "$program" ]
		need "$program"
		for option in $(sed -nE 's/^ExecStart=//p' "$unit" | grep -oE -- '--[a-z-]+' || true); do
			"$BUILD_DIR/$program/$program" --help | help_options | grep -qxF -- "$option" ||
				{ echo "$unit: $program has no $option"; status=1; }
		done
	done
	return "$status"
}

@test "links between the pages lead somewhere" {
	local page target
	for page in *.md docs/*.md; do
		grep -oE '\]\([^)#:]+\)' "$page" | sed -E 's/^\]\(|\)$//g' |
			while read -r target; do
				[ -e "$(dirname "$page")/$target" ] || echo "$page: $target"
			done
	done >"$BATS_TEST_TMPDIR/broken"
	[ ! -s "$BATS_TEST_TMPDIR/broken" ] || { cat "$BATS_TEST_TMPDIR/broken"; false; }
}

@test "the tests that the list of faults names are there" {
	local suite name words
	while IFS=' ' read -r suite name; do
		grep -rqE "^Test\($suite, $name\b" tests/unit tests/kernel || echo "$suite::$name"
	done < <(grep -oE '`[a-z_]+::[a-z_0-9]+`' docs/faults.md | tr -d '`' | sed 's/::/ /') >"$BATS_TEST_TMPDIR/missing"
	while read -r words; do
		grep -rqxF "@test $words {" tests/e2e tests/chaos || echo "$words"
	done < <(grep '^|' docs/faults.md | grep -oE '"[^"]+"') >>"$BATS_TEST_TMPDIR/missing"
	[ ! -s "$BATS_TEST_TMPDIR/missing" ] || { cat "$BATS_TEST_TMPDIR/missing"; false; }
}

@test "the transitions of the page are those of the table that is tested" {
	sed -nE 's/^\| `([a-z-]+)` \| .* \| .* \| .* \| .*\|$/\1/p' docs/schedd.md | sort >"$BATS_TEST_TMPDIR/page"
	sed -n '/^} transitions\[\] = {/,/^};/p' tests/unit/schedd/transitions.h |
		sed -nE 's/^\t\{ "([a-z-]+)",.*/\1/p' | sort >"$BATS_TEST_TMPDIR/test"
	[ -s "$BATS_TEST_TMPDIR/test" ]
	same docs/schedd.md tests/unit/schedd/transitions.h "$BATS_TEST_TMPDIR/page" "$BATS_TEST_TMPDIR/test"
}

# Options that begin an entry of a man page.
man_options() {
	grep -A1 '^\.TP' "$1" | sed 's/\\-/-/g; s/\\f[BRI]//g' | grep -E '^-' | grep -oE -- '--[a-z][a-z0-9-]*' | sort -u
}

@test "the man pages have every option of --help, and groff finds nothing wrong with them" {
	command -v groff >/dev/null || skip "groff-base is not installed"
	local page program
	for page in gatewayd.8 schedd.8 agentd.8 schedctl.1; do
		program=${page%.*}
		need "$program"
		[ -f "$BUILD_DIR/docs/$page" ]
		all_help "$program" | help_options | sort -u >"$BATS_TEST_TMPDIR/help"
		man_options "$BUILD_DIR/docs/$page" >"$BATS_TEST_TMPDIR/man"
		[ -z "$(comm -23 "$BATS_TEST_TMPDIR/help" "$BATS_TEST_TMPDIR/man")" ] || {
			echo "$page lacks: $(comm -23 "$BATS_TEST_TMPDIR/help" "$BATS_TEST_TMPDIR/man" | tr '\n' ' ')"
			return 1
		}
		run groff -man -Kutf8 -Tutf8 -ww -Wbreak -z "$BUILD_DIR/docs/$page"
		[ -z "$output" ] || { echo "$page: $output"; return 1; }
		# Also where the locale is C, in which man leaves out what is not ASCII.
		run ! grep -nP '[^\x00-\x7F]' "$BUILD_DIR/docs/$page"
	done
}
