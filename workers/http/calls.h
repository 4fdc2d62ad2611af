/*
 * Sidecars' calls on their way to consul-writer and back: each is a CALL there
 * with an id of its own, and waits for that ANSWER. It is never answered
 * with success here.
 */
#ifndef CALLS_H
#define CALLS_H

#include <stdbool.h>
#include <stddef.h>

#include "common/channel.h"
#include "grpc/server.h"

struct calls;

struct calls *calls_new(void);
/* Of calls that wait it says nothing to anybody. NULL is fine. */
void calls_free(struct calls *c);

/*
 * The link to consul-writer, or NULL: it is gone, to be said before its
 * channel is freed. What waits ends with UNAVAILABLE in both cases: no new
 * consul-writer knows of it.
 */
void calls_link(struct calls *c, struct channel *ch);
/* An ANSWER. False: another message, or to a call that never was. */
bool calls_message(struct calls *c, const struct msg *m);

/*
 * For grpc_method.begin and gone. At once it ends with UNAVAILABLE (there is
 * no consul-writer, or it reads too slowly), RESOURCE_EXHAUSTED (over
 * LIMIT_GRPC_CALLS) or INVALID_ARGUMENT (msg is no request).
 */
void calls_begin(struct calls *c, enum call_op op, struct grpc_call *call,
    const void *msg, size_t len);
void calls_gone(struct calls *c, struct grpc_call *call);

#endif
