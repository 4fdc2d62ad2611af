#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "common/log.h"
#include "workers/k8s_writer/plan_inside.h"

/*
 * One object's waits after errors: longer where only a change of it, or of
 * our rights, will help.
 */
#define RETRY_MIN_MS     1000
#define RETRY_MAX_MS     4000
#define RETRY_REFUSED_MS 60000

#define FOREIGN_TEXT \
	"the cluster has an object of this name that is not katalogd's (or " \
	"another instance's); it is left alone"

static int
cmp_id(const struct plan_item *a, const struct plan_item *b)
{
	if (a->kind != b->kind)
		return a->kind < b->kind ? -1 : 1;
	return strcmp(a->name, b->name);
}

static int
cmp_time(const struct plan_item *a, const struct plan_item *b)
{
	if (a->at != b->at)
		return a->at < b->at ? -1 : 1;
	return cmp_id(a, b);
}

/* RB_GENERATE_STATIC wants __unused, which glibc's headers use otherwise. */
#define TREE(name, field, cmp) \
	RB_GENERATE_INTERNAL(name, plan_item, field, cmp, \
	    __attribute__((unused)) static)

TREE(id_tree, by_id, cmp_id)
TREE(time_tree, by_time, cmp_time)

/* ---- queues ---- */

static void
queue_add(struct plan *p, struct plan_item *it)
{
	struct plan_group *g = it->group;
	struct item_list *items = &g->queues[it->queue].items;

	if (TAILQ_EMPTY(items))
		TAILQ_INSERT_TAIL(&p->rings[it->queue], g,
		    queues[it->queue].in_ring);
	TAILQ_INSERT_TAIL(items, it, ready);
	p->nready++;
}

static void
queue_remove(struct plan *p, struct plan_item *it)
{
	struct plan_group *g = it->group;
	struct item_list *items = &g->queues[it->queue].items;

	TAILQ_REMOVE(items, it, ready);
	if (TAILQ_EMPTY(items))
		TAILQ_REMOVE(&p->rings[it->queue], g,
		    queues[it->queue].in_ring);
	p->nready--;
}

static void
item_unplace(struct plan *p, struct plan_item *it)
{
	if (it->place == PLACE_READY)
		queue_remove(p, it);
	else if (it->place == PLACE_TIMER)
		RB_REMOVE(time_tree, &p->timers, it);
	it->place = PLACE_NONE;
}

static enum plan_queue
queue_of(const struct plan_item *it)
{
	static const enum plan_queue queues[KUBE_KINDS][2] = {
		[KUBE_SERVICE] = { QUEUE_SERVICE, QUEUE_DELETE_SERVICE },
		[KUBE_SLICE] = { QUEUE_SLICE, QUEUE_DELETE_SLICE },
		[KUBE_ROUTE] = { QUEUE_ROUTE, QUEUE_DELETE_ROUTE },
	};

	return queues[it->kind][it->next == PLAN_DELETE];
}

/* Who waits already keeps its place. */
static void
item_ready(struct plan *p, struct plan_item *it)
{
	enum plan_queue queue = queue_of(it);

	if (it->place == PLACE_READY && it->queue == queue)
		return;
	item_unplace(p, it);
	it->queue = queue;
	it->place = PLACE_READY;
	queue_add(p, it);
}

static void
item_place(struct plan *p, struct plan_item *it, enum plan_op op, uint64_t now)
{
	it->next = op;
	if (it->retry_at <= now) {
		item_ready(p, it);
		return;
	}
	item_unplace(p, it);
	it->at = it->retry_at;
	it->place = PLACE_TIMER;
	RB_INSERT(time_tree, &p->timers, it);
}

void
item_run_timers(struct plan *p, uint64_t now)
{
	struct plan_item *it;

	while ((it = RB_MIN(time_tree, &p->timers)) != NULL && it->at <= now)
		item_ready(p, it);
}

uint64_t
item_next_timer(struct plan *p)
{
	const struct plan_item *it = RB_MIN(time_tree, &p->timers);

	return it == NULL ? UINT64_MAX : it->at;
}

/* From that one on; NULL if all are empty. */
static struct group_ring *
ring_from(struct plan *p, size_t queue)
{
	for (size_t i = 0; i < PLAN_QUEUES; i++) {
		struct group_ring *r = &p->rings[(queue + i) % PLAN_QUEUES];

		if (!TAILQ_EMPTY(r))
			return r;
	}
	return NULL;
}

static size_t
queue_at(const struct plan *p, const struct group_ring *r)
{
	return (size_t)(r - p->rings);
}

static struct group_ring *
next_ring(struct plan *p)
{
	struct group_ring *r = ring_from(p, 0);

	/* Nobody else waits. */
	if (r == NULL || ring_from(p, queue_at(p, r) + 1) == r) {
		p->turns = 0;
		return r;
	}
	if (++p->turns < QUEUE_TURN)
		return r;
	p->turns = 0;
	r = ring_from(p, p->turn + 1);
	p->turn = queue_at(p, r);
	return r;
}

struct plan_item *
item_next_ready(struct plan *p)
{
	struct group_ring *r = next_ring(p);
	struct plan_group *g = r == NULL ? NULL : TAILQ_FIRST(r);
	struct plan_item *it;
	size_t queue;

	if (g == NULL)
		return NULL;
	queue = queue_at(p, r);
	it = TAILQ_FIRST(&g->queues[queue].items);
	item_unplace(p, it);
	if (!TAILQ_EMPTY(&g->queues[queue].items)) {
		TAILQ_REMOVE(r, g, queues[queue].in_ring);
		TAILQ_INSERT_TAIL(r, g, queues[queue].in_ring);
	}
	return it;
}

/* ---- items ---- */

struct plan_item *
item_find(struct plan *p, enum kube_kind kind, const char *name)
{
	struct plan_item key = { .kind = kind };

	/* The key is only compared. */
	memcpy(&key.name, &name, sizeof(name));
	return RB_FIND(id_tree, &p->items, &key);
}

static void
leave_group(struct plan_item *it)
{
	if (it->group == NULL)
		return;
	TAILQ_REMOVE(&it->group->items, it, in_group);
	if (it->group->service == it)
		it->group->service = NULL;
}

static void
join_group(struct plan *p, struct plan_item *it, struct plan_group *g)
{
	bool waits = it->place == PLACE_READY;

	if (it->group == g)
		return;
	if (waits)
		queue_remove(p, it);
	leave_group(it);
	it->group = g;
	TAILQ_INSERT_TAIL(&g->items, it, in_group);
	if (it->kind == KUBE_SERVICE)
		g->service = it;
	if (waits)
		queue_add(p, it);
}

struct plan_item *
item_get(struct plan *p, enum kube_kind kind, const char *name,
    struct plan_group *g)
{
	struct plan_item *it = item_find(p, kind, name);

	if (it == NULL) {
		it = xcalloc(1, sizeof(*it));
		it->kind = kind;
		it->name = xstrdup(name);
		RB_INSERT(id_tree, &p->items, it);
	}
	join_group(p, it, g);
	return it;
}

struct plan_item *
item_first(struct plan *p)
{
	return RB_MIN(id_tree, &p->items);
}

struct plan_item *
item_after(struct plan_item *it)
{
	return RB_NEXT(id_tree, NULL, it);
}

void
item_free(struct plan *p, struct plan_item *it)
{
	item_unplace(p, it);
	RB_REMOVE(id_tree, &p->items, it);
	leave_group(it);
	kube_object_clear(&it->actual);
	item_forget_losses(it);
	free(it->name);
	free(it->want_at);
	free(it->error);
	free(it);
}

/* It is as it was, or another one of that name. */
static bool
is_same_object(const struct kube_object *a, const struct kube_object *b)
{
	return a->uid != NULL && b->uid != NULL &&
	    strcmp(a->uid, b->uid) == 0 && a->port == b->port;
}

void
item_actual(struct plan_item *it, enum actual_state state,
    struct kube_object *o)
{
	if (o == NULL || !is_same_object(&it->actual, o))
		item_forget_losses(it);
	kube_object_clear(&it->actual);
	it->state = state;
	it->unsure = false;
	if (o == NULL)
		return;
	it->actual = *o;
	*o = (struct kube_object){ 0 };
}

void
item_forgive(struct plan *p, struct plan_item *it)
{
	it->failures = 0;
	it->retry_at = 0;
	item_result(p, it, PLAN_DONE, "");
}

/* ---- waits ---- */

static const bool is_lasting[PLAN_RESULTS] = {
	[PLAN_GONE] = true,
	[PLAN_REFUSED] = true,
	[PLAN_DENIED] = true,
	[PLAN_DIFFERS] = true,
};

uint64_t
item_backoff_ms(const struct plan_item *it, enum plan_result r)
{
	uint64_t max = is_lasting[r] ? RETRY_REFUSED_MS : RETRY_MAX_MS;
	uint64_t ms = RETRY_MIN_MS, seed;

	for (unsigned i = 1; i < it->failures && ms < max; i++)
		ms *= 2;
	if (ms > max)
		ms = max;
	seed = XXH3_64bits_withSeed(it->name, strlen(it->name), it->stamp);
	return ms - seed % (ms / 4 + 1);
}

/* ---- what one object needs ---- */

bool
item_is_wanted(const struct plan_item *it)
{
	const struct plan_item *s = it->group->service;

	if (!it->wanted || it->kind == KUBE_SERVICE)
		return it->wanted;
	return s != NULL && s->state != ACTUAL_FOREIGN;
}

/* The Service whose uid slices name; NULL while it is not there. */
static const struct kube_object *
owner_of(const struct plan_item *it)
{
	const struct plan_item *s = it->group->service;

	if (s == NULL || s->state != ACTUAL_OURS || s->actual.leaving)
		return NULL;
	return &s->actual;
}

bool
item_is_current(const struct plan_item *it)
{
	const struct kube_object *owner = owner_of(it);
	struct look look = it->want_look;

	if (it->state != ACTUAL_OURS || it->actual.leaving)
		return false;
	if (it->kind == KUBE_SLICE && owner != NULL)
		look_add(&look, look_owner(owner->uid));
	return look_same(&look, &it->actual.look);
}

/* ---- what is lost ---- */

/* Endpoints of a slice; of another object that is ours, the object. */
static size_t
count_parts(const struct plan_item *it)
{
	if (it->state != ACTUAL_OURS)
		return 0;
	return it->kind == KUBE_SLICE ? it->actual.n : 1;
}

static struct address
part_of(const struct plan_item *it, size_t i)
{
	static const struct address whole;

	return it->kind == KUBE_SLICE ? it->actual.at[i] : whole;
}

/* An endpoint may as well move to another slice of its Service. */
static bool
is_lost(const struct plan_item *it, size_t i)
{
	const struct wanted *w = it->group->want;

	if (it->kind != KUBE_SLICE)
		return !it->wanted;
	return w == NULL ||
	    endpoints_find(w->endpoints, w->n, &it->actual.at[i],
		it->actual.port) == NULL;
}

static int
by_part(const void *address, const void *loss)
{
	const struct loss *l = loss;

	return address_compare(address, &l->part);
}

static const struct loss *
find_loss(const struct plan_item *it, const struct address *part)
{
	if (it->nlosses == 0)
		return NULL;
	return bsearch(part, it->losses, it->nlosses, sizeof(*it->losses),
	    by_part);
}

void
item_forget_losses(struct plan_item *it)
{
	free(it->losses);
	it->losses = NULL;
	it->nlosses = 0;
}

size_t
item_note_losses(struct plan_item *it, uint64_t read_at)
{
	size_t parts = count_parts(it), n = 0, news = 0;
	struct loss *v = xcalloc(parts + 1, sizeof(*v));

	for (size_t i = 0; i < parts; i++) {
		struct address part = part_of(it, i);
		const struct loss *old = find_loss(it, &part);

		if (!is_lost(it, i))
			continue;
		v[n].part = part;
		v[n].since = old == NULL ? read_at : old->since;
		news += v[n++].since == read_at;
	}
	free(it->losses);
	it->losses = v;
	it->nlosses = n;
	return news;
}

/* One that was lost by an earlier read, too, may go, however many are held. */
static bool
may_lose_part(const struct plan *p, const struct plan_item *it, size_t i)
{
	struct address part = part_of(it, i);
	const struct loss *l = find_loss(it, &part);

	return l != NULL && l->since < p->read_at && plan_may_count(p);
}

static bool
may_lose(const struct plan *p, const struct plan_item *it)
{
	size_t parts = plan_may_delete(p) ? 0 : count_parts(it);

	for (size_t i = 0; i < parts; i++) {
		if (is_lost(it, i) && !may_lose_part(p, it, i))
			return false;
	}
	return true;
}

static bool
may_delete(const struct plan *p, const struct plan_item *it)
{
	return plan_may_delete(p) || (it->nlosses > 0 && may_lose(p, it));
}

/* ---- what is to be written ---- */

/* An apply takes away only what an apply of ours put there. */
bool
item_needs_repair(const struct plan_item *it)
{
	struct look ports;

	if (it->kind != KUBE_SERVICE || it->group->want == NULL)
		return false;
	if (it->actual.selector)
		return true;
	ports = object_ports_look(it->group->want);
	return !it->actual.ports_applied &&
	    !look_same(&it->actual.ports, &ports);
}

static bool
needs_apply(const struct plan *p, const struct plan_item *it, enum plan_op *op)
{
	*op = PLAN_APPLY;
	if (it->kind != KUBE_SERVICE && owner_of(it) == NULL)
		return false;
	if (it->state == ACTUAL_ABSENT)
		return true;
	if (item_is_current(it))
		return false;
	if (!may_lose(p, it))
		return false;
	if (item_needs_repair(it))
		*op = PLAN_REPAIR;
	return true;
}

/* A Service goes last of its group. */
static bool
has_company(const struct plan_item *it)
{
	const struct plan_item *other;

	TAILQ_FOREACH(other, &it->group->items, in_group) {
		if (other != it &&
		    (other->state == ACTUAL_OURS || other->in_flight))
			return true;
	}
	return false;
}

static bool
needs_delete(const struct plan *p, const struct plan_item *it, enum plan_op *op)
{
	const struct plan_group *g = it->group;

	*op = PLAN_DELETE;
	if (it->state != ACTUAL_OURS || !may_delete(p, it))
		return false;
	if (it->kind == KUBE_SERVICE)
		return !has_company(it);
	return it->kind != KUBE_SLICE || g->want == NULL || g->assigned;
}

static bool
needs_write(const struct plan *p, const struct plan_item *it, enum plan_op *op)
{
	if (it->state == ACTUAL_FOREIGN || it->actual.leaving)
		return false;
	return item_is_wanted(it) ? needs_apply(p, it, op)
				  : needs_delete(p, it, op);
}

/* In the way of what is wanted. */
static bool
is_in_the_way(const struct plan_item *it)
{
	return item_is_wanted(it) && it->state == ACTUAL_FOREIGN;
}

/* A write, or first a look at what is there. */
static bool
needs_request(const struct plan *p, const struct plan_item *it,
    enum plan_op *op)
{
	bool needed;

	if (!p->listed[it->kind] || p->no_kind[it->kind])
		return false;
	needed = needs_write(p, it, op);
	if (!it->unsure)
		return needed;
	*op = PLAN_LOOK;
	return needed || is_in_the_way(it);
}

/* ---- counts and reports ---- */

static bool
is_pending(const struct plan *p, const struct plan_item *it)
{
	if (p->no_kind[it->kind] || is_in_the_way(it))
		return false;
	if (!item_is_wanted(it))
		return it->state == ACTUAL_OURS;
	return !item_is_current(it) && it->result != PLAN_REFUSED;
}

static struct tally
tally_of(const struct plan *p, const struct plan_item *it)
{
	return (struct tally){
		.desired = item_is_wanted(it),
		.ours = it->state == ACTUAL_OURS,
		.pending = is_pending(p, it),
		.foreign = is_in_the_way(it),
	};
}

static void
item_count(struct plan *p, struct plan_item *it, struct tally t)
{
	struct plan_counts *c = &p->counts;

	c->desired[it->kind] += (size_t)t.desired - it->tally.desired;
	c->actual[it->kind] += (size_t)t.ours - it->tally.ours;
	c->pending += (size_t)t.pending - it->tally.pending;
	c->foreign += (size_t)t.foreign - it->tally.foreign;
	it->tally = t;
}

void
item_result(struct plan *p, struct plan_item *it, enum plan_result r,
    const char *text)
{
	if (it->result != PLAN_DONE)
		p->counts.failed[it->result]--;
	if (r != PLAN_DONE)
		p->counts.failed[r]++;
	it->result = r;
	if (r == PLAN_DONE && it->error == NULL)
		return;
	it->error_said = false;
	free(it->error);
	it->error = r == PLAN_DONE ? NULL : xstrndup(text, LIMIT_TEXT);
}

static const char *
actual_word(const struct plan *p, const struct plan_item *it)
{
	if (!p->listed[it->kind])
		return "unknown";
	if (it->state == ACTUAL_FOREIGN)
		return "foreign";
	if (it->state == ACTUAL_ABSENT)
		return "absent";
	return item_is_wanted(it) && item_is_current(it) ? "current"
							 : "outdated";
}

static const char *
error_text(const struct plan_item *it)
{
	if (is_in_the_way(it))
		return FOREIGN_TEXT;
	return it->error == NULL ? "" : it->error;
}

static void
item_id(const struct plan *p, const struct plan_item *it,
    char id[LIMIT_SET_KEY + 1])
{
	snprintf(id, LIMIT_SET_KEY + 1, "%s/%s/%s", kube_kind_name(it->kind),
	    p->conf.objects->namespace, it->name);
}

static void
item_say(struct plan *p, struct plan_item *it)
{
	const struct wanted *w = it->group->want;
	char id[LIMIT_SET_KEY + 1];
	struct object_report r = {
		.id = id,
		.kind = kube_kind_name(it->kind),
		.namespace = p->conf.objects->namespace,
		.name = it->name,
		.service = w != NULL ? w->service : "",
		.desired = item_is_wanted(it) ? "present" : "absent",
		.actual = actual_word(p, it),
		.error = error_text(it),
	};

	if (it->reported && it->error_said && r.desired == it->said_desired &&
	    r.actual == it->said_actual)
		return;
	it->reported = it->error_said = true;
	it->said_desired = r.desired;
	it->said_actual = r.actual;
	item_id(p, it, id);
	p->conf.report(&r, p->conf.arg);
}

static void
item_unsay(struct plan *p, struct plan_item *it)
{
	char id[LIMIT_SET_KEY + 1];

	if (!it->reported)
		return;
	it->reported = false;
	item_id(p, it, id);
	p->conf.gone(id, p->conf.arg);
}

static void
item_end(struct plan *p, struct plan_item *it)
{
	item_result(p, it, PLAN_DONE, "");
	item_count(p, it, (struct tally){ 0 });
	item_unsay(p, it);
	item_free(p, it);
}

static bool
is_as_it_should_be(const struct plan_item *it)
{
	if (it->in_flight)
		return false;
	return item_is_wanted(it) ? item_is_current(it)
				  : it->state != ACTUAL_OURS;
}

/* Somebody else's is none of ours, unless it is in the way. */
static bool
is_concern(const struct plan_item *it)
{
	return item_is_wanted(it) || it->in_flight ||
	    it->state == ACTUAL_OURS || is_in_the_way(it);
}

void
item_settle(struct plan *p, struct plan_item *it, uint64_t now)
{
	enum plan_op op;

	if (!it->wanted && !it->in_flight && it->state == ACTUAL_ABSENT) {
		item_end(p, it);
		return;
	}
	/* A write that failed was done all the same, or somebody did it. */
	if (it->result != PLAN_DONE && is_as_it_should_be(it))
		item_forgive(p, it);
	if (!it->in_flight && needs_request(p, it, &op))
		item_place(p, it, op, now);
	else
		item_unplace(p, it);
	item_count(p, it, tally_of(p, it));
	if (is_concern(it))
		item_say(p, it);
	else
		item_unsay(p, it);
}
