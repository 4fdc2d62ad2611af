#include "workers/consul_reader/marks.h"

#include <bsd/sys/tree.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"

struct sum {
	XXH128_hash_t hash; /* of all rows, added up */
	bool there;
};

struct mark {
	RB_ENTRY(mark) link;
	struct sum before;
	struct sum now;
	char name[];
};

RB_HEAD(mark_tree, mark);

struct marks {
	struct mark_tree tree;
	size_t reading;
};

static int
by_name(const struct mark *a, const struct mark *b)
{
	return strcmp(a->name, b->name);
}

/* Not RB_GENERATE_STATIC, which wants an __unused that only BSDs have. */
RB_GENERATE_INTERNAL(mark_tree, mark, link, by_name,
    static __attribute__((unused)))

struct marks *
marks_new(void)
{
	struct marks *m = xcalloc(1, sizeof(*m));

	RB_INIT(&m->tree);
	return m;
}

void
marks_free(struct marks *m)
{
	struct mark *k;

	if (m == NULL)
		return;
	while ((k = RB_MIN(mark_tree, &m->tree)) != NULL) {
		RB_REMOVE(mark_tree, &m->tree, k);
		free(k);
	}
	free(m);
}

static struct mark *
find(const struct marks *m, const char *name)
{
	struct mark *k = RB_ROOT(&m->tree);
	int cmp;

	while (k != NULL && (cmp = strcmp(name, k->name)) != 0)
		k = cmp < 0 ? RB_LEFT(k, link) : RB_RIGHT(k, link);
	return k;
}

static struct mark *
add_name(struct marks *m, const char *name)
{
	size_t len = strlen(name) + 1;
	struct mark *k = xcalloc(1, sizeof(*k) + len);

	memcpy(k->name, name, len);
	RB_INSERT(mark_tree, &m->tree, k);
	return k;
}

/* With the carry: else rows of halves that swap would be the same. */
static void
add_up(struct sum *to, XXH128_hash_t row)
{
	to->there = true;
	to->hash.low64 += row.low64;
	to->hash.high64 += row.high64 + (to->hash.low64 < row.low64);
}

void
marks_begin(struct marks *m)
{
	marks_drop(m);
}

void
marks_add(struct marks *m, const char *name, XXH128_hash_t row)
{
	struct mark *k = find(m, name);

	if (k == NULL)
		k = add_name(m, name);
	m->reading += !k->now.there;
	add_up(&k->now, row);
}

bool
marks_has(const struct marks *m, const char *name)
{
	const struct mark *k = find(m, name);

	return k != NULL && k->before.there;
}

static bool
same(const struct sum *a, const struct sum *b)
{
	return a->there == b->there && XXH128_isEqual(a->hash, b->hash);
}

/* What was read now is what was there before from here on. */
static void
turn(struct marks *m, struct mark *k)
{
	k->before = k->now;
	k->now = (struct sum){ 0 };
	if (k->before.there)
		return;
	RB_REMOVE(mark_tree, &m->tree, k);
	free(k);
}

void
marks_commit(struct marks *m,
    void (*changed)(const struct marks_change *c, void *arg), void *arg)
{
	struct mark *k, *next;

	for (k = RB_MIN(mark_tree, &m->tree); k != NULL; k = next) {
		struct marks_change c = { k->name, k->before.there,
			k->now.there };

		next = RB_NEXT(mark_tree, &m->tree, k);
		if (!same(&k->before, &k->now))
			changed(&c, arg);
		turn(m, k);
	}
	m->reading = 0;
}

void
marks_drop(struct marks *m)
{
	struct mark *k, *next;

	if (m->reading == 0)
		return;
	for (k = RB_MIN(mark_tree, &m->tree); k != NULL; k = next) {
		next = RB_NEXT(mark_tree, &m->tree, k);
		k->now = k->before;
		turn(m, k);
	}
	m->reading = 0;
}
