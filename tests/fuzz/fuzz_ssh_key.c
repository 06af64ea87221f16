/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The private host key's text, as agentd reads it out of an assignment. */
#include "agentd/seed_archive.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
	char *text = fuzz_text(data, size), *key = NULL;

	if (ssh_public_key(text, &key) == 0) {
		fuzz_require(strncmp(key, "ssh-ed25519 ", 12) == 0);
		fuzz_require(strchr(key, '\n') == key + strlen(key) - 1);
	}
	free(key);
	free(text);
	return 0;
}
