/* What Consul's HTTP answers are worth. Pure. */
#ifndef ANSWER_H
#define ANSWER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Answers older than this come from a server that lost the others. */
#define ANSWER_CONTACT_MAX_MS 10000

/* The headers that are looked at, for http_request_conf. */
#define ANSWER_INDEX    "X-Consul-Index"
#define ANSWER_LEADER   "X-Consul-KnownLeader"
#define ANSWER_CONTACT  "X-Consul-LastContact"
#define ANSWER_FILTERED "X-Consul-Results-Filtered-By-ACLs"

struct answer {
	const char *error; /* NULL: there was an answer, with: */
	bool too_large; /* the error is that */
	long status;
	const char *body; /* "" where it was read as a stream */
	const char *index; /* the headers, "" for one that is not there */
	const char *leader;
	const char *contact;
	const char *filtered;
};

enum answer_worth {
	ANSWER_GOOD,
	ANSWER_PARTIAL, /* good, but the token may not see all */
	ANSWER_LOST, /* no answer, or from a Consul that is in trouble */
	ANSWER_BUSY, /* 429, 503 */
	ANSWER_TOO_LARGE, /* Consul is well, but it says too much */
	ANSWER_DENIED, /* the token, or that there is none */
	ANSWER_REFUSED /* another 4xx: the request is not to its liking */
};

struct answer_said {
	enum answer_worth worth;
	uint64_t index; /* >= 1 if it is good or partial */
};

struct answer_said answer_read(const struct answer *a);
/* Good or partial. */
bool answer_counts(enum answer_worth worth);
/* For people, of one that is not good: why, and what to do about a 403. */
void answer_text(const struct answer *a, char *buf, size_t cap);

#endif
