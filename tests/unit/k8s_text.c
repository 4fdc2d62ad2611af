#include "tests/unit/k8s_text.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const struct object_conf k8s_conf = {
	.namespace = "network",
	.instance = "",
	.domain = "example.org",
	.gateways = { "envoy-internal", "envoy-external" },
	.gateway_namespace = "gateways",
	.listener = "https",
};

struct wanted *
k8s_web(void)
{
	static const struct backend_service s = {
		.service = "Web",
		.port_name = "",
		.app_protocol = "kubernetes.io/h2c",
		.internal = true,
		.external = true,
	};
	static const struct backend_instance instances[] = {
		{ .address = "10.0.0.2", .port = 8080, .node = "", .zone = "" },
		{ .address = "10.0.0.1",
		    .port = 8080,
		    .node = "node-1",
		    .zone = "eu-1a",
		    .ready = true },
	};
	static const struct backend_instance *const v[] = { &instances[0],
		&instances[1] };

	return wanted_new(&k8s_conf, "web", &s, v, 2);
}

#define MANAGED_FIELDS \
	"\"managedFields\":[{\"manager\":\"consul-sync\"," \
	"\"operation\":\"Apply\",\"fieldsV1\":{\"f:metadata\":{}," \
	"\"f:spec\":{\"f:ports\":{}}}}]"
#define METADATA \
	"\"namespace\":\"network\",\"uid\":\"" K8S_UID "\"," \
	"\"resourceVersion\":\"206\"," \
	"\"creationTimestamp\":\"2026-11-21T17:11:53Z\"," MANAGED_FIELDS

const char *const k8s_answers[KUBE_KINDS] = {
	[KUBE_SERVICE] =
	    "{\"kind\":\"Service\",\"apiVersion\":\"v1\",\"metadata\":{"
	    "\"name\":\"web\"," METADATA ",\"labels\":{"
	    "\"app.kubernetes.io/managed-by\":\"consul-sync\","
	    "\"app.kubernetes.io/name\":\"web\"},"
	    "\"annotations\":{\"katalogd/consul-service\":\"Web\"}},"
	    "\"spec\":{\"ports\":[{\"name\":\"http\",\"protocol\":\"TCP\","
	    "\"appProtocol\":\"kubernetes.io/h2c\","
	    "\"port\":8080,\"targetPort\":8080}],"
	    "\"clusterIP\":\"None\",\"clusterIPs\":[\"None\"],"
	    "\"type\":\"ClusterIP\",\"sessionAffinity\":\"None\","
	    "\"ipFamilies\":[\"IPv4\",\"IPv6\"],"
	    "\"ipFamilyPolicy\":\"RequireDualStack\","
	    "\"internalTrafficPolicy\":\"Cluster\"},"
	    "\"status\":{\"loadBalancer\":{}}}\n",
	[KUBE_SLICE] =
	    "{\"kind\":\"EndpointSlice\","
	    "\"apiVersion\":\"discovery.k8s.io/v1\",\"metadata\":{"
	    "\"name\":\"web-consul\",\"generation\":1," METADATA ","
	    "\"labels\":{\"app.kubernetes.io/managed-by\":\"consul-sync\","
	    "\"endpointslice.kubernetes.io/managed-by\":\"consul-sync\","
	    "\"kubernetes.io/service-name\":\"web\"},"
	    "\"ownerReferences\":[{\"apiVersion\":\"v1\","
	    "\"kind\":\"Service\",\"name\":\"web\",\"uid\":\"" K8S_UID
	    "\"}]},\"addressType\":\"IPv4\","
	    "\"endpoints\":[{\"addresses\":[\"10.0.0.1\"],"
	    "\"conditions\":{\"ready\":true},"
	    "\"nodeName\":\"node-1\",\"zone\":\"eu-1a\"},"
	    "{\"addresses\":[\"10.0.0.2\"],"
	    "\"conditions\":{\"ready\":false}}],"
	    "\"ports\":[{\"name\":\"http\",\"protocol\":\"TCP\","
	    "\"port\":8080,\"appProtocol\":\"kubernetes.io/h2c\"}]}\n",
	[KUBE_ROUTE] =
	    "{\"apiVersion\":\"gateway.networking.k8s.io/v1\","
	    "\"kind\":\"HTTPRoute\",\"metadata\":{"
	    "\"name\":\"web-envoy-internal\",\"generation\":1," METADATA ","
	    "\"labels\":{\"app.kubernetes.io/managed-by\":\"consul-sync\","
	    "\"app.kubernetes.io/name\":\"web\"}},\"spec\":{"
	    "\"hostnames\":[\"web.example.org\"],"
	    "\"parentRefs\":[{\"group\":\"gateway.networking.k8s.io\","
	    "\"kind\":\"Gateway\",\"name\":\"envoy-internal\","
	    "\"namespace\":\"gateways\",\"sectionName\":\"https\"}],"
	    "\"rules\":[{\"backendRefs\":[{\"group\":\"\","
	    "\"kind\":\"Service\",\"name\":\"web\",\"port\":8080,"
	    "\"weight\":1}],\"matches\":[{\"path\":{"
	    "\"type\":\"PathPrefix\",\"value\":\"/\"}}]}]},"
	    "\"status\":{\"parents\":[]}}\n",
};

char *
k8s_replace(const char *s, const char *from, const char *to)
{
	const char *at = strstr(s, from);
	char *out;

	ck_assert_msg(at != NULL, "\"%s\" is not in %s", from, s);
	ck_assert_int_gt(asprintf(&out, "%.*s%s%s", (int)(at - s), s, to,
			     at + strlen(from)),
	    0);
	return out;
}
