/*
 * A strict scanner of one JSON value that comes in pieces (RFC 8259 to the
 * letter, UTF-8 included). Pure: it builds nothing and allocates nothing.
 *
 * Stricter than the RFC where a parser could be misled: NUL as \u0000 in a
 * member's name is refused, unless any_names is set.
 */
#ifndef JSON_SCAN_H
#define JSON_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum json_status { JSON_MORE, JSON_DONE, JSON_BAD };

/* More than the 10,000 that Go's encoder writes. */
#define JSON_SCAN_DEPTH_MAX 10112

struct json_scan {
	enum json_status status;
	const char *why; /* JSON_BAD: constant text */
	uint32_t members; /* of all objects, so far */
	bool any_names; /* for the caller to set */

	const char *literal; /* what must follow */
	uint16_t max_depth;
	uint16_t depth; /* arrays and objects that are open */
	uint8_t state;
	uint8_t number; /* where in a number */
	uint8_t left; /* bytes of an escape or of a character to come */
	uint8_t low; /* least and most that the next of them may be */
	uint8_t high;
	uint8_t in_name; /* the string is a member's name */
	uint16_t code; /* of a \u escape so far */
	/* A bit for each that is open: it is an object. Others have no value. */
	uint64_t objects[JSON_SCAN_DEPTH_MAX / 64];
};

/* max_depth: 0..JSON_SCAN_DEPTH_MAX; an array or object counts as one. */
void json_scan_init(struct json_scan *j, unsigned max_depth);

/*
 * Takes bytes while the status is JSON_MORE; returns how many it took. A
 * number alone is done only with the byte behind it, which is not taken.
 */
size_t json_scan(struct json_scan *j, const char *data, size_t len);

#endif
