/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Ownership and compiler conventions, written once: cleanup attributes, TAKE_PTR, TAKE_FD.
 *
 * A local that owns something carries a _cleanup_ attribute; ownership leaves the local
 * only by TAKE_PTR or TAKE_FD. Fallible functions return 0 or a negative errno value and
 * carry _must_check_; out-parameters are named ret_* and are written only on success.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#define _cleanup_(function) __attribute__((cleanup(function)))
#define _must_check_ __attribute__((warn_unused_result))
#define _printf_(string, first) __attribute__((format(printf, string, first)))
#define _unused_ __attribute__((unused))

#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))
#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))

/* The struct that this is a member of. */
#define CONTAINER_OF(pointer, type, member) \
	((type *)(void *)((char *)(pointer)-offsetof(type, member)))

/* Gives up ownership: the value of the pointer, which becomes NULL. */
#define TAKE_PTR(pointer)                             \
	({                                            \
		__typeof__(pointer) *_p = &(pointer); \
		__typeof__(pointer) _value = *_p;     \
		*_p = NULL;                           \
		_value;                               \
	})

/* Gives up ownership of a file descriptor: its value; the variable becomes -1. */
#define TAKE_FD(fd)               \
	({                        \
		int *_f = &(fd);  \
		int _value = *_f; \
		*_f = -1;         \
		_value;           \
	})

/* Defines NAME(type **) for _cleanup_(NAME) from a destructor that accepts NULL. */
#define DEFINE_CLEANUP(type, destructor, name)          \
	static inline _unused_ void name(type *pointer) \
	{                                               \
		if (*pointer)                           \
			destructor(*pointer);           \
	}

static inline void cleanup_free(void *pointer)
{
	free(*(void **)pointer);
}

static inline void cleanup_close(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

#define _cleanup_free_ _cleanup_(cleanup_free)
#define _cleanup_close_ _cleanup_(cleanup_close)
