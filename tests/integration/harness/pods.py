"""Pod lists made from a real kubelet's answer, and what becomes of them."""

import copy
import ipaddress
import json
import pathlib

DATA = pathlib.Path(__file__).parents[2] / "data" / "kubelet-pods-1.34.json"
# What the sidecar of sidecar_pod() is called.
SIDECAR = "sync"
PREFIX = "katalog-sync.wish.com/"
NODE = "n1"


def real_list():
    return json.loads(DATA.read_bytes())


def real_pods():
    return real_list()["items"]


def real_pod(name):
    return next(p for p in real_pods() if p["metadata"]["name"] == name)


def key_of(pod):
    return pod["metadata"]["namespace"], pod["metadata"]["name"]


def clone(pod, name, number, namespace="default"):
    """A pod like this one with a name, uid and address of its own."""
    new = copy.deepcopy(pod)
    meta, status = new["metadata"], new["status"]
    meta["name"] = name
    meta["namespace"] = namespace
    meta["uid"] = f"{meta['uid'][:-12]}{number:012x}"
    if not new["spec"].get("hostNetwork"):
        address = str(ipaddress.ip_address("10.64.0.1") + number)
        status["podIP"] = address
        status["podIPs"] = [{"ip": address}]
    return new


def web_pod(name="web-a", number=0, ready=True, **annotations):
    """A pod of one container and one service "web" on port 8080.

    Annotations come by their names without prefix, "_" for "-"; None
    removes one.
    """
    pod = clone(real_pod("web-a"), name, number)
    own = pod["metadata"]["annotations"]
    for key in [k for k in own if k.startswith(PREFIX)]:
        del own[key]
    annotate(pod, service_names="web", service_port="8080")
    annotate(pod, **annotations)
    set_ready(pod, ready)
    return pod


def sidecar_pod(name="web-a", number=0, address="127.0.0.1", **more):
    """A pod like that of web_pod(), with a sidecar that is not ready.

    Its calls come from that address.
    """
    more.setdefault("sidecar", SIDECAR)
    pod = set_addresses(web_pod(name, number, **more), address)
    containers = pod["status"]["containerStatuses"]
    containers.append({**containers[0], "name": SIDECAR, "ready": False})
    pod["spec"]["containers"].append(
        {**pod["spec"]["containers"][0], "name": SIDECAR, "ports": []}
    )
    return pod


def annotate(pod, **annotations):
    own = pod["metadata"]["annotations"]
    for name, value in annotations.items():
        key = PREFIX + name.replace("_", "-")
        if value is None:
            own.pop(key, None)
        else:
            own[key] = value
    return pod


def set_ready(pod, ready, container=None):
    for status in pod["status"]["containerStatuses"]:
        if container in (None, status["name"]):
            status["ready"] = ready
    return pod


def set_addresses(pod, *addresses):
    pod["status"]["podIP"] = addresses[0]
    pod["status"]["podIPs"] = [{"ip": a} for a in addresses]
    return pod


def static(pod):
    """As if it were of a file of the kubelet's, and not the apiserver's."""
    pod["metadata"]["annotations"]["kubernetes.io/config.source"] = "file"
    return pod


def end(pod):
    pod["metadata"]["deletionTimestamp"] = "2026-11-21T16:00:00Z"
    pod["metadata"]["deletionGracePeriodSeconds"] = 30
    return pod


def service_id(pod, service="web"):
    namespace, name = key_of(pod)
    return f"katalog-sync_{service}_{namespace}_{name}"


# What COMPAT.md says becomes of each pod of the real list:
# service -> port, tags, meta of its own, status. One more column for all
# services of a pod: TTL in seconds, notes.
REAL = {
    "plain-0": {},
    "web-a": {
        "hw": (8080, ["a", "b"], {}, "passing"),
        "hw-admin": (8080, ["a", "b"], {}, "passing"),
    },
    "shop-7c9d-x1": {
        "shop": (
            8080,
            ["v1", "primary"],
            {"version": "1.4", "az": "eu-1"},
            "passing",
        ),
        "shop-admin": (
            9090,
            ["admin"],
            {"version": "1.4", "az": "eu-1"},
            "passing",
        ),
    },
    "gated-0": {"gated": (8080, [], {}, "passing")},
    "sidecar-0": {"sc": (8080, [], {}, "warning")},
    "host-0": {"hostsvc": (7000, [], {}, "passing")},
}
# sync-interval (1s) + sync-ttl-buffer-duration (10s) unless annotated
TTL = {"gated-0": 30.0}
DEFAULT_TTL = 11.0


def expected_services(pod, template=None):
    """What the agent must say about the pod, which is a clone of template."""
    namespace, name = key_of(pod)
    address = pod["status"]["podIP"]
    services = {}
    for service, (port, tags, meta, status) in REAL[template or name].items():
        services[service_id(pod, service)] = {
            "Service": service,
            "Address": address,
            "Port": port,
            "Tags": tags,
            "Status": status,
            "Meta": {
                **meta,
                "external-source": "kubernetes",
                "external-sync-source": "katalog-sync",
                "external-k8s-link": f"{namespace}/{name}",
                "external-k8s-namespace": namespace,
                "external-k8s-pod": name,
            },
            "Notes": readiness(pod),
        }
    return services


def readiness(pod):
    """Of the containers that count: not the excluded ones, nor the sidecar."""
    annotations = pod["metadata"].get("annotations", {})
    others = annotations.get(PREFIX + "container-exclude", "").split(",")
    others.append(annotations.get(PREFIX + "sidecar"))
    return {
        c["name"]: c["ready"]
        for c in pod["status"]["containerStatuses"]
        if c["name"] not in others
    }


def many(count):
    """count pods made from the real list's, and what must become of them."""
    templates = real_pods()
    pods, expected = [], {}
    for number in range(count):
        template = templates[number % len(templates)]
        origin = template["metadata"]["name"]
        pod = clone(template, f"{origin}-{number}", number)
        pods.append(pod)
        expected.update(expected_services(pod, origin))
    return pods, expected
