/*
 * What the plan costs per service and event, with many services: nothing in
 * it may grow with their number but by its logarithm.
 *
 *	bench_plan [SERVICES]	default 10000
 */
#include <bsd/stdlib.h>
#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/log.h"
#include "workers/consul_writer/consul_json.h"
#include "workers/consul_writer/plan.h"

#define TTL     20000
#define MINUTE  60000
#define ID_MAX  64
#define CHANGES 100000

static struct plan *plan;
static uint64_t now = 1000000;
static unsigned count;

static void
no_report(const struct service_report *r, void *arg)
{
	(void)r;
	(void)arg;
}

static void
no_gone(const char *id, void *arg)
{
	(void)id;
	(void)arg;
}

static double
cpu_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

static void
print(const char *what, double since, size_t n)
{
	printf("%-44s %10zu  %8.0f ns each\n", what, n,
	    n == 0 ? 0 : (cpu_ns() - since) / (double)n);
}

static struct service *
make(unsigned i, enum service_status st)
{
	struct service *s = xcalloc(1, sizeof(*s) + ID_MAX);
	char *id = (char *)(s + 1);

	snprintf(id, ID_MAX, "katalog-sync_web_shop_web-%u", i);
	s->id = id;
	s->name = "web";
	s->namespace = "shop";
	s->pod = "web";
	s->address = "10.0.0.1";
	s->notes = "{\"web\":true}";
	s->output = "ready";
	s->tags[0] = "v1";
	s->ntags = 1;
	s->meta[0] = (struct service_meta){ "external-source", "kubernetes" };
	s->meta[1] =
	    (struct service_meta){ "external-sync-source", "katalog-sync" };
	s->nmeta = 2;
	s->ttl_ms = TTL;
	s->port = 80;
	s->status = st;
	return s;
}

static void
want(unsigned i, enum service_status st)
{
	struct service *s = make(i, st);
	struct fingerprint def = consul_json_def(s, MINUTE);

	plan_want(plan, s, &def, now);
}

static size_t
do_all(void)
{
	struct plan_action a;
	size_t n = 0;

	for (; plan_next(plan, now, &a); n++)
		plan_done(plan, a.item, PLAN_DONE, "", now);
	return n;
}

static void
bench_start(void)
{
	double t = cpu_ns();
	size_t n;

	for (unsigned i = 0; i < count; i++)
		want(i, SERVICE_PASSING);
	print("wanted (with its fingerprint)", t, count);
	plan_synced(plan, true, now);
	plan_fresh(plan, now, true, now);
	plan_read_begin(plan);
	plan_read_end(plan, &(struct actual_list){ 0 }, now);
	t = cpu_ns();
	n = do_all();
	print("registered", t, n);
}

/* A minute of refreshes, woken when one is due, as the writer is. */
static void
bench_refresh(void)
{
	uint64_t end = now + MINUTE;
	double t = cpu_ns();
	size_t n = 0;

	while ((now = plan_due(plan, now)) < end) {
		plan_fresh(plan, now, true, now);
		n += do_all();
	}
	now = end;
	print("refreshed, in one minute", t, n);
}

static void
bench_flips(void)
{
	double t = cpu_ns();
	size_t n = 0;

	for (unsigned i = 0; i < CHANGES; i++) {
		want(i * 7919 % count,
		    i / count % 2 ? SERVICE_PASSING : SERVICE_CRITICAL);
		n += do_all();
	}
	print("flipped, one at a time", t, n);
}

int
main(int argc, char **argv)
{
	static const struct plan_conf conf = {
		.stale_after_ms = MINUTE,
		.report = no_report,
		.gone = no_gone,
	};
	const char *failed = NULL;

	count = 10000;
	if (argc == 2)
		count = (unsigned)strtonum(argv[1], 1, 1000000, &failed);
	if (argc > 2 || failed != NULL)
		errx(2, "usage: bench_plan [SERVICES]");
	plan = plan_new(&conf);
	bench_start();
	bench_refresh();
	bench_flips();
	plan_free(plan);
	return 0;
}
