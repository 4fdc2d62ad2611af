/*
 * The addresses of instances that have a host name for an address: looked up
 * in the DNS and followed as they change (workers/resolve.h). The hosts file
 * does not count: it is this machine's, and the addresses are for others.
 */
#ifndef HOSTS_H
#define HOSTS_H

#include <event2/event.h>
#include <stdbool.h>

/* More are not followed at a time: each costs two queries in a TTL. */
#define HOSTS_MAX 1000
/* Changes that come together are told together. */
#define HOSTS_CHANGED_MS 50

struct hosts;

struct hosts_conf {
	struct event_base *base;
	unsigned max; /* that are followed at a time */
	const char *resolv_conf; /* NULL: /etc/resolv.conf */
	/*
	 * Some have other addresses: those that hosts_has_changed() says,
	 * during the call. Never from inside a call.
	 */
	void (*changed)(void *arg);
	void *arg;
};

/* Before the sandbox closes; talks to name servers from then on. */
struct hosts *hosts_preload(const struct hosts_conf *conf);
void hosts_free(struct hosts *h); /* NULL is fine */

/*
 * The host is followed from the first hold to the last release; while there
 * are too many, as soon as another one no longer is.
 */
void hosts_hold(struct hosts *h, const char *host);
void hosts_release(struct hosts *h, const char *host);
/* As resolve_list(): "" while there is no answer, or nobody holds it. */
const char *hosts_lookup(const struct hosts *h, const char *host);
bool hosts_has_changed(const struct hosts *h, const char *host);

#endif
