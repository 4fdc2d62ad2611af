#include "workers/consul_writer/pods.h"

#include <stdlib.h>
#include <string.h>

#include "common/log.h"

/* Constant while the status is, as the outputs of kubelet-reader are. */
static const char output_waiting[] = "waiting for the sidecar to register";
static const char output_deregistered[] = "deregistered by its sidecar";

/* What an earlier process told, of a pod that is not there yet. */
struct memory {
	RB_ENTRY(memory) link;
	struct pod_report *report;
};

RB_HEAD(pod_tree, pod);
RB_HEAD(service_tree, pod_service);
RB_HEAD(memory_tree, memory);

struct pods {
	struct pods_conf conf;
	struct pod_tree by_name;
	struct service_tree by_id;
	struct memory_tree memories;
	TAILQ_HEAD(, pod) watched;
	size_t nmemories;
	bool complete;
	bool confirmed;
};

static int
cmp_names(const char *ns1, const char *name1, const char *ns2,
    const char *name2)
{
	int c = strcmp(ns1, ns2);

	return c != 0 ? c : strcmp(name1, name2);
}

static int
pod_cmp(const struct pod *a, const struct pod *b)
{
	return cmp_names(a->item->namespace, a->item->name, b->item->namespace,
	    b->item->name);
}

static int
service_cmp(const struct pod_service *a, const struct pod_service *b)
{
	return strcmp(a->id, b->id);
}

static int
memory_cmp(const struct memory *a, const struct memory *b)
{
	return cmp_names(a->report->namespace, a->report->name,
	    b->report->namespace, b->report->name);
}

/* Not RB_GENERATE_STATIC, which wants an __unused that only BSDs have. */
#define TREE(name, type, field, cmp) \
	RB_GENERATE_INTERNAL(name, type, field, cmp, \
	    __attribute__((unused)) static)

TREE(pod_tree, pod, by_name, pod_cmp)
TREE(service_tree, pod_service, by_id, service_cmp)
TREE(memory_tree, memory, link, memory_cmp)

/* ---- services ---- */

/* With the sidecar as it is; one that is not of that uid is another pod's. */
static enum pod_sidecar
sidecar_of(const struct pods *p, const struct service *s)
{
	const struct pod *pod = pods_find(p, s->namespace, s->pod);

	if (pod == NULL || strcmp(pod->item->uid, s->pod_uid) != 0)
		return POD_SIDECAR_WAITING;
	return pod->sidecar;
}

/* What is not passing anyway stays so in the way that its owner says. */
void
pods_judge(const struct pods *p, struct service *s)
{
	enum pod_sidecar sidecar;

	if (!s->sidecar || s->status != SERVICE_PASSING)
		return;
	sidecar = sidecar_of(p, s);
	if (sidecar == POD_SIDECAR_REGISTERED || sidecar == POD_SIDECAR_NONE)
		return;
	s->status = SERVICE_CRITICAL;
	s->output = sidecar == POD_SIDECAR_DEREGISTERED ? output_deregistered
							: output_waiting;
}

static void
want(const struct pods *p, struct service *s)
{
	pods_judge(p, s);
	p->conf.want(s, p->conf.arg);
}

static struct pod_service *
service_find(struct pods *p, const char *id)
{
	struct pod_service key = { 0 };

	/* The key is only compared. */
	memcpy(&key.id, &id, sizeof(id));
	return RB_FIND(service_tree, &p->by_id, &key);
}

static void
service_free(struct pods *p, struct pod_service *s)
{
	RB_REMOVE(service_tree, &p->by_id, s);
	TAILQ_REMOVE(&s->pod->services, s, link);
	s->pod->nservices--;
	free(s->id);
	free(s->val);
	free(s);
}

static void
forget_service(struct pods *p, const char *id)
{
	struct pod_service *s = service_find(p, id);

	if (s != NULL)
		service_free(p, s);
}

static void
keep_service(struct pods *p, const struct service *from, const void *val,
    size_t len)
{
	struct pod *pod = pods_find(p, from->namespace, from->pod);
	struct pod_service *s;

	forget_service(p, from->id);
	if (pod == NULL || !pod->watched)
		return;
	s = xcalloc(1, sizeof(*s));
	s->pod = pod;
	s->id = xstrdup(from->id);
	if (from->sidecar) {
		s->val = xmemdup(val, len);
		s->len = len;
	}
	RB_INSERT(service_tree, &p->by_id, s);
	TAILQ_INSERT_TAIL(&pod->services, s, link);
	pod->nservices++;
}

static bool
put_service(struct pods *p, const void *key, size_t key_len, const void *val,
    size_t len)
{
	struct service *s = service_decode(key, key_len, val, len);

	if (s == NULL)
		return false;
	if (!service_is_own(s)) {
		free(s);
		return false;
	}
	keep_service(p, s, val, len);
	want(p, s);
	return true;
}

/* Those that the sidecar is something to. */
static void
want_again(const struct pods *p, const struct pod *pod)
{
	const struct pod_service *s;

	TAILQ_FOREACH(s, &pod->services, link) {
		if (s->val != NULL)
			want(p,
			    service_decode(s->id, strlen(s->id), s->val,
				s->len));
	}
}

/* ---- what was known before ---- */

static struct memory *
memory_find(struct pods *p, struct pod_report *r)
{
	struct memory key = { .report = r };

	return RB_FIND(memory_tree, &p->memories, &key);
}

static void
memory_free(struct pods *p, struct memory *m)
{
	RB_REMOVE(memory_tree, &p->memories, m);
	p->nmemories--;
	free(m->report);
	free(m);
}

/* The state that a new pod starts with, and from where it is known. */
static void
recall(struct pods *p, struct pod *pod)
{
	struct pod_report key = {
		.namespace = pod->item->namespace,
		.name = pod->item->name,
	};
	struct memory *m = memory_find(p, &key);

	pod->sidecar = POD_SIDECAR_WAITING;
	pod->source = POD_BY_NOBODY;
	if (m == NULL || strcmp(m->report->uid, pod->item->uid) != 0)
		return;
	pod->sidecar = m->report->sidecar;
	pod->source = POD_BY_MEMORY;
	memory_free(p, m);
}

static void
memorize(struct pods *p, struct pod_report *r)
{
	struct memory *m = memory_find(p, r);

	if (m != NULL)
		memory_free(p, m);
	if (p->nmemories == LIMIT_PODS) {
		free(r);
		return;
	}
	m = xcalloc(1, sizeof(*m));
	m->report = r;
	RB_INSERT(memory_tree, &p->memories, m);
	p->nmemories++;
}

static void
set_sidecar(struct pods *p, struct pod *pod, enum pod_sidecar s,
    enum pod_source source)
{
	bool changed = pod->sidecar != s;

	pod->sidecar = s;
	pod->source = source;
	if (changed)
		want_again(p, pod);
}

static bool
is_memorable(const struct pod_report *r)
{
	return r->sidecar == POD_SIDECAR_REGISTERED ||
	    r->sidecar == POD_SIDECAR_DEREGISTERED;
}

bool
pods_remember(struct pods *p, const void *key, size_t key_len, const void *val,
    size_t len)
{
	struct pod_report *r = pod_report_decode(key, key_len, val, len);
	struct pod *pod;

	if (r == NULL || !is_memorable(r)) {
		free(r);
		return r != NULL;
	}
	pod = pods_find(p, r->namespace, r->name);
	if (pod == NULL || strcmp(pod->item->uid, r->uid) != 0) {
		memorize(p, r);
		return true;
	}
	if (pod->sidecar != POD_SIDECAR_NONE && pod->source < POD_BY_CALL)
		set_sidecar(p, pod, r->sidecar, POD_BY_MEMORY);
	free(r);
	return true;
}

void
pods_forget(struct pods *p)
{
	struct memory *m;

	while ((m = RB_MIN(memory_tree, &p->memories)) != NULL)
		memory_free(p, m);
}

static void
memorize_pod(struct pods *p, const struct pod *pod)
{
	const struct pod_report r = {
		.namespace = pod->item->namespace,
		.name = pod->item->name,
		.uid = pod->item->uid,
		.sidecar = pod->sidecar,
		.text = "",
	};
	char key[LIMIT_SET_KEY];
	size_t key_len = pod_key(r.namespace, r.name, key);
	uint8_t buf[1024];
	size_t len = pod_report_encode(&r, buf, sizeof(buf));

	if (is_memorable(&r))
		memorize(p, pod_report_decode(key, key_len, buf, len));
}

/* ---- pods ---- */

static bool
is_interesting(const struct pods *p, const struct pod_item *item)
{
	return *item->sidecar != '\0' || (p->conf.gates && item->gated);
}

static void
watch(struct pods *p, struct pod *pod)
{
	if (pod->watched)
		return;
	pod->watched = true;
	TAILQ_INSERT_TAIL(&p->watched, pod, link);
}

static void
unwatch(struct pods *p, struct pod *pod)
{
	struct pod_service *s;

	if (!pod->watched)
		return;
	p->conf.unwatched(pod, p->conf.arg);
	while ((s = TAILQ_FIRST(&pod->services)) != NULL)
		service_free(p, s);
	pod->watched = false;
	TAILQ_REMOVE(&p->watched, pod, link);
}

/* What the list says of the sidecar; somebody else may know better. */
static void
read_sidecar(struct pods *p, struct pod *pod)
{
	const struct pod_item *item = pod->item;

	if (*item->sidecar == '\0')
		set_sidecar(p, pod, POD_SIDECAR_NONE, POD_BY_NOBODY);
	else if (item->sidecar_ready && pod->source <= POD_BY_LIST)
		set_sidecar(p, pod, POD_SIDECAR_REGISTERED, POD_BY_LIST);
	else if (pod->sidecar == POD_SIDECAR_NONE)
		set_sidecar(p, pod, POD_SIDECAR_WAITING, POD_BY_NOBODY);
}

static void
pod_update(struct pods *p, struct pod *pod, bool is_new)
{
	if (is_new) {
		recall(p, pod);
		pod->synced = pod->item->condition == POD_CONDITION_TRUE;
	}
	if (is_interesting(p, pod->item))
		watch(p, pod);
	else
		unwatch(p, pod);
	read_sidecar(p, pod);
}

static void
pod_add(struct pods *p, struct pod_item *item)
{
	struct pod *pod = xcalloc(1, sizeof(*pod));

	pod->item = item;
	TAILQ_INIT(&pod->services);
	RB_INSERT(pod_tree, &p->by_name, pod);
	pod_update(p, pod, true);
}

static bool
put_item(struct pods *p, const void *key, size_t key_len, const void *val,
    size_t len)
{
	struct pod_item *item = pod_item_decode(key, key_len, val, len);
	struct pod *pod;
	bool is_new;

	if (item == NULL)
		return false;
	pod = pods_find(p, item->namespace, item->name);
	if (pod == NULL) {
		pod_add(p, item);
		return true;
	}
	is_new = strcmp(pod->item->uid, item->uid) != 0;
	if (is_new && pod->watched)
		p->conf.unwatched(pod, p->conf.arg);
	free(pod->item);
	pod->item = item;
	pod_update(p, pod, is_new);
	if (is_new)
		want_again(p, pod);
	return true;
}

static void
pod_free(struct pods *p, struct pod *pod)
{
	unwatch(p, pod);
	RB_REMOVE(pod_tree, &p->by_name, pod);
	free(pod->item);
	free(pod);
}

/* ---- the set ---- */

bool
pods_put(struct pods *p, const void *key, size_t key_len, const void *val,
    size_t len)
{
	return pod_key_is(key, key_len)
	    ? put_item(p, key, key_len, val, len)
	    : put_service(p, key, key_len, val, len);
}

static void
del_item(struct pods *p, const void *key, size_t key_len, bool named)
{
	char namespace[LIMIT_K8S_NAMESPACE + 1], name[LIMIT_K8S_NAME + 1];
	struct pod *pod;

	if (!pod_key_split(key, key_len, namespace, name))
		return;
	if ((pod = pods_find(p, namespace, name)) == NULL)
		return;
	if (!named)
		memorize_pod(p, pod);
	pod_free(p, pod);
}

void
pods_del(struct pods *p, const void *key, size_t key_len, bool named)
{
	char *id;

	if (pod_key_is(key, key_len)) {
		del_item(p, key, key_len, named);
		return;
	}
	id = xstrndup(key, key_len);
	forget_service(p, id);
	free(id);
}

void
pods_complete(struct pods *p)
{
	p->complete = true;
}

bool
pods_are_complete(const struct pods *p)
{
	return p->complete;
}

void
pods_confirm(struct pods *p, bool confirmed)
{
	p->confirmed = confirmed;
}

bool
pods_are_confirmed(const struct pods *p)
{
	return p->confirmed;
}

struct pod *
pods_find(const struct pods *p, const char *namespace, const char *name)
{
	struct pod_item item = { .namespace = namespace, .name = name };
	struct pod key = { .item = &item };
	struct pod_tree tree = p->by_name;

	return RB_FIND(pod_tree, &tree, &key);
}

struct pod *
pods_first(const struct pods *p)
{
	return TAILQ_FIRST(&p->watched);
}

struct pod *
pods_next(const struct pod *pod)
{
	return TAILQ_NEXT(pod, link);
}

void
pods_set_sidecar(struct pods *p, struct pod *pod, enum pod_sidecar s)
{
	set_sidecar(p, pod, s, POD_BY_CALL);
}

struct pods *
pods_new(const struct pods_conf *conf)
{
	struct pods *p = xcalloc(1, sizeof(*p));

	p->conf = *conf;
	RB_INIT(&p->by_name);
	RB_INIT(&p->by_id);
	RB_INIT(&p->memories);
	TAILQ_INIT(&p->watched);
	return p;
}

void
pods_free(struct pods *p)
{
	struct pod *pod;

	if (p == NULL)
		return;
	pods_forget(p);
	while ((pod = RB_MIN(pod_tree, &p->by_name)) != NULL)
		pod_free(p, pod);
	free(p);
}
