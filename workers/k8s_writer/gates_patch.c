/* The second half of gates.h: the requests and their answers. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "workers/k8s_writer/gates.h"
#include "workers/k8s_writer/json_out.h"

#define CONDITION "katalog-sync.wish.com/synced"
#define MANAGER   "katalogd"

/* Names and namespaces are DNS's: nothing in them is to be escaped. */
void
gate_path(const struct gate_write *w, char buf[GATE_PATH])
{
	snprintf(buf, GATE_PATH,
	    "/api/v1/namespaces/%s/pods/%s/status?fieldManager=" MANAGER,
	    w->pod->namespace, w->pod->name);
}

#define TIME_TEXT sizeof("2026-11-21T17:11:53Z")

/* The time of the last change stands there, and is kept. */
static void
add_time(struct json_object *condition, uint64_t wall_s)
{
	time_t seconds = (time_t)wall_s;
	char text[TIME_TEXT];
	struct tm tm;

	if (gmtime_r(&seconds, &tm) == NULL ||
	    strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
		return;
	out_str(condition, "lastTransitionTime", text);
}

char *
gate_body(const struct gate_write *w, uint64_t wall_s)
{
	struct json_object *o = out_new(), *condition;

	out_str(out_object(o, "metadata"), "uid", w->pod->uid);
	condition =
	    out_append_object(out_array(out_object(o, "status"), "conditions"));
	out_str(condition, "type", CONDITION);
	out_str(condition, "status", w->pod->synced ? "True" : "False");
	out_str(condition, "reason", w->pod->reason);
	out_str(condition, "message", w->pod->message);
	if (w->turns)
		add_time(condition, wall_s);
	return out_text(o);
}

/* The apiserver says so of a uid that is not the pod's: it can't change. */
static bool
is_another_pod(const struct reply *r)
{
	return r->status == 422 &&
	    strstr(r->said.message, "metadata.uid: ") != NULL;
}

enum plan_result
gate_result(const struct reply *r)
{
	enum plan_result res = reply_result(r);

	/* One wait for both: they are few, and a new token ends it. */
	if (res == PLAN_STRANGER)
		return PLAN_DENIED;
	if (res == PLAN_REFUSED && is_another_pod(r))
		return PLAN_GONE;
	if (res == PLAN_GONE && !r->said.named)
		return PLAN_BROKEN;
	return res;
}
