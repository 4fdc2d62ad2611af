/*
 * One of curl's handles, used for one request after the other, and what came
 * of the request: status, body within its bound, or why there is none.
 * What the user sees is http_client.h; this is a part of it.
 */
#ifndef HTTP_TRANSFER_H
#define HTTP_TRANSFER_H

#include <curl/curl.h>
#include <stdbool.h>
#include <stdint.h>

#include "workers/curl_loop.h"
#include "workers/http_client.h"

struct http_transfer;

/* What all requests of a client share. Texts belong to the client. */
struct http_transfer_conf {
	const char *origin; /* "https://localhost:10250/" */
	const char *peer; /* for messages: "127.0.0.1:10250" */
	const char *tls_name; /* "localhost" */
	bool insecure;
	bool tcp; /* not a unix socket */
	struct curl_loop *loop;
	uint64_t connect_ms; /* with TLS, and all addresses */
};

/* Adopted by the loop. */
struct http_transfer *http_transfer_new(const struct http_transfer_conf *conf);
void http_transfer_free(struct http_transfer *t);
CURL *http_transfer_easy(struct http_transfer *t);
/* user comes back by http_transfer_user(); its handle is one of ours. */
void *http_transfer_user(CURL *easy);

/* The CA, certificate or key for the next requests; copied, len 0: none. */
void http_transfer_blob(struct http_transfer *t, enum http_client_blob which,
    const void *data, size_t len);

struct http_transfer_request {
	const struct http_request_conf *conf; /* lives until the answer is read */
	struct curl_slist *headers; /* likewise */
	/* "name:port:addresses"; NULL: curl still knows. */
	const char *resolve;
	void *user;
};

/* Ready for curl_loop_add(). */
void http_transfer_prepare(struct http_transfer *t,
    const struct http_transfer_request *r);
/* From inside the reader: it wants no more. */
void http_transfer_stop(struct http_transfer *t);
/*
 * After curl ended: fills *r but for took_ms; all of it is valid until the
 * next prepare. r->error points to error (cap bytes) if it failed.
 */
void http_transfer_answer(struct http_transfer *t, CURLcode code,
    struct http_response *r, char *error, size_t cap);
/* After curl ended: it took no kept connection. */
bool http_transfer_connected(const struct http_transfer *t);
/* How far it came, for "timed out": " (connecting to 127.0.0.1:8500)". */
void http_transfer_progress(struct http_transfer *t, char *buf, size_t cap);

#endif
