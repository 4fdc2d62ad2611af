/*
 * The inside of catalog.h: catalog.c has the services, instances.c what an
 * answer says of one's instances, items.c what is published of them.
 */
#ifndef CATALOG_INSIDE_H
#define CATALOG_INSIDE_H

#include <bsd/sys/tree.h>
#include <xxhash.h>

#include "workers/consul_reader/catalog.h"

/* What the last answer lacked, and a later one is to confirm. */
struct hold {
	uint64_t since;
	uint64_t for_ms; /* 0: it is not missing */
	uint64_t look_at; /* when to ask again */
};

struct inst {
	RB_ENTRY(inst) by_name; /* node, then ID */
	RB_ENTRY(inst) by_hash;
	XXH128_hash_t hash; /* of its JSON */
	struct derived *d;
	uint64_t round; /* of the last answer that had it */
	struct hold hold;
	unsigned published; /* items; more than one: a host's addresses */
	bool left_out; /* for want of room: there should be more */
};

RB_HEAD(inst_names, inst);
RB_HEAD(inst_hashes, inst);

struct svc {
	RB_ENTRY(svc) link;
	struct inst_names names;
	struct inst_hashes hashes;
	size_t n; /* instances */
	size_t items; /* of instances, published */
	size_t left_out; /* instances */
	bool said_left_out;
	XXH128_hash_t body; /* of the last answer that counted */
	bool read; /* there was one */
	bool whole; /* and it had or confirmed all that is here */
	uint64_t round; /* answers so far, good or not */
	struct hold hold;
	uint64_t create_index; /* least that was seen: it never grows younger */
	bool published;
	bool no_room; /* for the service itself */
	char name[];
};

RB_HEAD(svc_tree, svc);

struct catalog {
	struct catalog_conf conf;
	struct svc_tree tree;
	size_t n; /* services */
	size_t items; /* of instances, published */
	bool room; /* some went since it was looked who was left out */
	size_t instances; /* that count */
	/* What is true of them now; waiting: services and instances. */
	struct catalog_counts counts;
};

/* ---- catalog.c ---- */

struct svc *svc_find(const struct catalog *c, const char *name);
/* Where some went, others have room. */
void fill_up(struct catalog *c);
/* Puts on hold, or off. */
void hold_set(struct catalog *c, struct hold *h, uint64_t for_ms, uint64_t now);
void hold_clear(struct catalog *c, struct hold *h);
static inline bool
hold_is_set(const struct hold *h)
{
	return h->for_ms > 0;
}
/* It is over: the answer that lacks it now counts. */
bool hold_is_over(const struct hold *h, uint64_t now);
/* ---- instances.c ---- */

/* Each change of an instance that is there is between two of these. */
void inst_uncount(struct catalog *c, struct svc *s, const struct inst *in);
void inst_count(struct catalog *c, struct svc *s, const struct inst *in);
struct inst *inst_first(struct svc *s);
struct inst *inst_next(struct inst *in);
void inst_forget_all(struct catalog *c, struct svc *s);

/* ---- items.c ---- */

void publish_instance(struct catalog *c, struct svc *s, struct inst *in);
void unpublish_instance(struct catalog *c, struct svc *s, struct inst *in);
/* The service itself, by what its instances say. */
void publish_service(struct catalog *c, struct svc *s);
/* Of its instances, what was left out and has room now. */
void publish_left_out(struct catalog *c, struct svc *s);

#endif
