/*
 * The HTTP server of the http worker: evhttp on listening sockets that the
 * supervisor made. It holds no credential and can open no connection.
 */
#ifndef SERVER_H
#define SERVER_H

#include <event2/event.h>

#include "workers/http/model.h"

struct server;

struct server_conf {
	struct event_base *base;
	const struct model *model;
	/*
	 * Figures are wanted: ask the workers, and call
	 * server_stats_ready() when they have answered. False: there is
	 * nobody to ask, the model is as good as it gets.
	 */
	bool (*ask_stats)(void *arg);
	/* The model is about to be shown: http's own figures into it. */
	void (*refresh)(void *arg);
	/* A TCP connection of this process that is none of this server's. */
	bool (*spared)(int fd, void *arg);
	void *arg;
};

struct server *server_new(const struct server_conf *conf);
/* Takes the listening socket over. */
void server_listen(struct server *s, int fd);
/* Answers the scrapes that wait. They are answered after 1 s at the latest. */
void server_stats_ready(struct server *s);

#endif
