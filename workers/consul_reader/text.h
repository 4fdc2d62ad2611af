/*
 * Text members of Consul's JSON. Pure. A missing member and null are "";
 * another type refuses the whole answer: Consul never says that. But anybody
 * may register a service whose ID holds a NUL: such text costs its row only.
 */
#ifndef TEXT_H
#define TEXT_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>

#include "workers/refusal.h"

struct text {
	const char *s; /* the object's; ends in a NUL */
	size_t len;
};

/* False: refused. parent may be NULL: no members. */
bool text_member(json_object *parent, const char *name, struct text *t,
    struct refusal *r);
/* Of a string; false: it is none. */
bool text_of(json_object *o, struct text *t);
bool text_has_nul(const struct text *t);

#endif
