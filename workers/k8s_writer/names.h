/*
 * The names that Consul's services have in Kubernetes. Pure.
 *
 * Kubernetes wants DNS-1035 labels: lower case; each character that is none
 * of a-z, 0-9 and "-" becomes "-"; "-" at the ends are cut; "svc-" goes before
 * a first character that is no letter; at most 63 bytes.
 *
 * Where two services come to the same name, or to the same name of a route
 * (NAME-GATEWAY), that one has it which has it in the cluster; else the older
 * one, with the lesser create_index, then the one whose name sorts first. (The
 * index is that of instances, which come and go: not over a restart.) The
 * other one's name ends in "-" and 5 characters that are made of its name in
 * Consul. So names follow from the set of services and from what the cluster
 * has, in whatever order they came. A service of whose name nothing is left is
 * called "svc-" and such 5 characters.
 *
 * A service that is registered again does not get younger while it is known.
 */
#ifndef NAMES_H
#define NAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NAME_MAX_LEN  63
#define NAME_HASH_LEN 5
#define NAME_GATEWAYS 2

struct names;

struct names_conf {
	/* The routes' gateways; "": there are no such routes. */
	const char *gateways[NAME_GATEWAYS];
	/*
	 * Called by names_settle() for each service whose name is new or
	 * another one than before. Must not change the names.
	 */
	void (*changed)(const char *service, const char *name, void *arg);
	void *arg;
};

/* A service that could not have its name. */
struct names_collision {
	const char *service; /* Consul's names */
	const char *winner; /* that has it, or a route's name of it */
	const char *wanted;
	const char *given;
};

/* conf's texts stay the caller's, for the life of the names. */
struct names *names_new(const struct names_conf *conf);
void names_free(struct names *ns);

/* create_index 0: not known, counts as younger than all others. */
void names_put(struct names *ns, const char *service, uint64_t create_index);
void names_del(struct names *ns, const char *service);
/*
 * The cluster's Service of that name is that service's, until names_del(), or
 * until another one's is said to have it. True if the service is known and had
 * another name.
 */
bool names_hold(struct names *ns, const char *name, const char *service);
/* After any number of the above: works out the names. */
void names_settle(struct names *ns);

/* As of the last names_settle(); NULL if it did not know the service. */
const char *names_get(const struct names *ns, const char *service);

size_t names_collisions(const struct names *ns);
/* In the order of the services' names, as of the last names_settle(). */
void names_each_collision(const struct names *ns,
    void (*each)(const struct names_collision *c, void *arg), void *arg);

/* The name without regard to others; "" if nothing is left of it. */
void names_base(const char *service, char out[NAME_MAX_LEN + 1]);
/* NAME_HASH_LEN characters of a-z and 0-9 that the text makes, and a NUL. */
void names_hash(const char *text, uint64_t seed, char out[NAME_HASH_LEN + 1]);

#endif
