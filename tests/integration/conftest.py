"""One Consul for all tests that share it, and katalogd for each test."""

import contextlib

import pytest

from harness.consul import Consul
from harness.daemon import PROGRAM, Katalogd
from harness.kubelet import FakeKubelet
from harness.proxy import ConsulProxy


def pytest_sessionstart(session):
    if not PROGRAM.exists():
        pytest.exit(f"{PROGRAM} is not built, see BUILDDIR", returncode=2)


@pytest.fixture(scope="session")
def shared_consul(tmp_path_factory):
    with Consul(tmp_path_factory.mktemp("consul")) as agent:
        yield agent


@pytest.fixture
def consul(shared_consul):
    """The shared agent without services."""
    shared_consul.wipe()
    return shared_consul


@pytest.fixture
def proxy(consul):
    with ConsulProxy(consul) as running:
        yield running


@pytest.fixture
def kubelet():
    with FakeKubelet() as running:
        yield running


@pytest.fixture
def start(tmp_path, request):
    """start(kubelet, consul, **options): a katalogd that ends with the test.

    kubelet and consul are a peer of the harness, the option's text, or None
    where the environment or a file names it.
    """
    with contextlib.ExitStack() as stack:

        def start_one(kubelet, consul, env=None, wait=True, **options):
            options = {
                "kubelet_api": getattr(kubelet, "url", kubelet),
                "consul_addr": getattr(consul, "address", consul),
                **options,
            }
            daemon = Katalogd(tmp_path / "katalogd", env=env, **options)
            stack.enter_context(daemon)
            return daemon.await_ready() if wait else daemon

        yield start_one
