#include "workers/consul_writer/catalog.h"

#include <bsd/stdlib.h>
#include <bsd/string.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/log.h"
#include "common/url.h"
#include "workers/consul_writer/answer.h"
#include "workers/fields.h"
#include "workers/index.h"
#include "workers/tree.h"

/* Our checks only: the agents' own and others' are not looked at. */
#define OURS "ServiceID%20matches%20%22%5E" SERVICE_ID_PREFIX "%22"

#define PARTIAL_TEXT \
	"katalogd's token may not see all of this node in the catalog: it " \
	"needs node:read on it, besides service:write"

/*
 * What a change may bring at once, and how often then: a node's start. Each
 * answer has all checks, which costs Consul some 40 us for each of them.
 */
#define PACE_MS       50
#define PACE_BURST_MS 1000
#define PACE_CHECKS   2 /* that make it a millisecond longer */
static const struct index_pace pace = {
	.every_ms = PACE_MS,
	.burst = PACE_BURST_MS / PACE_MS,
};

struct shown {
	char *id;
	char *name;
	enum catalog_shown is;
};

struct catalog {
	struct index index;
	uint64_t seed;
	char node[LIMIT_K8S_NAME + 1]; /* "": not known */
	bool active; /* wanted, or a moment ago */
	bool wanted;
	uint64_t until; /* not wanted: active until then */
	bool asking;
	bool waits; /* the request under way, for a change */
	bool useless; /* that request: it asks for something else */
	bool again; /* the answer that we have may be too old */
	bool known; /* there is a good answer */
	bool partial;
	uint64_t asked; /* the stamp as the last request went out */
	uint64_t stamp; /* that of the answer's request */
	uint64_t came; /* the stamp as the answer came */
	struct shown *v; /* sorted by ID */
	size_t n;
	struct refusal refusal;
	char why[LIMIT_TEXT];
};

struct catalog *
catalog_new(uint64_t seed)
{
	struct catalog *c = xcalloc(1, sizeof(*c));

	c->seed = seed;
	index_init(&c->index, &pace, seed, 0);
	return c;
}

static void
forget(struct catalog *c)
{
	for (size_t i = 0; i < c->n; i++) {
		free(c->v[i].id);
		free(c->v[i].name);
	}
	free(c->v);
	c->v = NULL;
	c->n = 0;
	c->known = c->partial = c->again = false;
}

void
catalog_free(struct catalog *c)
{
	if (c == NULL)
		return;
	forget(c);
	free(c);
}

/* The next answer says all; failures are not forgotten by that. */
static void
start_over(struct catalog *c, uint64_t now)
{
	forget(c);
	c->index.seen = 0;
	index_restart(&c->index, now);
}

void
catalog_want(struct catalog *c, bool wanted, uint64_t now)
{
	if (c->wanted && !wanted)
		c->until = now + CATALOG_LINGER_MS;
	c->wanted = wanted;
	if (!wanted || c->active)
		return;
	c->active = true;
	start_over(c, now);
}

void
catalog_node(struct catalog *c, const char *node, uint64_t now)
{
	if (strcmp(node, c->node) == 0)
		return;
	if (strlcpy(c->node, node, sizeof(c->node)) >= sizeof(c->node))
		c->node[0] = '\0';
	start_over(c, now);
	c->useless = c->asking;
}

void
catalog_retry(struct catalog *c, uint64_t now)
{
	index_init(&c->index, &pace, c->seed++, now);
	c->useless = c->asking;
}

/* ---- requests ---- */

void
catalog_run(struct catalog *c, uint64_t now)
{
	if (!c->active || c->wanted || now < c->until)
		return;
	c->active = false;
	forget(c);
}

uint64_t
catalog_due(const struct catalog *c)
{
	uint64_t end = c->wanted ? UINT64_MAX : c->until, due;

	if (!c->active)
		return UINT64_MAX;
	if (c->asking || c->node[0] == '\0')
		return end;
	/* Once for each write: it needs no pause of its own. */
	due = c->again ? c->index.not_before : index_due(&c->index);
	return due < end ? due : end;
}

/* What waits for a change is of no use to who wants to know at once. */
bool
catalog_gives_up(const struct catalog *c)
{
	if (!c->asking)
		return false;
	return !c->active || c->useless || (c->again && c->waits);
}

void
catalog_cancelled(struct catalog *c, uint64_t now)
{
	c->asking = c->useless = false;
	index_restart(&c->index, now);
}

static void
make_path(const struct catalog *c, const struct catalog_place *place,
    uint64_t index, char path[CATALOG_PATH])
{
	char rest[3 * LIMIT_K8S_NAME + 200], node[3 * LIMIT_K8S_NAME + 1];
	char wait[64] = "";

	if (index != 0)
		snprintf(wait, sizeof(wait), "&index=%llu&wait=%ums",
		    (unsigned long long)index, (unsigned)CATALOG_WAIT_MS);
	if (!url_escape(c->node, node, sizeof(node)))
		fatalx("consul: the name of the node is too long");
	snprintf(rest, sizeof(rest),
	    "/v1/health/node/%s?consistent&filter=%s%s", node, OURS, wait);
	if (!answer_path(path, CATALOG_PATH, place->prefix, rest, "",
		place->namespace))
		fatalx("consul: the path for the catalog is too long");
}

void
catalog_ask(struct catalog *c, const struct catalog_place *place,
    uint64_t stamp, uint64_t now, char path[CATALOG_PATH], uint64_t *wait_ms)
{
	uint64_t index;

	if (c->again)
		index_restart(&c->index, now);
	index = index_ask(&c->index, now);
	c->again = false;
	c->asking = true;
	c->asked = stamp;
	c->waits = index != 0;
	*wait_ms = c->waits ? CATALOG_WAIT_MS : 0;
	make_path(c, place, index, path);
}

/* ---- answers ---- */

static int
by_id(const void *a, const void *b)
{
	const struct shown *x = a, *y = b;

	return strcmp(x->id, y->id);
}

/* Consul ends its answers in a newline. */
static size_t
length_of(const struct catalog_answer *a)
{
	size_t len = a->body_len;

	while (len > 0 && strchr(" \t\r\n", a->body[len - 1]) != NULL)
		len--;
	return len;
}

/* A check of ours has the ID of its service; others' are passed over. */
static bool
read_check(struct catalog *c, json_object *o)
{
	const char *id = field_text(o, "ServiceID", &c->refusal);
	const char *check = field_text(o, "CheckID", &c->refusal);
	const char *name = field_text(o, "Name", &c->refusal);
	const char *status = field_text(o, "Status", &c->refusal);
	enum service_status st;

	if (refused(&c->refusal))
		return false;
	if (id == NULL || check == NULL || strcmp(id, check) != 0)
		return true;
	if (status == NULL || !service_status_parse(status, &st))
		return refuse(&c->refusal, "a check with an unknown status");
	c->v[c->n++] = (struct shown){
		.id = xstrdup(id),
		.name = xstrdup(name != NULL ? name : ""),
		.is = catalog_of_status(st),
	};
	return true;
}

static bool
read_checks(struct catalog *c, json_object *list)
{
	size_t n;

	if (!json_object_is_type(list, json_type_array))
		return refuse(&c->refusal, "it is not a list of checks");
	n = field_count(list);
	c->v = xcalloc(n + 1, sizeof(*c->v));
	for (size_t i = 0; i < n; i++) {
		json_object *o =
		    field_element(list, i, "the checks", &c->refusal);

		if (o == NULL || !read_check(c, o))
			return false;
	}
	qsort(c->v, c->n, sizeof(*c->v), by_id);
	return true;
}

static bool
read_body(struct catalog *c, const struct catalog_answer *a)
{
	json_object *list;
	bool ok;

	forget(c);
	refusal_clear(&c->refusal);
	list = tree_parse(a->body, length_of(a), LIMIT_JSON_DEPTH, &c->refusal);
	ok = list != NULL && read_checks(c, list);
	json_object_put(list);
	if (!ok)
		forget(c);
	return ok;
}

/* Digits only, of a number from 1 to INT64_MAX; 0: it is none. */
static uint64_t
read_index(const char *s)
{
	const char *why = NULL;
	long long n;

	if (*s == '\0' || s[strspn(s, "0123456789")] != '\0')
		return 0;
	n = strtonum(s, 1, INT64_MAX, &why);
	return why == NULL ? (uint64_t)n : 0;
}

/* NULL, or why it is of no use. */
static const char *
find_fault(struct catalog *c, const struct catalog_answer *a,
    enum plan_result res, uint64_t *index)
{
	const struct answer answer = { a->error, a->status, a->body };

	*index = 0;
	if (res != PLAN_DONE) {
		answer_text(&answer, ANSWER_NODE, c->why, sizeof(c->why));
		return c->why;
	}
	if ((*index = read_index(a->index)) == 0)
		return "an answer without an index: not Consul's, or not all "
		       "of it";
	if (*a->leader != '\0' && strcasecmp(a->leader, "true") != 0)
		return "Consul knows no leader";
	return NULL;
}

static struct index_pace
pace_of(size_t checks)
{
	uint64_t every_ms = PACE_MS + checks / PACE_CHECKS;

	return (struct index_pace){
		.every_ms = every_ms,
		.burst = 1 + (unsigned)(PACE_BURST_MS / every_ms),
	};
}

static const char *
take_answer(struct catalog *c, const struct catalog_answer *a, uint64_t index,
    uint64_t now)
{
	enum index_news news;

	if (!read_body(c, a)) {
		index_failed(&c->index, true, 0, now);
		return c->refusal.why;
	}
	c->index.pace = pace_of(c->n);
	news = index_answered(&c->index, index, now);
	/* Of a server that lags, maybe: the next one tells. */
	if (news == INDEX_BEHIND) {
		forget(c);
		return NULL;
	}
	c->known = true;
	c->stamp = c->asked;
	c->came = a->stamp;
	c->partial = strcasecmp(a->filtered, "true") == 0;
	return c->partial ? PARTIAL_TEXT : NULL;
}

/* A missing right won't be there in a moment: no need to ask often. */
const char *
catalog_answered(struct catalog *c, const struct catalog_answer *a,
    uint64_t now)
{
	const struct answer answer = { a->error, a->status, a->body };
	enum plan_result res = answer_result(&answer);
	const char *fault;
	uint64_t index;

	c->asking = c->useless = c->again = false;
	fault = find_fault(c, a, res, &index);
	if (fault == NULL)
		return take_answer(c, a, index, now);
	forget(c);
	index_failed(&c->index, res == PLAN_BUSY || res == PLAN_DENIED,
	    a->retry_after_ms, now);
	return fault;
}

bool
catalog_is_partial(const struct catalog *c)
{
	return c->partial;
}

/* ---- what it shows ---- */

static enum catalog_shown
find(const struct catalog *c, const char *id, const char *name)
{
	struct shown key = { 0 };
	const struct shown *s;

	/* The key is only compared. */
	memcpy(&key.id, &id, sizeof(id));
	s = c->n > 0 ? bsearch(&key, c->v, c->n, sizeof(*c->v), by_id) : NULL;
	if (s != NULL)
		return strcmp(s->name, name) == 0 ? s->is : CATALOG_OTHER;
	return c->partial ? CATALOG_UNKNOWN : CATALOG_ABSENT;
}

enum catalog_shown
catalog_shows(struct catalog *c, const struct catalog_check *check)
{
	enum catalog_shown is;

	if (!c->known)
		return CATALOG_UNKNOWN;
	is = find(c, check->id, check->name);
	if (c->stamp >= check->since)
		return is;
	if (is == catalog_of_status(check->status))
		c->again = true;
	return CATALOG_UNKNOWN;
}

uint64_t
catalog_came(const struct catalog *c)
{
	return c->came;
}
