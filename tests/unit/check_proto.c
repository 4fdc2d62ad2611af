#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/proto.h"

#define COUNT(a) (sizeof(a) / sizeof(*(a)))
#define RAW(s)   (s), sizeof(s) - 1

#define SUP      ROLE_SUPERVISOR
#define KR       ROLE_KUBELET_READER
#define CW       ROLE_CONSUL_WRITER
#define CR       ROLE_CONSUL_READER
#define KW       ROLE_K8S_WRITER
#define WEB      ROLE_HTTP
#define KC       ROLE_KUBECONFIG

static uint8_t packet[LIMIT_PACKET + 1];

static size_t
make(enum msg_type type, const void *body, size_t len)
{
	ck_assert_uint_le(PROTO_HEADER + len, sizeof(packet));
	proto_header(packet, type, 7, (uint32_t)len);
	memcpy(packet + PROTO_HEADER, body, len);
	return PROTO_HEADER + len;
}

#define KEY "\0\x0f\0\1k"
#define VAL "\0\x10\0\1v"
#define EPOCH \
	"\0\x0d\0\x08" \
	"12345678"
#define ID(n)  "\0\1\0\1" n
#define TXT(s) "\0\3\0\3" s
/* KUBECONFIG with nothing in it but these two. */
#define KUBECONFIG(insecure, bits) \
	"\0\3\0\0\0\x14\0\0\0\x15\0\0" \
	"\0\x16\0\1" insecure "\0\x17\0\1" bits \
	"\0\x18\0\0\0\x19\0\0\0\x1a\0\0\0\x1b\0\0"

/* CALL with an OP and a LOCAL, and ANSWER with a CODE. */
#define CALL_ID \
	"\0\x1c\0\x08" \
	"12345678"
#define CALL(op, local) \
	CALL_ID "\0\x1d\0\1" op "\0\x1e\0\1n\0\x1f\0\1p\0\x20\0\1c" \
		"\0\x21\0\3::1\0\x22\0\1" local
#define ANSWER(code) CALL_ID "\0\x23\0\1" code "\0\3\0\0"

static const struct {
	const char *what;
	enum msg_type type;
	enum role from, to;
	const char *body;
	size_t len;
	bool fd;
	bool good;
} messages[] = {
	{ "put", MSG_PUT, KR, CW, RAW(KEY VAL), false, true },
	{ "put to http", MSG_PUT, CW, WEB, RAW(KEY VAL), false, true },
	{ "put backwards", MSG_PUT, CW, KR, RAW(KEY VAL), false, false },
	{ "put from http", MSG_PUT, WEB, CW, RAW(KEY VAL), false, false },
	{ "put to the supervisor", MSG_PUT, KR, SUP, RAW(KEY VAL), false,
	    false },
	{ "put where no link is", MSG_PUT, KR, KW, RAW(KEY VAL), false, false },
	{ "put to itself", MSG_PUT, CW, CW, RAW(KEY VAL), false, false },
	{ "put with a descriptor", MSG_PUT, KR, CW, RAW(KEY VAL), true, false },
	{ "put without a value", MSG_PUT, KR, CW, RAW(KEY), false, false },
	{ "put of an empty key", MSG_PUT, KR, CW, RAW("\0\x0f\0\0" VAL), false,
	    false },
	{ "put of an empty value", MSG_PUT, KR, CW, RAW(KEY "\0\x10\0\0"),
	    false, true },
	{ "put with more", MSG_PUT, KR, CW, RAW(KEY VAL ID("1")), false,
	    false },
	{ "del", MSG_DEL, CR, KW, RAW(KEY), false, true },
	{ "begin", MSG_SNAP_BEGIN, CW, KW, RAW(EPOCH), false, true },
	{ "begin without epoch", MSG_SNAP_BEGIN, CW, KW, RAW(""), false,
	    false },
	{ "end", MSG_SNAP_END, CW, KW, RAW(EPOCH "\0\x0e\0\4\0\0\0\1"), false,
	    true },
	{ "resync", MSG_RESYNC, CW, KR, RAW(""), false, true },
	{ "resync with a body", MSG_RESYNC, CW, KR, RAW(KEY), false, false },
	{ "fresh", MSG_FRESH, KR, CW,
	    RAW("\0\x11\0\x08"
		"12345678"
		"\0\x12\0\1\1"),
	    false, true },
	{ "fresh of confirmed 2", MSG_FRESH, KR, CW,
	    RAW("\0\x11\0\x08"
		"12345678"
		"\0\x12\0\1\2"),
	    false, false },
	{ "config", MSG_CONFIG, SUP, KR, RAW("anything"), false, true },
	{ "config from a worker", MSG_CONFIG, KR, CW, RAW(""), false, false },
	{ "blob", MSG_BLOB, SUP, KR, RAW(ID("\1")), true, true },
	{ "blob without a descriptor", MSG_BLOB, SUP, KR, RAW(ID("\1")), false,
	    false },
	{ "another's blob", MSG_BLOB, SUP, CW, RAW(ID("\1")), true, false },
	{ "no blob", MSG_BLOB, SUP, CW, RAW(ID("\xff")), true, false },
	{ "blob for http", MSG_BLOB, SUP, WEB, RAW(ID("\1")), true, false },
	{ "link", MSG_LINK, SUP, KR, RAW(ID("\2")), true, true },
	{ "link to no sibling", MSG_LINK, SUP, KR, RAW(ID("\3")), true, false },
	{ "link to nobody", MSG_LINK, SUP, KR, RAW(ID("\xff")), true, false },
	{ "listen", MSG_LISTEN, SUP, WEB, RAW(ID("\2")), true, true },
	{ "listen on 0", MSG_LISTEN, SUP, WEB, RAW(ID("\0")), true, false },
	{ "listen for sidecars", MSG_LISTEN, SUP, WEB, RAW(ID("\3")), true,
	    true },
	{ "listen on 4", MSG_LISTEN, SUP, WEB, RAW(ID("\4")), true, false },
	{ "listen by a writer", MSG_LISTEN, SUP, CW, RAW(ID("\1")), true,
	    false },
	{ "call", MSG_CALL, WEB, CW, RAW(CALL("\1", "\1")), false, true },
	{ "call of no kind", MSG_CALL, WEB, CW, RAW(CALL("\2", "\0")), false,
	    false },
	{ "call, half local", MSG_CALL, WEB, CW, RAW(CALL("\0", "\2")), false,
	    false },
	{ "call backwards", MSG_CALL, CW, WEB, RAW(CALL("\0", "\0")), false,
	    false },
	{ "call of a reader", MSG_CALL, WEB, KR, RAW(CALL("\0", "\0")), false,
	    false },
	{ "end of a call", MSG_CALL_END, WEB, CW, RAW(CALL_ID), false, true },
	{ "answer", MSG_ANSWER, CW, WEB, RAW(ANSWER("\x10")), false, true },
	{ "answer of no code", MSG_ANSWER, CW, WEB, RAW(ANSWER("\x11")), false,
	    false },
	{ "answer of another", MSG_ANSWER, KW, WEB, RAW(ANSWER("\0")), false,
	    false },
	{ "remember", MSG_REMEMBER, WEB, CW, RAW(KEY VAL), false, true },
	{ "remember, to a reader", MSG_REMEMBER, WEB, KR, RAW(KEY VAL), false,
	    false },
	{ "remembered", MSG_REMEMBERED, WEB, CW, RAW(""), false, true },
	{ "connect", MSG_CONNECT, CW, SUP, RAW(""), false, true },
	{ "connect of http", MSG_CONNECT, WEB, SUP, RAW(""), false, false },
	{ "connected", MSG_CONNECTED, SUP, CW, RAW(""), true, true },
	{ "not connected", MSG_CONNECTED, SUP, CW, RAW(""), false, true },
	{ "ready", MSG_READY, WEB, SUP,
	    RAW("\0\4\0\4\0\0\0\1"
		"\0\5\0\0"),
	    false, true },
	{ "ready without layers", MSG_READY, WEB, SUP, RAW("\0\5\0\4abcd"),
	    false, false },
	{ "log", MSG_LOG, KW, SUP, RAW("\0\2\0\1\3" TXT("abc")), false, true },
	{ "log of level 4", MSG_LOG, KW, SUP, RAW("\0\2\0\1\4" TXT("abc")),
	    false, false },
	{ "log to a sibling", MSG_LOG, KR, CW, RAW("\0\2\0\1\3" TXT("abc")),
	    false, false },
	{ "log of a NUL", MSG_LOG, KR, SUP, RAW("\0\2\0\1\3" TXT("a\0c")),
	    false, false },
	{ "health", MSG_HEALTH, KR, SUP,
	    RAW("\0\6\0\1\2"
		"\0\7\0\1\1" TXT("abc")),
	    false, true },
	{ "health 3", MSG_HEALTH, KR, SUP,
	    RAW("\0\6\0\1\3"
		"\0\7\0\1\1" TXT("abc")),
	    false, false },
	{ "bad link", MSG_BAD_LINK, KR, SUP, RAW(ID("\2")), false, true },
	{ "bad link to no sibling", MSG_BAD_LINK, KR, SUP, RAW(ID("\3")), false,
	    false },
	{ "kubeconfig", MSG_KUBECONFIG, KC, SUP, RAW(KUBECONFIG("\1", "\xf")),
	    false, true },
	{ "kubeconfig of another", MSG_KUBECONFIG, KW, SUP,
	    RAW(KUBECONFIG("\0", "\0")), false, false },
	{ "kubeconfig to a sibling", MSG_KUBECONFIG, KC, KW,
	    RAW(KUBECONFIG("\0", "\0")), false, false },
	{ "kubeconfig, insecure 2", MSG_KUBECONFIG, KC, SUP,
	    RAW(KUBECONFIG("\2", "\0")), false, false },
	{ "kubeconfig, five inline", MSG_KUBECONFIG, KC, SUP,
	    RAW(KUBECONFIG("\0", "\x10")), false, false },
	{ "link of kubeconfig", MSG_LINK, SUP, KC, RAW(ID("\4")), true, false },
	{ "bad link of kubeconfig", MSG_BAD_LINK, KC, SUP, RAW(ID("\4")), false,
	    false },
	{ "blob of kubeconfig", MSG_BLOB, SUP, KC, RAW(ID("\xe")), true, true },
	{ "the cluster's token", MSG_BLOB, SUP, KW, RAW(ID("\xa")), true,
	    true },
	{ "another's kubeconfig", MSG_BLOB, SUP, KW, RAW(ID("\xe")), true,
	    false },
	{ "stats asked for", MSG_STATS_GET, WEB, KR, RAW(""), false, true },
	{ "stats", MSG_STATS, KR, WEB, RAW("anything"), false, true },
	{ "stats of http", MSG_STATS, WEB, KR, RAW(""), false, false },
	{ "type 0", 0, SUP, KR, RAW(""), false, false },
	{ "type after the last", MSG_MAX, SUP, KR, RAW(""), false, false },
	{ "type 255", (enum msg_type)255, SUP, KR, RAW(""), false, false },
};

START_TEST(allows_what_the_table_says)
{
	size_t len =
	    make(messages[_i].type, messages[_i].body, messages[_i].len);
	struct msg m;
	const char *why = proto_check(packet, len, messages[_i].fd,
	    messages[_i].from, messages[_i].to, &m);

	ck_assert_msg((why == NULL) == messages[_i].good, "%s: %s",
	    messages[_i].what, why != NULL ? why : "taken");
	if (why != NULL)
		return;
	ck_assert_uint_eq(m.type, messages[_i].type);
	ck_assert_uint_eq(m.generation, 7);
	ck_assert_ptr_eq(m.body, packet + PROTO_HEADER);
	ck_assert_uint_eq(m.len, messages[_i].len);
	ck_assert_int_eq(m.fd, -1);
}
END_TEST

/* One byte of a good PUT changed, or its length. */
static const struct {
	const char *what;
	size_t at;
	uint8_t byte;
	int longer;
} spoilt[] = {
	{ "version 0", 0, 0, 0 },
	{ "next version", 0, PROTO_VERSION + 1, 0 },
	{ "type", 1, MSG_DEL, 0 },
	{ "flags, high", 2, 1, 0 },
	{ "flags, low", 3, 1, 0 },
	{ "length, high", 4, 1, 0 },
	{ "length, low", 7, 0, 0 },
	{ "a byte less", 0, PROTO_VERSION, -1 },
	{ "a byte more", 0, PROTO_VERSION, 1 },
	{ "half a header", 0, PROTO_VERSION, -15 },
	{ "nothing", 0, PROTO_VERSION, -26 },
};

START_TEST(refuses_a_spoilt_header)
{
	size_t len = make(MSG_PUT, RAW(KEY VAL));
	struct msg m;

	ck_assert_uint_eq(len, 26);
	packet[len] = 0;
	ck_assert_ptr_null(proto_check(packet, len, false, KR, CW, &m));
	packet[spoilt[_i].at] = spoilt[_i].byte;
	len = (size_t)((int)len + spoilt[_i].longer);
	ck_assert_msg(proto_check(packet, len, false, KR, CW, &m) != NULL, "%s",
	    spoilt[_i].what);
}
END_TEST

/* The bytes that a type's fields take at least, or at most. */
static size_t
fields_len(const struct tlv_rule *f, size_t n, bool most)
{
	static const size_t fixed
	    [] = { [TLV_U8] = 1, [TLV_U16] = 2, [TLV_U32] = 4, [TLV_U64] = 8 };
	size_t len = 0;

	for (size_t i = 0; i < n; i++) {
		len += TLV_HEADER;
		if (f[i].type > TLV_STR)
			len += fixed[f[i].type];
		else
			len += most ? f[i].max : f[i].min;
	}
	return len;
}

START_TEST(table_agrees_with_itself)
{
	const struct msg_rule *r = msg_rule((unsigned)_i);

	ck_assert_msg(r != NULL && r->name != NULL, "type %d", _i);
	ck_assert_str_eq(msg_name((unsigned)_i), r->name);
	ck_assert_msg(r->from != 0 && r->to != 0, "%s", r->name);
	ck_assert_uint_le(r->max, PROTO_BODY_MAX);
	if (r->fields == NULL) {
		ck_assert_uint_eq(r->nfields, 0);
		ck_assert_msg(r->max == 0 || r->max == PROTO_BODY_MAX, "%s",
		    r->name);
		return;
	}
	ck_assert_msg(r->min == fields_len(r->fields, r->nfields, false), "%s",
	    r->name);
	ck_assert_msg(r->max == fields_len(r->fields, r->nfields, true), "%s",
	    r->name);
}
END_TEST

START_TEST(an_entry_of_any_size_fits)
{
	static uint8_t body[PROTO_BODY_MAX], bytes[LIMIT_SET_VALUE + 1];
	static const struct {
		size_t key, val;
		bool good;
	} sizes[] = {
		{ LIMIT_SET_KEY, LIMIT_SET_VALUE, true },
		{ LIMIT_SET_KEY + 1, 0, false },
		{ 1, LIMIT_SET_VALUE + 1, false },
	};

	for (size_t i = 0; i < COUNT(sizes); i++) {
		struct tlv_writer w;
		struct msg m;

		tlv_writer_init(&w, body, sizeof(body));
		tlv_put(&w, TAG_KEY, bytes, sizes[i].key);
		tlv_put(&w, TAG_VALUE, bytes, sizes[i].val);
		ck_assert(!w.overflow);
		ck_assert_msg((proto_check(packet, make(MSG_PUT, body, w.len),
				   false, KR, CW, &m) == NULL) == sizes[i].good,
		    "row %zu", i);
	}
}
END_TEST

START_TEST(finds_fields)
{
	struct msg m;
	struct tlv_field f;

	ck_assert_ptr_null(proto_check(packet, make(MSG_PUT, RAW(VAL KEY)),
	    false, KR, CW, &m));
	f = msg_field(&m, TAG_KEY);
	ck_assert_uint_eq(f.len, 1);
	ck_assert_mem_eq(f.val, "k", 1);
	f = msg_field(&m, TAG_EPOCH);
	ck_assert_ptr_null(f.val);
	ck_assert_uint_eq(f.tag, TAG_EPOCH);
}
END_TEST

START_TEST(links_go_both_ways)
{
	static const struct {
		enum role a, b;
	} pairs[] = { { KR, CW }, { KR, WEB }, { CW, WEB }, { CR, KW },
		{ CR, WEB }, { KW, WEB }, { CW, KW } };
	unsigned found = 0;

	for (size_t i = 0; i < COUNT(pairs); i++) {
		ck_assert(roles_linked(pairs[i].a, pairs[i].b));
		ck_assert(roles_linked(pairs[i].b, pairs[i].a));
	}
	for (unsigned a = 0; a <= ROLE_MAX; a++)
		for (unsigned b = 0; b <= ROLE_MAX; b++)
			found += roles_linked(a, b);
	ck_assert_uint_eq(found, 2 * COUNT(pairs));
}
END_TEST

START_TEST(blobs_have_names_and_owners)
{
	for (unsigned id = 1; id < BLOB_MAX; id++) {
		ck_assert_msg(blob_roles(id) != 0, "blob %u", id);
		ck_assert_str_ne(blob_name(id), "unknown");
		/* http holds no credential. */
		ck_assert_uint_eq(blob_roles(id) & ROLE_BIT(ROLE_HTTP), 0);
	}
	ck_assert_uint_eq(blob_roles(0), 0);
	ck_assert_uint_eq(blob_roles(BLOB_MAX), 0);
	ck_assert_str_eq(blob_name(BLOB_MAX), "unknown");
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("proto");
	TCase *t = tcase_create("proto");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_loop_test(t, allows_what_the_table_says, 0, COUNT(messages));
	tcase_add_loop_test(t, refuses_a_spoilt_header, 0, COUNT(spoilt));
	tcase_add_loop_test(t, table_agrees_with_itself, 1, MSG_MAX);
	tcase_add_test(t, an_entry_of_any_size_fits);
	tcase_add_test(t, finds_fields);
	tcase_add_test(t, links_go_both_ways);
	tcase_add_test(t, blobs_have_names_and_owners);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
