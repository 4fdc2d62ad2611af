/*
 * What is known of the tagged services and their instances, and what of it is
 * published: the items of common/backend.h. Pure; times are CLOCK_MONOTONIC
 * milliseconds.
 *
 * What an answer says is published at once. What it lacks goes by trust.h: it
 * may have to wait for a later answer that lacks it too, and until then stays
 * as it was.
 */
#ifndef CATALOG_H
#define CATALOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "workers/consul_reader/derive.h"
#include "workers/consul_reader/trust.h"
#include "workers/refusal.h"

struct catalog;

/* They must not call the catalog. */
struct catalog_ops {
	/* An item, often the same as before. False: there is no room. */
	bool (*put)(const void *key, size_t key_len, const void *val,
	    size_t val_len, void *arg);
	/* It is no more, if it was there at all. */
	void (*del)(const void *key, size_t key_len, void *arg);
	/* A line for the log; not said of the same instance before. */
	void (*notice)(const char *line, void *arg);
	/*
	 * The addresses of a host name, separated by ",", IPv6 in brackets; ""
	 * while there are none. NULL: host names are not looked up.
	 */
	const char *(*lookup)(const char *host, void *arg);
	/* An instance has that host name; one of those that had no longer. */
	void (*hold)(const char *host, void *arg);
	void (*release)(const char *host, void *arg);
	/* The service is forgotten. */
	void (*forgotten)(const char *service, void *arg);
};

struct catalog_conf {
	struct derive_conf derive;
	const struct catalog_ops *ops;
	struct trust *trust;
	const void *secret; /* CATALOG_SECRET random bytes */
	void *arg;
};

/* Random bytes that nobody knows, so that no two bodies are made to collide. */
#define CATALOG_SECRET 192

/*
 * Items of instances: of one service, and of all. The rest of the set is for
 * the services themselves. What is left out is published when there is room.
 */
#define CATALOG_SERVICE_ITEMS 10000
#define CATALOG_ITEMS         (LIMIT_SET_ENTRIES - 10000)

/* conf is copied; what it points to stays the caller's. */
struct catalog *catalog_new(const struct catalog_conf *conf);
void catalog_free(struct catalog *c); /* NULL is fine; calls no ops */

/* The catalog's list names a service. */
void catalog_named(struct catalog *c, const char *service);
/*
 * A whole list came, in which has() is true for what it names. Not for one
 * that may hide something: absence says nothing then.
 */
void catalog_listed(struct catalog *c,
    bool (*has)(const char *service, void *arg), void *arg, uint64_t now);

/*
 * A read of a service: the body of /v1/health/service/NAME comes in pieces.
 * Nothing of it counts before the end, and what is kept of it until then are
 * the instances that are not as they were. Of a service there is one read at a
 * time; its catalog stays until it is freed.
 *
 * An answer without any instance says nothing: the catalog names no service
 * that has none, so they are hidden, or the catalog will say that it went.
 */
enum catalog_result {
	CATALOG_SAME, /* as it was when it was read last */
	CATALOG_CHANGED,
	CATALOG_UNKNOWN, /* no such service */
	CATALOG_REFUSED /* nothing of it counts; see the refusal */
};

struct catalog_read;
struct catalog_read *catalog_read_new(struct catalog *c, const char *service);
void catalog_read_free(struct catalog_read *rd); /* NULL is fine */
/* False: it is refused; no more of it is needed. */
bool catalog_read_feed(struct catalog_read *rd, const char *data, size_t len);
/* All came. partial: it may hide instances: absence says nothing. */
enum catalog_result catalog_read_end(struct catalog_read *rd, bool partial,
    uint64_t now);
const struct refusal *catalog_read_refusal(const struct catalog_read *rd);

/* Consul lost its state: what waits does so from now on. */
void catalog_reset(struct catalog *c, uint64_t now);
/*
 * When a second look is due at what waits; UINT64_MAX: nothing does. Then
 * look() is called for each service that is to be read again, and with NULL if
 * the list is; a look that comes too early is told to come again.
 */
uint64_t catalog_look_due(const struct catalog *c);
void catalog_look(struct catalog *c, uint64_t now,
    void (*look)(const char *service, void *arg), void *arg);

/* Calls fn for each service that has an instance on that node of Consul's. */
void catalog_on_node(const struct catalog *c, const char *node,
    void (*fn)(const char *service, void *arg), void *arg);
/* The addresses of the host names for which changed() is true are others. */
void catalog_rehost(struct catalog *c,
    bool (*changed)(const char *host, void *arg), void *arg);

struct catalog_counts {
	size_t services; /* published */
	size_t instances; /* that have an address, also if not ready */
	size_t ready; /* of them */
	size_t bad; /* left out: address, port, name */
	size_t loops; /* left out: from Kubernetes */
	size_t left_out; /* for want of room: services and instances */
	size_t waiting; /* services and instances that wait for a second look */
};
struct catalog_counts catalog_counts(const struct catalog *c);

#endif
