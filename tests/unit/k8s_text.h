/* Answers of a kube-apiserver for tests, and how to change them. */
#ifndef K8S_TEXT_H
#define K8S_TEXT_H

#include "workers/k8s_writer/objects.h"

/* With routes, and without an instance id. */
extern const struct object_conf k8s_conf;

/*
 * The service "web": port 8080, IPv4 10.0.0.1 (ready, with node and zone) and
 * 10.0.0.2 (not ready), both routes. For wanted_free().
 */
struct wanted *k8s_web(void);
#define K8S_UID "63b48bd2-4fd6-4c17-9ed2-25dc957bf01b"

/* What the apiserver makes of the applied objects of web. */
extern const char *const k8s_answers[KUBE_KINDS];

/* s with the first from replaced by to; it must be there. For free(). */
char *k8s_replace(const char *s, const char *from, const char *to);

#endif
