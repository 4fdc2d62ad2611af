#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "workers/consul_writer/answer.h"
#include "workers/consul_writer/consul_json.h"
#include "workers/consul_writer/writer_inside.h"

/* An answer to a write is a line of text at most. */
#define WRITE_BODY_MAX 65536
/* Only ours: the agent does the choosing. */
#define OURS          "%20matches%20%22%5E" SERVICE_ID_PREFIX "%22"
#define SERVICES_PATH "/v1/agent/services?filter=ID" OURS
#define CHECKS_PATH   "/v1/agent/checks?filter=ServiceID" OURS

static const struct op_def {
	const char *path;
	bool has_id; /* in the path */
	enum metric metric;
} ops[PLAN_OPS] = {
	[PLAN_UPDATE] = { "/v1/agent/check/update/", true,
	    M_CONSUL_CHECK_UPDATE },
	[PLAN_REFRESH] = { "/v1/agent/check/update/", true,
	    M_CONSUL_CHECK_REFRESH },
	[PLAN_REGISTER] = { "/v1/agent/service/register", false,
	    M_CONSUL_REGISTER },
	[PLAN_DEREGISTER] = { "/v1/agent/service/deregister/", true,
	    M_CONSUL_DEREGISTER },
};

static struct answer
answer_of(const struct http_response *r)
{
	return (struct answer){ .error = r->error,
		.status = r->status,
		.body = r->body };
}

/* For the figures; PLAN_DONE counts nothing. */
static const enum metric error_metrics[PLAN_RESULTS] = {
	[PLAN_GONE] = M_ERR_CONSUL_HTTP,
	[PLAN_LOST] = M_ERR_CONSUL_CONNECT,
	[PLAN_BUSY] = M_ERR_CONSUL_HTTP,
	[PLAN_REFUSED] = M_ERR_CONSUL_HTTP,
	[PLAN_DENIED] = M_ERR_CONSUL_ACL,
	[PLAN_BROKEN] = M_ERR_CONSUL_HTTP,
};

static void
count(struct writer *w, const struct http_response *r, enum plan_result res)
{
	metric_add(w->conf.metrics, M_CONSUL_BYTES, r->bytes);
	metric_observe_ms(w->conf.metrics, M_CONSUL_LATENCY, r->took_ms);
	if (res == PLAN_DONE)
		return;
	metric_inc(w->conf.metrics,
	    r->too_large ? M_ERR_CONSUL_BODY : error_metrics[res]);
	w->pass.failed = true;
}

static struct http_request *
request(struct writer *w, struct http_request_conf *conf, const char *path,
    const char *id)
{
	char buf[ANSWER_PATH];

	if (!answer_path(buf, sizeof(buf), w->conf.prefix, path, id,
		w->conf.namespace))
		fatalx("consul: the path for %s is too long", id);
	conf->path = buf;
	conf->timeout_ms = w->conf.timeout_ms;
	return http_client_request(w->conf.client, conf);
}

/* ---- writes ---- */

static void
write_free(struct write *wr)
{
	TAILQ_REMOVE(&wr->w->writes, wr, link);
	wr->w->nwrites--;
	free(wr);
}

/* A status may have been taken with that: it says little of the agent. */
static bool
is_refusal(enum plan_op op, enum plan_result res)
{
	return res == PLAN_BROKEN && op != PLAN_UPDATE && op != PLAN_REFRESH;
}

static void
tell_agent(struct agent *a, enum plan_op op, enum plan_result res,
    uint64_t retry_after_ms, uint64_t now)
{
	if (res == PLAN_DONE)
		agent_written(a);
	else if (res == PLAN_LOST)
		agent_lost(a, now);
	else if (res == PLAN_BUSY)
		agent_hold(a, retry_after_ms, now);
	else if (is_refusal(op, res) && agent_refused(a, now))
		return;
	else if (res == PLAN_GONE || res == PLAN_BROKEN)
		agent_doubt(a, now);
}

static size_t
denied_services(const struct writer *w)
{
	struct plan_counts c;

	plan_counts(w->plan, &c);
	return c.failed[PLAN_DENIED];
}

static void
on_written(const struct http_response *r, void *arg)
{
	struct write *wr = arg;
	struct writer *w = wr->w;
	struct answer a = answer_of(r);
	enum plan_result res = answer_result(&a);
	uint64_t now = clock_ms();
	char text[LIMIT_TEXT] = "";
	size_t denied = denied_services(w);
	bool news;

	/* It is gone: that is what was asked for. */
	if (res == PLAN_GONE && wr->op == PLAN_DEREGISTER)
		res = PLAN_DONE;
	count(w, r, res);
	tell_agent(&w->agent, wr->op, res, r->retry_after_ms, now);
	if (res != PLAN_DONE)
		answer_text(&a, ANSWER_WRITES, text, sizeof(text));
	news = plan_done(w->plan, wr->item, res, text, now);
	if (res == PLAN_DONE && denied_services(w) < denied)
		w->permitted = true;
	if (res == PLAN_DONE)
		say_written(w, wr);
	else
		say_failed(w, wr, res, text, news);
	write_free(wr);
	pump(w);
}

static char *
body_of(const struct writer *w, const struct plan_action *a)
{
	if (a->op == PLAN_DEREGISTER)
		return NULL;
	if (a->op == PLAN_REGISTER)
		return consul_json_register(a->want, w->conf.deregister_ms);
	return consul_json_update(a->want);
}

static void
write_start(struct writer *w, const struct plan_action *a)
{
	const struct op_def *op = &ops[a->op];
	size_t len = strlen(a->id) + 1;
	struct write *wr = xcalloc(1, sizeof(*wr) + len);
	char *body = body_of(w, a);
	struct http_request_conf conf = {
		.method = "PUT",
		.body = body,
		.body_len = body == NULL ? 0 : strlen(body),
		.max_body = WRITE_BODY_MAX,
		.done = on_written,
		.arg = wr,
	};

	wr->w = w;
	wr->item = a->item;
	wr->op = a->op;
	memcpy(wr->id, a->id, len);
	TAILQ_INSERT_TAIL(&w->writes, wr, link);
	w->nwrites++;
	metric_inc(w->conf.metrics, op->metric);
	wr->request = request(w, &conf, op->path, op->has_id ? wr->id : "");
	free(body);
}

void
start_writes(struct writer *w, uint64_t now)
{
	struct plan_action a;

	while (w->nwrites < w->conf.concurrency &&
	    agent_may_write(&w->agent, now) && plan_next(w->plan, now, &a)) {
		pass_begin(w, now);
		write_start(w, &a);
	}
}

/* ---- reads ---- */

static void
reading_end(struct writer *w)
{
	w->reading.request = NULL;
	free(w->reading.services);
	w->reading.services = NULL;
}

/* False: it went wrong; the read has ended. */
static bool
read_answer(struct writer *w, const struct http_response *r)
{
	struct answer a = answer_of(r);
	enum plan_result res = answer_result(&a);
	uint64_t now = clock_ms();
	char text[LIMIT_TEXT];

	count(w, r, res);
	if (res == PLAN_DONE)
		return true;
	reading_end(w);
	answer_text(&a, ANSWER_READS, text, sizeof(text));
	if (res == PLAN_LOST && !r->too_large)
		agent_read_lost(&w->agent, now);
	else
		agent_read_refused(&w->agent, now);
	if (res == PLAN_BUSY)
		agent_hold(&w->agent, r->retry_after_ms, now);
	say_trouble(w, text);
	return false;
}

/* An agent without a service of ours does not say it: what was known holds. */
static void
take_node(struct writer *w, const char *node)
{
	if (node == NULL || strcmp(node, writer_node(w)) == 0)
		return;
	free(w->node);
	w->node = xstrdup(node);
	if (w->conf.moved != NULL)
		w->conf.moved(w->conf.arg);
}

static void
read_apply(struct writer *w, const struct http_response *r)
{
	struct actual_list l;
	const char *why = consul_json_read(w->reading.services,
	    w->reading.services_len, r->body, r->body_len, &l);
	uint64_t now = clock_ms();

	reading_end(w);
	if (why != NULL) {
		metric_inc(w->conf.metrics, M_ERR_CONSUL_BODY);
		w->pass.failed = true;
		agent_read_refused(&w->agent, now);
		say_trouble(w, why);
		return;
	}
	plan_read_end(w->plan, &l, now);
	take_node(w, l.node);
	actual_list_free(&l);
	agent_read_ok(&w->agent, now);
	say_no_trouble(w);
}

static void
on_checks(const struct http_response *r, void *arg)
{
	struct writer *w = arg;

	if (read_answer(w, r))
		read_apply(w, r);
	pump(w);
}

static void
get(struct writer *w, const char *path,
    void (*done)(const struct http_response *r, void *arg))
{
	struct http_request_conf conf = {
		.method = "GET",
		.max_body = LIMIT_CONSUL_BODY,
		.done = done,
		.arg = w,
	};

	metric_inc(w->conf.metrics, M_CONSUL_READ);
	w->reading.request = request(w, &conf, path, "");
}

static void
on_services(const struct http_response *r, void *arg)
{
	struct writer *w = arg;

	if (!read_answer(w, r)) {
		pump(w);
		return;
	}
	w->reading.services = xmemdup(r->body, r->body_len);
	w->reading.services_len = r->body_len;
	get(w, CHECKS_PATH, on_checks);
}

void
start_read(struct writer *w, uint64_t now)
{
	if (!agent_wants_read(&w->agent, now))
		return;
	pass_begin(w, now);
	agent_read_begin(&w->agent);
	plan_read_begin(w->plan);
	get(w, SERVICES_PATH, on_services);
}

void
cancel_read(struct writer *w)
{
	if (w->reading.request != NULL)
		http_request_cancel(w->reading.request);
	reading_end(w);
}

void
cancel_all(struct writer *w)
{
	struct write *wr;

	cancel_read(w);
	while ((wr = TAILQ_FIRST(&w->writes)) != NULL) {
		http_request_cancel(wr->request);
		write_free(wr);
	}
}
