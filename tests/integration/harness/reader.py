"""consul-reader by itself, and what it says to k8s-writer."""

import collections
import os
import pathlib
import subprocess
import threading
import time

from .daemon import BUILD
from .waiting import await_for

PROBE = BUILD / "reader_probe"

Instance = collections.namedtuple(
    "Instance", "service node id address port ready k8s_node zone"
)
Service = collections.namedtuple(
    "Service", "name create_index port_name app_protocol flags"
)
Health = collections.namedtuple("Health", "state synced text")


class Reader:
    """A consul-reader whose set stands in services and instances.

    changes has (time, word, item) for each that came, in their order.
    """

    def __init__(self, folder, consul, env=None, **options):
        self.folder = pathlib.Path(folder)
        (self.folder / "empty").mkdir(parents=True)
        options = {
            "consul_addr": getattr(consul, "address", consul),
            "runtime_dir": str(self.folder),
            **options,
        }
        self.arguments = [
            f"--{name.replace('_', '-')}={value}"
            for name, value in options.items()
        ]
        self.env = {**os.environ, **(env or {})}
        self.services, self.instances, self.changes = {}, {}, []
        self.log, self.health = [], Health("none", "0", "")
        self.synced, self.fresh = 0, None
        self.process = None

    def __enter__(self):
        self.process = subprocess.Popen(
            [PROBE, BUILD, *self.arguments],
            env=self.env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.thread = threading.Thread(target=self.listen)
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait()
        self.thread.join()
        self.process.stdout.close()

    def tell(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    # What it says.

    def listen(self):
        for line in self.process.stdout:
            word, *rest = line.rstrip("\n").split("\t")
            getattr(self, "on_" + word)(*rest)

    def on_ready(self, _):
        pass

    def on_ended(self, status):
        self.log.append(("error", f"ended with status {status}"))

    def on_log(self, level, text):
        self.log.append((level, text))

    def on_health(self, *words):
        self.health = Health(*words)

    def on_synced(self, _):
        self.synced += 1

    def on_fresh(self, confirmed):
        self.fresh = confirmed == "1"

    def changed(self, word, item):
        self.changes.append((time.monotonic(), word, item))

    def on_service(self, *words):
        item = Service(*words)
        self.services[item.name] = item
        self.changed("service", item)

    def on_instance(self, *words):
        item = Instance(*words)
        self.instances[item.service, item.node, item.id] = item
        self.changed("instance", item)

    def on_del(self, key):
        kind, *names = key.split("\\000")
        if kind == "s":
            item = self.services.pop(names[0])
        else:
            item = self.instances.pop(tuple(names))
        self.changed("del", item)

    # What tests ask.

    def endpoints(self, service):
        """Address -> whether it is ready."""
        return {
            i.address: i.ready == "ready"
            for i in list(self.instances.values())
            if i.service == service
        }

    def said(self, text):
        return any(text in line for _, line in list(self.log))

    def deleted(self):
        return [item for _, word, item in self.changes if word == "del"]

    def await_synced(self, timeout=10):
        await_for(lambda: self.synced, timeout, f"a snapshot: {self.health}")
        return self

    def await_confirmed(self, timeout=10):
        await_for(lambda: self.fresh, timeout, f"confirmed: {self.health}")
        return self

    def await_endpoints(self, service, wanted, timeout=5):
        await_for(
            lambda: self.endpoints(service) == wanted,
            timeout,
            f"{service} has {wanted}, not {self.endpoints(service)}",
        )


class Catalog:
    """Services of other nodes, by Consul's catalog API."""

    def __init__(self, consul):
        self.consul = consul

    def node(self, name, address="10.9.0.1", **meta):
        self.consul.put(
            "/v1/catalog/register",
            {"Node": name, "Address": address, "NodeMeta": meta},
        )

    def put(
        self, name, number=0, tags=("kubernetes",), status="passing", **kw
    ):
        """The numberth instance of a service; None: without a check."""
        service = {
            "ID": f"{name}-{number}",
            "Service": name,
            "Tags": list(tags),
            "Address": f"10.0.{number}.1",
            "Port": 8080,
            **kw,
        }
        body = {
            "Node": f"node-{number}",
            "Address": f"10.9.0.{number + 1}",
            "SkipNodeUpdate": True,
            "Service": service,
        }
        if status is not None:
            body["Check"] = self.check_of(name, number, status)
        self.consul.put("/v1/catalog/register", body)

    @staticmethod
    def check_of(name, number, status, **kw):
        return {
            "CheckID": f"check:{name}-{number}",
            "Name": "check",
            "Status": status,
            "ServiceID": f"{name}-{number}",
            **kw,
        }

    def check(self, name, number, status, **kw):
        """Another state of its check."""
        self.consul.put(
            "/v1/catalog/register",
            {
                "Node": f"node-{number}",
                "SkipNodeUpdate": True,
                "Check": self.check_of(name, number, status, **kw),
            },
        )

    def node_check(self, number, status):
        self.consul.put(
            "/v1/catalog/register",
            {
                "Node": f"node-{number}",
                "SkipNodeUpdate": True,
                "Check": {"CheckID": "disk", "Name": "disk", "Status": status},
            },
        )

    def take(self, name, number=0):
        self.consul.put(
            "/v1/catalog/deregister",
            {"Node": f"node-{number}", "ServiceID": f"{name}-{number}"},
        )

    def wipe(self):
        for node in self.consul.get("/v1/catalog/nodes"):
            if node["Node"] != self.consul.NODE:
                self.consul.put(
                    "/v1/catalog/deregister", {"Node": node["Node"]}
                )
