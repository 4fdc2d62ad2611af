/* Pod lists for tests: the real kubelet's, and such as tests make up. */
#ifndef POD_TEXT_H
#define POD_TEXT_H

#include <json-c/json.h>
#include <stddef.h>

struct text {
	char *s; /* with a NUL behind */
	size_t len;
};

/* A file of tests/data. */
struct text text_of_file(const char *name);
void text_free(struct text *t);

/* Without white space, or with it. */
struct text text_of_json(json_object *o, int flags);

/* The real kubelet's list; to be put. */
json_object *real_list(void);
json_object *list_items(json_object *list);
/* A member of a member... of an object: path "metadata/name". */
json_object *json_at(json_object *o, const char *path);
/* Sets it (takes value). */
void json_set(json_object *o, const char *path, json_object *value);
/* A deep copy of the real list's pod i, with a name and uid of its own. */
json_object *clone_pod(json_object *list, size_t i, unsigned number);
/* A list of so many pods made from the real one's. */
json_object *many_pods(unsigned count);

#endif
