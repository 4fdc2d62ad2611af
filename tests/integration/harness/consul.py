"""A real Consul agent in development mode, and its API."""

import contextlib
import functools
import http.client
import json
import pathlib
import signal
import socket
import subprocess
import threading
import urllib.parse

from .waiting import SLOWNESS, Refused, await_for, free_port

GET = pathlib.Path(__file__).parents[2] / "peers" / "get"
OWN = 'Meta["external-sync-source"] == "katalog-sync"'


SERVICE_FIELDS = ("Service", "Address", "Port", "Tags", "Meta")


def has_all(actual, wanted, fields):
    """Whether all that is wanted is there with the same fields."""
    return all(
        name in actual and all(actual[name][f] == item[f] for f in fields)
        for name, item in wanted.items()
    )


@functools.cache
def path_of_peer(name):
    """Its program; built where there is none."""
    done = subprocess.run(
        [GET, name], check=True, stdout=subprocess.PIPE, text=True
    )
    return done.stdout.strip()


class Api:
    """Consul's HTTP API over a kept connection for each thread."""

    def __init__(self, host, port, token=None):
        self.host, self.port, self.token = host, port, token
        self.local = threading.local()

    def connection(self):
        if not hasattr(self.local, "connection"):
            self.local.connection = http.client.HTTPConnection(
                self.host, self.port, timeout=30
            )
        return self.local.connection

    def request(self, method, path, body=None, **query):
        if query:
            path += "?" + urllib.parse.urlencode(query)
        headers = {"X-Consul-Token": self.token} if self.token else {}
        data = None if body is None else json.dumps(body)
        for last_try in (False, True):
            connection = self.connection()
            try:
                connection.request(method, path, data, headers)
                response = connection.getresponse()
                text = response.read()
                break
            except (http.client.HTTPException, OSError) as error:
                connection.close()
                if last_try:
                    raise OSError(str(error)) from error
        if response.status >= 400:
            raise Refused(response.status, text.decode(errors="replace"))
        try:
            return json.loads(text) if text else None
        except ValueError:
            return text.decode()

    def get(self, path, **query):
        return self.request("GET", path, **query)

    def put(self, path, body=None, **query):
        return self.request("PUT", path, body, **query)


class Consul(Api):
    """consul agent -dev with ports of its own; what it says stands in log."""

    NODE = "consul-n1"
    MODE = ("-dev",)

    def __init__(self, folder, config=None, token=None, port=None):
        super().__init__("127.0.0.1", port or free_port(), token)
        self.folder = pathlib.Path(folder)
        self.config = config or {}
        self.log = self.folder / "consul.log"
        self.process = None

    @property
    def address(self):
        return f"{self.host}:{self.port}"

    def start(self):
        self.spawn()
        await_for(self.has_leader, 30, f"a leader, see {self.log}")
        return self

    def spawn(self):
        config = {
            "node_name": self.NODE,
            "bind_addr": "127.0.0.1",
            "client_addr": "127.0.0.1",
            "disable_update_check": True,
            # What only changes a check's output is written late, at random.
            "check_update_interval": "1h",
            "limits": {"http_max_conns_per_client": 2000},
            **self.config,
        }
        config["ports"] = {
            "http": self.port,
            "https": -1,
            "dns": -1,
            "grpc": -1,
            "grpc_tls": -1,
            "serf_wan": -1,
            "serf_lan": free_port(),
            "server": free_port(),
            **self.config.get("ports", {}),
        }
        path = self.folder / "consul.json"
        path.write_text(json.dumps(config))
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [
                    path_of_peer("consul"),
                    "agent",
                    *self.MODE,
                    f"-config-file={path}",
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def has_leader(self):
        if self.process.poll() is not None:
            raise AssertionError(f"consul ended: {self.log.read_text()}")
        with contextlib.suppress(Refused):
            # The agent's own registration is the last step of its start.
            return self.get("/v1/status/leader") and self.get(
                f"/v1/catalog/node/{self.NODE}"
            )

    def stop(self):
        if self.process is None:
            return
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.process = None

    def __enter__(self):
        try:
            return self.start()
        except BaseException:
            self.stop()
            raise

    def __exit__(self, *_):
        self.stop()

    # What the agent has.

    def services(self):
        return self.get("/v1/agent/services")

    def checks(self):
        return self.get("/v1/agent/checks")

    def own_services(self):
        return self.get("/v1/agent/services", filter=OWN)

    def state(self):
        """Service ID -> service with its check's Status and Notes."""
        checks = self.checks()
        state = {}
        for name, service in self.own_services().items():
            check = checks.get(name, {})
            notes = check.get("Notes")
            state[name] = {key: service[key] for key in SERVICE_FIELDS}
            state[name]["Status"] = check.get("Status")
            state[name]["Notes"] = json.loads(notes) if notes else None
        return state

    def status(self, service_id):
        """passing, warning, critical, or None where there is no check."""
        return self.checks().get(service_id, {}).get("Status")

    def catalog_status(self, service_id):
        """In the catalog; what the agent says may be newer."""
        checks = self.get(f"/v1/health/node/{self.NODE}", consistent="")
        found = [c["Status"] for c in checks if c["ServiceID"] == service_id]
        return found[0] if found else "absent"

    def statuses(self):
        return {name: s["Status"] for name, s in self.state().items()}

    def catalog(self):
        """The servers' view with its indexes: equal means untouched."""
        services = self.get(f"/v1/catalog/node/{self.NODE}")["Services"]
        health = self.get(f"/v1/health/node/{self.NODE}")
        return (
            {s: v["ModifyIndex"] for s, v in services.items()},
            {c["CheckID"]: (c["Status"], c["ModifyIndex"]) for c in health},
        )

    def settled_catalog(self):
        """catalog() once the servers have what the agent has."""

        def settled():
            node = self.get(f"/v1/catalog/node/{self.NODE}")["Services"]
            health = self.get(f"/v1/health/node/{self.NODE}")
            checks = {check["CheckID"]: check for check in health}
            return has_all(node, self.services(), SERVICE_FIELDS) and has_all(
                checks, self.checks(), ("Status", "Notes")
            )

        await_for(settled, 10, "the catalog follows the agent")
        return self.untouched_catalog()

    def untouched_catalog(self):
        """The agent may say again what the servers have, for a moment."""
        seen = [None]

        def same_again():
            seen.append(self.catalog())
            return seen[-2] == seen[-1]

        await_for(same_again, 10, "no more writes", interval=0.5 * SLOWNESS)
        return seen[-1]

    # What tests do to it.

    def register(self, service):
        self.put("/v1/agent/service/register", service)

    def wipe(self):
        """Takes every service and check away."""
        for name in self.services():
            with contextlib.suppress(Refused):
                self.put(f"/v1/agent/service/deregister/{name}")
        for name in self.checks():
            with contextlib.suppress(Refused):
                self.put(f"/v1/agent/check/deregister/{name}")

    def make_token(self, rules):
        """A token that the rules (HCL) allow what they say."""
        name = f"policy-{free_port()}"
        self.put("/v1/acl/policy", {"Name": name, "Rules": rules})
        return self.put("/v1/acl/token", {"Policies": [{"Name": name}]})[
            "SecretID"
        ]


class ConsulServer(Consul):
    """One that keeps what it has on disk; alone, or one of several."""

    MODE = ("-server",)

    def __init__(self, folder, name="server", peers=1, join=()):
        folder = pathlib.Path(folder) / name
        folder.mkdir(parents=True)
        self.NODE = name
        self.serf = free_port()
        super().__init__(
            folder,
            {
                "data_dir": str(folder / "data"),
                "bootstrap_expect": peers,
                "retry_join": [f"127.0.0.1:{s.serf}" for s in join],
                # The others may not be up yet.
                "retry_interval": "1s",
                # Three on a busy machine must not lose each other by
                # themselves.
                "performance": {"raft_multiplier": peers},
                "ports": {"serf_lan": self.serf, "server": free_port()},
            },
        )

    def put(self, path, body=None, **query):
        """As soon as there is a leader that takes it."""
        done = await_for(
            lambda: [super(ConsulServer, self).put(path, body, **query)],
            60,
            f"it takes {path}, see {self.log}",
        )
        return done[0]


@contextlib.contextmanager
def three_servers(folder):
    """A Consul of three servers."""
    servers = []
    with contextlib.ExitStack() as stack:
        for number in range(3):
            server = ConsulServer(folder, f"server-{number}", 3, servers)
            stack.callback(server.stop)
            server.spawn()
            servers.append(server)
        for server in servers:
            await_for(server.has_leader, 30, f"a leader, see {server.log}")
        yield servers


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path):
        super().__init__("localhost", timeout=10)
        self.path = str(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)
