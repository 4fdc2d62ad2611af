/*
 * What the http worker knows, and nothing else: how the workers are (from the
 * supervisor), their figures (asked for when scraped) and its own, and what
 * the writers report of each pod, service and object.
 */
#ifndef MODEL_H
#define MODEL_H

#include <stdbool.h>
#include <stdint.h>

#include "common/limits.h"
#include "common/metrics.h"
#include "common/proto.h"
#include "common/state.h"

struct worker_info {
	bool known;
	enum worker_state state;
	uint32_t pid; /* 0: none */
	uint64_t since_ms; /* CLOCK_MONOTONIC ms of its start */
	uint64_t down_ms; /* since when it has not been READY; 0: it is */
	uint32_t restarts;
	uint32_t layers; /* SANDBOX_* */
	char missing[LIMIT_TEXT + 1]; /* layers that the kernel lacks */
	enum health health;
	char text[LIMIT_TEXT + 1]; /* "" if there is nothing to say */
};

struct model {
	struct worker_info workers[ROLE_MAX];
	struct metrics metrics[ROLE_MAX];
	/* Of struct pod_report and struct service_report, by their keys. */
	struct replica *services;
	struct replica *objects; /* of struct object_report */
	role_mask synced; /* who had a first full sync; never taken back */
};

/* A worker that is not READY for this long makes /healthz fail. */
#define MODEL_DOWN_MS 5000

/* Takes a WORKER message in. False: it makes no sense. */
bool model_worker(struct model *m, const struct msg *msg, uint64_t now_ms);

/* The directions that there are have each done their first full sync. */
bool model_synced(const struct model *m);
/*
 * Whether all is well (/healthz) and whether the first full sync was done
 * (/readyz); reason (cap bytes) says why not, or "ok".
 */
bool model_healthy(const struct model *m, uint64_t now_ms, char *reason,
    size_t cap);
bool model_ready(const struct model *m, char *reason, size_t cap);

const char *worker_state_name(enum worker_state st);

#endif
