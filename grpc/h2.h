/*
 * HTTP/2 on a bufferevent: how server and client feed and flush nghttp2, and
 * what a peer can make them do.
 *
 *	It does not read		nothing more is read from it, and it
 *					is given up after stalled_ms
 *	It sends frames that carry	H2_BURST at once, H2_RATE a second and
 *	no call on			H2_FRAMES_EACH a call, then it is broken
 *	It is done, or said good-bye	what was sent reaches it, and then
 *					H2_LINGER_MS for it to hang up
 *
 * over() and all session callbacks are called from the event loop, never
 * from inside a function of this header. An owner may free it anywhere but
 * in a session callback, and submits from anywhere, with h2_wake() after it.
 */
#ifndef GRPC_H2_H
#define GRPC_H2_H

#include <event2/bufferevent.h>
#include <nghttp2/nghttp2.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define H2_BURST       2048
#define H2_RATE        128
#define H2_FRAMES_EACH 4
#define H2_LINGER_MS   2000

struct h2;

enum h2_end {
	H2_CLOSED, /* either side hung up, as they may */
	H2_LOST, /* the socket failed, or it did not read */
	H2_BROKEN /* that was no HTTP/2, or too much of it */
};

struct h2_conf {
	struct bufferevent *bev; /* connected; taken over */
	bool server;
	uint64_t stalled_ms;
	/* Adds the owner's; their user_data is for h2_arg(). */
	void (*callbacks)(nghttp2_session_callbacks *cbs);
	const nghttp2_settings_entry *settings;
	size_t nsettings;
	/*
	 * Nothing more will come; to be freed, in here or later. why is for
	 * people, and ends with the call.
	 */
	void (*over)(enum h2_end end, const char *why, void *arg);
	void *arg;
};

/* Its settings are on the way. */
struct h2 *h2_new(const struct h2_conf *conf);
/* Closes the socket, without a word. NULL is fine. */
void h2_free(struct h2 *h);
/* To submit to. */
nghttp2_session *h2_session(const struct h2 *h);
/* Sends what was submitted. */
void h2_wake(struct h2 *h);
/* Of a session callback's user_data: conf's arg. */
void *h2_arg(void *user_data);
/* When bytes last came from it (clock_ms()). */
uint64_t h2_heard_ms(const struct h2 *h);
void h2_ping(struct h2 *h);
/* No new streams; over() when those that are there have ended. */
void h2_goodbye(struct h2 *h);
/* The same in one breath, as far as the socket takes it now. */
void h2_last_words(struct h2 *h);

/* A header field of constant name, as nghttp2 wants it; it copies both. */
nghttp2_nv h2_nv(const char *name, const char *value);

#endif
