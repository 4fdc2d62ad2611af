/* The TCP clients that are connected, as the kernel knows them. */
#ifndef CLIENTS_H
#define CLIENTS_H

#include <stddef.h>

/*
 * Ends up to n connections that were accepted by TCP: those from which
 * nothing has come for the longest time. Their owner sees EOF and closes
 * them. Returns how many.
 */
size_t clients_evict(size_t n);

#endif
