#include "workers/kubelet_reader/outage.h"

#include <string.h>
#include <xxhash.h>

bool
outage_failed(struct outage *o, const char *why)
{
	uint64_t hash = XXH3_64bits(why, strlen(why));

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
