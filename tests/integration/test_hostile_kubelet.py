"""A kubelet that answers nonsense changes nothing in Consul."""

import copy
import json
import os
import re
import signal

import pytest

from harness import kubelet as K
from harness import pods as P
from harness.consul import Consul
from harness.daemon import Katalogd
from harness.kubelet import FakeKubelet
from harness.waiting import SLOWNESS, await_for, holds_for

COUNT = 6
# Of checks that must not run out: half of it is for refreshes that are late.
TTL = 2 + 2 * SLOWNESS
# Another pod that says that it is p0
TWIN = P.web_pod("p0", 99, ready=False)
PODS = [P.web_pod(f"p{i}", i) for i in range(COUNT)]
ALL = {P.service_id(pod): "passing" for pod in PODS}


def each_pod(change):
    """The list with change(pod) done to every pod."""

    def edit(pods):
        for pod in pods["items"]:
            change(pod)

    return K.edited(edit)


def first_pod(change):
    """The list with change(pod) done to the first of its pods."""
    return K.edited(lambda pods: change(pods["items"][0]))


def replaced(old, new):
    """The list's bytes with old replaced; old must be there."""

    def change(body):
        assert old in body, old
        return body.replace(old, new)

    return K.changed(change)


def set_node(pod):
    pod["spec"]["nodeName"] = "another-node"


def nest(depth):
    """JSON that json.dumps has no stack for."""
    return b"[" * depth + b"]" * depth


def numbered_pods():
    """Pods without end, each with a name of its own."""
    pod = json.dumps(P.web_pod("endless")).encode()
    return K.chunked_endless(K.HEAD + pod, (b"," + pod) * 50)


LARGE = b'"large": "' + b"x" * (17 << 20) + b'"'
READY = b'"ready": true'
NAME = b'"name": "p'

# answer -> what the log says about it
HOSTILE = {
    "500": (K.fixed(b"oops", 500), r"status 500"),
    "401": (K.fixed(b"Unauthorized", 401), r"answers 401"),
    "403": (K.fixed(b"Forbidden", 403), r"answers 403"),
    "redirect": (K.fixed(b"", 302), r"status 302"),
    "204": (K.fixed(b"", 204), r"status 204"),
    "500-with-a-list": (
        lambda h: K.send(h, 500, h.server.kubelet.body()),
        r"status 500",
    ),
    "html": (K.fixed(b"<html>hello</html>", 200, "text/html"), r"html"),
    "nothing": (K.fixed(b""), r"empty|JSON"),
    "null": (K.fixed(b"null"), r"JSON"),
    "number": (K.fixed(b"42"), r"JSON"),
    "array": (K.fixed(b"[]"), r"JSON"),
    "empty-object": (K.fixed(b"{}"), r"kind"),
    "status-object": (
        K.fixed(b'{"kind":"Status","code":200,"items":[]}'),
        r"PodList",
    ),
    "node-list": (replaced(b'"PodList"', b'"NodeList"'), r"PodList"),
    "no-items": (K.fixed(b'{"kind":"PodList"}'), r"items"),
    "items-object": (K.fixed(b'{"kind":"PodList","items":{}}'), r"items"),
    "items-of-numbers": (
        K.fixed(b'{"kind":"PodList","items":[1,2,3]}'),
        r"item",
    ),
    "trailing-garbage": (
        K.changed(lambda b: b + b"{}"),
        r"behind|after|trailing",
    ),
    "cut-with-right-length": (
        K.changed(lambda b: b[:-40]),
        r"end|complete|cut",
    ),
    "torn": (K.torn, r"closed|remaining"),
    "torn-chunked": (K.torn_chunked, r"closed|remaining"),
    "slow": (K.slow(0.2), r"time"),
    "silent": (K.silent, r"time"),
    "endless-pods": (numbered_pods(), r"twice|large|many"),
    "endless-spaces": (
        K.chunked_endless(K.HEAD, b" " * 100000),
        r"time|large",
    ),
    "endless-string": (
        K.chunked_endless(K.HEAD + b'{"a":"', b"x" * 100000),
        r"large",
    ),
    "endless-nesting": (
        K.chunked_endless(K.HEAD, b"[" * 100000),
        r"object|nest",
    ),
    "deep": (K.fixed(nest(100000)), r"JSON|nest"),
    "deep-in-pods": (
        replaced(b'"spec":', b'"deep": ' + nest(20000) + b', "spec":'),
        r"default/p\d.*nested too deeply",
    ),
    "deep-in-what-is-read": (
        replaced(b'"phase": "Running"', b'"phase": ' + nest(1000)),
        r"default/p\d.*nested too deeply",
    ),
    "bad-utf8-name": (replaced(NAME, b'"name": "\xff\xfep'), r"UTF-8"),
    "bad-utf8-tags": (
        replaced(b'service-port": "8080"', b'service-port": "80\xc3\x2880"'),
        r"UTF-8",
    ),
    "duplicate-ready": (
        replaced(READY, READY + b', "ready": false'),
        r"ready",
    ),
    "duplicate-status": (
        replaced(b'"status":', b'"status": {"phase": "Failed"}, "status":'),
        r"status",
    ),
    "duplicate-kind": (
        replaced(b'"kind":"PodList"', b'"kind":"PodList","kind":"Status"'),
        r"kind",
    ),
    "duplicate-items": (
        K.changed(lambda b: b[:-2] + b',"items":[]}'),
        r"items",
    ),
    "duplicate-pods": (
        K.edited(lambda pods: pods["items"].append(TWIN)),
        r"p0",
    ),
    "ready-is-text": (replaced(READY, b'"ready": "no"'), r"ready"),
    "metadata-is-array": (
        each_pod(lambda p: p.update(metadata=[])),
        r"metadata",
    ),
    "annotations-are-array": (
        each_pod(lambda p: p["metadata"].update(annotations=["a"])),
        r"annotations",
    ),
    "annotation-is-number": (
        replaced(b'service-port": "8080"', b'service-port": 8080'),
        r"service-port|annotation",
    ),
    "statuses-are-number": (
        each_pod(lambda p: p["status"].update(containerStatuses=5)),
        r"containerStatuses",
    ),
    "phase-is-number": (
        each_pod(lambda p: p["status"].update(phase=7)),
        r"phase",
    ),
    "addresses-are-text": (
        each_pod(lambda p: p["status"].update(podIP=1, podIPs="10.0.0.1")),
        r"podIP",
    ),
    "no-name": (
        each_pod(lambda p: p["metadata"].pop("name")),
        r"name",
    ),
    "raw-nul": (replaced(NAME, b'"name": "\0p'), r"control|NUL"),
    "escaped-nul-name": (replaced(NAME, b'"name": "\\u0000p'), r"NUL|name"),
    "escaped-nul-in-the-name-of-an-annotation": (
        replaced(b'wish.com/service-port"', b'wish.com/service-port\\u0000"'),
        r"default/p\d.*NUL",
    ),
    "a-pod-too-large": (
        K.changed(lambda b: b.replace(b'"spec":', LARGE + b', "spec":', 1)),
        r"default/p\d.*too large",
    ),
    "another-node": (each_pod(set_node), r"another-node"),
    "one-of-another-node": (first_pod(set_node), r"another-node"),
}


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    """One katalogd that all answers are tried on, one after another."""
    with (
        Consul(tmp_path_factory.mktemp("consul")) as consul,
        FakeKubelet(PODS) as kubelet,
        Katalogd(
            tmp_path_factory.mktemp("hostile"),
            kubelet_api=kubelet.url,
            consul_addr=consul.address,
            kubelet_timeout="1s",
        ) as daemon,
    ):
        daemon.await_ready()
        await_for(lambda: consul.statuses() == ALL)
        yield kubelet, daemon, consul


def await_polls(kubelet, count=3):
    """Whole answers: the poll that is under way doesn't count."""
    polls = kubelet.polls
    await_for(lambda: kubelet.polls > polls + count, 20, "polls")


def await_recovery(kubelet, consul):
    """A flip gets through again, and back."""
    first = PODS[0]
    name = P.service_id(first)
    for ready, status in ((False, "critical"), (True, "passing")):
        kubelet.put(P.web_pod("p0", 0, ready=ready))
        await_for(lambda s=status: consul.status(name) == s, 5)
    notes = {"web": True}
    await_for(lambda: consul.state()[name]["Notes"] == notes, 5)


@pytest.mark.parametrize("name", HOSTILE)
def test_changes_nothing(name, running):
    kubelet, daemon, consul = running
    answer, reason = HOSTILE[name]
    before, said = consul.settled_catalog(), len(daemon.log)

    kubelet.answer = answer
    await_polls(kubelet)
    assert consul.catalog() == before
    assert consul.statuses() == ALL
    complaints = daemon.log_lines(start=said)
    kubelet.answer = K.normal
    await_recovery(kubelet, consul)

    assert daemon.running
    assert any(re.search(reason, line) for line in complaints), complaints
    # Once each, not at each poll.
    assert len(complaints) == len(set(complaints)) <= COUNT + 1, complaints


# What a pod's owner can write, and an honest kubelet passes on. None of it is
# anybody else's fault, so it costs nobody anything. In place of this word
# stands what json.dumps can't write:
MARK = "in place of this"
# where it stands -> what stands there
OWNERS = {
    # Client-writable, and of any depth and with any names.
    "deep": ("metadata", "managedFields", nest(9000)),
    "nul-in-a-name": (
        "spec",
        "volumes",
        b'[{"csi":{"volumeAttributes":{"a\\u0000":"","a\\u0000b":""}}}]',
    ),
    # What Go makes of two names that are no UTF-8.
    "name-twice": (
        "spec",
        "volumes",
        b'[{"flexVolume":{"options":{"\\ufffd":"1","\\ufffd":"2"}}}]',
    ),
    # 1.5 MB of "<" at the apiserver.
    "nine-megabytes": ("spec", "x", b'"' + b"\\u003c" * 1_500_000 + b'"'),
    # A tree of them would take 300 MB.
    "many-objects": (
        "spec",
        "imagePullSecrets",
        b"[" + b",".join([b"{}"] * 400_000) + b"]",
    ),
}


@pytest.mark.parametrize("name", OWNERS)
def test_what_a_pods_owner_writes(name, running):
    kubelet, daemon, consul = running
    part, member, value = OWNERS[name]
    pod = P.web_pod("owners", 70)
    pod[part][member] = MARK
    with_owners = {**ALL, P.service_id(pod): "passing"}
    said = len(daemon.log)

    kubelet.answer = replaced(json.dumps(MARK).encode(), value)
    kubelet.put(pod)
    await_for(lambda: consul.statuses() == with_owners, 10)
    await_recovery(kubelet, consul)
    kubelet.remove(pod)
    kubelet.answer = K.normal
    await_for(lambda: consul.statuses() == ALL)
    assert daemon.log_lines("default/owners", said) == []


# value of service-tags or service-meta, 256 KiB of it, for each of 64 services
LARGE_ANNOTATIONS = {
    "tags": {"service_tags": ",".join(f"{n:04x}" for n in range(52_000))},
    "meta": {"service_meta": ":," * 131_000},
    "one-tag": {"service_tags": "t" * 260_000},
}


@pytest.mark.parametrize("name", LARGE_ANNOTATIONS)
def test_annotations_as_large_as_can_be(name, running):
    """They cost no time: kubelet-reader answers, and goes on."""
    kubelet, daemon, consul = running
    worker, said = daemon.worker("kubelet-reader"), len(daemon.log)
    names = [f"s{n:02d}" for n in range(64)]
    pod = P.web_pod(
        "owners",
        70,
        service_names=",".join(names),
        **LARGE_ANNOTATIONS[name],
    )
    kubelet.put(pod)
    all_of_it = {P.service_id(pod, n) for n in names}
    await_for(lambda: all_of_it <= set(consul.statuses()), 20)
    await_recovery(kubelet, consul)
    kubelet.remove(pod)
    await_for(lambda: consul.statuses() == ALL, 20)
    assert daemon.worker("kubelet-reader") == worker
    lines = daemon.log_lines("default/owners", said)
    assert 0 < len(lines) <= 128
    assert all("default/owners: annotation" in line for line in lines)


# Lists that are all right in form, but say that much is gone.

EMPTY = {"list": K.pod_list([]), "null": K.NO_PODS}


@pytest.mark.parametrize("body", EMPTY.values(), ids=EMPTY)
def test_a_node_without_pods_is_ready(body, start, kubelet, consul):
    kubelet.answer = K.fixed(body)
    start(kubelet, consul)
    kubelet.put(*PODS)
    kubelet.answer = K.normal
    await_for(lambda: consul.statuses() == ALL)


@pytest.mark.parametrize("body", EMPTY.values(), ids=EMPTY)
def test_an_empty_list_counts_when_said_twice(body, start, kubelet, consul):
    """Once is a kubelet that has just been restarted."""
    ending = dict.fromkeys(ALL, "critical")
    kubelet.put(*(P.end(copy.deepcopy(pod)) for pod in PODS))
    start(kubelet, consul)
    await_for(lambda: consul.statuses() == ending)

    empty = K.fixed(body)

    def once(handler):
        kubelet.answer = K.normal
        empty(handler)

    for _ in range(5):
        kubelet.answer = once
        await_polls(kubelet, 2)
        assert consul.statuses() == ending
    kubelet.answer = empty
    await_for(lambda: consul.statuses() == {})


def test_empty_lists_between_failures(start, kubelet, consul):
    """A kubelet that is started again and again: no two reads in a row."""
    kubelet.put(*(P.static(copy.deepcopy(pod)) for pod in PODS))
    daemon = start(kubelet, consul)
    await_for(lambda: consul.statuses() == ALL)
    kubelet.answer = K.alternating(K.fixed(K.NO_PODS), K.fixed(b"", 500))
    await_polls(kubelet, 8)
    assert consul.statuses() == ALL
    assert len(daemon.log_lines("0 pods, 6 of the 6 before")) == 1
    kubelet.answer = K.fixed(K.NO_PODS)
    await_for(lambda: consul.statuses() == {})


def test_much_is_gone_while_others_come(start, kubelet, consul):
    """Somebody's pods come and go; what is gone stays gone."""
    kubelet.put(*PODS)
    start(kubelet, consul)
    await_for(lambda: consul.statuses() == ALL)

    jobs = [P.web_pod(f"job-{n}", n, service_names=None) for n in range(99)]
    kubelet.answer = K.alternating(*(K.listed(PODS[0], job) for job in jobs))
    await_for(lambda: consul.statuses() == {P.service_id(PODS[0]): "passing"})


def test_pods_that_return_are_waited_for(start, kubelet, consul):
    """No read agrees with the one before: the last that did turns stale."""
    kubelet.put(*PODS)
    daemon = start(
        kubelet,
        consul,
        kubelet_stale_after="2s",
        default_check_ttl="1s",
        sync_ttl_buffer_duration="1s",
    )
    await_for(lambda: consul.statuses() == ALL)
    kubelet.answer = K.alternating(K.listed(PODS[0]), K.listed(PODS[1]))
    waits = "waits for a second read"
    await_for(lambda: waits in daemon.get("/v1/status")[1])
    critical = dict.fromkeys(ALL, "critical")
    await_for(lambda: consul.statuses() == critical, 10)
    daemon.await_log("kubelet-reader: .* the pods are stale")
    assert len(daemon.log_lines("nothing changes until a second read")) == 1
    kubelet.answer = K.normal
    await_for(lambda: consul.statuses() == ALL)
    assert waits not in daemon.get("/v1/status")[1]


def test_static_pods_come_and_go(start, kubelet, consul):
    """What this process saw go is gone, though it may be cut off."""
    pods = [P.static(copy.deepcopy(pod)) for pod in PODS]
    kubelet.put(*pods)
    start(kubelet, consul)
    await_for(lambda: consul.statuses() == ALL)
    kubelet.remove(pods[0])
    left = {P.service_id(pod): "passing" for pod in pods[1:]}
    await_for(lambda: consul.statuses() == left)


def test_a_reader_that_starts_while_it_is_cut_off(start, kubelet, consul):
    """It does not know that there were other pods than the static ones."""
    pods = [P.static(copy.deepcopy(pod)) for pod in PODS[:4]] + PODS[4:]
    kubelet.put(*pods)
    daemon = start(kubelet, consul, default_check_ttl="1m")
    await_for(lambda: consul.statuses() == ALL)
    kubelet.replace(pods[:4])
    daemon.await_log("none of the apiserver's")
    old = daemon.worker("kubelet-reader")
    os.kill(old.pid, signal.SIGKILL)
    await_for(
        lambda: daemon.workers().get("kubelet-reader") not in (None, old)
    )
    kubelet.put(P.set_ready(copy.deepcopy(pods[0]), False))
    expected = {**ALL, P.service_id(pods[0]): "critical"}
    await_for(lambda: consul.statuses() == expected)
    await_polls(kubelet, 8)
    assert consul.statuses() == expected
    # All that were there before, and one of them is gone.
    kubelet.put(*pods[:5])
    del expected[P.service_id(pods[5])]
    expected[P.service_id(pods[0])] = "passing"
    await_for(lambda: consul.statuses() == expected)


def static_pod():
    """None of ours, as those are that run the node."""
    pod = P.web_pod("static", 90)
    pod["metadata"]["annotations"] = {"kubernetes.io/config.source": "file"}
    return pod


@pytest.mark.parametrize("static", [[static_pod()], []], ids=["some", "none"])
def test_static_pods_only(static, start, kubelet, consul):
    """A kubelet that was restarted and can't reach the apiserver."""
    kubelet.put(*PODS, *static)
    daemon = start(kubelet, consul)
    await_for(lambda: consul.statuses() == ALL)
    kubelet.replace(static)
    await_polls(kubelet, 6)
    assert consul.statuses() == ALL
    assert daemon.get("/readyz")[0] == 200
    kubelet.replace([*PODS, *static])
    await_recovery(kubelet, consul)
    said = [line for line in daemon.log_lines() if "apiserver's" in line]
    assert len(said) == 1


@pytest.mark.long
def test_static_pods_only_for_long(start, kubelet, consul):
    """As if it could not be read; in the end it must be so."""
    kubelet.put(*PODS, static_pod())
    start(
        kubelet,
        consul,
        kubelet_stale_after="1s",
        default_check_ttl="1s",
        sync_ttl_buffer_duration="500ms",
        max_sync_interval="500ms",
    )
    await_for(lambda: consul.statuses() == ALL)
    kubelet.replace([static_pod()])
    critical = dict.fromkeys(ALL, "critical")
    await_for(lambda: consul.statuses() == critical, 10)
    await_for(lambda: consul.statuses() == {}, 20)


@pytest.mark.parametrize(("left", "guarded"), [(2, True), (4, False)])
def test_a_list_that_lost_pods(left, guarded, start, kubelet, consul):
    """More than half lost: counts only when a second read says the same."""
    kubelet.put(*PODS)
    start(kubelet, consul)
    await_for(lambda: consul.statuses() == ALL)
    kept = {P.service_id(pod): "passing" for pod in PODS[:left]}

    def shrunk_once(handler):
        kubelet.answer = K.normal
        encoded = [json.dumps(pod).encode() for pod in PODS[:left]]
        K.send(handler, 200, K.pod_list(encoded))

    if guarded:
        kubelet.answer = shrunk_once
        await_polls(kubelet, 2)
        assert consul.statuses() == ALL
    kubelet.replace(PODS[:left])
    await_for(lambda: consul.statuses() == kept)


def test_a_first_list_that_is_empty_deletes_nothing(start, kubelet, consul):
    """Started together with the kubelet, which has no pods yet."""
    kubelet.put(*PODS)
    first = start(kubelet, consul)
    await_for(lambda: consul.statuses() == ALL)
    first.stop()

    empty = K.fixed(K.pod_list([]))

    def once(handler):
        kubelet.answer = K.normal
        empty(handler)

    kubelet.answer = once
    start(kubelet, consul)
    await_polls(kubelet, 2)
    assert consul.statuses() == ALL


def test_a_torn_first_answer_deletes_nothing(start, kubelet, consul):
    kubelet.put(*PODS)
    first = start(kubelet, consul)
    await_for(lambda: consul.statuses() == ALL)
    first.stop()

    kubelet.answer = K.torn
    daemon = start(kubelet, consul, wait=False)
    await_polls(kubelet)
    assert consul.statuses() == ALL
    assert not daemon.is_ready
    kubelet.answer = K.normal
    daemon.await_ready()


def test_the_apiserver_in_place_of_the_kubelet(start, kubelet, consul):
    """All pods of the cluster: refused, with the reason."""
    other = P.web_pod("elsewhere", 50)
    set_node(other)
    kubelet.put(*PODS, other)
    daemon = start(kubelet, consul, wait=False)
    daemon.await_log("another-node|node")
    await_polls(kubelet)
    assert consul.statuses() == {}
    assert daemon.get("/readyz")[0] == 503


def test_node_name_is_checked(start, kubelet, consul):
    kubelet.put(*PODS)
    daemon = start(kubelet, consul, wait=False, node_name="n2")
    daemon.await_log("n2")
    await_polls(kubelet)
    assert consul.statuses() == {}


def test_kubelet_that_is_slow_but_in_time(start, kubelet, consul):
    kubelet.put(*PODS)
    kubelet.answer = K.slow(0.01)
    start(kubelet, consul)
    await_for(lambda: consul.statuses() == ALL)


def test_stale_state_turns_critical_by_ttl(start, kubelet, consul):
    """Held for --kubelet-stale-after, then no longer refreshed."""
    kubelet.put(*PODS)
    daemon = start(
        kubelet,
        consul,
        kubelet_stale_after=f"{TTL}s",
        default_check_ttl=f"{TTL}s",
        sync_ttl_buffer_duration="1s",
    )
    await_for(lambda: consul.statuses() == ALL)
    kubelet.answer = K.fixed(b"", 500)
    holds_for(lambda: consul.statuses() == ALL, 0.7 * TTL, "held")
    critical = dict.fromkeys(ALL, "critical")
    await_for(lambda: consul.statuses() == critical, 2 * TTL + 5)
    daemon.await_log("stale")
    kubelet.answer = K.normal
    await_for(lambda: consul.statuses() == ALL)


@pytest.mark.memory
def test_memory_is_bounded(running):
    """An answer of one endless string is not kept."""
    kubelet, daemon, _ = running
    kubelet.answer = HOSTILE["endless-string"][0]
    await_polls(kubelet, 1)
    peak = daemon.worker("kubelet-reader").status["VmHWM"]
    kubelet.answer = K.normal
    assert int(peak.split()[0]) < 100 * 1024
