#include "workers/consul_writer/standing.h"

#include <stdarg.h>
#include <stdio.h>

/* Parts of a text that is bounded. */
#define ID "service %.300s"

static struct service_view
view(const struct outlook *o, const struct pod_service *s)
{
	return o->view(s->id, o->arg);
}

/* Always true. */
static bool say(char text[STANDING_TEXT], const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

static bool
say(char text[STANDING_TEXT], const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, STANDING_TEXT, fmt, ap);
	va_end(ap);
	return true;
}

/* ---- one after the other; true: it waits for that ---- */

static bool
no_services(const struct pod *pod, struct outlook *o, char *text)
{
	const struct pod_item *item = pod->item;

	(void)o;
	if (!item->ours)
		return say(text, "the pod has no annotation service-names");
	return item->services == 0 && !item->waits &&
	    say(text, "no service can be made of the pod's annotations");
}

static bool
not_ready(const struct pod *pod, struct outlook *o, char *text)
{
	(void)o;
	if (pod->item->waits)
		return say(text, "the pod is not running yet");
	return !pod->item->ready &&
	    say(text, "not all of its containers are ready");
}

static bool
no_sidecar(const struct pod *pod, struct outlook *o, char *text)
{
	bool out = pod->sidecar == POD_SIDECAR_DEREGISTERED;

	(void)o;
	return (out || pod->sidecar == POD_SIDECAR_WAITING) &&
	    say(text, "its sidecar, container %.63s, %s", pod->item->sidecar,
		out ? "has deregistered it" : "has not registered");
}

static bool
not_at_agent(const struct pod *pod, struct outlook *o, char *text)
{
	const struct pod_service *s;

	TAILQ_FOREACH(s, &pod->services, link) {
		struct service_view v = view(o, s);

		if (v.written)
			continue;
		return say(text,
		    ID " is not at the agent as it is to be%s%.150s", s->id,
		    *v.error != '\0' ? ": " : "", v.error);
	}
	return pod->nservices != pod->item->services &&
	    say(text, "not all of its services are known yet");
}

static bool
not_in_catalog(const struct pod *pod, struct outlook *o, char *text)
{
	const struct pod_service *s;

	TAILQ_FOREACH(s, &pod->services, link) {
		struct service_view v = view(o, s);

		if (v.shown == catalog_of_status(v.status))
			continue;
		return say(text,
		    ID " is not in Consul's catalog as it is to be", s->id);
	}
	return false;
}

static bool
not_confirmed(const struct pod *pod, struct outlook *o, char *text)
{
	const struct pod_service *s;
	bool waits = false;

	TAILQ_FOREACH(s, &pod->services, link) {
		if (view(o, s).confirmed)
			continue;
		o->confirm(s->id, o->arg);
		waits = true;
	}
	return waits &&
	    say(text,
		"the agent is asked once more whether it has its "
		"services");
}

static bool (*const steps[STANDINGS])(const struct pod *pod, struct outlook *o,
    char *text) = {
	[STANDING_NO_SERVICES] = no_services,
	[STANDING_NOT_READY] = not_ready,
	[STANDING_SIDECAR] = no_sidecar,
	[STANDING_AGENT] = not_at_agent,
	[STANDING_CATALOG] = not_in_catalog,
	[STANDING_CONFIRM] = not_confirmed,
};

/*
 * The catalog is asked while the agent is written to: it is the slower one.
 * Once it has shown all, nobody needs it for that pod.
 */
enum standing
standing_of(const struct pod *pod, struct outlook *o, char text[STANDING_TEXT])
{
	bool needed = o->needs_catalog;

	for (int st = STANDING_NO_SERVICES; st < STANDINGS; st++) {
		if (st == STANDING_AGENT)
			o->needs_catalog = true;
		if (steps[st](pod, o, text))
			return (enum standing)st;
	}
	text[0] = '\0';
	o->needs_catalog = needed;
	return STANDING_SYNCED;
}

static bool
is_out(const struct service_view *v)
{
	if (v->status == SERVICE_PASSING || (!v->written && !v->absent))
		return false;
	return v->shown == CATALOG_ABSENT || v->shown == CATALOG_WARNING ||
	    v->shown == CATALOG_CRITICAL;
}

bool
standing_is_out(const struct pod *pod, struct outlook *o)
{
	const struct pod_service *s;
	bool out = pod->nservices == pod->item->services;

	TAILQ_FOREACH(s, &pod->services, link) {
		struct service_view v = view(o, s);

		out &= is_out(&v);
	}
	o->needs_catalog |= !out;
	return out;
}
