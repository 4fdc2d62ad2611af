"""The sandbox from inside: what each role can still do.

sandbox_probe enters the role's sandbox by the same code as the worker, tries
one action, and says what came of it.
"""

import contextlib
import os
import pathlib
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import threading

import pytest

from harness.daemon import BUILD
from harness.processes import Process, fields_of
from harness.tls import Authority
from harness.waiting import SLOWNESS, await_for

AS_ROOT = os.geteuid() == 0
# Root changes to a user of its own and chroots; others can't.
CALLERS = ("root", "nobody") if AS_ROOT else ("self",)
NOBODY = 65534

CLIENTS = ("kubelet-reader", "consul-writer", "consul-reader", "k8s-writer")
WORKERS = (*CLIENTS, "http", "kubeconfig")
# No worker: on its own, in a pod.
SIDECAR = "katalog-sidecar"
CONFINED = (*WORKERS, SIDECAR)
SUPERVISOR = "katalogd"
X86_64 = os.uname().machine == "x86_64"

OK = "OK"
KILLED = "killed SYS"
EACCES = "FAILED EACCES"
EPERM = "FAILED EPERM"
ENOSYS = "FAILED ENOSYS"

# What a worker needs: without these the other table would prove nothing.
NEEDED = (
    "memory",
    "time-and-random",
    "read-memfd",
    "loop",
    "json",
    "stdio",
    "kill-self",
    "set-name",
)

# What no worker can.
FORBIDDEN = {
    # files
    "open-file": EACCES,
    "open-proc": EACCES,
    "open-parent-folder": EACCES,
    "open-nowhere": EACCES,
    "make-file": EACCES,
    "write-file": "killed XFSZ",
    "rename": KILLED,
    "chown": KILLED,
    "inotify": KILLED,
    "memfd": EACCES,
    "too-many-files": "FAILED EMFILE",
    # processes
    "fork": KILLED,
    "spawn": KILLED,
    "exec": KILLED,
    "execveat": KILLED,
    "clone3": ENOSYS,
    "thread": "FAILED EAGAIN",
    "kill-parent": KILLED,
    "kill-all": KILLED,
    "tgkill-parent": KILLED,
    "ptrace-parent": KILLED,
    "read-parent": KILLED,
    "pidfd-open": KILLED,
    "pidfd-getfd": KILLED,
    "abort": "killed ABRT",
    # memory
    "mmap-exec": KILLED,
    "mprotect-exec": KILLED,
    "pkey-mprotect": KILLED,
    # becoming someone else, somewhere else
    "setuid": KILLED,
    "setgid": KILLED,
    "setresuid": KILLED,
    "capset": KILLED,
    "chroot": KILLED,
    "mount": KILLED,
    "umount": KILLED,
    "unshare": KILLED,
    "setns": KILLED,
    "new-namespace": KILLED,
    # opening the sandbox
    "dumpable": EPERM,
    "seccomp": KILLED,
    "setrlimit": KILLED,
    "personality": KILLED,
    # the kernel's dark corners
    "bpf": KILLED,
    "io-uring": KILLED,
    "keyctl": KILLED,
    "userfaultfd": KILLED,
    "perf": KILLED,
    "init-module": KILLED,
    "delete-module": KILLED,
    "kexec": KILLED,
    "reboot": KILLED,
    "settime": KILLED,
    "shmget": KILLED,
    "mq-open": KILLED,
    "type-ahead": EPERM,
    "set-owner": EPERM,
    "attach-filter": EPERM,
    # network
    "bind": KILLED,
    "listen": KILLED,
    "socketpair": EACCES,
    # A newer C library's wish, which it can do without.
    "unknown-call": ENOSYS,
}
if X86_64:
    FORBIDDEN |= {"i386": KILLED, "x32": KILLED}
# The sanitizers' allocator takes address space as it likes.
FORBIDDEN_UNSANITIZED = {"too-much-memory": "FAILED ENOMEM"}

SOCKETS = (
    "udp",
    "raw-socket",
    "sctp",
    "mptcp",
    "unix-socket",
    "abstract",
    "netlink",
    "packet",
    "vsock",
    "alg",
)
CLIENTS_ONLY = {
    "connect-own": OK,
    "connect-other": EACCES,
    "fastopen-sendto": KILLED,
    "fastopen-sendmsg": KILLED,
    "accept": KILLED,
    **dict.fromkeys(SOCKETS, EPERM),
}
ROLES_OWN = {
    # In the probe, this one asks name servers.
    "kubelet-reader": {**CLIENTS_ONLY, "udp-send": OK},
    **{role: {**CLIENTS_ONLY, "udp-send": KILLED} for role in CLIENTS[1:]},
    "http": {
        "accept": OK,
        "connect": KILLED,
        "connect-own": EACCES,
        "connect-other": EACCES,
        "udp-send": KILLED,
        **dict.fromkeys(SOCKETS, EACCES),
    },
    # It answers the kubelet.
    SIDECAR: {**CLIENTS_ONLY, "accept": OK, "udp-send": KILLED},
    "kubeconfig": {
        "accept": KILLED,
        "connect": KILLED,
        "connect-own": EACCES,
        "connect-other": EACCES,
        "udp-send": KILLED,
        **dict.fromkeys(SOCKETS, EACCES),
    },
}

# The supervisor starts programs and reads files; the rest does not exist.
SUPERVISOR_TABLE = {
    **dict.fromkeys(NEEDED, OK),
    **dict.fromkeys(
        ("open-file", "memfd", "connect-own", "fork", "spawn"), OK
    ),
    **dict.fromkeys(
        (
            "mount",
            "umount",
            "unshare",
            "setns",
            "new-namespace",
            "bpf",
            "io-uring",
            "keyctl",
            "userfaultfd",
            "perf",
            "init-module",
            "delete-module",
            "kexec",
            "reboot",
            "settime",
            "read-parent",
            "pidfd-open",
            "pidfd-getfd",
            "setuid",
            "setgid",
            "rename",
            "chown",
            "inotify",
            "shmget",
            "mq-open",
            "netlink",
            "packet",
            "vsock",
            "alg",
            "type-ahead",
            "unknown-call",
        ),
        ENOSYS,
    ),
    "raw-socket": EPERM,
}
# By which the sanitizers find its leaks.
SUPERVISOR_UNSANITIZED = {"ptrace-parent": ENOSYS, "personality": ENOSYS}

LAYERS = {
    "limits",
    "capabilities",
    "no-dump",
    "no-new-privs",
    "landlock-fs",
    "landlock-net",
    "landlock-scope",
    "seccomp",
}
ROOT_LAYERS = {"chroot", "uid"}
SUPERVISOR_LAYERS = {"capabilities", "no-dump", "no-new-privs", "seccomp"}
SANITIZER_LAYER = "sanitizer-profile"

# Each layer holds by itself, so that a hole in one is not yet a way out.
SINGLE_LAYERS = {
    "limits": {
        "write-file": "killed XFSZ",
        "too-many-files": "FAILED EMFILE",
        "open-file": OK,
    },
    "privdrop": {"setuid": EPERM, "raw-socket": EPERM, "connect-other": OK},
    "landlock": {
        "open-file": EACCES,
        "open-proc": EACCES,
        "make-file": EACCES,
        "connect-own": OK,
        "connect-other": EACCES,
        "abstract": EPERM,
        "kill-parent": EPERM,
        "ptrace-parent": EPERM,
        "fork": OK,
    },
    "seccomp": {
        "open-file": EACCES,
        "exec": KILLED,
        "fork": KILLED,
        "connect-other": OK,
    },
}


@pytest.fixture(scope="module")
def place():
    """A folder that every user can enter, with the probe and a jail."""
    with tempfile.TemporaryDirectory(prefix="katalogd-sandbox-") as name:
        folder = pathlib.Path(name)
        folder.chmod(0o755)
        shutil.copy(BUILD / "sandbox_probe", folder / "probe")
        (folder / "empty").mkdir(mode=0o555)
        yield folder


@pytest.fixture(scope="module")
def sanitized(place, ports):
    probe = Probe(place, CALLERS[0], SUPERVISOR, ports)
    return SANITIZER_LAYER in probe.layers()


@contextlib.contextmanager
def listening(sock):
    with sock:
        sock.listen(64)
        yield sock


@pytest.fixture(scope="module")
def ports():
    """Two that accept, and an abstract socket of the first one's name."""
    with contextlib.ExitStack() as stack:
        both = []
        for _ in range(2):
            sock = socket.create_server(("127.0.0.1", 0), backlog=512)
            both.append(stack.enter_context(sock).getsockname()[1])
        abstract = socket.socket(socket.AF_UNIX)
        abstract.bind(f"\0katalogd-probe-{both[0]}")
        stack.enter_context(listening(abstract))
        yield both


@pytest.fixture(scope="module")
def tls_server(tmp_path_factory):
    """A TLS server's port, and its CA's certificate."""
    authority = Authority(tmp_path_factory.mktemp("tls"))
    pair = authority.issue("server")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.cert, pair.key)

    def serve(server):
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            with (
                contextlib.suppress(OSError),
                context.wrap_socket(connection, server_side=True) as tls,
            ):
                tls.recv(4096)
                tls.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=serve, args=(server,), daemon=True)
        thread.start()
        yield server.getsockname()[1], authority.ca
        server.shutdown(socket.SHUT_RDWR)


class Probe:
    """The probe under one caller, with some options, in one role."""

    def __init__(self, place, caller, role, ports, *options):
        self.command = [
            *(place / "probe", "-d", place / "empty", *options),
            *(role, *map(str, ports)),
        ]
        self.place = place
        self.user = {}
        if caller == "nobody":
            self.user = {"user": NOBODY, "group": NOBODY, "extra_groups": []}

    def start(self, *actions):
        return subprocess.Popen(
            [*self.command, *actions],
            **self.user,
            cwd=self.place,
            start_new_session=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def tell(self, actions):
        """Action -> what came of it."""
        with self.start(*actions) as running:
            out, err = running.communicate(timeout=60 * SLOWNESS)
            assert running.returncode == 0, err
        return dict(line.split(" ", 1) for line in out.splitlines())

    def check(self, expected):
        """A difference shows all of them."""
        assert self.tell(expected) == expected

    def layers(self):
        *layers, result = self.tell(["layers"])["layers"].split()
        assert result == OK
        return set(layers)

    @contextlib.contextmanager
    def waiting(self):
        """One inside, and its parent's pid, who is killed at the end."""
        with self.start("wait") as running:
            pid = int(running.stdout.readline().split()[1])
            parent = int(fields_of(pid)[1])
            try:
                yield Process.of(pid), parent
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(parent, signal.SIGKILL)


@pytest.mark.parametrize("caller", CALLERS)
@pytest.mark.parametrize("role", CONFINED)
def test_worker_does_its_work(role, caller, place, ports):
    Probe(place, caller, role, ports, "-s").check(dict.fromkeys(NEEDED, OK))


@pytest.mark.parametrize("caller", CALLERS)
@pytest.mark.parametrize("role", CONFINED)
def test_worker_can_nothing_else(role, caller, place, ports, sanitized):
    expected = FORBIDDEN | ROLES_OWN[role]
    if not sanitized:
        expected |= FORBIDDEN_UNSANITIZED
    Probe(place, caller, role, ports, "-s").check(expected)


@pytest.mark.parametrize("role", CONFINED)
def test_worker_does_not_rely_on_the_supervisors_filter(role, place, ports):
    probe = Probe(place, CALLERS[-1], role, ports)
    probe.check(FORBIDDEN | ROLES_OWN[role])


@pytest.mark.parametrize("caller", CALLERS)
@pytest.mark.parametrize("role", CLIENTS)
def test_tls_to_its_own_port(role, caller, place, tls_server, ports):
    port, ca = tls_server
    shutil.copy(ca, place / "ca.pem")
    options = ("-s", "-c", place / "ca.pem")
    probe = Probe(place, caller, role, (port, ports[1]), *options)
    probe.check({"tls": OK})


@pytest.mark.parametrize("caller", CALLERS)
def test_supervisor_has_only_what_it_needs(caller, place, ports, sanitized):
    expected = SUPERVISOR_TABLE
    if not sanitized:
        expected = expected | SUPERVISOR_UNSANITIZED
    Probe(place, caller, SUPERVISOR, ports).check(expected)


@pytest.mark.parametrize("caller", CALLERS)
def test_layers_are_told(caller, place, ports):
    """All of them: with a kernel that lacks some, strict would be fatal."""
    expected = LAYERS | (ROOT_LAYERS if caller == "root" else set())
    for role in WORKERS:
        told = Probe(place, caller, role, ports).layers()
        assert told - {SANITIZER_LAYER} == expected
    told = Probe(place, caller, SIDECAR, ports).layers()
    assert told - {SANITIZER_LAYER} == LAYERS
    told = Probe(place, caller, SUPERVISOR, ports).layers()
    assert told - {SANITIZER_LAYER} == SUPERVISOR_LAYERS


@pytest.mark.parametrize("layer", SINGLE_LAYERS)
def test_each_layer_holds_alone(layer, place, ports):
    probe = Probe(place, CALLERS[0], CLIENTS[1], ports, "-l", layer)
    probe.check(SINGLE_LAYERS[layer])


@pytest.mark.skipif(not AS_ROOT, reason="only root changes users")
def test_root_is_left_for_good(place, ports):
    probe = Probe(place, "root", CLIENTS[1], ports, "-l", "privdrop")
    probe.check(
        {
            "setresuid": EPERM,
            "setgid": EPERM,
            "chroot": EPERM,
            "kill-parent": EPERM,
            "ptrace-parent": EPERM,
            "open-file": "FAILED ENOENT",
            "open-proc": "FAILED ENOENT",
            "make-file": "FAILED ENOENT",
        }
    )


@pytest.mark.parametrize("caller", CALLERS)
def test_worker_dies_with_its_parent(caller, place, ports):
    """Also where it has another uid than its parent."""
    with Probe(place, caller, "http", ports, "-s").waiting() as (worker, pid):
        os.kill(pid, signal.SIGKILL)
        await_for(lambda: not worker.alive, what="the worker's end")


@pytest.mark.parametrize("caller", CALLERS)
def test_worker_as_the_kernel_sees_it(caller, place, ports):
    with Probe(place, caller, "http", ports, "-s").waiting() as (worker, _):
        status, limits = worker.status, worker.limits
    assert status["Seccomp"] == "2"
    assert status["NoNewPrivs"] == "1"
    assert {int(status[f"Cap{k}"], 16) for k in ("Inh", "Prm", "Eff")} == {0}
    for name in ("core file size", "file size", "processes"):
        assert limits[f"Max {name}"][:2] == ["0", "0"]
    if caller == "root":
        assert int(status["CapBnd"], 16) == 0
        assert len(set(status["Uid"].split())) == 1
        assert "0" not in (status["Uid"] + status["Gid"]).split()
        assert status["Groups"] == ""
