/* A pod with a sidecar and its services, as they come to consul-writer. */
#ifndef TEST_CONSUL_PODS_H
#define TEST_CONSUL_PODS_H

#include "workers/consul_writer/pods.h"

#define UID_1 "00000000-0000-4000-8000-000000000001"
#define UID_2 "00000000-0000-4000-8000-000000000002"

/* shop/web-1 at 10.1.2.3, ready, whose sidecar is the container sync. */
struct pod_item a_pod(void);
/* One of its services, passing; the texts of its ID are the next call's. */
struct service a_service(const char *name);

/* As pods_put() and pods_del(). */
bool put_pod(struct pods *p, const struct pod_item *item);
bool put_service(struct pods *p, const struct service *s);
void del_pod(struct pods *p, const char *namespace, const char *name);
/* By a snapshot that lacks it. */
void miss_pod(struct pods *p, const char *namespace, const char *name);
void del_service(struct pods *p, const char *id);

#endif
