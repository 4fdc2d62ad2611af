/*
 * The inside of reader.h: reader.c has the loop, requests.c what goes over the
 * wire, voice.c what is said and counted.
 */
#ifndef READER_INSIDE_H
#define READER_INSIDE_H

#include <bsd/sys/queue.h>

#include "common/log.h"
#include "workers/consul_reader/answer.h"
#include "workers/consul_reader/catalog.h"
#include "workers/consul_reader/follow.h"
#include "workers/consul_reader/hosts.h"
#include "workers/consul_reader/listing.h"
#include "workers/consul_reader/query.h"
#include "workers/consul_reader/reader.h"
#include "workers/outage.h"
#include "workers/publisher.h"
#include "workers/upstream.h"

/* A list and its request, of which there is at most one. */
struct list {
	struct reader *r;
	enum query_list which;
	struct listing *listing;
	struct http_request *request; /* NULL: none under way */
	size_t left_out; /* services, by their names */
	bool counted; /* once: from then on, what differs is news */
	struct log_once said_useless;
	struct log_once said_large;
	struct log_once said_names;
};

struct read {
	TAILQ_ENTRY(read) link;
	struct reader *r;
	struct follow_target *target;
	struct http_request *request;
	struct catalog_read *catalog;
	char service[];
};

struct reader {
	struct worker *w;
	struct metrics *metrics;
	struct upstream consul;
	struct hosts *hosts; /* NULL: host names are not looked up */
	struct follow *follow;
	struct catalog *catalog;
	struct trust trust;
	struct list lists[QUERY_LISTS];
	TAILQ_HEAD(, read) reads; /* under way */
	struct publisher *publisher;
	struct event *timer; /* pump() */

	struct query_conf query;
	uint64_t timeout_ms;
	unsigned char secret[LISTING_SECRET];
	bool dry_run;
	bool started;
	bool complete; /* once; from then on it is published */
	unsigned hidden; /* catalogs, in a row, that may hide something */
	uint64_t passes; /* that were looked at, as follow.h counts them */

	/* What keeps it from seeing all; "": nothing. */
	char partial[LIMIT_TEXT];
	/* Consul's, as a whole; "": none. */
	char trouble[LIMIT_TEXT];
	struct outage outage;
	struct log_once said_partial;
	struct log_once said_full;
	struct log_once said_waiting;
};

/* ---- reader.c ---- */

/* Starts what may start now, publishes, says how it goes, arms the timer. */
void pump(struct reader *r);
/* A list counts: what differs is made dirty. */
void take_list(struct reader *r, struct list *l, enum answer_worth worth);

/* ---- requests.c ---- */

void start_requests(struct reader *r, uint64_t now);
/* The list is to be read again without waiting. */
void restart_list(struct reader *r, enum query_list which, uint64_t now);
/* All lists that wait for changes. */
void restart_lists(struct reader *r, uint64_t now);

/* ---- voice.c ---- */

/* "the catalog" and so on. */
const char *list_name(enum query_list which);
void count_answer(struct reader *r, const struct http_response *res,
    enum answer_worth worth);
/* Consul as a whole does not do as it should; and it does again. */
void say_trouble(struct reader *r, const char *what, const char *text);
void say_no_trouble(struct reader *r);
/* A list is done without; and it no longer is. */
void say_useless(struct list *l, const char *text);
void say_useful(struct list *l);
/* What of a list that counts was passed over. */
void say_odd(struct list *l, const struct listing_odd *odd);
/* One service can't be read; again: not for the first time. */
void say_unreadable(struct reader *r, const char *service, const char *text,
    bool again);
/* Something may be hidden from us, "": nothing is. */
void say_partial(struct reader *r, const char *text);
void say_reset(struct reader *r, enum query_list which);
/* Health, figures, and conditions that began or ended. */
void tell(struct reader *r);

#endif
