/* The environment. */
#include <string.h>

#include "common/log.h"
#include "supervisor/config_parts.h"

/* Standard names that mean something to Consul's own client, not to us. */
static const struct {
	const char *env;
	const char *instead;
} unsupported[] = {
	{ "CONSUL_HTTP_AUTH", "use a token" },
	{ "CONSUL_CAPATH", "use CONSUL_CACERT" },
	{ "CONSUL_PARTITION", "services go to the agent's partition" },
};

const char *
config_env_get(const struct loader *l, const char *name)
{
	char **envp = l->in->envp;
	size_t len = strlen(name);

	for (; envp != NULL && *envp != NULL; envp++)
		if (strncmp(*envp, name, len) == 0 && (*envp)[len] == '=')
			return (*envp)[len + 1] != '\0' ? *envp + len + 1
							: NULL;
	return NULL;
}

/* The names of the other direction's original come last, but as that first. */
static const char *
env_name(const struct loader *l, const struct option_def *def, size_t i)
{
	size_t n = 0;

	while (n < 3 && def->env[n] != NULL)
		n++;
	if (i >= n)
		return NULL;
	return def->env[config_as_consul_sync(l->c) ? n - 1 - i : i];
}

static void
apply_env_of(struct loader *l, enum option opt)
{
	const struct option_def *def = option_def(opt);
	const char *name, *value;

	for (size_t i = 0; (name = env_name(l, def, i)) != NULL; i++) {
		if ((value = config_env_get(l, name)) == NULL)
			continue;
		config_assign(l, opt, value,
		    (struct config_source){ .from = CONFIG_ENV, .env = name });
		return;
	}
}

void
config_env(struct loader *l, const struct flags *f)
{
	for (int opt = OPT_CONFIG; opt < OPT_MAX; opt++)
		if (!config_flags_has(f, (enum option)opt))
			apply_env_of(l, (enum option)opt);
	for (size_t i = 0; i < sizeof(unsupported) / sizeof(*unsupported); i++)
		if (config_env_get(l, unsupported[i].env) != NULL)
			config_warning(l->r,
			    "environment %s: not supported, ignored; %s",
			    unsupported[i].env, unsupported[i].instead);
}

/* It becomes a line of an HTTP header. */
void
config_env_token(struct loader *l)
{
	static const char *const names[] = { "CONSUL_HTTP_TOKEN",
		"CONSUL_TOKEN" };
	bool second = config_as_consul_sync(l->c);
	const char *token, *name;
	size_t len;

	if (config_env_get(l, names[second]) == NULL)
		second = !second;
	name = names[second];
	if ((token = config_env_get(l, name)) == NULL)
		return;
	token += strspn(token, " \t\r\n");
	len = strcspn(token, " \t\r\n");
	if (len == 0)
		return;
	for (size_t i = 0; token[i] != '\0'; i++) {
		if (i < len ? (unsigned char)token[i] > ' ' &&
			    (unsigned char)token[i] < 0x7f
			    : strchr(" \t\r\n", token[i]) != NULL)
			continue;
		config_error(l->r,
		    "environment %s: not a token (white space or control "
		    "characters in it; value not shown)",
		    name);
		return;
	}
	l->c->consul_token = xstrndup(token, len);
}
