/*
 * The lists of Consul that say which services are to be read: parses them as
 * they come and finds what differs from the time before. Pure.
 *
 *	catalog		/v1/catalog/services	names and tags
 *	checks		/v1/health/state/STATE	checks that are in that state
 *	roster		/v1/health/state/any	instances, by their checks
 *	nodes		/v1/catalog/nodes	nodes, their addresses and meta
 *
 * What is not as Consul's API says refuses the whole list. What anybody may
 * register does not: a row that is too large is passed over (listing_odd()).
 */
#ifndef LISTING_H
#define LISTING_H

#include <stdbool.h>
#include <stddef.h>

#include "workers/refusal.h"

enum listing_kind {
	LISTING_CATALOG,
	LISTING_CHECKS,
	LISTING_ROSTER,
	LISTING_NODES
};

/* What a change is about. */
enum listing_about { LISTING_SERVICE, LISTING_NODE };

struct listing_change {
	enum listing_about about;
	const char *name; /* of the service or node */
	bool now; /* it is in the list */
};

struct listing_conf {
	enum listing_kind kind;
	const char *tag; /* catalog: services without it are not in the list */
	/* Catalog: of another namespace than Consul's own service is in. */
	bool elsewhere;
	const void *secret; /* LISTING_SECRET random bytes */
	void (*changed)(const struct listing_change *c, void *arg);
	void *arg;
};

/* Random bytes that nobody knows, so that no two rows are made to collide. */
#define LISTING_SECRET 192

struct listing;

/* conf is copied; its texts and secret stay the caller's. */
struct listing *listing_new(const struct listing_conf *conf);
void listing_free(struct listing *l); /* NULL is fine */

/* A read begins, its body comes in pieces, and is whole. False: refused. */
void listing_begin(struct listing *l);
bool listing_feed(struct listing *l, const char *data, size_t len);
bool listing_end(struct listing *l);
/* After listing_end(): it counts: calls changed() for what differs. */
void listing_commit(struct listing *l);
/* Of the list that counts. */
bool listing_has_service(const struct listing *l, const char *name);
/* It does not count; at any time. */
void listing_drop(struct listing *l);

/*
 * Of the list that was read last: what is in it, and is not followed.
 */
struct listing_odd {
	size_t large; /* rows over LIMIT_CONSUL_ELEMENT or PICKED_MAX */
	/* Catalog: tagged services with a name that can't be asked for. */
	size_t names;
	char name[LIMIT_TEXT]; /* the beginning of one of them */
};
const struct listing_odd *listing_odd(const struct listing *l);

/* Why it was refused. */
const struct refusal *listing_refusal(const struct listing *l);
/*
 * Catalog: Consul's own service is in it. Consul always has it: a catalog
 * without it is one of which we may not see all. Elsewhere nothing is always
 * there; but a token that is none sees nothing, so any service will do.
 */
bool listing_has_consul(const struct listing *l);

#endif
