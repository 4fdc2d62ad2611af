/*
 * The addresses of instances that have a host name for an address: looked up
 * in the DNS and followed as they change (workers/resolve.h). The hosts file
 * does not count: it is this machine's, and the addresses are for others.
 */
#ifndef HOSTS_H
#define HOSTS_H

#include <event2/event.h>
#include <stdbool.h>

struct hosts;

struct hosts_conf {
	struct event_base *base;
	/* Its addresses have changed. Never from inside a call. */
	void (*changed)(const char *host, void *arg);
	void *arg;
};

/* Before the sandbox closes; talks to name servers from then on. */
struct hosts *hosts_preload(const struct hosts_conf *conf);
void hosts_free(struct hosts *h); /* NULL is fine */

/*
 * As resolve_list(): "" while there is no answer. From the first call on the
 * host is followed.
 */
const char *hosts_lookup(struct hosts *h, const char *host);

#endif
