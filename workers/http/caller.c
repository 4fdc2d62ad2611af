#include "workers/http/caller.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

#define IPV4_AT 12 /* of a mapped address */

static void
map(const struct in_addr *v4, struct in6_addr *a)
{
	*a = (struct in6_addr){ .s6_addr = { [10] = 0xff, [11] = 0xff } };
	memcpy(&a->s6_addr[IPV4_AT], v4, sizeof(*v4));
}

/* Both families as one: IPv4 is mapped. */
static bool
address_of(const struct sockaddr *sa, struct in6_addr *a)
{
	struct sockaddr_in6 in6;
	struct sockaddr_in in;

	switch (sa->sa_family) {
	case AF_INET:
		memcpy(&in, sa, sizeof(in));
		map(&in.sin_addr, a);
		return true;
	case AF_INET6:
		memcpy(&in6, sa, sizeof(in6));
		*a = in6.sin6_addr;
		return true;
	default:
		return false;
	}
}

static bool
is_loopback(const struct in6_addr *a)
{
	if (IN6_IS_ADDR_V4MAPPED(a))
		return a->s6_addr[IPV4_AT] == IN_LOOPBACKNET;
	return IN6_IS_ADDR_LOOPBACK(a);
}

bool
caller_of(const struct sockaddr *peer, const struct sockaddr *local,
    struct caller *c)
{
	struct in6_addr from, to;
	bool v4;

	if (!address_of(peer, &from) || !address_of(local, &to))
		return false;
	c->local = is_loopback(&from) || IN6_ARE_ADDR_EQUAL(&from, &to);
	v4 = IN6_IS_ADDR_V4MAPPED(&from);
	return inet_ntop(v4 ? AF_INET : AF_INET6,
		   &from.s6_addr[v4 ? IPV4_AT : 0], c->address,
		   sizeof(c->address)) != NULL;
}
