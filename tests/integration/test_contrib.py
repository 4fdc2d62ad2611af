"""contrib/kubernetes, as the apiserver and the sandbox see it."""

import json
import os
import re

import pytest

from harness import pods as P
from harness.daemon import PROGRAM, run
from harness.grpc_peer import FakeDaemon
from harness.sidecar import Sidecar
from harness.space import MANIFESTS, manifest
from harness.waiting import await_for

MANIFEST_NAMES = sorted(path.name for path in MANIFESTS.glob("*.yaml"))
# The namespace that they name.
NAMESPACE = "network"
AS_ROOT = os.geteuid() == 0
NOBODY = 65534


@pytest.fixture(scope="module")
def cluster(shared_cluster):
    # A worker may come here twice, with other tests between.
    shared_cluster.apply(
        "namespaces",
        None,
        {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {
                "name": NAMESPACE,
                "labels": {"pod-security.kubernetes.io/warn": "restricted"},
            },
        },
        "tests",
    )
    return shared_cluster


def dry_run(cluster, *arguments, stdin=None):
    return cluster.kubectl(
        *("apply", "--dry-run=server", "--validate=strict"),
        *arguments,
        stdin=stdin,
    )


@pytest.mark.parametrize("name", MANIFEST_NAMES)
def test_manifest_is_accepted(name, cluster):
    done = dry_run(cluster, f"--filename={MANIFESTS / name}")
    assert done.returncode == 0, done.stderr
    objects = manifest(cluster, name)
    assert done.stdout.count("(server dry run)") == len(objects)


@pytest.mark.parametrize(
    "name",
    ["deployment-to-k8s.yaml", "example-sidecar.yaml", "example-gate.yaml"],
)
def test_deployment_is_restricted(name, cluster):
    """As the Pod Security Standard of that name wants it."""
    done = dry_run(cluster, f"--filename={MANIFESTS / name}")
    assert "PodSecurity" not in done.stderr


def test_daemonset_is_not_restricted(cluster):
    """And the apiserver says so."""
    path = MANIFESTS / "daemonset-to-consul.yaml"
    assert "PodSecurity" in dry_run(cluster, f"--filename={path}").stderr


def test_bad_manifest_is_refused(cluster):
    """What the tests above see is checked at all."""
    bad = {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": "x", "namespace": NAMESPACE},
        "nonsense": 1,
    }
    done = dry_run(cluster, "--filename=-", stdin=json.dumps(bad))
    assert done.returncode != 0
    assert "nonsense" in done.stderr


def test_rights_are_the_least(cluster):
    """Those to run commands in pods have to be asked for."""
    rules = manifest(cluster, "rbac-to-consul.yaml")[1]["rules"]
    resources = [r for rule in rules for r in rule["resources"]]
    assert resources == ["nodes/pods", "pods/status"]


def with_all(name, folder):
    """The manifest with what is left out of it by #-."""
    text = (MANIFESTS / name).read_text()
    path = folder / name
    path.write_text(re.sub(r"^( *)#(?=- |  )", r"\1", text, flags=re.M))
    assert path.read_text() != text
    return path


def test_rule_for_old_kubelets(cluster, tmp_path):
    path = with_all("rbac-to-consul.yaml", tmp_path)
    assert dry_run(cluster, f"--filename={path}").returncode == 0
    rules = manifest(cluster, path)[1]["rules"]
    assert [r["verbs"] for r in rules if "nodes/proxy" in r["resources"]] == [
        ["get"]
    ]


def secret_of(cluster, name):
    """The name of the Secret with Consul's token."""
    (variable,) = [
        v
        for v in container_of(cluster, name)["env"]
        if v["name"] == "CONSUL_HTTP_TOKEN"
    ]
    return variable["valueFrom"]["secretKeyRef"]["name"]


def test_each_policy_has_its_secret(cluster):
    """One token may write services, the other one read all."""
    assert secret_of(cluster, "daemonset-to-consul.yaml") != secret_of(
        cluster, "deployment-to-k8s.yaml"
    )


def template_of(cluster, name):
    (template,) = [
        item["spec"]["template"]
        for item in manifest(cluster, name)
        if item["kind"] in ("DaemonSet", "Deployment")
    ]
    return template


def container_of(cluster, name):
    (container,) = template_of(cluster, name)["spec"]["containers"]
    return container


def environment_of(container, values):
    """As a pod would get it where the fields have those values."""
    env = {}
    for variable in container["env"]:
        text = variable.get("value", values.get(variable["name"], "x"))
        for key, value in values.items():
            text = text.replace(f"$({key})", value)
        env[variable["name"]] = text
    return env


def assert_known(container, arguments):
    """katalogd -n takes them, with the variables of a pod."""
    values = {"NAMESPACE": "n", "HOST_IP": "10.0.0.1", "NODE_NAME": "node-7"}
    env = environment_of(container, values)
    if "--to-k8s" in arguments:
        env["KUBERNETES_SERVICE_HOST"] = "10.0.0.1"
        env["KUBERNETES_SERVICE_PORT"] = "443"
    arguments = [
        re.sub(r"\$\((\w+)\)", lambda m: values[m[1]], a) for a in arguments
    ]
    done = run("-n", "--config=/dev/null", *arguments, env=env)
    assert done.returncode == 0, done.stderr
    assert "warning" not in done.stderr


@pytest.mark.parametrize(
    "name",
    [n for n in MANIFEST_NAMES if not n.startswith(("rbac", "example"))],
)
def test_arguments_are_known(name, cluster):
    container = container_of(cluster, name)
    assert_known(container, container["args"])
    selector = template_of(cluster, name)["spec"]["nodeSelector"]
    assert selector == {"kubernetes.io/os": "linux"}


@pytest.mark.parametrize(
    "name", [n for n in MANIFEST_NAMES if n.startswith("daemonset")]
)
def test_certificate_of_the_kubelet(name, cluster, tmp_path):
    """The way that is left out: its certificate, in place of any."""
    path = with_all(name, tmp_path)
    assert dry_run(cluster, f"--filename={path}").returncode == 0
    container = container_of(cluster, path)
    any_certificate = "--kubelet-api-insecure-skip-verify"
    assert any_certificate in container["args"]
    container["args"].remove(any_certificate)
    assert_known(container, container["args"])
    (mount,) = [v for v in container["volumeMounts"] if v.get("readOnly")]
    assert f"--kubelet-ca={mount['mountPath']}" in container["args"]


def test_example_sidecar_registers(cluster, tmp_path):
    template = template_of(cluster, "example-sidecar.yaml")
    _, container = template["spec"]["containers"]
    name = container["name"]
    annotations = template["metadata"]["annotations"]
    assert annotations["katalog-sync.wish.com/sidecar"] == name
    env = environment_of(
        container,
        {"HOST_IP": "127.0.0.1", "NAMESPACE": "shop", "POD_NAME": "web-1"},
    )
    assert env["KATALOG_SYNC_DAEMON"] == "127.0.0.1:8501"
    with FakeDaemon() as daemon:
        one = Sidecar(tmp_path, daemon, user=NOBODY if AS_ROOT else None)
        env["KATALOG_SYNC_DAEMON"] = daemon.address
        env["BIND_ADDRESS"] = f":{one.port}"
        one.env, one.options = env, {}
        with one:
            one.await_ready()
            assert daemon.calls[0].names == ("shop", "web-1", name)
            assert one.stop() == 0


def confined(tmp_path, context):
    """A program that runs katalogd as that securityContext would."""
    add = context["capabilities"].get("add", [])
    capabilities = ",".join(f"+{name.lower()}" for name in add)
    wanted = f"-all,{capabilities}" if add else "-all"
    user = context.get("runAsUser", 60610)
    program = tmp_path / "confined"
    program.write_text(
        "#!/bin/sh\n"
        f"exec setpriv --no-new-privs --bounding-set={wanted} "
        f"--inh-caps=-all --reuid={user} --regid={user} --clear-groups "
        f'{PROGRAM} "$@"\n'
    )
    program.chmod(0o755)
    return program


def test_daemonset_context_fits_the_sandbox(
    cluster, start, kubelet, consul, tmp_path
):
    """With those capabilities alone, all layers are there and it works."""
    container = container_of(cluster, "daemonset-to-consul.yaml")
    kubelet.put(P.web_pod())
    free = start(kubelet, consul)
    layers = {w["name"]: w["sandbox"] for w in free.status()["workers"]}
    free.stop()
    daemon = start(
        kubelet,
        consul,
        program=confined(tmp_path, container["securityContext"]),
    )
    await_for(lambda: len(consul.statuses()) == 1)
    workers = daemon.status()["workers"]
    assert {w["name"]: w["sandbox"] for w in workers} == layers
