#include <bsd/string.h>
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "workers/k8s_writer/slices.h"

#define COUNT(a) (sizeof(a) / sizeof(*(a)))
#define MANY     6000
#define SLICES   (MANY + 1)

/* The cluster: what the last assignment left, as the next one finds it. */
static struct cluster {
	struct slice_now now[SLICES];
	size_t n;
	char names[SLICES][SLICE_NAME];
	struct address *at[SLICES];
} cluster;

static struct endpoint wanted[MANY];
static size_t nwanted;
static uint16_t port;

/* What the last assignment costs. */
static struct costs {
	size_t writes;
	size_t created;
	size_t deleted;
} costs;

static void
reset(void)
{
	for (size_t i = 0; i < cluster.n; i++)
		free(cluster.at[i]);
	memset(&cluster, 0, sizeof(cluster));
	nwanted = 0;
	port = 80;
}

static struct address
address(enum backend_family family, unsigned n)
{
	struct address a = { .family = (uint8_t)family };
	size_t at = family == BACKEND_IPV4 ? 0 : 12;

	a.ip[at] = 10;
	a.ip[at + 1] = (uint8_t)(n >> 16);
	a.ip[at + 2] = (uint8_t)(n >> 8);
	a.ip[at + 3] = (uint8_t)n;
	return a;
}

static void
want(enum backend_family family, uint16_t p, unsigned from, unsigned to)
{
	for (unsigned i = from; i < to; i++)
		wanted[nwanted++] = (struct endpoint){
			.at = address(family, i),
			.port = p,
			.node = "",
			.zone = "",
		};
}

static void
unwant(size_t i)
{
	wanted[i] = wanted[--nwanted];
}

/* ---- what must hold for any assignment ---- */

/* One ck_assert() for all: each of them costs a system call. */
static const char *
fault_of(const struct slice *s, bool *seen)
{
	if (s->n == 0 || s->n > SLICE_ENDPOINTS)
		return "too few or too many endpoints";
	if (s->now != NULL && s->now->family != s->family)
		return "another family than before";
	for (size_t i = 0; i < s->n; i++) {
		const struct endpoint *e = &wanted[s->members[i]];

		if (i > 0 && s->members[i - 1] >= s->members[i])
			return "endpoints do not ascend";
		if (seen[s->members[i]])
			return "an endpoint twice";
		seen[s->members[i]] = true;
		if (e->at.family != s->family || e->port != s->port)
			return "an endpoint of another family or port";
	}
	return NULL;
}

static bool
has_namesake(const struct slices *s, size_t i)
{
	for (size_t j = 0; j < i; j++) {
		if (strcmp(slice_name(&s->v[i]), slice_name(&s->v[j])) == 0)
			return true;
	}
	return false;
}

static void
must_be_sound(const struct slices *s)
{
	bool *seen = xcalloc(nwanted + 1, sizeof(*seen));
	const char *why = NULL;

	for (size_t i = 0; i < s->n && why == NULL; i++)
		why = has_namesake(s, i) ? "a name twice"
					 : fault_of(&s->v[i], seen);
	for (size_t i = 0; i < nwanted && why == NULL; i++)
		why = seen[i] ? NULL : "an endpoint that is in no slice";
	ck_assert_msg(why == NULL, "%s", why);
	free(seen);
}

static bool
is_unchanged(const struct slice *s)
{
	if (s->now == NULL || s->now->port != s->port || s->now->n != s->n)
		return false;
	for (size_t i = 0; i < s->n; i++) {
		if (address_compare(&s->now->at[i],
			&wanted[s->members[i]].at) != 0)
			return false;
	}
	return true;
}

static void
count_costs(const struct slices *s)
{
	size_t used = 0, usable = 0;

	costs = (struct costs){ 0 };
	for (size_t i = 0; i < s->n; i++) {
		costs.writes += !is_unchanged(&s->v[i]);
		costs.created += s->v[i].now == NULL;
		used += s->v[i].now != NULL;
	}
	for (size_t i = 0; i < cluster.n; i++)
		usable += cluster.now[i].usable;
	costs.deleted = usable - used;
}

static int
by_name(const void *a, const void *b)
{
	const struct slice_now *x = a, *y = b;

	return strcmp(x->name, y->name);
}

static void
apply_one(struct cluster *c, const struct slice *s)
{
	struct address *at = xcalloc(s->n, sizeof(*at));

	for (size_t i = 0; i < s->n; i++)
		at[i] = wanted[s->members[i]].at;
	strlcpy(c->names[c->n], slice_name(s), SLICE_NAME);
	c->at[c->n] = at;
	c->now[c->n] = (struct slice_now){
		.name = c->names[c->n],
		.usable = true,
		.family = s->family,
		.port = s->port,
		.at = at,
		.n = s->n,
	};
	c->n++;
}

static void
apply(const struct slices *s)
{
	static struct cluster next;

	memset(&next, 0, sizeof(next));
	for (size_t i = 0; i < s->n; i++)
		apply_one(&next, &s->v[i]);
	for (size_t i = 0; i < cluster.n; i++)
		free(cluster.at[i]);
	cluster = next;
	/* Names point into the copy now. */
	for (size_t i = 0; i < cluster.n; i++)
		cluster.now[i].name = cluster.names[i];
	qsort(cluster.now, cluster.n, sizeof(*cluster.now), by_name);
}

static struct slices
assign_only(void)
{
	struct slices_input in = {
		.service = "web",
		.port = port,
		.endpoints = wanted,
		.now = cluster.now,
		.nnow = cluster.n,
	};
	struct slices out;

	in.n = nwanted = endpoints_unify(wanted, nwanted);
	slices_assign(&in, &out);
	must_be_sound(&out);
	count_costs(&out);
	return out;
}

static void
assign(void)
{
	struct slices out = assign_only();

	apply(&out);
	slices_free(&out);
}

static const struct slice_now *
now(const char *name)
{
	for (size_t i = 0; i < cluster.n; i++) {
		if (strcmp(cluster.now[i].name, name) == 0)
			return &cluster.now[i];
	}
	ck_abort_msg("no slice %s", name);
}

/* ---- single steps ---- */

START_TEST(nothing_at_all)
{
	reset();
	assign();
	ck_assert_uint_eq(cluster.n, 0);
	ck_assert_uint_eq(costs.writes, 0);
}
END_TEST

START_TEST(one_slice_by_its_name)
{
	reset();
	want(BACKEND_IPV4, 80, 0, 3);
	assign();
	ck_assert_uint_eq(cluster.n, 1);
	ck_assert_uint_eq(now("web-consul")->n, 3);
	assign();
	ck_assert_uint_eq(costs.writes, 0);
}
END_TEST

START_TEST(exactly_full_and_one_more)
{
	reset();
	want(BACKEND_IPV4, 80, 0, SLICE_ENDPOINTS);
	assign();
	ck_assert_uint_eq(cluster.n, 1);
	want(BACKEND_IPV4, 80, SLICE_ENDPOINTS, SLICE_ENDPOINTS + 1);
	assign();
	ck_assert_uint_eq(cluster.n, 2);
	ck_assert_uint_eq(costs.writes, 1);
	ck_assert_uint_eq(now("web-consul")->n, SLICE_ENDPOINTS);
}
END_TEST

START_TEST(families_and_ports_apart)
{
	reset();
	port = 8080;
	want(BACKEND_IPV6, 80, 0, 2);
	want(BACKEND_IPV6, 8080, 0, 2);
	want(BACKEND_IPV4, 80, 0, 2);
	want(BACKEND_IPV4, 8080, 0, 2);
	want(BACKEND_IPV4, 0, 9, 10);
	assign();
	ck_assert_uint_eq(cluster.n, 5);
	ck_assert_uint_eq(now("web-consul")->port, 8080);
	ck_assert_int_eq(now("web-consul")->family, BACKEND_IPV4);
}
END_TEST

START_TEST(the_same_each_time)
{
	char first[4][SLICE_NAME];

	for (int round = 0; round < 2; round++) {
		reset();
		want(BACKEND_IPV4, 80, 0, 2500);
		want(BACKEND_IPV6, 80, 0, 1);
		assign();
		ck_assert_uint_eq(cluster.n, 4);
		for (size_t i = 0; i < 4; i++) {
			if (round == 0)
				strlcpy(first[i], cluster.now[i].name,
				    SLICE_NAME);
			ck_assert_str_eq(first[i], cluster.now[i].name);
		}
	}
}
END_TEST

START_TEST(one_of_2500_costs_one_write)
{
	reset();
	want(BACKEND_IPV4, 80, 0, 1300);
	want(BACKEND_IPV6, 80, 0, 1200);
	assign();
	ck_assert_uint_eq(cluster.n, 4);
	for (size_t i = 0; i < 2499; i += 357) {
		unwant(i);
		assign();
		ck_assert_uint_eq(costs.writes, 1);
		ck_assert_uint_eq(costs.deleted, 0);
	}
}
END_TEST

/* A replaced endpoint takes the place that is free in the slice. */
START_TEST(a_replacement_costs_one_write)
{
	reset();
	want(BACKEND_IPV4, 80, 0, 2500);
	assign();
	unwant(1700);
	want(BACKEND_IPV4, 80, 5000, 5001);
	assign();
	ck_assert_uint_eq(costs.writes, 1);
	ck_assert_uint_eq(cluster.n, 3);
}
END_TEST

START_TEST(a_new_one_goes_where_most_is_free)
{
	reset();
	want(BACKEND_IPV4, 80, 0, 2500);
	assign();
	for (size_t i = 0; i < 10; i++)
		unwant(i);
	assign();
	want(BACKEND_IPV4, 80, 5000, 5400);
	assign();
	ck_assert_uint_eq(costs.writes, 1);
	ck_assert_uint_eq(costs.created, 0);
}
END_TEST

/* Each instance has a new port: one write, not a deletion and a creation. */
START_TEST(a_slice_takes_another_port)
{
	reset();
	want(BACKEND_IPV4, 20001, 0, 1);
	want(BACKEND_IPV4, 20002, 1, 2);
	want(BACKEND_IPV6, 20001, 1, 2);
	assign();
	ck_assert_uint_eq(cluster.n, 3);
	for (size_t i = 0; i < nwanted; i++) {
		if (wanted[i].port == 20001)
			wanted[i].port = 20003;
	}
	assign();
	ck_assert_uint_eq(cluster.n, 3);
	ck_assert_uint_eq(costs.writes, 2);
	ck_assert_uint_eq(costs.created + costs.deleted, 0);
}
END_TEST

START_TEST(a_family_is_for_ever)
{
	reset();
	want(BACKEND_IPV6, 80, 0, 1);
	assign();
	nwanted = 0;
	want(BACKEND_IPV4, 80, 0, 1);
	assign();
	ck_assert_uint_eq(costs.created, 1);
	ck_assert_uint_eq(costs.deleted, 1);
	ck_assert_str_ne(cluster.now[0].name, "web-consul");
}
END_TEST

START_TEST(the_last_one_takes_the_slice_along)
{
	reset();
	want(BACKEND_IPV4, 80, 0, 1001);
	assign();
	nwanted = SLICE_ENDPOINTS;
	assign();
	ck_assert_uint_eq(costs.deleted, 1);
	ck_assert_uint_eq(costs.writes, 0);
	nwanted = 0;
	assign();
	ck_assert_uint_eq(cluster.n, 0);
}
END_TEST

/* ---- slices that are not as we would have made them ---- */

static void
there_is(const char *name, bool usable, unsigned from, unsigned to)
{
	size_t i = cluster.n++;

	cluster.at[i] = xcalloc(to - from + 1, sizeof(struct address));
	for (unsigned k = from; k < to; k++)
		cluster.at[i][k - from] = address(BACKEND_IPV4, k);
	strlcpy(cluster.names[i], name, SLICE_NAME);
	cluster.now[i] = (struct slice_now){
		.name = cluster.names[i],
		.usable = usable,
		.port = 80,
		.at = cluster.at[i],
		.n = to - from,
	};
}

START_TEST(taken_over_from_others)
{
	reset();
	there_is("web-consul", true, 0, 5);
	want(BACKEND_IPV4, 80, 0, 5);
	assign();
	ck_assert_uint_eq(costs.writes + costs.deleted, 0);
}
END_TEST

START_TEST(a_taken_name_is_not_used)
{
	reset();
	there_is("web-consul", false, 0, 5);
	want(BACKEND_IPV4, 80, 0, 5);
	assign();
	ck_assert_uint_eq(cluster.n, 1);
	ck_assert(strncmp(cluster.now[0].name, "web-consul-", 11) == 0);
}
END_TEST

START_TEST(an_endpoint_in_two_slices_stays_in_one)
{
	reset();
	there_is("web-consul", true, 0, 5);
	there_is("web-consul-x", true, 3, 9);
	want(BACKEND_IPV4, 80, 0, 9);
	assign();
	ck_assert_uint_eq(costs.writes, 1);
	ck_assert_uint_eq(now("web-consul")->n, 5);
	ck_assert_uint_eq(now("web-consul-x")->n, 4);
}
END_TEST

START_TEST(an_empty_slice_is_used)
{
	reset();
	there_is("web-consul", true, 0, 0);
	there_is("web-consul-x", true, 0, 9);
	want(BACKEND_IPV4, 80, 0, 10);
	assign();
	ck_assert_uint_eq(costs.created + costs.deleted, 0);
	ck_assert_uint_eq(now("web-consul")->n, 1);
}
END_TEST

START_TEST(too_full_a_slice_is_emptied)
{
	reset();
	there_is("web-consul", true, 0, SLICE_ENDPOINTS + 7);
	want(BACKEND_IPV4, 80, 0, SLICE_ENDPOINTS + 7);
	assign();
	ck_assert_uint_eq(cluster.n, 2);
	ck_assert_uint_eq(now("web-consul")->n, SLICE_ENDPOINTS);
}
END_TEST

/* ---- any sequence of changes ---- */

static uint64_t seed;

static uint64_t
dice(uint64_t sides)
{
	seed = seed * 6364136223846793005u + 1442695040888963407u;
	return (seed >> 33) % sides;
}

static void
some_come(void)
{
	unsigned n = (unsigned)dice(700), from = (unsigned)dice(MANY - n);
	enum backend_family family = (enum backend_family)dice(2);
	uint16_t p = (uint16_t)(80 + dice(2));

	if (nwanted + n > MANY / 2)
		return;
	want(family, p, from, from + n);
}

/* Endpoints that went, by family, port and number. */
static bool gone[2][2][MANY];

static bool *
gone_flag(const struct address *a, uint16_t p)
{
	const uint8_t *ip = a->ip + (a->family == BACKEND_IPV4 ? 0 : 12);

	return &gone[a->family][p - 80][ip[1] << 16 | ip[2] << 8 | ip[3]];
}

static bool
is_hit(const struct slice_now *s)
{
	for (size_t i = 0; i < s->n; i++) {
		if (*gone_flag(&s->at[i], s->port))
			return true;
	}
	return false;
}

/* How many slices of the cluster had one that goes. */
static size_t
some_go(void)
{
	size_t n = dice(200), hit = 0;

	memset(gone, 0, sizeof(gone));
	while (n-- > 0 && nwanted > 0) {
		size_t i = dice(nwanted);

		*gone_flag(&wanted[i].at, wanted[i].port) = true;
		unwant(i);
	}
	for (size_t i = 0; i < cluster.n; i++)
		hit += is_hit(&cluster.now[i]);
	return hit;
}

static void
only_removals(void)
{
	size_t hit = some_go();

	assign();
	ck_assert_uint_eq(costs.writes + costs.deleted, hit);
	ck_assert_uint_eq(costs.created, 0);
}

static void
only_additions(void)
{
	size_t before = nwanted, added;

	some_come();
	assign();
	added = nwanted - before;
	ck_assert_uint_eq(costs.deleted, 0);
	/* A new slice is made for what fits into no other one. */
	ck_assert_uint_le(costs.created,
	    (added + SLICE_ENDPOINTS - 1) / SLICE_ENDPOINTS);
	if (added == 0)
		ck_assert_uint_eq(costs.writes, 0);
}

static void
both(void)
{
	some_go();
	some_come();
	assign();
}

START_TEST(any_sequence)
{
	static void (*const steps[])(
	    void) = { only_removals, only_additions, both };

	reset();
	seed = (uint64_t)_i + 1;
	for (int round = 0; round < 60; round++) {
		steps[dice(COUNT(steps))]();
		assign();
		ck_assert_uint_eq(costs.writes + costs.deleted, 0);
	}
}
END_TEST

/* ---- endpoints ---- */

START_TEST(addresses)
{
	char text[BACKEND_ADDRESS];
	struct address a, b;

	ck_assert(address_parse("10.0.0.1", &a));
	address_text(&a, text);
	ck_assert_str_eq(text, "10.0.0.1");
	ck_assert(address_parse("FD00::1", &b));
	address_text(&b, text);
	ck_assert_str_eq(text, "fd00::1");
	ck_assert_int_lt(address_compare(&a, &b), 0);
	ck_assert_int_gt(address_compare(&b, &a), 0);
	ck_assert_int_eq(address_compare(&b, &b), 0);
	ck_assert(!address_parse("web.example", &a));
	ck_assert(!address_parse("", &a));
	ck_assert(!address_parse("a:b", &a));
}
END_TEST

START_TEST(a_ready_one_stands_for_all)
{
	struct endpoint v[] = {
		{ .port = 80, .ready = false, .node = "a", .zone = "" },
		{ .port = 80, .ready = true, .node = "b", .zone = "" },
		{ .port = 80, .ready = true, .node = "b", .zone = "z" },
		{ .port = 81, .ready = false, .node = "c", .zone = "" },
	};

	ck_assert_uint_eq(endpoints_unify(v, COUNT(v)), 2);
	ck_assert_str_eq(v[0].node, "b");
	ck_assert_str_eq(v[0].zone, "");
	ck_assert(v[0].ready);
	ck_assert_uint_eq(v[1].port, 81);
	ck_assert_uint_eq(endpoints_unify(v, 0), 0);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("slices");
	TCase *t = tcase_create("slices");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_set_timeout(t, 60);
	tcase_add_test(t, nothing_at_all);
	tcase_add_test(t, one_slice_by_its_name);
	tcase_add_test(t, exactly_full_and_one_more);
	tcase_add_test(t, families_and_ports_apart);
	tcase_add_test(t, the_same_each_time);
	tcase_add_test(t, one_of_2500_costs_one_write);
	tcase_add_test(t, a_replacement_costs_one_write);
	tcase_add_test(t, a_new_one_goes_where_most_is_free);
	tcase_add_test(t, a_slice_takes_another_port);
	tcase_add_test(t, a_family_is_for_ever);
	tcase_add_test(t, the_last_one_takes_the_slice_along);
	tcase_add_test(t, taken_over_from_others);
	tcase_add_test(t, a_taken_name_is_not_used);
	tcase_add_test(t, an_endpoint_in_two_slices_stays_in_one);
	tcase_add_test(t, an_empty_slice_is_used);
	tcase_add_test(t, too_full_a_slice_is_emptied);
	tcase_add_loop_test(t, any_sequence, 0, 8);
	tcase_add_test(t, addresses);
	tcase_add_test(t, a_ready_one_stands_for_all);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
