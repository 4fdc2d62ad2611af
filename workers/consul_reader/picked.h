/*
 * Of an element of Consul's lists, what is read, as json-c's tree. Pure.
 * Whoever may register anything chooses most of it: the configuration of a
 * proxy, notes, meta. What nobody reads costs nothing and refuses nothing.
 */
#ifndef PICKED_H
#define PICKED_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>

#include "workers/excerpt.h"
#include "workers/refusal.h"

/* Bytes of JSON: a tree takes more than a hundred times as much. */
#define PICKED_MAX (256 * 1024)

/*
 * bytes: one value that json_scan() found good, with any names. To be put.
 * NULL: refused, or *large: the wanted members have more bytes than that.
 */
json_object *picked_parse(const struct excerpt_member *wanted,
    const char *bytes, size_t len, bool *large, struct refusal *r);

#endif
