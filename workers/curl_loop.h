/*
 * curl's multi interface on libevent: sockets and timer only. One per client,
 * made before the sandbox closes (curl makes a socketpair for it).
 */
#ifndef CURL_LOOP_H
#define CURL_LOOP_H

#include <curl/curl.h>
#include <event2/event.h>
#include <stdbool.h>

struct curl_loop;

struct curl_loop_conf {
	struct event_base *base;
	unsigned max_connections; /* open ones, idle ones among them */
	/* curl ran: see curl_loop_ended(). Never from inside curl. */
	void (*progress)(void *arg);
	/*
	 * Hands out a connected descriptor, or -1. Called from inside curl.
	 * NULL: curl connects by itself.
	 */
	int (*connected_socket)(void *arg);
	void *arg;
};

/* fatal() if it can't be made. */
struct curl_loop *curl_loop_new(const struct curl_loop_conf *conf);
/* Closes the connections. No handle is in it, and curl is not running. */
void curl_loop_free(struct curl_loop *l);

/* Puts the loop's socket functions into a handle: once in its life. */
void curl_loop_adopt(struct curl_loop *l, CURL *easy);
/*
 * To be asked by the handle's CURLOPT_PREREQFUNCTION, which is the owner's:
 * whether the connection can be written to.
 */
bool curl_loop_connected(struct curl_loop *l);
bool curl_loop_add(struct curl_loop *l, CURL *easy);
/* Closes the connection of a transfer that has not ended. */
void curl_loop_remove(struct curl_loop *l, CURL *easy);
/* Lets curl begin with what was added; does not call progress. */
void curl_loop_run(struct curl_loop *l);
/* The next handle that ended, already removed; NULL: none. */
CURL *curl_loop_ended(struct curl_loop *l, CURLcode *code);

/* True inside curl's callbacks, where none of the above may be called. */
bool curl_loop_inside(const struct curl_loop *l);
/* Sockets open now, idle ones and those still connecting among them. */
unsigned curl_loop_sockets(const struct curl_loop *l);

#endif
