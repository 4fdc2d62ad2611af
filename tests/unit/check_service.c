#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/service.h"

#define COUNT(a) (sizeof(a) / sizeof(*(a)))

static const struct service full = {
	.id = "katalog-sync_web_shop_web-1",
	.name = "web",
	.namespace = "shop",
	.pod = "web-1",
	.pod_uid = "63b48bd2-4fd6-4c17-9ed2-25dc957bf01b",
	.address = "10.1.2.3",
	.lan_ipv6 = "fd00::1",
	.notes = "{\"web\":true}",
	.output = "pod is ready",
	.tags = { "a",
	    "gr\xc3\xb6\xc3\x9f"
	    "e" },
	.ntags = 2,
	.meta = { { "a", "1" }, { "b", "" }, { "c", "x:y" } },
	.nmeta = 3,
	.ttl_ms = 11000,
	.port = 8080,
	.status = SERVICE_WARNING,
};

static const struct service least = {
	.id = "x",
	.name = "x",
	.namespace = "x",
	.pod = "x",
	.pod_uid = "x",
	.address = "::1",
	.lan_ipv4 = "10.0.0.1",
	.notes = "",
	.output = "",
	.ttl_ms = 1,
	.port = 65535,
	.status = SERVICE_CRITICAL,
};

static const struct service *const services[] = { &full, &least };

/* One of ours, and what makes it none. */
static const struct {
	const char *id;
	struct service_meta mark;
	bool own;
} owners[] = {
	{ "katalog-sync_web_shop_web-1", { SERVICE_MARK_KEY, SERVICE_MARK },
	    true },
	{ "vault", { SERVICE_MARK_KEY, SERVICE_MARK }, false },
	{ "katalog-sync_web_shop_web-2", { SERVICE_MARK_KEY, SERVICE_MARK },
	    false },
	{ "katalog-sync_web_shop_web-1", { SERVICE_MARK_KEY, "other" }, false },
	{ "katalog-sync_web_shop_web-1", { "a", SERVICE_MARK }, false },
};

START_TEST(own_ones_are_told)
{
	struct service s = full;

	s.id = owners[_i].id;
	s.meta[1] = owners[_i].mark;
	ck_assert(service_is_own(&s) == owners[_i].own);
	s.nmeta = 0;
	ck_assert(!service_is_own(&s));
}
END_TEST

static void
same_text(const char *a, const char *b)
{
	ck_assert_int_eq(a == NULL, b == NULL);
	if (a != NULL)
		ck_assert_str_eq(a, b);
}

static void
same_lists(const struct service *a, const struct service *b)
{
	ck_assert_uint_eq(a->ntags, b->ntags);
	for (size_t i = 0; i < a->ntags; i++)
		ck_assert_str_eq(a->tags[i], b->tags[i]);
	ck_assert_uint_eq(a->nmeta, b->nmeta);
	for (size_t i = 0; i < a->nmeta; i++) {
		ck_assert_str_eq(a->meta[i].key, b->meta[i].key);
		ck_assert_str_eq(a->meta[i].val, b->meta[i].val);
	}
}

static void
same_service(const struct service *a, const struct service *b)
{
	same_text(a->id, b->id);
	same_text(a->name, b->name);
	same_text(a->namespace, b->namespace);
	same_text(a->pod, b->pod);
	same_text(a->pod_uid, b->pod_uid);
	same_text(a->address, b->address);
	same_text(a->lan_ipv4, b->lan_ipv4);
	same_text(a->lan_ipv6, b->lan_ipv6);
	same_text(a->notes, b->notes);
	same_text(a->output, b->output);
	ck_assert_uint_eq(a->ttl_ms, b->ttl_ms);
	ck_assert_uint_eq(a->port, b->port);
	ck_assert_int_eq(a->status, b->status);
	same_lists(a, b);
}

static struct service *
there_and_back(const struct service *s)
{
	uint8_t buf[LIMIT_SET_VALUE];
	size_t len = service_encode(s, buf, sizeof(buf));

	ck_assert_uint_gt(len, 0);
	return service_decode(s->id, strlen(s->id), buf, len);
}

START_TEST(comes_back_the_same)
{
	struct service *s = there_and_back(services[_i]);

	ck_assert_ptr_nonnull(s);
	same_service(services[_i], s);
	free(s);
}
END_TEST

static void
no_port(struct service *s)
{
	s->port = 0;
}

static void
no_ttl(struct service *s)
{
	s->ttl_ms = 0;
}

static void
bad_status(struct service *s)
{
	s->status = (enum service_status)3;
}

static void
no_name(struct service *s)
{
	s->name = "";
}

static void
no_address(struct service *s)
{
	s->address = "";
}

static void
empty_tag(struct service *s)
{
	s->tags[0] = "";
}

static void
empty_meta_key(struct service *s)
{
	s->meta[0].key = "";
}

static void
meta_unsorted(struct service *s)
{
	s->meta[0].key = "z";
}

static void
meta_twice(struct service *s)
{
	s->meta[0].key = "b";
}

static void
long_namespace(struct service *s)
{
	s->namespace = "0123456789012345678901234567890123456789"
		       "012345678901234567890123";
}

static void (*const spoilers[])(struct service *) = { no_port, no_ttl,
	bad_status, no_name, no_address, empty_tag, empty_meta_key,
	meta_unsorted, meta_twice, long_namespace };

START_TEST(nonsense_is_refused)
{
	struct service s = full;

	spoilers[_i](&s);
	ck_assert_ptr_null(there_and_back(&s));
}
END_TEST

START_TEST(the_key_is_the_id)
{
	uint8_t buf[LIMIT_SET_VALUE];
	size_t len = service_encode(&full, buf, sizeof(buf));

	ck_assert_ptr_null(service_decode("x", 1, buf, len));
	ck_assert_ptr_null(
	    service_decode(full.id, strlen(full.id) - 1, buf, len));
}
END_TEST

START_TEST(every_cut_is_refused)
{
	uint8_t buf[LIMIT_SET_VALUE];
	size_t len = service_encode(&full, buf, sizeof(buf));

	for (size_t cut = 0; cut < len; cut++)
		ck_assert_ptr_null(
		    service_decode(full.id, strlen(full.id), buf, cut));
}
END_TEST

/* No crash, and no service that is not whole: ASan watches. */
START_TEST(every_flipped_byte_is_survived)
{
	uint8_t buf[LIMIT_SET_VALUE];
	size_t len = service_encode(&full, buf, sizeof(buf));

	for (size_t i = 0; i < len; i++) {
		for (unsigned x = 1; x < 256; x += 7) {
			struct service *s;

			buf[i] ^= (uint8_t)x;
			s = service_decode(full.id, strlen(full.id), buf, len);
			if (s != NULL)
				ck_assert_uint_gt(strlen(s->name), 0);
			free(s);
			buf[i] ^= (uint8_t)x;
		}
	}
}
END_TEST

START_TEST(too_small_a_buffer)
{
	uint8_t buf[LIMIT_SET_VALUE];
	size_t len = service_encode(&full, buf, sizeof(buf));

	ck_assert_uint_eq(service_encode(&full, buf, len), len);
	for (size_t cap = 0; cap < len; cap++)
		ck_assert_uint_eq(service_encode(&full, buf, cap), 0);
}
END_TEST

START_TEST(most_tags_and_meta)
{
	struct service s = full, *back;
	char keys[LIMIT_META][8];

	s.ntags = s.nmeta = 64;
	for (size_t i = 0; i < 64; i++) {
		snprintf(keys[i], sizeof(keys[i]), "k%02zu", i);
		s.tags[i] = keys[i];
		s.meta[i] = (struct service_meta){ keys[i], "v" };
	}
	back = there_and_back(&s);
	ck_assert_ptr_nonnull(back);
	same_service(&s, back);
	free(back);
}
END_TEST

static const struct {
	const char *name;
	enum service_status status;
	bool ok;
} statuses[] = {
	{ "passing", SERVICE_PASSING, true },
	{ "warning", SERVICE_WARNING, true },
	{ "critical", SERVICE_CRITICAL, true },
	{ "Passing", 0, false },
	{ "", 0, false },
	{ "maintenance", 0, false },
};

START_TEST(status_names)
{
	enum service_status st;

	ck_assert_int_eq(service_status_parse(statuses[_i].name, &st),
	    statuses[_i].ok);
	if (!statuses[_i].ok)
		return;
	ck_assert_int_eq(st, statuses[_i].status);
	ck_assert_str_eq(service_status_name(st), statuses[_i].name);
}
END_TEST

static const struct service_report report = {
	.id = "katalog-sync_web_shop_web-1",
	.name = "web",
	.namespace = "shop",
	.pod = "web-1",
	.desired = "passing",
	.actual = "absent",
	.error = "",
};

START_TEST(reports)
{
	uint8_t buf[LIMIT_SET_VALUE];
	size_t len = service_report_encode(&report, buf, sizeof(buf));
	struct service_report *r;

	ck_assert_uint_gt(len, 0);
	r = service_report_decode(report.id, strlen(report.id), buf, len);
	ck_assert_ptr_nonnull(r);
	ck_assert_str_eq(r->id, report.id);
	ck_assert_str_eq(r->name, report.name);
	ck_assert_str_eq(r->namespace, report.namespace);
	ck_assert_str_eq(r->pod, report.pod);
	ck_assert_str_eq(r->desired, report.desired);
	ck_assert_str_eq(r->actual, report.actual);
	ck_assert_str_eq(r->error, report.error);
	free(r);
	ck_assert_ptr_null(service_report_decode("y", 1, buf, len));
	for (size_t cut = 0; cut < len; cut++)
		ck_assert_ptr_null(service_report_decode(report.id,
		    strlen(report.id), buf, cut));
	ck_assert_uint_eq(service_report_encode(&report, buf, len - 1), 0);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("service");
	TCase *t = tcase_create("service");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_loop_test(t, comes_back_the_same, 0, COUNT(services));
	tcase_add_loop_test(t, nonsense_is_refused, 0, COUNT(spoilers));
	tcase_add_test(t, the_key_is_the_id);
	tcase_add_loop_test(t, own_ones_are_told, 0, COUNT(owners));
	tcase_add_test(t, every_cut_is_refused);
	tcase_add_test(t, every_flipped_byte_is_survived);
	tcase_add_test(t, too_small_a_buffer);
	tcase_add_test(t, most_tags_and_meta);
	tcase_add_loop_test(t, status_names, 0, COUNT(statuses));
	tcase_add_test(t, reports);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
