#include "workers/http/rpc.h"

#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "grpc/message.h"
#include "grpc/server.h"
#include "workers/http/calls.h"

_Static_assert(M_SIDECAR_ENDED_LAST - M_SIDECAR_ENDED + 1 == GRPC_CODES,
    "a figure for each code");

struct rpc {
	const struct model *model;
	struct grpc_server *server;
	struct calls *calls;
	bool linked; /* to consul-writer */
};

/* ---- methods ---- */

static void
on_register(struct grpc_call *call, const void *msg, size_t len, void *arg)
{
	struct rpc *r = arg;

	calls_begin(r->calls, CALL_REGISTER, call, msg, len);
}

static void
on_deregister(struct grpc_call *call, const void *msg, size_t len, void *arg)
{
	struct rpc *r = arg;

	calls_begin(r->calls, CALL_DEREGISTER, call, msg, len);
}

static void
on_gone(struct grpc_call *call, void *arg)
{
	struct rpc *r = arg;

	calls_gone(r->calls, call);
}

static bool
is_served(const char *service)
{
	return *service == '\0' ||
	    strcmp(service, "katalogsync.KatalogSync") == 0;
}

static bool
is_serving(const struct rpc *r)
{
	char reason[LIMIT_TEXT + 64];

	return r->linked && model_ready(r->model, reason, sizeof(reason));
}

static void
on_health(struct grpc_call *call, const void *msg, size_t len, void *arg)
{
	const struct rpc *r = arg;
	char service[256];
	uint8_t answer[16];
	const char *why =
	    health_request_decode(msg, len, service, sizeof(service));
	size_t n;

	if (why != NULL) {
		grpc_call_end(call, GRPC_INVALID_ARGUMENT, why, NULL, 0);
		return;
	}
	if (!is_served(service)) {
		grpc_call_end(call, GRPC_NOT_FOUND, "no such service here",
		    NULL, 0);
		return;
	}
	n = health_answer_encode(is_serving(r) ? GRPC_SERVING
					       : GRPC_NOT_SERVING,
	    answer, sizeof(answer));
	grpc_call_end(call, GRPC_OK, "", answer, n);
}

static const struct grpc_method methods[] = {
	{ GRPC_REGISTER, on_register, on_gone },
	{ GRPC_DEREGISTER, on_deregister, on_gone },
	{ GRPC_HEALTH, on_health, NULL },
};

/* ---- the shell ---- */

struct rpc *
rpc_new(struct event_base *base, const struct model *model)
{
	struct rpc *r = xcalloc(1, sizeof(*r));
	struct grpc_server_conf conf = { .base = base,
		.methods = methods,
		.nmethods = sizeof(methods) / sizeof(*methods),
		.arg = r };

	r->model = model;
	r->calls = calls_new();
	r->server = grpc_server_new(&conf);
	return r;
}

void
rpc_free(struct rpc *r)
{
	if (r == NULL)
		return;
	/* Its calls are gone() first. */
	grpc_server_free(r->server);
	calls_free(r->calls);
	free(r);
}

void
rpc_listen(struct rpc *r, int fd)
{
	grpc_server_listen(r->server, fd);
}

void
rpc_link(struct rpc *r, struct channel *ch)
{
	r->linked = ch != NULL;
	calls_link(r->calls, ch);
}

bool
rpc_message(struct rpc *r, const struct msg *m)
{
	return calls_message(r->calls, m);
}

bool
rpc_owns(const struct rpc *r, int fd)
{
	return grpc_server_owns(r->server, fd);
}

void
rpc_count(const struct rpc *r, struct metrics *ms)
{
	struct grpc_counts n = grpc_server_counts(r->server);

	metric_set(ms, M_SIDECAR_CONNECTIONS, n.connections);
	metric_set(ms, M_SIDECAR_CALLS, n.calls);
	metric_set(ms, M_SIDECAR_ACCEPTED, n.accepted);
	metric_set(ms, M_SIDECAR_REFUSED, n.refused);
	metric_set(ms, M_SIDECAR_BROKEN, n.broken);
	for (unsigned code = 0; code < GRPC_CODES; code++)
		metric_set(ms, (enum metric)(M_SIDECAR_ENDED + code),
		    n.ended[code]);
}
