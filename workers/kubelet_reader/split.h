/*
 * Splits a PodList that comes in pieces of any size into its pods, in memory
 * of one pod. Pure.
 *
 * All of the body is checked to be JSON, with any names (json_scan.h) and as
 * deep as Go writes it inside of pods, but a pod that is known from before:
 * its first bytes say how long it was, and if the hash of as many bytes is
 * the same, then so are the bytes, and they need no look.
 *
 * kind and apiVersion may stand behind the items: what the pods say is void
 * until split_end() has said that all is well.
 */
#ifndef SPLIT_H
#define SPLIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <xxhash.h>

#include "workers/refusal.h"

/* Random bytes that nobody knows, so that no two pods are made to collide. */
#define SPLIT_SECRET 192

/* As many first bytes of a pod hold its name and namespace. */
#define SPLIT_PREFIX 256

struct split_pod {
	const char *bytes; /* the object, valid during the call */
	size_t len;
	XXH128_hash_t hash; /* of all of it */
	XXH128_hash_t prefix; /* of the first SPLIT_PREFIX bytes; else 0 */
	bool known; /* not scanned */
};

struct split_ops {
	/* False: the list is refused, and the refusal says why. */
	bool (*pod)(const struct split_pod *pod, void *arg);
	/*
	 * A pod that begins with this: its length and hash, if one is known
	 * that was not asked for since split_begin(). May be NULL.
	 */
	bool (*known)(XXH128_hash_t prefix, size_t *len, XXH128_hash_t *hash,
	    void *arg);
};

struct split;

/* secret has SPLIT_SECRET bytes; it, ops and r stay the caller's. */
struct split *split_new(const struct split_ops *ops, const void *secret,
    struct refusal *r, void *arg);
void split_free(struct split *s);

/* A new body; clears the refusal. */
void split_begin(struct split *s);
/* False: the list is refused; no more of it is needed. */
bool split_feed(struct split *s, const char *data, size_t len);
/* The body is there as a whole: true if it was a PodList. */
bool split_end(struct split *s);

/* Bytes that wait for the rest of their pod, for tests. */
size_t split_held(const struct split *s);

#endif
