/*
 * libFuzzer: any bytes as an answer of the apiserver. The first byte says of
 * what kind. What is taken is taken the same way again, and is within bounds.
 */
#include <stdlib.h>
#include <string.h>

#include "workers/k8s_writer/kube_json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct object_conf conf = {
	.namespace = "network",
	.instance = "",
	.domain = "example.org",
	.gateways = { "a", "b" },
	.gateway_namespace = "network",
	.listener = "https",
};

static void
must(bool ok)
{
	if (!ok)
		abort();
}

static void
check_object(const struct kube_object *o)
{
	must(backend_is_subdomain(o->name) && *o->uid != '\0');
	must(*o->version != '\0' && o->family <= BACKEND_FAMILIES);
	for (size_t i = 1; i < o->n; i++)
		must(address_compare(&o->at[i - 1], &o->at[i]) < 0);
}

static void
try_object(enum kube_kind kind, const char *text, size_t len)
{
	struct kube_object a, b;

	if (kube_json_object(&conf, kind, text, len, &a) != NULL)
		return;
	must(kube_json_object(&conf, kind, text, len, &b) == NULL);
	must(look_same(&a.look, &b.look));
	must(look_same(&a.ports, &b.ports));
	must(a.ports_applied == b.ports_applied);
	check_object(&a);
	kube_object_clear(&a);
	kube_object_clear(&b);
}

static void
try_list(enum kube_kind kind, const char *text, size_t len)
{
	struct kube_list l;

	if (kube_json_list(&conf, kind, text, len, &l) != NULL) {
		must(l.n == 0 && l.v == NULL);
		return;
	}
	for (size_t i = 0; i < l.n; i++)
		check_object(&l.v[i]);
	kube_list_free(&l);
}

static void
try_event(enum kube_kind kind, const char *text, size_t len)
{
	enum kube_event_type type;
	struct kube_event e;

	if (kube_json_event(&conf, kind, text, len, &e) != NULL)
		return;
	must(kube_json_event_type(text, len, &type) == NULL && type == e.type);
	if (e.type == KUBE_CHANGED || e.type == KUBE_DELETED)
		check_object(&e.object);
	kube_event_clear(&e);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct kube_status status;
	struct kube_lease lease;
	enum kube_kind kind;
	const char *text;

	if (size == 0)
		return 0;
	kind = (enum kube_kind)(data[0] % KUBE_KINDS);
	text = (const char *)data + 1;
	try_object(kind, text, size - 1);
	try_list(kind, text, size - 1);
	try_event(kind, text, size - 1);
	kube_json_status(text, size - 1, &status);
	must(strlen(status.message) < LIMIT_TEXT);
	kube_json_lease(text, size - 1, &lease);
	return 0;
}
