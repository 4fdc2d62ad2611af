#include "workers/consul_writer/calls.h"

#include <arpa/inet.h>
#include <bsd/string.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"

struct waiting {
	RB_ENTRY(waiting) by_id;
	TAILQ_ENTRY(waiting) link;
	uint64_t id;
	enum call_op op;
	char namespace[LIMIT_K8S_NAMESPACE + 1];
	char pod[LIMIT_K8S_NAME + 1];
	char container[LIMIT_K8S_NAME + 1];
	char uid[LIMIT_K8S_UID + 1]; /* of the pod as it called */
};

RB_HEAD(waiting_tree, waiting);

struct calls {
	struct calls_conf conf;
	struct waiting_tree by_id;
	TAILQ_HEAD(, waiting) all; /* as they came */
	size_t n;
};

static int
waiting_cmp(const struct waiting *a, const struct waiting *b)
{
	return a->id == b->id ? 0 : a->id < b->id ? -1 : 1;
}

/* Not RB_GENERATE_STATIC, which wants an __unused that only BSDs have. */
RB_GENERATE_INTERNAL(waiting_tree, waiting, by_id, waiting_cmp,
    __attribute__((unused)) static)

/* What a call is answered; CALL_OK: nothing is wrong with it. */
struct verdict {
	enum call_code code;
	char text[LIMIT_TEXT + 1];
};

/* Always false. */
static bool refuse_call(struct verdict *v, enum call_code code, const char *fmt,
    ...) __attribute__((format(printf, 3, 4)));

static bool
refuse_call(struct verdict *v, enum call_code code, const char *fmt, ...)
{
	va_list ap;

	v->code = code;
	va_start(ap, fmt);
	vsnprintf(v->text, sizeof(v->text), fmt, ap);
	va_end(ap);
	return false;
}

#define POD         "pod %.63s/%.253s: "
#define POD_OF(pod) (pod)->item->namespace, (pod)->item->name

/* ---- who calls ---- */

struct address {
	int family;
	uint8_t bytes[16];
};

/* What came as IPv6 may be IPv4 in its guise. */
static bool
parse_address(const char *text, struct address *a)
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

	*a = (struct address){ .family = AF_INET };
	if (inet_pton(AF_INET, text, a->bytes) == 1)
		return true;
	if (inet_pton(AF_INET6, text, a->bytes) != 1)
		return false;
	a->family = AF_INET6;
	if (memcmp(a->bytes, mapped, sizeof(mapped)) != 0)
		return true;
	a->family = AF_INET;
	memmove(a->bytes, a->bytes + sizeof(mapped), 4);
	memset(a->bytes + 4, 0, sizeof(a->bytes) - 4);
	return true;
}

static bool
is_among(const char *peer, const char *const *list, size_t n)
{
	struct address own, other;

	if (!parse_address(peer, &own))
		return false;
	for (size_t i = 0; i < n; i++) {
		if (parse_address(list[i], &other) &&
		    own.family == other.family &&
		    memcmp(own.bytes, other.bytes, sizeof(own.bytes)) == 0)
			return true;
	}
	return false;
}

static bool
is_from_pod(const struct pod_item *item, const struct call *call)
{
	if (is_among(call->peer, item->addresses, item->naddresses))
		return true;
	if (!item->host_network)
		return false;
	return call->local ||
	    is_among(call->peer, item->node_addresses, item->nnode_addresses);
}

static bool
check_peer(const struct pod *pod, const struct call *call, struct verdict *v)
{
	const struct pod_item *item = pod->item;

	if (is_from_pod(item, call))
		return true;
	if (item->naddresses == 0)
		return refuse_call(v, CALL_UNAVAILABLE,
		    POD "the kubelet's list does not show its address yet",
		    POD_OF(pod));
	return refuse_call(v, CALL_PERMISSION_DENIED,
	    POD "%s is not its address, %s%s; only the pod itself may do this",
	    POD_OF(pod), call->peer, item->addresses[0],
	    item->host_network ? ", nor its node's" : "");
}

/* ---- what it wants ---- */

static bool
check_sidecar(const struct pod *pod, const char *container, struct verdict *v)
{
	const struct pod_item *item = pod->item;

	if (!item->ours)
		return refuse_call(v, CALL_FAILED_PRECONDITION,
		    POD "it has no annotation service-names", POD_OF(pod));
	if (*item->sidecar == '\0')
		return refuse_call(v, CALL_FAILED_PRECONDITION,
		    POD "it has no annotation sidecar", POD_OF(pod));
	if (strcmp(item->sidecar, container) != 0)
		return refuse_call(v, CALL_FAILED_PRECONDITION,
		    POD "its sidecar is container %.63s, by its annotation, "
			"not %.63s",
		    POD_OF(pod), item->sidecar, container);
	return true;
}

static bool
check_register(const struct pod *pod, struct verdict *v)
{
	const struct pod_item *item = pod->item;

	if (item->ending)
		return refuse_call(v, CALL_FAILED_PRECONDITION,
		    POD "it is being deleted", POD_OF(pod));
	if (item->services == 0 && !item->waits)
		return refuse_call(v, CALL_FAILED_PRECONDITION,
		    POD "no service can be made of its annotations; "
			"katalogd's log says why",
		    POD_OF(pod));
	return true;
}

static bool
check_wish(const struct pod *pod, enum call_op op, const char *container,
    struct verdict *v)
{
	return check_sidecar(pod, container, v) &&
	    (op == CALL_DEREGISTER || check_register(pod, v));
}

static bool
check_names(const struct call *call, struct verdict *v)
{
	if (*call->namespace == '\0')
		return refuse_call(v, CALL_INVALID_ARGUMENT,
		    "the namespace is empty");
	if (*call->pod == '\0')
		return refuse_call(v, CALL_INVALID_ARGUMENT,
		    "the pod's name is empty");
	if (*call->container == '\0')
		return refuse_call(v, CALL_INVALID_ARGUMENT,
		    "the container's name is empty");
	return true;
}

/* Who takes its pod out believes it gone by that: it may not be so. */
static struct pod *
find_pod(const struct calls *c, enum call_op op, const char *namespace,
    const char *name, struct verdict *v)
{
	struct pod *pod = pods_find(c->conf.pods, namespace, name);

	if (pod != NULL)
		return pod;
	if (op == CALL_DEREGISTER && !pods_are_confirmed(c->conf.pods))
		refuse_call(v, CALL_UNAVAILABLE,
		    POD "the kubelet of this node does not list it, which a "
			"second read is to confirm; try again",
		    namespace, name);
	else
		refuse_call(v, CALL_NOT_FOUND,
		    POD "the kubelet of this node does not list it", namespace,
		    name);
	return NULL;
}

/* NULL: it is refused. */
static struct pod *
admit(const struct calls *c, const struct call *call, struct verdict *v)
{
	struct pod *pod;

	if (!pods_are_complete(c->conf.pods)) {
		refuse_call(v, CALL_UNAVAILABLE,
		    "there is no list of pods yet; try again");
		return NULL;
	}
	if (!check_names(call, v))
		return NULL;
	pod = find_pod(c, call->op, call->namespace, call->pod, v);
	if (pod == NULL)
		return NULL;
	if (c->conf.verify_peer && !check_peer(pod, call, v))
		return NULL;
	return check_wish(pod, call->op, call->container, v) ? pod : NULL;
}

/* ---- calls that wait ---- */

static void
waiting_free(struct calls *c, struct waiting *w)
{
	RB_REMOVE(waiting_tree, &c->by_id, w);
	TAILQ_REMOVE(&c->all, w, link);
	c->n--;
	free(w);
}

static struct waiting *
find(struct calls *c, uint64_t id)
{
	struct waiting key = { .id = id };

	return RB_FIND(waiting_tree, &c->by_id, &key);
}

/* Its caller may have started anew, or wait no more without a word. */
static void
end_older(struct calls *c, const struct call *call, const struct pod *pod)
{
	struct verdict v = { .code = CALL_OK };
	struct waiting *w;

	TAILQ_FOREACH(w, &c->all, link) {
		if (w->op == call->op && strcmp(w->uid, pod->item->uid) == 0)
			break;
	}
	if (w == NULL)
		return;
	refuse_call(&v, CALL_ABORTED, POD "a newer call took its place",
	    POD_OF(pod));
	c->conf.answer(w->id, v.code, v.text, c->conf.arg);
	waiting_free(c, w);
}

static void
enqueue(struct calls *c, const struct call *call, const struct pod *pod)
{
	struct waiting *w = xcalloc(1, sizeof(*w));

	end_older(c, call, pod);
	w->id = call->id;
	w->op = call->op;
	strlcpy(w->namespace, call->namespace, sizeof(w->namespace));
	strlcpy(w->pod, call->pod, sizeof(w->pod));
	strlcpy(w->container, call->container, sizeof(w->container));
	strlcpy(w->uid, pod->item->uid, sizeof(w->uid));
	RB_INSERT(waiting_tree, &c->by_id, w);
	TAILQ_INSERT_TAIL(&c->all, w, link);
	c->n++;
}

static enum pod_sidecar
state_after(enum call_op op)
{
	return op == CALL_REGISTER ? POD_SIDECAR_REGISTERED
				   : POD_SIDECAR_DEREGISTERED;
}

/* Its sidecar is to be otherwise than it is, which costs it a turn. */
static bool
take_turn(struct pod *pod, const struct call *call, struct verdict *v)
{
	uint64_t at = pod->turns_at > call->now ? pod->turns_at : call->now;

	if (pod->sidecar == state_after(call->op))
		return true;
	if (at - call->now > (CALL_TURNS - 1) * CALL_TURN_MS)
		return refuse_call(v, CALL_RESOURCE_EXHAUSTED,
		    POD "registered and deregistered too often; try again "
			"later",
		    POD_OF(pod));
	pod->turns_at = at + CALL_TURN_MS;
	return true;
}

static void
say_state(const struct pod *pod, enum call_op op)
{
	if (pod->sidecar == state_after(op))
		return;
	log_info(POD "%s by its sidecar", POD_OF(pod),
	    op == CALL_REGISTER ? "registered" : "deregistered");
}

static void
refuse(const struct calls *c, uint64_t id, const struct verdict *v)
{
	log_debug("call %llu: refused: %s", (unsigned long long)id, v->text);
	c->conf.answer(id, v->code, v->text, c->conf.arg);
}

bool
calls_begin(struct calls *c, const struct call *call)
{
	struct verdict v = { .code = CALL_OK };
	struct pod *pod = NULL;

	if (find(c, call->id) != NULL)
		return false;
	if (c->n == LIMIT_GRPC_CALLS)
		refuse_call(&v, CALL_RESOURCE_EXHAUSTED,
		    "%d calls wait already", LIMIT_GRPC_CALLS);
	else
		pod = admit(c, call, &v);
	if (pod == NULL || !take_turn(pod, call, &v)) {
		refuse(c, call->id, &v);
		return true;
	}
	say_state(pod, call->op);
	pods_set_sidecar(c->conf.pods, pod, state_after(call->op));
	enqueue(c, call, pod);
	return true;
}

/* ---- their ends ---- */

/* Whether it can still come true. */
static struct pod *
still_there(const struct calls *c, const struct waiting *w, struct verdict *v)
{
	struct pod *pod = find_pod(c, w->op, w->namespace, w->pod, v);

	if (pod == NULL)
		return NULL;
	if (strcmp(pod->item->uid, w->uid) != 0)
		refuse_call(v, CALL_ABORTED,
		    POD "another pod has taken its place", POD_OF(pod));
	else if (!check_wish(pod, w->op, w->container, v))
		return NULL;
	else if (pod->sidecar != state_after(w->op))
		refuse_call(v, CALL_ABORTED, POD "it was %s meanwhile",
		    POD_OF(pod),
		    w->op == CALL_REGISTER ? "deregistered" : "registered");
	return v->code == CALL_OK ? pod : NULL;
}

static bool
has_come_true(const struct pod *pod, enum call_op op, struct outlook *o)
{
	char text[STANDING_TEXT];

	if (op == CALL_DEREGISTER)
		return standing_is_out(pod, o);
	return standing_of(pod, o, text) == STANDING_SYNCED;
}

static void
settle(struct calls *c, struct waiting *w, struct outlook *o)
{
	struct verdict v = { .code = CALL_OK };
	const struct pod *pod = still_there(c, w, &v);

	if (pod != NULL && !has_come_true(pod, w->op, o))
		return;
	c->conf.answer(w->id, v.code, v.text, c->conf.arg);
	waiting_free(c, w);
}

void
calls_settle(struct calls *c, struct outlook *o)
{
	struct waiting *w, *next;

	for (w = TAILQ_FIRST(&c->all); w != NULL; w = next) {
		next = TAILQ_NEXT(w, link);
		settle(c, w, o);
	}
}

void
calls_end(struct calls *c, uint64_t id)
{
	struct waiting *w = find(c, id);

	if (w != NULL)
		waiting_free(c, w);
}

void
calls_clear(struct calls *c)
{
	struct waiting *w;

	while ((w = TAILQ_FIRST(&c->all)) != NULL)
		waiting_free(c, w);
}

size_t
calls_count(const struct calls *c)
{
	return c->n;
}

struct calls *
calls_new(const struct calls_conf *conf)
{
	struct calls *c = xcalloc(1, sizeof(*c));

	c->conf = *conf;
	RB_INIT(&c->by_id);
	TAILQ_INIT(&c->all);
	return c;
}

void
calls_free(struct calls *c)
{
	if (c == NULL)
		return;
	calls_clear(c);
	free(c);
}
