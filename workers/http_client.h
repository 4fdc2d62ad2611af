/*
 * An HTTP client for one server: curl's multi interface on libevent, with TLS
 * from blobs, no file access and no thread. Names are resolved by evdns and
 * given to curl (resolve.h).
 */
#ifndef HTTP_CLIENT_H
#define HTTP_CLIENT_H

#include <event2/event.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/url.h"

struct http_client;
struct http_request;

struct http_client_conf {
	struct event_base *base;
	struct url url; /* scheme, host, port: the server */
	const char *what; /* for messages: "kubelet", "consul" */
	const char *tls_server_name; /* NULL or "": the host of the URL */
	const char *hosts; /* NULL: /etc/hosts; another for tests */
	const char *resolv_conf; /* NULL: /etc/resolv.conf */
	bool insecure; /* no verification of the certificate */
	unsigned max_connections; /* at once; further requests wait */
	uint64_t connect_timeout_ms; /* 0: 10 s; another for tests */
	/* unix:// only: called when a connection is wanted in advance;
	 * http_client_give_connection() answers. */
	void (*want_connection)(void *arg);
	void *arg;
};

/*
 * Two steps: http_client_preload() before the sandbox closes (curl's global
 * state, TLS library, name servers, hosts); says by *dns whether it will talk
 * to name servers.
 */
struct http_client *http_client_preload(const struct http_client_conf *conf,
    bool *dns);
void http_client_free(struct http_client *c);

enum http_client_blob {
	HTTP_TOKEN,
	HTTP_CA,
	HTTP_CERT,
	HTTP_KEY,
	HTTP_BLOB_MAX
};
/*
 * Copied (and wiped when replaced); len 0 takes it away. Takes effect with
 * the next request, TLS ones on new connections. HTTP_TOKEN is sent as
 * token_header (http_client_token_header), white space at its ends cut.
 * HTTP_CERT and HTTP_KEY may come in any order and at any time: as long as a
 * new one does not fit the other, the pair that served before is used.
 */
void http_client_blob(struct http_client *c, enum http_client_blob which,
    const void *data, size_t len);
/* "Authorization: Bearer " or "X-Consul-Token: "; constant text. */
void http_client_token_header(struct http_client *c, const char *prefix);
/* A connected unix socket; fd -1: it could not be had. */
void http_client_give_connection(struct http_client *c, int fd);

struct http_response {
	/*
	 * NULL: an HTTP answer came, whole; look at status. Else what went
	 * wrong, for people ("connection refused", "timed out after 10s",
	 * "answer larger than 4096 bytes", "stopped by the reader").
	 */
	const char *error;
	/* The error is that: the rest of an answer was not taken. */
	bool too_large;
	long status;
	const char *content_type; /* "" if none */
	uint64_t retry_after_ms; /* 0: none */
	/* X-Consul-Index etc., those named in http_request_conf.headers; "" */
	const char *headers[4];
	/*
	 * With a NUL behind; "" if there was an error. With on_data: "" for a
	 * 200, else the beginning of it (LIMIT_ERROR_BODY bytes).
	 */
	const char *body;
	size_t body_len;
	uint64_t bytes; /* received, headers and body */
	uint64_t took_ms;
};

struct http_request_conf {
	const char *method; /* "GET", "PUT" */
	const char *path; /* with query, already escaped */
	const char *body; /* NULL: none; copied */
	size_t body_len;
	const char *content_type; /* NULL: application/json */
	const char *accept_headers[2]; /* further request headers, or NULL */
	/* Response headers wanted, or NULL; not copied: constant text. */
	const char *headers[4];
	uint64_t timeout_ms; /* the whole request */
	uint64_t max_body; /* bytes, counted as they come */
	/*
	 * Streaming: called only for a 200's body. False stops the request
	 * (error "stopped by the reader"). NULL: the body is collected.
	 * Requests may be made and cancelled from inside it.
	 */
	bool (*on_data)(const char *data, size_t len, void *arg);
	/*
	 * Asked when the connection is there and the request is about to be
	 * sent; false: it is not (error "not sent: no longer wanted"). NULL:
	 * always. No request is to be made or cancelled from inside it.
	 */
	bool (*may_send)(void *arg);
	/* *r is valid during the call. The client may be freed in it. */
	void (*done)(const struct http_response *r, void *arg);
	void *arg;
};

/*
 * Starts a request; done is called once, never from inside this call, and not
 * after http_request_cancel(). Never NULL: what fails at once fails in done.
 * The result is not valid any more once done has returned.
 *
 * A kept connection that the server has closed meanwhile is no error: curl
 * takes another one, whatever the method, as long as no byte of an answer had
 * come.
 */
struct http_request *http_client_request(struct http_client *c,
    const struct http_request_conf *conf);
void http_request_cancel(struct http_request *r);

#endif
