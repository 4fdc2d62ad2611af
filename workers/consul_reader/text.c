#include "workers/consul_reader/text.h"

#include <string.h>

bool
text_of(json_object *o, struct text *t)
{
	*t = (struct text){ "", 0 };
	if (!json_object_is_type(o, json_type_string))
		return false;
	t->s = json_object_get_string(o);
	t->len = (size_t)json_object_get_string_len(o);
	return true;
}

bool
text_member(json_object *parent, const char *name, struct text *t,
    struct refusal *r)
{
	json_object *o = NULL;

	*t = (struct text){ "", 0 };
	if (parent != NULL)
		json_object_object_get_ex(parent, name, &o);
	if (o == NULL || text_of(o, t))
		return true;
	return refuse(r, "\"%s\" is not text", name);
}

bool
text_has_nul(const struct text *t)
{
	return strlen(t->s) != t->len;
}
