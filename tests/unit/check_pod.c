#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/pod.h"

#define COUNT(a) (sizeof(a) / sizeof(*(a)))
#define CAP      8192
#define UID      "63b48bd2-4fd6-4c17-9ed2-25dc957bf01b"

/* One byte more than a name may have. */
static char long_name[LIMIT_K8S_NAME + 2];
static char long_namespace[LIMIT_K8S_NAMESPACE + 2];
static char long_uid[LIMIT_K8S_UID + 2];
static char long_text[LIMIT_TEXT + 2];

static void
setup(void)
{
	memset(long_name, 'n', sizeof(long_name) - 1);
	memset(long_namespace, 's', sizeof(long_namespace) - 1);
	memset(long_uid, 'u', sizeof(long_uid) - 1);
	memset(long_text, 't', sizeof(long_text) - 1);
}

/* ---- keys ---- */

static const struct {
	const char *namespace;
	const char *name;
} names[] = {
	{ "shop", "web-1" },
	{ "a", "b" },
	{ "s-1", "a.b.c" },
};

START_TEST(a_key_and_back)
{
	char key[LIMIT_SET_KEY], namespace[LIMIT_K8S_NAMESPACE + 1],
	    name[LIMIT_K8S_NAME + 1];
	size_t len = pod_key(names[_i].namespace, names[_i].name, key);

	ck_assert_uint_gt(len, 0);
	ck_assert(pod_key_is(key, len));
	ck_assert(pod_key_split(key, len, namespace, name));
	ck_assert_str_eq(namespace, names[_i].namespace);
	ck_assert_str_eq(name, names[_i].name);
}
END_TEST

/* A receiver of a snapshot has the pod before its services. */
START_TEST(keys_stand_before_services)
{
	static const char service[] = "katalog-sync_web_shop_web-1";
	char key[LIMIT_SET_KEY];
	size_t len = pod_key("shop", "web-1", key);

	ck_assert_int_lt(memcmp(key, service, len < 10 ? len : 10), 0);
	ck_assert(!pod_key_is(service, strlen(service)));
}
END_TEST

START_TEST(names_have_a_bound)
{
	char key[LIMIT_SET_KEY];

	ck_assert_uint_eq(pod_key("s", long_name, key), 0);
	ck_assert_uint_eq(pod_key(long_namespace, "n", key), 0);
	long_name[LIMIT_K8S_NAME] = '\0';
	long_namespace[LIMIT_K8S_NAMESPACE] = '\0';
	ck_assert_uint_gt(pod_key(long_namespace, long_name, key), 0);
}
END_TEST

#define KEY(s) s, sizeof(s) - 1

static const struct {
	const char *bytes;
	size_t len;
} bad_keys[] = {
	{ KEY("") },
	{ KEY("P") },
	{ KEY("P\0") },
	{ KEY("P\0web") },
	{ KEY("Q\0shop\0web") },
	{ KEY("katalog-sync_web_shop_web-1") },
	{ KEY("P\0shop\0we\0b") },
};

START_TEST(other_keys)
{
	char namespace[LIMIT_K8S_NAMESPACE + 1], name[LIMIT_K8S_NAME + 1];

	ck_assert(!pod_key_split(bad_keys[_i].bytes, bad_keys[_i].len,
	    namespace, name));
}
END_TEST

/* ---- items, reports and gates ---- */

static const struct pod_item full_item = {
	.namespace = "shop",
	.name = "web-1",
	.uid = UID,
	.addresses = { "10.1.2.3", "fd00::3" },
	.naddresses = 2,
	.node_addresses = { "10.0.0.1" },
	.nnode_addresses = 1,
	.sidecar = "sync",
	.services = 3,
	.ours = true,
	.host_network = true,
	.waits = true,
	.ending = true,
	.ready = true,
	.sidecar_ready = true,
	.gated = true,
	.condition = POD_CONDITION_TRUE,
};

static const struct pod_item least_item = {
	.namespace = "shop",
	.name = "web-1",
	.uid = "u",
	.sidecar = "",
};

static const struct pod_report full_report = {
	.namespace = "shop",
	.name = "web-1",
	.uid = UID,
	.sidecar = POD_SIDECAR_DEREGISTERED,
	.gated = true,
	.synced = true,
	.text = "a text",
};

static const struct pod_report least_report = {
	.namespace = "shop",
	.name = "web-1",
	.uid = "u",
	.text = "",
};

static const struct pod_gate full_gate = {
	.namespace = "shop",
	.name = "web-1",
	.uid = UID,
	.synced = true,
	.reason = "Synced",
	.message = "all of them",
	.seen = POD_CONDITION_FALSE,
};

static const struct pod_gate least_gate = {
	.namespace = "shop",
	.name = "web-1",
	.uid = UID,
	.reason = "R",
	.message = "",
};

/* What is encoded of one of them, with its key, and read again. */
struct form {
	const void *value;
	size_t (*encode)(const void *value, void *buf, size_t cap);
	void *(*decode)(const void *key, size_t key_len, const void *val,
	    size_t len);
	bool (*same)(const void *a, const void *b);
	bool by_uid; /* the key */
};

static size_t
encode_item(const void *value, void *buf, size_t cap)
{
	return pod_item_encode(value, buf, cap);
}

static size_t
encode_report(const void *value, void *buf, size_t cap)
{
	return pod_report_encode(value, buf, cap);
}

static size_t
encode_gate(const void *value, void *buf, size_t cap)
{
	return pod_gate_encode(value, buf, cap);
}

static void *
decode_item(const void *key, size_t key_len, const void *val, size_t len)
{
	return pod_item_decode(key, key_len, val, len);
}

static void *
decode_report(const void *key, size_t key_len, const void *val, size_t len)
{
	return pod_report_decode(key, key_len, val, len);
}

static void *
decode_gate(const void *key, size_t key_len, const void *val, size_t len)
{
	return pod_gate_decode(key, key_len, val, len);
}

static bool
same_list(const char *const *a, size_t na, const char *const *b, size_t nb)
{
	if (na != nb)
		return false;
	for (size_t i = 0; i < na; i++) {
		if (strcmp(a[i], b[i]) != 0)
			return false;
	}
	return true;
}

static bool
same_item(const void *x, const void *y)
{
	const struct pod_item *a = x, *b = y;

	return strcmp(a->namespace, b->namespace) == 0 &&
	    strcmp(a->name, b->name) == 0 && strcmp(a->uid, b->uid) == 0 &&
	    strcmp(a->sidecar, b->sidecar) == 0 &&
	    same_list(a->addresses, a->naddresses, b->addresses,
		b->naddresses) &&
	    same_list(a->node_addresses, a->nnode_addresses, b->node_addresses,
		b->nnode_addresses) &&
	    a->services == b->services && a->ours == b->ours &&
	    a->host_network == b->host_network && a->waits == b->waits &&
	    a->ending == b->ending && a->ready == b->ready &&
	    a->sidecar_ready == b->sidecar_ready && a->gated == b->gated &&
	    a->condition == b->condition;
}

static bool
same_report(const void *x, const void *y)
{
	const struct pod_report *a = x, *b = y;

	return strcmp(a->namespace, b->namespace) == 0 &&
	    strcmp(a->name, b->name) == 0 && strcmp(a->uid, b->uid) == 0 &&
	    strcmp(a->text, b->text) == 0 && a->sidecar == b->sidecar &&
	    a->gated == b->gated && a->synced == b->synced;
}

static bool
same_gate(const void *x, const void *y)
{
	const struct pod_gate *a = x, *b = y;

	return strcmp(a->namespace, b->namespace) == 0 &&
	    strcmp(a->name, b->name) == 0 && strcmp(a->uid, b->uid) == 0 &&
	    strcmp(a->reason, b->reason) == 0 &&
	    strcmp(a->message, b->message) == 0 && a->synced == b->synced &&
	    a->seen == b->seen;
}

#define ITEM(v) \
	{ \
		&(v), encode_item, decode_item, same_item, false \
	}
#define REPORT(v) \
	{ \
		&(v), encode_report, decode_report, same_report, false \
	}
#define GATE(v) \
	{ \
		&(v), encode_gate, decode_gate, same_gate, true \
	}

static const struct form forms[] = {
	ITEM(full_item),
	ITEM(least_item),
	REPORT(full_report),
	REPORT(least_report),
	GATE(full_gate),
	GATE(least_gate),
};

static size_t
key_of(const struct form *f, char key[LIMIT_SET_KEY])
{
	if (!f->by_uid)
		return pod_key("shop", "web-1", key);
	memcpy(key, UID, strlen(UID));
	return strlen(UID);
}

/* To be freed; NULL: it does not come back. */
static void *
there_and_back(const struct form *f)
{
	char key[LIMIT_SET_KEY];
	size_t key_len = key_of(f, key), len;
	uint8_t buf[CAP];

	len = f->encode(f->value, buf, sizeof(buf));
	ck_assert_uint_gt(len, 0);
	return f->decode(key, key_len, buf, len);
}

START_TEST(comes_back_the_same)
{
	void *back = there_and_back(&forms[_i]);

	ck_assert_ptr_nonnull(back);
	ck_assert(forms[_i].same(forms[_i].value, back));
	free(back);
}
END_TEST

START_TEST(of_another_key)
{
	const struct form *f = &forms[_i];
	char key[LIMIT_SET_KEY];
	size_t key_len = key_of(f, key), len;
	uint8_t buf[CAP];

	len = f->encode(f->value, buf, sizeof(buf));
	key[key_len - 1]++;
	ck_assert_ptr_null(f->decode(key, key_len, buf, len));
	key[key_len - 1]--;
	ck_assert_ptr_null(f->decode(key, key_len - 1, buf, len));
	ck_assert_ptr_null(f->decode(key, 0, buf, len));
}
END_TEST

START_TEST(every_cut_is_refused)
{
	const struct form *f = &forms[_i];
	char key[LIMIT_SET_KEY];
	size_t key_len = key_of(f, key), len;
	uint8_t buf[CAP];

	len = f->encode(f->value, buf, sizeof(buf));
	for (size_t cut = 0; cut < len; cut++) {
		ck_assert_uint_eq(f->encode(f->value, buf, cut), 0);
		f->encode(f->value, buf, sizeof(buf));
		ck_assert_ptr_null(f->decode(key, key_len, buf, cut));
	}
}
END_TEST

/* No crash, and none that is not whole: ASan watches. */
START_TEST(every_flipped_byte_is_survived)
{
	const struct form *f = &forms[_i];
	char key[LIMIT_SET_KEY];
	size_t key_len = key_of(f, key), len;
	uint8_t buf[CAP];

	len = f->encode(f->value, buf, sizeof(buf));
	for (size_t i = 0; i < len; i++) {
		for (unsigned x = 1; x < 256; x += 7) {
			void *back;

			buf[i] ^= (uint8_t)x;
			back = f->decode(key, key_len, buf, len);
			if (back != NULL)
				ck_assert(f->same(back, back));
			free(back);
			buf[i] ^= (uint8_t)x;
		}
	}
}
END_TEST

/* ---- what makes no sense ---- */

static void
no_uid(struct pod_item *p)
{
	p->uid = "";
}

static void
uid_too_long(struct pod_item *p)
{
	p->uid = long_uid;
}

static void
sidecar_too_long(struct pod_item *p)
{
	p->sidecar = long_name;
}

static void
empty_address(struct pod_item *p)
{
	p->addresses[1] = "";
}

static void
address_too_long(struct pod_item *p)
{
	p->node_addresses[0] = long_uid;
}

static void
unknown_condition(struct pod_item *p)
{
	p->condition = POD_CONDITION_TRUE + 1;
}

static void (*const spoilers[])(struct pod_item *) = { no_uid, uid_too_long,
	sidecar_too_long, empty_address, address_too_long, unknown_condition };

START_TEST(nonsense_is_refused)
{
	struct pod_item item = full_item;
	const struct form f = ITEM(item);

	spoilers[_i](&item);
	ck_assert_ptr_null(there_and_back(&f));
}
END_TEST

/* Two lists that fit one by one: the encoder is not asked to check. */
START_TEST(too_many_addresses)
{
	uint8_t buf[CAP];
	char key[LIMIT_SET_KEY];
	size_t key_len = pod_key("shop", "web-1", key);
	size_t len = pod_item_encode(&full_item, buf, sizeof(buf));
	/* ITM_ADDRESS, "::" */
	static const uint8_t more[] = { 0, 3, 0, 2, ':', ':' };
	struct pod_item *p;

	for (size_t i = full_item.naddresses; i < POD_ADDRESSES; i++) {
		memcpy(buf + len, more, sizeof(more));
		len += sizeof(more);
		p = pod_item_decode(key, key_len, buf, len);
		ck_assert_ptr_nonnull(p);
		ck_assert_uint_eq(p->naddresses, i + 1);
		free(p);
	}
	memcpy(buf + len, more, sizeof(more));
	ck_assert_ptr_null(
	    pod_item_decode(key, key_len, buf, len + sizeof(more)));
}
END_TEST

START_TEST(reports_and_gates_of_nonsense)
{
	struct pod_report report = full_report;
	struct pod_gate gate = full_gate;
	const struct form r = REPORT(report), g = GATE(gate);

	report.sidecar = POD_SIDECAR_DEREGISTERED + 1;
	ck_assert_ptr_null(there_and_back(&r));
	report = full_report;
	report.text = long_text;
	ck_assert_ptr_null(there_and_back(&r));
	gate.seen = POD_CONDITION_TRUE + 1;
	ck_assert_ptr_null(there_and_back(&g));
	gate = full_gate;
	gate.reason = "";
	ck_assert_ptr_null(there_and_back(&g));
}
END_TEST

START_TEST(names_of_states)
{
	static const char *const words[] = { "none", "waiting", "registered",
		"deregistered", "unknown" };

	ck_assert_str_eq(pod_sidecar_name((enum pod_sidecar)_i), words[_i]);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("pod");
	TCase *t = tcase_create("pod");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_checked_fixture(t, setup, NULL);
	tcase_add_loop_test(t, a_key_and_back, 0, COUNT(names));
	tcase_add_test(t, keys_stand_before_services);
	tcase_add_test(t, names_have_a_bound);
	tcase_add_loop_test(t, other_keys, 0, COUNT(bad_keys));
	tcase_add_loop_test(t, comes_back_the_same, 0, COUNT(forms));
	tcase_add_loop_test(t, of_another_key, 0, COUNT(forms));
	tcase_add_loop_test(t, every_cut_is_refused, 0, COUNT(forms));
	tcase_add_loop_test(t, every_flipped_byte_is_survived, 0, COUNT(forms));
	tcase_add_loop_test(t, nonsense_is_refused, 0, COUNT(spoilers));
	tcase_add_test(t, too_many_addresses);
	tcase_add_test(t, reports_and_gates_of_nonsense);
	tcase_add_loop_test(t, names_of_states, 0, 5);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
