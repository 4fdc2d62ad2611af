/*
 * Whether the CRD of a kind that the cluster lacks is there by now: a watch
 * of that one object, as long as the kind is lacking. It needs a right in the
 * whole cluster, and does without: then the kind is asked for from time to
 * time, see watch.h. Pure: no clock, no I/O; times are CLOCK_MONOTONIC
 * milliseconds.
 *
 * A watch from version 0 begins with what is there, so that there is nothing
 * to be known before.
 */
#ifndef CRD_H
#define CRD_H

#include <stdbool.h>
#include <stdint.h>

#include "workers/k8s_writer/kube_json.h"

enum crd_do {
	CRD_NOTHING, /* until crd_due() or an answer */
	CRD_WATCH, /* GET of crd_path(); it is under way then */
	CRD_STOP /* cancel it; that was its end */
};

struct crd {
	uint64_t rest_ms;
	uint64_t seed;

	bool wanted; /* the kind is lacking */
	bool under_way;
	bool there; /* what it said last */
	uint64_t begun_at;
	uint64_t heard_at;
	uint64_t next_at;
	unsigned failures;
	unsigned rounds;
};

/* rest_ms: where it is not permitted it is tried again so long after. */
void crd_init(struct crd *c, uint64_t rest_ms, uint64_t seed);

/* The kind is lacking, or it is not: then nothing is to be watched. */
void crd_want(struct crd *c, bool wanted);
enum crd_do crd_next(struct crd *c, uint64_t now);
/* When crd_next() or crd_tells() may say more; UINT64_MAX: never. */
uint64_t crd_due(const struct crd *c, uint64_t now);

#define CRD_PATH 512
/* Of what is under way, for HTTPRoutes. */
void crd_path(const struct crd *c, char buf[CRD_PATH]);
/* Of the object nothing but its metadata, as the rest may be large. */
#define CRD_ACCEPT \
	"Accept: application/json;as=PartialObjectMetadata;" \
	"g=meta.k8s.io;v=v1"

/* What came of the watch. True: the kind may be served now. */
bool crd_event(struct crd *c, enum kube_event_type type, uint64_t now);
/* It ended, with an HTTP status (0: without an answer). */
void crd_end(struct crd *c, long status, uint64_t retry_after_ms, uint64_t now);
/* Something changed (a token): what failed is tried again at once. */
void crd_retry(struct crd *c, uint64_t now);

/*
 * There is no CRD, and we will hear of it once there is. One that is refused
 * ends within CRD_WORKS_MS.
 */
#define CRD_WORKS_MS 1000
bool crd_tells(const struct crd *c, uint64_t now);

#endif
