/*
 * From the items that consul-reader sends (backend.h) to what is wanted of
 * each Service (objects.h), under the names that names.h gives. Pure.
 *
 * Items come and go one by one, in any order; services_settle() then works
 * out what that means, for those services only that it touches.
 */
#ifndef SERVICES_H
#define SERVICES_H

#include <stdbool.h>
#include <stddef.h>

#include "workers/k8s_writer/names.h"
#include "workers/k8s_writer/objects.h"

struct services;

struct services_conf {
	const struct object_conf *objects; /* the caller's, for its life */
	/*
	 * Called by services_settle(): first drop for each Service's name
	 * that its service has no more, then want for each that is new or
	 * changed, which may be of such a name again. w is the callee's.
	 */
	void (*drop)(const char *name, void *arg);
	void (*want)(struct wanted *w, void *arg);
	void *arg;
};

struct services *services_new(const struct services_conf *conf);
void services_free(struct services *ss); /* calls nobody */

/* False: it is no such item (see backend.h), and nothing has changed. */
bool services_put(struct services *ss, const void *key, size_t key_len,
    const void *val, size_t len);
/* What is not known is passed over. */
void services_del(struct services *ss, const void *key, size_t key_len);
void services_settle(struct services *ss);

/* For collisions: see names.h. */
const struct names *services_names(const struct services *ss);

#endif
