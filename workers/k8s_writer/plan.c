#include "workers/k8s_writer/plan.h"

#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "workers/k8s_writer/json_in.h"
#include "workers/k8s_writer/plan_inside.h"

/* After a conflict, the watch is about to say what is there. */
#define CONFLICT_MS 250
/* As long as nobody says how long to wait; doubled up to 2 s. */
#define FAILING_MS 250ULL

/* ---- the plan ---- */

struct plan *
plan_new(const struct plan_conf *conf)
{
	struct plan *p = xcalloc(1, sizeof(*p));

	p->conf = *conf;
	RB_INIT(&p->items);
	RB_INIT(&p->timers);
	RB_INIT(&p->groups);
	for (size_t i = 0; i < PLAN_QUEUES; i++)
		TAILQ_INIT(&p->rings[i]);
	return p;
}

void
plan_free(struct plan *p)
{
	struct plan_group *g, *next;
	struct plan_item *it;

	if (p == NULL)
		return;
	for (g = group_first(p); g != NULL; g = group_after(g)) {
		wanted_free(g->want);
		g->want = NULL;
	}
	while ((it = item_first(p)) != NULL)
		item_free(p, it);
	for (g = group_first(p); g != NULL; g = next) {
		next = group_after(g);
		group_end(p, g);
	}
	free(p);
}

static void
settle_all(struct plan *p, uint64_t now)
{
	struct plan_group *g, *next;

	for (g = group_first(p); g != NULL; g = next) {
		next = group_after(g);
		group_settle(p, g, now);
	}
}

/* The item, and the Service, which may wait for it to go. */
static void
settle_item(struct plan *p, struct plan_item *it, uint64_t now)
{
	struct plan_group *g = it->group;

	if (it->kind == KUBE_SERVICE) {
		group_settle(p, g, now);
		return;
	}
	item_settle(p, it, now);
	if (g->service != NULL)
		item_settle(p, g->service, now);
	group_end(p, g);
}

/* ---- what may be deleted ---- */

bool
plan_knows_all(const struct plan *p)
{
	for (size_t i = 0; i < KUBE_KINDS; i++) {
		if (!p->listed[i] && !p->no_kind[i])
			return false;
	}
	return true;
}

bool
plan_may_count(const struct plan *p)
{
	return p->complete && p->confirmed && plan_knows_all(p);
}

bool
plan_may_delete(const struct plan *p)
{
	return plan_may_count(p) && !p->check_due;
}

/* Of Services, and of endpoints of slices. */
struct losses {
	size_t had[KUBE_KINDS];
	size_t news[KUBE_KINDS]; /* lost, and no earlier read lacked them */
};

static void
note_losses(const struct plan *p, struct plan_item *it, struct losses *l)
{
	size_t news = item_note_losses(it, p->read_at);

	if (it->state != ACTUAL_OURS || it->kind == KUBE_ROUTE)
		return;
	l->had[it->kind] += it->kind == KUBE_SLICE ? it->actual.n : 1;
	l->news[it->kind] += news;
}

static bool
too_many(const struct plan *p, const struct losses *l)
{
	for (size_t i = 0; i < KUBE_KINDS; i++) {
		if (l->news[i] * 1000 > p->conf.max_delete * l->had[i])
			return true;
	}
	return false;
}

static void
forget_losses(struct plan *p)
{
	struct plan_item *it;

	for (it = item_first(p); it != NULL; it = item_after(it))
		item_forget_losses(it);
}

/* What two reads lack may go, whatever else is lost between them. */
static void
check_losses(struct plan *p, uint64_t now)
{
	struct losses l = { 0 };
	struct plan_item *it;

	if (!p->check_due || !plan_may_count(p))
		return;
	for (it = item_first(p); it != NULL; it = item_after(it))
		note_losses(p, it, &l);
	p->check_due = p->held = too_many(p, &l);
	if (!p->held)
		forget_losses(p);
	settle_all(p, now);
}

/* ---- what is wanted ---- */

void
plan_want(struct plan *p, struct wanted *w, uint64_t now)
{
	group_want(p, group_get(p, w->name), w, now);
}

void
plan_drop(struct plan *p, const char *name, uint64_t now)
{
	struct plan_group *g = group_find(p, name);

	if (g != NULL)
		group_want(p, g, NULL, now);
}

/* A producer that started anew knows nothing of what it had. */
void
plan_synced(struct plan *p, bool new_epoch, uint64_t now)
{
	p->complete = true;
	if (!new_epoch)
		return;
	p->confirmed = false;
	p->check_due = true;
	p->held = false;
	forget_losses(p);
	settle_all(p, now);
}

void
plan_fresh(struct plan *p, uint64_t read_at, bool confirmed, uint64_t now)
{
	bool was = p->confirmed;

	p->read_at = read_at;
	p->confirmed = confirmed;
	check_losses(p, now);
	if (was != confirmed)
		settle_all(p, now);
}

/* ---- what is there ---- */

void
plan_list_begin(struct plan *p, enum kube_kind kind)
{
	p->list_stamp[kind] = ++p->stamp;
	p->listing[kind] = true;
}

/* What a write made or found since the list began is not in it. */
static bool
is_missing(const struct plan *p, const struct plan_item *it)
{
	uint64_t began = p->list_stamp[it->kind];

	return it->state != ACTUAL_ABSENT && it->seen < began &&
	    it->stamp < began;
}

/* Of others' slices and routes no list and no watch shows when they go. */
static bool
is_out_of_sight(const struct plan_item *it)
{
	return it->kind != KUBE_SERVICE && it->wanted &&
	    it->state == ACTUAL_FOREIGN;
}

static void
forget_missing(struct plan *p, enum kube_kind kind)
{
	struct plan_item *it;

	for (it = item_first(p); it != NULL; it = item_after(it)) {
		if (it->kind != kind || !is_missing(p, it))
			continue;
		if (is_out_of_sight(it))
			it->unsure = true;
		else
			item_actual(it, ACTUAL_ABSENT, NULL);
	}
}

static void
assign_all(struct plan *p, uint64_t now)
{
	struct plan_group *g, *next;

	for (g = group_first(p); g != NULL; g = next) {
		next = group_after(g);
		group_assign(p, g, now);
	}
}

void
plan_list_end(struct plan *p, enum kube_kind kind, uint64_t now)
{
	bool first = !p->listed[kind];

	forget_missing(p, kind);
	p->listing[kind] = false;
	p->listed[kind] = true;
	p->no_kind[kind] = false;
	if (first && kind == KUBE_SLICE)
		assign_all(p, now);
	settle_all(p, now);
	check_losses(p, now);
}

void
plan_no_kind(struct plan *p, enum kube_kind kind, uint64_t now)
{
	plan_list_begin(p, kind);
	forget_missing(p, kind);
	p->listing[kind] = false;
	p->listed[kind] = false;
	p->no_kind[kind] = true;
	settle_all(p, now);
	check_losses(p, now);
}

/*
 * An event of a watch may come later than the answer to a write that came
 * after it, and the other way round. A list is as new as anything, but for
 * writes that ended since it began: so versions that went back (a restored
 * backup) are believed then.
 */
static bool
is_older(const struct plan *p, const struct plan_item *it,
    const struct kube_object *o)
{
	if (o->order == 0 ||
	    (o->order > it->actual.order && o->order >= it->gone))
		return false;
	return o->order == it->actual.order || !p->listing[o->kind] ||
	    it->stamp >= p->list_stamp[o->kind];
}

/* Others' objects count only where their names are wanted. */
static struct plan_item *
item_of(struct plan *p, const struct kube_object *o)
{
	struct plan_item *it = item_find(p, o->kind, o->name);
	const char *group = o->kind == KUBE_SERVICE ? o->name : o->service;

	if (it == NULL && !o->ours && o->kind != KUBE_SERVICE)
		return NULL;
	if (it != NULL && it->wanted)
		return it;
	return item_get(p, o->kind, o->name, group_get(p, group));
}

/*
 * Somebody changes it as often as we do: once is put right at once, a fight
 * is slowed down.
 */
#define FIGHT_MS 10000

static void
count_fights(struct plan_item *it, uint64_t now)
{
	if (it->done_at == 0 || now > it->done_at + FIGHT_MS)
		it->fights = 0;
	else if (item_is_wanted(it) && !it->actual.leaving &&
	    !item_is_current(it))
		it->fights++;
	if (it->fights < 2)
		return;
	it->failures = it->fights - 1;
	it->retry_at = now + item_backoff_ms(it, PLAN_DIFFERS);
}

/*
 * What failed may do now that the object is another one. Not so where the
 * apiserver keeps something else than what is applied: that would go on for
 * ever.
 */
static void
item_show(struct plan *p, struct plan_item *it, struct kube_object *o,
    uint64_t now)
{
	enum actual_state state = o->ours ? ACTUAL_OURS : ACTUAL_FOREIGN;

	if (it->result != PLAN_DIFFERS && it->result != PLAN_DONE)
		item_forgive(p, it);
	item_actual(it, state, o);
	count_fights(it, now);
}

/* The name of a slice was taken from it: another one is to be found. */
static bool
is_displaced(const struct plan_item *it)
{
	return it->kind == KUBE_SLICE && it->wanted &&
	    (it->state == ACTUAL_FOREIGN || it->actual.leaving);
}

static void
settle_changed(struct plan *p, struct plan_item *it, uint64_t now)
{
	struct plan_group *g = it->group;
	bool displaced = is_displaced(it);

	/* Whose name is taken is told before it gets another one. */
	settle_item(p, it, now);
	if (displaced)
		group_assign(p, g, now);
}

void
plan_seen(struct plan *p, struct kube_object *o, uint64_t now)
{
	struct plan_item *it = item_of(p, o);

	if (it == NULL) {
		kube_object_clear(o);
		return;
	}
	it->seen = p->stamp;
	if (is_older(p, it, o)) {
		kube_object_clear(o);
		return;
	}
	item_show(p, it, o, now);
	if (p->listed[it->kind])
		settle_changed(p, it, now);
}

void
plan_deleted(struct plan *p, const struct kube_object *o, uint64_t now)
{
	struct plan_item *it = item_find(p, o->kind, o->name);

	if (it == NULL)
		return;
	if (o->order > it->gone)
		it->gone = o->order;
	if (it->state == ACTUAL_ABSENT)
		return;
	/* Another one of that name was made since. */
	if (it->actual.uid != NULL && strcmp(it->actual.uid, o->uid) != 0)
		return;
	item_actual(it, ACTUAL_ABSENT, NULL);
	item_forgive(p, it);
	count_fights(it, now);
	settle_changed(p, it, now);
}

/* ---- writes ---- */

void
plan_lead(struct plan *p, bool leads, uint64_t now)
{
	if (leads == p->leads)
		return;
	/* What was assigned is of no account beside what others made of it. */
	p->leads = false;
	if (leads) {
		assign_all(p, now);
		p->check_due = true;
	}
	p->leads = leads;
	check_losses(p, now);
	settle_all(p, now);
}

static const char *
version_of(const struct plan_item *it)
{
	return it->state == ACTUAL_OURS ? it->actual.version : NULL;
}

static char *
apply_body(const struct plan *p, const struct plan_item *it)
{
	const struct object_conf *conf = p->conf.objects;
	const struct plan_group *g = it->group;
	const char *version = version_of(it);

	switch (it->kind) {
	case KUBE_SLICE:
		return object_slice_body(conf, g->want, &g->slices.v[it->slice],
		    g->service->actual.uid, version);
	case KUBE_ROUTE:
		return object_route_body(conf, g->want, it->gateway, version);
	default:
		return object_service_body(conf, g->want, version);
	}
}

static char *
repair_body(const struct plan *p, const struct plan_item *it)
{
	(void)p;
	return object_repair_body(it->group->want, it->actual.selector,
	    it->actual.version);
}

static char *
delete_body(const struct plan *p, const struct plan_item *it)
{
	(void)p;
	return object_delete_body(it->actual.uid, it->actual.version);
}

static char *
no_body(const struct plan *p, const struct plan_item *it)
{
	(void)p;
	(void)it;
	return NULL;
}

static const struct {
	const char *method;
	const char *content_type;
	const char *query; /* NULL: that of a list */
	char *(*body)(const struct plan *p, const struct plan_item *it);
} ops[PLAN_OPS] = {
	[PLAN_APPLY] = { "PATCH", OBJECT_APPLY_TYPE, OBJECT_APPLY_QUERY,
	    apply_body },
	[PLAN_REPAIR] = { "PATCH", OBJECT_REPAIR_TYPE, OBJECT_REPAIR_QUERY,
	    repair_body },
	[PLAN_DELETE] = { "DELETE", "application/json", "", delete_body },
	[PLAN_LOOK] = { "GET", NULL, NULL, no_body },
};

/* A look is a list of one: that needs no right that lists do not need. */
static void
action_path(const struct plan *p, struct plan_action *a)
{
	const char *query = ops[a->op].query, *name = a->name;
	char only[OBJECT_PATH];

	if (query == NULL) {
		snprintf(only, sizeof(only),
		    "fieldSelector=metadata.name%%3D%s", name);
		query = only;
		name = NULL;
	}
	if (!object_path(a->path, p->conf.objects, a->kind, name, query))
		fatalx("kubernetes: the path of %s %s is too long",
		    kube_kind_name(a->kind), a->name);
}

static void
item_start(struct plan *p, struct plan_item *it, struct plan_action *a)
{
	it->in_flight = true;
	it->op = it->next;
	it->sent_look = it->want_look;
	it->stamp = ++p->stamp;
	p->in_flight++;
	*a = (struct plan_action){
		.op = it->op,
		.item = it,
		.kind = it->kind,
		.name = it->name,
		.method = ops[it->op].method,
		.content_type = ops[it->op].content_type,
		.body = ops[it->op].body(p, it),
	};
	action_path(p, a);
}

/* An apiserver that does not answer is asked by one of all. */
static bool
may_write(const struct plan *p)
{
	if (p->failing > 0 && p->in_flight > 0)
		return false;
	return p->leads && p->complete;
}

bool
plan_next(struct plan *p, uint64_t now, struct plan_action *a)
{
	struct plan_item *it;

	if (!may_write(p) || now < p->not_before)
		return false;
	item_run_timers(p, now);
	if ((it = item_next_ready(p)) == NULL)
		return false;
	item_start(p, it, a);
	return true;
}

uint64_t
plan_due(struct plan *p, uint64_t now)
{
	uint64_t at = p->nready > 0 ? 0 : item_next_timer(p);

	if (!may_write(p))
		return UINT64_MAX;
	if (at <= now)
		at = 0;
	if (now < p->not_before && at < p->not_before)
		at = p->not_before;
	return at;
}

/* ---- how writes end ---- */

#define DIFFERS_TEXT \
	"the apiserver keeps something else than what was applied (does an " \
	"admission webhook change it?)"

static bool
is_done(const struct plan_item *it, enum plan_result r)
{
	/* It is gone: that is what was asked for. */
	return r == PLAN_DONE || (r == PLAN_GONE && it->op == PLAN_DELETE);
}

/* A DELETE may show the object that was: unless it is leaving, it is gone. */
static void
show_answer(struct plan *p, struct plan_item *it, struct kube_object *got)
{
	if (it->op == PLAN_DELETE && (got == NULL || !got->leaving))
		item_actual(it, ACTUAL_ABSENT, NULL);
	else if (got != NULL && !is_older(p, it, got))
		item_actual(it, got->ours ? ACTUAL_OURS : ACTUAL_FOREIGN, got);
}

/* After an apply a repair may follow, and the other way round. */
static bool
is_futile(const struct plan_item *it)
{
	if (!it->wanted || !look_same(&it->sent_look, &it->want_look) ||
	    it->state != ACTUAL_OURS || it->actual.leaving ||
	    item_is_current(it))
		return false;
	return item_needs_repair(it) == (it->op == PLAN_REPAIR);
}

static bool
item_ends_well(struct plan *p, struct plan_item *it, struct kube_object *got,
    uint64_t now)
{
	bool news = it->result != PLAN_DIFFERS;

	it->done_at = now;
	show_answer(p, it, got);
	if (!is_futile(it)) {
		item_forgive(p, it);
		return false;
	}
	it->failures++;
	it->retry_at = now + item_backoff_ms(it, PLAN_DIFFERS);
	item_result(p, it, PLAN_DIFFERS, DIFFERS_TEXT);
	return news;
}

/* A look follows soon, and a longer wait behind it. */
static uint64_t
wait_ms(const struct plan_item *it, enum plan_result r)
{
	if (r == PLAN_CONFLICT && it->op != PLAN_LOOK)
		return CONFLICT_MS;
	return item_backoff_ms(it, r);
}

/* Not this object's fault. */
static const bool is_no_fault[PLAN_RESULTS] = {
	[PLAN_LOST] = true,
	[PLAN_BUSY] = true,
	[PLAN_STRANGER] = true,
};

static uint64_t
failing_ms(const struct plan *p)
{
	unsigned n = p->failing < 4 ? p->failing : 4;

	return n == 0 ? 0 : FAILING_MS << (n - 1);
}

static void
hold_writes(struct plan *p, enum plan_result r, uint64_t ms, uint64_t now)
{
	p->failing = is_no_fault[r] ? p->failing + 1 : 0;
	if (ms < failing_ms(p))
		ms = failing_ms(p);
	if (now + ms > p->not_before)
		p->not_before = now + ms;
}

static bool
item_fails(struct plan *p, struct plan_item *it, enum plan_result r,
    const char *text, uint64_t now)
{
	bool news = it->error == NULL || strcmp(it->error, text) != 0;

	if (is_no_fault[r]) {
		/* Behind all others, as one may be what it fails for. */
		it->retry_at = p->not_before + 1;
	} else {
		it->failures++;
		it->retry_at = now + wait_ms(it, r);
	}
	item_result(p, it, r, text);
	if (r == PLAN_CONFLICT)
		it->unsure = true;
	return news;
}

/*
 * What was found counts unless the watch has said more meanwhile. Where it is
 * as it was known to be, the write was refused for something else: a quota,
 * an admission webhook. It keeps its error and waits.
 */
static void
item_looked(struct plan *p, struct plan_item *it, struct kube_object *got,
    uint64_t now)
{
	if (!it->unsure)
		return;
	it->unsure = false;
	if (got != NULL && !is_older(p, it, got)) {
		item_show(p, it, got, now);
	} else if (got == NULL && it->state != ACTUAL_ABSENT) {
		item_actual(it, ACTUAL_ABSENT, NULL);
		item_forgive(p, it);
	} else if (it->state == ACTUAL_FOREIGN) {
		item_forgive(p, it);
	} else {
		it->retry_at = now + item_backoff_ms(it, it->result);
	}
}

bool
plan_done(struct plan *p, struct plan_item *it, enum plan_result r,
    struct kube_object *got, const char *text, uint64_t retry_after_ms,
    uint64_t now)
{
	bool news = false;

	it->in_flight = false;
	it->stamp = ++p->stamp;
	p->in_flight--;
	hold_writes(p, r, retry_after_ms, now);
	if (it->op == PLAN_LOOK && r == PLAN_DONE)
		item_looked(p, it, got, now);
	else if (is_done(it, r))
		news = item_ends_well(p, it, got, now);
	else
		news = item_fails(p, it, r, text, now);
	if (got != NULL)
		kube_object_clear(got);
	settle_changed(p, it, now);
	return news;
}

void
plan_retry(struct plan *p, uint64_t now)
{
	struct plan_item *it;

	p->not_before = 0;
	for (it = item_first(p); it != NULL; it = item_after(it)) {
		it->failures = 0;
		it->retry_at = 0;
	}
	settle_all(p, now);
}

/* ---- how it goes ---- */

void
plan_counts(const struct plan *p, struct plan_counts *c)
{
	*c = p->counts;
	c->busy = p->nready + p->in_flight;
	c->known = plan_knows_all(p);
	c->held = p->held;
}

void
plan_each_service(struct plan *p,
    void (*each)(const char *name, const char *service, void *arg), void *arg)
{
	struct plan_item *it;

	for (it = item_first(p); it != NULL && it->kind == KUBE_SERVICE;
	     it = item_after(it)) {
		if (it->state == ACTUAL_OURS)
			each(it->name, kube_service_name(&it->actual), arg);
	}
}

/* ---- for people ---- */

static void
print_pretty(FILE *f, char *body)
{
	struct json_object *o = in_parse(body, strlen(body));

	fprintf(f, "---\n%s\n",
	    json_object_to_json_string_ext(o,
		JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED |
		    JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(o);
	free(body);
}

static void
print_group(const struct plan *p, const struct plan_group *g, FILE *f)
{
	const struct object_conf *conf = p->conf.objects;

	print_pretty(f, object_service_body(conf, g->want, ""));
	for (size_t i = 0; i < g->slices.n; i++)
		print_pretty(f,
		    object_slice_body(conf, g->want, &g->slices.v[i], "", ""));
	for (size_t i = 0; i < NAME_GATEWAYS; i++) {
		if (g->want->routes[i])
			print_pretty(f,
			    object_route_body(conf, g->want, i, ""));
	}
}

char *
plan_manifest(struct plan *p)
{
	struct plan_group *g;
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	if (f == NULL)
		fatal("kubernetes: a manifest");
	for (g = group_first(p); g != NULL; g = group_after(g)) {
		if (g->want != NULL)
			print_group(p, g, f);
	}
	if (fclose(f) != 0)
		fatal("kubernetes: a manifest");
	return text;
}
