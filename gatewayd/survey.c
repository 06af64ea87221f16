/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A survey of the mappings: how many have which port, and how many lead to which host, taken in
 * steps.
 */
#include "gatewayd/survey.h"

#include <errno.h>

#include "gatewayd/slot_index.h"

/* Open addressing, a quarter full at most. */
#define TARGET_SLOTS (4 * (size_t)SURVEY_TARGETS_MAX)

struct picture {
	uint32_t ports[SURVEY_PORTS];
	struct survey_target targets[TARGET_SLOTS];
	size_t n_targets;
};

struct survey {
	const struct ledger *ledger;
	struct picture *last;  /* of the last complete pass; NULL: none yet */
	struct picture *next;  /* of the one that goes on; NULL: none does */
	size_t index, n_slots; /* in the ledger, and how many it had when the pass began */
};

int survey_new(struct survey **ret, const struct ledger *ledger)
{
	struct survey *survey = calloc(1, sizeof(*survey));

	if (!survey)
		return -ENOMEM;
	survey->ledger = ledger;
	*ret = survey;
	return 0;
}

void survey_free(struct survey *survey)
{
	if (!survey)
		return;
	free(survey->last);
	free(survey->next);
	free(survey);
}

int survey_begin(struct survey *survey)
{
	free(survey->next);
	survey->next = calloc(1, sizeof(*survey->next));
	survey->index = 0;
	survey->n_slots = survey->ledger->n_slots;
	return survey->next ? 0 : -ENOMEM;
}

static void count_target(struct picture *picture, const struct address *address)
{
	size_t at = hash_bytes(HASH_SEED, address->bytes, address_length(address)) % TARGET_SLOTS;
	struct survey_target *target;

	while (picture->targets[at].mappings > 0 &&
	       !address_equal(&picture->targets[at].address, address))
		at = (at + 1) % TARGET_SLOTS;
	target = &picture->targets[at];
	if (target->mappings == 0) {
		if (picture->n_targets == SURVEY_TARGETS_MAX)
			return;
		picture->n_targets++;
		target->address = *address;
	}
	target->mappings++;
}

static void count(struct picture *picture, const struct entry *entry)
{
	if (!(entry->flags & ENTRY_DESIRED))
		return;
	picture->ports[entry->key.port]++;
	count_target(picture, &entry->target.address);
}

bool survey_step(struct survey *survey, size_t slots)
{
	const struct ledger *ledger = survey->ledger;
	size_t left = ledger->n_slots - survey->index, end;

	if (!survey->next)
		return true;
	/* A table that has grown has everything elsewhere. */
	if (ledger->n_slots != survey->n_slots)
		return survey_begin(survey) < 0;
	end = survey->index + MIN(slots, left);
	for (; survey->index < end; survey->index++)
		if (ledger->slots[survey->index])
			count(survey->next, ledger->slots[survey->index]);
	if (survey->index < ledger->n_slots)
		return false;
	free(survey->last);
	survey->last = TAKE_PTR(survey->next);
	return true;
}

int survey_take(struct survey *survey)
{
	int r = survey_begin(survey);

	if (r == 0)
		(void)survey_step(survey, SIZE_MAX);
	return r;
}

const uint32_t *survey_ports(const struct survey *survey)
{
	return survey->last ? survey->last->ports : NULL;
}

struct survey_target *survey_next_target(struct survey *survey, size_t *index)
{
	while (survey->last && *index < TARGET_SLOTS) {
		struct survey_target *target = &survey->last->targets[(*index)++];

		if (target->mappings > 0)
			return target;
	}
	return NULL;
}
