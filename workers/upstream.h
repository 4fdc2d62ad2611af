/*
 * The server that a worker asks: its URL, and a client that is set up as the
 * options say. What differs between the kubelet, Consul and Kubernetes is a
 * table in upstream.c.
 */
#ifndef UPSTREAM_H
#define UPSTREAM_H

#include <stdbool.h>
#include <stddef.h>

#include "common/url.h"
#include "workers/http_client.h"
#include "workers/worker.h"

enum upstream_kind { UPSTREAM_KUBELET, UPSTREAM_CONSUL, UPSTREAM_KUBERNETES };

struct upstream {
	enum upstream_kind kind;
	struct url url;
	char name[URL_ORIGIN]; /* for messages */
	char prefix[LIMIT_OPTION]; /* of the paths: "", "/x" */
	struct http_client *client; /* NULL before upstream_preload() */
};

/* Reads the URL; fatal if it is none. */
void upstream_init(struct upstream *u, enum upstream_kind kind,
    const struct settings *s);
/*
 * The client, before the sandbox closes, and what it needs of that: port,
 * name servers, descriptors. A worker that asks nobody (--dry-run, a file)
 * leaves it out: what follows does nothing then.
 */
void upstream_preload(struct upstream *u, struct worker *w, struct sandbox *sb,
    unsigned max_connections);

/* For worker_role.blob. True: it was for the client. */
bool upstream_blob(struct upstream *u, enum blob_id id, const void *data,
    size_t len);
/* For worker_role.connected. */
void upstream_connected(struct upstream *u, int fd);

#endif
