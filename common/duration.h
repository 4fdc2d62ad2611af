/* Go's durations: "1h30m", "500ms", "1.5s", "0". Pure. */
#ifndef DURATION_H
#define DURATION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Milliseconds, 0..2^53; parts below one are rounded up, so that nothing
 * above zero becomes zero. False if s is not a duration, or negative.
 */
bool duration_parse(const char *s, uint64_t *ms);

#define DURATION_TEXT 32
/* As Go prints it: "1m30s", "500ms", "0s". Returns buf. */
const char *duration_format(uint64_t ms, char buf[DURATION_TEXT]);

#endif
