/*
 * Of a JSON value, the members that are read. Pure.
 *
 * Others write much of what a server says as they like. What nobody reads
 * costs no memory as a tree, and may be as deep, and have such names, as no
 * parser would take.
 */
#ifndef EXCERPT_H
#define EXCERPT_H

#include <stdbool.h>
#include <stddef.h>

/* A list of them ends with EXCERPT_END. */
struct excerpt_member {
	const char *name;
	/* What of it, or of each object in it if it is a list. NULL: all. */
	const struct excerpt_member *inside;
};

#define EXCERPT_END \
	{ \
		NULL, NULL \
	}

struct excerpt_conf {
	const struct excerpt_member *wanted;
	/*
	 * Names with an escape are wanted, too: each may be one of these in
	 * disguise. Not where the server writes no such names.
	 */
	bool disguised;
};

/*
 * bytes: one JSON value that json_scan() found good, with any names. Writes
 * the same value with no members but those that are wanted, each as often as
 * it stands there and with its value as it stands there. Returns its length;
 * to has room for len bytes.
 */
size_t excerpt(const struct excerpt_conf *conf, const char *bytes, size_t len,
    char *to);

#endif
