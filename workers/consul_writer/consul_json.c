#include "workers/consul_writer/consul_json.h"

#include <json-c/json.h>
#include <stdio.h>

#include "common/duration.h"
#include "common/log.h"
#include "workers/consul_writer/definition.h"

#define TO_STRING (JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE)
#define TO_PEOPLE \
	(JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED | \
	    JSON_C_TO_STRING_NOSLASHESCAPE)

static struct json_object *
need(struct json_object *o)
{
	if (o == NULL)
		fatalx("consul: out of memory for a request");
	return o;
}

static void
add(struct json_object *o, const char *key, struct json_object *val)
{
	if (json_object_object_add(o, key, need(val)) != 0)
		fatalx("consul: out of memory for a request");
}

static void
add_str(struct json_object *o, const char *key, const char *val)
{
	add(o, key, json_object_new_string(val));
}

static void
add_duration(struct json_object *o, const char *key, uint64_t ms)
{
	char text[DURATION_TEXT];

	add_str(o, key, duration_format(ms, text));
}

static void
append(struct json_object *a, struct json_object *val)
{
	if (json_object_array_add(a, need(val)) != 0)
		fatalx("consul: out of memory for a request");
}

static struct json_object *
tags_object(const struct service *s)
{
	struct json_object *a = need(json_object_new_array());

	for (size_t i = 0; i < s->ntags; i++)
		append(a, json_object_new_string(s->tags[i]));
	return a;
}

static struct json_object *
meta_object(const struct service *s)
{
	struct json_object *o = need(json_object_new_object());

	for (size_t i = 0; i < s->nmeta; i++)
		add_str(o, s->meta[i].key, s->meta[i].val);
	return o;
}

static void
add_tagged(struct json_object *o, const char *key, const char *address,
    uint16_t port)
{
	struct json_object *a;

	if (address == NULL)
		return;
	a = need(json_object_new_object());
	add_str(a, "Address", address);
	add(a, "Port", json_object_new_int(port));
	add(o, key, a);
}

static struct json_object *
tagged_object(const struct service *s)
{
	struct json_object *o = need(json_object_new_object());

	add_tagged(o, "lan_ipv4", s->lan_ipv4, s->port);
	add_tagged(o, "lan_ipv6", s->lan_ipv6, s->port);
	return o;
}

static struct json_object *
check_object(const struct service *s, uint64_t deregister_ms)
{
	struct json_object *o = need(json_object_new_object());
	char name[DEFINITION_CHECK_NAME];

	definition_check_name(s, deregister_ms, name);
	add_str(o, "CheckID", s->id);
	add_str(o, "Name", name);
	add_duration(o, "TTL", s->ttl_ms);
	add_str(o, "Status", service_status_name(s->status));
	add_str(o, "Notes", s->notes);
	if (deregister_ms != 0)
		add_duration(o, "DeregisterCriticalServiceAfter",
		    deregister_ms);
	return o;
}

static struct json_object *
register_object(const struct service *s, uint64_t deregister_ms)
{
	struct json_object *o = need(json_object_new_object());

	add_str(o, "ID", s->id);
	add_str(o, "Name", s->name);
	add_str(o, "Address", s->address);
	add(o, "Port", json_object_new_int(s->port));
	add(o, "Tags", tags_object(s));
	add(o, "Meta", meta_object(s));
	if (s->lan_ipv4 != NULL || s->lan_ipv6 != NULL)
		add(o, "TaggedAddresses", tagged_object(s));
	add(o, "Check", check_object(s, deregister_ms));
	return o;
}

/* The text of o, which is freed. */
static char *
text_of(struct json_object *o, int flags, const char *end)
{
	const char *s = json_object_to_json_string_ext(o, flags);
	char *text;

	if (s == NULL || asprintf(&text, "%s%s", s, end) < 0)
		fatalx("consul: out of memory for a request");
	json_object_put(o);
	return text;
}

char *
consul_json_register(const struct service *s, uint64_t deregister_ms)
{
	return text_of(register_object(s, deregister_ms), TO_STRING, "");
}

char *
consul_json_update(const struct service *s)
{
	struct json_object *o = need(json_object_new_object());

	add_str(o, "Status", service_status_name(s->status));
	add_str(o, "Output", s->output);
	return text_of(o, TO_STRING, "");
}

char *
consul_json_dry_run(const struct service *const *s, size_t n,
    uint64_t deregister_ms)
{
	struct json_object *a = need(json_object_new_array());

	for (size_t i = 0; i < n; i++)
		append(a, register_object(s[i], deregister_ms));
	return text_of(a, TO_PEOPLE, "\n");
}
