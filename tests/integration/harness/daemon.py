"""katalogd itself, as built in BUILDDIR."""

import http.client
import json
import os
import pathlib
import re
import signal
import subprocess

from prometheus_client.parser import text_string_to_metric_families

from .consul import UnixConnection
from .processes import Process, children_of
from .waiting import SLOWNESS, await_for, free_port

TOP = pathlib.Path(__file__).parents[3]
BUILD = pathlib.Path(os.environ.get("BUILDDIR", TOP / "build")).resolve()
PROGRAM = BUILD / "katalogd"
# Those of to-consul, and of both directions.
WORKERS = ("kubelet-reader", "consul-writer", "http")
ALL_WORKERS = (*WORKERS, "consul-reader", "k8s-writer")
SANITIZER = re.compile(r"(AddressSanitizer|LeakSanitizer|runtime error:).*")
# The time in front and the pid behind differ from line to line.
LOG_PREFIX = re.compile(r"^\S+Z (\w+ [\w-]+)\[\d+\]: ")
# One that hangs is killed after 4 s, and so is a worker.
STOP_SECONDS = 15
LOG_SHOWN = 20000


def run(*arguments, env=None, program=PROGRAM, timeout=20):
    """Runs katalogd to its end."""
    return subprocess.run(
        [program, *arguments],
        env=environment(env),
        stdin=subprocess.DEVNULL,
        check=False,
        capture_output=True,
        text=True,
        timeout=timeout * SLOWNESS,
    )


def environment(extra=None):
    """Nothing of the caller's but what sanitizers are told."""
    kept = {k: v for k, v in os.environ.items() if k.endswith("SAN_OPTIONS")}
    return {"PATH": "/usr/bin:/bin", **kept, **(extra or {})}


def as_flags(options):
    return [
        f"--{key.replace('_', '-')}={value}"
        for key, value in options.items()
        if value is not None
    ]


class Katalogd:
    """A running katalogd; options are its long flags with "_" for "-"."""

    def __init__(self, folder, env=None, program=PROGRAM, **options):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.log_path = self.folder / "katalogd.log"
        self.control = self.folder / "control.sock"
        self.program = program
        self.env = env
        self.process = None
        config = self.folder / "katalogd.conf"
        config.touch()
        self.options = {
            "config": config,
            "log_target": "stderr",
            "libexec_dir": BUILD,
            "runtime_dir": self.folder / "run",
            "control_socket": self.control,
            "metrics_bind_address": f"127.0.0.1:{free_port()}",
            "default_sync_interval": "200ms",
            "min_sync_interval": "100ms",
            **options,
        }

    # Life.

    def start(self):
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                [self.program, *as_flags(self.options)],
                env=environment(self.env),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        return self

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        try:
            self.stop()
        finally:
            # pytest shows it where the test failed.
            print(f"--- {self.log_path} ---\n{self.log[-LOG_SHOWN:]}")

    def stop(self, by=signal.SIGTERM, within=STOP_SECONDS):
        """Ends it: in time, without an error, and no process is left."""
        if self.process is None:
            return
        assert self.running, f"ended, exit status {self.process.returncode}"
        family = [self.itself, *self.workers().values()]
        self.process.send_signal(by)
        try:
            code = self.process.wait(within * SLOWNESS)
        except subprocess.TimeoutExpired:
            self.kill(family)
            raise AssertionError(
                f"not gone {within} s after {by.name}"
            ) from None
        self.process = None
        left = [p for p in family if p.alive]
        assert not left, f"left over: {left}"
        assert code == 0, f"exit status {code}"
        self.check_sanitizers()

    def kill(self, family=()):
        """SIGKILL to the supervisor, then to what it failed to take along."""
        self.process.kill()
        self.process.wait()
        self.process = None
        for process in family:
            if process.alive:
                os.kill(process.pid, signal.SIGKILL)

    def check_sanitizers(self):
        found = SANITIZER.search(self.log)
        assert not found, found.group(0)

    def reload(self):
        self.process.send_signal(signal.SIGHUP)

    # What it is.

    @property
    def pid(self):
        return self.process.pid

    @property
    def itself(self):
        return Process.of(self.pid)

    @property
    def running(self):
        return self.process.poll() is None

    def workers(self):
        """Role -> process, of those that run its own program by now."""
        return {
            p.name: p for p in children_of(self.pid) if p.name in ALL_WORKERS
        }

    def worker(self, role):
        return await_for(lambda: self.workers().get(role), what=role)

    # What it says.

    @property
    def log(self):
        return self.log_path.read_text(errors="replace")

    def log_lines(self, pattern="", start=0):
        """Lines from that offset on, as "level process: text"."""
        lines = self.log[start:].splitlines()
        plain = (LOG_PREFIX.sub(r"\1: ", line) for line in lines)
        return [line for line in plain if re.search(pattern, line)]

    def await_log(self, pattern, timeout=5):
        return await_for(
            lambda: self.log_lines(pattern), timeout, f"a line: {pattern}"
        )

    def get(self, path, over_tcp=False):
        """Status and body of an answer, by the control socket or TCP."""
        if over_tcp:
            connection = http.client.HTTPConnection(
                self.options["metrics_bind_address"], timeout=10
            )
        else:
            connection = UnixConnection(self.control)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def status(self):
        code, body = self.get("/v1/status")
        assert code == 200, body
        return json.loads(body)

    @property
    def is_ready(self):
        assert self.running, "it has ended"
        return self.get("/readyz")[0] == 200

    def await_ready(self, timeout=20):
        await_for(lambda: self.is_ready, timeout, "/readyz")
        return self

    def metrics(self):
        """(name, sorted labels) -> value."""
        code, body = self.get("/metrics")
        assert code == 200, body
        return {
            (sample.name, tuple(sorted(sample.labels.items()))): sample.value
            for family in text_string_to_metric_families(body)
            for sample in family.samples
        }

    def metric(self, name, **labels):
        return self.metrics()[name, tuple(sorted(labels.items()))]
