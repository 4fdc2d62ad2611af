#include <inttypes.h>
#include <string.h>

#include "workers/http/prometheus.h"

static const char *const type_names[] = {
	[METRIC_COUNTER] = "counter",
	[METRIC_GAUGE] = "gauge",
	[METRIC_SUMMARY] = "summary",
	[METRIC_HISTOGRAM] = "histogram",
};

static void
head(FILE *out, const char *name, const char *help, const char *type)
{
	fprintf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

/* name, suffix, {labels} */
static void
series(FILE *out, const struct metric_def *d, const char *suffix)
{
	fprintf(out, "%s%s", d->name, suffix);
	if (d->labels != NULL)
		fprintf(out, "{%s}", d->labels);
}

static void
sum_and_count(FILE *out, const struct metric_def *d,
    const struct metric_value *v)
{
	series(out, d, "_sum");
	fprintf(out, " %.6f\n", v->sum);
	series(out, d, "_count");
	fprintf(out, " %" PRIu64 "\n", v->count);
}

static void
histogram(FILE *out, const struct metric_def *d, const struct metric_value *v)
{
	const char *labels = d->labels != NULL ? d->labels : "";
	const char *comma = d->labels != NULL ? "," : "";
	uint64_t below = 0;

	for (size_t i = 0; i < METRIC_BUCKETS; i++) {
		below += v->buckets[i];
		fprintf(out, "%s_bucket{%s%sle=\"%g\"} %" PRIu64 "\n", d->name,
		    labels, comma, metric_buckets[i], below);
	}
	fprintf(out, "%s_bucket{%s%sle=\"+Inf\"} %" PRIu64 "\n", d->name,
	    labels, comma, v->count);
	sum_and_count(out, d, v);
}

static void
one(FILE *out, const struct metric_def *d, const struct metric_value *v)
{
	switch (d->type) {
	case METRIC_COUNTER:
	case METRIC_GAUGE:
		series(out, d, "");
		fprintf(out, " %" PRIu64 "\n", v->value);
		return;
	case METRIC_SUMMARY:
		sum_and_count(out, d, v);
		return;
	case METRIC_HISTOGRAM:
		histogram(out, d, v);
		return;
	}
}

static void
workers_figure(FILE *out, const struct model *m, const char *name,
    const char *help, const char *type,
    double (*figure)(const struct worker_info *, uint64_t now_ms),
    uint64_t now_ms)
{
	head(out, name, help, type);
	for (unsigned r = 1; r < ROLE_MAX; r++) {
		if (m->workers[r].known)
			fprintf(out, "%s{worker=\"%s\"} %.15g\n", name,
			    role_name((enum role)r),
			    figure(&m->workers[r], now_ms));
	}
}

static double
is_ready(const struct worker_info *w, uint64_t now_ms)
{
	(void)now_ms;
	return w->state == WORKER_READY;
}

static double
restarts(const struct worker_info *w, uint64_t now_ms)
{
	(void)now_ms;
	return w->restarts;
}

static double
uptime(const struct worker_info *w, uint64_t now_ms)
{
	if (w->pid == 0 || now_ms < w->since_ms)
		return 0;
	return (double)(now_ms - w->since_ms) / 1000;
}

void
prometheus_render(FILE *out, const struct model *m, uint64_t now_ms)
{
	const struct metric_def *d, *last = NULL;

	head(out, "katalogd_build_info", "The version that runs.", "gauge");
	fprintf(out, "katalogd_build_info{version=\"%s\"} 1\n",
	    PACKAGE_VERSION);
	head(out, "katalogd_synced", "1 once the first full sync was done.",
	    "gauge");
	fprintf(out, "katalogd_synced %d\n", model_synced(m));
	workers_figure(out, m, "katalogd_worker_ready",
	    "1 if the worker runs in its sandbox.", "gauge", is_ready, now_ms);
	workers_figure(out, m, "katalogd_worker_restarts_total",
	    "How often the worker was started again.", "counter", restarts,
	    now_ms);
	workers_figure(out, m, "katalogd_worker_uptime_seconds",
	    "Since the worker was started.", "gauge", uptime, now_ms);
	for (unsigned i = 0; i < METRIC_MAX; i++) {
		d = metric_def((enum metric)i);
		if (!m->workers[d->role].known)
			continue;
		if (last == NULL || strcmp(last->name, d->name) != 0)
			head(out, d->name, d->help, type_names[d->type]);
		one(out, d, &m->metrics[d->role].m[i]);
		last = d;
	}
}
