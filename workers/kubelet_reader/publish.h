/*
 * What kubelet-reader tells consul-writer: the desired services as a keyed
 * set, and how fresh they are.
 */
#ifndef PUBLISH_H
#define PUBLISH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/channel.h"
#include "workers/kubelet_reader/pods.h"

struct publisher;

/* period_ms: between two FRESH when nothing else is said. */
struct publisher *publisher_new(uint64_t period_ms);

void publisher_put(struct publisher *p, const struct pod_service *service);
void publisher_del(struct publisher *p, const char *id);
/*
 * All changes of a list that counts, read at that time (CLOCK_MONOTONIC ms),
 * are made. confirmed: what is not there is really gone.
 */
void publisher_read(struct publisher *p, uint64_t read_at, bool confirmed);
size_t publisher_count(const struct publisher *p);

/* For struct worker_role: the link to consul-writer (NULL: gone). */
void publisher_link(struct publisher *p, struct channel *ch);
bool publisher_message(struct publisher *p, const struct msg *m);
void publisher_drained(struct publisher *p);

#endif
