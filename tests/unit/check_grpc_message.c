/* What of gRPC is pure: status, messages, a body in pieces, an answer. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "grpc/body.h"
#include "grpc/message.h"
#include "grpc/response.h"
#include "grpc/status.h"

#define COUNT(a) (sizeof(a) / sizeof(*(a)))
#define MS_MAX   (99999999ULL * 3600000)

/* ---- status -------------------------------------------------------------- */

static const struct {
	const char *text;
	bool ok;
	uint64_t ms;
} timeouts[] = {
	{ "0m", true, 0 },
	{ "1n", true, 1 },
	{ "0n", true, 0 },
	{ "1000000n", true, 1 },
	{ "1000001n", true, 2 },
	{ "99999999n", true, 100 },
	{ "1u", true, 1 },
	{ "1500u", true, 2 },
	{ "250m", true, 250 },
	{ "3S", true, 3000 },
	{ "2M", true, 120000 },
	{ "1H", true, 3600000 },
	{ "99999999H", true, MS_MAX },
	{ "100000000m", false, 0 },
	{ "", false, 0 },
	{ "m", false, 0 },
	{ "5", false, 0 },
	{ "5s", false, 0 },
	{ "-5m", false, 0 },
	{ "5 m", false, 0 },
	{ " 5m", false, 0 },
	{ "0x5m", false, 0 },
};

START_TEST(parses_timeouts)
{
	for (size_t i = 0; i < COUNT(timeouts); i++) {
		uint64_t ms = 77;
		bool ok = grpc_timeout_parse(timeouts[i].text,
		    strlen(timeouts[i].text), &ms);

		ck_assert_msg(ok == timeouts[i].ok, "%s", timeouts[i].text);
		if (ok)
			ck_assert_uint_eq(ms, timeouts[i].ms);
	}
}
END_TEST

static const struct {
	uint64_t ms;
	const char *text;
} formats[] = {
	{ 0, "0m" },
	{ 1, "1m" },
	{ 99999999, "99999999m" },
	{ 100000000, "100000S" },
	{ 100000001, "100001S" },
	{ 99999999000, "99999999S" },
	{ 99999999001, "1666667M" },
	{ MS_MAX, "99999999H" },
	{ UINT64_MAX, "99999999H" },
};

START_TEST(formats_timeouts)
{
	char buf[GRPC_TIMEOUT];

	for (size_t i = 0; i < COUNT(formats); i++) {
		grpc_timeout_format(formats[i].ms, buf);
		ck_assert_str_eq(buf, formats[i].text);
	}
}
END_TEST

START_TEST(names_and_parses_codes)
{
	ck_assert_str_eq(grpc_code_name(GRPC_OK), "OK");
	ck_assert_str_eq(grpc_code_name(16), "UNAUTHENTICATED");
	ck_assert_str_eq(grpc_code_name(17), "UNKNOWN");
	for (unsigned i = 0; i < GRPC_CODES; i++)
		ck_assert_ptr_nonnull(grpc_code_name(i));
	ck_assert_int_eq(grpc_code_parse("0", 1), GRPC_OK);
	ck_assert_int_eq(grpc_code_parse("16", 2), GRPC_UNAUTHENTICATED);
	ck_assert_int_eq(grpc_code_parse("17", 2), GRPC_UNKNOWN);
	ck_assert_int_eq(grpc_code_parse("", 0), GRPC_UNKNOWN);
	ck_assert_int_eq(grpc_code_parse("-1", 2), GRPC_UNKNOWN);
	ck_assert_int_eq(grpc_code_parse("005", 3), GRPC_UNKNOWN);
	ck_assert_int_eq(grpc_code_of_http(503), GRPC_UNAVAILABLE);
	ck_assert_int_eq(grpc_code_of_http(404), GRPC_UNIMPLEMENTED);
	ck_assert_int_eq(grpc_code_of_http(200), GRPC_UNKNOWN);
}
END_TEST

static const struct {
	const char *text;
	size_t cap;
	const char *wire;
	const char *back; /* NULL: text */
} texts[] = {
	{ "", 8, "", NULL },
	{ "not ready", 32, "not ready", NULL },
	{ "100%", 32, "100%25", NULL },
	{ "a\nb", 32, "a%0Ab", NULL },
	{ "w\xc3\xa4", 32, "w%C3%A4", NULL },
	{ "\x7f~", 32, "%7F~", NULL },
	{ "abcdef", 4, "abc", "abc" },
	{ "ab%", 5, "ab", "ab" }, /* never half an escape */
	{ "ab%", 6, "ab%25", "ab%" },
	{ "x", 1, "", "" },
};

START_TEST(encodes_messages)
{
	char wire[32], back[32];

	for (size_t i = 0; i < COUNT(texts); i++) {
		grpc_message_encode(texts[i].text, wire, texts[i].cap);
		ck_assert_str_eq(wire, texts[i].wire);
		grpc_message_decode(wire, strlen(wire), back, sizeof(back));
		ck_assert_str_eq(back,
		    texts[i].back != NULL ? texts[i].back : texts[i].text);
	}
}
END_TEST

static const struct {
	const char *wire;
	const char *text;
} odd_texts[] = {
	{ "100%", "100%" },
	{ "%2", "%2" },
	{ "%zz", "%zz" },
	{ "%c3%a4", "\xc3\xa4" },
	{ "%00", "%00" }, /* no NUL by a back door */
	{ "0123456789abcdef", "0123456" },
	{ "012345%41%42", "012345A" },
};

START_TEST(decodes_odd_messages)
{
	char text[8];

	for (size_t i = 0; i < COUNT(odd_texts); i++) {
		grpc_message_decode(odd_texts[i].wire,
		    strlen(odd_texts[i].wire), text, sizeof(text));
		ck_assert_str_eq(text, odd_texts[i].text);
	}
}
END_TEST

/* ---- messages ------------------------------------------------------------ */

#define BYTES(s) s, sizeof(s) - 1

static const struct {
	const char *bytes;
	size_t len;
	const char *why; /* NULL: it is good */
	const char *namespace, *pod, *container;
} requests[] = {
	{ BYTES(""), NULL, "", "", "" },
	{ BYTES("\x0a\x04shop\x12\x03web\x1a\x02sc"), NULL, "shop", "web",
	    "sc" },
	/* in any order, the last one counts */
	{ BYTES("\x12\x03old\x0a\x04shop\x12\x03web"), NULL, "shop", "web",
	    "" },
	/* unknown: a number, 8 bytes, 4 bytes, a string, a large number */
	{ BYTES("\x20\xff\x01\x29"
		"12345678\x35"
		"1234\x3a\x01x\xa2\x06\x00\x12\x01p"),
	    NULL, "", "p", "" },
	/* a known number of another type is unknown, too */
	{ BYTES("\x08\x05\x12\x01p"), NULL, "", "p", "" },
	{ BYTES("\x12\x05w\xc3\xa4hl"), NULL, "", "w\xc3\xa4hl", "" },
	{ BYTES("\x12\x04\xf0\x9f\x8c\x8d"), NULL, "", "\xf0\x9f\x8c\x8d", "" },
	{ BYTES("\x0a\x05shop"), "the message is not protobuf", 0, 0, 0 },
	{ BYTES("\x0a"), "the message is not protobuf", 0, 0, 0 },
	{ BYTES("\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01x"),
	    "the message is not protobuf", 0, 0, 0 },
	{ BYTES("\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01x"),
	    "the message is not protobuf", 0, 0, 0 },
	{ BYTES("\x02\x01x"), "the message is not protobuf", 0, 0, 0 },
	{ BYTES("\x0b\x0c"), "the message is not protobuf", 0, 0, 0 },
	{ BYTES("\x0e"), "the message is not protobuf", 0, 0, 0 },
	{ BYTES("\x29\x31\x32"), "the message is not protobuf", 0, 0, 0 },
	{ BYTES("\xfa\xff\xff\xff\xff\x01\x00"), "the message is not protobuf",
	    0, 0, 0 },
	{ BYTES("\x0a\x01\x00"), "Namespace is not text", 0, 0, 0 },
	{ BYTES("\x12\x02\xc3("), "PodName is not text", 0, 0, 0 },
	{ BYTES("\x1a\x01\xc3"), "ContainerName is not text", 0, 0, 0 },
	{ BYTES("\x12\x02\xc0\x80"), "PodName is not text", 0, 0, 0 },
	{ BYTES("\x12\x03\xed\xa0\x80"), "PodName is not text", 0, 0, 0 },
	{ BYTES("\x12\x03\xe0\x80\x80"), "PodName is not text", 0, 0, 0 },
	{ BYTES("\x12\x04\xf4\x90\x80\x80"), "PodName is not text", 0, 0, 0 },
	{ BYTES("\x12\x04\xf0\x9f\x8c("), "PodName is not text", 0, 0, 0 },
};

START_TEST(decodes_requests)
{
	for (size_t i = 0; i < COUNT(requests); i++) {
		/* Of its size, so that a sanitizer sees what is past it. */
		char *bytes = malloc(requests[i].len + 1);
		struct sidecar_request r;
		const char *why;

		memcpy(bytes + 1, requests[i].bytes, requests[i].len);
		why = sidecar_request_decode(bytes + 1, requests[i].len, &r);
		free(bytes);
		if (requests[i].why != NULL) {
			ck_assert_msg(why != NULL, "request %zu", i);
			ck_assert_str_eq(why, requests[i].why);
			continue;
		}
		ck_assert_msg(why == NULL, "request %zu: %s", i, why);
		ck_assert_str_eq(r.namespace, requests[i].namespace);
		ck_assert_str_eq(r.pod, requests[i].pod);
		ck_assert_str_eq(r.container, requests[i].container);
	}
}
END_TEST

START_TEST(bounds_names)
{
	struct sidecar_request r = { 0 }, back;
	char buf[sizeof(r) + 16];
	size_t len;

	memset(r.pod, 'p', LIMIT_K8S_NAME);
	memset(r.namespace, 'n', LIMIT_K8S_NAMESPACE);
	len = sidecar_request_encode(&r, buf, sizeof(buf));
	ck_assert_uint_gt(len, LIMIT_K8S_NAME + LIMIT_K8S_NAMESPACE);
	ck_assert_ptr_null(sidecar_request_decode(buf, len, &back));
	ck_assert_str_eq(back.pod, r.pod);
	ck_assert_str_eq(back.namespace, r.namespace);
	for (size_t cap = 0; cap < len; cap++)
		ck_assert_uint_eq(sidecar_request_encode(&r, buf, cap), 0);

	memcpy(buf, "\x0a\x40", 2);
	memset(buf + 2, 'n', 64);
	ck_assert_str_eq(sidecar_request_decode(buf, 66, &back),
	    "Namespace is too long");
}
END_TEST

START_TEST(speaks_health)
{
	char service[8], buf[2];

	ck_assert_ptr_null(health_request_decode("", 0, service, 8));
	ck_assert_str_eq(service, "");
	ck_assert_ptr_null(health_request_decode("\x0a\x01x", 3, service, 8));
	ck_assert_str_eq(service, "x");
	ck_assert_str_eq(health_request_decode("\x0a\x08"
					       "12345678",
			     10, service, 8),
	    "service is too long");
	ck_assert_uint_eq(health_answer_encode(GRPC_SERVING, buf, 2), 2);
	ck_assert(memcmp(buf, "\x08\x01", 2) == 0);
	ck_assert_uint_eq(health_answer_encode(GRPC_SERVING, buf, 1), 0);
}
END_TEST

/* ---- a message in pieces ------------------------------------------------- */

static const struct {
	const char *bytes;
	size_t len;
	enum grpc_code code;
	const char *message;
} bodies[] = {
	{ BYTES("\0\0\0\0\0"), GRPC_OK, "" },
	{ BYTES("\0\0\0\0\5hello"), GRPC_OK, "hello" },
	{ BYTES(""), GRPC_UNIMPLEMENTED, "" },
	{ BYTES("\0\0\0\0"), GRPC_INTERNAL, "" },
	{ BYTES("\0\0\0\0\5hell"), GRPC_INTERNAL, "" },
	{ BYTES("\0\0\0\0\5hello!"), GRPC_UNIMPLEMENTED, "" },
	{ BYTES("\0\0\0\0\0\0\0\0\0\0"), GRPC_UNIMPLEMENTED, "" },
	{ BYTES("\1\0\0\0\5hello"), GRPC_UNIMPLEMENTED, "" },
	{ BYTES("\2\0\0\0\5hello"), GRPC_INTERNAL, "" },
	{ BYTES("\0\0\0\x10\1x"), GRPC_RESOURCE_EXHAUSTED, "" },
	{ BYTES("\0\xff\xff\xff\xff"), GRPC_RESOURCE_EXHAUSTED, "" },
};

static void
body_in_pieces(size_t i, size_t piece)
{
	enum grpc_code code = GRPC_OK;
	struct body b = { 0 };
	const char *why = NULL;
	size_t n;

	for (size_t at = 0; at < bodies[i].len && code == GRPC_OK; at += n) {
		n = bodies[i].len - at < piece ? bodies[i].len - at : piece;
		code = body_add(&b, bodies[i].bytes + at, n, &why);
	}
	if (code == GRPC_OK)
		code = body_end(&b, &why);
	ck_assert_msg(code == bodies[i].code, "body %zu by %zu: %s", i, piece,
	    grpc_code_name(code));
	ck_assert((why == NULL) == (code == GRPC_OK));
	if (code == GRPC_OK) {
		ck_assert_uint_eq(b.len, strlen(bodies[i].message));
		ck_assert(
		    b.len == 0 || memcmp(b.msg, bodies[i].message, b.len) == 0);
	}
	body_free(&b);
	ck_assert_ptr_null(b.msg);
}

START_TEST(puts_bodies_together)
{
	for (size_t i = 0; i < COUNT(bodies); i++)
		for (size_t piece = 1; piece < 12; piece++)
			body_in_pieces(i, piece);
}
END_TEST

/* ---- an answer ----------------------------------------------------------- */

static const struct {
	const char *http, *type, *status, *message;
	const char *data;
	size_t len;
	uint32_t error;
	enum grpc_code code;
	const char *text;
} answers[] = {
	{ "200", "application/grpc", "0", NULL, BYTES("\0\0\0\0\1x"), 0,
	    GRPC_OK, "" },
	{ "200", "application/grpc+proto", "0", "ignored", BYTES("\0\0\0\0\0"),
	    8, GRPC_OK, "" },
	{ "200", "application/grpc", "5", "no%20pod", BYTES(""), 0,
	    GRPC_NOT_FOUND, "no pod" },
	{ "200", "application/grpc", "99", "", BYTES(""), 0, GRPC_UNKNOWN, "" },
	{ "200", "application/grpc", "0", NULL, BYTES(""), 0, GRPC_INTERNAL,
	    "no message, where a unary call has one" },
	{ "200", "application/grpc", "0", NULL, BYTES("\0\0\0\0\2x"), 0,
	    GRPC_INTERNAL, "the message is cut short" },
	{ "200", "application/grpc", NULL, NULL, BYTES("\0\0\1\0\0"), 8,
	    GRPC_RESOURCE_EXHAUSTED, "the message is too large" },
	{ "200", "application/grpc", NULL, NULL, BYTES("\0\0\0\0\1x"), 0,
	    GRPC_INTERNAL, "the stream ended without a status" },
	{ "200", "application/grpc", NULL, NULL, BYTES(""), 8, GRPC_CANCELLED,
	    "the server cancelled the call" },
	{ NULL, NULL, NULL, NULL, BYTES(""), 7, GRPC_UNAVAILABLE,
	    "the server takes no call now" },
	{ NULL, NULL, NULL, NULL, BYTES(""), 2, GRPC_INTERNAL,
	    "the stream ended with error 2" },
	{ "503", "text/html", NULL, NULL, BYTES("<html>"), 0, GRPC_UNAVAILABLE,
	    "HTTP status 503 in place of gRPC's" },
	{ "200", "text/html", NULL, NULL, BYTES("<html>"), 0, GRPC_UNKNOWN,
	    "the answer is not gRPC" },
	/* a proxy's error that knows gRPC */
	{ "503", "application/grpc", "14", "no upstream", BYTES(""), 0,
	    GRPC_UNAVAILABLE, "no upstream" },
};

static void
header(struct response *r, const char *name, const char *value)
{
	if (value != NULL)
		response_header(r, name, strlen(name), value, strlen(value));
}

START_TEST(reads_answers)
{
	for (size_t i = 0; i < COUNT(answers); i++) {
		struct response r = { 0 };

		header(&r, ":status", answers[i].http);
		header(&r, "content-type", answers[i].type);
		if (answers[i].len > 0)
			response_data(&r, answers[i].data, answers[i].len);
		header(&r, "grpc-status", answers[i].status);
		header(&r, "grpc-message", answers[i].message);
		ck_assert_msg(response_end(&r, answers[i].error) ==
			answers[i].code,
		    "answer %zu: %s", i, r.text);
		ck_assert_str_eq(r.text, answers[i].text);
		response_free(&r);
	}
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("grpc_message");
	TCase *t = tcase_create("grpc_message");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_test(t, parses_timeouts);
	tcase_add_test(t, formats_timeouts);
	tcase_add_test(t, names_and_parses_codes);
	tcase_add_test(t, encodes_messages);
	tcase_add_test(t, decodes_odd_messages);
	tcase_add_test(t, decodes_requests);
	tcase_add_test(t, bounds_names);
	tcase_add_test(t, speaks_health);
	tcase_add_test(t, puts_bodies_together);
	tcase_add_test(t, reads_answers);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
