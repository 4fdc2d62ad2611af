/* A copy of a token, a certificate or a key, wiped when it goes. */
#ifndef SECRET_H
#define SECRET_H

#include <stdbool.h>
#include <stddef.h>

/* Zeroed at first. */
struct secret {
	char *data; /* with a NUL behind; NULL if len is 0 */
	size_t len;
};

/* len 0: none. */
void secret_set(struct secret *s, const void *data, size_t len);
bool secret_is(const struct secret *s, const void *data, size_t len);

#endif
