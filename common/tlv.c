#include "common/tlv.h"

#include <endian.h>
#include <string.h>

/* Seen rules are a bit each. */
#define RULES_MAX 64

static const uint16_t fixed_len[] = {
	[TLV_U8] = 1,
	[TLV_U16] = 2,
	[TLV_U32] = 4,
	[TLV_U64] = 8,
};

static void
store16(uint8_t *p, size_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static uint16_t
load16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

void
tlv_writer_init(struct tlv_writer *w, void *buf, size_t cap)
{
	*w = (struct tlv_writer){ .buf = buf, .cap = cap };
}

void
tlv_put(struct tlv_writer *w, uint16_t tag, const void *val, size_t len)
{
	uint8_t *p = w->buf + w->len;

	if (w->overflow)
		return;
	if (len > TLV_LEN_MAX || w->cap - w->len < TLV_HEADER + len) {
		w->overflow = true;
		return;
	}
	store16(p, tag);
	store16(p + 2, len);
	if (len > 0)
		memcpy(p + TLV_HEADER, val, len);
	w->len += TLV_HEADER + len;
}

void
tlv_put_u8(struct tlv_writer *w, uint16_t tag, uint8_t v)
{
	tlv_put(w, tag, &v, sizeof(v));
}

void
tlv_put_u16(struct tlv_writer *w, uint16_t tag, uint16_t v)
{
	v = htobe16(v);
	tlv_put(w, tag, &v, sizeof(v));
}

void
tlv_put_u32(struct tlv_writer *w, uint16_t tag, uint32_t v)
{
	v = htobe32(v);
	tlv_put(w, tag, &v, sizeof(v));
}

void
tlv_put_u64(struct tlv_writer *w, uint16_t tag, uint64_t v)
{
	v = htobe64(v);
	tlv_put(w, tag, &v, sizeof(v));
}

void
tlv_put_str(struct tlv_writer *w, uint16_t tag, const char *s)
{
	tlv_put(w, tag, s, s != NULL ? strlen(s) : 0);
}

bool
tlv_next(const void *buf, size_t len, size_t *off, struct tlv_field *field)
{
	const uint8_t *p = (const uint8_t *)buf + *off;
	size_t left = len - *off;

	if (left < TLV_HEADER || left - TLV_HEADER < load16(p + 2))
		return false;
	field->tag = load16(p);
	field->len = load16(p + 2);
	field->val = p + TLV_HEADER;
	*off += TLV_HEADER + field->len;
	return true;
}

static bool
value_allowed(const struct tlv_rule *r, const struct tlv_field *f)
{
	switch (r->type) {
	case TLV_BYTES:
		return f->len >= r->min && f->len <= r->max;
	case TLV_STR:
		return f->len >= r->min && f->len <= r->max &&
		    memchr(f->val, '\0', f->len) == NULL;
	default:
		return f->len == fixed_len[r->type];
	}
}

/* Index of the tag's rule, n if there is none. */
static size_t
find_rule(const struct tlv_rule *rules, size_t n, size_t hint, uint16_t tag)
{
	size_t i;

	/* Fields mostly stand in the order of the rules. */
	if (hint < n && rules[hint].tag == tag)
		return hint;
	for (i = 0; i < n && rules[i].tag != tag; i++)
		continue;
	return i;
}

static bool
all_there(const struct tlv_rule *rules, size_t n, uint64_t seen)
{
	for (size_t i = 0; i < n; i++)
		if (!(rules[i].flags & TLV_OPTIONAL) && !(seen >> i & 1))
			return false;
	return true;
}

bool
tlv_parse(const void *buf, size_t len, const struct tlv_rule *rules,
    size_t nrules, struct tlv_field *out)
{
	struct tlv_field f;
	size_t off = 0, i = 0;
	uint64_t seen = 0;

	if (nrules > RULES_MAX)
		return false;
	for (size_t n = 0; n < nrules; n++)
		out[n] = (struct tlv_field){ .tag = rules[n].tag };
	while (tlv_next(buf, len, &off, &f)) {
		i = find_rule(rules, nrules, i, f.tag);
		if (i == nrules || !value_allowed(&rules[i], &f))
			return false;
		if (!(seen >> i & 1))
			out[i] = f;
		else if (!(rules[i].flags & TLV_REPEAT))
			return false;
		seen |= 1ULL << i;
		if (!(rules[i].flags & TLV_REPEAT))
			i++;
	}
	return off == len && all_there(rules, nrules, seen);
}

uint8_t
tlv_u8(const struct tlv_field *f)
{
	return f->val != NULL ? f->val[0] : 0;
}

uint16_t
tlv_u16(const struct tlv_field *f)
{
	return f->val != NULL ? load16(f->val) : 0;
}

uint32_t
tlv_u32(const struct tlv_field *f)
{
	uint32_t v = 0;

	if (f->val != NULL)
		memcpy(&v, f->val, sizeof(v));
	return be32toh(v);
}

uint64_t
tlv_u64(const struct tlv_field *f)
{
	uint64_t v = 0;

	if (f->val != NULL)
		memcpy(&v, f->val, sizeof(v));
	return be64toh(v);
}

bool
tlv_str(const struct tlv_field *f, char *dst, size_t cap)
{
	size_t len = f->val != NULL ? f->len : 0;

	if (len >= cap) {
		if (cap > 0)
			dst[0] = '\0';
		return false;
	}
	if (len > 0)
		memcpy(dst, f->val, len);
	dst[len] = '\0';
	return true;
}

const char *
tlv_take(const struct tlv_field *f, char **at)
{
	char *s = *at;

	if (f->val == NULL)
		return NULL;
	memcpy(s, f->val, f->len);
	s[f->len] = '\0';
	*at = s + f->len + 1;
	return s;
}
