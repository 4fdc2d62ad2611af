/* catalog.h with trust.h: what is published, and what goes when. */
#include <bsd/string.h>
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/backend.h"
#include "workers/consul_reader/catalog.h"

#define COUNT(a) (sizeof(a) / sizeof(*(a)))
#define T0       1000000

static const char secret[CATALOG_SECRET] = "a test's secret is no secret";

/* Items as lines, sorted by their keys: what a set would hold. */
struct item {
	char key[LIMIT_SET_KEY];
	size_t key_len;
	char text[256];
};

static struct {
	struct item items[64];
	size_t n;
	char notices[2048];
	char forgotten[256];
	const char *addresses; /* of any host; NULL: no lookup */
	size_t room; /* for so many items; 0: for all */
	char held[256]; /* "HOST+" and "HOST-", as they came */
} world;

static struct trust trust;
static struct catalog *catalog;
static struct refusal refusal;

static struct item *
find_item(const void *key, size_t len)
{
	for (size_t i = 0; i < world.n; i++) {
		if (world.items[i].key_len == len &&
		    memcmp(world.items[i].key, key, len) == 0)
			return &world.items[i];
	}
	return NULL;
}

static void
tell_service(const struct backend_service *s, char *buf, size_t cap)
{
	snprintf(buf, cap, "%s #%llu%s%s%s%s%s%s", s->service,
	    (unsigned long long)s->create_index, *s->port_name ? " port=" : "",
	    s->port_name, *s->app_protocol ? " proto=" : "", s->app_protocol,
	    s->internal ? " internal" : "", s->external ? " external" : "");
}

static bool
on_put(const void *key, size_t key_len, const void *val, size_t val_len,
    void *arg)
{
	struct item *it = find_item(key, key_len);
	struct backend_instance *in;
	struct backend_service *s;

	(void)arg;
	if (it == NULL && world.room > 0 && world.n >= world.room)
		return false;
	if (it == NULL)
		it = &world.items[world.n++];
	ck_assert_uint_le(world.n, COUNT(world.items));
	memcpy(it->key, key, key_len);
	it->key_len = key_len;
	s = backend_service_decode(key, key_len, val, val_len);
	in = backend_instance_decode(key, key_len, val, val_len);
	ck_assert((s != NULL) != (in != NULL));
	if (s != NULL)
		tell_service(s, it->text, sizeof(it->text));
	else
		snprintf(it->text, sizeof(it->text), "%s/%s:%u%s", in->service,
		    in->address, in->port, in->ready ? "" : "!");
	free(s);
	free(in);
	return true;
}

static void
on_del(const void *key, size_t key_len, void *arg)
{
	struct item *it = find_item(key, key_len);

	(void)arg;
	if (it != NULL)
		*it = world.items[--world.n];
}

static void
on_notice(const char *line, void *arg)
{
	(void)arg;
	strlcat(world.notices, line, sizeof(world.notices));
	strlcat(world.notices, "\n", sizeof(world.notices));
}

static const char *
on_lookup(const char *host, void *arg)
{
	(void)host;
	(void)arg;
	return world.addresses;
}

static void
on_forgotten(const char *service, void *arg)
{
	(void)arg;
	strlcat(world.forgotten, service, sizeof(world.forgotten));
	strlcat(world.forgotten, ";", sizeof(world.forgotten));
}

/* How often each host is held. */
static struct {
	char name[32];
	int n;
} holds[8];

static int *
holds_of(const char *host)
{
	for (size_t i = 0; i < COUNT(holds); i++) {
		if (*holds[i].name == '\0')
			strlcpy(holds[i].name, host, sizeof(holds[i].name));
		if (strcmp(holds[i].name, host) == 0)
			return &holds[i].n;
	}
	ck_abort_msg("too many hosts");
}

static void
hold_by(const char *host, int by)
{
	int *n = holds_of(host);

	*n += by;
	ck_assert_int_ge(*n, 0);
	strlcat(world.held, host, sizeof(world.held));
	strlcat(world.held, by > 0 ? "+" : "-", sizeof(world.held));
}

static void
on_hold(const char *host, void *arg)
{
	(void)arg;
	hold_by(host, 1);
}

static void
on_release(const char *host, void *arg)
{
	(void)arg;
	hold_by(host, -1);
}

static const struct catalog_ops ops = { on_put, on_del, on_notice, on_lookup,
	on_hold, on_release, on_forgotten };

static void
set_up(void)
{
	struct catalog_conf conf = {
		.derive = { "k", "internal", "external", true, false },
		.ops = &ops,
		.trust = &trust,
		.secret = secret,
	};

	memset(&world, 0, sizeof(world));
	memset(holds, 0, sizeof(holds));
	trust_init(&trust, 500);
	catalog = catalog_new(&conf);
}

static void
tear_down(void)
{
	size_t n = world.n;

	catalog_free(catalog);
	ck_assert_uint_eq(world.n, n);
}

static int
by_text(const void *a, const void *b)
{
	return strcmp(((const struct item *)a)->text,
	    ((const struct item *)b)->text);
}

/* All items in a line. */
static const char *
published(void)
{
	static char buf[4096];

	qsort(world.items, world.n, sizeof(*world.items), by_text);
	buf[0] = '\0';
	for (size_t i = 0; i < world.n; i++) {
		strlcat(buf, world.items[i].text, sizeof(buf));
		strlcat(buf, "; ", sizeof(buf));
	}
	return buf;
}

#define assert_published(text) ck_assert_str_eq(published(), text)

/*
 * A body from words: "ID@NODE=ADDRESS", with "!" behind it for critical, "-"
 * for untagged, "~" for a loop; the port is 80, the CreateIndex the address's
 * last digit.
 */
static void
instance_text(const char *word, char *buf, size_t cap)
{
	char id[32], node[32], address[64];
	char mark = word[strlen(word) - 1];

	ck_assert_int_eq(sscanf(word, "%31[^@]@%31[^=]=%63[^-!~]", id, node,
			     address),
	    3);
	snprintf(buf, cap,
	    "{\"Node\":{\"Node\":\"%s\"},\"Service\":{\"ID\":\"%s\","
	    "\"Service\":\"web\",\"Tags\":[\"%s\"],\"Address\":\"%s\","
	    "\"Port\":80,\"CreateIndex\":%d,\"Meta\":{\"external-source\":"
	    "\"%s\"}},\"Checks\":[{\"Status\":\"%s\"}]}",
	    node, id, mark == '-' ? "x" : "k", address,
	    address[strlen(address) - 1] - '0', mark == '~' ? "kubernetes" : "",
	    mark == '!' ? "critical" : "passing");
}

static const char *
body_of(const char *words)
{
	static char buf[16384];
	char *copy = strdup(words), *rest = copy, *word, text[1024];

	strlcpy(buf, "[", sizeof(buf));
	while ((word = strsep(&rest, " ")) != NULL) {
		if (*word == '\0')
			continue;
		instance_text(word, text, sizeof(text));
		strlcat(buf, buf[1] == '\0' ? "" : ",", sizeof(buf));
		strlcat(buf, text, sizeof(buf));
	}
	strlcat(buf, "]", sizeof(buf));
	free(copy);
	return buf;
}

/* In pieces, as it may come. */
static enum catalog_result
read_of(const char *service, const char *body, bool partial, uint64_t now)
{
	struct catalog_read *rd = catalog_read_new(catalog, service);
	size_t len = strlen(body), piece = len / 3 + 1;
	enum catalog_result res;

	for (size_t at = 0; at < len; at += piece)
		catalog_read_feed(rd, body + at,
		    len - at < piece ? len - at : piece);
	res = catalog_read_end(rd, partial, now);
	refusal = *catalog_read_refusal(rd);
	ck_assert_int_eq(refused(&refusal), res == CATALOG_REFUSED);
	catalog_read_free(rd);
	return res;
}

static enum catalog_result
read_body(const char *body, bool partial, uint64_t now)
{
	return read_of("web", body, partial, now);
}

static enum catalog_result
read_words(const char *words, uint64_t now)
{
	return read_body(body_of(words), false, now);
}

/* ---- what an answer says ---- */

START_TEST(publishes_what_it_reads)
{
	ck_assert_int_eq(read_words("a@n=10.0.0.1", T0), CATALOG_UNKNOWN);
	catalog_named(catalog, "web");
	catalog_named(catalog, "web");
	assert_published("");
	ck_assert_int_eq(read_words("a@n=10.0.0.3 b@n=10.0.0.2!", T0),
	    CATALOG_CHANGED);
	assert_published("web #2; web/10.0.0.2:80!; web/10.0.0.3:80; ");
	ck_assert_int_eq(read_words("a@n=10.0.0.3 b@n=10.0.0.2!", T0),
	    CATALOG_SAME);
	ck_assert_int_eq(read_words("b@n=10.0.0.2 a@n=10.0.0.3", T0),
	    CATALOG_CHANGED);
	assert_published("web #2; web/10.0.0.2:80; web/10.0.0.3:80; ");
	/* The same instance elsewhere. */
	read_words("b@n=10.0.0.2 a@n=10.0.1.3", T0);
	assert_published("web #2; web/10.0.0.2:80; web/10.0.1.3:80; ");
	/* The same ID on two nodes. */
	read_words("b@n=10.0.0.2 a@n=10.0.1.3 a@m=10.0.1.4", T0);
	assert_published("web #2; web/10.0.0.2:80; web/10.0.1.3:80; "
			 "web/10.0.1.4:80; ");
}
END_TEST

START_TEST(a_service_grows_no_younger)
{
	catalog_named(catalog, "web");
	read_words("a@n=10.0.0.3 b@n=10.0.0.2 c@n=10.0.0.5", T0);
	assert_published("web #2; web/10.0.0.2:80; web/10.0.0.3:80; "
			 "web/10.0.0.5:80; ");
	read_words("a@n=10.0.0.3 c@n=10.0.0.5", T0);
	assert_published("web #2; web/10.0.0.3:80; web/10.0.0.5:80; ");
}
END_TEST

START_TEST(who_does_not_count_makes_no_service)
{
	catalog_named(catalog, "web");
	read_words("a@n=10.0.0.3- b@n=10.0.0.2~", T0);
	assert_published("");
	read_words("a@n=10.0.0.3- b@n=10.0.0.2~ c@n=10.0.0.4", T0);
	assert_published("web #4; web/10.0.0.4:80; ");
	/* It says so itself: no doubt about that. */
	read_words("a@n=10.0.0.3- b@n=10.0.0.2~ c@n=10.0.0.4-", T0);
	assert_published("");
	ck_assert_uint_eq(catalog_look_due(catalog), UINT64_MAX);
}
END_TEST

START_TEST(who_can_be_no_endpoint_keeps_the_service)
{
	catalog_named(catalog, "web");
	read_words("a@n=127.0.0.1", T0);
	assert_published("web #1; ");
	ck_assert_ptr_nonnull(strstr(world.notices,
	    "service web: instance a on n: address \"127.0.0.1\": "));
	/* Once, not each time that something else changes. */
	world.notices[0] = '\0';
	read_words("a@n=127.0.0.1!", T0);
	ck_assert_str_eq(world.notices, "");
	ck_assert_uint_eq(catalog_counts(catalog).bad, 1);
}
END_TEST

static const char *const hostile[] = {
	"",
	"{}",
	"[{}]",
	"[null]",
	"null",
	"[",
	"<html>",
};

START_TEST(nothing_of_a_bad_answer_counts)
{
	char torn[8192];

	catalog_named(catalog, "web");
	read_words("a@n=10.0.0.3 b@n=10.0.0.2", T0);
	for (size_t i = 0; i < COUNT(hostile); i++)
		ck_assert_int_eq(read_body(hostile[i], false, T0),
		    CATALOG_REFUSED);
	strlcpy(torn, body_of("a@n=10.0.0.7 c@n=10.0.0.8"), sizeof(torn));
	torn[strlen(torn) - 1] = '\0';
	ck_assert_int_eq(read_body(torn, false, T0), CATALOG_REFUSED);
	ck_assert_str_eq(refusal.why, "the body is cut off");
	ck_assert_int_eq(read_words("a@n=10.0.0.7 a@n=10.0.0.8", T0),
	    CATALOG_REFUSED);
	ck_assert_str_eq(refusal.why, "an instance stands there twice");
	/* Also where one of the two is known. */
	ck_assert_int_eq(read_words("a@n=10.0.0.3 a@n=10.0.0.8", T0),
	    CATALOG_REFUSED);
	ck_assert_int_eq(read_words("a@n=10.0.0.8 a@n=10.0.0.3", T0),
	    CATALOG_REFUSED);
	ck_assert_int_eq(read_words("a@n=10.0.0.3 a@n=10.0.0.3", T0),
	    CATALOG_REFUSED);
	assert_published("web #2; web/10.0.0.2:80; web/10.0.0.3:80; ");
	ck_assert_int_eq(read_words("a@n=10.0.0.3 b@n=10.0.0.2", T0),
	    CATALOG_SAME);
	ck_assert_int_eq(read_words("b@n=10.0.0.2 a@n=10.0.0.3", T0),
	    CATALOG_CHANGED);
	assert_published("web #2; web/10.0.0.2:80; web/10.0.0.3:80; ");
}
END_TEST

#define INSTANCE(id, service, address) \
	"{\"Node\":{\"Node\":\"n\"},\"Service\":{\"ID\":\"" id \
	"\",\"Service\":\"" service \
	"\",\"Tags\":[\"k\"],\"Address\":\"" address \
	"\",\"Port\":80,\"CreateIndex\":1}}"

START_TEST(instances_of_others_are_passed_over)
{
	catalog_named(catalog, "web");
	ck_assert_int_eq(read_body("[" INSTANCE("a", "WEB",
				       "10.0.0.1") "," INSTANCE("b", "web",
				       "10.0.0.2") "]",
			     false, T0),
	    CATALOG_CHANGED);
	assert_published("web #1; web/10.0.0.2:80; ");
	/* With these alone, it says nothing about ours. */
	read_body("[" INSTANCE("a", "WEB", "10.0.0.1") "]", false, T0);
	assert_published("web #1; web/10.0.0.2:80; ");
	ck_assert_uint_eq(catalog_look_due(catalog), UINT64_MAX);
}
END_TEST

START_TEST(a_name_with_a_nul_is_no_other_name)
{
	catalog_named(catalog, "web");
	ck_assert_int_eq(read_body("[" INSTANCE("a\\u0000", "web",
				       "10.0.0.1") "," INSTANCE("a", "web",
				       "10.0.0.2") "," INSTANCE("a\xef\xbf\xbd",
				       "web", "10.0.0.3") "]",
			     false, T0),
	    CATALOG_CHANGED);
	assert_published("web #1; web/10.0.0.2:80; web/10.0.0.3:80; ");
	ck_assert_uint_eq(catalog_counts(catalog).bad, 1);
}
END_TEST

/* ---- reads that take their time ---- */

static bool
has_none(const char *service, void *arg)
{
	(void)service;
	(void)arg;
	return false;
}

static void
forget_web(void)
{
	catalog_listed(catalog, has_none, NULL, T0);
	catalog_listed(catalog, has_none, NULL, T0 + TRUST_CONFIRM_MS);
}

START_TEST(a_service_that_went_meanwhile)
{
	struct catalog_read *rd;
	const char *body = body_of("a@n=10.0.0.1");

	catalog_named(catalog, "web");
	read_body(body, false, T0);
	rd = catalog_read_new(catalog, "web");
	ck_assert(catalog_read_feed(rd, body, strlen(body)));
	forget_web();
	ck_assert_int_eq(catalog_read_end(rd, false, T0), CATALOG_UNKNOWN);
	catalog_read_free(rd);
	/* And came back: nothing of it is as it was. */
	catalog_named(catalog, "web");
	read_body(body, false, T0);
	rd = catalog_read_new(catalog, "web");
	ck_assert(catalog_read_feed(rd, body, strlen(body)));
	forget_web();
	catalog_named(catalog, "web");
	ck_assert_int_eq(catalog_read_end(rd, false, T0), CATALOG_REFUSED);
	ck_assert_str_eq(catalog_read_refusal(rd)->why,
	    "the service went and came back meanwhile");
	catalog_read_free(rd);
	assert_published("");
}
END_TEST

/* One that is given up halfway is as if it never was. */
START_TEST(a_read_that_is_given_up)
{
	struct catalog_read *rd = catalog_read_new(catalog, "web");
	const char *body = body_of("a@n=10.0.0.1 b@n=10.0.0.2");

	catalog_named(catalog, "web");
	ck_assert(catalog_read_feed(rd, body, strlen(body)));
	catalog_read_free(rd);
	catalog_read_free(NULL);
	assert_published("");
	ck_assert_int_eq(read_body(body, false, T0), CATALOG_CHANGED);
	assert_published("web #1; web/10.0.0.1:80; web/10.0.0.2:80; ");
}
END_TEST

static void
feed_run(struct catalog_read *rd, size_t n)
{
	static char run[65536];

	memset(run, 'x', sizeof(run));
	for (; n > sizeof(run); n -= sizeof(run))
		ck_assert(catalog_read_feed(rd, run, sizeof(run)));
}

static enum catalog_result
read_with_large(const char *before, uint64_t now)
{
	struct catalog_read *rd = catalog_read_new(catalog, "web");
	enum catalog_result res;

	ck_assert(catalog_read_feed(rd, before, strlen(before)));
	for (int i = 0; i < 2; i++) {
		ck_assert(catalog_read_feed(rd, ",{\"x\":\"", 7));
		feed_run(rd, 2 * (size_t)LIMIT_CONSUL_ELEMENT);
		ck_assert(catalog_read_feed(rd, "\"}", 2));
	}
	ck_assert(catalog_read_feed(rd, "]", 1));
	res = catalog_read_end(rd, false, now);
	catalog_read_free(rd);
	return res;
}

/* It may be any of those that are missing. */
START_TEST(what_is_too_large_costs_itself)
{
	catalog_named(catalog, "web");
	read_words("a@n=10.0.0.1 b@n=10.0.0.2", T0);
	ck_assert_int_eq(read_with_large("[" INSTANCE("c", "web", "10.0.0.3"),
			     T0),
	    CATALOG_CHANGED);
	assert_published("web #1; web/10.0.0.1:80; web/10.0.0.2:80; "
			 "web/10.0.0.3:80; ");
	ck_assert_uint_eq(catalog_counts(catalog).bad, 2);
	ck_assert_uint_eq(catalog_counts(catalog).waiting, 0);
	ck_assert_ptr_nonnull(strstr(world.notices, "more than 4194304 bytes"));
	/* When it is gone, so are they. */
	read_words("a@n=10.0.0.1 b@n=10.0.0.2 c@n=10.0.0.3", T0);
	read_words("b@n=10.0.0.2 a@n=10.0.0.1 c@n=10.0.0.3",
	    T0 + TRUST_CONFIRM_MS);
	ck_assert_uint_eq(catalog_counts(catalog).bad, 0);
}
END_TEST

/* ---- what it lacks (safety rule 5) ---- */

static void
publish_ten(void)
{
	catalog_named(catalog, "web");
	read_words("a@n=10.0.0.0 b@n=10.0.0.1 c@n=10.0.0.2 d@n=10.0.0.3 "
		   "e@n=10.0.0.4 f@n=10.0.0.5 g@n=10.0.0.6 h@n=10.0.0.7 "
		   "i@n=10.0.0.8 j@n=10.0.0.9",
	    T0);
	ck_assert_uint_eq(world.n, 11);
}

START_TEST(few_go_at_once_and_many_wait)
{
	publish_ten();
	read_words("a@n=10.0.0.0 b@n=10.0.0.1 c@n=10.0.0.2 d@n=10.0.0.3 "
		   "e@n=10.0.0.4 f@n=10.0.0.5 g@n=10.0.0.6",
	    T0);
	ck_assert_uint_eq(world.n, 8);
	/* Two more are half of what there was, three are more than that. */
	read_words("a@n=10.0.0.0 b@n=10.0.0.1 c@n=10.0.0.2 d@n=10.0.0.3 "
		   "e@n=10.0.0.4",
	    T0 + 100);
	ck_assert_uint_eq(world.n, 6);
	read_words("a@n=10.0.0.0 b@n=10.0.0.1 c@n=10.0.0.2 d@n=10.0.0.3",
	    T0 + 200);
	ck_assert_uint_eq(world.n, 6);
	ck_assert_uint_eq(catalog_counts(catalog).waiting, 1);
	ck_assert_uint_eq(catalog_look_due(catalog),
	    T0 + 200 + TRUST_CONFIRM_MS);
	/* A second look that comes too early does not count. */
	read_words("d@n=10.0.0.3 a@n=10.0.0.0 b@n=10.0.0.1 c@n=10.0.0.2",
	    T0 + 300);
	ck_assert_uint_eq(world.n, 6);
	read_words("d@n=10.0.0.3 a@n=10.0.0.0 b@n=10.0.0.1 c@n=10.0.0.2",
	    T0 + 200 + TRUST_CONFIRM_MS);
	ck_assert_uint_eq(world.n, 5);
	ck_assert_uint_eq(catalog_look_due(catalog), UINT64_MAX);
	/* A minute later it is counted anew. */
	read_words("d@n=10.0.0.3 a@n=10.0.0.0", T0 + TRUST_WINDOW_MS);
	ck_assert_uint_eq(world.n, 3);
}
END_TEST

START_TEST(who_comes_back_never_was_away)
{
	publish_ten();
	read_words("a@n=10.0.0.0", T0);
	ck_assert_uint_eq(world.n, 11);
	ck_assert_uint_eq(catalog_counts(catalog).waiting, 9);
	/* With the bytes of before, or with others. */
	read_words("a@n=10.0.0.0 b@n=10.0.0.1 c@n=10.0.0.2! d@n=10.0.0.3 "
		   "e@n=10.0.0.4 f@n=10.0.0.5 g@n=10.0.0.6 h@n=10.0.0.7 "
		   "i@n=10.0.0.8 j@n=10.0.0.9",
	    T0 + 100);
	ck_assert_uint_eq(catalog_counts(catalog).waiting, 0);
	read_words("a@n=10.0.0.0", T0 + 2 * TRUST_CONFIRM_MS);
	ck_assert_uint_eq(world.n, 11);
}
END_TEST

START_TEST(silence_that_may_hide_something_says_nothing)
{
	publish_ten();
	ck_assert_int_eq(read_body(body_of("a@n=10.0.0.0"), true, T0),
	    CATALOG_CHANGED);
	ck_assert_uint_eq(world.n, 11);
	ck_assert_uint_eq(catalog_counts(catalog).waiting, 0);
	read_body(body_of("a@n=10.0.0.0!"), true, T0 + 10 * TRUST_WINDOW_MS);
	ck_assert_uint_eq(world.n, 11);
	/* Said by an answer that hides nothing, the same bytes do count. */
	ck_assert_int_eq(read_words("a@n=10.0.0.0!", T0), CATALOG_CHANGED);
	ck_assert_uint_eq(catalog_counts(catalog).waiting, 9);
}
END_TEST

START_TEST(an_empty_answer_says_nothing)
{
	publish_ten();
	ck_assert_int_eq(read_body("[]", false, T0), CATALOG_CHANGED);
	ck_assert_int_eq(read_body("[]", false, T0 + 10 * TRUST_WINDOW_MS),
	    CATALOG_CHANGED);
	ck_assert_uint_eq(world.n, 11);
	ck_assert_uint_eq(catalog_look_due(catalog), UINT64_MAX);
}
END_TEST

START_TEST(after_a_reset_all_wait_longer)
{
	publish_ten();
	read_words("a@n=10.0.0.0", T0); /* nine wait */
	trust_reset(&trust, T0 + 100);
	catalog_reset(catalog, T0 + 100);
	read_words("a@n=10.0.0.0!", T0 + 5000);
	ck_assert_uint_eq(world.n, 11);
	/* Not even a few go at once. */
	read_words("b@n=10.0.0.1 c@n=10.0.0.2 d@n=10.0.0.3 e@n=10.0.0.4 "
		   "f@n=10.0.0.5 g@n=10.0.0.6 h@n=10.0.0.7 i@n=10.0.0.8 "
		   "j@n=10.0.0.9",
	    T0 + 20000);
	ck_assert_uint_eq(world.n, 11);
	read_words("b@n=10.0.0.1 c@n=10.0.0.2 d@n=10.0.0.3 e@n=10.0.0.4 "
		   "f@n=10.0.0.5 g@n=10.0.0.6 h@n=10.0.0.7 i@n=10.0.0.8 "
		   "j@n=10.0.0.9",
	    T0 + 20000 + TRUST_SETTLE_MS);
	ck_assert_uint_eq(world.n, 10);
}
END_TEST

/* ---- lists ---- */

static bool
is_named(const char *service, void *arg)
{
	return strstr(arg, service) != NULL;
}

static void
listed(const char *names, uint64_t now)
{
	char buf[256];

	strlcpy(buf, names, sizeof(buf));
	catalog_listed(catalog, is_named, buf, now);
}

static void
name_all(const char *const *names, size_t n)
{
	for (size_t i = 0; i < n; i++)
		catalog_named(catalog, names[i]);
}

static const char *const four[] = { "web", "api", "db", "mq" };

START_TEST(services_go_by_the_same_rule)
{
	name_all(four, COUNT(four));
	read_words("a@n=10.0.0.1 b@n=10.0.0.2", T0);
	listed("web api", T0);
	ck_assert_str_eq(world.forgotten, "db;mq;");
	listed("api", T0);
	ck_assert_str_eq(world.forgotten, "db;mq;");
	ck_assert_uint_eq(catalog_look_due(catalog), T0 + TRUST_CONFIRM_MS);
	listed("web api", T0 + 100); /* it is back */
	listed("api", T0 + TRUST_CONFIRM_MS);
	ck_assert_str_eq(world.forgotten, "db;mq;");
	assert_published("web #1; web/10.0.0.1:80; web/10.0.0.2:80; ");
	listed("api", T0 + 2 * TRUST_CONFIRM_MS);
	ck_assert_str_eq(world.forgotten, "db;mq;web;");
	assert_published("");
}
END_TEST

START_TEST(an_empty_list_waits)
{
	name_all(four, COUNT(four));
	listed("", T0);
	ck_assert_str_eq(world.forgotten, "");
	trust_reset(&trust, T0 + 100);
	catalog_reset(catalog, T0 + 100);
	listed("", T0 + TRUST_CONFIRM_MS);
	ck_assert_str_eq(world.forgotten, "");
	listed("", T0 + 100 + TRUST_SETTLE_MS);
	ck_assert_str_eq(world.forgotten, "api;db;mq;web;");
}
END_TEST

/* ---- second looks ---- */

static char looks[256];

static void
on_look(const char *service, void *arg)
{
	(void)arg;
	strlcat(looks, service != NULL ? service : "list", sizeof(looks));
	strlcat(looks, ";", sizeof(looks));
}

static const char *
look(uint64_t now)
{
	looks[0] = '\0';
	catalog_look(catalog, now, on_look, NULL);
	return looks;
}

START_TEST(asks_for_second_looks)
{
	uint64_t due;
	int n = 0;

	publish_ten();
	ck_assert_str_eq(look(T0), "");
	read_words("a@n=10.0.0.0", T0);
	listed("", T0 + 500);
	ck_assert_str_eq(look(T0 + TRUST_CONFIRM_MS - 1), "");
	ck_assert_str_eq(look(T0 + TRUST_CONFIRM_MS), "web;");
	ck_assert_str_eq(look(T0 + TRUST_CONFIRM_MS), "");
	ck_assert_str_eq(look(T0 + TRUST_CONFIRM_MS + 500), "list;");
	/* As long as no answer comes, ever more seldom. */
	while ((due = catalog_look_due(catalog)) < T0 + 600000) {
		ck_assert_str_ne(look(due), "");
		n++;
	}
	ck_assert_int_ge(n, 10);
	ck_assert_int_le(n, 40);
}
END_TEST

/* ---- want of room ---- */

START_TEST(what_was_left_out_comes_when_there_is_room)
{
	world.room = 3;
	catalog_named(catalog, "web");
	read_words("a@n=10.0.0.1 b@n=10.0.0.2 c@n=10.0.0.3 d@n=10.0.0.4", T0);
	/* The first three took the room: also that of the service. */
	assert_published("web/10.0.0.1:80; web/10.0.0.2:80; web/10.0.0.3:80; ");
	ck_assert_uint_eq(catalog_counts(catalog).left_out, 2);
	ck_assert_uint_eq(catalog_counts(catalog).services, 0);
	ck_assert_uint_eq(catalog_counts(catalog).bad, 0);
	ck_assert_ptr_nonnull(strstr(world.notices, "1 are left out"));
	/* Those that are there have their place. */
	read_words("a@n=10.0.0.1 b@n=10.0.0.2! c@n=10.0.0.3 d@n=10.0.0.4", T0);
	assert_published(
	    "web/10.0.0.1:80; web/10.0.0.2:80!; web/10.0.0.3:80; ");
	read_words("a@n=10.0.0.1 c@n=10.0.0.3 d@n=10.0.0.4", T0);
	ck_assert_uint_eq(world.n, 3);
	ck_assert_uint_eq(catalog_counts(catalog).left_out, 1);
	world.room = 4;
	read_words("a@n=10.0.0.1 c@n=10.0.0.3", T0);
	assert_published("web #1; web/10.0.0.1:80; web/10.0.0.3:80; ");
	ck_assert_uint_eq(catalog_counts(catalog).left_out, 0);
	ck_assert_uint_eq(catalog_counts(catalog).services, 1);
	ck_assert_uint_eq(catalog_counts(catalog).instances, 2);
	ck_assert_ptr_nonnull(
	    strstr(world.notices, "no instance is left out any more"));
}
END_TEST

/* Another service has what one gave up, without a word about it. */
START_TEST(room_is_for_all)
{
	world.room = 3;
	catalog_named(catalog, "web");
	catalog_named(catalog, "api");
	read_words("a@n=10.0.0.1 b@n=10.0.0.2", T0);
	read_of("api", "[" INSTANCE("i", "api", "10.1.0.1") "]", false, T0);
	assert_published("web #1; web/10.0.0.1:80; web/10.0.0.2:80; ");
	ck_assert_uint_eq(catalog_counts(catalog).left_out, 2);
	world.room = 4;
	read_words("a@n=10.0.0.1", T0);
	assert_published("api #1; api/10.1.0.1:80; web #1; web/10.0.0.1:80; ");
	ck_assert_uint_eq(catalog_counts(catalog).left_out, 0);
}
END_TEST

static size_t puts_seen;

static bool
count_put(const void *key, size_t key_len, const void *val, size_t val_len,
    void *arg)
{
	(void)key;
	(void)key_len;
	(void)val;
	(void)val_len;
	(void)arg;
	puts_seen++;
	return true;
}

#define TOO_MANY (CATALOG_SERVICE_ITEMS + 5)

static char *
large_body(void)
{
	size_t cap = TOO_MANY * (size_t)256, len = 1;
	char *s = malloc(cap), text[256], word[64];

	ck_assert_ptr_nonnull(s);
	strlcpy(s, "[", cap);
	for (int i = 0; i < TOO_MANY; i++) {
		snprintf(word, sizeof(word), "i%d@n=10.1.%d.%d", i, i / 100,
		    100 + i % 100);
		instance_text(word, text, sizeof(text));
		len += (size_t)snprintf(s + len, cap - len, "%s%s",
		    i > 0 ? "," : "", text);
	}
	strlcat(s, "]", cap);
	return s;
}

START_TEST(one_service_does_not_take_it_all)
{
	struct catalog_ops counting = ops;
	struct catalog_conf conf = {
		.derive = { "k", "internal", "external", true, false },
		.ops = &counting,
		.trust = &trust,
		.secret = secret,
	};
	char *body = large_body();

	catalog_free(catalog);
	puts_seen = 0;
	counting.put = count_put;
	catalog = catalog_new(&conf);
	catalog_named(catalog, "web");
	ck_assert_int_eq(read_body(body, false, T0), CATALOG_CHANGED);
	ck_assert_uint_eq(puts_seen, CATALOG_SERVICE_ITEMS + 1);
	ck_assert_uint_eq(catalog_counts(catalog).left_out, 5);
	ck_assert_uint_eq(catalog_counts(catalog).ready, CATALOG_SERVICE_ITEMS);
	ck_assert_ptr_nonnull(strstr(world.notices, "5 are left out"));
	free(body);
}
END_TEST

/* ---- nodes and hosts ---- */

START_TEST(knows_what_is_on_a_node)
{
	catalog_named(catalog, "web");
	catalog_named(catalog, "api");
	read_words("a@n=10.0.0.1 b@m=10.0.0.2", T0);
	looks[0] = '\0';
	catalog_on_node(catalog, "m", on_look, NULL);
	catalog_on_node(catalog, "o", on_look, NULL);
	ck_assert_str_eq(looks, "web;");
}
END_TEST

static bool
is_host(const char *host, void *arg)
{
	return strcmp(host, arg) == 0;
}

static void
rehost(const char *host)
{
	char buf[64];

	strlcpy(buf, host, sizeof(buf));
	catalog_rehost(catalog, is_host, buf);
}

/* From the first instance that has it to the last, also if that changes. */
START_TEST(host_names_are_held)
{
	world.addresses = "10.0.0.5";
	catalog_named(catalog, "web");
	read_words("a@n=db.x1 b@n=db.x1 c@n=10.0.0.1", T0);
	ck_assert_str_eq(world.held, "db.x1+db.x1+");
	world.held[0] = '\0';
	read_words("a@n=db.x1! b@n=db.x1 c@n=10.0.0.1", T0);
	ck_assert_str_eq(world.held, "db.x1+db.x1-");
	world.held[0] = '\0';
	read_words("a@n=db.x2 c@n=10.0.0.1", T0);
	ck_assert_str_eq(world.held, "db.x2+db.x1-db.x1-");
	world.held[0] = '\0';
	/* One that does not count holds nothing. */
	ck_assert_int_eq(read_words("a@n=db.x3 a@n=db.x4", T0),
	    CATALOG_REFUSED);
	ck_assert_str_eq(world.held, "");
	forget_web();
	ck_assert_str_eq(world.held, "db.x2-");
}
END_TEST

START_TEST(host_names_are_left_out_or_followed)
{
	catalog_named(catalog, "web");
	read_words("a@n=db.x1", T0);
	assert_published("web #1; ");
	ck_assert_ptr_nonnull(strstr(world.notices,
	    "address \"db.x1\": a host name; left out (see "
	    "resolve-hostnames)"));
	tear_down();
	set_up();
	world.addresses = "";
	catalog_named(catalog, "web");
	read_words("a@n=db.x1", T0);
	assert_published("web #1; ");
	ck_assert_str_eq(world.notices, "");
	world.addresses = "[2001:db8::1],10.0.0.5,127.0.0.1,10.0.0.6";
	rehost("db.x2");
	assert_published("web #1; ");
	rehost("db.x1");
	assert_published("web #1; web/10.0.0.5:80; web/10.0.0.6:80; "
			 "web/2001:db8::1:80; ");
	read_words("a@n=db.x1!", T0);
	assert_published("web #1; web/10.0.0.5:80!; web/10.0.0.6:80!; "
			 "web/2001:db8::1:80!; ");
	world.addresses = "10.0.0.6";
	rehost("db.x1");
	assert_published("web #1; web/10.0.0.6:80!; ");
	read_words("a@n=10.0.0.7", T0);
	assert_published("web #1; web/10.0.0.7:80; ");
}
END_TEST

START_TEST(counts)
{
	struct catalog_counts n;

	catalog_named(catalog, "web");
	catalog_named(catalog, "api");
	read_words("a@n=10.0.0.1 b@n=10.0.0.2! c@n=127.0.0.1 d@n=10.0.0.3~ "
		   "e@n=10.0.0.4-",
	    T0);
	n = catalog_counts(catalog);
	ck_assert_uint_eq(n.services, 1);
	ck_assert_uint_eq(n.instances, 2);
	ck_assert_uint_eq(n.ready, 1);
	ck_assert_uint_eq(n.bad, 1);
	ck_assert_uint_eq(n.loops, 1);
	ck_assert_uint_eq(n.waiting, 0);
}
END_TEST

/* ---- trust alone ---- */

START_TEST(the_ratio_is_the_option)
{
	static const struct {
		unsigned ratio;
		size_t lost, have;
		uint64_t wait;
	} rows[] = {
		{ 500, 1, 2, 0 },
		{ 500, 2, 3, TRUST_CONFIRM_MS },
		{ 500, 1, 1, TRUST_CONFIRM_MS },
		{ 1000, 5, 5, 0 },
		{ 0, 1, 100, TRUST_CONFIRM_MS },
		{ 10, 1, 100, 0 },
		{ 10, 2, 100, TRUST_CONFIRM_MS },
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct trust t;

		trust_init(&t, rows[i].ratio);
		ck_assert_uint_eq(trust_lost(&t, TRUST_SERVICES, rows[i].lost,
				      rows[i].have, T0),
		    rows[i].wait);
		/* The others have a window of their own. */
		ck_assert_uint_eq(trust_lost(&t, TRUST_INSTANCES, rows[i].lost,
				      rows[i].have, T0),
		    rows[i].wait);
	}
}
END_TEST

START_TEST(what_waited_is_added_up_when_it_goes)
{
	struct trust t;

	trust_init(&t, 500);
	ck_assert_uint_eq(trust_lost(&t, TRUST_SERVICES, 4, 10, T0), 0);
	ck_assert_uint_gt(trust_lost(&t, TRUST_SERVICES, 2, 6, T0), 0);
	trust_took(&t, TRUST_SERVICES);
	trust_took(&t, TRUST_SERVICES);
	ck_assert_uint_gt(trust_lost(&t, TRUST_SERVICES, 1, 4, T0), 0);
}
END_TEST

static void
add_tests(TCase *t)
{
	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_add_test(t, publishes_what_it_reads);
	tcase_add_test(t, a_service_grows_no_younger);
	tcase_add_test(t, who_does_not_count_makes_no_service);
	tcase_add_test(t, who_can_be_no_endpoint_keeps_the_service);
	tcase_add_test(t, nothing_of_a_bad_answer_counts);
	tcase_add_test(t, instances_of_others_are_passed_over);
	tcase_add_test(t, a_name_with_a_nul_is_no_other_name);
	tcase_add_test(t, a_service_that_went_meanwhile);
	tcase_add_test(t, a_read_that_is_given_up);
	tcase_add_test(t, what_is_too_large_costs_itself);
	tcase_add_test(t, few_go_at_once_and_many_wait);
	tcase_add_test(t, who_comes_back_never_was_away);
	tcase_add_test(t, silence_that_may_hide_something_says_nothing);
	tcase_add_test(t, an_empty_answer_says_nothing);
	tcase_add_test(t, after_a_reset_all_wait_longer);
	tcase_add_test(t, services_go_by_the_same_rule);
	tcase_add_test(t, an_empty_list_waits);
	tcase_add_test(t, asks_for_second_looks);
	tcase_add_test(t, what_was_left_out_comes_when_there_is_room);
	tcase_add_test(t, room_is_for_all);
	tcase_add_test(t, one_service_does_not_take_it_all);
	tcase_add_test(t, knows_what_is_on_a_node);
	tcase_add_test(t, host_names_are_held);
	tcase_add_test(t, host_names_are_left_out_or_followed);
	tcase_add_test(t, counts);
	tcase_add_test(t, the_ratio_is_the_option);
	tcase_add_test(t, what_waited_is_added_up_when_it_goes);
}

int
main(void)
{
	Suite *s = suite_create("catalog");
	TCase *t = tcase_create("catalog");
	SRunner *r = srunner_create(s);
	int failed;

	add_tests(t);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
