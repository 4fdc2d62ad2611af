#include "workers/k8s_writer/lease.h"

#include <bsd/string.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <xxhash.h>

#include "workers/k8s_writer/json_out.h"

#define API "/apis/coordination.k8s.io/v1"

/* After a conflict: who came first is known soon. */
#define CONFLICT_MS 100
/* A leader whose request took its time has none to lose. */
#define SOON_MS 100

void
lease_init(struct lease *l, const char *namespace, const char *name,
    const char *identity, bool enabled, uint64_t seed)
{
	*l = (struct lease){
		.namespace = namespace,
		.name = name,
		.identity = identity,
		.enabled = enabled,
		.seed = seed,
		.must_read = true,
	};
}

/* ms and up to a fifth more, so that copies do not go in step. */
static uint64_t
jitter(struct lease *l, uint64_t ms)
{
	unsigned round = l->rounds++;
	uint64_t h = XXH3_64bits_withSeed(&round, sizeof(round), l->seed);

	return ms + h % (ms / 5 + 1);
}

/* ---- what is known ---- */

static bool
is_mine(const struct lease *l)
{
	return strcmp(l->seen.holder, l->identity) == 0;
}

static uint64_t
expires_at(const struct lease *l)
{
	uint64_t ms = (uint64_t)l->seen.duration_s * 1000;

	/* A holder that says less does not know better than we do. */
	if (ms < LEASE_DURATION_MS && l->seen.holder[0] != '\0')
		ms = LEASE_DURATION_MS;
	return l->observed_at + ms;
}

static bool
may_take(const struct lease *l, uint64_t now)
{
	return l->seen.holder[0] == '\0' || is_mine(l) || now >= expires_at(l);
}

static void
observe(struct lease *l, const struct kube_lease *got, uint64_t now)
{
	if (strcmp(l->seen.version, got->version) != 0)
		l->observed_at = now;
	l->seen = *got;
	l->absent = false;
	l->must_read = false;
}

static void
step_down(struct lease *l)
{
	l->leads = false;
	l->must_read = true;
}

/* ---- what to do ---- */

bool
lease_may_write(const struct lease *l, uint64_t now)
{
	if (l->releasing)
		return false;
	if (!l->enabled)
		return true;
	return l->leads && now < lease_until(l);
}

uint64_t
lease_until(const struct lease *l)
{
	if (!l->enabled)
		return UINT64_MAX;
	return l->leads ? l->renewed_at + LEASE_DEADLINE_MS : 0;
}

const char *
lease_holder(const struct lease *l)
{
	return l->seen.holder;
}

static enum lease_do
choose(const struct lease *l, uint64_t now)
{
	if (l->must_read)
		return LEASE_GET;
	if (!l->leads && !may_take(l, now))
		return LEASE_GET;
	return l->absent ? LEASE_CREATE : LEASE_UPDATE;
}

enum lease_do
lease_next(struct lease *l, uint64_t now)
{
	if (l->leads && now >= lease_until(l))
		step_down(l);
	if (lease_released(l) || l->under_way != LEASE_NOTHING)
		return LEASE_NOTHING;
	if (now < l->next_at && !l->releasing)
		return LEASE_NOTHING;
	l->under_way = choose(l, now);
	l->release_sent = l->releasing;
	l->sent_at = now;
	return l->under_way;
}

uint64_t
lease_due(const struct lease *l, uint64_t now)
{
	uint64_t until = l->leads ? lease_until(l) : UINT64_MAX;

	if (lease_released(l))
		return UINT64_MAX;
	if (l->under_way == LEASE_NOTHING && l->releasing)
		return 0;
	if (l->under_way != LEASE_NOTHING || l->next_at > until)
		return until;
	return l->next_at > now ? l->next_at : 0;
}

/* ---- requests ---- */

void
lease_path(const struct lease *l, char buf[LEASE_PATH])
{
	bool all = l->under_way == LEASE_CREATE;

	snprintf(buf, LEASE_PATH, API "/namespaces/%s/leases%s%s", l->namespace,
	    all ? "" : "/", all ? "" : l->name);
}

#define TIME_TEXT 40

static void
format_time(uint64_t wall_us, char buf[TIME_TEXT])
{
	time_t s = (time_t)(wall_us / 1000000);
	struct tm tm;
	size_t n;

	gmtime_r(&s, &tm);
	n = strftime(buf, TIME_TEXT, "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(buf + n, TIME_TEXT - n, ".%06uZ",
	    (unsigned)(wall_us % 1000000));
}

static void
add_metadata(const struct lease *l, struct json_object *o)
{
	struct json_object *meta = out_object(o, "metadata");

	out_str(meta, "name", l->name);
	out_str(meta, "namespace", l->namespace);
	if (l->under_way == LEASE_UPDATE)
		out_str(meta, "resourceVersion", l->seen.version);
}

/* One that was held by us goes on; a new holder is a transition. */
static void
add_held(const struct lease *l, struct json_object *spec, const char *time)
{
	bool goes_on = is_mine(l) && l->seen.acquired[0] != '\0';
	int64_t transitions = l->seen.transitions;

	if (!is_mine(l) && !l->absent && transitions < INT32_MAX)
		transitions++;
	out_str(spec, "holderIdentity", l->identity);
	out_number(spec, "leaseDurationSeconds", LEASE_DURATION_MS / 1000);
	out_str(spec, "acquireTime", goes_on ? l->seen.acquired : time);
	out_str(spec, "renewTime", time);
	out_number(spec, "leaseTransitions", transitions);
}

/* Nobody holds it, and so nobody needs to wait. */
static void
add_released(const struct lease *l, struct json_object *spec, const char *time)
{
	out_str(spec, "holderIdentity", "");
	out_number(spec, "leaseDurationSeconds", 1);
	out_str(spec, "acquireTime", time);
	out_str(spec, "renewTime", time);
	out_number(spec, "leaseTransitions", l->seen.transitions);
}

char *
lease_body(const struct lease *l, uint64_t wall_us)
{
	struct json_object *o = out_new(), *spec;
	char time[TIME_TEXT];

	format_time(wall_us, time);
	out_str(o, "apiVersion", "coordination.k8s.io/v1");
	out_str(o, "kind", "Lease");
	add_metadata(l, o);
	spec = out_object(o, "spec");
	if (l->release_sent)
		add_released(l, spec, time);
	else
		add_held(l, spec, time);
	return out_text(o);
}

/* ---- answers ---- */

static uint64_t
retry_at(struct lease *l, uint64_t now)
{
	uint64_t soon = now + jitter(l, SOON_MS);
	uint64_t at = l->sent_at + jitter(l, LEASE_RETRY_MS);

	if (!l->leads)
		return now + jitter(l, LEASE_RETRY_MS);
	return at > soon ? at : soon;
}

static void
answer_get(struct lease *l, long status, const struct kube_lease *got,
    uint64_t now)
{
	l->next_at = retry_at(l, now);
	if (status == 404) {
		/* Who held it may not know yet: its time runs on. */
		l->absent = true;
		l->must_read = false;
		l->seen.version[0] = '\0';
	} else if (status == 200 && got != NULL) {
		observe(l, got, now);
	} else {
		return;
	}
	if (l->leads && !l->absent && !is_mine(l))
		step_down(l);
	/* Taken, or held on to, at once; or read again when it ends. */
	if (may_take(l, now))
		l->next_at = now;
	else if (expires_at(l) < l->next_at)
		l->next_at = expires_at(l);
}

static void
renewed(struct lease *l, const struct kube_lease *got, uint64_t now)
{
	l->leads = true;
	l->renewed_at = l->sent_at;
	l->next_at = l->sent_at + LEASE_RETRY_MS;
	if (got == NULL)
		l->must_read = true;
	else
		observe(l, got, now);
}

static void
answer_write(struct lease *l, long status, const struct kube_lease *got,
    uint64_t now)
{
	if (status >= 200 && status < 300) {
		renewed(l, got, now);
		return;
	}
	/* What is there now may not be what we know; after these it is not. */
	l->must_read = true;
	if (status == 409 || status == 404) {
		step_down(l);
		l->next_at = now + jitter(l, CONFLICT_MS);
	} else {
		l->next_at = retry_at(l, now);
	}
}

/* Of a version that is not known there is nothing to give back. */
static bool
can_release(const struct lease *l)
{
	return l->leads && !l->must_read && !l->absent && is_mine(l);
}

void
lease_answer(struct lease *l, long status, const struct kube_lease *got,
    uint64_t now)
{
	enum lease_do done = l->under_way;

	l->under_way = LEASE_NOTHING;
	if (done == LEASE_GET)
		answer_get(l, status, got, now);
	else
		answer_write(l, status, got, now);
	if (l->leads && now >= lease_until(l))
		step_down(l);
	if (l->release_sent || (l->releasing && !can_release(l)))
		l->leads = false;
}

void
lease_hold(struct lease *l, uint64_t ms, uint64_t now)
{
	if (l->next_at < now + ms)
		l->next_at = now + ms;
}

/* ---- a clean stop ---- */

void
lease_release(struct lease *l, uint64_t now)
{
	if (l->leads && now >= lease_until(l))
		step_down(l);
	l->releasing = true;
	if (l->under_way == LEASE_NOTHING && !can_release(l))
		l->leads = false;
}

bool
lease_released(const struct lease *l)
{
	if (!l->enabled)
		return true;
	return l->releasing && !l->leads && l->under_way == LEASE_NOTHING;
}
