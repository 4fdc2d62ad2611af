#include "workers/k8s_writer/slices.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"

#define NONE SIZE_MAX

/* Endpoints of one family and port: from..to - 1. */
struct group {
	enum backend_family family;
	uint16_t port;
	size_t from;
	size_t to;
};

struct work {
	const struct slices_input *in;
	struct slices *out;
	struct group *groups;
	size_t ngroups;
	size_t *slice_of; /* of each endpoint */
	bool *touched; /* slices that are to be written anyway */
};

/* ---- groups ---- */

static bool
same_group(const struct endpoint *a, const struct endpoint *b)
{
	return a->at.family == b->at.family && a->port == b->port;
}

static void
find_groups(struct work *w)
{
	const struct endpoint *e = w->in->endpoints;
	struct group *g = NULL;

	for (size_t i = 0; i < w->in->n; i++) {
		if (g == NULL || !same_group(&e[i - 1], &e[i])) {
			g = &w->groups[w->ngroups++];
			*g = (struct group){ .family = e[i].at.family,
				.port = e[i].port,
				.from = i };
		}
		g->to = i + 1;
	}
}

/* Those with the service's own port go first in their family. */
static void
order_groups(struct work *w)
{
	struct group *g = w->groups;

	for (size_t i = 1; i < w->ngroups; i++) {
		struct group own = g[i];
		size_t j = i;

		if (own.port != w->in->port)
			continue;
		for (; j > 0 && g[j - 1].family == own.family; j--)
			g[j] = g[j - 1];
		g[j] = own;
	}
}

static bool
fits_group(const struct slice *s, const struct group *g)
{
	return s->family == g->family && s->port == g->port;
}

/* ---- what stays ---- */

static void
put(struct work *w, size_t endpoint, size_t slice)
{
	w->slice_of[endpoint] = slice;
	w->out->v[slice].n++;
}

static bool
may_keep(const struct work *w, size_t endpoint, size_t slice)
{
	return w->slice_of[endpoint] == NONE &&
	    w->out->v[slice].n < SLICE_ENDPOINTS;
}

static int
at_endpoint(const void *address, const void *endpoint)
{
	const struct endpoint *e = endpoint;

	return address_compare(address, &e->at);
}

static size_t
find_in(const struct work *w, const struct group *g, const struct address *at)
{
	const struct endpoint *all = w->in->endpoints, *e;

	e = bsearch(at, all + g->from, g->to - g->from, sizeof(*all),
	    at_endpoint);
	return e == NULL ? NONE : (size_t)(e - all);
}

/* The work is as the slice, however large the group is. */
static void
keep_in(struct work *w, size_t slice, const struct group *g)
{
	const struct slice_now *now = w->out->v[slice].now;

	for (size_t i = 0; i < now->n; i++) {
		size_t e = find_in(w, g, &now->at[i]);

		if (e != NONE && may_keep(w, e, slice))
			put(w, e, slice);
		else
			w->touched[slice] = true;
	}
}

static void
keep(struct work *w, size_t slice)
{
	const struct slice *s = &w->out->v[slice];

	for (size_t g = 0; g < w->ngroups; g++) {
		if (fits_group(s, &w->groups[g]))
			keep_in(w, slice, &w->groups[g]);
	}
	if (s->n == 0)
		w->touched[slice] = true;
}

static void
begin_with_now(struct work *w)
{
	for (size_t i = 0; i < w->in->nnow; i++) {
		const struct slice_now *now = &w->in->now[i];

		if (!now->usable)
			continue;
		w->out->v[w->out->n] = (struct slice){
			.now = now,
			.family = now->family,
			.port = now->port,
		};
		keep(w, w->out->n++);
	}
}

/* ---- what is new ---- */

/* The more, the better; 0: no place at all. */
static size_t
fitness(const struct work *w, size_t slice, const struct group *g)
{
	const struct slice *s = &w->out->v[slice];

	if (!fits_group(s, g) || s->n == SLICE_ENDPOINTS)
		return 0;
	if (!w->touched[slice])
		return SLICE_ENDPOINTS - s->n;
	return s->n > 0 ? 2 * SLICE_ENDPOINTS + 1 : 2 * SLICE_ENDPOINTS;
}

static size_t
best_slice(const struct work *w, const struct group *g)
{
	size_t best = NONE, most = 0, f;

	for (size_t i = 0; i < w->out->n; i++) {
		f = fitness(w, i, g);
		if (f > most) {
			most = f;
			best = i;
		}
	}
	return best;
}

static bool
has_room(const struct work *w, size_t slice)
{
	return slice != NONE && w->out->v[slice].n < SLICE_ENDPOINTS;
}

typedef size_t (*find_slice)(struct work *w, const struct group *g);

/* Gives those that have no slice one that find finds, until it finds none. */
static void
place(struct work *w, const struct group *g, find_slice find)
{
	size_t slice = NONE;

	for (size_t e = g->from; e < g->to; e++) {
		if (w->slice_of[e] != NONE)
			continue;
		if (!has_room(w, slice) && (slice = find(w, g)) == NONE)
			return;
		w->touched[slice] = true;
		put(w, e, slice);
	}
}

static size_t
find_place(struct work *w, const struct group *g)
{
	return best_slice(w, g);
}

static bool
name_is_used(const struct work *w, const char *name)
{
	for (size_t i = 0; i < w->in->nnow; i++) {
		if (strcmp(w->in->now[i].name, name) == 0)
			return true;
	}
	for (size_t i = 0; i < w->out->n; i++) {
		if (strcmp(w->out->v[i].name, name) == 0)
			return true;
	}
	return false;
}

static void
new_name(const struct work *w, const struct group *g, char name[SLICE_NAME])
{
	uint64_t seed = ((uint64_t)g->family << 16 | g->port) << 32;
	char hash[NAME_HASH_LEN + 1];

	snprintf(name, SLICE_NAME, "%s-consul", w->in->service);
	while (name_is_used(w, name)) {
		names_hash(w->in->service, seed++, hash);
		snprintf(name, SLICE_NAME, "%s-consul-%s", w->in->service,
		    hash);
	}
}

/* One that nobody needs any more, of the family. */
static size_t
find_empty(const struct work *w, const struct group *g)
{
	for (size_t i = 0; i < w->out->n; i++) {
		if (w->out->v[i].n == 0 && w->out->v[i].family == g->family)
			return i;
	}
	return NONE;
}

static size_t
make_slice(struct work *w, const struct group *g)
{
	size_t i = find_empty(w, g);
	struct slice *s;

	if (i != NONE) {
		w->out->v[i].port = g->port;
		return i;
	}
	s = &w->out->v[w->out->n];
	*s = (struct slice){ .family = g->family, .port = g->port };
	new_name(w, g, s->name);
	return w->out->n++;
}

/* ---- the result ---- */

static void
drop_empty(struct work *w)
{
	size_t *moved = xcalloc(w->out->n + 1, sizeof(*moved)), n = 0;

	for (size_t i = 0; i < w->out->n; i++) {
		moved[i] = n;
		if (w->out->v[i].n > 0)
			w->out->v[n++] = w->out->v[i];
	}
	w->out->n = n;
	for (size_t e = 0; e < w->in->n; e++)
		w->slice_of[e] = moved[w->slice_of[e]];
	free(moved);
}

static void
list_members(struct work *w)
{
	size_t **ends = xcalloc(w->out->n + 1, sizeof(*ends));
	size_t *at = w->out->members;

	for (size_t i = 0; i < w->out->n; i++) {
		ends[i] = at;
		w->out->v[i].members = at;
		at += w->out->v[i].n;
	}
	for (size_t e = 0; e < w->in->n; e++)
		*ends[w->slice_of[e]]++ = e;
	free(ends);
}

static void
begin(struct work *w)
{
	/* Each slice is one of now or has an endpoint. */
	size_t most = w->in->nnow + w->in->n;

	w->out->v = xcalloc(most + 1, sizeof(*w->out->v));
	w->out->n = 0;
	w->out->members = xcalloc(w->in->n + 1, sizeof(size_t));
	w->touched = xcalloc(most + 1, sizeof(*w->touched));
	w->groups = xcalloc(w->in->n + 1, sizeof(*w->groups));
	w->slice_of = xcalloc(w->in->n + 1, sizeof(size_t));
	for (size_t e = 0; e < w->in->n; e++)
		w->slice_of[e] = NONE;
}

void
slices_assign(const struct slices_input *in, struct slices *out)
{
	struct work w = { .in = in, .out = out };

	begin(&w);
	find_groups(&w);
	order_groups(&w);
	begin_with_now(&w);
	for (size_t g = 0; g < w.ngroups; g++)
		place(&w, &w.groups[g], find_place);
	/* Only now is it known which ones stay empty. */
	for (size_t g = 0; g < w.ngroups; g++)
		place(&w, &w.groups[g], make_slice);
	drop_empty(&w);
	list_members(&w);
	free(w.touched);
	free(w.groups);
	free(w.slice_of);
}

void
slices_free(struct slices *s)
{
	free(s->v);
	free(s->members);
	*s = (struct slices){ 0 };
}

const char *
slice_name(const struct slice *s)
{
	return s->now != NULL ? s->now->name : s->name;
}
