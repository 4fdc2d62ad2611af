/* Strings that live as long as one derivation. Pure. */
#ifndef ARENA_H
#define ARENA_H

#include <stddef.h>

/* Zeroed at first. */
struct arena {
	struct arena_block *blocks;
	size_t held; /* bytes of text in them */
	size_t most_held; /* that there ever were, for tests */
};

/* Both are fatal without memory. */
char *arena_strndup(struct arena *a, const char *s, size_t len);
char *arena_printf(struct arena *a, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/* Frees what came later than blocks was what is given here. */
void arena_release(struct arena *a, const struct arena_block *blocks);
void arena_free(struct arena *a);

#endif
