#include "workers/publisher.h"

#include <stdlib.h>

#include "common/log.h"

struct publisher {
	struct set *set;
	struct feed *feed;
	uint64_t fresh_ms;
	uint64_t told_at; /* the read_at of the last FRESH; 0: none yet */
	bool confirmed;
	bool changed; /* since the last FRESH */
};

struct publisher *
publisher_new(uint64_t fresh_ms)
{
	struct publisher *p = xcalloc(1, sizeof(*p));

	p->set = set_new();
	p->feed = feed_new(p->set);
	p->fresh_ms = fresh_ms;
	return p;
}

void
publisher_free(struct publisher *p)
{
	if (p == NULL)
		return;
	feed_free(p->feed);
	set_free(p->set);
	free(p);
}

struct feed *
publisher_feed(struct publisher *p)
{
	return p->feed;
}

bool
publisher_put(struct publisher *p, const void *key, size_t key_len,
    const void *val, size_t val_len)
{
	if (set_count(p->set) == LIMIT_SET_ENTRIES &&
	    set_get(p->set, key, key_len) == NULL)
		return false;
	if (set_put(p->set, key, key_len, val, val_len))
		p->changed = true;
	return true;
}

void
publisher_del(struct publisher *p, const void *key, size_t key_len)
{
	if (set_del(p->set, key, key_len))
		p->changed = true;
}

void
publisher_complete(struct publisher *p)
{
	set_complete(p->set);
}

void
publisher_read(struct publisher *p, uint64_t read_at, bool confirmed)
{
	bool news = p->changed || confirmed != p->confirmed || p->told_at == 0;

	set_complete(p->set);
	if (!news && read_at - p->told_at < p->fresh_ms)
		return;
	feed_fresh(p->feed, read_at, confirmed);
	p->told_at = read_at;
	p->confirmed = confirmed;
	p->changed = false;
}
