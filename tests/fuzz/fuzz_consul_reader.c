/*
 * libFuzzer: what Consul answers to consul-reader. Whatever the pieces are in
 * which a list comes, it says the same; and a service that was read before has
 * the same instances in the end as one that is read for the first time.
 *
 * Input: a byte for what is read (0-3: a list, else a service), a byte for the
 * size of pieces, then the first body, NUL, the second body. Without NUL: the
 * same body twice.
 */
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "common/backend.h"
#include "common/state.h"
#include "workers/consul_reader/catalog.h"
#include "workers/consul_reader/listing.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char secret[LISTING_SECRET] = "no secret, but long enough";

struct body {
	char *s;
	size_t len;
};

static void
must(bool ok)
{
	if (!ok)
		abort();
}

/* ---- lists ---- */

struct said {
	XXH64_hash_t hash;
	size_t changes;
};

static void
on_change(const struct listing_change *c, void *arg)
{
	struct said *s = arg;

	must(*c->name != '\0' && strlen(c->name) <= LIMIT_SERVICE_NAME);
	s->hash = XXH64(c->name, strlen(c->name),
	    s->hash + (XXH64_hash_t)c->about * 2 + c->now);
	s->changes++;
}

static struct listing *
new_listing(enum listing_kind kind, struct said *said)
{
	struct listing_conf conf = {
		.kind = kind,
		.tag = "k",
		.secret = secret,
		.changed = on_change,
		.arg = said,
	};

	return listing_new(&conf);
}

static bool
read_list(struct listing *l, const struct body *b, size_t piece)
{
	size_t at, left;

	listing_begin(l);
	for (at = 0; at < b->len; at += piece) {
		left = b->len - at;
		if (!listing_feed(l, b->s + at, left < piece ? left : piece))
			break;
	}
	if (!listing_end(l)) {
		must(refused(listing_refusal(l)));
		listing_drop(l);
		return false;
	}
	listing_commit(l);
	return true;
}

static void
fuzz_lists(enum listing_kind kind, size_t piece, const struct body b[2])
{
	struct said in_pieces = { 0 }, whole = { 0 };
	struct listing *l = new_listing(kind, &in_pieces);
	struct listing *m = new_listing(kind, &whole);
	size_t changes;

	for (int i = 0; i < 2; i++) {
		bool ok = read_list(l, &b[i], piece);

		must(ok == read_list(m, &b[i], b[i].len + 1));
		must(in_pieces.hash == whole.hash);
		changes = whole.changes;
		/* What was just said is no news. */
		must(!ok || read_list(m, &b[i], b[i].len + 1));
		must(whole.changes == changes);
	}
	listing_free(l);
	listing_free(m);
}

/* ---- services ---- */

static bool
on_put(const void *key, size_t key_len, const void *val, size_t val_len,
    void *arg)
{
	struct backend_service *s =
	    backend_service_decode(key, key_len, val, val_len);
	struct backend_instance *in =
	    backend_instance_decode(key, key_len, val, val_len);

	must((s != NULL) != (in != NULL));
	set_put(arg, key, key_len, val, val_len);
	free(s);
	free(in);
	return true;
}

static void
on_del(const void *key, size_t key_len, void *arg)
{
	set_del(arg, key, key_len);
}

static void
on_text(const char *text, void *arg)
{
	(void)arg;
	must(*text != '\0');
}

static const char *
on_lookup(const char *host, void *arg)
{
	(void)arg;
	return strlen(host) % 2 == 0 ? "10.0.0.1,[::2]" : "";
}

static size_t held;

static void
on_hold(const char *host, void *arg)
{
	(void)arg;
	must(*host != '\0');
	held++;
}

static void
on_release(const char *host, void *arg)
{
	(void)host;
	(void)arg;
	must(held-- > 0);
}

static const struct catalog_ops ops = { on_put, on_del, on_text, on_lookup,
	on_hold, on_release, on_text };

static struct catalog *
new_catalog(struct set *set, struct trust *trust)
{
	struct catalog_conf conf = {
		.derive = { "k", "internal", "external", true, false },
		.ops = &ops,
		.trust = trust,
		.secret = secret,
		.arg = set,
	};

	trust_init(trust, 1000);
	return catalog_new(&conf);
}

static bool
read_service(struct catalog *c, const struct body *b, size_t piece,
    uint64_t now)
{
	struct catalog_read *rd = catalog_read_new(c, "web");
	enum catalog_result res;

	catalog_named(c, "web");
	for (size_t at = 0, n; at < b->len; at += n) {
		n = b->len - at < piece ? b->len - at : piece;
		if (!catalog_read_feed(rd, b->s + at, n))
			break;
	}
	res = catalog_read_end(rd, false, now);
	must((res == CATALOG_REFUSED) == refused(catalog_read_refusal(rd)));
	catalog_read_free(rd);
	return res != CATALOG_REFUSED;
}

/* The service itself keeps its age. */
static bool
same_instances(const struct set *a, const struct set *b)
{
	const struct set_entry *e, *other;

	if (set_count(a) != set_count(b))
		return false;
	for (e = set_first(a); e != NULL; e = set_next(a, e)) {
		other = set_get(b, e->key, e->key_len);
		if (other == NULL)
			return false;
		if (*(const char *)e->key == 'i' &&
		    (e->val_len != other->val_len ||
			memcmp(e->val, other->val, e->val_len) != 0))
			return false;
	}
	return true;
}

static void
fuzz_service(size_t piece, const struct body b[2])
{
	struct set *old = set_new(), *new = set_new();
	struct trust trusts[2];
	struct catalog *c = new_catalog(old, &trusts[0]);
	struct catalog *d = new_catalog(new, &trusts[1]);
	bool was_there = read_service(c, &b[0], piece, 1000), ok;

	/* A second look, for what has to wait for one. */
	ok = read_service(c, &b[1], piece, 1000000);
	must(read_service(c, &b[1], piece, 2000000) == ok);
	must(read_service(d, &b[1], b[1].len + 1, 1000) == ok);
	/* An answer without an instance says nothing. */
	if (ok && (!was_there || set_count(new) > 0))
		must(same_instances(old, new));
	must(catalog_look_due(c) == UINT64_MAX || !ok);
	catalog_free(c);
	catalog_free(d);
	set_free(old);
	set_free(new);
}

/* Exact copies: what is read beyond the end is found. */
static struct body
copy(const uint8_t *data, size_t len)
{
	char *s = malloc(len + 1);

	must(s != NULL);
	memcpy(s, data, len);
	s[len] = '\0';
	return (struct body){ s, len };
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *nul;
	struct body b[2];
	size_t first;

	if (size < 2)
		return 0;
	nul = memchr(data + 2, '\0', size - 2);
	first = nul != NULL ? (size_t)(nul - data - 2) : size - 2;
	b[0] = copy(data + 2, first);
	if (nul != NULL)
		b[1] = copy(nul + 1, size - first - 3);
	else
		b[1] = copy(data + 2, first);
	if (data[0] <= LISTING_NODES)
		fuzz_lists((enum listing_kind)data[0], (size_t)data[1] + 1, b);
	else
		fuzz_service((size_t)data[1] + 1, b);
	free(b[0].s);
	free(b[1].s);
	return 0;
}
