"""katalog-sidecar, katalogd and Consul, all of them real."""

import contextlib
import os
import signal
import threading

import pytest

from harness import pods as P
from harness.grpc_peer import address_of
from harness.pods import SIDECAR, sidecar_pod
from harness.sidecar import Sidecar
from harness.waiting import await_for, free_port, holds_for

POD = sidecar_pod(service_names="web,admin")
IDS = [P.service_id(POD, name) for name in ("web", "admin")]
WORKERS = ("http", "kubelet-reader", "consul-writer", "k8s-writer")


@pytest.fixture
def daemon(rpc, consul, tmp_path):
    """With a k8s-writer, too, whose cluster is away."""
    token = tmp_path / "token"
    token.write_text("none")
    running = rpc(
        consul,
        POD,
        readiness_gates="yes",
        k8s_api=f"http://127.0.0.1:{free_port()}",
        k8s_token_file=token,
    )
    await_for(lambda: statuses(consul) == {"critical"})
    return running


@pytest.fixture
def sidecar(tmp_path, daemon):
    """sidecar(**options): that of the pod; it ends with the test."""
    namespace, name = P.key_of(POD)
    names = {
        "namespace": namespace,
        "pod_name": name,
        "container_name": SIDECAR,
    }
    with contextlib.ExitStack() as stack:

        def start_one(**more):
            one = Sidecar(tmp_path, address_of(daemon), **names, **more)
            return stack.enter_context(one)

        yield start_one


def statuses(consul):
    """What the catalog has."""
    return {consul.catalog_status(name) for name in IDS}


def is_ready(one):
    with contextlib.suppress(OSError):
        return one.get()[0] == 200
    return False


def make_unready(kubelet, consul):
    """The checks are critical anyway: their notes tell that the list came."""
    kubelet.put(
        P.set_ready(sidecar_pod(service_names="web,admin"), False, "web")
    )
    await_for(
        lambda: all(
            consul.state()[name]["Notes"] == {"web": False} for name in IDS
        )
    )


def test_life_of_a_pod(daemon, sidecar, kubelet, consul):
    make_unready(kubelet, consul)
    one = sidecar()
    holds_for(lambda: not is_ready(one), 1)
    assert statuses(consul) == {"critical"}
    kubelet.put(POD)
    one.await_ready()
    # Whoever is told so finds it so.
    assert statuses(consul) == {"passing"}
    kubelet.put(P.set_ready(sidecar_pod(service_names="web,admin"), True))
    holds_for(lambda: is_ready(one) and statuses(consul) == {"passing"}, 1)
    assert one.stop() == 0
    assert statuses(consul) == {"critical"}
    # The kubelet still shows its container as ready.
    holds_for(lambda: statuses(consul) == {"critical"}, 2)


def test_program_ends_after_its_services_are_out(
    daemon, sidecar, consul, tmp_path
):
    told = tmp_path / "told"
    program = f"trap 'touch {told}; exit 7' TERM; while :; do sleep 0.05; done"
    one = sidecar(exec=("/bin/sh", "-c", program)).await_ready()
    seen = []

    def watch():
        while one.running:
            there = told.exists()
            seen.append((there, statuses(consul)))

    watching = threading.Thread(target=watch)
    watching.start()
    one.send(signal.SIGTERM)
    assert one.wait() == 7
    watching.join()
    assert told.exists()
    assert all(now == {"critical"} for there, now in seen if there)
    assert statuses(consul) == {"critical"}


@pytest.mark.parametrize("role", WORKERS)
def test_killed_worker_makes_nobody_ready(
    role, daemon, sidecar, kubelet, consul
):
    """While it registers: later, or not at all, but never too soon."""
    make_unready(kubelet, consul)
    one = sidecar()
    await_for(lambda: daemon.metric("katalogd_sidecar_calls") == 1)
    for _ in range(2):
        old = daemon.worker(role)
        os.kill(old.pid, signal.SIGKILL)
        await_for(
            lambda old=old: daemon.workers().get(role) not in (None, old), 10
        )
        assert not is_ready(one)
    holds_for(lambda: not is_ready(one), 1)
    assert statuses(consul) == {"critical"}
    kubelet.put(POD)
    one.await_ready(20)
    assert statuses(consul) == {"passing"}
    assert one.stop() == 0
    assert statuses(consul) == {"critical"}
