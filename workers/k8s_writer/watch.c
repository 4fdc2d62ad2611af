#include "workers/k8s_writer/watch.h"

#include <bsd/string.h>
#include <stdio.h>
#include <string.h>
#include <xxhash.h>

#include "common/url.h"

/* Waits after errors: an apiserver that restarts is back in seconds. */
#define BACKOFF_MIN_MS 200
#define BACKOFF_MAX_MS 3000
/* A watch that ends sooner did not work. */
#define SHORT_WATCH_MS 1000

static const struct kind_query {
	unsigned limit; /* objects of a page at most; slices may be large */
	const char *selector;
} queries[KUBE_KINDS] = {
	/* All Services, to see those of others that have a wanted name. */
	[KUBE_SERVICE] = { 500, "" },
	[KUBE_SLICE] = { 100,
	    "&labelSelector=" OBJECT_MANAGED_BY "%3D" OBJECT_MANAGER },
	[KUBE_ROUTE] = { 500,
	    "&labelSelector=" OBJECT_MANAGED_BY "%3D" OBJECT_MANAGER },
};

void
watch_init(struct watch *w, enum kube_kind kind, uint64_t relist_ms,
    uint64_t seed)
{
	*w = (struct watch){ .kind = kind,
		.relist_ms = relist_ms,
		.seed = seed,
		.limit = queries[kind].limit };
}

/* 0..parts - 1, another one each time. */
static uint64_t
dice(struct watch *w, uint64_t parts)
{
	unsigned round = w->rounds++;

	return XXH3_64bits_withSeed(&round, sizeof(round), w->seed) % parts;
}

/* ---- what to do ---- */

static bool
is_dead(const struct watch *w, uint64_t now)
{
	return now >= w->heard_at + WATCH_SILENCE_MS;
}

static bool
wants_list(const struct watch *w, uint64_t now)
{
	return w->relist_asked || w->version[0] == '\0' ||
	    now >= w->listed_at + w->relist_ms;
}

static enum watch_do
begin(struct watch *w, enum watch_do what, uint64_t now)
{
	w->under_way = what;
	w->begun_at = w->heard_at = now;
	w->rounds++;
	return what;
}

static void
begin_list(struct watch *w)
{
	w->in_list = false;
	w->next[0] = '\0';
	w->version[0] = '\0';
	w->relist_asked = false;
}

enum watch_do
watch_next(struct watch *w, uint64_t now)
{
	if (w->under_way == WATCH_WATCH &&
	    (is_dead(w, now) || wants_list(w, now))) {
		w->under_way = WATCH_NOTHING;
		w->next_at = now;
		return WATCH_STOP;
	}
	if (w->under_way != WATCH_NOTHING || now < w->next_at)
		return WATCH_NOTHING;
	if (w->in_list && !w->relist_asked)
		return begin(w, WATCH_LIST, now);
	if (!wants_list(w, now))
		return begin(w, WATCH_WATCH, now);
	begin_list(w);
	return begin(w, WATCH_LIST, now);
}

uint64_t
watch_due(const struct watch *w, uint64_t now)
{
	uint64_t at = w->next_at;

	if (w->under_way == WATCH_LIST)
		return UINT64_MAX;
	if (w->under_way == WATCH_WATCH) {
		at = w->heard_at + WATCH_SILENCE_MS;
		if (w->listed_at + w->relist_ms < at)
			at = w->listed_at + w->relist_ms;
		if (w->relist_asked)
			at = now;
	}
	return at > now ? at : 0;
}

static bool
list_query(const struct watch *w, char *buf, size_t cap)
{
	char token[3 * sizeof(w->next)];
	int n;

	if (!url_escape(w->next, token, sizeof(token)))
		return false;
	n = snprintf(buf, cap, "limit=%u%s%s%s", w->limit,
	    queries[w->kind].selector,
	    *token == '\0' ? "" : "&continue=", token);
	return n > 0 && (size_t)n < cap;
}

/* The round makes the difference, so that watches don't end together. */
static bool
watch_query(const struct watch *w, char *buf, size_t cap)
{
	uint64_t less =
	    XXH3_64bits_withSeed(&w->rounds, sizeof(w->rounds), w->seed) %
	    (WATCH_TIMEOUT_S / 5);
	char version[3 * sizeof(w->version)];
	int n;

	if (!url_escape(w->version, version, sizeof(version)))
		return false;
	n = snprintf(buf, cap,
	    "watch=1&allowWatchBookmarks=true&timeoutSeconds=%u"
	    "&resourceVersion=%s%s",
	    WATCH_TIMEOUT_S - (unsigned)less, version,
	    queries[w->kind].selector);
	return n > 0 && (size_t)n < cap;
}

bool
watch_path(const struct watch *w, const struct object_conf *conf,
    char buf[WATCH_PATH])
{
	char path[OBJECT_PATH];
	size_t n;

	if (!object_path(path, conf, w->kind, NULL, ""))
		return false;
	n = strlcpy(buf, path, WATCH_PATH);
	buf[n++] = '?';
	if (w->under_way == WATCH_LIST)
		return list_query(w, buf + n, WATCH_PATH - n);
	return watch_query(w, buf + n, WATCH_PATH - n);
}

/* ---- what came ---- */

bool
watch_begins(const struct watch *w)
{
	return !w->in_list;
}

/* Those that made a page too large may be gone. */
static void
raise_limit(struct watch *w)
{
	unsigned most = queries[w->kind].limit;

	w->limit = w->limit < most / 2 ? w->limit * 2 : most;
}

/* All pages of a list say the same version. */
static enum watch_news
list_done(struct watch *w, const char *version, uint64_t now)
{
	w->in_list = false;
	w->absent = false;
	w->absences = 0;
	w->failures = 0;
	w->listed_at = now;
	raise_limit(w);
	strlcpy(w->version, version, sizeof(w->version));
	return WATCH_COMPLETE;
}

enum watch_news
watch_page(struct watch *w, const struct kube_list *l, uint64_t now)
{
	w->under_way = WATCH_NOTHING;
	w->next_at = now;
	if (l->next[0] == '\0')
		return list_done(w, l->version, now);
	w->in_list = true;
	strlcpy(w->next, l->next, sizeof(w->next));
	return WATCH_NO_NEWS;
}

bool
watch_too_large(struct watch *w, uint64_t now)
{
	if (w->under_way != WATCH_LIST || w->limit == 1)
		return false;
	w->limit /= 2;
	w->under_way = WATCH_NOTHING;
	w->next_at = now;
	return true;
}

static void
back_off(struct watch *w, uint64_t at_least_ms, uint64_t now)
{
	uint64_t ms = BACKOFF_MIN_MS;

	for (unsigned i = 0; i < w->failures && ms < BACKOFF_MAX_MS; i++)
		ms *= 2;
	if (ms > BACKOFF_MAX_MS)
		ms = BACKOFF_MAX_MS;
	ms -= dice(w, ms / 4 + 1);
	w->failures++;
	w->next_at = now + (ms > at_least_ms ? ms : at_least_ms);
}

static enum watch_news
again(struct watch *w, uint64_t retry_after_ms, uint64_t now)
{
	back_off(w, retry_after_ms, now);
	watch_relist(w);
	return WATCH_AGAIN;
}

enum watch_news
watch_event(struct watch *w, const struct kube_event *e, uint64_t now)
{
	w->heard_at = now;
	if (e->type == KUBE_ERROR) {
		w->under_way = WATCH_NOTHING;
		return again(w, e->status.retry_after_ms, now);
	}
	w->failures = 0;
	strlcpy(w->version, e->object.version, sizeof(w->version));
	return WATCH_NO_NEWS;
}

static uint64_t
absent_ms(const struct watch *w)
{
	uint64_t ms = WATCH_ABSENT_MS;

	if (w->told)
		return w->relist_ms;
	for (unsigned i = 1; i < w->absences && ms < w->relist_ms; i++)
		ms *= 2;
	return ms < w->relist_ms ? ms : w->relist_ms;
}

static enum watch_news
list_failed(struct watch *w, long status, uint64_t retry_after_ms, uint64_t now)
{
	bool news = !w->absent;

	w->in_list = false;
	if (status != 404) {
		back_off(w, retry_after_ms, now);
		return WATCH_ERROR;
	}
	w->absent = true;
	w->absences++;
	w->next_at = now + absent_ms(w);
	return news ? WATCH_ABSENT : WATCH_NO_NEWS;
}

static bool
ended_well(const struct watch *w, long status, uint64_t now)
{
	return status == 200 && now >= w->begun_at + SHORT_WATCH_MS;
}

static enum watch_news
watch_failed(struct watch *w, long status, uint64_t retry_after_ms,
    uint64_t now)
{
	if (ended_well(w, status, now)) {
		w->next_at = now;
		return WATCH_NO_NEWS;
	}
	if (status == 410 || status == 404 || status == WATCH_UNREADABLE)
		return again(w, retry_after_ms, now);
	back_off(w, retry_after_ms, now);
	return status == 200 ? WATCH_NO_NEWS : WATCH_ERROR;
}

enum watch_news
watch_end(struct watch *w, long status, uint64_t retry_after_ms, uint64_t now)
{
	enum watch_do was = w->under_way;

	w->under_way = WATCH_NOTHING;
	if (was == WATCH_LIST)
		return list_failed(w, status, retry_after_ms, now);
	/* An event had said what was wrong with it. */
	if (was == WATCH_NOTHING)
		return WATCH_NO_NEWS;
	return watch_failed(w, status, retry_after_ms, now);
}

void
watch_told(struct watch *w, bool told)
{
	bool was = w->told;

	w->told = told;
	if (was != told && w->absent && w->under_way == WATCH_NOTHING)
		w->next_at = w->begun_at + absent_ms(w);
}

void
watch_hint(struct watch *w, uint64_t now)
{
	w->absences = 0;
	if (w->absent && w->under_way == WATCH_NOTHING)
		w->next_at = now;
}

void
watch_relist(struct watch *w)
{
	w->relist_asked = true;
}

void
watch_retry(struct watch *w, uint64_t now)
{
	w->failures = 0;
	w->next_at = now;
}
