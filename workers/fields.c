#include "workers/fields.h"

#include <string.h>

static json_object *
typed(json_object *parent, const char *name, json_type type, const char *what,
    struct refusal *r)
{
	json_object *o;

	if (parent == NULL || !json_object_object_get_ex(parent, name, &o) ||
	    o == NULL)
		return NULL;
	if (!json_object_is_type(o, type)) {
		refuse(r, "\"%s\" is not %s", name, what);
		return NULL;
	}
	return o;
}

json_object *
field_object(json_object *parent, const char *name, struct refusal *r)
{
	return typed(parent, name, json_type_object, "an object", r);
}

json_object *
field_array(json_object *parent, const char *name, struct refusal *r)
{
	return typed(parent, name, json_type_array, "a list", r);
}

const char *
text_without_nul(json_object *string)
{
	const char *s = json_object_get_string(string);

	if (strlen(s) != (size_t)json_object_get_string_len(string))
		return NULL;
	return s;
}

const char *
field_text(json_object *parent, const char *name, struct refusal *r)
{
	json_object *o = typed(parent, name, json_type_string, "text", r);
	const char *s;

	if (o == NULL)
		return NULL;
	if ((s = text_without_nul(o)) == NULL)
		refuse(r, "\"%s\" holds a NUL", name);
	return s;
}

bool
field_bool(json_object *parent, const char *name, struct refusal *r)
{
	json_object *o =
	    typed(parent, name, json_type_boolean, "true or false", r);

	return o != NULL && json_object_get_boolean(o);
}

int64_t
field_int(json_object *parent, const char *name, struct refusal *r)
{
	json_object *o =
	    typed(parent, name, json_type_int, "a whole number", r);

	return o != NULL ? json_object_get_int64(o) : 0;
}

json_object *
field_element(json_object *array, size_t i, const char *name, struct refusal *r)
{
	json_object *o = json_object_array_get_idx(array, i);

	if (o != NULL && json_object_is_type(o, json_type_object))
		return o;
	refuse(r, "\"%s\" holds something that is not an object", name);
	return NULL;
}

size_t
field_count(json_object *array)
{
	return array != NULL ? json_object_array_length(array) : 0;
}
