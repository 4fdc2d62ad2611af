/* JSON as json-c's tree. Pure. */
#ifndef TREE_H
#define TREE_H

#include <json-c/json.h>
#include <stddef.h>
#include <stdint.h>

#include "workers/refusal.h"

/*
 * bytes: one value that json_scan() found good, with that many members in all
 * its objects: the tree has fewer if a name stands in an object twice, which
 * each parser would read in its own way. NULL: refused. To be put.
 */
json_object *tree_parse(const char *bytes, size_t len, uint32_t members,
    struct refusal *r);

#endif
