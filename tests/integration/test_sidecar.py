"""katalog-sidecar against a gRPC server that it did not come with."""

import contextlib
import itertools
import os
import pathlib
import select
import signal
import socket
import time

import grpc
import pytest

from harness.grpc_peer import FakeDaemon, Refusal, refusing
from harness.processes import Process, children_of
from harness.sidecar import Sidecar, context_switches, run
from harness.waiting import SLOWNESS, await_for, free_port, holds_for

AS_ROOT = os.geteuid() == 0
NOBODY = 65534
UNAVAILABLE = grpc.StatusCode.UNAVAILABLE
UNKNOWN = grpc.StatusCode.UNKNOWN
NOT_FOUND = grpc.StatusCode.NOT_FOUND
DENIED = grpc.StatusCode.PERMISSION_DENIED
PRECONDITION = grpc.StatusCode.FAILED_PRECONDITION
NAMES = ("shop", "web-1", "sidecar")
# 20 in a row are refused long before the pauses end to grow.
FAST = {"katalog_sync_daemon_max_backoff": "100ms"}


@pytest.fixture
def daemon():
    with FakeDaemon() as running:
        yield running


@pytest.fixture
def sidecar(tmp_path, daemon):
    """sidecar(**options): one that ends with the test."""
    with contextlib.ExitStack() as stack:

        def start_one(daemon=daemon, **more):
            one = Sidecar(tmp_path, daemon, **more)
            return stack.enter_context(one)

        yield start_one


# Registering.


def test_registers_then_is_ready(daemon, sidecar):
    daemon.answer = daemon.wait
    one = sidecar()
    (call,) = daemon.await_calls("Register")
    assert call.names == NAMES
    code, body = one.get()
    assert code == 500
    assert "registering with 127.0.0.1" in body
    daemon.release.set()
    one.await_ready()
    assert one.get() == (200, "registered\n")
    assert one.get("/ready?x=1")[0] == 200
    assert len(daemon.calls) == 1


def test_http_is_no_more_than_ready(daemon, sidecar):
    one = sidecar().await_ready()
    assert one.get("/")[0] == 404
    assert one.get("/ready/")[0] == 404
    assert one.get("/ready", "HEAD") == (200, "")
    assert one.get("/ready", "POST")[0] >= 400
    assert one.is_ready


def test_daemon_comes_later(tmp_path, sidecar):
    late = FakeDaemon(free_port())
    one = sidecar(late, **FAST)
    one.await_log("UNAVAILABLE")
    code, body = one.get()
    assert code == 500
    assert "registering" in body
    with late:
        one.await_ready()
        assert late.calls[0].names == NAMES
    # One line for all tries.
    assert one.log.count("UNAVAILABLE") == 1


@pytest.mark.timing
def test_pauses_grow(daemon, sidecar):
    daemon.answer = refusing(UNKNOWN, "not yet", times=6)
    sidecar().await_ready(timeout=15)
    began = [call.began for call in daemon.calls]
    pauses = [b - a for a, b in itertools.pairwise(began)]
    assert len(pauses) == 6
    # 100, 200, 400, 800 and 1000 ms, at most a quarter less.
    wanted = (0.1, 0.2, 0.4, 0.8, 1.0, 1.0)
    for pause, most in zip(pauses, wanted, strict=True):
        assert most * 0.7 < pause < most + 0.3 * SLOWNESS, pauses


def test_each_failure_is_said_once(daemon, sidecar):
    texts = ["one", "one", "one", "two", "two", "one"]

    def answer(call):
        if texts:
            raise Refusal(UNKNOWN, texts.pop(0))

    daemon.answer = answer
    one = sidecar(**FAST).await_ready()
    said = [line for line in one.log.splitlines() if "UNKNOWN" in line]
    assert [line.split("UNKNOWN: ")[1][:3] for line in said] == [
        "one",
        "two",
        "one",
    ]
    assert one.log.count("shop/web-1: registered") == 1


@pytest.mark.parametrize("code", [PRECONDITION, DENIED])
def test_says_what_people_must_change(code, daemon, sidecar):
    daemon.answer = refusing(code, "no annotation\n\x1b[31m%", times=2)
    one = sidecar()
    one.await_ready()
    assert f"{code.name}: no annotation\\n\\033[31m%; it will be so until" in (
        one.log
    )


def test_original_daemon_s_errors_are_retried(daemon, sidecar):
    daemon.answer = refusing(UNKNOWN, "Unable to find pod in k8s", times=20)
    sidecar(**FAST).await_ready(timeout=15)
    assert len(daemon.of("Register")) == 21


def test_no_grpc_server_at_all(daemon, sidecar):
    """Something else listens there."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        one = sidecar(f"127.0.0.1:{server.getsockname()[1]}", **FAST)
        for _ in range(3):
            client, _ = server.accept()
            with client:
                client.recv(1024)
                client.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        one.await_log("; trying again")
        assert one.get()[0] == 500
        assert one.running


def test_by_name(daemon, sidecar):
    """From the hosts file, which cannot be read any more by then."""
    sidecar(f"localhost:{daemon.port}").await_ready()


# The end.


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGINT])
def test_deregisters_before_it_ends(sig, daemon, sidecar):
    one = sidecar().await_ready()
    daemon.answer = daemon.wait
    one.send(sig)
    (call,) = daemon.await_calls("Deregister")
    assert call.names == NAMES
    code, body = one.get()
    assert code == 500
    assert "deregistering" in body
    assert one.running
    daemon.release.set()
    assert one.wait() == 0
    assert "shop/web-1: deregistered" in one.log


def test_deregistering_is_tried_again(daemon, sidecar):
    one = sidecar(**FAST).await_ready()
    daemon.answer = refusing(UNAVAILABLE, "restarting", times=3)
    assert one.stop() == 0
    assert len(daemon.of("Deregister")) == 4


def test_daemon_away_at_the_end(daemon, sidecar):
    one = sidecar(**FAST).await_ready()
    daemon.stop()
    one.send(signal.SIGTERM)
    one.await_log("UNAVAILABLE")
    daemon.start()
    assert one.wait() == 0
    assert len(daemon.of("Deregister")) == 1


def test_pod_that_is_gone_is_out(daemon, sidecar):
    one = sidecar().await_ready()
    daemon.answer = refusing(NOT_FOUND, "no pod shop/web-1")
    assert one.stop() == 0
    assert len(daemon.of("Deregister")) == 1


def test_refused_at_the_end(daemon, sidecar):
    one = sidecar().await_ready()
    daemon.answer = refusing(DENIED, "not from there")
    assert one.stop() == 1
    assert len(daemon.of("Deregister")) == 1
    assert "not tried again" in one.log
    assert "web-1 may still be in Consul" in one.log


def test_gives_up_in_time(daemon, sidecar):
    one = sidecar(deregister_timeout="2s", **FAST).await_ready()
    daemon.answer = refusing(UNKNOWN, "never")
    began = time.monotonic()
    assert one.stop() == 1
    assert 1.5 < time.monotonic() - began < 2 + 5 * SLOWNESS
    assert len(daemon.of("Deregister")) > 3


def test_call_that_hangs_is_given_up_in_time(daemon, sidecar):
    one = sidecar(deregister_timeout="3s").await_ready()
    daemon.answer = daemon.wait
    assert one.stop() == 1
    (call,) = daemon.of("Deregister")
    assert 0 < call.time_remaining <= 3.1


def test_second_signal_ends_it(daemon, sidecar):
    one = sidecar().await_ready()
    daemon.answer = daemon.wait
    one.send(signal.SIGTERM)
    daemon.await_calls("Deregister")
    assert one.stop() == 1


def test_signal_while_registering(daemon, sidecar):
    """The daemon may have taken it: it is taken back, once."""

    def answer(call):
        if call.method == "Register":
            daemon.wait(call)

    daemon.answer = answer
    one = sidecar()
    (register,) = daemon.await_calls("Register")
    assert one.stop() == 0
    await_for(register.cancelled.is_set)
    assert len(daemon.of("Deregister")) == 1


def test_signal_while_nobody_answers(sidecar):
    one = sidecar(f"127.0.0.1:{free_port()}")
    one.await_log("UNAVAILABLE")
    assert one.stop() == 0


# At rest.


def test_daemon_that_restarts_is_not_told_again(daemon, sidecar):
    """It knows from the pod list that this container is ready."""
    one = sidecar().await_ready()
    daemon.restart()
    holds_for(lambda: one.is_ready, 1)
    assert len(daemon.of("Register")) == 1
    assert one.stop() == 0
    assert len(daemon.of("Deregister")) == 1


def sockets(one):
    return [d for d in one.itself.descriptors.values() if "socket" in d]


def await_rest(one):
    """How often it has gone to sleep, once it has nothing to do."""
    one.await_log("registered with")
    await_for(lambda: len(sockets(one)) == 1, what="only the listener")
    seen = [None]

    def same_again():
        seen.append(context_switches(one.pid))
        return seen[-2] == seen[-1]

    await_for(same_again, what="it sleeps", interval=0.2)
    return seen[-1]


def test_rests(daemon, sidecar):
    """No connection, no timer: nothing wakes it up."""
    one = sidecar()
    before = await_rest(one)
    time.sleep(2)
    assert context_switches(one.pid) == before


@pytest.mark.memory
def test_is_small(daemon, sidecar):
    one = sidecar()
    await_rest(one)
    kib = int(one.itself.status["VmRSS"].split()[0])
    print(f"VmRSS {kib} kB")
    assert kib <= 5 * 1024


def test_idle_clients_lock_nobody_out(daemon, sidecar):
    one = sidecar().await_ready()
    with contextlib.ExitStack() as stack:
        for _ in range(100):
            stack.enter_context(
                socket.create_connection(("127.0.0.1", one.port))
            )
        await_for(lambda: one.get()[0] == 200)
        daemon.answer = daemon.wait
        one.send(signal.SIGTERM)
        daemon.await_calls("Deregister")


def test_garbage_on_ready(daemon, sidecar):
    one = sidecar().await_ready()
    for bytes in (b"\0" * 100, b"GET " + b"x" * 100000, b"\r\n\r\n", b""):
        with (
            contextlib.suppress(OSError),
            socket.create_connection(("127.0.0.1", one.port)) as client,
        ):
            client.sendall(bytes)
            client.shutdown(socket.SHUT_WR)
            client.recv(100)
    assert one.is_ready
    assert one.stop() == 0


@pytest.mark.memory
def test_endless_request_costs_no_memory(daemon, sidecar):
    """A chunk whose size has no end."""
    one = sidecar().await_ready()
    head = b"GET /ready HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
    with (
        contextlib.suppress(ConnectionError),
        socket.create_connection(("127.0.0.1", one.port)) as client,
    ):
        client.sendall(head)
        client.setblocking(False)
        sent = 0
        while sent < 2**24 and not select.select([client], [], [], 0)[0]:
            select.select([client], [client], [])
            with contextlib.suppress(BlockingIOError):
                sent += client.send(b"0" * 65536)
    kib = int(one.itself.status["VmHWM"].split()[0])
    assert kib <= 10 * 1024
    assert one.is_ready


# Options.


def test_environment_of_the_original(daemon, tmp_path):
    port = free_port()
    one = Sidecar(
        tmp_path,
        daemon,
        env={
            "KATALOG_SYNC_DAEMON": daemon.address,
            "KATALOG_SYNC_DAEMON_MAX_BACKOFF": "5s",
            "BIND_ADDRESS": f":{port}",
            "NAMESPACE": "net",
            "POD_NAME": "api-1",
            "CONTAINER_NAME": "sync",
            "LOG_LEVEL": "error",
        },
    )
    one.options, one.port = {}, port
    with one:
        one.await_ready()
        assert one.log == ""
        assert daemon.calls[0].names == ("net", "api-1", "sync")


def test_wrong_options_name_their_source():
    done = run("--pod-name=x", env={"NAMESPACE": "A"})
    assert done.returncode == 1
    assert done.stdout == ""
    assert 'environment NAMESPACE "A": not a name' in done.stderr
    assert "neither --container-name nor" in done.stderr


def test_port_that_is_taken(daemon, sidecar):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        one = sidecar(bind_address=address)
        assert one.wait() == 1
    assert f'"{address}": cannot listen: Address already in use' in one.log
    assert not daemon.calls


def test_help_and_version():
    assert run("--version").stdout.startswith("katalog-sidecar ")
    done = run("--help")
    assert done.returncode == 0
    assert "KATALOG_SYNC_DAEMON_MAX_BACKOFF" in done.stdout


# A program of its own.

SHELL = ("/bin/sh", "-c")
# Says which signals it gets, and ends by SIGTERM with status 7.
TELLING = (
    *SHELL,
    "trap 'echo got SIGHUP' HUP; trap 'echo got SIGUSR1' USR1; "
    "trap 'echo got SIGTERM; exit 7' TERM; "
    "echo started; while :; do sleep 0.05; done",
)


@pytest.mark.parametrize(
    "program, status",
    [("exit 0", 0), ("exit 3", 3), ("kill -9 $$", 137), ("kill $$", 143)],
)
def test_exits_as_its_program(program, status, daemon, sidecar):
    one = sidecar(exec=(*SHELL, f"sleep 0.3; {program}"))
    assert one.wait() == status
    assert len(daemon.of("Deregister")) == 1


def test_program_runs_before_it_is_registered(daemon, sidecar):
    """It has to be ready for that."""
    daemon.answer = daemon.wait
    one = sidecar(exec=TELLING)
    daemon.await_calls("Register")
    one.await_log("started")
    assert one.get()[0] == 500


def test_program_is_told_when_it_is_out(daemon, sidecar):
    one = sidecar(exec=TELLING).await_ready()
    one.await_log("started")
    daemon.answer = daemon.wait
    one.send(signal.SIGTERM)
    daemon.await_calls("Deregister")
    holds_for(lambda: "got" not in one.log, 0.3)
    daemon.release.set()
    assert one.wait() == 7
    assert one.log.count("got SIGTERM") == 1


def test_second_signal_goes_on_at_once(daemon, sidecar):
    one = sidecar(exec=TELLING).await_ready()
    one.await_log("started")
    daemon.answer = daemon.wait
    one.send(signal.SIGTERM)
    daemon.await_calls("Deregister")
    one.send(signal.SIGTERM)
    assert one.wait() == 7


def test_signals_after_it_is_out(daemon, sidecar):
    """The first one was not enough for this program."""
    program = "trap 'echo got' TERM; echo started; while :; do sleep 0.1; done"
    one = sidecar(exec=(*SHELL, program)).await_ready()
    one.await_log("started")
    one.send(signal.SIGTERM)
    one.await_log("got")
    one.send(signal.SIGTERM)
    await_for(lambda: one.log.count("got\n") == 2)
    (child,) = children_of(one.pid)
    os.kill(child.pid, signal.SIGKILL)
    assert one.wait() == 137


def test_other_signals_are_passed_on(daemon, sidecar):
    one = sidecar(exec=TELLING).await_ready()
    one.await_log("started")
    for name in ("SIGHUP", "SIGUSR1"):
        one.send(getattr(signal, name))
        one.await_log(f"got {name}")
    assert one.is_ready
    assert one.stop() == 7


def test_program_ends_before_it_is_registered(sidecar):
    one = sidecar(f"127.0.0.1:{free_port()}", exec=(*SHELL, "exit 4"))
    assert one.wait() == 4


def test_program_that_is_not_there(daemon, sidecar):
    one = sidecar(exec=("/nonexistent/app",))
    assert one.wait() == 127
    assert "/nonexistent/app: No such file" in one.log
    one = sidecar(exec=("/etc/passwd",))
    assert one.wait() == 126
    assert not daemon.calls


# All but two of the C library's own.
SIGNALS = 0x7FFFFFFF


def test_program_inherits_nothing(daemon, sidecar):
    """Not the sandbox, not the sockets, not which signals are ignored."""
    one = sidecar(exec=("sleep", "100")).await_ready()
    (child,) = children_of(one.pid)
    assert sorted(child.descriptors) == [0, 1, 2]
    us = Process.of(os.getpid())
    assert child.limits == us.limits
    for key in ("Seccomp", "NoNewPrivs", "CapPrm", "CapBnd"):
        assert child.status[key] == us.status[key], key
    for key in ("SigIgn", "SigBlk", "SigCgt"):
        assert int(child.status[key], 16) & SIGNALS == 0, key
    assert one.stop() == 143


@pytest.mark.skipif(not AS_ROOT, reason="only root makes name spaces")
def test_first_process_of_a_container(daemon, sidecar):
    """It reaps the orphans, and is ended by signals."""
    script = "(sleep 0.1 & ) ; sleep 0.3; echo done; exec sleep 100"
    one = sidecar(
        by=("unshare", "--pid", "--fork", "--kill-child"),
        exec=(*SHELL, script),
    ).await_ready()
    one.await_log("done")
    (first,) = children_of(one.pid)
    await_for(lambda: len(children_of(first.pid)) == 1)
    os.kill(first.pid, signal.SIGTERM)
    assert one.wait() == 143


# The sandbox.


@pytest.mark.parametrize("exec", [(), (*SHELL, "exec sleep 100")])
def test_sandbox_as_the_kernel_sees_it(exec, daemon, sidecar):
    one = sidecar(sandbox="strict", exec=exec).await_ready()
    status, limits = one.itself.status, one.itself.limits
    assert status["Seccomp"] == "2"
    assert status["NoNewPrivs"] == "1"
    kill = 1 << 5 if exec and AS_ROOT else 0
    assert int(status["CapPrm"], 16) == int(status["CapEff"], 16) == kill
    assert int(status["CapInh"], 16) == 0
    assert limits["Max processes"] == ["0", "0"]
    assert limits["Max core file size"] == ["0", "0"]
    assert limits["Max open files"] == ["64", "64"]


@pytest.mark.skipif(not AS_ROOT, reason="only root changes users")
@pytest.mark.parametrize("exec", [(), TELLING])
def test_needs_no_root(exec, daemon, sidecar, tmp_path):
    tmp_path.chmod(0o755)
    one = sidecar(user=NOBODY, sandbox="strict", exec=exec).await_ready()
    assert one.itself.status["Uid"].split() == [str(NOBODY)] * 4
    if exec:
        one.await_log("started")
    assert one.stop() == (7 if exec else 0)
    assert len(daemon.of("Deregister")) == 1


@pytest.mark.skipif(not AS_ROOT, reason="only root drops abilities")
@pytest.mark.parametrize("exec", [(), TELLING])
def test_root_of_a_container(exec, daemon, sidecar):
    """Root without any ability, as with "drop: [ALL]"."""
    abilities = ("--bounding-set=-all", "--inh-caps=-all")
    one = sidecar(by=("setpriv", "--no-new-privs", *abilities), exec=exec)
    one.await_ready()
    if exec:
        one.await_log("started")
    assert one.stop() == (7 if exec else 0)


@pytest.mark.skipif(not AS_ROOT, reason="only root changes users")
def test_program_that_changes_its_user(daemon, sidecar):
    """As gosu and its like do: root's signals still get there."""
    changed = ("setpriv", f"--reuid={NOBODY}", "--clear-groups", *TELLING)
    one = sidecar(exec=changed).await_ready()
    one.await_log("started")
    assert one.stop() == 7


def is_there(argument):
    """Whether a process has it on its command line."""
    wanted = f"\0{argument}\0".encode()
    for file in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if wanted in file.read_bytes():
                return True
    return False


def test_program_does_not_outlive_a_sandbox_that_fails(daemon, sidecar):
    """Started before it, for it must not inherit it."""
    seconds = str(100_000 + free_port())
    few = ("prlimit", "--nofile=20:20")
    user = NOBODY if AS_ROOT else None
    one = sidecar(user=user, by=few, exec=("sleep", seconds))
    assert one.wait() == 1
    assert "the sandbox does not close" in one.log
    await_for(lambda: not is_there(seconds))
    assert not daemon.calls
