#include "workers/resolve.h"

#include <arpa/inet.h>
#include <bsd/string.h>
#include <event2/dns.h>
#include <event2/util.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/clock.h"
#include "common/limits.h"
#include "common/log.h"
#include "common/timer.h"

/* More addresses than these are left out: nobody tries so many. */
#define ADDRESSES_MAX 16
#define LIST_CAP      (ADDRESSES_MAX * (INET6_ADDRSTRLEN + 3))

#define TTL_MIN_S     5
#define TTL_MAX_S     300
/* How long a lookup may hold up a request that has old addresses. */
#define STALE_WAIT_MS 1000
/* How long old addresses are then used before the next try (RFC 8767). */
#define STALE_USE_MS 30000
/* Between two lookups, when they or the addresses are bad. */
#define RETRY_MS 1000

struct family {
	struct lookup *lookup;
	int af;
	int error; /* DNS_ERR_* */
	char list[LIST_CAP];
};

/*
 * Outlives its resolve if that is freed meanwhile: evdns calls back even for
 * what was cancelled.
 */
struct lookup {
	struct resolve *owner; /* NULL: gone */
	struct family v6, v4;
	unsigned pending;
	int ttl_s; /* the least of all */
};

struct resolve {
	struct resolve_conf conf;
	char host[256];
	int flags; /* DNS_QUERY_NO_SEARCH for "name." */
	struct evdns_base *dns; /* NULL: the addresses are fixed */
	bool borrowed; /* dns is another's */
	struct lookup *lookup; /* NULL: none under way */
	struct event *timer; /* the lookup holds up requests too long */
	uint64_t expires_ms; /* of list; UINT64_MAX: never */
	uint64_t not_before_ms; /* of the next lookup */
	unsigned generation;
	struct log_once stale;
	char error[LIMIT_TEXT];
	char list[LIST_CAP];
};

static uint64_t
now_ms(const struct resolve *r)
{
	return r->conf.now_ms != NULL ? r->conf.now_ms() : clock_ms();
}

static void
list_add(char *list, int af, const void *address)
{
	char text[INET6_ADDRSTRLEN], item[INET6_ADDRSTRLEN + 3];
	size_t used = strlen(list);

	if (inet_ntop(af, address, text, sizeof(text)) == NULL)
		return;
	snprintf(item, sizeof(item), af == AF_INET6 ? "%s[%s]" : "%s%s",
	    used == 0 ? "" : ",", text);
	if (used + strlen(item) < LIST_CAP)
		strlcat(list, item, LIST_CAP);
}

/* False if text is not an IP address. */
static bool
list_add_text(char *list, const char *text)
{
	struct in6_addr address;

	for (int i = 0; i < 2; i++) {
		int af = i == 0 ? AF_INET : AF_INET6;

		if (inet_pton(af, text, &address) == 1) {
			list_add(list, af, &address);
			return true;
		}
	}
	return false;
}

/* One line of the hosts file: an address, then names. */
static void
hosts_line(struct resolve *r, char *line)
{
	const char *address = NULL;
	char *word;

	line[strcspn(line, "#\n")] = '\0';
	while ((word = strsep(&line, " \t\r")) != NULL) {
		if (*word == '\0')
			continue;
		if (address == NULL) {
			address = word;
		} else if (strcasecmp(word, r->host) == 0) {
			list_add_text(r->list, address);
			return;
		}
	}
}

static void
hosts_read(struct resolve *r, const char *path)
{
	FILE *f = fopen(path, "re");
	char *line = NULL;
	size_t cap = 0;

	if (f == NULL)
		return;
	while (getline(&line, &cap, f) >= 0)
		hosts_line(r, line);
	free(line);
	fclose(f);
}

/* RFC 6761: these names are this machine, whoever else says what. */
static bool
is_localhost(const char *host)
{
	static const char suffix[] = ".localhost";
	size_t len = strlen(host);

	if (strcasecmp(host, suffix + 1) == 0)
		return true;
	return len >= sizeof(suffix) &&
	    strcasecmp(host + len - (sizeof(suffix) - 1), suffix) == 0;
}

/* hosts: NULL for none. True if the addresses are found, for good. */
static bool
look_here(struct resolve *r, const char *hosts)
{
	if (!list_add_text(r->list, r->host) && hosts != NULL)
		hosts_read(r, hosts);
	if (r->list[0] == '\0' && is_localhost(r->host))
		strlcpy(r->list, "127.0.0.1,[::1]", sizeof(r->list));
	if (r->list[0] == '\0')
		return false;
	r->generation = 1;
	r->expires_ms = UINT64_MAX;
	return true;
}

static void
host_set(struct resolve *r, const char *host)
{
	size_t len = strlcpy(r->host, host, sizeof(r->host));

	if (len >= sizeof(r->host))
		fatalx("%s: a host name has at most %zu bytes", host,
		    sizeof(r->host) - 1);
	if (len > 1 && r->host[len - 1] == '.') {
		r->host[len - 1] = '\0';
		r->flags = DNS_QUERY_NO_SEARCH;
	}
}

static void
on_dns_log(int is_warning, const char *text)
{
	(void)is_warning;
	log_debug("dns: %s", text);
}

static void on_timer(evutil_socket_t fd, short what, void *arg);

static void
timer_make(struct resolve *r)
{
	r->timer = evtimer_new(r->conf.base, on_timer, r);
	if (r->timer == NULL)
		fatalx("resolve %s: out of memory", r->host);
}

static void
dns_open(struct resolve *r, const char *resolv_conf)
{
	/* Seeds now what later draws the transaction ids. */
	if (evutil_secure_rng_init() != 0)
		fatalx("no random numbers for DNS queries");
	evdns_set_log_fn(on_dns_log);
	r->dns = evdns_base_new(r->conf.base, 0);
	if (r->dns == NULL)
		fatalx("resolve %s: out of memory", r->host);
	timer_make(r);
	/* Without the file or a server in it, evdns takes 127.0.0.1. */
	evdns_base_resolv_conf_parse(r->dns,
	    DNS_OPTION_SEARCH | DNS_OPTION_NAMESERVERS | DNS_OPTION_MISC,
	    resolv_conf);
}

struct resolve *
resolve_preload(const struct resolve_conf *conf)
{
	struct resolve *r = xcalloc(1, sizeof(*r));

	r->conf = *conf;
	host_set(r, conf->host);
	if (look_here(r, conf->hosts != NULL ? conf->hosts : "/etc/hosts"))
		return r;
	dns_open(r,
	    conf->resolv_conf != NULL ? conf->resolv_conf : "/etc/resolv.conf");
	return r;
}

struct resolve *
resolve_another(const struct resolve *first, const char *host,
    void (*settled)(void *arg), void *arg)
{
	struct resolve *r = xcalloc(1, sizeof(*r));

	r->conf = first->conf;
	r->conf.settled = settled;
	r->conf.arg = arg;
	host_set(r, host);
	if (look_here(r, NULL))
		return r;
	r->dns = first->dns;
	r->borrowed = true;
	timer_make(r);
	return r;
}

void
resolve_free(struct resolve *r)
{
	if (r == NULL)
		return;
	if (r->lookup != NULL)
		r->lookup->owner = NULL;
	if (r->dns != NULL && !r->borrowed)
		evdns_base_free(r->dns, 1);
	if (r->timer != NULL)
		event_free(r->timer);
	free(r);
}

bool
resolve_uses_dns(const struct resolve *r)
{
	return r->dns != NULL;
}

static void
lookup_failed(struct resolve *r, int error, uint64_t now)
{
	snprintf(r->error, sizeof(r->error), "look up %s: %s", r->host,
	    evdns_err_to_string(error));
	r->not_before_ms = now + RETRY_MS;
	if (r->list[0] == '\0')
		return;
	r->expires_ms = now + STALE_USE_MS;
	log_once_warn(&r->stale, "%s; using the old addresses %s", r->error,
	    r->list);
}

static void
lookup_succeeded(struct resolve *r, const char *list, int ttl_s, uint64_t now)
{
	if (ttl_s < TTL_MIN_S)
		ttl_s = TTL_MIN_S;
	if (ttl_s > TTL_MAX_S)
		ttl_s = TTL_MAX_S;
	r->expires_ms = now + (uint64_t)ttl_s * 1000;
	r->not_before_ms = now + RETRY_MS;
	r->error[0] = '\0';
	log_once_clear(&r->stale, "look up %s: answered again", r->host);
	if (strcmp(list, r->list) == 0)
		return;
	strlcpy(r->list, list, sizeof(r->list));
	r->generation++;
	log_debug("%s is at %s, for %ds", r->host, r->list, ttl_s);
}

/* A missing name is the better reason than, say, a family without data. */
static int
lookup_error(const struct lookup *l)
{
	return l->v4.error != DNS_ERR_NODATA ? l->v4.error : l->v6.error;
}

static void
lookup_end(struct lookup *l)
{
	struct resolve *r = l->owner;
	char list[LIST_CAP];

	if (r == NULL) {
		free(l);
		return;
	}
	r->lookup = NULL;
	evtimer_del(r->timer);
	strlcpy(list, l->v6.list, sizeof(list));
	if (list[0] != '\0' && l->v4.list[0] != '\0')
		strlcat(list, ",", sizeof(list));
	strlcat(list, l->v4.list, sizeof(list));
	if (list[0] != '\0')
		lookup_succeeded(r, list, l->ttl_s, now_ms(r));
	else
		lookup_failed(r, lookup_error(l), now_ms(r));
	free(l);
	r->conf.settled(r->conf.arg);
}

static void
on_answer(int result, char type, int count, int ttl_s, void *addresses,
    void *arg)
{
	struct family *f = arg;
	struct lookup *l = f->lookup;
	size_t size = f->af == AF_INET6 ? 16 : 4;

	(void)type;
	f->error = result;
	if (result == DNS_ERR_NONE) {
		for (int i = 0; i < count && i < ADDRESSES_MAX / 2; i++)
			list_add(f->list, f->af,
			    (const char *)addresses + (size_t)i * size);
		if (ttl_s < l->ttl_s)
			l->ttl_s = ttl_s;
	}
	if (--l->pending == 0)
		lookup_end(l);
}

static void
family_ask(struct lookup *l, struct family *f, int af)
{
	const struct resolve *r = l->owner;
	struct evdns_request *asked;

	f->lookup = l;
	f->af = af;
	asked = af == AF_INET6
	    ? evdns_base_resolve_ipv6(r->dns, r->host, r->flags, on_answer, f)
	    : evdns_base_resolve_ipv4(r->dns, r->host, r->flags, on_answer, f);
	if (asked != NULL)
		l->pending++;
	else
		f->error = DNS_ERR_UNKNOWN;
}

static void
lookup_start(struct resolve *r)
{
	struct lookup *l = xcalloc(1, sizeof(*l));

	l->owner = r;
	l->ttl_s = TTL_MAX_S;
	r->lookup = l;
	family_ask(l, &l->v6, AF_INET6);
	family_ask(l, &l->v4, AF_INET);
	if (l->pending == 0)
		event_active(r->timer, EV_TIMEOUT, 0);
	else if (r->list[0] != '\0')
		timer_arm(r->timer, STALE_WAIT_MS);
}

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct resolve *r = arg;

	(void)fd;
	(void)what;
	if (r->lookup == NULL)
		return;
	if (r->lookup->pending == 0) {
		lookup_end(r->lookup);
		return;
	}
	/* The lookup goes on: a late answer is still taken. */
	lookup_failed(r, DNS_ERR_TIMEOUT, now_ms(r));
	r->conf.settled(r->conf.arg);
}

enum resolve_state
resolve_state(struct resolve *r)
{
	uint64_t now = now_ms(r);

	if (now < r->expires_ms)
		return RESOLVE_READY;
	if (r->lookup != NULL)
		return RESOLVE_PENDING;
	if (r->list[0] == '\0' && now < r->not_before_ms)
		return RESOLVE_FAILED;
	lookup_start(r);
	return RESOLVE_PENDING;
}

void
resolve_doubt(struct resolve *r)
{
	uint64_t now = now_ms(r);

	if (r->dns != NULL && r->lookup == NULL && now >= r->not_before_ms)
		r->expires_ms = 0;
}

const char *
resolve_list(const struct resolve *r)
{
	return r->list;
}

unsigned
resolve_generation(const struct resolve *r)
{
	return r->generation;
}

const char *
resolve_error(const struct resolve *r)
{
	return r->error;
}
