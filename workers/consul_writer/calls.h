/*
 * Sidecars' calls: which are refused, and when those that wait are answered.
 * Pure.
 *
 * A call changes its pod's sidecar at once, and then waits for what that
 * brings about in Consul. Of one pod one of each kind waits, so that no pod
 * takes the places of others: a newer one ends it. What is answered with
 * CALL_OK is so at that moment.
 */
#ifndef CALLS_H
#define CALLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/proto.h"
#include "workers/consul_writer/pods.h"
#include "workers/consul_writer/standing.h"

/* For TAG_CODE: gRPC's status codes. */
enum call_code {
	CALL_OK = 0,
	CALL_INVALID_ARGUMENT = 3,
	CALL_NOT_FOUND = 5,
	CALL_PERMISSION_DENIED = 7,
	CALL_RESOURCE_EXHAUSTED = 8,
	CALL_FAILED_PRECONDITION = 9,
	CALL_ABORTED = 10,
	CALL_UNAVAILABLE = 14
};

struct call {
	uint64_t id;
	enum call_op op;
	const char *namespace;
	const char *pod;
	const char *container;
	const char *peer; /* the caller's address */
	bool local; /* it is one of this machine's */
	uint64_t now; /* CLOCK_MONOTONIC milliseconds */
};

/*
 * A pod that has itself taken in and out again and again writes to Consul and
 * the log each time: so often at once, and one more in each such time.
 */
#define CALL_TURNS   10
#define CALL_TURN_MS 1000

struct calls_conf {
	struct pods *pods; /* the caller's, for its life */
	bool verify_peer; /* a pod's calls come from its own address */
	/* The end of a call; text is "" for CALL_OK. Not to call this module. */
	void (*answer)(uint64_t id, enum call_code code, const char *text,
	    void *arg);
	void *arg;
};

struct calls;

struct calls *calls_new(const struct calls_conf *conf);
void calls_free(struct calls *c); /* without a word; NULL is fine */

/* A copy is kept. False: there is one with that id. */
bool calls_begin(struct calls *c, const struct call *call);
/* Nobody waits for it any more; it may have ended. */
void calls_end(struct calls *c, uint64_t id);
/* Nobody waits for any of them. */
void calls_clear(struct calls *c);
size_t calls_count(const struct calls *c);

/* Answers those whose time has come. */
void calls_settle(struct calls *c, struct outlook *o);

#endif
