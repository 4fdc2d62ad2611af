"""Services of other nodes in Consul's catalog, many at once."""

from dataclasses import dataclass, field, replace

TAG = "kubernetes"
# More than so many are written by transactions, each of so many.
FEW = 16
TRANSACTION = 32


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
    def definition(self):
        return {
            "ID": self.id,
            "Service": self.service,
            "Address": self.address,
            "Port": self.port,
            "Tags": list(self.tags),
            "Meta": self.meta,
        }

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
        alone = items
        if len(items) > FEW:
            # One of each node, so that the nodes are there.
            alone = {item.node: item for item in items}.values()
        for item in alone:
            self.register(item)
        if len(items) > FEW:
            self.write_by_transactions(items)

    def register(self, instance):
        body = {
            **instance.place,
            "NodeMeta": instance.node_meta,
            "Service": instance.definition,
            "Check": instance.check,
        }
        self.consul.put("/v1/catalog/register", body)

    def write_by_transactions(self, items):
        for begin in range(0, len(items), TRANSACTION):
            writes = []
            for item in items[begin : begin + TRANSACTION]:
                service = {"Node": item.node, "Service": item.definition}
                writes += [
                    {"Service": {"Verb": "set", **service}},
                    {"Check": {"Verb": "set", "Check": item.check}},
                ]
            self.consul.put("/v1/txn", writes)

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
