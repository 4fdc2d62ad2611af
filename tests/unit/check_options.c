#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/limits.h"
#include "common/options.h"
#include "tests/unit/manual.h"

#define COUNT(a) (sizeof(a) / sizeof(*(a)))

static const enum role workers[] = { ROLE_KUBELET_READER, ROLE_CONSUL_WRITER,
	ROLE_CONSUL_READER, ROLE_K8S_WRITER, ROLE_HTTP, ROLE_KUBECONFIG };

static bool
is_number(enum option opt)
{
	enum option_type type = option_def(opt)->type;

	return type == OPTION_BOOL || type == OPTION_DURATION ||
	    type == OPTION_COUNT || type == OPTION_RATIO;
}

/* All options; numbers are their least, strings "value". */
static struct settings *
full(void)
{
	struct settings *s = settings_new();

	for (int i = OPT_CONFIG; i < OPT_MAX; i++) {
		enum option opt = (enum option)i;

		if (is_number(opt))
			settings_set_u64(s, opt, option_def(opt)->min);
		else
			settings_set_str(s, opt, "value");
	}
	return s;
}

START_TEST(table_is_whole)
{
	const struct option_def *def = option_def((enum option)_i);

	ck_assert_ptr_nonnull(def->name);
	ck_assert_int_eq(option_by_name(def->name), _i);
	ck_assert_ptr_nonnull(def->def);
	ck_assert_ptr_nonnull(def->help);
	ck_assert(def->env[2] == NULL);
	if (is_number((enum option)_i) && def->type != OPTION_BOOL)
		ck_assert_uint_lt(def->min, def->max);
	ck_assert((def->choices != NULL) == (def->type == OPTION_CHOICE));
	ck_assert((def->roles & ROLE_BIT(ROLE_SUPERVISOR)) == 0);
}
END_TEST

START_TEST(knows_only_its_names)
{
	ck_assert_ptr_null(option_def(0));
	ck_assert_ptr_null(option_def(OPT_MAX));
	ck_assert_ptr_null(option_def((enum option) - 1));
	ck_assert_int_eq(option_by_name(""), 0);
	ck_assert_int_eq(option_by_name("log"), 0);
	ck_assert_int_eq(option_by_name("log-level "), 0);
	ck_assert_int_eq(option_by_name("LOG-LEVEL"), 0);
	ck_assert_int_eq(option_by_name("consul-token"), 0);
}
END_TEST

/* No path to a secret, and no option that only the supervisor needs. */
START_TEST(workers_get_no_paths)
{
	static const enum option private[] = { OPT_CONFIG, OPT_KUBELET_CA,
		OPT_KUBELET_TOKEN_FILE, OPT_KUBELET_CLIENT_CERT,
		OPT_KUBELET_CLIENT_KEY, OPT_CONSUL_TOKEN_FILE, OPT_CONSUL_CA,
		OPT_CONSUL_CLIENT_CERT, OPT_CONSUL_CLIENT_KEY, OPT_KUBECONFIG,
		OPT_K8S_TOKEN_FILE, OPT_K8S_CA, OPT_K8S_CLIENT_CERT,
		OPT_K8S_CLIENT_KEY, OPT_LIBEXEC_DIR };

	for (size_t i = 0; i < COUNT(private); i++)
		ck_assert_uint_eq(option_def(private[i])->roles, 0);
}
END_TEST

START_TEST(slice_comes_over)
{
	enum role role = workers[_i];
	struct settings *s = full(), *slice;
	uint8_t buf[LIMIT_PACKET];
	struct tlv_writer w;

	tlv_writer_init(&w, buf, sizeof(buf));
	ck_assert(settings_encode(s, role, &w));
	slice = settings_decode(buf, w.len, role);
	ck_assert_ptr_nonnull(slice);
	for (int i = OPT_CONFIG; i < OPT_MAX; i++) {
		enum option opt = (enum option)i;

		if ((option_def(opt)->roles & ROLE_BIT(role)) == 0)
			continue;
		if (is_number(opt))
			ck_assert_uint_eq(settings_u64(slice, opt),
			    option_def(opt)->min);
		else
			ck_assert_str_eq(settings_str(slice, opt), "value");
	}
	settings_free(slice);
	settings_free(s);
}
END_TEST

START_TEST(anothers_slice_is_refused)
{
	struct settings *s = full();
	uint8_t buf[LIMIT_PACKET];
	struct tlv_writer w;

	tlv_writer_init(&w, buf, sizeof(buf));
	ck_assert(settings_encode(s, ROLE_KUBELET_READER, &w));
	ck_assert_ptr_null(settings_decode(buf, w.len, ROLE_CONSUL_WRITER));
	ck_assert_ptr_null(settings_decode(buf, w.len, ROLE_HTTP));
	ck_assert_ptr_null(
	    settings_decode(buf, w.len - 1, ROLE_KUBELET_READER));
	ck_assert_ptr_null(settings_decode(buf, 0, ROLE_KUBELET_READER));
	settings_free(s);
}
END_TEST

START_TEST(numbers_out_of_range_are_refused)
{
	static const struct {
		enum option opt;
		uint64_t v;
	} wrong[] = {
		{ OPT_CONSUL_SSL, 2 },
		{ OPT_CONSUL_CONCURRENCY, 0 },
		{ OPT_CONSUL_CONCURRENCY, 65 },
		{ OPT_CONSUL_TIMEOUT, 99 },
		{ OPT_KUBELET_STALE_AFTER, UINT64_MAX },
	};

	for (size_t i = 0; i < COUNT(wrong); i++) {
		struct settings *s = full();
		uint8_t buf[LIMIT_PACKET];
		struct tlv_writer w;

		settings_set_u64(s, wrong[i].opt, wrong[i].v);
		tlv_writer_init(&w, buf, sizeof(buf));
		ck_assert(settings_encode(s, ROLE_CONSUL_WRITER, &w));
		ck_assert_ptr_null(
		    settings_decode(buf, w.len, ROLE_CONSUL_WRITER));
		settings_free(s);
	}
}
END_TEST

START_TEST(slice_must_fit)
{
	struct settings *s = full();
	struct tlv_writer w;
	uint8_t buf[64];

	tlv_writer_init(&w, buf, sizeof(buf));
	ck_assert(!settings_encode(s, ROLE_CONSUL_WRITER, &w));
	settings_free(s);
}
END_TEST

/* The longest values of all must be a message still. */
START_TEST(longest_slice_fits_a_packet)
{
	struct settings *s = full();
	char longest[LIMIT_OPTION];
	uint8_t buf[LIMIT_PACKET - 16];
	struct tlv_writer w;

	memset(longest, 'x', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	for (int i = OPT_CONFIG; i < OPT_MAX; i++)
		if (!is_number((enum option)i))
			settings_set_str(s, (enum option)i, longest);
	tlv_writer_init(&w, buf, sizeof(buf));
	ck_assert(settings_encode(s, workers[_i], &w));
	settings_free(s);
}
END_TEST

START_TEST(a_value_can_be_replaced)
{
	struct settings *s = full();

	settings_set_str(s, OPT_NODE_NAME, settings_str(s, OPT_CONSUL_ADDR));
	settings_set_str(s, OPT_NODE_NAME, settings_str(s, OPT_NODE_NAME));
	ck_assert_str_eq(settings_str(s, OPT_NODE_NAME), "value");
	settings_set_str(s, OPT_NODE_NAME, NULL);
	ck_assert_str_eq(settings_str(s, OPT_NODE_NAME), "");
	settings_set_u64(s, OPT_CONSUL_SSL, 1);
	ck_assert(settings_bool(s, OPT_CONSUL_SSL));
	settings_free(s);
	settings_free(NULL);
}
END_TEST

/* These exit with status 1: fatalx(). */
START_TEST(outside_of_the_slice_is_fatal)
{
	struct settings *s = settings_new();

	settings_set_str(s, OPT_NODE_NAME, "n");
	settings_str(s, OPT_CONSUL_ADDR);
}
END_TEST

START_TEST(another_type_is_fatal)
{
	struct settings *s = full();

	settings_u64(s, OPT_NODE_NAME);
}
END_TEST

START_TEST(no_option_is_fatal)
{
	struct settings *s = full();

	settings_str(s, OPT_MAX);
}
END_TEST

static const struct {
	enum option opt;
	const char *text;
	bool good;
} urls[] = {
	{ OPT_KUBELET_API, "http://localhost:10255/pods", true },
	{ OPT_KUBELET_API, "https://127.0.0.1:10250/pods", true },
	{ OPT_KUBELET_API, "file:///pods.json", true },
	{ OPT_KUBELET_API, "unix:///kubelet.sock", false },
	{ OPT_KUBELET_API, "localhost:10255/pods", false },
	{ OPT_KUBELET_API, "/pods.json", false },
	{ OPT_CONSUL_ADDR, "127.0.0.1:8500", true },
	{ OPT_CONSUL_ADDR, "unix:///consul.sock", true },
	{ OPT_CONSUL_ADDR, "https://consul/prefix", true },
	{ OPT_CONSUL_ADDR, "https://consul/prefix?dc=b", false },
	{ OPT_CONSUL_ADDR, "unix:///a?b", true },
	{ OPT_CONSUL_ADDR, "file:///x", false },
	{ OPT_CONSUL_ADDR, "", false },
};

START_TEST(each_url_has_its_schemes)
{
	struct url u;

	ck_assert_msg((option_url(urls[_i].opt, urls[_i].text, &u) == NULL) ==
		urls[_i].good,
	    "%s", urls[_i].text);
}
END_TEST

static bool
has_environment(const struct option_def *def, const char *name)
{
	for (size_t i = 0; i < 3 && def->env[i] != NULL; i++)
		if (strcmp(def->env[i], name) == 0)
			return true;
	return false;
}

/* The variables of an item stand before its default: those, and no other. */
static void
assert_environment(const struct option_def *def, const char *item)
{
	const char *end = strstr(item, "Default"), *at = item;
	char name[64];
	size_t found = 0, wanted = 0;

	ck_assert_msg(end != NULL, "%s", def->name);
	for (; (at = strstr(at, "\n.Ev ")) != NULL && at < end; at++, found++) {
		ck_assert_int_eq(sscanf(at, "\n.Ev %63s", name), 1);
		ck_assert_msg(has_environment(def, name), "%s: %s", def->name,
		    name);
	}
	while (wanted < 3 && def->env[wanted] != NULL)
		wanted++;
	ck_assert_msg(found == wanted, "%s", def->name);
}

/* "Default VALUE,", "Default" and ".Cm VALUE ", or words where it is empty. */
static bool
has_default(const char *item, const char *value)
{
	const char *at = strstr(item, "Default") + strlen("Default");

	if (value[0] == '\0')
		return at[0] == ':' || strncmp(at, " empty", 6) == 0;
	at += strspn(at, " \n");
	if (at[0] == '.')
		at += strcspn(at, " ") + 1;
	return strncmp(at, value, strlen(value)) == 0 &&
	    strchr(" ,.;:\n", at[strlen(value)]) != NULL;
}

/* The manual has an item for each, with its default and its environment. */
START_TEST(stands_in_the_manual)
{
	const struct option_def *def = option_def((enum option)_i);
	char *text = manual_text("katalogd.conf.5"), item[128], *at, *end;

	snprintf(item, sizeof(item), "\n.It Cm %s", def->name);
	at = strstr(text, item);
	ck_assert_msg(at != NULL && strchr(" \n", at[strlen(item)]) != NULL,
	    "%s", def->name);
	if ((end = strstr(at + 1, "\n.It Cm ")) != NULL)
		*end = '\0';
	assert_environment(def, at);
	/* Those of paths depend on the build. */
	if (def->type != OPTION_PATH)
		ck_assert_msg(has_default(at, def->def), "%s: %s", def->name,
		    def->def);
	free(text);
}
END_TEST

/* The way back: what the manual describes is an option. */
START_TEST(manual_knows_no_more)
{
	char *text = manual_text("katalogd.conf.5"), *at = text, name[64];
	size_t items = 0;

	for (; (at = strstr(at, "\n.It Cm ")) != NULL; at++, items++) {
		ck_assert_int_eq(sscanf(at, "\n.It Cm %63s", name), 1);
		ck_assert_msg(option_by_name(name) != 0, "%s", name);
	}
	ck_assert_uint_eq(items, OPT_MAX - OPT_CONFIG);
	free(text);
}
END_TEST

/* What the users of katalog-sync's daemon and of consul-sync rely on. */
static const struct {
	const char *env;
	const char *name;
	const char *def; /* NULL: differs by how it is started, or from theirs */
} originals[] = {
	{ "LOG_LEVEL", "log-level", "info" },
	{ "BIND_ADDRESS", "bind-address", "" },
	{ "METRICS_BIND_ADDRESS", "metrics-bind-address", "" },
	{ "PPROF_BIND_ADDRESS", "pprof-bind-address", "" },
	{ "MIN_SYNC_INTERVAL", "min-sync-interval", "500ms" },
	{ "MAX_SYNC_INTERVAL", "max-sync-interval", "5s" },
	{ "DEFAULT_SYNC_INTERVAL", "default-sync-interval", "1s" },
	{ "DEFAULT_CHECK_TTL", "default-check-ttl", "10s" },
	{ "SYNC_TTL_BUFFER_DURATION", "sync-ttl-buffer-duration", "10s" },
	{ "KUBELET_API", "kubelet-api", "http://localhost:10255/pods" },
	{ "KUBELET_API_INSECURE_SKIP_VERIFY",
	    "kubelet-api-insecure-skip-verify", "false" },
	{ "CONSUL_HTTP_ADDR", "consul-addr", "127.0.0.1:8500" },
	{ "CONSUL_HTTP_TOKEN_FILE", "consul-token-file", "" },
	{ "CONSUL_HTTP_SSL", "consul-ssl", "false" },
	{ "CONSUL_HTTP_SSL_VERIFY", "consul-ssl-verify", "true" },
	{ "CONSUL_CACERT", "consul-ca", "" },
	{ "CONSUL_CLIENT_CERT", "consul-client-cert", "" },
	{ "CONSUL_CLIENT_KEY", "consul-client-key", "" },
	{ "CONSUL_TLS_SERVER_NAME", "consul-tls-server-name", "" },
	{ "CONSUL_NAMESPACE", "consul-namespace", "" },
	{ "CONSUL_ADDR", "consul-addr", NULL },
	{ "CONSUL_TAG", "consul-tag", "kubernetes" },
	{ "TARGET_NAMESPACE", "target-namespace", "network" },
	{ "METRICS_ADDR", "metrics-bind-address", NULL },
	{ "RESYNC_INTERVAL", "resync-interval", "5m" },
	{ "ENABLE_HTTPROUTES", "enable-httproutes", "true" },
	{ "DOMAIN_SUFFIX", "domain-suffix", "" },
	{ "INTERNAL_GATEWAY", "internal-gateway", "envoy-internal" },
	{ "EXTERNAL_GATEWAY", "external-gateway", "envoy-external" },
	{ "GATEWAY_NAMESPACE", "gateway-namespace", NULL },
	{ "GATEWAY_LISTENER", "gateway-listener", "https" },
	{ "INTERNAL_TAG", "internal-tag", "internal" },
	{ "EXTERNAL_TAG", "external-tag", "external" },
	{ "KUBECONFIG", "kubeconfig", NULL },
};

START_TEST(names_of_the_originals_are_kept)
{
	const struct option_def *def =
	    option_def(option_by_name(originals[_i].name));

	ck_assert_msg(def != NULL, "%s", originals[_i].name);
	ck_assert_msg(has_environment(def, originals[_i].env), "%s",
	    originals[_i].env);
	if (originals[_i].def != NULL)
		ck_assert_str_eq(def->def, originals[_i].def);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("options");
	TCase *t = tcase_create("options");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_loop_test(t, table_is_whole, OPT_CONFIG, OPT_MAX);
	tcase_add_test(t, knows_only_its_names);
	tcase_add_test(t, workers_get_no_paths);
	tcase_add_loop_test(t, slice_comes_over, 0, COUNT(workers));
	tcase_add_test(t, anothers_slice_is_refused);
	tcase_add_test(t, numbers_out_of_range_are_refused);
	tcase_add_test(t, slice_must_fit);
	tcase_add_loop_test(t, longest_slice_fits_a_packet, 0, COUNT(workers));
	tcase_add_test(t, a_value_can_be_replaced);
	tcase_add_exit_test(t, outside_of_the_slice_is_fatal, 1);
	tcase_add_exit_test(t, another_type_is_fatal, 1);
	tcase_add_exit_test(t, no_option_is_fatal, 1);
	tcase_add_loop_test(t, each_url_has_its_schemes, 0, COUNT(urls));
	tcase_add_loop_test(t, stands_in_the_manual, OPT_CONFIG, OPT_MAX);
	tcase_add_test(t, manual_knows_no_more);
	tcase_add_loop_test(t, names_of_the_originals_are_kept, 0,
	    COUNT(originals));
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
