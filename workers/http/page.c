#include "workers/http/page.h"

#include <stdlib.h>

#include "common/clock.h"
#include "common/limits.h"
#include "common/log.h"

struct page {
	struct pages *all;
	unsigned refs;
	char *body;
	size_t len;
};

struct page *
page_new(struct pages *all,
    void (*render)(FILE *, const struct model *, uint64_t now_ms),
    const struct model *m)
{
	struct page *p;
	FILE *f;

	if (all->bytes >= LIMIT_HTTP_ANSWERS)
		return NULL;
	p = xcalloc(1, sizeof(*p));
	f = open_memstream(&p->body, &p->len);
	if (f == NULL)
		fatal("open_memstream");
	render(f, m, clock_ms());
	if (fclose(f) != 0)
		fatal("memory for an answer");
	p->all = all;
	p->refs = 1;
	all->bytes += p->len;
	return p;
}

void
page_unref(struct page *p)
{
	if (p == NULL || --p->refs > 0)
		return;
	p->all->bytes -= p->len;
	free(p->body);
	free(p);
}

size_t
page_len(const struct page *p)
{
	return p->len;
}

static void
on_drained(const void *body, size_t len, void *arg)
{
	(void)body;
	(void)len;
	page_unref(arg);
}

void
page_add(struct page *p, struct evbuffer *out)
{
	if (evbuffer_add_reference(out, p->body, p->len, on_drained, p) == -1)
		fatalx("no memory for an answer");
	p->refs++;
}
