#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "common/url.h"

#define COUNT(a) (sizeof(a) / sizeof(*(a)))
#define ALL      (1U << URL_HTTP | 1U << URL_HTTPS | 1U << URL_UNIX | 1U << URL_FILE)

#define LABEL63 \
	"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define PATH100 \
	"/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" \
	"/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

static const struct {
	const char *text;
	enum url_scheme scheme;
	const char *host;
	bool ip;
	uint16_t port;
	const char *path;
	const char *origin;
} good[] = {
	{ "http://localhost:10255/pods", URL_HTTP, "localhost", false, 10255,
	    "/pods", "http://localhost:10255" },
	{ "http://a", URL_HTTP, "a", false, 80, "/", "http://a:80" },
	{ "https://a", URL_HTTPS, "a", false, 443, "/", "https://a:443" },
	{ "HTTPS://A/b?c=d&e", URL_HTTPS, "A", false, 443, "/b?c=d&e",
	    "https://A:443" },
	{ "https://a?b", URL_HTTPS, "a", false, 443, "/?b", "https://a:443" },
	{ "127.0.0.1:8500", URL_HTTP, "127.0.0.1", true, 8500, "/",
	    "http://127.0.0.1:8500" },
	{ "consul", URL_HTTP, "consul", false, 80, "/", "http://consul:80" },
	{ "a/b?u=http://x", URL_HTTP, "a", false, 80, "/b?u=http://x",
	    "http://a:80" },
	{ "[::1]:8500/x", URL_HTTP, "::1", true, 8500, "/x",
	    "http://[::1]:8500" },
	{ "https://[2001:db8::10.0.0.1]", URL_HTTPS, "2001:db8::10.0.0.1", true,
	    443, "/", "https://[2001:db8::10.0.0.1]:443" },
	{ "http://a.b-c.d_e.:1", URL_HTTP, "a.b-c.d_e.", false, 1, "/",
	    "http://a.b-c.d_e.:1" },
	{ "http://1a.2b:65535", URL_HTTP, "1a.2b", false, 65535, "/",
	    "http://1a.2b:65535" },
	{ "http://" LABEL63 "." LABEL63, URL_HTTP, LABEL63 "." LABEL63, false,
	    80, "/", "http://" LABEL63 "." LABEL63 ":80" },
	{ "unix:///run/consul.sock", URL_UNIX, "", false, 0, "/run/consul.sock",
	    "unix:///run/consul.sock" },
	{ "unix://" PATH100 "/aaaaaa", URL_UNIX, "", false, 0,
	    PATH100 "/aaaaaa", "unix://" PATH100 "/aaaaaa" },
	{ "file:///etc/pods%20.json?", URL_FILE, "", false, 0,
	    "/etc/pods%20.json?", "file:///etc/pods%20.json?" },
	{ "file:///gr\xc3\xbc\xc3\x9f"
	  "e",
	    URL_FILE, "", false, 0,
	    "/gr\xc3\xbc\xc3\x9f"
	    "e",
	    "file:///gr\xc3\xbc\xc3\x9f"
	    "e" },
};

START_TEST(reads)
{
	char origin[URL_ORIGIN];
	struct url u;
	const char *why = url_parse(good[_i].text, ALL, URL_HTTP, 0, &u);

	ck_assert_msg(why == NULL, "%s: %s", good[_i].text, why);
	ck_assert_int_eq(u.scheme, good[_i].scheme);
	ck_assert_str_eq(u.host, good[_i].host);
	ck_assert_int_eq(u.host_is_ip, good[_i].ip);
	ck_assert_uint_eq(u.port, good[_i].port);
	ck_assert_str_eq(u.path, good[_i].path);
	url_origin(&u, origin);
	ck_assert_str_eq(origin, good[_i].origin);
}
END_TEST

static const struct {
	const char *text;
	const char *prefix;
} prefixes[] = {
	{ "http://a", "" },
	{ "http://a/", "" },
	{ "http://a//", "" },
	{ "http://a/x", "/x" },
	{ "http://a/x/", "/x" },
	{ "http://a/x/y//", "/x/y" },
	{ "unix:///run/consul.sock", "" },
};

START_TEST(prefix)
{
	char buf[LIMIT_OPTION];
	struct url u;

	ck_assert_ptr_null(url_parse(prefixes[_i].text, ALL, URL_HTTP, 0, &u));
	url_prefix(&u, buf);
	ck_assert_str_eq(buf, prefixes[_i].prefix);
}
END_TEST

static const char *const bad[] = {
	"",
	"http://",
	"http:///x",
	"http://:80",
	"http://?x",
	"://a",
	"ftp://a",
	"httpx://a",
	"http:/a",
	"mailto:a@b",
	"javascript:alert(1)",
	"http://a b",
	" http://a",
	"http://a\t",
	"http://a\r\nHost: b",
	"http://a\x01",
	"http://a\x7f",
	"http://a#b",
	"file:///a#b",
	"http://user@a",
	"http://user:secret@a:80",
	"http://a:80@b",
	"http://a:",
	"http://a:0",
	"http://a:65536",
	"http://a:000080",
	"http://a:-1",
	"http://a:+1",
	"http://a:8o",
	"http://a:80:80",
	"http://::1",
	"http://::1:80",
	"http://[::1",
	"http://[::1]80",
	"http://[::1]x",
	"http://[]",
	"http://[1.2.3.4]",
	"http://[fe80::1%eth0]",
	"http://[fe80::1%25eth0]",
	"http://1.2.3",
	"http://1.2.3.4.5",
	"http://256.1.1.1",
	"http://127.1",
	"http://2130706433",
	"http://0x7f000001",
	"http://a.0x1",
	"http://01.02.03.0400",
	"http://a..b",
	"http://.a",
	"http://.",
	"http://-a",
	"http://a.-b",
	"http://a\\b",
	"http://a%2eb",
	"http://a,b",
	"http://a|b",
	"http://gr\xc3\xbc\xc3\x9f"
	"e",
	"http://a/\xff",
	"http://" LABEL63 "a",
	"http://" LABEL63 "." LABEL63 "." LABEL63 "." LABEL63,
	"file://x/y",
	"file:x",
	"unix://run/x",
	"unix://",
	"unix://" PATH100 "/aaaaaaa",
};

START_TEST(refuses)
{
	struct url u;

	ck_assert_msg(url_parse(bad[_i], ALL, URL_HTTP, 0, &u) != NULL,
	    "\"%s\"", bad[_i]);
}
END_TEST

START_TEST(takes_only_what_is_allowed)
{
	struct url u;

	ck_assert_ptr_nonnull(
	    url_parse("unix:///x", 1U << URL_HTTP, URL_HTTP, 0, &u));
	ck_assert_ptr_nonnull(
	    url_parse("https://a", 1U << URL_HTTP, URL_HTTP, 0, &u));
	ck_assert_ptr_nonnull(url_parse("a", 1U << URL_HTTP, URL_HTTPS, 0, &u));
	ck_assert_ptr_null(
	    url_parse("a", 1U << URL_HTTPS, URL_HTTPS, 8501, &u));
	ck_assert_uint_eq(u.port, 8501);
	ck_assert_ptr_null(url_parse("/x", 1U << URL_FILE, URL_FILE, 0, &u));
}
END_TEST

START_TEST(has_a_bound)
{
	char text[LIMIT_OPTION + 8];
	struct url u;

	memset(text, 'a', sizeof(text));
	memcpy(text, "file:///", 8);
	text[LIMIT_OPTION - 1] = '\0';
	ck_assert_ptr_null(url_parse(text, ALL, URL_HTTP, 0, &u));
	text[LIMIT_OPTION - 1] = 'a';
	text[LIMIT_OPTION] = '\0';
	ck_assert_ptr_nonnull(url_parse(text, ALL, URL_HTTP, 0, &u));
}
END_TEST

static const struct {
	const char *text;
	const char *host; /* NULL: refused */
	uint16_t port;
} listens[] = {
	{ ":8080", "", 8080 },
	{ ":0", "", 0 },
	{ "0.0.0.0:80", "0.0.0.0", 80 },
	{ "1.2.3.4:8080", "1.2.3.4", 8080 },
	{ "[::1]:8080", "::1", 8080 },
	{ "[::]:0", "::", 0 },
	{ "", NULL, 0 },
	{ ":", NULL, 0 },
	{ "8080", NULL, 0 },
	{ "1.2.3.4", NULL, 0 },
	{ "1.2.3.4:", NULL, 0 },
	{ "1.2.3.4:65536", NULL, 0 },
	{ "1.2.3:80", NULL, 0 },
	{ "localhost:80", NULL, 0 },
	{ "::1:80", NULL, 0 },
	{ "[::1]", NULL, 0 },
	{ "[::1]80", NULL, 0 },
	{ "[]:80", NULL, 0 },
	{ "[1.2.3.4]:80", NULL, 0 },
	{ " :80", NULL, 0 },
	{ ":80 ", NULL, 0 },
	{ ":-1", NULL, 0 },
	{ "http://:80", NULL, 0 },
	{ LABEL63 LABEL63 ":80", NULL, 0 },
};

START_TEST(reads_listen_addresses)
{
	uint16_t port = 7;
	char host[64];
	bool ok = url_parse_listen(listens[_i].text, host, sizeof(host), &port);

	ck_assert_msg(ok == (listens[_i].host != NULL), "\"%s\"",
	    listens[_i].text);
	if (!ok)
		return;
	ck_assert_str_eq(host, listens[_i].host);
	ck_assert_uint_eq(port, listens[_i].port);
}
END_TEST

START_TEST(listen_host_must_fit)
{
	uint16_t port;
	char host[4];

	ck_assert(url_parse_listen("[::1]:1", host, 4, &port));
	ck_assert(!url_parse_listen("[::12]:1", host, 4, &port));
}
END_TEST

START_TEST(escapes)
{
	char buf[32];

	ck_assert(url_escape("aZ09-._~", buf, sizeof(buf)));
	ck_assert_str_eq(buf, "aZ09-._~");
	ck_assert(url_escape("a/b ?&=%\xc3\xbc", buf, sizeof(buf)));
	ck_assert_str_eq(buf, "a%2Fb%20%3F%26%3D%25%C3%BC");
	ck_assert(url_escape("", buf, 1));
	ck_assert_str_eq(buf, "");
}
END_TEST

START_TEST(escaped_text_must_fit)
{
	char buf[8];

	ck_assert(!url_escape("", buf, 0));
	ck_assert(!url_escape("a", buf, 1));
	ck_assert(url_escape("a", buf, 2));
	ck_assert(!url_escape("/", buf, 3));
	ck_assert(url_escape("/", buf, 4));
	ck_assert(!url_escape("/ab", buf, 5));
	ck_assert(url_escape("/ab", buf, 6));
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("url");
	TCase *t = tcase_create("url");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_loop_test(t, reads, 0, COUNT(good));
	tcase_add_loop_test(t, prefix, 0, COUNT(prefixes));
	tcase_add_loop_test(t, refuses, 0, COUNT(bad));
	tcase_add_test(t, takes_only_what_is_allowed);
	tcase_add_test(t, has_a_bound);
	tcase_add_loop_test(t, reads_listen_addresses, 0, COUNT(listens));
	tcase_add_test(t, listen_host_must_fit);
	tcase_add_test(t, escapes);
	tcase_add_test(t, escaped_text_must_fit);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
