/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The verbs of bench-traffic that have a file of their own. */
#pragma once

/* ADDRESS FIRST N BURSTS: prints the median nanoseconds of a packet through the gateway. */
int inject(char **argv);
