/*
 * A client for tests of an HTTP/2 server, in the same event loop: it sends
 * what no good client does, as frames or as plain bytes, and says what it saw.
 */
#ifndef H2_PEER_H
#define H2_PEER_H

#include <event2/event.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define H2_PEER_STREAMS 512

/* Of a stream; ids 1, 3, 5... */
struct h2_stream {
	unsigned ended; /* 1: closed */
	unsigned http; /* the status */
	unsigned headers; /* frames: 1 is trailers-only, 2 has trailers */
	int code; /* grpc-status; -1: none */
	char text[256]; /* grpc-message, as it was sent */
	char type[64]; /* content-type */
	char accepts[64]; /* grpc-accept-encoding */
	char body[64]; /* with the prefix */
	size_t len;
	uint32_t error;
};

struct h2_peer;

/* From 127.0.0.source to 127.0.0.1. */
struct h2_peer *h2_peer_new(struct event_base *base, uint8_t source,
    uint16_t port);
void h2_peer_free(struct h2_peer *p);
/* Stops to read from the socket, or goes on. */
void h2_peer_read(struct h2_peer *p, bool on);
/* What the socket has not taken yet. */
size_t h2_peer_unsent(const struct h2_peer *p);
/* Bytes as they are, and no HTTP/2 of ours from now on. */
void h2_peer_raw(struct h2_peer *p, const void *bytes, size_t len);

struct h2_request {
	const char *method; /* NULL: POST */
	const char *path;
	const char *type; /* NULL: application/grpc; "": none */
	const char *more[4]; /* header names and values, NULL ends */
	const void *body; /* as DATA; prefix and all */
	size_t len;
	bool open; /* without END_STREAM */
};

/* The stream's id. */
int32_t h2_peer_request(struct h2_peer *p, const struct h2_request *r);
void h2_peer_reset(struct h2_peer *p, int32_t stream);
void h2_peer_ping(struct h2_peer *p);
/* Streams' windows, before anything is requested. */
void h2_peer_window(struct h2_peer *p, uint32_t bytes);
const struct h2_stream *h2_peer_stream(const struct h2_peer *p, int32_t id);

struct h2_seen {
	unsigned closed; /* 1: by the server */
	unsigned any; /* bytes came */
	unsigned goaways;
	unsigned settings;
	unsigned pings; /* not the answers to ours */
	uint32_t goaway_error;
	uint32_t max_streams; /* of its SETTINGS */
	uint8_t first[16]; /* of the bytes that came */
};

const struct h2_seen *h2_peer_seen(const struct h2_peer *p);

#endif
