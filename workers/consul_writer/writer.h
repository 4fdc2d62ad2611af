/*
 * The writer: asks the agent what it has, and sends it what the plan says,
 * several requests at once. The shell around plan.h and agent.h: it owns the
 * clock, the timer, the requests and what is said about them.
 */
#ifndef WRITER_H
#define WRITER_H

#include <event2/event.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/metrics.h"
#include "common/proto.h"
#include "common/service.h"
#include "workers/consul_writer/plan.h"
#include "workers/http_client.h"

struct writer;

/* Strings and pointers stay the caller's, for the writer's life. */
struct writer_conf {
	struct event_base *base;
	struct http_client *client;
	struct metrics *metrics;
	const char *server; /* for messages */
	const char *prefix; /* of the paths: "", or "/x" without an end slash */
	const char *namespace; /* "": none */
	uint64_t timeout_ms; /* of one request */
	uint64_t resync_ms;
	uint64_t stale_after_ms;
	uint64_t deregister_ms; /* 0: off */
	uint64_t seed; /* for what is to look random */
	unsigned concurrency; /* writes at once */
	/* As struct plan_conf has them. */
	void (*report)(const struct service_report *r, void *arg);
	void (*gone)(const char *id, void *arg);
	/* What writer_view() says may have changed. May be NULL. */
	void (*moved)(void *arg);
	/* How it goes, often; synced stays true once it was. */
	void (*health)(enum health h, bool synced, const char *text, void *arg);
	/* After writer_stop(): nothing is under way any more. */
	void (*stopped)(void *arg);
	void *arg;
};

struct writer *writer_new(const struct writer_conf *conf);
/* Ends what is under way without waiting. */
void writer_free(struct writer *w);

/* The desired state, see plan.h. s is the writer's from now on. */
void writer_want(struct writer *w, struct service *s);
void writer_drop(struct writer *w, const char *id, bool named);
void writer_synced(struct writer *w, bool new_epoch);
void writer_fresh(struct writer *w, uint64_t read_at, bool confirmed);

/*
 * How a service stands at the agent, see plan.h; nothing is written while the
 * agent is away or the pods are stale.
 */
struct plan_view writer_view(struct writer *w, const char *id);
void writer_confirm(struct writer *w, const char *id);
uint64_t writer_stamp(const struct writer *w);
/* What the agent calls itself, by what it has of ours; "": not known yet. */
const char *writer_node(const struct writer *w);
/* Somebody wants to know: it is read again if that may tell. */
void writer_find_node(struct writer *w);

/*
 * Another request got no answer: the agent may have started anew, with nothing.
 * It is read before any of its services counts as written.
 */
void writer_lost(struct writer *w);

/* From now on requests go out. */
void writer_start(struct writer *w);
/* A new certificate: what failed may work now. */
void writer_retry(struct writer *w);
/*
 * Another token: the agent is read by it before anything is written, for with
 * the last one it may have shown nothing, and all services are registered
 * again, see plan_renew().
 */
void writer_renew(struct writer *w);
/* No new requests; stopped() once the writes under way ended, or in 2 s. */
void writer_stop(struct writer *w);

#endif
