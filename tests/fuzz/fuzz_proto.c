/*
 * libFuzzer: any packet is refused or is as its type's rules say; a replica
 * that is fed any messages tells exactly what it holds.
 *
 * The first byte chooses: a packet (then sender, receiver, the packet), or a
 * play (then messages: one of played[], generation, length of body, body).
 */
#include <stdlib.h>
#include <string.h>

#include "common/proto.h"
#include "common/state.h"

#define COUNT(a) (sizeof(a) / sizeof(*(a)))

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
must(bool ok)
{
	if (!ok)
		abort();
}

/* All fields of an accepted message are found, and nothing else is in it. */
static void
walk(const struct msg *m)
{
	const struct msg_rule *rule = msg_rule(m->type);
	struct tlv_field f, found;
	size_t n = rule->nfields, off = 0, end = 0;

	if (rule->fields == NULL)
		return;
	while (n > 0) {
		f = msg_field(m, rule->fields[--n].tag);
		must(f.val != NULL && f.val + f.len <= m->body + m->len);
	}
	while (tlv_next(m->body, m->len, &off, &found))
		end = off;
	must(end == m->len);
}

/* Version 1 stands for today's, so that the corpus does not age. */
static void
one_packet(const uint8_t *data, size_t size)
{
	uint8_t *packet;
	struct msg m;

	if (size < 3)
		return;
	must((packet = malloc(size - 2)) != NULL);
	memcpy(packet, data + 2, size - 2);
	if (packet[0] == 1)
		packet[0] = PROTO_VERSION;
	for (int fd = 0; fd <= 1; fd++)
		if (proto_check(packet, size - 2, fd, data[0] % ROLE_MAX,
			data[1] % ROLE_MAX, &m) == NULL)
			walk(&m);
	free(packet);
}

/* Bytes that are no message of a type may still be read by its rules. */
static void
all_rules(const uint8_t *data, size_t size)
{
	struct tlv_field f[16];
	const struct msg_rule *r;

	for (unsigned type = 0; type <= MSG_MAX; type++) {
		if ((r = msg_rule(type)) == NULL)
			continue;
		must(r->nfields <= COUNT(f));
		tlv_parse(data, size, r->fields, r->nfields, f);
	}
}

/* A value that ends in '!' is nonsense. */
static bool
mirror_put(const struct set_entry *e, void *arg)
{
	const uint8_t *val = e->val;

	if (e->val_len > 0 && val[e->val_len - 1] == '!')
		return false;
	must(set_put(arg, e->key, e->key_len, e->val, e->val_len));
	return true;
}

static void
mirror_del(const void *key, size_t key_len, bool named, void *arg)
{
	(void)named;
	must(set_del(arg, key, key_len));
}

static const struct replica_ops mirror_ops = { .put = mirror_put,
	.del = mirror_del };

static void
must_agree(const struct replica *r, const struct set *mirror)
{
	const struct set_entry *a = replica_first(r), *b = set_first(mirror);

	for (; a != NULL && b != NULL; a = replica_next(r, a)) {
		must(a->key_len == b->key_len && a->val_len == b->val_len);
		must(memcmp(a->key, b->key, a->key_len) == 0);
		must(
		    a->val_len == 0 || memcmp(a->val, b->val, a->val_len) == 0);
		b = set_next(mirror, b);
	}
	must(a == NULL && b == NULL);
	must(replica_count(r) == set_count(mirror));
}

static const enum msg_type played[] = { MSG_SNAP_BEGIN, MSG_PUT, MSG_DEL,
	MSG_SNAP_END, MSG_RESYNC };

static void
feed_message_to(struct replica *r, const uint8_t *head, const uint8_t *body,
    size_t len)
{
	uint8_t packet[PROTO_HEADER + UINT8_MAX];
	struct msg m;

	proto_header(packet, played[head[0] % COUNT(played)], head[1],
	    (uint32_t)len);
	if (len > 0)
		memcpy(packet + PROTO_HEADER, body, len);
	if (proto_check(packet, PROTO_HEADER + len, false, ROLE_KUBELET_READER,
		ROLE_CONSUL_WRITER, &m) != NULL)
		return;
	/* A protocol error ends the link; a new one follows. */
	if (!replica_message(r, &m))
		replica_attach(r, NULL);
}

static void
play(const uint8_t *data, size_t size)
{
	struct set *mirror = set_new();
	struct replica *r = replica_new(&mirror_ops, mirror);

	while (size >= 3 && data[2] <= size - 3) {
		feed_message_to(r, data, data + 3, data[2]);
		must_agree(r, mirror);
		size -= 3 + (size_t)data[2];
		data += 3 + data[2];
	}
	replica_free(r);
	set_free(mirror);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	if (data[0] % 2 == 0) {
		one_packet(data + 1, size - 1);
		all_rules(data + 1, size - 1);
	} else {
		play(data + 1, size - 1);
	}
	return 0;
}
