/*
 * Splits what comes in pieces of any size into lines, in memory of one line.
 * Pure.
 */
#ifndef LINES_H
#define LINES_H

#include <stdbool.h>
#include <stddef.h>

struct lines {
	char *held; /* the beginning of a line */
	size_t n;
	size_t cap;
	size_t max; /* bytes of a line, without its end */
};

/* Holds nothing yet; lines_clear() ends it. */
void lines_init(struct lines *l, size_t max);
void lines_clear(struct lines *l);

/*
 * Calls line for each line that is whole, without "\n" or "\r\n"; empty ones
 * are left out. False: a line was longer than max, or line said false; the
 * rest of data is not looked at, and nothing is held. line may not touch l.
 */
bool lines_feed(struct lines *l, const char *data, size_t len,
    bool (*line)(const char *text, size_t len, void *arg), void *arg);

#endif
