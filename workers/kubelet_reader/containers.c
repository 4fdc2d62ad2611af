#include "workers/kubelet_reader/containers.h"

#include <stdlib.h>
#include <string.h>

#include "common/limits.h"
#include "common/log.h"
#include "workers/fields.h"

#define PORT_MAX 65535

static size_t
label_len(const char *s)
{
	return strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789-");
}

static bool
is_label(const char *s, size_t len)
{
	return len > 0 && s[0] != '-' && s[len - 1] != '-';
}

bool
is_dns_label(const char *s)
{
	size_t len = label_len(s);

	return len <= LIMIT_K8S_NAMESPACE && s[len] == '\0' && is_label(s, len);
}

bool
is_dns_subdomain(const char *s)
{
	if (strlen(s) > LIMIT_K8S_NAME)
		return false;
	for (;;) {
		size_t len = label_len(s);

		if (!is_label(s, len))
			return false;
		if (s[len] == '\0')
			return true;
		if (s[len] != '.')
			return false;
		s += len + 1;
	}
}

static int
by_name(const void *a, const void *b)
{
	const struct container *x = a, *y = b;

	return strcmp(x->name, y->name);
}

struct container *
containers_find(const struct containers *cs, const char *name)
{
	const struct container key = { .name = name };

	if (cs->n == 0)
		return NULL;
	return bsearch(&key, cs->list, cs->n, sizeof(*cs->list), by_name);
}

static bool
read_first_port(struct containers *cs, json_object *container,
    struct refusal *r)
{
	json_object *ports = field_array(container, "ports", r), *port;
	int64_t number;

	if (cs->first_port != 0 || field_count(ports) == 0)
		return !refused(r);
	if ((port = field_element(ports, 0, "ports", r)) == NULL)
		return false;
	number = field_int(port, "containerPort", r);
	if (number < 1 || number > PORT_MAX)
		return refuse(r, "\"containerPort\" is not 1-%d", PORT_MAX);
	cs->first_port = (uint16_t)number;
	return true;
}

static bool
add(struct containers *cs, json_object *container, struct refusal *r)
{
	const char *name = field_text(container, "name", r);

	if (refused(r))
		return false;
	if (name == NULL || !is_dns_label(name))
		return refuse(r, "the \"name\" of a container is none");
	cs->list[cs->n++] = (struct container){ .name = name };
	return true;
}

static bool
add_container(struct containers *cs, json_object *container, struct refusal *r)
{
	return read_first_port(cs, container, r) && add(cs, container, r);
}

static bool
add_init_container(struct containers *cs, json_object *container,
    struct refusal *r)
{
	const char *policy = field_text(container, "restartPolicy", r);

	if (refused(r))
		return false;
	if (policy == NULL || strcmp(policy, "Always") != 0)
		return true;
	return add(cs, container, r);
}

static bool
take_status(struct containers *cs, json_object *status, struct refusal *r)
{
	const char *name = field_text(status, "name", r);
	bool ready = field_bool(status, "ready", r);
	struct container *c;

	if (refused(r))
		return false;
	if (name == NULL)
		return refuse(r, "the status of a container has no \"name\"");
	/* Init containers that end have one, too. */
	if ((c = containers_find(cs, name)) == NULL)
		return true;
	if (c->has_status)
		return refuse(r, "two statuses of container \"%s\"", name);
	c->has_status = true;
	c->ready = ready;
	return true;
}

static bool
each(struct containers *cs, json_object *array, const char *name,
    bool (*f)(struct containers *, json_object *, struct refusal *),
    struct refusal *r)
{
	for (size_t i = 0; i < field_count(array); i++) {
		json_object *o = field_element(array, i, name, r);

		if (o == NULL || !f(cs, o, r))
			return false;
	}
	return true;
}

static bool
sort(struct containers *cs, struct refusal *r)
{
	if (cs->n == 0)
		return true;
	qsort(cs->list, cs->n, sizeof(*cs->list), by_name);
	for (size_t i = 1; i < cs->n; i++) {
		if (strcmp(cs->list[i - 1].name, cs->list[i].name) == 0)
			return refuse(r, "two containers are named \"%s\"",
			    cs->list[i].name);
	}
	return true;
}

bool
containers_read(struct containers *cs, json_object *spec, json_object *status,
    struct refusal *r)
{
	static const char list[] = "containers", init[] = "initContainers",
			  states[] = "containerStatuses",
			  init_states[] = "initContainerStatuses";
	json_object *all = field_array(spec, list, r),
		    *inits = field_array(spec, init, r),
		    *all_states = field_array(status, states, r),
		    *inits_states = field_array(status, init_states, r);

	*cs = (struct containers){ .n = 0 };
	if (refused(r))
		return false;
	cs->list = xcalloc(field_count(all) + field_count(inits) + 1,
	    sizeof(*cs->list));
	return each(cs, all, list, add_container, r) &&
	    each(cs, inits, init, add_init_container, r) && sort(cs, r) &&
	    each(cs, all_states, states, take_status, r) &&
	    each(cs, inits_states, init_states, take_status, r);
}

void
containers_free(struct containers *cs)
{
	free(cs->list);
	cs->list = NULL;
	cs->n = 0;
}

bool
containers_ready(const struct containers *cs)
{
	for (size_t i = 0; i < cs->n; i++) {
		if (!cs->list[i].excluded && !cs->list[i].ready)
			return false;
	}
	return true;
}

char *
containers_notes(const struct containers *cs)
{
	json_object *o = json_object_new_object();
	char *text;

	for (size_t i = 0; i < cs->n; i++) {
		const struct container *c = &cs->list[i];

		if (!c->excluded)
			json_object_object_add(o, c->name,
			    json_object_new_boolean(c->ready));
	}
	text = xstrdup(json_object_to_json_string_ext(o,
	    JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(o);
	return text;
}
