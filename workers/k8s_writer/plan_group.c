#include <bsd/string.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "workers/k8s_writer/plan_inside.h"

static int
cmp_name(const struct plan_group *a, const struct plan_group *b)
{
	return strcmp(a->name, b->name);
}

/* RB_GENERATE_STATIC wants __unused, which glibc's headers use otherwise. */
RB_GENERATE_INTERNAL(group_tree, plan_group, link, cmp_name,
    __attribute__((unused)) static)

struct plan_group *
group_find(struct plan *p, const char *name)
{
	struct plan_group key = { 0 };

	/* The key is only compared. */
	memcpy(&key.name, &name, sizeof(name));
	return RB_FIND(group_tree, &p->groups, &key);
}

struct plan_group *
group_get(struct plan *p, const char *name)
{
	struct plan_group *g = group_find(p, name);

	if (g != NULL)
		return g;
	g = xcalloc(1, sizeof(*g));
	g->name = xstrdup(name);
	TAILQ_INIT(&g->items);
	for (size_t i = 0; i < PLAN_QUEUES; i++)
		TAILQ_INIT(&g->queues[i].items);
	RB_INSERT(group_tree, &p->groups, g);
	return g;
}

struct plan_group *
group_first(struct plan *p)
{
	return RB_MIN(group_tree, &p->groups);
}

struct plan_group *
group_after(struct plan_group *g)
{
	return RB_NEXT(group_tree, NULL, g);
}

void
group_end(struct plan *p, struct plan_group *g)
{
	if (g->want != NULL || !TAILQ_EMPTY(&g->items))
		return;
	RB_REMOVE(group_tree, &p->groups, g);
	slices_free(&g->slices);
	free(g->name);
	free(g);
}

void
group_settle(struct plan *p, struct plan_group *g, uint64_t now)
{
	struct plan_item *it, *next, *service = g->service;

	for (it = TAILQ_FIRST(&g->items); it != NULL; it = next) {
		next = TAILQ_NEXT(it, in_group);
		if (it != service)
			item_settle(p, it, now);
	}
	/* Last, as it waits for the others to be gone. */
	if (service != NULL)
		item_settle(p, service, now);
	group_end(p, g);
}

/* ---- what is wanted of an item ---- */

static void
item_want(struct plan *p, struct plan_item *it, struct look look)
{
	if (!it->wanted || !look_same(&it->want_look, &look))
		item_forgive(p, it);
	it->wanted = true;
	it->want_look = look;
}

static void
item_unwant(struct plan *p, struct plan_item *it)
{
	if (!it->wanted)
		return;
	item_forgive(p, it);
	it->wanted = false;
	free(it->want_at);
	it->want_at = NULL;
	it->want_n = 0;
}

static void
unwant_kind(struct plan *p, struct plan_group *g, enum kube_kind kind)
{
	struct plan_item *it;

	TAILQ_FOREACH(it, &g->items, in_group) {
		if (it->kind == kind)
			item_unwant(p, it);
	}
}

/* ---- slices ---- */

static bool
is_assigned(const struct plan *p, const struct plan_item *it)
{
	return p->leads && it->wanted && it->want_at != NULL;
}

/*
 * As it was assigned last, for what is under way will be there; or, if it was
 * not assigned by us, or somebody else leads, as it is in the cluster.
 */
static struct slice_now
slice_now_of(const struct plan *p, const struct plan_item *it)
{
	bool as_assigned = is_assigned(p, it);
	struct slice_now s = {
		.name = it->name,
		.family = as_assigned ? it->want_family : it->actual.family,
		.port = as_assigned ? it->want_port : it->actual.port,
		.at = as_assigned ? it->want_at : it->actual.at,
		.n = as_assigned ? it->want_n : it->actual.n,
	};

	s.usable = it->state != ACTUAL_FOREIGN && !it->actual.leaving &&
	    s.family < BACKEND_FAMILIES;
	/* A family is for ever, whatever was assigned. */
	if (it->state == ACTUAL_OURS && it->actual.family != s.family)
		s.usable = false;
	return s;
}

static int
by_name(const void *a, const void *b)
{
	const struct slice_now *x = a, *y = b;

	return strcmp(x->name, y->name);
}

static size_t
count_slices(const struct plan_group *g)
{
	const struct plan_item *it;
	size_t n = 0;

	TAILQ_FOREACH(it, &g->items, in_group)
		n += it->kind == KUBE_SLICE;
	return n;
}

static struct slice_now *
slices_now(const struct plan *p, const struct plan_group *g, size_t *n)
{
	struct slice_now *v = xcalloc(count_slices(g) + 1, sizeof(*v));
	const struct plan_item *it;

	*n = 0;
	TAILQ_FOREACH(it, &g->items, in_group) {
		if (it->kind == KUBE_SLICE &&
		    (it->state != ACTUAL_ABSENT || is_assigned(p, it)))
			v[(*n)++] = slice_now_of(p, it);
	}
	qsort(v, *n, sizeof(*v), by_name);
	return v;
}

static void
copy_addresses(struct plan_item *it, const struct wanted *w,
    const struct slice *s)
{
	struct address *at = xcalloc(s->n, sizeof(*at));

	for (size_t i = 0; i < s->n; i++)
		at[i] = w->endpoints[s->members[i]].at;
	free(it->want_at);
	it->want_at = at;
	it->want_n = s->n;
	it->want_family = s->family;
	it->want_port = s->port;
}

/* now's names are gone soon: they are those of items. */
static void
own_names(struct slices *s)
{
	for (size_t i = 0; i < s->n; i++) {
		if (s->v[i].now != NULL)
			strlcpy(s->v[i].name, s->v[i].now->name,
			    sizeof(s->v[i].name));
		s->v[i].now = NULL;
	}
}

static void
want_slice(struct plan *p, struct plan_group *g, size_t i)
{
	const struct slice *s = &g->slices.v[i];
	struct plan_item *it = item_get(p, KUBE_SLICE, slice_name(s), g);

	copy_addresses(it, g->want, s);
	it->slice = i;
	item_want(p, it, object_slice_look(p->conf.objects, g->want, s, ""));
}

static bool
is_in(const struct slices *s, const struct plan_item *it)
{
	return it->slice < s->n &&
	    strcmp(slice_name(&s->v[it->slice]), it->name) == 0;
}

static void
want_slices(struct plan *p, struct plan_group *g)
{
	struct plan_item *it;

	for (size_t i = 0; i < g->slices.n; i++)
		want_slice(p, g, i);
	TAILQ_FOREACH(it, &g->items, in_group) {
		if (it->kind == KUBE_SLICE && !is_in(&g->slices, it))
			item_unwant(p, it);
	}
}

void
group_assign(struct plan *p, struct plan_group *g, uint64_t now)
{
	struct slices_input in = { .service = g->name };
	struct slice_now *v;

	if (g->want == NULL || !p->listed[KUBE_SLICE])
		return;
	v = slices_now(p, g, &in.nnow);
	in.now = v;
	in.port = g->want->port;
	in.endpoints = g->want->endpoints;
	in.n = g->want->n;
	slices_free(&g->slices);
	slices_assign(&in, &g->slices);
	own_names(&g->slices);
	free(v);
	g->assigned = true;
	want_slices(p, g);
	group_settle(p, g, now);
}

/* ---- all of a group ---- */

static void
want_service(struct plan *p, struct plan_group *g)
{
	item_want(p, item_get(p, KUBE_SERVICE, g->name, g),
	    object_service_look(p->conf.objects, g->want));
}

static void
want_route(struct plan *p, struct plan_group *g, size_t gateway)
{
	char name[LIMIT_K8S_NAME + 1];
	struct plan_item *it;

	if (!object_route_name(p->conf.objects, g->want, gateway, name))
		return;
	it = item_get(p, KUBE_ROUTE, name, g);
	it->gateway = gateway;
	item_want(p, it, object_route_look(p->conf.objects, g->want, gateway));
}

/* One that is wanted by no gateway any more, or under another name. */
static void
unwant_routes(struct plan *p, struct plan_group *g)
{
	char name[LIMIT_K8S_NAME + 1];
	struct plan_item *it;

	TAILQ_FOREACH(it, &g->items, in_group) {
		if (it->kind != KUBE_ROUTE || !it->wanted)
			continue;
		if (!g->want->routes[it->gateway] ||
		    !object_route_name(p->conf.objects, g->want, it->gateway,
			name) ||
		    strcmp(it->name, name) != 0)
			item_unwant(p, it);
	}
}

static void
want_routes(struct plan *p, struct plan_group *g)
{
	unwant_routes(p, g);
	for (size_t i = 0; i < NAME_GATEWAYS; i++) {
		if (g->want->routes[i])
			want_route(p, g, i);
	}
}

static size_t
count_ready(const struct wanted *w)
{
	size_t n = 0;

	for (size_t i = 0; i < w->n; i++)
		n += w->endpoints[i].ready;
	return n;
}

static void
replace_want(struct plan *p, struct plan_group *g, struct wanted *w)
{
	if (g->want != NULL) {
		p->counts.endpoints -= g->want->n;
		p->counts.ready -= count_ready(g->want);
	}
	wanted_free(g->want);
	/* Its members are those of what was wanted before. */
	slices_free(&g->slices);
	g->assigned = false;
	g->want = w;
	if (w == NULL)
		return;
	p->counts.endpoints += w->n;
	p->counts.ready += count_ready(w);
}

static void
unwant_all(struct plan *p, struct plan_group *g)
{
	for (int kind = 0; kind < KUBE_KINDS; kind++)
		unwant_kind(p, g, (enum kube_kind)kind);
}

void
group_want(struct plan *p, struct plan_group *g, struct wanted *w, uint64_t now)
{
	replace_want(p, g, w);
	if (w == NULL) {
		unwant_all(p, g);
		group_settle(p, g, now);
		return;
	}
	want_service(p, g);
	want_routes(p, g);
	if (p->listed[KUBE_SLICE])
		group_assign(p, g, now);
	else
		group_settle(p, g, now);
}
