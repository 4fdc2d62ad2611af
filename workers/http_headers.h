/*
 * The header lines of a request, made once and shared by all requests that
 * send the same ones. They hold the token: the memory is wiped.
 */
#ifndef HTTP_HEADERS_H
#define HTTP_HEADERS_H

#include <curl/curl.h>
#include <stdbool.h>

struct http_headers;

struct http_headers_conf {
	/* The same for all requests of a client: not compared. */
	const char *host; /* "": curl's own is right */
	const char *token_prefix; /* "X-Consul-Token: " */
	const char *token; /* NULL: none */
	/* Of the request. */
	const char *content_type; /* NULL: none is sent */
	const char *further[2]; /* whole lines, or NULL */
};

/* Copies; holds one reference. */
struct http_headers *http_headers_new(const struct http_headers_conf *conf);
struct http_headers *http_headers_ref(struct http_headers *h);
/* h may be NULL. */
void http_headers_unref(struct http_headers *h);
/* True if h has the lines of such a request; false if h is NULL. */
bool http_headers_fit(const struct http_headers *h,
    const struct http_headers_conf *conf);
/* For CURLOPT_HTTPHEADER, valid while a reference is held. */
struct curl_slist *http_headers_lines(const struct http_headers *h);

#endif
