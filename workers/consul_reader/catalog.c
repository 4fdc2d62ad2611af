#include "workers/consul_reader/catalog.h"

#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "workers/consul_reader/catalog_inside.h"

static int
cmp_svc(const struct svc *a, const struct svc *b)
{
	return strcmp(a->name, b->name);
}

/* Not RB_GENERATE_STATIC, which wants an __unused that only BSDs have. */
RB_GENERATE_INTERNAL(svc_tree, svc, link, cmp_svc,
    static __attribute__((unused)))

/* ---- holds ---- */

void
hold_set(struct catalog *c, struct hold *h, uint64_t for_ms, uint64_t now)
{
	c->counts.waiting += !hold_is_set(h);
	*h = (struct hold){
		.since = now,
		.for_ms = for_ms,
		.look_at = now + for_ms,
	};
}

void
hold_clear(struct catalog *c, struct hold *h)
{
	c->counts.waiting -= hold_is_set(h);
	*h = (struct hold){ 0 };
}

bool
hold_is_over(const struct hold *h, uint64_t now)
{
	return now - h->since >= h->for_ms;
}

/* When the look brings nothing, the next ones are ever further apart. */
static bool
hold_look(struct hold *h, uint64_t now)
{
	if (!hold_is_set(h) || now < h->look_at)
		return false;
	h->look_at = now + TRUST_CONFIRM_MS + (now - h->since) / 2;
	return true;
}

static uint64_t
sooner(const struct hold *h, uint64_t at)
{
	return hold_is_set(h) && h->look_at < at ? h->look_at : at;
}

static void
hold_again(struct catalog *c, struct hold *h, uint64_t now)
{
	if (hold_is_set(h))
		hold_set(c, h, TRUST_SETTLE_MS, now);
}

/* ---- services ---- */

static struct svc *
first(const struct catalog *c)
{
	struct svc *s = RB_ROOT(&c->tree);

	while (s != NULL && RB_LEFT(s, link) != NULL)
		s = RB_LEFT(s, link);
	return s;
}

static struct svc *
next(struct svc *s)
{
	return RB_NEXT(svc_tree, NULL, s);
}

struct svc *
svc_find(const struct catalog *c, const char *name)
{
	struct svc *s = RB_ROOT(&c->tree);
	int cmp;

	while (s != NULL && (cmp = strcmp(name, s->name)) != 0)
		s = cmp < 0 ? RB_LEFT(s, link) : RB_RIGHT(s, link);
	return s;
}

static void
svc_free(struct catalog *c, struct svc *s)
{
	RB_REMOVE(svc_tree, &c->tree, s);
	c->n--;
	free(s);
}

static void
forget(struct catalog *c, struct svc *s)
{
	hold_clear(c, &s->hold);
	inst_forget_all(c, s);
	publish_service(c, s);
	c->conf.ops->forgotten(s->name, c->conf.arg);
	svc_free(c, s);
}

void
fill_up(struct catalog *c)
{
	if (!c->room || c->counts.left_out == 0)
		return;
	c->room = false;
	for (struct svc *s = first(c); s != NULL; s = next(s)) {
		if (s->no_room)
			publish_service(c, s);
		publish_left_out(c, s);
	}
}

struct catalog *
catalog_new(const struct catalog_conf *conf)
{
	struct catalog *c = xcalloc(1, sizeof(*c));

	c->conf = *conf;
	RB_INIT(&c->tree);
	return c;
}

static void
ignore_key(const void *key, size_t key_len, void *arg)
{
	(void)key;
	(void)key_len;
	(void)arg;
}

static void
ignore_name(const char *service, void *arg)
{
	(void)service;
	(void)arg;
}

void
catalog_free(struct catalog *c)
{
	static const struct catalog_ops nobody = {
		.del = ignore_key,
		.release = ignore_name,
		.forgotten = ignore_name,
	};
	struct svc *s;

	if (c == NULL)
		return;
	c->conf.ops = &nobody;
	while ((s = first(c)) != NULL)
		forget(c, s);
	free(c);
}

void
catalog_named(struct catalog *c, const char *service)
{
	size_t len = strlen(service) + 1;
	struct svc *s;

	if (svc_find(c, service) != NULL)
		return;
	s = xcalloc(1, sizeof(*s) + len);
	memcpy(s->name, service, len);
	RB_INIT(&s->names);
	RB_INIT(&s->hashes);
	RB_INSERT(svc_tree, &c->tree, s);
	c->n++;
}

/* ---- a list ---- */

static size_t
count_newly_missing(struct catalog *c,
    bool (*has)(const char *service, void *arg), void *arg)
{
	size_t n = 0;

	for (struct svc *s = first(c); s != NULL; s = next(s))
		n += !hold_is_set(&s->hold) && !has(s->name, arg);
	return n;
}

static void
lose(struct catalog *c, struct svc *s, uint64_t wait, uint64_t now)
{
	if (!hold_is_set(&s->hold) && wait > 0) {
		hold_set(c, &s->hold, wait, now);
		return;
	}
	if (hold_is_set(&s->hold) && !hold_is_over(&s->hold, now))
		return;
	if (hold_is_set(&s->hold))
		trust_took(c->conf.trust, TRUST_SERVICES);
	forget(c, s);
}

void
catalog_listed(struct catalog *c, bool (*has)(const char *service, void *arg),
    void *arg, uint64_t now)
{
	size_t newly = count_newly_missing(c, has, arg);
	uint64_t wait = 0;
	struct svc *s, *after;

	if (newly > 0)
		wait =
		    trust_lost(c->conf.trust, TRUST_SERVICES, newly, c->n, now);
	for (s = first(c); s != NULL; s = after) {
		after = next(s);
		if (has(s->name, arg))
			hold_clear(c, &s->hold);
		else
			lose(c, s, wait, now);
	}
	fill_up(c);
}

/* ---- second looks ---- */

void
catalog_reset(struct catalog *c, uint64_t now)
{
	if (c->counts.waiting == 0)
		return;
	for (struct svc *s = first(c); s != NULL; s = next(s)) {
		hold_again(c, &s->hold, now);
		for (struct inst *in = inst_first(s); in != NULL;
		     in = inst_next(in))
			hold_again(c, &in->hold, now);
	}
}

uint64_t
catalog_look_due(const struct catalog *c)
{
	uint64_t at = UINT64_MAX;

	if (c->counts.waiting == 0)
		return at;
	for (struct svc *s = first(c); s != NULL; s = next(s)) {
		at = sooner(&s->hold, at);
		for (struct inst *in = inst_first(s); in != NULL;
		     in = inst_next(in))
			at = sooner(&in->hold, at);
	}
	return at;
}

static bool
look_at_instances(struct svc *s, uint64_t now)
{
	bool any = false;

	for (struct inst *in = inst_first(s); in != NULL; in = inst_next(in))
		any |= hold_look(&in->hold, now);
	return any;
}

void
catalog_look(struct catalog *c, uint64_t now,
    void (*look)(const char *service, void *arg), void *arg)
{
	bool list = false;

	if (c->counts.waiting == 0)
		return;
	for (struct svc *s = first(c); s != NULL; s = next(s)) {
		list |= hold_look(&s->hold, now);
		if (look_at_instances(s, now))
			look(s->name, arg);
	}
	if (list)
		look(NULL, arg);
}

/* ---- nodes, hosts, counts ---- */

static bool
is_on_node(struct svc *s, const char *node)
{
	for (struct inst *in = inst_first(s); in != NULL; in = inst_next(in)) {
		if (strcmp(in->d->node, node) == 0)
			return true;
	}
	return false;
}

void
catalog_on_node(const struct catalog *c, const char *node,
    void (*fn)(const char *service, void *arg), void *arg)
{
	for (struct svc *s = first(c); s != NULL; s = next(s)) {
		if (is_on_node(s, node))
			fn(s->name, arg);
	}
}

static bool
is_of_host(const struct inst *in, bool (*changed)(const char *host, void *arg),
    void *arg)
{
	return in->d->kind == DERIVED_HOST && changed(in->d->address, arg);
}

void
catalog_rehost(struct catalog *c, bool (*changed)(const char *host, void *arg),
    void *arg)
{
	for (struct svc *s = first(c); s != NULL; s = next(s)) {
		for (struct inst *in = inst_first(s); in != NULL;
		     in = inst_next(in)) {
			if (is_of_host(in, changed, arg))
				publish_instance(c, s, in);
		}
	}
	fill_up(c);
}

struct catalog_counts
catalog_counts(const struct catalog *c)
{
	return c->counts;
}
