/*
 * A server for tests of HTTP clients, in the same event loop as the client: it
 * answers by the path, well or badly, and says what it saw.
 */
#ifndef HTTP_PEER_H
#define HTTP_PEER_H

#include <event2/event.h>
#include <stddef.h>
#include <stdint.h>

struct http_peer;

enum peer_act {
	PEER_KEEP, /* answer, and keep the connection */
	PEER_CLOSE, /* answer, and close */
	PEER_HOLD, /* say nothing until http_peer_release() */
	PEER_FLOOD /* answer, then send flood for ever */
};

/* The table ends with path NULL. */
struct peer_answer {
	const char *path;
	enum peer_act act;
	const char *bytes; /* on the wire, as they are */
	const char *flood;
};

struct peer_seen {
	unsigned accepted; /* connections, in all */
	unsigned open;
	unsigned requests;
	unsigned held, held_most; /* at once */
	char head[4096]; /* of the last request */
	char body[4096];
};

struct http_peer *http_peer_new(struct event_base *base,
    const struct peer_answer *answers);
void http_peer_free(struct http_peer *p);
uint16_t http_peer_port(const struct http_peer *p);
const struct peer_seen *http_peer_seen(const struct http_peer *p);
/* Takes over a connected socket. */
void http_peer_adopt(struct http_peer *p, int fd);
/* Answers what is held with an empty 200. */
void http_peer_release(struct http_peer *p);
/* Closes all connections; new ones are accepted. */
void http_peer_hang_up(struct http_peer *p);

#endif
