/*
 * The pods of the list that counts, and those of the one that is being read.
 * Pure.
 *
 *	podlist_begin()		a read starts
 *	podlist_add() ...	its pods; those of the same bytes aren't parsed
 *	podlist_end()		it was a whole list: what it is like
 *	podlist_accept()	it counts from now on, or
 *	podlist_waits()		it is the first of two (guard.h)
 *	podlist_drop()		it never was
 */
#ifndef PODLIST_H
#define PODLIST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "workers/kubelet_reader/guard.h"
#include "workers/kubelet_reader/pods.h"
#include "workers/kubelet_reader/split.h"

struct podlist;

struct podlist_conf {
	struct pod_conf pods;
	const char *node; /* "": that of the first list that counts */
	bool node_optional; /* a pod may lack it: files by hand */
};

/* What became of a list that counts, while podlist_accept() runs. */
struct podlist_ops {
	/* A pod stands before its services. */
	void (*put)(const struct pod_entry *e, void *arg);
	void (*del)(const struct pod_entry *e, void *arg);
	/* A line for the log; not said of the same pod before. */
	void (*notice)(const char *line, void *arg);
};

struct podlist_stats {
	size_t parsed; /* pods of the last read */
	size_t same; /* not parsed: known by their bytes */
	bool ours_changed; /* a pod of ours came, went, or has other bytes */
	bool wrong_node; /* why the list is refused */
};

/* secret: SPLIT_SECRET bytes; it, conf and r stay the caller's. */
struct podlist *podlist_new(const struct podlist_conf *conf, const void *secret,
    struct refusal *r);
void podlist_free(struct podlist *l);

void podlist_begin(struct podlist *l);
/* False: refused. */
bool podlist_add(struct podlist *l, const struct split_pod *sp);
/* For split_ops. */
bool podlist_known(struct podlist *l, XXH128_hash_t prefix, size_t *len,
    XXH128_hash_t *hash);
/* False: refused. */
bool podlist_end(struct podlist *l, struct guard_list *list);
void podlist_accept(struct podlist *l, const struct podlist_ops *ops,
    void *arg);
/* Those that follow are compared with it, too. */
void podlist_waits(struct podlist *l);
/* Also right after podlist_begin(), podlist_accept() or podlist_drop(). */
void podlist_drop(struct podlist *l);

/* Of the list that is being read. */
struct podlist_stats podlist_stats(const struct podlist *l);
/* Of the list that counts: pods, of them ours, their services, least interval
 * (0: none). */
size_t podlist_pods(const struct podlist *l);
size_t podlist_ours(const struct podlist *l);
size_t podlist_services(const struct podlist *l);
uint64_t podlist_interval(const struct podlist *l);
/* "" until it is known. */
const char *podlist_node(const struct podlist *l);

#endif
