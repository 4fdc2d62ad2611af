#include "workers/kubeconfig/tree.h"

#include <bsd/string.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "common/limits.h"
#include "common/log.h"

struct builder {
	struct node *root;
	struct node *open[LIMIT_KUBECONFIG_DEPTH]; /* outermost first */
	unsigned depth;
	unsigned count; /* nodes so far */
	char *name; /* of the value that comes next, in a mapping */
	bool ended; /* a document has */
	char *why;
};

static bool __attribute__((format(printf, 3, 4)))
refuse(struct builder *b, const yaml_event_t *e, const char *fmt, ...)
{
	int n =
	    snprintf(b->why, TREE_WHY, "line %zu: ", e->start_mark.line + 1);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(b->why + n, TREE_WHY - (size_t)n, fmt, ap);
	va_end(ap);
	return false;
}

/* ---- nodes ---- */

void
tree_free(struct node *n)
{
	struct node *child;

	if (n == NULL)
		return;
	while ((child = TAILQ_FIRST(&n->children)) != NULL) {
		TAILQ_REMOVE(&n->children, child, entry);
		tree_free(child);
	}
	free(n->name);
	free(n->text);
	free(n);
}

static bool
is_null(const struct node *n)
{
	static const char *const words[] = { "", "~", "null", "Null", "NULL" };

	if (n->type != NODE_TEXT || !n->plain)
		return false;
	for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++)
		if (strcmp(n->text, words[i]) == 0)
			return true;
	return false;
}

static struct node *
find(const struct node *map, const char *name)
{
	struct node *n;

	TAILQ_FOREACH(n, &map->children, entry)
		if (strcmp(n->name, name) == 0)
			return n;
	return NULL;
}

const struct node *
tree_get(const struct node *n, const char *name)
{
	const struct node *found;

	if (n == NULL || n->type != NODE_MAP)
		return NULL;
	found = find(n, name);
	return found == NULL || is_null(found) ? NULL : found;
}

static struct node *
innermost(const struct builder *b)
{
	return b->depth > 0 ? b->open[b->depth - 1] : NULL;
}

static bool
wants_name(const struct builder *b)
{
	const struct node *in = innermost(b);

	return in != NULL && in->type == NODE_MAP && b->name == NULL;
}

static void
hang(struct builder *b, struct node *n)
{
	struct node *in = innermost(b);

	if (in == NULL) {
		b->root = n;
		return;
	}
	TAILQ_INSERT_TAIL(&in->children, n, entry);
	in->nchildren++;
}

/* A new value where the document is; NULL: refused. */
static struct node *
add(struct builder *b, const yaml_event_t *e, enum node_type type)
{
	struct node *n;

	if (wants_name(b)) {
		refuse(b, e, "a name that is no text");
		return NULL;
	}
	if (++b->count > LIMIT_KUBECONFIG_NODES) {
		refuse(b, e, "more than %d values", LIMIT_KUBECONFIG_NODES);
		return NULL;
	}
	n = xcalloc(1, sizeof(*n));
	n->type = type;
	n->line = (unsigned)e->start_mark.line + 1;
	n->name = b->name;
	b->name = NULL;
	TAILQ_INIT(&n->children);
	hang(b, n);
	return n;
}

/* ---- events ---- */

/* Those that say nothing new; others would change what a text means. */
static bool
tag_is_fine(const yaml_char_t *tag)
{
	static const char *const fine[] = { YAML_STR_TAG, YAML_SEQ_TAG,
		YAML_MAP_TAG, "!" };

	if (tag == NULL)
		return true;
	for (size_t i = 0; i < sizeof(fine) / sizeof(*fine); i++)
		if (strcmp((const char *)tag, fine[i]) == 0)
			return true;
	return false;
}

static bool
take_name(struct builder *b, const yaml_event_t *e, const char *text)
{
	struct node *map = innermost(b);

	if (find(map, text) != NULL)
		return refuse(b, e, "\"%.60s\" stands there twice", text);
	if (map->nchildren >= LIMIT_KUBECONFIG_NAMES)
		return refuse(b, e, "more than %d names in one mapping",
		    LIMIT_KUBECONFIG_NAMES);
	b->name = xstrdup(text);
	return true;
}

static bool
on_scalar(struct builder *b, const yaml_event_t *e)
{
	const char *text = (const char *)e->data.scalar.value;
	struct node *n;

	if (!tag_is_fine(e->data.scalar.tag))
		return refuse(b, e, "tags (!) are not supported");
	if (strlen(text) != e->data.scalar.length)
		return refuse(b, e, "a NUL byte in a text");
	if (wants_name(b))
		return take_name(b, e, text);
	if ((n = add(b, e, NODE_TEXT)) == NULL)
		return false;
	n->text = xstrdup(text);
	n->plain = e->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
	return true;
}

static bool
on_open(struct builder *b, const yaml_event_t *e, enum node_type type,
    const yaml_char_t *tag)
{
	struct node *n;

	if (!tag_is_fine(tag))
		return refuse(b, e, "tags (!) are not supported");
	if (b->depth == LIMIT_KUBECONFIG_DEPTH)
		return refuse(b, e, "more than %d levels deep",
		    LIMIT_KUBECONFIG_DEPTH);
	if ((n = add(b, e, type)) == NULL)
		return false;
	b->open[b->depth++] = n;
	return true;
}

static bool
on_event(struct builder *b, const yaml_event_t *e)
{
	switch (e->type) {
	case YAML_SCALAR_EVENT:
		return on_scalar(b, e);
	case YAML_SEQUENCE_START_EVENT:
		return on_open(b, e, NODE_LIST, e->data.sequence_start.tag);
	case YAML_MAPPING_START_EVENT:
		return on_open(b, e, NODE_MAP, e->data.mapping_start.tag);
	case YAML_SEQUENCE_END_EVENT:
	case YAML_MAPPING_END_EVENT:
		b->depth--;
		return true;
	case YAML_ALIAS_EVENT:
		return refuse(b, e, "aliases (*) are not supported");
	case YAML_DOCUMENT_START_EVENT:
		return !b->ended || refuse(b, e, "a second document");
	case YAML_DOCUMENT_END_EVENT:
		b->ended = true;
		return true;
	default:
		return true;
	}
}

static bool
syntax_error(struct builder *b, const yaml_parser_t *p)
{
	snprintf(b->why, TREE_WHY, "line %zu: not YAML: %s",
	    p->problem_mark.line + 1,
	    p->problem != NULL ? p->problem : "out of memory");
	return false;
}

static bool
build(struct builder *b, yaml_parser_t *p)
{
	yaml_event_t e;
	bool good, last = false;

	while (!last) {
		if (!yaml_parser_parse(p, &e))
			return syntax_error(b, p);
		last = e.type == YAML_STREAM_END_EVENT;
		good = on_event(b, &e);
		yaml_event_delete(&e);
		if (!good)
			return false;
	}
	if (b->root != NULL)
		return true;
	strlcpy(b->why, "there is nothing in it", TREE_WHY);
	return false;
}

struct node *
tree_parse(const void *data, size_t len, char why[TREE_WHY])
{
	struct builder b = { .why = why };
	yaml_parser_t p;

	if (len > LIMIT_KUBECONFIG) {
		snprintf(why, TREE_WHY, "larger than %d bytes",
		    LIMIT_KUBECONFIG);
		return NULL;
	}
	if (!yaml_parser_initialize(&p))
		fatalx("YAML: out of memory");
	yaml_parser_set_input_string(&p, data, len);
	if (!build(&b, &p)) {
		tree_free(b.root);
		b.root = NULL;
	}
	free(b.name);
	yaml_parser_delete(&p);
	return b.root;
}
