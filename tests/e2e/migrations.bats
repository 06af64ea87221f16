#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck disable=SC2317,SC2154,SC2119,SC2016 # bats calls the tests; variables come from the lab
# Migrations, with a real PostgreSQL: each from an empty database and from the version before with rows in every
# table, one that fails or is killed half way, and a schema that is newer than the program.
#
# tests/e2e/migrations has two files for each migration. NNNN_rows.sql adds what that version can hold in addition.
# NNNN_check.sql is run right after the migration, with the rows of all versions before in it: each of its lines is
# a complaint. So a migration is tried with the rows of each version before it as they were written by then.

bats_require_minimum_version 1.5.0
load fleet

setup_file() {
	fleet_load
	lab_init
	lab_postgres
	newest=$(find schedd/migrations -name '*.sql' | wc -l)
	export newest
	history
}

teardown_file() {
	lab_down
}

setup() {
	fleet_load
}

teardown() {
	[ -n "${BATS_TEST_COMPLETED:-}" ] || tail -n 5 "$lab_dir"/log/schedd* || true
	lab_stop schedd
}

start() { # DATABASE
	lab_start schedd - "$BUILD_DIR/schedd/schedd" --database "host=$lab_dir/postgres user=portico dbname=$1" \
		--listen "" --socket "$lab_dir/schedd.sock" --port-addresses "$lab_public" --port-range 30001-30999 --offline-after 5m
}

call() { # METHOD PATH [CURL-OPTION...]
	local method=$1 path=$2
	shift 2
	curl -s -m 30 -X "$method" --unix-socket "$lab_dir/schedd.sock" "http://localhost$path" "$@"
}

psql_in() { # DATABASE [OPTION...]
	local database=$1
	shift
	psql -h "$lab_dir/postgres" -U portico -d "$database" -v ON_ERROR_STOP=1 -XqAt "$@"
}

sql() { # DATABASE QUERY
	psql_in "$1" -c "$2"
}

database() { # NAME [TEMPLATE]
	lab_as_postgres "$lab_postgres_bin/createdb" -h "$lab_dir/postgres" -U portico ${2:+-T "$2"} "$1"
}

file_of() { # NUMBER FOLDER REST: the one file with this number
	local files
	# shellcheck disable=SC2206 # a pattern
	files=("$2/$(printf %04d "$1")_"$3)
	echo "${files[0]}"
}

# Migration NUMBER, as schedd applies it.
migrate() { # DATABASE NUMBER
	local file name
	file=$(file_of "$2" schedd/migrations '*.sql')
	name=$(basename "$file" .sql)
	psql_in "$1" -1 -f "$file" -c "INSERT INTO schema_migrations (version, name) VALUES ($2, '${name#*_}')" >/dev/null
}

# Rows of every kind, old columns only: what a migration leaves as it is.
rows_of() { # DATABASE COLUMNS-OF-DATABASE
	local table columns
	sql "$2" "SELECT table_name, string_agg(quote_ident(column_name), ', ' ORDER BY column_name)
		FROM information_schema.columns WHERE table_schema = 'public' AND table_name <> 'schema_migrations'
		GROUP BY table_name ORDER BY table_name" | while IFS='|' read -r table columns; do
		echo "$table: $columns"
		sql "$1" "SELECT $columns FROM $table ORDER BY 1, 2, 3"
	done
}

# "at-N" is the schema of version N with the rows of versions 1 to N; "before-rows-N" the same without those of N,
# as it is right after its migration.
history() {
	local n
	database at-0
	sql at-0 "CREATE TABLE schema_migrations (version integer PRIMARY KEY, name text NOT NULL,
		applied_at timestamptz NOT NULL DEFAULT now())"
	for n in $(seq "$newest"); do
		database "before-rows-$n" "at-$((n - 1))"
		migrate "before-rows-$n" "$n"
		database "at-$n" "before-rows-$n"
		psql_in "at-$n" -1 -f "$(file_of "$n" tests/e2e/migrations rows.sql)" || echo "no rows for version $n" >&2
	done
}

dump_of() { # DATABASE: its schema, without data
	pg_dump -h "$lab_dir/postgres" -U portico -s "$1" | grep -vE '^(--|\\|SET |SELECT pg_catalog)' | grep -v '^$'
}

# Functions for the checks: NULL where all is well. A statement that is not refused is undone by its block, and all
# of it by the end of the session.
checks='
BEGIN;
CREATE SCHEMA checks;
CREATE FUNCTION checks.holds(what text, is_so boolean) RETURNS text LANGUAGE sql AS
	$$ SELECT CASE WHEN is_so THEN NULL ELSE what END $$;
CREATE FUNCTION checks.refused(by text, statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	violated text;
BEGIN
	EXECUTE statement;
	SET CONSTRAINTS ALL IMMEDIATE;
	RAISE EXCEPTION USING ERRCODE = $q$XX999$q$;
EXCEPTION
	WHEN SQLSTATE $q$XX999$q$ THEN
		RETURN statement || $q$: is not refused$q$;
	WHEN OTHERS THEN
		GET STACKED DIAGNOSTICS violated = CONSTRAINT_NAME;
		IF starts_with(violated, by) OR strpos(SQLERRM, by) > 0 THEN
			RETURN NULL;
		END IF;
		RETURN statement || $q$: not refused by $q$ || by || $q$ but: $q$ || SQLERRM;
END $$;
CREATE FUNCTION checks.accepted(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	complaint text := checks.refused($q$nothing$q$, statement);
BEGIN
	RETURN CASE WHEN complaint LIKE $q$%: is not refused$q$ THEN NULL ELSE complaint END;
END $$;
SET search_path = public, checks'

complaints() { # DATABASE NUMBER
	local found
	found=$(psql_in "$1" -c "$checks" -f "$(file_of "$2" tests/e2e/migrations check.sql)") || return
	grep . <<<"$found" || true
}

@test "each migration is numbered, is in the program, and has its rows and its checks" {
	local n file
	for n in $(seq "$newest"); do
		[ -f "$(file_of "$n" schedd/migrations '*.sql')" ]
		for file in rows.sql check.sql; do
			[ -f "$(file_of "$n" tests/e2e/migrations "$file")" ] ||
				{ echo "version $n has no $(file_of "$n" tests/e2e/migrations "$file")"; false; }
		done
		grep -q "migrations/$(basename "$(file_of "$n" schedd/migrations '*.sql')")'" schedd/meson.build
	done
	[ "$(find tests/e2e/migrations -type f | wc -l)" -eq $((2 * newest)) ]
}

@test "with its rows, no table of a version is empty, and no column that a version added" {
	local n table
	for n in $(seq "$newest"); do
		for table in $(sql "at-$n" "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'"); do
			[ "$(sql "at-$n" "SELECT count(*) > 0 FROM $table")" = t ] || { echo "$table of version $n is empty"; false; }
		done
	done
	sql "at-$newest" "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'public'" |
		while IFS='|' read -r table column; do
			[ "$(sql "at-$newest" "SELECT count($column) > 0 FROM $table")" = t ] ||
				{ echo "no row of any version has $table.$column"; false; }
		done
}

@test "each migration keeps the rows of the versions before, gives what is new its value, and refuses what it should" {
	local n
	for n in $(seq "$newest"); do
		diff <(rows_of "at-$((n - 1))" "at-$((n - 1))") <(rows_of "before-rows-$n" "at-$((n - 1))")
		[ "$n" -gt 1 ] || continue
		run -0 complaints "before-rows-$n" "$n"
		[ -z "$output" ] || { echo "version $n: $output"; false; }
	done
	# What one version refuses all later ones do.
	for n in $(seq "$newest"); do
		run -0 complaints "at-$newest" "$n"
		[[ $output != *"refused"* ]] || { echo "version $n: $output"; false; }
	done
}

has_ports_of() { # DATABASE
	diff <(call GET /v1/ports | jq -r '.items[].port') <(sql "$1" "SELECT port FROM port_mappings ORDER BY port")
}

@test "each version, with its rows, becomes the newest by a start of schedd" {
	local n
	database fresh
	start fresh
	lab_wait 20 call GET /readyz -f
	lab_stop schedd
	for n in $(seq 0 "$newest"); do
		database "from-$n" "at-$n"
		start "from-$n"
		lab_wait 20 call GET /readyz -f
		[ "$(call GET /v1/environments | jq -r '.items[].id' | sort)" = \
			"$(sql "at-$n" "SELECT id FROM environments WHERE phase <> 'deleted' ORDER BY id" 2>/dev/null)" ]
		[ "$n" -eq 0 ] || [ "$(call GET /v1/environments/env-1 | jq -c '[.host, .ports[0].port, .phase]')" = '["old-host",30001,"running"]' ]
		has_ports_of "from-$n"
		[ "$(call POST /v1/customers -d '{"name":"new"}' -o /dev/null -w '%{http_code}')" = 201 ]
		lab_stop schedd
		[ "$(sql "from-$n" 'SELECT max(version), count(*) FROM schema_migrations')" = "$newest|$newest" ]
		# The same schema as one that was made at once.
		diff <(dump_of fresh) <(dump_of "from-$n")
	done
}

version_is() { # DATABASE NUMBER
	[ "$(sql "$1" 'SELECT max(version) FROM schema_migrations')" = "$2" ]
}

logged() { # TEXT
	grep -qF "$1" "$lab_dir/log/schedd"
}

same_as() { # TEXT DATABASE ROWS
	diff <(echo "$1") <(dump_of "$2"; rows_of "$2" "$3")
}

@test "a migration that fails leaves nothing half done, says why, and is done once nothing is in its way" {
	local n before pid
	for n in $(seq 1 $((newest - 1))); do
		database "blocked-$n" "at-$n"
		# Its last statement, which writes down that it was done, fails.
		sql "blocked-$n" "CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS \$\$ BEGIN
			RAISE EXCEPTION 'not today, migration %', NEW.version; END \$\$;
			CREATE TRIGGER no BEFORE INSERT ON schema_migrations FOR EACH ROW EXECUTE FUNCTION no()"
		before=$(dump_of "blocked-$n"; rows_of "blocked-$n" "at-$n")
		start "blocked-$n"
		pid=$(lab_pid schedd)
		lab_wait 20 logged "not today, migration $((n + 1))"
		[ "$(call GET /readyz -o /dev/null -w '%{http_code}')" = 503 ]
		# schedd tries again meanwhile, and a dump that meets it may be the one that a deadlock ends.
		lab_wait 20 same_as "$before" "blocked-$n" "at-$n"
		version_is "blocked-$n" "$n"
		sql "blocked-$n" "DROP TRIGGER no ON schema_migrations; DROP FUNCTION no()"
		lab_wait 20 call GET /readyz -f
		[ "$(lab_pid schedd)" = "$pid" ]
		version_is "blocked-$n" "$newest"
		lab_stop schedd
	done
}

# A session that keeps the last statement of a migration waiting: DATABASE
holder_start() {
	mkfifo "$lab_dir/holder"
	rm -f "$lab_dir/log/holder" # of the one before
	psql_in "$1" <"$lab_dir/holder" >"$lab_dir/log/holder" 3>&- &
	holder=$!
	exec 7>"$lab_dir/holder"
	echo "BEGIN; LOCK TABLE schema_migrations IN SHARE MODE; SELECT 'locked';" >&7
	lab_wait 10 grep -q locked "$lab_dir/log/holder"
}

holder_end() {
	exec 7>&-
	wait "$holder"
	rm "$lab_dir/holder"
}

waits_in_migration() { # DATABASE
	[ "$(sql "$1" "SELECT count(*) FROM pg_stat_activity WHERE datname = '$1' AND wait_event_type = 'Lock'
		AND query LIKE 'BEGIN;%' AND pid <> pg_backend_pid()")" = 1 ]
}

# Ends the migration of "killed-N" while its last statement waits: schedd is killed. Its session with the server
# may be at work still and finish what it was sent, or is ended, too.
kill_migration() { # N session|schedd
	local before
	before=$(dump_of "killed-$1"; rows_of "killed-$1" "at-$1")
	holder_start "killed-$1"
	start "killed-$1" 7>&-
	lab_wait 20 waits_in_migration "killed-$1"
	kill -KILL "$(lab_pid schedd)"
	lab_wait 10 eval '! lab_pid schedd >/dev/null'
	version_is "killed-$1" "$1"
	if [ "$2" = session ]; then
		sql "killed-$1" "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
			WHERE datname = 'killed-$1' AND wait_event_type = 'Lock'" >/dev/null
		lab_wait 10 eval "! waits_in_migration killed-$1"
		diff <(echo "$before") <(dump_of "killed-$1"; rows_of "killed-$1" "at-$1")
		version_is "killed-$1" "$1"
	fi
	holder_end
}

@test "a migration that is killed half way leaves nothing half done, and the next start goes on" {
	local n how
	for n in $(seq 1 $((newest - 1))); do
		for how in session schedd; do
			database "killed-$n" "at-$n"
			kill_migration "$n" "$how"
			start "killed-$n"
			lab_wait 20 call GET /readyz -f
			has_ports_of "at-$n"
			version_is "killed-$n" "$newest"
			lab_stop schedd
			diff <(dump_of at-"$newest") <(dump_of "killed-$n")
			lab_as_postgres "$lab_postgres_bin/dropdb" -h "$lab_dir/postgres" -U portico "killed-$n"
		done
	done
}

@test "a newer schema is left alone, by a start, by --check and by --bootstrap" {
	local before
	database newer "at-$newest"
	sql newer "INSERT INTO schema_migrations (version, name) VALUES (999, 'future')"
	before=$(dump_of newer; rows_of newer newer)
	for option in "" --check --bootstrap; do
		# shellcheck disable=SC2086 # one option or none
		run timeout 20 "$BUILD_DIR/schedd/schedd" $option --bootstrap-file "$lab_dir/none.token" --state-directory "$lab_dir" \
			--database "host=$lab_dir/postgres user=portico dbname=newer" \
			--listen "" --socket "$lab_dir/newer.sock" --port-addresses "$lab_public"
		echo "$option: $status $output"
		[ "$status" -eq 1 ]
		[[ $output == *"the schema has version 999"*"knows $newest"*"newer"* ]]
	done
	[ ! -e "$lab_dir/none.token" ]
	diff <(echo "$before") <(dump_of newer; rows_of newer newer)
}
