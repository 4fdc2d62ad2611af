#include "workers/kubelet_reader/annotations.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "workers/fields.h"

#define SPACE " \t\r\n"

/* Takes line over. */
static void
add_line(struct notices *n, char *line)
{
	size_t i = 0;

	while (i < n->n && strcmp(n->lines[i], line) != 0)
		i++;
	if (i < n->n) {
		free(line);
		return;
	}
	n->lines = xreallocarray(n->lines, n->n + 1, sizeof(*n->lines));
	n->lines[n->n++] = line;
}

void
notice(struct notices *n, const char *fmt, ...)
{
	char text[LIMIT_TEXT], line[2 * LIMIT_TEXT];
	va_list ap;

	if (n->n == NOTICES_MAX)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	snprintf(line, sizeof(line), "pod %s: %s", n->pod, text);
	add_line(n, xstrdup(line));
}

void
annotation_notice(struct notices *n, const struct annotation *an,
    const char *value, const char *fmt, ...)
{
	char text[LIMIT_TEXT];
	va_list ap;

	if (n->n == NOTICES_MAX)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	notice(n, "annotation %.128s \"%.128s\": %s", an->name, value, text);
}

bool
annotations_check(json_object *all, struct refusal *r)
{
	if (all == NULL)
		return true;
	json_object_object_foreach(all, key, value) {
		if (!json_object_is_type(value, json_type_string))
			return refuse(r, "annotation \"%s\" is not text", key);
	}
	return true;
}

static json_object *
look_up(const struct annotations *a, const char *name)
{
	json_object *value;
	const char *key;

	key = arena_printf(a->arena, ANNOTATION_PREFIX "%s", name);
	if (a->all == NULL || !json_object_object_get_ex(a->all, key, &value))
		return NULL;
	return value;
}

bool
annotation_there(const struct annotations *a, const char *name)
{
	return look_up(a, name) != NULL;
}

struct annotation
annotation(const struct annotations *a, const char *name)
{
	struct annotation an = { .name = name };
	json_object *value = look_up(a, name);

	if (value == NULL)
		return an;
	if ((an.value = text_without_nul(value)) == NULL) {
		an.value = "";
		an.unusable = true;
		notice(a->notices, "annotation %.128s: holds a NUL; not used",
		    name);
	}
	return an;
}

struct annotation
annotation_for(const struct annotations *a, const char *name,
    const char *service)
{
	const char *own = arena_printf(a->arena, "%s-%s", name, service);

	return annotation(a, annotation_there(a, own) ? own : name);
}

/* Without white space around it. */
static const char *
trimmed(struct arena *a, const char *s, size_t len)
{
	size_t skip;

	while (len > 0 && strchr(SPACE, s[len - 1]) != NULL)
		len--;
	skip = strspn(s, SPACE);
	return skip < len ? arena_strndup(a, s + skip, len - skip) : "";
}

const char *
word(struct arena *a, const char *value)
{
	return trimmed(a, value, strlen(value));
}

struct list
list_of(const struct annotation *an)
{
	return (struct list){
		.an = an,
		.rest = an->value != NULL ? an->value : "",
	};
}

static const char *
next_item(struct arena *a, const char **rest)
{
	const char *from;

	while (*(from = *rest) != '\0') {
		size_t len = strcspn(from, ",");
		const char *item = trimmed(a, from, len);

		*rest = from + len + (from[len] == ',');
		if (*item != '\0')
			return item;
	}
	return NULL;
}

const char *
list_next(const struct annotations *a, struct list *l)
{
	const char *item = next_item(a->arena, &l->rest);

	if (item == NULL || l->n++ < LIMIT_LIST_ITEMS)
		return item;
	annotation_notice(a->notices, l->an, item,
	    "more than %d items; this and those behind it left out",
	    LIMIT_LIST_ITEMS);
	return NULL;
}

bool
has_control(const char *s)
{
	for (; *s != '\0'; s++) {
		if ((unsigned char)*s < 0x20 || *s == 0x7f)
			return true;
	}
	return false;
}
