/*
 * The YAML (or JSON, which is YAML) of a kubeconfig as a tree of texts, lists
 * and mappings. Pure. Bounded by LIMIT_KUBECONFIG_*; what a kubeconfig never
 * needs and a hostile one could use is refused: aliases, tags, two documents,
 * names that stand twice in one mapping or are no texts, NUL bytes.
 */
#ifndef TREE_H
#define TREE_H

#include <bsd/sys/queue.h>
#include <stdbool.h>
#include <stddef.h>

enum node_type { NODE_TEXT, NODE_LIST, NODE_MAP };

TAILQ_HEAD(nodes, node);

struct node {
	TAILQ_ENTRY(node) entry;
	enum node_type type;
	unsigned line; /* 1.. */
	char *name; /* in a mapping, else NULL */
	char *text; /* NODE_TEXT */
	bool plain; /* NODE_TEXT: stands there without quotes */
	struct nodes children;
	unsigned nchildren;
};

/* NULL, and why in the buffer: the first document is not as it must be. */
#define TREE_WHY 256
struct node *tree_parse(const void *data, size_t len, char why[TREE_WHY]);
/* NULL is fine. */
void tree_free(struct node *n);

/*
 * What has that name in a mapping. NULL if there is nothing, if it is null
 * (~), or if n is NULL or no mapping.
 */
const struct node *tree_get(const struct node *n, const char *name);

#endif
