"""Readiness gates: pods of a real kube-apiserver, a real Consul, and a
kubelet's list that shows what the apiserver has."""

import os
import signal
import time

import pytest

from harness import pods as P
from harness.catalog import TAG, Instance
from harness.gates import GATE, STRATEGIC, GateNode
from harness.kube import KubeApi, Refused
from harness.proxy import Answer
from harness.waiting import await_for, free_port, holds_for


@pytest.fixture
def node(shared_cluster, kubelet, tmp_path):
    return GateNode(shared_cluster, kubelet, tmp_path)


@pytest.fixture
def gates(start, kubelet, consul, node):
    """gates(**options): a katalogd that may set them."""

    def start_one(**options):
        return start(kubelet, consul, **{**node.access(), **options})

    return start_one


def through(proxy):
    return {"k8s_api": proxy.url, "k8s_ca": None}


def set_ready(kubelet, pod, ready):
    kubelet.put(P.set_ready(pod, ready))


def in_catalog(consul, pod, service="web"):
    """Passing, as who looks it up sees it."""
    found = consul.get(f"/v1/health/service/{service}", passing="1")
    ids = {entry["Service"]["ID"] for entry in found}
    return P.service_id(pod, service) in ids


def gatekeeper(daemon):
    (worker,) = [
        w for w in daemon.status()["workers"] if w["name"] == "k8s-writer"
    ]
    return worker


def conditions_of(requests):
    """(status, reason) of each PATCH that went well, in their order."""
    bodies = [r.body for r in requests if r.status == 200]
    found = [body["status"]["conditions"][0] for body in bodies]
    return [(c["status"], c["reason"]) for c in found]


# ---- what it says ----------------------------------------------------------


def test_false_with_a_reason_then_true(gates, node, kubelet, consul):
    """With the rights of contrib's manifest alone."""
    pod = node.add(ready=False)
    daemon = gates()
    gate = node.await_gate(pod, "False", "PodNotReady")
    assert gate["message"]
    began = gate["lastTransitionTime"]
    holds_for(lambda: node.is_gate(pod, "False"), 0.5)
    set_ready(kubelet, pod, True)
    gate = node.await_gate(pod, "True", "Synced")
    assert in_catalog(consul, pod)
    assert gate["lastTransitionTime"] >= began
    daemon.await_log("readiness gate True")


def test_pods_of_several_kinds(gates, node, consul):
    two = node.add("two", number=1, service_names="web,api")
    none = node.add("none", number=2, service_names=None)
    waits = node.add("waits", number=3, sidecar="helper")
    gates(bind_address=f"127.0.0.1:{free_port()}")
    node.await_gate(two, "True", "Synced")
    assert in_catalog(consul, two) and in_catalog(consul, two, "api")
    node.await_gate(none, "False", "NoServices")
    node.await_gate(waits, "False", "WaitingForSidecar")


def test_pod_without_the_gate_is_never_patched(gates, node, consul):
    """Nor is anything else asked of the apiserver."""
    plain = node.add("plain", number=1, gated=False)
    gated = node.add("gated", number=2)
    gates()
    node.await_gate(gated, "True")
    await_for(lambda: in_catalog(consul, plain))
    asked = node.cluster.audited(user=node.user)
    assert {(r.verb, r.resource, r.name) for r in asked} == {
        ("patch", "pods", "gated")
    }
    assert node.gate(plain) is None


def test_no_pod_with_the_gate(gates, node, consul):
    """It is not even connected to."""
    plain = node.add(gated=False)
    daemon = gates()
    await_for(lambda: in_catalog(consul, plain))
    await_for(
        lambda: gatekeeper(daemon)["text"] == "no pod with the readiness gate"
    )
    assert node.cluster.audited(user=node.user) == []


def test_one_patch_for_each_change(gates, node, kubelet, kube_proxy):
    pod = node.add(ready=False)
    gates(**through(kube_proxy))
    node.await_gate(pod, "False", "PodNotReady")
    set_ready(kubelet, pod, True)
    node.await_gate(pod, "True")
    said = [("False", "PodNotReady"), ("True", "Synced")]
    # The proxy notes an answer when it has handed it on.
    await_for(lambda: conditions_of(kube_proxy.requests) == said)
    holds_for(lambda: len(kube_proxy.requests) == len(said), 2)
    for request in kube_proxy.requests:
        assert request.method == "PATCH"
        assert request.path.endswith("/status?fieldManager=katalogd")
        assert request.headers["Content-Type"] == STRATEGIC
        assert request.body["metadata"] == {"uid": pod["metadata"]["uid"]}
        (condition,) = request.body["status"]["conditions"]
        assert condition["type"] == GATE


def test_true_stays_true(gates, node, kubelet, consul):
    """A pod that is not ready is taken out by its containers anyway."""
    pod = node.add()
    gates()
    node.await_gate(pod, "True")
    set_ready(kubelet, pod, False)
    await_for(lambda: not in_catalog(consul, pod))
    holds_for(lambda: node.is_gate(pod, "True"), 0.5)


def test_figures(gates, node):
    node.add("a", number=1)
    node.add("b", number=2)
    node.add("c", number=3, ready=False)
    daemon = gates()

    def figures():
        return [
            daemon.metric("katalogd_readiness_gates", status="true"),
            daemon.metric("katalogd_readiness_gates", status="false"),
            daemon.metric("katalogd_readiness_gates_pending"),
        ]

    await_for(lambda: figures() == [2, 1, 0])
    await_for(lambda: gatekeeper(daemon)["text"] == "3 readiness gates")
    asked = daemon.metric("katalogd_k8s_requests_total", op="gate")
    assert asked == len(node.patches()) >= 3
    assert daemon.metric("consul_sync_kubernetes_errors_total") == 0


# ---- who else is there -----------------------------------------------------


def test_replaced_pod_is_not_touched_by_what_was_known(
    gates, node, kubelet, kube_proxy
):
    """The kubelet lists the old one while its name is another pod's."""
    old = node.add(ready=False)
    daemon = gates(**through(kube_proxy))
    node.await_gate(old, "False")
    node.delete(old)
    new = node.create("web-a")
    kube_proxy.requests.clear()
    set_ready(kubelet, old, True)
    await_for(lambda: kube_proxy.requests and kube_proxy.requests[0].status)
    assert node.gate(new) is None
    kubelet.put(node.listed(new, ready=False))
    node.await_gate(new, "False", "PodNotReady")
    kubelet.put(node.listed(new))
    node.await_gate(new, "True")
    await_for(lambda: all(r.status for r in kube_proxy.requests))
    answers = {
        (r.body["metadata"]["uid"], r.status) for r in kube_proxy.requests
    }
    assert answers == {
        (old["metadata"]["uid"], 422),
        (new["metadata"]["uid"], 200),
    }
    assert daemon.log_lines("(?i)(warn|error).*gate") == []


def test_pod_that_is_gone_from_the_apiserver(gates, node, kubelet):
    pod, other = node.add("gone", number=1), node.add("here", number=2)
    node.delete(pod)
    daemon = gates()
    node.await_gate(other, "True")
    await_for(lambda: 404 in [r.status for r in node.patches()])
    asked = len(node.patches())
    holds_for(lambda: len(node.patches()) == asked, 1)
    await_for(lambda: gatekeeper(daemon)["health"] == "ok")
    kubelet.remove(pod)
    await_for(lambda: gatekeeper(daemon)["text"] == "1 readiness gate")


def test_changed_by_somebody_else(gates, node):
    pod = node.add()
    daemon = gates()
    first = node.await_gate(pod, "True")
    # The list has shown it before it shows the change.
    polls = node.kubelet.polls
    await_for(lambda: node.kubelet.polls > polls + 2)
    node.set_gate(pod, "False")
    assert node.is_gate(pod, "False", "Somebody")
    again = node.await_gate(pod, "True", "Synced", timeout=5)
    assert again["lastTransitionTime"] >= first["lastTransitionTime"]
    daemon.await_log("gate is not True in the kubelet's list")
    asked = len(node.patches())
    holds_for(lambda: len(node.patches()) == asked, 1)


# ---- what goes wrong -------------------------------------------------------


def test_apiserver_that_is_away_delays_the_gate_alone(
    gates, node, consul, kube_proxy
):
    """From the start: Consul is kept up to date, and it is ready."""
    kube_proxy.fault = lambda request: "cut"
    pod = node.add("a", number=1)
    daemon = gates(**through(kube_proxy))
    await_for(lambda: in_catalog(consul, pod))
    daemon.await_log("trying again, readiness gates stay as they are")
    await_for(lambda: gatekeeper(daemon)["health"] == "degraded")
    later = node.add("b", number=2)
    await_for(lambda: in_catalog(consul, later))
    assert daemon.is_ready
    assert daemon.get("/healthz")[0] == 200
    assert node.gate(pod) is None
    kube_proxy.fault = lambda request: None
    node.await_gate(pod, "True")
    node.await_gate(later, "True")
    daemon.await_log("takes readiness gates again")
    await_for(lambda: gatekeeper(daemon)["health"] == "ok")


def test_apiserver_that_asks_to_wait(gates, node, kube_proxy):
    busy = Answer(429, {"Retry-After": "2"}, b"{}")
    asked = []

    def fault(request):
        asked.append(request.time)
        return busy if len(asked) == 1 else None

    kube_proxy.fault = fault
    pod = node.add()
    gates(**through(kube_proxy))
    node.await_gate(pod, "True")
    assert asked[1] - asked[0] > 1.9


def test_missing_right_is_named(gates, node, consul):
    rules = node.rules
    node.allow([r for r in rules if "pods/status" not in r["resources"]])
    pods = [node.add(f"web-{n}", number=n) for n in range(3)]
    daemon = gates()
    daemon.await_log(
        rf"verb patch on pods/status in the namespace {node.name}"
    )
    assert len(daemon.log_lines("pods/status")) == 1
    await_for(lambda: "pods/status" in gatekeeper(daemon)["text"])
    assert daemon.is_ready
    await_for(lambda: all(in_catalog(consul, pod) for pod in pods))
    node.allow(rules)
    for pod in pods:
        node.await_gate(pod, "True", timeout=15)
    daemon.await_log("may set readiness gates now")


def test_new_token_works_at_once(gates, node, kube_proxy):
    good = node.token_file.read_text()
    asked = kube_proxy.requests
    node.token_file.write_text("not-a-token")
    pod = node.add()
    daemon = gates(**through(kube_proxy))
    daemon.await_log("HTTP 401")
    # By now it pauses for 6 s or more.
    await_for(lambda: len(asked) >= 4, 30)
    node.token_file.write_text(good)
    node.await_gate(pod, "True", timeout=5)
    await_for(lambda: gatekeeper(daemon)["health"] == "ok")


def test_killed_k8s_writer(gates, node, kube_proxy):
    """During a write that nobody answers, and at rest."""
    pod = node.add()
    asked = []

    def hold(request):
        asked.append(request)
        if len(asked) == 1:
            time.sleep(3)
            return "cut"
        return None

    kube_proxy.fault = hold
    daemon = gates(**through(kube_proxy))
    await_for(lambda: asked)
    os.kill(daemon.worker("k8s-writer").pid, signal.SIGKILL)
    node.await_gate(pod, "True")
    await_for(lambda: node.kubelet.polls > 0)
    polls, seen = node.kubelet.polls, len(kube_proxy.requests)
    await_for(lambda: node.kubelet.polls > polls + 2)
    old = daemon.worker("k8s-writer")
    os.kill(old.pid, signal.SIGKILL)
    await_for(lambda: daemon.worker("k8s-writer").pid != old.pid)
    await_for(lambda: gatekeeper(daemon)["text"] == "1 readiness gate")
    holds_for(lambda: len(kube_proxy.requests) == seen, 1)


def test_restart_of_all_writes_nothing(gates, node):
    pod = node.add()
    first = gates()
    node.await_gate(pod, "True")
    first.stop()
    mark = node.cluster.mark()
    daemon = gates()
    await_for(lambda: gatekeeper(daemon)["text"] == "1 readiness gate")
    holds_for(lambda: node.is_gate(pod, "True"), 1)
    assert node.patches(mark) == []


# ---- where it runs ---------------------------------------------------------


def test_not_started_where_it_is_not_wanted(gates, node, consul):
    pod = node.add()
    daemon = gates(readiness_gates="no")
    await_for(lambda: in_catalog(consul, pod))
    assert "k8s-writer" not in daemon.workers()
    assert node.gate(pod) is None


def test_beside_the_other_direction(gates, node, consul, space, catalog):
    """One k8s-writer with both jobs, by one token."""
    web = Instance("there", address="10.64.9.1", tags=(TAG,))
    catalog.put(web)
    subject = {
        "kind": "ServiceAccount",
        "name": "katalogd-to-k8s",
        "namespace": space.name,
    }
    node.cluster.patch(
        "clusterrolebindings", None, node.role, {"subjects": [subject]}
    )
    pod = node.add()
    daemon = gates(
        to_consul="true", to_k8s="true", leader_elect="yes", **space.access()
    )
    node.await_gate(pod, "True")
    space.await_has(web)
    await_for(
        lambda: gatekeeper(daemon)["text"] == "in step; 1 readiness gate"
    )


def test_its_rights_are_no_more_than_that(node):
    """What the manifest allows is what is asked for."""
    api = KubeApi(node.cluster.port, node.token(), node.cluster.ca)
    for plural in ("pods", "services", "leases"):
        with pytest.raises(Refused):
            api.get(plural, node.name)
