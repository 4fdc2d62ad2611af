/* The pod itself, for sidecar and readiness gate (common/pod.h). */
#include <string.h>

#include "common/log.h"
#include "workers/fields.h"
#include "workers/kubelet_reader/derivation.h"

#define GATE ANNOTATION_PREFIX "synced"

/* All of them fit one: addresses have LIMIT_ADDRESS bytes at most. */
#define ITEM_MAX 8192

void
item_add_address(const char **list, size_t *n, const char *address)
{
	if (address == NULL || *n == POD_ADDRESSES)
		return;
	for (size_t i = 0; i < *n; i++) {
		if (strcmp(list[i], address) == 0)
			return;
	}
	list[(*n)++] = address;
}

static bool
text_is(const char *text, const char *what)
{
	return text != NULL && strcmp(text, what) == 0;
}

static bool
read_gates(struct derivation *d)
{
	static const char name[] = "readinessGates";
	json_object *gates = field_array(d->spec, name, d->r);

	for (size_t i = 0; i < field_count(gates); i++) {
		json_object *o = field_element(gates, i, name, d->r);

		if (text_is(field_text(o, "conditionType", d->r), GATE))
			d->item.gated = true;
	}
	return !refused(d->r);
}

static bool
read_condition(struct derivation *d)
{
	static const char name[] = "conditions";
	json_object *all = field_array(d->status, name, d->r);

	for (size_t i = 0; i < field_count(all); i++) {
		json_object *o = field_element(all, i, name, d->r);
		const char *status = field_text(o, "status", d->r);

		if (text_is(field_text(o, "type", d->r), GATE))
			d->item.condition = text_is(status, "True")
			    ? POD_CONDITION_TRUE
			    : POD_CONDITION_FALSE;
	}
	return !refused(d->r);
}

bool
item_read(struct derivation *d)
{
	d->item.host_network = field_bool(d->spec, "hostNetwork", d->r);
	return !refused(d->r) && read_gates(d) && read_condition(d);
}

void
item_derive(struct derivation *d)
{
	const struct pod *pod = d->pod;
	struct pod_item *item = &d->item;
	char key[LIMIT_SET_KEY];
	uint8_t buf[ITEM_MAX];
	size_t key_len = pod_key(pod->namespace, pod->name, key), len;

	item->namespace = pod->namespace;
	item->name = pod->name;
	item->uid = pod->uid;
	item->services = (uint32_t)pod->nservices;
	item->ours = pod->ours;
	item->waits = !d->running || d->address == NULL;
	item->ending = d->ending;
	item->ready = containers_ready(&d->containers);
	len = pod_item_encode(item, buf, sizeof(buf));
	if (key_len == 0 || len == 0)
		fatalx("pod %s: it does not fit an item", d->notices.pod);
	d->pod->item = entry_make(key, key_len, buf, len);
}
