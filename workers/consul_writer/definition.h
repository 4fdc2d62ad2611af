/*
 * The fingerprint of a definition, the same way for what is wanted and for
 * what the agent shows: an outline, then the tags, then the check's name and
 * notes. Pure.
 */
#ifndef DEFINITION_H
#define DEFINITION_H

#include <xxhash.h>

#include "workers/consul_writer/actual.h"

struct outline {
	const char *name;
	const char *address;
	const char *lan_ipv4; /* see definition_tagged() */
	const char *lan_ipv6;
	uint64_t port;
	struct fingerprint meta; /* see definition_pair() */
	size_t ntags;
};

/* The caller frees it by definition_end(). */
XXH3_state_t *definition_begin(const struct outline *o);
void definition_text(XXH3_state_t *h, const char *s);
/* Without its place. */
struct fingerprint definition_end(XXH3_state_t *h);
uint64_t definition_place(const struct outline *o);

/* Pairs of meta stand in no order: their fingerprints are added up. */
void definition_pair(struct fingerprint *sum, const char *key, const char *val);

/*
 * What counts as the tagged address of a family: the given one, else (NULL or
 * "") the address itself if it is of that family, else "". Agents add it so,
 * but not all versions do.
 */
const char *definition_tagged(const char *address, const char *given, bool v6);

#define DEFINITION_CHECK_NAME 192
/*
 * The check's name, which says what the agent does not show (see
 * consul_json.h), and what a list of checks does not: that they belong to
 * this pod, and not to the one that had its name before.
 */
void definition_check_name(const struct service *s, uint64_t deregister_ms,
    char buf[DEFINITION_CHECK_NAME]);

#endif
