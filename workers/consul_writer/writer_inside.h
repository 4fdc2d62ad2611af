/*
 * The inside of writer.h: writer.c has the loop, requests.c what goes over
 * the wire, voice.c what is said and counted.
 */
#ifndef WRITER_INSIDE_H
#define WRITER_INSIDE_H

#include <bsd/sys/queue.h>

#include "common/log.h"
#include "workers/consul_writer/agent.h"
#include "workers/consul_writer/plan.h"
#include "workers/consul_writer/writer.h"

struct write {
	TAILQ_ENTRY(write) link;
	struct writer *w;
	struct plan_item *item;
	enum plan_op op;
	struct http_request *request;
	char id[];
};

/* The two requests of a read, one after the other. */
struct reading {
	struct http_request *request; /* NULL: none under way */
	char *services; /* the first one's answer */
	size_t services_len;
};

/* A batch of requests, from the first to the last: for log and figures. */
struct pass {
	bool on;
	bool failed;
	uint64_t since;
	unsigned done[PLAN_OPS];
};

struct writer {
	struct writer_conf conf;
	struct plan *plan;
	struct agent agent;
	struct event *timer; /* pump() */
	struct event *stop_timer;
	TAILQ_HEAD(, write) writes;
	unsigned nwrites;
	struct reading reading;
	struct pass pass;
	bool started;
	bool stopping;
	bool complete; /* a snapshot came */
	bool was_known; /* the agent, when it was last looked at */
	char *node; /* NULL: not known yet */
	uint64_t node_asked; /* when it was read for that */
	bool synced;

	bool busy; /* trouble is a 429 or 503 to a write */
	struct log_once said_trouble;
	struct log_once said_stale;
	char trouble[LIMIT_TEXT]; /* the agent's, as a whole; "": none */
	char denied[LIMIT_TEXT]; /* the first of those services' */
	bool permitted; /* one of them was written since */
};

/* ---- writer.c ---- */

/* Starts what may start now, says how it goes, arms the timer. */
void pump(struct writer *w);

/* ---- requests.c ---- */

void start_read(struct writer *w, uint64_t now);
void start_writes(struct writer *w, uint64_t now);
void cancel_read(struct writer *w);
/* The read and the writes; their ends are not told. */
void cancel_all(struct writer *w);

/* ---- voice.c ---- */

/* The agent as a whole does not do as it should; and it does again. */
void say_trouble(struct writer *w, const char *text);
void say_no_trouble(struct writer *w);
/* The end of a write; news: it failed otherwise than last time. */
void say_written(struct writer *w, const struct write *wr);
void say_failed(struct writer *w, const struct write *wr, enum plan_result r,
    const char *text, bool news);
/* Health, figures, and conditions that began or ended. */
void tell(struct writer *w, uint64_t now);
void pass_begin(struct writer *w, uint64_t now);
/* If nothing is under way any more. */
void pass_end(struct writer *w, uint64_t now);

#endif
