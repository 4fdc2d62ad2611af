/*
 * libFuzzer: a kubeconfig of any bytes is read or refused with a reason. What
 * was read has a server, fits the message, and names a user by one way only.
 */
#include <stdlib.h>
#include <string.h>

#include "common/options.h"
#include "workers/kubeconfig/kubeconfig.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const size_t most[KUBECONFIG_KINDS] = { LIMIT_K8S_TOKEN, LIMIT_K8S_CA,
	LIMIT_K8S_CERT, LIMIT_K8S_KEY };

static void
must(bool ok)
{
	if (!ok)
		abort();
}

static void
check_credential(const struct kubeconfig_credential *c, size_t max)
{
	must(c->bytes != NULL);
	if (c->data) {
		must(c->len <= max);
		return;
	}
	must(c->len < LIMIT_OPTION);
	must(memchr(c->bytes, '\0', c->len) == NULL);
}

static void
check(const struct kubeconfig *k)
{
	const struct kubeconfig_credential *c = k->credentials;
	struct url u;

	must(option_url(OPT_K8S_API, k->server, &u) == NULL);
	must(strlen(k->server) < LIMIT_OPTION);
	must(strlen(k->tls_server_name) <= LIMIT_K8S_NAME);
	must(!k->insecure || c[KUBECONFIG_CA].len == 0);
	must((c[KUBECONFIG_CERT].len > 0) == (c[KUBECONFIG_KEY].len > 0));
	for (int i = 0; i < KUBECONFIG_KINDS; i++)
		check_credential(&c[i], most[i]);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char why[KUBECONFIG_WHY] = "";
	struct kubeconfig k;

	if (kubeconfig_read(data, size, &k, why))
		check(&k);
	else
		must(*why != '\0');
	kubeconfig_free(&k);
	return 0;
}
