/* One endpoint of a service, as it is wanted or as it is in a slice. Pure. */
#ifndef ENDPOINT_H
#define ENDPOINT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/backend.h"

struct address {
	uint8_t family; /* enum backend_family */
	uint8_t ip[16]; /* IPv4: 4 bytes, then zeros */
};

/* An IP literal in any form. False: it is none. */
bool address_parse(const char *text, struct address *a);
/* In its shortest form. */
void address_text(const struct address *a, char out[BACKEND_ADDRESS]);
int address_compare(const struct address *a, const struct address *b);

struct endpoint {
	struct address at;
	uint16_t port; /* 0: none */
	bool ready;
	const char *node; /* "": none */
	const char *zone;
};

/* By family, port, address; for qsort(). */
int endpoint_compare(const void *a, const void *b);
/*
 * Sorts; of those with the same family, port and address, one is left: a
 * ready one, if there is one. How many are left.
 */
size_t endpoints_unify(struct endpoint *v, size_t n);

/* Among those; NULL if it is not there. */
const struct endpoint *endpoints_find(const struct endpoint *v, size_t n,
    const struct address *at, uint16_t port);

#endif
