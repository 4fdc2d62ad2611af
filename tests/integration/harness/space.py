"""A namespace of the cluster, and what a katalogd makes of it."""

import copy
import json
import time
from dataclasses import dataclass

from .daemon import TOP
from .kube import KubeApi
from .waiting import await_for

MANIFESTS = TOP / "contrib" / "kubernetes"
ACCOUNT = "katalogd-to-k8s"
MANAGED = "app.kubernetes.io/managed-by"
SLICE_MANAGED = "endpointslice.kubernetes.io/managed-by"
NAME = "app.kubernetes.io/name"
SERVICE_NAME = "kubernetes.io/service-name"
INSTANCE = "katalogd/instance-id"
KINDS = ("services", "endpointslices", "httproutes")


@dataclass(frozen=True)
class Endpoint:
    address: str
    port: int | None
    ready: bool


def manifest(cluster, name):
    """The objects of a file of contrib/kubernetes."""
    done = cluster.kubectl(
        *("create", "--dry-run=client", "--output=json"),
        f"--filename={MANIFESTS / name}",
    )
    assert done.returncode == 0, done.stderr
    # One object after the other, or a list of them.
    decoder, rest, found = json.JSONDecoder(), done.stdout.strip(), []
    while rest:
        value, end = decoder.raw_decode(rest)
        found += value.get("items", [value])
        rest = rest[end:].lstrip()
    return found


def plural(kind):
    return kind.lower() + "s"


class Space:
    """A namespace with the accounts and the role of contrib/kubernetes."""

    def __init__(self, cluster, role, folder):
        self.cluster = cluster
        self.folder = folder
        self.name = cluster.new_namespace()
        for item in role:
            self.adopt(item)
        self.token_file = folder / f"{self.name}.token"
        self.token_file.write_text(self.token())

    def adopt(self, item):
        """Creates the manifest's object here in place of its namespace."""
        item = copy.deepcopy(item)
        item["metadata"]["namespace"] = self.name
        item["metadata"].pop("creationTimestamp", None)
        for subject in item.get("subjects", []):
            subject["namespace"] = self.name
        self.cluster.create(plural(item["kind"]), self.name, item)

    @property
    def user(self):
        return f"system:serviceaccount:{self.name}:{ACCOUNT}"

    def token(self):
        return self.cluster.account_token(self.name, ACCOUNT)

    def api(self):
        """The API as katalogd may use it."""
        return KubeApi(self.cluster.port, self.token(), self.cluster.ca)

    def access(self):
        """The options that lead katalogd here."""
        return {
            "k8s_api": self.cluster.url,
            "k8s_ca": self.cluster.ca,
            "k8s_token_file": self.token_file,
            "target_namespace": self.name,
        }

    def clear(self):
        for kind in KINDS:
            self.cluster.delete(kind, self.name)

    # What is there.

    def objects(self, kind):
        return self.cluster.list(kind, self.name)

    def get(self, kind, name):
        return self.cluster.get(kind, self.name, name)

    def services(self):
        return self.objects("services")

    def slices(self, service=None):
        """Of one Service, or all."""
        return {
            name: item
            for name, item in self.objects("endpointslices").items()
            if service in (None, item["metadata"]["labels"][SERVICE_NAME])
        }

    def routes(self):
        return self.objects("httproutes")

    def endpoints(self, service):
        return endpoints_of(self.slices(service).values())

    def all_endpoints(self):
        """Service -> endpoints."""
        found = {name: set() for name in self.services()}
        for item in self.slices().values():
            service = item["metadata"]["labels"][SERVICE_NAME]
            found.setdefault(service, set()).update(endpoints_of([item]))
        return found

    def versions(self):
        """Kind and name -> resourceVersion: equal means untouched."""
        return {
            (kind, name): item["metadata"]["resourceVersion"]
            for kind in KINDS
            for name, item in self.objects(kind).items()
        }

    def has(self, *items):
        """The Services and endpoints are just those of the instances."""
        return self.all_endpoints() == expected(items)

    def await_has(self, *items, timeout=5, **options):
        wanted = expected(items)
        await_for(
            lambda: self.all_endpoints() == wanted,
            timeout,
            f"{len(wanted)} services in {self.name}",
            **options,
        )

    # What was done to it.

    def await_quiet(self, duration=1):
        """Nothing was written for so long."""

        def quiet():
            writes = self.cluster.audited(namespace=self.name)
            last = max(r.ended for r in writes if r.is_write)
            return time.time() - last > duration

        await_for(quiet, 20, "no more writes")

    def writes(self, since=0, **fields):
        """Writes that went well, of others than the tests."""
        return [
            r
            for r in self.cluster.audited(since, namespace=self.name, **fields)
            if r.is_write and r.status < 300
        ]

    def deletions(self, since=0):
        return [r for r in self.writes(since) if r.verb.startswith("delete")]


def endpoints_of(slices):
    found = set()
    for item in slices:
        ports = [port["port"] for port in item.get("ports") or []]
        for endpoint in item.get("endpoints") or []:
            for address in endpoint["addresses"]:
                found.add(
                    Endpoint(
                        address,
                        ports[0] if ports else None,
                        endpoint.get("conditions", {}).get("ready", True),
                    )
                )
    return found


def expected(instances):
    """What plain instances become: passing and warning ones are ready."""
    found = {}
    for one in instances:
        found.setdefault(one.service, set()).add(
            Endpoint(
                one.address or one.node_address,
                one.port or None,
                one.status in ("passing", "warning"),
            )
        )
    return found
