"""katalog-sidecar, as built in BUILDDIR."""

import http.client
import os
import pathlib
import signal
import subprocess

from .daemon import BUILD, SANITIZER, as_flags, environment
from .processes import Process, children_of
from .waiting import SLOWNESS, await_for, free_port

PROGRAM = BUILD / "katalog-sidecar"
STOP_SECONDS = 10


class Sidecar:
    """A running one; options are its long flags with "_" for "-".

    exec is the program that it wraps, by what is put in front of it all.
    """

    def __init__(
        self, folder, daemon, env=None, exec=(), user=None, by=(), **more
    ):
        self.folder = pathlib.Path(folder)
        self.log_path = self.folder / "sidecar.log"
        self.env = env
        self.exec = exec
        self.by = by
        self.user = {}
        if user is not None:
            self.user = {"user": user, "group": user, "extra_groups": []}
        self.port = free_port()
        self.process = None
        self.options = {
            "katalog_sync_daemon": getattr(daemon, "address", daemon),
            "bind_address": f"127.0.0.1:{self.port}",
            "namespace": "shop",
            "pod_name": "web-1",
            "container_name": "sidecar",
            **more,
        }

    @property
    def command(self):
        exec = ["--exec", *self.exec] if self.exec else []
        return [*self.by, PROGRAM, *as_flags(self.options), *exec]

    def start(self):
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                self.command,
                **self.user,
                env=environment(self.env),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        return self

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        if self.running:
            self.kill()
        print(f"--- {self.log_path} ---\n{self.log}")
        found = SANITIZER.search(self.log)
        assert not found, found.group(0)

    def kill(self):
        """With its program, which would outlive it."""
        family = children_of(self.pid)
        self.process.kill()
        self.process.wait()
        for process in family:
            if process.alive:
                os.kill(process.pid, signal.SIGKILL)

    def send(self, sig):
        self.process.send_signal(sig)

    def wait(self, timeout=STOP_SECONDS):
        """Its exit status."""
        return self.process.wait(timeout * SLOWNESS)

    def stop(self, by=signal.SIGTERM):
        self.send(by)
        return self.wait()

    @property
    def pid(self):
        return self.process.pid

    @property
    def itself(self):
        return Process.of(self.pid)

    @property
    def running(self):
        return self.process.poll() is None

    @property
    def log(self):
        return self.log_path.read_text(errors="replace")

    def await_log(self, text, timeout=5):
        await_for(lambda: text in self.log, timeout, f"in the log: {text}")

    def get(self, path="/ready", method="GET"):
        """Status and body."""
        connection = http.client.HTTPConnection(
            "127.0.0.1", self.port, timeout=5 * SLOWNESS
        )
        try:
            connection.request(method, path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    @property
    def is_ready(self):
        assert self.running, f"ended: {self.log}"
        return self.get()[0] == 200

    def await_ready(self, timeout=5):
        await_for(lambda: self.is_ready, timeout, "/ready")
        return self


def run(*arguments, env=None, timeout=10):
    """Runs it to its end."""
    return subprocess.run(
        [PROGRAM, *arguments],
        env=environment(env),
        stdin=subprocess.DEVNULL,
        check=False,
        capture_output=True,
        text=True,
        timeout=timeout * SLOWNESS,
    )


def context_switches(pid):
    """Voluntary ones so far: each is a time that it had nothing to do."""
    return int(Process.of(pid).status["voluntary_ctxt_switches"])
