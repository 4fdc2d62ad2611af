/* HTTP/2 as bytes, good and bad, for tests of both sides. */
#ifndef H2_TEXT_H
#define H2_TEXT_H

#include <stddef.h>
#include <stdint.h>

/* RFC 9113, 6. */
enum {
	H2_DATA = 0,
	H2_HEADERS = 1,
	H2_PRIORITY = 2,
	H2_RST_STREAM = 3,
	H2_SETTINGS = 4,
	H2_PING = 6,
	H2_GOAWAY = 7,
	H2_WINDOW_UPDATE = 8,
	H2_CONTINUATION = 9,
};

enum { H2_END_STREAM = 1, H2_ACK = 1, H2_END_HEADERS = 4 };

/* Zeroed at first; bytes is freed by the test. */
struct h2_text {
	uint8_t *bytes;
	size_t len;
	size_t cap;
};

void h2_text_add(struct h2_text *t, const void *bytes, size_t len);
/* What a client says first, with empty SETTINGS. */
void h2_text_preface(struct h2_text *t);
void h2_text_frame(struct h2_text *t, uint8_t type, uint8_t flags, uint32_t id,
    const void *payload, size_t len);
/* Names and values, NULL ends; each value at most 126 bytes. */
void h2_text_headers(struct h2_text *t, uint8_t flags, uint32_t id,
    const char *const *pairs);

#endif
