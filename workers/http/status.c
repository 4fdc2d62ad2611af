#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/backend.h"
#include "common/pod.h"
#include "common/sandbox.h"
#include "common/service.h"
#include "grpc/status.h"
#include "workers/http/status.h"

/* Bytes of the UTF-8 character that starts here; 0: it is none. */
static size_t
utf8_len(const unsigned char *s)
{
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	uint32_t c;
	size_t n;

	if (s[0] < 0x80)
		return 1;
	n = s[0] >= 0xf0 && s[0] < 0xf8   ? 4
	    : s[0] >= 0xe0 && s[0] < 0xf0 ? 3
	    : s[0] >= 0xc0 && s[0] < 0xe0 ? 2
					  : 0;
	if (n == 0)
		return 0;
	c = s[0] & (0x7fU >> n);
	for (size_t i = 1; i < n; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (s[i] & 0x3fU);
	}
	if (c < least[n] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
		return 0;
	return n;
}

void
json_string(FILE *out, const char *s)
{
	const unsigned char *p = (const unsigned char *)s;
	size_t n;

	fputc('"', out);
	for (; *p != '\0'; p += n) {
		n = utf8_len(p);
		if (n == 0) {
			fputs("\xef\xbf\xbd", out);
			n = 1;
		} else if (*p < 0x20 || *p == 0x7f) {
			fprintf(out, "\\u%04x", *p);
		} else if (*p == '"' || *p == '\\') {
			fprintf(out, "\\%c", *p);
		} else {
			fwrite(p, 1, n, out);
		}
	}
	fputc('"', out);
}

static void
member(FILE *out, const char *name, const char *val)
{
	fprintf(out, "\"%s\":", name);
	json_string(out, val);
}

static void
layers(FILE *out, uint32_t bits)
{
	const char *name, *comma = "";

	fputs(",\"sandbox\":[", out);
	for (unsigned i = 0; (name = sandbox_layer_name(i)) != NULL; i++) {
		if ((bits & (UINT32_C(1) << i)) == 0)
			continue;
		fputs(comma, out);
		json_string(out, name);
		comma = ",";
	}
	fputc(']', out);
}

static void
worker(FILE *out, enum role role, const struct worker_info *w, uint64_t now_ms)
{
	static const char *const health[] = { "starting", "ok", "degraded" };
	uint64_t up = 0;

	if (w->pid != 0 && now_ms > w->since_ms)
		up = now_ms - w->since_ms;
	fputc('{', out);
	member(out, "name", role_name(role));
	fputc(',', out);
	member(out, "state", worker_state_name(w->state));
	fprintf(out, ",\"pid\":%u,\"uptime_seconds\":%.3f,\"restarts\":%u",
	    w->pid, (double)up / 1000, w->restarts);
	layers(out, w->layers);
	fputc(',', out);
	member(out, "sandbox_missing", w->missing);
	fputc(',', out);
	member(out, "health", health[w->health]);
	fputc(',', out);
	member(out, "text", w->text);
	fputc('}', out);
}

static void
workers(FILE *out, const struct model *m, uint64_t now_ms)
{
	const char *comma = "";

	for (unsigned r = 1; r < ROLE_MAX; r++) {
		if (!m->workers[r].known)
			continue;
		fputs(comma, out);
		worker(out, (enum role)r, &m->workers[r], now_ms);
		comma = ",\n  ";
	}
}

static const char *
bool_text(bool b)
{
	return b ? "true" : "false";
}

static void
pod(FILE *out, const struct pod_report *r)
{
	fputc('{', out);
	member(out, "namespace", r->namespace);
	fputc(',', out);
	member(out, "pod", r->name);
	fputc(',', out);
	member(out, "uid", r->uid);
	fputc(',', out);
	member(out, "sidecar", pod_sidecar_name(r->sidecar));
	fprintf(out, ",\"gated\":%s,\"synced\":%s,", bool_text(r->gated),
	    bool_text(r->synced));
	member(out, "text", r->text);
	fputc('}', out);
}

static void
pods(FILE *out, const struct replica *set)
{
	const struct set_entry *e;
	struct pod_report *r;
	const char *comma = "";

	for (e = replica_first(set); e != NULL; e = replica_next(set, e)) {
		r = pod_report_decode(e->key, e->key_len, e->val, e->val_len);
		if (r == NULL)
			continue;
		fputs(comma, out);
		pod(out, r);
		comma = ",\n  ";
		free(r);
	}
}

static void
service(FILE *out, const struct service_report *r)
{
	fputc('{', out);
	member(out, "id", r->id);
	fputc(',', out);
	member(out, "name", r->name);
	fputs(",\"pod\":", out);
	if (r->namespace[0] != '\0') {
		char pod[LIMIT_K8S_NAMESPACE + LIMIT_K8S_NAME + 2];

		snprintf(pod, sizeof(pod), "%s/%s", r->namespace, r->pod);
		json_string(out, pod);
	} else {
		json_string(out, "");
	}
	fputc(',', out);
	member(out, "desired", r->desired);
	fputc(',', out);
	member(out, "actual", r->actual);
	fputc(',', out);
	member(out, "error", r->error);
	fputc('}', out);
}

static void
services(FILE *out, const struct replica *set)
{
	const struct set_entry *e;
	struct service_report *r;
	const char *comma = "";

	for (e = replica_first(set); e != NULL; e = replica_next(set, e)) {
		r = service_report_decode(e->key, e->key_len, e->val,
		    e->val_len);
		if (r == NULL)
			continue;
		fputs(comma, out);
		service(out, r);
		comma = ",\n  ";
		free(r);
	}
}

static void
object(FILE *out, const struct object_report *r)
{
	const struct {
		const char *name;
		const char *val;
	} members[] = {
		{ "kind", r->kind },
		{ "namespace", r->namespace },
		{ "name", r->name },
		{ "service", r->service },
		{ "desired", r->desired },
		{ "actual", r->actual },
		{ "error", r->error },
	};

	fputc('{', out);
	member(out, "id", r->id);
	for (size_t i = 0; i < sizeof(members) / sizeof(*members); i++) {
		fputc(',', out);
		member(out, members[i].name, members[i].val);
	}
	fputc('}', out);
}

static void
objects(FILE *out, const struct replica *set)
{
	const struct set_entry *e;
	struct object_report *r;
	const char *comma = "";

	for (e = replica_first(set); e != NULL; e = replica_next(set, e)) {
		r = object_report_decode(e->key, e->key_len, e->val,
		    e->val_len);
		if (r == NULL)
			continue;
		fputs(comma, out);
		object(out, r);
		comma = ",\n  ";
		free(r);
	}
}

static void
rpc(FILE *out, const struct metrics *ms)
{
	static const struct {
		const char *name;
		enum metric metric;
	} counts[] = {
		{ "connections", M_SIDECAR_CONNECTIONS },
		{ "accepted", M_SIDECAR_ACCEPTED },
		{ "refused", M_SIDECAR_REFUSED },
		{ "broken", M_SIDECAR_BROKEN },
		{ "calls", M_SIDECAR_CALLS },
	};
	const char *comma = "";

	for (size_t i = 0; i < sizeof(counts) / sizeof(*counts); i++)
		fprintf(out, "\"%s\":%" PRIu64 ",", counts[i].name,
		    ms->m[counts[i].metric].value);
	fputs("\"ended\":{", out);
	for (unsigned code = 0; code < GRPC_CODES; code++) {
		uint64_t n = ms->m[M_SIDECAR_ENDED + code].value;

		if (n == 0)
			continue;
		fprintf(out, "%s\"%s\":%" PRIu64, comma, grpc_code_name(code),
		    n);
		comma = ",";
	}
	fputc('}', out);
}

void
status_render(FILE *out, const struct model *m, uint64_t now_ms)
{
	char reason[LIMIT_TEXT + 64];
	bool healthy, ready;

	fputc('{', out);
	member(out, "version", PACKAGE_VERSION);
	healthy = model_healthy(m, now_ms, reason, sizeof(reason));
	fprintf(out, ",\n \"healthy\":%s,", bool_text(healthy));
	member(out, "health_reason", reason);
	ready = model_ready(m, reason, sizeof(reason));
	fprintf(out, ",\n \"ready\":%s,", bool_text(ready));
	member(out, "reason", reason);
	fputs(",\n \"workers\":[\n  ", out);
	workers(out, m, now_ms);
	fputs("],\n \"rpc\":{", out);
	rpc(out, &m->metrics[ROLE_HTTP]);
	fputs("},\n \"pods\":[\n  ", out);
	pods(out, m->services);
	fputs("],\n \"services\":[\n  ", out);
	services(out, m->services);
	fputs("],\n \"objects\":[\n  ", out);
	objects(out, m->objects);
	fputs("]}\n", out);
}
