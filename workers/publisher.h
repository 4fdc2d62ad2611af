/*
 * What a worker tells another one: a keyed set (common/state.h), and, where
 * it was read somewhere, how fresh it is. Its link: worker_feeds().
 */
#ifndef PUBLISHER_H
#define PUBLISHER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/state.h"

struct publisher;

/* fresh_ms: between two FRESH when nothing else is said. */
struct publisher *publisher_new(uint64_t fresh_ms);
void publisher_free(struct publisher *p); /* NULL is fine */
/* The publisher's, for its life. */
struct feed *publisher_feed(struct publisher *p);

/* False: there are LIMIT_SET_ENTRIES already, this one is left out. */
bool publisher_put(struct publisher *p, const void *key, size_t key_len,
    const void *val, size_t val_len);
void publisher_del(struct publisher *p, const void *key, size_t key_len);

/* From the first call on the set is the truth, and told. */
void publisher_complete(struct publisher *p);
/*
 * Complete, and as its source was at read_at (CLOCK_MONOTONIC ms). confirmed:
 * what is not there is really gone.
 */
void publisher_read(struct publisher *p, uint64_t read_at, bool confirmed);

#endif
