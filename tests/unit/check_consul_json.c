#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "workers/consul_writer/consul_json.h"
#include "workers/consul_writer/definition.h"

#define AFTER (30 * 60 * 1000)
#define ID    "katalog-sync_web_shop_web-1"

static const struct service web = {
	.id = ID,
	.name = "web",
	.namespace = "shop",
	.pod = "web-1",
	.pod_uid = "u1",
	.address = "10.1.2.3",
	.lan_ipv6 = "fd00::1",
	.notes = "{\"app\":true}",
	.output = "all containers are ready",
	.tags = { "b", "a" },
	.ntags = 2,
	.meta = { { "external-k8s-namespace", "shop" },
	    { "external-k8s-pod", "web-1" },
	    { "external-sync-source", "katalog-sync" } },
	.nmeta = 3,
	.ttl_ms = 20000,
	.port = 80,
	.status = SERVICE_PASSING,
};

/* As Consul 1.16.1 answered after it got the registration of web. */
static const char services[] =
    "{\"" ID "\":{\"ID\":\"" ID "\",\"Service\":\"web\","
    "\"Tags\":[\"b\",\"a\"],"
    "\"Meta\":{\"external-k8s-namespace\":\"shop\","
    "\"external-k8s-pod\":\"web-1\","
    "\"external-sync-source\":\"katalog-sync\"},"
    "\"Port\":80,\"Address\":\"10.1.2.3\",\"TaggedAddresses\":{"
    "\"lan_ipv4\":{\"Address\":\"10.1.2.3\",\"Port\":80},"
    "\"lan_ipv6\":{\"Address\":\"fd00::1\",\"Port\":80},"
    "\"wan_ipv4\":{\"Address\":\"10.1.2.3\",\"Port\":80}},"
    "\"Weights\":{\"Passing\":1,\"Warning\":1},"
    "\"EnableTagOverride\":false,\"Datacenter\":\"dc1\"}}\n";
static const char checks[] =
    "{\"" ID "\":{\"Node\":\"vm\",\"CheckID\":\"" ID "\","
    "\"Name\":\"Kubernetes readiness of 10.1.2.3:80 (TTL 20s, "
    "deregister after 30m0s)\","
    "\"Status\":\"passing\",\"Notes\":\"{\\\"app\\\":true}\","
    "\"Output\":\"\",\"ServiceID\":\"" ID "\",\"ServiceName\":\"web\","
    "\"ServiceTags\":[\"b\",\"a\"],\"Type\":\"ttl\",\"Interval\":\"\","
    "\"Timeout\":\"\",\"ExposedPort\":0,\"Definition\":{},"
    "\"CreateIndex\":0,\"ModifyIndex\":0}}\n";

/* text with the first old replaced by new; the caller frees it. */
static char *
replaced(const char *text, const char *old, const char *new)
{
	const char *at = strstr(text, old);
	char *s;

	ck_assert_msg(at != NULL, "no %s", old);
	ck_assert_int_ge(asprintf(&s, "%.*s%s%s", (int)(at - text), text, new,
			     at + strlen(old)),
	    0);
	return s;
}

static const char *
read_texts(const char *s, const char *c, struct actual_list *l)
{
	return consul_json_read(s, strlen(s), c, strlen(c), l);
}

/* One answer with one change. */
struct variant {
	const char *old;
	const char *new;
	enum actual_state state;
	bool same; /* the definition is that of web */
};

static const struct variant in_services[] = {
	{ "\"dc1\"", "\"dc1\",\"New\":{\"a\":[1]}", ACTUAL_PASSING, true },
	{ "\"Datacenter\":\"dc1\"", "\"Datacenter\":null", ACTUAL_PASSING,
	    true },
	{ "\"Service\":\"web\"", "\"Service\":\"wob\"", ACTUAL_PASSING, false },
	{ "[\"b\",\"a\"]", "[\"a\",\"b\"]", ACTUAL_PASSING, false },
	{ "[\"b\",\"a\"]", "[\"ba\"]", ACTUAL_PASSING, false },
	{ "[\"b\",\"a\"]", "[]", ACTUAL_PASSING, false },
	{ "[\"b\",\"a\"]", "null", ACTUAL_PASSING, false },
	{ "\"external-k8s-pod\":\"web-1\",", "", ACTUAL_PASSING, false },
	{ "\"shop\"", "\"shop\",\"x\":\"y\"", ACTUAL_PASSING, false },
	{ "\"external-sync-source\":\"katalog-sync\"", "\"x\":\"y\"",
	    ACTUAL_FOREIGN, false },
	{ "\"external-sync-source\":\"katalog-sync\"",
	    "\"external-sync-source\":\"other\"", ACTUAL_FOREIGN, false },
	{ "\"Port\":80,\"Address\"", "\"Port\":81,\"Address\"", ACTUAL_PASSING,
	    false },
	{ "\"Port\":80,\"Address\"", "\"Port\":-1,\"Address\"", ACTUAL_PASSING,
	    false },
	{ "\"Address\":\"10.1.2.3\",\"Tagg", "\"Address\":\"10.1.2.4\",\"Tagg",
	    ACTUAL_PASSING, false },
	{ "\"lan_ipv6\":{\"Address\":\"fd00::1\",\"Port\":80},", "",
	    ACTUAL_PASSING, false },
	{ "\"fd00::1\",\"Port\":80", "\"fd00::1\",\"Port\":81", ACTUAL_PASSING,
	    false },
	/* Older agents add no address of the own family, newer ones others. */
	{ "\"lan_ipv4\":{\"Address\":\"10.1.2.3\",\"Port\":80},", "",
	    ACTUAL_PASSING, true },
	{ "\"wan_ipv4\"", "\"virtual\"", ACTUAL_PASSING, true },
	/* Whoever may register may write so: it costs nobody else. */
	{ "[\"b\",\"a\"]", "[\"b\",\"a\\u0000\"]", ACTUAL_PASSING, false },
	{ "\"Service\":\"web\"", "\"Service\":\"web\\u0000\"", ACTUAL_PASSING,
	    false },
	{ "\"external-sync-source\":\"katalog-sync\"",
	    "\"external-sync-source\":\"katalog-sync\\u0000\"", ACTUAL_FOREIGN,
	    false },
};

static const struct variant in_checks[] = {
	{ "\"passing\"", "\"critical\"", ACTUAL_CRITICAL, true },
	{ "\"passing\"", "\"warning\"", ACTUAL_WARNING, true },
	{ "\"Output\":\"\"", "\"Output\":\"TTL expired\"", ACTUAL_PASSING,
	    true },
	{ ":true}", ":false}", ACTUAL_PASSING, false },
	{ "TTL 20s", "TTL 30s", ACTUAL_PASSING, false },
	{ "after 30m0s", "after 1h0m0s", ACTUAL_PASSING, false },
	{ "\"ttl\"", "\"\"", ACTUAL_PASSING, true },
	{ "\"ttl\"", "\"http\"", ACTUAL_UNCHECKED, true },
	{ "\"ttl\"", "\"ttl\\u0000\"", ACTUAL_UNCHECKED, true },
	{ ":true}", ":true}\\u0000", ACTUAL_PASSING, false },
	{ "\"ServiceID\":\"kat", "\"ServiceID\":\"cat", ACTUAL_UNCHECKED,
	    true },
	{ "{\"kat", "{\"cat", ACTUAL_UNCHECKED, false },
};

static void
check_actual(const struct variant *v, const char *s, const char *c)
{
	struct fingerprint def = consul_json_def(&web, AFTER);
	const char *new = v == NULL ? "(nothing)" : v->new;
	struct actual_list l;

	ck_assert_ptr_null(read_texts(s, c, &l));
	ck_assert_uint_eq(l.n, 1);
	ck_assert_str_eq(l.v[0].id, ID);
	ck_assert_str_eq(l.v[0].namespace, "shop");
	ck_assert_msg(l.v[0].state == (v ? v->state : ACTUAL_PASSING), "%s",
	    new);
	ck_assert_msg(fingerprint_same(&l.v[0].def, &def) ==
		(v ? v->same : true),
	    "%s", new);
	actual_list_free(&l);
}

START_TEST(reads_what_was_registered)
{
	check_actual(NULL, services, checks);
}
END_TEST

START_TEST(sees_what_differs_in_services)
{
	const struct variant *v = &in_services[_i];
	char *s = replaced(services, v->old, v->new);

	check_actual(v, s, checks);
	free(s);
}
END_TEST

START_TEST(sees_what_differs_in_checks)
{
	const struct variant *v = &in_checks[_i];
	char *c = replaced(checks, v->old, v->new);

	check_actual(v, services, c);
	free(c);
}
END_TEST

/* What the agent calls its node, if its checks say so. */
static const struct {
	const char *old;
	const char *new;
	const char *node;
} nodes[] = {
	{ "vm", "vm", "vm" },
	{ "vm", "gr\xc3\xb6\xc3\x9f", "gr\xc3\xb6\xc3\x9f" },
	{ "vm", "", NULL },
	{ "vm", "v\\u0000m", NULL },
	{ "\"Node\":\"vm\",", "", NULL },
	{ "\"Node\":\"vm\",", "\"Node\":1,", NULL },
	{ "{\"kat", "{\"cat", NULL },
};

START_TEST(knows_the_node)
{
	char *text = replaced(checks, nodes[_i].old, nodes[_i].new);
	struct actual_list l;

	ck_assert_ptr_null(read_texts(services, text, &l));
	if (nodes[_i].node == NULL)
		ck_assert_ptr_null(l.node);
	else
		ck_assert_str_eq(l.node, nodes[_i].node);
	actual_list_free(&l);
	ck_assert_ptr_null(l.node);
	free(text);
}
END_TEST

/* To Go, an IPv4 address in IPv6 form is one of IPv4. */
START_TEST(mapped_address_is_ipv4)
{
	ck_assert_str_eq(definition_tagged("::ffff:10.1.2.3", NULL, false),
	    "::ffff:10.1.2.3");
	ck_assert_str_eq(definition_tagged("::ffff:10.1.2.3", NULL, true), "");
	ck_assert_str_eq(definition_tagged("fd00::1", NULL, true), "fd00::1");
	ck_assert_str_eq(definition_tagged("fd00::1", NULL, false), "");
}
END_TEST

/* Each field of a service but its status counts. */
START_TEST(fingerprint_has_all)
{
	struct service s[9];
	struct fingerprint def = consul_json_def(&web, AFTER), other;

	for (size_t i = 0; i < 9; i++)
		s[i] = web;
	s[0].name = "web2";
	s[1].address = "10.1.2.4";
	s[2].lan_ipv6 = NULL;
	s[3].lan_ipv4 = "10.9.9.9";
	s[4].notes = "{}";
	s[5].tags[1] = "c";
	s[6].nmeta = 2;
	s[7].ttl_ms = 20001;
	s[8].port = 81;
	for (size_t i = 0; i < 9; i++) {
		other = consul_json_def(&s[i], AFTER);
		ck_assert_msg(!fingerprint_same(&def, &other), "%zu", i);
	}
	other = consul_json_def(&web, 0);
	ck_assert(!fingerprint_same(&def, &other));
	s[0] = web;
	s[0].status = SERVICE_CRITICAL;
	s[0].output = "not ready: app";
	other = consul_json_def(&s[0], AFTER);
	ck_assert(fingerprint_same(&def, &other));
}
END_TEST

/* What of an answer is another place, and what is the same one. */
static const struct {
	const char *old;
	const char *new;
	bool same;
} places[] = {
	{ "\"Service\":\"web\"", "\"Service\":\"wob\"", true },
	{ "[\"b\",\"a\"]", "[]", true },
	{ "\"lan_ipv4\":{\"Address\":\"10.1.2.3\",\"Port\":80},", "", true },
	{ "\"fd00::1\",\"Port\":80", "\"fd00::2\",\"Port\":80", false },
	{ "\"Port\":80,\"Address\"", "\"Port\":81,\"Address\"", false },
	{ "\"Address\":\"10.1.2.3\",\"Tagg", "\"Address\":\"10.1.2.4\",\"Tagg",
	    false },
};

START_TEST(knows_the_place)
{
	struct fingerprint def = consul_json_def(&web, AFTER);
	char *text = replaced(services, places[_i].old, places[_i].new);
	struct actual_list l;

	ck_assert_ptr_null(read_texts(text, checks, &l));
	ck_assert((l.v[0].def.place == def.place) == places[_i].same);
	actual_list_free(&l);
	free(text);
}
END_TEST

static const struct refusal {
	const char *services; /* NULL: the good ones */
	const char *checks;
} refused[] = {
	{ "", NULL },
	{ "[]", NULL },
	{ "null", NULL },
	{ "Permission denied", NULL },
	{ "<html>", NULL },
	{ "{} {}", NULL },
	{ "{\"a\":", NULL },
	{ "{\"a\":1}", NULL },
	{ "{\"a\":{}}", NULL },
	{ "{\"a\":{\"ID\":1}}", NULL },
	{ "{\"a\":{\"ID\":\"b\"}}", NULL },
	{ "{\"" ID "\":{\"ID\":\"" ID "\",\"Service\":1}}", NULL },
	{ "{\"" ID "\":{\"ID\":\"" ID "\",\"Tags\":{}}}", NULL },
	{ "{\"" ID "\":{\"ID\":\"" ID "\",\"Tags\":[1]}}", NULL },
	{ "{\"" ID "\":{\"ID\":\"" ID "\",\"Meta\":[]}}", NULL },
	{ "{\"" ID "\":{\"ID\":\"" ID "\",\"Meta\":{\"a\":1}}}", NULL },
	{ "{\"" ID "\":{\"ID\":\"" ID "\",\"Port\":\"80\"}}", NULL },
	{ "{\"" ID "\":{\"ID\":\"" ID "\",\"Port\":80.5}}", NULL },
	{ "{\"" ID "\":{\"ID\":\"" ID "\",\"Address\":[]}}", NULL },
	{ "{\"" ID "\":{\"ID\":\"" ID "\",\"TaggedAddresses\":\"\"}}", NULL },
	{ "{\"" ID "\":{\"ID\":\"" ID
	  "\",\"TaggedAddresses\":{\"lan_ipv4\":1}}}",
	    NULL },
	{ "{\"" ID "\":{\"ID\":\"" ID "\",\"Service\":\"\xff\"}}", NULL },
	{ NULL, "" },
	{ NULL, "[]" },
	{ NULL, "{\"" ID "\":[]}" },
	{ NULL, "{\"" ID "\":{\"ServiceID\":\"" ID "\"}}" },
	{ NULL, "{\"" ID "\":{\"Status\":\"fine\"}}" },
	{ NULL, "{\"" ID "\":{\"Status\":\"passing\",\"Notes\":1}}" },
	{ NULL, "{\"" ID "\":{\"Status\":1}}" },
};

START_TEST(refuses)
{
	const struct refusal *r = &refused[_i];
	struct actual_list l;

	ck_assert_ptr_nonnull(
	    read_texts(r->services == NULL ? services : r->services,
		r->checks == NULL ? checks : r->checks, &l));
	ck_assert_uint_eq(l.n, 0);
	ck_assert_ptr_null(l.v);
}
END_TEST

START_TEST(refuses_nul)
{
	struct actual_list l;

	ck_assert_ptr_null(consul_json_read("{}", 2, "{}", 2, &l));
	ck_assert_ptr_nonnull(consul_json_read("{}\0", 3, "{}", 2, &l));
	ck_assert_ptr_nonnull(consul_json_read("{}", 2, "{}\0x", 4, &l));
}
END_TEST

/* {"a":[[...]]}, open ended. */
static char *
nested(const char *inside, size_t depth)
{
	size_t len = strlen(inside);
	char *text = calloc(1, 2 * depth + len + 16), *at = text;

	ck_assert_ptr_nonnull(text);
	memcpy(at, "{\"a\":", 5);
	memset(at += 5, '[', depth);
	memcpy(at += depth, inside, len);
	memset(at += len, ']', depth);
	strcpy(at + depth, "}");
	return text;
}

START_TEST(refuses_depth)
{
	char *deep = nested("", 10200);
	struct actual_list l;

	ck_assert_ptr_nonnull(read_texts(deep, "{}", &l));
	free(deep);
}
END_TEST

/* The agent takes 10,000 levels from whoever may register. */
START_TEST(others_may_be_deep)
{
	char *config = nested("1", 9990), *other, *s;

	ck_assert_int_ge(asprintf(&other,
			     "{\"a\":{\"ID\":\"a\",\"Proxy\":%s},\"kat",
			     config),
	    0);
	s = replaced(services, "{\"kat", other);
	check_actual(NULL, s, checks);
	free(s);
	free(other);
	free(config);
}
END_TEST

/* Keys are cut at a NUL: ours may be hidden, but is not taken for another. */
START_TEST(others_may_have_a_nul)
{
	char *s = replaced(services, "{\"kat",
	    "{\"a\\u0000b\":{\"ID\":\"a\\u0000b\"},\"kat");
	struct actual_list l;

	check_actual(NULL, s, checks);
	free(s);
	ck_assert_ptr_null(
	    read_texts("{\"" ID "\\u0000\":{\"ID\":\"" ID "\\u0000\"}}", "{}",
		&l));
	ck_assert_uint_eq(l.n, 0);
	actual_list_free(&l);
}
END_TEST

/* Agents before 1.5 know no filter: what is not ours is passed over. */
START_TEST(passes_over_others)
{
	char *s = replaced(services, "{\"kat",
	    "{\"db\":{\"ID\":\"db\",\"Service\":\"db\",\"Tags\":null},\"kat");
	struct actual_list l;

	check_actual(NULL, s, checks);
	free(s);
	ck_assert_ptr_null(read_texts("{}", "{}", &l));
	ck_assert_uint_eq(l.n, 0);
	actual_list_free(&l);
}
END_TEST

START_TEST(sorts)
{
	const char *text = "{\"katalog-sync_b\":{\"ID\":\"katalog-sync_b\"},"
			   "\"katalog-sync_a\":{\"ID\":\"katalog-sync_a\"}}";
	struct actual_list l;

	ck_assert_ptr_null(read_texts(text, "{}", &l));
	ck_assert_uint_eq(l.n, 2);
	ck_assert_str_eq(l.v[0].id, "katalog-sync_a");
	ck_assert_str_eq(l.v[1].id, "katalog-sync_b");
	ck_assert_int_eq(l.v[0].state, ACTUAL_FOREIGN);
	actual_list_free(&l);
}
END_TEST

START_TEST(writes_registration)
{
	char *body = consul_json_register(&web, AFTER);

	ck_assert_str_eq(body,
	    "{\"ID\":\"" ID "\",\"Name\":\"web\",\"Address\":\"10.1.2.3\","
	    "\"Port\":80,\"Tags\":[\"b\",\"a\"],\"Meta\":{"
	    "\"external-k8s-namespace\":\"shop\","
	    "\"external-k8s-pod\":\"web-1\","
	    "\"external-sync-source\":\"katalog-sync\"},"
	    "\"TaggedAddresses\":{\"lan_ipv6\":{\"Address\":\"fd00::1\","
	    "\"Port\":80}},\"Check\":{\"CheckID\":\"" ID "\","
	    "\"Name\":\"Kubernetes readiness of 10.1.2.3:80 (TTL "
	    "20s, deregister after "
	    "30m0s)\",\"TTL\":\"20s\",\"Status\":\"passing\","
	    "\"Notes\":\"{\\\"app\\\":true}\","
	    "\"DeregisterCriticalServiceAfter\":\"30m0s\"}}");
	free(body);
}
END_TEST

START_TEST(writes_the_least)
{
	struct service s = web;
	char *body;

	s.lan_ipv6 = NULL;
	s.ntags = s.nmeta = 0;
	s.status = SERVICE_WARNING;
	body = consul_json_register(&s, 0);
	ck_assert_str_eq(body,
	    "{\"ID\":\"" ID "\",\"Name\":\"web\",\"Address\":\"10.1.2.3\","
	    "\"Port\":80,\"Tags\":[],\"Meta\":{},\"Check\":{"
	    "\"CheckID\":\"" ID "\",\"Name\":\"Kubernetes readiness of "
	    "10.1.2.3:80 (TTL 20s)\",\"TTL\":\"20s\",\"Status\":\"warning\","
	    "\"Notes\":\"{\\\"app\\\":true}\"}}");
	free(body);
	body = consul_json_update(&s);
	ck_assert_str_eq(body,
	    "{\"Status\":\"warning\",\"Output\":\"all containers are "
	    "ready\"}");
	free(body);
}
END_TEST

START_TEST(writes_a_dry_run)
{
	const struct service *list[] = { &web, &web };
	char *body = consul_json_dry_run(list, 2, AFTER);

	ck_assert_ptr_eq(strstr(body, "[\n  {\n    \"ID\""), body);
	ck_assert_str_eq(body + strlen(body) - 3, "\n]\n");
	free(body);
	body = consul_json_dry_run(NULL, 0, AFTER);
	ck_assert_str_eq(body, "[\n]\n");
	free(body);
}
END_TEST

#define COUNT(a) (int)(sizeof(a) / sizeof(*(a)))

int
main(void)
{
	Suite *s = suite_create("consul_json");
	TCase *t = tcase_create("consul_json");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_test(t, reads_what_was_registered);
	tcase_add_loop_test(t, sees_what_differs_in_services, 0,
	    COUNT(in_services));
	tcase_add_loop_test(t, sees_what_differs_in_checks, 0,
	    COUNT(in_checks));
	tcase_add_loop_test(t, knows_the_node, 0, COUNT(nodes));
	tcase_add_test(t, mapped_address_is_ipv4);
	tcase_add_test(t, fingerprint_has_all);
	tcase_add_loop_test(t, knows_the_place, 0, COUNT(places));
	tcase_add_loop_test(t, refuses, 0, COUNT(refused));
	tcase_add_test(t, refuses_nul);
	tcase_add_test(t, refuses_depth);
	tcase_add_test(t, others_may_be_deep);
	tcase_add_test(t, others_may_have_a_nul);
	tcase_add_test(t, passes_over_others);
	tcase_add_test(t, sorts);
	tcase_add_test(t, writes_registration);
	tcase_add_test(t, writes_the_least);
	tcase_add_test(t, writes_a_dry_run);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
