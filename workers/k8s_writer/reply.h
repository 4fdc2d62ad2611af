/* What the apiserver's answers mean. Pure. */
#ifndef REPLY_H
#define REPLY_H

#include <stddef.h>
#include <stdint.h>

#include "common/metrics.h"
#include "workers/k8s_writer/kube_json.h"
#include "workers/k8s_writer/plan.h"

struct reply {
	const char *error; /* NULL: an HTTP answer came */
	long status;
	uint64_t retry_after_ms; /* by header or Status; 0: not said */
	struct kube_status said;
};

/*
 * error, status and retry_after_ms as the client has them; body may be
 * anything. error stays the caller's.
 */
void reply_read(struct reply *r, const char *error, long status,
    uint64_t retry_after_ms, const char *body, size_t len);

/* PLAN_DONE for any 2xx. */
enum plan_result reply_result(const struct reply *r);
/* The same of a JSON patch, whose test of the version may have failed. */
enum plan_result reply_patch_result(const struct reply *r);

/* For the figures: what came, and an error by its kind. */
void reply_count(const struct reply *r, uint64_t bytes, struct metrics *m);
/* The second half of it, where not all that is no 2xx is an error. */
void reply_count_error(enum plan_result r, struct metrics *m);

/* What was asked for: "patch" and "services", in the words of RBAC. */
struct reply_about {
	const char *verb;
	const char *resource;
	const char *namespace;
};

/* Why it failed, at most LIMIT_TEXT bytes with the NUL. */
void reply_text(const struct reply *r, const struct reply_about *about,
    char text[LIMIT_TEXT]);

#endif
