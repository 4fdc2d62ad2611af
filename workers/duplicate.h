/*
 * Finds a member's name that stands in an object twice. Pure. For messages:
 * that there is one is known by counting.
 */
#ifndef DUPLICATE_H
#define DUPLICATE_H

#include <stdbool.h>
#include <stddef.h>

/*
 * bytes: JSON that json_scan() found good. The name as it stands there, cut
 * to cap; false if none was found (in reasonable time).
 */
bool duplicate_find(const char *bytes, size_t len, char *name, size_t cap);

#endif
