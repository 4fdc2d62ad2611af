#include "workers/k8s_writer/names.h"

#include <bsd/string.h>
#include <bsd/sys/tree.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "common/limits.h"
#include "common/log.h"

#define PREFIX "svc-"

struct named {
	RB_ENTRY(named) link;
	char *service;
	uint64_t age; /* the least create_index; UINT64_MAX: not known */
	uint64_t held; /* the greater, the later names_hold(); 0: never */
	char base[NAME_MAX_LEN + 1];
	char name[NAME_MAX_LEN + 1]; /* "": not settled yet */
	char *winner; /* the service that has its base; NULL: it has it */
};

/* A name that is taken: of a Service, or of a route. */
struct claim {
	RB_ENTRY(claim) link;
	const struct named *owner;
	char text[NAME_MAX_LEN + 2 + LIMIT_K8S_NAME];
};

RB_HEAD(named_tree, named);
RB_HEAD(claim_tree, claim);

struct names {
	struct names_conf conf;
	struct named_tree tree;
	size_t count;
	size_t collisions;
	size_t nclaims; /* of one service */
	uint64_t holds; /* calls of names_hold() */
	bool dirty;
};

static int
by_service(const struct named *a, const struct named *b)
{
	return strcmp(a->service, b->service);
}

static int
by_text(const struct claim *a, const struct claim *b)
{
	return strcmp(a->text, b->text);
}

/* RB_GENERATE_STATIC wants __unused, which glibc's headers use otherwise. */
#define STATIC static __attribute__((unused))
RB_GENERATE_INTERNAL(named_tree, named, link, by_service, STATIC)
RB_GENERATE_INTERNAL(claim_tree, claim, link, by_text, STATIC)

/* ---- one name ---- */

static void
trim_end(char *s, size_t n)
{
	while (n > 0 && s[n - 1] == '-')
		n--;
	s[n] = '\0';
}

/* 0: a further byte of a character, which counts as one. */
static char
map_byte(unsigned char c)
{
	if (c >= 'A' && c <= 'Z')
		return (char)(c - 'A' + 'a');
	if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'))
		return (char)c;
	return (c & 0xc0) == 0x80 ? '\0' : '-';
}

void
names_base(const char *service, char out[NAME_MAX_LEN + 1])
{
	size_t n = 0;
	char c;

	out[0] = '\0';
	for (; *service != '\0' && n < NAME_MAX_LEN; service++) {
		c = map_byte((unsigned char)*service);
		if (c == '\0' || (c == '-' && n == 0))
			continue;
		if (n == 0 && c <= '9')
			n = strlcpy(out, PREFIX, NAME_MAX_LEN + 1);
		out[n++] = c;
	}
	trim_end(out, n);
}

void
names_hash(const char *text, uint64_t seed, char out[NAME_HASH_LEN + 1])
{
	/* 32, without those that look like others. */
	static const char digits[] = "0123456789abcdefghjkmnpqrstvwxyz";
	uint64_t h = XXH3_64bits_withSeed(text, strlen(text), seed);

	for (size_t i = 0; i < NAME_HASH_LEN; i++, h >>= 5)
		out[i] = digits[h & 31];
	out[NAME_HASH_LEN] = '\0';
}

/* attempt 0 is the first; another one if that name is taken, too. */
static void
hashed_name(const struct named *e, uint64_t attempt, char out[NAME_MAX_LEN + 1])
{
	char hash[NAME_HASH_LEN + 1];
	size_t room = NAME_MAX_LEN - NAME_HASH_LEN - 1;

	names_hash(e->service, attempt, hash);
	if (e->base[0] == '\0') {
		snprintf(out, NAME_MAX_LEN + 1, PREFIX "%s", hash);
		return;
	}
	strlcpy(out, e->base, room + 1);
	trim_end(out, strlen(out));
	strlcat(out, "-", NAME_MAX_LEN + 1);
	strlcat(out, hash, NAME_MAX_LEN + 1);
}

/* ---- the set ---- */

static bool
ends_in(const char *gateway, const char *other)
{
	size_t n = strlen(gateway), m = strlen(other);

	return m > 0 && n > m && gateway[n - m - 1] == '-' &&
	    strcmp(gateway + n - m, other) == 0;
}

/* Names of routes collide only so: x-a + "-b" and x + "-a-b". */
static bool
routes_collide(const struct names_conf *conf)
{
	return ends_in(conf->gateways[0], conf->gateways[1]) ||
	    ends_in(conf->gateways[1], conf->gateways[0]);
}

struct names *
names_new(const struct names_conf *conf)
{
	struct names *ns = xcalloc(1, sizeof(*ns));

	ns->conf = *conf;
	ns->nclaims = routes_collide(conf) ? 1 + NAME_GATEWAYS : 1;
	RB_INIT(&ns->tree);
	return ns;
}

static void
named_free(struct names *ns, struct named *e)
{
	RB_REMOVE(named_tree, &ns->tree, e);
	free(e->service);
	free(e->winner);
	free(e);
}

void
names_free(struct names *ns)
{
	struct named *e;

	if (ns == NULL)
		return;
	while ((e = RB_ROOT(&ns->tree)) != NULL)
		named_free(ns, e);
	free(ns);
}

static struct named *
find(const struct names *ns, const char *service)
{
	struct named_tree tree = ns->tree;
	struct named key = { 0 };

	/* The key is only compared. */
	memcpy(&key.service, &service, sizeof(service));
	return RB_FIND(named_tree, &tree, &key);
}

static struct named *
add(struct names *ns, const char *service)
{
	struct named *e = xcalloc(1, sizeof(*e));

	e->service = xstrdup(service);
	e->age = UINT64_MAX;
	names_base(service, e->base);
	RB_INSERT(named_tree, &ns->tree, e);
	ns->count++;
	ns->dirty = true;
	return e;
}

void
names_put(struct names *ns, const char *service, uint64_t create_index)
{
	struct named *e = find(ns, service);

	if (e == NULL)
		e = add(ns, service);
	if (create_index == 0 || create_index >= e->age)
		return;
	e->age = create_index;
	ns->dirty = true;
}

void
names_del(struct names *ns, const char *service)
{
	struct named *e = find(ns, service);

	if (e == NULL)
		return;
	named_free(ns, e);
	ns->count--;
	ns->dirty = true;
}

bool
names_hold(struct names *ns, const char *name, const char *service)
{
	struct named *e = find(ns, service);
	bool has_it;

	if (e == NULL || strcmp(e->base, name) != 0)
		return false;
	has_it = strcmp(e->name, name) == 0;
	if (has_it && e->held != 0)
		return false;
	e->held = ++ns->holds;
	ns->dirty = ns->dirty || !has_it;
	return !has_it;
}

/* ---- who gets which ---- */

struct claims {
	struct claim_tree tree;
	struct claim *v; /* room for those of all services */
	size_t n;
};

/* The texts that a service of that name takes: nclaims of them. */
static void
texts_of(const struct names *ns, const char *name, struct claim *c)
{
	/* A slash: names of Services and of routes are no collision. */
	snprintf(c[0].text, sizeof(c->text), "/%s", name);
	for (size_t i = 1; i < ns->nclaims; i++)
		snprintf(c[i].text, sizeof(c->text), "%s-%s", name,
		    ns->conf.gateways[i - 1]);
}

/* NULL if the name was free, and is taken now. */
static const struct named *
take_name(const struct names *ns, struct claims *cs, const struct named *e,
    const char *name)
{
	struct claim *mine = &cs->v[cs->n];
	const struct claim *other;

	texts_of(ns, name, mine);
	for (size_t i = 0; i < ns->nclaims; i++) {
		other = RB_FIND(claim_tree, &cs->tree, &mine[i]);
		if (other != NULL)
			return other->owner;
	}
	for (size_t i = 0; i < ns->nclaims; i++) {
		mine[i].owner = e;
		RB_INSERT(claim_tree, &cs->tree, &mine[i]);
	}
	cs->n += ns->nclaims;
	return NULL;
}

static void
take_hashed(const struct names *ns, struct claims *cs, const struct named *e,
    char name[NAME_MAX_LEN + 1])
{
	uint64_t attempt = 0;

	do
		hashed_name(e, attempt++, name);
	while (take_name(ns, cs, e, name) != NULL);
}

static void
lose_to(struct names *ns, struct named *e, const struct named *winner)
{
	e->winner = xstrdup(winner->service);
	ns->collisions++;
}

static void
settle_one(struct names *ns, struct claims *cs, struct named *e)
{
	const struct named *winner = NULL;
	char name[NAME_MAX_LEN + 1];

	free(e->winner);
	e->winner = NULL;
	strlcpy(name, e->base, sizeof(name));
	if (name[0] != '\0')
		winner = take_name(ns, cs, e, name);
	if (winner != NULL)
		lose_to(ns, e, winner);
	if (winner != NULL || name[0] == '\0')
		take_hashed(ns, cs, e, name);
	if (strcmp(name, e->name) == 0)
		return;
	strlcpy(e->name, name, sizeof(e->name));
	if (ns->conf.changed != NULL)
		ns->conf.changed(e->service, e->name, ns->conf.arg);
}

/* Who has its name in the cluster, the last one first; then the oldest. */
static int
by_right(const void *a, const void *b)
{
	const struct named *x = *(struct named *const *)a;
	const struct named *y = *(struct named *const *)b;

	if (x->held != y->held)
		return x->held > y->held ? -1 : 1;
	if (x->age != y->age)
		return x->age < y->age ? -1 : 1;
	return strcmp(x->service, y->service);
}

static struct named **
sorted_by_right(struct names *ns)
{
	struct named **v = xcalloc(ns->count + 1, sizeof(*v)), *e;
	size_t n = 0;

	RB_FOREACH(e, named_tree, &ns->tree)
		v[n++] = e;
	qsort(v, n, sizeof(*v), by_right);
	return v;
}

void
names_settle(struct names *ns)
{
	struct claims cs = { .tree = RB_INITIALIZER(&cs.tree) };
	struct named **v;

	if (!ns->dirty)
		return;
	v = sorted_by_right(ns);
	/* One more, in which a name is tried. */
	cs.v = xcalloc(ns->count + 1, ns->nclaims * sizeof(*cs.v));
	ns->collisions = 0;
	ns->dirty = false;
	for (size_t i = 0; i < ns->count; i++)
		settle_one(ns, &cs, v[i]);
	free(cs.v);
	free(v);
}

/* ---- what came out ---- */

const char *
names_get(const struct names *ns, const char *service)
{
	const struct named *e = find(ns, service);

	return e == NULL || e->name[0] == '\0' ? NULL : e->name;
}

size_t
names_collisions(const struct names *ns)
{
	return ns->collisions;
}

void
names_each_collision(const struct names *ns,
    void (*each)(const struct names_collision *c, void *arg), void *arg)
{
	struct named_tree tree = ns->tree;
	struct named *e;

	RB_FOREACH(e, named_tree, &tree) {
		struct names_collision c = {
			.service = e->service,
			.wanted = e->base,
			.winner = e->winner,
			.given = e->name,
		};

		if (e->winner != NULL)
			each(&c, arg);
	}
}
