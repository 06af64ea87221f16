/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the benchmark's tools share: nanoseconds, medians, one CPU. A tool ends with a message where
 * something fails: it has nobody to return an error to.
 */
#pragma once

#include <err.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

uint64_t now_ns(void);
/* The value below which a share (0 to 1) of the samples lies; sorts them. */
double quantile(double *samples, size_t n, double share);
void pin_to_cpu(int cpu);
/* A decimal argument in a range. */
unsigned long argument(const char *text, const char *name, unsigned long min, unsigned long max);
struct sockaddr_in address_argument(const char *text);
/* A non-blocking or blocking TCP socket with a way to forget a connection at once (RST). */
int tcp_socket(int flags);
