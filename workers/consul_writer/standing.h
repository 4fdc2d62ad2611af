/*
 * What a pod still waits for until Consul has it as it is to be. Pure: what is
 * known of its services elsewhere is asked from an outlook.
 */
#ifndef STANDING_H
#define STANDING_H

#include <stdbool.h>
#include <stddef.h>

#include "workers/consul_writer/catalog.h"
#include "workers/consul_writer/pods.h"

/* How one service stands at the agent and in the catalog. */
struct service_view {
	bool written; /* at the agent, as it is wanted */
	const char *error; /* why not; "": it is on its way */
	enum service_status status; /* as it is wanted */
	bool absent; /* the agent has nothing of ours by its ID */
	enum catalog_shown shown; /* written or absent only */
	/*
	 * Shown only: the agent had it after the catalog showed it. It may
	 * have started anew meanwhile, with nothing, and the catalog follows.
	 */
	bool confirmed;
};

struct outlook {
	struct service_view (*view)(const char *id, void *arg);
	/* Is to be confirmed; all else is as it is to be. */
	void (*confirm)(const char *id, void *arg);
	void *arg;
	/* Set where somebody could go on if the catalog were known. */
	bool needs_catalog;
};

enum standing {
	STANDING_SYNCED, /* all is in the catalog as it is to be */
	STANDING_NO_SERVICES, /* and none is to come */
	STANDING_NOT_READY, /* or not running yet */
	STANDING_SIDECAR, /* is not registered */
	STANDING_AGENT, /* has not all of its services yet */
	STANDING_CATALOG, /* does not show all of them yet */
	STANDING_CONFIRM, /* the agent is asked once more */
	STANDINGS
};

#define STANDING_TEXT 512
/* text says what it waits for, "" for STANDING_SYNCED. */
enum standing standing_of(const struct pod *pod, struct outlook *o,
    char text[STANDING_TEXT]);
/* None of its services is passing, at the agent and in the catalog. */
bool standing_is_out(const struct pod *pod, struct outlook *o);

#endif
