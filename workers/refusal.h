/*
 * Why an answer is refused. Pure.
 *
 * "where" is what differs from read to read (a kubelet gives its pods in any
 * order); "why" is the same as long as the reason is, so that it is said once.
 */
#ifndef REFUSAL_H
#define REFUSAL_H

#include <stdbool.h>

#include "common/limits.h"

struct refusal {
	char where[LIMIT_TEXT]; /* "pod shop/web-1", "byte 4711"; "" */
	char why[LIMIT_TEXT]; /* "" : nothing is refused */
};

void refusal_clear(struct refusal *r);
bool refused(const struct refusal *r);

/* Both return false, for a caller to pass on. The first reason stays. */
bool refuse(struct refusal *r, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/* Where: unless one is there already. */
bool refusal_at(struct refusal *r, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

#endif
