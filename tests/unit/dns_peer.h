/*
 * A name server for tests, in the same event loop as the resolver. What it
 * answers can be changed at any time.
 */
#ifndef DNS_PEER_H
#define DNS_PEER_H

#include <event2/event.h>

struct dns_peer;

/* The table ends with name NULL; names are compared without case. */
struct dns_record {
	const char *name;
	const char *address; /* IPv4 or IPv6; NULL: none of that name */
	int ttl_s;
	unsigned copies; /* 0 is 1 */
};

struct dns_peer *dns_peer_new(struct event_base *base,
    const struct dns_record *records);
void dns_peer_free(struct dns_peer *p);
/* NULL: it keeps silent. */
void dns_peer_set(struct dns_peer *p, const struct dns_record *records);
/* Questions heard so far. */
unsigned dns_peer_asked(const struct dns_peer *p);
/* Writes a resolv.conf that names it, then further lines. */
void dns_peer_write_conf(const struct dns_peer *p, const char *path,
    const char *lines);

#endif
