#include "tests/unit/dns_peer.h"

#include <arpa/inet.h>
#include <event2/dns.h>
#include <event2/dns_struct.h>
#include <event2/util.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/socket.h>

#include "common/log.h"

struct dns_peer {
	struct evdns_server_port *port;
	const struct dns_record *records;
	unsigned asked;
	int fd;
};

/* True if the record is of the type that was asked for. */
static bool
reply_with(struct evdns_server_request *req, const char *name, int type,
    const struct dns_record *r)
{
	struct in6_addr address;
	int af = type == EVDNS_TYPE_A ? AF_INET : AF_INET6;

	if (r->address == NULL || inet_pton(af, r->address, &address) != 1)
		return false;
	for (unsigned i = 0; i < (r->copies > 0 ? r->copies : 1); i++) {
		if (af == AF_INET)
			evdns_server_request_add_a_reply(req, name, 1, &address,
			    r->ttl_s);
		else
			evdns_server_request_add_aaaa_reply(req, name, 1,
			    &address, r->ttl_s);
	}
	return true;
}

static void
on_question(struct evdns_server_request *req, void *arg)
{
	struct dns_peer *p = arg;
	const struct evdns_server_question *q = req->questions[0];
	const struct dns_record *r = p->records;
	bool known = false;

	p->asked++;
	if (r == NULL) {
		evdns_server_request_drop(req);
		return;
	}
	for (; r->name != NULL; r++) {
		if (strcasecmp(r->name, q->name) != 0)
			continue;
		known = true;
		reply_with(req, q->name, q->type, r);
	}
	evdns_server_request_respond(req, known ? 0 : DNS_ERR_NOTEXIST);
}

struct dns_peer *
dns_peer_new(struct event_base *base, const struct dns_record *records)
{
	struct dns_peer *p = xcalloc(1, sizeof(*p));
	struct sockaddr_in sin = {
		.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};

	p->records = records;
	p->fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (p->fd < 0 || bind(p->fd, (struct sockaddr *)&sin, sizeof(sin)) != 0)
		fatal("name server on the loopback");
	p->port =
	    evdns_add_server_port_with_base(base, p->fd, 0, on_question, p);
	return p;
}

void
dns_peer_free(struct dns_peer *p)
{
	evdns_close_server_port(p->port);
	free(p);
}

void
dns_peer_set(struct dns_peer *p, const struct dns_record *records)
{
	p->records = records;
}

unsigned
dns_peer_asked(const struct dns_peer *p)
{
	return p->asked;
}

void
dns_peer_write_conf(const struct dns_peer *p, const char *path,
    const char *lines)
{
	struct sockaddr_in sin;
	socklen_t len = sizeof(sin);
	FILE *f = fopen(path, "we");

	if (f == NULL || getsockname(p->fd, (struct sockaddr *)&sin, &len) != 0)
		fatal("%s", path);
	fprintf(f, "nameserver 127.0.0.1:%u\n%s", ntohs(sin.sin_port), lines);
	fclose(f);
}
