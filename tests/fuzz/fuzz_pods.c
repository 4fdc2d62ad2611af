/*
 * libFuzzer: one pod's JSON. What is not refused has services that
 * consul-writer can read, with nothing in them that Consul would refuse.
 */
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/pod.h"
#include "workers/json_scan.h"
#include "workers/kubelet_reader/pods.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct pod_conf conf = { 500, 5000, 1000, 10000, 10000 };

static void
must(bool ok)
{
	if (!ok)
		abort();
}

static bool
has_meta(const struct service *s, const char *key, const char *val)
{
	for (size_t i = 0; i < s->nmeta; i++) {
		if (strcmp(s->meta[i].key, key) == 0)
			return strcmp(s->meta[i].val, val) == 0;
	}
	return false;
}

static void
must_be_object(const char *notes)
{
	json_object *o = json_tokener_parse(notes);

	must(json_object_is_type(o, json_type_object));
	json_object_put(o);
}

static void
check_service(const struct pod *pod, const struct pod_entry *e)
{
	struct service *s =
	    service_decode(e->key, e->key_len, e->value, e->len);
	char id[LIMIT_SERVICE_ID + 1];

	must(s != NULL);
	snprintf(id, sizeof(id), "katalog-sync_%s_%s_%s", s->name,
	    pod->namespace, pod->name);
	must(strcmp(s->id, id) == 0);
	must(strcmp(s->pod_uid, pod->uid) == 0);
	must(has_meta(s, "external-source", "kubernetes"));
	must(has_meta(s, "external-sync-source", "katalog-sync"));
	must(has_meta(s, "external-k8s-pod", pod->name));
	must(has_meta(s, "external-k8s-namespace", pod->namespace));
	must(s->ttl_ms >= pod->interval_ms + conf.ttl_buffer_ms);
	must_be_object(s->notes);
	free(s);
}

static void
check_item(const struct pod *pod)
{
	const struct pod_entry *e = &pod->item;
	struct pod_item *item =
	    pod_item_decode(e->key, e->key_len, e->value, e->len);

	must(item != NULL);
	must(strcmp(item->uid, pod->uid) == 0);
	must(item->services == pod->nservices);
	must(item->ours == pod->ours);
	must(item->ours || *item->sidecar == '\0');
	free(item);
}

static void
check_pod(const struct pod *pod)
{
	size_t len = 0;

	check_item(pod);
	must(pod->ours || pod->nservices == 0);
	must(!pod->ours ||
	    (pod->interval_ms >= conf.min_interval_ms &&
		pod->interval_ms <= conf.max_interval_ms));
	for (size_t i = 0; i < pod->nservices; i++) {
		check_service(pod, &pod->services[i]);
		len += pod->services[i].len;
	}
	must(len <= LIMIT_POD_SERVICES);
}

/* An excerpt is JSON, and of an excerpt it is all. */
static void
check_excerpt(const char *text, size_t len)
{
	char *once = xmalloc(len), *twice = xmalloc(len);
	size_t n = excerpt(&pod_excerpt, text, len, once);
	struct json_scan j;

	must(n <= len);
	json_scan_init(&j, JSON_SCAN_DEPTH_MAX);
	j.any_names = true;
	must(json_scan(&j, once, n) == n && j.status == JSON_DONE);
	must(excerpt(&pod_excerpt, once, n, twice) == n &&
	    memcmp(once, twice, n) == 0);
	free(once);
	free(twice);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *)data;
	struct refusal r;
	struct json_scan j;
	struct pod *pod;

	json_scan_init(&j, LIMIT_POD_DEPTH);
	j.any_names = true;
	size = json_scan(&j, text, size);
	if (size == 0 || text[0] != '{' || j.status != JSON_DONE)
		return 0;
	check_excerpt(text, size);
	refusal_clear(&r);
	pod = pod_parse(text, size, &conf, &r);
	must((pod == NULL) == refused(&r));
	if (pod != NULL)
		check_pod(pod);
	pod_free(pod);
	return 0;
}
