/*
 * The start that all workers share, and their way to the supervisor and to
 * their siblings.
 *
 *	main() calls worker_main() with its struct worker_role.
 *	1. The control channel is descriptor 3; CONFIG is read from it.
 *	2. role->preload(): what the libraries must open (names, hosts).
 *	3. The sandbox closes. READY.
 *	4. role->start() after START: blobs, sockets and links have come.
 *	5. The event loop, until EOF on the control channel or SIGTERM.
 */
#ifndef WORKER_H
#define WORKER_H

#include <event2/event.h>

#include "common/channel.h"
#include "common/metrics.h"
#include "common/options.h"
#include "common/sandbox.h"
#include "common/state.h"

struct worker {
	struct event_base *base;
	const struct settings *settings;
	struct metrics metrics;
	void *ctx; /* the role's one context */
};

struct worker_role {
	enum role role;
	/*
	 * Before the sandbox closes: fills sb->ports, sb->dns, sizes (what
	 * every worker needs stands there already). Sets w->ctx, says what
	 * the links carry. fatal() if it cannot.
	 */
	void (*preload)(struct worker *w, struct sandbox *sb);
	void (*start)(struct worker *w);
	/*
	 * A blob came or changed (len 0: there is none). Before start() too.
	 * data is valid during the call, and has a NUL behind it. May be NULL.
	 */
	void (*blob)(struct worker *w, enum blob_id id, const void *data,
	    size_t len);
	/* A listening or connected socket; fd is the role's. May be NULL. */
	void (*listen)(struct worker *w, enum listen_id id, int fd);
	void (*connected)(struct worker *w, int fd);
	/* http only: WORKER. */
	bool (*worker_status)(struct worker *w, const struct msg *m);
	/*
	 * A sibling's link: up with a new channel (owned by worker.c), or
	 * gone (ch NULL). Never an end, never a reason to delete.
	 */
	void (*link)(struct worker *w, enum role peer, struct channel *ch);
	/*
	 * A message of a sibling that neither worker.c nor what the link
	 * carries knows. May be NULL, as link() may.
	 */
	bool (*message)(struct worker *w, enum role peer, const struct msg *m);
	/* The link's queue ran empty. May be NULL. */
	void (*drained)(struct worker *w, enum role peer);
	/* SIGTERM: finish what must be; worker_exit() when done. May be NULL. */
	void (*stop)(struct worker *w);
};

int worker_main(const struct worker_role *role);

/* Tells the supervisor how the work goes, if that differs from last time. */
void worker_health(struct worker *w, enum health health, bool synced,
    const char *fmt, ...) __attribute__((format(printf, 4, 5)));
/*
 * From preload(): the link to that sibling carries this set to it, or that
 * sibling's set to us; one of each at most. Both stay the role's.
 */
void worker_feeds(struct worker *w, enum role peer, struct feed *feed);
void worker_follows(struct worker *w, enum role peer, struct replica *replica);

/* The channel to the supervisor, for what only one role has to say. */
struct channel *worker_supervisor(struct worker *w);
/* The channel to a sibling, NULL while there is none. */
struct channel *worker_link(struct worker *w, enum role peer);
/* Asks for a connection to Consul's unix:// path: connected() follows, with
 * fd -1 if it failed. */
void worker_ask_connection(struct worker *w);
/* What a dry run answers, to standard output; fatal if that takes it not. */
void worker_answer(const char *text);
/* Ends the event loop, exit status 0. */
void worker_exit(struct worker *w);

#endif
