#include <check.h>
#include <json_object.h>
#include <json_tokener.h>
#include <stdlib.h>
#include <string.h>

#include "common/pod.h"
#include "common/sandbox.h"
#include "common/service.h"
#include "workers/http/model.h"
#include "workers/http/prometheus.h"
#include "workers/http/status.h"

#define COUNT(a) (sizeof(a) / sizeof(*(a)))

static const struct replica_ops no_ops;

static char *
rendered(void (*render)(FILE *, const struct model *, uint64_t),
    const struct model *m, uint64_t now_ms)
{
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	render(f, m, now_ms);
	fclose(f);
	return text;
}

/* What json-c reads back from what json_string() wrote. */
static const struct {
	const char *in;
	const char *out;
} strings[] = {
	{ "", "" },
	{ "plain", "plain" },
	{ "a\"b\\c/d", "a\"b\\c/d" },
	{ "tab\tnl\nbell\007del\177", "tab\tnl\nbell\007del\177" },
	{ "gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x90\x8a",
	    "gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x90\x8a" },
	/* cut, overlong, surrogate, too large, stray: U+FFFD per byte */
	{ "\xe2\x82", "\xef\xbf\xbd\xef\xbf\xbd" },
	{ "\xc0\xaf", "\xef\xbf\xbd\xef\xbf\xbd" },
	{ "\xed\xa0\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd" },
	{ "\xf4\x90\x80\x80",
	    "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd" },
	{ "\xff", "\xef\xbf\xbd" },
};

START_TEST(writes_json_strings)
{
	for (size_t i = 0; i < COUNT(strings); i++) {
		struct json_object *o;
		char *text = NULL;
		size_t len;
		FILE *f = open_memstream(&text, &len);

		json_string(f, strings[i].in);
		fclose(f);
		o = json_tokener_parse(text);
		ck_assert_msg(o != NULL, "row %zu: %s", i, text);
		ck_assert_str_eq(json_object_get_string(o), strings[i].out);
		json_object_put(o);
		free(text);
	}
}
END_TEST

struct told {
	uint8_t role;
	uint8_t state;
	uint8_t health;
	uint8_t synced;
	const char *text;
};

/* A WORKER message as the supervisor sends it. */
static bool
tell(struct model *m, const struct told *t, uint64_t now_ms)
{
	uint8_t body[2048];
	struct tlv_writer w;
	struct msg msg = { .type = MSG_WORKER, .body = body, .fd = -1 };

	tlv_writer_init(&w, body, sizeof(body));
	tlv_put_u8(&w, TAG_ROLE, t->role);
	tlv_put_u8(&w, TAG_STATE, t->state);
	tlv_put_u32(&w, TAG_PID, 4711);
	tlv_put_u64(&w, TAG_SINCE, 1000);
	tlv_put_u32(&w, TAG_RESTARTS, 3);
	tlv_put_u32(&w, TAG_LAYERS, SANDBOX_SECCOMP | SANDBOX_LIMITS);
	tlv_put_str(&w, TAG_MISSING, "landlock-net");
	tlv_put_u8(&w, TAG_HEALTH, t->health);
	tlv_put_u8(&w, TAG_SYNCED, t->synced);
	tlv_put_str(&w, TAG_TEXT, t->text);
	ck_assert(!w.overflow);
	msg.len = w.len;
	ck_assert_ptr_null(
	    proto_check_msg(&msg, false, ROLE_SUPERVISOR, ROLE_HTTP));
	return model_worker(m, &msg, now_ms);
}

static const struct told reader_ok = { ROLE_KUBELET_READER, WORKER_READY,
	HEALTH_OK, 1, "fine" };
static const struct told http_ok = { ROLE_HTTP, WORKER_READY, HEALTH_OK, 1,
	"serving" };
static const struct told reader_bad = { ROLE_KUBELET_READER, WORKER_READY,
	HEALTH_DEGRADED, 0, "kubelet: connection refused" };
static const struct told writer_ok = { ROLE_CONSUL_WRITER, WORKER_READY,
	HEALTH_OK, 1, "3 services" };
static const struct told writer_waits = { ROLE_CONSUL_WRITER, WORKER_READY,
	HEALTH_STARTING, 0, "no snapshot yet" };
static const struct told writer_down = { ROLE_CONSUL_WRITER, WORKER_BACKOFF,
	HEALTH_STARTING, 0, "" };

static const struct {
	const struct told *reader, *writer;
	bool ready;
	const char *reason;
} readiness[] = {
	{ &reader_bad, &writer_waits, false,
	    "kubelet-reader: kubelet: connection refused" },
	{ &reader_ok, &writer_waits, false, "consul-writer: no snapshot yet" },
	{ &reader_ok, &writer_down, false, "consul-writer: backoff" },
	{ &reader_ok, &writer_ok, true, "ok" },
	/* Once it was, it stays. */
	{ &reader_bad, &writer_down, true, "ok" },
};

START_TEST(ready_after_the_first_sync)
{
	struct model m = { .services = replica_new(&no_ops, NULL),
		.objects = replica_new(&no_ops, NULL) };
	char reason[LIMIT_TEXT];

	ck_assert(!model_ready(&m, reason, sizeof(reason)));
	for (size_t i = 0; i < COUNT(readiness); i++) {
		ck_assert(tell(&m, readiness[i].reader, 0));
		ck_assert(tell(&m, readiness[i].writer, 0));
		ck_assert_msg(model_ready(&m, reason, sizeof(reason)) ==
			readiness[i].ready,
		    "row %zu: %s", i, reason);
		ck_assert_str_eq(reason, readiness[i].reason);
	}
	replica_free(m.services);
	replica_free(m.objects);
}
END_TEST

static const struct told lister_ok = { ROLE_CONSUL_READER, WORKER_READY,
	HEALTH_OK, 0, "" };
static const struct told cluster_held = { ROLE_K8S_WRITER, WORKER_DOWN,
	HEALTH_DEGRADED, 0, "kubeconfig: k: there is nothing in it" };
static const struct told cluster_waits = { ROLE_K8S_WRITER, WORKER_READY,
	HEALTH_STARTING, 0, "a follower" };
static const struct told cluster_ok = { ROLE_K8S_WRITER, WORKER_READY,
	HEALTH_OK, 1, "" };

/* What is told, one behind the other; then what is said. */
static const struct {
	const struct told *told[4];
	bool ready;
	const char *reason;
} directions[] = {
	{ { NULL }, false, "the first full sync is not done yet" },
	/* One direction only, each. */
	{ { &reader_ok, &writer_ok }, true, "ok" },
	{ { &lister_ok, &cluster_ok }, true, "ok" },
	{ { &lister_ok, &cluster_held }, false,
	    "k8s-writer: kubeconfig: k: there is nothing in it" },
	/* Both. */
	{ { &reader_ok, &writer_ok, &lister_ok, &cluster_waits }, false,
	    "k8s-writer: a follower" },
	{ { &reader_ok, &writer_waits, &lister_ok, &cluster_ok }, false,
	    "consul-writer: no snapshot yet" },
	{ { &reader_ok, &writer_ok, &lister_ok, &cluster_ok }, true, "ok" },
	/* k8s-writer for readiness gates only. */
	{ { &reader_ok, &writer_ok, &cluster_waits }, true, "ok" },
	{ { &reader_ok, &writer_waits, &cluster_ok }, false,
	    "consul-writer: no snapshot yet" },
	{ { &cluster_ok }, false, "the first full sync is not done yet" },
};

START_TEST(each_direction_counts)
{
	struct model m = { .services = replica_new(&no_ops, NULL),
		.objects = replica_new(&no_ops, NULL) };
	char reason[LIMIT_TEXT];

	for (int i = 0; i < 4 && directions[_i].told[i] != NULL; i++)
		ck_assert(tell(&m, directions[_i].told[i], 0));
	ck_assert(
	    model_ready(&m, reason, sizeof(reason)) == directions[_i].ready);
	ck_assert_str_eq(reason, directions[_i].reason);
	ck_assert(model_synced(&m) == directions[_i].ready);
	replica_free(m.services);
	replica_free(m.objects);
}
END_TEST

START_TEST(unhealthy_when_a_worker_stays_away)
{
	struct model m = { .services = replica_new(&no_ops, NULL),
		.objects = replica_new(&no_ops, NULL) };
	char reason[LIMIT_TEXT];

	ck_assert(tell(&m, &writer_ok, 1000));
	ck_assert(model_healthy(&m, 1000, reason, sizeof(reason)));
	/* One quick death is no illness. */
	ck_assert(tell(&m, &writer_down, 2000));
	ck_assert(model_healthy(&m, 2000 + MODEL_DOWN_MS - 1, reason,
	    sizeof(reason)));
	/* Told again: still since 2000. */
	ck_assert(tell(&m, &writer_down, 6000));
	ck_assert(
	    !model_healthy(&m, 2000 + MODEL_DOWN_MS, reason, sizeof(reason)));
	ck_assert_str_eq(reason,
	    "consul-writer is not running (backoff, 3 restarts), since 5 s");
	ck_assert(tell(&m, &writer_ok, 8000));
	ck_assert(model_healthy(&m, 99000, reason, sizeof(reason)));
	replica_free(m.services);
	replica_free(m.objects);
}
END_TEST

/* With a kubeconfig of no use; that it is being read, for too long, is told. */
START_TEST(healthy_without_what_waits_for_its_kubeconfig)
{
	static const struct told waits = { ROLE_K8S_WRITER, WORKER_DOWN,
		HEALTH_STARTING, 0, "waits for its kubeconfig" };
	struct model m = { 0 };
	char reason[LIMIT_TEXT];

	ck_assert(tell(&m, &waits, 1000));
	ck_assert(
	    !model_healthy(&m, 1000 + MODEL_DOWN_MS, reason, sizeof(reason)));
	ck_assert_str_eq(reason,
	    "k8s-writer is not running (down, 3 restarts), since 5 s: waits "
	    "for its kubeconfig");
	ck_assert(tell(&m, &cluster_held, 2000));
	ck_assert(model_healthy(&m, 99000, reason, sizeof(reason)));
	ck_assert_str_eq(reason, "ok");
}
END_TEST

START_TEST(the_supervisor_is_no_worker)
{
	static const struct told told = { ROLE_SUPERVISOR, WORKER_READY,
		HEALTH_OK, 0, "" };
	struct model m = { 0 };

	ck_assert(!tell(&m, &told, 0));
}
END_TEST

START_TEST(renders_the_status)
{
	struct model m = { .services = replica_new(&no_ops, NULL),
		.objects = replica_new(&no_ops, NULL) };
	struct json_object *o, *list, *w;
	char *text;

	ck_assert(tell(&m, &reader_bad, 1000));
	text = rendered(status_render, &m, 3500);
	o = json_tokener_parse(text);
	ck_assert_msg(o != NULL, "%s", text);
	ck_assert(!json_object_get_boolean(json_object_object_get(o, "ready")));
	list = json_object_object_get(o, "workers");
	ck_assert_uint_eq(json_object_array_length(list), 1);
	w = json_object_array_get_idx(list, 0);
	ck_assert_str_eq(json_object_get_string(
			     json_object_object_get(w, "name")),
	    "kubelet-reader");
	ck_assert_double_eq(json_object_get_double(
				json_object_object_get(w, "uptime_seconds")),
	    2.5);
	ck_assert_str_eq(json_object_get_string(
			     json_object_object_get(w, "sandbox")),
	    "[ \"limits\", \"seccomp\" ]");
	json_object_put(o);
	free(text);
	replica_free(m.services);
	replica_free(m.objects);
}
END_TEST

/* ---- pods and sidecars ---- */

static const struct pod_report pods[] = {
	{ "shop", "web-1", "u-1", POD_SIDECAR_REGISTERED, true, true, "" },
	{ "shop", "web-2", "u-2", POD_SIDECAR_WAITING, false, false,
	    "waiting for the \"sync\" sidecar" },
};

static const char *
text_at(struct json_object *o, const char *name)
{
	return json_object_get_string(json_object_object_get(o, name));
}

static bool
any_put(const struct set_entry *e, void *arg)
{
	(void)e;
	(void)arg;
	return true;
}

static const struct replica_ops any_ops = { .put = any_put };

static void
hear(struct replica *r, enum msg_type type, uint64_t generation,
    struct tlv_writer *w)
{
	struct msg m = { .type = type,
		.generation = generation,
		.body = w->buf,
		.len = w->len,
		.fd = -1 };

	ck_assert_ptr_null(
	    proto_check_msg(&m, false, ROLE_CONSUL_WRITER, ROLE_HTTP));
	ck_assert(replica_message(r, &m));
	w->len = 0;
}

static void
put_report(struct tlv_writer *w, const void *key, size_t key_len,
    const void *val, size_t len)
{
	tlv_put(w, TAG_KEY, key, key_len);
	tlv_put(w, TAG_VALUE, val, len);
}

/* Pods, and a service of one of them, as consul-writer tells of them. */
static struct replica *
reports(void)
{
	static const struct service_report service = {
		"katalog-sync_web_shop_web-1", "web", "shop", "web-1",
		"passing", "passing", ""
	};
	struct replica *r = replica_new(&any_ops, NULL);
	uint8_t body[8192], val[4096];
	struct tlv_writer w;
	char key[LIMIT_SET_KEY];

	replica_attach(r, NULL);
	tlv_writer_init(&w, body, sizeof(body));
	tlv_put_u64(&w, TAG_EPOCH, 1);
	hear(r, MSG_SNAP_BEGIN, 1, &w);
	for (size_t i = 0; i < COUNT(pods); i++) {
		put_report(&w, key, pod_key("shop", pods[i].name, key), val,
		    pod_report_encode(&pods[i], val, sizeof(val)));
		hear(r, MSG_PUT, 1, &w);
	}
	put_report(&w, service.id, strlen(service.id), val,
	    service_report_encode(&service, val, sizeof(val)));
	hear(r, MSG_PUT, 1, &w);
	tlv_put_u64(&w, TAG_EPOCH, 1);
	tlv_put_u32(&w, TAG_COUNT, COUNT(pods) + 1);
	hear(r, MSG_SNAP_END, 1, &w);
	return r;
}

START_TEST(renders_pods_and_sidecars)
{
	struct model m = { .services = reports(),
		.objects = replica_new(&no_ops, NULL) };
	struct metrics *ms = &m.metrics[ROLE_HTTP];
	struct json_object *o, *list, *pod;
	char *text;

	metric_set(ms, M_SIDECAR_CONNECTIONS, 2);
	metric_set(ms, M_SIDECAR_ENDED, 3);
	metric_set(ms, M_SIDECAR_ENDED_LAST, 4);
	text = rendered(status_render, &m, 0);
	o = json_tokener_parse(text);
	ck_assert_msg(o != NULL, "%s", text);
	list = json_object_object_get(o, "pods");
	ck_assert_uint_eq(json_object_array_length(list), COUNT(pods));
	for (size_t i = 0; i < COUNT(pods); i++) {
		pod = json_object_array_get_idx(list, i);
		ck_assert_str_eq(text_at(pod, "namespace"), "shop");
		ck_assert_str_eq(text_at(pod, "pod"), pods[i].name);
		ck_assert_str_eq(text_at(pod, "uid"), pods[i].uid);
		ck_assert_str_eq(text_at(pod, "sidecar"),
		    pod_sidecar_name(pods[i].sidecar));
		ck_assert_str_eq(text_at(pod, "gated"),
		    pods[i].gated ? "true" : "false");
		ck_assert_str_eq(text_at(pod, "synced"),
		    pods[i].synced ? "true" : "false");
		ck_assert_str_eq(text_at(pod, "text"), pods[i].text);
	}
	list = json_object_object_get(o, "services");
	ck_assert_uint_eq(json_object_array_length(list), 1);
	ck_assert_str_eq(text_at(o, "rpc"),
	    "{ \"connections\": 2, \"accepted\": 0, \"refused\": 0, "
	    "\"broken\": 0, \"calls\": 0, "
	    "\"ended\": { \"OK\": 3, \"UNAUTHENTICATED\": 4 } }");
	json_object_put(o);
	free(text);
	replica_free(m.services);
	replica_free(m.objects);
}
END_TEST

static const char *const lines[] = {
	"\nkatalogd_synced 0\n",
	"\nkatalogd_worker_restarts_total{worker=\"kubelet-reader\"} 3\n",
	"\n# TYPE katalog_sync_kubelet_sync_count_total counter\n"
	"katalog_sync_kubelet_sync_count_total{status=\"success\"} 2\n"
	"katalog_sync_kubelet_sync_count_total{status=\"error\"} 0\n",
	"\nkatalog_sync_kubelet_sync_duration_seconds_sum{status=\"success\"} "
	"0.250000\n",
	"\nkatalogd_kubelet_request_seconds_bucket{le=\"0.05\"} 0\n"
	"katalogd_kubelet_request_seconds_bucket{le=\"0.1\"} 1\n",
	"\nkatalogd_kubelet_request_seconds_bucket{le=\"+Inf\"} 1\n",
	"\n# TYPE katalogd_sidecar_calls_ended_total counter\n"
	"katalogd_sidecar_calls_ended_total{code=\"OK\"} 7\n"
	"katalogd_sidecar_calls_ended_total{code=\"CANCELLED\"} 0\n",
};

START_TEST(renders_the_figures)
{
	struct model m = { .services = replica_new(&no_ops, NULL),
		.objects = replica_new(&no_ops, NULL) };
	struct metrics *ms = &m.metrics[ROLE_KUBELET_READER];
	char *text;

	ck_assert(tell(&m, &reader_ok, 1000));
	ck_assert(tell(&m, &http_ok, 1000));
	metric_set(&m.metrics[ROLE_HTTP], M_SIDECAR_ENDED, 7);
	metric_add(ms, M_KUBELET_SYNC_OK, 2);
	metric_observe_ms(ms, M_KUBELET_SYNC_S_OK, 250);
	metric_observe_ms(ms, M_KUBELET_LATENCY, 51);
	text = rendered(prometheus_render, &m, 2000);
	for (size_t i = 0; i < COUNT(lines); i++)
		ck_assert_msg(strstr(text, lines[i]) != NULL,
		    "row %zu not in:\n%s", i, text);
	/* Nothing of a worker that does not run here. */
	ck_assert_ptr_null(strstr(text, "katalogd_consul_request_seconds"));
	free(text);
	replica_free(m.services);
	replica_free(m.objects);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("http");
	TCase *t = tcase_create("http");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_test(t, writes_json_strings);
	tcase_add_test(t, ready_after_the_first_sync);
	tcase_add_loop_test(t, each_direction_counts, 0, COUNT(directions));
	tcase_add_test(t, unhealthy_when_a_worker_stays_away);
	tcase_add_test(t, healthy_without_what_waits_for_its_kubeconfig);
	tcase_add_test(t, the_supervisor_is_no_worker);
	tcase_add_test(t, renders_the_status);
	tcase_add_test(t, renders_pods_and_sidecars);
	tcase_add_test(t, renders_the_figures);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
