"""Ways to read pods: https with tokens and certificates, and files."""

import json
import os

import pytest

from harness import pods as P
from harness.kubelet import FakeKubelet, server_context
from harness.tls import Authority
from harness.waiting import await_for, holds_for

WEB = P.service_id(P.web_pod())
FIRST, SECOND = "bearer-e9f1", "bearer-07ac"
PASSING = {WEB: "passing"}
CRITICAL = {WEB: "critical"}


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("kubelet-ca"))


@pytest.fixture(scope="module")
def pair(authority):
    return authority.issue("kubelet")


@pytest.fixture
def https_kubelet(pair):
    context = server_context(pair)
    with FakeKubelet([P.web_pod()], tls=context, token=FIRST) as kubelet:
        yield kubelet


@pytest.fixture
def token_file(tmp_path):
    path = tmp_path / "token"
    path.write_text(f"{FIRST}\n")
    return path


def test_token_and_authority(
    https_kubelet, token_file, authority, start, consul
):
    start(
        https_kubelet,
        consul,
        kubelet_ca=authority.ca,
        kubelet_token_file=token_file,
    )
    await_for(lambda: consul.statuses() == PASSING)


def test_without_verification(https_kubelet, token_file, start, consul):
    start(
        https_kubelet,
        consul,
        kubelet_token_file=token_file,
        env={"KUBELET_API_INSECURE_SKIP_VERIFY": "true"},
    )
    await_for(lambda: consul.statuses() == PASSING)


def test_another_authority(https_kubelet, token_file, tmp_path, start, consul):
    other = Authority(tmp_path / "other", "other CA")
    daemon = start(
        https_kubelet,
        consul,
        wait=False,
        kubelet_ca=other.ca,
        kubelet_token_file=token_file,
    )
    daemon.await_log("(?i)certificate")
    assert https_kubelet.polls == https_kubelet.refused == 0
    assert consul.statuses() == {}


def test_server_name(https_kubelet, token_file, authority, start, consul):
    start(
        https_kubelet,
        consul,
        kubelet_ca=authority.ca,
        kubelet_token_file=token_file,
        kubelet_tls_server_name="localhost",
    )
    await_for(lambda: consul.statuses() == PASSING)


def test_no_token_is_said(https_kubelet, authority, start, consul):
    daemon = start(https_kubelet, consul, wait=False, kubelet_ca=authority.ca)
    daemon.await_log("answers 401")
    assert consul.statuses() == {}


def test_token_is_followed(
    https_kubelet, token_file, authority, start, consul
):
    """A projected token: a new file in its place, the old one refused."""
    daemon = start(
        https_kubelet,
        consul,
        kubelet_ca=authority.ca,
        kubelet_token_file=token_file,
    )
    await_for(lambda: consul.statuses() == PASSING)
    new = token_file.with_suffix(".new")
    new.write_text(SECOND)
    os.replace(new, token_file)
    https_kubelet.token = SECOND
    https_kubelet.put(P.web_pod(ready=False))
    await_for(lambda: consul.statuses() == CRITICAL, 15)
    assert FIRST not in daemon.log and SECOND not in daemon.log


def test_client_certificate(authority, pair, start, consul):
    client = authority.issue("client")
    context = server_context(pair, client_ca=authority.ca)
    with FakeKubelet([P.web_pod()], tls=context) as kubelet:
        daemon = start(
            kubelet,
            consul,
            kubelet_ca=authority.ca,
            kubelet_client_cert=client.cert,
            kubelet_client_key=client.key,
        )
        await_for(lambda: consul.statuses() == PASSING)
        daemon.stop()


# Files.


class PodFile:
    """A pod list in a file, which changes by rename or in place."""

    def __init__(self, path):
        self.path = path

    @property
    def url(self):
        return f"file://{self.path}"

    def put(self, *pods, in_place=False):
        text = json.dumps({"kind": "PodList", "items": pods})
        if in_place:
            self.path.write_text(text)
            return
        new = self.path.with_suffix(".new")
        new.write_text(text)
        os.replace(new, self.path)


@pytest.fixture
def pod_file(tmp_path):
    return PodFile(tmp_path / "pods.json")


@pytest.mark.parametrize("in_place", [False, True])
def test_file_is_read_again(in_place, pod_file, start, consul):
    pod_file.put(P.web_pod())
    start(pod_file, consul)
    await_for(lambda: consul.statuses() == PASSING)
    pod_file.put(P.web_pod(ready=False), in_place=in_place)
    await_for(lambda: consul.statuses() == CRITICAL)


def test_file_lost_a_pod_meanwhile(pod_file, start, consul):
    """There is no kubelet that may not have all of its pods yet."""
    one, other = (P.static(P.web_pod(name)) for name in ("a", "b"))
    pod_file.put(one, other)
    first = start(pod_file, consul)
    await_for(lambda: len(consul.statuses()) == 2)
    first.stop()
    pod_file.put(one)
    start(pod_file, consul)
    await_for(lambda: consul.statuses() == {P.service_id(one): "passing"})


def test_file_of_a_real_kubelet(start, consul):
    start(f"file://{P.DATA}", consul)
    await_for(lambda: len(consul.statuses()) == 7)


def test_file_is_away_for_a_while(pod_file, start, consul):
    pod_file.put(P.web_pod())
    daemon = start(pod_file, consul)
    await_for(lambda: consul.statuses() == PASSING)
    pod_file.path.unlink()
    daemon.await_log("warn.*pods.json")
    holds_for(lambda: consul.statuses() == PASSING, 1)
    # The supervisor that reads it and the worker that misses it.
    assert len(daemon.log_lines("warn.*pods.json")) <= 2
    pod_file.put(P.web_pod(ready=False))
    await_for(lambda: consul.statuses() == CRITICAL)


def test_file_is_not_there_yet(pod_file, start, consul):
    daemon = start(pod_file, consul, wait=False)
    daemon.await_log("warn.*pods.json")
    pod_file.put(P.web_pod())
    await_for(lambda: consul.statuses() == PASSING)


def test_file_half_written(pod_file, start, consul):
    pod_file.put(P.web_pod())
    daemon = start(pod_file, consul)
    await_for(lambda: consul.statuses() == PASSING)
    text = pod_file.path.read_text()
    pod_file.path.write_text(text[: len(text) // 2])
    daemon.await_log("warn.*pods.json")
    assert consul.statuses() == PASSING
