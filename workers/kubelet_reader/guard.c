#include "workers/kubelet_reader/guard.h"

static bool
same(const struct digest *a, const struct digest *b)
{
	return a->low == b->low && a->high == b->high;
}

static bool
more_than_half(size_t lost, size_t had)
{
	return lost > had / 2;
}

/* 0 if the clock went back. */
static uint64_t
since(uint64_t then, uint64_t now)
{
	return now > then ? now - then : 0;
}

/* What comes next does not follow what was before. */
static void
break_row(struct guard *g)
{
	g->waits = false;
	g->in_row = false;
}

static bool
is_doubtful(const struct guard *g, const struct guard_list *list)
{
	if (!g->has_list)
		return list->pods == 0;
	if (list->pods == 0 && g->pods > 0)
		return true;
	return more_than_half(list->pods_lost, g->pods) ||
	    more_than_half(list->ours_lost, g->ours);
}

/*
 * The kubelet still fills up if it has a pod again that it had not in the list
 * that waits, or none at all where it had some; and if it lacks much more than
 * that list did, that is as doubtful as that list was.
 */
static bool
is_repeated(const struct guard *g, const struct guard_list *list)
{
	return g->waits && list->returned == 0 &&
	    (list->pods > 0 || g->waiting_empty) &&
	    !more_than_half(list->lost_more, g->kept) &&
	    !more_than_half(list->ours_lost_more, g->ours_kept);
}

static enum guard_verdict
wait_for_another(struct guard *g, const struct guard_list *list, uint64_t now)
{
	break_row(g);
	g->waits = true;
	g->waits_since = now;
	g->waiting_empty = list->pods == 0;
	g->kept = g->pods - list->pods_lost;
	g->ours_kept = g->ours - list->ours_lost;
	return GUARD_WAITS;
}

/* For how long lists have had static pods only. */
static uint64_t
static_for(struct guard *g, const struct guard_list *list, uint64_t now)
{
	if (list->from_api > 0 || !g->static_only)
		g->static_since = now;
	g->static_only = list->from_api == 0;
	return since(g->static_since, now);
}

/* True while that may be so because the kubelet has not heard of others. */
static bool
may_be_cut_off(const struct guard_list *list, uint64_t lasts, uint64_t limit)
{
	return list->from_api == 0 && lasts < limit;
}

/* Whether what this list lacks, and all before it lacked, is really gone. */
static void
agree(struct guard *g, const struct guard_list *list, uint64_t now,
    uint64_t min_interval)
{
	if (!g->in_row)
		g->row_since = now;
	if (!g->in_row || !same(&g->agreed, &list->our)) {
		g->agreed = list->our;
		g->agreed_since = now;
	}
	g->in_row = true;
	if (since(g->agreed_since, now) >= min_interval ||
	    since(g->row_since, now) >= GUARD_ROW_MS)
		g->confirmed = true;
}

enum guard_verdict
guard_look(struct guard *g, const struct guard_list *list, uint64_t now,
    const struct guard_times *times)
{
	bool cut_off =
	    may_be_cut_off(list, static_for(g, list, now), times->cut_off);

	if (cut_off && list->vanished > 0) {
		break_row(g);
		return GUARD_CUT_OFF;
	}
	if (is_doubtful(g, list)) {
		if (!is_repeated(g, list))
			return wait_for_another(g, list, now);
		if (since(g->waits_since, now) < times->interval)
			return GUARD_TOO_SOON;
	}
	if (!cut_off)
		agree(g, list, now, times->min_interval);
	g->waits = false;
	g->has_list = true;
	g->pods = list->pods;
	g->ours = list->ours;
	return GUARD_COUNTS;
}

void
guard_failed(struct guard *g)
{
	break_row(g);
}

bool
guard_confirmed(const struct guard *g)
{
	return g->confirmed;
}
