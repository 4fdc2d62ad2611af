/* What the agent's HTTP answers to writes mean, and where requests go. Pure. */
#ifndef ANSWER_H
#define ANSWER_H

#include <stdbool.h>
#include <stddef.h>

#include "workers/consul_writer/plan.h"

struct answer {
	const char *error; /* NULL: there was an answer, with: */
	long status;
	const char *body;
};

enum plan_result answer_result(const struct answer *a);

/* The rights that requests need, for answer_text(). */
#define ANSWER_WRITES "service:write on it"
#define ANSWER_READS  "service:write on its services"
#define ANSWER_NODE   "node:read on its node"

/*
 * For people: the status and the first line of what Consul says, or why there
 * was no answer; what to do about a 403, where right may be missing.
 */
void answer_text(const struct answer *a, const char *right, char *buf,
    size_t cap);

/*
 * prefix, path, the percent-encoded id ("" for none), and the namespace
 * ("" for none) as query, joined by & if path has a query. False: too long.
 */
bool answer_path(char *buf, size_t cap, const char *prefix, const char *path,
    const char *id, const char *namespace);
/* Fits whatever LIMIT_SERVICE_ID and LIMIT_OPTION allow. */
#define ANSWER_PATH 20480

#endif
