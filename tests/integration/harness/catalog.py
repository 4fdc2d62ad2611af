"""Services of other nodes in Consul's catalog, many at once."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

TAG = "kubernetes"
BY = 8


@dataclass(frozen=True)
class Instance:
    service: str
    number: int = 0
    address: str = ""
    port: int = 8080
    status: str = "passing"
    tags: tuple = (TAG,)
    meta: dict = field(default_factory=dict)
    node: str = "away"
    node_address: str = "10.1.0.1"
    node_meta: dict = field(default_factory=dict)

    @property
    def id(self):
        return f"{self.service}-{self.number}"

    def with_(self, **changes):
        return replace(self, **changes)

    @property
    def place(self):
        return {"Node": self.node, "Address": self.node_address}

    @property
    def check(self):
        return {
            "Node": self.node,
            "CheckID": f"check-{self.id}",
            "Name": "of the test",
            "ServiceID": self.id,
            "Status": self.status,
        }


def instances(service, count, base=0, **fields):
    """count of them with addresses of their own, from base on."""
    return [
        Instance(service, i, address=ipv4(base + i), **fields)
        for i in range(count)
    ]


def ipv4(number):
    return f"10.{64 + (number >> 16)}.{number >> 8 & 255}.{number & 255}"


def ipv6(number):
    return f"fd00:1::{number + 1:x}"


class Catalog:
    """What tests do to the catalog behind consul, or one of its servers."""

    def __init__(self, consul):
        self.consul = consul

    def put(self, *items):
        """Registers instances, or what changed of them."""
        if len(items) == 1:
            self.register(items[0])
            return
        with ThreadPoolExecutor(BY) as pool:
            list(pool.map(self.register, items))

    def register(self, instance):
        body = {
            **instance.place,
            "NodeMeta": instance.node_meta,
            "Service": {
                "ID": instance.id,
                "Service": instance.service,
                "Address": instance.address,
                "Port": instance.port,
                "Tags": list(instance.tags),
                "Meta": instance.meta,
            },
            "Check": instance.check,
        }
        self.consul.put("/v1/catalog/register", body)

    def set_status(self, instance, status):
        """Its check alone is written; returns the instance as it is now."""
        now = instance.with_(status=status)
        self.consul.put(
            "/v1/catalog/register",
            {**now.place, "SkipNodeUpdate": True, "Check": now.check},
        )
        return now

    def set_node_check(self, node, status, name="serfHealth"):
        check = {
            "Node": node,
            "CheckID": name,
            "Name": name,
            "Status": status,
        }
        self.consul.put(
            "/v1/catalog/register",
            {"Node": node, "SkipNodeUpdate": True, "Check": check},
        )

    def remove(self, *items):
        for item in items:
            self.consul.put(
                "/v1/catalog/deregister",
                {"Node": item.node, "ServiceID": item.id},
            )

    def wipe(self):
        """Every node but the agents' own ones."""
        agents = {m["Name"] for m in self.consul.get("/v1/agent/members")}
        for node in self.consul.get("/v1/catalog/nodes"):
            if node["Node"] not in agents:
                self.consul.put(
                    "/v1/catalog/deregister", {"Node": node["Node"]}
                )
