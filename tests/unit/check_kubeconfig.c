#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "workers/kubeconfig/kubeconfig.h"
#include "workers/kubeconfig/tree.h"

#define COUNT(a) (sizeof(a) / sizeof(*(a)))

/* "-----BEGIN X-----\n" in base64. */
#define PEM64 "LS0tLS1CRUdJTiBYLS0tLS0K"
#define PEM   "-----BEGIN X-----\n"

/* A file of one context, as text: what its cluster and its user have. */
#define FILE_OF(cluster, user) \
	"apiVersion: v1\nkind: Config\ncurrent-context: c\n" \
	"contexts:\n- name: c\n  context: {cluster: k, user: u}\n" \
	"clusters:\n- name: k\n  cluster: {" cluster "}\n" \
	"users:\n- name: u\n  user: {" user "}\n"
#define SERVER     "server: https://a:6443"
#define USER(user) FILE_OF(SERVER, user)
#define CLUSTER(c) FILE_OF(SERVER ", " c, "")

static struct kubeconfig k;
static char why[KUBECONFIG_WHY];

static bool
read_text(const char *text)
{
	*why = '\0';
	return kubeconfig_read(text, strlen(text), &k, why);
}

static void
tear_down(void)
{
	kubeconfig_free(&k);
}

/* ---- good files ---- */

struct credential {
	enum kubeconfig_kind kind;
	const char *bytes; /* NULL: nothing is looked at */
	bool data;
};

static const struct good {
	const char *text;
	const char *server;
	const char *tls_server_name;
	bool insecure;
	const char *user;
	struct credential credential;
} good[] = {
	{ USER(""), "https://a:6443", "", false, "u", { 0 } },
	{ USER("token: abc"), "https://a:6443", "", false, "u",
	    { KUBECONFIG_TOKEN, "abc", true } },
	/* Only text: YAML would make a number of it. */
	{ USER("token: 123"), "https://a:6443", "", false, "u",
	    { KUBECONFIG_TOKEN, "123", true } },
	{ USER("tokenFile: t/x"), "https://a:6443", "", false, "u",
	    { KUBECONFIG_TOKEN, "t/x", false } },
	/* Not null. */
	{ USER("token: \"null\""), "https://a:6443", "", false, "u",
	    { KUBECONFIG_TOKEN, "null", true } },
	/* As in kubectl: the file of a token goes before the token, data
	 * before all other files. */
	{ USER("token: abc, tokenFile: t"), "https://a:6443", "", false, "u",
	    { KUBECONFIG_TOKEN, "t", false } },
	{ USER("client-certificate: /c, client-certificate-data: " PEM64
	       ", client-key: /k"),
	    "https://a:6443", "", false, "u", { KUBECONFIG_CERT, PEM, true } },
	{ USER("client-certificate: /c, client-key: k"), "https://a:6443", "",
	    false, "u", { KUBECONFIG_KEY, "k", false } },
	{ CLUSTER("certificate-authority-data: " PEM64), "https://a:6443", "",
	    false, "u", { KUBECONFIG_CA, PEM, true } },
	{ CLUSTER("certificate-authority: ca.pem"), "https://a:6443", "", false,
	    "u", { KUBECONFIG_CA, "ca.pem", false } },
	/* Lines of base64, as people paste it. */
	{ CLUSTER("certificate-authority-data: \"LS0tLS1CRUdJ\\n"
		  "TiBYLS0tLS0K\\n\""),
	    "https://a:6443", "", false, "u", { KUBECONFIG_CA, PEM, true } },
	{ CLUSTER("tls-server-name: n, insecure-skip-tls-verify: true"),
	    "https://a:6443", "n", true, "u", { 0 } },
	{ CLUSTER("insecure-skip-tls-verify: yes"), "https://a:6443", "", true,
	    "u", { 0 } },
	{ CLUSTER("insecure-skip-tls-verify: false"), "https://a:6443", "",
	    false, "u", { 0 } },
	{ FILE_OF("server: \"http://[::1]:8080/prefix\"", ""),
	    "http://[::1]:8080/prefix", "", false, "u", { 0 } },
	/* Nothing, in the ways of saying so. */
	{ USER("token: ~, exec: null, username: \"\", as-groups: []"),
	    "https://a:6443", "", false, "u", { KUBECONFIG_TOKEN, "", true } },
	/* What is of no interest. */
	{ "extensions: [{a: {b: [1, 2]}}]\npreferences: {}\n" USER(""),
	    "https://a:6443", "", false, "u", { 0 } },
	/* JSON. */
	{ "{\"kind\":\"Config\",\"current-context\":\"c\",\"contexts\":"
	  "[{\"name\":\"c\",\"context\":{\"cluster\":\"k\"}}],\"clusters\":"
	  "[{\"name\":\"k\",\"cluster\":{\"server\":\"https://a\"}}]}",
	    "https://a", "", false, "", { 0 } },
	/* An anchor that nobody uses. */
	{ CLUSTER("tls-server-name: &x n"), "https://a:6443", "n", false, "u",
	    { 0 } },
	/* Others' entries may be of any kind, or broken. */
	{ "current-context: c\ncontexts: [1, {name: [x]}, {name: c, context: "
	  "{cluster: k}}]\nclusters:\n- name: other\n- name: k\n  cluster: "
	  "{" SERVER "}\n",
	    "https://a:6443", "", false, "", { 0 } },
};

START_TEST(reads)
{
	const struct good *g = &good[_i];
	const struct kubeconfig_credential *c;

	ck_assert_msg(read_text(g->text), "%s", why);
	ck_assert_str_eq(k.server, g->server);
	ck_assert_str_eq(k.tls_server_name, g->tls_server_name);
	ck_assert_int_eq(k.insecure, g->insecure);
	ck_assert_str_eq(k.user, g->user);
	if (g->credential.bytes == NULL)
		return;
	c = &k.credentials[g->credential.kind];
	ck_assert_uint_eq(c->len, strlen(g->credential.bytes));
	ck_assert_mem_eq(c->bytes, g->credential.bytes, c->len);
	if (c->len > 0)
		ck_assert_int_eq(c->data, g->credential.data);
}
END_TEST

/* ---- bad ones, and how it is said ---- */

#define INSTEAD \
	": give it a token, a tokenFile or a client certificate (kubectl " \
	"create token makes a token for a service account)"

static const struct bad {
	const char *text;
	const char *why;
} bad[] = {
	{ "", "there is nothing in it" },
	{ "# nothing\n", "there is nothing in it" },
	{ "---\n...\n", "not a mapping, so no kubeconfig" },
	{ "text", "not a mapping, so no kubeconfig" },
	{ "[1]", "not a mapping, so no kubeconfig" },
	{ "kind: Secret\n", "its kind is \"Secret\", not Config" },
	{ "kind: Config\n",
	    "no current-context: kubectl config use-context NAME sets one" },
	{ "current-context: c\n", "there is no context \"c\"" },
	{ "current-context: [c]\n",
	    "line 1: file \"\": current-context is not a text" },
	{ "current-context: c\ncontexts: {c: {}}\n",
	    "line 2: contexts is not a list" },
	{ "current-context: c\ncontexts: [{name: d}]\n",
	    "there is no context \"c\"" },
	{ "current-context: c\ncontexts: [{name: c, context: x}]\n",
	    "line 2: context \"c\" is not a mapping" },
	{ "current-context: c\ncontexts: [{name: c, context: {}}]\n",
	    "context \"c\" names no cluster" },
	{ "current-context: c\ncontexts: [{name: c}]\n",
	    "context \"c\" names no cluster" },
	{ "current-context: c\ncontexts:\n- {name: c, context: {cluster: k}}\n"
	  "- {name: c, context: {cluster: l}}\n",
	    "line 4: there is another context \"c\" in line 3" },
	{ "current-context: c\ncontexts: [{name: c, context: {cluster: k}}]\n",
	    "there is no cluster \"k\"" },
	{ "current-context: c\ncontexts: [{name: c, context: {cluster: k, "
	  "user: u}}]\nclusters: [{name: k, cluster: {" SERVER "}}]\n",
	    "there is no user \"u\"" },
	/* The server. */
	{ FILE_OF("", ""), "cluster \"k\" has no server" },
	{ FILE_OF("server: [a]", ""),
	    "line 9: cluster \"k\": server is not a text" },
	{ FILE_OF("server: \"a:6443\"", ""),
	    "cluster \"k\": server \"a:6443\": not a URL" },
	{ FILE_OF("server: ftp://a", ""),
	    "cluster \"k\": server \"ftp://a\": not a scheme that is supported "
	    "here" },
	{ FILE_OF("server: \"https://u:p@a\"", ""),
	    "cluster \"k\": server \"https://u:p@a\": user names and passwords "
	    "in URLs are not supported" },
	{ CLUSTER("insecure-skip-tls-verify: \"true\""),
	    "line 9: cluster \"k\": insecure-skip-tls-verify is not true or "
	    "false" },
	{ CLUSTER("insecure-skip-tls-verify: 1"),
	    "line 9: cluster \"k\": insecure-skip-tls-verify is not true or "
	    "false" },
	{ CLUSTER("insecure-skip-tls-verify: true, certificate-authority: x"),
	    "cluster \"k\" has a certificate-authority and "
	    "insecure-skip-tls-verify: one of them must go" },
	{ CLUSTER("proxy-url: http://p"),
	    "cluster \"k\" is reached by a proxy (proxy-url), which is not "
	    "supported: name a server that can be reached without one" },
	{ CLUSTER("certificate-authority-data: \"a$b\""),
	    "cluster \"k\": certificate-authority-data: not base64" },
	{ CLUSTER("certificate-authority-data: QUJD"),
	    "cluster \"k\": certificate-authority-data: not PEM in base64" },
	/* Users that would be others without what is left out. */
	{ USER("exec: {command: aws, args: [eks]}"),
	    "user \"u\" gets its credentials from a command (exec: aws), and "
	    "none is run from here" INSTEAD },
	{ USER("token: t, exec: {x: y}"),
	    "user \"u\" gets its credentials from a command (exec), and none "
	    "is run from here" INSTEAD },
	{ USER("exec: {command: [a]}"),
	    "user \"u\" gets its credentials from a command (exec), and none "
	    "is run from here" INSTEAD },
	{ USER("auth-provider: {name: gcp}"),
	    "user \"u\" gets its credentials from a plugin (auth-provider), "
	    "which is not supported" INSTEAD },
	{ USER("username: a, password: b"),
	    "user \"u\" has a user name and password, which servers no longer "
	    "take (username), which is not supported" INSTEAD },
	{ USER("token: t, as: root"),
	    "user \"u\" acts as somebody else (as), which is not "
	    "supported" INSTEAD },
	{ USER("token: t, as-groups: [a]"),
	    "user \"u\" acts as somebody else (as-groups), which is not "
	    "supported" INSTEAD },
	/* Credentials. */
	{ USER("token: {a: b}"), "line 12: user \"u\": token is not a text" },
	{ USER("token: \"a b\""),
	    "user \"u\": token: white space or control characters in it" },
	{ USER("token: \"a\\r\\nX-Evil: 1\""),
	    "user \"u\": token: white space or control characters in it" },
	{ USER("client-certificate: /c"),
	    "user \"u\" has a client certificate without the key: it takes "
	    "both" },
	{ USER("client-key-data: " PEM64),
	    "user \"u\" has a client key without the certificate: it takes "
	    "both" },
	/* YAML. */
	{ "a: b: c\n",
	    "line 1: not YAML: mapping values are not allowed in this "
	    "context" },
	{ "a: [1\n", "line 2: not YAML: did not find expected ',' or ']'" },
	{ "a: \"\xff\"\n", "line 1: not YAML: invalid leading UTF-8 octet" },
	{ "a: \"x\\0y\"\n", "line 1: a NUL byte in a text" },
	{ "a: 1\nb: {c: 1, c: 2}\n", "line 2: \"c\" stands there twice" },
	{ "a: 1\na: 2\n", "line 2: \"a\" stands there twice" },
	{ "[1, 2]: 3\n", "line 1: a name that is no text" },
	{ "{a: b}: 3\n", "line 1: a name that is no text" },
	{ "a: &x [1]\nb: *x\n", "line 2: aliases (*) are not supported" },
	{ "a: &x [*x]\n", "line 1: aliases (*) are not supported" },
	{ "a: !!binary QUJD\n", "line 1: tags (!) are not supported" },
	{ "a: !!python/object {}\n", "line 1: tags (!) are not supported" },
	{ USER("") "---\na: 1\n", "line 13: a second document" },
};

START_TEST(refuses)
{
	ck_assert(!read_text(bad[_i].text));
	ck_assert_str_eq(why, bad[_i].why);
}
END_TEST

/* ---- hostile ones, that are made here ---- */

static char *big; /* freed by each test */
static size_t big_len;

/* A # becomes the number i. */
static void
put_part(FILE *f, const char *part, unsigned i)
{
	for (; *part != '\0'; part++)
		if (*part == '#')
			fprintf(f, "%u", i);
		else
			fputc(*part, f);
}

static void
repeat(const char *head, const char *part, unsigned n, const char *tail)
{
	FILE *f = open_memstream(&big, &big_len);

	fputs(head, f);
	for (unsigned i = 0; i < n; i++)
		put_part(f, part, i);
	fputs(tail, f);
	fclose(f);
}

static const struct hostile {
	const char *head;
	const char *part; /* #: 0, 1... */
	unsigned n;
	const char *tail;
	const char *why; /* its beginning; NULL: it is good */
} hostile[] = {
	{ "a: ", "[", LIMIT_KUBECONFIG_DEPTH - 1, "", "line 2: not YAML" },
	{ "a: ", "[", LIMIT_KUBECONFIG_DEPTH, "",
	    "line 1: more than 32 levels deep" },
	{ "a: ", "[", 900000, "", "line 1: more than 32 levels deep" },
	{ "", "{a: ", 900000 / 4, "", "line 1: more than 32 levels deep" },
	{ "", "- ", 400000, "", "line 1: more than 32 levels deep" },
	{ "", "? ", 400000, "", "line 1: a name that is no text" },
	{ "a: [", "1,", LIMIT_KUBECONFIG_NODES, "]",
	    "line 1: more than 50000 values" },
	{ USER("") "x:\n", " n#: 1\n", LIMIT_KUBECONFIG_NAMES, "", NULL },
	{ USER("") "x:\n", " n#: 1\n", LIMIT_KUBECONFIG_NAMES + 1, "",
	    "line 270: more than 256 names in one mapping" },
	/* A cloud's tool. */
	{ USER("") "x:\n", "- {name: c#, cluster: {server: x}}\n", 5000, "",
	    NULL },
	{ "a: &a [1]\n", "b#: &b# [*a, *a, *a, *a, *a]\n", 9, "",
	    "line 2: aliases (*) are not supported" },
	{ "", "x", LIMIT_KUBECONFIG + 1, "", "larger than 1048576 bytes" },
	{ "a: \"", "x", 1000000, "\"\n", "no current-context" },
	{ "", "%", 1000, "", "line 1: not YAML" },
	{ "", "\t", 100000, "", "line 1: not YAML" },
	{ "", "\n", 1000000, "", "there is nothing in it" },
	{ "", "&a ", 100000, "", "line 1: not YAML" },
	{ "", "---\n", 100000, "", "line 2: a second document" },
};

START_TEST(hostile_files_cost_little)
{
	const struct hostile *h = &hostile[_i];

	repeat(h->head, h->part, h->n, h->tail);
	*why = '\0';
	ck_assert_int_eq(kubeconfig_read(big, big_len, &k, why),
	    h->why == NULL);
	if (h->why != NULL)
		ck_assert_msg(strncmp(why, h->why, strlen(h->why)) == 0,
		    "said: %s", why);
	free(big);
}
END_TEST

/* What does not fit the message: the message says what to do. */
START_TEST(large_tokens_are_refused)
{
	for (unsigned more = 0; more <= 1; more++) {
		repeat("current-context: c\ncontexts: [{name: c, context: "
		       "{cluster: k, user: u}}]\nclusters: [{name: k, cluster: "
		       "{" SERVER "}}]\nusers: [{name: u, user: {token: ",
		    "x", LIMIT_K8S_TOKEN + more, "}}]\n");
		ck_assert_int_eq(kubeconfig_read(big, big_len, &k, why),
		    more == 0);
		if (more == 1)
			ck_assert_str_eq(why,
			    "user \"u\": token: larger than 8192 bytes: name "
			    "a file with tokenFile");
		kubeconfig_free(&k);
		free(big);
	}
}
END_TEST

START_TEST(large_certificates_are_refused)
{
	for (unsigned more = 0; more <= 1; more++) {
		repeat("current-context: c\ncontexts: [{name: c, context: "
		       "{cluster: k}}]\nclusters: [{name: k, cluster: {" SERVER
		       ", certificate-authority-data: " PEM64,
		    "AAAA", (LIMIT_K8S_CA - (unsigned)strlen(PEM)) / 3 + more,
		    "QUE=}}]\n");
		ck_assert_int_eq(kubeconfig_read(big, big_len, &k, why),
		    more == 0);
		if (more == 0)
			ck_assert_uint_eq(k.credentials[KUBECONFIG_CA].len,
			    LIMIT_K8S_CA);
		if (more == 1)
			ck_assert_str_eq(why,
			    "cluster \"k\": certificate-authority-data: larger "
			    "than 26000 bytes: name a file with "
			    "certificate-authority");
		kubeconfig_free(&k);
		free(big);
	}
}
END_TEST

/* Each prefix of a good file is read or refused, without harm. */
START_TEST(torn_files_do_no_harm)
{
	static const char whole[] =
	    USER("client-certificate-data: " PEM64 ", client-key-data: " PEM64);

	for (size_t len = 0; len < sizeof(whole); len++) {
		char *copy = malloc(len + 1);

		memcpy(copy, whole, len);
		*why = '\0';
		if (!kubeconfig_read(copy, len, &k, why))
			ck_assert_str_ne(why, "");
		kubeconfig_free(&k);
		free(copy);
	}
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("kubeconfig");
	TCase *t = tcase_create("kubeconfig");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_checked_fixture(t, NULL, tear_down);
	tcase_add_loop_test(t, reads, 0, COUNT(good));
	tcase_add_loop_test(t, refuses, 0, COUNT(bad));
	tcase_add_loop_test(t, hostile_files_cost_little, 0, COUNT(hostile));
	tcase_add_test(t, large_tokens_are_refused);
	tcase_add_test(t, large_certificates_are_refused);
	tcase_add_test(t, torn_files_do_no_harm);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
