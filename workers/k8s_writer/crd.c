#include "workers/k8s_writer/crd.h"

#include <stdio.h>
#include <xxhash.h>

#include "workers/k8s_writer/watch.h"

#define NAME           "httproutes." OBJECT_GATEWAY_GROUP

#define BACKOFF_MIN_MS 1000
#define BACKOFF_MAX_MS 60000

void
crd_init(struct crd *c, uint64_t rest_ms, uint64_t seed)
{
	*c = (struct crd){ .rest_ms = rest_ms, .seed = seed };
}

static uint64_t
dice(const struct crd *c, uint64_t parts)
{
	return XXH3_64bits_withSeed(&c->rounds, sizeof(c->rounds), c->seed) %
	    parts;
}

/* ---- what to do ---- */

void
crd_want(struct crd *c, bool wanted)
{
	c->wanted = wanted;
}

static bool
is_dead(const struct crd *c, uint64_t now)
{
	return now >= c->heard_at + WATCH_SILENCE_MS;
}

enum crd_do
crd_next(struct crd *c, uint64_t now)
{
	if (c->under_way && (!c->wanted || is_dead(c, now))) {
		c->under_way = false;
		c->next_at = now;
		return CRD_STOP;
	}
	if (c->under_way || !c->wanted || now < c->next_at)
		return CRD_NOTHING;
	c->under_way = true;
	c->there = false;
	c->begun_at = c->heard_at = now;
	c->rounds++;
	return CRD_WATCH;
}

uint64_t
crd_due(const struct crd *c, uint64_t now)
{
	uint64_t at = c->next_at;

	if (!c->wanted)
		return c->under_way ? 0 : UINT64_MAX;
	if (c->under_way) {
		at = c->begun_at + CRD_WORKS_MS;
		if (now >= at)
			at = c->heard_at + WATCH_SILENCE_MS;
	}
	return at > now ? at : 0;
}

/* Not all storages can make bookmarks of a watch that begins like that. */
void
crd_path(const struct crd *c, char buf[CRD_PATH])
{
	snprintf(buf, CRD_PATH,
	    "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
	    "?watch=1&resourceVersion=0&timeoutSeconds=%u"
	    "&fieldSelector=metadata.name%%3D" NAME,
	    WATCH_TIMEOUT_S - (unsigned)dice(c, WATCH_TIMEOUT_S / 5));
}

bool
crd_tells(const struct crd *c, uint64_t now)
{
	return c->under_way && !c->there && now >= c->begun_at + CRD_WORKS_MS;
}

/* ---- what came ---- */

bool
crd_event(struct crd *c, enum kube_event_type type, uint64_t now)
{
	c->heard_at = now;
	if (type == KUBE_DELETED)
		c->there = false;
	if (type != KUBE_CHANGED)
		return false;
	c->there = true;
	return true;
}

static uint64_t
backoff_ms(struct crd *c)
{
	uint64_t ms = BACKOFF_MIN_MS;

	for (unsigned i = 0; i < c->failures && ms < BACKOFF_MAX_MS; i++)
		ms *= 2;
	if (ms > BACKOFF_MAX_MS)
		ms = BACKOFF_MAX_MS;
	c->failures++;
	return ms - dice(c, ms / 4);
}

/* A refusal, or an apiserver that knows no CRDs. */
static bool
is_lasting(long status)
{
	return status == 403 || status == 404;
}

void
crd_end(struct crd *c, long status, uint64_t retry_after_ms, uint64_t now)
{
	uint64_t ms = 0;

	c->under_way = false;
	if (is_lasting(status))
		ms = c->rest_ms;
	else if (status != 200 || now < c->begun_at + CRD_WORKS_MS)
		ms = backoff_ms(c);
	else
		c->failures = 0;
	c->next_at = now + (ms > retry_after_ms ? ms : retry_after_ms);
}

void
crd_retry(struct crd *c, uint64_t now)
{
	c->failures = 0;
	if (!c->under_way)
		c->next_at = now;
}
