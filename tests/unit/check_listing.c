/* listing.h, and below it elements.h and marks.h. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "workers/consul_reader/elements.h"
#include "workers/consul_reader/listing.h"

#define COUNT(a) (sizeof(a) / sizeof(*(a)))

static const char secret[LISTING_SECRET] = "a test's secret is no secret";

/* ---- elements ---- */

struct seen {
	char text[1024];
	int refuse_at; /* the nth element; 0: none */
	int n;
};

static bool
on_element(const struct element *e, void *arg)
{
	struct seen *s = arg;
	size_t len = strlen(s->text);

	snprintf(s->text + len, sizeof(s->text) - len, "%.*s=%.*s%s;",
	    (int)e->name_len, e->name, (int)e->len, e->bytes,
	    e->large ? "(large)" : "");
	return ++s->n != s->refuse_at;
}

static const struct {
	bool object;
	const char *body;
	const char *seen; /* NULL: refused */
	const char *why;
} bodies[] = {
	{ false, "[]", "", NULL },
	{ false, " [ ] \n", "", NULL },
	{ false, "[{\"a\":1,\"b\":{\"c\":[]}}]\n",
	    "={\"a\":1,\"b\":{\"c\":[]}};", NULL },
	{ false, "[1 , \"x\",null]", "=1;=\"x\";=null;", NULL },
	{ true, "{}", "", NULL },
	{ true, "{\"a\" : [\"t\"] , \"b\\u0041\":[]}",
	    "\"a\"=[\"t\"];\"b\\u0041\"=[];", NULL },
	{ false, "", NULL, "the body is empty" },
	{ false, "  ", NULL, "the body is empty" },
	{ false, "{}", NULL, "not a JSON array" },
	{ true, "[]", NULL, "not a JSON object" },
	{ true, "null", NULL, "not a JSON object" },
	{ false, "[1", NULL, "the body is cut off" },
	{ false, "[1,", NULL, "the body is cut off" },
	{ false, "[", NULL, "the body is cut off" },
	{ false, "[1,]", NULL, "a value was expected" },
	{ false, "[,1]", NULL, "a value was expected" },
	{ false, "[1 2]", NULL, "a comma or closing bracket was expected" },
	{ false, "[1}", NULL, "a comma or closing bracket was expected" },
	{ false, "[1]]", NULL, "something stands behind it" },
	{ false, "[]x", NULL, "something stands behind it" },
	{ true, "{\"a\":1,}", NULL, "a member's name was expected" },
	{ true, "{1:2}", NULL, "a member's name was expected" },
	{ true, "{\"a\" 1}", NULL, "a colon was expected" },
	{ true, "{\"a\":}", NULL, "a value was expected" },
	{ true, "{\"a\\u0000\":1}", "\"a\\u0000\"=1;", NULL },
	{ false, "[\"\xff\"]", NULL, "not UTF-8" },
	{ false, "[\"\x01\"]", NULL, "a raw control byte in a string" },
	{ false, "[nul]", NULL, "a word that is not true, false or null" },
};

/* In pieces of one size, down to single bytes. */
static bool
split(bool object, const char *body, size_t piece, struct seen *seen,
    struct refusal *r)
{
	struct elements *s = elements_new(object, on_element, r, seen);
	size_t len = strlen(body);
	bool ok = true;

	elements_begin(s);
	for (size_t at = 0; at < len && ok; at += piece)
		ok = elements_feed(s, body + at,
		    len - at < piece ? len - at : piece);
	ok = elements_end(s);
	elements_free(s);
	return ok;
}

START_TEST(splits)
{
	for (size_t piece = 1; piece < 40; piece++) {
		struct seen seen = { "", 0, 0 };
		struct refusal r;
		bool ok =
		    split(bodies[_i].object, bodies[_i].body, piece, &seen, &r);

		ck_assert_int_eq(ok, bodies[_i].seen != NULL);
		if (ok)
			ck_assert_str_eq(seen.text, bodies[_i].seen);
		else
			ck_assert_str_eq(r.why, bodies[_i].why);
	}
}
END_TEST

START_TEST(stops_where_it_is_told)
{
	struct seen seen = { "", 2, 0 };
	struct refusal r;

	ck_assert(!split(false, "[1,2,3,4]", 100, &seen, &r));
	ck_assert_int_eq(seen.n, 2);
	ck_assert_str_eq(r.why, "an element is not as expected");
	ck_assert_str_eq(r.where, "byte 4");
}
END_TEST

/* What is beyond them costs itself: it is not kept, and all else is. */
static void
feed_large(struct elements *s, const char *before, const char *behind)
{
	static char piece[65536];
	size_t fed = 0;

	memset(piece, 'x', sizeof(piece));
	ck_assert(elements_feed(s, before, strlen(before)));
	for (; fed <= 2 * (size_t)LIMIT_CONSUL_ELEMENT; fed += sizeof(piece))
		ck_assert(elements_feed(s, piece, sizeof(piece)));
	ck_assert(elements_feed(s, behind, strlen(behind)));
}

START_TEST(an_element_has_bounds)
{
	struct seen seen = { "", 0, 0 };
	struct refusal r;
	struct elements *s = elements_new(true, on_element, &r, &seen);

	elements_begin(s);
	feed_large(s, "{\"a\":1,\"b\":[\"", "\"],\"c\":[2],\"");
	feed_large(s, "", "\":3,\"d\":4}");
	ck_assert(elements_end(s));
	ck_assert_str_eq(seen.text,
	    "\"a\"=1;\"b\"=(large);\"c\"=[2];=3(large);\"d\"=4;");
	elements_free(s);
}
END_TEST

/* Where it is not looked at, anything may stand. */
START_TEST(an_element_may_be_deep_and_odd)
{
	struct seen seen = { "", 0, 0 };
	struct refusal r;
	struct elements *s = elements_new(false, on_element, &r, &seen);
	static char deep[2 * 10000];

	memset(deep, '[', 10000);
	memset(deep + 10000, ']', 10000);
	elements_begin(s);
	ck_assert(elements_feed(s, "[{\"\\u0000\":", 11));
	ck_assert(elements_feed(s, deep, sizeof(deep)));
	ck_assert(elements_feed(s, "}]", 2));
	ck_assert(elements_end(s));
	ck_assert_int_eq(seen.n, 1);
	elements_free(s);
}
END_TEST

/* ---- listings ---- */

static char changes[4096];

static void
on_change(const struct listing_change *c, void *arg)
{
	size_t len = strlen(changes);

	(void)arg;
	snprintf(changes + len, sizeof(changes) - len, "%s%s%s;",
	    c->now ? "" : "-", c->about == LISTING_NODE ? "@" : "", c->name);
}

static struct listing *
listing_of(enum listing_kind kind, bool elsewhere)
{
	struct listing_conf conf = {
		.kind = kind,
		.elsewhere = elsewhere,
		.tag = "kubernetes",
		.secret = secret,
		.changed = on_change,
	};

	return listing_new(&conf);
}

static struct listing *
new_listing(enum listing_kind kind)
{
	return listing_of(kind, false);
}

/* False: refused, and dropped. */
static bool
read_body(struct listing *l, const char *body)
{
	changes[0] = '\0';
	listing_begin(l);
	if (!listing_feed(l, body, strlen(body)) || !listing_end(l)) {
		listing_drop(l);
		return false;
	}
	listing_commit(l);
	return true;
}

/* One after another: each says what differs from the one before. */
struct turn {
	const char *body;
	const char *changes; /* NULL: refused */
};

static void
play(enum listing_kind kind, const struct turn *turns, size_t n)
{
	struct listing *l = new_listing(kind);

	for (size_t i = 0; i < n; i++) {
		bool ok = read_body(l, turns[i].body);

		ck_assert_msg(ok == (turns[i].changes != NULL), "turn %zu: %s",
		    i, listing_refusal(l)->why);
		if (ok)
			ck_assert_msg(strcmp(changes, turns[i].changes) == 0,
			    "turn %zu: %s", i, changes);
		else
			ck_assert_str_eq(changes, "");
	}
	listing_free(l);
}

static const struct turn catalogs[] = {
	{ "{\"consul\":[],\"web\":[\"kubernetes\"],\"db\":[\"x\"]}", "web;" },
	{ "{\"web\":[\"kubernetes\"]}", "" },
	{ "{\"web\":[\"kubernetes\",\"internal\"]}", "web;" },
	{ "{\"web\":[\"kubernetes\"", NULL }, /* torn: as if it never was */
	{ "{\"web\":[\"kubernetes\",\"internal\"]}", "" },
	{ "{\"web\":[\"internal\"],\"api\":[\"kubernetes\"]}", "api;-web;" },
	{ "{}", "-api;" },
	{ "{\"a\":null,\"b\":[\"kubernetes\"]}", "b;" },
	/* Consul itself, even with the tag. */
	{ "{\"consul\":[\"kubernetes\"],\"b\":[\"kubernetes\"]}", "" },
	/* Tags that only look alike. */
	{ "{\"b\":[\"kubernetes\"],\"c\":[\"kubernetes\\u0000\"],"
	  "\"d\":[\"Kubernetes\"]}",
	    "" },
	{ "{\"b\":\"kubernetes\"}", NULL },
	{ "{\"b\":[1]}", NULL },
	{ "{\"b\":{\"kubernetes\":1}}", NULL },
	{ "[\"b\"]", NULL },
	{ "null", NULL },
	{ "", NULL },
	{ "{\"b\":[\"kubernetes\"]}", "" },
};

START_TEST(sees_what_the_catalog_says)
{
	play(LISTING_CATALOG, catalogs, COUNT(catalogs));
}
END_TEST

#define CHECK(node, id, status, service_id, service, rest) \
	"{\"Node\":\"" node "\",\"CheckID\":\"" id "\",\"Status\":\"" status \
	"\",\"ServiceID\":\"" service_id "\",\"ServiceName\":\"" service \
	"\"" rest "}"

static const struct turn checks[] = {
	{ "[]", "" },
	{ "[" CHECK("n1", "c1", "critical", "w-1", "web", "") "]", "web;" },
	/* Only its output is another. */
	{ "[" CHECK("n1", "c1", "critical", "w-1", "web",
	      ",\"Output\":\"x\",\"ModifyIndex\":9") "]",
	    "" },
	{ "[" CHECK("n1", "c1", "critical", "w-1", "web", "") "," CHECK("n2",
	      "c1", "critical", "w-2", "web", "") "]",
	    "web;" },
	{ "[" CHECK("n2", "c1", "critical", "w-2", "web", "") "," CHECK("n1",
	      "c1", "critical", "w-1", "web", "") "]",
	    "" }, /* another order */
	{ "[" CHECK("n2", "c1", "warning", "w-2", "web", "") "," CHECK("n1",
	      "c1", "critical", "w-1", "web", "") "]",
	    "web;" },
	/* A node's check bears on all that is on the node. */
	{ "[" CHECK("n1", "serfHealth", "critical", "", "", "") "]",
	    "@n1;-web;" },
	{ "[]", "-@n1;" },
	/* What can't be a service that we follow is passed over. */
	{ "[" CHECK("n1", "c1", "critical", "w-1", "web\\u0000x", "") "]", "" },
	{ "[" CHECK("n1", "c1", "critical", "w\\u0000", "web", "") "]",
	    "web;" },
	{ "[" CHECK("", "c1", "critical", "w", "web", "") "]", NULL },
	{ "[" CHECK("n1", "", "critical", "w", "web", "") "]", NULL },
	{ "[{\"Node\":1}]", NULL },
	{ "[{\"Node\":\"n\",\"Node\":\"m\",\"CheckID\":\"c\"}]", NULL },
	{ "[null]", NULL },
	{ "[[]]", NULL },
	{ "{}", NULL },
	{ "[]", "-web;" },
};

START_TEST(sees_what_the_checks_say)
{
	play(LISTING_CHECKS, checks, COUNT(checks));
}
END_TEST

static const struct turn rosters[] = {
	{ "[" CHECK("n1", "c", "passing", "w-1", "web",
	      ",\"CreateIndex\":4") "]",
	    "web;" },
	/* States are the other lists' business. */
	{ "[" CHECK("n1", "c", "critical", "w-1", "web",
	      ",\"CreateIndex\":4") "]",
	    "" },
	{ "[" CHECK("n1", "c", "critical", "w-1", "web",
	      ",\"CreateIndex\":5") "]",
	    "web;" }, /* gone and back */
	{ "[" CHECK("n1", "c", "critical", "w-1", "web",
	      ",\"CreateIndex\":\"5\"") "]",
	    NULL },
	{ "[]", "-web;" },
};

START_TEST(sees_what_the_roster_says)
{
	play(LISTING_ROSTER, rosters, COUNT(rosters));
}
END_TEST

static const struct turn nodes[] = {
	{ "[{\"Node\":\"n1\",\"Address\":\"10.0.0.1\"}]", "@n1;" },
	{ "[{\"Node\":\"n1\",\"Address\":\"10.0.0.1\"},{\"Node\":\"n2\"}]",
	    "@n2;" },
	{ "[{\"Node\":\"n1\",\"Address\":\"10.0.0.2\"},{\"Node\":\"n2\"}]",
	    "@n1;" },
	{ "[{\"Address\":\"10.0.0.2\"}]", NULL },
	{ "[{\"Node\":\"n2\"}]", "-@n1;" },
};

START_TEST(sees_what_the_nodes_say)
{
	play(LISTING_NODES, nodes, COUNT(nodes));
}
END_TEST

/* Consul's own service is in one namespace only. */
START_TEST(elsewhere_any_service_will_do)
{
	struct listing *l = listing_of(LISTING_CATALOG, true);

	ck_assert(read_body(l, "{}"));
	ck_assert(!listing_has_consul(l));
	ck_assert(read_body(l, "{\"web\":[]}"));
	ck_assert(listing_has_consul(l));
	listing_free(l);
}
END_TEST

/* Anybody may register what only begins as it does. */
START_TEST(consul_itself_has_no_disguise)
{
	struct listing *l = new_listing(LISTING_CATALOG);

	ck_assert(read_body(l, "{\"consul\\u0000x\":[\"kubernetes\"]}"));
	ck_assert(!listing_has_consul(l));
	ck_assert(!listing_has_service(l, "consul"));
	listing_free(l);
}
END_TEST

/* ---- what anybody may register ---- */

static const struct turn odd_checks[] = {
	{ "[" CHECK("n1", "c", "critical", "w-1", "web",
	      ",\"Definition\":{\"Header\":{\"\\u0000\":[],\"a\":1,\"a\":2}}") "]",
	    "web;" },
	{ "[" CHECK("n1", "c", "critical", "w-1", "web",
	      ",\"Def\\u0000\":7") "]",
	    "" },
};

static const struct turn odd_nodes[] = {
	{ "[{\"Node\":\"n1\",\"Meta\":{\"\\u0000\":\"\"}}]", "@n1;" },
	{ "[{\"Node\":\"n1\",\"Meta\":{\"\\u0000\":\"\",\"a\":7}}]", "@n1;" },
};

START_TEST(what_nobody_reads_refuses_no_list)
{
	play(LISTING_CHECKS, odd_checks, COUNT(odd_checks));
	play(LISTING_ROSTER, odd_checks, COUNT(odd_checks));
	play(LISTING_NODES, odd_nodes, COUNT(odd_nodes));
}
END_TEST

static void
feed_text(struct listing *l, const char *text)
{
	ck_assert_msg(listing_feed(l, text, strlen(text)), "%s",
	    listing_refusal(l)->why);
}

static void
feed_run(struct listing *l, size_t n)
{
	static char run[65536];

	memset(run, 'x', sizeof(run));
	for (; n > 0; n -= n < sizeof(run) ? n : sizeof(run))
		ck_assert(
		    listing_feed(l, run, n < sizeof(run) ? n : sizeof(run)));
}

static const struct {
	size_t run;
	size_t large; /* rows */
} runs[] = {
	{ 100, 0 },
	{ 300000, 1 },
	{ 2 * LIMIT_CONSUL_ELEMENT, 1 },
};

static void
end_well(struct listing *l, const char *wanted)
{
	changes[0] = '\0';
	ck_assert(listing_end(l));
	listing_commit(l);
	ck_assert_str_eq(changes, wanted);
}

START_TEST(a_row_that_is_too_large_costs_itself)
{
	struct listing *l = new_listing(LISTING_CHECKS);

	listing_begin(l);
	feed_text(l,
	    "[" CHECK("n1", "c", "critical", "w-1", "web",
		"") ",{\"Node\":\"n1\",\"CheckID\":\"");
	feed_run(l, runs[_i].run);
	feed_text(l,
	    "\",\"ServiceID\":\"a\",\"ServiceName\":\"api\"}," CHECK("n2", "c",
		"critical", "", "", "") "]");
	end_well(l, runs[_i].large > 0 ? "@n2;web;" : "@n2;api;web;");
	ck_assert_uint_eq(listing_odd(l)->large, runs[_i].large);
	ck_assert(read_body(l, "[]"));
	ck_assert_uint_eq(listing_odd(l)->large, 0);
	listing_free(l);
}
END_TEST

/* Consul says that it has our tag: it is not to be lost for having others. */
START_TEST(a_service_with_too_many_tags_is_in_the_list)
{
	struct listing *l = new_listing(LISTING_CATALOG);

	listing_begin(l);
	feed_text(l, "{\"consul\":[],\"web\":[\"kubernetes\",\"");
	feed_run(l, runs[_i].run);
	feed_text(l, "\"],\"api\":[\"kubernetes\"]}");
	end_well(l, "api;web;");
	ck_assert_uint_eq(listing_odd(l)->large, runs[_i].large);
	ck_assert(listing_has_service(l, "web"));
	listing_free(l);
}
END_TEST

START_TEST(names_that_cannot_be_asked_for_are_told)
{
	struct listing *l = new_listing(LISTING_CATALOG);

	listing_begin(l);
	feed_text(l, "{\"a\\u0000\":[\"kubernetes\"],\"b\\u0000\":[],\"");
	feed_run(l, LIMIT_SERVICE_NAME);
	feed_text(l, "\":[\"kubernetes\"],\"");
	feed_run(l, LIMIT_SERVICE_NAME + 1);
	feed_text(l, "\":[\"kubernetes\"]}");
	ck_assert(listing_end(l));
	listing_commit(l);
	ck_assert_uint_eq(listing_odd(l)->names, 2);
	ck_assert_mem_eq(listing_odd(l)->name, "xxx", 3);
	ck_assert_uint_eq(listing_odd(l)->large, 0);
	listing_free(l);
}
END_TEST

static const struct {
	const char *name;
	bool followed;
} paths[] = {
	{ "...", true },
	{ "a/../b", true },
	{ ".", false },
	{ "..", false },
};

/* Consul's HTTP server would answer for another path. */
START_TEST(names_that_are_no_paths_are_left_out)
{
	struct listing *l = new_listing(LISTING_CATALOG);
	char body[256];

	snprintf(body, sizeof(body), "{\"%s\":[\"kubernetes\"]}",
	    paths[_i].name);
	ck_assert(read_body(l, body));
	ck_assert_int_eq(listing_has_service(l, paths[_i].name),
	    paths[_i].followed);
	ck_assert_uint_eq(listing_odd(l)->names, !paths[_i].followed);
	listing_free(l);
}
END_TEST

START_TEST(knows_who_is_in_the_list_that_counts)
{
	struct listing *l = new_listing(LISTING_CATALOG);

	ck_assert(read_body(l, "{\"consul\":[],\"web\":[\"kubernetes\"]}"));
	ck_assert(listing_has_consul(l));
	ck_assert(listing_has_service(l, "web"));
	ck_assert(!listing_has_service(l, "consul"));
	ck_assert(!listing_has_service(l, "we"));
	ck_assert(!read_body(l, "{\"api\":[\"kubernetes\"],"));
	ck_assert(listing_has_service(l, "web"));
	ck_assert(!listing_has_service(l, "api"));
	ck_assert(read_body(l, "{\"api\":[\"kubernetes\"]}"));
	ck_assert(!listing_has_consul(l));
	ck_assert(!listing_has_service(l, "web"));
	ck_assert(listing_has_service(l, "api"));
	listing_free(l);
	listing_free(NULL);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("listing");
	TCase *t = tcase_create("listing");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_loop_test(t, splits, 0, COUNT(bodies));
	tcase_add_test(t, stops_where_it_is_told);
	tcase_add_test(t, an_element_has_bounds);
	tcase_add_test(t, an_element_may_be_deep_and_odd);
	tcase_add_test(t, sees_what_the_catalog_says);
	tcase_add_test(t, sees_what_the_checks_say);
	tcase_add_test(t, sees_what_the_roster_says);
	tcase_add_test(t, sees_what_the_nodes_say);
	tcase_add_test(t, elsewhere_any_service_will_do);
	tcase_add_test(t, what_nobody_reads_refuses_no_list);
	tcase_add_loop_test(t, a_row_that_is_too_large_costs_itself, 0,
	    COUNT(runs));
	tcase_add_loop_test(t, a_service_with_too_many_tags_is_in_the_list, 0,
	    COUNT(runs));
	tcase_add_test(t, names_that_cannot_be_asked_for_are_told);
	tcase_add_loop_test(t, names_that_are_no_paths_are_left_out, 0,
	    COUNT(paths));
	tcase_add_test(t, consul_itself_has_no_disguise);
	tcase_add_test(t, knows_who_is_in_the_list_that_counts);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
