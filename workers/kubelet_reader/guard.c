#include "workers/kubelet_reader/guard.h"

static bool
same(const struct digest *a, const struct digest *b)
{
	return a->low == b->low && a->high == b->high;
}

static bool
more_than_half(size_t lost, size_t had)
{
	return lost > had - lost;
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

/* True if the second read came, late enough, and says the same. */
static bool
is_repeated(struct guard *g, const struct guard_list *list, uint64_t now,
    uint64_t interval)
{
	if (g->waits && same(&g->waiting, &list->all))
		return now >= g->waits_since &&
		    now - g->waits_since >= interval;
	g->waits = true;
	g->waiting = list->all;
	g->waits_since = now;
	return false;
}

/* True while a kubelet that is cut off may be the reason for the list. */
static bool
is_cut_off(struct guard *g, const struct guard_list *list, uint64_t now,
    uint64_t limit)
{
	if (list->from_api > 0 || list->vanished == 0) {
		g->cut_off = false;
		return false;
	}
	if (!g->cut_off)
		g->cut_off_since = now;
	g->cut_off = true;
	return now < g->cut_off_since || now - g->cut_off_since < limit;
}

static void
agree(struct guard *g, const struct guard_list *list, uint64_t now,
    uint64_t min_interval)
{
	if (!g->has_list || !same(&g->agreed, &list->our)) {
		g->agreed = list->our;
		g->agreed_since = now;
	} else if (now >= g->agreed_since &&
	    now - g->agreed_since >= min_interval) {
		g->confirmed = true;
	}
}

enum guard_verdict
guard_look(struct guard *g, const struct guard_list *list, uint64_t now,
    const struct guard_times *times)
{
	if (is_cut_off(g, list, now, times->cut_off))
		return GUARD_CUT_OFF;
	if (is_doubtful(g, list) && !is_repeated(g, list, now, times->interval))
		return GUARD_WAITS;
	agree(g, list, now, times->min_interval);
	g->waits = g->cut_off = false;
	g->has_list = true;
	g->pods = list->pods;
	g->ours = list->ours;
	return GUARD_COUNTS;
}

bool
guard_confirmed(const struct guard *g)
{
	return g->confirmed;
}
