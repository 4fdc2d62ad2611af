/* Linked with a client in memory in place of http_client.c's. */
#include "workers/upstream.h"

#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"

#define COUNT(a) (sizeof(a) / sizeof(*(a)))

/* What the client was told. */
static struct {
	struct http_client_conf conf;
	char header[64];
	char blobs[HTTP_BLOB_MAX][16];
	int given;
	unsigned asked;
	bool dns;
} client;

struct http_client *
http_client_preload(const struct http_client_conf *conf, bool *dns)
{
	client.conf = *conf;
	*dns = client.dns;
	return (struct http_client *)&client;
}

void
http_client_token_header(struct http_client *c, const char *prefix)
{
	(void)c;
	snprintf(client.header, sizeof(client.header), "%s", prefix);
}

void
http_client_blob(struct http_client *c, enum http_client_blob which,
    const void *data, size_t len)
{
	(void)c;
	ck_assert_uint_lt(len, sizeof(client.blobs[which]));
	memcpy(client.blobs[which], data, len);
}

void
http_client_give_connection(struct http_client *c, int fd)
{
	(void)c;
	client.given = fd;
}

void
worker_ask_connection(struct worker *w)
{
	(void)w;
	client.asked++;
}

static struct settings *settings;
static struct worker worker;
static struct sandbox sandbox;
static struct upstream up;

static void
setup(void)
{
	memset(&client, 0, sizeof(client));
	client.given = -2;
	settings = settings_new();
	worker = (struct worker){ .settings = settings };
	sandbox = (struct sandbox){ .nofile = 64 };
}

static void
teardown(void)
{
	settings_free(settings);
}

/* One of each, by what the table is to say of it. */
static const struct {
	enum upstream_kind kind;
	const char *what;
	const char *header;
	enum option url, name, trust;
	uint64_t insecure; /* that option, where nothing is verified */
	enum blob_id blobs[HTTP_BLOB_MAX];
	enum blob_id other;
} kinds[] = {
	{ UPSTREAM_KUBELET, "kubelet", "Authorization: Bearer ",
	    OPT_KUBELET_API, OPT_KUBELET_TLS_SERVER_NAME, OPT_KUBELET_INSECURE,
	    1,
	    { BLOB_KUBELET_TOKEN, BLOB_KUBELET_CA, BLOB_KUBELET_CERT,
		BLOB_KUBELET_KEY },
	    BLOB_KUBELET_PODS },
	{ UPSTREAM_CONSUL, "consul", "X-Consul-Token: ", OPT_CONSUL_ADDR,
	    OPT_CONSUL_TLS_SERVER_NAME, OPT_CONSUL_SSL_VERIFY, 0,
	    { BLOB_CONSUL_TOKEN, BLOB_CONSUL_CA, BLOB_CONSUL_CERT,
		BLOB_CONSUL_KEY },
	    BLOB_K8S_TOKEN },
	{ UPSTREAM_KUBERNETES, "kubernetes", "Authorization: Bearer ",
	    OPT_K8S_API, OPT_K8S_TLS_SERVER_NAME, OPT_K8S_INSECURE, 1,
	    { BLOB_K8S_TOKEN, BLOB_K8S_CA, BLOB_K8S_CERT, BLOB_K8S_KEY },
	    BLOB_CONSUL_TOKEN },
};

static void
preload(int i, const char *url, bool insecure)
{
	settings_set_str(settings, kinds[i].url, url);
	settings_set_str(settings, kinds[i].name, "a.name");
	settings_set_u64(settings, kinds[i].trust,
	    insecure ? kinds[i].insecure : !kinds[i].insecure);
	upstream_init(&up, kinds[i].kind, settings);
	upstream_preload(&up, &worker, &sandbox, 5);
}

START_TEST(sets_up_the_client)
{
	preload(_i, "https://a.server:4433/x/", false);
	ck_assert_str_eq(up.name, "https://a.server:4433");
	ck_assert_str_eq(up.prefix, "/x");
	ck_assert_str_eq(client.conf.what, kinds[_i].what);
	ck_assert_str_eq(client.conf.url.host, "a.server");
	ck_assert_str_eq(client.conf.tls_server_name, "a.name");
	ck_assert_uint_eq(client.conf.max_connections, 5);
	ck_assert_str_eq(client.header, kinds[_i].header);
	ck_assert(!client.conf.insecure);
	preload(_i, "https://a.server:4433/x/", true);
	ck_assert(client.conf.insecure);
}
END_TEST

START_TEST(says_what_the_sandbox_needs)
{
	client.dns = true;
	preload(_i, "https://a.server:4433", false);
	ck_assert_uint_eq(sandbox.nports, 1);
	ck_assert_uint_eq(sandbox.ports[0], 4433);
	ck_assert_uint_eq(sandbox.nofile, 64 + 5);
	ck_assert(sandbox.dns);
	/* A second one takes nothing away. */
	client.dns = false;
	preload(_i, "http://127.0.0.1:8080", false);
	ck_assert_uint_eq(sandbox.nports, 2);
	ck_assert(sandbox.dns);
}
END_TEST

START_TEST(takes_its_own_blobs)
{
	char text[] = "0";

	preload(_i, "https://a.server", false);
	for (int i = 0; i < HTTP_BLOB_MAX; i++) {
		text[0] = (char)('a' + i);
		ck_assert(upstream_blob(&up, kinds[_i].blobs[i], text, 1));
		ck_assert_str_eq(client.blobs[i], text);
	}
	ck_assert(!upstream_blob(&up, kinds[_i].other, "x", 1));
	for (int i = 0; i < HTTP_BLOB_MAX; i++)
		ck_assert_int_eq(client.blobs[i][0], 'a' + i);
}
END_TEST

START_TEST(asks_the_supervisor_for_unix_sockets)
{
	preload(1, "unix:///run/consul.sock", false);
	ck_assert_str_eq(up.name, "unix:///run/consul.sock");
	ck_assert_str_eq(up.prefix, "");
	ck_assert_uint_eq(sandbox.nports, 0);
	client.conf.want_connection(client.conf.arg);
	ck_assert_uint_eq(client.asked, 1);
	upstream_connected(&up, 7);
	ck_assert_int_eq(client.given, 7);
}
END_TEST

START_TEST(without_a_client_nothing_is_kept)
{
	int fd = dup(STDERR_FILENO);

	settings_set_str(settings, OPT_CONSUL_ADDR, "http://a");
	upstream_init(&up, UPSTREAM_CONSUL, settings);
	ck_assert(!upstream_blob(&up, BLOB_CONSUL_TOKEN, "x", 1));
	upstream_connected(&up, fd);
	ck_assert_int_eq(fcntl(fd, F_GETFD), -1);
	upstream_connected(&up, -1);
	ck_assert_int_eq(client.given, -2);
}
END_TEST

START_TEST(a_bad_url_ends_the_worker)
{
	settings_set_str(settings, kinds[_i].url, "ftp://a");
	upstream_init(&up, kinds[_i].kind, settings);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("upstream");
	TCase *t = tcase_create("upstream");
	SRunner *sr = srunner_create(s);
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_loop_test(t, sets_up_the_client, 0, COUNT(kinds));
	tcase_add_loop_test(t, says_what_the_sandbox_needs, 0, COUNT(kinds));
	tcase_add_loop_test(t, takes_its_own_blobs, 0, COUNT(kinds));
	tcase_add_test(t, asks_the_supervisor_for_unix_sockets);
	tcase_add_test(t, without_a_client_nothing_is_kept);
	tcase_add_loop_exit_test(t, a_bad_url_ends_the_worker, EXIT_FAILURE, 0,
	    COUNT(kinds));
	suite_add_tcase(s, t);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
