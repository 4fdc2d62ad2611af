/*
 * Pods whose services stand at the agent and in the catalog as a test says,
 * all of them alike; for what asks an outlook (standing.h).
 */
#ifndef TEST_CONSUL_VIEWS_H
#define TEST_CONSUL_VIEWS_H

#include "workers/consul_writer/standing.h"

/* How they stand; confirmed is not looked at. */
extern struct service_view at;
/* It was, or how often that was asked for. */
extern bool confirmed;
extern size_t confirms;

/* confirmed, never asked for. Pods with gates that tell nobody; freed by pods_free(). */
struct pods *views_start(void);
struct outlook views_outlook(void);

#endif
