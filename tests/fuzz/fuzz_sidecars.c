/*
 * libFuzzer: what workers tell each other about pods, and what the catalog
 * shows of a node, of any bytes is read or refused. What was read is encoded
 * to the same again.
 *
 * The first byte chooses: c, an answer of the catalog; i, r or g, an item,
 * report or gate of the pod shop/web-1 with the uid u; k, a key.
 */
#include <stdlib.h>
#include <string.h>

#include "common/pod.h"
#include "workers/consul_writer/catalog.h"

#define CAP 16384

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
must(bool ok)
{
	if (!ok)
		abort();
}

static size_t
own_key(char key[LIMIT_SET_KEY])
{
	return pod_key("shop", "web-1", key);
}

static void
an_item(const uint8_t *data, size_t size)
{
	char key[LIMIT_SET_KEY];
	size_t key_len = own_key(key), len;
	struct pod_item *p = pod_item_decode(key, key_len, data, size), *again;
	uint8_t buf[CAP];

	if (p == NULL)
		return;
	must(p->naddresses <= POD_ADDRESSES);
	must((len = pod_item_encode(p, buf, sizeof(buf))) > 0);
	again = pod_item_decode(key, key_len, buf, len);
	must(again != NULL && strcmp(again->uid, p->uid) == 0);
	must(strcmp(again->sidecar, p->sidecar) == 0);
	must(again->services == p->services && again->ready == p->ready);
	free(again);
	free(p);
}

static void
a_report(const uint8_t *data, size_t size)
{
	char key[LIMIT_SET_KEY];
	struct pod_report *r = pod_report_decode(key, own_key(key), data, size);
	uint8_t buf[CAP];

	if (r == NULL)
		return;
	must(pod_report_encode(r, buf, sizeof(buf)) == size);
	must(strcmp(pod_sidecar_name(r->sidecar), "unknown") != 0);
	free(r);
}

static void
a_gate(const uint8_t *data, size_t size)
{
	struct pod_gate *g = pod_gate_decode("u", 1, data, size);
	uint8_t buf[CAP];

	if (g == NULL)
		return;
	must(pod_gate_encode(g, buf, sizeof(buf)) == size);
	must(*g->reason != '\0' && strcmp(g->uid, "u") == 0);
	free(g);
}

static void
a_key(const uint8_t *data, size_t size)
{
	char namespace[LIMIT_K8S_NAMESPACE + 1], name[LIMIT_K8S_NAME + 1],
	    key[LIMIT_SET_KEY];

	if (!pod_key_split(data, size, namespace, name))
		return;
	must(pod_key(namespace, name, key) == size);
	must(memcmp(key, data, size) == 0);
}

static void
an_answer(const uint8_t *data, size_t size)
{
	static const struct catalog_place place = { "", "" };
	static const struct catalog_check check = {
		.id = SERVICE_ID_PREFIX "a_shop_web-1",
		.name = "Kubernetes readiness",
	};
	char path[CATALOG_PATH], *body = malloc(size + 1);
	struct catalog *c = catalog_new(1);
	struct catalog_answer a = {
		.status = 200,
		.body = body,
		.body_len = size,
		.index = "42",
		.leader = "true",
		.filtered = "",
	};
	uint64_t wait_ms;
	bool good;

	must(body != NULL);
	memcpy(body, data, size);
	body[size] = '\0';
	catalog_node(c, "n1", 0);
	catalog_want(c, true, 0);
	catalog_ask(c, &place, 1, 0, path, &wait_ms);
	good = catalog_answered(c, &a, 1) == NULL;
	must(good == (catalog_shows(c, &check) != CATALOG_UNKNOWN));
	catalog_free(c);
	free(body);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct {
		char kind;
		void (*check)(const uint8_t *data, size_t size);
	} kinds[] = {
		{ 'c', an_answer },
		{ 'i', an_item },
		{ 'r', a_report },
		{ 'g', a_gate },
		{ 'k', a_key },
	};

	for (size_t i = 0; size > 0 && i < sizeof(kinds) / sizeof(*kinds); i++)
		if (kinds[i].kind == (char)data[0])
			kinds[i].check(data + 1, size - 1);
	return 0;
}
