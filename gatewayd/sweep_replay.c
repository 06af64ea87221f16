/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What an earlier process had still to look through, from what it wrote down in its order: made a
 * list of. Memory only.
 */
#include "gatewayd/sweep_replay.h"

#include <errno.h>
#include <string.h>

#include "lib/array.h"

void sweep_replay_clear(struct sweep_replay *replay)
{
	free(replay->lines);
	memset(replay, 0, sizeof(*replay));
}

static int add_line(struct sweep_replay *replay, const struct sweep_line *line)
{
	struct sweep_line *grown =
		array_grow(replay->lines, sizeof(*grown), replay->n, &replay->allocated);

	if (!grown)
		return -ENOMEM;
	replay->lines = grown;
	replay->lines[replay->n] = *line;
	replay->lines[replay->n].place = replay->n;
	replay->n++;
	return 0;
}

int sweep_replay_add(struct sweep_replay *replay, const struct mapping_key *key,
		     const struct endpoint *led)
{
	const struct sweep_line line = { .sweep = { .key = *key, .led = *led, .kept = true } };

	return add_line(replay, &line);
}

int sweep_replay_spare(struct sweep_replay *replay, const struct mapping_key *key)
{
	const struct sweep_line line = { .sweep.key = *key, .spares = true };

	return replay->n == 0 ? 0 : add_line(replay, &line);
}

void sweep_replay_done(struct sweep_replay *replay)
{
	replay->n = 0;
}

/* By mapping, the last first. */
static int compare(const void *a, const void *b)
{
	const struct sweep_line *left = a, *right = b;
	int order = mapping_key_compare(&left->sweep.key, &right->sweep.key);

	return order != 0 ? order : (left->place < right->place) - (left->place > right->place);
}

int sweep_replay_finish(struct sweep_replay *replay, struct sweep_list *list)
{
	bool spared = false;
	int r = 0;

	if (replay->n > 0)
		qsort(replay->lines, replay->n, sizeof(*replay->lines), compare);
	for (size_t i = 0; r == 0 && i < replay->n; i++) {
		const struct sweep_line *line = &replay->lines[i];

		if (i == 0 || mapping_key_compare(&line[-1].sweep.key, &line->sweep.key) != 0)
			spared = false;
		spared |= line->spares;
		if (!spared)
			r = sweep_list_add(list, &line->sweep);
	}
	return r;
}
