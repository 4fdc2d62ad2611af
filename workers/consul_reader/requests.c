#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "workers/consul_reader/reader_inside.h"

static struct answer
answer_of(const struct http_response *res)
{
	return (struct answer){
		.error = res->error,
		.too_large = res->too_large,
		.status = res->status,
		.body = res->body,
		.index = res->headers[0],
		.leader = res->headers[1],
		.contact = res->headers[2],
		.filtered = res->headers[3],
	};
}

static struct http_request *
request(struct reader *r, struct http_request_conf *conf)
{
	conf->method = "GET";
	conf->headers[0] = ANSWER_INDEX;
	conf->headers[1] = ANSWER_LEADER;
	conf->headers[2] = ANSWER_CONTACT;
	conf->headers[3] = ANSWER_FILTERED;
	return http_client_request(r->consul.client, conf);
}

static void
read_free(struct read *rd)
{
	TAILQ_REMOVE(&rd->r->reads, rd, link);
	catalog_read_free(rd->catalog);
	free(rd);
}

/* ---- lists ---- */

static bool
on_list_data(const char *data, size_t len, void *arg)
{
	struct list *l = arg;

	return listing_feed(l->listing, data, len);
}

static enum follow_end
end_of(enum answer_worth worth)
{
	if (worth == ANSWER_TOO_LARGE)
		return FOLLOW_TOO_LARGE;
	return worth == ANSWER_BUSY ? FOLLOW_BUSY : FOLLOW_LOST;
}

static void
list_failed(struct list *l, enum follow_end end,
    const struct http_response *res, const char *why)
{
	struct reader *r = l->r;

	listing_drop(l->listing);
	if (follow_list_failed(r->follow, l->which, end, res->retry_after_ms,
		clock_ms()))
		say_useless(l, why);
	else
		say_trouble(r, list_name(l->which), why);
}

static void
list_refused(struct list *l, const struct http_response *res)
{
	const struct refusal *why = listing_refusal(l->listing);
	char text[2 * LIMIT_TEXT + 8];

	snprintf(text, sizeof(text), "%s%s%s", why->where,
	    *why->where != '\0' ? ": " : "", why->why);
	metric_inc(l->r->metrics, M_READER_ERR_BODY);
	list_failed(l, FOLLOW_UNREADABLE, res, text);
}

static void
on_reset(struct reader *r, enum query_list which, uint64_t now)
{
	trust_reset(&r->trust, now);
	catalog_reset(r->catalog, now);
	say_reset(r, which);
}

/* Whom the rows that were passed over are about is not known. */
static void
look_at_odd(struct list *l, uint64_t now)
{
	const struct listing_odd *odd = listing_odd(l->listing);

	if (odd->large > 0)
		follow_sweep_in_time(l->r->follow, now);
	say_odd(l, odd);
}

static void
list_came(struct list *l, const struct answer_said *said)
{
	struct reader *r = l->r;
	uint64_t now = clock_ms();
	enum index_news news =
	    follow_listed(r->follow, l->which, said->index, now);

	if (news == INDEX_BEHIND) {
		listing_drop(l->listing);
		return;
	}
	if (news == INDEX_RESET)
		on_reset(r, l->which, now);
	listing_commit(l->listing);
	take_list(r, l, said->worth);
	look_at_odd(l, now);
	say_useful(l);
	say_no_trouble(r);
}

/* Consul may still hold back what was asked while it had no leader. */
static void
on_back(struct reader *r, uint64_t now)
{
	struct read *rd;

	follow_back(r->follow, now);
	restart_lists(r, now);
	restart_list(r, QUERY_ROSTER, now);
	while ((rd = TAILQ_FIRST(&r->reads)) != NULL) {
		http_request_cancel(rd->request);
		follow_done(r->follow, rd->target, FOLLOW_AGAIN, 0, now);
		read_free(rd);
	}
}

static void
pulse_came(struct list *l, const struct answer_said *said)
{
	struct reader *r = l->r;
	uint64_t now = clock_ms();

	listing_drop(l->listing);
	if (follow_pulse(r->follow, said->index, now))
		on_back(r, now);
	say_no_trouble(r);
}

static void
on_list(const struct http_response *res, void *arg)
{
	struct list *l = arg;
	struct reader *r = l->r;
	struct answer a = answer_of(res);
	struct answer_said said = answer_read(&a);
	char text[LIMIT_TEXT];

	l->request = NULL;
	count_answer(r, res, said.worth);
	if (refused(listing_refusal(l->listing))) {
		list_refused(l, res);
	} else if (!answer_counts(said.worth)) {
		answer_text(&a, text, sizeof(text));
		list_failed(l, end_of(said.worth), res, text);
	} else if (!listing_end(l->listing)) {
		list_refused(l, res);
	} else if (l->which == QUERY_PULSE) {
		pulse_came(l, &said);
	} else {
		list_came(l, &said);
	}
	pump(r);
}

static void
ask_list(struct reader *r, const struct follow_ask *ask)
{
	struct list *l = &r->lists[ask->list];
	uint64_t wait = ask->index != 0 ? query_wait_ms(ask->list) : 0;
	char path[QUERY_PATH];
	struct http_request_conf conf = {
		.path = path,
		/* Consul adds up to a 16th, so that not all end at once. */
		.timeout_ms = wait + wait / 16 + r->timeout_ms,
		.max_body = LIMIT_CONSUL_BODY,
		.on_data = on_list_data,
		.done = on_list,
		.arg = l,
	};

	metric_inc(r->metrics, M_READER_LISTS);
	query_list(&r->query, ask->list, ask->index, path);
	listing_begin(l->listing);
	l->request = request(r, &conf);
}

void
restart_list(struct reader *r, enum query_list which, uint64_t now)
{
	struct list *l = &r->lists[which];

	if (!follow_restart(r->follow, which, now))
		return;
	http_request_cancel(l->request);
	listing_drop(l->listing);
	l->request = NULL;
}

void
restart_lists(struct reader *r, uint64_t now)
{
	for (int i = 0; i < QUERY_PULSE; i++)
		restart_list(r, (enum query_list)i, now);
}

/* ---- services ---- */

static bool
on_read_data(const char *data, size_t len, void *arg)
{
	struct read *rd = arg;

	return catalog_read_feed(rd->catalog, data, len);
}

static enum follow_end
read_refused(struct reader *r, const struct read *rd)
{
	const struct refusal *why = catalog_read_refusal(rd->catalog);
	char text[2 * LIMIT_TEXT + 8];

	snprintf(text, sizeof(text), "%s%s%s", why->where,
	    *why->where != '\0' ? ": " : "", why->why);
	metric_inc(r->metrics, M_READER_ERR_BODY);
	say_unreadable(r, rd->service, text, follow_failures(rd->target) > 0);
	return FOLLOW_UNREADABLE;
}

static enum follow_end
read_came(struct reader *r, const struct read *rd, bool partial)
{
	if (partial) {
		follow_doubt(r->follow);
		say_partial(r, "katalogd's token may not see all instances");
	}
	switch (catalog_read_end(rd->catalog, partial || r->hidden > 0,
	    clock_ms())) {
	case CATALOG_REFUSED:
		return read_refused(r, rd);
	case CATALOG_CHANGED:
		return FOLLOW_CHANGED;
	default:
		metric_inc(r->metrics, M_READER_UNCHANGED);
		return FOLLOW_READ;
	}
}

/* It is one service's trouble: said when that is seen, and then no more. */
static void
read_failed_alone(struct reader *r, const struct read *rd, const char *text,
    unsigned tries)
{
	say_unreadable(r, rd->service, text,
	    follow_failures(rd->target) + 1 > tries);
}

static enum follow_end
read_failed(struct reader *r, const struct read *rd, const struct answer *a,
    enum answer_worth worth)
{
	char text[LIMIT_TEXT];

	answer_text(a, text, sizeof(text));
	if (worth == ANSWER_LOST && follow_fails_alone(r->follow, rd->target)) {
		read_failed_alone(r, rd, text, FOLLOW_TRIES);
		return FOLLOW_TOO_LARGE;
	}
	if (worth == ANSWER_LOST || worth == ANSWER_BUSY) {
		say_trouble(r, rd->service, text);
		return worth == ANSWER_LOST ? FOLLOW_LOST : FOLLOW_BUSY;
	}
	read_failed_alone(r, rd, text, 1);
	return worth == ANSWER_TOO_LARGE ? FOLLOW_TOO_LARGE : FOLLOW_UNREADABLE;
}

/*
 * That we stopped it for its body says nothing about Consul: its headers do.
 */
static struct answer
answer_of_read(const struct read *rd, const struct http_response *res)
{
	struct answer a = answer_of(res);

	if (refused(catalog_read_refusal(rd->catalog)))
		a.error = NULL;
	return a;
}

static void
on_read(const struct http_response *res, void *arg)
{
	struct read *rd = arg;
	struct reader *r = rd->r;
	struct answer a = answer_of_read(rd, res);
	struct answer_said said = answer_read(&a);
	enum follow_end end;

	count_answer(r, res, said.worth);
	metric_observe_ms(r->metrics, M_READER_LATENCY, res->took_ms);
	if (answer_counts(said.worth))
		end = read_came(r, rd, said.worth == ANSWER_PARTIAL);
	else
		end = read_failed(r, rd, &a, said.worth);
	follow_done(r->follow, rd->target, end, res->retry_after_ms,
	    clock_ms());
	if (answer_counts(said.worth))
		say_no_trouble(r);
	read_free(rd);
	pump(r);
}

static void
ask_service(struct reader *r, const struct follow_ask *ask)
{
	size_t len = strlen(ask->service) + 1;
	struct read *rd = xcalloc(1, sizeof(*rd) + len);
	char path[QUERY_PATH];
	struct http_request_conf conf = {
		.path = path,
		.timeout_ms = r->timeout_ms,
		.max_body = LIMIT_CONSUL_SERVICE,
		.on_data = on_read_data,
		.done = on_read,
		.arg = rd,
	};

	rd->r = r;
	rd->target = ask->target;
	memcpy(rd->service, ask->service, len);
	rd->catalog = catalog_read_new(r->catalog, rd->service);
	metric_inc(r->metrics, M_READER_READS);
	query_service(&r->query, rd->service, path);
	rd->request = request(r, &conf);
	TAILQ_INSERT_TAIL(&r->reads, rd, link);
}

void
start_requests(struct reader *r, uint64_t now)
{
	struct follow_ask ask;

	while (follow_next(r->follow, now, &ask)) {
		if (ask.list == QUERY_LISTS)
			ask_service(r, &ask);
		else
			ask_list(r, &ask);
	}
}
