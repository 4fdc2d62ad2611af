#include "tests/unit/fake_agent.h"

#include <bsd/sys/queue.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"

struct http_request {
	TAILQ_ENTRY(http_request) link;
	char *method;
	char *path;
	char *body;
	void (*done)(const struct http_response *r, void *arg);
	void *arg;
};

struct fake_agent fake_agent;

static TAILQ_HEAD(, http_request) requests;
static struct json_object *services; /* registrations by ID */
static struct event *turn;

static void
request_free(struct http_request *r)
{
	TAILQ_REMOVE(&requests, r, link);
	fake_agent.flying--;
	free(r->method);
	free(r->path);
	free(r->body);
	free(r);
}

static const char *
text_of(struct json_object *o, const char *key)
{
	struct json_object *m;

	if (!json_object_object_get_ex(o, key, &m))
		return "";
	return json_object_get_string(m);
}

static struct json_object *
check_of(const char *id)
{
	struct json_object *s, *check;

	if (!json_object_object_get_ex(services, id, &s) ||
	    !json_object_object_get_ex(s, "Check", &check))
		return NULL;
	return check;
}

const char *
fake_agent_status(const char *id)
{
	struct json_object *check = check_of(id);

	return check == NULL ? "" : text_of(check, "Status");
}

void
fake_agent_set_status(const char *id, const char *status)
{
	json_object_object_add(check_of(id), "Status",
	    json_object_new_string(status));
}

/* As Consul: a check that is there keeps its status. */
void
fake_agent_register(const char *text)
{
	struct json_object *s = json_tokener_parse(text);
	char *id = xstrdup(text_of(s, "ID"));
	char *status = xstrdup(fake_agent_status(id));

	json_object_object_add(services, id, s);
	if (*status != '\0')
		fake_agent_set_status(id, status);
	free(status);
	free(id);
}

static void
copy_member(struct json_object *from, const char *key, struct json_object *to,
    const char *as)
{
	struct json_object *m;

	if (json_object_object_get_ex(from, key, &m))
		json_object_object_add(to, as, json_object_get(m));
}

static struct json_object *
shown_service(struct json_object *s)
{
	static const char *const same[] = { "ID", "Tags", "Meta", "Port",
		"Address", "TaggedAddresses" };
	struct json_object *o = json_object_new_object();

	for (size_t i = 0; i < sizeof(same) / sizeof(*same); i++)
		copy_member(s, same[i], o, same[i]);
	copy_member(s, "Name", o, "Service");
	return o;
}

static struct json_object *
shown_check(struct json_object *s)
{
	static const char *const same[] = { "CheckID", "Name", "Status",
		"Notes" };
	struct json_object *o = json_object_new_object(), *check;

	json_object_object_get_ex(s, "Check", &check);
	for (size_t i = 0; i < sizeof(same) / sizeof(*same); i++)
		copy_member(check, same[i], o, same[i]);
	copy_member(s, "ID", o, "ServiceID");
	json_object_object_add(o, "Type", json_object_new_string("ttl"));
	return o;
}

/* The caller frees it. */
static char *
shown(struct json_object *(*show)(struct json_object *s))
{
	struct json_object *all = json_object_new_object();
	char *text;

	json_object_object_foreach(services, id, s) {
		json_object_object_add(all, id, show(s));
	}
	text = xstrdup(json_object_to_json_string(all));
	json_object_put(all);
	return text;
}

static long
update(const char *id, const char *body)
{
	struct json_object *o;

	fake_agent.updates++;
	if (check_of(id) == NULL)
		return 404;
	o = json_tokener_parse(body);
	fake_agent_set_status(id, text_of(o, "Status"));
	json_object_put(o);
	return 200;
}

static long
deregister(const char *id)
{
	fake_agent.deregisters++;
	if (!json_object_object_get_ex(services, id, NULL))
		return 404;
	json_object_object_del(services, id);
	return 200;
}

static bool
begins(const char *s, const char *prefix, const char **rest)
{
	size_t n = strlen(prefix);

	*rest = s + n;
	return strncmp(s, prefix, n) == 0;
}

/* The body is the caller's to free, or NULL. */
static long
act(const struct http_request *r, char **body)
{
	const char *id;

	if (begins(r->path, "/v1/agent/services?", &id)) {
		fake_agent.gets++;
		*body = shown(shown_service);
		return 200;
	}
	if (begins(r->path, "/v1/agent/checks?", &id)) {
		*body = shown(shown_check);
		return 200;
	}
	if (begins(r->path, "/v1/agent/check/update/", &id))
		return update(id, r->body);
	if (begins(r->path, "/v1/agent/service/deregister/", &id))
		return deregister(id);
	fake_agent.registers++;
	fake_agent_register(r->body);
	return 200;
}

static bool
is_meant(const struct http_request *r)
{
	return fake_agent.only == NULL ||
	    strstr(r->path, fake_agent.only) != NULL;
}

static void
answer(struct http_request *r)
{
	struct http_response resp = { .content_type = "", .body = "" };
	void (*done)(const struct http_response *r, void *arg) = r->done;
	void *arg = r->arg;
	char *body = NULL;

	snprintf(fake_agent.last_path, sizeof(fake_agent.last_path), "%s",
	    r->path);
	snprintf(fake_agent.last_body, sizeof(fake_agent.last_body), "%s",
	    r->body == NULL ? "" : r->body);
	if (is_meant(r) && fake_agent.error != NULL) {
		resp.error = fake_agent.error;
		resp.too_large = fake_agent.too_large;
	} else if (is_meant(r) && fake_agent.status != 0) {
		resp.status = fake_agent.status;
		resp.body = fake_agent.text;
		resp.retry_after_ms = fake_agent.retry_after_ms;
	} else {
		resp.status = act(r, &body);
	}
	if (body != NULL)
		resp.body = body;
	resp.body_len = strlen(resp.body);
	request_free(r);
	done(&resp, arg);
	free(body);
}

static void
on_turn(evutil_socket_t fd, short what, void *arg)
{
	struct http_request *r;

	(void)fd;
	(void)what;
	(void)arg;
	if (!fake_agent.holds && (r = TAILQ_FIRST(&requests)) != NULL)
		answer(r);
	if (!TAILQ_EMPTY(&requests) && !fake_agent.holds)
		event_active(turn, EV_TIMEOUT, 0);
}

struct http_request *
http_client_request(struct http_client *c, const struct http_request_conf *conf)
{
	struct http_request *r = xcalloc(1, sizeof(*r));

	(void)c;
	r->method = xstrdup(conf->method);
	r->path = xstrdup(conf->path);
	if (conf->body != NULL)
		r->body = xstrndup(conf->body, conf->body_len);
	r->done = conf->done;
	r->arg = conf->arg;
	TAILQ_INSERT_TAIL(&requests, r, link);
	if (++fake_agent.flying > fake_agent.most_flying)
		fake_agent.most_flying = fake_agent.flying;
	event_active(turn, EV_TIMEOUT, 0);
	return r;
}

void
http_request_cancel(struct http_request *r)
{
	request_free(r);
}

void
fake_agent_start(struct event_base *base)
{
	memset(&fake_agent, 0, sizeof(fake_agent));
	fake_agent.text = "";
	TAILQ_INIT(&requests);
	services = json_object_new_object();
	turn = evtimer_new(base, on_turn, NULL);
}

void
fake_agent_stop(void)
{
	while (!TAILQ_EMPTY(&requests))
		request_free(TAILQ_FIRST(&requests));
	json_object_put(services);
	event_free(turn);
}

void
fake_agent_release(void)
{
	fake_agent.holds = false;
	event_active(turn, EV_TIMEOUT, 0);
}

void
fake_agent_wipe(void)
{
	json_object_put(services);
	services = json_object_new_object();
}

size_t
fake_agent_count(void)
{
	return (size_t)json_object_object_length(services);
}

struct http_client *
fake_agent_client(void)
{
	static char client;

	return (struct http_client *)(void *)&client;
}
