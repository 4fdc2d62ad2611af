/* JSON as json-c's tree. Pure. */
#ifndef TREE_H
#define TREE_H

#include <json-c/json.h>
#include <stddef.h>

#include "workers/refusal.h"

/*
 * bytes: one value and nothing behind it, as strict as json_scan() is, no
 * deeper than max_depth (at most LIMIT_JSON_DEPTH); and no name stands in an
 * object twice, which each parser would read in its own way. NULL: refused.
 * To be put.
 */
json_object *tree_parse(const char *bytes, size_t len, unsigned max_depth,
    struct refusal *r);

#endif
