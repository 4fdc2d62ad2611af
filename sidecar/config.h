/*
 * What katalog-sidecar is told: flags, then environment, then defaults. Text
 * is taken as it stands; an empty variable counts as unset.
 */
#ifndef SIDECAR_CONFIG_H
#define SIDECAR_CONFIG_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "common/log.h"
#include "common/url.h"
#include "grpc/message.h"

#define SIDECAR_DAEMON_PORT 8501

struct sidecar_config {
	enum log_level log_level;
	struct url daemon; /* host and port of it */
	uint64_t max_backoff_ms; /* 100..3600000 */
	uint64_t deregister_ms; /* 0..3600000 */
	const char *bind_address; /* "": nothing is served */
	struct sidecar_request names; /* none is empty */
	bool strict; /* --sandbox=strict */
	char **exec; /* in argv, NULL-terminated; NULL: no program to wrap */
	bool version; /* these two end the parsing: the rest is void */
	bool help;
};

/*
 * False if something is wrong: all of that is logged then, each with where it
 * came from. Keeps pointers into argv and envp.
 */
bool sidecar_config(struct sidecar_config *c, char **argv, char *const *envp);

/* 80 columns. */
void sidecar_help(FILE *f);

#endif
