#include "common/table.h"

#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/proto.h"

RB_HEAD(tree, entry);

struct table {
	struct tree tree;
	size_t count;
};

static int
compare(const struct entry *a, const struct entry *b)
{
	size_t alen = a->e.key_len, blen = b->e.key_len;
	int c = memcmp(a->e.key, b->e.key, alen < blen ? alen : blen);

	if (c != 0)
		return c;
	return (alen > blen) - (alen < blen);
}

/* Not RB_GENERATE_STATIC, which wants an __unused that only BSDs have. */
RB_GENERATE_INTERNAL(tree, entry, link, compare, static __attribute__((unused)))

struct entry *
entry_new(const void *key, size_t key_len, const void *val, size_t val_len)
{
	size_t cap = 2 * TLV_HEADER + key_len + val_len;
	struct entry *e = xmalloc(sizeof(*e) + cap);
	struct tlv_writer w;

	*e = (struct entry){
		.e = {
			.key = e->body + TLV_HEADER,
			.val = e->body + cap - val_len,
			.key_len = key_len,
			.val_len = val_len,
		},
		.put_len = cap,
		.del_len = TLV_HEADER + key_len,
	};
	tlv_writer_init(&w, e->body, cap);
	tlv_put(&w, TAG_KEY, key, key_len);
	tlv_put(&w, TAG_VALUE, val, val_len);
	return e;
}

bool
entry_value_is(const struct entry *e, const void *val, size_t val_len)
{
	return e->e.val_len == val_len &&
	    (val_len == 0 || memcmp(e->e.val, val, val_len) == 0);
}

struct table *
table_new(void)
{
	struct table *t = xmalloc(sizeof(*t));

	*t = (struct table){ .tree = RB_INITIALIZER(&t->tree) };
	return t;
}

void
table_free(struct table *t)
{
	if (t == NULL)
		return;
	table_clear(t);
	free(t);
}

void
table_clear(struct table *t)
{
	struct entry *e;

	while ((e = RB_ROOT(&t->tree)) != NULL) {
		table_take(t, e);
		free(e);
	}
}

size_t
table_count(const struct table *t)
{
	return t->count;
}

struct entry *
table_find(struct table *t, const void *key, size_t key_len)
{
	struct entry probe = { .e = { .key = key, .key_len = key_len } };

	return RB_FIND(tree, &t->tree, &probe);
}

void
table_put(struct table *t, struct entry *e)
{
	struct entry *old = RB_INSERT(tree, &t->tree, e);

	if (old != NULL) {
		table_take(t, old);
		free(old);
		RB_INSERT(tree, &t->tree, e);
	}
	t->count++;
}

void
table_take(struct table *t, struct entry *e)
{
	RB_REMOVE(tree, &t->tree, e);
	t->count--;
}

struct entry *
table_first(struct table *t)
{
	return RB_MIN(tree, &t->tree);
}

struct entry *
table_next(struct entry *e)
{
	return RB_NEXT(tree, &t->tree, e);
}

struct entry *
table_after(const struct set_entry *e)
{
	/* It came out of a struct entry of ours, const for others only. */
	return table_next((struct entry *)(uintptr_t)e);
}
