#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "tests/unit/k8s_text.h"
#include "workers/k8s_writer/kube_json.h"

#define COUNT(a) (sizeof(a) / sizeof(*(a)))
#define SVC      KUBE_SERVICE
#define SLC      KUBE_SLICE
#define RTE      KUBE_ROUTE

static const char *
read_object(enum kube_kind kind, const char *text, struct kube_object *o)
{
	return kube_json_object(&k8s_conf, kind, text, strlen(text), o);
}

/* ---- what is in an object ---- */

START_TEST(a_service)
{
	struct kube_object o;

	ck_assert_ptr_null(read_object(SVC, k8s_answers[SVC], &o));
	ck_assert_str_eq(o.name, "web");
	ck_assert_str_eq(o.uid, K8S_UID);
	ck_assert_str_eq(o.version, "206");
	ck_assert_uint_eq(o.order, 206);
	ck_assert(o.ours);
	ck_assert(!o.leaving);
	ck_assert(!o.selector);
	ck_assert(o.ports_applied);
	ck_assert_str_eq(kube_service_name(&o), "Web");
	kube_object_clear(&o);
	kube_object_clear(&o);
}
END_TEST

START_TEST(a_service_of_the_same_name)
{
	char *text =
	    k8s_replace(k8s_answers[SVC], ",\"annotations\":{", ",\"x\":{");
	struct kube_object o;

	ck_assert_ptr_null(read_object(SVC, text, &o));
	ck_assert_str_eq(kube_service_name(&o), "web");
	kube_object_clear(&o);
	free(text);
}
END_TEST

START_TEST(a_slice)
{
	char text[BACKEND_ADDRESS];
	struct kube_object o;

	ck_assert_ptr_null(read_object(SLC, k8s_answers[SLC], &o));
	ck_assert_str_eq(o.name, "web-consul");
	ck_assert_str_eq(o.service, "web");
	ck_assert_int_eq(o.family, BACKEND_IPV4);
	ck_assert_uint_eq(o.port, 8080);
	ck_assert_uint_eq(o.n, 2);
	address_text(&o.at[1], text);
	ck_assert_str_eq(text, "10.0.0.2");
	kube_object_clear(&o);
}
END_TEST

/* ---- what counts as a change ---- */

enum effect { SAME, DIFFERS, REFUSED };

static const struct change {
	enum kube_kind kind;
	const char *from;
	const char *to;
	enum effect effect;
} changes[] = {
	/* not ours, or filled in by the apiserver */
	{ SVC, "\"206\"", "\"207\"", SAME },
	{ SVC, "\"labels\":{", "\"labels\":{\"x\":\"y\",", SAME },
	{ SVC, "\"annotations\":{", "\"annotations\":{\"x\":\"y\",", SAME },
	{ SVC, "\"protocol\":\"TCP\",", "", SAME },
	{ SVC, ",\"targetPort\":8080", "", SAME },
	{ SVC, "\"targetPort\":8080", "\"targetPort\":0", SAME },
	{ SVC, "\"targetPort\":8080", "\"targetPort\":8080,\"nodePort\":0",
	    SAME },
	{ SVC, "\"type\":\"ClusterIP\",", "", SAME },
	{ SVC, "\"RequireDualStack\"", "\"SingleStack\"", SAME },
	{ SVC, "\"spec\":{", "\"spec\":{\"selector\":{},", SAME },
	{ SVC, "\"spec\":{", "\"spec\":{\"selector\":null,", SAME },
	/* ours */
	{ SVC, "name\":\"web\"}", "name\":\"api\"}", DIFFERS },
	{ SVC, ",\"app.kubernetes.io/name\":\"web\"", "", DIFFERS },
	{ SVC, "\"Web\"", "\"web_\"", DIFFERS },
	{ SVC, "\"annotations\":{", "\"x\":{", DIFFERS },
	{ SVC, "\"port\":8080", "\"port\":8081", DIFFERS },
	{ SVC, "\"targetPort\":8080", "\"targetPort\":80", DIFFERS },
	{ SVC, "\"targetPort\":8080", "\"targetPort\":\"web\"", DIFFERS },
	{ SVC, "\"TCP\"", "\"UDP\"", DIFFERS },
	{ SVC, "\"http\"", "\"web\"", DIFFERS },
	{ SVC, "kubernetes.io/h2c", "http", DIFFERS },
	{ SVC, "\"None\"", "\"10.0.0.9\"", DIFFERS },
	{ SVC, "\"type\":\"ClusterIP\"", "\"type\":\"NodePort\"", DIFFERS },
	{ SVC, "\"ports\":[", "\"ports\":[{\"port\":81},", DIFFERS },
	{ SVC, "\"spec\":{", "\"spec\":{\"selector\":{\"a\":\"b\"},", DIFFERS },
	{ SVC, "\"spec\":{", "\"spec\":null,\"x\":{", DIFFERS },
	/* not as the API is */
	{ SVC, "\"port\":8080", "\"port\":\"8080\"", DIFFERS },
	{ SVC, "\"port\":8080", "\"port\":8080.5", DIFFERS },
	{ SVC, "\"port\":8080", "\"port\":0", DIFFERS },
	{ SVC, "\"port\":8080", "\"port\":65536", DIFFERS },
	{ SVC, "\"port\":8080", "\"port\":99999999999999999999", DIFFERS },
	{ SVC, "\"targetPort\":8080", "\"targetPort\":[]", DIFFERS },
	{ SVC, "\"targetPort\":8080", "\"targetPort\":-1", DIFFERS },
	{ SVC, "\"ports\":[", "\"ports\":[7,", DIFFERS },
	{ SVC, "\"spec\":{", "\"spec\":[],\"x\":{", DIFFERS },
	{ SVC, "\"spec\":{", "\"spec\":{\"selector\":7,", DIFFERS },
	{ SVC, "\"labels\":{", "\"labels\":[],\"x\":{", DIFFERS },
	{ SVC, "\"consul-sync\",\"app", "true,\"app", DIFFERS },
	{ SVC, "\"name\":\"web\"", "\"name\":\"WEB\"", REFUSED },
	{ SVC, "\"name\":\"web\"", "\"name\":\"a\\u0000b\"", REFUSED },
	{ SVC, "\"name\":\"web\"", "\"name\":\"\"", REFUSED },
	{ SVC, "\"name\":\"web\"", "\"name\":\"../x\"", REFUSED },
	{ SVC, "\"name\":\"web\",", "", REFUSED },
	{ SVC, "\"uid\":", "\"x\":", REFUSED },
	{ SVC, "\"resourceVersion\":", "\"x\":", REFUSED },
	{ SVC, "\"resourceVersion\":\"206\"", "\"resourceVersion\":206",
	    REFUSED },
	{ SVC, "\"creationTimestamp\":", "\"deletionTimestamp\":7,\"x\":",
	    REFUSED },
	{ SVC, "\"kind\":\"Service\"", "\"kind\":\"Secret\"", REFUSED },
	{ SVC, "\"apiVersion\":\"v1\"", "\"apiVersion\":\"v2\"", REFUSED },
	{ SVC, "\"web\"", "\"web\xff\"", REFUSED },
	{ SVC, "}\n", "}\n}", REFUSED },
	{ SVC, "}\n", "}\n{}", REFUSED },
	{ SVC, "}\n", "", REFUSED },

	{ SLC, "\"generation\":1", "\"generation\":2", SAME },
	{ SLC, "\"protocol\":\"TCP\",", "", SAME },
	{ SLC, "\"apiVersion\":\"v1\"",
	    "\"apiVersion\":\"v1\",\"controller\":"
	    "true",
	    SAME },
	{ SLC, "\"ownerReferences\":[",
	    "\"ownerReferences\":[{\"kind\":\"Pod\",\"uid\":\"x\"},", SAME },
	{ SLC, "10.0.0.1", "::ffff:10.0.0.1", DIFFERS },
	{ SLC, "10.0.0.1", "10.0.0.3", DIFFERS },
	{ SLC, "10.0.0.1", "web.example", DIFFERS },
	{ SLC, "true", "false", DIFFERS },
	{ SLC, "\"ready\":true", "\"ready\":null", DIFFERS },
	{ SLC, "\"ready\":true", "\"ready\":true,\"serving\":false", DIFFERS },
	{ SLC, "\"node-1\"", "\"node-2\"", DIFFERS },
	{ SLC, "\"nodeName\":\"node-1\",", "", DIFFERS },
	{ SLC, "\"eu-1a\"", "\"eu-1b\"", DIFFERS },
	{ SLC, "\"zone\"", "\"hints\":{},\"zone\"", DIFFERS },
	{ SLC, "\"10.0.0.1\"", "\"10.0.0.1\",\"10.0.0.9\"", DIFFERS },
	{ SLC, "\"10.0.0.1\"", "", DIFFERS },
	{ SLC, "\"endpoints\":[",
	    "\"endpoints\":[{\"addresses\":[\"10.0.0.7\"]},", DIFFERS },
	{ SLC, "\"endpoints\":[", "\"endpoints\":null,\"x\":[", DIFFERS },
	{ SLC, "\"ports\":[", "\"ports\":[{\"port\":81},", DIFFERS },
	{ SLC, "\"ports\":[", "\"ports\":[{},", DIFFERS },
	{ SLC, "\"ports\":[", "\"ports\":null,\"x\":[", DIFFERS },
	{ SLC, "\"port\":8080", "\"port\":8081", DIFFERS },
	{ SLC, "\"http\"", "\"web\"", DIFFERS },
	{ SLC, "service-name\":\"web\"", "service-name\":\"api\"", DIFFERS },
	{ SLC, "endpointslice.kubernetes.io/managed-by", "x", DIFFERS },
	{ SLC, "\"kind\":\"Service\",\"name\":\"web\",\"uid\":\"6",
	    "\"kind\":\"Service\",\"name\":\"web\",\"uid\":\"7", DIFFERS },
	{ SLC, "\"ownerReferences\":[",
	    "\"ownerReferences\":[{\"kind\":\"Service\",\"name\":\"web\","
	    "\"uid\":\"old\"},",
	    DIFFERS },
	{ SLC, "\"IPv4\"", "\"IPv6\"", DIFFERS },
	{ SLC, "\"IPv4\"", "\"FQDN\"", DIFFERS },
	{ SLC, "\"IPv4\"", "\"IPv5\"", DIFFERS },
	{ SLC, "\"addressType\":\"IPv4\",", "", DIFFERS },
	{ SLC, "\"port\":8080", "\"port\":0", DIFFERS },
	{ SLC, "\"port\":8080", "\"port\":-1", DIFFERS },
	{ SLC, "\"port\":8080", "\"port\":70000", DIFFERS },
	{ SLC, "true", "1", DIFFERS },
	{ SLC, "\"10.0.0.1\"", "7", DIFFERS },
	{ SLC, "[\"10.0.0.1\"]", "\"10.0.0.1\"", DIFFERS },
	{ SLC, "\"endpoints\":[", "\"endpoints\":[[],", DIFFERS },

	{ RTE, "\"weight\":1", "\"weight\":null", SAME },
	{ RTE, ",\"weight\":1", "", SAME },
	{ RTE, "\"group\":\"\",\"kind\":\"Service\",", "", SAME },
	{ RTE, "\"group\":\"gateway.networking.k8s.io\",", "", SAME },
	{ RTE,
	    ",\"matches\":[{\"path\":{\"type\":\"PathPrefix\","
	    "\"value\":\"/\"}}]",
	    "", SAME },
	{ RTE, "\"parents\":[]", "\"parents\":[{}]", SAME },
	{ RTE, "\"weight\":1", "\"weight\":0", DIFFERS },
	{ RTE, "\"value\":\"/\"", "\"value\":\"/x\"", DIFFERS },
	{ RTE, "\"PathPrefix\"", "\"Exact\"", DIFFERS },
	{ RTE, "\"matches\":[", "\"matches\":[{},", DIFFERS },
	{ RTE, "{\"path\"", "{\"method\":\"GET\",\"path\"", DIFFERS },
	{ RTE, "\"backendRefs\":", "\"filters\":[],\"backendRefs\":", DIFFERS },
	{ RTE, "\"backendRefs\":[", "\"backendRefs\":[{\"name\":\"x\"},",
	    DIFFERS },
	{ RTE, "\"rules\":[", "\"rules\":[{},", DIFFERS },
	{ RTE, "\"port\":8080", "\"port\":80", DIFFERS },
	{ RTE, "\"kind\":\"Service\"", "\"kind\":\"ServiceImport\"", DIFFERS },
	{ RTE, "\"web.example.org\"", "\"web.example.com\"", DIFFERS },
	{ RTE, "\"web.example.org\"", "\"web.example.org\",\"x\"", DIFFERS },
	{ RTE, "\"https\"", "\"http\"", DIFFERS },
	{ RTE, "\"sectionName\":\"https\"",
	    "\"sectionName\":\"https\",\"port\":443", DIFFERS },
	{ RTE, "\"gateways\"", "\"default\"", DIFFERS },
	{ RTE, "\"parentRefs\":[", "\"parentRefs\":[{},", DIFFERS },
	{ RTE, "\"spec\":{", "\"spec\":{\"more\":1,", DIFFERS },
	{ RTE, "\"spec\":{", "\"spec\":null,\"x\":{", DIFFERS },
	{ RTE, "\"rules\":[", "\"rules\":[7,", DIFFERS },
	{ RTE, "\"weight\":1", "\"weight\":\"1\"", DIFFERS },
	{ RTE, "\"matches\":[", "\"matches\":[7,", DIFFERS },
	{ RTE, "\"web.example.org\"", "7", DIFFERS },
};

static enum effect
effect_of(const struct change *c)
{
	char *text = k8s_replace(k8s_answers[c->kind], c->from, c->to);
	struct kube_object a, b;
	enum effect effect = REFUSED;

	ck_assert_ptr_null(read_object(c->kind, k8s_answers[c->kind], &a));
	if (read_object(c->kind, text, &b) == NULL)
		effect = look_same(&a.look, &b.look) ? SAME : DIFFERS;
	else
		ck_assert_ptr_null(b.name);
	kube_object_clear(&a);
	kube_object_clear(&b);
	free(text);
	return effect;
}

START_TEST(changes_are_noticed)
{
	const struct change *c = &changes[_i];

	ck_assert_msg(effect_of(c) == c->effect, "%s -> %s", c->from, c->to);
}
END_TEST

/* What can be read of it counts. */
START_TEST(an_odd_slice)
{
	char *text =
	    k8s_replace(k8s_answers[SLC], "\"port\":8080", "\"port\":70000");
	struct kube_object o;

	ck_assert_ptr_null(read_object(SLC, text, &o));
	ck_assert(o.ours);
	ck_assert_str_eq(o.name, "web-consul");
	ck_assert_str_eq(o.service, "web");
	ck_assert_int_eq(o.family, BACKEND_IPV4);
	ck_assert_uint_eq(o.port, 0);
	ck_assert_uint_eq(o.n, 2);
	kube_object_clear(&o);
	free(text);
}
END_TEST

START_TEST(the_order_of_endpoints_is_none)
{
	const char *first = "{\"addresses\":[\"10.0.0.2\"],"
			    "\"conditions\":{\"ready\":false}}";
	char *a = k8s_replace(k8s_answers[SLC],
	    ",{\"addresses\":[\"10.0.0.2\"]"
	    ",\"conditions\":{\"ready\":"
	    "false}}",
	    "");
	char *with, *b;
	struct kube_object x, y;

	ck_assert_int_gt(asprintf(&with, "\"endpoints\":[%s,", first), 0);
	b = k8s_replace(a, "\"endpoints\":[", with);
	ck_assert_ptr_null(read_object(SLC, k8s_answers[SLC], &x));
	ck_assert_ptr_null(read_object(SLC, b, &y));
	ck_assert(look_same(&x.look, &y.look));
	ck_assert_uint_eq(y.n, 2);
	ck_assert_int_lt(address_compare(&y.at[0], &y.at[1]), 0);
	kube_object_clear(&x);
	kube_object_clear(&y);
	free(a);
	free(b);
	free(with);
}
END_TEST

/* ---- whose it is ---- */

static const struct {
	const char *to; /* in place of the mark */
	const char *instance; /* of ours */
	bool ours;
} marks[] = {
	{ "\"app.kubernetes.io/managed-by\":\"consul-sync\"", "", true },
	{ "\"app.kubernetes.io/managed-by\":\"helm\"", "", false },
	{ "\"x\":\"consul-sync\"", "", false },
	{ "\"app.kubernetes.io/managed-by\":\"consul-sync\"", "blue", false },
	{ "\"app.kubernetes.io/managed-by\":\"consul-sync\","
	  "\"katalogd/instance-id\":\"blue\"",
	    "blue", true },
	{ "\"app.kubernetes.io/managed-by\":\"consul-sync\","
	  "\"katalogd/instance-id\":\"blue\"",
	    "", false },
	{ "\"app.kubernetes.io/managed-by\":\"consul-sync\","
	  "\"katalogd/instance-id\":\"blue\"",
	    "green", false },
};

START_TEST(marks_say_whose_it_is)
{
	struct object_conf conf = k8s_conf;
	struct kube_object o;
	char *text;

	for (int kind = 0; kind < KUBE_KINDS; kind++) {
		text =
		    k8s_replace(k8s_answers[kind], marks[0].to, marks[_i].to);
		conf.instance = marks[_i].instance;
		ck_assert_ptr_null(kube_json_object(&conf, (enum kube_kind)kind,
		    text, strlen(text), &o));
		ck_assert_int_eq(o.ours, marks[_i].ours);
		kube_object_clear(&o);
		free(text);
	}
}
END_TEST

START_TEST(leaving_and_odd_versions)
{
	static const char from[] = "\"resourceVersion\":\"206\"";
	static const struct {
		const char *to;
		uint64_t order;
	} versions[] = {
		{ "\"resourceVersion\":\"18446744073709551615\"", UINT64_MAX },
		{ "\"resourceVersion\":\"abc\"", 0 },
		{ "\"resourceVersion\":\"20x\"", 0 },
		{ "\"resourceVersion\":\"-2\"", 0 },
		{ "\"resourceVersion\":\"2\",\"deletionTimestamp\":\"x\"", 2 },
	};
	struct kube_object o;
	char *text;

	for (size_t i = 0; i < COUNT(versions); i++) {
		text = k8s_replace(k8s_answers[SVC], from, versions[i].to);
		ck_assert_ptr_null(read_object(SVC, text, &o));
		ck_assert_uint_eq(o.order, versions[i].order);
		ck_assert(o.leaving == (i == COUNT(versions) - 1));
		kube_object_clear(&o);
		free(text);
	}
}
END_TEST

#define SETS(manager, operation) \
	"{\"manager\":\"" manager "\",\"operation\":\"" operation "\"," \
	"\"fieldsV1\":{\"f:spec\":{\"f:ports\":{\".\":{}}}}}"
#define SETS_NO_PORT \
	"{\"manager\":\"x\",\"operation\":\"Update\"," \
	"\"fieldsV1\":{\"f:spec\":{\"f:selector\":{}}}}"

/* Ports, who has set them, and whether an apply would take them away. */
static const struct {
	const char *ports;
	const char *managers;
	bool applied;
} ports_of[] = {
	{ "[{\"port\":80}]", SETS("consul-sync", "Apply"), true },
	{ "[{\"port\":80}]", SETS_NO_PORT "," SETS("consul-sync", "Apply"),
	    true },
	{ "[{\"port\":80}]", SETS("consul-sync", "Update"), false },
	{ "[{\"port\":80}]", SETS("x", "Apply"), false },
	{ "[{\"port\":80}]",
	    SETS("consul-sync", "Apply") "," SETS("x", "Update"), false },
	{ "[{\"port\":80}]", SETS_NO_PORT, false },
	{ "[{\"port\":80}]", "", false },
	{ "[]", "", true },
};

START_TEST(whose_ports)
{
	struct kube_object o;
	char *text, *spec, *managers;

	ck_assert_int_gt(asprintf(&spec, "\"spec\":{\"ports\":%s,\"x\":[",
			     ports_of[_i].ports),
	    0);
	ck_assert_int_gt(asprintf(&managers, "\"managedFields\":[%s],\"x\":[",
			     ports_of[_i].managers),
	    0);
	text = k8s_replace(k8s_answers[SVC], "\"spec\":{\"ports\":[", spec);
	free(spec);
	spec = k8s_replace(text, "\"managedFields\":[", managers);
	ck_assert_ptr_null(read_object(SVC, spec, &o));
	ck_assert(o.ports_applied == ports_of[_i].applied);
	kube_object_clear(&o);
	free(text);
	free(spec);
	free(managers);
}
END_TEST

/* What makes a difference, and what is said by saying nothing. */
START_TEST(looks_of_ports)
{
	static const struct {
		const char *to;
		bool same;
	} edits[] = {
		{ "\"port\":8080", true },
		{ "\"port\":8080,\"targetPort\":8080", true },
		{ "\"port\":8081,\"targetPort\":8080", false },
		{ "\"port\":8080,\"targetPort\":8081", false },
		{ "\"port\":8080,\"targetPort\":\"http\"", false },
		{ "\"port\":8080},{\"port\":8080,\"protocol\":\"UDP\"", false },
	};
	struct wanted *web = k8s_web();
	struct look wanted = object_ports_look(web);
	struct kube_object o;
	char *text;

	for (size_t i = 0; i < COUNT(edits); i++) {
		text = k8s_replace(k8s_answers[SVC],
		    "\"port\":8080,\"targetPort\":8080", edits[i].to);
		ck_assert_ptr_null(read_object(SVC, text, &o));
		ck_assert(look_same(&o.ports, &wanted) == edits[i].same);
		kube_object_clear(&o);
		free(text);
	}
	wanted_free(web);
}
END_TEST

/* ---- lists ---- */

/* A list with that metadata and as items those two answers. */
static char *
list_text(const char *meta, const char *a, const char *b)
{
	char *text;

	ck_assert_int_gt(asprintf(&text,
			     "{\"kind\":\"ServiceList\",\"apiVersion\":\"v1\","
			     "\"metadata\":%s,\"items\":[%s%s%s]}",
			     meta, a, *b != '\0' ? "," : "", b),
	    0);
	return text;
}

static char *
event_text(const char *type, const char *object)
{
	char *text;

	ck_assert_int_gt(asprintf(&text, "{\"type\":%s,\"object\":%s}", type,
			     object),
	    0);
	return text;
}

static const char *
read_list(const char *text, struct kube_list *l)
{
	return kube_json_list(&k8s_conf, SVC, text, strlen(text), l);
}

START_TEST(a_page)
{
	char *other = k8s_replace(k8s_answers[SVC], "\"name\":\"web\"",
	    "\"name\":\"api\"");
	char *text =
	    list_text("{\"resourceVersion\":\"9\",\"continue\":\"tok\"}",
		k8s_answers[SVC], other);
	struct kube_list l;

	ck_assert_ptr_null(read_list(text, &l));
	ck_assert_uint_eq(l.n, 2);
	ck_assert_str_eq(l.v[1].name, "api");
	ck_assert_str_eq(l.version, "9");
	ck_assert_str_eq(l.next, "tok");
	kube_list_free(&l);
	free(other);
	free(text);
}
END_TEST

START_TEST(an_odd_object_of_a_page)
{
	char *odd = k8s_replace(k8s_answers[SVC], "\"labels\":{",
	    "\"labels\":7,\"x\":{");
	char *text =
	    list_text("{\"resourceVersion\":\"9\"}", odd, k8s_answers[SVC]);
	struct kube_list l;

	ck_assert_ptr_null(read_list(text, &l));
	ck_assert_uint_eq(l.n, 2);
	ck_assert(!l.v[0].ours);
	ck_assert(l.v[1].ours);
	ck_assert(!look_same(&l.v[0].look, &l.v[1].look));
	kube_list_free(&l);
	free(odd);
	free(text);
}
END_TEST

/* Items of a list say neither kind nor apiVersion. */
START_TEST(items_have_no_kind)
{
	char *item = k8s_replace(k8s_answers[SVC],
	    "\"kind\":\"Service\",\"apiVersion\":\"v1\",", "");
	char *text = list_text("{\"resourceVersion\":\"9\"}", item, "");
	struct kube_list l;

	ck_assert_ptr_null(read_list(text, &l));
	ck_assert_uint_eq(l.n, 1);
	ck_assert_str_eq(l.next, "");
	kube_list_free(&l);
	free(item);
	free(text);
}
END_TEST

static const struct {
	const char *text;
	bool ok;
} lists[] = {
	{ "{\"kind\":\"ServiceList\",\"apiVersion\":\"v1\","
	  "\"metadata\":{\"resourceVersion\":\"1\"},\"items\":[]}",
	    true },
	{ "{\"kind\":\"ServiceList\",\"apiVersion\":\"v1\","
	  "\"metadata\":{\"resourceVersion\":\"1\"},\"items\":null}",
	    true },
	{ "{\"kind\":\"ServiceList\",\"apiVersion\":\"v1\","
	  "\"metadata\":{\"resourceVersion\":\"1\"}}",
	    false },
	{ "{\"kind\":\"ServiceList\",\"apiVersion\":\"v1\","
	  "\"metadata\":{},\"items\":[]}",
	    false },
	{ "{\"kind\":\"ServiceList\",\"apiVersion\":\"v1\",\"items\":[]}",
	    false },
	{ "{\"kind\":\"SecretList\",\"apiVersion\":\"v1\","
	  "\"metadata\":{\"resourceVersion\":\"1\"},\"items\":[]}",
	    false },
	{ "{\"kind\":\"ServiceList\",\"apiVersion\":\"v1\","
	  "\"metadata\":{\"resourceVersion\":\"1\"},\"items\":{}}",
	    false },
	{ "{\"kind\":\"ServiceList\",\"apiVersion\":\"v1\","
	  "\"metadata\":{\"resourceVersion\":\"1\"},\"items\":[null]}",
	    false },
	{ "{\"kind\":\"ServiceList\",\"apiVersion\":\"v1\","
	  "\"metadata\":{\"resourceVersion\":\"1\"},\"items\":[{}]}",
	    false },
	{ "{\"kind\":\"ServiceList\",\"apiVersion\":\"v1\","
	  "\"metadata\":{\"resourceVersion\":1},\"items\":[]}",
	    false },
	{ "{\"kind\":\"ServiceList\",\"apiVersion\":\"v1\","
	  "\"metadata\":{\"resourceVersion\":\"1\",\"continue\":7},"
	  "\"items\":[]}",
	    false },
	{ "[]", false },
	{ "null", false },
	{ "<html>", false },
	{ "", false },
};

START_TEST(lists_are_checked)
{
	struct kube_list l;
	const char *why = read_list(lists[_i].text, &l);

	ck_assert_msg((why == NULL) == lists[_i].ok, "%s", lists[_i].text);
	ck_assert(why == NULL || (l.v == NULL && l.n == 0));
	kube_list_free(&l);
}
END_TEST

START_TEST(a_torn_list_is_none)
{
	char *text = list_text("{\"resourceVersion\":\"9\"}", k8s_answers[SVC],
	    k8s_answers[SVC]);
	struct kube_list l;
	size_t taken = 0;

	for (size_t cut = 0; cut < strlen(text); cut++)
		taken += kube_json_list(&k8s_conf, SVC, text, cut, &l) == NULL;
	ck_assert_uint_eq(taken, 0);
	free(text);
}
END_TEST

/* Something deep is put there: is the object read all the same? */
static const struct {
	const char *from;
	const char *to; /* %s: arrays of that depth */
	size_t depth;
	bool ok;
} depths[] = {
	/* not read */
	{ "\"status\":{", "\"status\":{\"x\":%s,", 10000, true },
	{ "\"fieldsV1\":{", "\"fieldsV1\":{\"x\":%s,", 10000, true },
	{ "\"f:spec\":{", "\"f:spec\":{\"x\":%s,", 10000, true },
	{ "\"f:ports\":{", "\"f:ports\":{\"x\":%s", 10000, true },
	{ "\"annotations\":{", "\"annotations\":{\"x\":%s,", 10000, true },
	{ "\"status\":{", "\"\\u0000\":%s,\"status\":{", 100, true },
	{ "\"status\":{", "\"status\":{\"x\":%s,", LIMIT_K8S_DEPTH, false },
	/* read */
	{ "\"ports\":[{", "\"ports\":[{\"name\":%s,", 100, false },
	{ "\"labels\":{", "\"labels\":{\"katalogd/instance-id\":%s,", 100,
	    false },
};

START_TEST(how_deep_it_may_be)
{
	size_t n = depths[_i].depth;
	char *deep = xcalloc(2 * n + 1, 1), *to, *text, *list, *line;
	struct kube_object o;
	struct kube_event e;
	struct kube_list l;

	memset(deep, '[', n);
	memset(deep + n, ']', n);
	to = k8s_replace(depths[_i].to, "%s", deep);
	text = k8s_replace(k8s_answers[SVC], depths[_i].from, to);
	ck_assert((read_object(SVC, text, &o) == NULL) == depths[_i].ok);
	list = list_text("{\"resourceVersion\":\"9\"}", text, "");
	ck_assert((read_list(list, &l) == NULL) == depths[_i].ok);
	line = event_text("\"ADDED\"", text);
	ck_assert((kube_json_event(&k8s_conf, SVC, line, strlen(line), &e) ==
		      NULL) == depths[_i].ok);
	kube_object_clear(&o);
	kube_event_clear(&e);
	kube_list_free(&l);
	free(deep);
	free(to);
	free(text);
	free(list);
	free(line);
}
END_TEST

/* ---- watch events ---- */

static const struct {
	const char *type;
	const char *object; /* NULL: a Service */
	bool ok;
	enum kube_event_type is;
} events[] = {
	{ "\"ADDED\"", NULL, true, KUBE_CHANGED },
	{ "\"MODIFIED\"", NULL, true, KUBE_CHANGED },
	{ "\"DELETED\"", NULL, true, KUBE_DELETED },
	{ "\"BOOKMARK\"",
	    "{\"kind\":\"Service\",\"apiVersion\":\"v1\","
	    "\"metadata\":{\"resourceVersion\":\"77\"}}",
	    true, KUBE_BOOKMARK },
	{ "\"ERROR\"",
	    "{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{},"
	    "\"status\":\"Failure\",\"reason\":\"Expired\",\"code\":410}",
	    true, KUBE_ERROR },
	{ "\"ERROR\"", "{}", true, KUBE_ERROR },
	{ "\"ERROR\"", "7", false, 0 },
	{ "\"BOOKMARK\"",
	    "{\"kind\":\"Service\",\"apiVersion\":\"v1\",\"metadata\":{}}",
	    false, 0 },
	{ "\"ADDED\"", "{}", false, 0 },
	{ "\"ADDED\"", "null", false, 0 },
	{ "\"RENAMED\"", NULL, false, 0 },
	{ "7", NULL, false, 0 },
};

START_TEST(events_are_read)
{
	const char *object = events[_i].object;
	struct kube_event e;
	const char *why;
	char *line;

	line = event_text(events[_i].type,
	    object != NULL ? object : k8s_answers[SVC]);
	why = kube_json_event(&k8s_conf, SVC, line, strlen(line), &e);
	ck_assert_msg((why == NULL) == events[_i].ok, "%s: %s", why, line);
	if (why == NULL)
		ck_assert_int_eq(e.type, events[_i].is);
	if (why == NULL && e.type == KUBE_BOOKMARK)
		ck_assert_str_eq(e.object.version, "77");
	if (why == NULL && e.type == KUBE_CHANGED)
		ck_assert_str_eq(e.object.name, "web");
	kube_event_clear(&e);
	free(line);
}
END_TEST

START_TEST(an_expired_watch)
{
	const char *line =
	    "{\"type\":\"ERROR\",\"object\":{\"kind\":\"Status\","
	    "\"apiVersion\":\"v1\",\"metadata\":{},\"status\":\"Failure\","
	    "\"message\":\"too old resource version: 1 (213)\","
	    "\"reason\":\"Expired\",\"code\":410}}";
	struct kube_event e;

	ck_assert_ptr_null(
	    kube_json_event(&k8s_conf, SVC, line, strlen(line), &e));
	ck_assert_int_eq(e.status.code, 410);
	ck_assert_str_eq(e.status.reason, "Expired");
	kube_event_clear(&e);
}
END_TEST

/* ---- Status and Lease ---- */

static const struct {
	const char *text;
	int64_t code;
	const char *message;
	uint64_t retry_after_ms;
} statuses[] = {
	{ "{\"kind\":\"Status\",\"code\":429,\"message\":\"slow down\","
	  "\"reason\":\"TooManyRequests\","
	  "\"details\":{\"retryAfterSeconds\":2}}",
	    429, "slow down", 2000 },
	{ "{\"kind\":\"Status\",\"code\":429,"
	  "\"details\":{\"retryAfterSeconds\":2000000000}}",
	    429, "", LIMIT_RETRY_AFTER_S * 1000 },
	{ "{\"kind\":\"Status\",\"code\":429,"
	  "\"details\":{\"retryAfterSeconds\":-1}}",
	    429, "", 0 },
	{ "{\"kind\":\"Status\",\"code\":7,\"message\":7}", 0, "", 0 },
	{ "{\"kind\":\"Service\",\"code\":429}", 0, "", 0 },
	{ "404 page not found\n", 0, "", 0 },
	{ "", 0, "", 0 },
};

START_TEST(statuses_are_read)
{
	struct kube_status s;

	kube_json_status(statuses[_i].text, strlen(statuses[_i].text), &s);
	ck_assert_int_eq(s.code, statuses[_i].code);
	ck_assert_str_eq(s.message, statuses[_i].message);
	ck_assert_uint_eq(s.retry_after_ms, statuses[_i].retry_after_ms);
}
END_TEST

START_TEST(long_messages_are_cut_between_characters)
{
	char text[2 * LIMIT_TEXT + 64] = "{\"kind\":\"Status\",\"message\":\"x";
	struct kube_status s;

	for (size_t i = 0; i < LIMIT_TEXT; i++)
		strcat(text, "\xc3\xb6");
	strcat(text, "\"}");
	kube_json_status(text, strlen(text), &s);
	ck_assert_uint_eq(strlen(s.message), LIMIT_TEXT - 1);
}
END_TEST

#define LEASE(spec) \
	"{\"kind\":\"Lease\",\"apiVersion\":\"coordination.k8s.io/v1\"," \
	"\"metadata\":{\"resourceVersion\":\"5\"},\"spec\":" spec "}"

static const struct {
	const char *text;
	bool ok;
} leases[] = {
	{ LEASE("{\"holderIdentity\":\"a\",\"leaseDurationSeconds\":15,"
		"\"acquireTime\":\"t1\",\"renewTime\":\"t2\","
		"\"leaseTransitions\":3}"),
	    true },
	{ LEASE("{}"), true },
	{ LEASE("null"), true },
	{ LEASE("[]"), false },
	{ LEASE("{\"holderIdentity\":7}"), false },
	{ LEASE("{\"leaseDurationSeconds\":0}"), false },
	{ LEASE("{\"leaseDurationSeconds\":\"15\"}"), false },
	{ LEASE("{\"leaseTransitions\":-1}"), false },
	{ "{\"kind\":\"Lease\",\"metadata\":{}}", false },
	{ "{\"kind\":\"Service\",\"metadata\":{\"resourceVersion\":\"5\"}}",
	    false },
	{ "", false },
};

START_TEST(leases_are_read)
{
	struct kube_lease l;
	const char *why =
	    kube_json_lease(leases[_i].text, strlen(leases[_i].text), &l);

	ck_assert_msg((why == NULL) == leases[_i].ok, "%s", leases[_i].text);
	if (_i > 0)
		return;
	ck_assert_str_eq(l.version, "5");
	ck_assert_str_eq(l.holder, "a");
	ck_assert_str_eq(l.acquired, "t1");
	ck_assert_str_eq(l.renewed, "t2");
	ck_assert_int_eq(l.duration_s, 15);
	ck_assert_int_eq(l.transitions, 3);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("kube_json");
	TCase *t = tcase_create("kube_json");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_test(t, a_service);
	tcase_add_test(t, a_service_of_the_same_name);
	tcase_add_test(t, a_slice);
	tcase_add_loop_test(t, changes_are_noticed, 0, COUNT(changes));
	tcase_add_test(t, an_odd_slice);
	tcase_add_test(t, the_order_of_endpoints_is_none);
	tcase_add_loop_test(t, marks_say_whose_it_is, 0, COUNT(marks));
	tcase_add_test(t, leaving_and_odd_versions);
	tcase_add_loop_test(t, whose_ports, 0, COUNT(ports_of));
	tcase_add_test(t, looks_of_ports);
	tcase_add_test(t, a_page);
	tcase_add_test(t, an_odd_object_of_a_page);
	tcase_add_test(t, items_have_no_kind);
	tcase_add_loop_test(t, lists_are_checked, 0, COUNT(lists));
	tcase_add_test(t, a_torn_list_is_none);
	tcase_add_loop_test(t, how_deep_it_may_be, 0, COUNT(depths));
	tcase_add_loop_test(t, events_are_read, 0, COUNT(events));
	tcase_add_test(t, an_expired_watch);
	tcase_add_loop_test(t, statuses_are_read, 0, COUNT(statuses));
	tcase_add_test(t, long_messages_are_cut_between_characters);
	tcase_add_loop_test(t, leases_are_read, 0, COUNT(leases));
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
