/*
 * Readiness gates: the condition katalog-sync.wish.com/synced that is wanted
 * of each pod (pod.h), and what to write next. Pure: no I/O, no clock; times
 * are CLOCK_MONOTONIC milliseconds.
 *
 * Nothing is read from the apiserver: what stands there is known by our own
 * writes, and by what the kubelet's list shows, some seconds later. A pod is
 * written when status or reason is another than what was written last, and
 * again when somebody else changed the status: at once where the list had
 * shown ours before; else after GATES_LAG_MS, as it may only be late. Who
 * changes it again and again is given more and more time. One that is not True
 * and is not to be so can wait for GATES_REST_MS: why it is False changes some
 * times in a row before it turns.
 *
 * A pod is its uid: each write has it as precondition, and one that takes its
 * name starts anew. One write at a time for each, those that turn True first.
 */
#ifndef GATES_H
#define GATES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/pod.h"
#include "workers/k8s_writer/plan.h"
#include "workers/k8s_writer/reply.h"

/* Writes under way. */
#define GATES_AT_ONCE 4
/* What was written is in the kubelet's list by then. */
#define GATES_LAG_MS 10000
/* A pod whose containers are ready is in the catalog by then, mostly. */
#define GATES_REST_MS 1000

struct gates;
struct gate;

/* seed: for pauses that differ from process to process. */
struct gates *gates_new(uint64_t seed);
void gates_free(struct gates *g);

/*
 * consul-writer's items, by the uid. False: such an item is none. One that is
 * new, and is True in the list as it is to be, needs no write; one that is
 * False does, since the list does not show why.
 */
bool gates_put(struct gates *g, const void *key, size_t key_len,
    const void *val, size_t len, uint64_t now);
/* The pod is forgotten, and not written any more. */
void gates_del(struct gates *g, const void *key, size_t key_len);

struct gate_write {
	struct gate *gate; /* for gates_done() */
	const struct pod_gate *pod; /* valid until then */
	bool turns; /* the status is another than the one that stands there */
	bool again; /* somebody else had changed it */
};

/* The next write to start, which is then under way. False: none now. */
bool gates_next(struct gates *g, uint64_t now, struct gate_write *w);
/*
 * When gates_next() may say true without an event: 0 for now, UINT64_MAX for
 * never.
 */
uint64_t gates_due(struct gates *g);

#define GATE_PATH 1024
void gate_path(const struct gate_write *w, char buf[GATE_PATH]);
/* For free(). wall_s: seconds since 1970. */
char *gate_body(const struct gate_write *w, uint64_t wall_s);

/*
 * PLAN_GONE: there is no such pod, or it is another one by now. A 404 that
 * names no pod is not the API's.
 */
enum plan_result gate_result(const struct reply *r);
/* The pod's last write did not fail so, and it is not forgotten. */
bool gate_news(const struct gate_write *w, const char *text);
/*
 * The end of a write; text says why it failed. retry_after_ms: no write before
 * that, 0: nothing was said. PLAN_GONE: nothing is written before the item
 * changes.
 */
void gates_done(struct gates *g, const struct gate_write *w, enum plan_result r,
    const char *text, uint64_t retry_after_ms, uint64_t now);
/* Something changed (a token): what failed is tried again at once. */
void gates_retry(struct gates *g);

struct gates_counts {
	size_t wanted[2]; /* False, True */
	/* Not written yet; one that the apiserver refused or lacks is none. */
	size_t pending;
	size_t failed[PLAN_RESULTS]; /* whose last write ended so */
};

void gates_counts(struct gates *g, struct gates_counts *c);

#endif
