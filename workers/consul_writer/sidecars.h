/*
 * Sidecars and readiness gates: the shell around pods.h, calls.h, gates.h and
 * catalog.h. It takes http's messages and kubelet-reader's set, tells the
 * writer what is wanted, http and k8s-writer how pods stand, and asks the
 * catalog while somebody waits for it.
 */
#ifndef SIDECARS_H
#define SIDECARS_H

#include <event2/event.h>
#include <stdbool.h>

#include "common/state.h"
#include "workers/consul_writer/writer.h"
#include "workers/publisher.h"

/* Strings and pointers stay the caller's, for its life. */
struct sidecars_conf {
	struct event_base *base;
	struct http_client *client; /* NULL in a dry run */
	struct writer *writer;
	struct metrics *metrics;
	struct publisher *reports; /* to http; of pods, besides services */
	struct publisher *gates; /* to k8s-writer */
	const char *server; /* as in struct writer_conf */
	const char *prefix;
	const char *namespace;
	uint64_t timeout_ms;
	uint64_t deregister_ms;
	uint64_t seed;
	bool calls; /* there may be sidecars that call */
	bool verify_peer;
	bool set_gates;
	/*
	 * What an earlier process knew of sidecars is known here too, or
	 * nobody said so in time: from now on there may be writes.
	 */
	void (*ready)(void *arg);
	void *arg;
};

struct sidecars;

struct sidecars *sidecars_new(const struct sidecars_conf *conf);
void sidecars_free(struct sidecars *s);

/* The set, see state.h: pods, and services, which go on to the writer. */
bool sidecars_put(struct sidecars *s, const struct set_entry *e);
void sidecars_del(struct sidecars *s, const void *key, size_t key_len,
    bool named);
void sidecars_synced(struct sidecars *s, bool new_epoch);
void sidecars_fresh(struct sidecars *s, bool confirmed);

/* START: ready() follows. */
void sidecars_start(struct sidecars *s);
/* A new token or certificate, see writer_retry(). */
void sidecars_retry(struct sidecars *s);
/* For writer_conf.moved. */
void sidecars_moved(struct sidecars *s);

/* The link to http, NULL: it is gone, and its calls with it. */
void sidecars_link(struct sidecars *s, struct channel *ch);
/* For channel_ops.message: CALL and the like. False: none of these. */
bool sidecars_message(struct sidecars *s, const struct msg *m);

/* For a dry run: the status that it has, as the list says of its sidecar. */
void sidecars_judge(const struct sidecars *s, struct service *service);

#endif
