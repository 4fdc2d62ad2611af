/*
 * libFuzzer: a list in two reads. Whatever the pieces are, and whatever is
 * known from the first read, the second finds the same pods, or is refused
 * just the same; and what is accepted is JSON for json-c, too.
 *
 * Input: a byte for the size of pieces, then the first list, NUL, the second
 * list. Without NUL: the same list twice.
 */
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

#include "common/limits.h"
#include "workers/kubelet_reader/split.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define PODS 256

static const char secret[SPLIT_SECRET] = "no secret, but long enough";

struct read {
	struct refusal refusal;
	struct split_pod pods[PODS]; /* bytes is void */
	size_t n;
	const struct read *before; /* NULL: nothing is known */
	bool asked[PODS];
	bool ok;
};

static void
must(bool ok)
{
	if (!ok)
		abort();
}

static bool
on_pod(const struct split_pod *pod, void *arg)
{
	struct read *rd = arg;

	must(pod->bytes[0] == '{' && pod->bytes[pod->len - 1] == '}');
	if (rd->n == PODS)
		return refuse(&rd->refusal, "enough");
	rd->pods[rd->n++] = *pod;
	return true;
}

static bool
on_known(XXH128_hash_t prefix, size_t *len, XXH128_hash_t *hash, void *arg)
{
	struct read *rd = arg;

	for (size_t i = 0; rd->before != NULL && i < rd->before->n; i++) {
		const struct split_pod *pod = &rd->before->pods[i];

		if (rd->asked[i] || !XXH128_isEqual(pod->prefix, prefix))
			continue;
		rd->asked[i] = true;
		*len = pod->len;
		*hash = pod->hash;
		return true;
	}
	return false;
}

static const struct split_ops ops = { on_pod, on_known };

static void
read_list(struct read *rd, const struct read *before, const char *s, size_t len,
    size_t piece)
{
	struct split *split = split_new(&ops, secret, &rd->refusal, rd);

	memset(rd, 0, sizeof(*rd));
	rd->before = before;
	split_begin(split);
	for (size_t at = 0; at < len; at += piece)
		split_feed(split, s + at, len - at < piece ? len - at : piece);
	rd->ok = split_end(split);
	must(rd->ok != refused(&rd->refusal));
	split_free(split);
}

static void
must_agree(const struct read *a, const struct read *b)
{
	must(a->ok == b->ok);
	if (!a->ok)
		return;
	must(a->n == b->n);
	for (size_t i = 0; i < a->n; i++) {
		must(a->pods[i].len == b->pods[i].len);
		must(XXH128_isEqual(a->pods[i].hash, b->pods[i].hash));
	}
}

static void
must_be_json(const char *s, size_t len, size_t pods)
{
	struct json_tokener *tok = json_tokener_new_ex(2 * LIMIT_POD_DEPTH);
	json_object *o, *items;

	json_tokener_set_flags(tok,
	    JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8 |
		JSON_TOKENER_ALLOW_TRAILING_CHARS);
	o = json_tokener_parse_ex(tok, s, (int)len);
	must(json_tokener_get_error(tok) == json_tokener_success);
	must(json_object_object_get_ex(o, "items", &items));
	must(items == NULL ? pods == 0
			   : json_object_array_length(items) == pods);
	json_object_put(o);
	json_tokener_free(tok);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *first = (const char *)data + 1, *second = first, *nul;
	static struct read before, plain, rd;
	size_t len, second_len;

	if (size == 0)
		return 0;
	len = second_len = size - 1;
	if ((nul = memchr(first, '\0', len)) != NULL) {
		second = nul + 1;
		second_len = (size_t)(first + len - second);
		len = (size_t)(nul - first);
	}
	read_list(&before, NULL, first, len, len + 1);
	read_list(&plain, NULL, second, second_len, second_len + 1);
	read_list(&rd, &before, second, second_len, (size_t)data[0] * 4 + 1);
	must_agree(&plain, &rd);
	if (plain.ok)
		must_be_json(second, second_len, plain.n);
	return 0;
}
