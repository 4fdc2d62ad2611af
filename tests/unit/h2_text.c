#include "tests/unit/h2_text.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"

void
h2_text_add(struct h2_text *t, const void *bytes, size_t len)
{
	if (len == 0)
		return;
	if (t->len + len > t->cap) {
		t->cap = (t->len + len) * 2;
		t->bytes = xreallocarray(t->bytes, t->cap, 1);
	}
	memcpy(t->bytes + t->len, bytes, len);
	t->len += len;
}

void
h2_text_frame(struct h2_text *t, uint8_t type, uint8_t flags, uint32_t id,
    const void *payload, size_t len)
{
	const uint8_t head[] = { (uint8_t)(len >> 16), (uint8_t)(len >> 8),
		(uint8_t)len, type, flags, (uint8_t)(id >> 24),
		(uint8_t)(id >> 16), (uint8_t)(id >> 8), (uint8_t)id };

	h2_text_add(t, head, sizeof(head));
	h2_text_add(t, payload, len);
}

void
h2_text_preface(struct h2_text *t)
{
	static const char magic[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

	h2_text_add(t, magic, sizeof(magic) - 1);
	h2_text_frame(t, H2_SETTINGS, 0, 0, NULL, 0);
}

/* A literal of HPACK without Huffman's code. */
static void
add_string(struct h2_text *t, const char *s)
{
	uint8_t len = (uint8_t)strlen(s);

	ck_assert_uint_lt(strlen(s), 127);
	h2_text_add(t, &len, 1);
	h2_text_add(t, s, len);
}

void
h2_text_headers(struct h2_text *t, uint8_t flags, uint32_t id,
    const char *const *pairs)
{
	const uint8_t not_indexed = 0;
	struct h2_text block = { 0 };

	for (; *pairs != NULL; pairs += 2) {
		h2_text_add(&block, &not_indexed, 1);
		add_string(&block, pairs[0]);
		add_string(&block, pairs[1]);
	}
	h2_text_frame(t, H2_HEADERS, flags, id, block.bytes, block.len);
	free(block.bytes);
}
