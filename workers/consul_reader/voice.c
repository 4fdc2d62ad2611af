#include <stdio.h>

#include "workers/consul_reader/reader_inside.h"

static const char *const list_names[QUERY_LISTS] = {
	[QUERY_CATALOG] = "the catalog",
	[QUERY_CRITICAL] = "the critical checks",
	[QUERY_WARNING] = "the checks in state warning",
	[QUERY_NODES] = "the nodes",
	[QUERY_PULSE] = "whether it has a leader",
	[QUERY_ROSTER] = "the checks",
};

const char *
list_name(enum query_list which)
{
	return list_names[which];
}

void
count_answer(struct reader *r, const struct http_response *res,
    enum answer_worth worth)
{
	enum metric m = M_READER_ERR_HTTP;

	metric_add(r->metrics, M_READER_BYTES, res->bytes);
	if (answer_counts(worth))
		return;
	if (worth == ANSWER_TOO_LARGE)
		m = M_READER_ERR_BODY;
	else if (res->error != NULL)
		m = M_READER_ERR_CONNECT;
	else if (worth == ANSWER_DENIED)
		m = M_READER_ERR_ACL;
	metric_inc(r->metrics, m);
	metric_inc(r->metrics, M_READER_ERRORS);
}

void
say_trouble(struct reader *r, const char *what, const char *text)
{
	if (r->dry_run)
		fatalx("consul at %s: read %s: %s", r->consul.name, what, text);
	snprintf(r->trouble, sizeof(r->trouble), "read %.100s: %.400s", what,
	    text);
	if (outage_failed(&r->outage, text))
		log_warnx("consul at %s: read %s: %s; trying again%s",
		    r->consul.name, what, text,
		    r->complete ? ", services stay as they are meanwhile" : "");
}

/* Only when all lists are well: one that fails is trouble enough. */
void
say_no_trouble(struct reader *r)
{
	if (r->trouble[0] == '\0' || follow_counts(r->follow).lists_failing > 0)
		return;
	r->trouble[0] = '\0';
	log_info("consul at %s: answers again, after %llu reads that failed",
	    r->consul.name, (unsigned long long)outage_ended(&r->outage));
}

/* Where in it changes from one time to the other: that is not said again. */
void
say_useless(struct list *l, const char *text)
{
	const struct refusal *why = listing_refusal(l->listing);

	log_debug("read %s: %s", list_name(l->which), text);
	log_once_warn(&l->said_useless,
	    "consul at %s: read %s: %s; all services are read now and then "
	    "instead",
	    l->r->consul.name, list_name(l->which),
	    refused(why) ? why->why : text);
}

void
say_useful(struct list *l)
{
	log_once_clear(&l->said_useless, "consul at %s: read %s: answered",
	    l->r->consul.name, list_name(l->which));
}

static void
say_large(struct list *l, size_t n)
{
	if (n > 0)
		log_once_warn(&l->said_large,
		    "consul at %s: read %s: a row is too large to be looked "
		    "at; all services are read instead when the list changes",
		    l->r->consul.name, list_name(l->which));
	else
		log_once_clear(&l->said_large,
		    "consul at %s: read %s: no row is too large any more",
		    l->r->consul.name, list_name(l->which));
}

void
say_odd(struct list *l, const struct listing_odd *odd)
{
	say_large(l, odd->large);
	l->left_out = odd->names;
	if (odd->names > 0)
		log_once_warn(&l->said_names,
		    "%zu services are left out: their names are longer than "
		    "%d bytes, or cannot be asked for; one is \"%.300s\"",
		    odd->names, LIMIT_SERVICE_NAME, odd->name);
	else
		log_once_clear(&l->said_names,
		    "no service is left out for its name any more");
}

void
say_unreadable(struct reader *r, const char *service, const char *text,
    bool again)
{
	if (r->dry_run)
		fatalx("consul at %s: read service %s: %s", r->consul.name,
		    service, text);
	if (again)
		log_debug("read service %s: %s", service, text);
	else
		log_warnx("read service %s: %s; trying again, it stays as it "
			  "is meanwhile",
		    service, text);
}

void
say_partial(struct reader *r, const char *text)
{
	if (*text == '\0' && r->partial[0] == '\0')
		return;
	snprintf(r->partial, sizeof(r->partial), "%s", text);
	if (*text != '\0')
		log_once_warn(&r->said_partial,
		    "consul at %s: %s; what is not seen is not taken away",
		    r->consul.name, text);
	else
		log_once_clear(&r->said_partial,
		    "consul at %s: shows all of the catalog", r->consul.name);
}

void
say_reset(struct reader *r, enum query_list which)
{
	metric_inc(r->metrics, M_READER_ERR_RESET);
	log_warnx("consul at %s: the index of %s went backwards: it lost its "
		  "state; what is missing is taken away only when it still "
		  "is in %d s",
	    r->consul.name, list_name(which), TRUST_SETTLE_MS / 1000);
}

static void
say_full(struct reader *r, size_t left_out)
{
	if (left_out > 0)
		log_once_warn(&r->said_full,
		    "more services and instances than there is room for: the "
		    "others are left out");
	else
		log_once_clear(&r->said_full,
		    "all services and instances have room again");
}

static void
say_waiting(struct reader *r, size_t n)
{
	if (n > 0)
		log_once_warn(&r->said_waiting,
		    "consul at %s: no longer shows more than it should at "
		    "once; what it does not show is kept until a second look",
		    r->consul.name);
	else
		log_once_clear(&r->said_waiting,
		    "consul at %s: nothing waits for a second look any more",
		    r->consul.name);
}

static void
say_following(const struct catalog_counts *n, char text[LIMIT_TEXT])
{
	int len =
	    snprintf(text, LIMIT_TEXT, "following %zu services", n->services);

	if (n->waiting > 0)
		snprintf(text + len, LIMIT_TEXT - (size_t)len,
		    "; %zu items wait for a second look", n->waiting);
}

/* The first that applies. */
static enum health
health_of(const struct reader *r, const struct catalog_counts *n,
    char text[LIMIT_TEXT])
{
	struct follow_counts c = follow_counts(r->follow);

	say_following(n, text);
	if (r->trouble[0] != '\0')
		snprintf(text, LIMIT_TEXT, "consul at %.100s: %.350s",
		    r->consul.name, r->trouble);
	else if (!r->complete)
		snprintf(text, LIMIT_TEXT, "reading %zu services", c.services);
	else if (r->partial[0] != '\0')
		snprintf(text, LIMIT_TEXT,
		    "%.300s; what is not seen is not taken away", r->partial);
	else if (n->left_out > 0)
		snprintf(text, LIMIT_TEXT,
		    "too many services and instances: %zu are left out",
		    n->left_out);
	else if (c.lists_useless > 0)
		snprintf(text, LIMIT_TEXT,
		    "%u lists of Consul cannot be read: changes are seen late",
		    c.lists_useless);
	else if (c.failing > 0)
		snprintf(text, LIMIT_TEXT, "%zu services cannot be read",
		    c.failing);
	else
		return HEALTH_OK;
	return r->complete || r->trouble[0] != '\0' ? HEALTH_DEGRADED
						    : HEALTH_STARTING;
}

void
tell(struct reader *r)
{
	struct catalog_counts n = catalog_counts(r->catalog);
	char text[LIMIT_TEXT];
	enum health h = health_of(r, &n, text);

	metric_set(r->metrics, M_READER_SERVICES, n.services);
	metric_set(r->metrics, M_READER_ENDPOINTS, n.ready);
	metric_set(r->metrics, M_READER_WAITING, n.waiting);
	metric_set(r->metrics, M_READER_LEFT_OUT_BAD,
	    n.bad + r->lists[QUERY_CATALOG].left_out);
	metric_set(r->metrics, M_READER_LEFT_OUT_LOOP, n.loops);
	metric_set(r->metrics, M_READER_LEFT_OUT_FULL, n.left_out);
	say_waiting(r, n.waiting);
	say_full(r, n.left_out);
	worker_health(r->w, h, r->complete, "%s", text);
}
