/*
 * Splits a JSON array, or an object, that comes in pieces of any size into its
 * elements, in memory of one element. Pure. All of the body is checked to be
 * JSON (json_scan.h), UTF-8 included, as deep as Go's encoder writes it and with
 * any names of members inside of the elements.
 *
 * What the elements say is void until elements_end() has said that the body
 * was whole.
 */
#ifndef ELEMENTS_H
#define ELEMENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "workers/refusal.h"

struct element {
	const char *name; /* of a member, JSON with its quotes; "" in arrays */
	size_t name_len;
	const char *bytes; /* the value, valid during the call */
	size_t len;
	/*
	 * Name or value came in pieces and is over LIMIT_CONSUL_ELEMENT: that
	 * was checked, but not kept, and its length is 0.
	 */
	bool large;
};

/* False: the body is refused, and the refusal says why. */
typedef bool (*elements_fn)(const struct element *e, void *arg);

struct elements;

/* object: it is to be an object, else an array. r stays the caller's. */
struct elements *elements_new(bool object, elements_fn fn, struct refusal *r,
    void *arg);
void elements_free(struct elements *s); /* NULL is fine */

/* A new body; clears the refusal. */
void elements_begin(struct elements *s);
/* False: the body is refused; no more of it is needed. */
bool elements_feed(struct elements *s, const char *data, size_t len);
/* The body is there: true if it was whole. */
bool elements_end(struct elements *s);

#endif
