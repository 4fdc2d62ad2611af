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
	if (in->d->kind == DERIVED_HOST)
		c->conf.ops->release(in->d->address, c->conf.arg);
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

struct catalog_read {
	struct catalog *c;
	struct elements *elements;
	XXH3_state_t *body;
	XXH128_hash_t *known; /* instances that are as they were, by hash */
	size_t n;
	size_t cap;
	struct inst_names fresh; /* the others */
	unsigned large; /* so many were not kept */
	struct refusal refusal;
	char service[];
};

static bool
twice(struct catalog_read *rd)
{
	return refuse(&rd->refusal, "an instance stands there twice");
}

static bool
add_known(struct catalog_read *rd, XXH128_hash_t hash)
{
	if (rd->n == rd->cap) {
		rd->cap = rd->cap > 0 ? 2 * rd->cap : 16;
		rd->known =
		    xreallocarray(rd->known, rd->cap, sizeof(*rd->known));
	}
	rd->known[rd->n++] = hash;
	return true;
}

static bool
add_fresh(struct catalog_read *rd, struct derived *d, XXH128_hash_t hash)
{
	struct inst *in;

	if (d == NULL)
		return false;
	if (d->kind == DERIVED_OTHERS) {
		derived_free(d);
		return true;
	}
	in = xcalloc(1, sizeof(*in));
	in->hash = hash;
	in->d = d;
	if (RB_INSERT(inst_names, &rd->fresh, in) == NULL)
		return true;
	inst_free(in);
	return twice(rd);
}

static XXH128_hash_t
hash_of(const struct catalog *c, const void *bytes, size_t len)
{
	return XXH3_128bits_withSecret(bytes, len, c->conf.secret,
	    CATALOG_SECRET);
}

/* Nothing is known of it but that it is there. */
static bool
add_large(struct catalog_read *rd)
{
	struct derived *d = derive_large(++rd->large, rd->service);

	return add_fresh(rd, d, hash_of(rd->c, d->id, strlen(d->id)));
}

static bool
on_instance(const struct element *e, void *arg)
{
	struct catalog_read *rd = arg;
	struct svc *s = svc_find(rd->c, rd->service);
	struct inst key;

	if (e->large)
		return add_large(rd);
	key.hash = hash_of(rd->c, e->bytes, e->len);
	if (s != NULL && RB_FIND(inst_hashes, &s->hashes, &key) != NULL)
		return add_known(rd, key.hash);
	return add_fresh(rd,
	    derive(e, rd->service, &rd->c->conf.derive, &rd->refusal),
	    key.hash);
}

struct catalog_read *
catalog_read_new(struct catalog *c, const char *service)
{
	size_t len = strlen(service) + 1;
	struct catalog_read *rd = xcalloc(1, sizeof(*rd) + len);

	rd->c = c;
	memcpy(rd->service, service, len);
	RB_INIT(&rd->fresh);
	rd->elements = elements_new(false, on_instance, &rd->refusal, rd);
	elements_begin(rd->elements);
	rd->body = XXH3_createState();
	if (rd->body == NULL)
		fatalx("out of memory for a hash");
	XXH3_128bits_reset_withSecret(rd->body, c->conf.secret, CATALOG_SECRET);
	return rd;
}

void
catalog_read_free(struct catalog_read *rd)
{
	struct inst *in;

	if (rd == NULL)
		return;
	while ((in = RB_MIN(inst_names, &rd->fresh)) != NULL) {
		RB_REMOVE(inst_names, &rd->fresh, in);
		inst_free(in);
	}
	elements_free(rd->elements);
	XXH3_freeState(rd->body);
	free(rd->known);
	free(rd);
}

bool
catalog_read_feed(struct catalog_read *rd, const char *data, size_t len)
{
	XXH3_128bits_update(rd->body, data, len);
	return elements_feed(rd->elements, data, len);
}

const struct refusal *
catalog_read_refusal(const struct catalog_read *rd)
{
	return &rd->refusal;
}

/* ---- all of it came: who is there ---- */

static bool
see_known(struct catalog_read *rd, struct svc *s)
{
	for (size_t i = 0; i < rd->n; i++) {
		struct inst key = { .hash = rd->known[i] };
		struct inst *in = RB_FIND(inst_hashes, &s->hashes, &key);

		if (in == NULL)
			return refuse(&rd->refusal,
			    "the service went and came back meanwhile");
		if (in->round == s->round)
			return twice(rd);
		in->round = s->round;
	}
	return true;
}

static bool
see_fresh(struct catalog_read *rd, struct svc *s)
{
	struct inst *in, *old;

	RB_FOREACH(in, inst_names, &rd->fresh) {
		old = RB_FIND(inst_names, &s->names, in);
		if (old != NULL && old->round == s->round)
			return twice(rd);
		in->round = s->round;
	}
	return true;
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
take_fresh(struct catalog *c, struct svc *s, struct inst *in)
{
	struct inst *old = RB_FIND(inst_names, &s->names, in);

	/* Before the old one goes: it may be the same host. */
	if (in->d->kind == DERIVED_HOST)
		c->conf.ops->hold(in->d->address, c->conf.arg);
	note_host(c, s, in);
	say(c, in->d->notice, old);
	if (old != NULL) {
		in->published = old->published;
		inst_remove(c, s, old);
	}
	inst_add(c, s, in);
	publish_instance(c, s, in);
}

static void
take_all(struct catalog_read *rd, struct svc *s)
{
	struct inst *in;

	while ((in = RB_MIN(inst_names, &rd->fresh)) != NULL) {
		RB_REMOVE(inst_names, &rd->fresh, in);
		take_fresh(rd->c, s, in);
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

/*
 * Without any instance it would not be in the catalog: either it is about to
 * go, which the catalog will say, or they are hidden from us.
 */
static bool
says_who_is_missing(const struct catalog_read *rd)
{
	return rd->large == 0 && (rd->n > 0 || !RB_EMPTY(&rd->fresh));
}

static void
take(struct catalog_read *rd, struct svc *s, bool partial, uint64_t now)
{
	bool whole = !partial && says_who_is_missing(rd);

	take_all(rd, s);
	release_present(rd->c, s);
	if (whole)
		lose_missing(rd->c, s, now);
	publish_service(rd->c, s);
	publish_left_out(rd->c, s);
	s->whole = !has_missing(s);
	s->read = true;
}

enum catalog_result
catalog_read_end(struct catalog_read *rd, bool partial, uint64_t now)
{
	struct svc *s = svc_find(rd->c, rd->service);
	XXH128_hash_t body = XXH3_128bits_digest(rd->body);

	if (!elements_end(rd->elements))
		return CATALOG_REFUSED;
	if (s == NULL)
		return CATALOG_UNKNOWN;
	if (s->read && s->whole && XXH128_isEqual(body, s->body))
		return CATALOG_SAME;
	s->round++;
	if (!see_known(rd, s) || !see_fresh(rd, s))
		return CATALOG_REFUSED;
	take(rd, s, partial, now);
	s->body = body;
	fill_up(rd->c);
	return CATALOG_CHANGED;
}
