/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Stands in for libFuzzer where the corpus is replayed as an ordinary test: replay FOLDER gives
 * each of its files to the target and prints a TAP point for it. */
#include <dirent.h>
#include <errno.h>

#include "lib/file.h"
#include "tests/fuzz/fuzz.h"

#define INPUT_MAX ((size_t)1 << 20)

static int is_input(const struct dirent *entry)
{
	return entry->d_name[0] != '.';
}

static int replay(const char *folder, const char *name)
{
	_cleanup_free_ char *path = NULL, *data = NULL;
	_cleanup_free_ unsigned char *input = NULL;
	size_t size;
	int r;

	if (asprintf(&path, "%s/%s", folder, name) < 0) {
		path = NULL;
		return -ENOMEM;
	}
	r = file_read(path, INPUT_MAX, &data, &size, NULL);
	if (r < 0)
		return r;
	/* A copy that ends where the input does: reading past it is a finding. */
	input = malloc(size ? size : 1);
	if (!input)
		return -ENOMEM;
	memcpy(input, data, size);
	return LLVMFuzzerTestOneInput(input, size);
}

int main(int argc, char **argv)
{
	struct dirent **entries = NULL;
	int n, failed = 0;

	if (argc != 2 || (n = scandir(argv[1], &entries, is_input, alphasort)) <= 0) {
		fprintf(stderr, "usage: %s FOLDER, with the inputs to replay in it\n", argv[0]);
		return EXIT_FAILURE;
	}
	printf("1..%d\n", n);
	for (int i = 0; i < n; i++) {
		int r;

		/* Before the target may end the process: the last name is the one it ended at. */
		printf("# %s\n", entries[i]->d_name);
		fflush(stdout);
		r = replay(argv[1], entries[i]->d_name);
		printf("%sok %d - %s\n", r < 0 ? "not " : "", i + 1, entries[i]->d_name);
		failed |= r < 0;
		free(entries[i]);
	}
	free(entries);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
