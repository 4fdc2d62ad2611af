/*
 * What Consul's catalog shows of our checks on this node, while somebody wants
 * to know: a blocking query on /v1/health/node/NODE that is asked again and
 * again. Pure; times are CLOCK_MONOTONIC milliseconds.
 *
 * At rest nothing is asked and nothing kept.
 */
#ifndef CATALOG_H
#define CATALOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/limits.h"
#include "common/service.h"

struct catalog;

/* seed: for what is to look random. */
struct catalog *catalog_new(uint64_t seed);
void catalog_free(struct catalog *c); /* NULL is fine */

/*
 * When nobody wants to know any more, the query stays for a moment: sidecars
 * and pods seldom come alone.
 */
#define CATALOG_LINGER_MS 5000
/* Somebody wants to know, or nobody any more. */
void catalog_want(struct catalog *c, bool wanted, uint64_t now);
/* What the agent calls its node, "": not known yet. */
void catalog_node(struct catalog *c, const char *node, uint64_t now);
/* Something changed (a token): what was refused may go well now. */
void catalog_retry(struct catalog *c, uint64_t now);

/* ---- requests ---- */

/* Before the others: what is over by now ends. */
void catalog_run(struct catalog *c, uint64_t now);
/*
 * When the next one is to go out, or catalog_run() has something to do;
 * UINT64_MAX: not before an event.
 */
uint64_t catalog_due(const struct catalog *c);
/* The one under way is of no use any more: it is to be cancelled. */
bool catalog_gives_up(const struct catalog *c);
void catalog_cancelled(struct catalog *c, uint64_t now);

#define CATALOG_WAIT_MS 50000
#define CATALOG_PATH    20480
struct catalog_place {
	const char *prefix; /* of the path, as in struct writer_conf */
	const char *namespace;
};
/*
 * It goes out: its path, and for how long Consul may wait. stamp: the plan's,
 * now.
 */
void catalog_ask(struct catalog *c, const struct catalog_place *place,
    uint64_t stamp, uint64_t now, char path[CATALOG_PATH], uint64_t *wait_ms);

/* The headers that are looked at, for http_request_conf. */
#define CATALOG_INDEX    "X-Consul-Index"
#define CATALOG_LEADER   "X-Consul-KnownLeader"
#define CATALOG_FILTERED "X-Consul-Results-Filtered-By-ACLs"

struct catalog_answer {
	const char *error; /* NULL: there was an answer, with: */
	long status;
	const char *body;
	size_t body_len;
	const char *index; /* the headers, "" for one that is not there */
	const char *leader;
	const char *filtered;
	uint64_t retry_after_ms;
	uint64_t stamp; /* the plan's, as it came */
};

/*
 * The end of a request. NULL: it was good, else why not, for people (valid
 * until the next call); with what to do where a right is missing.
 */
const char *catalog_answered(struct catalog *c, const struct catalog_answer *a,
    uint64_t now);
/* The last good answer may lack something for want of a right. */
bool catalog_is_partial(const struct catalog *c);

/* ---- what it shows ---- */

enum catalog_shown {
	CATALOG_UNKNOWN, /* no answer that is new enough */
	CATALOG_ABSENT,
	CATALOG_OTHER, /* by another name: as it was registered before */
	CATALOG_PASSING,
	CATALOG_WARNING,
	CATALOG_CRITICAL
};

/* A check as the agent has it. */
struct catalog_check {
	const char *id;
	const char *name; /* definition_check_name() */
	enum service_status status;
	uint64_t since; /* the plan's stamp when the agent had it so */
};

/*
 * What is shown of it by an answer to what was asked after that stamp. Where
 * an older one shows what is wanted, it may be from before what was written
 * last: it is asked again, and at once.
 */
enum catalog_shown catalog_shows(struct catalog *c,
    const struct catalog_check *check);

/* The stamp as the last good answer came. */
uint64_t catalog_came(const struct catalog *c);

static inline enum catalog_shown
catalog_of_status(enum service_status st)
{
	return (enum catalog_shown)(CATALOG_PASSING + (int)st);
}

#endif
