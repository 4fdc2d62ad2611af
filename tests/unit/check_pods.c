#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/pod.h"
#include "tests/unit/pod_text.h"
#include "workers/json_scan.h"
#include "workers/kubelet_reader/derivation.h"
#include "workers/kubelet_reader/pods.h"

#define COUNT(a) (sizeof(a) / sizeof(*(a)))
#define A        "katalog-sync.wish.com/"

static const struct pod_conf conf = {
	.min_interval_ms = 500,
	.max_interval_ms = 5000,
	.default_interval_ms = 1000,
	.default_ttl_ms = 10000,
	.ttl_buffer_ms = 10000,
};

static struct pod *
parse(const char *text, struct refusal *r)
{
	struct json_scan j;
	size_t len = strlen(text);

	json_scan_init(&j, JSON_SCAN_DEPTH_MAX);
	j.any_names = true;
	ck_assert_uint_eq(json_scan(&j, text, len), len);
	ck_assert_msg(j.status == JSON_DONE, "%s", text);
	refusal_clear(r);
	return pod_parse(text, len, &conf, r);
}

static struct pod *
parse_good(const char *text)
{
	struct refusal r;
	struct pod *pod = parse(text, &r);

	ck_assert_msg(pod != NULL, "%s: %s", r.where, r.why);
	return pod;
}

static struct service *
service_of(const struct pod *pod, size_t i)
{
	const struct pod_entry *e = &pod->services[i];
	struct service *s;

	ck_assert_uint_lt(i, pod->nservices);
	s = service_decode(e->key, e->key_len, e->value, e->len);
	ck_assert_ptr_nonnull(s);
	return s;
}

static void
append(char *to, size_t cap, const char *s)
{
	ck_assert_uint_lt(strlen(to) + strlen(s), cap);
	strcat(to, s);
}

/* Meta but the five that each service has. */
static void
append_meta(char *to, size_t cap, const struct service *s)
{
	for (size_t i = 0; i < s->nmeta; i++) {
		char pair[700];

		if (strncmp(s->meta[i].key, "external-", 9) == 0)
			continue;
		snprintf(pair, sizeof(pair), " %s=%s", s->meta[i].key,
		    s->meta[i].val);
		append(to, cap, pair);
	}
}

/* "NAME PORT STATUS #tag key=val; ..." */
static void
describe(const struct pod *pod, char *to, size_t cap)
{
	*to = '\0';
	for (size_t i = 0; i < pod->nservices; i++) {
		struct service *s = service_of(pod, i);
		char head[400];

		snprintf(head, sizeof(head), "%s%s %u %s", i > 0 ? "; " : "",
		    s->name, s->port, service_status_name(s->status));
		append(to, cap, head);
		for (size_t t = 0; t < s->ntags; t++) {
			append(to, cap, " #");
			append(to, cap, s->tags[t]);
		}
		append_meta(to, cap, s);
		free(s);
	}
}

/* The real list. */

static const struct {
	const char *name;
	const char *services;
	const char *notes;
	uint64_t ttl_ms;
	uint64_t interval_ms;
} real[] = {
	{ "plain-0", "", NULL, 0, 0 },
	{ "web-a", "hw 8080 passing #a #b; hw-admin 8080 passing #a #b",
	    "{\"web\":true}", 11000, 1000 },
	{ "shop-7c9d-x1",
	    "shop 8080 passing #v1 #primary az=eu-1 version=1.4; "
	    "shop-admin 9090 passing #admin az=eu-1 version=1.4",
	    "{\"shop\":true}", 11000, 1000 },
	{ "gated-0", "gated 8080 passing", "{\"web\":true}", 30000, 2000 },
	{ "sidecar-0", "sc 8080 warning", "{\"web\":true}", 11000, 1000 },
	{ "host-0", "hostsvc 7000 passing", "{\"web\":true}", 11000, 1000 },
};

START_TEST(the_real_list)
{
	json_object *list = real_list();
	json_object *o =
	    json_object_array_get_idx(list_items(list), (size_t)_i);
	struct text text = text_of_json(o, JSON_C_TO_STRING_PLAIN);
	struct pod *pod = parse_good(text.s);
	char services[4096];

	ck_assert_str_eq(pod->name, real[_i].name);
	ck_assert_str_eq(pod->namespace, "default");
	ck_assert_str_eq(pod->node, "n1");
	ck_assert_uint_eq(strlen(pod->uid), 36);
	ck_assert_uint_eq(pod->nnotices, 0);
	ck_assert_int_eq(pod->ours, _i > 0);
	ck_assert_uint_eq(pod->interval_ms, real[_i].interval_ms);
	describe(pod, services, sizeof(services));
	ck_assert_str_eq(services, real[_i].services);
	for (size_t i = 0; i < pod->nservices; i++) {
		struct service *s = service_of(pod, i);

		ck_assert_str_eq(s->notes, real[_i].notes);
		ck_assert_uint_eq(s->ttl_ms, real[_i].ttl_ms);
		free(s);
	}
	pod_free(pod);
	text_free(&text);
	json_object_put(list);
}
END_TEST

START_TEST(all_fields_of_a_service)
{
	static const char *const meta[][2] = {
		{ "az", "eu-1" },
		{ "external-k8s-link", "default/shop-7c9d-x1" },
		{ "external-k8s-namespace", "default" },
		{ "external-k8s-pod", "shop-7c9d-x1" },
		{ "external-source", "kubernetes" },
		{ "external-sync-source", "katalog-sync" },
		{ "version", "1.4" },
	};
	json_object *list = real_list();
	struct text text =
	    text_of_json(json_object_array_get_idx(list_items(list), 2), 0);
	struct pod *pod = parse_good(text.s);
	struct service *s = service_of(pod, 1);

	ck_assert_str_eq(s->id, "katalog-sync_shop-admin_default_shop-7c9d-x1");
	ck_assert_str_eq(s->namespace, "default");
	ck_assert_str_eq(s->pod, "shop-7c9d-x1");
	ck_assert_str_eq(s->pod_uid, pod->uid);
	ck_assert_str_eq(s->address, "10.244.0.70");
	ck_assert_ptr_null(s->lan_ipv4);
	ck_assert_ptr_null(s->lan_ipv6);
	ck_assert_str_eq(s->output, "");
	ck_assert_uint_eq(s->nmeta, COUNT(meta));
	for (size_t i = 0; i < COUNT(meta); i++) {
		ck_assert_str_eq(s->meta[i].key, meta[i][0]);
		ck_assert_str_eq(s->meta[i].val, meta[i][1]);
	}
	free(s);
	pod_free(pod);
	text_free(&text);
	json_object_put(list);
}
END_TEST

/* Made-up pods: fragments of JSON; NULL is what a plain web pod has. */

struct fragments {
	const char *metadata; /* further members, with a comma behind */
	const char *name;
	const char *annotations; /* in braces */
	const char *spec; /* further members, with a comma behind */
	const char *containers;
	const char *statuses;
	const char *status; /* all but the statuses */
};

#define NAME       "\"" A "service-names\":\"web\""
#define CONTAINERS "[{\"name\":\"web\",\"ports\":[{\"containerPort\":8080}]}]"
#define STATUSES   "[{\"name\":\"web\",\"ready\":true}]"
#define STATUS \
	"\"phase\":\"Running\",\"podIP\":\"10.1.2.3\"," \
	"\"podIPs\":[{\"ip\":\"10.1.2.3\"}]"

static const char *
text_or(const char *s, const char *otherwise)
{
	return s != NULL ? s : otherwise;
}

static char *
pod_text(const struct fragments *f)
{
	char *text = xmalloc(1 << 20);
	int len;

	len = snprintf(text, 1 << 20,
	    "{\"metadata\":{%s\"name\":\"%s\",\"namespace\":\"ns\","
	    "\"uid\":\"u-1\",\"annotations\":%s},"
	    "\"spec\":{%s\"nodeName\":\"n1\",\"containers\":%s},"
	    "\"status\":{%s,\"containerStatuses\":%s}}",
	    text_or(f->metadata, ""), text_or(f->name, "p"),
	    text_or(f->annotations, "{" NAME "}"), text_or(f->spec, ""),
	    text_or(f->containers, CONTAINERS), text_or(f->status, STATUS),
	    text_or(f->statuses, STATUSES));
	ck_assert_int_lt(len, 1 << 20);
	return text;
}

#define ANNOTATED(s) \
	{ \
		.annotations = "{" s "}" \
	}
#define WITH(s)   ANNOTATED(NAME "," s)
#define NOT_READY .statuses = "[{\"name\":\"web\",\"ready\":false}]"
#define TWO \
	.containers = "[{\"name\":\"web\"},{\"name\":\"log\"," \
		      "\"ports\":[{\"containerPort\":9}]}]"
#define TWO_READY(a, b) \
	.statuses = "[{\"name\":\"log\",\"ready\":" b "}," \
		    "{\"name\":\"web\",\"ready\":" a "}]"

/* What becomes of it, and what is said (a part of the only line, or NULL). */
static const struct derived {
	struct fragments pod;
	const char *services;
	const char *notice;
} derived[] = {
	{ { .annotations = NULL }, "web 8080 passing", NULL },
	{ { .annotations = "null" }, "", NULL },
	{ { .annotations = "{}" }, "", NULL },
	/* service-names */
	{ ANNOTATED("\"" A "service-names\":\"\""), "", NULL },
	{ ANNOTATED("\"" A "service-names\":\" , ,\""), "", NULL },
	{ ANNOTATED("\"" A "service-names\":\" b ,\\ta,b,,c d\""),
	    "b 8080 passing; a 8080 passing; c d 8080 passing", NULL },
	{ ANNOTATED("\"" A "service-names\":\"a\\u0001b,c\""), "c 8080 passing",
	    "a control character in it; this service left" },
	{ ANNOTATED("\"" A "service-names\":\"a/b,c\""), "c 8080 passing",
	    "service-names \"a/b\": a slash in it; this service left out" },
	{ ANNOTATED("\"" A "service-names\":\"a\\u0000b\""), "",
	    "annotation service-names: holds a NUL; not used" },
	/* IDs that are one in Consul's catalog. */
	{ ANNOTATED("\"" A "service-names\":\"web,Web,db\""),
	    "web 8080 passing; db 8080 passing",
	    "service-names \"Web\": to Consul the same as \"web\"; this "
	    "service" },
	{ ANNOTATED("\"" A "service-names\":\"W-eb,w_eb,W-eb\""),
	    "W-eb 8080 passing; w_eb 8080 passing", NULL },
	{ ANNOTATED("\"" A "service-names\":\"a_b,gr\xc3\xb6\xc3\x9f"
		    "e\""),
	    "a_b 8080 passing; gr\xc3\xb6\xc3\x9f"
	    "e 8080 passing",
	    NULL },
	/* service-port */
	{ WITH("\"" A "service-port\":\"81\""), "web 81 passing", NULL },
	{ WITH("\"" A "service-port\":\" 81 \""), "web 81 passing", NULL },
	{ WITH("\"" A "service-port\":\"81\",\"" A "service-port-web\":\"82\""),
	    "web 82 passing", NULL },
	{ WITH("\"" A "service-port-other\":\"82\""), "web 8080 passing",
	    NULL },
	{ WITH("\"" A "service-port\":\"1\""), "web 1 passing", NULL },
	{ WITH("\"" A "service-port\":\"65535\""), "web 65535 passing", NULL },
	{ WITH("\"" A "service-port\":\"65536\""), "",
	    "service-port \"65536\": not a port (1-65535); service \"web\" "
	    "left out" },
	{ WITH("\"" A "service-port\":\"0\""), "", "not a port" },
	{ WITH("\"" A "service-port\":\"-1\""), "", "not a port" },
	{ WITH("\"" A "service-port\":\"+80\""), "", "not a port" },
	{ WITH("\"" A "service-port\":\"80.0\""), "", "not a port" },
	{ WITH("\"" A "service-port\":\"0x50\""), "", "not a port" },
	{ WITH("\"" A "service-port\":\"80,81\""), "", "not a port" },
	{ WITH("\"" A "service-port\":\"\""), "", "not a port" },
	{ WITH("\"" A "service-port\":\"99999999999999999999\""), "",
	    "not a port" },
	{ WITH("\"" A "service-port\":\"80,\""), "", "not a port" },
	{ WITH("\"" A "service-port\":\"81\",\"" A
	       "service-port-web\":\"http\""),
	    "", "service-port-web \"http\": not a port" },
	{ { TWO, TWO_READY("true", "true") }, "web 9 passing", NULL },
	{ { .containers = "[{\"name\":\"web\"}]" }, "",
	    "no service-port and no containerPort; service \"web\" left" },
	{ { .containers = "[{\"name\":\"web\",\"ports\":[]}]" }, "",
	    "no containerPort" },
	{ { .containers = "[{\"name\":\"web\",\"ports\":null}]",
	      .annotations = "{" NAME ",\"" A "service-port\":\"5\"}" },
	    "web 5 passing", NULL },
	/* service-tags */
	{ WITH("\"" A "service-tags\":\"a, b ,a,,c\""),
	    "web 8080 passing #a #b #c", NULL },
	{ WITH("\"" A "service-tags\":\"a\",\"" A "service-tags-web\":\"x\""),
	    "web 8080 passing #x", NULL },
	{ WITH("\"" A "service-tags\":\"a\",\"" A "service-tags-web\":\"\""),
	    "web 8080 passing", NULL },
	{ WITH("\"" A "service-tags\":\"a,b\\nc,d\""), "web 8080 passing #a #d",
	    "a control character in it; this tag left out" },
	{ WITH("\"" A "service-tags\":\"a\",\"" A
	       "service-tags-web\":\"b,c\\u0000\""),
	    "web 8080 passing", "service-tags-web: holds a NUL; not used" },
	/* service-meta */
	{ WITH("\"" A "service-meta\":\"a:1,b:\\u0000\""), "web 8080 passing",
	    "service-meta: holds a NUL; not used" },
	{ WITH("\"" A "service-meta\":\"b:2, a : 1 ,c:\""),
	    "web 8080 passing a=1 b=2 c=", NULL },
	{ WITH("\"" A "service-meta\":\"url:http://x:80\""),
	    "web 8080 passing url=http://x:80", NULL },
	{ WITH("\"" A "service-meta\":\"a:1,a:2\""), "web 8080 passing a=2",
	    NULL },
	{ WITH("\"" A "service-meta\":\"a:1\",\"" A
	       "service-meta-web\":\"b:2\""),
	    "web 8080 passing b=2", NULL },
	{ WITH("\"" A "service-meta\":\"x,a:1\""), "web 8080 passing a=1",
	    "service-meta \"x\": not KEY:VALUE with a key of" },
	{ WITH("\"" A "service-meta\":\":1\""), "web 8080 passing",
	    "not KEY:VALUE" },
	{ WITH("\"" A "service-meta\":\"a.b:1\""), "web 8080 passing",
	    "not KEY:VALUE" },
	{ WITH("\"" A "service-meta\":\"consul-x:1\""), "web 8080 passing",
	    "Consul's own; this pair left out" },
	{ WITH("\"" A "service-meta\":\"external-k8s-pod:x,a:1\""),
	    "web 8080 passing a=1", "katalogd's own" },
	{ WITH("\"" A "service-meta\":\"external-source:x\""),
	    "web 8080 passing", "katalogd's own" },
	/* service-health */
	{ WITH("\"" A "service-health\":\"warning\""), "web 8080 warning",
	    NULL },
	{ WITH("\"" A "service-health\":\" critical \""), "web 8080 critical",
	    NULL },
	{ WITH("\"" A "service-health\":\"warning\",\"" A
	       "service-health-web\":\"passing\""),
	    "web 8080 passing", NULL },
	{ WITH("\"" A "service-health\":\"good\""), "web 8080 passing",
	    "service-health \"good\": not passing, warning or critical; "
	    "readiness decides" },
	{ WITH("\"" A "service-health\":\"critical,x\""), "web 8080 passing",
	    "service-health \"critical,x\": not passing, warning or" },
	{ WITH("\"" A "service-health\":\"\""), "web 8080 passing",
	    "service-health \"\": not passing" },
	{ WITH("\"" A "service-health\":\"critical\\u0000\""),
	    "web 8080 passing",
	    "annotation service-health: holds a NUL; not used" },
	{ WITH("\"" A "service-health\":\"critical\",\"" A
	       "service-health-web\":\"\\u0000\""),
	    "web 8080 passing", "service-health-web: holds a NUL; not used" },
	{ { .annotations = "{" NAME ",\"" A "service-health\":\"x\"}",
	      NOT_READY },
	    "web 8080 critical", "readiness decides" },
	{ { .annotations = "{" NAME ",\"" A "service-health\":\"passing\"}",
	      NOT_READY },
	    "web 8080 passing", NULL },
	/* Readiness. */
	{ { NOT_READY }, "web 8080 critical", NULL },
	{ { .statuses = "[]" }, "web 8080 critical", NULL },
	{ { .statuses = "null" }, "web 8080 critical", NULL },
	{ { .statuses = "[{\"name\":\"web\"}]" }, "web 8080 critical", NULL },
	{ { TWO, TWO_READY("true", "false") }, "web 9 critical", NULL },
	{ { .containers = "[]",
	      .annotations = "{" NAME ",\"" A "service-port\":\"5\"}" },
	    "web 5 passing", NULL },
	{ { .spec = "\"initContainers\":[{\"name\":\"i\"}],",
	      .status = STATUS
	      ",\"initContainerStatuses\":[{\"name\":\"i\",\"ready\":false}]" },
	    "web 8080 passing", NULL },
	{ { .spec = "\"initContainers\":[{\"name\":\"i\","
		    "\"restartPolicy\":\"Always\"}]," },
	    "web 8080 critical", NULL },
	{ { .spec = "\"initContainers\":[{\"name\":\"i\","
		    "\"restartPolicy\":\"Always\"}],",
	      .status = STATUS
	      ",\"initContainerStatuses\":[{\"name\":\"i\",\"ready\":true}]" },
	    "web 8080 passing", NULL },
	/* container-exclude */
	{ { TWO, TWO_READY("true", "false"),
	      .annotations =
		  "{" NAME ",\"" A "container-exclude\":\"x , log\"}" },
	    "web 9 passing",
	    "container-exclude \"x\": the pod has no such container" },
	{ { .annotations =
		  "{" NAME ",\"" A "container-exclude\":\"web\\u0000\"}",
	      NOT_READY },
	    "web 8080 critical", "container-exclude: holds a NUL; not used" },
	{ { .annotations = "{" NAME ",\"" A "container-exclude\":\"web\"}",
	      NOT_READY },
	    "web 8080 passing", NULL },
	/* sidecar */
	{ { TWO, TWO_READY("true", "true"),
	      .annotations = "{" NAME ",\"" A "sidecar\":\"log\"}" },
	    "web 9 passing", NULL },
	{ { TWO, TWO_READY("true", "false"),
	      .annotations = "{" NAME ",\"" A "sidecar\":\" log\"}" },
	    "web 9 passing", NULL },
	{ { TWO, TWO_READY("false", "true"),
	      .annotations = "{" NAME ",\"" A "sidecar\":\"log\"}" },
	    "web 9 critical", NULL },
	{ { TWO, TWO_READY("true", "false"),
	      .annotations = "{" NAME ",\"" A "sidecar\":\"log\",\"" A
			     "service-health\":\"passing\"}" },
	    "web 9 passing", NULL },
	{ { TWO, TWO_READY("true", "false"),
	      .annotations = "{" NAME ",\"" A "sidecar\":\"log\",\"" A
			     "service-health\":\"warning\"}" },
	    "web 9 warning", NULL },
	{ WITH("\"" A "sidecar\":\"x\""), "web 8080 passing",
	    "sidecar \"x\": the pod has no such container" },
	{ WITH("\"" A "sidecar\":\"\""), "web 8080 passing", NULL },
	/* Phase, end, address. */
	{ { .status = "\"phase\":\"Pending\",\"podIP\":\"10.1.2.3\"" }, "",
	    NULL },
	{ { .status = "\"phase\":\"Succeeded\"" }, "", NULL },
	{ { .status = "\"phase\":\"Failed\"" }, "", NULL },
	{ { .status = "\"phase\":null" }, "", NULL },
	{ { .metadata = "\"deletionTimestamp\":\"2026-11-21T16:00:00Z\"," },
	    "web 8080 critical", NULL },
	{ { .metadata = "\"deletionTimestamp\":\"2026-11-21T16:00:00Z\",",
	      .annotations = "{" NAME ",\"" A "service-health\":\"passing\"}" },
	    "web 8080 critical", NULL },
	{ { .metadata = "\"deletionTimestamp\":null," }, "web 8080 passing",
	    NULL },
	{ { .status = "\"phase\":\"Running\"" }, "", "no address yet" },
	{ { .status = "\"phase\":\"Running\",\"podIP\":\"\"" }, "",
	    "no address yet" },
	/* sync-interval, service-check-ttl: see times. */
	{ WITH("\"" A "sync-interval\":\"soon\""), "web 8080 passing",
	    "sync-interval \"soon\": not a duration such as 1m30s; 1s is" },
	{ WITH("\"" A "service-check-ttl\":\"5s\\u0000\""), "web 8080 passing",
	    "service-check-ttl: holds a NUL; not used" },
	{ WITH("\"" A "service-check-ttl\":\"-5s\""), "web 8080 passing",
	    "service-check-ttl \"-5s\": not a duration such as 1m30s; 10s is" },
};

START_TEST(derivation)
{
	const struct derived *d = &derived[_i];
	char *text = pod_text(&d->pod), services[4096];
	struct pod *pod = parse_good(text);

	describe(pod, services, sizeof(services));
	ck_assert_msg(strcmp(services, d->services) == 0,
	    "%s:\n%s\nin place of\n%s", text, services, d->services);
	ck_assert_uint_eq(pod->nnotices, d->notice != NULL);
	if (d->notice != NULL) {
		ck_assert_msg(strncmp(pod->notices[0], "pod ns/p: ", 10) == 0 &&
			strstr(pod->notices[0], d->notice) != NULL,
		    "%s", pod->notices[0]);
	}
	pod_free(pod);
	free(text);
}
END_TEST

static const struct {
	const char *interval;
	const char *ttl;
	uint64_t interval_ms;
	uint64_t ttl_ms;
} times[] = {
	{ "1s", "10s", 1000, 11000 },
	{ "2s", "1m", 2000, 60000 },
	{ "2s", "1s", 2000, 12000 },
	{ "0s", "0s", 500, 10500 },
	{ "100ms", "10s", 500, 10500 },
	{ "1h", "10s", 5000, 15000 },
	{ "x", "x", 1000, 11000 },
	{ "2s\\u0000", "1m\\u0000", 1000, 11000 },
};

START_TEST(intervals_and_ttls)
{
	char annotations[400];
	struct fragments f = { .annotations = annotations };
	struct service *s;
	struct pod *pod;
	char *text;

	snprintf(annotations, sizeof(annotations),
	    "{" NAME ",\"" A "sync-interval\":\"%s\",\"" A
	    "service-check-ttl\":\"%s\"}",
	    times[_i].interval, times[_i].ttl);
	text = pod_text(&f);
	pod = parse_good(text);
	s = service_of(pod, 0);
	ck_assert_uint_eq(pod->interval_ms, times[_i].interval_ms);
	ck_assert_uint_eq(s->ttl_ms, times[_i].ttl_ms);
	free(s);
	pod_free(pod);
	free(text);
}
END_TEST

static const struct {
	const char *status;
	const char *address;
	const char *lan_ipv4;
	const char *lan_ipv6;
} addresses[] = {
	{ "\"podIP\":\"10.0.0.1\"", "10.0.0.1", NULL, NULL },
	{ "\"podIP\":\"fd00::1\"", "fd00::1", NULL, NULL },
	{ "\"podIP\":\"10.0.0.1\",\"podIPs\":[{\"ip\":\"10.0.0.1\"},"
	  "{\"ip\":\"fd00::1\"}]",
	    "10.0.0.1", NULL, "fd00::1" },
	{ "\"podIP\":\"fd00::1\",\"podIPs\":[{\"ip\":\"fd00::1\"},"
	  "{\"ip\":\"10.0.0.1\"}]",
	    "fd00::1", "10.0.0.1", NULL },
	{ "\"podIP\":\"10.0.0.1\",\"podIPs\":[{\"ip\":\"10.0.0.1\"},"
	  "{\"ip\":\"10.0.0.2\"},{},{\"ip\":\"fd00::1\"},"
	  "{\"ip\":\"fd00::2\"}]",
	    "10.0.0.1", NULL, "fd00::1" },
	{ "\"podIP\":\"10.0.0.1\",\"podIPs\":null", "10.0.0.1", NULL, NULL },
};

static void
same_text(const char *a, const char *b)
{
	ck_assert_int_eq(a == NULL, b == NULL);
	if (a != NULL)
		ck_assert_str_eq(a, b);
}

START_TEST(pod_addresses)
{
	char status[400];
	struct fragments f = { .status = status };
	struct service *s;
	struct pod *pod;
	char *text;

	snprintf(status, sizeof(status), "\"phase\":\"Running\",%s",
	    addresses[_i].status);
	text = pod_text(&f);
	pod = parse_good(text);
	s = service_of(pod, 0);
	same_text(s->address, addresses[_i].address);
	same_text(s->lan_ipv4, addresses[_i].lan_ipv4);
	same_text(s->lan_ipv6, addresses[_i].lan_ipv6);
	free(s);
	pod_free(pod);
	free(text);
}
END_TEST

static const struct {
	struct fragments pod;
	const char *output;
	const char *notes;
} checks[] = {
	{ { .metadata = NULL }, "", "{\"web\":true}" },
	{ { NOT_READY }, "pod is not ready", "{\"web\":false}" },
	{ { TWO, TWO_READY("true", "false") }, "pod is not ready",
	    "{\"log\":false,\"web\":true}" },
	{ { TWO, TWO_READY("true", "false"),
	      .annotations = "{" NAME ",\"" A "container-exclude\":\"log\"}" },
	    "", "{\"web\":true}" },
	{ { TWO, TWO_READY("true", "false"),
	      .annotations = "{" NAME ",\"" A "sidecar\":\"log\"}" },
	    "", "{\"web\":true}" },
	{ { .metadata = "\"deletionTimestamp\":\"2026-11-21T16:00:00Z\"," },
	    "pod is terminating", "{\"web\":true}" },
	{ WITH("\"" A "service-health\":\"warning\""), "set by annotation",
	    "{\"web\":true}" },
	{ WITH("\"" A "container-exclude\":\"web\""), "", "{}" },
};

START_TEST(output_and_notes)
{
	char *text = pod_text(&checks[_i].pod);
	struct pod *pod = parse_good(text);
	struct service *s = service_of(pod, 0);

	ck_assert_str_eq(s->output, checks[_i].output);
	ck_assert_str_eq(s->notes, checks[_i].notes);
	free(s);
	pod_free(pod);
	free(text);
}
END_TEST

/* The pod itself. */

#define GATE    "katalog-sync.wish.com/synced"
#define GATED   .spec = "\"readinessGates\":[{\"conditionType\":\"" GATE "\"}],"
#define LOG     "{" NAME ",\"" A "sidecar\":\"log\"}"
#define HOST_IP ",\"hostIP\":\"10.9.9.9\""
#define CONDITION(status) \
	STATUS ",\"conditions\":[{\"type\":\"Ready\",\"status\":\"True\"}," \
	       "{\"type\":\"" GATE "\",\"status\":\"" status "\"}]"

static const struct {
	struct fragments pod;
	const char *item;
} items[] = {
	{ { .annotations = NULL }, "10.1.2.3 1 ours ready" },
	{ { .annotations = "{}" }, "10.1.2.3 0 ready" },
	{ { .annotations = "{}", NOT_READY }, "10.1.2.3 0" },
	{ { NOT_READY }, "10.1.2.3 1 ours" },
	{ ANNOTATED("\"" A "service-names\":\"\""), "10.1.2.3 0 ours ready" },
	{ ANNOTATED("\"" A "service-names\":\"a,b/c,d\""),
	    "10.1.2.3 2 ours ready" },
	/* sidecar: only of pods that are ours */
	{ { .annotations = LOG, TWO, TWO_READY("true", "false") },
	    "10.1.2.3 sidecar=log 1 ours ready" },
	{ { .annotations = LOG, TWO, TWO_READY("true", "true") },
	    "10.1.2.3 sidecar=log 1 ours ready sidecar-ready" },
	{ { .annotations = LOG, TWO, TWO_READY("false", "true") },
	    "10.1.2.3 sidecar=log 1 ours sidecar-ready" },
	{ { .annotations = LOG,
	      TWO,
	      TWO_READY("true", "true"),
	      .status = "\"phase\":\"Pending\"" },
	    "sidecar=log 0 ours waits ready sidecar-ready" },
	{ WITH("\"" A "sidecar\":\"x\""), "10.1.2.3 sidecar=x 1 ours ready" },
	{ WITH("\"" A "sidecar\":\"X Y\""), "10.1.2.3 sidecar=? 1 ours ready" },
	/* Not passing: somebody wanted one. */
	{ WITH("\"" A "sidecar\":\"web\\u0000\""),
	    "10.1.2.3 sidecar=? 1 ours ready" },
	{ { .annotations = "{" NAME ",\"" A "sidecar\":\"log,web\"}",
	      TWO,
	      TWO_READY("true", "true") },
	    "10.1.2.3 sidecar=? 1 ours ready" },
	{ WITH("\"" A "sidecar\":\" \""), "10.1.2.3 1 ours ready" },
	{ { .annotations = "{\"" A "sidecar\":\"web\"}" }, "10.1.2.3 0 ready" },
	/* container-exclude */
	{ { .annotations = "{" NAME ",\"" A "container-exclude\":\"log\"}",
	      TWO,
	      TWO_READY("true", "false") },
	    "10.1.2.3 1 ours ready" },
	/* phase, address, end */
	{ { .status = "\"phase\":\"Running\"" HOST_IP },
	    "@10.9.9.9 0 ours waits ready" },
	{ { .status = "\"phase\":\"Succeeded\"" }, "0 ours waits ready" },
	{ { .metadata = "\"deletionTimestamp\":\"2026-11-21T16:00:00Z\"," },
	    "10.1.2.3 1 ours ending ready" },
	/* addresses */
	{ { .status = STATUS HOST_IP
	      ",\"hostIPs\":[{\"ip\":\"10.9.9.9\"},{},{\"ip\":\"fd00::9\"}]" },
	    "10.1.2.3 @10.9.9.9 @fd00::9 1 ours ready" },
	{ { .status = "\"phase\":\"Running\",\"podIP\":\"10.0.0.1\","
		      "\"podIPs\":[{\"ip\":\"10.0.0.1\"},"
		      "{\"ip\":\"10.0.0.2\"},{\"ip\":\"fd00::1\"}]" },
	    "10.0.0.1 10.0.0.2 fd00::1 1 ours ready" },
	{ { .status = STATUS ",\"hostIP\":\"\"" }, "10.1.2.3 1 ours ready" },
	{ { .spec = "\"hostNetwork\":true," },
	    "10.1.2.3 1 ours ready host-network" },
	{ { .spec = "\"hostNetwork\":false," }, "10.1.2.3 1 ours ready" },
	/* the gate */
	{ { GATED }, "10.1.2.3 1 ours ready gated" },
	{ { GATED, .annotations = "{}" }, "10.1.2.3 0 ready gated" },
	{ { .spec = "\"readinessGates\":[{\"conditionType\":\"x/y\"}]," },
	    "10.1.2.3 1 ours ready" },
	{ { .spec = "\"readinessGates\":[{\"conditionType\":\"x/y\"},"
		    "{\"conditionType\":\"" GATE "\"}]," },
	    "10.1.2.3 1 ours ready gated" },
	{ { GATED, .status = CONDITION("True") },
	    "10.1.2.3 1 ours ready gated condition=2" },
	{ { GATED, .status = CONDITION("False") },
	    "10.1.2.3 1 ours ready gated condition=1" },
	{ { GATED, .status = CONDITION("Unknown") },
	    "10.1.2.3 1 ours ready gated condition=1" },
};

static void
append_addresses(char *to, size_t cap, const char *mark,
    const char *const *list, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		append(to, cap, mark);
		append(to, cap, list[i]);
		append(to, cap, " ");
	}
}

static void
append_if(char *to, size_t cap, bool is, const char *word)
{
	append(to, cap, is ? word : "");
}

static void
describe_item(const struct pod_item *p, char *to, size_t cap)
{
	char text[400];

	*to = '\0';
	append_addresses(to, cap, "", p->addresses, p->naddresses);
	append_addresses(to, cap, "@", p->node_addresses, p->nnode_addresses);
	snprintf(text, sizeof(text), "sidecar=%s ", p->sidecar);
	append_if(to, cap, *p->sidecar != '\0', text);
	snprintf(text, sizeof(text), "%u", p->services);
	append(to, cap, text);
	append_if(to, cap, p->ours, " ours");
	append_if(to, cap, p->waits, " waits");
	append_if(to, cap, p->ending, " ending");
	append_if(to, cap, p->ready, " ready");
	append_if(to, cap, p->sidecar_ready, " sidecar-ready");
	append_if(to, cap, p->host_network, " host-network");
	append_if(to, cap, p->gated, " gated");
	snprintf(text, sizeof(text), " condition=%d", (int)p->condition);
	append_if(to, cap, p->condition != POD_CONDITION_NONE, text);
}

static struct pod_item *
item_of(const struct pod *pod)
{
	const struct pod_entry *e = &pod->item;
	struct pod_item *item =
	    pod_item_decode(e->key, e->key_len, e->value, e->len);

	ck_assert_ptr_nonnull(item);
	ck_assert(pod_key_is(e->key, e->key_len));
	return item;
}

START_TEST(the_pod_itself)
{
	char *text = pod_text(&items[_i].pod), said[4096];
	struct pod *pod = parse_good(text);
	struct pod_item *item = item_of(pod);

	ck_assert_str_eq(item->namespace, "ns");
	ck_assert_str_eq(item->name, "p");
	ck_assert_str_eq(item->uid, "u-1");
	describe_item(item, said, sizeof(said));
	ck_assert_msg(strcmp(said, items[_i].item) == 0,
	    "%s:\n%s\nin place of\n%s", text, said, items[_i].item);
	free(item);
	pod_free(pod);
	free(text);
}
END_TEST

START_TEST(services_know_of_the_sidecar)
{
	const struct fragments with = { .annotations = LOG,
		TWO,
		TWO_READY("true", "true") };
	const struct fragments without = { .annotations = NULL };

	for (int i = 0; i < 2; i++) {
		char *text = pod_text(i == 0 ? &with : &without);
		struct pod *pod = parse_good(text);
		struct service *s = service_of(pod, 0);

		ck_assert_int_eq(s->sidecar, i == 0);
		free(s);
		pod_free(pod);
		free(text);
	}
}
END_TEST

/* One more than there is room for: the rest is left out. */
START_TEST(addresses_have_a_bound)
{
	char status[2000] =
	    "\"phase\":\"Running\",\"podIPs\":[{\"ip\":\"::1\"}";
	struct fragments f = { .status = status, .annotations = "{}" };
	struct pod_item *item;
	struct pod *pod;
	char *text;

	for (unsigned i = 0; i < POD_ADDRESSES; i++) {
		char ip[40];

		snprintf(ip, sizeof(ip), ",{\"ip\":\"10.0.0.%u\"}", i);
		append(status, sizeof(status), ip);
	}
	append(status, sizeof(status), "]");
	text = pod_text(&f);
	pod = parse_good(text);
	item = item_of(pod);
	ck_assert_uint_eq(item->naddresses, POD_ADDRESSES);
	ck_assert_str_eq(item->addresses[POD_ADDRESSES - 1], "10.0.0.14");
	free(item);
	pod_free(pod);
	free(text);
}
END_TEST

#define TEN(s) s s s s s s s s s s
#define DEEP   TEN(TEN("[")) TEN(TEN("]"))

/* What no apiserver lets in. */
static const struct {
	struct fragments pod;
	const char *why;
} refused_pods[] = {
	{ { .metadata = "\"name\":\"x\"," }, "\"name\" stands" },
	{ { .status = STATUS ",\"phase\":\"Failed\"" }, "\"phase\" stands" },
	{ { .status = STATUS ",\"ph\\u0061se\":\"Failed\"" }, "twice" },
	{ { .statuses = "[{\"name\":\"web\",\"ready\":true,\"ready\":false}]" },
	    "\"ready\" stands" },
	{ { .annotations = "{\"a\":\"\",\"a\":\"\"}" }, "\"a\" stands" },
	{ { .annotations = "{\"a\\u0000\":\"\"}" },
	    "a NUL in a member's name" },
	{ { .status = "\"phase\":" DEEP }, "nested too deeply" },
	{ { .annotations = "[\"a\"]" }, "\"annotations\" is not an object" },
	{ { .annotations = "{\"x\":8080}" }, "annotation \"x\" is not text" },
	{ { .annotations = "{\"x\":null}" }, "annotation \"x\" is not text" },
	{ { .containers = "5" }, "\"containers\" is not a list" },
	{ { .containers = "[5]" }, "\"containers\" holds something" },
	{ { .containers = "[null]" }, "\"containers\" holds something" },
	{ { .containers = "[{}]" }, "\"name\" of a container" },
	{ { .containers = "[{\"name\":\"\"}]" }, "\"name\" of a container" },
	{ { .containers = "[{\"name\":\"A\"}]" }, "\"name\" of a container" },
	{ { .containers = "[{\"name\":\"-a\"}]" }, "\"name\" of a container" },
	{ { .containers = "[{\"name\":\"a\\u0000\"}]" }, "holds a NUL" },
	{ { .containers = "[{\"name\":\"a\"},{\"name\":\"a\"}]" },
	    "two containers are named \"a\"" },
	{ { .containers = "[{\"name\":\"a\",\"ports\":1}]" },
	    "\"ports\" is not a list" },
	{ { .containers = "[{\"name\":\"a\",\"ports\":[1]}]" },
	    "\"ports\" holds" },
	{ { .containers = "[{\"name\":\"a\",\"ports\":[{}]}]" },
	    "\"containerPort\" is not 1-65535" },
	{ { .containers =
		  "[{\"name\":\"a\",\"ports\":[{\"containerPort\":65536}]}]" },
	    "\"containerPort\" is not 1-65535" },
	{ { .containers =
		  "[{\"name\":\"a\",\"ports\":[{\"containerPort\":\"80\"}]}]" },
	    "\"containerPort\" is not a whole number" },
	{ { .containers =
		  "[{\"name\":\"a\",\"ports\":[{\"containerPort\":8.5}]}]" },
	    "\"containerPort\" is not a whole number" },
	{ { .statuses = "5" }, "\"containerStatuses\" is not a list" },
	{ { .statuses = "[[]]" }, "\"containerStatuses\" holds" },
	{ { .statuses = "[{\"ready\":true}]" }, "no \"name\"" },
	{ { .statuses = "[{\"name\":\"web\",\"ready\":\"no\"}]" },
	    "\"ready\" is not true or false" },
	{ { .statuses = "[{\"name\":\"web\",\"ready\":1}]" },
	    "\"ready\" is not true or false" },
	{ { .statuses = "[{\"name\":\"web\",\"ready\":true},"
			"{\"name\":\"web\",\"ready\":false}]" },
	    "two statuses of container \"web\"" },
	{ { .spec = "\"hostNetwork\":1," }, "\"hostNetwork\" is not true" },
	{ { .spec = "\"readinessGates\":{}," }, "\"readinessGates\" is not" },
	{ { .spec = "\"readinessGates\":[{\"conditionType\":1}]," },
	    "\"conditionType\" is not text" },
	{ { .status = STATUS ",\"conditions\":[1]" }, "\"conditions\" holds" },
	{ { .status = STATUS ",\"conditions\":[{\"status\":true}]" },
	    "\"status\" is not text" },
	{ { .status = STATUS ",\"hostIP\":\"n1\"" },
	    "\"hostIP\" is no address" },
	{ { .status = STATUS ",\"hostIPs\":[{\"ip\":\"n1\"}]" },
	    "\"hostIPs\" is no address" },
	{ { .spec = "\"initContainers\":{}," }, "\"initContainers\" is not" },
	{ { .spec = "\"initContainers\":[{\"restartPolicy\":1}]," },
	    "\"restartPolicy\" is not text" },
	{ { .status = "\"phase\":7" }, "\"phase\" is not text" },
	{ { .status = "\"phase\":\"Up\"" }, "\"phase\" is none" },
	{ { .status = "\"podIP\":1" }, "\"podIP\" is not text" },
	{ { .status = "\"podIP\":\"localhost\"" }, "\"podIP\" is no address" },
	{ { .status = "\"podIP\":\"10.0.0.1/8\"" }, "\"podIP\" is no address" },
	{ { .status = "\"podIP\":\"::1%lo\"" }, "\"podIP\" is no address" },
	{ { .status = "\"podIPs\":\"10.0.0.1\"" }, "\"podIPs\" is not a list" },
	{ { .status = "\"podIPs\":[\"10.0.0.1\"]" }, "\"podIPs\" holds" },
	{ { .status = "\"podIPs\":[{\"ip\":\"x\"}]" }, "is no address" },
	{ { .metadata = "\"deletionTimestamp\":1," },
	    "\"deletionTimestamp\" is not text" },
};

START_TEST(refused_by_content)
{
	char *text = pod_text(&refused_pods[_i].pod);
	struct refusal r;

	ck_assert_ptr_null(parse(text, &r));
	ck_assert_msg(strstr(r.why, refused_pods[_i].why) != NULL,
	    "%s\n%s in place of %s", text, r.why, refused_pods[_i].why);
	free(text);
}
END_TEST

#define META(s) "{\"metadata\":{" s "},\"spec\":{\"nodeName\":\"n1\"}}"
#define NS      "\"namespace\":\"ns\""
#define UID     "\"uid\":\"u-1\""

static const struct {
	const char *text;
	const char *why; /* NULL: it is fine */
} identities[] = {
	{ META(NS "," UID ",\"name\":\"a.b-c.9\""), NULL },
	{ "{\"metadata\":{" NS "," UID ",\"name\":\"p\"}}", NULL },
	{ "{}", "no \"namespace\"" },
	{ "{\"metadata\":[]}", "\"metadata\" is not an object" },
	{ META(NS "," UID), "no \"name\"" },
	{ META(NS ",\"name\":\"p\""), "no \"uid\"" },
	{ META(UID ",\"name\":\"p\""), "no \"namespace\"" },
	{ META(NS "," UID ",\"name\":\"\""), "\"name\" is none" },
	{ META(NS "," UID ",\"name\":\"a_b\""), "\"name\" is none" },
	{ META(NS "," UID ",\"name\":\"a..b\""), "\"name\" is none" },
	{ META(NS "," UID ",\"name\":\"a.\""), "\"name\" is none" },
	{ META(NS "," UID ",\"name\":\"A\""), "\"name\" is none" },
	{ META(NS "," UID ",\"name\":\"p\\u0000\""), "\"name\" holds a NUL" },
	{ META(NS "," UID ",\"name\":1"), "\"name\" is not text" },
	{ META("\"namespace\":\"a.b\"," UID ",\"name\":\"p\""),
	    "\"namespace\" is none" },
	{ META("\"namespace\":\"a_b\"," UID ",\"name\":\"p\""),
	    "\"namespace\" is none" },
	{ META("\"namespace\":\"0123456789012345678901234567890123456789"
	       "012345678901234567890123\"," UID ",\"name\":\"p\""),
	    "\"namespace\" is none" },
	{ META(NS ",\"name\":\"p\",\"uid\":\"\""), "\"uid\" is none" },
	{ META(NS ",\"name\":\"p\",\"uid\":\"a b\""), "\"uid\" is none" },
	{ "{\"metadata\":{" NS "," UID ",\"name\":\"p\"},\"spec\":1}",
	    "\"spec\" is not an object" },
	{ "{\"metadata\":{" NS "," UID ",\"name\":\"p\"},\"status\":1}",
	    "\"status\" is not an object" },
	{ "{\"metadata\":{" NS "," UID ",\"name\":\"p\"},"
	  "\"spec\":{\"nodeName\":1}}",
	    "\"nodeName\" is not text" },
	{ "{\"metadata\":{" NS "," UID ",\"name\":\"p\"},"
	  "\"spec\":{\"nodeName\":\"a b\"}}",
	    "\"nodeName\" is none" },
};

START_TEST(identity)
{
	struct refusal r;
	struct pod *pod = parse(identities[_i].text, &r);

	ck_assert_int_eq(pod == NULL, identities[_i].why != NULL);
	if (identities[_i].why != NULL)
		ck_assert_msg(strstr(r.why, identities[_i].why) != NULL, "%s",
		    r.why);
	pod_free(pod);
}
END_TEST

START_TEST(refusal_names_the_pod)
{
	struct fragments f = { .status = "\"phase\":7" };
	char *text = pod_text(&f);
	struct refusal r;

	ck_assert_ptr_null(parse(text, &r));
	ck_assert_str_eq(r.where, "pod ns/p");
	free(text);
}
END_TEST

/* What a pod's owner can write where nobody looks. */
static const struct fragments others[] = {
	{ .metadata = "\"managedFields\":[{\"fieldsV1\":" DEEP "}]," },
	{ .metadata = "\"managedFields\":[{\"a\\u0000\":1,\"a\":2,\"a\":3}]," },
	{ .spec =
		"\"volumes\":[{\"csi\":{\"volumeAttributes\":"
		"{\"\\u0000\":\"\",\"\\ufffd\":\"1\",\"\\ufffd\":\"2\"}}}]," },
	{ .spec = "\"a\":[{\"b\":{\"x\":1,\"x\":2}}],\"a\":7," },
	{ .containers = "[{\"name\":\"web\",\"env\":[{\"name\":1,\"name\":2}],"
			"\"ports\":[{\"containerPort\":8080,\"x\":" DEEP
			"},{\"containerPort\":0}]}]" },
	{ .status = STATUS
	    ",\"containerStatuse\":0,\"hostIPX\":\"\",\"x\":{\"phase\":1}" },
};

START_TEST(what_nobody_reads)
{
	char *text = pod_text(&others[_i]), services[4096];
	struct pod *pod = parse_good(text);

	describe(pod, services, sizeof(services));
	ck_assert_str_eq(services, "web 8080 passing");
	ck_assert_uint_eq(pod->nnotices, 0);
	pod_free(pod);
	free(text);
}
END_TEST

/* There as it is, a value with a NUL is not another annotation's. */
START_TEST(a_port_with_a_nul)
{
	const struct fragments f = WITH("\"" A "service-port\":\"81\",\"" A
					"service-port-web\":\"82\\u0000\"");
	char *text = pod_text(&f);
	struct pod *pod = parse_good(text);

	ck_assert_uint_eq(pod->nservices, 0);
	ck_assert_uint_eq(pod->nnotices, 2);
	ck_assert_str_eq(pod->notices[0],
	    "pod ns/p: annotation service-port-web: holds a NUL; not used");
	ck_assert_str_eq(pod->notices[1],
	    "pod ns/p: annotation service-port-web \"\": not a port "
	    "(1-65535); service \"web\" left out");
	pod_free(pod);
	free(text);
}
END_TEST

/* n items, each of the text with its number, between commas. */
static char *
numbered(const char *fmt, unsigned n)
{
	char *s = xcalloc(n + 1, 1024), *to = s;

	for (unsigned i = 0; i < n; i++)
		to += sprintf(to, "%s%.*s%03u", i > 0 ? "," : "", 1000, fmt, i);
	return s;
}

static char *
text_with(const char *annotation, const char *value)
{
	size_t cap = strlen(value) + 400;
	char *an = xmalloc(cap), *text;
	struct fragments f = { .annotations = an };

	snprintf(an, cap, "{" NAME ",\"" A "%s\":\"%s\"}", annotation, value);
	text = pod_text(&f);
	free(an);
	return text;
}

static const struct {
	const char *annotation;
	const char *item; /* a number goes behind it */
	unsigned n;
	size_t ntags;
	size_t nmeta;
	size_t nnotices;
} bounds[] = {
	{ "service-tags", "t", 64, 64, 5, 0 },
	{ "service-tags", "t", 66, 64, 5, 1 },
	{ "service-meta", "x:y", 1, 0, 6, 0 },
	{ "service-meta", "x.y:", 300, 0, 5, 128 },
	{ "service-tags-web", "t", 300, 64, 5, 1 },
	{ "container-exclude", "c", 300, 0, 5, 128 },
};

START_TEST(bounds_of_lists)
{
	char *value = numbered(bounds[_i].item, bounds[_i].n);
	char *text = text_with(bounds[_i].annotation, value);
	struct pod *pod = parse_good(text);
	struct service *s = service_of(pod, 0);

	ck_assert_uint_eq(s->ntags, bounds[_i].ntags);
	ck_assert_uint_eq(s->nmeta, bounds[_i].nmeta);
	ck_assert_uint_eq(pod->nnotices, bounds[_i].nnotices);
	free(s);
	pod_free(pod);
	free(text);
	free(value);
}
END_TEST

/* So many items, numbered from 0 to 63 again and again, and then the last. */
static const struct {
	const char *annotation;
	const char *head;
	const char *tail;
	unsigned n;
	const char *last;
	size_t ntags;
	size_t nmeta;
	const char *notice; /* NULL: none */
} ends[] = {
	{ "service-tags", "t", "", 63, "z", 64, 5, NULL },
	{ "service-tags", "t", "", 64, "z", 64, 5,
	    "\"z\": more than 64 tags; this and those behind it left out" },
	{ "service-tags-web", "t", "", 255, "t0", 64, 5, NULL },
	{ "service-tags-web", "t", "", 256, "t0", 64, 5,
	    "\"t0\": more than 256 items; this and those behind it left out" },
	{ "service-meta", "k", ":v", 58, "z:v", 0, 64, NULL },
	{ "service-meta", "k", ":v", 59, "k0:w", 0, 64, NULL },
	{ "service-meta", "k", ":v", 59, "z:v", 0, 64,
	    "\"z:v\": more than 64 pairs, 5 of them katalogd's own; this and "
	    "those behind it left out" },
};

START_TEST(ends_of_lists)
{
	char value[4096], *to = value, *text;
	struct service *s;
	struct pod *pod;

	for (unsigned i = 0; i < ends[_i].n; i++)
		to += sprintf(to, "%s%u%s,", ends[_i].head, i % 64,
		    ends[_i].tail);
	strcpy(to, ends[_i].last);
	text = text_with(ends[_i].annotation, value);
	pod = parse_good(text);
	s = service_of(pod, 0);
	ck_assert_uint_eq(s->ntags, ends[_i].ntags);
	ck_assert_uint_eq(s->nmeta, ends[_i].nmeta);
	ck_assert_uint_eq(pod->nnotices, ends[_i].notice != NULL);
	if (ends[_i].notice != NULL)
		ck_assert_msg(strstr(pod->notices[0], ends[_i].notice) != NULL,
		    "%s", pod->notices[0]);
	free(s);
	pod_free(pod);
	free(text);
}
END_TEST

/*
 * As many services as a pod may have, and an annotation as large as the
 * apiserver takes, which each of them walks: what that takes is told by the
 * bytes of the items that are looked at.
 */
static size_t
most_held(const char *annotation, const char *value)
{
	char *names = numbered("s", LIMIT_SERVICES_PER_POD), key[100];
	json_object *all = json_object_new_object();
	struct pod *pod = xcalloc(1, sizeof(*pod));
	struct derivation d = { .conf = &conf,
		.pod = pod,
		.address = "10.0.0.1",
		.notes = "{}",
		.ttl_ms = 1000,
		.containers.first_port = 80,
		.notices.pod = "ns/p",
		.item.sidecar = "" };

	d.an = (struct annotations){ all, &d.arena, &d.notices };
	pod->namespace = xstrdup("ns");
	pod->name = xstrdup("p");
	pod->uid = xstrdup("u-1");
	json_object_object_add(all, A "service-names",
	    json_object_new_string(names));
	snprintf(key, sizeof(key), A "%s", annotation);
	json_object_object_add(all, key, json_object_new_string(value));
	services_derive(&d);
	ck_assert_uint_eq(pod->nservices, LIMIT_SERVICES_PER_POD);
	pod->notices = d.notices.lines;
	pod->nnotices = d.notices.n;
	arena_free(&d.arena);
	ck_assert_uint_eq(d.arena.held, 0);
	pod_free(pod);
	json_object_put(all);
	free(names);
	return d.arena.most_held;
}

#define ANNOTATION_MAX ((size_t)256 * 1024)

static const struct {
	const char *annotation;
	const char *item; /* without end */
	size_t most;
} large[] = {
	{ "service-tags", "t,", 4096 },
	{ "service-tags", "\x01t,", 4096 },
	{ "service-tags", "a", ANNOTATION_MAX + 4096 },
	{ "service-meta", ":,", 4096 },
	{ "service-meta", "k", ANNOTATION_MAX + 4096 },
	{ "service-meta", "k:", 3 * ANNOTATION_MAX + 4096 },
};

START_TEST(large_annotations)
{
	char *value = xcalloc(ANNOTATION_MAX + 10, 1), *to = value;

	while (to < value + ANNOTATION_MAX)
		to = stpcpy(to, large[_i].item);
	ck_assert_uint_le(most_held(large[_i].annotation, value),
	    large[_i].most);
	free(value);
}
END_TEST

START_TEST(many_tags)
{
	char *value = numbered("t", 60000);

	ck_assert_uint_le(most_held("service-tags", value), 4096);
	free(value);
}
END_TEST

/* A pod of as many services as it may have, each with the same tags. */
static struct pod *
pod_with_tags(const char *tags)
{
	char *names = numbered("s", LIMIT_SERVICES_PER_POD), *an, *text;
	struct fragments f = { .annotations = NULL };
	struct pod *pod;

	an = xmalloc(strlen(names) + strlen(tags) + 200);
	sprintf(an,
	    "{\"" A "service-names\":\"%s\",\"" A "service-tags\":\"%s\"}",
	    names, tags);
	f.annotations = an;
	text = pod_text(&f);
	pod = parse_good(text);
	free(text);
	free(an);
	free(names);
	return pod;
}

static size_t
bytes_of_services(const struct pod *pod)
{
	size_t len = 0;

	for (size_t i = 0; i < pod->nservices; i++)
		len += pod->services[i].len;
	return len;
}

/* How many services of the pod there are beside each other. */
static const struct {
	const char *tag; /* a number goes behind it */
	bool all;
	size_t most; /* bytes of them */
} rooms[] = {
	{ "tag-of-20-bytes--", true, LIMIT_POD_SERVICES },
	{ "a-tag-of-a-hundred-bytes-and-more-of-which-there-are-too-many-for-a-"
	  "pod-that-has-so-many-of-its-services",
	    false, LIMIT_POD_SERVICES },
	/* The same bytes are more in Consul's JSON. */
	{ "<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<", false, LIMIT_POD_SERVICES / 4 },
	{ "&>&>&>&>&>&>&>&>&>&>&>&>&>&>&>", false, LIMIT_POD_SERVICES / 4 },
	{ "\\\"\\\\\\\"\\\\\\\"\\\\\\\"\\\\\\\"\\\\\\\"\\\\"
	  "\\\"\\\\\\\"\\\\\\\"\\\\\\\"\\\\\\\"\\\\\\\"\\\\",
	    false, LIMIT_POD_SERVICES * 2 / 3 },
};

START_TEST(bounds_of_all_services)
{
	char *tags = numbered(rooms[_i].tag, LIMIT_TAGS);
	struct pod *pod = pod_with_tags(tags);

	ck_assert_uint_gt(pod->nservices, 0);
	ck_assert_int_eq(pod->nservices == LIMIT_SERVICES_PER_POD,
	    rooms[_i].all);
	ck_assert_uint_eq(pod->nservices + pod->nnotices,
	    LIMIT_SERVICES_PER_POD);
	ck_assert_uint_le(bytes_of_services(pod), rooms[_i].most);
	if (!rooms[_i].all)
		ck_assert_ptr_nonnull(strstr(pod->notices[0],
		    "pod ns/p: its services take more than 128 kB; service "
		    "\"s0"));
	pod_free(pod);
	free(tags);
}
END_TEST

/* So many a's. */
static const struct {
	const char *annotation;
	const char *head;
	unsigned n;
	const char *tail;
	bool kept;
} lengths[] = {
	{ "service-tags", "", 255, "", true },
	{ "service-tags", "", 256, "", false },
	{ "service-meta", "", 128, ":x", true },
	{ "service-meta", "", 129, ":x", false },
	{ "service-meta", "x:", 512, "", true },
	{ "service-meta", "x:", 513, "", false },
};

START_TEST(bounds_of_lengths)
{
	char value[1024], as[600], *text;
	struct service *s;
	struct pod *pod;

	memset(as, 'a', sizeof(as));
	snprintf(value, sizeof(value), "%s%.*s%s", lengths[_i].head,
	    (int)lengths[_i].n, as, lengths[_i].tail);
	text = text_with(lengths[_i].annotation, value);
	pod = parse_good(text);
	s = service_of(pod, 0);
	ck_assert_uint_eq(s->ntags + s->nmeta, 5U + lengths[_i].kept);
	ck_assert_uint_eq(pod->nnotices, !lengths[_i].kept);
	free(s);
	pod_free(pod);
	free(text);
}
END_TEST

START_TEST(bounds_of_names)
{
	char *names = numbered("s", LIMIT_SERVICES_PER_POD + 5), *an, *text;
	struct fragments f = { .annotations = NULL };
	struct pod *pod;

	an = xmalloc(strlen(names) + 100);
	sprintf(an, "{\"" A "service-names\":\"%s\"}", names);
	f.annotations = an;
	text = pod_text(&f);
	pod = parse_good(text);
	ck_assert_uint_eq(pod->nservices, LIMIT_SERVICES_PER_POD);
	ck_assert_uint_eq(pod->nnotices, 1);
	pod_free(pod);
	free(text);
	free(an);
	free(names);
}
END_TEST

/* Fills to with tags and meta, each as long as it may be. */
static void
largest_annotations(char *to)
{
	char as[600];

	memset(as, 'a', sizeof(as));
	to += sprintf(to,
	    "{\"" A "service-names\":\"%.100s\",\"" A "service-tags\":\"", as);
	for (int i = 0; i < LIMIT_TAGS; i++)
		to += sprintf(to, ",%.*s%02d", LIMIT_TAG - 2, as, i);
	to += sprintf(to, "\",\"" A "service-meta\":\"");
	for (int i = 0; i < LIMIT_META - 5; i++)
		to += sprintf(to, ",%.*s%02d:%.*s", LIMIT_META_KEY - 2, as, i,
		    LIMIT_META_VALUE, as);
	sprintf(to, "\"}");
}

static void
many_containers(char *to, int n)
{
	to += sprintf(to,
	    "[{\"name\":\"web\",\"ports\":[{\"containerPort\":1}]}");
	for (int i = 0; i < n; i++)
		to += sprintf(to, ",{\"name\":\"c%062d\"}", i);
	sprintf(to, "]");
}

/* Every bound is kept, and still the whole does not fit one item. */
START_TEST(an_item_too_large)
{
	char *annotations = xmalloc(100000), *containers = xmalloc(10000);
	char name[LIMIT_K8S_NAME + 1] = "", *text;
	struct fragments f = { .name = name,
		.annotations = annotations,
		.containers = containers };
	struct pod *pod;

	memset(name, 'p', LIMIT_K8S_NAME);
	largest_annotations(annotations);
	many_containers(containers, 55);
	text = pod_text(&f);
	pod = parse_good(text);
	ck_assert_uint_eq(pod->nservices, 0);
	ck_assert_uint_eq(pod->nnotices, 1);
	ck_assert(strstr(pod->notices[0],
		      "too many tags and meta; service \"aaaaaaa") != NULL);
	pod_free(pod);
	free(text);
	free(containers);
	free(annotations);
}
END_TEST

START_TEST(notes_too_long)
{
	char *containers = xmalloc(20000), *text;
	struct fragments f = { .containers = containers };
	struct service *s;
	struct pod *pod;

	many_containers(containers, 100);
	text = pod_text(&f);
	pod = parse_good(text);
	s = service_of(pod, 0);
	ck_assert_str_eq(s->notes, "{}");
	ck_assert_uint_eq(pod->nnotices, 1);
	free(s);
	pod_free(pod);
	free(text);
	free(containers);
}
END_TEST

static TCase *
cases(void)
{
	TCase *t = tcase_create("pods");

	tcase_add_loop_test(t, the_real_list, 0, COUNT(real));
	tcase_add_test(t, all_fields_of_a_service);
	tcase_add_loop_test(t, derivation, 0, COUNT(derived));
	tcase_add_loop_test(t, intervals_and_ttls, 0, COUNT(times));
	tcase_add_loop_test(t, pod_addresses, 0, COUNT(addresses));
	tcase_add_loop_test(t, output_and_notes, 0, COUNT(checks));
	tcase_add_loop_test(t, the_pod_itself, 0, COUNT(items));
	tcase_add_test(t, services_know_of_the_sidecar);
	tcase_add_test(t, addresses_have_a_bound);
	tcase_add_loop_test(t, refused_by_content, 0, COUNT(refused_pods));
	tcase_add_loop_test(t, identity, 0, COUNT(identities));
	tcase_add_test(t, refusal_names_the_pod);
	tcase_add_loop_test(t, what_nobody_reads, 0, COUNT(others));
	tcase_add_test(t, a_port_with_a_nul);
	tcase_add_loop_test(t, bounds_of_lists, 0, COUNT(bounds));
	tcase_add_loop_test(t, ends_of_lists, 0, COUNT(ends));
	tcase_add_loop_test(t, large_annotations, 0, COUNT(large));
	tcase_add_test(t, many_tags);
	tcase_add_loop_test(t, bounds_of_all_services, 0, COUNT(rooms));
	tcase_add_loop_test(t, bounds_of_lengths, 0, COUNT(lengths));
	tcase_add_test(t, bounds_of_names);
	tcase_add_test(t, an_item_too_large);
	tcase_add_test(t, notes_too_long);
	return t;
}

int
main(void)
{
	Suite *s = suite_create("pods");
	SRunner *r = srunner_create(s);
	int failed;

	suite_add_tcase(s, cases());
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
