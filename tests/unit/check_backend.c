#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/backend.h"

#define COUNT(a) (sizeof(a) / sizeof(*(a)))

/* A text of n times c, of 1023 bytes at most; the last one made counts. */
static const char *
times(char c, size_t n)
{
	static char buf[4][1024];
	static size_t next;
	char *s = buf[next++ % 4];

	memset(s, c, n);
	s[n] = '\0';
	return s;
}

/* ---- keys ---- */

START_TEST(keys_say_what_they_are)
{
	char key[LIMIT_SET_KEY], service[LIMIT_SERVICE_NAME + 1];
	size_t n = backend_service_key("web", key);

	ck_assert_uint_eq(n, 5);
	ck_assert_mem_eq(key, "s\0web", 5);
	ck_assert_int_eq(backend_key(key, n, service), BACKEND_SERVICE);
	ck_assert_str_eq(service, "web");

	n = backend_instance_key("web", "node-1", "web:8080", key);
	ck_assert_uint_eq(n, 5 + 1 + 6 + 1 + 8);
	ck_assert_mem_eq(key, "i\0web\0node-1\0web:8080", n);
	ck_assert_int_eq(backend_key(key, n, service), BACKEND_INSTANCE);
	ck_assert_str_eq(service, "web");
}
END_TEST

START_TEST(bounds_of_a_service_name)
{
	char key[LIMIT_SET_KEY], service[LIMIT_SERVICE_NAME + 1];
	const char *longest = times('x', LIMIT_SERVICE_NAME);
	const char *longer = times('x', LIMIT_SERVICE_NAME + 1);
	size_t n = backend_service_key(longest, key);

	ck_assert_uint_eq(n, LIMIT_SERVICE_NAME + 2);
	ck_assert_int_eq(backend_key(key, n, service), BACKEND_SERVICE);
	ck_assert_str_eq(service, longest);
	ck_assert_uint_eq(backend_service_key(longer, key), 0);
	ck_assert_uint_eq(backend_service_key("", key), 0);
	ck_assert_uint_eq(backend_instance_key(longer, "n", "i", key), 0);
}
END_TEST

START_TEST(long_instances_are_hashed)
{
	const char *service = times('x', LIMIT_SERVICE_NAME);
	const char *node = times('n', 200), *id = times('i', 1000);
	char a[LIMIT_SET_KEY], b[LIMIT_SET_KEY], name[LIMIT_SERVICE_NAME + 1];
	size_t n = backend_instance_key(service, node, id, a);

	ck_assert_uint_eq(n, LIMIT_SERVICE_NAME + 3 + 1 + 32);
	ck_assert_int_eq(backend_key(a, n, name), BACKEND_INSTANCE);
	ck_assert_str_eq(name, service);
	ck_assert_uint_eq(backend_instance_key(service, node, id, b), n);
	ck_assert_mem_eq(a, b, n);
	/* A byte from one to the other makes another instance. */
	backend_instance_key(service, times('n', 199), id, b);
	ck_assert_mem_ne(a, b, n);
	backend_instance_key(service, node, times('i', 999), b);
	ck_assert_mem_ne(a, b, n);
}
END_TEST

START_TEST(the_longest_unhashed_instance)
{
	size_t room = LIMIT_SET_KEY - strlen("i_web_n_");
	char key[LIMIT_SET_KEY];

	ck_assert_uint_eq(backend_instance_key("web", "n", times('i', room),
			      key),
	    LIMIT_SET_KEY);
	ck_assert_int_eq(key[6], 'n');
	backend_instance_key("web", "n", times('i', room + 1), key);
	ck_assert_int_eq(key[6], '\0');
}
END_TEST

static const struct {
	const char *bytes;
	size_t len;
} no_keys[] = {
	{ "", 0 },
	{ "s", 1 },
	{ "s\0", 2 },
	{ "s\0\0", 3 },
	{ "sxweb", 5 },
	{ "t\0web", 5 },
	{ "\0\0web", 5 },
	{ "s\0web\0", 6 },
	{ "s\0web\0n\0i", 9 },
	{ "i\0web", 5 },
	{ "i\0web\0", 6 },
	{ "i\0web\0n", 7 },
	{ "i\0\0n\0i", 6 },
	{ "i\0web\0n\0i\0j", 11 },
};

START_TEST(no_key_of_ours)
{
	char service[LIMIT_SERVICE_NAME + 1] = "?";

	ck_assert_int_eq(backend_key(no_keys[_i].bytes, no_keys[_i].len,
			     service),
	    BACKEND_NONE);
	ck_assert_str_eq(service, "");
}
END_TEST

/* ---- items ---- */

static const struct backend_service services[] = {
	{ .service = "web",
	    .create_index = UINT64_MAX,
	    .port_name = "grpc",
	    .app_protocol = "kubernetes.io/h2c",
	    .internal = true },
	{ .service = "a b",
	    .port_name = "",
	    .app_protocol = "",
	    .external = true },
};

static const struct backend_instance instances[] = {
	{ .service = "web",
	    .address = "10.0.0.1",
	    .node = "node-1.example",
	    .zone = "eu-1a",
	    .port = 65535,
	    .ready = true },
	{ .service = "web", .address = "fd00::1", .node = "", .zone = "" },
};

static struct backend_service *
service_back(const struct backend_service *s)
{
	char key[LIMIT_SET_KEY], buf[1024];
	size_t n = backend_service_key(s->service, key);
	size_t len = backend_service_encode(s, buf, sizeof(buf));

	ck_assert_uint_gt(len, 0);
	for (size_t cap = 0; cap < len; cap++)
		ck_assert_uint_eq(backend_service_encode(s, buf, cap), 0);
	backend_service_encode(s, buf, len);
	for (size_t cut = 0; cut < len; cut++)
		ck_assert_ptr_null(backend_service_decode(key, n, buf, cut));
	ck_assert_ptr_null(backend_instance_decode(key, n, buf, len));
	return backend_service_decode(key, n, buf, len);
}

static struct backend_instance *
instance_back(const struct backend_instance *i)
{
	char key[LIMIT_SET_KEY], buf[1024];
	size_t n = backend_instance_key(i->service, "n", "i", key);
	size_t len = backend_instance_encode(i, buf, sizeof(buf));

	ck_assert_uint_gt(len, 0);
	for (size_t cap = 0; cap < len; cap++)
		ck_assert_uint_eq(backend_instance_encode(i, buf, cap), 0);
	backend_instance_encode(i, buf, len);
	for (size_t cut = 0; cut < len; cut++)
		ck_assert_ptr_null(backend_instance_decode(key, n, buf, cut));
	ck_assert_ptr_null(backend_service_decode(key, n, buf, len));
	return backend_instance_decode(key, n, buf, len);
}

START_TEST(services_come_back)
{
	const struct backend_service *a = &services[_i];
	struct backend_service *b = service_back(a);

	ck_assert_ptr_nonnull(b);
	ck_assert_str_eq(a->service, b->service);
	ck_assert_uint_eq(a->create_index, b->create_index);
	ck_assert_str_eq(a->port_name, b->port_name);
	ck_assert_str_eq(a->app_protocol, b->app_protocol);
	ck_assert_int_eq(a->internal, b->internal);
	ck_assert_int_eq(a->external, b->external);
	free(b);
}
END_TEST

START_TEST(instances_come_back)
{
	const struct backend_instance *a = &instances[_i];
	struct backend_instance *b = instance_back(a);

	ck_assert_ptr_nonnull(b);
	ck_assert_str_eq(a->service, b->service);
	ck_assert_str_eq(a->address, b->address);
	ck_assert_str_eq(a->node, b->node);
	ck_assert_str_eq(a->zone, b->zone);
	ck_assert_uint_eq(a->port, b->port);
	ck_assert_int_eq(a->ready, b->ready);
	free(b);
}
END_TEST

static const struct backend_service bad_services[] = {
	{ .service = "x", .port_name = "Web", .app_protocol = "" },
	{ .service = "x", .port_name = "web-", .app_protocol = "" },
	{ .service = "x", .port_name = "", .app_protocol = "a/b/c" },
};

static const struct backend_instance bad_instances[] = {
	{ .service = "x", .address = "host.example", .node = "", .zone = "" },
	{ .service = "x", .address = "127.0.0.1", .node = "", .zone = "" },
	{ .service = "x", .address = "FD00::1", .node = "", .zone = "" },
	{ .service = "x", .address = "10.0.0.1", .node = "_", .zone = "" },
	{ .service = "x", .address = "10.0.0.1", .node = "", .zone = "a b" },
};

START_TEST(bad_services_are_refused)
{
	ck_assert_ptr_null(service_back(&bad_services[_i]));
}
END_TEST

START_TEST(bad_instances_are_refused)
{
	ck_assert_ptr_null(instance_back(&bad_instances[_i]));
}
END_TEST

START_TEST(flags_are_0_or_1)
{
	char key[LIMIT_SET_KEY], buf[1024];
	size_t n = backend_instance_key("x", "n", "i", key);
	size_t len = backend_instance_encode(&instances[0], buf, sizeof(buf));
	struct backend_instance *i;

	buf[len - 1] = 2; /* the last field is the flag */
	ck_assert_ptr_null(backend_instance_decode(key, n, buf, len));
	buf[len - 1] = 0;
	i = backend_instance_decode(key, n, buf, len);
	ck_assert_ptr_nonnull(i);
	ck_assert(!i->ready);
	free(i);
}
END_TEST

/* ---- what Kubernetes takes ---- */

static const struct {
	const char *text;
	const char *out; /* NULL: refused */
} addresses[] = {
	{ "10.1.2.3", "10.1.2.3" },
	{ "255.255.255.255", "255.255.255.255" },
	{ "0.0.0.1", "0.0.0.1" },
	{ "fd00::1", "fd00::1" },
	{ "FD00:0:0:0::0001", "fd00::1" },
	{ "::ffff:10.0.0.1", "10.0.0.1" },
	{ "::2", "::2" },
	{ "ff05::1", "ff05::1" },
	{ "224.0.1.1", "224.0.1.1" },
	{ "fec0::1", "fec0::1" },
	{ "", NULL },
	{ "web.example", NULL },
	{ "10.1.2", NULL },
	{ "10.1.2.256", NULL },
	{ "010.1.2.3", NULL },
	{ " 10.1.2.3", NULL },
	{ "10.1.2.3:80", NULL },
	{ "[fd00::1]", NULL },
	{ "fd00::1%eth0", NULL },
	{ "0.0.0.0", NULL },
	{ "::", NULL },
	{ "127.0.0.1", NULL },
	{ "127.255.0.1", NULL },
	{ "::1", NULL },
	{ "::ffff:127.0.0.1", NULL },
	{ "169.254.1.1", NULL },
	{ "fe80::1", NULL },
	{ "febf::1", NULL },
	{ "224.0.0.251", NULL },
	{ "ff02::1", NULL },
	{ "ff12::1", NULL },
	{ "fff2::", NULL },
};

START_TEST(addresses_are_checked)
{
	const char *text = addresses[_i].text, *want = addresses[_i].out;
	char out[BACKEND_ADDRESS] = "?";
	const char *why = backend_address(text, out);

	ck_assert_msg((why == NULL) == (want != NULL), "%s", text);
	ck_assert_str_eq(out, want != NULL ? want : "");
}
END_TEST

START_TEST(families)
{
	ck_assert_int_eq(backend_family("10.0.0.1"), BACKEND_IPV4);
	ck_assert_int_eq(backend_family("fd00::1"), BACKEND_IPV6);
}
END_TEST

/* label, subdomain, label's value, qualified name */
static const struct {
	const char *text;
	const char *is; /* letters of the above: l s v q */
} names[] = {
	{ "http", "lsvq" },
	{ "1a-b", "lsvq" },
	{ "a.b", "svq" },
	{ "a_b", "vq" },
	{ "A", "vq" },
	{ "a/b", "q" },
	{ "a.b/C_d", "q" },
	{ "A/b", "" },
	{ "a/", "" },
	{ "/a", "" },
	{ "a/b/c", "" },
	{ "", "" },
	{ "-a", "" },
	{ "a-", "" },
	{ ".a", "" },
	{ "a.", "" },
	{ "a..b", "vq" },
	{ "a-.b", "vq" },
	{ "a b", "" },
	{ "gr\xc3\xb6n", "" },
};

START_TEST(names_are_checked)
{
	const char *s = names[_i].text, *is = names[_i].is;

	ck_assert_msg(backend_is_label(s) == !!strchr(is, 'l'), "%s", s);
	ck_assert_msg(backend_is_subdomain(s) == !!strchr(is, 's'), "%s", s);
	ck_assert_msg(backend_is_label_value(s) == !!strchr(is, 'v'), "%s", s);
	ck_assert_msg(backend_is_qualified(s) == !!strchr(is, 'q'), "%s", s);
}
END_TEST

START_TEST(lengths_of_names)
{
	ck_assert(backend_is_label(times('a', 63)));
	ck_assert(!backend_is_label(times('a', 64)));
	ck_assert(backend_is_label_value(times('a', 63)));
	ck_assert(!backend_is_label_value(times('a', 64)));
	ck_assert(backend_is_subdomain(times('a', 253)));
	ck_assert(!backend_is_subdomain(times('a', 254)));
}
END_TEST

/* ---- reports ---- */

START_TEST(reports)
{
	static const struct object_report r = {
		.id = "Service/network/web",
		.kind = "Service",
		.namespace = "network",
		.name = "web",
		.service = "Web",
		.desired = "present",
		.actual = "absent",
		.error = "HTTP 403",
	};
	char buf[2048];
	size_t len = object_report_encode(&r, buf, sizeof(buf));
	struct object_report *b;

	b = object_report_decode(r.id, strlen(r.id), buf, len);
	ck_assert_ptr_nonnull(b);
	ck_assert_str_eq(b->id, r.id);
	ck_assert_str_eq(b->kind, r.kind);
	ck_assert_str_eq(b->namespace, r.namespace);
	ck_assert_str_eq(b->name, r.name);
	ck_assert_str_eq(b->service, r.service);
	ck_assert_str_eq(b->desired, r.desired);
	ck_assert_str_eq(b->actual, r.actual);
	ck_assert_str_eq(b->error, r.error);
	free(b);
	ck_assert_ptr_null(object_report_decode("x", 1, buf, len));
	ck_assert_uint_eq(object_report_encode(&r, buf, len - 1), 0);
	for (size_t cut = 0; cut < len; cut++)
		ck_assert_ptr_null(
		    object_report_decode(r.id, strlen(r.id), buf, cut));
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("backend");
	TCase *t = tcase_create("backend");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_test(t, keys_say_what_they_are);
	tcase_add_test(t, bounds_of_a_service_name);
	tcase_add_test(t, long_instances_are_hashed);
	tcase_add_test(t, the_longest_unhashed_instance);
	tcase_add_loop_test(t, no_key_of_ours, 0, COUNT(no_keys));
	tcase_add_loop_test(t, services_come_back, 0, COUNT(services));
	tcase_add_loop_test(t, instances_come_back, 0, COUNT(instances));
	tcase_add_loop_test(t, bad_services_are_refused, 0,
	    COUNT(bad_services));
	tcase_add_loop_test(t, bad_instances_are_refused, 0,
	    COUNT(bad_instances));
	tcase_add_test(t, flags_are_0_or_1);
	tcase_add_loop_test(t, addresses_are_checked, 0, COUNT(addresses));
	tcase_add_test(t, families);
	tcase_add_loop_test(t, names_are_checked, 0, COUNT(names));
	tcase_add_test(t, lengths_of_names);
	tcase_add_test(t, reports);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
