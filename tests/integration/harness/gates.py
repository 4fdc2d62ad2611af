"""Pods with katalog-sync's readiness gate: in the apiserver, and in the list
of a kubelet that shows what the apiserver has."""

import contextlib
import copy

from . import pods as P
from .kube import path_of
from .kubelet import edited
from .space import manifest, plural
from .waiting import await_for

GATE = "katalog-sync.wish.com/synced"
ACCOUNT = "katalogd-to-consul"
STRATEGIC = "application/strategic-merge-patch+json"


def gate_of(pod):
    """Its condition, None where there is none."""
    conditions = pod["status"].get("conditions", [])
    return next((c for c in conditions if c["type"] == GATE), None)


class GateNode:
    """A namespace with the account of contrib/kubernetes, which may do what
    its manifest says and nothing else, and a node's pods in it."""

    def __init__(self, cluster, kubelet, folder):
        self.cluster = cluster
        self.kubelet = kubelet
        self.name = cluster.new_namespace()
        self.role = f"{ACCOUNT}-{self.name}"
        for item in manifest(cluster, "rbac-to-consul.yaml"):
            self.adopt(copy.deepcopy(item))
        self.token_file = folder / f"{self.name}.token"
        self.token_file.write_text(self.token())
        kubelet.answer = edited(self.show)

    def adopt(self, item):
        namespace = self.name
        item["metadata"].pop("creationTimestamp", None)
        if item["kind"].startswith("Cluster"):
            namespace = None
            item["metadata"]["name"] = self.role
        else:
            item["metadata"]["namespace"] = namespace
        for subject in item.get("subjects", []):
            subject["namespace"] = self.name
        if "roleRef" in item:
            item["roleRef"]["name"] = self.role
        self.cluster.create(plural(item["kind"]), namespace, item)

    @property
    def user(self):
        return f"system:serviceaccount:{self.name}:{ACCOUNT}"

    def token(self):
        return self.cluster.account_token(self.name, ACCOUNT)

    def access(self):
        """The options that lead katalogd here."""
        return {
            "k8s_api": self.cluster.url,
            "k8s_ca": self.cluster.ca,
            "k8s_token_file": self.token_file,
        }

    @property
    def rules(self):
        return self.cluster.get("clusterroles", None, self.role)["rules"]

    def allow(self, rules):
        body = {"rules": rules}
        self.cluster.patch("clusterroles", None, self.role, body)

    def patches(self, since=0):
        """As the apiserver was asked for them."""
        return self.cluster.audited(since, user=self.user, verb="patch")

    # Pods.

    def create(self, name="web-a", gated=True):
        """In the apiserver alone; with the uid that it got."""
        gates = [{"conditionType": GATE}] if gated else []
        return self.cluster.create(
            "pods",
            self.name,
            {
                "metadata": {"name": name},
                "spec": {
                    "nodeName": P.NODE,
                    "readinessGates": gates,
                    "containers": [{"name": "web", "image": "web"}],
                },
            },
        )

    def delete(self, pod):
        path = path_of("pods", self.name, pod["metadata"]["name"])
        # Nobody is there to end its containers.
        self.cluster.request("DELETE", f"{path}?gracePeriodSeconds=0")

    def listed(self, created, number=0, ready=True, **annotations):
        """What the kubelet shows of it."""
        name = created["metadata"]["name"]
        pod = P.web_pod(name, number, ready, **annotations)
        pod["metadata"]["namespace"] = self.name
        pod["metadata"]["uid"] = created["metadata"]["uid"]
        pod["spec"]["readinessGates"] = created["spec"].get(
            "readinessGates", []
        )
        return pod

    def add(self, name="web-a", gated=True, **options):
        """Both."""
        pod = self.listed(self.create(name, gated), **options)
        self.kubelet.put(pod)
        return pod

    def show(self, pods):
        """The conditions that the apiserver has, if it answers."""
        known = {}
        with contextlib.suppress(OSError):
            known = self.cluster.list("pods", self.name)
        for pod in pods["items"]:
            there = known.get(pod["metadata"]["name"])
            if there and there["metadata"]["uid"] == pod["metadata"]["uid"]:
                gate = gate_of(there)
                pod["status"]["conditions"] += [gate] if gate else []

    def gate(self, pod):
        """The condition as the apiserver has it."""
        name = pod["metadata"]["name"]
        return gate_of(self.cluster.get("pods", self.name, name))

    def set_gate(self, pod, status):
        """As somebody else would."""
        path = path_of("pods", self.name, pod["metadata"]["name"]) + "/status"
        condition = {"type": GATE, "status": status, "reason": "Somebody"}
        body = {"status": {"conditions": [condition]}}
        self.cluster.request("PATCH", path, body, STRATEGIC)

    def is_gate(self, pod, status, reason=None):
        gate = self.gate(pod)
        if gate is None or gate["status"] != status:
            return None
        return gate if reason in (None, gate["reason"]) else None

    def await_gate(self, pod, status, reason=None, timeout=8):
        return await_for(
            lambda: self.is_gate(pod, status, reason),
            timeout,
            f"{pod['metadata']['name']} is {status} for {reason}",
        )
