/*
 * A Consul agent in memory behind the functions of http_client.h: link it in
 * place of the client. One at a time.
 */
#ifndef FAKE_AGENT_H
#define FAKE_AGENT_H

#include <event2/event.h>

#include "workers/http_client.h"

struct fake_agent {
	/* To be set at any time. */
	const char *error; /* requests end with it; NULL: they are answered */
	bool too_large; /* for that error's reason */
	long status; /* 0: as an agent would; else this, with text */
	const char *text;
	const char *only; /* error and status count for paths with this */
	uint64_t retry_after_ms;
	bool holds; /* answers wait for fake_agent_release() */
	/* What came. */
	unsigned gets;
	unsigned registers;
	unsigned deregisters;
	unsigned updates;
	unsigned flying;
	unsigned most_flying;
	char last_path[4096];
	char last_body[8192];
};

extern struct fake_agent fake_agent;

void fake_agent_start(struct event_base *base);
void fake_agent_stop(void);
/* Answers what waits. */
void fake_agent_release(void);
/* As if it lost its data. */
void fake_agent_wipe(void);
size_t fake_agent_count(void);
/* "" if there is no such service or check. */
const char *fake_agent_status(const char *id);
void fake_agent_set_status(const char *id, const char *status);
/* The client passed to the writer: not to be looked into. */
struct http_client *fake_agent_client(void);
/* A registration by somebody else; text is its body. */
void fake_agent_register(const char *text);

#endif
