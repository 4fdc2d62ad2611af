"""How the cluster is reached: kubeconfig, its credentials, its changes.

consul-reader and k8s-writer are stand-ins that log what they were given.
"""

import base64
import json
import os
import signal

import pytest

from harness.daemon import BUILD, run
from harness.waiting import await_for, free_port, holds_for

PEM = "-----BEGIN {}-----\n"
SERVER = "https://10.0.0.1:6443"
# MODEL_DOWN_MS of workers/http/model.h
DOWN_SECONDS = 5
AS_ROOT = os.geteuid() == 0


@pytest.fixture
def libexec(tmp_path):
    """The programs of the workers, two of them stand-ins."""
    folder = tmp_path / "libexec"
    folder.mkdir()
    for name in ("kubelet-reader", "consul-writer", "kubeconfig", "http"):
        (folder / name).symlink_to(BUILD / name)
    for name in ("consul-reader", "k8s-writer"):
        (folder / name).symlink_to(BUILD / "stand_in")
    return folder


class Kubeconfig:
    """A kubeconfig file; JSON is YAML."""

    def __init__(self, path):
        self.path = path
        self.cluster = {"server": SERVER}
        self.user = {"token": "first"}

    def write(self):
        """As kubectl does: a new file in the place of the old one."""
        content = {
            "kind": "Config",
            "current-context": "dev",
            "contexts": [
                {"name": "dev", "context": {"cluster": "k", "user": "u"}}
            ],
            "clusters": [{"name": "k", "cluster": self.cluster}],
            "users": [{"name": "u", "user": self.user}],
        }
        write(self.path, json.dumps(content))
        return self


def write(path, text):
    new = path.with_suffix(".new")
    new.write_text(text)
    new.chmod(0o600)
    new.rename(path)


def data(text):
    return base64.b64encode(text.encode()).decode()


@pytest.fixture
def kubeconfig(tmp_path):
    return Kubeconfig(tmp_path / "kubeconfig")


@pytest.fixture
def to_k8s(start, libexec):
    def start_one(wait=True, **options):
        daemon = start(
            None,
            "127.0.0.1:1",
            to_k8s="true",
            libexec_dir=libexec,
            wait=wait,
            **options,
        )
        if wait:
            # The log may come later than the page that says ready.
            await_for(lambda: starts(daemon), what="k8s-writer's start")
        return daemon

    return start_one


def blobs(daemon, name, since=0):
    return daemon.log_lines(f"k8s-writer: blob {name}:", since)


def processes(daemon):
    """Role -> pid by the status."""
    return {w["name"]: w["pid"] for w in daemon.status()["workers"]}


def starts(daemon):
    return daemon.log_lines("k8s-writer: started:")


def test_all_that_it_says_is_used(kubeconfig, to_k8s):
    kubeconfig.cluster |= {
        "tls-server-name": "kubernetes",
        "certificate-authority-data": data(PEM.format("CA")),
    }
    kubeconfig.user = {
        "token": "secret",
        "client-certificate-data": data(PEM.format("CERT")),
        "client-key-data": data(PEM.format("KEY")),
    }
    daemon = to_k8s(kubeconfig=kubeconfig.write().path)
    assert starts(daemon) == [
        f'info k8s-writer: started: api {SERVER}, name "kubernetes", secure, '
        "leader-elect no"
    ]
    for name, text in (
        ("token", "secret"),
        ("ca", PEM.format("CA").strip()),
        ("cert", PEM.format("CERT").strip()),
        ("key", PEM.format("KEY").strip()),
    ):
        assert len(blobs(daemon, f"k8s-{name}")) == 1
        assert text in blobs(daemon, f"k8s-{name}")[0]
    assert list(processes(daemon)) == ["consul-reader", "k8s-writer", "http"]
    daemon.await_log("kubeconfig: context dev: cluster k at")
    # The process that read it is gone.
    names = [p.name for p in daemon.workers().values()]
    assert "kubeconfig" not in names


def test_the_ones_of_both_directions_are_linked(
    kubeconfig, to_k8s, kubelet, consul
):
    daemon = to_k8s(
        kubeconfig=kubeconfig.write().path,
        to_consul="true",
        kubelet_api=kubelet.url,
        consul_addr=consul.address,
    )
    for peer in ("consul-writer", "consul-reader", "http"):
        daemon.await_log(f"k8s-writer: link {peer}: up")
    assert len(processes(daemon)) == 5


def test_files_that_it_names_are_followed(kubeconfig, to_k8s, tmp_path):
    """Their paths begin at its folder."""
    write(tmp_path / "token", "one")
    kubeconfig.user = {"tokenFile": "token"}
    daemon = to_k8s(kubeconfig=kubeconfig.write().path)
    assert "3 bytes: one" in blobs(daemon, "k8s-token")[0]
    before = processes(daemon)
    write(tmp_path / "token", "two")
    daemon.await_log("blob k8s-token: 3 bytes: two")
    assert processes(daemon) == before


def test_another_token_starts_nothing_again(kubeconfig, to_k8s):
    daemon = to_k8s(kubeconfig=kubeconfig.write().path)
    before = processes(daemon)
    kubeconfig.user = {"token": "second"}
    kubeconfig.write()
    daemon.await_log("blob k8s-token: 6 bytes: second")
    assert processes(daemon) == before
    assert len(starts(daemon)) == 1


def test_another_server_starts_the_writer_again(kubeconfig, to_k8s):
    daemon = to_k8s(kubeconfig=kubeconfig.write().path)
    before = processes(daemon)
    kubeconfig.cluster["server"] = "https://10.0.0.2:6443"
    kubeconfig.write()
    daemon.await_log("started: api https://10.0.0.2:6443")
    await_for(lambda: daemon.is_ready)
    after = processes(daemon)
    assert after.pop("k8s-writer") != before.pop("k8s-writer")
    assert after == before
    restarts = {w["name"]: w["restarts"] for w in daemon.status()["workers"]}
    assert set(restarts.values()) == {0}


def test_data_that_became_a_file(kubeconfig, to_k8s, tmp_path):
    daemon = to_k8s(kubeconfig=kubeconfig.write().path)
    write(tmp_path / "token", "of a file")
    kubeconfig.user = {"tokenFile": str(tmp_path / "token")}
    kubeconfig.write()
    daemon.await_log("blob k8s-token: 9 bytes: of a file")
    kubeconfig.user = {}
    kubeconfig.write()
    daemon.await_log("blob k8s-token: 0 bytes")


def test_one_that_needs_a_command_waits_for_a_better_one(kubeconfig, to_k8s):
    """Started with such a file, and with what its user then does."""
    kubeconfig.user = {"exec": {"command": "aws"}}
    daemon = to_k8s(kubeconfig=kubeconfig.write().path, wait=False)
    said = daemon.await_log("error katalogd: kubeconfig: ")
    assert len(said) == 1
    for part in (str(kubeconfig.path), 'user "u"', "exec: aws", "tokenFile"):
        assert part in said[0]
    assert said[0].endswith("; k8s-writer waits for a better one")
    daemon.await_log("all workers but k8s-writer are ready")
    await_for(lambda: "exec: aws" in daemon.get("/readyz")[1])
    code, reason = daemon.get("/readyz")
    assert code == 503
    assert "k8s-writer: kubeconfig: " in reason
    kubeconfig.user = {"token": "t"}
    kubeconfig.write()
    daemon.await_ready()


@pytest.mark.long
def test_one_that_waits_is_no_illness(kubeconfig, to_k8s):
    """For which a liveness probe would restart the whole, again and again."""
    write(kubeconfig.path, "a: [")
    daemon = to_k8s(kubeconfig=kubeconfig.path, wait=False)
    daemon.await_log("k8s-writer waits for a better one")
    await_for(lambda: daemon.get("/healthz"))
    well = (200, "ok\n")
    holds_for(lambda: daemon.get("/healthz") == well, DOWN_SECONDS + 1)
    assert daemon.get("/readyz")[0] == 503


def test_a_bad_one_changes_nothing(kubeconfig, to_k8s):
    daemon = to_k8s(kubeconfig=kubeconfig.write().path)
    before = processes(daemon)
    write(kubeconfig.path, "a: [")
    said = daemon.await_log("error katalogd: kubeconfig: ")
    assert "not YAML" in said[0]
    assert said[0].endswith("what it said before stays in use")
    mark = len(daemon.log)
    kubeconfig.path.unlink()
    daemon.await_log("kubeconfig: .*No such file or directory")
    holds_for(lambda: processes(daemon) == before, 1.5)
    assert len(starts(daemon)) == 1
    assert not blobs(daemon, "k8s-token", mark)


def test_one_that_comes_late(kubeconfig, to_k8s):
    daemon = to_k8s(kubeconfig=kubeconfig.path, wait=False)
    daemon.await_log("k8s-writer waits for a better one")
    kubeconfig.write()
    daemon.await_ready()


def test_hangup_reads_it_again(kubeconfig, to_k8s):
    daemon = to_k8s(kubeconfig=kubeconfig.write().path)
    before = processes(daemon)
    daemon.reload()
    await_for(lambda: len(daemon.log_lines("context dev")) == 2)
    assert processes(daemon) == before
    assert len(blobs(daemon, "k8s-token")) == 1


def test_hangup_moves_to_another_one_and_to_none(kubeconfig, to_k8s, tmp_path):
    other = Kubeconfig(tmp_path / "other")
    other.cluster["server"] = "https://10.0.0.3"
    other.write()
    config = tmp_path / "moving.conf"
    config.write_text(f"kubeconfig = {kubeconfig.write().path}\n")
    daemon = to_k8s(config=config)
    config.write_text(f"kubeconfig = {other.path}\n")
    daemon.reload()
    daemon.await_log("started: api https://10.0.0.3")
    config.write_text("k8s-api = http://127.0.0.1:1\n")
    mark = len(daemon.log)
    daemon.reload()
    daemon.await_log("started: api http://127.0.0.1:1")
    # The token of a kubeconfig does not go to another server.
    await_for(lambda: blobs(daemon, "k8s-token", mark))
    assert "0 bytes" in blobs(daemon, "k8s-token", mark)[-1]
    await_for(lambda: daemon.is_ready)


def test_hangup_frees_what_waits(kubeconfig, to_k8s, tmp_path):
    config = tmp_path / "moving.conf"
    config.write_text(f"kubeconfig = {tmp_path}/none\n")
    daemon = to_k8s(config=config, wait=False)
    daemon.await_log("k8s-writer waits for a better one")
    config.write_text("k8s-api = http://127.0.0.1:1\n")
    daemon.reload()
    daemon.await_ready()


def test_in_a_cluster(to_k8s, tmp_path):
    write(tmp_path / "token", "of the account")
    write(tmp_path / "ca", PEM.format("CA"))
    port = free_port()
    daemon = to_k8s(
        env={
            "KUBERNETES_SERVICE_HOST": "127.0.0.1",
            "KUBERNETES_SERVICE_PORT": str(port),
        },
        k8s_token_file=tmp_path / "token",
        k8s_ca=tmp_path / "ca",
    )
    assert f"api https://127.0.0.1:{port}" in starts(daemon)[0]
    assert "leader-elect yes" in starts(daemon)[0]
    assert "of the account" in blobs(daemon, "k8s-token")[0]
    assert not daemon.log_lines("kubeconfig")
    write(tmp_path / "token", "another")
    daemon.await_log("blob k8s-token: 7 bytes: another")


def test_as_consul_sync(kubeconfig, start, libexec, tmp_path):
    """By its name and its environment alone."""
    program = tmp_path / "consul-sync"
    program.symlink_to(BUILD / "katalogd")
    port = free_port()
    daemon = start(
        None,
        None,
        program=program,
        libexec_dir=libexec,
        metrics_bind_address=None,
        env={
            "CONSUL_ADDR": "127.0.0.1:1",
            "METRICS_ADDR": f"127.0.0.1:{port}",
            "CONSUL_TOKEN": "of-consul",
            "CONSUL_TAG": "mine",
            "KUBECONFIG": str(kubeconfig.write().path),
        },
    )
    assert list(processes(daemon)) == ["consul-reader", "k8s-writer", "http"]
    daemon.await_log("consul-reader: started: tag mine")
    daemon.await_log("consul-reader: blob consul-token: .*of-consul")


def test_reader_that_dies_is_tried_again(kubeconfig, to_k8s, libexec):
    """A program that is not what it should be, then is."""
    (libexec / "kubeconfig").unlink()
    (libexec / "kubeconfig").symlink_to("/bin/false")
    daemon = to_k8s(kubeconfig=kubeconfig.write().path, wait=False)
    daemon.await_log(r"kubeconfig\[\d+\] exited with status 1; starts again")
    assert not starts(daemon)
    (libexec / "kubeconfig").unlink()
    (libexec / "kubeconfig").symlink_to(BUILD / "kubeconfig")
    daemon.await_ready()


def test_killed_writer_keeps_its_cluster(kubeconfig, to_k8s):
    daemon = to_k8s(kubeconfig=kubeconfig.write().path)
    os.kill(processes(daemon)["k8s-writer"], signal.SIGKILL)
    await_for(lambda: len(starts(daemon)) == 2)
    assert starts(daemon)[0] == starts(daemon)[1]
    assert len(blobs(daemon, "k8s-token")) == 2
    assert len(daemon.log_lines("context dev")) == 1


@pytest.mark.skipif(not AS_ROOT, reason="others read only their own files")
def test_root_takes_no_kubeconfig_of_others(kubeconfig, to_k8s):
    kubeconfig.write().path.chmod(0o666)
    daemon = to_k8s(kubeconfig=kubeconfig.path, wait=False)
    daemon.await_log("kubeconfig: .*can be written by group or others")
    daemon.await_log("k8s-writer waits for a better one")


def dry_run(libexec, tmp_path, *more):
    return run(
        "--config=/dev/null",
        "--to-k8s",
        "--dry-run",
        f"--libexec-dir={libexec}",
        f"--runtime-dir={tmp_path}/run",
        *more,
    )


def test_dry_run_ends_with_a_bad_one(kubeconfig, libexec, tmp_path):
    kubeconfig.user = {"auth-provider": {"name": "gcp"}}
    kubeconfig.write()
    done = dry_run(libexec, tmp_path, f"--kubeconfig={kubeconfig.path}")
    assert done.returncode == 1
    assert "auth-provider" in done.stderr


def test_no_way_to_a_cluster_starts_nothing(libexec, tmp_path):
    done = dry_run(libexec, tmp_path)
    assert done.returncode == 1
    assert "no way to a cluster" in done.stderr


def test_missing_programs_are_no_concern_of_the_other_direction(
    start, libexec, kubelet, consul
):
    for name in ("consul-reader", "k8s-writer", "kubeconfig"):
        (libexec / name).unlink()
    start(kubelet, consul, libexec_dir=libexec)
