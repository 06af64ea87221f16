/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The path and the query of a request: "PATH?QUERY" against patterns as our APIs have them. */
#include "lib/http_route.h"
#include "tests/fuzz/fuzz.h"

static void try_path(const char *path)
{
	static const char *const patterns[] = { "/v1/environments", "/v1/environments/{id}",
						"/v1/environments/{id}:restart",
						"/v1/hosts/{id}/desired",
						"/v1/mappings/{address}/{protocol}/{port}:why" };
	unsigned fits = 0;

	for (size_t i = 0; i < ARRAY_SIZE(patterns); i++) {
		struct http_fields params = { .n = 0 };
		int r = http_route_match(patterns[i], path, &params);

		fuzz_require(r == 0 || r == 1 || r == -EINVAL);
		fuzz_require(r == 1 || params.n == 0);
		for (size_t j = 0; j < params.n; j++)
			fuzz_require(params.items[j].name && params.items[j].value);
		fits += r == 1;
		http_fields_clear(&params);
	}
	/* "{id}:restart" is an "{id}" as well; nothing else is two of them. */
	fuzz_require(fits <= 2);
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
	char *path = fuzz_text(data, size), *query = strchr(path, '?');
	struct http_fields fields = { .n = 0 };
	int r;

	if (query)
		*query++ = '\0';
	try_path(path);
	r = http_query_parse(query, &fields);
	fuzz_require(r == 0 || r == -EINVAL || r == -E2BIG);
	for (size_t i = 0; i < fields.n; i++) {
		fuzz_require(fields.items[i].name[0]);
		fuzz_require(http_fields_get(&fields, fields.items[i].name) ==
			     fields.items[i].value);
	}
	http_fields_clear(&fields);
	free(path);
	return 0;
}
