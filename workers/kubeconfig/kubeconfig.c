#include "workers/kubeconfig/kubeconfig.h"

#include <bsd/string.h>
#include <resolv.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/options.h"
#include "workers/kubeconfig/tree.h"

#define ADVICE \
	"give it a token, a tokenFile or a client certificate (kubectl " \
	"create " \
	"token makes a token for a service account)"

/* An entry of clusters, contexts or users, and what is said of it. */
struct entry {
	const char *kind; /* "cluster" */
	const char *name;
	const struct node *map; /* its content; NULL: empty */
};

struct reader {
	struct kubeconfig *k;
	struct entry cluster, context, user;
	char *why;
};

static bool __attribute__((format(printf, 2, 3)))
refuse(struct reader *r, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(r->why, KUBECONFIG_WHY, fmt, ap);
	va_end(ap);
	return false;
}

/* ---- values ---- */

static bool
wrong_type(struct reader *r, const struct entry *e, const struct node *n,
    const char *wanted)
{
	return refuse(r, "line %u: %s \"%.60s\": %s is not %s", n->line,
	    e->kind, e->name, n->name, wanted);
}

/* A member's text, "" if it is not there. */
static bool
text_of(struct reader *r, const struct entry *e, const char *name,
    const char **text)
{
	const struct node *n = tree_get(e->map, name);

	*text = "";
	if (n == NULL)
		return true;
	if (n->type != NODE_TEXT)
		return wrong_type(r, e, n, "a text");
	*text = n->text;
	return true;
}

/* The words of YAML 1.1, which is what kubectl reads. */
static bool
bool_of(struct reader *r, const struct entry *e, const char *name, bool *value)
{
	static const char *const words[2][11] = {
		{ "false", "False", "FALSE", "no", "No", "NO", "off", "Off",
		    "OFF", "n", "N" },
		{ "true", "True", "TRUE", "yes", "Yes", "YES", "on", "On", "ON",
		    "y", "Y" },
	};
	const struct node *n = tree_get(e->map, name);

	*value = false;
	if (n == NULL)
		return true;
	for (int v = 0; v < 2 && n->type == NODE_TEXT && n->plain; v++) {
		*value = v;
		for (int i = 0; i < 11; i++)
			if (strcmp(n->text, words[v][i]) == 0)
				return true;
	}
	return wrong_type(r, e, n, "true or false");
}

/* ---- entries ---- */

/* The one of that name in a list of { name: N, KIND: { ... } }. */
static bool
entry_of(struct reader *r, const char *list_name, struct entry *e)
{
	const struct node *list = tree_get(r->k->tree, list_name), *n, *name;
	const struct node *found = NULL;

	if (list != NULL && list->type != NODE_LIST)
		return refuse(r, "line %u: %s is not a list", list->line,
		    list_name);
	if (list == NULL)
		return refuse(r, "there is no %s \"%.60s\"", e->kind, e->name);
	TAILQ_FOREACH(n, &list->children, entry) {
		name = tree_get(n, "name");
		if (name == NULL || name->type != NODE_TEXT ||
		    strcmp(name->text, e->name) != 0)
			continue;
		if (found != NULL)
			return refuse(r,
			    "line %u: there is another %s \"%.60s\" in line "
			    "%u",
			    n->line, e->kind, e->name, found->line);
		found = n;
	}
	if (found == NULL)
		return refuse(r, "there is no %s \"%.60s\"", e->kind, e->name);
	e->map = tree_get(found, e->kind);
	if (e->map != NULL && e->map->type != NODE_MAP)
		return refuse(r, "line %u: %s \"%.60s\" is not a mapping",
		    e->map->line, e->kind, e->name);
	return true;
}

static bool
read_context(struct reader *r)
{
	const struct entry root = { "file", "", r->k->tree };
	struct kubeconfig *k = r->k;

	if (!text_of(r, &root, "current-context", &k->context))
		return false;
	if (*k->context == '\0')
		return refuse(r,
		    "no current-context: kubectl config use-context NAME "
		    "sets one");
	r->context = (struct entry){ "context", k->context, NULL };
	if (!entry_of(r, "contexts", &r->context) ||
	    !text_of(r, &r->context, "cluster", &k->cluster) ||
	    !text_of(r, &r->context, "user", &k->user))
		return false;
	if (*k->cluster == '\0')
		return refuse(r, "context \"%.60s\" names no cluster",
		    k->context);
	r->cluster = (struct entry){ "cluster", k->cluster, NULL };
	r->user = (struct entry){ "user", k->user, NULL };
	return entry_of(r, "clusters", &r->cluster) &&
	    (*k->user == '\0' || entry_of(r, "users", &r->user));
}

/* ---- what is refused ---- */

static bool
is_set(const struct entry *e, const char *name)
{
	const struct node *n = tree_get(e->map, name);

	if (n == NULL)
		return false;
	return n->type == NODE_TEXT ? *n->text != '\0' : n->nchildren > 0;
}

static bool
refuse_exec(struct reader *r)
{
	const struct node *exec = tree_get(r->user.map, "exec");
	const struct node *command = tree_get(exec, "command");

	return refuse(r,
	    "user \"%.60s\" gets its credentials from a command (exec%s%.80s), "
	    "and none is run from here: " ADVICE,
	    r->k->user, command != NULL && command->text != NULL ? ": " : "",
	    command != NULL && command->text != NULL ? command->text : "");
}

static bool
check_user(struct reader *r)
{
	static const struct {
		const char *name;
		const char *what;
	} refused[] = {
		{ "auth-provider", "gets its credentials from a plugin" },
		{ "username",
		    "has a user name and password, which servers no "
		    "longer take" },
		{ "password",
		    "has a user name and password, which servers no "
		    "longer take" },
		{ "as", "acts as somebody else" },
		{ "as-uid", "acts as somebody else" },
		{ "as-groups", "acts as somebody else" },
		{ "as-user-extra", "acts as somebody else" },
	};

	if (is_set(&r->user, "exec"))
		return refuse_exec(r);
	for (size_t i = 0; i < sizeof(refused) / sizeof(*refused); i++)
		if (is_set(&r->user, refused[i].name))
			return refuse(r,
			    "user \"%.60s\" %s (%s), which is not supported: "
			    "" ADVICE,
			    r->k->user, refused[i].what, refused[i].name);
	return true;
}

/* ---- credentials ---- */

static const struct credential {
	const char *data;
	const char *file;
	size_t max; /* bytes of data, decoded */
} credentials[KUBECONFIG_KINDS] = {
	[KUBECONFIG_TOKEN] = { "token", "tokenFile", LIMIT_K8S_TOKEN },
	[KUBECONFIG_CA] = { "certificate-authority-data",
	    "certificate-authority", LIMIT_K8S_CA },
	[KUBECONFIG_CERT] = { "client-certificate-data", "client-certificate",
	    LIMIT_K8S_CERT },
	[KUBECONFIG_KEY] = { "client-key-data", "client-key", LIMIT_K8S_KEY },
};

static bool
bad_data(struct reader *r, const struct entry *e, enum kubeconfig_kind kind,
    const char *what)
{
	return refuse(r, "%s \"%.60s\": %s: %s", e->kind, e->name,
	    credentials[kind].data, what);
}

static bool
too_large(struct reader *r, const struct entry *e, enum kubeconfig_kind kind)
{
	return refuse(r,
	    "%s \"%.60s\": %s: larger than %zu bytes: name a file "
	    "with %s",
	    e->kind, e->name, credentials[kind].data, credentials[kind].max,
	    credentials[kind].file);
}

static bool
take_path(struct reader *r, const struct entry *e, enum kubeconfig_kind kind,
    const char *path)
{
	struct kubeconfig_credential *c = &r->k->credentials[kind];

	if (strlen(path) >= LIMIT_OPTION)
		return refuse(r, "%s \"%.60s\": %s: a path too long", e->kind,
		    e->name, credentials[kind].file);
	c->bytes = path;
	c->len = strlen(path);
	return true;
}

/* It becomes a line of an HTTP header. */
static bool
take_token(struct reader *r, const char *token)
{
	struct kubeconfig_credential *c = &r->k->credentials[KUBECONFIG_TOKEN];

	for (const char *s = token; *s != '\0'; s++)
		if ((unsigned char)*s <= ' ' || (unsigned char)*s >= 0x7f)
			return bad_data(r, &r->user, KUBECONFIG_TOKEN,
			    "white space or control characters in it");
	c->data = true;
	c->bytes = token;
	c->len = strlen(token);
	if (c->len > LIMIT_K8S_TOKEN)
		return too_large(r, &r->user, KUBECONFIG_TOKEN);
	return true;
}

/* base64 of PEM. */
static bool
take_data(struct reader *r, const struct entry *e, enum kubeconfig_kind kind,
    const char *text)
{
	struct kubeconfig_credential *c = &r->k->credentials[kind];
	size_t cap = strlen(text) / 4 * 3 + 3;
	int len;

	c->decoded = xmalloc(cap);
	if ((len = b64_pton(text, c->decoded, cap)) < 0)
		return bad_data(r, e, kind, "not base64");
	if ((size_t)len > credentials[kind].max)
		return too_large(r, e, kind);
	if (memmem(c->decoded, (size_t)len, "-----BEGIN ", 11) == NULL)
		return bad_data(r, e, kind, "not PEM in base64");
	c->data = true;
	c->bytes = c->decoded;
	c->len = (size_t)len;
	return true;
}

static bool
take_credential(struct reader *r, const struct entry *e,
    enum kubeconfig_kind kind)
{
	const char *data, *file;

	if (!text_of(r, e, credentials[kind].data, &data) ||
	    !text_of(r, e, credentials[kind].file, &file))
		return false;
	if (kind == KUBECONFIG_TOKEN)
		return *file != '\0' ? take_path(r, e, kind, file)
				     : take_token(r, data);
	return *data != '\0' ? take_data(r, e, kind, data)
			     : take_path(r, e, kind, file);
}

static bool
is_there(const struct reader *r, enum kubeconfig_kind kind)
{
	return r->k->credentials[kind].len > 0;
}

static bool
read_user(struct reader *r)
{
	if (!check_user(r) || !take_credential(r, &r->user, KUBECONFIG_TOKEN) ||
	    !take_credential(r, &r->user, KUBECONFIG_CERT) ||
	    !take_credential(r, &r->user, KUBECONFIG_KEY))
		return false;
	if (is_there(r, KUBECONFIG_CERT) != is_there(r, KUBECONFIG_KEY))
		return refuse(r,
		    "user \"%.60s\" has a client %s without the %s: it takes "
		    "both",
		    r->k->user,
		    is_there(r, KUBECONFIG_CERT) ? "certificate" : "key",
		    is_there(r, KUBECONFIG_CERT) ? "key" : "certificate");
	return true;
}

/* ---- the server ---- */

static bool
check_server(struct reader *r)
{
	const char *server = r->k->server, *why;
	struct url u;

	if (*server == '\0')
		return refuse(r, "cluster \"%.60s\" has no server",
		    r->k->cluster);
	why = strlen(server) < LIMIT_OPTION
	    ? option_url(OPT_K8S_API, server, &u)
	    : "too long";
	if (why != NULL)
		return refuse(r, "cluster \"%.60s\": server \"%.120s\": %s",
		    r->k->cluster, server, why);
	if (strlen(r->k->tls_server_name) > LIMIT_K8S_NAME)
		return refuse(r, "cluster \"%.60s\": tls-server-name: too long",
		    r->k->cluster);
	return true;
}

static bool
read_cluster(struct reader *r)
{
	struct kubeconfig *k = r->k;

	if (is_set(&r->cluster, "proxy-url"))
		return refuse(r,
		    "cluster \"%.60s\" is reached by a proxy (proxy-url), "
		    "which is not supported: name a server that can be reached "
		    "without one",
		    k->cluster);
	if (!text_of(r, &r->cluster, "server", &k->server) ||
	    !text_of(r, &r->cluster, "tls-server-name", &k->tls_server_name) ||
	    !bool_of(r, &r->cluster, "insecure-skip-tls-verify",
		&k->insecure) ||
	    !take_credential(r, &r->cluster, KUBECONFIG_CA))
		return false;
	if (k->insecure && is_there(r, KUBECONFIG_CA))
		return refuse(r,
		    "cluster \"%.60s\" has a certificate-authority and "
		    "insecure-skip-tls-verify: one of them must go",
		    k->cluster);
	return check_server(r);
}

static bool
read_kind(struct reader *r)
{
	const struct entry root = { "file", "", r->k->tree };
	const char *kind;

	if (r->k->tree->type != NODE_MAP)
		return refuse(r, "not a mapping, so no kubeconfig");
	if (!text_of(r, &root, "kind", &kind))
		return false;
	if (*kind != '\0' && strcmp(kind, "Config") != 0)
		return refuse(r, "its kind is \"%.60s\", not Config", kind);
	return true;
}

bool
kubeconfig_read(const void *data, size_t len, struct kubeconfig *k,
    char why[KUBECONFIG_WHY])
{
	struct reader r = { .k = k, .why = why };

	*k = (struct kubeconfig){
		.context = "",
		.cluster = "",
		.user = "",
		.server = "",
		.tls_server_name = "",
	};
	for (int i = 0; i < KUBECONFIG_KINDS; i++)
		k->credentials[i].bytes = "";
	if (len == 0)
		return refuse(&r, "there is nothing in it");
	k->tree = tree_parse(data, len, why);
	return k->tree != NULL && read_kind(&r) && read_context(&r) &&
	    read_cluster(&r) && read_user(&r);
}

void
kubeconfig_free(struct kubeconfig *k)
{
	for (int i = 0; i < KUBECONFIG_KINDS; i++)
		free(k->credentials[i].decoded);
	tree_free(k->tree);
	memset(k, 0, sizeof(*k));
}
