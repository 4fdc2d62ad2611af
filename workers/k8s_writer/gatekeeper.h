/*
 * The gatekeeper: writes the conditions of readiness gates. The shell around
 * gates.h: it owns the clock, the timer, the requests and what is said about
 * them. It needs no Lease (each node's pods have one daemon), lists and
 * watches nothing, and sends nothing while nothing is to be written.
 */
#ifndef GATEKEEPER_H
#define GATEKEEPER_H

#include <event2/event.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/metrics.h"
#include "common/proto.h"
#include "workers/http_client.h"
#include "workers/k8s_writer/gates.h"

/* Requests at once. */
#define GATEKEEPER_REQUESTS GATES_AT_ONCE

struct gatekeeper;

/* Strings and pointers stay the caller's, for the gatekeeper's life. */
struct gatekeeper_conf {
	struct event_base *base;
	/* With GATEKEEPER_REQUESTS connections for it. */
	struct http_client *client;
	struct metrics *metrics;
	const char *server; /* for messages */
	const char *prefix; /* of the paths: "", or "/x" without an end slash */
	uint64_t timeout_ms; /* of one request */
	uint64_t seed;
	/* How it goes, often; synced stays true once it was. */
	void (*health)(enum health h, bool synced, const char *text, void *arg);
	void *arg;
};

struct gatekeeper *gatekeeper_new(const struct gatekeeper_conf *conf);
/* Ends what is under way without waiting. */
void gatekeeper_free(struct gatekeeper *k);

/* consul-writer's items, see gates.h; as replica_ops has them. */
bool gatekeeper_put(struct gatekeeper *k, const void *key, size_t key_len,
    const void *val, size_t len);
void gatekeeper_del(struct gatekeeper *k, const void *key, size_t key_len);
void gatekeeper_synced(struct gatekeeper *k);

/* From now on requests go out. */
void gatekeeper_start(struct gatekeeper *k);
/* A new token or certificate: what failed may work now. */
void gatekeeper_retry(struct gatekeeper *k);
/* No more writes; what is under way is given up: the next start sees to it. */
void gatekeeper_stop(struct gatekeeper *k);

#endif
