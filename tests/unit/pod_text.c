#include "tests/unit/pod_text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"

struct text
text_of_file(const char *name)
{
	const char *dir = getenv("TESTDATA");
	struct text t;
	char path[4096];
	FILE *f;
	long len;

	snprintf(path, sizeof(path), "%s/%s", dir != NULL ? dir : "tests/data",
	    name);
	if ((f = fopen(path, "rb")) == NULL)
		fatal("%s", path);
	if (fseek(f, 0, SEEK_END) != 0 || (len = ftell(f)) < 0)
		fatal("%s", path);
	rewind(f);
	t.len = (size_t)len;
	t.s = xcalloc(t.len + 1, 1);
	if (fread(t.s, 1, t.len, f) != t.len)
		fatal("%s", path);
	fclose(f);
	return t;
}

void
text_free(struct text *t)
{
	free(t->s);
	t->s = NULL;
	t->len = 0;
}

struct text
text_of_json(json_object *o, int flags)
{
	struct text t;

	t.s = xstrdup(json_object_to_json_string_ext(o, flags));
	t.len = strlen(t.s);
	return t;
}

json_object *
real_list(void)
{
	struct text t = text_of_file("kubelet-pods-1.34.json");
	json_object *list = json_tokener_parse(t.s);

	if (list == NULL)
		fatalx("kubelet-pods-1.34.json is no JSON");
	text_free(&t);
	return list;
}

json_object *
list_items(json_object *list)
{
	return json_at(list, "items");
}

json_object *
json_at(json_object *o, const char *path)
{
	char *copy = xstrdup(path), *rest = copy, *name;

	while (o != NULL && (name = strsep(&rest, "/")) != NULL)
		o = json_object_object_get(o, name);
	free(copy);
	return o;
}

void
json_set(json_object *o, const char *path, json_object *value)
{
	char *copy = xstrdup(path), *slash = strrchr(copy, '/');

	if (slash != NULL) {
		*slash = '\0';
		o = json_at(o, copy);
	}
	json_object_object_add(o, slash != NULL ? slash + 1 : copy, value);
	free(copy);
}

json_object *
clone_pod(json_object *list, size_t i, unsigned number)
{
	json_object *pod = NULL,
		    *from = json_object_array_get_idx(list_items(list), i);
	const char *name =
	    json_object_get_string(json_at(from, "metadata/name"));
	char text[300];

	if (json_object_deep_copy(from, &pod, NULL) != 0)
		fatal("json_object_deep_copy");
	snprintf(text, sizeof(text), "%s-%u", name, number);
	json_set(pod, "metadata/name", json_object_new_string(text));
	snprintf(text, sizeof(text), "00000000-0000-4000-8000-%012u", number);
	json_set(pod, "metadata/uid", json_object_new_string(text));
	return pod;
}

json_object *
many_pods(unsigned count)
{
	json_object *list = real_list(), *items = json_object_new_array();
	size_t n = json_object_array_length(list_items(list));

	for (unsigned i = 0; i < count; i++)
		json_object_array_add(items, clone_pod(list, i % n, i));
	json_set(list, "items", items);
	return list;
}
