"""The processes: sandbox, start, stop, reload, and what a kill does."""

import os
import random
import re
import shlex
import signal
import socket
import subprocess
import threading
import time

import pytest

from harness import kubelet as K
from harness import pods as P
from harness.daemon import BUILD, PROGRAM, WORKERS
from harness.waiting import SLOWNESS, await_for, holds_for

WEB = P.service_id(P.web_pod())
AS_ROOT = os.geteuid() == 0


@pytest.fixture
def daemon(start, kubelet, consul):
    kubelet.put(P.web_pod())
    running = start(kubelet, consul)
    await_for(lambda: consul.status(WEB) == "passing")
    return running


# The sandbox as seen from outside; tests/unit has the view from inside.


@pytest.mark.parametrize("role", WORKERS)
def test_worker_is_confined(role, daemon):
    status = daemon.worker(role).status
    assert status["Seccomp"] == "2"
    assert status["NoNewPrivs"] == "1"
    for kind in ("CapEff", "CapPrm", "CapInh", "CapBnd", "CapAmb"):
        if kind != "CapBnd" or AS_ROOT:
            assert int(status[kind], 16) == 0, kind
    assert int(status["Threads"]) == 1


@pytest.mark.parametrize("role", WORKERS)
def test_worker_holds_no_file(role, daemon):
    """Sockets, pipes and event descriptors: nothing of the file system."""
    for number, target in daemon.worker(role).descriptors.items():
        assert not target.startswith("/") or target == "/dev/null", (
            f"descriptor {number}: {target}"
        )


@pytest.mark.parametrize("role", WORKERS)
def test_worker_knows_nothing_of_the_callers(role, daemon):
    worker = daemon.worker(role)
    assert worker.environment == b""
    assert worker.arguments.rstrip(b"\0") == role.encode()


@pytest.mark.parametrize("role", WORKERS)
def test_worker_cannot_make_processes_or_files(role, daemon):
    limits = daemon.worker(role).limits
    for name in ("core file size", "file size", "processes"):
        assert limits[f"Max {name}"][0] == limits[f"Max {name}"][1] == "0"


def test_supervisor_is_confined(daemon):
    status = daemon.itself.status
    assert status["Seccomp"] == "2"
    assert status["NoNewPrivs"] == "1"


@pytest.mark.skipif(not AS_ROOT, reason="only root changes users")
def test_each_worker_is_another_user(daemon):
    processes = [daemon.worker(role) for role in WORKERS]
    for kind in ("Uid", "Gid"):
        ids = [set(p.status[kind].split()) for p in processes]
        assert all(len(each) == 1 for each in ids)
        assert len(set.union(*ids)) == len(WORKERS)
        assert "0" not in set.union(*ids)
    assert all(p.status["Groups"] == "" for p in processes)
    assert "/" not in {os.readlink(f"/proc/{p.pid}/root") for p in processes}


def test_status_tells_the_layers(daemon):
    for worker in daemon.status()["workers"]:
        assert worker["name"] in WORKERS
        assert worker["state"].lower() == "ready"
        assert worker["pid"] == daemon.worker(worker["name"]).pid
        assert {"seccomp", "no-new-privs", "limits"} <= set(worker["sandbox"])


# Stop and reload.


@pytest.mark.parametrize("by", [signal.SIGTERM, signal.SIGINT])
def test_stops_in_the_middle_of_work(by, start, kubelet, proxy):
    """Both peers take long to answer."""
    kubelet.put(P.web_pod())
    kubelet.answer = K.silent
    proxy.fault = lambda request: time.sleep(10)
    daemon = start(kubelet, proxy, wait=False)
    await_for(lambda: kubelet.polls and proxy.requests)
    await_for(lambda: len(daemon.workers()) == len(WORKERS))
    daemon.stop(by)


def test_stopped_worker_does_not_hold_up_the_stop(daemon):
    """One that no longer listens (SIGSTOP) is killed in time."""
    os.kill(daemon.worker("consul-writer").pid, signal.SIGSTOP)
    daemon.stop()


@pytest.mark.timing
def test_stops_within_5_s(daemon):
    """Whatever its workers do."""
    os.kill(daemon.worker("consul-writer").pid, signal.SIGSTOP)
    daemon.stop(within=5)


def test_kill_of_the_supervisor_leaves_no_process(daemon, consul):
    family = daemon.workers().values()
    assert len(family) == len(WORKERS)
    daemon.kill()
    await_for(lambda: not [p for p in family if p.alive])
    assert consul.status(WEB) == "passing"


def test_start_after_a_kill(daemon, start, kubelet, consul):
    """A control socket that was left behind is no obstacle."""
    daemon.kill()
    kubelet.put(P.web_pod(ready=False))
    start(kubelet, consul)
    await_for(lambda: consul.status(WEB) == "critical")


def test_hangup_reads_the_configuration_again(start, kubelet, consul):
    kubelet.put(P.web_pod())
    daemon = start(kubelet, consul, deregister_critical_after=None)
    await_for(lambda: consul.status(WEB) == "passing")
    config = daemon.options["config"]
    config.write_text("log-level = debug\nnode-name = n1\n")
    daemon.reload()
    await_for(lambda: daemon.log_lines("(?i)debug"), what="debug lines")
    kubelet.put(P.web_pod(ready=False))
    await_for(lambda: consul.status(WEB) == "critical")
    assert daemon.running


def test_hangup_with_a_bad_configuration(daemon, kubelet, consul):
    """Keeps the old one."""
    config = daemon.options["config"]
    config.write_text("\n\nno-such-option = 1\n")
    before = daemon.workers()
    daemon.reload()
    daemon.await_log(r"katalogd\.conf:3.*no-such-option")
    kubelet.put(P.web_pod(ready=False))
    await_for(lambda: consul.status(WEB) == "critical")
    assert daemon.workers() == before


def test_hangup_moves_to_another_kubelet(start, consul, tmp_path):
    """The kubelet's address stands in the file."""
    with (
        K.FakeKubelet([P.web_pod()]) as first,
        K.FakeKubelet([P.web_pod(ready=False)]) as second,
    ):
        config = tmp_path / "moving.conf"
        config.write_text(f"kubelet-api = {first.url}\n")
        daemon = start(None, consul, config=config)
        await_for(lambda: consul.status(WEB) == "passing")
        config.write_text(f"kubelet-api = {second.url}\n")
        daemon.reload()
        await_for(lambda: consul.status(WEB) == "critical")
        daemon.stop()


# The service manager.


class Manager(threading.Thread):
    """What listens where NOTIFY_SOCKET says, all the time.

    said has what it was told, times when.
    """

    def __init__(self, path):
        super().__init__()
        self.path = str(path)
        self.said, self.times = [], []
        self.passed = 0
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.path)

    def run(self):
        while text := self.socket.recv(4096).decode():
            self.times.append(time.monotonic())
            self.said.append(text)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as last:
            last.sendto(b"", self.path)
        self.join()
        self.socket.close()

    def await_said(self, pattern):
        """When it was, behind what was awaited before."""

        def is_said():
            for number in range(self.passed, len(self.said)):
                if re.search(pattern, self.said[number], re.MULTILINE):
                    self.passed = number + 1
                    return self.times[number]
            return None

        return await_for(is_said, what=f"said: {pattern}")


@pytest.fixture
def manager(tmp_path):
    with Manager(tmp_path / "notify") as listening:
        yield listening


@pytest.fixture
def managed(manager, start, kubelet, consul):
    kubelet.put(P.web_pod())
    env = {"NOTIFY_SOCKET": manager.path, "WATCHDOG_USEC": "400000"}
    return start(kubelet, consul, env=env)


def test_service_manager_is_told(manager, managed):
    manager.await_said("^READY=1$")
    manager.await_said("^STATUS=.")
    manager.await_said("^WATCHDOG=1$")
    managed.reload()
    manager.await_said("^RELOADING=1$")
    manager.await_said("^READY=1$")
    managed.stop()
    manager.await_said("^STOPPING=1$")


@pytest.mark.timing
def test_watchdog_is_fed(manager, managed):
    """Twice in its time."""
    times = [manager.await_said("^WATCHDOG=1$") for _ in range(5)]
    assert times[-1] - times[0] < 4 * 0.3 * SLOWNESS


# Deaths of workers.


@pytest.mark.parametrize("role", WORKERS)
def test_killed_worker_comes_back(role, daemon, kubelet, consul):
    old = daemon.worker(role)
    os.kill(old.pid, signal.SIGKILL)
    await_for(lambda: daemon.workers().get(role) not in (None, old))
    await_for(lambda: daemon.is_ready)
    restarts = {w["name"]: w["restarts"] for w in daemon.status()["workers"]}
    assert restarts == {r: int(r == role) for r in WORKERS}
    daemon.await_log(rf"{role}.*(signal 9|SIGKILL|Killed)")
    kubelet.put(P.web_pod(ready=False))
    await_for(lambda: consul.status(WEB) == "critical")


@pytest.mark.long
def test_worker_that_hangs_is_replaced(daemon, kubelet, consul):
    """It answers no PING."""
    old = daemon.worker("kubelet-reader")
    os.kill(old.pid, signal.SIGSTOP)
    await_for(
        lambda: daemon.workers().get("kubelet-reader") not in (None, old), 60
    )
    kubelet.put(P.web_pod(ready=False))
    await_for(lambda: consul.status(WEB) == "critical", 10)


# The log.

# Puts what listens at $1 in the place of /dev/log, for program $2 alone. A
# /dev of its own: this one's may have no such file.
WITH_LOG = """
mount --rbind /dev "$0" && mount -t tmpfs -o mode=755 none /dev || exit
for name in null zero random urandom; do
    touch "/dev/$name" && mount --bind "$0/$name" "/dev/$name" || exit
done
touch /dev/log && mount --bind "$1" /dev/log || exit
shift
exec "$@"
"""


def can_mount():
    made = subprocess.run(["unshare", "--mount", "true"], check=False)
    return made.returncode == 0


class Syslog(threading.Thread):
    """What listens at /dev/log, and a katalogd that finds it there.

    It reads all the time: syslog(3) waits while there is no room.
    """

    def __init__(self, folder):
        super().__init__(daemon=True)
        (folder / "dev").mkdir()
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(folder / "log"))
        self.lines = []
        command = ["unshare", "--mount", "sh", "-c", WITH_LOG]
        command += [folder / "dev", folder / "log", PROGRAM]
        self.program = folder / "katalogd-with-log"
        self.program.write_text(
            f'#!/bin/sh\nexec {shlex.join(map(str, command))} "$@"\n'
        )
        self.program.chmod(0o755)

    def run(self):
        while line := self.socket.recv(65536):
            self.lines.append(line)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.socket.shutdown(socket.SHUT_RDWR)
        self.join()
        self.socket.close()

    def await_line(self, text):
        return await_for(
            lambda: next((line for line in self.lines if text in line), None),
            what=f"syslog: {text}",
        )


@pytest.fixture
def syslog(tmp_path):
    with Syslog(tmp_path) as one:
        yield one


# daemon.info and so on, see syslog.h.
DAEMON_WARNING, DAEMON_INFO, DAEMON_DEBUG = b"<28>", b"<30>", b"<31>"


@pytest.mark.skipif(not can_mount(), reason="no /dev/log without rights")
def test_log_goes_to_syslog(syslog, start, kubelet, consul, tmp_path):
    """From the start on, and after a SIGHUP; nothing in it is invisible."""
    config = tmp_path / "log.conf"
    config.write_text("log-target = syslog\n")
    kubelet.put(P.web_pod(service_port="\x1b[31m80\n\u200b"))
    daemon = start(
        kubelet, consul, program=syslog.program, config=config, log_target=None
    )
    pid = str(daemon.pid).encode()
    line = syslog.await_line(b"all workers are ready")
    assert line.startswith(DAEMON_INFO)
    assert line.endswith(b" katalogd[" + pid + b"]: all workers are ready")
    line = syslog.await_line(b"service-port")
    assert line.startswith(DAEMON_WARNING)
    head = rb" katalogd\[" + pid + rb"\]: kubelet-reader\[\d+\]: pod "
    assert re.search(head, line)
    assert rb"\033[31m80\n\342\200\213" in line
    assert daemon.log == ""

    config.write_text("log-target = stderr\n")
    daemon.reload()
    daemon.await_log("the configuration was read again")
    config.write_text("log-target = syslog\nlog-level = debug\n")
    daemon.reload()
    assert syslog.await_line(b"link to").startswith(DAEMON_DEBUG)
    daemon.stop()
    syslog.await_line(b"SIGTERM: ending the workers")
    for line in syslog.lines:
        assert re.fullmatch(rb"[ -~]+", line), line


# Workers that were taken over: stand_in.c plays them.


@pytest.fixture
def with_hostile(start, tmp_path):
    """with_hostile(role, kubelet, consul): that one, and two as they are."""

    def start_one(role, kubelet, consul):
        libexec = tmp_path / "libexec"
        libexec.mkdir()
        for name in WORKERS:
            program = BUILD / ("stand_in" if name == role else name)
            (libexec / name).symlink_to(program)
        return start(kubelet, consul, wait=False, libexec_dir=libexec)

    return start_one


def test_complaints_keep_no_sibling_down(with_hostile, kubelet, consul):
    daemon = with_hostile("kubelet-reader", kubelet, consul)
    await_for(lambda: len(daemon.log_lines("complained")) == 2)
    daemon.await_log("consul-writer was started again on such a word")
    victim = daemon.worker("consul-writer")
    holds_for(lambda: victim.alive, 1)
    restarts = {w["name"]: w["restarts"] for w in daemon.status()["workers"]}
    assert restarts == {role: int(role == "consul-writer") for role in WORKERS}


@pytest.mark.memory
def test_flood_of_health_costs_no_memory(with_hostile, kubelet, consul):
    """And keeps nobody from working."""
    kubelet.put(P.web_pod())
    daemon = with_hostile("http", kubelet, consul)
    daemon.await_log("http: flooded", 30)
    most = int(daemon.itself.status["VmHWM"].split()[0])
    assert most < 32 * 1024, f"{most} kB"
    await_for(lambda: consul.status(WEB) == "passing")
    assert not daemon.log_lines("killed")


def test_flood_of_connections_costs_no_descriptor(
    with_hostile, kubelet, tmp_path
):
    path = str(tmp_path / "agent")
    with socket.socket(socket.AF_UNIX) as agent:
        agent.bind(path)
        agent.listen(4096)
        daemon = with_hostile("consul-writer", kubelet, f"unix://{path}")
        daemon.await_log("consul-writer.*: protocol error: CONNECT: ")
        assert len(daemon.itself.descriptors) < 64
        assert not daemon.log_lines("flooded")
        daemon.stop()


KILLS = int(os.environ.get("KATALOGD_TEST_KILLS", "200"))
STABLE = [P.web_pod(f"stable{i}", i) for i in range(10)]
STABLE_IDS = {P.service_id(pod) for pod in STABLE}


class Watcher(threading.Thread):
    """Looks at Consul all the time; wrong holds what must never be seen."""

    def __init__(self, consul):
        super().__init__()
        self.consul, self.looks, self.wrong = consul, 0, []
        self.done = threading.Event()

    def run(self):
        while not self.done.is_set():
            checks = self.consul.checks()
            for name in STABLE_IDS:
                status = checks.get(name, {}).get("Status", "absent")
                if status != "passing":
                    self.wrong.append((name, status))
            self.looks += 1
            time.sleep(0.005)

    def __exit__(self, *_):
        self.done.set()
        self.join()

    def __enter__(self):
        self.start()
        return self


def changing_pod(number, turn):
    return P.web_pod(
        f"changing{number}",
        100 + number,
        ready=bool(turn % 2),
        service_tags=f"turn{turn}",
    )


def kill_at_random(kills, start, kubelet, consul):
    """How long it takes until all is right, once all are there again."""
    changing = [changing_pod(i, 0) for i in range(10)]
    kubelet.put(*STABLE, *changing)
    daemon = start(
        kubelet, consul, restart_delay="10ms", restart_delay_max="20ms"
    )
    await_for(lambda: len(consul.statuses()) == 20)

    with Watcher(consul) as watcher:
        for turn in range(kills):
            kubelet.put(changing_pod(turn % 10, turn))
            time.sleep(random.uniform(0, 0.15))
            victim = random.choice(
                await_for(lambda: list(daemon.workers().values()))
            )
            os.kill(victim.pid, signal.SIGKILL)
            await_for(lambda v=victim: not v.alive)
            assert daemon.running
        wanted = settled(kills)
        last = time.monotonic()
        await_for(lambda: len(daemon.workers()) == len(WORKERS))
        restarted = time.monotonic()
        await_for(lambda: actual(consul) == wanted, 10)
        taken = time.monotonic() - restarted
        print(
            f"{kills} kills, {watcher.looks} looks; restarted in "
            f"{restarted - last:.2f} s, right {taken:.2f} s later"
        )
        await_for(lambda: daemon.is_ready)
    assert watcher.wrong == []
    assert watcher.looks > kills
    return taken


@pytest.mark.long
@pytest.mark.timeout(400 * SLOWNESS)
@pytest.mark.flaky(reruns=0)
def test_kills_at_random_flip_nothing(start, kubelet, consul):
    """kill -9 of any worker at any moment, while pods change."""
    kill_at_random(KILLS, start, kubelet, consul)


@pytest.mark.timing
def test_all_is_right_soon_after_kills(start, kubelet, consul):
    assert kill_at_random(20, start, kubelet, consul) < 2 * SLOWNESS


def settled(kills):
    """What Consul must have after the last turn."""
    wanted = {name: ("passing", []) for name in STABLE_IDS}
    for turn in range(kills - 10, kills):
        pod = changing_pod(turn % 10, turn)
        status = "passing" if turn % 2 else "critical"
        wanted[P.service_id(pod)] = (status, [f"turn{turn}"])
    return wanted


def actual(consul):
    return {
        name: (service["Status"], service["Tags"])
        for name, service in consul.state().items()
    }
