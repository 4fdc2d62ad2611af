#include "workers/consul_writer/definition.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "common/duration.h"
#include "common/log.h"
#include "workers/consul_writer/consul_json.h"

/* With its NUL, so that no two lists of texts hash the same bytes. */
void
definition_text(XXH3_state_t *h, const char *s)
{
	XXH3_128bits_update(h, s, strlen(s) + 1);
}

static void
hash_number(XXH3_state_t *h, uint64_t n)
{
	XXH3_128bits_update(h, &n, sizeof(n));
}

static XXH3_state_t *
hash_new(void)
{
	XXH3_state_t *h = XXH3_createState();

	if (h == NULL)
		fatalx("consul: out of memory for a hash");
	XXH3_128bits_reset(h);
	return h;
}

struct fingerprint
definition_end(XXH3_state_t *h)
{
	XXH128_hash_t d = XXH3_128bits_digest(h);

	XXH3_freeState(h);
	return (struct fingerprint){ .lo = d.low64, .hi = d.high64 };
}

static void
hash_place(XXH3_state_t *h, const struct outline *o)
{
	definition_text(h, o->address);
	definition_text(h, o->lan_ipv4);
	definition_text(h, o->lan_ipv6);
	hash_number(h, o->port);
}

uint64_t
definition_place(const struct outline *o)
{
	XXH3_state_t *h = hash_new();

	hash_place(h, o);
	return definition_end(h).lo;
}

void
definition_pair(struct fingerprint *sum, const char *key, const char *val)
{
	XXH3_state_t *h = hash_new();
	struct fingerprint one;

	definition_text(h, key);
	definition_text(h, val);
	one = definition_end(h);
	sum->lo += one.lo;
	sum->hi += one.hi;
}

XXH3_state_t *
definition_begin(const struct outline *o)
{
	XXH3_state_t *h = hash_new();

	definition_text(h, o->name);
	hash_place(h, o);
	hash_number(h, o->meta.lo);
	hash_number(h, o->meta.hi);
	hash_number(h, o->ntags);
	return h;
}

void
definition_check_name(const struct service *s, uint64_t deregister_ms,
    char buf[DEFINITION_CHECK_NAME])
{
	char ttl[DURATION_TEXT], after[DURATION_TEXT];
	bool v6 = strchr(s->address, ':') != NULL;
	int n = snprintf(buf, DEFINITION_CHECK_NAME,
	    "Kubernetes readiness of %s%s%s:%u", v6 ? "[" : "", s->address,
	    v6 ? "]" : "", s->port);

	duration_format(s->ttl_ms, ttl);
	duration_format(deregister_ms, after);
	if (deregister_ms == 0)
		snprintf(buf + n, DEFINITION_CHECK_NAME - (size_t)n,
		    " (TTL %s)", ttl);
	else
		snprintf(buf + n, DEFINITION_CHECK_NAME - (size_t)n,
		    " (TTL %s, deregister after %s)", ttl, after);
}

/* As Go does: an IPv4 address in IPv6 form is one of IPv4. */
static bool
is_ipv6(const char *address)
{
	struct in6_addr in6;

	return inet_pton(AF_INET6, address, &in6) == 1 &&
	    !IN6_IS_ADDR_V4MAPPED(&in6);
}

const char *
definition_tagged(const char *address, const char *given, bool v6)
{
	if (given != NULL && *given != '\0')
		return given;
	return is_ipv6(address) == v6 ? address : "";
}

struct fingerprint
consul_json_def(const struct service *s, uint64_t deregister_ms)
{
	struct outline o = {
		.name = s->name,
		.address = s->address,
		.lan_ipv4 = definition_tagged(s->address, s->lan_ipv4, false),
		.lan_ipv6 = definition_tagged(s->address, s->lan_ipv6, true),
		.port = s->port,
		.ntags = s->ntags,
	};
	struct fingerprint def;
	XXH3_state_t *h;
	char name[DEFINITION_CHECK_NAME];

	for (size_t i = 0; i < s->nmeta; i++)
		definition_pair(&o.meta, s->meta[i].key, s->meta[i].val);
	h = definition_begin(&o);
	for (size_t i = 0; i < s->ntags; i++)
		definition_text(h, s->tags[i]);
	definition_check_name(s, deregister_ms, name);
	definition_text(h, name);
	definition_text(h, s->notes);
	def = definition_end(h);
	def.place = definition_place(&o);
	return def;
}
