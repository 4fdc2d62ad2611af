#include "workers/consul_writer/sidecars.h"

#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/timer.h"
#include "workers/consul_writer/calls.h"
#include "workers/consul_writer/catalog.h"
#include "workers/consul_writer/definition.h"
#include "workers/consul_writer/gates.h"

/* So long is waited for what http remembers. */
#define REMEMBER_MS 2000
/*
 * All pods and calls are looked at, after each write: while many of them wait,
 * some writes later. So many of both make that a millisecond.
 */
#define LOOKS_PER_MS 50
/* evtimer's: far enough to be never. */
#define LONG_MS (3600 * 1000ULL)
/* libevent's clock may be a tick early. */
#define TICK_MS 4

struct sidecars {
	struct sidecars_conf conf;
	struct pods *pods;
	struct calls *calls;
	struct catalog *catalog;
	struct http_request *request; /* to the catalog; NULL: none */
	struct channel *link; /* to http; NULL: there is none */
	struct event *timer; /* run() */
	struct event *remember_timer;
	struct log_once said;
	bool started;
	bool remembered; /* REMEMBERED came */
	bool ready; /* ready() was called */
	bool whole; /* the set is as its source was at one moment */
	bool changed; /* somebody's wait may be over */
	uint64_t settle_at; /* not before */
	bool open; /* somebody waits for agent or catalog */
};

/* ---- what is known of services ---- */

static enum catalog_shown
shown(struct sidecars *s, const struct plan_view *v)
{
	char name[DEFINITION_CHECK_NAME];
	const struct catalog_check check = {
		.id = v->want->id,
		.name = name,
		.status = v->want->status,
		.since = v->since,
	};

	definition_check_name(v->want, s->conf.deregister_ms, name);
	return catalog_shows(s->catalog, &check);
}

static struct service_view
on_view(const char *id, void *arg)
{
	struct sidecars *s = arg;
	struct plan_view v = writer_view(s->conf.writer, id);
	struct service_view view = {
		.written = v.written,
		.absent = v.absent || v.foreign,
		.error = v.error,
	};

	if (v.want != NULL)
		view.status = v.want->status;
	if (v.written || v.absent)
		view.shown = shown(s, &v);
	else if (v.foreign)
		view.shown = CATALOG_ABSENT;
	view.confirmed = v.confirmed > catalog_came(s->catalog);
	return view;
}

static void
on_confirm(const char *id, void *arg)
{
	struct sidecars *s = arg;

	writer_confirm(s->conf.writer, id);
}

static void
on_want(struct service *service, void *arg)
{
	struct sidecars *s = arg;

	if (s->conf.client == NULL)
		free(service);
	else
		writer_want(s->conf.writer, service);
}

/* ---- what others are told ---- */

static void
tell_report(struct sidecars *s, const struct pod_report *r)
{
	char key[LIMIT_SET_KEY];
	uint8_t buf[4096];
	size_t key_len = pod_key(r->namespace, r->name, key),
	       len = pod_report_encode(r, buf, sizeof(buf));

	if (key_len > 0 && len > 0)
		publisher_put(s->conf.reports, key, key_len, buf, len);
}

static void
tell_gate(struct sidecars *s, const struct telling *t, const char *uid)
{
	uint8_t buf[4096];
	size_t len;

	if (!t->has_gate) {
		publisher_del(s->conf.gates, uid, strlen(uid));
		return;
	}
	len = pod_gate_encode(&t->gate, buf, sizeof(buf));
	if (len > 0)
		publisher_put(s->conf.gates, uid, strlen(uid), buf, len);
}

/* How many they are. */
static size_t
tell_pods(struct sidecars *s, struct outlook *o)
{
	struct telling t;
	size_t n = 0;

	for (struct pod *pod = pods_first(s->pods); pod != NULL;
	     pod = pods_next(pod)) {
		gates_tell(pod, s->conf.set_gates, o, &t);
		tell_report(s, &t.report);
		tell_gate(s, &t, pod->item->uid);
		n++;
	}
	publisher_complete(s->conf.gates);
	publisher_complete(s->conf.reports);
	return n;
}

static void
on_unwatched(const struct pod *pod, void *arg)
{
	struct sidecars *s = arg;
	char key[LIMIT_SET_KEY];
	size_t len = pod_key(pod->item->namespace, pod->item->name, key);

	publisher_del(s->conf.reports, key, len);
	publisher_del(s->conf.gates, pod->item->uid, strlen(pod->item->uid));
}

static void
on_answer(uint64_t id, enum call_code code, const char *text, void *arg)
{
	struct sidecars *s = arg;
	uint8_t buf[LIMIT_TEXT + 64];
	struct tlv_writer w;

	tlv_writer_init(&w, buf, sizeof(buf));
	tlv_put_u64(&w, TAG_CALL, id);
	tlv_put_u8(&w, TAG_CODE, (uint8_t)code);
	tlv_put_str(&w, TAG_TEXT, text);
	if (s->link != NULL)
		channel_send_tlv(s->link, MSG_ANSWER, 0, &w, -1);
}

/* ---- the loop ---- */

static void
kick(struct sidecars *s)
{
	s->changed = true;
	if (s->started)
		timer_arm(s->timer, 0);
}

/*
 * Nobody is told anything while the set is between two states, or before what
 * was known earlier is known again.
 */
static uint64_t
settle_due(const struct sidecars *s)
{
	return s->changed && s->whole && s->ready ? s->settle_at : UINT64_MAX;
}

static void
settle(struct sidecars *s, uint64_t now)
{
	size_t looks = calls_count(s->calls);
	struct outlook o = {
		.view = on_view,
		.confirm = on_confirm,
		.arg = s,
	};

	if (settle_due(s) > now)
		return;
	s->changed = false;
	catalog_node(s->catalog, writer_node(s->conf.writer), now);
	looks += tell_pods(s, &o);
	s->settle_at = now + looks / LOOKS_PER_MS;
	calls_settle(s->calls, &o);
	catalog_want(s->catalog, o.needs_catalog, now);
	s->open = o.needs_catalog;
	if (s->open)
		writer_find_node(s->conf.writer);
}

static void
say_answer(struct sidecars *s, const char *why)
{
	if (why != NULL)
		log_once_warn(&s->said,
		    "consul at %s: what its catalog has of this node: %s; "
		    "sidecars and readiness gates may have to wait",
		    s->conf.server, why);
	else
		log_once_clear(&s->said,
		    "consul at %s: shows what its catalog has of this node",
		    s->conf.server);
}

static void run(struct sidecars *s);

static void
on_catalog(const struct http_response *r, void *arg)
{
	struct sidecars *s = arg;
	const struct catalog_answer a = {
		.error = r->error,
		.status = r->status,
		.body = r->body,
		.body_len = r->body_len,
		.index = r->headers[0],
		.leader = r->headers[1],
		.filtered = r->headers[2],
		.retry_after_ms = r->retry_after_ms,
		.stamp = writer_stamp(s->conf.writer),
	};

	s->request = NULL;
	if (r->error != NULL && !r->too_large)
		writer_lost(s->conf.writer);
	metric_add(s->conf.metrics, M_CONSUL_BYTES, r->bytes);
	say_answer(s, catalog_answered(s->catalog, &a, clock_ms()));
	s->changed = true;
	run(s);
}

static void
ask_catalog(struct sidecars *s, uint64_t now)
{
	const struct catalog_place place = { s->conf.prefix,
		s->conf.namespace };
	char path[CATALOG_PATH];
	uint64_t wait_ms;
	struct http_request_conf conf = {
		.method = "GET",
		.path = path,
		.headers = { CATALOG_INDEX, CATALOG_LEADER, CATALOG_FILTERED },
		.max_body = LIMIT_CONSUL_BODY,
		.done = on_catalog,
		.arg = s,
	};

	catalog_ask(s->catalog, &place, writer_stamp(s->conf.writer), now, path,
	    &wait_ms);
	/* Consul adds up to a 16th, so that not all end at once. */
	conf.timeout_ms = wait_ms + wait_ms / 16 + s->conf.timeout_ms;
	metric_inc(s->conf.metrics, M_CONSUL_READ);
	s->request = http_client_request(s->conf.client, &conf);
}

static void
run_catalog(struct sidecars *s, uint64_t now)
{
	catalog_run(s->catalog, now);
	if (catalog_gives_up(s->catalog)) {
		http_request_cancel(s->request);
		s->request = NULL;
		catalog_cancelled(s->catalog, now);
	}
	if (s->request == NULL && catalog_due(s->catalog) <= now)
		ask_catalog(s, now);
}

static void
run(struct sidecars *s)
{
	uint64_t now = clock_ms(), due;

	settle(s, now);
	run_catalog(s, now);
	due = catalog_due(s->catalog);
	if (settle_due(s) < due)
		due = settle_due(s);
	if (due == UINT64_MAX)
		return;
	timer_arm(s->timer,
	    due <= now                ? TICK_MS
		: due - now > LONG_MS ? LONG_MS
				      : due - now + TICK_MS);
}

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	run(arg);
}

void
sidecars_moved(struct sidecars *s)
{
	kick(s);
}

void
sidecars_retry(struct sidecars *s)
{
	catalog_retry(s->catalog, clock_ms());
	kick(s);
}

/* ---- the set ---- */

bool
sidecars_put(struct sidecars *s, const struct set_entry *e)
{
	s->whole = false;
	s->changed = true;
	return pods_put(s->pods, e->key, e->key_len, e->val, e->val_len);
}

void
sidecars_del(struct sidecars *s, const void *key, size_t key_len, bool named)
{
	char *id;

	s->whole = false;
	s->changed = true;
	pods_del(s->pods, key, key_len, named);
	if (pod_key_is(key, key_len) || s->conf.client == NULL)
		return;
	id = xstrndup(key, key_len);
	writer_drop(s->conf.writer, id, named);
	free(id);
}

/* What pods went, none of which comes back. */
static void
forget(struct sidecars *s)
{
	if (s->ready && pods_are_confirmed(s->pods))
		pods_forget(s->pods);
}

void
sidecars_synced(struct sidecars *s, bool new_epoch)
{
	pods_complete(s->pods);
	if (new_epoch)
		pods_confirm(s->pods, false);
}

/* They may have waited for pods that were too old. */
void
sidecars_fresh(struct sidecars *s, bool confirmed)
{
	s->whole = true;
	pods_confirm(s->pods, confirmed);
	forget(s);
	if (s->changed || s->open)
		kick(s);
}

/* ---- the start ---- */

static void
become_ready(struct sidecars *s)
{
	if (s->ready || !s->started)
		return;
	s->ready = true;
	evtimer_del(s->remember_timer);
	forget(s);
	s->conf.ready(s->conf.arg);
	kick(s);
}

static void
on_remember_timer(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	log_debug("http says nothing of sidecars that registered before");
	become_ready(arg);
}

void
sidecars_start(struct sidecars *s)
{
	s->started = true;
	if (!s->conf.calls || s->remembered)
		become_ready(s);
	else
		timer_arm(s->remember_timer, REMEMBER_MS);
}

/* ---- http's messages ---- */

struct call_texts {
	char namespace[LIMIT_K8S_NAMESPACE + 1];
	char pod[LIMIT_K8S_NAME + 1];
	char container[LIMIT_K8S_NAMESPACE + 1];
	char peer[LIMIT_ADDRESS + 1];
};

static bool
on_call(struct sidecars *s, const struct msg *m)
{
	struct call_texts t;
	const struct call call = {
		.id = msg_u64(m, TAG_CALL),
		.op = (enum call_op)msg_u8(m, TAG_OP),
		.namespace = t.namespace,
		.pod = t.pod,
		.container = t.container,
		.peer = t.peer,
		.local = msg_u8(m, TAG_LOCAL) != 0,
		.now = clock_ms(),
	};

	msg_str(m, TAG_NAMESPACE, t.namespace, sizeof(t.namespace));
	msg_str(m, TAG_POD, t.pod, sizeof(t.pod));
	msg_str(m, TAG_CONTAINER, t.container, sizeof(t.container));
	msg_str(m, TAG_PEER, t.peer, sizeof(t.peer));
	if (!calls_begin(s->calls, &call))
		return false;
	kick(s);
	return true;
}

static bool
on_call_end(struct sidecars *s, const struct msg *m)
{
	calls_end(s->calls, msg_u64(m, TAG_CALL));
	kick(s);
	return true;
}

static bool
on_remember(struct sidecars *s, const struct msg *m)
{
	struct tlv_field key = msg_field(m, TAG_KEY),
			 val = msg_field(m, TAG_VALUE);

	kick(s);
	return pods_remember(s->pods, key.val, key.len, val.val, val.len);
}

static bool
on_remembered(struct sidecars *s, const struct msg *m)
{
	(void)m;
	s->remembered = true;
	become_ready(s);
	return true;
}

static bool (*const handlers[MSG_MAX])(struct sidecars *s,
    const struct msg *m) = {
	[MSG_CALL] = on_call,
	[MSG_CALL_END] = on_call_end,
	[MSG_REMEMBER] = on_remember,
	[MSG_REMEMBERED] = on_remembered,
};

bool
sidecars_message(struct sidecars *s, const struct msg *m)
{
	return handlers[m->type] != NULL && handlers[m->type](s, m);
}

void
sidecars_link(struct sidecars *s, struct channel *ch)
{
	calls_clear(s->calls);
	s->link = ch;
	kick(s);
}

void
sidecars_judge(const struct sidecars *s, struct service *service)
{
	pods_judge(s->pods, service);
}

/* ---- life ---- */

static void
make_parts(struct sidecars *s)
{
	const struct pods_conf pods = {
		.gates = s->conf.set_gates,
		.want = on_want,
		.unwatched = on_unwatched,
		.arg = s,
	};
	struct calls_conf calls = {
		.verify_peer = s->conf.verify_peer,
		.answer = on_answer,
		.arg = s,
	};

	s->pods = pods_new(&pods);
	calls.pods = s->pods;
	s->calls = calls_new(&calls);
	s->catalog = catalog_new(s->conf.seed);
}

struct sidecars *
sidecars_new(const struct sidecars_conf *conf)
{
	struct sidecars *s = xcalloc(1, sizeof(*s));

	s->conf = *conf;
	make_parts(s);
	s->timer = evtimer_new(conf->base, on_timer, s);
	s->remember_timer = evtimer_new(conf->base, on_remember_timer, s);
	if (s->timer == NULL || s->remember_timer == NULL)
		fatalx("sidecars: no timer");
	return s;
}

void
sidecars_free(struct sidecars *s)
{
	if (s == NULL)
		return;
	if (s->request != NULL)
		http_request_cancel(s->request);
	event_free(s->timer);
	event_free(s->remember_timer);
	calls_free(s->calls);
	catalog_free(s->catalog);
	pods_free(s->pods);
	free(s);
}
