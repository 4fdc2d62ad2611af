#include "workers/http/calls.h"

#include <sys/queue.h>

#include <stdio.h>
#include <stdlib.h>

#include "common/log.h"
#include "grpc/message.h"
#include "workers/http/caller.h"

#define RESTARTED "consul-writer is being restarted; try again"

struct call {
	TAILQ_ENTRY(call) entry;
	struct grpc_call *grpc;
	uint64_t id;
};

struct calls {
	struct channel *ch; /* NULL: no link */
	uint64_t last_id; /* given on this link; 0: none yet */
	TAILQ_HEAD(, call) waiting;
	size_t count;
};

static void
refuse(struct grpc_call *call, enum grpc_code code, const char *text)
{
	grpc_call_end(call, code, text, NULL, 0);
}

struct calls *
calls_new(void)
{
	struct calls *c = xcalloc(1, sizeof(*c));

	TAILQ_INIT(&c->waiting);
	return c;
}

static struct grpc_call *
take_out(struct calls *c, struct call *call)
{
	struct grpc_call *grpc = call->grpc;

	TAILQ_REMOVE(&c->waiting, call, entry);
	c->count--;
	free(call);
	return grpc;
}

void
calls_free(struct calls *c)
{
	struct call *call;

	if (c == NULL)
		return;
	while ((call = TAILQ_FIRST(&c->waiting)) != NULL)
		take_out(c, call);
	free(c);
}

void
calls_link(struct calls *c, struct channel *ch)
{
	struct call *call;

	/* Nobody is told of those that go by the way. */
	c->ch = NULL;
	while ((call = TAILQ_FIRST(&c->waiting)) != NULL)
		refuse(take_out(c, call), GRPC_UNAVAILABLE, RESTARTED);
	c->ch = ch;
	c->last_id = 0;
}

/* Few enough, LIMIT_GRPC_CALLS, to look at each. */
static struct call *
find(const struct calls *c, uint64_t id)
{
	struct call *call;

	TAILQ_FOREACH(call, &c->waiting, entry)
		if (call->id == id)
			return call;
	return NULL;
}

bool
calls_message(struct calls *c, const struct msg *m)
{
	uint64_t id = msg_u64(m, TAG_CALL);
	char why[LIMIT_TEXT + 1];
	struct call *call;

	if (m->type != MSG_ANSWER || id == 0 || id > c->last_id)
		return false;
	/* One that ended here while its answer was under way is no error. */
	call = find(c, id);
	if (call == NULL)
		return true;
	msg_str(m, TAG_TEXT, why, sizeof(why));
	grpc_call_end(take_out(c, call), (enum grpc_code)msg_u8(m, TAG_CODE),
	    why, NULL, 0);
	return true;
}

/* ---- to consul-writer ---- */

/* Room for one message of each. */
#define CALL_BODY (sizeof(struct sidecar_request) + sizeof(struct caller) + 64)

static bool
send_call(struct calls *c, enum call_op op, uint64_t id,
    const struct sidecar_request *r, const struct caller *from)
{
	uint8_t buf[CALL_BODY];
	struct tlv_writer w;

	tlv_writer_init(&w, buf, sizeof(buf));
	tlv_put_u64(&w, TAG_CALL, id);
	tlv_put_u8(&w, TAG_OP, (uint8_t)op);
	tlv_put_str(&w, TAG_NAMESPACE, r->namespace);
	tlv_put_str(&w, TAG_POD, r->pod);
	tlv_put_str(&w, TAG_CONTAINER, r->container);
	tlv_put_str(&w, TAG_PEER, from->address);
	tlv_put_u8(&w, TAG_LOCAL, from->local);
	return channel_send_tlv(c->ch, MSG_CALL, 0, &w, -1);
}

static void
send_end(struct calls *c, uint64_t id)
{
	uint8_t buf[CALL_BODY];
	struct tlv_writer w;

	tlv_writer_init(&w, buf, sizeof(buf));
	tlv_put_u64(&w, TAG_CALL, id);
	channel_send_tlv(c->ch, MSG_CALL_END, 0, &w, -1);
}

static void
wait_for_answer(struct calls *c, struct grpc_call *grpc)
{
	struct call *call = xcalloc(1, sizeof(*call));

	call->id = c->last_id;
	call->grpc = grpc;
	grpc_call_set_arg(grpc, call);
	TAILQ_INSERT_TAIL(&c->waiting, call, entry);
	c->count++;
}

static void
pass_on(struct calls *c, enum call_op op, struct grpc_call *grpc,
    const struct sidecar_request *r)
{
	struct caller from;

	if (!caller_of(grpc_call_peer(grpc), grpc_call_local(grpc), &from))
		refuse(grpc, GRPC_INTERNAL, "no address of the caller");
	else if (!send_call(c, op, c->last_id + 1, r, &from))
		refuse(grpc, GRPC_UNAVAILABLE, RESTARTED);
	else {
		c->last_id++;
		wait_for_answer(c, grpc);
	}
}

void
calls_begin(struct calls *c, enum call_op op, struct grpc_call *call,
    const void *msg, size_t len)
{
	struct sidecar_request r;
	char text[128];
	const char *why = sidecar_request_decode(msg, len, &r);

	if (why != NULL) {
		snprintf(text, sizeof(text), "the request: %s", why);
		refuse(call, GRPC_INVALID_ARGUMENT, text);
	} else if (c->ch == NULL)
		refuse(call, GRPC_UNAVAILABLE, RESTARTED);
	else if (c->count >= LIMIT_GRPC_CALLS)
		refuse(call, GRPC_RESOURCE_EXHAUSTED,
		    "too many calls wait already; try again");
	else if (channel_queued(c->ch) > LIMIT_CHANNEL_QUEUE)
		refuse(call, GRPC_UNAVAILABLE,
		    "consul-writer is behind with earlier calls; try again");
	else
		pass_on(c, op, call, &r);
}

void
calls_gone(struct calls *c, struct grpc_call *grpc)
{
	struct call *call = grpc_call_arg(grpc);
	uint64_t id = call->id;

	take_out(c, call);
	if (c->ch != NULL)
		send_end(c, id);
}
