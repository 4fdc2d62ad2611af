/*
 * What a list said of each name, as one hash: which names it says something
 * else of than the list before. Pure.
 *
 *	marks_begin()		a read starts
 *	marks_add() ...		its rows, in any order
 *	marks_commit()		it was a whole list: what differs, or
 *	marks_drop()		it never was
 */
#ifndef MARKS_H
#define MARKS_H

#include <stdbool.h>
#include <stddef.h>
#include <xxhash.h>

struct marks;

struct marks *marks_new(void);
void marks_free(struct marks *m); /* NULL is fine */

void marks_begin(struct marks *m);
/* A row that bears on a name (any text); rows of one name are added up. */
void marks_add(struct marks *m, const char *name, XXH128_hash_t row);
/* The list that counts has rows of that name. */
bool marks_has(const struct marks *m, const char *name);

/* In the order of the names. */
struct marks_change {
	const char *name; /* valid during the call */
	bool before; /* the last list had rows of it */
	bool now;
};
void marks_commit(struct marks *m,
    void (*changed)(const struct marks_change *c, void *arg), void *arg);
/* Also right after marks_begin(), marks_commit() or marks_drop(). */
void marks_drop(struct marks *m);

#endif
