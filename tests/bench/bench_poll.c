/*
 * CPU of one poll, from the body's bytes to the list that counts: pods that
 * are unchanged (all day long) and pods that are all new (once), for lists
 * made from the real kubelet's. The floor is what can't be saved: each byte
 * copied once and hashed once.
 *
 * One line of JSON for each: nanoseconds for a poll, and bytes a second.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/log.h"
#include "tests/unit/pod_text.h"
#include "workers/kubelet_reader/podlist.h"
#include "workers/kubelet_reader/split.h"

/* As curl hands out a body. */
#define PIECE 16384
/* At least so long for one figure. */
#define NS_PER_FIGURE 1000000000ULL

static const char secret[SPLIT_SECRET] = "no secret, but long enough";

static const struct podlist_conf conf = {
	.pods = { 500, 5000, 1000, 10000, 10000 },
	.node = "",
};

struct poll {
	struct text text;
	char *copy;
	struct refusal refusal;
	struct split *split;
	struct podlist *list;
	uint64_t sum; /* so that nothing is optimized away */
};

static bool
on_pod(const struct split_pod *pod, void *arg)
{
	return podlist_add(((struct poll *)arg)->list, pod);
}

static bool
on_known(XXH128_hash_t prefix, size_t *len, XXH128_hash_t *hash, void *arg)
{
	return podlist_known(((struct poll *)arg)->list, prefix, len, hash);
}

static const struct split_ops split_ops = { on_pod, on_known };

static void
on_entry(const struct pod_entry *e, void *arg)
{
	((struct poll *)arg)->sum += e->len;
}

static void
on_text(const char *text, void *arg)
{
	((struct poll *)arg)->sum += (uint8_t)*text;
}

static const struct podlist_ops list_ops = { on_entry, on_entry, on_text };

static void
poll_once(struct poll *p, size_t piece)
{
	struct guard_list list;

	podlist_begin(p->list);
	split_begin(p->split);
	for (size_t at = 0; at < p->text.len; at += piece) {
		size_t left = p->text.len - at;

		split_feed(p->split, p->text.s + at,
		    left < piece ? left : piece);
	}
	if (!split_end(p->split) || !podlist_end(p->list, &list))
		fatalx("%s: %s", p->refusal.where, p->refusal.why);
	podlist_accept(p->list, &list_ops, p);
}

static void
unchanged(struct poll *p)
{
	poll_once(p, PIECE);
}

/* As a file comes. */
static void
unchanged_whole(struct poll *p)
{
	poll_once(p, p->text.len);
}

static void
all_new(struct poll *p)
{
	podlist_free(p->list);
	p->list = podlist_new(&conf, secret, &p->refusal);
	poll_once(p, PIECE);
}

static void
floor_of_all(struct poll *p)
{
	for (size_t at = 0; at < p->text.len; at += PIECE) {
		size_t left = p->text.len - at;
		size_t n = left < PIECE ? left : PIECE;

		memcpy(p->copy + at, p->text.s + at, n);
		p->sum += XXH3_128bits_withSecret(p->copy + at, n, secret,
		    SPLIT_SECRET)
			      .low64;
	}
}

static const struct {
	const char *name;
	void (*run)(struct poll *);
} figures[] = {
	{ "floor", floor_of_all },
	{ "unchanged", unchanged },
	{ "unchanged-whole", unchanged_whole },
	{ "all-new", all_new },
};

static uint64_t
cpu_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return (uint64_t)ts.tv_sec * 1000000000ULL + (uint64_t)ts.tv_nsec;
}

static double
measure(struct poll *p, void (*run)(struct poll *))
{
	uint64_t began, n = 0;

	run(p);
	for (began = cpu_ns(); cpu_ns() - began < NS_PER_FIGURE; n++)
		run(p);
	return (double)(cpu_ns() - began) / (double)n;
}

static struct poll
poll_new(unsigned pods)
{
	json_object *list = many_pods(pods);
	struct poll p = {
		.text = text_of_json(list,
		    JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE),
	};

	json_object_put(list);
	p.copy = xmalloc(p.text.len);
	return p;
}

static void
bench(unsigned pods)
{
	struct poll p = poll_new(pods);

	p.split = split_new(&split_ops, secret, &p.refusal, &p);
	p.list = podlist_new(&conf, secret, &p.refusal);
	for (size_t i = 0; i < sizeof(figures) / sizeof(*figures); i++) {
		double ns = measure(&p, figures[i].run);

		printf("{\"bench\":\"poll\",\"pods\":%u,\"bytes\":%zu,"
		       "\"case\":\"%s\",\"cpu_us\":%.1f,\"gb_per_s\":%.2f}\n",
		    pods, p.text.len, figures[i].name, ns / 1e3,
		    (double)p.text.len / ns);
	}
	podlist_free(p.list);
	split_free(p.split);
	free(p.copy);
	text_free(&p.text);
}

int
main(void)
{
	bench(110);
	bench(500);
	return EXIT_SUCCESS;
}
