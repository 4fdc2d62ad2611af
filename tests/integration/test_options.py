"""Options: flags, environment and file, and what each refuses."""

import json
import os
import signal

import grpc
import pytest

from harness import pods as P
from harness.daemon import BUILD, PROGRAM, Katalogd, run
from harness.durations import seconds
from harness.grpc_peer import SidecarClient, ends
from harness.waiting import await_for, free_port

WEB = P.service_id(P.web_pod())
FILE_API = f"--kubelet-api=file://{P.DATA}"


@pytest.fixture
def config(tmp_path):
    """config(text) writes a file and returns its option."""

    def write(text):
        path = tmp_path / "test.conf"
        path.write_text(text)
        return f"--config={path}"

    return write


def resolved(*arguments, env=None):
    """What -n prints, as option -> value."""
    done = run("-n", *arguments, env=env)
    assert done.returncode == 0, done.stderr
    lines = [line.split("#")[0].strip() for line in done.stdout.splitlines()]
    pairs = (line.partition("=") for line in lines if line)
    return {name.strip(): value.strip() for name, _, value in pairs}


DEFAULTS = {
    "log-level": "info",
    "min-sync-interval": "500ms",
    "max-sync-interval": "5s",
    "default-sync-interval": "1s",
    "default-check-ttl": "10s",
    "sync-ttl-buffer-duration": "10s",
    "kubelet-api": "http://localhost:10255/pods",
    "kubelet-stale-after": "2m0s",
    "deregister-critical-after": "30m0s",
}


def test_defaults(config):
    values = resolved(config(""))
    for name, wanted in DEFAULTS.items():
        actual = values[name].strip('"')
        if wanted[0].isdigit():
            assert seconds(actual) == seconds(wanted), name
        else:
            assert actual == wanted, name


def test_precedence(config):
    """Flag over environment over file over default."""
    file = config("default-check-ttl = 20s\n")
    env = {"DEFAULT_CHECK_TTL": "30s"}
    steps = [
        (resolved(config("# nothing\n")), 10),
        (resolved(config("default-check-ttl = 20s\n")), 20),
        (resolved(file, env=env), 30),
        (resolved(file, "--default-check-ttl=40s", env=env), 40),
        (resolved(file, "--default-check-ttl", "50s", env=env), 50),
    ]
    for values, wanted in steps:
        assert seconds(values["default-check-ttl"]) == wanted


ENVIRONMENT = {
    "LOG_LEVEL": ("log-level", "debug"),
    "BIND_ADDRESS": ("bind-address", ":8501"),
    "METRICS_BIND_ADDRESS": ("metrics-bind-address", ":9000"),
    "METRICS_ADDR": ("metrics-bind-address", "127.0.0.1:9001"),
    "PPROF_BIND_ADDRESS": ("pprof-bind-address", ":6060"),
    "MIN_SYNC_INTERVAL": ("min-sync-interval", "250ms"),
    "MAX_SYNC_INTERVAL": ("max-sync-interval", "7s"),
    "DEFAULT_SYNC_INTERVAL": ("default-sync-interval", "2s"),
    "DEFAULT_CHECK_TTL": ("default-check-ttl", "11s"),
    "SYNC_TTL_BUFFER_DURATION": ("sync-ttl-buffer-duration", "12s"),
    "KUBELET_API": ("kubelet-api", "https://127.0.0.1:10250/pods"),
    "KUBELET_API_INSECURE_SKIP_VERIFY": (
        "kubelet-api-insecure-skip-verify",
        "true",
    ),
    "NODE_NAME": ("node-name", "n7"),
    "CONSUL_HTTP_ADDR": ("consul-addr", "10.0.0.1:8500"),
    "CONSUL_HTTP_SSL_VERIFY": ("consul-ssl-verify", "false"),
    "CONSUL_TLS_SERVER_NAME": ("consul-tls-server-name", "server.dc1.consul"),
    "CONSUL_NAMESPACE": ("consul-namespace", "team"),
}


@pytest.mark.parametrize("variable", ENVIRONMENT)
def test_environment_and_flag(variable, config):
    name, value = ENVIRONMENT[variable]
    file = config("")
    by_environment = resolved(file, env={variable: value})
    by_flag = resolved(file, f"--{name}={value}")
    by_file = resolved(config(f"{name} = {value}\n"))
    for values in (by_environment, by_flag, by_file):
        # Addresses are completed to URLs.
        assert values[name].strip('"') in (value, f"http://{value}")


def test_resolved_configuration_is_a_configuration(config, tmp_path):
    """What -n prints can be the file."""
    printed = run("-n", config("default-check-ttl = 21s\n")).stdout
    assert seconds(resolved(config(printed))["default-check-ttl"]) == 21


BAD_VALUES = {
    "log-level": "loud",
    "min-sync-interval": "fast",
    "default-check-ttl": "10",
    "default-sync-interval": "-1s",
    "kubelet-api": "ftp://localhost/pods",
    "kubelet-timeout": "1x",
    "consul-addr": "127.0.0.1:99999",
    "consul-ssl": "perhaps",
    "consul-concurrency": "0",
    "metrics-bind-address": "nowhere",
    "deregister-critical-after": "30s",
    "sandbox": "none",
    "log-target": "printer",
}
VARIABLES = {
    "log-level": "LOG_LEVEL",
    "min-sync-interval": "MIN_SYNC_INTERVAL",
    "default-check-ttl": "DEFAULT_CHECK_TTL",
    "default-sync-interval": "DEFAULT_SYNC_INTERVAL",
    "kubelet-api": "KUBELET_API",
    "consul-addr": "CONSUL_HTTP_ADDR",
    "consul-ssl": "CONSUL_HTTP_SSL",
    "metrics-bind-address": "METRICS_BIND_ADDRESS",
}


def assert_refused(done, *words):
    assert done.returncode not in (0, -signal.SIGSEGV, -signal.SIGABRT)
    lines = done.stderr.splitlines()
    errors = [line for line in lines if "warning: " not in line]
    assert len(errors) == 1, done.stderr
    for word in words:
        assert word in errors[0]


@pytest.mark.parametrize("name", BAD_VALUES)
class TestBadValue:
    def test_as_flag(self, name, config):
        value = BAD_VALUES[name]
        done = run("-n", config(""), f"--{name}={value}")
        assert_refused(done, f"--{name}", value)

    def test_in_the_file(self, name, config):
        value = BAD_VALUES[name]
        done = run("-n", config(f"# one\n\n{name} = {value}\n"))
        assert_refused(done, "test.conf:3", name, value)

    def test_in_the_environment(self, name, config):
        variable = VARIABLES.get(name)
        if variable:
            value = BAD_VALUES[name]
            done = run("-n", config(""), env={variable: value})
            assert_refused(done, variable, value)


BAD_FILES = {
    "unknown": ("log-levels = info\n", 1, "log-levels"),
    "no-value": ("\nlog-level\n", 2, "log-level"),
    "no-name": ("\n\n= info\n", 3, ""),
    "binary": ("\nlog-level = in\x01fo\n", 2, "log-level"),
    "flag-only": ("dry-run = true\n", 1, "dry-run"),
}


@pytest.mark.parametrize("kind", BAD_FILES)
def test_bad_file_names_the_line(kind, config):
    text, line, word = BAD_FILES[kind]
    assert_refused(run("-n", config(text)), f"test.conf:{line}", word)


def test_unknown_flag():
    assert_refused(run("--no-such-thing=1"), "--no-such-thing")


def test_flag_without_value():
    assert_refused(run("-n", "--log-level"), "log-level")


def test_named_file_that_is_missing(tmp_path):
    path = tmp_path / "missing.conf"
    assert_refused(run("-n", f"--config={path}"), str(path))


def test_token_is_hidden(config):
    done = run("-n", config(""), env={"CONSUL_HTTP_TOKEN": "s3cr3t-t0ken"})
    assert done.returncode == 0
    assert "s3cr3t-t0ken" not in done.stdout + done.stderr


def test_version_and_help():
    version = run("--version")
    assert version.returncode == 0
    assert version.stdout.startswith("katalogd ")
    usage = run("--help")
    assert usage.returncode == 0
    for name in ("--kubelet-api", "--consul-addr", "--dry-run"):
        assert name in usage.stdout


# --dry-run.


def dry_run(*arguments, env=None):
    """The services that it would register, by ID."""
    done = run("--dry-run", f"--libexec-dir={BUILD}", *arguments, env=env)
    assert done.returncode == 0, done.stderr
    return {service["ID"]: service for service in json.loads(done.stdout)}


def test_dry_run_of_the_real_list(config, tmp_path):
    services = dry_run(FILE_API, config(""), f"--runtime-dir={tmp_path}/run")
    expected = {}
    for pod in P.real_pods():
        expected.update(P.expected_services(pod))
    assert set(services) == set(expected)
    for name, wanted in expected.items():
        service = services[name]
        assert service["Name"] == wanted["Service"]
        assert service["Check"]["Status"] == wanted["Status"]
        assert json.loads(service["Check"]["Notes"]) == wanted["Notes"]
        for key in ("Address", "Port", "Meta"):
            assert service[key] == wanted[key]
        assert service.get("Tags", []) == wanted["Tags"]


def test_dry_run_of_a_kubelet(kubelet, config, tmp_path):
    kubelet.put(P.web_pod())
    services = dry_run(
        f"--kubelet-api={kubelet.url}",
        config(""),
        f"--runtime-dir={tmp_path}/run",
    )
    assert set(services) == {WEB}


BAD_LISTS = [None, "{}", '{"kind":"PodList","items":[']


@pytest.mark.parametrize("content", BAD_LISTS)
def test_dry_run_that_fails(content, config, tmp_path):
    path = tmp_path / "pods.json"
    if content is not None:
        path.write_text(content)
    done = run(
        "--dry-run",
        f"--libexec-dir={BUILD}",
        f"--runtime-dir={tmp_path}/run",
        f"--kubelet-api=file://{path}",
        config(""),
    )
    assert done.returncode != 0
    assert done.stdout == ""
    assert "pods.json" in done.stderr


# As katalog-sync-daemon.


def test_katalog_sync_daemon(tmp_path, kubelet, consul):
    """Its flags, its environment, its name, and its sidecars."""
    program = tmp_path / "katalog-sync-daemon"
    os.symlink(PROGRAM, program)
    pod = P.sidecar_pod()
    kubelet.put(pod)
    address = f"127.0.0.1:{free_port()}"
    env = {
        "LOG_LEVEL": "trace",
        "BIND_ADDRESS": address,
        "METRICS_BIND_ADDRESS": "127.0.0.1:0",
        "KUBELET_API": kubelet.url,
        "CONSUL_HTTP_ADDR": consul.address,
        "PPROF_BIND_ADDRESS": ":6060",
    }
    with Katalogd(
        tmp_path / "d",
        env=env,
        program=program,
        metrics_bind_address=None,
        max_sync_interval="5s",
        default_check_ttl="10s",
    ) as daemon:
        daemon.await_ready()
        await_for(lambda: consul.statuses() == {WEB: "critical"})
        with SidecarClient(address) as client:
            call = client.register(*P.key_of(pod), P.SIDECAR)
            assert ends(call) is grpc.StatusCode.OK
        assert consul.statuses() == {WEB: "passing"}
        daemon.await_log("pprof-bind-address")
