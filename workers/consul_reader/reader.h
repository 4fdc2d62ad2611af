/*
 * The reader: asks Consul what follow.h says, takes what it answers to
 * listing.h and catalog.h, and publishes what comes out of it. The shell
 * around them: it owns the clock, the timer, the requests, and what is said
 * about them.
 */
#ifndef READER_H
#define READER_H

#include "workers/worker.h"

struct reader;

/* For struct worker_role, by the same names. */
struct reader *reader_preload(struct worker *w, struct sandbox *sb);
void reader_start(struct reader *r);
void reader_blob(struct reader *r, enum blob_id id, const void *data,
    size_t len);
void reader_connected(struct reader *r, int fd);

#endif
