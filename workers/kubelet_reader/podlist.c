#include "workers/kubelet_reader/podlist.h"

#include <bsd/string.h>
#include <bsd/sys/tree.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"

/* A pod by its bytes. One whose bytes change is another entry. */
struct entry {
	RB_ENTRY(entry) by_hash;
	RB_ENTRY(entry) by_prefix;
	XXH128_hash_t hash;
	XXH128_hash_t prefix;
	XXH128_hash_t name; /* of namespace/name */
	XXH128_hash_t identity; /* of namespace/name/uid */
	size_t len;
	struct pod *pod;
	struct entry *other; /* same name, other bytes: before or after */
	uint64_t seen; /* the last read that had it */
	uint64_t lost; /* the last read that had no pod of its identity */
	uint64_t asked; /* the last read that looked for it by its prefix */
	bool missing; /* so it was in the list that waits */
	bool twin; /* one of the apiserver's that has its name is left out */
	bool twin_said;
	bool fresh; /* not in the list that counts */
	bool has_prefix; /* is in that tree */
};

static int
hash_cmp(const struct entry *a, const struct entry *b)
{
	return XXH128_cmp(&a->hash, &b->hash);
}

static int
prefix_cmp(const struct entry *a, const struct entry *b)
{
	return XXH128_cmp(&a->prefix, &b->prefix);
}

RB_HEAD(hash_tree, entry);
RB_HEAD(prefix_tree, entry);
/* Not RB_GENERATE_STATIC, which wants an __unused that only BSDs have. */
#define STATIC static __attribute__((unused))
RB_GENERATE_INTERNAL(hash_tree, entry, by_hash, hash_cmp, STATIC)
RB_GENERATE_INTERNAL(prefix_tree, entry, by_prefix, prefix_cmp, STATIC)

struct entries {
	struct entry **v;
	size_t n;
	size_t cap;
};

struct podlist {
	const struct podlist_conf *conf;
	const void *secret;
	struct refusal *refusal;
	struct hash_tree by_hash; /* all entries */
	struct prefix_tree by_prefix;
	struct entries counts; /* the list that does */
	struct entries reading; /* the one that is read */
	struct guard_list list; /* of the latter */
	struct podlist_stats stats; /* of the latter */
	size_t services; /* of the latter */
	uint64_t read; /* number of the read */
	size_t ours; /* of the list that counts */
	size_t ours_services;
	uint64_t interval_ms;
	char node[LIMIT_K8S_NAME + 1]; /* "": not known yet */
	char reading_node[LIMIT_K8S_NAME + 1];
};

struct podlist *
podlist_new(const struct podlist_conf *conf, const void *secret,
    struct refusal *r)
{
	struct podlist *l = xcalloc(1, sizeof(*l));

	l->conf = conf;
	l->secret = secret;
	l->refusal = r;
	RB_INIT(&l->by_hash);
	RB_INIT(&l->by_prefix);
	strlcpy(l->node, conf->node, sizeof(l->node));
	return l;
}

static XXH128_hash_t
hash_text(const struct podlist *l, const char *s)
{
	return XXH3_128bits_withSecret(s, strlen(s), l->secret, SPLIT_SECRET);
}

static void
append(struct entries *es, struct entry *e)
{
	if (es->n == es->cap) {
		es->cap = es->cap > 0 ? 2 * es->cap : 128;
		es->v = xreallocarray(es->v, es->cap, sizeof(*es->v));
	}
	es->v[es->n++] = e;
}

/* Entries. */

/* Of pods with the same prefix, the first is known by it. */
static void
add_prefix(struct podlist *l, struct entry *e)
{
	if (!e->has_prefix && e->len >= SPLIT_PREFIX)
		e->has_prefix =
		    RB_INSERT(prefix_tree, &l->by_prefix, e) == NULL;
}

static struct entry *
entry_new(struct podlist *l, const struct split_pod *sp, struct pod *pod)
{
	struct entry *e = xcalloc(1, sizeof(*e));
	char text[LIMIT_K8S_NAMESPACE + LIMIT_K8S_NAME + LIMIT_K8S_UID + 3];

	e->hash = sp->hash;
	e->prefix = sp->prefix;
	e->len = sp->len;
	e->pod = pod;
	e->fresh = true;
	snprintf(text, sizeof(text), "%s/%s", pod->namespace, pod->name);
	e->name = hash_text(l, text);
	snprintf(text, sizeof(text), "%s/%s/%s", pod->namespace, pod->name,
	    pod->uid);
	e->identity = hash_text(l, text);
	RB_INSERT(hash_tree, &l->by_hash, e);
	add_prefix(l, e);
	return e;
}

static void
entry_free(struct podlist *l, struct entry *e)
{
	RB_REMOVE(hash_tree, &l->by_hash, e);
	if (e->has_prefix)
		RB_REMOVE(prefix_tree, &l->by_prefix, e);
	pod_free(e->pod);
	free(e);
}

static struct entry *
find(struct podlist *l, XXH128_hash_t hash)
{
	struct entry key = { .hash = hash };

	return RB_FIND(hash_tree, &l->by_hash, &key);
}

bool
podlist_known(struct podlist *l, XXH128_hash_t prefix, size_t *len,
    XXH128_hash_t *hash)
{
	struct entry key = { .prefix = prefix };
	struct entry *e = RB_FIND(prefix_tree, &l->by_prefix, &key);

	if (e == NULL || e->asked == l->read)
		return false;
	e->asked = l->read;
	*len = e->len;
	*hash = e->hash;
	return true;
}

/* A read. */

void
podlist_begin(struct podlist *l)
{
	podlist_drop(l);
	l->read++;
	l->list = (struct guard_list){ .pods = 0 };
	l->stats = (struct podlist_stats){ .parsed = 0 };
	l->services = 0;
	l->reading_node[0] = '\0';
}

static void
add_digest(struct digest *d, XXH128_hash_t h)
{
	d->low += h.low64;
	d->high += h.high64;
}

static void
remove_digest(struct digest *d, XXH128_hash_t h)
{
	d->low -= h.low64;
	d->high -= h.high64;
}

static bool
refuse_pod(struct podlist *l, const struct pod *pod, const char *why)
{
	refuse(l->refusal, "%s", why);
	return refusal_at(l->refusal, "pod %s/%s", pod->namespace, pod->name);
}

static bool
count_entry(struct podlist *l, struct entry *e)
{
	e->seen = l->read;
	e->twin = false;
	append(&l->reading, e);
	l->list.pods++;
	l->list.from_api += e->pod->from_api;
	if (!e->pod->ours)
		return true;
	l->list.ours++;
	add_digest(&l->list.our, e->identity);
	l->services += e->pod->nservices;
	return l->services <= LIMIT_SERVICES ||
	    refuse_pod(l, e->pod, "too many services in the list with it");
}

static bool
refuse_node(struct podlist *l, const struct pod *pod, const char *node)
{
	l->stats.wrong_node = true;
	refuse(l->refusal,
	    "it is of node \"%s\", not \"%s\"; "
	    "is this the kubelet of this node, and not the apiserver?",
	    pod->node, node);
	return refusal_at(l->refusal, "pod %s/%s", pod->namespace, pod->name);
}

/* The node that pods must be of: given or learned, else the first pod's. */
static bool
check_node(struct podlist *l, const struct pod *pod)
{
	const char *node = *l->node != '\0' ? l->node : l->reading_node;

	if (*pod->node == '\0')
		return l->conf->node_optional ||
		    refuse_pod(l, pod, "it has no \"nodeName\"");
	if (*node == '\0')
		strlcpy(l->reading_node, pod->node, sizeof(l->reading_node));
	else if (strcmp(pod->node, node) != 0)
		return refuse_node(l, pod, node);
	return true;
}

static bool
add_fresh(struct podlist *l, const struct split_pod *sp)
{
	struct pod *pod;

	pod = pod_parse(sp->bytes, sp->len, &l->conf->pods, l->refusal);
	if (pod == NULL)
		return false;
	l->stats.parsed++;
	if (!check_node(l, pod)) {
		pod_free(pod);
		return false;
	}
	return count_entry(l, entry_new(l, sp, pod));
}

bool
podlist_add(struct podlist *l, const struct split_pod *sp)
{
	struct entry *e = find(l, sp->hash);

	if (e == NULL)
		return add_fresh(l, sp);
	if (e->seen == l->read)
		return refuse_pod(l, e->pod, "it stands in the list twice");
	l->stats.same++;
	return count_entry(l, e);
}

static int
by_name(const void *a, const void *b)
{
	const struct entry *const *x = a, *const *y = b;

	return XXH128_cmp(&(*x)->name, &(*y)->name);
}

/* It is not in the list that is read. */
static void
uncount_entry(struct podlist *l, struct entry *e)
{
	l->list.pods--;
	l->list.from_api -= e->pod->from_api;
	if (e->pod->ours) {
		l->list.ours--;
		remove_digest(&l->list.our, e->identity);
		l->services -= e->pod->nservices;
	}
	if (e->fresh)
		entry_free(l, e);
	else
		e->seen = 0;
}

/*
 * A kubelet tells pods by their uid: beside a static pod it lists one of the
 * apiserver's that somebody gave the static one's name. That one is left out:
 * it is parsed again each time.
 */
static bool
leave_out_twin(struct podlist *l, struct entry **kept, struct entry *e)
{
	struct entry *twin = (*kept)->pod->from_api ? *kept : e;

	if ((*kept)->pod->from_api == e->pod->from_api ||
	    XXH128_isEqual((*kept)->identity, e->identity))
		return refuse_pod(l, e->pod,
		    "two pods in the list have its name");
	if (twin == *kept)
		*kept = e;
	(*kept)->twin = true;
	uncount_entry(l, twin);
	return true;
}

/* Of the list that is read, which is sorted, each name once. */
static bool
check_names(struct podlist *l)
{
	struct entries *es = &l->reading;
	size_t n = 0;
	bool ok = true;

	for (size_t i = 0; i < es->n; i++) {
		struct entry *e = es->v[i];

		if (n > 0 && by_name(&es->v[n - 1], &e) == 0) {
			if (leave_out_twin(l, &es->v[n - 1], e))
				continue;
			ok = false;
		}
		es->v[n++] = e;
	}
	es->n = n;
	return ok;
}

static bool
has_fresh_ours(const struct podlist *l)
{
	for (size_t i = 0; i < l->reading.n; i++) {
		const struct entry *e = l->reading.v[i];

		if (e->fresh && e->pod->ours)
			return true;
	}
	return false;
}

/* The entry of the list that is read with the name of e. */
static struct entry *
successor(const struct podlist *l, const struct entry *e)
{
	struct entry **found;

	if (l->reading.n == 0)
		return NULL;
	found = bsearch(&e, l->reading.v, l->reading.n, sizeof(*l->reading.v),
	    by_name);
	return found != NULL ? *found : NULL;
}

/* False if its bytes are other ones, at most. */
static bool
is_lost(struct podlist *l, struct entry *e)
{
	struct entry *next;

	e->other = NULL;
	if (e->seen == l->read)
		return false;
	e->other = next = successor(l, e);
	if (next != NULL)
		next->other = e;
	if (e->pod->ours)
		l->stats.ours_changed = true;
	return next == NULL || !XXH128_isEqual(next->identity, e->identity);
}

static void
count_lost(struct podlist *l, struct entry *e)
{
	bool more = !e->missing, ours = e->pod->ours;

	e->lost = l->read;
	l->list.pods_lost++;
	l->list.lost_more += more;
	l->list.ours_lost += ours;
	l->list.ours_lost_more += ours && more;
	l->list.vanished += e->pod->from_api && e->pod->lasting;
}

/* With the list that counts. */
static void
compare(struct podlist *l)
{
	for (size_t i = 0; i < l->counts.n; i++) {
		struct entry *e = l->counts.v[i];

		if (is_lost(l, e))
			count_lost(l, e);
		else
			l->list.returned += e->missing;
	}
}

static bool
nothing_changed(const struct podlist *l)
{
	return l->stats.parsed == 0 && l->reading.n == l->counts.n;
}

bool
podlist_end(struct podlist *l, struct guard_list *list)
{
	if (!nothing_changed(l)) {
		if (l->reading.n > 0)
			qsort(l->reading.v, l->reading.n, sizeof(*l->reading.v),
			    by_name);
		if (!check_names(l))
			return false;
		l->stats.ours_changed = has_fresh_ours(l);
		compare(l);
	}
	*list = l->list;
	return true;
}

void
podlist_waits(struct podlist *l)
{
	for (size_t i = 0; i < l->counts.n; i++)
		l->counts.v[i]->missing = l->counts.v[i]->lost == l->read;
}

/* A list that counts. */

static bool
has_service(const struct pod *pod, const char *id)
{
	for (size_t i = 0; i < pod->nservices; i++) {
		if (strcmp(pod->services[i].key, id) == 0)
			return true;
	}
	return false;
}

static bool
has_notice(const struct pod *pod, const char *line)
{
	for (size_t i = 0; i < pod->nnotices; i++) {
		if (strcmp(pod->notices[i], line) == 0)
			return true;
	}
	return false;
}

static void
accept_entry(struct entry *e, const struct podlist_ops *ops, void *arg)
{
	const struct pod *pod = e->pod,
			 *old = e->other != NULL ? e->other->pod : NULL;

	for (size_t i = 0; i < pod->nnotices; i++) {
		if (old == NULL || !has_notice(old, pod->notices[i]))
			ops->notice(pod->notices[i], arg);
	}
	ops->put(&pod->item, arg);
	for (size_t i = 0; i < pod->nservices; i++)
		ops->put(&pod->services[i], arg);
	e->fresh = false;
}

static void
say_twin(struct entry *e, const struct podlist_ops *ops, void *arg)
{
	char line[LIMIT_TEXT + LIMIT_K8S_NAME];

	if (!e->twin || e->twin_said)
		return;
	e->twin_said = true;
	snprintf(line, sizeof(line),
	    "pod %s/%s: a static pod has this name, and one of the "
	    "apiserver's, too; the latter is left out",
	    e->pod->namespace, e->pod->name);
	ops->notice(line, arg);
}

static void
forget_entry(struct podlist *l, struct entry *e, const struct podlist_ops *ops,
    void *arg)
{
	const struct pod *pod = e->pod,
			 *next = e->other != NULL ? e->other->pod : NULL;

	for (size_t i = 0; i < pod->nservices; i++) {
		const struct pod_entry *service = &pod->services[i];

		if (next == NULL || !has_service(next, service->key))
			ops->del(service, arg);
	}
	if (next == NULL)
		ops->del(&pod->item, arg);
	if (e->other != NULL)
		e->other->other = NULL;
	entry_free(l, e);
}

static void
sum_up(struct podlist *l)
{
	l->ours = 0;
	l->ours_services = 0;
	l->interval_ms = 0;
	for (size_t i = 0; i < l->counts.n; i++) {
		const struct pod *pod = l->counts.v[i]->pod;

		add_prefix(l, l->counts.v[i]);
		if (!pod->ours)
			continue;
		l->ours++;
		l->ours_services += pod->nservices;
		if (l->interval_ms == 0 || pod->interval_ms < l->interval_ms)
			l->interval_ms = pod->interval_ms;
	}
}

static void
take_over(struct podlist *l)
{
	struct entries old = l->counts;

	l->counts = l->reading;
	l->reading = old;
	l->reading.n = 0;
}

void
podlist_accept(struct podlist *l, const struct podlist_ops *ops, void *arg)
{
	if (nothing_changed(l)) {
		l->reading.n = 0;
		return;
	}
	for (size_t i = 0; i < l->reading.n; i++) {
		if (l->reading.v[i]->fresh)
			accept_entry(l->reading.v[i], ops, arg);
		say_twin(l->reading.v[i], ops, arg);
	}
	for (size_t i = 0; i < l->counts.n; i++) {
		if (l->counts.v[i]->seen != l->read)
			forget_entry(l, l->counts.v[i], ops, arg);
	}
	take_over(l);
	sum_up(l);
	if (*l->node == '\0')
		strlcpy(l->node, l->reading_node, sizeof(l->node));
}

void
podlist_drop(struct podlist *l)
{
	for (size_t i = 0; i < l->reading.n; i++) {
		if (l->reading.v[i]->fresh)
			entry_free(l, l->reading.v[i]);
	}
	for (size_t i = 0; i < l->counts.n; i++)
		l->counts.v[i]->other = NULL;
	l->reading.n = 0;
}

void
podlist_free(struct podlist *l)
{
	if (l == NULL)
		return;
	podlist_drop(l);
	for (size_t i = 0; i < l->counts.n; i++)
		entry_free(l, l->counts.v[i]);
	free(l->counts.v);
	free(l->reading.v);
	free(l);
}

struct podlist_stats
podlist_stats(const struct podlist *l)
{
	return l->stats;
}

size_t
podlist_pods(const struct podlist *l)
{
	return l->counts.n;
}

size_t
podlist_ours(const struct podlist *l)
{
	return l->ours;
}

size_t
podlist_services(const struct podlist *l)
{
	return l->ours_services;
}

uint64_t
podlist_interval(const struct podlist *l)
{
	return l->interval_ms;
}

const char *
podlist_node(const struct podlist *l)
{
	return l->node;
}
