#include "workers/identity.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(a) (sizeof(a) / sizeof(*(a)))
#define STEPS    8

/*
 * What happens: "c1" a certificate comes, "k1" a key, "c" and "k" they are
 * taken away; "+" it served, "-" TLS refused it, "!" likewise, with no other
 * to take its place, "=" the same came again. Then what is used.
 */
static const struct {
	const char *steps[STEPS];
	const char *cert, *key;
} rows[] = {
	{ { NULL }, "", "" },
	{ { "c1", "k1" }, "c1", "k1" },
	{ { "k1", "c1" }, "c1", "k1" },
	/* The first is wrong: nothing to go back to. */
	{ { "c1", "k2", "!" }, "c1", "k2" },
	{ { "c1", "k1", "+" }, "c1", "k1" },
	/* It served, and is refused: nothing else is there. */
	{ { "c1", "k1", "+", "!" }, "c1", "k1" },
	{ { "c1", "k1", "+", "+", "!" }, "c1", "k1" },
	/* One after the other, in both orders. */
	{ { "c1", "k1", "+", "c2" }, "c2", "k1" },
	{ { "c1", "k1", "+", "c2", "-" }, "c1", "k1" },
	{ { "c1", "k1", "+", "k2", "-" }, "c1", "k1" },
	{ { "c1", "k1", "+", "c2", "-", "+", "k2" }, "c2", "k2" },
	{ { "c1", "k1", "+", "k2", "-", "c2" }, "c2", "k2" },
	{ { "c1", "k1", "+", "c2", "k2" }, "c2", "k2" },
	/* Only what served is gone back to. */
	{ { "c1", "k1", "c2", "!" }, "c2", "k1" },
	{ { "c1", "k1", "+", "c2", "k2", "k3", "-" }, "c1", "k1" },
	{ { "c1", "k1", "+", "c2", "k2", "+", "k3", "-" }, "c2", "k2" },
	/* The old one is refused, too. */
	{ { "c1", "k1", "+", "c2", "-", "!" }, "c1", "k1" },
	/* What came before is no new try. */
	{ { "c1", "k1", "+", "c2", "-", "=c2" }, "c1", "k1" },
	{ { "c1", "k1", "+", "c2", "-", "c1" }, "c1", "k1" },
	/* What is taken away does not come back. */
	{ { "c1", "k1", "+", "c", "k" }, "", "" },
	{ { "c1", "k1", "+", "c" }, "", "k1" },
	{ { "c1", "k1", "+", "k", "!" }, "c1", "" },
	{ { "c1", "k1", "+", "c2", "-", "k" }, "c2", "" },
	{ { "c1", "k1", "+", "c", "k", "c2", "!" }, "c2", "" },
	/* None served: it is none to go back to. */
	{ { "+", "c1", "!" }, "c1", "" },
};

static void
come(struct identity *i, const char *step, bool is_new)
{
	bool cert = *step == 'c';
	size_t len = strlen(step);

	ck_assert(identity_set(i, cert ? IDENTITY_CERT : IDENTITY_KEY, step,
		      len > 1 ? len : 0) == is_new);
}

static void
happen(struct identity *i, const char *step)
{
	if (*step == '+')
		identity_served(i);
	else if (*step == '-' || *step == '!')
		ck_assert(identity_refused(i) == (*step == '-'));
	else if (*step == '=')
		come(i, step + 1, false);
	else
		come(i, step, true);
}

static void
must_use(const struct identity *i, enum identity_part part, const char *text)
{
	const struct secret *s = identity_get(i, part);

	ck_assert_uint_eq(s->len, strlen(text));
	ck_assert_str_eq(s->data != NULL ? s->data : "", text);
}

START_TEST(uses_pairs)
{
	struct identity i = { 0 };

	for (size_t k = 0; k < STEPS && rows[_i].steps[k] != NULL; k++)
		happen(&i, rows[_i].steps[k]);
	must_use(&i, IDENTITY_CERT, rows[_i].cert);
	must_use(&i, IDENTITY_KEY, rows[_i].key);
	identity_clear(&i);
	must_use(&i, IDENTITY_CERT, "");
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("identity");
	TCase *t = tcase_create("identity");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_loop_test(t, uses_pairs, 0, COUNT(rows));
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
