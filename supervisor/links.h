/*
 * The direct links between siblings: a socketpair for each pair of workers
 * that roles_linked() names.
 */
#ifndef LINKS_H
#define LINKS_H

#include "supervisor/proc.h"

/*
 * p became READY: it and each of its siblings that is READY get the two ends
 * of a new pair. For the sibling that replaces the one it had.
 */
void links_make(struct proc *p);

#endif
