/*
 * What workers are given: config, blobs, listening sockets, news of each
 * other.
 */
#ifndef HANDOUT_H
#define HANDOUT_H

#include "supervisor/proc.h"
#include "supervisor/secrets.h"

/* Its slice, the first message of a start. */
void handout_config(struct proc *p);
/* All that it works with; the last message is START. */
void handout_all(struct proc *p);
/* Those of the blobs that are for it. */
void handout_blobs(struct proc *p, blob_mask blobs);
/*
 * To http: how p is. While much waits to be read there it is not told, but
 * noted; handout_untold(), each second, makes up for that.
 */
void handout_worker(struct supervisor *sup, struct proc *p);
void handout_untold(struct supervisor *sup);

#endif
