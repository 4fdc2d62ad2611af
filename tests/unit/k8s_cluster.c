#include "tests/unit/k8s_cluster.h"

#include <check.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "tests/unit/k8s_text.h"

#define OBJECTS 400

struct stored {
	enum kube_kind kind;
	char *name; /* NULL: not used */
	char *text;
	bool foreign;
};

static struct stored objects[OBJECTS];
static unsigned version, uid;

struct cluster_stats cluster_stats;

static void
clear(struct stored *s)
{
	free(s->name);
	free(s->text);
	*s = (struct stored){ 0 };
}

void
cluster_reset(void)
{
	for (size_t i = 0; i < OBJECTS; i++)
		clear(&objects[i]);
	version = 1000;
	uid = 0;
	cluster_stats = (struct cluster_stats){ 0 };
}

static struct stored *
find(enum kube_kind kind, const char *name)
{
	for (size_t i = 0; i < OBJECTS; i++) {
		if (objects[i].name != NULL && objects[i].kind == kind &&
		    strcmp(objects[i].name, name) == 0)
			return &objects[i];
	}
	return NULL;
}

static struct stored *
find_or_make(enum kube_kind kind, const char *name)
{
	struct stored *s = find(kind, name);

	for (size_t i = 0; i < OBJECTS && s == NULL; i++) {
		if (objects[i].name == NULL)
			s = &objects[i];
	}
	ck_assert_ptr_nonnull(s);
	if (s->name == NULL) {
		s->kind = kind;
		s->name = xstrdup(name);
	}
	return s;
}

/* ---- JSON ---- */

static struct json_object *
parse(const char *text)
{
	struct json_object *o = json_tokener_parse(text);

	ck_assert_msg(o != NULL, "%s", text);
	return o;
}

static struct json_object *
get(struct json_object *o, const char *key)
{
	struct json_object *m = NULL;

	if (o != NULL)
		json_object_object_get_ex(o, key, &m);
	return m;
}

static const char *
get_text(struct json_object *o, const char *key)
{
	struct json_object *m = get(o, key);

	return m == NULL ? "" : json_object_get_string(m);
}

static void
set_number(struct json_object *meta, const char *key, const char *prefix,
    unsigned n)
{
	char text[32];

	snprintf(text, sizeof(text), "%s%u", prefix, n);
	json_object_object_add(meta, key, json_object_new_string(text));
}

/* Whose the ports are, or also are. */
static void
add_manager(struct json_object *o, const char *manager, const char *operation)
{
	struct json_object *meta = get(o, "metadata");
	struct json_object *all = get(meta, "managedFields"), *fields;
	char *text;

	if (all == NULL) {
		all = json_object_new_array();
		json_object_object_add(meta, "managedFields", all);
	}
	ck_assert_int_gt(asprintf(&text,
			     "{\"manager\":\"%s\",\"operation\":\"%s\","
			     "\"fieldsV1\":{\"f:spec\":{\"f:ports\":{}}}}",
			     manager, operation),
	    0);
	fields = parse(text);
	json_object_array_add(all, fields);
	free(text);
}

/* Takes o over; a new version, and a uid if it has none. */
static void
store(struct stored *s, struct json_object *o)
{
	struct json_object *meta = get(o, "metadata"), *old = NULL;

	if (s->text != NULL)
		old = parse(s->text);
	if (old == NULL)
		set_number(meta, "uid", "uid-", ++uid);
	else
		json_object_object_add(meta, "uid",
		    json_object_new_string(
			get_text(get(old, "metadata"), "uid")));
	set_number(meta, "resourceVersion", "", ++version);
	free(s->text);
	s->text = xstrdup(json_object_to_json_string_ext(o,
	    JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(o);
	json_object_put(old);
}

/* ---- writes ---- */

static struct kube_object
object_of(const struct stored *s)
{
	struct kube_object o;
	const char *why;

	why =
	    kube_json_object(&k8s_conf, s->kind, s->text, strlen(s->text), &o);
	ck_assert_msg(why == NULL, "%s: %s", why, s->text);
	return o;
}

static bool
guard_holds(const struct stored *s, struct json_object *meta, bool is_apply)
{
	struct json_object *now = s == NULL ? NULL : parse(s->text);
	const char *wanted = get_text(meta, "resourceVersion");
	bool ok;

	/* Where there is none, an apply makes it, whatever version it says. */
	if (now == NULL)
		return is_apply;
	ok = strcmp(wanted,
		 get_text(get(now, "metadata"), "resourceVersion")) == 0;
	json_object_put(now);
	return ok;
}

static bool
owner_is_there(struct json_object *o)
{
	struct json_object *owners = get(get(o, "metadata"), "ownerReferences");
	struct json_object *owner = json_object_array_get_idx(owners, 0);
	const struct stored *s = find(KUBE_SERVICE, get_text(owner, "name"));
	struct kube_object service;
	bool ok;

	if (s == NULL)
		return false;
	service = object_of(s);
	ok = strcmp(service.uid, get_text(owner, "uid")) == 0;
	kube_object_clear(&service);
	return ok;
}

/* Ports that others have set stay, and two of one name are not valid. */
static bool
is_valid(const struct stored *s, struct json_object *o)
{
	struct json_object *now;
	bool ok;

	if (s == NULL || strstr(s->text, "\"operation\":\"Update\"") == NULL)
		return true;
	now = parse(s->text);
	ok = json_object_equal(get(get(now, "spec"), "ports"),
	    get(get(o, "spec"), "ports"));
	json_object_put(now);
	return ok;
}

static enum plan_result
apply(const struct plan_action *a, struct kube_object *got)
{
	struct stored *s = find(a->kind, a->name);
	struct json_object *o = parse(a->body);

	ck_assert_str_eq(a->content_type, "application/apply-patch+yaml");
	if (!guard_holds(s, get(o, "metadata"), true)) {
		json_object_put(o);
		return PLAN_CONFLICT;
	}
	if (a->kind == KUBE_SERVICE && !is_valid(s, o)) {
		json_object_put(o);
		return PLAN_REFUSED;
	}
	add_manager(o, "consul-sync", "Apply");
	cluster_stats.applied++;
	if (a->kind == KUBE_SLICE && !owner_is_there(o))
		cluster_stats.orphans++;
	s = find_or_make(a->kind, a->name);
	cluster_stats.foreign_touched += s->foreign;
	store(s, o);
	*got = object_of(s);
	return PLAN_DONE;
}

/* What a repair is made of: a test of the version, the ports, the selector. */
static bool
patch(struct json_object *o, struct json_object *op)
{
	const char *path = get_text(op, "path");
	struct json_object *spec = get(o, "spec"), *meta = get(o, "metadata");

	if (strcmp(path, "/metadata/resourceVersion") == 0)
		return strcmp(get_text(op, "value"),
			   get_text(meta, "resourceVersion")) == 0;
	if (strcmp(path, "/spec/selector") == 0)
		json_object_object_del(spec, "selector");
	else if (strcmp(path, "/spec/ports") == 0)
		json_object_object_add(spec, "ports",
		    json_object_get(get(op, "value")));
	else
		ck_abort_msg("%s", path);
	return true;
}

static bool
patch_all(struct json_object *o, const char *body)
{
	struct json_object *ops = parse(body);
	bool ok = true;

	for (size_t i = 0; i < json_object_array_length(ops) && ok; i++)
		ok = patch(o, json_object_array_get_idx(ops, i));
	json_object_put(ops);
	return ok;
}

static enum plan_result
repair(const struct plan_action *a, struct kube_object *got)
{
	struct stored *s = find(a->kind, a->name);
	struct json_object *o;

	ck_assert_str_eq(a->content_type, "application/json-patch+json");
	if (s == NULL)
		return PLAN_GONE;
	o = parse(s->text);
	if (!patch_all(o, a->body)) {
		json_object_put(o);
		return PLAN_CONFLICT;
	}
	add_manager(o, "consul-sync", "Update");
	cluster_stats.repaired++;
	cluster_stats.foreign_touched += s->foreign;
	store(s, o);
	*got = object_of(s);
	return PLAN_DONE;
}

static enum plan_result
take_away(const struct plan_action *a, struct kube_object *got)
{
	struct stored *s = find(a->kind, a->name);
	struct json_object *o = parse(a->body);
	bool ok = guard_holds(s, get(o, "preconditions"), false);

	(void)got;
	json_object_put(o);
	ck_assert_str_eq(a->method, "DELETE");
	if (s == NULL)
		return PLAN_GONE;
	if (!ok)
		return PLAN_CONFLICT;
	cluster_stats.deleted++;
	cluster_stats.foreign_touched += s->foreign;
	clear(s);
	return PLAN_DONE;
}

static enum plan_result
look_at(const struct plan_action *a, struct kube_object *got)
{
	const struct stored *s = find(a->kind, a->name);

	ck_assert_str_eq(a->method, "GET");
	ck_assert_ptr_null(a->body);
	ck_assert_ptr_nonnull(
	    strstr(a->path, "?fieldSelector=metadata.name%3D"));
	cluster_stats.looks++;
	if (s != NULL)
		*got = object_of(s);
	return PLAN_DONE;
}

enum plan_result
cluster_write(struct plan_action *a, struct kube_object *got, bool *has_got)
{
	static enum plan_result (*const does[PLAN_OPS])(const struct plan_action
							    *a,
	    struct kube_object *got) = {
		[PLAN_APPLY] = apply,
		[PLAN_REPAIR] = repair,
		[PLAN_DELETE] = take_away,
		[PLAN_LOOK] = look_at,
	};
	enum plan_result r;

	*got = (struct kube_object){ 0 };
	ck_assert_ptr_nonnull(strstr(a->path, a->name));
	r = does[a->op](a, got);
	*has_got = got->name != NULL;
	cluster_stats.conflicts += r == PLAN_CONFLICT;
	free(a->body);
	return r;
}

/* ---- what is shown ---- */

/* Of slices and routes, watches show those with our mark only. */
static bool
is_shown(const struct stored *s, enum kube_kind kind)
{
	return s->name != NULL && s->kind == kind &&
	    (kind == KUBE_SERVICE || !s->foreign);
}

void
cluster_list(struct plan *p, enum kube_kind kind, uint64_t now)
{
	struct kube_object o;

	plan_list_begin(p, kind);
	for (size_t i = 0; i < OBJECTS; i++) {
		if (!is_shown(&objects[i], kind))
			continue;
		o = object_of(&objects[i]);
		plan_seen(p, &o, now);
	}
	plan_list_end(p, kind, now);
}

void
cluster_show(struct plan *p, enum kube_kind kind, const char *name,
    uint64_t now)
{
	const struct stored *s = find(kind, name);
	struct kube_object o;

	ck_assert_ptr_nonnull(s);
	o = object_of(s);
	plan_seen(p, &o, now);
}

size_t
cluster_count(enum kube_kind kind)
{
	size_t n = 0;

	for (size_t i = 0; i < OBJECTS; i++)
		n += objects[i].name != NULL && objects[i].kind == kind;
	return n;
}

size_t
cluster_count_ours(enum kube_kind kind)
{
	size_t n = 0;

	for (size_t i = 0; i < OBJECTS; i++)
		n += objects[i].name != NULL && objects[i].kind == kind &&
		    !objects[i].foreign;
	return n;
}

const char *
cluster_text(enum kube_kind kind, const char *name)
{
	const struct stored *s = find(kind, name);

	return s == NULL ? NULL : s->text;
}

void
cluster_put(enum kube_kind kind, const char *text, bool foreign)
{
	struct json_object *o = parse(text);
	struct stored *s =
	    find_or_make(kind, get_text(get(o, "metadata"), "name"));

	s->foreign = foreign;
	store(s, o);
}

void
cluster_edit(enum kube_kind kind, const char *name, const char *from,
    const char *to)
{
	struct stored *s = find(kind, name);
	struct json_object *o;
	char *text;

	ck_assert_ptr_nonnull(s);
	text = k8s_replace(s->text, from, to);
	o = parse(text);
	add_manager(o, "somebody", "Update");
	store(s, o);
	free(text);
}

void
cluster_delete(struct plan *p, enum kube_kind kind, const char *name,
    uint64_t now)
{
	struct stored *s = find(kind, name);
	struct kube_object o;

	ck_assert_ptr_nonnull(s);
	o = object_of(s);
	clear(s);
	if (p != NULL)
		plan_deleted(p, &o, now);
	kube_object_clear(&o);
}

const char *
cluster_name(enum kube_kind kind, size_t n)
{
	for (size_t i = 0; i < OBJECTS; i++) {
		if (objects[i].name != NULL && objects[i].kind == kind &&
		    n-- == 0)
			return objects[i].name;
	}
	return NULL;
}
