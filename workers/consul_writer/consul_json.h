/*
 * Consul's JSON: what is sent to the agent, and what it answers. Pure.
 *
 * An answer is taken as a whole or not at all: whatever is not as Consul's
 * API says (types, ranges, UTF-8, depth) makes it unreadable. Members that
 * are not known are passed over, as newer agents add some.
 */
#ifndef CONSUL_JSON_H
#define CONSUL_JSON_H

#include <stdbool.h>
#include <stddef.h>

#include "workers/consul_writer/actual.h"

/*
 * deregister_ms, here and below: DeregisterCriticalServiceAfter, 0 for none.
 *
 * The agent does not show a check's TTL. The check's name says it (and
 * deregister_ms), so that a registration can be compared after a restart.
 */
struct fingerprint consul_json_def(const struct service *s,
    uint64_t deregister_ms);

/* Body of PUT /v1/agent/service/register; the caller frees it. */
char *consul_json_register(const struct service *s, uint64_t deregister_ms);
/* Body of PUT /v1/agent/check/update/ID; the caller frees it. */
char *consul_json_update(const struct service *s);
/* The bodies of n registrations as an array for people; with a newline. */
char *consul_json_dry_run(const struct service *const *s, size_t n,
    uint64_t deregister_ms);

/*
 * Answers of /v1/agent/services and /v1/agent/checks -> *out, which the
 * caller gives to actual_list_free(). Only services whose ID has our prefix
 * are in it. Otherwise why not (constant text), and *out is empty.
 */
const char *consul_json_read(const char *services, size_t services_len,
    const char *checks, size_t checks_len, struct actual_list *out);
void actual_list_free(struct actual_list *l);

#endif
