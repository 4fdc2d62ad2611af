/*
 * The Consul services that Kubernetes is to have: consul-reader's items, by
 * service, with the names that they get. Pure.
 *
 * Only what changed is worked out again: desire_settle() tells of each service
 * whose items, or whose name, are others than when it was told last.
 */
#ifndef DESIRE_H
#define DESIRE_H

#include <stdbool.h>
#include <stddef.h>

#include "workers/k8s_writer/objects.h"

struct desire;

/*
 * What is told may not change the desire. All names that are free again are
 * told before a service is told that has one of them now.
 */
struct desire_conf {
	const struct object_conf *objects;
	/* w is the callee's. */
	void (*want)(struct wanted *w, void *arg);
	/* The Service of that name is not wanted any more. */
	void (*drop)(const char *name, void *arg);
	/* A service does not get the name that it should; once each. */
	void (*collision)(const struct names_collision *c, void *arg);
	/*
	 * Some of a service's endpoints are left out (objects.h), or none
	 * any more; once each. w stays the desire's.
	 */
	void (*left_out)(const struct wanted *w, void *arg);
	void *arg;
};

/* Texts and pointers stay the caller's, for the desire's life. */
struct desire *desire_new(const struct desire_conf *conf);
void desire_free(struct desire *d); /* NULL is fine */

/* Of an item; false: key or value are none. */
bool desire_put(struct desire *d, const void *key, size_t key_len,
    const void *val, size_t len);
void desire_del(struct desire *d, const void *key, size_t key_len);
/*
 * The cluster's Service of that name is that service's, see names.h. Of a
 * service that is not wanted it says nothing.
 */
void desire_hold(struct desire *d, const char *name, const char *service);
/* After any number of the above. */
void desire_settle(struct desire *d);

/* Services that do not have the name that they should. */
size_t desire_collisions(const struct desire *d);

#endif
