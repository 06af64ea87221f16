/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The verbs of bench-traffic that have a file of their own. */
#pragma once

/* ADDRESS FIRST N BURSTS: prints the median nanoseconds of a packet through the gateway. */
int inject(char **argv);
/* The same for the first packets of connections that nobody has seen, over N ports in turn. */
int inject_first(char **argv);
/* ADDRESS FIRST N BURSTS SECONDS: so many bursts of connections of which each has a packet again
 * and again for so long; prints "live" once all are there. */
int inject_live(char **argv);
