/*
 * The annotations of a pod that are ours, and what is to be said about those
 * that make no sense. Pure.
 */
#ifndef ANNOTATIONS_H
#define ANNOTATIONS_H

#include <json-c/json.h>
#include <stdbool.h>

#include "workers/kubelet_reader/arena.h"
#include "workers/refusal.h"

#define ANNOTATION_PREFIX "katalog-sync.wish.com/"

/* As many notices are kept for one pod; those that follow cost nothing. */
#define NOTICES_MAX 128

/* Lines for the log, each once; in the end they are the pod's (pods.h). */
struct notices {
	const char *pod; /* "namespace/name" */
	char **lines;
	size_t n;
};

/* Adds "pod NAMESPACE/NAME: ...". */
void notice(struct notices *n, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

struct annotations {
	json_object *all; /* may be NULL */
	struct arena *arena;
	struct notices *notices;
};

/* One annotation as it is there. */
struct annotation {
	const char *name; /* without prefix, with the service's if it has it */
	const char *value; /* NULL: not there */
	bool unusable; /* there with a NUL in it: value is "" */
};

/* Every value is text, or the list is refused. */
bool annotations_check(json_object *all, struct refusal *r);

bool annotation_there(const struct annotations *a, const char *name);
/* If it is not usable, there is a notice. */
struct annotation annotation(const struct annotations *a, const char *name);
/* NAME-SERVICE, else NAME. */
struct annotation annotation_for(const struct annotations *a, const char *name,
    const char *service);

/* What is no list, without white space around it, in the arena. */
const char *word(struct arena *a, const char *value);

/* A comma-separated list on the way from its first to its last item. */
struct list {
	const struct annotation *an;
	const char *rest;
	unsigned n; /* items so far */
};

struct list list_of(const struct annotation *an);
/*
 * The next, without white space around it, in the arena; empty ones are
 * skipped. NULL at the end, and where there are more than LIMIT_LIST_ITEMS
 * (then there is a notice): each of a pod's services walks its lists.
 */
const char *list_next(const struct annotations *a, struct list *l);

/* The notice for a value: "annotation NAME "VALUE": why". */
void annotation_notice(struct notices *n, const struct annotation *an,
    const char *value, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

/* True if there is a control character (below 0x20, or 0x7f). */
bool has_control(const char *s);

#endif
