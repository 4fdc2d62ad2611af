#include "workers/json_scan.h"

#include <stdbool.h>
#include <string.h>

enum state {
	ST_VALUE,
	ST_FIRST_VALUE, /* behind [ */
	ST_NAME, /* behind , in an object */
	ST_FIRST_NAME, /* behind { */
	ST_COLON,
	ST_BEHIND, /* a value inside of an array or object */
	ST_STRING,
	ST_UTF8,
	ST_ESCAPE,
	ST_HEX,
	ST_NUMBER,
	ST_LITERAL,
	ST_MAX
};

/* What a byte is inside of a string. */
enum {
	IN_PLAIN,
	IN_END,
	IN_ESCAPE,
	IN_CONTROL,
	IN_LEAD2,
	IN_LEAD3,
	IN_LEAD4,
	IN_NOT_UTF8
};

static const uint8_t in_string[256] = {
	[0x00 ... 0x1f] = IN_CONTROL,
	['"'] = IN_END,
	['\\'] = IN_ESCAPE,
	[0x80 ... 0xc1] = IN_NOT_UTF8,
	[0xc2 ... 0xdf] = IN_LEAD2,
	[0xe0 ... 0xef] = IN_LEAD3,
	[0xf0 ... 0xf4] = IN_LEAD4,
	[0xf5 ... 0xff] = IN_NOT_UTF8,
};

/* A number: where in it, and what comes next. */
enum {
	NUM_NONE,
	NUM_MINUS,
	NUM_ZERO,
	NUM_INT,
	NUM_DOT,
	NUM_FRACTION,
	NUM_E,
	NUM_E_SIGN,
	NUM_E_DIGITS,
	NUM_MAX
};
enum { CH_OTHER, CH_ZERO, CH_DIGIT, CH_DOT, CH_E, CH_PLUS, CH_MINUS, CH_MAX };

/* NUM_NONE: the number does not go on. */
static const uint8_t number_next[NUM_MAX][CH_MAX] = {
	[NUM_MINUS] = { [CH_ZERO] = NUM_ZERO, [CH_DIGIT] = NUM_INT },
	[NUM_ZERO] = { [CH_DOT] = NUM_DOT, [CH_E] = NUM_E },
	[NUM_INT] = { [CH_ZERO] = NUM_INT,
	    [CH_DIGIT] = NUM_INT,
	    [CH_DOT] = NUM_DOT,
	    [CH_E] = NUM_E },
	[NUM_DOT] = { [CH_ZERO] = NUM_FRACTION, [CH_DIGIT] = NUM_FRACTION },
	[NUM_FRACTION] = { [CH_ZERO] = NUM_FRACTION,
	    [CH_DIGIT] = NUM_FRACTION,
	    [CH_E] = NUM_E },
	[NUM_E] = { [CH_ZERO] = NUM_E_DIGITS,
	    [CH_DIGIT] = NUM_E_DIGITS,
	    [CH_PLUS] = NUM_E_SIGN,
	    [CH_MINUS] = NUM_E_SIGN },
	[NUM_E_SIGN] = { [CH_ZERO] = NUM_E_DIGITS, [CH_DIGIT] = NUM_E_DIGITS },
	[NUM_E_DIGITS] = { [CH_ZERO] = NUM_E_DIGITS, [CH_DIGIT] = NUM_E_DIGITS },
};

static const bool number_ends[NUM_MAX] = {
	[NUM_ZERO] = true,
	[NUM_INT] = true,
	[NUM_FRACTION] = true,
	[NUM_E_DIGITS] = true,
};

static const char *
bad(struct json_scan *j, const char *p, const char *why)
{
	j->status = JSON_BAD;
	j->why = why;
	return p;
}

static bool
is_space(char c)
{
	return c == ' ' || c == '\n' || c == '\t' || c == '\r';
}

static bool
in_object(const struct json_scan *j)
{
	unsigned n = j->depth - 1U;

	return (j->objects[n / 64] >> n % 64 & 1) != 0;
}

/* A value ended just before p. */
static const char *
value_done(struct json_scan *j, const char *p)
{
	if (j->depth == 0)
		j->status = JSON_DONE;
	else
		j->state = ST_BEHIND;
	return p;
}

static const char *
open_nested(struct json_scan *j, const char *p, bool object)
{
	uint64_t *bits, bit;

	if (j->depth == j->max_depth)
		return bad(j, p, "nested too deeply");
	bits = &j->objects[j->depth / 64];
	bit = (uint64_t)1 << j->depth % 64;
	if (object)
		*bits |= bit;
	else
		*bits &= ~bit;
	j->depth++;
	j->state = object ? ST_FIRST_NAME : ST_FIRST_VALUE;
	return p + 1;
}

static const char *
close_nested(struct json_scan *j, const char *p)
{
	if (in_object(j) != (*p == '}'))
		return bad(j, p, "a bracket that closes nothing");
	j->depth--;
	return value_done(j, p + 1);
}

static const char *
begin_string(struct json_scan *j, const char *p, bool name)
{
	j->in_name = name;
	j->state = ST_STRING;
	return p + 1;
}

static const char *
begin_literal(struct json_scan *j, const char *p, const char *rest)
{
	j->literal = rest;
	j->state = ST_LITERAL;
	return p + 1;
}

static const char *
begin_number(struct json_scan *j, const char *p)
{
	if (*p != '-' && (*p < '0' || *p > '9'))
		return bad(j, p, "a value was expected");
	j->number = *p == '-' ? NUM_MINUS : *p == '0' ? NUM_ZERO : NUM_INT;
	j->state = ST_NUMBER;
	return p + 1;
}

static const char *
on_value(struct json_scan *j, const char *p)
{
	switch (*p) {
	case '{':
		return open_nested(j, p, true);
	case '[':
		return open_nested(j, p, false);
	case '"':
		return begin_string(j, p, false);
	case 't':
		return begin_literal(j, p, "rue");
	case 'f':
		return begin_literal(j, p, "alse");
	case 'n':
		return begin_literal(j, p, "ull");
	default:
		return begin_number(j, p);
	}
}

static const char *
on_first_value(struct json_scan *j, const char *p)
{
	return *p == ']' ? close_nested(j, p) : on_value(j, p);
}

static const char *
on_name(struct json_scan *j, const char *p)
{
	if (*p != '"')
		return bad(j, p, "a member's name was expected");
	return begin_string(j, p, true);
}

static const char *
on_first_name(struct json_scan *j, const char *p)
{
	return *p == '}' ? close_nested(j, p) : on_name(j, p);
}

static const char *
on_colon(struct json_scan *j, const char *p)
{
	if (*p != ':')
		return bad(j, p, "a colon was expected");
	j->members++;
	j->state = ST_VALUE;
	return p + 1;
}

static const char *
on_behind(struct json_scan *j, const char *p)
{
	if (*p == '}' || *p == ']')
		return close_nested(j, p);
	if (*p != ',')
		return bad(j, p, "a comma or closing bracket was expected");
	j->state = in_object(j) ? ST_NAME : ST_VALUE;
	return p + 1;
}

static const char *
end_string(struct json_scan *j, const char *p)
{
	if (!j->in_name)
		return value_done(j, p + 1);
	j->state = ST_COLON;
	return p + 1;
}

/*
 * The second byte of a character is bounded so that there are no overlong
 * forms, no surrogates and nothing above U+10FFFF.
 */
static const char *
begin_utf8(struct json_scan *j, const char *p, unsigned left)
{
	uint8_t c = (uint8_t)*p;

	j->left = (uint8_t)left;
	j->low = c == 0xe0 ? 0xa0 : c == 0xf0 ? 0x90 : 0x80;
	j->high = c == 0xed ? 0x9f : c == 0xf4 ? 0x8f : 0xbf;
	j->state = ST_UTF8;
	return p + 1;
}

static const char *
on_utf8(struct json_scan *j, const char *p)
{
	uint8_t c = (uint8_t)*p;

	if (c < j->low || c > j->high)
		return bad(j, p, "not UTF-8");
	j->low = 0x80;
	j->high = 0xbf;
	if (--j->left == 0)
		j->state = ST_STRING;
	return p + 1;
}

static const char *
on_string(struct json_scan *j, const char *p, const char *end)
{
	unsigned what = IN_PLAIN;

	while (p < end && (what = in_string[(uint8_t)*p]) == IN_PLAIN)
		p++;
	switch (what) {
	case IN_PLAIN:
		return p;
	case IN_END:
		return end_string(j, p);
	case IN_ESCAPE:
		j->state = ST_ESCAPE;
		return p + 1;
	case IN_CONTROL:
		return bad(j, p, "a raw control byte in a string");
	case IN_NOT_UTF8:
		return bad(j, p, "not UTF-8");
	default:
		return begin_utf8(j, p, what - IN_LEAD2 + 1);
	}
}

static const char *
on_escape(struct json_scan *j, const char *p)
{
	if (*p == 'u') {
		j->left = 4;
		j->code = 0;
		j->state = ST_HEX;
		return p + 1;
	}
	if (*p == '\0' || strchr("\"\\/bfnrt", *p) == NULL)
		return bad(j, p, "an unknown escape in a string");
	j->state = ST_STRING;
	return p + 1;
}

static int
hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static const char *
on_hex(struct json_scan *j, const char *p)
{
	int v = hex_value(*p);

	if (v < 0)
		return bad(j, p, "an escape that is not \\uXXXX");
	j->code = (uint16_t)(j->code << 4 | v);
	if (--j->left > 0)
		return p + 1;
	if (j->code == 0 && j->in_name && !j->any_names)
		return bad(j, p, "a NUL in a member's name");
	j->state = ST_STRING;
	return p + 1;
}

static unsigned
number_class(char c)
{
	switch (c) {
	case '.':
		return CH_DOT;
	case 'e':
	case 'E':
		return CH_E;
	case '+':
		return CH_PLUS;
	case '-':
		return CH_MINUS;
	case '0':
		return CH_ZERO;
	default:
		return c > '0' && c <= '9' ? CH_DIGIT : CH_OTHER;
	}
}

static const char *
on_number(struct json_scan *j, const char *p)
{
	uint8_t next = number_next[j->number][number_class(*p)];

	if (next != NUM_NONE) {
		j->number = next;
		return p + 1;
	}
	if (!number_ends[j->number])
		return bad(j, p, "not a number");
	return value_done(j, p);
}

static const char *
on_literal(struct json_scan *j, const char *p)
{
	if (*p != *j->literal)
		return bad(j, p, "a word that is not true, false or null");
	if (*++j->literal == '\0')
		return value_done(j, p + 1);
	return p + 1;
}

/* Those before ST_STRING have white space before them. */
static const char *(*const steps[ST_MAX])(struct json_scan *, const char *) = {
	[ST_VALUE] = on_value,
	[ST_FIRST_VALUE] = on_first_value,
	[ST_NAME] = on_name,
	[ST_FIRST_NAME] = on_first_name,
	[ST_COLON] = on_colon,
	[ST_BEHIND] = on_behind,
	[ST_UTF8] = on_utf8,
	[ST_ESCAPE] = on_escape,
	[ST_HEX] = on_hex,
	[ST_NUMBER] = on_number,
	[ST_LITERAL] = on_literal,
};

void
json_scan_init(struct json_scan *j, unsigned max_depth)
{
	j->status = JSON_MORE;
	j->why = NULL;
	j->members = 0;
	j->any_names = false;
	j->max_depth = max_depth < JSON_SCAN_DEPTH_MAX ? (uint16_t)max_depth
						       : JSON_SCAN_DEPTH_MAX;
	j->depth = 0;
	j->state = ST_VALUE;
}

size_t
json_scan(struct json_scan *j, const char *data, size_t len)
{
	const char *p = data, *end = data + len;

	while (p < end && j->status == JSON_MORE) {
		if (j->state == ST_STRING)
			p = on_string(j, p, end);
		else if (j->state < ST_STRING && is_space(*p))
			p++;
		else
			p = steps[j->state](j, p);
	}
	return (size_t)(p - data);
}
