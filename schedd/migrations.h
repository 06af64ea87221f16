/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The numbered migrations of the schema, from schedd/migrations/NNNN_name.sql, made part of the
 * program at build time by embed_migrations.py. */
#pragma once

struct migration {
	unsigned version; /* 1, 2, … */
	const char *name;
	const char *sql;
};

extern const struct migration migrations[];
extern const unsigned n_migrations;
