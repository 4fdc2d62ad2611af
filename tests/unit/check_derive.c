#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "workers/consul_reader/derive.h"
#include "workers/json_scan.h"

#define COUNT(a) (sizeof(a) / sizeof(*(a)))

static const struct derive_conf plain = { "kubernetes", "internal", "external",
	true, false };
static const struct derive_conf strict = { "kubernetes", "", "", false, false };
static const struct derive_conf loops = { "kubernetes", "internal", "external",
	true, true };

/* What a test says of an instance; NULL is what a plain one has. */
struct given {
	const char *node; /* members of Node, besides its name */
	const char *service; /* of Service, besides its names and Tags */
	const char *tags;
	const char *checks;
	const struct derive_conf *conf;
};

#define OR(a, b) ((a) != NULL ? (a) : (b))

static struct derived *
derive_text(const char *text, const struct derive_conf *conf, struct refusal *r)
{
	struct element e = { "", 0, text, strlen(text), false };
	struct json_scan scan;

	json_scan_init(&scan, LIMIT_CONSUL_DEPTH);
	scan.any_names = true;
	ck_assert_uint_eq(json_scan(&scan, text, e.len), e.len);
	ck_assert_int_eq(scan.status, JSON_DONE);
	refusal_clear(r);
	return derive(&e, "web", conf, r);
}

static struct derived *
derive_given(const struct given *g, struct refusal *r)
{
	char text[4096];

	snprintf(text, sizeof(text),
	    "{\"Node\":{\"Node\":\"n1\"%s},\"Service\":{\"ID\":\"web-1\","
	    "\"Service\":\"web\",\"Tags\":%s,\"CreateIndex\":42%s},"
	    "\"Checks\":[%s]}",
	    OR(g->node, ",\"Address\":\"10.0.0.9\""),
	    OR(g->tags, "[\"kubernetes\"]"),
	    OR(g->service, ",\"Address\":\"10.0.0.1\",\"Port\":80"),
	    OR(g->checks, ""));
	return derive_text(text, OR(g->conf, &plain), r);
}

/* All that there is to say of it, in a line. */
static const char *
told(const struct derived *d)
{
	static const char *const kinds[] = { "taken", "host", "bad", "loop",
		"untagged" };
	static char buf[1024];

	snprintf(buf, sizeof(buf), "%s %s %s:%u %s%s%s", kinds[d->kind],
	    d->ready ? "ready" : "not-ready", d->address, d->port,
	    d->internal ? "internal " : "", d->external ? "external " : "",
	    d->notice);
	return buf;
}

#define STATUS(s)  "{\"Status\":\"" s "\"}"
#define ADDRESS(a) ",\"Port\":80,\"Address\":\"" a "\""
#define LEFT_OUT   "service web: instance web-1 on n1: "

static const struct {
	struct given given;
	const char *told;
} instances[] = {
	{ { .node = NULL }, "taken ready 10.0.0.1:80 " },
	/* Readiness. */
	{ { .checks = STATUS("passing") "," STATUS("passing") },
	    "taken ready 10.0.0.1:80 " },
	{ { .checks = STATUS("passing") "," STATUS("critical") },
	    "taken not-ready 10.0.0.1:80 " },
	{ { .checks = STATUS("critical") "," STATUS("passing") },
	    "taken not-ready 10.0.0.1:80 " },
	{ { .checks = STATUS("warning") }, "taken ready 10.0.0.1:80 " },
	{ { .checks = STATUS("warning"), .conf = &strict },
	    "taken not-ready 10.0.0.1:80 " },
	{ { .checks = STATUS("maintenance") }, "taken not-ready 10.0.0.1:80 " },
	{ { .checks = "{}" }, "taken not-ready 10.0.0.1:80 " },
	/* Tags. */
	{ { .tags = "[]" }, "untagged ready :0 " },
	{ { .tags = "null" }, "untagged ready :0 " },
	{ { .tags = "[\"kubernetes2\",\"kubernetes\\u0000\"]" },
	    "untagged ready :0 " },
	{ { .tags = "[\"internal\",\"kubernetes\",\"external\"]" },
	    "taken ready 10.0.0.1:80 internal external " },
	{ { .tags = "[\"\",\"kubernetes\",\"internal\"]", .conf = &strict },
	    "taken ready 10.0.0.1:80 " },
	/* Loops. */
	{ { .service = ADDRESS("10.0.0.1") ",\"Meta\":{\"external-source\":"
					   "\"kubernetes\"}" },
	    "loop ready :0 " },
	{ { .service = ADDRESS("10.0.0.1") ",\"Meta\":{\"external-sync-"
					   "source\":\"katalog-sync\"}" },
	    "loop ready :0 " },
	{ { .service = ADDRESS("10.0.0.1") ",\"Meta\":{\"external-source\":"
					   "\"nomad\"}" },
	    "taken ready 10.0.0.1:80 " },
	{ { .service = ADDRESS("10.0.0.1") ",\"Meta\":{\"external-source\":"
					   "\"kubernetes\"}",
	      .conf = &loops },
	    "taken ready 10.0.0.1:80 " },
	{ { .tags = "[]",
	      .service = ADDRESS("10.0.0.1") ",\"Meta\":{\"external-source\":"
					     "\"kubernetes\"}" },
	    "untagged ready :0 " },
	/* Addresses. */
	{ { .service = ",\"Port\":80" }, "taken ready 10.0.0.9:80 " },
	{ { .service = ADDRESS("") }, "taken ready 10.0.0.9:80 " },
	{ { .service = ADDRESS("2001:DB8:0::1") },
	    "taken ready 2001:db8::1:80 " },
	{ { .service = ADDRESS("::ffff:10.1.2.3") },
	    "taken ready 10.1.2.3:80 " },
	{ { .service = ADDRESS("db-1.example.com") },
	    "host ready db-1.example.com:80 " },
	{ { .service = ADDRESS("Db_1") }, "host ready Db_1:80 " },
	{ { .service = ADDRESS("127.0.0.1") },
	    "bad ready 127.0.0.1:80 " LEFT_OUT "address \"127.0.0.1\": " },
	{ { .service = ADDRESS("10.0.0.1:80") },
	    "bad ready 10.0.0.1:80:80 " LEFT_OUT "address \"10.0.0.1:80\": " },
	{ { .service = ADDRESS("a b") },
	    "bad ready a b:80 " LEFT_OUT "address \"a b\": " },
	{ { .service = ADDRESS("10.0.0.1\\u0000.evil") },
	    "bad ready 10.0.0.1:80 " LEFT_OUT
	    "address \"10.0.0.1\": holds a NUL; left out" },
	{ { .node = "", .service = "" },
	    "bad ready :0 " LEFT_OUT "address \"\": " },
	/* Ports. */
	{ { .service = ",\"Address\":\"10.0.0.1\"" },
	    "taken ready 10.0.0.1:0 " },
	{ { .service = ",\"Address\":\"10.0.0.1\",\"Port\":65535" },
	    "taken ready 10.0.0.1:65535 " },
	{ { .service = ",\"Address\":\"10.0.0.1\",\"Port\":65536" },
	    "bad ready 10.0.0.1:0 " LEFT_OUT
	    "port 65536: not a port (0-65535); left out" },
	{ { .service = ",\"Address\":\"10.0.0.1\",\"Port\":-1" },
	    "bad ready 10.0.0.1:0 " LEFT_OUT
	    "port -1: not a port (0-65535); left out" },
};

START_TEST(derives)
{
	const char *want = instances[_i].told;
	struct refusal r;
	struct derived *d = derive_given(&instances[_i].given, &r);

	ck_assert_msg(d != NULL, "%s", r.why);
	ck_assert_msg(strncmp(told(d), want, strlen(want)) == 0, "%s", told(d));
	ck_assert_str_eq(d->node, "n1");
	ck_assert_str_eq(d->id, "web-1");
	ck_assert_int_eq((d->kind == DERIVED_BAD) == (*d->notice != '\0'), 1);
	if (d->kind == DERIVED_TAKEN)
		ck_assert_uint_eq(d->create_index, 42);
	derived_free(d);
}
END_TEST

/* ---- meta ---- */

static const struct {
	const char *node;
	const char *service;
	const char *told; /* port name, protocol, node, zone */
	const char *notice; /* its end */
} metas[] = {
	{ "", "", "||||", "" },
	{ ",\"Meta\":null", ",\"Meta\":null", "||||", "" },
	{ "",
	    ",\"Meta\":{\"kubernetes-port-name\":\"grpc-web\","
	    "\"kubernetes-app-protocol\":\"kubernetes.io/h2c\"}",
	    "grpc-web|kubernetes.io/h2c|||", "" },
	{ "", ",\"Meta\":{\"kubernetes-port-name\":\"Web\"}", "||||",
	    "meta kubernetes-port-name \"Web\": not the name of a port (at "
	    "most 63 lower-case letters, digits and -); taken as not there" },
	{ "", ",\"Meta\":{\"kubernetes-app-protocol\":\"a b\"}", "||||",
	    "not an appProtocol; taken as not there" },
	{ ",\"Meta\":{\"kubernetes-node-name\":\"node-7.example\","
	  "\"kubernetes-zone\":\"a\",\"zone\":\"b\"}",
	    "", "||node-7.example|a|", "" },
	{ ",\"Meta\":{\"kubernetes-zone\":\"a b\",\"zone\":\"eu-1b\"}", "",
	    "|||eu-1b|",
	    "meta kubernetes-zone \"a b\": not a zone; taken as "
	    "not there" },
	{ ",\"Meta\":{\"kubernetes-node-name\":\"n\\u0000\"}", "", "||||",
	    "not the name of a node; taken as not there" },
	/* Keys of the other one's meta don't count. */
	{ ",\"Meta\":{\"kubernetes-port-name\":\"a\"}",
	    ",\"Meta\":{\"zone\":\"a\"}", "||||", "" },
	{ ",\"Locality\":{\"Region\":\"r\",\"Zone\":\"z1\"}", "", "|||z1|",
	    "" },
	{ ",\"Locality\":{\"Zone\":\"z1\"}", ",\"Locality\":{\"Zone\":\"z2\"}",
	    "|||z2|", "" },
	{ ",\"Meta\":{\"zone\":\"z3\"},\"Locality\":{\"Zone\":\"z1\"}", "",
	    "|||z3|", "" },
	{ ",\"Locality\":{\"Zone\":\"z 1\"}", "", "||||", "" },
};

START_TEST(reads_meta)
{
	char node[512], service[512], got[512];
	struct given g = { .node = node, .service = service };
	struct refusal r;
	struct derived *d;
	size_t len, want = strlen(metas[_i].notice);

	snprintf(node, sizeof(node), ",\"Address\":\"10.0.0.9\"%s",
	    metas[_i].node);
	snprintf(service, sizeof(service), ",\"Port\":80%s", metas[_i].service);
	d = derive_given(&g, &r);
	ck_assert_msg(d != NULL, "%s", r.why);
	ck_assert_int_eq(d->kind, DERIVED_TAKEN);
	snprintf(got, sizeof(got), "%s|%s|%s|%s|", d->port_name,
	    d->app_protocol, d->k8s_node, d->zone);
	ck_assert_str_eq(got, metas[_i].told);
	len = strlen(d->notice);
	ck_assert_uint_ge(len, want);
	ck_assert_str_eq(d->notice + len - want, metas[_i].notice);
	ck_assert_int_eq(len == 0, want == 0);
	derived_free(d);
}
END_TEST

/* ---- what Consul never says ---- */

#define NODE    "\"Node\":{\"Node\":\"n1\",\"Address\":\"10.0.0.1\"}"
#define SERVICE "\"Service\":{\"ID\":\"i\",\"Service\":\"web\"}"

static const struct {
	const char *text;
	const char *why;
} nonsense[] = {
	{ "[]", "an instance is not an object" },
	{ "{}", "an instance without its node or service" },
	{ "{" NODE "}", "an instance without its node or service" },
	{ "{" NODE ",\"Service\":[]}", "\"Service\" is not an object" },
	{ "{" NODE ",\"Service\":{\"ID\":\"\",\"Service\":\"web\"}}",
	    "an instance without node or ID" },
	{ "{" NODE ",\"Service\":{\"ID\":1,\"Service\":\"web\"}}",
	    "\"ID\" is not text" },
	{ "{" NODE ",\"Service\":{\"ID\":\"i\",\"Service\":\"web\","
	  "\"Tags\":\"kubernetes\"}}",
	    "\"Tags\" is not a list" },
	{ "{" NODE ",\"Service\":{\"ID\":\"i\",\"Service\":\"web\","
	  "\"Tags\":[7]}}",
	    "a tag is not text" },
	{ "{" NODE ",\"Service\":{\"ID\":\"i\",\"Service\":\"web\","
	  "\"Meta\":[]}}",
	    "\"Meta\" is not an object" },
	{ "{" NODE ",\"Service\":{\"ID\":\"i\",\"Service\":\"web\","
	  "\"Tags\":[\"kubernetes\"],\"Port\":\"80\"}}",
	    "\"Port\" is not a whole number" },
	{ "{" NODE ",\"Service\":{\"ID\":\"i\",\"Service\":\"web\","
	  "\"Tags\":[\"kubernetes\"],\"Address\":7}}",
	    "\"Address\" is not text" },
	{ "{" NODE "," SERVICE ",\"Checks\":{}}", "\"Checks\" is not a list" },
	{ "{" NODE "," SERVICE ",\"Checks\":[1]}",
	    "\"Checks\" holds something that is not an object" },
	{ "{" NODE "," SERVICE ",\"Checks\":[{\"Status\":1}]}",
	    "\"Status\" is not text" },
	{ "{" NODE "," NODE "," SERVICE "}",
	    "\"Node\" stands in an object twice" },
	{ "{" NODE "," SERVICE ",\"Checks\":[{\"Status\":{\"\\u0000\":1}}]}",
	    "a NUL in a member's name" },
};

START_TEST(refuses)
{
	struct refusal r;

	ck_assert_ptr_null(derive_text(nonsense[_i].text, &plain, &r));
	ck_assert_str_eq(r.why, nonsense[_i].why);
}
END_TEST

/* ---- what anybody may register, and nobody reads ---- */

static const char *const unread[] = {
	",\"Proxy\":{\"Config\":{\"\\u0000\":1,\"a\":1,\"a\":2}}",
	",\"TaggedAddresses\":{\"x\\u0000\":{\"Address\":7}}",
	",\"Meta\":{\"\\u0000\":\"\",\"a\":1,\"a\":2,\"z\\u006fne\":7}",
	",\"Tags\\u0000\":7",
};

START_TEST(what_nobody_reads_refuses_nothing)
{
	char service[512];
	struct given g = { .service = service };
	struct refusal r;
	struct derived *d;

	snprintf(service, sizeof(service), "%s%s", ADDRESS("10.0.0.1"),
	    unread[_i]);
	d = derive_given(&g, &r);
	ck_assert_msg(d != NULL, "%s", r.why);
	ck_assert_int_eq(d->kind, DERIVED_TAKEN);
	ck_assert_str_eq(d->notice, "");
	derived_free(d);
}
END_TEST

/* The text with a run of n bytes in place of its "%". */
static struct derived *
derive_run(const char *text, size_t n, struct refusal *r)
{
	const char *at = strchr(text, '%');
	char *s = calloc(1, strlen(text) + n);
	struct derived *d;

	ck_assert_ptr_nonnull(s);
	memcpy(s, text, (size_t)(at - text));
	memset(s + (at - text), 'x', n);
	strcpy(s + (at - text) + n, at + 1);
	d = derive_text(s, &plain, r);
	free(s);
	ck_assert_msg(d != NULL, "%s", r->why);
	return d;
}

START_TEST(what_is_too_large_is_left_out)
{
	struct refusal r;
	struct derived *d = derive_run("{" NODE ",\"Service\":{\"ID\":\"i\","
				       "\"Service\":\"web\",\"Tags\":["
				       "\"kubernetes\",\"%\"]}}",
	    300000, &r);

	ck_assert_int_eq(d->kind, DERIVED_BAD);
	ck_assert_str_eq(d->notice,
	    "service web: instance i on n1: what is read of it has more than "
	    "262144 bytes; left out");
	derived_free(d);
	/* Not where it is another service's. */
	d = derive_run("{" NODE ",\"Service\":{\"ID\":\"i\",\"Service\":"
		       "\"Web\",\"Tags\":[\"%\"]}}",
	    300000, &r);
	ck_assert_int_eq(d->kind, DERIVED_OTHERS);
	derived_free(d);
}
END_TEST

/* Each has a name of its own, though none can be read. */
START_TEST(names_that_are_too_large)
{
	static const char text[] =
	    "{" NODE ",\"Service\":{\"ID\":\"%\",\"Service\":\"web\"}}";
	struct refusal r;
	struct derived *a = derive_run(text, 300000, &r);
	struct derived *b = derive_run(text, 300001, &r);

	ck_assert_int_eq(a->kind, DERIVED_BAD);
	ck_assert_int_eq(b->kind, DERIVED_BAD);
	ck_assert_str_ne(a->id, b->id);
	ck_assert_ptr_nonnull(strstr(a->notice, "more than 262144 bytes"));
	derived_free(a);
	derived_free(b);
}
END_TEST

/* An ID that ends for us where it does not for Consul would be another's. */
START_TEST(a_name_with_a_nul_is_left_out)
{
	struct refusal r;
	struct derived *d =
	    derive_text("{" NODE ",\"Service\":{\"ID\":\"a\\u0000b\","
			"\"Service\":\"web\","
			"\"Tags\":[\"kubernetes\"]}}",
		&plain, &r);

	ck_assert_ptr_nonnull(d);
	ck_assert_int_eq(d->kind, DERIVED_BAD);
	/* Bytes that no name has. */
	ck_assert_str_eq(d->id,
	    "a\xc0\x80"
	    "b");
	ck_assert_ptr_nonnull(strstr(d->notice, "its \"ID\" holds a NUL"));
	derived_free(d);
}
END_TEST

/* In Consul's index names that differ in case only are one. */
static const char *const others[] = { "WEB", "w\xc3\xa9", "web\\u0000", "" };

START_TEST(knows_other_services)
{
	char text[512];
	struct refusal r;
	struct derived *d;

	snprintf(text, sizeof(text),
	    "{" NODE ",\"Service\":{\"ID\":\"i\",\"Service\":\"%s\","
	    "\"Tags\":[\"kubernetes\"],\"Port\":-1}}",
	    others[_i]);
	d = derive_text(text, &plain, &r);
	ck_assert_msg(d != NULL, "%s", r.why);
	ck_assert_int_eq(d->kind, DERIVED_OTHERS);
	ck_assert_str_eq(d->notice, "");
	derived_free(d);
}
END_TEST

START_TEST(knows_who_counts)
{
	static const struct {
		enum derived_kind kind;
		bool counts;
	} kinds[] = {
		{ DERIVED_TAKEN, true },
		{ DERIVED_HOST, true },
		{ DERIVED_BAD, true },
		{ DERIVED_LOOP, false },
		{ DERIVED_UNTAGGED, false },
		{ DERIVED_OTHERS, false },
	};

	for (size_t i = 0; i < COUNT(kinds); i++) {
		struct derived d = { .kind = kinds[i].kind };

		ck_assert_int_eq(derived_counts(&d), kinds[i].counts);
	}
	derived_free(NULL);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("derive");
	TCase *t = tcase_create("derive");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_loop_test(t, derives, 0, COUNT(instances));
	tcase_add_loop_test(t, reads_meta, 0, COUNT(metas));
	tcase_add_loop_test(t, refuses, 0, COUNT(nonsense));
	tcase_add_loop_test(t, what_nobody_reads_refuses_nothing, 0,
	    COUNT(unread));
	tcase_add_test(t, what_is_too_large_is_left_out);
	tcase_add_test(t, names_that_are_too_large);
	tcase_add_test(t, a_name_with_a_nul_is_left_out);
	tcase_add_loop_test(t, knows_other_services, 0, COUNT(others));
	tcase_add_test(t, knows_who_counts);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
