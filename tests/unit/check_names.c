#include <bsd/string.h>
#include <check.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/backend.h"
#include "common/log.h"
#include "workers/k8s_writer/names.h"

#define COUNT(a) (sizeof(a) / sizeof(*(a)))
#define X50      "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"

static const struct names_conf conf = {
	.gateways = { "envoy-internal", "envoy-external" },
};

static const struct {
	const char *service;
	const char *base;
} bases[] = {
	{ "web", "web" },
	{ "Web", "web" },
	{ "a_b", "a-b" },
	{ "a.b c/d", "a-b-c-d" },
	{ "a--b", "a--b" },
	{ "-a-", "a" },
	{ "__a__", "a" },
	{ "1", "svc-1" },
	{ "-9lives", "svc-9lives" },
	{ "svc-1", "svc-1" },
	{ "gr\xc3\xb6\xc3\x9f"
	  "e",
	    "gr--e" },
	{ "\xff\xfe", "" },
	{ "___", "" },
	{ "", "" },
	{ X50 "0123456789abc", X50 "0123456789abc" },
	{ X50 "0123456789abcd", X50 "0123456789abc" },
	{ X50 "0123456789ab__y", X50 "0123456789ab" },
	{ "1" X50 "abcdefghijk", "svc-1" X50 "abcdefgh" },
};

START_TEST(base_of_a_name)
{
	char out[NAME_MAX_LEN + 1];

	names_base(bases[_i].service, out);
	ck_assert_str_eq(out, bases[_i].base);
}
END_TEST

/* DNS-1035: what the apiserver wants. */
static bool
is_dns1035(const char *s)
{
	return backend_is_label(s) && s[0] >= 'a' && s[0] <= 'z';
}

START_TEST(nobody_is_in_the_way)
{
	struct names *ns = names_new(&conf);

	names_put(ns, "web", 5);
	ck_assert_ptr_null(names_get(ns, "web"));
	names_settle(ns);
	ck_assert_str_eq(names_get(ns, "web"), "web");
	ck_assert_ptr_null(names_get(ns, "api"));
	ck_assert_uint_eq(names_collisions(ns), 0);
	names_del(ns, "web");
	names_del(ns, "web");
	names_settle(ns);
	ck_assert_ptr_null(names_get(ns, "web"));
	names_free(ns);
	names_free(NULL);
}
END_TEST

/* Who of "a_b" and "a-b" is called "a-b". */
static const struct {
	uint64_t a_b;
	uint64_t a_dash_b;
	const char *winner;
} ages[] = {
	{ 1, 2, "a_b" },
	{ 2, 1, "a-b" },
	{ 7, 7, "a-b" },
	{ 0, 9, "a-b" },
	{ 9, 0, "a_b" },
	{ 0, 0, "a-b" },
};

static void
must_lose(const struct names *ns, const char *loser)
{
	const char *name = names_get(ns, loser);

	ck_assert(is_dns1035(name));
	ck_assert_uint_eq(strlen(name), strlen("a-b-") + NAME_HASH_LEN);
	ck_assert(strncmp(name, "a-b-", 4) == 0);
}

START_TEST(the_oldest_has_the_name)
{
	const char *winner = ages[_i].winner;
	const char *loser = strcmp(winner, "a_b") == 0 ? "a-b" : "a_b";
	struct names *ns = names_new(&conf);

	names_put(ns, "a_b", ages[_i].a_b);
	names_put(ns, "a-b", ages[_i].a_dash_b);
	names_settle(ns);
	ck_assert_str_eq(names_get(ns, winner), "a-b");
	must_lose(ns, loser);
	names_del(ns, winner);
	names_settle(ns);
	ck_assert_str_eq(names_get(ns, loser), "a-b");
	names_free(ns);
}
END_TEST

START_TEST(registered_again_is_no_younger)
{
	struct names *ns = names_new(&conf);

	names_put(ns, "a_b", 10);
	names_put(ns, "a-b", 20);
	names_put(ns, "a_b", 30);
	names_put(ns, "a_b", 0);
	names_settle(ns);
	ck_assert_str_eq(names_get(ns, "a_b"), "a-b");
	names_free(ns);
}
END_TEST

/* Whoever has it in the cluster keeps it, however young it is. */
START_TEST(the_present_holder_keeps_the_name)
{
	struct names *ns = names_new(&conf);

	ck_assert(!names_hold(ns, "a-b", "a-b"));
	names_put(ns, "a_b", 1);
	names_put(ns, "a-b", 2);
	names_put(ns, "x", 3);
	ck_assert(names_hold(ns, "a-b", "a-b"));
	ck_assert(!names_hold(ns, "b", "a_b"));
	names_settle(ns);
	ck_assert_str_eq(names_get(ns, "a-b"), "a-b");
	must_lose(ns, "a_b");
	ck_assert(!names_hold(ns, "a-b", "a-b"));
	/* Another copy gave it away. */
	ck_assert(names_hold(ns, "a-b", "a_b"));
	names_settle(ns);
	ck_assert_str_eq(names_get(ns, "a_b"), "a-b");
	must_lose(ns, "a-b");
	ck_assert(names_hold(ns, "a-b", "a-b"));
	names_settle(ns);
	ck_assert_str_eq(names_get(ns, "a-b"), "a-b");
	/* Who goes gives it up. */
	names_del(ns, "a-b");
	names_put(ns, "a-b", 2);
	names_settle(ns);
	ck_assert_str_eq(names_get(ns, "a_b"), "a-b");
	names_free(ns);
}
END_TEST

/* It had the name by its age; then it is no matter of age any more. */
START_TEST(the_holder_is_known_in_time)
{
	struct names *ns = names_new(&conf);

	names_put(ns, "a-b", 5);
	names_settle(ns);
	ck_assert(!names_hold(ns, "a-b", "a-b"));
	names_put(ns, "a_b", 1);
	names_settle(ns);
	ck_assert_str_eq(names_get(ns, "a-b"), "a-b");
	must_lose(ns, "a_b");
	names_free(ns);
}
END_TEST

static void
note_collision(const struct names_collision *c, void *arg)
{
	char *text = arg;

	strlcat(text, c->service, 256);
	strlcat(text, " ", 256);
	strlcat(text, c->wanted, 256);
	strlcat(text, " ", 256);
	strlcat(text, c->winner, 256);
	strlcat(text, ";", 256);
	ck_assert_ptr_nonnull(c->given);
}

START_TEST(collisions_are_told)
{
	struct names *ns = names_new(&conf);
	char text[256] = "";

	names_put(ns, "a_b", 3);
	names_put(ns, "a-b", 2);
	names_put(ns, "A.B", 1);
	names_put(ns, "x", 1);
	names_settle(ns);
	ck_assert_uint_eq(names_collisions(ns), 2);
	/* Still told, as of then, when the winner is gone. */
	names_del(ns, "A.B");
	names_each_collision(ns, note_collision, text);
	ck_assert_str_eq(text, "a-b a-b A.B;a_b a-b A.B;");
	text[0] = '\0';
	names_settle(ns);
	names_each_collision(ns, note_collision, text);
	ck_assert_str_eq(text, "a_b a-b a-b;");
	names_free(ns);
}
END_TEST

START_TEST(nothing_left_of_a_name)
{
	struct names *ns = names_new(&conf);

	names_put(ns, "___", 1);
	names_put(ns, "...", 2);
	names_settle(ns);
	ck_assert_str_ne(names_get(ns, "___"), names_get(ns, "..."));
	ck_assert(is_dns1035(names_get(ns, "___")));
	ck_assert_uint_eq(strlen(names_get(ns, "...")), 4 + NAME_HASH_LEN);
	ck_assert_uint_eq(names_collisions(ns), 0);
	names_free(ns);
}
END_TEST

/* A loser's name is in the way of a younger service that is called so. */
START_TEST(a_hashed_name_is_a_name)
{
	struct names *ns = names_new(&conf);
	char loser[NAME_MAX_LEN + 1];

	names_put(ns, "a-b", 1);
	names_put(ns, "a_b", 2);
	names_settle(ns);
	strlcpy(loser, names_get(ns, "a_b"), sizeof(loser));
	names_put(ns, loser, 3);
	names_settle(ns);
	ck_assert_str_eq(names_get(ns, "a_b"), loser);
	ck_assert_str_ne(names_get(ns, loser), loser);
	/* And the other way round: then the loser takes a next one. */
	names_put(ns, loser, 1);
	names_settle(ns);
	ck_assert_str_eq(names_get(ns, loser), loser);
	must_lose(ns, "a_b");
	ck_assert_str_ne(names_get(ns, "a_b"), loser);
	names_free(ns);
}
END_TEST

START_TEST(losers_are_cut)
{
	struct names *ns = names_new(&conf);
	const char *name;

	names_put(ns, X50 "01234567-9abcd", 1);
	names_put(ns, X50 "01234567-9abce", 2);
	names_put(ns, X50 "012345-_9abcd", 1);
	names_put(ns, X50 "012345_-9abcd", 2);
	names_settle(ns);
	name = names_get(ns, X50 "01234567-9abce");
	ck_assert_uint_eq(strlen(name), NAME_MAX_LEN);
	ck_assert(is_dns1035(name));
	/* "-" before the hash is cut, too. */
	name = names_get(ns, X50 "012345_-9abcd");
	ck_assert_uint_eq(strlen(name), 56 + 1 + NAME_HASH_LEN);
	ck_assert(is_dns1035(name));
	names_free(ns);
}
END_TEST

/* Both would have the route x-a-b. */
START_TEST(routes_do_not_collide)
{
	static const struct names_conf related[] = {
		{ .gateways = { "b", "a-b" } },
		{ .gateways = { "a-b", "b" } },
	};
	struct names *ns = names_new(&related[_i]);

	names_put(ns, "x", 1);
	names_put(ns, "x-a", 2);
	names_put(ns, "y", 2);
	names_settle(ns);
	ck_assert_str_eq(names_get(ns, "x"), "x");
	ck_assert_str_eq(names_get(ns, "y"), "y");
	ck_assert_str_ne(names_get(ns, "x-a"), "x-a");
	ck_assert_uint_eq(names_collisions(ns), 1);
	names_free(ns);
}
END_TEST

START_TEST(unrelated_gateways)
{
	static const struct names_conf unrelated[] = {
		{ .gateways = { "b", "b" } },
		{ .gateways = { "b", "ab" } },
		{ .gateways = { "b", "" } },
		{ .gateways = { "", "" } },
	};
	struct names *ns = names_new(&unrelated[_i]);

	names_put(ns, "x", 1);
	names_put(ns, "x-a", 2);
	names_put(ns, "x-b", 3);
	names_settle(ns);
	ck_assert_uint_eq(names_collisions(ns), 0);
	names_free(ns);
}
END_TEST

/* ---- any set, in any order ---- */

#define POOL   60
#define ROUNDS 200

static char pool[POOL][LIMIT_SERVICE_NAME + 1];
static uint64_t seed;

static uint64_t
dice(uint64_t sides)
{
	seed = seed * 6364136223846793005u + 1442695040888963407u;
	return (seed >> 33) % sides;
}

/* Few letters, so that many collide. */
static void
fill_pool(void)
{
	static const char few[] = "aB1_-.";

	for (size_t i = 0; i < POOL; i++) {
		size_t n = 1 + dice(dice(8) == 0 ? 100 : 4);

		for (size_t j = 0; j < n; j++)
			pool[i][j] = few[dice(sizeof(few) - 1)];
		pool[i][n] = '\0';
	}
}

static void
must_be_sound(const struct names *ns, const bool *in)
{
	for (size_t i = 0; i < POOL; i++) {
		const char *name = names_get(ns, pool[i]);

		if (!in[i])
			continue;
		ck_assert_msg(is_dns1035(name), "%s", name);
		for (size_t j = 0; j < i; j++) {
			if (in[j] && strcmp(pool[i], pool[j]) != 0)
				ck_assert_str_ne(name, names_get(ns, pool[j]));
		}
	}
}

/* The same set, put in another order at once. */
static void
must_not_depend_on_the_order(const struct names *ns, const bool *in)
{
	struct names *other = names_new(&conf);
	size_t from = dice(POOL);

	for (size_t i = 0; i < POOL; i++) {
		size_t k = (from + i * 7) % POOL;

		if (in[k])
			names_put(other, pool[k], k / 2);
	}
	names_settle(other);
	for (size_t i = 0; i < POOL; i++) {
		if (in[i])
			ck_assert_str_eq(names_get(ns, pool[i]),
			    names_get(other, pool[i]));
	}
	ck_assert_uint_eq(names_collisions(ns), names_collisions(other));
	names_free(other);
}

static bool
is_first_of_its_text(size_t i)
{
	for (size_t j = 0; j < i; j++) {
		if (strcmp(pool[i], pool[j]) == 0)
			return false;
	}
	return true;
}

START_TEST(any_set_in_any_order)
{
	struct names *ns = names_new(&conf);
	bool in[POOL] = { false };

	seed = (uint64_t)_i + 1;
	fill_pool();
	for (int round = 0; round < ROUNDS; round++) {
		size_t i = dice(POOL);

		if (!is_first_of_its_text(i))
			continue;
		in[i] = !in[i];
		if (in[i])
			names_put(ns, pool[i], i / 2);
		else
			names_del(ns, pool[i]);
		if (dice(3) != 0)
			continue;
		names_settle(ns);
		must_be_sound(ns, in);
		must_not_depend_on_the_order(ns, in);
	}
	names_free(ns);
}
END_TEST

/* ---- what changed is said ---- */

static char said[256];

static void
note_change(const char *service, const char *name, void *arg)
{
	(void)arg;
	strlcat(said, service, sizeof(said));
	strlcat(said, "=", sizeof(said));
	strlcat(said, strlen(name) > 4 ? "hash" : name, sizeof(said));
	strlcat(said, ";", sizeof(said));
}

START_TEST(changes_are_told)
{
	struct names_conf telling = conf;
	struct names *ns;

	telling.changed = note_change;
	ns = names_new(&telling);
	said[0] = '\0';
	names_put(ns, "a_b", 5);
	names_put(ns, "x", 9);
	names_settle(ns);
	names_put(ns, "a-b", 4);
	names_settle(ns);
	names_settle(ns);
	names_del(ns, "a-b");
	names_settle(ns);
	ck_assert_str_eq(said, "a_b=a-b;x=x;a-b=a-b;a_b=hash;a_b=a-b;");
	names_free(ns);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("names");
	TCase *t = tcase_create("names");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_loop_test(t, base_of_a_name, 0, COUNT(bases));
	tcase_add_test(t, nobody_is_in_the_way);
	tcase_add_loop_test(t, the_oldest_has_the_name, 0, COUNT(ages));
	tcase_add_test(t, registered_again_is_no_younger);
	tcase_add_test(t, the_present_holder_keeps_the_name);
	tcase_add_test(t, the_holder_is_known_in_time);
	tcase_add_test(t, collisions_are_told);
	tcase_add_test(t, nothing_left_of_a_name);
	tcase_add_test(t, a_hashed_name_is_a_name);
	tcase_add_test(t, losers_are_cut);
	tcase_add_loop_test(t, routes_do_not_collide, 0, 2);
	tcase_add_loop_test(t, unrelated_gateways, 0, 4);
	tcase_add_loop_test(t, any_set_in_any_order, 0, 10);
	tcase_add_test(t, changes_are_told);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
