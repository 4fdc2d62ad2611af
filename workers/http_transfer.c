#include "workers/http_transfer.h"

#include <bsd/string.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/limits.h"
#include "common/log.h"
#include "workers/http_error.h"

/* A buffer that is larger than this is not kept for the next request. */
#define BODY_KEPT (64 * 1024)
/* What is read at once: curl's own is for answers of a few lines. */
#define STREAM_BUFFER (128 * 1024L)
#define OTHER_BUFFER  (16 * 1024L)

enum stop {
	STOP_NOT,
	STOP_READER,
	STOP_LARGE,
	STOP_HEADERS,
	STOP_ENCODING,
	STOP_UNSENT
};

struct http_transfer {
	const struct http_transfer_conf *conf;
	CURL *easy;
	const struct http_request_conf *request;
	char *resolve_text; /* what resolve was made of */
	struct curl_slist *resolve;
	enum stop stop;
	uint64_t header_bytes;
	uint64_t body_bytes;
	char *body;
	size_t body_len;
	size_t body_cap;
	char detail[CURL_ERROR_SIZE];
};

static long
status_of(const struct http_transfer *t)
{
	long status = 0;

	curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
	return status;
}

static bool
keep(struct http_transfer *t, const char *data, size_t len)
{
	size_t needed = t->body_len + len + 1;

	if (needed > t->body_cap) {
		while (t->body_cap < needed)
			t->body_cap = t->body_cap == 0 ? 4096 : t->body_cap * 2;
		t->body = xreallocarray(t->body, t->body_cap, 1);
	}
	memcpy(t->body + t->body_len, data, len);
	t->body_len += len;
	return true;
}

/* A reader gets no errors' bodies: their beginning is kept for the message. */
static bool
keep_some(struct http_transfer *t, const char *data, size_t len)
{
	size_t room = LIMIT_ERROR_BODY - t->body_len;

	return keep(t, data, len < room ? len : room);
}

static bool
consume(struct http_transfer *t, const char *data, size_t len)
{
	const struct http_request_conf *r = t->request;

	t->body_bytes += len;
	if (t->body_bytes > r->max_body) {
		t->stop = STOP_LARGE;
		return false;
	}
	if (r->on_data == NULL)
		return keep(t, data, len);
	if (status_of(t) != 200)
		return keep_some(t, data, len);
	if (!r->on_data(data, len, r->arg))
		t->stop = STOP_READER;
	return t->stop == STOP_NOT;
}

static size_t
on_body(char *data, size_t size, size_t n, void *arg)
{
	struct http_transfer *t = arg;

	if (t->stop != STOP_NOT || !consume(t, data, n * size))
		return CURL_WRITEFUNC_ERROR;
	return n * size;
}

/*
 * curl takes a Transfer-Encoding of gzip and others apart, though nobody asked
 * for it: no such parser is to see the server's bytes.
 */
static bool
is_encoded(const char *line, size_t len)
{
	static const char name[] = "Transfer-Encoding:", chunked[] = "chunked";
	const char *end = line + len;

	if (len < sizeof(name) - 1 ||
	    strncasecmp(line, name, sizeof(name) - 1) != 0)
		return false;
	line += sizeof(name) - 1;
	while (line < end && (*line == ' ' || *line == '\t'))
		line++;
	while (line < end && strchr(" \t\r\n", end[-1]) != NULL)
		end--;
	len = (size_t)(end - line);
	return len != sizeof(chunked) - 1 ||
	    strncasecmp(line, chunked, len) != 0;
}

static size_t
on_header(char *data, size_t size, size_t n, void *arg)
{
	struct http_transfer *t = arg;

	t->header_bytes += n * size;
	if (t->header_bytes > LIMIT_ANSWER_HEADERS)
		t->stop = STOP_HEADERS;
	else if (is_encoded(data, n * size))
		t->stop = STOP_ENCODING;
	return t->stop == STOP_NOT ? n * size : 0;
}

static int
on_send(void *arg, char *peer, char *own, int peer_port, int own_port)
{
	struct http_transfer *t = arg;

	(void)peer;
	(void)own;
	(void)peer_port;
	(void)own_port;
	if (!curl_loop_connected(t->conf->loop))
		return CURL_PREREQFUNC_ABORT;
	if (t->request->may_send == NULL ||
	    t->request->may_send(t->request->arg))
		return CURL_PREREQFUNC_OK;
	t->stop = STOP_UNSENT;
	return CURL_PREREQFUNC_ABORT;
}

/* No file, no proxy, no other protocol, nothing remembered. */
static void
set_closed(CURL *e)
{
	curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(e, CURLOPT_PROXY, "");
	curl_easy_setopt(e, CURLOPT_NOPROXY, "*");
	curl_easy_setopt(e, CURLOPT_FOLLOWLOCATION, 0L);
	curl_easy_setopt(e, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
	curl_easy_setopt(e, CURLOPT_CAINFO, NULL);
	curl_easy_setopt(e, CURLOPT_CAPATH, NULL);
	curl_easy_setopt(e, CURLOPT_SSL_SESSIONID_CACHE, 0L);
}

static void
set_tls(CURL *e, bool insecure)
{
	curl_easy_setopt(e, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	curl_easy_setopt(e, CURLOPT_SSL_VERIFYPEER, insecure ? 0L : 1L);
	curl_easy_setopt(e, CURLOPT_SSL_VERIFYHOST, insecure ? 0L : 2L);
	curl_easy_setopt(e, CURLOPT_SSLCERTTYPE, "PEM");
	curl_easy_setopt(e, CURLOPT_SSLKEYTYPE, "PEM");
}

/*
 * HTTP/2 would bring nothing to a few requests at once on kept connections,
 * and its parser would see the server's bytes.
 */
static void
set_http(CURL *e)
{
	curl_easy_setopt(e, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(e, CURLOPT_USERAGENT, "katalogd");
}

struct http_transfer *
http_transfer_new(const struct http_transfer_conf *conf)
{
	struct http_transfer *t = xcalloc(1, sizeof(*t));

	t->conf = conf;
	t->easy = curl_easy_init();
	if (t->easy == NULL)
		fatalx("curl: no handle");
	set_closed(t->easy);
	set_tls(t->easy, conf->insecure);
	set_http(t->easy);
	curl_easy_setopt(t->easy, CURLOPT_TCP_NODELAY, conf->tcp ? 1L : 0L);
	curl_easy_setopt(t->easy, CURLOPT_URL, conf->origin);
	curl_easy_setopt(t->easy, CURLOPT_ERRORBUFFER, t->detail);
	curl_easy_setopt(t->easy, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(t->easy, CURLOPT_WRITEDATA, t);
	curl_easy_setopt(t->easy, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(t->easy, CURLOPT_HEADERDATA, t);
	curl_easy_setopt(t->easy, CURLOPT_PREREQFUNCTION, on_send);
	curl_easy_setopt(t->easy, CURLOPT_PREREQDATA, t);
	curl_loop_adopt(conf->loop, t->easy);
	return t;
}

void
http_transfer_free(struct http_transfer *t)
{
	curl_easy_cleanup(t->easy);
	curl_slist_free_all(t->resolve);
	free(t->resolve_text);
	free(t->body);
	free(t);
}

CURL *
http_transfer_easy(struct http_transfer *t)
{
	return t->easy;
}

void *
http_transfer_user(CURL *easy)
{
	char *user = NULL;

	curl_easy_getinfo(easy, CURLINFO_PRIVATE, &user);
	return user;
}

void
http_transfer_blob(struct http_transfer *t, enum http_client_blob which,
    const void *data, size_t len)
{
	static const CURLoption options[HTTP_BLOB_MAX] = {
		[HTTP_CA] = CURLOPT_CAINFO_BLOB,
		[HTTP_CERT] = CURLOPT_SSLCERT_BLOB,
		[HTTP_KEY] = CURLOPT_SSLKEY_BLOB,
	};
	struct curl_blob blob = { .len = len, .flags = CURL_BLOB_COPY };

	/* curl does not write there; its struct just knows no const. */
	memcpy(&blob.data, &data, sizeof(data));
	curl_easy_setopt(t->easy, options[which], len > 0 ? &blob : NULL);
}

static void
set_resolve(struct http_transfer *t, const char *text)
{
	if (text != NULL && t->resolve_text != NULL &&
	    strcmp(text, t->resolve_text) == 0) {
		curl_easy_setopt(t->easy, CURLOPT_RESOLVE, t->resolve);
		return;
	}
	curl_slist_free_all(t->resolve);
	free(t->resolve_text);
	t->resolve = text != NULL ? curl_slist_append(NULL, text) : NULL;
	t->resolve_text = text != NULL ? xstrdup(text) : NULL;
	curl_easy_setopt(t->easy, CURLOPT_RESOLVE, t->resolve);
}

static void
set_method(struct http_transfer *t)
{
	const struct http_request_conf *r = t->request;

	if (strcmp(r->method, "GET") == 0) {
		curl_easy_setopt(t->easy, CURLOPT_HTTPGET, 1L);
		curl_easy_setopt(t->easy, CURLOPT_CUSTOMREQUEST, NULL);
		return;
	}
	curl_easy_setopt(t->easy, CURLOPT_POST, 1L);
	curl_easy_setopt(t->easy, CURLOPT_CUSTOMREQUEST, r->method);
	curl_easy_setopt(t->easy, CURLOPT_POSTFIELDSIZE_LARGE,
	    (curl_off_t)r->body_len);
	curl_easy_setopt(t->easy, CURLOPT_POSTFIELDS,
	    r->body != NULL ? r->body : "");
}

void
http_transfer_prepare(struct http_transfer *t,
    const struct http_transfer_request *r)
{
	uint64_t connect_ms = t->conf->connect_ms;

	if (connect_ms > r->conf->timeout_ms)
		connect_ms = r->conf->timeout_ms;
	t->request = r->conf;
	t->stop = STOP_NOT;
	t->header_bytes = t->body_bytes = 0;
	t->body_len = 0;
	t->detail[0] = '\0';
	if (t->body_cap > BODY_KEPT) {
		free(t->body);
		t->body = NULL;
		t->body_cap = 0;
	}
	set_method(t);
	set_resolve(t, r->resolve);
	curl_easy_setopt(t->easy, CURLOPT_BUFFERSIZE,
	    r->conf->on_data != NULL ? STREAM_BUFFER : OTHER_BUFFER);
	curl_easy_setopt(t->easy, CURLOPT_REQUEST_TARGET, r->conf->path);
	curl_easy_setopt(t->easy, CURLOPT_HTTPHEADER, r->headers);
	curl_easy_setopt(t->easy, CURLOPT_PRIVATE, r->user);
	/* Which curl shares out among the addresses. The client's own timer
	 * ends the request. */
	curl_easy_setopt(t->easy, CURLOPT_CONNECTTIMEOUT_MS, (long)connect_ms);
}

void
http_transfer_stop(struct http_transfer *t)
{
	if (t->stop == STOP_NOT)
		t->stop = STOP_READER;
}

static void
describe(struct http_transfer *t, CURLcode code, char *error, size_t cap)
{
	struct http_failure f = {
		.code = code,
		.detail = t->detail,
		.peer = t->conf->peer,
		.tls_name = t->conf->tls_name,
	};
	long os_errno = 0;

	curl_easy_getinfo(t->easy, CURLINFO_OS_ERRNO, &os_errno);
	curl_easy_getinfo(t->easy, CURLINFO_SSL_VERIFYRESULT, &f.verify_result);
	f.os_errno = (int)os_errno;
	http_error_text(&f, error, cap);
}

static const char *
header_of(struct http_transfer *t, const char *name)
{
	struct curl_header *h;

	if (name == NULL ||
	    curl_easy_header(t->easy, name, 0, CURLH_HEADER, -1, &h) !=
		CURLHE_OK)
		return "";
	return h->value;
}

static void
read_answer(struct http_transfer *t, struct http_response *r)
{
	const size_t nheaders = sizeof(r->headers) / sizeof(*r->headers);
	curl_off_t retry_after = 0;

	r->status = status_of(t);
	r->content_type = header_of(t, "Content-Type");
	curl_easy_getinfo(t->easy, CURLINFO_RETRY_AFTER, &retry_after);
	if (retry_after > LIMIT_RETRY_AFTER_S)
		retry_after = LIMIT_RETRY_AFTER_S;
	r->retry_after_ms = retry_after > 0 ? (uint64_t)retry_after * 1000 : 0;
	for (size_t i = 0; i < nheaders; i++)
		r->headers[i] = header_of(t, t->request->headers[i]);
}

static bool
stopped_text(const struct http_transfer *t, char *error, size_t cap)
{
	if (t->stop == STOP_READER)
		strlcpy(error, "stopped by the reader", cap);
	if (t->stop == STOP_ENCODING)
		strlcpy(error, "answer with an encoding that was not asked for",
		    cap);
	if (t->stop == STOP_UNSENT)
		strlcpy(error, "not sent: no longer wanted", cap);
	if (t->stop == STOP_HEADERS)
		snprintf(error, cap,
		    "headers of the answer larger than %d "
		    "bytes",
		    LIMIT_ANSWER_HEADERS);
	if (t->stop == STOP_LARGE)
		snprintf(error, cap, "answer larger than %llu bytes",
		    (unsigned long long)t->request->max_body);
	return t->stop != STOP_NOT;
}

void
http_transfer_answer(struct http_transfer *t, CURLcode code,
    struct http_response *r, char *error, size_t cap)
{
	read_answer(t, r);
	r->bytes = t->header_bytes + t->body_bytes;
	r->body = "";
	r->body_len = 0;
	if (code != CURLE_OK) {
		r->error = error;
		r->too_large = t->stop == STOP_LARGE;
		if (!stopped_text(t, error, cap))
			describe(t, code, error, cap);
		return;
	}
	if (t->body_len == 0)
		return;
	t->body[t->body_len] = '\0';
	r->body = t->body;
	r->body_len = t->body_len;
}

bool
http_transfer_connected(const struct http_transfer *t)
{
	long connects = 0;

	curl_easy_getinfo(t->easy, CURLINFO_NUM_CONNECTS, &connects);
	return connects > 0;
}

void
http_transfer_progress(struct http_transfer *t, char *buf, size_t cap)
{
	curl_off_t sent = 0;

	curl_easy_getinfo(t->easy, CURLINFO_PRETRANSFER_TIME_T, &sent);
	if (t->body_bytes > 0)
		snprintf(buf, cap, " (%llu bytes of the answer had come)",
		    (unsigned long long)t->body_bytes);
	else if (sent > 0)
		strlcpy(buf, " (waiting for the answer)", cap);
	else
		snprintf(buf, cap, " (connecting to %s)", t->conf->peer);
}
