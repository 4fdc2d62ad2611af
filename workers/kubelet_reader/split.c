#include "workers/kubelet_reader/split.h"

#include <stdlib.h>
#include <string.h>

#include "common/limits.h"
#include "common/log.h"
#include "workers/json_scan.h"

enum state {
	ST_BEGIN,
	ST_FIRST_NAME, /* a member of the list */
	ST_NEXT_NAME,
	ST_NAME,
	ST_COLON,
	ST_VALUE_BEGIN,
	ST_VALUE,
	ST_BEHIND_VALUE,
	ST_FIRST_POD,
	ST_NEXT_POD,
	ST_POD,
	ST_BEHIND_POD,
	ST_END,
	ST_MAX
};

/* The members of a list that we know; others are scanned and left alone. */
enum member { MEMBER_KIND, MEMBER_API_VERSION, MEMBER_ITEMS, MEMBER_OTHER };

static const struct {
	const char *name;
	const char *want; /* what the value must be */
} members[MEMBER_OTHER] = {
	[MEMBER_KIND] = { "\"kind\"", "\"PodList\"" },
	/* It may be missing: files by hand. */
	[MEMBER_API_VERSION] = { "\"apiVersion\"", "\"v1\"" },
	/* Or a list: a kubelet without pods writes null. */
	[MEMBER_ITEMS] = { "\"items\"", "null" },
};

/* Names of members of the list: how long, and how many. */
#define WORD    64
#define MEMBERS 16

/* A list is around each of its values. */
#define DEPTH_LIST 1

/* As many first bytes of a pod hold its name and namespace, for messages. */
#define HEAD 1024

struct split {
	const struct split_ops *ops;
	const void *secret;
	void *arg;

	struct json_scan scan; /* of the value or pod that we are in */
	uint64_t fed;
	uint64_t offset; /* of what is looked at, for messages */
	size_t pods;
	enum state state;

	char names[MEMBERS][WORD]; /* with quotes; that were there */
	size_t nnames;
	enum member member; /* whose value comes */
	char word[WORD]; /* a name, or a value that is looked at */
	size_t word_len;

	/* A pod that began in an earlier piece. */
	char *buf;
	size_t buf_len;
	size_t buf_cap;
	/* >0: so many bytes are waited for, then compared with expected_hash. */
	size_t expected_len;
	XXH128_hash_t expected_hash;
	XXH128_hash_t prefix; /* of the pod that we are in */
	char head[HEAD + 1]; /* of that pod, while it is scanned */
	size_t head_len;

	struct refusal *refusal;
};

/* A run of bytes: at moves up to end. */
struct piece {
	const char *at;
	const char *end;
};

static size_t
left(const struct piece *p)
{
	return (size_t)(p->end - p->at);
}

static void
advance(struct split *s, struct piece *p, size_t n)
{
	p->at += n;
	s->offset += n;
}

/* A member's text near the start of the pod, if it can be a name. */
static const char *
name_in_head(const struct split *s, const char *member, int *len)
{
	const char *p = strstr(s->head, member);

	if (p == NULL)
		return NULL;
	p += strlen(member);
	p += strspn(p, ": \t\r\n");
	if (*p++ != '"')
		return NULL;
	*len = (int)strspn(p, "abcdefghijklmnopqrstuvwxyz0123456789-.");
	return *len > 0 && p[*len] == '"' ? p : NULL;
}

/* Where we are, with the name of the pod as far as it is known. */
static bool
here(struct split *s)
{
	unsigned long long offset = s->offset;
	const char *name = NULL, *namespace = NULL;
	int name_len = 0, namespace_len = 0;

	if (s->head_len > 0) {
		name = name_in_head(s, "\"name\"", &name_len);
		namespace = name_in_head(s, "\"namespace\"", &namespace_len);
	}
	if (name == NULL || namespace == NULL)
		return refusal_at(s->refusal, "byte %llu", offset);
	return refusal_at(s->refusal, "pod %.*s/%.*s, byte %llu", namespace_len,
	    namespace, name_len, name, offset);
}

static bool
stop(struct split *s, const char *why)
{
	refuse(s->refusal, "%s", why);
	return here(s);
}

struct split *
split_new(const struct split_ops *ops, const void *secret, struct refusal *r,
    void *arg)
{
	struct split *s = xcalloc(1, sizeof(*s));

	s->ops = ops;
	s->secret = secret;
	s->refusal = r;
	s->arg = arg;
	return s;
}

void
split_free(struct split *s)
{
	if (s == NULL)
		return;
	free(s->buf);
	free(s);
}

void
split_begin(struct split *s)
{
	s->fed = s->offset = 0;
	s->pods = 0;
	s->state = ST_BEGIN;
	s->nnames = 0;
	s->word_len = 0;
	s->head_len = 0;
	s->buf_len = s->expected_len = 0;
	refusal_clear(s->refusal);
}

static XXH128_hash_t
hash(const struct split *s, const char *bytes, size_t len)
{
	return XXH3_128bits_withSecret(bytes, len, s->secret, SPLIT_SECRET);
}

/* The buffer: only for pods that are not whole in one piece. */

static void
reserve(struct split *s, size_t need)
{
	size_t cap = s->buf_cap > 0 ? s->buf_cap : 16384;

	while (cap < need)
		cap *= 2;
	if (cap == s->buf_cap)
		return;
	s->buf = xreallocarray(s->buf, cap, 1);
	s->buf_cap = cap;
}

static bool
append(struct split *s, const char *bytes, size_t len)
{
	if (len > LIMIT_POD - s->buf_len)
		return stop(s, "a pod is too large");
	reserve(s, s->buf_len + len);
	memcpy(s->buf + s->buf_len, bytes, len);
	s->buf_len += len;
	return true;
}

/* The members of the list. */

static bool
keep_word(struct split *s, const char *bytes, size_t len)
{
	if (len >= sizeof(s->word) - s->word_len)
		return false;
	memcpy(s->word + s->word_len, bytes, len);
	s->word_len += len;
	s->word[s->word_len] = '\0';
	return true;
}

static enum member
member_of(const char *name)
{
	size_t i = 0;

	while (i < MEMBER_OTHER && strcmp(name, members[i].name) != 0)
		i++;
	return (enum member)i;
}

/* With an escape in it, a name could be one that we know in disguise. */
static bool
take_name(struct split *s)
{
	if (strchr(s->word, '\\') != NULL)
		return stop(s, "an escape in a name of the list");
	for (size_t i = 0; i < s->nnames; i++) {
		if (strcmp(s->names[i], s->word) != 0)
			continue;
		refuse(s->refusal, "%s stands in the list twice", s->word);
		return here(s);
	}
	if (s->nnames == MEMBERS)
		return stop(s, "too many members in the list");
	memcpy(s->names[s->nnames++], s->word, sizeof(s->word));
	s->member = member_of(s->word);
	s->state = ST_COLON;
	return true;
}

static bool
take_value(struct split *s)
{
	if (s->member < MEMBER_OTHER &&
	    strcmp(s->word, members[s->member].want) != 0)
		return stop(s,
		    s->member == MEMBER_KIND ? "its kind is not PodList"
					     : "its apiVersion is not v1");
	s->state = ST_BEHIND_VALUE;
	return true;
}

static bool
begin_name(struct split *s)
{
	json_scan_init(&s->scan, 0);
	s->word_len = 0;
	s->word[0] = '\0';
	s->state = ST_NAME;
	return true;
}

/* As far as the value goes, or the piece. */
static bool
scan(struct split *s, struct piece *p)
{
	advance(s, p, json_scan(&s->scan, p->at, left(p)));
	if (s->scan.status == JSON_BAD)
		return stop(s, s->scan.why);
	return true;
}

static bool
on_name(struct split *s, struct piece *p)
{
	const char *from = p->at;

	if (!scan(s, p))
		return false;
	if (!keep_word(s, from, (size_t)(p->at - from)))
		return stop(s, "a long name in the list");
	return s->scan.status == JSON_DONE ? take_name(s) : true;
}

static bool
on_value(struct split *s, struct piece *p)
{
	const char *from = p->at;

	if (!scan(s, p))
		return false;
	if (s->member < MEMBER_OTHER &&
	    !keep_word(s, from, (size_t)(p->at - from)))
		return stop(s, "a kind or apiVersion of no PodList");
	return s->scan.status == JSON_DONE ? take_value(s) : true;
}

static bool
on_value_begin(struct split *s, struct piece *p)
{
	if (s->member != MEMBER_ITEMS || *p->at == 'n') {
		json_scan_init(&s->scan, LIMIT_JSON_DEPTH - DEPTH_LIST);
		s->word_len = 0;
		s->word[0] = '\0';
		s->state = ST_VALUE;
		return true;
	}
	if (*p->at != '[')
		return stop(s, "its items are not a list");
	advance(s, p, 1);
	s->state = ST_FIRST_POD;
	return true;
}

/* Single bytes between the members and between the pods. */

static bool
expect(struct split *s, struct piece *p, char c, enum state next,
    const char *why)
{
	if (*p->at != c)
		return stop(s, why);
	advance(s, p, 1);
	s->state = next;
	return true;
}

static bool
on_begin(struct split *s, struct piece *p)
{
	return expect(s, p, '{', ST_FIRST_NAME, "not a JSON object");
}

static bool
on_next_name(struct split *s, struct piece *p)
{
	if (*p->at != '"')
		return stop(s, "a member's name was expected");
	return begin_name(s);
}

static bool
on_first_name(struct split *s, struct piece *p)
{
	if (*p->at == '}')
		return expect(s, p, '}', ST_END, "");
	return on_next_name(s, p);
}

static bool
on_colon(struct split *s, struct piece *p)
{
	return expect(s, p, ':', ST_VALUE_BEGIN, "a colon was expected");
}

static bool
on_behind_value(struct split *s, struct piece *p)
{
	if (*p->at == ',')
		return expect(s, p, ',', ST_NEXT_NAME, "");
	return expect(s, p, '}', ST_END, "a comma or } was expected");
}

static bool
on_behind_pod(struct split *s, struct piece *p)
{
	if (*p->at == ',')
		return expect(s, p, ',', ST_NEXT_POD, "");
	return expect(s, p, ']', ST_BEHIND_VALUE, "a comma or ] was expected");
}

static bool
on_end(struct split *s, struct piece *p)
{
	(void)p;
	return stop(s, "something stands behind the list");
}

/* Pods. */

static bool
hand_out(struct split *s, const char *bytes, size_t len, XXH128_hash_t h)
{
	struct split_pod pod = {
		.bytes = bytes,
		.len = len,
		.hash = h,
		.prefix = s->prefix,
		.known = s->expected_len > 0,
	};
	bool ok = s->ops->pod(&pod, s->arg) || here(s);

	s->buf_len = s->expected_len = s->head_len = 0;
	s->state = ST_BEHIND_POD;
	return ok;
}

static bool
is_expected(const struct split *s, const char *bytes)
{
	return XXH128_isEqual(hash(s, bytes, s->expected_len),
	    s->expected_hash);
}

static void
begin_scan(struct split *s)
{
	s->expected_len = 0;
	json_scan_init(&s->scan, LIMIT_POD_DEPTH);
	s->scan.any_names = true;
	s->state = ST_POD;
}

/* True: a pod that begins like this one is known, and is expected. */
static bool
expect_known(struct split *s, const struct piece *p)
{
	s->prefix = (XXH128_hash_t){ 0, 0 };
	if (left(p) < SPLIT_PREFIX)
		return false;
	s->prefix = hash(s, p->at, SPLIT_PREFIX);
	if (s->ops->known == NULL ||
	    !s->ops->known(s->prefix, &s->expected_len, &s->expected_hash,
		s->arg))
		return false;
	s->state = ST_POD;
	return true;
}

static bool
begin_pod(struct split *s, const struct piece *p)
{
	if (*p->at != '{')
		return stop(s, "an item is not an object");
	if (++s->pods > LIMIT_PODS)
		return stop(s, "too many pods");
	if (!expect_known(s, p))
		begin_scan(s);
	return true;
}

static bool
on_next_pod(struct split *s, struct piece *p)
{
	return begin_pod(s, p);
}

static bool
on_first_pod(struct split *s, struct piece *p)
{
	if (*p->at == ']')
		return expect(s, p, ']', ST_BEHIND_VALUE, "");
	return begin_pod(s, p);
}

/* The pod ends in this piece: whole in it, or with the start in the buffer. */
static bool
finish_pod(struct split *s, const char *from, size_t len)
{
	if (s->buf_len > 0) {
		if (!append(s, from, len))
			return false;
		from = s->buf;
		len = s->buf_len;
	} else if (len > LIMIT_POD) {
		return stop(s, "a pod is too large");
	}
	return hand_out(s, from, len, hash(s, from, len));
}

static void
keep_head(struct split *s, const char *bytes, size_t len)
{
	if (len > HEAD - s->head_len)
		len = HEAD - s->head_len;
	memcpy(s->head + s->head_len, bytes, len);
	s->head_len += len;
	s->head[s->head_len] = '\0';
}

static bool
scan_pod(struct split *s, struct piece *p)
{
	const char *from = p->at;
	size_t n = json_scan(&s->scan, from, left(p));

	keep_head(s, from, n);
	advance(s, p, n);
	if (s->scan.status == JSON_BAD)
		return stop(s, s->scan.why);
	if (s->scan.status == JSON_DONE)
		return finish_pod(s, from, (size_t)(p->at - from));
	return append(s, from, (size_t)(p->at - from));
}

static bool consume(struct split *s, const char *data, size_t len);

/*
 * What was waited for is another pod than the one known: the buffer is looked
 * at like a piece that came just now.
 */
static bool
rescan(struct split *s)
{
	char *buf = s->buf;
	size_t len = s->buf_len;
	bool ok;

	s->buf = NULL;
	s->buf_len = s->buf_cap = 0;
	s->offset -= len;
	begin_scan(s);
	ok = consume(s, buf, len);
	free(buf);
	return ok;
}

/* As much as is expected is in this piece: no need to copy it. */
static bool
compare_in_place(struct split *s, struct piece *p)
{
	const char *from = p->at;
	size_t len = s->expected_len;

	if (!is_expected(s, from)) {
		begin_scan(s);
		return true;
	}
	advance(s, p, len);
	return hand_out(s, from, len, s->expected_hash);
}

static bool
await_pod(struct split *s, struct piece *p)
{
	size_t n = s->expected_len - s->buf_len;

	if (s->buf_len == 0 && left(p) >= n)
		return compare_in_place(s, p);
	if (n > left(p))
		n = left(p);
	if (!append(s, p->at, n))
		return false;
	advance(s, p, n);
	if (s->buf_len < s->expected_len)
		return true;
	if (!is_expected(s, s->buf))
		return rescan(s);
	return hand_out(s, s->buf, s->buf_len, s->expected_hash);
}

static bool
on_pod(struct split *s, struct piece *p)
{
	return s->expected_len > 0 ? await_pod(s, p) : scan_pod(s, p);
}

static bool (*const steps[ST_MAX])(struct split *, struct piece *) = {
	[ST_BEGIN] = on_begin,
	[ST_FIRST_NAME] = on_first_name,
	[ST_NEXT_NAME] = on_next_name,
	[ST_NAME] = on_name,
	[ST_COLON] = on_colon,
	[ST_VALUE_BEGIN] = on_value_begin,
	[ST_VALUE] = on_value,
	[ST_BEHIND_VALUE] = on_behind_value,
	[ST_FIRST_POD] = on_first_pod,
	[ST_NEXT_POD] = on_next_pod,
	[ST_POD] = on_pod,
	[ST_BEHIND_POD] = on_behind_pod,
	[ST_END] = on_end,
};

/* Inside of these, white space is the scan's, or part of the pod's bytes. */
static bool
skips_space(enum state state)
{
	return state != ST_NAME && state != ST_VALUE && state != ST_POD;
}

static bool
is_space(char c)
{
	return c == ' ' || c == '\n' || c == '\t' || c == '\r';
}

static bool
consume(struct split *s, const char *data, size_t len)
{
	struct piece p = { data, data + len };

	while (p.at < p.end) {
		if (skips_space(s->state) && is_space(*p.at))
			advance(s, &p, 1);
		else if (!steps[s->state](s, &p))
			return false;
	}
	return true;
}

bool
split_feed(struct split *s, const char *data, size_t len)
{
	if (refused(s->refusal))
		return false;
	s->fed += len;
	if (s->fed > LIMIT_POD_LIST)
		return stop(s, "the list is too large");
	return consume(s, data, len);
}

static bool
has_member(const struct split *s, enum member member)
{
	for (size_t i = 0; i < s->nnames; i++) {
		if (strcmp(s->names[i], members[member].name) == 0)
			return true;
	}
	return false;
}

bool
split_end(struct split *s)
{
	if (refused(s->refusal))
		return false;
	/* The last pod may have become shorter than what is waited for. */
	while (s->state == ST_POD && s->expected_len > 0) {
		if (!rescan(s))
			return false;
	}
	if (s->state == ST_BEGIN)
		return stop(s, "the body is empty");
	if (s->state != ST_END)
		return stop(s, "the list is cut off");
	if (!has_member(s, MEMBER_KIND))
		return stop(s, "it has no kind");
	if (!has_member(s, MEMBER_ITEMS))
		return stop(s, "it has no items");
	return true;
}

size_t
split_held(const struct split *s)
{
	return s->buf_len;
}
