#include "workers/http_client.h"

#include <bsd/string.h>
#include <bsd/sys/queue.h>
#include <curl/curl.h>
#include <event2/event_struct.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/clock.h"
#include "common/duration.h"
#include "common/limits.h"
#include "common/log.h"
#include "common/timer.h"
#include "workers/curl_loop.h"
#include "workers/http_headers.h"
#include "workers/http_transfer.h"
#include "workers/identity.h"
#include "workers/resolve.h"
#include "workers/unix_pool.h"

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

/* Enough for "https://", a name, brackets, a port and "/", and a Host. */
#define ORIGIN_CAP 300
/* A server that is there answers in much less; one that is not holds nobody
 * up for as long as a long poll takes. */
#define CONNECT_MS 10000
/* How often a request asks the supervisor for another connection. */
#define STARVED_MAX 3

/*
 * WAITING -> RUNNING -> ENDED -> DELIVERED, and freed after done(). One that
 * can't even start goes from WAITING to ENDED; one that is cancelled while
 * curl runs is CANCELLED until curl returns.
 */
enum state { WAITING, RUNNING, ENDED, DELIVERED, CANCELLED };

struct http_request {
	TAILQ_ENTRY(http_request) next;
	struct http_client *client;
	struct http_request_conf conf; /* its texts are in text[] */
	enum state state;
	struct http_headers *headers;
	struct http_transfer *transfer; /* from RUNNING to the end of done() */
	unsigned blob_generation; /* that the transfer was made with */
	unsigned starved; /* times that the pool had no live connection */
	CURLcode code;
	char *error; /* NULL: the transfer knows */
	uint64_t asked_ms;
	struct event timeout;
	char text[];
};

TAILQ_HEAD(request_list, http_request);

struct http_client {
	struct http_client_conf conf; /* its texts are not used */
	char tls_name[256]; /* that the certificate is for */
	char origin[ORIGIN_CAP];
	char peer[LIMIT_OPTION + 16];
	char host_header[ORIGIN_CAP]; /* "": curl's own is right */
	char token_prefix[64];
	struct secret token, ca;
	struct identity identity;
	struct log_once no_pair; /* the new identity is none */
	unsigned blob_generation; /* of those of TLS */
	struct http_headers *headers; /* those last used; NULL: none */

	struct curl_loop *loop;
	struct http_transfer_conf transfer_conf;
	struct http_transfer **idle; /* nidle, at most max_connections */
	unsigned nidle;
	struct resolve *resolve; /* NULL: curl takes the host as it is */
	unsigned resolved; /* generation that curl has */
	struct unix_pool pool;

	struct request_list waiting, running, ended;
	unsigned ntransfers; /* in use */
	struct event *kick;
	bool settling;
	bool again; /* something came up while settling */
	bool freed; /* http_client_free() came while settling */
};

/* ---- header lines ------------------------------------------------------ */

static void
headers_forget(struct http_client *c)
{
	http_headers_unref(c->headers);
	c->headers = NULL;
}

/* The lines of the last request do for most. */
static struct http_headers *
headers_of(struct http_client *c, const struct http_request_conf *conf)
{
	struct http_headers_conf lines = {
		.host = c->host_header,
		.token_prefix = c->token_prefix,
		.token = c->token.data,
		.further = { conf->accept_headers[0], conf->accept_headers[1] },
	};

	if (conf->body != NULL)
		lines.content_type = conf->content_type != NULL
		    ? conf->content_type
		    : "application/json";
	if (!http_headers_fit(c->headers, &lines)) {
		headers_forget(c);
		c->headers = http_headers_new(&lines);
	}
	return http_headers_ref(c->headers);
}

/* ---- the pool of transfers --------------------------------------------- */

static bool
is_unix(const struct http_client *c)
{
	return c->conf.url.scheme == URL_UNIX;
}

static void
set_blob(struct http_transfer *t, enum http_client_blob which,
    const struct secret *s)
{
	http_transfer_blob(t, which, s->data, s->len);
}

static struct http_transfer *
transfer_take(struct http_client *c)
{
	struct http_transfer *t;

	c->ntransfers++;
	if (c->nidle > 0)
		return c->idle[--c->nidle];
	t = http_transfer_new(&c->transfer_conf);
	set_blob(t, HTTP_CA, &c->ca);
	set_blob(t, HTTP_CERT, identity_get(&c->identity, IDENTITY_CERT));
	set_blob(t, HTTP_KEY, identity_get(&c->identity, IDENTITY_KEY));
	return t;
}

/* One that was made with other certificates is not used again. */
static void
transfer_give_back(struct http_client *c, struct http_transfer *t,
    unsigned blob_generation)
{
	c->ntransfers--;
	if (blob_generation == c->blob_generation)
		c->idle[c->nidle++] = t;
	else
		http_transfer_free(t);
}

static void
transfers_forget(struct http_client *c)
{
	c->blob_generation++;
	while (c->nidle > 0)
		http_transfer_free(c->idle[--c->nidle]);
}

/* ---- the life of a request --------------------------------------------- */

static void settle(struct http_client *c);

static void
kick(struct http_client *c)
{
	if (c->settling)
		c->again = true;
	else
		event_active(c->kick, EV_TIMEOUT, 0);
}

static struct request_list *
list_of(struct http_request *r)
{
	struct http_client *c = r->client;

	if (r->state == WAITING)
		return &c->waiting;
	return r->state == ENDED ? &c->ended : &c->running;
}

static void
request_move(struct http_request *r, enum state state)
{
	TAILQ_REMOVE(list_of(r), r, next);
	r->state = state;
	TAILQ_INSERT_TAIL(list_of(r), r, next);
}

static void
request_drop_transfer(struct http_request *r)
{
	if (r->transfer == NULL)
		return;
	transfer_give_back(r->client, r->transfer, r->blob_generation);
	r->transfer = NULL;
}

/* It is in no list any more, and curl has done with it. */
static void
request_free(struct http_request *r)
{
	evtimer_del(&r->timeout);
	request_drop_transfer(r);
	http_headers_unref(r->headers);
	free(r->error);
	free(r);
}

static void
request_discard(struct http_request *r)
{
	if (r->state == RUNNING || r->state == CANCELLED)
		curl_loop_remove(r->client->loop,
		    http_transfer_easy(r->transfer));
	TAILQ_REMOVE(list_of(r), r, next);
	request_free(r);
}

static void __attribute__((format(printf, 2, 3)))
request_fail(struct http_request *r, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	if (vasprintf(&r->error, fmt, ap) < 0)
		fatal("error message");
	va_end(ap);
	evtimer_del(&r->timeout);
	request_move(r, ENDED);
}

static void
request_deliver(struct http_request *r)
{
	struct http_response answer = { .content_type = "", .body = "" };
	char error[LIMIT_TEXT];

	TAILQ_REMOVE(&r->client->ended, r, next);
	r->state = DELIVERED;
	for (size_t i = 0; i < COUNT(answer.headers); i++)
		answer.headers[i] = "";
	if (r->transfer != NULL)
		http_transfer_answer(r->transfer, r->code, &answer, error,
		    sizeof(error));
	if (r->error != NULL)
		answer.error = r->error;
	answer.took_ms = clock_ms() - r->asked_ms;
	r->conf.done(&answer, r->conf.arg);
	request_free(r);
}

static void
on_timeout(evutil_socket_t fd, short what, void *arg)
{
	struct http_request *r = arg;
	struct http_client *c = r->client;
	char waited[LIMIT_OPTION + 64] = " (waiting for a connection)";
	char after[DURATION_TEXT];

	(void)fd;
	(void)what;
	if (r->state == RUNNING) {
		http_transfer_progress(r->transfer, waited, sizeof(waited));
		curl_loop_remove(c->loop, http_transfer_easy(r->transfer));
		r->code = CURLE_OPERATION_TIMEDOUT;
	} else if (c->resolve != NULL &&
	    resolve_state(c->resolve) == RESOLVE_PENDING) {
		snprintf(waited, sizeof(waited), " (looking up %s)",
		    c->conf.url.host);
	}
	request_fail(r, "timed out after %s%s",
	    duration_format(r->conf.timeout_ms, after), waited);
	if (c->resolve != NULL)
		resolve_doubt(c->resolve);
	settle(c);
}

static void
request_start(struct http_request *r)
{
	struct http_client *c = r->client;
	char map[sizeof(c->tls_name) + 1024];
	struct http_transfer_request to = {
		.conf = &r->conf,
		.headers = http_headers_lines(r->headers),
		.user = r,
	};

	if (c->resolve != NULL &&
	    c->resolved != resolve_generation(c->resolve)) {
		snprintf(map, sizeof(map), "%s:%u:%s", c->tls_name,
		    c->conf.url.port, resolve_list(c->resolve));
		to.resolve = map;
	}
	r->transfer = transfer_take(c);
	r->blob_generation = c->blob_generation;
	http_transfer_prepare(r->transfer, &to);
	request_move(r, RUNNING);
	if (!curl_loop_add(c->loop, http_transfer_easy(r->transfer)))
		fatalx("curl: a handle could not be added");
}

/* Nothing of it was sent. */
static void
request_again(struct http_request *r)
{
	struct http_client *c = r->client;

	request_drop_transfer(r);
	TAILQ_REMOVE(&c->running, r, next);
	r->state = WAITING;
	TAILQ_INSERT_HEAD(&c->waiting, r, next);
}

/* The pool had no live connection: it waits for one. */
static void
request_starved(struct http_request *r)
{
	struct http_client *c = r->client;

	if (++r->starved > STARVED_MAX) {
		request_fail(r,
		    "connect to %s: the server closes connections "
		    "at once",
		    c->peer);
		return;
	}
	request_again(r);
}

/* curl saw that certificate and key are no pair. True: others are in use. */
static bool
identity_changed(struct http_request *r)
{
	struct http_client *c = r->client;

	if (r->blob_generation != c->blob_generation)
		return true;
	if (!identity_refused(&c->identity))
		return false;
	log_once_warn(&c->no_pair,
	    "%s: the new client certificate and key do not belong together, "
	    "or one can't be read: the old ones stay in use",
	    c->conf.what);
	transfers_forget(c);
	return true;
}

/* The key alone makes curl use no other connection: only a new one counts. */
static void
note_identity(struct http_request *r)
{
	struct http_client *c = r->client;

	if (r->blob_generation != c->blob_generation ||
	    !http_transfer_connected(r->transfer))
		return;
	identity_served(&c->identity);
	if (!c->identity.held)
		log_once_clear(&c->no_pair,
		    "%s: the new client certificate and key are in use",
		    c->conf.what);
}

/* curl has ended it. */
static void
request_ended(struct http_request *r, CURLcode code)
{
	struct http_client *c = r->client;

	if (r->state == CANCELLED) {
		TAILQ_REMOVE(&c->running, r, next);
		request_free(r);
		return;
	}
	if (is_unix(c) && code == CURLE_COULDNT_CONNECT) {
		request_starved(r);
		return;
	}
	if (code == CURLE_SSL_CERTPROBLEM && identity_changed(r)) {
		request_again(r);
		kick(c);
		return;
	}
	if (code == CURLE_OK)
		note_identity(r);
	if (c->resolve != NULL &&
	    (code == CURLE_COULDNT_CONNECT || code == CURLE_OPERATION_TIMEDOUT))
		resolve_doubt(c->resolve);
	r->code = code;
	evtimer_del(&r->timeout);
	request_move(r, ENDED);
}

/* ---- unix:// ----------------------------------------------------------- */

/* From inside curl, which opens a connection. */
static int
connected_socket(void *arg)
{
	struct http_client *c = arg;

	return unix_pool_take(&c->pool);
}

static void
ask_ahead(struct http_client *c)
{
	if (is_unix(c) && curl_loop_sockets(c->loop) < c->conf.max_connections)
		unix_pool_ask_ahead(&c->pool);
}

/* True if there is a connection for one more request. */
static bool
connection_ready(struct http_client *c)
{
	unsigned have = curl_loop_sockets(c->loop);

	if (!is_unix(c) || c->ntransfers < have + unix_pool_has(&c->pool))
		return true;
	unix_pool_ask(&c->pool);
	return false;
}

static void
fail_waiting(struct http_client *c)
{
	struct http_request *r;

	while ((r = TAILQ_FIRST(&c->waiting)) != NULL)
		request_fail(r, "connect to %s: the supervisor could not",
		    c->peer);
}

void
http_client_give_connection(struct http_client *c, int fd)
{
	unix_pool_give(&c->pool, fd);
	if (fd < 0)
		fail_waiting(c);
	kick(c);
}

/* ---- what is done whenever something has changed ------------------------ */

/* It goes on the wire as it is: nothing in it may end the request line. */
static bool
path_is_fit(const char *path)
{
	if (*path != '/')
		return false;
	for (; *path != '\0'; path++)
		if (*path <= ' ' || *path >= 0x7f)
			return false;
	return true;
}

/* Why no request can be made as things stand; NULL: it can. */
static const char *
refusal(struct http_client *c, const struct http_request *r)
{
	const struct secret *token = &c->token;

	if (!path_is_fit(r->conf.path))
		return "the path of the request is not escaped";
	if (c->conf.url.scheme == URL_HTTPS && !c->conf.insecure &&
	    c->ca.len == 0)
		return "TLS: no CA is given to verify the server with";
	for (size_t i = 0; i < token->len; i++)
		if (token->data[i] <= ' ' || token->data[i] == 0x7f)
			return "the token has a blank or control character";
	if (c->resolve != NULL && resolve_state(c->resolve) == RESOLVE_FAILED)
		return resolve_error(c->resolve);
	return NULL;
}

static bool
must_wait(struct http_client *c)
{
	if (c->resolve != NULL && resolve_state(c->resolve) != RESOLVE_READY)
		return true;
	return !connection_ready(c);
}

static void
start_waiting(struct http_client *c)
{
	struct http_request *r;
	const char *why;
	bool started = false;

	while ((r = TAILQ_FIRST(&c->waiting)) != NULL &&
	    c->ntransfers < c->conf.max_connections) {
		if ((why = refusal(c, r)) != NULL) {
			request_fail(r, "%s", why);
			continue;
		}
		if (must_wait(c))
			break;
		request_start(r);
		started = true;
	}
	if (!started)
		return;
	curl_loop_run(c->loop);
	if (c->resolve != NULL)
		c->resolved = resolve_generation(c->resolve);
}

static void
collect(struct http_client *c)
{
	struct http_request *r, *tmp;
	CURLcode code;
	CURL *easy;

	while ((easy = curl_loop_ended(c->loop, &code)) != NULL)
		request_ended(http_transfer_user(easy), code);
	TAILQ_FOREACH_SAFE(r, &c->running, next, tmp)
		if (r->state == CANCELLED)
			request_discard(r);
}

static void
deliver(struct http_client *c)
{
	struct http_request *r;

	while (!c->freed && (r = TAILQ_FIRST(&c->ended)) != NULL)
		request_deliver(r);
}

static void
discard_all(struct request_list *list)
{
	struct http_request *r;

	while ((r = TAILQ_FIRST(list)) != NULL)
		request_discard(r);
}

static void
client_destroy(struct http_client *c)
{
	discard_all(&c->waiting);
	discard_all(&c->running);
	discard_all(&c->ended);
	headers_forget(c);
	transfers_forget(c);
	curl_loop_free(c->loop);
	resolve_free(c->resolve);
	unix_pool_close(&c->pool);
	secret_set(&c->token, NULL, 0);
	secret_set(&c->ca, NULL, 0);
	identity_clear(&c->identity);
	event_free(c->kick);
	free(c->idle);
	free(c);
	curl_global_cleanup();
}

/*
 * done() is called from here only, and what it starts is started here. What
 * fails at once is delivered in the event loop's next round, so that a done()
 * that asks again can't starve everything else.
 */
static void
settle(struct http_client *c)
{
	static const struct timeval at_once = { 0, 0 };

	c->settling = true;
	collect(c);
	deliver(c);
	if (c->freed) {
		client_destroy(c);
		return;
	}
	c->again = false;
	start_waiting(c);
	collect(c);
	ask_ahead(c);
	c->settling = false;
	if (c->freed)
		client_destroy(c);
	else if (c->again || !TAILQ_EMPTY(&c->ended))
		evtimer_add(c->kick, &at_once);
}

static void
on_change(void *arg)
{
	settle(arg);
}

static void
on_kick(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	settle(arg);
}

/* ---- the client -------------------------------------------------------- */

static void
bracketed(char *buf, size_t cap, const char *host)
{
	bool v6 = strchr(host, ':') != NULL;

	snprintf(buf, cap, "%s%s%s", v6 ? "[" : "", host, v6 ? "]" : "");
}

/* curl never connects to a unix socket: any address does. */
static void
name_unix(struct http_client *c)
{
	snprintf(c->peer, sizeof(c->peer), "unix://%s", c->conf.url.path);
	strlcpy(c->origin, "http://127.0.0.1/", sizeof(c->origin));
	strlcpy(c->host_header, "localhost", sizeof(c->host_header));
}

/*
 * The URL that curl sees has the name that the certificate is for; where that
 * is, the addresses given with it say.
 */
static void
name_tcp(struct http_client *c, const struct http_client_conf *conf)
{
	const char *tls_name = conf->tls_server_name;
	const struct url *u = &c->conf.url;
	char host[sizeof(u->host) + 2], name[sizeof(c->tls_name) + 2];
	bool other = tls_name != NULL && *tls_name != '\0' &&
	    strcmp(tls_name, u->host) != 0;

	strlcpy(c->tls_name, other ? tls_name : u->host, sizeof(c->tls_name));
	bracketed(host, sizeof(host), u->host);
	bracketed(name, sizeof(name), c->tls_name);
	snprintf(c->peer, sizeof(c->peer), "%s:%u", host, u->port);
	snprintf(c->origin, sizeof(c->origin), "%s://%s:%u/",
	    u->scheme == URL_HTTPS ? "https" : "http", name, u->port);
	if (other)
		strlcpy(c->host_header, c->peer, sizeof(c->host_header));
	if (!other && u->host_is_ip)
		return;
	c->resolve = resolve_preload(&(struct resolve_conf){
	    .base = c->conf.base,
	    .host = u->host,
	    .hosts = conf->hosts,
	    .resolv_conf = conf->resolv_conf,
	    .settled = on_change,
	    .arg = c,
	});
}

static void
open_curl(struct http_client *c)
{
	struct curl_loop_conf loop_conf = {
		.base = c->conf.base,
		.max_connections = c->conf.max_connections,
		.progress = on_change,
		.connected_socket = is_unix(c) ? connected_socket : NULL,
		.arg = c,
	};

	c->loop = curl_loop_new(&loop_conf);
	c->transfer_conf = (struct http_transfer_conf){
		.origin = c->origin,
		.peer = c->peer,
		.tls_name = c->tls_name,
		.insecure = c->conf.insecure,
		.tcp = !is_unix(c),
		.loop = c->loop,
		.connect_ms = c->conf.connect_timeout_ms,
	};
	c->idle = xcalloc(c->conf.max_connections, sizeof(*c->idle));
}

struct http_client *
http_client_preload(const struct http_client_conf *conf, bool *dns)
{
	struct http_client *c = xcalloc(1, sizeof(*c));

	/* By CURLOPT_NOSIGNAL, curl leaves that to us. */
	signal(SIGPIPE, SIG_IGN);
	tzset();
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		fatalx("curl: can't be initialized");
	c->conf = *conf;
	if (c->conf.max_connections == 0)
		c->conf.max_connections = 1;
	if (c->conf.connect_timeout_ms == 0)
		c->conf.connect_timeout_ms = CONNECT_MS;
	unix_pool_init(&c->pool, conf->want_connection, conf->arg);
	TAILQ_INIT(&c->waiting);
	TAILQ_INIT(&c->running);
	TAILQ_INIT(&c->ended);
	c->kick = evtimer_new(conf->base, on_kick, c);
	if (c->kick == NULL)
		fatalx("%s: no event", conf->what);
	if (is_unix(c))
		name_unix(c);
	else
		name_tcp(c, conf);
	open_curl(c);
	http_client_token_header(c, "Authorization: Bearer ");
	*dns = c->resolve != NULL && resolve_uses_dns(c->resolve);
	return c;
}

void
http_client_free(struct http_client *c)
{
	struct http_request *r;

	if (c == NULL)
		return;
	if (!c->settling && !curl_loop_inside(c->loop)) {
		client_destroy(c);
		return;
	}
	/* settle() does it; no reader is called any more until then. */
	c->freed = true;
	TAILQ_FOREACH(r, &c->running, next)
		http_transfer_stop(r->transfer);
}

void
http_client_token_header(struct http_client *c, const char *prefix)
{
	strlcpy(c->token_prefix, prefix, sizeof(c->token_prefix));
	headers_forget(c);
}

static bool
is_space(char ch)
{
	return strchr(" \t\r\n", ch) != NULL;
}

static void
set_token(struct http_client *c, const char *text, size_t len)
{
	while (len > 0 && is_space(text[len - 1]))
		len--;
	while (len > 0 && is_space(*text))
		text++, len--;
	if (secret_is(&c->token, text, len))
		return;
	secret_set(&c->token, text, len);
	headers_forget(c);
}

/* False: it is what is there already. */
static bool
set_tls_blob(struct http_client *c, enum http_client_blob which,
    const void *data, size_t len)
{
	if (which != HTTP_CA)
		return identity_set(&c->identity,
		    which == HTTP_CERT ? IDENTITY_CERT : IDENTITY_KEY, data,
		    len);
	if (secret_is(&c->ca, data, len))
		return false;
	secret_set(&c->ca, data, len);
	return true;
}

void
http_client_blob(struct http_client *c, enum http_client_blob which,
    const void *data, size_t len)
{
	if (which == HTTP_TOKEN)
		set_token(c, data, len);
	else if (set_tls_blob(c, which, data, len))
		transfers_forget(c);
}

/* ---- the interface of a request ---------------------------------------- */

static char *
keep(char **room, const void *data, size_t len)
{
	char *at = *room;

	memcpy(at, data, len);
	at[len] = '\0';
	*room += len + 1;
	return at;
}

static struct http_request *
request_new(struct http_client *c, const struct http_request_conf *conf)
{
	size_t method_len = strlen(conf->method), path_len = strlen(conf->path);
	size_t body_len = conf->body != NULL ? conf->body_len : 0;
	struct http_request *r =
	    xcalloc(1, sizeof(*r) + method_len + path_len + body_len + 3);
	char *room = r->text;

	r->client = c;
	r->conf = *conf;
	r->conf.method = keep(&room, conf->method, method_len);
	r->conf.path = keep(&room, conf->path, path_len);
	r->conf.body_len = body_len;
	if (conf->body != NULL)
		r->conf.body = keep(&room, conf->body, body_len);
	r->headers = headers_of(c, conf);
	r->asked_ms = clock_ms();
	evtimer_assign(&r->timeout, c->conf.base, on_timeout, r);
	return r;
}

struct http_request *
http_client_request(struct http_client *c, const struct http_request_conf *conf)
{
	struct http_request *r = request_new(c, conf);

	r->state = WAITING;
	TAILQ_INSERT_TAIL(&c->waiting, r, next);
	timer_arm(&r->timeout, conf->timeout_ms);
	kick(c);
	return r;
}

void
http_request_cancel(struct http_request *r)
{
	if (r->state == DELIVERED || r->state == CANCELLED)
		return;
	if (r->state != RUNNING || !curl_loop_inside(r->client->loop)) {
		request_discard(r);
		return;
	}
	/* From a reader: curl gets rid of it when it returns. */
	r->state = CANCELLED;
	http_transfer_stop(r->transfer);
}
