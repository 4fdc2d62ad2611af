/* Where requests to Consul go. Pure. */
#ifndef QUERY_H
#define QUERY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum query_list {
	QUERY_CATALOG, /* names and tags of the services with our tag */
	QUERY_CRITICAL, /* checks that are critical */
	QUERY_WARNING, /* checks in state warning */
	QUERY_NODES,
	QUERY_PULSE, /* nothing: whether Consul has a leader */
	QUERY_ROSTER, /* all checks of services with our tag */
	QUERY_LISTS
};

struct query_conf {
	const char *prefix; /* of the paths: "", or "/x" without an end slash */
	const char *tag; /* without a ` */
	const char *datacenter; /* "": the agent's */
	const char *namespace; /* "": none */
};

/* Fits whatever the options and a service's name may be. */
#define QUERY_PATH 24576

/*
 * A list; index not 0: blocks until the index moves, for at most
 * query_wait_ms() and a 16th of it, which Consul adds as it likes: less than
 * the minute after which many a proxy gives up.
 *
 * What waits, and the pulse, may be answered by any server, the rest by the
 * leader alone. While there is none, Consul holds that back, by default for
 * 7 s and for the time to wait besides, and when there is one again for about
 * as long as it was away.
 *
 * The pulse is not one of /v1/health/service: what waits there is answered
 * from a stream, without a word about the leader.
 */
#define QUERY_WAIT_MS       50000
#define QUERY_PULSE_WAIT_MS 5000
uint64_t query_wait_ms(enum query_list list);
void query_list(const struct query_conf *conf, enum query_list list,
    uint64_t index, char path[QUERY_PATH]);
/* The instances of one service with their checks. */
void query_service(const struct query_conf *conf, const char *service,
    char path[QUERY_PATH]);

#endif
