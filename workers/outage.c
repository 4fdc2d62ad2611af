#include "workers/outage.h"

#include <string.h>
#include <xxhash.h>

#include "common/limits.h"

/* Bytes that are left and the like differ each time: numbers that long. */
#define LONG_NUMBER 4

static uint64_t
hash_reason(const char *why)
{
	char text[LIMIT_TEXT];
	size_t len = 0;

	while (*why != '\0' && len < sizeof(text)) {
		size_t digits = strspn(why, "0123456789");

		if (digits >= LONG_NUMBER)
			why += digits;
		else
			text[len++] = *why++;
	}
	return XXH3_64bits(text, len);
}

bool
outage_failed(struct outage *o, const char *why)
{
	uint64_t hash = hash_reason(why);

	o->reads++;
	for (size_t i = 0; i < o->nsaid; i++) {
		if (o->said[i] == hash)
			return false;
	}
	if (o->nsaid == OUTAGE_REASONS)
		return false;
	o->said[o->nsaid++] = hash;
	return true;
}

uint64_t
outage_ended(struct outage *o)
{
	uint64_t reads = o->reads;

	*o = (struct outage){ .reads = 0 };
	return reads;
}
