/*
 * The poll: reads the list from its source, lets it count or not, and
 * publishes what changed. The I/O shell around the pure modules.
 */
#ifndef READER_H
#define READER_H

#include <stddef.h>

#include "workers/worker.h"

struct reader;

/* Before the sandbox closes. consul-writer is told what comes of it. */
struct reader *reader_preload(struct worker *w, struct sandbox *sb);
void reader_start(struct reader *rd);
void reader_blob(struct reader *rd, enum blob_id id, const void *data,
    size_t len);

#endif
