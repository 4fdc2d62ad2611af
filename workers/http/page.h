/*
 * A body that all clients share to whom it is sent: who asks and does not read
 * costs no copy. How much waits for clients to take it is bounded.
 */
#ifndef PAGE_H
#define PAGE_H

#include <event2/buffer.h>
#include <stddef.h>
#include <stdio.h>

#include "workers/http/model.h"

/* Pages that somebody still has; they outlive none of them. */
struct pages {
	size_t bytes;
};

struct page;

/*
 * What render writes; the caller's until page_unref(). NULL: there are pages
 * of LIMIT_HTTP_ANSWERS bytes already.
 */
struct page *page_new(struct pages *all,
    void (*render)(FILE *, const struct model *, uint64_t now_ms),
    const struct model *m);
/* NULL is fine. */
void page_unref(struct page *p);
size_t page_len(const struct page *p);
/* It stays until out, or where that is moved to, has been drained of it. */
void page_add(struct page *p, struct evbuffer *out);

#endif
