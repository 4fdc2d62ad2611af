#ifndef UNIX_CONNECT_H
#define UNIX_CONNECT_H

/*
 * Connects to the Unix stream socket at path: the descriptor (non-blocking,
 * close-on-exec), or -1 with errno. Such a socket connects at once or not at
 * all.
 *
 * To connect means to write: root without CAP_DAC_OVERRIDE (sandbox.h) is
 * refused by a socket that only its owner may write to, and tries again as
 * that owner.
 */
int unix_connect(const char *path);

#endif
