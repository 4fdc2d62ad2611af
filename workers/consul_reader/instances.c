#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "workers/consul_reader/catalog_inside.h"
#include "workers/consul_reader/elements.h"

static int
cmp_name(const struct inst *a, const struct inst *b)
{
	int cmp = strcmp(a->d->node, b->d->node);

	return cmp != 0 ? cmp : strcmp(a->d->id, b->d->id);
}

static int
cmp_hash(const struct inst *a, const struct inst *b)
{
	return XXH128_cmp(&a->hash, &b->hash);
}

/* Not RB_GENERATE_STATIC, which wants an __unused that only BSDs have. */
RB_GENERATE_INTERNAL(inst_names, inst, by_name, cmp_name,
    static __attribute__((unused)))
RB_GENERATE_INTERNAL(inst_hashes, inst, by_hash, cmp_hash,
    static __attribute__((unused)))

struct inst *
inst_first(struct svc *s)
{
	return RB_MIN(inst_names, &s->names);
}

struct inst *
inst_next(struct inst *in)
{
	return RB_NEXT(inst_names, NULL, in);
}

static void
inst_free(struct inst *in)
{
	derived_free(in->d);
	free(in);
}

static void
inst_tally(struct catalog *c, struct svc *s, const struct inst *in, size_t by)
{
	struct catalog_counts *n = &c->counts;
	bool there = in->published > 0, counts = derived_counts(in->d);

	c->instances += counts ? by : 0;
	n->loops += in->d->kind == DERIVED_LOOP ? by : 0;
	n->bad += counts && !there && !in->left_out ? by : 0;
	n->instances += there ? by : 0;
	n->ready += there && in->d->ready ? by : 0;
	n->left_out += in->left_out ? by : 0;
	s->left_out += in->left_out ? by : 0;
	s->items += in->published * by;
	c->items += in->published * by;
}

/* One less, as an unsigned number has it. */
void
inst_uncount(struct catalog *c, struct svc *s, const struct inst *in)
{
	inst_tally(c, s, in, SIZE_MAX);
}

void
inst_count(struct catalog *c, struct svc *s, const struct inst *in)
{
	inst_tally(c, s, in, 1);
}

static void
inst_add(struct catalog *c, struct svc *s, struct inst *in)
{
	RB_INSERT(inst_names, &s->names, in);
	RB_INSERT(inst_hashes, &s->hashes, in);
	s->n++;
	inst_count(c, s, in);
}

static void
inst_remove(struct catalog *c, struct svc *s, struct inst *in)
{
	hold_clear(c, &in->hold);
	inst_uncount(c, s, in);
	RB_REMOVE(inst_names, &s->names, in);
	RB_REMOVE(inst_hashes, &s->hashes, in);
	s->n--;
	inst_free(in);
}

static void
inst_forget(struct catalog *c, struct svc *s, struct inst *in)
{
	unpublish_instance(c, s, in);
	inst_remove(c, s, in);
}

void
inst_forget_all(struct catalog *c, struct svc *s)
{
	struct inst *in;

	while ((in = inst_first(s)) != NULL)
		inst_forget(c, s, in);
}

/* ---- an answer, element by element; nothing of it counts yet ---- */

struct stage {
	struct catalog *c;
	struct svc *s;
	bool empty; /* no instance of this service so far */
	struct inst_names fresh; /* those of new bytes */
	struct refusal *refusal;
};

static void
stage_free(struct stage *st)
{
	struct inst *in;

	while ((in = RB_MIN(inst_names, &st->fresh)) != NULL) {
		RB_REMOVE(inst_names, &st->fresh, in);
		inst_free(in);
	}
}

static bool
twice(struct stage *st)
{
	return refuse(st->refusal, "an instance stands there twice");
}

/* The same bytes as before. */
static bool
stage_known(struct stage *st, struct inst *in)
{
	if (in->round == st->s->round ||
	    RB_FIND(inst_names, &st->fresh, in) != NULL)
		return twice(st);
	in->round = st->s->round;
	st->empty = false;
	return true;
}

static bool
stage_fresh(struct stage *st, const struct element *e, XXH128_hash_t hash)
{
	struct derived *d =
	    derive(e, st->s->name, &st->c->conf.derive, st->refusal);
	struct inst *in, *old;

	if (d == NULL)
		return false;
	if (d->kind == DERIVED_OTHERS) {
		derived_free(d);
		return true;
	}
	st->empty = false;
	in = xcalloc(1, sizeof(*in));
	in->hash = hash;
	in->d = d;
	in->round = st->s->round;
	old = RB_FIND(inst_names, &st->s->names, in);
	if ((old == NULL || old->round != st->s->round) &&
	    RB_INSERT(inst_names, &st->fresh, in) == NULL)
		return true;
	inst_free(in);
	return twice(st);
}

static bool
on_instance(const struct element *e, void *arg)
{
	struct stage *st = arg;
	struct inst key = {
		.hash = XXH3_128bits_withSecret(e->bytes, e->len,
		    st->c->conf.secret, CATALOG_SECRET),
	};
	struct inst *in = RB_FIND(inst_hashes, &st->s->hashes, &key);

	if (e->large)
		return refuse(st->refusal, "an instance is too large");
	return in != NULL ? stage_known(st, in) : stage_fresh(st, e, key.hash);
}

static bool
stage_body(struct stage *st, const struct catalog_answer *a)
{
	struct elements *es = elements_new(false, on_instance, st->refusal, st);
	bool ok;

	elements_begin(es);
	ok = elements_feed(es, a->body, a->len) && elements_end(es);
	elements_free(es);
	return ok;
}

/* ---- it counts ---- */

static void
say(struct catalog *c, const char *line, const struct inst *old)
{
	if (*line != '\0' && (old == NULL || strcmp(old->d->notice, line) != 0))
		c->conf.ops->notice(line, c->conf.arg);
}

/* Host names are for lookup; where they are not looked up, that is said. */
static void
note_host(struct catalog *c, const struct svc *s, struct inst *in)
{
	char line[2 * LIMIT_TEXT];

	if (in->d->kind != DERIVED_HOST || *in->d->notice != '\0' ||
	    c->conf.ops->lookup(in->d->address, c->conf.arg) != NULL)
		return;
	snprintf(line, sizeof(line),
	    "service %.100s: instance %.150s on %.150s: address \"%.250s\": a "
	    "host name; left out (see resolve-hostnames)",
	    s->name, in->d->id, in->d->node, in->d->address);
	free(in->d->notice);
	in->d->notice = xstrdup(line);
}

static void
take_fresh(struct stage *st, struct inst *in)
{
	struct inst *old = RB_FIND(inst_names, &st->s->names, in);

	note_host(st->c, st->s, in);
	say(st->c, in->d->notice, old);
	if (old != NULL) {
		in->published = old->published;
		inst_remove(st->c, st->s, old);
	}
	inst_add(st->c, st->s, in);
	publish_instance(st->c, st->s, in);
}

static void
take_all(struct stage *st)
{
	struct inst *in;

	while ((in = RB_MIN(inst_names, &st->fresh)) != NULL) {
		RB_REMOVE(inst_names, &st->fresh, in);
		take_fresh(st, in);
	}
}

/* ---- what it lacks ---- */

/* Of those that count: all that there are, missing, and newly so. */
struct losses {
	size_t all;
	size_t missing;
	size_t newly;
};

static struct losses
count_losses(struct svc *s)
{
	struct losses l = { 0 };

	for (struct inst *in = inst_first(s); in != NULL; in = inst_next(in)) {
		bool missing = in->round != s->round;

		if (!derived_counts(in->d))
			continue;
		l.all++;
		l.missing += missing;
		l.newly += missing && !hold_is_set(&in->hold);
	}
	return l;
}

/* Others in the place of all that there were: odd enough. */
static uint64_t
wait_of(struct catalog *c, const struct losses *l, uint64_t now)
{
	uint64_t wait = 0;

	if (l->newly == 0)
		return 0;
	if (l->missing == l->all)
		wait = TRUST_CONFIRM_MS;
	else
		wait = trust_lost(c->conf.trust, TRUST_INSTANCES, l->newly,
		    c->instances, now);
	if (!trust_settled(c->conf.trust, now))
		wait = TRUST_SETTLE_MS;
	return wait;
}

static void
lose(struct catalog *c, struct svc *s, struct inst *in, uint64_t wait,
    uint64_t now)
{
	bool counts = derived_counts(in->d);

	if (counts && !hold_is_set(&in->hold) && wait > 0) {
		hold_set(c, &in->hold, wait, now);
		return;
	}
	if (hold_is_set(&in->hold) && !hold_is_over(&in->hold, now))
		return;
	if (hold_is_set(&in->hold))
		trust_took(c->conf.trust, TRUST_INSTANCES);
	inst_forget(c, s, in);
}

static void
lose_missing(struct catalog *c, struct svc *s, uint64_t now)
{
	struct losses l = count_losses(s);
	uint64_t wait = wait_of(c, &l, now);
	struct inst *in, *next;

	for (in = inst_first(s); in != NULL; in = next) {
		next = inst_next(in);
		if (in->round != s->round)
			lose(c, s, in, wait, now);
	}
}

static void
release_present(struct catalog *c, struct svc *s)
{
	for (struct inst *in = inst_first(s); in != NULL; in = inst_next(in)) {
		if (in->round == s->round)
			hold_clear(c, &in->hold);
	}
}

static bool
has_missing(struct svc *s)
{
	struct inst *in = inst_first(s);

	while (in != NULL && in->round == s->round)
		in = inst_next(in);
	return in != NULL;
}

enum catalog_result
svc_read(struct catalog *c, struct svc *s, const struct catalog_answer *a,
    struct refusal *r, uint64_t now)
{
	struct stage st = { .c = c, .s = s, .empty = true, .refusal = r };
	XXH128_hash_t body = XXH3_128bits_withSecret(a->body, a->len,
	    c->conf.secret, CATALOG_SECRET);

	refusal_clear(r);
	if (s->read && s->whole && XXH128_isEqual(body, s->body))
		return CATALOG_SAME;
	RB_INIT(&st.fresh);
	s->round++;
	if (!stage_body(&st, a)) {
		stage_free(&st);
		return CATALOG_REFUSED;
	}
	take_all(&st);
	release_present(c, s);
	/*
	 * Without any instance it would not be in the catalog: either it is
	 * about to go, which the catalog will say, or they are hidden from us.
	 */
	if (!a->partial && !st.empty)
		lose_missing(c, s, now);
	publish_service(c, s);
	publish_left_out(c, s);
	s->whole = !has_missing(s);
	s->body = body;
	s->read = true;
	return CATALOG_CHANGED;
}
