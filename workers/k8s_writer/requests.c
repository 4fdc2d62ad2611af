#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "workers/k8s_writer/writer_inside.h"

/* An object as it is then, with what others put into it. */
#define WRITE_BODY_MAX LIMIT_POD

void
take_reply(struct writer *w, struct reply *r, const struct http_response *from)
{
	reply_read(r, from->error, from->status, from->retry_after_ms,
	    from->body, from->body_len);
	metric_add(w->conf.metrics, M_K8S_BYTES, from->bytes);
}

void
count_error(struct writer *w, enum plan_result r)
{
	reply_count_error(r, w->conf.metrics);
}

void
count_unreadable(struct writer *w)
{
	metric_inc(w->conf.metrics, M_K8S_ERR_BODY);
	metric_inc(w->conf.metrics, M_K8S_ERRORS);
}

struct http_request *
request(struct writer *w, struct http_request_conf *conf, const char *path)
{
	struct http_request *r;
	char *whole;

	if (asprintf(&whole, "%s%s", w->conf.prefix, path) < 0)
		fatalx("kubernetes: out of memory for a path");
	conf->path = whole;
	r = http_client_request(w->conf.client, conf);
	free(whole);
	return r;
}

/* ---- writes ---- */

static void
write_free(struct write *wr)
{
	TAILQ_REMOVE(&wr->w->writes, wr, link);
	wr->w->nwrites--;
	free(wr);
}

static bool
read_written(const struct write *wr, const struct http_response *r,
    struct kube_object *got, const char **why)
{
	*why = kube_json_object(&wr->w->conf.objects, wr->kind, r->body,
	    r->body_len, got);
	return *why == NULL;
}

/* Of what was deleted at once there is nothing to be seen. */
static bool
read_deleted(const struct write *wr, const struct http_response *r,
    struct kube_object *got, const char **why)
{
	bool seen = read_written(wr, r, got, why);

	*why = NULL;
	if (seen && !got->leaving)
		kube_object_clear(got);
	return seen && got->leaving;
}

/* The one object of a list, or none. */
static bool
read_found(const struct write *wr, const struct http_response *r,
    struct kube_object *got, const char **why)
{
	struct kube_list l;
	bool found = false;

	*why = kube_json_list(&wr->w->conf.objects, wr->kind, r->body,
	    r->body_len, &l);
	for (size_t i = 0; i < l.n && !found; i++) {
		found = strcmp(l.v[i].name, wr->name) == 0;
		if (!found)
			continue;
		*got = l.v[i];
		l.v[i] = (struct kube_object){ 0 };
	}
	kube_list_free(&l);
	return found;
}

/* read: false: there is no object to be seen, or *why it can't be read. */
static const struct op_def {
	enum metric metric;
	const char *verb;
	bool (*read)(const struct write *wr, const struct http_response *r,
	    struct kube_object *got, const char **why);
	enum plan_result (*result)(const struct reply *r);
} ops[PLAN_OPS] = {
	[PLAN_APPLY] = { M_K8S_APPLY, "patch", read_written, reply_result },
	[PLAN_REPAIR] = { M_K8S_REPAIR, "patch", read_written,
	    reply_patch_result },
	[PLAN_DELETE] = { M_K8S_DELETE, "delete", read_deleted, reply_result },
	[PLAN_LOOK] = { M_K8S_LIST, "list", read_found, reply_result },
};

static void
explain(const struct write *wr, const struct reply *r, const char *why,
    char text[LIMIT_TEXT])
{
	struct reply_about about = {
		.verb = ops[wr->op].verb,
		.resource = kube_kind_plural(wr->kind),
		.namespace = wr->w->conf.objects.namespace,
	};

	if (why != NULL)
		snprintf(text, LIMIT_TEXT, "an answer that is not readable: %s",
		    why);
	else
		reply_text(r, &about, text);
}

/* What was to be deleted may be gone already. */
static void
count(const struct write *wr, enum plan_result r, const char *why)
{
	if (why != NULL)
		count_unreadable(wr->w);
	else if (r != PLAN_GONE || wr->op != PLAN_DELETE)
		count_error(wr->w, r);
}

static void
settle(struct write *wr, const struct reply *r, struct kube_object *got,
    const char *why)
{
	enum plan_result res =
	    why != NULL ? PLAN_BROKEN : ops[wr->op].result(r);
	struct writer *w = wr->w;
	char text[LIMIT_TEXT] = "";
	bool news;

	count(wr, res, why);
	if (res != PLAN_DONE)
		explain(wr, r, why, text);
	if (res == PLAN_DONE)
		say_written(w, wr);
	news = plan_done(w->plan, wr->item, res, got, text, r->retry_after_ms,
	    clock_ms());
	if (res != PLAN_DONE)
		say_failed(w, wr, res, r, text, news);
}

static void
on_written(const struct http_response *r, void *arg)
{
	struct write *wr = arg;
	struct writer *w = wr->w;
	struct kube_object got;
	struct reply reply;
	const char *why = NULL;
	bool seen = false;

	take_reply(w, &reply, r);
	metric_observe_ms(w->conf.metrics, M_K8S_LATENCY, r->took_ms);
	if (reply_result(&reply) == PLAN_DONE)
		seen = ops[wr->op].read(wr, r, &got, &why);
	settle(wr, &reply, seen ? &got : NULL, why);
	write_free(wr);
	pump(w);
}

/* The connection may have taken long, or this process have been stopped. */
static bool
may_send(void *arg)
{
	const struct write *wr = arg;

	return leader_may_write(&wr->w->leader);
}

static void
write_start(struct writer *w, const struct plan_action *a)
{
	struct write *wr = xcalloc(1, sizeof(*wr));
	struct http_request_conf conf = {
		.method = a->method,
		.content_type = a->content_type,
		.body = a->body,
		.body_len = a->body == NULL ? 0 : strlen(a->body),
		.timeout_ms = w->conf.timeout_ms,
		.max_body = WRITE_BODY_MAX,
		.may_send = may_send,
		.done = on_written,
		.arg = wr,
	};

	wr->w = w;
	wr->item = a->item;
	wr->op = a->op;
	wr->kind = a->kind;
	wr->name = a->name;
	TAILQ_INSERT_TAIL(&w->writes, wr, link);
	w->nwrites++;
	metric_inc(w->conf.metrics, ops[a->op].metric);
	wr->request = request(w, &conf, a->path);
	free(a->body);
}

void
start_writes(struct writer *w, uint64_t now)
{
	struct plan_action a;

	while (w->nwrites < w->conf.concurrency &&
	    leader_may_write(&w->leader) && plan_next(w->plan, now, &a)) {
		pass_begin(w, now);
		write_start(w, &a);
	}
}

void
cancel_writes(struct writer *w, uint64_t now)
{
	struct write *wr;

	while ((wr = TAILQ_FIRST(&w->writes)) != NULL) {
		http_request_cancel(wr->request);
		plan_done(w->plan, wr->item, PLAN_LOST, NULL,
		    "cancelled: this copy may not write any more", 0, now);
		w->pass.failed = true;
		write_free(wr);
	}
}
