/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What "list" and "show" of all nouns have in common: fetch, and print as cells or "Key: value". */
#pragma once

#include "schedctl/command.h"

/* GET of one thing; a missing one's error names it. */
int show_fetch(struct context *context, const char *collection, const char *name, json_t **ret,
	       struct error *err) _must_check_;
/* GET of a whole collection of schedd's, page by page, as one answer; the oldest first. */
int show_fetch_all(struct context *context, const char *collection, json_t **ret, struct error *err)
	_must_check_;
/* The same, printed. */
int show_list(struct context *context, const char *collection, const struct output_list *list,
	      struct error *err) _must_check_;
/* GET of one thing, printed: as JSON, as its field name_key, or by details. */
int show_one(struct context *context, const char *collection, const char *name,
	     const char *name_key, int (*details)(const struct output *output, json_t *item),
	     struct error *err) _must_check_;

/* "203.0.113.10:30001/tcp" of anything with address, port and protocol. A new string. */
char *show_port_text(const json_t *item);
/* A port has no field that names it: gives each of a list's items that text as its name, for
 * -o name. -ENOMEM. */
int show_name_ports(json_t *list) _must_check_;

/* Cells of a list. */
void show_endpoint_cell(struct table *table, const json_t *endpoint); /* "address:port" */
void show_age_cell(struct table *table, const char *time);            /* "3m" */

/* A table of "Key: value" lines without titles. */
int show_new(struct table **ret) _must_check_;
void show_text(struct table *table, const char *key, const char *value);
void show_optional(struct table *table, const char *key, const char *value); /* not if empty */
void show_time(struct table *table, const char *key, const char *time); /* exact, and its age */
void show_pairs(struct table *table, const char *key, json_t *object);  /* a line for each */
