#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/pod.h"
#include "tests/unit/pod_text.h"
#include "workers/kubelet_reader/podlist.h"
#include "workers/kubelet_reader/split.h"

#define COUNT(a) (sizeof(a) / sizeof(*(a)))
#define A        "katalog-sync.wish.com/"
#define NAMES    "metadata/annotations"

static const char secret[SPLIT_SECRET] = "no secret, but long enough";

/* A reader without I/O: what it would have published is in a json object. */
struct shell {
	struct podlist_conf conf;
	struct refusal refusal;
	struct split *split;
	struct podlist *list;
	struct guard_list last;
	json_object *services; /* id -> what pods.c encoded, in hex */
	json_object *items; /* "namespace/name" -> the same */
	size_t piece; /* bytes that come at once */
	XXH128_hash_t prefix; /* of the last pod */
	size_t known; /* pods that were not even scanned */
	size_t puts; /* of services */
	size_t dels;
	size_t item_puts;
	size_t item_dels;
	size_t notices;
	char notice[700]; /* the last one */
};

static bool
on_pod(const struct split_pod *pod, void *arg)
{
	struct shell *sh = arg;

	sh->prefix = pod->prefix;
	sh->known += pod->known;
	return podlist_add(sh->list, pod);
}

static bool
on_known(XXH128_hash_t prefix, size_t *len, XXH128_hash_t *hash, void *arg)
{
	return podlist_known(((struct shell *)arg)->list, prefix, len, hash);
}

static const struct split_ops split_ops = { on_pod, on_known };

static void
keep(json_object *in, const char *name, const struct pod_entry *e)
{
	char *hex = xcalloc(2 * e->len + 1, 1);

	for (size_t i = 0; i < e->len; i++)
		sprintf(hex + 2 * i, "%02x", ((uint8_t *)e->value)[i]);
	json_object_object_add(in, name, json_object_new_string(hex));
	free(hex);
}

static void
name_of(const struct pod_entry *e, char *name, size_t cap)
{
	struct pod_item *item =
	    pod_item_decode(e->key, e->key_len, e->value, e->len);

	ck_assert_ptr_nonnull(item);
	snprintf(name, cap, "%s/%s", item->namespace, item->name);
	free(item);
}

/* Its pod is there already. */
static void
put_service(struct shell *sh, const struct pod_entry *e)
{
	struct service *s =
	    service_decode(e->key, e->key_len, e->value, e->len);
	char name[400];

	ck_assert_ptr_nonnull(s);
	snprintf(name, sizeof(name), "%s/%s", s->namespace, s->pod);
	free(s);
	ck_assert_ptr_nonnull(json_object_object_get(sh->items, name));
	keep(sh->services, e->key, e);
	sh->puts++;
}

static void
on_put(const struct pod_entry *e, void *arg)
{
	struct shell *sh = arg;
	char name[400];

	if (!pod_key_is(e->key, e->key_len)) {
		put_service(sh, e);
		return;
	}
	name_of(e, name, sizeof(name));
	keep(sh->items, name, e);
	sh->item_puts++;
}

static void
del_from(json_object *o, const char *name)
{
	ck_assert(json_object_object_get(o, name) != NULL);
	json_object_object_del(o, name);
}

static void
on_del(const struct pod_entry *e, void *arg)
{
	struct shell *sh = arg;
	char name[400];

	if (!pod_key_is(e->key, e->key_len)) {
		del_from(sh->services, e->key);
		sh->dels++;
		return;
	}
	name_of(e, name, sizeof(name));
	del_from(sh->items, name);
	sh->item_dels++;
}

static void
on_notice(const char *line, void *arg)
{
	struct shell *sh = arg;

	ck_assert_ptr_nonnull(strstr(line, "pod default/"));
	snprintf(sh->notice, sizeof(sh->notice), "%s", line);
	sh->notices++;
}

static const struct podlist_ops ops = { on_put, on_del, on_notice };

static struct shell *
shell_new(const char *node, bool node_optional)
{
	struct shell *sh = xcalloc(1, sizeof(*sh));

	sh->piece = 16384;
	sh->conf = (struct podlist_conf){
		.pods = { 500, 5000, 1000, 10000, 10000 },
		.node = node,
		.node_optional = node_optional,
	};
	sh->split = split_new(&split_ops, secret, &sh->refusal, sh);
	sh->list = podlist_new(&sh->conf, secret, &sh->refusal);
	sh->services = json_object_new_object();
	sh->items = json_object_new_object();
	return sh;
}

static void
shell_free(struct shell *sh)
{
	podlist_free(sh->list);
	split_free(sh->split);
	json_object_put(sh->services);
	json_object_put(sh->items);
	free(sh);
}

/* False: refused. In pieces, as from a socket. */
static bool
read_text(struct shell *sh, const char *s, size_t len)
{
	podlist_begin(sh->list);
	split_begin(sh->split);
	sh->known = sh->puts = sh->dels = sh->notices = 0;
	sh->item_puts = sh->item_dels = 0;
	for (size_t at = 0; at < len; at += sh->piece) {
		size_t n = len - at < sh->piece ? len - at : sh->piece;

		if (!split_feed(sh->split, s + at, n))
			break;
	}
	if (split_end(sh->split) && podlist_end(sh->list, &sh->last))
		return true;
	podlist_drop(sh->list);
	return false;
}

static bool
read_json(struct shell *sh, json_object *list)
{
	struct text t = text_of_json(list, JSON_C_TO_STRING_PLAIN);
	bool ok = read_text(sh, t.s, t.len);

	text_free(&t);
	return ok;
}

static void
read_and_accept(struct shell *sh, json_object *list)
{
	ck_assert_msg(read_json(sh, list), "%s: %s", sh->refusal.where,
	    sh->refusal.why);
	podlist_accept(sh->list, &ops, sh);
}

static json_object *
pod_of(json_object *list, size_t i)
{
	return json_object_array_get_idx(list_items(list), i);
}

static void
set_text(json_object *o, const char *path, const char *s)
{
	json_set(o, path, json_object_new_string(s));
}

/* Annotations have slashes in their names. */
static void
annotate(json_object *pod, const char *name, const char *value)
{
	json_object_object_add(json_at(pod, NAMES), name,
	    json_object_new_string(value));
}

static void
set_ready(json_object *pod, bool ready)
{
	json_object *states = json_at(pod, "status/containerStatuses");

	for (size_t i = 0; i < json_object_array_length(states); i++)
		json_set(json_object_array_get_idx(states, i), "ready",
		    json_object_new_boolean(ready));
}

static void
shuffle(json_object *list)
{
	json_object *old = list_items(list), *new = json_object_new_array();
	size_t n = json_object_array_length(old), *order;

	order = xcalloc(n, sizeof(*order));
	for (size_t i = 0; i < n; i++) {
		size_t j = (size_t)random() % (i + 1);

		order[i] = order[j];
		order[j] = i;
	}
	for (size_t i = 0; i < n; i++)
		json_object_array_add(new,
		    json_object_get(json_object_array_get_idx(old, order[i])));
	free(order);
	json_set(list, "items", new);
}

static struct podlist_stats
stats(const struct shell *sh)
{
	return podlist_stats(sh->list);
}

static const struct {
	unsigned pods; /* 0: the real list as it is */
	size_t n;
	size_t ours;
	size_t services;
	uint64_t interval_ms;
} lists[] = {
	{ 0, 6, 5, 7, 1000 },
	{ 110, 110, 91, 128, 1000 },
	{ 500, 500, 416, 583, 1000 },
};

START_TEST(same_pods_are_not_parsed_again)
{
	json_object *list =
	    lists[_i].pods > 0 ? many_pods(lists[_i].pods) : real_list();
	struct shell *sh = shell_new("", false);

	read_and_accept(sh, list);
	ck_assert_uint_eq(sh->puts, lists[_i].services);
	ck_assert_uint_eq(json_object_object_length(sh->services),
	    lists[_i].services);
	ck_assert_uint_eq(sh->item_puts, lists[_i].n);
	ck_assert_uint_eq(podlist_services(sh->list), lists[_i].services);
	ck_assert_uint_eq(podlist_pods(sh->list), lists[_i].n);
	ck_assert_uint_eq(podlist_ours(sh->list), lists[_i].ours);
	ck_assert_uint_eq(podlist_interval(sh->list), lists[_i].interval_ms);
	ck_assert_str_eq(podlist_node(sh->list), "n1");
	ck_assert(stats(sh).ours_changed);
	for (int i = 0; i < 4; i++) {
		struct guard_list before = sh->last;

		shuffle(list);
		read_and_accept(sh, list);
		ck_assert_uint_eq(stats(sh).parsed, 0);
		ck_assert_uint_eq(stats(sh).same, lists[_i].n);
		ck_assert(!stats(sh).ours_changed);
		ck_assert_uint_eq(sh->puts + sh->dels + sh->notices, 0);
		ck_assert_uint_eq(sh->item_puts + sh->item_dels, 0);
		ck_assert_int_eq(memcmp(&before, &sh->last, sizeof(before)), 0);
	}
	shell_free(sh);
	json_object_put(list);
}
END_TEST

START_TEST(a_flip_touches_one_pod)
{
	json_object *list = real_list();
	struct shell *sh = shell_new("", false);

	sh->piece = 1 << 20;
	read_and_accept(sh, list);
	set_ready(pod_of(list, 1), false);
	read_and_accept(sh, list);
	ck_assert_uint_eq(stats(sh).parsed, 1);
	ck_assert(stats(sh).ours_changed);
	ck_assert_uint_eq(sh->puts, 2);
	ck_assert_uint_eq(sh->item_puts, 1);
	ck_assert_uint_eq(sh->dels + sh->item_dels, 0);
	ck_assert_uint_eq(sh->last.pods_lost, 0);
	ck_assert_uint_eq(sh->known, 5);
	/* It is known by its new bytes from now on. */
	read_and_accept(sh, list);
	ck_assert_uint_eq(stats(sh).parsed, 0);
	ck_assert_uint_eq(sh->known, 6);
	shell_free(sh);
	json_object_put(list);
}
END_TEST

/* Else a hostile list could have it looked for as often as it likes. */
START_TEST(a_pod_is_known_once_a_read)
{
	json_object *list = real_list();
	struct shell *sh = shell_new("", false);
	XXH128_hash_t hash;
	size_t len;

	read_and_accept(sh, list);
	podlist_begin(sh->list);
	ck_assert(podlist_known(sh->list, sh->prefix, &len, &hash));
	ck_assert(!podlist_known(sh->list, sh->prefix, &len, &hash));
	podlist_begin(sh->list);
	ck_assert(podlist_known(sh->list, sh->prefix, &len, &hash));
	shell_free(sh);
	json_object_put(list);
}
END_TEST

START_TEST(others_pods_change_nothing)
{
	json_object *list = real_list();
	struct shell *sh = shell_new("", false);

	read_and_accept(sh, list);
	set_text(pod_of(list, 0), "status/phase", "Running");
	read_and_accept(sh, list);
	ck_assert_uint_eq(stats(sh).parsed, 1);
	ck_assert(!stats(sh).ours_changed);
	ck_assert_uint_eq(sh->puts + sh->dels, 0);
	shell_free(sh);
	json_object_put(list);
}
END_TEST

START_TEST(pods_come_and_go)
{
	json_object *list = real_list(), *pod;
	struct shell *sh = shell_new("", false);

	read_and_accept(sh, list);
	pod = json_object_get(pod_of(list, 1));
	json_object_array_del_idx(list_items(list), 1, 1);
	read_and_accept(sh, list);
	ck_assert_uint_eq(sh->dels, 2);
	ck_assert_uint_eq(sh->puts, 0);
	ck_assert_uint_eq(sh->last.pods_lost, 1);
	ck_assert_uint_eq(sh->last.ours_lost, 1);
	ck_assert_uint_eq(podlist_ours(sh->list), 4);
	json_object_array_add(list_items(list), pod);
	read_and_accept(sh, list);
	ck_assert_uint_eq(sh->puts, 2);
	ck_assert_uint_eq(json_object_object_length(sh->services), 7);
	shell_free(sh);
	json_object_put(list);
}
END_TEST

START_TEST(a_pod_is_replaced)
{
	json_object *list = real_list();
	struct shell *sh = shell_new("", false);

	read_and_accept(sh, list);
	set_text(pod_of(list, 1), "metadata/uid", "another-uid");
	read_and_accept(sh, list);
	/* Lost, and yet its services are there all the time. */
	ck_assert_uint_eq(sh->last.pods_lost, 1);
	ck_assert_uint_eq(sh->puts, 2);
	ck_assert_uint_eq(sh->item_puts, 1);
	ck_assert_uint_eq(sh->dels + sh->item_dels, 0);
	shell_free(sh);
	json_object_put(list);
}
END_TEST

START_TEST(services_of_a_pod_change)
{
	json_object *list = real_list();
	struct shell *sh = shell_new("", false);

	read_and_accept(sh, list);
	annotate(pod_of(list, 1), A "service-names", "hw,new");
	read_and_accept(sh, list);
	ck_assert_uint_eq(sh->puts, 2);
	ck_assert_uint_eq(sh->dels, 1);
	ck_assert(json_object_object_get(sh->services,
		      "katalog-sync_hw-admin_default_web-a") == NULL);
	set_text(pod_of(list, 1), "status/phase", "Succeeded");
	read_and_accept(sh, list);
	ck_assert_uint_eq(sh->dels, 2);
	/* Still ours: nothing was lost. */
	ck_assert_uint_eq(sh->last.ours_lost, 0);
	shell_free(sh);
	json_object_put(list);
}
END_TEST

START_TEST(notices_are_said_once)
{
	json_object *list = real_list(), *pod = pod_of(list, 1);
	struct shell *sh = shell_new("", false);

	annotate(pod, A "service-port-hw", "http");
	read_and_accept(sh, list);
	ck_assert_uint_eq(sh->notices, 1);
	ck_assert_uint_eq(sh->puts, 6);
	set_ready(pod, false);
	read_and_accept(sh, list);
	ck_assert_uint_eq(stats(sh).parsed, 1);
	ck_assert_uint_eq(sh->notices, 0);
	annotate(pod, A "service-port-hw", "https");
	read_and_accept(sh, list);
	ck_assert_uint_eq(sh->notices, 1);
	annotate(pod, A "service-port-hw", "81");
	read_and_accept(sh, list);
	ck_assert_uint_eq(sh->notices, 0);
	shell_free(sh);
	json_object_put(list);
}
END_TEST

START_TEST(what_is_dropped_never_was)
{
	json_object *list = real_list(), *empty = real_list();
	struct shell *sh = shell_new("", false);

	read_and_accept(sh, list);
	json_set(empty, "items", json_object_new_array());
	ck_assert(read_json(sh, empty));
	ck_assert_uint_eq(sh->last.pods_lost, 6);
	ck_assert_uint_eq(sh->last.ours_lost, 5);
	podlist_drop(sh->list);
	ck_assert_uint_eq(podlist_pods(sh->list), 6);
	annotate(pod_of(list, 1), A "service-port-hw", "http");
	ck_assert(read_json(sh, list));
	podlist_drop(sh->list);
	ck_assert_uint_eq(sh->notices + sh->puts + sh->dels, 0);
	/* Twice the same, and the notice is still to be said. */
	read_and_accept(sh, list);
	ck_assert_uint_eq(stats(sh).parsed, 1);
	ck_assert_uint_eq(sh->notices, 1);
	ck_assert_uint_eq(sh->dels, 1);
	read_and_accept(sh, empty);
	ck_assert_uint_eq(json_object_object_length(sh->services), 0);
	ck_assert_uint_eq(sh->item_dels, 6);
	ck_assert_uint_eq(json_object_object_length(sh->items), 0);
	shell_free(sh);
	json_object_put(empty);
	json_object_put(list);
}
END_TEST

/* Reads that are compared with the list that counts, and with one that waits. */

#define OTHER_BYTES 0x100 /* of pod 1 */
#define OTHER_UID   0x200 /* of pod 5 */
#define ANOTHER     0x400 /* pod that is in no other list */

/* Bit i: the real list's pod i. */
static json_object *
some_pods(unsigned which)
{
	json_object *list = real_list(), *items = json_object_new_array();

	set_ready(pod_of(list, 1), (which & OTHER_BYTES) == 0);
	if ((which & OTHER_UID) != 0)
		set_text(pod_of(list, 5), "metadata/uid", "another");
	for (size_t i = 0; i < 6; i++) {
		if ((which >> i & 1) != 0)
			json_object_array_add(items,
			    json_object_get(pod_of(list, i)));
	}
	if ((which & ANOTHER) != 0)
		json_object_array_add(items, clone_pod(list, 2, 9));
	json_set(list, "items", items);
	return list;
}

/* All but the first pod are ours. */
static const struct {
	unsigned waits;
	unsigned read;
	size_t lost;
	size_t returned;
	size_t lost_more;
	size_t ours_lost_more;
} seconds[] = {
	{ 0x07, 0x07, 3, 0, 0, 0 },
	{ 0x07, 0x03, 4, 0, 1, 1 },
	{ 0x07, 0x02, 5, 0, 2, 1 },
	{ 0x07, 0x0f, 2, 1, 0, 0 },
	{ 0x07, 0x0e, 3, 1, 1, 0 },
	{ 0x07, 0x3f | OTHER_BYTES, 0, 3, 0, 0 },
	{ 0x07, 0x00, 6, 0, 3, 2 },
	{ 0x00, 0x00, 6, 0, 0, 0 },
	{ 0x00, 0x01, 5, 1, 0, 0 },
	{ 0x07, 0x07 | ANOTHER, 3, 0, 0, 0 },
	{ 0x07 | ANOTHER, 0x07, 3, 0, 0, 0 },
	{ 0x07, 0x07 | OTHER_BYTES, 3, 0, 0, 0 },
	{ 0x07 | OTHER_BYTES, 0x07, 3, 0, 0, 0 },
	{ 0x07, 0x27 | OTHER_UID, 3, 0, 0, 0 },
	{ 0x27 | OTHER_UID, 0x27, 2, 1, 0, 0 },
};

/* Each is read and dropped. */
static void
read_and_drop(struct shell *sh, unsigned which)
{
	json_object *list = some_pods(which);

	ck_assert(read_json(sh, list));
	podlist_drop(sh->list);
	json_object_put(list);
}

START_TEST(a_list_beside_the_one_that_waits)
{
	json_object *list = some_pods(0x3f), *waits;
	struct shell *sh = shell_new("", false);

	read_and_accept(sh, list);
	/* One that waited before is forgotten. */
	for (unsigned before = 0; before < 2; before++) {
		waits = some_pods(before == 0 ? 0x21 : seconds[_i].waits);
		ck_assert(read_json(sh, waits));
		podlist_waits(sh->list);
		podlist_drop(sh->list);
		json_object_put(waits);
	}
	/* What is read between them changes nothing. */
	read_and_drop(sh, 0x10);
	read_and_drop(sh, seconds[_i].read);
	ck_assert_uint_eq(sh->last.pods_lost, seconds[_i].lost);
	ck_assert_uint_eq(sh->last.returned, seconds[_i].returned);
	ck_assert_uint_eq(sh->last.lost_more, seconds[_i].lost_more);
	ck_assert_uint_eq(sh->last.ours_lost_more, seconds[_i].ours_lost_more);
	shell_free(sh);
	json_object_put(list);
}
END_TEST

/* A pod of the apiserver's that somebody gave a static pod's name. */

static json_object *
twin_of(json_object *pod, const char *source, const char *uid)
{
	json_object *twin = NULL;

	json_object_deep_copy(pod, &twin, NULL);
	set_text(twin, "metadata/uid", uid);
	annotate(twin, "kubernetes.io/config.source", source);
	annotate(twin, A "service-names", "static,hw");
	return twin;
}

static void
check_twin_is_left_out(struct shell *sh)
{
	ck_assert_uint_eq(podlist_pods(sh->list), 6);
	ck_assert_uint_eq(podlist_services(sh->list), 7);
	ck_assert_uint_eq(sh->last.from_api, 5);
	ck_assert_uint_eq(sh->last.ours, 5);
	ck_assert(json_object_object_get(sh->services,
		      "katalog-sync_static_default_web-a") != NULL);
	ck_assert(json_object_object_get(sh->services,
		      "katalog-sync_hw-admin_default_web-a") == NULL);
}

START_TEST(a_static_pod_has_a_twin)
{
	json_object *list = real_list(), *items = list_items(list);
	struct shell *sh = shell_new("", false);

	if (_i > 0)
		read_and_accept(sh, list);
	json_object_array_add(items,
	    twin_of(pod_of(list, 1), "file", "another"));
	read_and_accept(sh, list);
	check_twin_is_left_out(sh);
	ck_assert_uint_eq(sh->notices, 1);
	ck_assert_ptr_nonnull(
	    strstr(sh->notice, "pod default/web-a: a static pod has"));
	for (int i = 0; i < 5; i++) {
		shuffle(list);
		read_and_accept(sh, list);
		check_twin_is_left_out(sh);
		ck_assert_uint_eq(sh->puts + sh->dels + sh->notices, 0);
		ck_assert_uint_eq(sh->last.pods_lost, 0);
		ck_assert(!stats(sh).ours_changed);
	}
	shell_free(sh);
	json_object_put(list);
}
END_TEST

START_TEST(a_twin_stays_alone)
{
	json_object *list = real_list(), *both = real_list();
	struct shell *sh = shell_new("", false);

	json_object_array_add(list_items(both),
	    twin_of(pod_of(both, 1), "file", "another"));
	read_and_accept(sh, both);
	read_and_accept(sh, list);
	ck_assert_uint_eq(sh->last.pods_lost, 1);
	ck_assert_uint_eq(podlist_pods(sh->list), 6);
	ck_assert(json_object_object_get(sh->services,
		      "katalog-sync_static_default_web-a") == NULL);
	ck_assert(json_object_object_get(sh->services,
		      "katalog-sync_hw-admin_default_web-a") != NULL);
	shell_free(sh);
	json_object_put(both);
	json_object_put(list);
}
END_TEST

/* What makes a list void, done to a copy of the list that counts. */

static void
same_bytes_twice(json_object *list)
{
	json_object_array_add(list_items(list),
	    json_object_get(pod_of(list, 2)));
}

static void
same_name_twice(json_object *list)
{
	json_object *twin = NULL;

	json_object_deep_copy(pod_of(list, 2), &twin, NULL);
	set_text(twin, "metadata/uid", "another");
	json_object_array_add(list_items(list), twin);
}

/* Two that are static, and one by two kinds of bytes. */
static void
static_twins(json_object *list)
{
	json_object_array_add(list_items(list),
	    twin_of(pod_of(list, 2), "file", "another"));
	json_object_array_add(list_items(list),
	    twin_of(pod_of(list, 2), "http", "third"));
}

static void
static_twin_of_one_uid(json_object *list)
{
	json_object *pod = pod_of(list, 2);

	json_object_array_add(list_items(list),
	    twin_of(pod, "file",
		json_object_get_string(json_at(pod, "metadata/uid"))));
}

static void
new_twins(json_object *list)
{
	json_object *pod = clone_pod(list, 2, 9);

	json_object_array_add(list_items(list), pod);
	json_object_array_add(list_items(list), json_object_get(pod));
}

static void
other_node(json_object *list)
{
	set_text(pod_of(list, 5), "spec/nodeName", "another-node");
}

static void
all_of_other_node(json_object *list)
{
	for (size_t i = 0; i < 6; i++)
		set_text(pod_of(list, i), "spec/nodeName", "another-node");
}

static void
no_node(json_object *list)
{
	json_object_object_del(json_at(pod_of(list, 3), "spec"), "nodeName");
}

static void
wrong_type(json_object *list)
{
	json_set(pod_of(list, 4), "metadata", json_object_new_array());
}

static void
not_a_list(json_object *list)
{
	json_set(list, "items", json_object_new_object());
}

static const struct {
	void (*spoil)(json_object *);
	const char *where;
	const char *why;
	bool wrong_node;
} refusals[] = {
	{ same_bytes_twice, "pod default/shop-7c9d-x1", "twice", false },
	{ same_name_twice, "pod default/shop-7c9d-x1", "two pods", false },
	{ static_twins, "pod default/shop-7c9d-x1", "two pods", false },
	{ static_twin_of_one_uid, "pod default/shop-7c9d-x1", "two pods",
	    false },
	{ new_twins, "pod default/shop-7c9d-x1-9", "twice", false },
	{ other_node, "pod default/host-0",
	    "it is of node \"another-node\", not \"n1\"", true },
	{ all_of_other_node, "pod default/plain-0", "another-node", true },
	{ no_node, "pod default/gated-0", "no \"nodeName\"", false },
	{ wrong_type, "byte", "\"metadata\" is not an object", false },
	{ not_a_list, "byte", "not a list", false },
};

START_TEST(refused_lists_change_nothing)
{
	json_object *list = real_list(), *bad = real_list();
	struct shell *sh = shell_new("", false);

	read_and_accept(sh, list);
	refusals[_i].spoil(bad);
	for (int i = 0; i < 3; i++) {
		ck_assert(!read_json(sh, bad));
		ck_assert_msg(strstr(sh->refusal.where, refusals[_i].where) !=
			NULL,
		    "%s", sh->refusal.where);
		ck_assert_msg(strstr(sh->refusal.why, refusals[_i].why) != NULL,
		    "%s", sh->refusal.why);
		ck_assert_int_eq(stats(sh).wrong_node, refusals[_i].wrong_node);
	}
	read_and_accept(sh, list);
	ck_assert_uint_eq(stats(sh).parsed, 0);
	ck_assert_uint_eq(sh->puts + sh->dels, 0);
	shell_free(sh);
	json_object_put(bad);
	json_object_put(list);
}
END_TEST

/* The first list ever. */
static const struct {
	const char *node;
	bool optional;
	void (*spoil)(json_object *);
	bool good;
} nodes[] = {
	{ "", false, NULL, true },
	{ "n1", false, NULL, true },
	{ "n2", false, NULL, false },
	{ "n2", true, NULL, false },
	{ "", false, all_of_other_node, true },
	{ "", false, other_node, false },
	{ "n1", false, other_node, false },
	{ "", false, no_node, false },
	{ "", true, no_node, true },
	{ "n1", true, no_node, true },
};

START_TEST(nodes_of_the_first_list)
{
	json_object *list = real_list();
	struct shell *sh = shell_new(nodes[_i].node, nodes[_i].optional);

	if (nodes[_i].spoil != NULL)
		nodes[_i].spoil(list);
	ck_assert_int_eq(read_json(sh, list), nodes[_i].good);
	shell_free(sh);
	json_object_put(list);
}
END_TEST

START_TEST(a_node_is_learned_from_a_list_that_counts)
{
	json_object *list = real_list(), *other = real_list();
	struct shell *sh = shell_new("", false);

	all_of_other_node(other);
	ck_assert(read_json(sh, other));
	podlist_drop(sh->list);
	ck_assert_str_eq(podlist_node(sh->list), "");
	read_and_accept(sh, list);
	ck_assert(!read_json(sh, other));
	shell_free(sh);
	json_object_put(other);
	json_object_put(list);
}
END_TEST

/* Random changes, and each time the same as if it were the first list. */

static void
change_at_random(json_object *list)
{
	json_object *items = list_items(list);
	size_t i = (size_t)random() % json_object_array_length(items);
	static unsigned number = 1000;

	switch (random() % 5) {
	case 0:
		set_ready(json_object_array_get_idx(items, i),
		    random() % 2 == 0);
		break;
	case 1:
		if (json_object_array_length(items) > 1)
			json_object_array_del_idx(items, i, 1);
		break;
	case 2:
		json_object_array_add(items, clone_pod(list, i, number++));
		break;
	case 3:
		annotate(json_object_array_get_idx(items, i), A "service-tags",
		    random() % 2 == 0 ? "x" : "a,longer,one");
		break;
	default:
		shuffle(list);
	}
}

START_TEST(any_history_leads_to_the_same)
{
	json_object *list = many_pods(20);
	struct shell *sh = shell_new("", false);

	srandom((unsigned)_i);
	for (int i = 0; i < 50; i++) {
		struct shell *new = shell_new("", false);

		for (long n = random() % 4; n > 0; n--)
			change_at_random(list);
		read_and_accept(sh, list);
		read_and_accept(new, list);
		ck_assert(json_object_equal(sh->services, new->services));
		ck_assert(json_object_equal(sh->items, new->items));
		ck_assert_uint_eq(podlist_interval(sh->list),
		    podlist_interval(new->list));
		shell_free(new);
	}
	shell_free(sh);
	json_object_put(list);
}
END_TEST

/* That many pods, each of as many services as one may have. */
static struct text
crowd(size_t pods)
{
	struct text t;
	FILE *out = open_memstream(&t.s, &t.len);

	ck_assert_ptr_nonnull(out);
	fputs("{\"kind\":\"PodList\",\"apiVersion\":\"v1\",\"items\":[", out);
	for (size_t i = 0; i < pods; i++) {
		fprintf(out,
		    "%s{\"metadata\":{\"namespace\":\"default\",\"name\":\"p%"
		    "zu\","
		    "\"uid\":\"u%zu\",\"annotations\":{\"" A
		    "service-port\":\"1\",\"" A "service-names\":\"s",
		    i > 0 ? "," : "", i, i);
		for (int n = 1; n < LIMIT_SERVICES_PER_POD; n++)
			fprintf(out, ",s%d", n);
		fputs("\"}},\"spec\":{\"nodeName\":\"n1\"},\"status\":{"
		      "\"phase\":\"Running\",\"podIP\":\"10.0.0.1\"}}",
		    out);
	}
	fputs("]}", out);
	ck_assert_int_eq(fclose(out), 0);
	return t;
}

START_TEST(a_list_has_a_limit_of_services)
{
	struct shell *sh = shell_new("n1", false);
	size_t most = LIMIT_SERVICES / LIMIT_SERVICES_PER_POD;

	for (size_t more = 0; more < 2; more++) {
		struct text t = crowd(most + more);

		ck_assert_msg(read_text(sh, t.s, t.len) == (more == 0), "%s",
		    sh->refusal.why);
		text_free(&t);
	}
	ck_assert_ptr_nonnull(strstr(sh->refusal.why, "too many services"));
	shell_free(sh);
}
END_TEST

static TCase *
cases(void)
{
	TCase *t = tcase_create("podlist");

	tcase_set_timeout(t, 120);
	tcase_add_loop_test(t, same_pods_are_not_parsed_again, 0, COUNT(lists));
	tcase_add_test(t, a_flip_touches_one_pod);
	tcase_add_test(t, a_pod_is_known_once_a_read);
	tcase_add_test(t, others_pods_change_nothing);
	tcase_add_test(t, pods_come_and_go);
	tcase_add_test(t, a_pod_is_replaced);
	tcase_add_test(t, services_of_a_pod_change);
	tcase_add_test(t, notices_are_said_once);
	tcase_add_test(t, what_is_dropped_never_was);
	tcase_add_loop_test(t, a_list_beside_the_one_that_waits, 0,
	    COUNT(seconds));
	tcase_add_loop_test(t, a_static_pod_has_a_twin, 0, 2);
	tcase_add_test(t, a_twin_stays_alone);
	tcase_add_loop_test(t, refused_lists_change_nothing, 0,
	    COUNT(refusals));
	tcase_add_loop_test(t, nodes_of_the_first_list, 0, COUNT(nodes));
	tcase_add_test(t, a_node_is_learned_from_a_list_that_counts);
	tcase_add_test(t, a_list_has_a_limit_of_services);
	tcase_add_loop_test(t, any_history_leads_to_the_same, 0, 5);
	return t;
}

int
main(void)
{
	Suite *s = suite_create("podlist");
	SRunner *r = srunner_create(s);
	int failed;

	suite_add_tcase(s, cases());
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
