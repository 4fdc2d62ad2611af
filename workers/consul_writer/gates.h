/*
 * What others are told of a watched pod: http how sidecar and gate stand,
 * k8s-writer which condition its gate is to have. Pure.
 *
 * Once the condition was true for a uid it stays so: a pod that isn't ready
 * any more is taken out by its containers, and Consul's trouble must not take
 * pods out of Services. That of a pod that ends is left as it is.
 */
#ifndef GATES_H
#define GATES_H

#include "workers/consul_writer/standing.h"

struct telling {
	struct pod_report report;
	bool has_gate;
	struct pod_gate gate; /* if it has */
	char text[STANDING_TEXT]; /* of both, that point here: not to be copied */
};

/* gates: they are ours to set. May mark the pod as synced. */
void gates_tell(struct pod *pod, bool gates, struct outlook *o,
    struct telling *t);

#endif
