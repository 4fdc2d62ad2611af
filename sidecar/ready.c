#include "sidecar/ready.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/http.h>
#include <event2/listener.h>
#include <event2/util.h>

#include "common/accept.h"
#include "common/ahead.h"
#include "common/limits.h"
#include "common/log.h"
#include "common/url.h"

#define PATH            "/ready"
#define IDLE_S          5
#define HEADERS_SIZE    4096
#define ACCEPT_PAUSE_MS 20

struct ready {
	struct ready_conf conf;
	struct evhttp *http;
	uint16_t port; /* ours, network byte order */
};

static void
reply(struct evhttp_request *req, int code, const char *text)
{
	struct evkeyvalq *headers = evhttp_request_get_output_headers(req);

	evhttp_add_header(headers, "Content-Type", "text/plain; charset=utf-8");
	evhttp_add_header(headers, "Cache-Control", "no-store");
	evhttp_add_header(headers, "Connection", "close");
	evbuffer_add_printf(evhttp_request_get_output_buffer(req), "%s\n",
	    text);
	evhttp_send_reply(req, code, NULL, NULL);
}

static void
on_request(struct evhttp_request *req, void *arg)
{
	const struct ready *r = arg;
	const struct evhttp_uri *uri = evhttp_request_get_evhttp_uri(req);
	const char *path = uri != NULL ? evhttp_uri_get_path(uri) : NULL;
	const char *fault;

	if (path == NULL || strcmp(path, PATH) != 0) {
		reply(req, HTTP_NOTFOUND, "not found; there is " PATH);
		return;
	}
	fault = r->conf.fault(r->conf.arg);
	if (fault == NULL)
		reply(req, HTTP_OK, "registered");
	else
		reply(req, HTTP_INTERNAL, fault);
}

static uint16_t
port_of(int fd)
{
	union {
		struct sockaddr sa;
		struct sockaddr_in sin;
		struct sockaddr_in6 sin6;
	} a;
	socklen_t len = sizeof(a);

	if (getsockname(fd, &a.sa, &len) == -1)
		return 0;
	if (a.sa.sa_family == AF_INET6)
		return a.sin6.sin6_port;
	return a.sa.sa_family == AF_INET ? a.sin.sin_port : 0;
}

/* False for what is no client of ours. */
static bool
silent_ms(const struct ready *r, int fd, uint32_t *ms)
{
	struct tcp_info info;
	socklen_t len = sizeof(info);

	if (port_of(fd) != r->port ||
	    getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) == -1 ||
	    info.tcpi_state != TCP_ESTABLISHED)
		return false;
	*ms = info.tcpi_last_data_recv;
	return true;
}

/* Ends the one that was silent the longest, if there are too many. */
static void
make_room(const struct ready *r)
{
	uint32_t ms, most = 0;
	int found = -1, n = 0;

	for (int fd = 0; fd < LIMIT_SIDECAR_FDS; fd++) {
		if (!silent_ms(r, fd, &ms))
			continue;
		n++;
		if (found == -1 || ms > most) {
			found = fd;
			most = ms;
		}
	}
	if (n > LIMIT_SIDECAR_CLIENTS)
		shutdown(found, SHUT_RDWR);
}

/* Called for each client that was accepted. */
static struct bufferevent *
on_client(struct event_base *base, void *arg)
{
	make_room(arg);
	return ahead_client_new(base);
}

/* Most likely no descriptor was left: those that were ended are still there. */
static void
accept_failed(struct evconnlistener *l, void *arg)
{
	/* arg is evhttp's: it made itself the listener's argument. */
	(void)arg;
	accept_pause(l, ACCEPT_PAUSE_MS);
}

/* "::" takes both families; without IPv6 in the kernel it is "0.0.0.0". */
static struct evhttp_bound_socket *
bind_to(struct evhttp *http, const char *host, uint16_t port)
{
	struct evhttp_bound_socket *bound;

	if (*host != '\0')
		return evhttp_bind_socket_with_handle(http, host, port);
	bound = evhttp_bind_socket_with_handle(http, "::", port);
	if (bound == NULL && errno == EAFNOSUPPORT)
		bound = evhttp_bind_socket_with_handle(http, "0.0.0.0", port);
	return bound;
}

static bool
listen_at(struct ready *r, const char *address)
{
	struct evhttp_bound_socket *bound;
	char host[INET6_ADDRSTRLEN];
	uint16_t port;

	if (!url_parse_listen(address, host, sizeof(host), &port))
		return false;
	bound = bind_to(r->http, host, port);
	if (bound == NULL)
		return false;
	r->port = port_of(evhttp_bound_socket_get_fd(bound));
	evconnlistener_set_error_cb(evhttp_bound_socket_get_listener(bound),
	    accept_failed);
	return true;
}

struct ready *
ready_new(const struct ready_conf *conf, const char *address)
{
	struct ready *r = xcalloc(1, sizeof(*r));

	r->conf = *conf;
	r->http = evhttp_new(conf->base);
	if (r->http == NULL)
		fatalx("no memory for the HTTP server");
	evhttp_set_allowed_methods(r->http, EVHTTP_REQ_GET | EVHTTP_REQ_HEAD);
	evhttp_set_max_headers_size(r->http, HEADERS_SIZE);
	evhttp_set_max_body_size(r->http, 0);
	evhttp_set_timeout(r->http, IDLE_S);
	evhttp_set_bevcb(r->http, on_client, r);
	evhttp_set_gencb(r->http, on_request, r);
	if (listen_at(r, address))
		return r;
	log_warn("--bind-address \"%s\": cannot listen", address);
	ready_free(r);
	return NULL;
}

void
ready_free(struct ready *r)
{
	if (r == NULL)
		return;
	evhttp_free(r->http);
	free(r);
}
