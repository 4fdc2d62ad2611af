"""One Consul for all tests that share it, and katalogd for each test.

With pytest-xdist, session means one worker process of it: each has peers of
its own, and its tests run one after another.
"""

import contextlib
import signal

import pytest

from harness.catalog import Catalog
from harness.consul import Consul
from harness.daemon import PROGRAM, Katalogd
from harness.kube import Cluster
from harness.kube_proxy import KubeProxy
from harness.kubelet import FakeKubelet
from harness.proxy import ConsulProxy
from harness.space import Space, manifest
from harness.waiting import free_port


def pytest_sessionstart(session):
    # So that SIGTERM, too, ends what the fixtures started.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if not PROGRAM.exists():
        pytest.exit(f"{PROGRAM} is not built, see BUILDDIR", returncode=2)


def pytest_collection_modifyitems(items):
    """The long ones first: at the end nobody waits for one of them alone."""
    items.sort(key=lambda item: item.get_closest_marker("long") is None)


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


@pytest.fixture
def rpc(start, kubelet):
    """rpc(consul, *pods, **options): a katalogd that sidecars can reach."""

    def start_one(consul, *pods, **options):
        kubelet.put(*pods)
        options.setdefault("bind_address", f"127.0.0.1:{free_port()}")
        return start(kubelet, consul, **options)

    return start_one


# To Kubernetes.


@pytest.fixture(scope="session")
def shared_cluster(tmp_path_factory):
    with Cluster(tmp_path_factory.mktemp("cluster")) as running:
        running.add_routes()
        yield running


@pytest.fixture(scope="session")
def role(shared_cluster):
    """Everything of contrib's RBAC for this direction."""
    return manifest(shared_cluster, "rbac-to-k8s.yaml")


@pytest.fixture
def space(shared_cluster, role, tmp_path):
    """A namespace of the shared cluster, for this test alone."""
    one = Space(shared_cluster, role, tmp_path)
    yield one
    one.clear()


@pytest.fixture
def catalog(consul):
    """The catalog of the shared agent without services."""
    one = Catalog(consul)
    one.wipe()
    yield one
    one.wipe()


@pytest.fixture
def kube_proxy(shared_cluster):
    with KubeProxy(shared_cluster) as running:
        yield running


@pytest.fixture
def sync(tmp_path, request):
    """sync(consul, space, **options): a katalogd from there to here.

    name tells several of one test apart. It ends before its peers do.
    """
    for peer in ("catalog", "space", "proxy", "kube_proxy"):
        if peer in request.fixturenames:
            request.getfixturevalue(peer)
    with contextlib.ExitStack() as stack:

        def start_one(consul, space, env=None, wait=True, name="sync", **more):
            options = {
                "to_k8s": "true",
                "consul_addr": getattr(consul, "address", consul),
                **space.access(),
                **more,
            }
            daemon = Katalogd(tmp_path / name, env=env, **options)
            stack.enter_context(daemon)
            return daemon.await_ready() if wait else daemon

        yield start_one
