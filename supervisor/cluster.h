/*
 * How the cluster is reached where a kubeconfig says it. The worker of that
 * name reads the file's bytes; its answer becomes options and blobs of
 * k8s-writer, which is held until there is one.
 */
#ifndef CLUSTER_H
#define CLUSTER_H

#include "supervisor/proc.h"

/* At the start: what needs the cluster is held. */
void cluster_hold(struct supervisor *sup);
/* It is still held. */
bool cluster_is_missing(const struct supervisor *sup);
/*
 * Has the file read: at the start, when it changed, after SIGHUP. Without a
 * kubeconfig, what waited for one is started.
 */
void cluster_read(struct supervisor *sup);
/* KUBECONFIG. False: it breaks the protocol. */
bool cluster_answer(struct proc *p, const struct msg *m);

#endif
