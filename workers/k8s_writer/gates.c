#include "workers/k8s_writer/gates.h"

#include <bsd/sys/tree.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "common/backend.h"
#include "common/log.h"

/* After a failure of one pod's write: doubled up to the second. */
#define RETRY_MIN_MS     1000
#define RETRY_MAX_MS     4000
#define RETRY_REFUSED_MS 60000
/* No answer, or one that asks to wait: for all. */
#define LOST_MS 250ULL
#define BUSY_MS 500
/* Between two changes back: doubled from GATES_LAG_MS up to this. */
#define FIGHT_MAX_MS 300000
/* Who changed nothing for so long is not fighting. */
#define CALM_MS 600000

struct gate {
	RB_ENTRY(gate) by_uid;
	RB_ENTRY(gate) by_time;
	struct pod_gate *want;
	struct pod_gate *sent; /* under way, may be want; NULL: nothing is */
	char *reason; /* as written; NULL: not known */
	char *error; /* of the last write; NULL: none */
	uint64_t written_at;
	uint64_t changed_at; /* since when what is wanted is not written */
	uint64_t retry_at;
	uint64_t at; /* in the tree of times; 0: now */
	unsigned failures;
	unsigned fights; /* changes back, one after another */
	enum plan_result result; /* of the last write */
	bool synced; /* as written */
	bool shown; /* the list had it as written */
	bool absent; /* no write before the item changes */
	bool again; /* what is due, or under way, is a change back */
	bool waits; /* it is in the tree of times */
	bool dropped; /* forgotten, but a write is under way */
};

RB_HEAD(uid_tree, gate);
RB_HEAD(time_tree, gate);

struct gates {
	struct uid_tree all;
	struct time_tree waiting;
	uint64_t seed;
	uint64_t not_before;
	unsigned under_way;
	unsigned lost; /* answers, one after another */
};

static int
compare_uids(const struct gate *a, const struct gate *b)
{
	return strcmp(a->want->uid, b->want->uid);
}

static int
compare_times(const struct gate *a, const struct gate *b)
{
	if (a->at != b->at)
		return a->at < b->at ? -1 : 1;
	if (a->want->synced != b->want->synced)
		return a->want->synced ? -1 : 1;
	return compare_uids(a, b);
}

/* RB_GENERATE_STATIC wants __unused, which glibc's headers use otherwise. */
#define STATIC static __attribute__((unused))
RB_GENERATE_INTERNAL(uid_tree, gate, by_uid, compare_uids, STATIC)
RB_GENERATE_INTERNAL(time_tree, gate, by_time, compare_times, STATIC)

/* ---- what one pod needs ---- */

static enum pod_condition
status_of(bool synced)
{
	return synced ? POD_CONDITION_TRUE : POD_CONDITION_FALSE;
}

static bool
is_written(const struct gate *x)
{
	return x->reason != NULL && x->synced == x->want->synced &&
	    strcmp(x->reason, x->want->reason) == 0;
}

/* The list has something else than what was written. */
static bool
is_contested(const struct gate *x)
{
	return x->reason != NULL && x->want->seen != status_of(x->synced);
}

/* The list is newer than what was written. */
static bool
list_is_newer(const struct gate *x, uint64_t now)
{
	return x->reason == NULL || x->shown ||
	    now >= x->written_at + GATES_LAG_MS;
}

static uint64_t
fight_ms(const struct gate *x)
{
	uint64_t ms = GATES_LAG_MS;

	if (x->fights == 0)
		return x->shown ? 0 : GATES_LAG_MS;
	for (unsigned i = 1; i < x->fights && ms < FIGHT_MAX_MS; i++)
		ms *= 2;
	return ms < FIGHT_MAX_MS ? ms : FIGHT_MAX_MS;
}

/* It is False, or not there, and stays so. */
static bool
can_wait(const struct gate *x)
{
	bool is_true =
	    x->reason != NULL ? x->synced : x->want->seen == POD_CONDITION_TRUE;

	return !is_true && !x->want->synced;
}

/* When it is to be written; UINT64_MAX: never. */
static uint64_t
due_at(struct gate *x)
{
	uint64_t at = 0;

	if (x->absent || x->dropped || x->sent != NULL)
		return UINT64_MAX;
	x->again = is_written(x) && is_contested(x);
	if (x->again)
		at = x->written_at + fight_ms(x);
	else if (is_written(x))
		return UINT64_MAX;
	else if (can_wait(x))
		at = x->changed_at + GATES_REST_MS;
	return at > x->retry_at ? at : x->retry_at;
}

/* After each change; what the trees go by is changed only before it. */
static void
settle(struct gates *g, struct gate *x)
{
	uint64_t at = due_at(x);

	x->waits = at != UINT64_MAX;
	x->at = at;
	if (x->waits)
		RB_INSERT(time_tree, &g->waiting, x);
}

static void
unsettle(struct gates *g, struct gate *x)
{
	if (x->waits)
		RB_REMOVE(time_tree, &g->waiting, x);
	x->waits = false;
}

/* ---- what is wanted ---- */

static void
set_text(char **to, const char *text)
{
	free(*to);
	*to = text == NULL ? NULL : xstrdup(text);
}

static void
gate_free(struct gate *x)
{
	if (x->sent != x->want)
		free(x->sent);
	free(x->want);
	free(x->reason);
	free(x->error);
	free(x);
}

static struct pod_gate *
decode(const void *key, size_t key_len, const void *val, size_t len)
{
	struct pod_gate *pod = pod_gate_decode(key, key_len, val, len);

	/* They become parts of a path. */
	if (pod != NULL && backend_is_label(pod->namespace) &&
	    backend_is_subdomain(pod->name))
		return pod;
	free(pod);
	return NULL;
}

static struct gate *
find(struct gates *g, const char *uid)
{
	struct pod_gate pod = { .uid = uid };
	struct gate key = { .want = &pod };

	return RB_FIND(uid_tree, &g->all, &key);
}

/* True needs no reason: that it stands there is enough. */
static void
adopt(struct gate *x)
{
	if (!x->want->synced || x->want->seen != POD_CONDITION_TRUE)
		return;
	x->synced = true;
	x->shown = true;
	set_text(&x->reason, x->want->reason);
}

static void
add(struct gates *g, struct pod_gate *pod, uint64_t now)
{
	struct gate *x = xcalloc(1, sizeof(*x));

	x->want = pod;
	x->changed_at = now;
	adopt(x);
	RB_INSERT(uid_tree, &g->all, x);
	settle(g, x);
}

/* A list that changes to what was written has seen it. */
static void
note_seen(struct gate *x, const struct pod_gate *pod, uint64_t now)
{
	enum pod_condition written = status_of(x->synced);

	if (x->reason == NULL)
		return;
	if (x->want->seen == written)
		x->shown = list_is_newer(x, now);
	else if (pod->seen == written)
		x->shown = true;
}

static void
change(struct gates *g, struct gate *x, struct pod_gate *pod, uint64_t now)
{
	unsettle(g, x);
	note_seen(x, pod, now);
	if (is_written(x) || x->absent)
		x->changed_at = now;
	if (x->sent != x->want)
		free(x->want);
	/* The same uid: its place in the tree stays. */
	x->want = pod;
	x->absent = false;
	x->dropped = false;
	settle(g, x);
}

bool
gates_put(struct gates *g, const void *key, size_t key_len, const void *val,
    size_t len, uint64_t now)
{
	struct pod_gate *pod = decode(key, key_len, val, len);
	struct gate *x;

	if (pod == NULL)
		return false;
	x = find(g, pod->uid);
	if (x == NULL)
		add(g, pod, now);
	else
		change(g, x, pod, now);
	return true;
}

static void
forget(struct gates *g, struct gate *x)
{
	RB_REMOVE(uid_tree, &g->all, x);
	gate_free(x);
}

void
gates_del(struct gates *g, const void *key, size_t key_len)
{
	char *uid = xstrndup(key, key_len);
	struct gate *x = find(g, uid);

	free(uid);
	if (x == NULL)
		return;
	unsettle(g, x);
	if (x->sent != NULL)
		x->dropped = true;
	else
		forget(g, x);
}

/* ---- writes ---- */

/* One that does not answer is asked by one of all. */
static bool
has_room(const struct gates *g)
{
	return g->under_way < (g->lost > 0 ? 1 : GATES_AT_ONCE);
}

/* Whether the status that stands there, as far as is known, is another. */
static bool
turns(const struct gate *x, uint64_t now)
{
	enum pod_condition there =
	    list_is_newer(x, now) ? x->want->seen : status_of(x->synced);

	return there != status_of(x->want->synced);
}

bool
gates_next(struct gates *g, uint64_t now, struct gate_write *w)
{
	struct gate *x = RB_MIN(time_tree, &g->waiting);

	if (x == NULL || x->at > now || now < g->not_before || !has_room(g))
		return false;
	*w = (struct gate_write){ .gate = x,
		.pod = x->want,
		.turns = turns(x, now),
		.again = x->again };
	unsettle(g, x);
	x->sent = x->want;
	g->under_way++;
	return true;
}

uint64_t
gates_due(struct gates *g)
{
	const struct gate *x = RB_MIN(time_tree, &g->waiting);

	if (x == NULL || !has_room(g))
		return UINT64_MAX;
	return x->at > g->not_before ? x->at : g->not_before;
}

/* ---- their ends ---- */

/* The pod's own trouble, and how long it lasts. */
static const uint64_t retry_max[PLAN_RESULTS] = {
	[PLAN_CONFLICT] = RETRY_MAX_MS,
	[PLAN_REFUSED] = RETRY_REFUSED_MS,
	[PLAN_DENIED] = RETRY_REFUSED_MS,
	[PLAN_BROKEN] = RETRY_REFUSED_MS,
};

/* Doubled with each failure, less up to a quarter. */
static uint64_t
retry_ms(const struct gates *g, const struct gate *x, uint64_t max)
{
	uint64_t ms = RETRY_MIN_MS, dice;

	for (unsigned i = 1; i < x->failures && ms < max; i++)
		ms *= 2;
	if (ms > max)
		ms = max;
	dice = XXH3_64bits_withSeed(x->want->uid, strlen(x->want->uid),
	    g->seed + x->failures);
	return ms - dice % (ms / 4 + 1);
}

static uint64_t
lost_ms(const struct gates *g)
{
	unsigned n = g->lost < 5 ? g->lost : 5;

	return n == 0 ? 0 : LOST_MS << (n - 1);
}

static void
hold_writes(struct gates *g, enum plan_result r, uint64_t ms, uint64_t now)
{
	g->lost = r == PLAN_LOST ? g->lost + 1 : 0;
	if (r == PLAN_BUSY && ms == 0)
		ms = BUSY_MS;
	if (ms < lost_ms(g))
		ms = lost_ms(g);
	if (ms > 0 && now + ms > g->not_before)
		g->not_before = now + ms;
}

static void
count_fight(struct gate *x, bool again, uint64_t now)
{
	if (now - x->written_at > CALM_MS)
		x->fights = 0;
	if (again)
		x->fights++;
}

static void
wrote(struct gate *x, const struct gate_write *w, uint64_t now)
{
	count_fight(x, w->again, now);
	x->synced = w->pod->synced;
	set_text(&x->reason, w->pod->reason);
	x->written_at = now;
	x->changed_at = now;
	x->shown = false;
	x->failures = 0;
	set_text(&x->error, NULL);
}

bool
gate_news(const struct gate_write *w, const char *text)
{
	const struct gate *x = w->gate;

	return !x->dropped && (x->error == NULL || strcmp(x->error, text) != 0);
}

static void
failed(const struct gates *g, struct gate *x, enum plan_result r,
    const char *text, uint64_t now)
{
	set_text(&x->error, text);
	if (r == PLAN_GONE) {
		set_text(&x->reason, NULL);
		x->absent = true;
	}
	if (retry_max[r] == 0)
		return;
	x->failures++;
	x->retry_at = now + retry_ms(g, x, retry_max[r]);
}

void
gates_done(struct gates *g, const struct gate_write *w, enum plan_result r,
    const char *text, uint64_t retry_after_ms, uint64_t now)
{
	struct gate *x = w->gate;

	g->under_way--;
	hold_writes(g, r, retry_after_ms, now);
	x->result = r;
	if (r == PLAN_DONE)
		wrote(x, w, now);
	else
		failed(g, x, r, text, now);
	if (x->sent != x->want)
		free(x->sent);
	x->sent = NULL;
	if (x->dropped)
		forget(g, x);
	else
		settle(g, x);
}

void
gates_retry(struct gates *g)
{
	struct gate *x;

	g->not_before = 0;
	g->lost = 0;
	RB_FOREACH(x, uid_tree, &g->all) {
		unsettle(g, x);
		x->failures = 0;
		x->retry_at = 0;
		settle(g, x);
	}
}

/* ---- how it goes ---- */

static bool
is_pending(const struct gate *x)
{
	return !x->absent && x->result != PLAN_REFUSED &&
	    (x->sent != NULL || !is_written(x));
}

void
gates_counts(struct gates *g, struct gates_counts *c)
{
	struct gate *x;

	*c = (struct gates_counts){ .pending = 0 };
	RB_FOREACH(x, uid_tree, &g->all) {
		if (x->dropped)
			continue;
		c->wanted[x->want->synced]++;
		c->failed[x->result]++;
		c->pending += is_pending(x);
	}
}

struct gates *
gates_new(uint64_t seed)
{
	struct gates *g = xcalloc(1, sizeof(*g));

	RB_INIT(&g->all);
	RB_INIT(&g->waiting);
	g->seed = seed;
	return g;
}

void
gates_free(struct gates *g)
{
	struct gate *x;

	if (g == NULL)
		return;
	while ((x = RB_MIN(uid_tree, &g->all)) != NULL)
		forget(g, x);
	free(g);
}
