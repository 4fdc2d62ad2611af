/*
 * A channel: one end of a SOCK_SEQPACKET socketpair between two processes, on
 * libevent. Each packet is checked against the table of proto.h before it is
 * handed on. At most LIMIT_CHANNEL_BURST packets are read (and sent) in a row
 * before other events have their turn.
 *
 * Callbacks come from the event loop only, never from inside a call of these
 * functions.
 */
#ifndef CHANNEL_H
#define CHANNEL_H

#include <event2/event.h>

#include "common/proto.h"

struct channel;

struct channel_ops {
	/*
	 * A message that the table allows. m->body is valid during the call;
	 * m->fd (if any) is the receiver's from now on. False: the message
	 * makes no sense to the receiver, a protocol error; closed() follows.
	 * The callback may free the channel and must then return true; m->body
	 * stays valid until it returns.
	 */
	bool (*message)(struct channel *ch, const struct msg *m, void *arg);
	/*
	 * The peer is gone (why NULL: clean EOF, all that it sent was read) or
	 * broke the protocol (why names the message; valid during the call).
	 * Called once, not after channel_free(); the channel does no more I/O
	 * and is still to be freed, here or later.
	 */
	void (*closed)(struct channel *ch, const char *why, void *arg);
	/* The queue ran empty after it held something; may be NULL. */
	void (*drained)(struct channel *ch, void *arg);
};

/*
 * Takes fd over (closed by channel_free) and makes it non-blocking and
 * CLOEXEC. NULL with errno; fd is closed then. ops stays the caller's, for the
 * channel's life.
 */
struct channel *channel_new(struct event_base *base, int fd, enum role self,
    enum role peer, const struct channel_ops *ops, void *arg);
/*
 * NULL is fine, and any callback of the channel. Unsent messages are dropped,
 * their descriptors closed.
 */
void channel_free(struct channel *ch);

/*
 * Sends or queues a message in order; the body is copied. fd (-1: none) is
 * owned by the channel from here on, also on failure. False if the table
 * does not allow it (a bug: logged) or if the channel is closed. It always
 * queues: who sends much asks channel_queued() first.
 */
bool channel_send(struct channel *ch, enum msg_type type, uint64_t generation,
    const void *body, size_t len, int fd);
/* The same with the body of a writer; false if it had overflowed. */
bool channel_send_tlv(struct channel *ch, enum msg_type type,
    uint64_t generation, const struct tlv_writer *w, int fd);

/* Bytes that wait, headers included. */
size_t channel_queued(const struct channel *ch);
/* Something that the peer sent, or its end, waits to be read. */
bool channel_unread(const struct channel *ch);
/*
 * Sends what waits, blocking, for at most ms milliseconds. For an exit's last
 * words.
 */
void channel_flush(struct channel *ch, unsigned ms);

enum role channel_peer(const struct channel *ch);

/* A pair of ends, CLOEXEC and non-blocking. False with errno. */
bool channel_pair(int fds[2]);

/*
 * Blocking receive of one message, before there is an event loop (a worker's
 * CONFIG). buf has LIMIT_PACKET bytes. NULL, or why it failed (valid until
 * the next call). m->fd is the caller's.
 */
const char *channel_recv_one(int fd, enum role self, enum role peer,
    uint8_t *buf, struct msg *m);

#endif
