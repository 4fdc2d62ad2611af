/*
 * The certificate that we show to a server, and its key. They come one after
 * the other, in any order and at any time, and are of use only together: until
 * a new pair is whole, the one that served last is used. Pure; TLS says which
 * is a pair.
 */
#ifndef IDENTITY_H
#define IDENTITY_H

#include "workers/secret.h"

enum identity_part { IDENTITY_CERT, IDENTITY_KEY, IDENTITY_PARTS };

/* Zeroed at first. */
struct identity {
	struct secret wanted[IDENTITY_PARTS]; /* the last that came */
	struct secret served[IDENTITY_PARTS]; /* a pair, or none */
	bool held; /* wanted is no pair, so served is used */
};

void identity_clear(struct identity *i);

/*
 * A part came; from now on it is used, with the other one that came last. len
 * 0: there is to be none, and what was is not used any more. False: nothing
 * new.
 */
bool identity_set(struct identity *i, enum identity_part part, const void *data,
    size_t len);
/* That which is used. */
const struct secret *identity_get(const struct identity *i,
    enum identity_part part);

/* A connection was made with what is used. */
void identity_served(struct identity *i);
/*
 * What is used is no pair. True: another is used now, until a part comes.
 * False: there is no other.
 */
bool identity_refused(struct identity *i);

#endif
