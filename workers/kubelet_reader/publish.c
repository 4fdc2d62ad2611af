#include "workers/kubelet_reader/publish.h"

#include <string.h>

#include "common/log.h"
#include "common/state.h"

struct publisher {
	struct set *set;
	struct feed *feed;
	uint64_t period_ms;
	uint64_t told_at; /* the read_at of the last FRESH; 0: none yet */
	bool confirmed;
	bool changed; /* since the last FRESH */
};

struct publisher *
publisher_new(uint64_t period_ms)
{
	struct publisher *p = xcalloc(1, sizeof(*p));

	p->set = set_new();
	p->feed = feed_new(p->set);
	p->period_ms = period_ms;
	return p;
}

void
publisher_put(struct publisher *p, const struct pod_service *s)
{
	if (set_put(p->set, s->id, strlen(s->id), s->value, s->len))
		p->changed = true;
}

void
publisher_del(struct publisher *p, const char *id)
{
	if (set_del(p->set, id, strlen(id)))
		p->changed = true;
}

size_t
publisher_count(const struct publisher *p)
{
	return set_count(p->set);
}

void
publisher_read(struct publisher *p, uint64_t read_at, bool confirmed)
{
	bool news = p->changed || confirmed != p->confirmed || p->told_at == 0;

	set_complete(p->set);
	if (!news && read_at - p->told_at < p->period_ms)
		return;
	feed_fresh(p->feed, read_at, confirmed);
	p->told_at = read_at;
	p->confirmed = confirmed;
	p->changed = false;
}

void
publisher_link(struct publisher *p, struct channel *ch)
{
	feed_attach(p->feed, ch);
}

bool
publisher_message(struct publisher *p, const struct msg *m)
{
	return feed_message(p->feed, m);
}

void
publisher_drained(struct publisher *p)
{
	feed_drained(p->feed);
}
