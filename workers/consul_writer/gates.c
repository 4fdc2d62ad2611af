#include "workers/consul_writer/gates.h"

#include <bsd/string.h>

static const char *const reasons[STANDINGS] = {
	[STANDING_SYNCED] = "Synced",
	[STANDING_NO_SERVICES] = "NoServices",
	[STANDING_NOT_READY] = "PodNotReady",
	[STANDING_SIDECAR] = "WaitingForSidecar",
	[STANDING_AGENT] = "NotRegistered",
	[STANDING_CATALOG] = "NotInCatalog",
	[STANDING_CONFIRM] = "NotRegistered",
};

static const char synced_text[] = "all services are in Consul's catalog";

/* Without a gate nobody waits for the catalog, and it is not asked. */
static void
tell_sidecar(const struct pod *pod, struct telling *t)
{
	if (pod->sidecar == POD_SIDECAR_WAITING)
		strlcpy(t->text, "its sidecar has not registered",
		    sizeof(t->text));
}

static void
tell_gate(struct pod *pod, struct outlook *o, struct telling *t)
{
	const struct pod_item *item = pod->item;
	enum standing st = STANDING_SYNCED;

	if (!pod->synced)
		st = standing_of(pod, o, t->text);
	pod->synced = st == STANDING_SYNCED;
	t->has_gate = true;
	t->gate = (struct pod_gate){
		.namespace = item->namespace,
		.name = item->name,
		.uid = item->uid,
		.synced = pod->synced,
		.reason = reasons[st],
		.message = pod->synced ? synced_text : t->text,
		.seen = item->condition,
	};
}

void
gates_tell(struct pod *pod, bool gates, struct outlook *o, struct telling *t)
{
	const struct pod_item *item = pod->item;
	bool gated = gates && item->gated;

	t->text[0] = '\0';
	t->has_gate = false;
	if (gated && !item->ending)
		tell_gate(pod, o, t);
	else
		tell_sidecar(pod, t);
	t->report = (struct pod_report){
		.namespace = item->namespace,
		.name = item->name,
		.uid = item->uid,
		.sidecar = pod->sidecar,
		.gated = gated,
		.synced = gated && pod->synced,
		.text = t->text,
	};
}
