#include <bsd/string.h>
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/k8s_text.h"
#include "workers/k8s_writer/desire.h"

static struct desire *d;
static char said[512];

static void
on_drop(const char *name, void *arg)
{
	(void)arg;
	strlcat(said, "-", sizeof(said));
	strlcat(said, name, sizeof(said));
	strlcat(said, ";", sizeof(said));
}

/* "name=service:endpoints/ready", with hashes made readable. */
static void
on_want(struct wanted *w, void *arg)
{
	char text[128];
	size_t ready = 0;

	(void)arg;
	for (size_t i = 0; i < w->n; i++)
		ready += w->endpoints[i].ready;
	snprintf(text, sizeof(text), "%s=%s:%zu/%zu;", w->name, w->service,
	    w->n, ready);
	strlcat(said, text, sizeof(said));
	wanted_free(w);
}

static char loser[NAME_MAX_LEN + 1];

/* "!service:winner" */
static void
on_collision(const struct names_collision *c, void *arg)
{
	(void)arg;
	strlcat(said, "!", sizeof(said));
	strlcat(said, c->service, sizeof(said));
	strlcat(said, ":", sizeof(said));
	strlcat(said, c->winner, sizeof(said));
	strlcat(said, ";", sizeof(said));
	strlcpy(loser, c->given, sizeof(loser));
}

/* "+service:left out;" */
static void
on_left_out(const struct wanted *w, void *arg)
{
	char text[128];

	(void)arg;
	snprintf(text, sizeof(text), "+%s:%zu;", w->service, w->left_out);
	strlcat(said, text, sizeof(said));
}

static const struct desire_conf conf = {
	.objects = &k8s_conf,
	.collision = on_collision,
	.left_out = on_left_out,
	.drop = on_drop,
	.want = on_want,
};

static void
setup(void)
{
	said[0] = '\0';
	d = desire_new(&conf);
}

static void
teardown(void)
{
	desire_free(d);
}

static void
put(const char *name, uint64_t create_index)
{
	struct backend_service s = { .create_index = create_index };
	char key[LIMIT_SET_KEY], buf[1024];
	size_t n = backend_service_key(name, key);

	ck_assert(desire_put(d, key, n, buf,
	    backend_service_encode(&s, buf, sizeof(buf))));
}

static void
put_at(const char *name, const char *id, const char *address, uint16_t port,
    bool ready)
{
	struct backend_instance i = { .address = address,
		.port = port,
		.ready = ready };
	char key[LIMIT_SET_KEY], buf[1024];
	size_t n = backend_instance_key(name, "node", id, key);

	ck_assert(desire_put(d, key, n, buf,
	    backend_instance_encode(&i, buf, sizeof(buf))));
}

static void
put_instance(const char *name, const char *id, const char *address, bool ready)
{
	put_at(name, id, address, 80, ready);
}

static void
del(const char *name)
{
	char key[LIMIT_SET_KEY];

	desire_del(d, key, backend_service_key(name, key));
}

static void
del_instance(const char *name, const char *id)
{
	char key[LIMIT_SET_KEY];

	desire_del(d, key, backend_instance_key(name, "node", id, key));
}

static void
says(const char *text)
{
	desire_settle(d);
	ck_assert_str_eq(said, text);
	said[0] = '\0';
}

START_TEST(comes_changes_and_goes)
{
	put("Web", 1);
	put_instance("Web", "1", "10.0.0.1", true);
	put_instance("Web", "2", "10.0.0.2", false);
	says("web=Web:2/1;");
	says("");
	put_instance("Web", "2", "10.0.0.2", true);
	says("web=Web:2/2;");
	del_instance("Web", "1");
	del_instance("Web", "none");
	says("web=Web:1/1;");
	del("Web");
	del_instance("Web", "2");
	says("-web;");
	del("Web");
	says("");
}
END_TEST

START_TEST(in_any_order)
{
	put_instance("web", "1", "10.0.0.1", true);
	says("");
	put("web", 1);
	says("web=web:1/1;");
	del("web");
	says("-web;");
	put("web", 1);
	says("web=web:1/1;");
	del_instance("web", "1");
	says("web=web:0/0;");
}
END_TEST

START_TEST(only_what_is_touched)
{
	put("a", 1);
	put("b", 2);
	says("a=a:0/0;b=b:0/0;");
	put_instance("b", "1", "10.0.0.1", true);
	says("b=b:1/1;");
}
END_TEST

START_TEST(gone_and_back_is_a_change)
{
	put("a", 1);
	says("a=a:0/0;");
	del("a");
	put("a", 1);
	says("a=a:0/0;");
}
END_TEST

START_TEST(a_name_changes_hands)
{
	char text[256];

	put("a_b", 2);
	says("a-b=a_b:0/0;");
	put("a-b", 1);
	desire_settle(d);
	snprintf(text, sizeof(text), "!a_b:a-b;-a-b;a-b=a-b:0/0;%s=a_b:0/0;",
	    loser);
	says(text);
	ck_assert_uint_eq(desire_collisions(d), 1);
	/* It is said once. */
	put_instance("a_b", "1", "10.0.0.1", true);
	snprintf(text, sizeof(text), "%s=a_b:1/1;", loser);
	says(text);
	del("a-b");
	snprintf(text, sizeof(text), "-a-b;-%s;a-b=a_b:1/1;", loser);
	says(text);
	ck_assert_uint_eq(desire_collisions(d), 0);
}
END_TEST

START_TEST(the_cluster_says_who_has_a_name)
{
	char text[256], first[NAME_MAX_LEN + 1];

	put("a_b", 1);
	put("a-b", 2);
	desire_settle(d);
	strlcpy(first, loser, sizeof(first));
	said[0] = '\0';
	desire_hold(d, "a-b", "none");
	desire_hold(d, "a-b", "a_b");
	says("");
	desire_hold(d, "a-b", "a-b");
	desire_settle(d);
	snprintf(text, sizeof(text),
	    "!a_b:a-b;-%s;-a-b;a-b=a-b:0/0;%s=a_b:0/0;", first, loser);
	says(text);
}
END_TEST

/* Instances 1 to n, each at a port of its own. */
static void
put_ports(const char *name, uint16_t from, uint16_t n)
{
	char id[8];

	for (uint16_t port = from; port <= n; port++) {
		snprintf(id, sizeof(id), "%u", port);
		put_at(name, id, "10.0.0.1", port, false);
	}
}

START_TEST(what_is_left_out_is_told_once)
{
	put("web", 1);
	put_ports("web", 1, OBJECT_PORTS);
	says("web=web:64/0;");
	put_ports("web", OBJECT_PORTS + 1, OBJECT_PORTS + 2);
	says("+web:2;web=web:64/0;");
	del_instance("web", "66");
	says("web=web:64/0;");
	del_instance("web", "1");
	says("+web:0;web=web:64/0;");
	put_at("web", "1", "10.0.0.1", 1, true);
	says("+web:1;web=web:64/1;");
}
END_TEST

START_TEST(nonsense_is_refused)
{
	char key[LIMIT_SET_KEY];
	size_t n = backend_service_key("web", key);

	ck_assert(!desire_put(d, key, n, "x", 1));
	ck_assert(!desire_put(d, "x", 1, "", 0));
	n = backend_instance_key("web", "n", "1", key);
	ck_assert(!desire_put(d, key, n, "x", 1));
	desire_del(d, "x", 1);
	says("");
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("desire");
	TCase *t = tcase_create("desire");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, comes_changes_and_goes);
	tcase_add_test(t, in_any_order);
	tcase_add_test(t, only_what_is_touched);
	tcase_add_test(t, gone_and_back_is_a_change);
	tcase_add_test(t, a_name_changes_hands);
	tcase_add_test(t, the_cluster_says_who_has_a_name);
	tcase_add_test(t, what_is_left_out_is_told_once);
	tcase_add_test(t, nonsense_is_refused);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
