/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The verb of bench-control that needs no daemon. */
#pragma once

/* MAP ADDRESS COUNT: prints median and 99th percentile of the seconds of one transaction. */
int bare(char **argv);
