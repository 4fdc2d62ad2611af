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

/* NULL if it is not set, or empty. */
static const char *
env_get(char **envp, const char *name)
{
	size_t len = strlen(name);

	for (; envp != NULL && *envp != NULL; envp++)
		if (strncmp(*envp, name, len) == 0 && (*envp)[len] == '=')
			return (*envp)[len + 1] != '\0' ? *envp + len + 1
							: NULL;
	return NULL;
}

static void
apply_env_of(struct loader *l, enum option opt)
{
	const struct option_def *def = option_def(opt);
	const char *value;

	for (size_t i = 0; i < 3 && def->env[i] != NULL; i++) {
		if ((value = env_get(l->in->envp, def->env[i])) == NULL)
			continue;
		config_assign(l, opt, value,
		    (struct config_source){ .from = CONFIG_ENV,
			.env = def->env[i] });
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
		if (env_get(l->in->envp, unsupported[i].env) != NULL)
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
	const char *token, *name;
	size_t len;

	name = names[env_get(l->in->envp, names[0]) == NULL];
	if ((token = env_get(l->in->envp, name)) == NULL)
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
