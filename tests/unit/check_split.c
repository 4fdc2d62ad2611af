#include <bsd/string.h>
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/limits.h"
#include "common/log.h"
#include "tests/unit/pod_text.h"
#include "workers/kubelet_reader/split.h"

#define COUNT(a) (sizeof(a) / sizeof(*(a)))

static const char secret[SPLIT_SECRET] = "no secret, but long enough";

/* Takes down what the splitter finds. */
struct taker {
	struct split *split;
	struct refusal refusal;
	struct split_pod pods[1024]; /* bytes is void */
	size_t npods;
	size_t most_held;
	/* What an earlier read found: known to the splitter. */
	const struct taker *before;
	bool asked[1024];
	size_t skipped; /* known ones that were not scanned */
	size_t refuse_pod; /* the pod that is refused; 0: none */
};

static bool
take(const struct split_pod *pod, void *arg)
{
	struct taker *t = arg;

	ck_assert_uint_lt(t->npods, COUNT(t->pods));
	ck_assert_int_eq(pod->bytes[0], '{');
	ck_assert_int_eq(pod->bytes[pod->len - 1], '}');
	t->skipped += pod->known;
	t->pods[t->npods++] = *pod;
	if (t->npods != t->refuse_pod)
		return true;
	refusal_at(&t->refusal, "pod %zu", t->npods);
	return refuse(&t->refusal, "not wanted");
}

static bool
known(XXH128_hash_t prefix, size_t *len, XXH128_hash_t *hash, void *arg)
{
	struct taker *t = arg;

	for (size_t i = 0; t->before != NULL && i < t->before->npods; i++) {
		const struct split_pod *pod = &t->before->pods[i];

		if (t->asked[i] || !XXH128_isEqual(pod->prefix, prefix))
			continue;
		t->asked[i] = true;
		*len = pod->len;
		*hash = pod->hash;
		return true;
	}
	return false;
}

static const struct split_ops ops = { take, known };

static struct taker *
taker_new(const struct taker *before)
{
	struct taker *t = xcalloc(1, sizeof(*t));

	t->before = before;
	t->split = split_new(&ops, secret, &t->refusal, t);
	split_begin(t->split);
	return t;
}

static void
taker_free(struct taker *t)
{
	split_free(t->split);
	free(t);
}

static void
taker_again(struct taker *t)
{
	t->npods = t->skipped = 0;
	memset(t->asked, 0, sizeof(t->asked));
	split_begin(t->split);
}

static bool
feed(struct taker *t, const char *s, size_t len)
{
	bool ok = split_feed(t->split, s, len);

	if (split_held(t->split) > t->most_held)
		t->most_held = split_held(t->split);
	return ok;
}

/* In pieces of at most so many bytes. */
static bool
feed_pieces(struct taker *t, struct text text, size_t piece)
{
	for (size_t at = 0; at < text.len; at += piece) {
		size_t n = text.len - at < piece ? text.len - at : piece;

		if (!feed(t, text.s + at, n))
			return false;
	}
	return split_end(t->split);
}

static void
same_pods(const struct taker *a, const struct taker *b)
{
	ck_assert_uint_eq(a->npods, b->npods);
	for (size_t i = 0; i < a->npods; i++) {
		ck_assert(XXH128_isEqual(a->pods[i].hash, b->pods[i].hash));
		ck_assert_uint_eq(a->pods[i].len, b->pods[i].len);
	}
}

static struct text
compact_list(unsigned count)
{
	json_object *list = count > 0 ? many_pods(count) : real_list();
	struct text t = text_of_json(list, JSON_C_TO_STRING_PLAIN);

	json_object_put(list);
	return t;
}

START_TEST(finds_the_pods_of_the_real_list)
{
	struct text text = text_of_file("kubelet-pods-1.34.json");
	json_object *list = real_list(), *items = list_items(list);
	struct taker *t = taker_new(NULL);

	ck_assert(feed_pieces(t, text, text.len));
	ck_assert_uint_eq(t->npods, json_object_array_length(items));
	ck_assert_uint_eq(t->npods, 6);
	/* Whole in one piece: never copied. */
	ck_assert_uint_eq(t->most_held, 0);
	json_object_put(list);
	taker_free(t);
	text_free(&text);
}
END_TEST

/* Once as a whole, then in two pieces, cut at each byte. */
static void
cut_everywhere(const struct taker *before)
{
	struct text text = compact_list(0);
	struct taker *whole = taker_new(before), *t = taker_new(before);

	ck_assert(feed_pieces(whole, text, text.len));
	for (size_t at = 0; at <= text.len; at++) {
		taker_again(t);
		ck_assert(feed(t, text.s, at));
		ck_assert(feed(t, text.s + at, text.len - at));
		ck_assert_msg(split_end(t->split), "at %zu: %s", at,
		    t->refusal.why);
		same_pods(whole, t);
	}
	taker_free(t);
	taker_free(whole);
	text_free(&text);
}

START_TEST(cut_at_each_byte)
{
	cut_everywhere(NULL);
}
END_TEST

START_TEST(cut_at_each_byte_known_pods)
{
	struct text text = compact_list(0);
	struct taker *before = taker_new(NULL);

	ck_assert(feed_pieces(before, text, text.len));
	cut_everywhere(before);
	taker_free(before);
	text_free(&text);
}
END_TEST

static const size_t pieces[] = { 1, 2, 3, 7, 64, 255, 256, 257, 1000, 4096,
	16384, 1 << 20 };

START_TEST(pieces_of_any_size)
{
	struct text text = compact_list(60);
	struct taker *whole = taker_new(NULL), *t = taker_new(NULL);

	ck_assert(feed_pieces(whole, text, text.len));
	ck_assert_uint_eq(whole->npods, 60);
	ck_assert(feed_pieces(t, text, pieces[_i]));
	same_pods(whole, t);
	ck_assert_uint_lt(t->most_held, 20000);
	taker_free(t);
	taker_free(whole);
	text_free(&text);
}
END_TEST

START_TEST(known_pods_are_not_scanned)
{
	struct text text = compact_list(60);
	struct taker *before = taker_new(NULL), *t = taker_new(before);

	ck_assert(feed_pieces(before, text, text.len));
	ck_assert_uint_eq(before->skipped, 0);
	ck_assert(feed_pieces(t, text, text.len));
	ck_assert_uint_eq(t->skipped, 60);
	same_pods(before, t);
	ck_assert_uint_eq(t->most_held, 0);
	taker_again(t);
	ck_assert(feed_pieces(t, text, 16384));
	/* All but those whose first bytes are cut. */
	ck_assert_uint_ge(t->skipped, 50);
	same_pods(before, t);
	taker_free(t);
	taker_free(before);
	text_free(&text);
}
END_TEST

/* A pod of a prefix of its own, and so many bytes more. */
static void
add_pod(char *list, size_t cap, unsigned number, unsigned more)
{
	char pod[2048];

	snprintf(pod, sizeof(pod), "%s{\"%0*u\":\"%0*d\"}",
	    list[strlen(list) - 1] == '}' ? "," : "", SPLIT_PREFIX, number,
	    (int)more, 7);
	strlcat(list, pod, cap);
}

/*
 * What begins like a known pod is now shorter or longer, also at the end of
 * the list, where as much as is waited for never comes.
 */
START_TEST(known_pods_that_changed)
{
	static const unsigned before_more[] = { 900, 900, 10, 500, 900 };
	static const unsigned after_more[] = { 5, 900, 1500, 5, 1 };
	char a[16384] =
	    "{\"kind\":\"PodList\",\"apiVersion\":\"v1\",\"items\":[";
	char b[16384];
	struct taker *before = taker_new(NULL), *plain = taker_new(NULL),
		     *t = taker_new(before);
	struct text text = { .s = b };

	strlcpy(b, a, sizeof(b));
	for (unsigned i = 0; i < COUNT(before_more); i++) {
		add_pod(a, sizeof(a), i, before_more[i]);
		add_pod(b, sizeof(b), i, after_more[i]);
	}
	strlcat(a, "]}", sizeof(a));
	strlcat(b, "]}", sizeof(b));
	ck_assert(feed_pieces(before, (struct text){ a, strlen(a) }, 16384));
	text.len = strlen(b);
	ck_assert(feed_pieces(plain, text, text.len));
	ck_assert_uint_eq(plain->npods, COUNT(after_more));
	for (size_t piece = 1; piece <= text.len; piece++) {
		taker_again(t);
		ck_assert_msg(feed_pieces(t, text, piece), "pieces of %zu: %s",
		    piece, t->refusal.why);
		same_pods(plain, t);
	}
	ck_assert_uint_eq(t->skipped, 1);
	/* What is wrong behind them stands where it did. */
	ck_assert(!feed(plain, "x", 1));
	ck_assert(!feed(t, "x", 1));
	ck_assert_str_eq(plain->refusal.where, t->refusal.where);
	taker_free(t);
	taker_free(plain);
	taker_free(before);
}
END_TEST

#define HEAD "{\"kind\":\"PodList\",\"apiVersion\":\"v1\",\"items\":["
#define POD  "{\"a\":{\"b\":[1,\"]}\"]}}"

static const struct {
	const char *text;
	size_t pods;
} good[] = {
	{ HEAD "]}", 0 },
	{ " " HEAD " ] } \n", 0 },
	{ HEAD POD "]}", 1 },
	{ HEAD " " POD " , " POD "]}", 2 },
	{ "{\"items\":[" POD "],\"apiVersion\":\"v1\",\"kind\":\"PodList\"}",
	    1 },
	{ "{\"metadata\":{\"a\":[{}]},\"kind\":\"PodList\",\"x\":-1.5,"
	  "\"items\":[],\"apiVersion\":\"v1\"}",
	    0 },
	/* Files by hand may lack it. */
	{ "{\"kind\":\"PodList\",\"items\":[{}]}", 1 },
	/* A kubelet that has no pods. */
	{ "{\"kind\":\"PodList\",\"apiVersion\":\"v1\",\"items\":null}", 0 },
	{ "{\"items\": null ,\"kind\":\"PodList\"}", 0 },
	/* What nobody reads may have names that no parser takes. */
	{ HEAD "{\"a\":{\"\\u0000\":1,\"\\u0000\":2}}]}", 1 },
};

static const struct {
	const char *text;
	const char *why;
} bad[] = {
	{ "", "empty" },
	{ " \n", "empty" },
	{ "<html>hello</html>", "not a JSON object" },
	{ "null", "not a JSON object" },
	{ "42", "not a JSON object" },
	{ "[]", "not a JSON object" },
	{ "\"PodList\"", "not a JSON object" },
	{ "\xef\xbb\xbf{}", "not a JSON object" },
	{ "{}", "no kind" },
	{ "{\"kind\":\"PodList\"}", "no items" },
	{ "{\"items\":[]}", "no kind" },
	{ "{\"kind\":\"Status\",\"items\":[]}", "PodList" },
	{ "{\"kind\":\"NodeList\",\"items\":[]}", "PodList" },
	{ "{\"kind\":\"PodListX\",\"items\":[]}", "PodList" },
	{ "{\"kind\":\"\",\"items\":[]}", "PodList" },
	{ "{\"kind\":null,\"items\":[]}", "PodList" },
	{ "{\"kind\":{\"a\":1},\"items\":[]}", "PodList" },
	{ "{\"kind\":\"PodList\",\"apiVersion\":\"v2\",\"items\":[]}", "v1" },
	{ "{\"kind\":\"PodList\",\"apiVersion\":1,\"items\":[]}", "v1" },
	{ "{\"items\":[" POD "],\"kind\":\"Status\"}", "PodList" },
	{ "{\"kind\":\"PodList\",\"kind\":\"PodList\",\"items\":[]}",
	    "\"kind\" stands in the list twice" },
	{ HEAD "],\"items\":[]}", "\"items\" stands in the list twice" },
	{ "{\"x\":1,\"x\":2}", "\"x\" stands" },
	{ "{\"k\\u0069nd\":\"PodList\",\"items\":[]}", "escape" },
	{ "{\"kind\":\"PodList\",\"items\":nul}", "null" },
	{ "{\"kind\":\"PodList\",\"items\":false}", "not a list" },
	{ "{\"kind\":\"PodList\",\"items\":\"\"}", "not a list" },
	{ "{\"kind\":\"PodList\",\"items\":null,\"items\":[]}", "twice" },
	{ "{\"kind\":\"PodList\",\"items\":{}}", "not a list" },
	{ HEAD "1]}", "not an object" },
	{ HEAD "null]}", "not an object" },
	{ HEAD "[]]}", "not an object" },
	{ HEAD POD ",]}", "not an object" },
	{ HEAD "," POD "]}", "not an object" },
	{ HEAD POD POD "]}", "comma" },
	{ HEAD POD "}", "comma" },
	{ HEAD POD "]}{}", "behind" },
	{ HEAD POD "]}x", "behind" },
	{ HEAD POD "]", "cut off" },
	{ HEAD POD, "cut off" },
	{ HEAD "{\"a\":", "cut off" },
	{ HEAD "{\"a\":[1}]}", "bracket" },
	{ HEAD "{\"a\":\"\x01\"}]}", "control" },
	{ HEAD "{\"a\":\"\xff\"}]}", "UTF-8" },
	{ HEAD "{\"a\":tru}]}", "true" },
	{ "{\"metadata\":{\"a\":\"\xff\"}}", "UTF-8" },
	{ "{\"metadata\":}", "value" },
	{ "{\"metadata\"}", "colon" },
	{ "{\"metadata\":1 \"x\":2}", "comma" },
	{ "{\"metadata\":1,}", "name" },
	{ "{\"a\":1,\"b\":1,\"c\":1,\"d\":1,\"e\":1,\"f\":1,\"g\":1,\"h\":1,"
	  "\"i\":1,\"j\":1,\"k\":1,\"l\":1,\"m\":1,\"n\":1,\"o\":1,\"p\":1,"
	  "\"q\":1}",
	    "too many members" },
	{ "{\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	  "aa\":1}",
	    "long name" },
};

START_TEST(good_lists)
{
	struct taker *t = taker_new(NULL);
	size_t len = strlen(good[_i].text);

	for (size_t piece = 1; piece <= len; piece++) {
		taker_again(t);
		ck_assert_msg(feed_pieces(t,
				  (struct text){
				      (char *)(uintptr_t)good[_i].text, len },
				  piece),
		    "%s: %s", good[_i].text, t->refusal.why);
		ck_assert_uint_eq(t->npods, good[_i].pods);
	}
	taker_free(t);
}
END_TEST

START_TEST(bad_lists)
{
	struct taker *t = taker_new(NULL);
	char *text = xstrdup(bad[_i].text);

	for (size_t piece = 1; piece <= strlen(text) + 1; piece++) {
		taker_again(t);
		ck_assert(!feed_pieces(t, (struct text){ text, strlen(text) },
		    piece));
		ck_assert_msg(strstr(t->refusal.why, bad[_i].why) != NULL,
		    "%s: %s", text, t->refusal.why);
		ck_assert(strstr(t->refusal.where, "byte") != NULL);
		/* It stays refused. */
		ck_assert(!feed(t, "]}", 2));
		ck_assert(!split_end(t->split));
	}
	free(text);
	taker_free(t);
}
END_TEST

/* Go writes 10,000 levels at most, be they whose they may. */
START_TEST(depth_of_pods)
{
	static const struct {
		size_t depth;
		bool good;
	} depths[] = { { 1000, true }, { 10000, true }, { 20000, false } };
	struct taker *t = taker_new(NULL);

	for (size_t i = 0; i < COUNT(depths); i++) {
		size_t depth = depths[i].depth;
		char *text = xcalloc(2 * depth + 200, 1), *p = text;

		p = stpcpy(p, HEAD "{\"a\":");
		p = (char *)memset(p, '[', depth) + depth;
		p = (char *)memset(p, ']', depth) + depth;
		p = stpcpy(p, "}]}");
		taker_again(t);
		ck_assert_int_eq(feed_pieces(t,
				     (struct text){ text, (size_t)(p - text) },
				     4096),
		    depths[i].good);
		free(text);
	}
	ck_assert_str_eq(t->refusal.why, "nested too deeply");
	taker_free(t);
}
END_TEST

/* Whose fault it is, as far as that is known. */
static const struct {
	const char *text;
	const char *where;
} culprits[] = {
	{ HEAD "{\"metadata\":{\"name\":\"web-1\",\"namespace\":\"shop\"},x",
	    "pod shop/web-1, byte 93" },
	{ HEAD "{ \"metadata\" : { \"namespace\" : \"shop\" , "
	       "\"name\" : \"a.b-1\" }, \"x\":\"\xff",
	    "pod shop/a.b-1, byte 110" },
	/* Not that of the pod before, nor of one behind. */
	{ HEAD "{\"metadata\":{\"name\":\"a\",\"namespace\":\"b\"}},{\"a\":x,"
	       "\"name\":\"a\",\"namespace\":\"b\"}",
	    "byte 92" },
	{ HEAD "{\"metadata\":{\"name\":\"a\",\"namespace\":\"b\"}}x",
	    "byte 86" },
	{ HEAD "{\"name\":\"a b\",\"namespace\":\"b\",x", "byte 75" },
	{ HEAD "{\"name\":\"\",\"namespace\":\"b\",x", "byte 72" },
	{ HEAD "{\"name\":1,\"namespace\":\"b\",x", "byte 71" },
};

START_TEST(a_refusal_names_the_pod)
{
	struct taker *t = taker_new(NULL);
	size_t len = strlen(culprits[_i].text);

	for (size_t piece = 1; piece <= len; piece++) {
		taker_again(t);
		ck_assert(!feed_pieces(t,
		    (struct text){ (char *)(uintptr_t)culprits[_i].text, len },
		    piece));
		ck_assert_str_eq(t->refusal.where, culprits[_i].where);
	}
	taker_free(t);
}
END_TEST

START_TEST(raw_nul)
{
	static const char text[] = HEAD "{\"a\":\"x\0y\"}]}";
	struct taker *t = taker_new(NULL);

	ck_assert(!feed(t, text, sizeof(text) - 1));
	ck_assert_str_eq(t->refusal.why, "a raw control byte in a string");
	taker_free(t);
}
END_TEST

/* Feeds the same until it is refused; then says why. */
static const char *
endless(struct taker *t, const char *head, const char *again)
{
	size_t len = strlen(again);

	ck_assert(feed(t, head, strlen(head)));
	while (feed(t, again, len)) {
	}
	return t->refusal.why;
}

static const struct {
	const char *head;
	const char *again;
	const char *why;
} floods[] = {
	{ HEAD "{\"a\":\"",
	    "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
	    "a pod is too large" },
	{ HEAD "{\"a\":", "[[[[[[[[[[", "nested too deeply" },
	{ "{\"metadata\":", "[[[[[[[[[[", "nested too deeply" },
	{ "{\"", "aaaaaaaaaaaaaaaaaaaaaaaaa", "a long name in the list" },
	{ "{\"kind\":\"", "aaaaaaaaaaaaaaaa", "PodList" },
};

START_TEST(floods_end)
{
	struct taker *t = taker_new(NULL);

	ck_assert(strstr(endless(t, floods[_i].head, floods[_i].again),
		      floods[_i].why) != NULL);
	ck_assert_uint_le(t->most_held, LIMIT_POD);
	taker_free(t);
}
END_TEST

START_TEST(endless_space_ends)
{
	struct taker *t = taker_new(NULL);
	size_t len = 1 << 20;
	char *space = xmalloc(len + 1);

	memset(space, ' ', len);
	space[len] = '\0';
	ck_assert_str_eq(endless(t, HEAD, space), "the list is too large");
	ck_assert_uint_eq(t->most_held, 0);
	free(space);
	taker_free(t);
}
END_TEST

static bool
take_any(const struct split_pod *pod, void *arg)
{
	(void)pod;
	(*(size_t *)arg)++;
	return true;
}

START_TEST(too_many_pods)
{
	static const struct split_ops any = { .pod = take_any };
	struct refusal r;
	size_t n = 0;
	struct split *s = split_new(&any, secret, &r, &n);

	split_begin(s);
	ck_assert(split_feed(s, HEAD "{}", strlen(HEAD "{}")));
	while (split_feed(s, ",{}", 3)) {
	}
	ck_assert_str_eq(r.why, "too many pods");
	ck_assert_uint_eq(n, LIMIT_PODS);
	split_free(s);
}
END_TEST

START_TEST(the_taker_refuses)
{
	struct text text = compact_list(10);
	struct taker *t = taker_new(NULL);

	t->refuse_pod = 3;
	ck_assert(!feed_pieces(t, text, 1000));
	ck_assert_uint_eq(t->npods, 3);
	ck_assert_str_eq(t->refusal.why, "not wanted");
	ck_assert_str_eq(t->refusal.where, "pod 3");
	taker_free(t);
	text_free(&text);
}
END_TEST

START_TEST(every_cut_is_noticed)
{
	struct text text = compact_list(0);
	struct taker *t = taker_new(NULL);

	for (size_t len = 0; len < text.len; len++) {
		taker_again(t);
		ck_assert(feed(t, text.s, len));
		ck_assert(!split_end(t->split));
	}
	taker_free(t);
	text_free(&text);
}
END_TEST

static TCase *
cases(void)
{
	TCase *t = tcase_create("split");

	tcase_set_timeout(t, 300);
	tcase_add_test(t, finds_the_pods_of_the_real_list);
	tcase_add_test(t, cut_at_each_byte);
	tcase_add_test(t, cut_at_each_byte_known_pods);
	tcase_add_loop_test(t, pieces_of_any_size, 0, COUNT(pieces));
	tcase_add_test(t, known_pods_are_not_scanned);
	tcase_add_test(t, known_pods_that_changed);
	tcase_add_loop_test(t, good_lists, 0, COUNT(good));
	tcase_add_loop_test(t, bad_lists, 0, COUNT(bad));
	tcase_add_test(t, depth_of_pods);
	tcase_add_loop_test(t, a_refusal_names_the_pod, 0, COUNT(culprits));
	tcase_add_test(t, raw_nul);
	tcase_add_loop_test(t, floods_end, 0, COUNT(floods));
	tcase_add_test(t, endless_space_ends);
	tcase_add_test(t, too_many_pods);
	tcase_add_test(t, the_taker_refuses);
	tcase_add_test(t, every_cut_is_noticed);
	return t;
}

int
main(void)
{
	Suite *s = suite_create("split");
	SRunner *r = srunner_create(s);
	int failed;

	suite_add_tcase(s, cases());
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
