#include "tests/unit/consul_pods.h"

#include <stdio.h>
#include <string.h>

#define KEPT_IDS 16

struct pod_item
a_pod(void)
{
	return (struct pod_item){
		.namespace = "shop",
		.name = "web-1",
		.uid = UID_1,
		.addresses = { "10.1.2.3" },
		.naddresses = 1,
		.sidecar = "sync",
		.ours = true,
		.ready = true,
	};
}

struct service
a_service(const char *name)
{
	static char ids[KEPT_IDS][LIMIT_SERVICE_ID + 1];
	static unsigned next;
	char *id = ids[next++ % KEPT_IDS];

	snprintf(id, LIMIT_SERVICE_ID + 1, SERVICE_ID_FORMAT, name, "shop",
	    "web-1");
	return (struct service){
		.id = id,
		.name = name,
		.namespace = "shop",
		.pod = "web-1",
		.pod_uid = UID_1,
		.address = "10.1.2.3",
		.notes = "{}",
		.output = "",
		.meta = { { SERVICE_MARK_KEY, SERVICE_MARK } },
		.nmeta = 1,
		.ttl_ms = 10000,
		.port = 80,
		.status = SERVICE_PASSING,
		.sidecar = true,
	};
}

bool
put_pod(struct pods *p, const struct pod_item *item)
{
	char key[LIMIT_SET_KEY];
	uint8_t buf[8192];
	size_t key_len = pod_key(item->namespace, item->name, key),
	       len = pod_item_encode(item, buf, sizeof(buf));

	return pods_put(p, key, key_len, buf, len);
}

bool
put_service(struct pods *p, const struct service *s)
{
	uint8_t buf[8192];
	size_t len = service_encode(s, buf, sizeof(buf));

	return pods_put(p, s->id, strlen(s->id), buf, len);
}

void
del_pod(struct pods *p, const char *namespace, const char *name)
{
	char key[LIMIT_SET_KEY];

	pods_del(p, key, pod_key(namespace, name, key), true);
}

void
miss_pod(struct pods *p, const char *namespace, const char *name)
{
	char key[LIMIT_SET_KEY];

	pods_del(p, key, pod_key(namespace, name, key), false);
}

void
del_service(struct pods *p, const char *id)
{
	pods_del(p, id, strlen(id), true);
}
