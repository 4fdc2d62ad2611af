"""Ways to reach Consul: tokens, TLS and Unix sockets."""

import os
import tempfile
import uuid

import grpc
import pytest

from harness import pods as P
from harness.consul import Consul
from harness.daemon import TOP
from harness.grpc_peer import SidecarClient, address_of, ends
from harness.pods import SIDECAR, sidecar_pod
from harness.processes import children_of
from harness.proxy import ConsulProxy
from harness.tls import Authority
from harness.waiting import await_for, free_port, holds_for

WEB = P.service_id(P.web_pod())
POLICY = (TOP / "contrib" / "consul" / "katalogd-policy.hcl").read_text()
READ_ONLY = 'service_prefix "" { policy = "read" }'


# Tokens.


def closed(master):
    return {
        "enabled": True,
        "default_policy": "deny",
        "tokens": {"initial_management": master, "agent": master},
    }


@pytest.fixture(scope="module")
def acl_consul(tmp_path_factory):
    master = str(uuid.uuid4())
    folder = tmp_path_factory.mktemp("acl")
    with Consul(folder, {"acl": closed(master)}, token=master) as consul:
        # The ACL system comes up a moment after the leader.
        await_for(lambda: consul.get("/v1/acl/tokens"))
        yield consul


@pytest.fixture
def acl(acl_consul, kubelet):
    acl_consul.wipe()
    kubelet.put(P.web_pod())
    return acl_consul


def replace_file(path, text):
    """As a secret's volume does it: a new file in the old one's place."""
    new = path.with_suffix(".new")
    new.write_text(text)
    os.replace(new, path)


# A token that may all but see its node in the catalog.
SERVICES_ONLY = 'service_prefix "" { policy = "write" }'


def test_sidecars_with_the_policy_of_contrib(acl, rpc):
    pod = sidecar_pod()
    token = acl.make_token(POLICY)
    daemon = rpc(acl, pod, env={"CONSUL_HTTP_TOKEN": token})
    with SidecarClient(address_of(daemon)) as client:
        call = client.register(*P.key_of(pod), SIDECAR)
        assert ends(call) is grpc.StatusCode.OK


def test_sidecars_without_node_read(acl, rpc, tmp_path):
    """It says what is missing, and goes on once that is there."""
    pod = sidecar_pod()
    path = tmp_path / "token"
    path.write_text(acl.make_token(SERVICES_ONLY))
    daemon = rpc(acl, pod, consul_token_file=path)
    with SidecarClient(address_of(daemon)) as client:
        call = client.register(*P.key_of(pod), SIDECAR, timeout=60)
        daemon.await_log("needs node:read on it")
        assert acl.status(WEB) == "passing"
        holds_for(lambda: not call.done(), 0.5)
        assert len(daemon.log_lines("node:read")) == 1
        replace_file(path, acl.make_token(POLICY))
        assert ends(call) is grpc.StatusCode.OK


def test_token_with_the_policy_of_contrib(acl, start, kubelet):
    token = acl.make_token(POLICY)
    daemon = start(kubelet, acl, env={"CONSUL_HTTP_TOKEN": token})
    await_for(lambda: acl.statuses() == {WEB: "passing"})
    kubelet.put(P.web_pod(ready=False))
    await_for(lambda: acl.statuses() == {WEB: "critical"})
    kubelet.put(P.web_pod("other", 1))
    kubelet.remove(P.web_pod())
    other = P.service_id(P.web_pod("other", 1))
    await_for(lambda: acl.statuses() == {other: "passing"})
    assert not daemon.log_lines(r"(?i)permission|denied|HTTP 403|\bACL\b")


@pytest.mark.parametrize("rules", [None, READ_ONLY])
def test_the_log_says_what_is_missing(rules, acl, start, kubelet):
    env = {"CONSUL_HTTP_TOKEN": acl.make_token(rules)} if rules else {}
    daemon = start(kubelet, acl, env=env, wait=False)
    lines = daemon.await_log("service:write")
    assert '"web"' in lines[0] or WEB in lines[0]
    holds_for(lambda: acl.statuses() == {}, 1)
    assert daemon.get("/readyz")[0] == 503
    assert len(daemon.log_lines("service:write")) <= 2


def test_unknown_token(acl, start, kubelet):
    env = {"CONSUL_HTTP_TOKEN": str(uuid.uuid4())}
    daemon = start(kubelet, acl, env=env, wait=False)
    daemon.await_log("(?i)ACL not found|token")
    assert acl.statuses() == {}


@pytest.mark.parametrize("by", ["option", "environment"])
def test_token_file_is_followed(by, acl, start, kubelet, tmp_path):
    """Without a signal: the old token ends, the new one is in the file."""
    path = tmp_path / "token"
    first, second = acl.make_token(POLICY), acl.make_token(POLICY)
    path.write_text(first + "\n")
    if by == "option":
        start(kubelet, acl, consul_token_file=path)
    else:
        start(kubelet, acl, env={"CONSUL_HTTP_TOKEN_FILE": str(path)})
    await_for(lambda: acl.statuses() == {WEB: "passing"})

    replace_file(path, second)
    revoke(acl, first)
    kubelet.put(P.web_pod(ready=False))
    await_for(lambda: acl.statuses() == {WEB: "critical"}, 15)


def revoke(consul, token):
    tokens = consul.get("/v1/acl/tokens")
    old = next(t["AccessorID"] for t in tokens if t["SecretID"] == token)
    consul.request("DELETE", f"/v1/acl/token/{old}")


def test_catalog_follows_after_a_new_token(acl, start, kubelet, tmp_path):
    """The agent writes to it with the token that a service came with."""
    path = tmp_path / "token"
    first, second = acl.make_token(POLICY), acl.make_token(POLICY)
    path.write_text(first)
    kubelet.put(P.web_pod(), P.web_pod("b", 1))
    with ConsulProxy(acl) as proxy:
        daemon = start(kubelet, proxy, consul_token_file=path)
        await_for(lambda: acl.catalog_status(WEB) == "passing")

        replace_file(path, second)
        for name in (WEB, P.service_id(P.web_pod("b", 1))):
            await_for(lambda n=name: proxy.registered_by(n) == second, 15)
        revoke(acl, first)
        # Only the status changes: the agent has no other reason to write.
        kubelet.put(P.end(P.web_pod()))
        await_for(lambda: acl.status(WEB) == "critical")
        await_for(lambda: acl.catalog_status(WEB) == "critical", 5)
        daemon.stop()


def test_token_file_that_comes_late(acl, start, kubelet, tmp_path):
    path = tmp_path / "token"
    path.write_text("")
    start(kubelet, acl, wait=False, consul_token_file=path)
    holds_for(lambda: acl.statuses() == {}, 0.5)
    replace_file(path, acl.make_token(POLICY))
    await_for(lambda: acl.statuses() == {WEB: "passing"}, 15)


def test_token_is_told_nobody(acl, start, kubelet):
    token = acl.make_token(POLICY)
    daemon = start(
        kubelet, acl, env={"CONSUL_HTTP_TOKEN": token}, log_level="debug"
    )
    await_for(lambda: acl.statuses() == {WEB: "passing"})
    assert token not in daemon.log
    assert token not in daemon.get("/v1/status")[1]
    for process in children_of(daemon.pid):
        assert token.encode() not in process.environment
        assert token.encode() not in process.arguments


# TLS.


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def other_authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("other-ca"), "other CA")


@pytest.fixture(scope="module")
def tls_agents(authority, tmp_path_factory):
    """verify_incoming -> agent whose https_port speaks TLS."""
    server = authority.issue("server")
    agents = {}
    for verify in (False, True):
        https = {
            "ca_file": str(authority.ca),
            "cert_file": str(server.cert),
            "key_file": str(server.key),
            "verify_incoming": verify,
        }
        port = free_port()
        agent = Consul(
            tmp_path_factory.mktemp("tls"),
            {"ports": {"https": port}, "tls": {"https": https}},
        ).start()
        agent.https_port = port
        agents[verify] = agent
    yield agents
    for agent in agents.values():
        agent.stop()


@pytest.fixture
def tls(tls_agents, kubelet):
    kubelet.put(P.web_pod())
    for agent in tls_agents.values():
        agent.wipe()
    return tls_agents[False]


def test_tls_by_url(tls, authority, start, kubelet):
    url = f"https://127.0.0.1:{tls.https_port}"
    start(kubelet, url, consul_ca=authority.ca)
    await_for(lambda: tls.statuses() == {WEB: "passing"})


def test_tls_by_environment(tls, authority, start, kubelet):
    env = {
        "CONSUL_HTTP_SSL": "true",
        "CONSUL_CACERT": str(authority.ca),
        "CONSUL_TLS_SERVER_NAME": "localhost",
    }
    start(kubelet, f"127.0.0.1:{tls.https_port}", env=env)
    await_for(lambda: tls.statuses() == {WEB: "passing"})


def test_tls_without_verification(tls, other_authority, start, kubelet):
    url = f"https://127.0.0.1:{tls.https_port}"
    start(
        kubelet,
        url,
        consul_ca=other_authority.ca,
        env={"CONSUL_HTTP_SSL_VERIFY": "false"},
    )
    await_for(lambda: tls.statuses() == {WEB: "passing"})


@pytest.mark.parametrize("wrong", ["authority", "name", "cleartext"])
def test_tls_that_does_not_verify(
    wrong, tls, authority, other_authority, start, kubelet
):
    url = f"https://127.0.0.1:{tls.https_port}"
    options = {"consul_ca": authority.ca}
    if wrong == "authority":
        options["consul_ca"] = other_authority.ca
    elif wrong == "name":
        options["consul_tls_server_name"] = "elsewhere.example"
    else:
        url = f"http://127.0.0.1:{tls.https_port}"
        del options["consul_ca"]
    daemon = start(kubelet, url, wait=False, **options)
    reason = {
        "authority": "(?i)certificate",
        "name": "(?i)certificate|elsewhere.example",
        "cleartext": "(?i)400|https|tls",
    }[wrong]
    daemon.await_log(reason)
    holds_for(lambda: tls.statuses() == {}, 0.5)


def test_client_certificate(tls_agents, tls, authority, start, kubelet):
    agent = tls_agents[True]
    client = authority.issue("client")
    start(
        kubelet,
        f"https://127.0.0.1:{agent.https_port}",
        consul_ca=authority.ca,
        consul_client_cert=client.cert,
        consul_client_key=client.key,
    )
    await_for(lambda: agent.statuses() == {WEB: "passing"})


def test_client_certificate_missing(
    tls_agents, tls, authority, start, kubelet
):
    agent = tls_agents[True]
    url = f"https://127.0.0.1:{agent.https_port}"
    daemon = start(kubelet, url, wait=False, consul_ca=authority.ca)
    daemon.await_log("(?i)certificate|TLS|SSL")
    assert agent.statuses() == {}


def test_tls_and_acl(authority, start, kubelet, tmp_path):
    """Both at once, as in production."""
    server, client = authority.issue("server"), authority.issue("client")
    https = {
        "ca_file": str(authority.ca),
        "cert_file": str(server.cert),
        "key_file": str(server.key),
        "verify_incoming": True,
    }
    port, master = free_port(), str(uuid.uuid4())
    config = {
        "ports": {"https": port},
        "tls": {"https": https},
        "acl": closed(master),
    }
    kubelet.put(P.web_pod())
    with Consul(tmp_path, config, token=master) as agent:
        await_for(lambda: agent.get("/v1/acl/tokens"))
        daemon = start(
            kubelet,
            f"https://127.0.0.1:{port}",
            consul_ca=authority.ca,
            consul_client_cert=client.cert,
            consul_client_key=client.key,
            env={"CONSUL_HTTP_TOKEN": agent.make_token(POLICY)},
        )
        await_for(lambda: agent.statuses() == {WEB: "passing"})
        daemon.stop()


# Unix sockets.


AS_ROOT = os.geteuid() == 0
NOBODY = "65534"


def consul_at(socket, folder, **config):
    addresses = {"http": f"127.0.0.1 unix://{socket}"}
    consul = Consul(folder, {"addresses": addresses, **config})
    consul.unix = f"unix://{socket}"
    return consul


@pytest.fixture
def unix_consul(tmp_path):
    with consul_at(tmp_path / "c.sock", tmp_path) as consul:
        yield consul


def test_unix_socket(unix_consul, start, kubelet):
    kubelet.put(*(P.web_pod(f"p{i}", i) for i in range(50)))
    start(kubelet, unix_consul.unix)
    await_for(lambda: len(unix_consul.statuses()) == 50)
    kubelet.put(P.web_pod("p0", ready=False))
    name = P.service_id(P.web_pod("p0"))
    await_for(lambda: unix_consul.status(name) == "critical", 2)


def test_unix_socket_of_another_user(tmp_path, start, kubelet):
    """One that only Consul's own user may write to, as its package has it."""
    user = {"user": NOBODY} if AS_ROOT else {}
    kubelet.put(P.web_pod())
    with tempfile.TemporaryDirectory() as public:
        os.chmod(public, 0o755)
        with consul_at(
            f"{public}/c.sock",
            tmp_path,
            unix_sockets={"mode": "0700", **user},
        ) as consul:
            daemon = start(kubelet, consul.unix)
            await_for(lambda: consul.statuses() == {WEB: "passing"})
            daemon.stop()


def test_unix_socket_of_an_agent_that_restarts(unix_consul, start, kubelet):
    kubelet.put(P.web_pod())
    daemon = start(
        kubelet,
        unix_consul.unix,
        default_check_ttl="1s",
        sync_ttl_buffer_duration="1s",
    )
    await_for(lambda: unix_consul.statuses() == {WEB: "passing"})
    unix_consul.stop()
    daemon.await_log("c.sock")
    unix_consul.start()
    await_for(lambda: unix_consul.statuses() == {WEB: "passing"}, 15)
    daemon.stop()


def test_environment_address(consul, start, kubelet):
    """CONSUL_HTTP_ADDR as Consul's own tools take it."""
    kubelet.put(P.web_pod())
    start(kubelet, None, env={"CONSUL_HTTP_ADDR": consul.address})
    await_for(lambda: consul.statuses() == {WEB: "passing"})
