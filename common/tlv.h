/*
 * Type-length-value fields: a 4-byte header (tag, length; 16 bits each,
 * network byte order) and the bytes. Pure: no I/O, no allocation.
 *
 * Fields stand in any order. A reader gives the rules of what may be there;
 * an unknown, repeated (unless TLV_REPEAT), missing (unless TLV_OPTIONAL),
 * short, long or trailing field makes the whole unreadable.
 */
#ifndef TLV_H
#define TLV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TLV_HEADER  4
#define TLV_LEN_MAX 65535

struct tlv_writer {
	uint8_t *buf;
	size_t cap;
	size_t len; /* written so far */
	bool overflow; /* something did not fit: the rest is void */
};

/* buf stays the caller's. */
void tlv_writer_init(struct tlv_writer *w, void *buf, size_t cap);
void tlv_put(struct tlv_writer *w, uint16_t tag, const void *val, size_t len);
void tlv_put_u8(struct tlv_writer *w, uint16_t tag, uint8_t v);
void tlv_put_u16(struct tlv_writer *w, uint16_t tag, uint16_t v);
void tlv_put_u32(struct tlv_writer *w, uint16_t tag, uint32_t v);
void tlv_put_u64(struct tlv_writer *w, uint16_t tag, uint64_t v);
/* Without the NUL; NULL is the empty string. */
void tlv_put_str(struct tlv_writer *w, uint16_t tag, const char *s);

enum tlv_type {
	TLV_BYTES, /* anything, min..max bytes */
	TLV_STR, /* UTF-8 or other text without NUL, min..max bytes */
	TLV_U8,
	TLV_U16,
	TLV_U32,
	TLV_U64
};

#define TLV_OPTIONAL 0x01 /* may be missing */
#define TLV_REPEAT   0x02 /* may stand there more than once */

struct tlv_rule {
	uint16_t tag;
	enum tlv_type type;
	uint8_t flags;
	uint16_t min; /* bytes, for TLV_BYTES and TLV_STR */
	uint16_t max;
};

struct tlv_field {
	const uint8_t *val; /* into the reader's buffer; NULL: not there */
	uint16_t tag;
	uint16_t len;
};

/*
 * Checks buf against the rules and fills out[i] with the (first) field of
 * rules[i]. False if buf is not exactly as the rules say; out is void then.
 * nrules is at most 64.
 */
bool tlv_parse(const void *buf, size_t len, const struct tlv_rule *rules,
    size_t nrules, struct tlv_field *out);

/*
 * Walks the fields of a buffer that tlv_parse() accepted: *off starts at 0.
 * False at the end.
 */
bool tlv_next(const void *buf, size_t len, size_t *off,
    struct tlv_field *field);

/* The value of a field that tlv_parse() accepted; 0 if it is not there. */
uint8_t tlv_u8(const struct tlv_field *f);
uint16_t tlv_u16(const struct tlv_field *f);
uint32_t tlv_u32(const struct tlv_field *f);
uint64_t tlv_u64(const struct tlv_field *f);

/*
 * Copies the text into dst with a NUL; "" if it is not there. False, and dst
 * "", if it does not fit.
 */
bool tlv_str(const struct tlv_field *f, char *dst, size_t cap);
/*
 * The same into a buffer that is filled from front to back: to *at, which
 * moves behind the NUL. NULL if it is not there. A buffer as long as all
 * fields with their headers has room for all of their texts.
 */
const char *tlv_take(const struct tlv_field *f, char **at);

#endif
