#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "tests/unit/k8s_text.h"
#include "workers/k8s_writer/kube_json.h"

#define COUNT(a) (sizeof(a) / sizeof(*(a)))

static struct wanted *web;
static struct slices slices;

static void
setup(void)
{
	struct slices_input in = { .service = "web" };

	web = k8s_web();
	in.port = web->port;
	in.endpoints = web->endpoints;
	in.n = web->n;
	slices_assign(&in, &slices);
	ck_assert_uint_eq(slices.n, 1);
}

static void
teardown(void)
{
	wanted_free(web);
	slices_free(&slices);
}

/* Compares, and frees the text. */
static void
is_text(char *text, const char *wanted)
{
	ck_assert_str_eq(text, wanted);
	free(text);
}

/* ---- bodies ---- */

START_TEST(body_of_a_service)
{
	is_text(object_service_body(&k8s_conf, web, NULL),
	    "{\"apiVersion\":\"v1\",\"kind\":\"Service\",\"metadata\":{"
	    "\"name\":\"web\",\"namespace\":\"network\","
	    "\"resourceVersion\":\"1\",\"labels\":{"
	    "\"app.kubernetes.io/managed-by\":\"consul-sync\","
	    "\"app.kubernetes.io/name\":\"web\"},\"annotations\":{"
	    "\"katalogd/consul-service\":\"Web\"}},\"spec\":{"
	    "\"type\":\"ClusterIP\",\"clusterIP\":\"None\",\"ports\":[{"
	    "\"name\":\"http\",\"protocol\":\"TCP\",\"port\":8080,"
	    "\"appProtocol\":\"kubernetes.io/h2c\","
	    "\"targetPort\":8080}]}}");
}
END_TEST

/* One that is called as in Consul needs no annotation. */
START_TEST(body_of_a_service_of_the_same_name)
{
	static const struct backend_service s = { .service = "web",
		.port_name = "",
		.app_protocol = "" };
	struct wanted *w = wanted_new(&k8s_conf, "web", &s, NULL, 0);
	char *text = object_service_body(&k8s_conf, w, NULL);

	ck_assert_ptr_null(strstr(text, "annotations"));
	free(text);
	wanted_free(w);
}
END_TEST

START_TEST(body_of_a_slice)
{
	is_text(object_slice_body(&k8s_conf, web, &slices.v[0], "u-1", "206"),
	    "{\"apiVersion\":\"discovery.k8s.io/v1\","
	    "\"kind\":\"EndpointSlice\",\"metadata\":{"
	    "\"name\":\"web-consul\",\"namespace\":\"network\","
	    "\"resourceVersion\":\"206\",\"labels\":{"
	    "\"app.kubernetes.io/managed-by\":\"consul-sync\","
	    "\"kubernetes.io/service-name\":\"web\","
	    "\"endpointslice.kubernetes.io/managed-by\":\"consul-sync\"},"
	    "\"ownerReferences\":[{\"apiVersion\":\"v1\","
	    "\"kind\":\"Service\",\"name\":\"web\",\"uid\":\"u-1\"}]},"
	    "\"addressType\":\"IPv4\",\"ports\":[{\"name\":\"http\","
	    "\"protocol\":\"TCP\",\"port\":8080,"
	    "\"appProtocol\":\"kubernetes.io/h2c\"}],\"endpoints\":["
	    "{\"addresses\":[\"10.0.0.1\"],\"conditions\":{\"ready\":true},"
	    "\"nodeName\":\"node-1\",\"zone\":\"eu-1a\"},"
	    "{\"addresses\":[\"10.0.0.2\"],"
	    "\"conditions\":{\"ready\":false}}]}");
}
END_TEST

START_TEST(body_of_a_route)
{
	is_text(object_route_body(&k8s_conf, web, 1, ""),
	    "{\"apiVersion\":\"gateway.networking.k8s.io/v1\","
	    "\"kind\":\"HTTPRoute\",\"metadata\":{"
	    "\"name\":\"web-envoy-external\",\"namespace\":\"network\","
	    "\"labels\":{"
	    "\"app.kubernetes.io/managed-by\":\"consul-sync\","
	    "\"app.kubernetes.io/name\":\"web\"}},\"spec\":{"
	    "\"parentRefs\":[{\"name\":\"envoy-external\","
	    "\"namespace\":\"gateways\",\"sectionName\":\"https\"}],"
	    "\"hostnames\":[\"web.example.org\"],"
	    "\"rules\":[{\"backendRefs\":[{\"name\":\"web\","
	    "\"port\":8080}]}]}}");
}
END_TEST

START_TEST(an_instance_has_its_label)
{
	struct object_conf conf = k8s_conf;
	char *text;

	conf.instance = "blue";
	text = object_service_body(&conf, web, "");
	ck_assert_ptr_nonnull(
	    strstr(text, "\"katalogd/instance-id\":\"blue\""));
	free(text);
	text = object_slice_body(&conf, web, &slices.v[0], "", "");
	ck_assert_ptr_nonnull(
	    strstr(text, "\"katalogd/instance-id\":\"blue\""));
	ck_assert_ptr_null(strstr(text, "ownerReferences"));
	free(text);
	text = object_route_body(&conf, web, 0, "");
	ck_assert_ptr_nonnull(
	    strstr(text, "\"katalogd/instance-id\":\"blue\""));
	free(text);
}
END_TEST

START_TEST(other_bodies)
{
	is_text(object_delete_body("u-1", "206"),
	    "{\"apiVersion\":\"v1\",\"kind\":\"DeleteOptions\","
	    "\"preconditions\":{\"uid\":\"u-1\","
	    "\"resourceVersion\":\"206\"}}");
	is_text(object_repair_body(web, true, "206"),
	    "[{\"op\":\"test\",\"path\":\"/metadata/resourceVersion\","
	    "\"value\":\"206\"},"
	    "{\"op\":\"add\",\"path\":\"/spec/ports\",\"value\":["
	    "{\"name\":\"http\",\"protocol\":\"TCP\",\"port\":8080,"
	    "\"appProtocol\":\"kubernetes.io/h2c\",\"targetPort\":8080}]},"
	    "{\"op\":\"remove\",\"path\":\"/spec/selector\"}]");
	is_text(object_repair_body(web, false, "206"),
	    "[{\"op\":\"test\",\"path\":\"/metadata/resourceVersion\","
	    "\"value\":\"206\"},"
	    "{\"op\":\"add\",\"path\":\"/spec/ports\",\"value\":["
	    "{\"name\":\"http\",\"protocol\":\"TCP\",\"port\":8080,"
	    "\"appProtocol\":\"kubernetes.io/h2c\",\"targetPort\":8080}]}"
	    "]");
}
END_TEST

START_TEST(paths)
{
	char path[OBJECT_PATH], query[OBJECT_PATH];

	ck_assert(object_path(path, &k8s_conf, KUBE_SERVICE, "web",
	    OBJECT_APPLY_QUERY));
	ck_assert_str_eq(path,
	    "/api/v1/namespaces/network/services/web"
	    "?fieldManager=consul-sync&force=true");
	ck_assert(object_path(path, &k8s_conf, KUBE_SLICE, NULL, "watch=1"));
	ck_assert_str_eq(path,
	    "/apis/discovery.k8s.io/v1/namespaces/network/endpointslices"
	    "?watch=1");
	ck_assert(object_path(path, &k8s_conf, KUBE_ROUTE, "x", ""));
	ck_assert_str_eq(path,
	    "/apis/gateway.networking.k8s.io/v1/namespaces/network/"
	    "httproutes/x");
	memset(query, 'q', sizeof(query));
	query[sizeof(query) - 1] = '\0';
	ck_assert(!object_path(path, &k8s_conf, KUBE_ROUTE, "x", query));
}
END_TEST

/* ---- what a service wants ---- */

static struct wanted *
wanted_of(const struct object_conf *conf, const struct backend_service *s,
    const struct backend_instance *v, size_t n)
{
	const struct backend_instance *p[8];

	for (size_t i = 0; i < n; i++)
		p[i] = &v[i];
	return wanted_new(conf, "web", s, p, n);
}

/* Ports of instances 10.0.0.1, 10.0.0.2, ... -> the Service's. */
static const struct {
	uint16_t of[5];
	size_t n;
	uint16_t port;
} ports[] = {
	{ { 0 }, 0, 0 },
	{ { 0 }, 1, 0 },
	{ { 80 }, 1, 80 },
	{ { 81, 80 }, 2, 80 },
	{ { 80, 81, 81 }, 3, 81 },
	{ { 0, 0, 80 }, 3, 80 },
	{ { 9, 7, 8, 7, 9 }, 5, 7 },
};

START_TEST(the_port_of_most)
{
	static const struct backend_service s = { .service = "Web",
		.port_name = "grpc",
		.app_protocol = "",
		.internal = true };
	struct backend_instance v[5];
	char addresses[5][32];
	struct wanted *w;

	for (size_t i = 0; i < ports[_i].n; i++) {
		snprintf(addresses[i], 32, "10.0.0.%zu", i + 1);
		v[i] = (struct backend_instance){ .address = addresses[i],
			.port = ports[_i].of[i],
			.node = "",
			.zone = "" };
	}
	w = wanted_of(&k8s_conf, &s, v, ports[_i].n);
	ck_assert_uint_eq(w->port, ports[_i].port);
	ck_assert_uint_eq(w->n, ports[_i].n);
	ck_assert_str_eq(w->port_name, "grpc");
	ck_assert(w->routes[0] == (w->port != 0));
	ck_assert(!w->routes[1]);
	wanted_free(w);
	wanted_free(NULL);
}
END_TEST

/* n instances 10.x.x.x, each with a port as port_of says. */
static struct wanted *
wanted_many(size_t n, uint16_t (*port_of)(size_t i))
{
	static const struct backend_service s = { .service = "Web",
		.port_name = "",
		.app_protocol = "" };
	struct backend_instance *v = xcalloc(n, sizeof(*v));
	const struct backend_instance **p = xcalloc(n, sizeof(*p));
	char(*texts)[16] = xcalloc(n, sizeof(*texts));
	struct wanted *w;

	for (size_t i = 0; i < n; i++) {
		snprintf(texts[i], sizeof(texts[i]), "10.%u.%u.%u",
		    (unsigned)(i >> 16 & 255), (unsigned)(i >> 8 & 255),
		    (unsigned)(i & 255));
		v[i] = (struct backend_instance){ .address = texts[i],
			.port = port_of(i),
			.node = "",
			.zone = "" };
		p[i] = &v[i];
	}
	w = wanted_new(&k8s_conf, "web", &s, p, n);
	free(v);
	free(p);
	free(texts);
	return w;
}

static size_t
count_slices(const struct wanted *w)
{
	struct slices_input in = { .service = "web",
		.port = w->port,
		.endpoints = w->endpoints,
		.n = w->n };
	struct slices assigned;
	size_t n;

	slices_assign(&in, &assigned);
	n = assigned.n;
	slices_free(&assigned);
	return n;
}

/* The last two have the same one; each of the others has its own. */
static uint16_t
own_port(size_t i)
{
	return (uint16_t)(i == 39998 ? 40000 : i + 1);
}

START_TEST(too_many_ports)
{
	struct wanted *w = wanted_many(40000, own_port);

	ck_assert_uint_eq(w->port, 40000);
	ck_assert_uint_eq(w->n, OBJECT_PORTS + 1);
	ck_assert_uint_eq(w->left_out, 40000 - OBJECT_PORTS - 1);
	/* The lowest of those that only one has. */
	for (size_t i = 0; i < OBJECT_PORTS - 1; i++)
		ck_assert_uint_eq(w->endpoints[i].port, i + 1);
	ck_assert_uint_eq(w->endpoints[OBJECT_PORTS].port, 40000);
	ck_assert_uint_eq(count_slices(w), OBJECT_PORTS);
	wanted_free(w);
}
END_TEST

/* 0: none counts as a port of its own. */
static uint16_t
port_of_64(size_t i)
{
	return (uint16_t)(i % OBJECT_PORTS);
}

START_TEST(as_many_ports_as_may_be)
{
	struct wanted *w = wanted_many(OBJECT_ENDPOINTS, port_of_64);

	ck_assert_uint_eq(w->n, OBJECT_ENDPOINTS);
	ck_assert_uint_eq(w->left_out, 0);
	ck_assert_uint_eq(count_slices(w), OBJECT_PORTS);
	wanted_free(w);
}
END_TEST

static uint16_t
port_80(size_t i)
{
	(void)i;
	return 80;
}

START_TEST(too_many_endpoints)
{
	struct wanted *w = wanted_many(OBJECT_ENDPOINTS + 5, port_80);

	ck_assert_uint_eq(w->n, OBJECT_ENDPOINTS);
	ck_assert_uint_eq(w->left_out, 5);
	ck_assert_uint_eq(count_slices(w), OBJECT_ENDPOINTS / 1000);
	wanted_free(w);
}
END_TEST

START_TEST(a_service_without_ports)
{
	static const struct backend_service s = { .service = "x",
		.port_name = "",
		.app_protocol = "" };
	static const struct backend_instance v = { .address = "10.0.0.1",
		.node = "",
		.zone = "" };
	struct wanted *w = wanted_of(&k8s_conf, &s, &v, 1);
	size_t member = 0;
	struct slice slice = { .name = "x", .members = &member, .n = 1 };
	char *text = object_service_body(&k8s_conf, w, "");

	ck_assert_ptr_nonnull(strstr(text, "\"ports\":[]"));
	free(text);
	text = object_slice_body(&k8s_conf, w, &slice, "", "");
	ck_assert_ptr_nonnull(strstr(text, "\"ports\":[]"));
	free(text);
	wanted_free(w);
}
END_TEST

static const struct {
	bool internal;
	bool external;
	const char *domain;
	const char *gateways[2];
	bool routes[2];
} routes[] = {
	{ true, true, "x", { "a", "b" }, { true, true } },
	{ true, false, "x", { "a", "b" }, { true, false } },
	{ false, true, "x", { "a", "b" }, { false, true } },
	{ true, true, "", { "a", "b" }, { false, false } },
	{ true, true, "x", { "a", "a" }, { true, false } },
	{ false, true, "x", { "a", "a" }, { false, true } },
	{ true, true, "x", { "", "" }, { false, false } },
};

START_TEST(routes_by_tags)
{
	static const struct backend_instance v = { .address = "10.0.0.1",
		.port = 80,
		.node = "",
		.zone = "" };
	struct backend_service s = { .service = "x",
		.port_name = "",
		.app_protocol = "",
		.internal = routes[_i].internal,
		.external = routes[_i].external };
	struct object_conf conf = k8s_conf;
	struct wanted *w;

	conf.domain = routes[_i].domain;
	memcpy(conf.gateways, routes[_i].gateways, sizeof(conf.gateways));
	w = wanted_of(&conf, &s, &v, 1);
	ck_assert_int_eq(w->routes[0], routes[_i].routes[0]);
	ck_assert_int_eq(w->routes[1], routes[_i].routes[1]);
	wanted_free(w);
}
END_TEST

START_TEST(too_long_a_gateway)
{
	char gateway[LIMIT_K8S_NAME + 1] = "", name[LIMIT_K8S_NAME + 1];
	struct object_conf conf = k8s_conf;

	memset(gateway, 'g', LIMIT_K8S_NAME - 4);
	conf.gateways[0] = gateway;
	ck_assert(object_route_name(&conf, web, 0, name));
	ck_assert_uint_eq(strlen(name), LIMIT_K8S_NAME);
	gateway[LIMIT_K8S_NAME - 4] = 'g';
	ck_assert(!object_route_name(&conf, web, 0, name));
}
END_TEST

/* ---- what is applied comes back with the same look ---- */

static struct look
look_of(enum kube_kind kind)
{
	if (kind == KUBE_SERVICE)
		return object_service_look(&k8s_conf, web);
	if (kind == KUBE_SLICE)
		return object_slice_look(&k8s_conf, web, &slices.v[0], K8S_UID);
	return object_route_look(&k8s_conf, web, 0);
}

static void
must_look_same(enum kube_kind kind, const char *text)
{
	struct look wanted = look_of(kind);
	struct kube_object o;
	const char *why;

	why = kube_json_object(&k8s_conf, kind, text, strlen(text), &o);
	ck_assert_msg(why == NULL, "%s: %s", why, text);
	ck_assert_msg(look_same(&o.look, &wanted), "%s", text);
	ck_assert(o.ours);
	kube_object_clear(&o);
}

static char *
body_of(enum kube_kind kind)
{
	if (kind == KUBE_SERVICE)
		return object_service_body(&k8s_conf, web, NULL);
	if (kind == KUBE_SLICE)
		return object_slice_body(&k8s_conf, web, &slices.v[0], K8S_UID,
		    NULL);
	return object_route_body(&k8s_conf, web, 0, NULL);
}

START_TEST(the_apiservers_answer_looks_the_same)
{
	must_look_same((enum kube_kind)_i, k8s_answers[_i]);
}
END_TEST

START_TEST(the_body_looks_the_same)
{
	char *body = body_of((enum kube_kind)_i);
	char *text =
	    k8s_replace(body, "\"metadata\":{", "\"metadata\":{\"uid\":\"u\",");

	must_look_same((enum kube_kind)_i, text);
	free(body);
	free(text);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("objects");
	TCase *t = tcase_create("objects");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, body_of_a_service);
	tcase_add_test(t, body_of_a_service_of_the_same_name);
	tcase_add_test(t, body_of_a_slice);
	tcase_add_test(t, body_of_a_route);
	tcase_add_test(t, an_instance_has_its_label);
	tcase_add_test(t, other_bodies);
	tcase_add_test(t, paths);
	tcase_add_loop_test(t, the_port_of_most, 0, COUNT(ports));
	tcase_add_test(t, too_many_ports);
	tcase_add_test(t, as_many_ports_as_may_be);
	tcase_add_test(t, too_many_endpoints);
	tcase_add_test(t, a_service_without_ports);
	tcase_add_loop_test(t, routes_by_tags, 0, COUNT(routes));
	tcase_add_test(t, too_long_a_gateway);
	tcase_add_loop_test(t, the_apiservers_answer_looks_the_same, 0,
	    KUBE_KINDS);
	tcase_add_loop_test(t, the_body_looks_the_same, 0, KUBE_KINDS);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
