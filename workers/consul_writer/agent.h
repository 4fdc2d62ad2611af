/*
 * The agent as a whole: when it is read, and whether it may be written to.
 * Pure; times are CLOCK_MONOTONIC milliseconds.
 *
 * An agent that can't be reached gets one read at a time, after a back-off,
 * and no write before a read went well: a wiped or changed agent is seen
 * before it is touched.
 */
#ifndef AGENT_H
#define AGENT_H

#include <stdbool.h>
#include <stdint.h>

struct agent {
	uint64_t resync_ms;
	uint64_t seed;
	uint64_t read_at; /* the next read is due */
	uint64_t
	    pause_until; /* asked-for reads don't follow each other at once */
	uint64_t hold_until; /* nothing goes out before (429, 503) */
	unsigned failures; /* of reads, in a row */
	unsigned holds; /* 429 and 503, in a row */
	unsigned refusals; /* 5xx to writes, in a row */
	bool known; /* a read went well since it was lost */
	bool reading;
	bool again; /* a read was asked for while one is under way */
};

/* The back-off of an agent that is away, and of one that is busy. */
#define AGENT_BACKOFF_MIN_MS 250
#define AGENT_BACKOFF_MAX_MS 5000
/* The first reads after it was found, and asked-for ones, are this apart. */
#define AGENT_LOOK_AGAIN_MS 1000
#define AGENT_PAUSE_MS      200
/* A Retry-After beyond this is cut: TTLs run out meanwhile. */
#define AGENT_HOLD_MAX_MS 30000
/* So many 5xx in a row mean the agent, not the services. */
#define AGENT_REFUSALS_MAX 8

void agent_init(struct agent *a, uint64_t resync_ms, uint64_t seed,
    uint64_t now);

bool agent_wants_read(const struct agent *a, uint64_t now);
bool agent_may_write(const struct agent *a, uint64_t now);
/* When either turns true by itself; UINT64_MAX: not before an event. */
uint64_t agent_next(const struct agent *a, uint64_t now);

void agent_read_begin(struct agent *a);
void agent_read_ok(struct agent *a, uint64_t now);
/* It answered, but not with what it was asked for: what was known holds. */
void agent_read_refused(struct agent *a, uint64_t now);
/* No answer. */
void agent_read_lost(struct agent *a, uint64_t now);

/* A write got no answer. */
void agent_lost(struct agent *a, uint64_t now);
/*
 * What is known of it is in doubt: read it again at once, unless a read that
 * failed is to be tried again anyway.
 */
void agent_doubt(struct agent *a, uint64_t now);
/*
 * What is known of it was known by another token: it is read before it is
 * written to. The read under way, if there is one, was cancelled.
 */
void agent_forget(struct agent *a, uint64_t now);
/* 429 or 503, with its Retry-After or 0, to a read or write. */
void agent_hold(struct agent *a, uint64_t retry_after_ms, uint64_t now);
/* Another 5xx to a write. True if that made it lost. */
bool agent_refused(struct agent *a, uint64_t now);
/* A write went well. */
void agent_written(struct agent *a);

#endif
