/*
 * The entries of a keyed set, in the order of their keys' bytes: what a set
 * and a replica of state.h are made of. Pure but for memory (fatal without).
 */
#ifndef TABLE_H
#define TABLE_H

#include <bsd/sys/tree.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/state.h"

/* One allocation: key and value stand in body. */
struct entry {
	struct set_entry e; /* first: state.h hands it out */
	RB_ENTRY(entry) link;
	uint64_t mark; /* the owner's; 0 at first */
	size_t put_len; /* body: the fields of a PUT... */
	size_t del_len; /* ...that begin with those of a DEL */
	uint8_t body[];
};

/* Copies; key_len and val_len are within the limits. Freed with free(). */
struct entry *entry_new(const void *key, size_t key_len, const void *val,
    size_t val_len);
bool entry_value_is(const struct entry *e, const void *val, size_t val_len);

struct table;

struct table *table_new(void);
void table_free(struct table *t); /* with its entries; NULL is fine */
void table_clear(struct table *t);
size_t table_count(const struct table *t);

/* NULL if it is not there. */
struct entry *table_find(struct table *t, const void *key, size_t key_len);
/* Takes e over; an entry with that key is replaced and freed. */
void table_put(struct table *t, struct entry *e);
/* The entry is the caller's again. */
void table_take(struct table *t, struct entry *e);

/* NULL if the table is empty, or after the last. */
struct entry *table_first(struct table *t);
struct entry *table_next(struct entry *e);
/* For callers of state.h: the entry after a set_entry of a table. */
struct entry *table_after(const struct set_entry *e);

#endif
