/*
 * The writer: follows what the cluster has, and makes it match what
 * consul-reader says. The shell around the modules without I/O of this
 * folder: it owns the clock, the timer, the requests and what is said about them.
 */
#ifndef WRITER_H
#define WRITER_H

#include <event2/event.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/backend.h"
#include "common/metrics.h"
#include "common/proto.h"
#include "workers/http_client.h"
#include "workers/k8s_writer/objects.h"

/* Besides the writes: a list or watch of each kind, the Lease, a CRD. */
#define WRITER_OTHERS (KUBE_KINDS + 2)

struct writer;

/* Strings and pointers stay the caller's, for the writer's life. */
struct writer_conf {
	struct event_base *base;
	/* Of concurrency + WRITER_OTHERS connections; NULL: never started. */
	struct http_client *client;
	struct metrics *metrics;
	const char *server; /* for messages */
	const char *prefix; /* of the paths: "", or "/x" without an end slash */
	struct object_conf objects;
	const char *lease; /* its name */
	const char *identity; /* who we are there */
	bool elect; /* false: there is no other copy */
	uint64_t timeout_ms; /* of one request */
	uint64_t resync_ms;
	uint64_t seed; /* for what is to look random */
	unsigned concurrency; /* writes at once */
	uint64_t max_delete; /* thousandths, see plan.h */
	/* What is known of an object, and that there is nothing to say. */
	void (*report)(const struct object_report *r, void *arg);
	void (*gone)(const char *id, void *arg);
	/* How it goes, often; synced stays true once it was. */
	void (*health)(enum health h, bool synced, const char *text, void *arg);
	/* After writer_stop(): nothing is under way any more. */
	void (*stopped)(void *arg);
	void *arg;
};

struct writer *writer_new(const struct writer_conf *conf);
/* Ends what is under way without waiting. */
void writer_free(struct writer *w);

/* consul-reader's items, see desire.h. False: such an item is none. */
bool writer_put(struct writer *w, const void *key, size_t key_len,
    const void *val, size_t len);
void writer_del(struct writer *w, const void *key, size_t key_len);
/* As replica_ops has them. */
void writer_synced(struct writer *w, bool new_epoch);
void writer_fresh(struct writer *w, uint64_t read_at, bool confirmed);

/* What plan.h says of it; after writer_synced(). */
char *writer_manifest(struct writer *w);

/* From now on requests go out. */
void writer_start(struct writer *w);
/* A new token or certificate: what failed may work now. */
void writer_retry(struct writer *w);
/*
 * No new writes; once those under way ended the Lease is given back, then
 * stopped() is called; in 2 s at the latest.
 */
void writer_stop(struct writer *w);

#endif
