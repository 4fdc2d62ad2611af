/*
 * How one kind of objects is followed: lists page by page, then a watch from
 * the list's version on, and again from where it ended. Pure: no clock, no
 * I/O; times are CLOCK_MONOTONIC milliseconds.
 *
 *	LIST -> (pages) -> WATCH -> (ends) -> WATCH -> ...
 *	  ^                  | 410, or something unreadable
 *	  `------------------'
 *
 * A page that fails costs the whole list (its other pages may be older), an
 * error a back-off with jitter; one that is too large is asked for anew with
 * half as many objects. A watch is asked to end after some minutes;
 * one that says nothing for longer is taken for dead. Bookmarks may be
 * missing. A list is made anew from time to time, as events may be lost
 * without a trace.
 */
#ifndef WATCH_H
#define WATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "workers/k8s_writer/kube_json.h"

/* The apiserver is to end a watch after WATCH_TIMEOUT_S, less up to a fifth. */
#define WATCH_TIMEOUT_S  300
#define WATCH_SILENCE_MS ((WATCH_TIMEOUT_S + 30) * 1000)
/* A line of a watch: one object, see LIMIT_POD. */
#define WATCH_LINE LIMIT_POD
/* A page of a list. */
#define WATCH_PAGE_BYTES (64 * 1024 * 1024)
/*
 * What the cluster does not have (a CRD) is asked for again after that, then
 * after twice as long, and so on up to the time between two lists.
 */
#define WATCH_ABSENT_MS 1000

enum watch_do {
	WATCH_NOTHING, /* until watch_due() or an answer */
	WATCH_LIST, /* GET of watch_path(): one page */
	WATCH_WATCH, /* GET of watch_path(): a stream of lines */
	WATCH_STOP /* cancel what is under way; that was its end */
};

/* What is known of all objects afterwards. */
enum watch_news {
	WATCH_NO_NEWS,
	WATCH_COMPLETE, /* the list was the whole list */
	WATCH_ABSENT, /* the cluster has no such kind */
	WATCH_AGAIN, /* what it was; a list follows */
	WATCH_ERROR /* what it was; it is tried again */
};

struct watch {
	enum kube_kind kind;
	uint64_t relist_ms;
	uint64_t seed;

	enum watch_do under_way;
	char version[256]; /* to watch from; "": list first */
	char next[4097]; /* token of the list's next page */
	unsigned limit; /* objects of a page */
	bool in_list; /* its first page was read, others are to come */
	bool absent;
	bool told; /* see watch_told() */
	unsigned absences; /* in a row */
	bool relist_asked;
	uint64_t next_at;
	uint64_t begun_at; /* what is under way */
	uint64_t heard_at; /* something of the watch */
	uint64_t listed_at;
	unsigned failures;
	unsigned rounds;
};

/* relist_ms: a list is made anew so long after the last one. */
void watch_init(struct watch *w, enum kube_kind kind, uint64_t relist_ms,
    uint64_t seed);

/* What to do now; a LIST or WATCH is under way then. */
enum watch_do watch_next(struct watch *w, uint64_t now);
/* When watch_next() may say more without an answer; UINT64_MAX: never. */
uint64_t watch_due(const struct watch *w, uint64_t now);
/* Path of what is under way; false: it does not fit, a caller's bug. */
#define WATCH_PATH (OBJECT_PATH + 3 * 4096)
bool watch_path(const struct watch *w, const struct object_conf *conf,
    char buf[WATCH_PATH]);

/* The page to come is the first one of a list. */
bool watch_begins(const struct watch *w);
/* A page that was read; its objects are the caller's business. */
enum watch_news watch_page(struct watch *w, const struct kube_list *l,
    uint64_t now);
/*
 * The page was larger than WATCH_PAGE_BYTES: it is to come with fewer objects.
 * False: it had one only, or was no page; watch_end() is to follow.
 */
bool watch_too_large(struct watch *w, uint64_t now);
/* Something came of the watch: an event that was read. */
enum watch_news watch_event(struct watch *w, const struct kube_event *e,
    uint64_t now);
/*
 * What was under way ended otherwise: with an HTTP status (0: without an
 * answer; 200 for a LIST: it was unreadable), retry_after_ms as the answer
 * says (0: nothing). A WATCH whose events could not be read ends with
 * WATCH_UNREADABLE.
 */
#define WATCH_UNREADABLE (-1)
enum watch_news watch_end(struct watch *w, long status, uint64_t retry_after_ms,
    uint64_t now);

/*
 * told: somebody will call watch_hint() when the kind may be there, see
 * crd.h. Until then it need not be asked for more often than lists are made.
 */
void watch_told(struct watch *w, bool told);
void watch_hint(struct watch *w, uint64_t now);

/* What is known may be wrong: lists again at once. */
void watch_relist(struct watch *w);
/* Something changed (a token): what failed is tried again at once. */
void watch_retry(struct watch *w, uint64_t now);

#endif
