/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Randomness from getrandom(2). */
#include "lib/random.h"

#include <errno.h>
#include <sys/random.h>

/* No 0, 1, l and o: a person may have to read it aloud. */
static const char alphabet[32] = "abcdefghijkmnpqrstuvwxyz23456789";

int random_bytes(void *buffer, size_t length)
{
	char *next = buffer;

	while (length > 0) {
		ssize_t n = getrandom(next, length, 0);

		if (n < 0) {
			if (errno == EINTR)
				continue;
			return -errno;
		}
		next += n;
		length -= (size_t)n;
	}
	return 0;
}

int random_text(char *buffer, size_t length)
{
	int r = random_bytes(buffer, length);

	if (r < 0)
		return r;
	for (size_t i = 0; i < length; i++)
		buffer[i] = alphabet[(unsigned char)buffer[i] % sizeof(alphabet)];
	buffer[length] = '\0';
	return 0;
}

uint32_t random_below(uint32_t limit)
{
	uint32_t value = 0;

	if (random_bytes(&value, sizeof(value)) < 0)
		return 0; /* jitter only: no jitter is correct, too */
	return (uint32_t)(((uint64_t)value * limit) >> 32);
}
