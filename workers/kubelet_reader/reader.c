#include "workers/kubelet_reader/reader.h"

#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "common/clock.h"
#include "common/duration.h"
#include "common/log.h"
#include "common/timer.h"
#include "workers/kubelet_reader/guard.h"
#include "workers/kubelet_reader/interval.h"
#include "workers/kubelet_reader/podlist.h"
#include "workers/kubelet_reader/source.h"
#include "workers/kubelet_reader/split.h"
#include "workers/outage.h"
#include "workers/publisher.h"

/* FRESH, when nothing else is said: at least four in stale-after. */
#define FRESH_PERIOD_MS 5000
#define FRESH_PER_STALE 4
/*
 * A kubelet without the apiserver is taken at its word after so many times
 * stale-after: the checks have been critical for long then.
 */
#define STALES_CUT_OFF 5

struct reader {
	struct worker *w;
	struct source *source;
	struct event *timer;
	uint8_t secret[SPLIT_SECRET];
	struct podlist_conf conf;
	struct refusal refusal;
	struct split *split;
	struct podlist *list;
	struct guard guard;
	struct interval interval;
	struct publisher *publisher;
	struct outage outage;
	uint64_t stale_after_ms;
	char stale_after[DURATION_TEXT];
	uint64_t due; /* the next poll */
	uint64_t began; /* the last one */
	uint64_t read_at; /* the last that counted; 0: none */
	bool polling; /* it has not ended yet */
	bool started;
	bool dry_run;
	bool waits_said; /* that the guard wants a second read */
	bool cut_off_said;
	bool stale_said;
};

/* When the next poll is. */

static void
arm(struct reader *rd, uint64_t at, uint64_t now)
{
	rd->due = at;
	timer_arm(rd->timer, at > now ? at - now : 0);
}

static void
poll_now(struct reader *rd, uint64_t now)
{
	rd->polling = true;
	rd->began = now;
	podlist_begin(rd->list);
	split_begin(rd->split);
	source_read(rd->source);
}

/* libevent's clock is a coarse one: it may be some milliseconds early. */
static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct reader *rd = arg;
	uint64_t now = clock_ms();

	(void)fd;
	(void)what;
	if (rd->polling)
		return;
	if (now < rd->due)
		arm(rd, rd->due, now);
	else
		poll_now(rd, now);
}

/* A read that failed. */

static const char *
what_now(const struct reader *rd)
{
	return rd->read_at == 0 ? "nothing is registered or changed before"
				: "what was read before counts for";
}

static void
say_failure(struct reader *rd, const char *where, const char *why)
{
	log_warnx("kubelet %s: %s%s%s; %s %s", source_name(rd->source), where,
	    *where != '\0' ? ": " : "", why, what_now(rd),
	    rd->read_at == 0 ? "there is a good list" : rd->stale_after);
}

static void
check_stale(struct reader *rd, uint64_t now)
{
	if (rd->read_at == 0 || rd->stale_said ||
	    now - rd->read_at <= rd->stale_after_ms)
		return;
	rd->stale_said = true;
	log_warnx("kubelet %s: the pods are stale, no good list came for %s; "
		  "their checks are no longer refreshed and turn critical",
	    source_name(rd->source), rd->stale_after);
}

static void
fail(struct reader *rd, enum metric kind, const char *where, const char *why)
{
	struct metrics *m = &rd->w->metrics;

	podlist_drop(rd->list);
	guard_failed(&rd->guard);
	if (rd->dry_run)
		fatalx("kubelet %s: %s%s%s", source_name(rd->source), where,
		    *where != '\0' ? ": " : "", why);
	metric_inc(m, kind);
	metric_inc(m, M_KUBELET_SYNC_ERR);
	metric_observe_ms(m, M_KUBELET_SYNC_S_ERR, clock_ms() - rd->began);
	if (outage_failed(&rd->outage, why))
		say_failure(rd, where, why);
	check_stale(rd, clock_ms());
	worker_health(rd->w, HEALTH_DEGRADED, rd->read_at != 0,
	    "kubelet %s: %s", source_name(rd->source), why);
}

/* A list that was read as a whole. */

static void
on_put(const struct pod_entry *e, void *arg)
{
	struct reader *rd = arg;

	/* The list has LIMIT_SERVICES at most: there is room for them. */
	publisher_put(rd->publisher, e->key, e->key_len, e->value, e->len);
}

static void
on_del(const struct pod_entry *e, void *arg)
{
	struct reader *rd = arg;

	publisher_del(rd->publisher, e->key, e->key_len);
}

static void
on_notice(const char *line, void *arg)
{
	struct reader *rd = arg;

	metric_inc(&rd->w->metrics, M_ERR_ANNOTATION);
	log_warnx("%s", line);
}

static const struct podlist_ops list_ops = {
	.put = on_put,
	.del = on_del,
	.notice = on_notice,
};

static void
say_waits(struct reader *rd, const struct guard_list *list)
{
	char later[DURATION_TEXT];

	check_stale(rd, clock_ms());
	worker_health(rd->w, HEALTH_DEGRADED, rd->read_at != 0,
	    "kubelet %s: waits for a second read that says the same",
	    source_name(rd->source));
	if (rd->waits_said)
		return;
	rd->waits_said = true;
	log_info("kubelet %s: %zu pods, %zu of the %zu before are not among "
		 "them; nothing changes until a second read, %s later, says "
		 "the same",
	    source_name(rd->source), list->pods, list->pods_lost,
	    podlist_pods(rd->list),
	    duration_format(interval_steady(&rd->interval), later));
}

/* It is no news of the pods, and so as if the kubelet could not be read. */
static void
say_cut_off(struct reader *rd, const struct guard_list *list)
{
	check_stale(rd, clock_ms());
	worker_health(rd->w, HEALTH_DEGRADED, true,
	    "kubelet %s: lists static pods only", source_name(rd->source));
	if (rd->cut_off_said)
		return;
	rd->cut_off_said = true;
	log_warnx("kubelet %s: %zu pods, none of the apiserver's, though %zu "
		  "that were had not begun to end: it may have been restarted "
		  "and not reach the apiserver; %s %s",
	    source_name(rd->source), list->pods, list->vanished, what_now(rd),
	    rd->stale_after);
}

/* Files have no source that they could wait for. */
static enum guard_verdict
look(struct reader *rd, const struct guard_list *list)
{
	const struct guard_times times = {
		.interval = interval_steady(&rd->interval),
		.min_interval = rd->interval.min_ms,
		.cut_off = source_is_file(rd->source)
		    ? 0
		    : STALES_CUT_OFF * rd->stale_after_ms,
	};

	if (rd->dry_run)
		return GUARD_COUNTS;
	return guard_look(&rd->guard, list, rd->began, &times);
}

static bool
counts(struct reader *rd, const struct guard_list *list)
{
	enum guard_verdict verdict = look(rd, list);

	if (verdict == GUARD_COUNTS) {
		rd->waits_said = rd->cut_off_said = false;
		return true;
	}
	metric_inc(&rd->w->metrics, M_ERR_KUBELET_GUARD);
	if (verdict == GUARD_WAITS)
		podlist_waits(rd->list);
	if (verdict == GUARD_CUT_OFF)
		say_cut_off(rd, list);
	else
		say_waits(rd, list);
	return false;
}

static void
count_pods(struct reader *rd)
{
	struct podlist_stats stats = podlist_stats(rd->list);
	struct metrics *m = &rd->w->metrics;

	metric_add(m, M_PODS_PARSED, stats.parsed);
	metric_add(m, M_PODS_SKIPPED, stats.same);
	metric_inc(m, M_KUBELET_SYNC_OK);
	metric_observe_ms(m, M_KUBELET_SYNC_S_OK, clock_ms() - rd->began);
}

static void
say_success(struct reader *rd)
{
	uint64_t failed = outage_ended(&rd->outage);

	if (rd->read_at == 0)
		log_info("kubelet %s: %zu pods, %zu of them annotated, "
			 "%zu services; node %s",
		    source_name(rd->source), podlist_pods(rd->list),
		    podlist_ours(rd->list), podlist_services(rd->list),
		    *podlist_node(rd->list) != '\0' ? podlist_node(rd->list)
						    : "not known yet");
	else if (failed > 0)
		log_info("kubelet %s: good lists again, after %llu reads that "
			 "failed",
		    source_name(rd->source), (unsigned long long)failed);
	rd->stale_said = false;
}

static void
accept_list(struct reader *rd)
{
	bool changed = podlist_stats(rd->list).ours_changed;
	struct metrics *m = &rd->w->metrics;

	podlist_accept(rd->list, &list_ops, rd);
	publisher_read(rd->publisher, rd->began, guard_confirmed(&rd->guard));
	interval_list(&rd->interval, podlist_interval(rd->list), changed,
	    clock_ms());
	metric_set(m, M_PODS, podlist_pods(rd->list));
	metric_set(m, M_PODS_OURS, podlist_ours(rd->list));
	say_success(rd);
	rd->read_at = rd->began;
	worker_health(rd->w, HEALTH_OK, true,
	    "%zu pods, %zu of them annotated, %zu services",
	    podlist_pods(rd->list), podlist_ours(rd->list),
	    podlist_services(rd->list));
}

static void
refused_list(struct reader *rd)
{
	bool node = podlist_stats(rd->list).wrong_node;

	fail(rd, node ? M_ERR_KUBELET_NODE : M_ERR_KUBELET_BODY,
	    rd->refusal.where, rd->refusal.why);
}

static void
whole_body(struct reader *rd)
{
	struct guard_list list;

	if (!split_end(rd->split) || !podlist_end(rd->list, &list)) {
		refused_list(rd);
		return;
	}
	count_pods(rd);
	if (counts(rd, &list))
		accept_list(rd);
	else
		podlist_drop(rd->list);
}

static void
judge(struct reader *rd, const struct source_result *r)
{
	if (r->why != NULL && r->kind != M_ERR_KUBELET_CONNECT)
		fail(rd, r->kind, "", r->why);
	else if (refused(&rd->refusal))
		refused_list(rd);
	else if (r->why != NULL)
		fail(rd, r->kind, "", r->why);
	else
		whole_body(rd);
}

static void
on_done(const struct source_result *r, void *arg)
{
	struct reader *rd = arg;
	uint64_t now;

	metric_add(&rd->w->metrics, M_KUBELET_BYTES, r->bytes);
	metric_observe_ms(&rd->w->metrics, M_KUBELET_LATENCY, r->took_ms);
	judge(rd, r);
	rd->polling = false;
	now = clock_ms();
	if (!rd->dry_run)
		arm(rd, interval_next(&rd->interval, rd->began, now), now);
}

/* What the source and the splitter find. */

static bool
on_data(const char *data, size_t len, void *arg)
{
	struct reader *rd = arg;

	return split_feed(rd->split, data, len);
}

static bool
on_pod(const struct split_pod *pod, void *arg)
{
	struct reader *rd = arg;

	return podlist_add(rd->list, pod);
}

static bool
on_known(XXH128_hash_t prefix, size_t *len, XXH128_hash_t *hash, void *arg)
{
	struct reader *rd = arg;

	return podlist_known(rd->list, prefix, len, hash);
}

static const struct source_ops source_ops = {
	.data = on_data,
	.done = on_done,
};
static const struct split_ops split_ops = {
	.pod = on_pod,
	.known = on_known,
};

/* The start. */

/* It seeds its hash tables at first use, which may open a file. */
static void
preload_json(void)
{
	json_object *o = json_tokener_parse("{\"a\":1.5}");

	if (o == NULL)
		fatalx("json-c does not work");
	json_object_put(o);
}

static void
make_secret(struct reader *rd)
{
	ssize_t n = getrandom(rd->secret, sizeof(rd->secret), 0);

	if (n != (ssize_t)sizeof(rd->secret))
		fatal("getrandom");
}

static void
configure(struct reader *rd, const struct settings *s)
{
	rd->conf.pods = (struct pod_conf){
		.min_interval_ms = settings_u64(s, OPT_MIN_SYNC_INTERVAL),
		.max_interval_ms = settings_u64(s, OPT_MAX_SYNC_INTERVAL),
		.default_interval_ms =
		    settings_u64(s, OPT_DEFAULT_SYNC_INTERVAL),
		.default_ttl_ms = settings_u64(s, OPT_DEFAULT_CHECK_TTL),
		.ttl_buffer_ms = settings_u64(s, OPT_SYNC_TTL_BUFFER),
	};
	rd->conf.node = settings_str(s, OPT_NODE_NAME);
	rd->conf.node_optional = source_is_file(rd->source);
	rd->stale_after_ms = settings_u64(s, OPT_KUBELET_STALE_AFTER);
	duration_format(rd->stale_after_ms, rd->stale_after);
	rd->dry_run = settings_bool(s, OPT_DRY_RUN);
	interval_init(&rd->interval, rd->conf.pods.min_interval_ms,
	    rd->conf.pods.default_interval_ms);
}

static uint64_t
fresh_period(const struct reader *rd)
{
	uint64_t ms = rd->stale_after_ms / FRESH_PER_STALE;

	return ms < FRESH_PERIOD_MS ? ms : FRESH_PERIOD_MS;
}

struct reader *
reader_preload(struct worker *w, struct sandbox *sb)
{
	struct reader *rd = xcalloc(1, sizeof(*rd));

	rd->w = w;
	preload_json();
	make_secret(rd);
	rd->source = source_preload(w, sb, &source_ops, rd);
	configure(rd, w->settings);
	rd->split = split_new(&split_ops, rd->secret, &rd->refusal, rd);
	rd->list = podlist_new(&rd->conf, rd->secret, &rd->refusal);
	rd->publisher = publisher_new(fresh_period(rd));
	worker_feeds(w, ROLE_CONSUL_WRITER, publisher_feed(rd->publisher));
	if ((rd->timer = evtimer_new(w->base, on_timer, rd)) == NULL)
		fatalx("evtimer_new");
	return rd;
}

void
reader_start(struct reader *rd)
{
	rd->started = true;
	arm(rd, clock_ms(), clock_ms());
}

void
reader_blob(struct reader *rd, enum blob_id id, const void *data, size_t len)
{
	uint64_t now = clock_ms();

	if (source_blob(rd->source, id, data, len) && rd->started &&
	    !rd->polling && !rd->dry_run)
		arm(rd, now, now);
}
