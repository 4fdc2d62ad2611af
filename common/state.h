/*
 * Desired state as a keyed set, and its way from one producer to a receiver.
 *
 * A set maps keys to values, both opaque bytes. The producer owns a set and
 * has one feed per receiver; the receiver has a replica.
 *
 *	SNAP_BEGIN epoch, generation g		the receiver starts a new copy
 *	PUT key value, generation g ...
 *	SNAP_END epoch, count, generation g	applied as one if all was there
 *	PUT or DEL, generation g+1, g+2 ...	deltas, each builds on the last
 *	FRESH read_at, confirmed		how old all of that is
 *	RESYNC					receiver -> producer: start over
 *
 * A producer's start picks a random epoch. Nothing is sent before the
 * producer calls the set complete (absence of data is never an empty
 * snapshot). A receiver that is slow gets a fresh snapshot in place of an
 * endless queue: past LIMIT_CHANNEL_QUEUE bytes a feed waits until the queue
 * is empty. A change during a snapshot starts it anew. FRESH stands behind all
 * that it is about, and is never a word about an older copy.
 */
#ifndef STATE_H
#define STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/channel.h"

/* Producer's side. */

struct set;
struct set_entry {
	const void *key;
	const void *val;
	size_t key_len; /* 1..LIMIT_SET_KEY */
	size_t val_len; /* 0..LIMIT_SET_VALUE */
};

struct set *set_new(void); /* fatal without memory */
/* After its feeds. NULL is fine. */
void set_free(struct set *s);

/*
 * Puts a copy. True if that changed the set: the same bytes again cost no
 * message. A key or value over the limits, or an entry over
 * LIMIT_SET_ENTRIES, is a caller's bug: fatal.
 */
bool set_put(struct set *s, const void *key, size_t key_len, const void *val,
    size_t val_len);
/* True if it was there. */
bool set_del(struct set *s, const void *key, size_t key_len);
/* NULL if it is not there. Valid until the next change of the set. */
const struct set_entry *set_get(const struct set *s, const void *key,
    size_t key_len);
size_t set_count(const struct set *s);
/* In the order of the keys' bytes; NULL after the last. */
const struct set_entry *set_first(const struct set *s);
const struct set_entry *set_next(const struct set *s,
    const struct set_entry *e);

/* From now on the set is the truth: feeds start to send. */
void set_complete(struct set *s);

struct feed;

/* A feed follows its set until it is freed; it starts without a channel. */
struct feed *feed_new(struct set *s);
void feed_free(struct feed *f);
/*
 * A new link: a snapshot as soon as there can be one. NULL: it is gone, to be
 * said before its channel is freed.
 */
void feed_attach(struct feed *f, struct channel *ch);
/* For channel_ops.message: RESYNC. False: not a message for a feed. */
bool feed_message(struct feed *f, const struct msg *m);
/* For channel_ops.drained: goes on where the queue was full. */
void feed_drained(struct feed *f);
/*
 * The set is what its source said at read_at (CLOCK_MONOTONIC ms); confirmed:
 * what it lacks is really gone. The receiver is told behind all changes before
 * this; a slow one only the last, and a new one again.
 */
void feed_fresh(struct feed *f, uint64_t read_at, bool confirmed);

/* Receiver's side. */

struct replica;

/* What they are told may not free the replica or attach it elsewhere. */
struct replica_ops {
	/*
	 * A new or changed entry; the replica still has the one before.
	 * False: its value is nonsense, a protocol error; the entry does not
	 * count, and no entry of that snapshot is deleted.
	 */
	bool (*put)(const struct set_entry *e, void *arg);
	/*
	 * It is gone from the replica. The key is valid during the call.
	 * named: by a DEL of its own; else a snapshot came without it.
	 */
	void (*del)(const void *key, size_t key_len, bool named, void *arg);
	/*
	 * A snapshot was applied: put() and then del() were called for what
	 * differs from before. new_epoch: from another start of the producer
	 * than the one before, or the first one. May be NULL.
	 */
	void (*synced)(bool new_epoch, void *arg);
	/* See feed_fresh(): about all that was told before. May be NULL. */
	void (*fresh)(uint64_t read_at, bool confirmed, void *arg);
};

/* ops stays the caller's, for the replica's life. */
struct replica *replica_new(const struct replica_ops *ops, void *arg);
void replica_free(struct replica *r); /* NULL is fine; calls no ops */
/*
 * A new link, or NULL: it is gone, to be said before its channel is freed.
 * What was applied stays: EOF deletes nothing.
 */
void replica_attach(struct replica *r, struct channel *ch);
/*
 * For channel_ops.message: SNAP_BEGIN, PUT, DEL, SNAP_END, FRESH that
 * proto_check() accepted. False: another message, or a protocol error (a count, epoch or
 * generation that does not agree, a key twice in a snapshot, a DEL of what is
 * not there, more than LIMIT_SET_ENTRIES, a value that put() refused). A gap
 * in the generations is none: it asks for RESYNC, once, and waits.
 */
bool replica_message(struct replica *r, const struct msg *m);
/* That it is one of those. */
bool replica_knows(const struct msg *m);
/* As set_first() and so on. */
const struct set_entry *replica_first(const struct replica *r);
const struct set_entry *replica_next(const struct replica *r,
    const struct set_entry *e);
size_t replica_count(const struct replica *r);

#endif
