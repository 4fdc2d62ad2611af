#include "workers/http_headers.h"

#include <bsd/stdlib.h>
#include <bsd/string.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

struct http_headers {
	unsigned refs;
	char *content_type;
	char *further[2];
	struct curl_slist *lines;
};

static void
add(struct http_headers *h, const char *name, const char *value)
{
	char *line;

	if (asprintf(&line, "%s%s", name, value) < 0)
		fatal("header line");
	h->lines = curl_slist_append(h->lines, line);
	if (h->lines == NULL)
		fatalx("header line: out of memory");
	freezero(line, strlen(line));
}

static char *
copy_or_null(const char *s)
{
	return s != NULL ? xstrdup(s) : NULL;
}

struct http_headers *
http_headers_new(const struct http_headers_conf *conf)
{
	struct http_headers *h = xcalloc(1, sizeof(*h));

	h->refs = 1;
	h->content_type = copy_or_null(conf->content_type);
	if (*conf->host != '\0')
		add(h, "Host: ", conf->host);
	if (conf->token != NULL)
		add(h, conf->token_prefix, conf->token);
	/* "Content-Type:" alone keeps curl from sending one of its own. */
	if (conf->content_type != NULL)
		add(h, "Content-Type: ", conf->content_type);
	else
		add(h, "Content-Type:", "");
	/* A server may take its time to say that it wants a body. */
	add(h, "Expect:", "");
	for (size_t i = 0; i < COUNT(h->further); i++) {
		h->further[i] = copy_or_null(conf->further[i]);
		if (h->further[i] != NULL)
			add(h, h->further[i], "");
	}
	return h;
}

struct http_headers *
http_headers_ref(struct http_headers *h)
{
	h->refs++;
	return h;
}

void
http_headers_unref(struct http_headers *h)
{
	struct curl_slist *line;

	if (h == NULL || --h->refs > 0)
		return;
	for (line = h->lines; line != NULL; line = line->next)
		explicit_bzero(line->data, strlen(line->data));
	curl_slist_free_all(h->lines);
	free(h->content_type);
	for (size_t i = 0; i < COUNT(h->further); i++)
		free(h->further[i]);
	free(h);
}

static bool
same(const char *a, const char *b)
{
	return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

bool
http_headers_fit(const struct http_headers *h,
    const struct http_headers_conf *conf)
{
	if (h == NULL || !same(h->content_type, conf->content_type))
		return false;
	for (size_t i = 0; i < COUNT(h->further); i++)
		if (!same(h->further[i], conf->further[i]))
			return false;
	return true;
}

struct curl_slist *
http_headers_lines(const struct http_headers *h)
{
	return h->lines;
}
