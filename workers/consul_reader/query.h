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
 * QUERY_WAIT_MS and a 16th of it, which Consul adds as it likes: less than the
 * minute after which many a proxy gives up.
 */
#define QUERY_WAIT_MS 50000
void query_list(const struct query_conf *conf, enum query_list list,
    uint64_t index, char path[QUERY_PATH]);
/* The instances of one service with their checks. */
void query_service(const struct query_conf *conf, const char *service,
    char path[QUERY_PATH]);

#endif
