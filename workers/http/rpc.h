/*
 * Sidecars' RPC: katalogsync.KatalogSync, whose calls consul-writer answers,
 * and grpc.health.v1.Health.
 */
#ifndef RPC_H
#define RPC_H

#include <event2/event.h>
#include <stdbool.h>

#include "common/channel.h"
#include "workers/http/model.h"

struct rpc;

struct rpc *rpc_new(struct event_base *base, const struct model *model);
/* Closes what there is. NULL is fine. */
void rpc_free(struct rpc *r);
/* Takes the listening socket over. */
void rpc_listen(struct rpc *r, int fd);

/* See calls_link() and calls_message(). */
void rpc_link(struct rpc *r, struct channel *ch);
bool rpc_message(struct rpc *r, const struct msg *m);

/* Whether a descriptor is a connection of a sidecar. */
bool rpc_owns(const struct rpc *r, int fd);
/* Its figures as of now. */
void rpc_count(const struct rpc *r, struct metrics *ms);

#endif
