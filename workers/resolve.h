/*
 * The addresses of one host, for a process that may open neither files nor
 * sockets: /etc/hosts, /etc/resolv.conf and the name servers' UDP sockets are
 * read and opened by resolve_preload(), before the sandbox closes; later, only
 * those sockets are used (libevent's evdns).
 *
 * IP addresses, names in the hosts file and localhost never change and need no
 * name server. Others are kept for their TTL (5s to 5min). When a lookup fails
 * or takes longer than a second, the old addresses go on to be used, and a
 * warning says so once.
 *
 * What evdns does not do: no TCP (a truncated answer is a failure), no mDNS,
 * no nsswitch.conf; resolv.conf is not read again. While no name server
 * answers, evdns asks them for "google.com" now and then to see whether they
 * are back.
 */
#ifndef RESOLVE_H
#define RESOLVE_H

#include <event2/event.h>
#include <stdbool.h>
#include <stdint.h>

struct resolve;

struct resolve_conf {
	struct event_base *base;
	/* A name, an IP address without brackets, or "": for others. */
	const char *host;
	const char *hosts; /* NULL: /etc/hosts */
	const char *resolv_conf; /* NULL: /etc/resolv.conf */
	uint64_t (*now_ms)(void); /* NULL: clock_ms() */
	/* A lookup has ended, well or not. Never from inside a call. */
	void (*settled)(void *arg);
	void *arg;
};

enum resolve_state { RESOLVE_READY, RESOLVE_PENDING, RESOLVE_FAILED };

/* Copies what it needs; never NULL. */
struct resolve *resolve_preload(const struct resolve_conf *conf);
/*
 * Another host, when the sandbox is closed: by the name servers of first,
 * whose host was "" and which must outlive it; the hosts file does not count.
 */
struct resolve *resolve_another(const struct resolve *first, const char *host,
    void (*settled)(void *arg), void *arg);
/* settled is not called any more. */
void resolve_free(struct resolve *r);
/* True if it talks to name servers. */
bool resolve_uses_dns(const struct resolve *r);

/*
 * READY: resolve_list() may be used now. PENDING: wait for settled(). FAILED:
 * see resolve_error(); the next call after a second asks again.
 */
enum resolve_state resolve_state(struct resolve *r);
/* Connecting failed: the addresses are asked for again before the next use. */
void resolve_doubt(struct resolve *r);

/*
 * "[::1],127.0.0.1": as CURLOPT_RESOLVE wants it, IPv6 first where names are
 * looked up; "" if there is none. Valid until the event loop runs again.
 */
const char *resolve_list(const struct resolve *r);
/* Grows when the list changes; 0: there never was one. */
unsigned resolve_generation(const struct resolve *r);
/* Why the last lookup failed, for people; "" if it did not. */
const char *resolve_error(const struct resolve *r);

#endif
