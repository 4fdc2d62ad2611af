/*
 * What consul-reader tells k8s-writer: services and instances as a keyed set
 * (common/backend.h), and how fresh they are.
 */
#ifndef PUBLISH_H
#define PUBLISH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/channel.h"

struct publisher;

struct publisher *publisher_new(void);
void publisher_free(struct publisher *p); /* NULL is fine */

/* False: there are too many items, this one is left out. */
bool publisher_put(struct publisher *p, const void *key, size_t key_len,
    const void *val, size_t val_len);
void publisher_del(struct publisher *p, const void *key, size_t key_len);

/*
 * The set is as Consul was at read_at (CLOCK_MONOTONIC ms); from the first
 * call on it is the truth. confirmed: what is not there is really gone.
 */
void publisher_read(struct publisher *p, uint64_t read_at, bool confirmed);

/* For struct worker_role: the link to k8s-writer (NULL: gone). */
void publisher_link(struct publisher *p, struct channel *ch);
bool publisher_message(struct publisher *p, const struct msg *m);
void publisher_drained(struct publisher *p);

#endif
