"""A real etcd and kube-apiserver, with RBAC and an audit log, and its API."""

import contextlib
import http.client
import itertools
import json
import pathlib
import signal
import ssl
import subprocess
import threading
import urllib.parse
from dataclasses import dataclass
from datetime import datetime

from .consul import path_of_peer
from .tls import Authority, openssl
from .waiting import Refused, await_for, free_port

APPLY = "application/apply-patch+yaml"
MERGE = "application/merge-patch+json"
ADMIN_TOKEN = "admin-of-the-tests"
ISSUER = "https://kubernetes.default.svc"
ROUTES_CRD = pathlib.Path(__file__).parent / "httproutes.json"

# Plural -> group and version.
GROUPS = {
    "configmaps": "api/v1",
    "namespaces": "api/v1",
    "pods": "api/v1",
    "serviceaccounts": "api/v1",
    "services": "api/v1",
    "endpointslices": "apis/discovery.k8s.io/v1",
    "httproutes": "apis/gateway.networking.k8s.io/v1",
    "leases": "apis/coordination.k8s.io/v1",
    "roles": "apis/rbac.authorization.k8s.io/v1",
    "rolebindings": "apis/rbac.authorization.k8s.io/v1",
    "clusterroles": "apis/rbac.authorization.k8s.io/v1",
    "clusterrolebindings": "apis/rbac.authorization.k8s.io/v1",
    "customresourcedefinitions": "apis/apiextensions.k8s.io/v1",
}
AUDIT_POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [
        # The apiserver's own, and the tests'.
        {"level": "None", "userGroups": ["system:masters"]},
        {"level": "Metadata"},
    ],
}
WRITES = {"create", "update", "patch", "delete", "deletecollection"}


class KubeApi:
    """The API over a kept connection for each thread."""

    def __init__(self, port, token, ca):
        self.port, self.token, self.ca = port, token, ca
        self.local = threading.local()

    @property
    def url(self):
        return f"https://127.0.0.1:{self.port}"

    def connection(self):
        if not hasattr(self.local, "connection"):
            context = ssl.create_default_context(cafile=self.ca)
            self.local.connection = http.client.HTTPSConnection(
                "127.0.0.1", self.port, timeout=30, context=context
            )
        return self.local.connection

    def request(self, method, path, body=None, kind="application/json"):
        headers = {
            "Authorization": f"Bearer {self.token}",
            "Content-Type": kind,
        }
        data = None if body is None else json.dumps(body)
        for last_try in (False, True):
            connection = self.connection()
            try:
                connection.request(method, path, data, headers)
                answer = connection.getresponse()
                text = answer.read()
                break
            except (http.client.HTTPException, OSError) as error:
                connection.close()
                if last_try:
                    raise OSError(str(error)) from error
        if answer.status >= 400:
            raise Refused(answer.status, text.decode(errors="replace"))
        with contextlib.suppress(ValueError):
            return json.loads(text)
        return text.decode()

    # Objects, by plural, namespace (None: the cluster's) and name.

    def get(self, plural, namespace=None, name=None):
        """None where there is none."""
        try:
            return self.request("GET", path_of(plural, namespace, name))
        except Refused as refused:
            if refused.status != 404:
                raise
            return None

    def list(self, plural, namespace=None):
        """Name -> object; {} where nobody knows the kind."""
        found = self.get(plural, namespace) or {"items": []}
        return {o["metadata"]["name"]: o for o in found["items"]}

    def create(self, plural, namespace, body):
        return self.request("POST", path_of(plural, namespace), body)

    def patch(self, plural, namespace, name, body, **query):
        return self.request(
            "PATCH", path_of(plural, namespace, name, **query), body, MERGE
        )

    def apply(self, plural, namespace, body, manager, **query):
        """Server-side, by force."""
        name = body["metadata"]["name"]
        path = path_of(
            plural, namespace, name, fieldManager=manager, force="true"
        )
        return self.request("PATCH", path, body, APPLY)

    def delete(self, plural, namespace, name=None):
        """One, or without a name all of them."""
        with contextlib.suppress(Refused):
            self.request("DELETE", path_of(plural, namespace, name))


def path_of(plural, namespace=None, name=None, **query):
    parts = ["", GROUPS[plural]]
    if namespace is not None:
        parts += ["namespaces", namespace]
    parts += [plural] + ([name] if name is not None else [])
    path = "/".join(parts)
    return path + ("?" + urllib.parse.urlencode(query) if query else "")


@dataclass(frozen=True)
class Audited:
    """A request as the apiserver saw it; times in seconds since 1970."""

    user: str
    verb: str
    resource: str
    namespace: str
    name: str
    status: int
    began: float
    ended: float

    @property
    def is_write(self):
        return self.verb in WRITES and self.resource != "leases"

    @classmethod
    def of(cls, event):
        target = event.get("objectRef", {})
        return cls(
            # None: a token that is none.
            event["user"].get("username", ""),
            event["verb"],
            target.get("resource", event["requestURI"]),
            target.get("namespace", ""),
            target.get("name", ""),
            event.get("responseStatus", {}).get("code", 0),
            seconds_of(event["requestReceivedTimestamp"]),
            seconds_of(event["stageTimestamp"]),
        )


def seconds_of(timestamp):
    return datetime.fromisoformat(timestamp).timestamp()


class Cluster(KubeApi):
    """etcd and kube-apiserver in a folder, on ports of their own."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        authority = Authority(self.folder / "ca", "cluster CA")
        super().__init__(free_port(), ADMIN_TOKEN, authority.ca)
        self.serving = authority.issue("apiserver")
        # Whoever it signs is a user: CN his name, O his groups.
        self.clients = Authority(self.folder / "clients", "client CA")
        self.audit_log = self.folder / "audit.log"
        self.audit_log.touch()
        self.numbers = itertools.count()
        self.etcd = None
        self.process = None
        self.prepare()

    def prepare(self):
        """The files that the apiserver is started with."""
        self.account_key = self.folder / "account.key"
        openssl("genrsa", "-out", self.account_key, "2048")
        self.tokens = self.folder / "tokens.csv"
        self.tokens.write_text(f"{ADMIN_TOKEN},admin,admin,system:masters\n")
        self.policy = self.folder / "audit.json"
        self.policy.write_text(json.dumps(AUDIT_POLICY))

    def start_etcd(self):
        client, peer = (f"http://127.0.0.1:{free_port()}" for _ in range(2))
        self.etcd_url = client
        self.etcd = self.spawn(
            "etcd",
            f"--data-dir={self.folder / 'etcd'}",
            # The disk may be busy with other things, and nothing is to last.
            "--unsafe-no-fsync",
            f"--listen-client-urls={client}",
            f"--advertise-client-urls={client}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=default={peer}",
        )

    def start_apiserver(self):
        self.process = self.spawn(
            path_of_peer("kube-apiserver"),
            f"--etcd-servers={self.etcd_url}",
            "--bind-address=127.0.0.1",
            # Else it looks for a default route; nobody goes there.
            "--advertise-address=192.0.2.1",
            f"--secure-port={self.port}",
            f"--tls-cert-file={self.serving.cert}",
            f"--tls-private-key-file={self.serving.key}",
            f"--cert-dir={self.folder}",
            f"--client-ca-file={self.clients.ca}",
            f"--token-auth-file={self.tokens}",
            "--authorization-mode=RBAC",
            f"--service-account-issuer={ISSUER}",
            f"--service-account-key-file={self.account_key}",
            f"--service-account-signing-key-file={self.account_key}",
            "--service-cluster-ip-range=10.0.0.0/24",
            "--disable-admission-plugins=ServiceAccount",
            f"--audit-log-path={self.audit_log}",
            f"--audit-policy-file={self.policy}",
            # Ends at once: nobody waits for a load balancer here.
            "--shutdown-delay-duration=0s",
        )
        await_for(self.answers, 60, f"it is ready, see {self.folder}")

    def spawn(self, program, *arguments):
        log = self.folder / f"{pathlib.Path(program).name}.log"
        with log.open("ab") as out:
            return subprocess.Popen(
                [program, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
            )

    def answers(self):
        assert self.process.poll() is None, f"it ended, see {self.folder}"
        with contextlib.suppress(Refused):
            return self.request("GET", "/readyz") and self.get(
                "namespaces", None, "default"
            )

    def __enter__(self):
        try:
            self.start_etcd()
            self.start_apiserver()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for process in (self.process, self.etcd):
            if process is not None:
                process.kill()
                process.wait()

    # What tests do to it.

    def stop_apiserver(self):
        self.process.kill()
        self.process.wait()

    def pause(self):
        """It keeps its connections and answers nobody."""
        self.process.send_signal(signal.SIGSTOP)

    def resume(self):
        self.process.send_signal(signal.SIGCONT)

    def add_routes(self):
        """HTTPRoutes are a custom resource; back when they can be used."""
        crd = json.loads(ROUTES_CRD.read_text())
        self.apply("customresourcedefinitions", None, crd, "tests")
        await_for(
            lambda: self.get("httproutes", "default") is not None,
            20,
            "HTTPRoutes are served",
        )

    def remove_routes(self):
        name = "httproutes.gateway.networking.k8s.io"
        self.delete("customresourcedefinitions", None, name)
        await_for(
            lambda: self.get("httproutes", "default") is None,
            20,
            "HTTPRoutes are gone",
        )

    def new_namespace(self, labels=None):
        name = f"space-{next(self.numbers)}"
        self.create(
            "namespaces",
            None,
            {"metadata": {"name": name, "labels": labels or {}}},
        )
        return name

    def account_token(self, namespace, account, seconds=3600):
        """A bound token, as a kubelet gives it to a pod."""
        with contextlib.suppress(Refused):
            self.create(
                "serviceaccounts", namespace, {"metadata": {"name": account}}
            )
        path = path_of("serviceaccounts", namespace, account) + "/token"
        body = {"spec": {"expirationSeconds": seconds}}
        return self.request("POST", path, body)["status"]["token"]

    def kubectl(self, *arguments, stdin=None):
        """Whatever it says and how it ends: a CompletedProcess."""
        return subprocess.run(
            [
                path_of_peer("kubectl"),
                f"--server={self.url}",
                f"--token={self.token}",
                f"--certificate-authority={self.ca}",
                # No file of the user's is read or written.
                "--kubeconfig=/dev/null",
                f"--cache-dir={self.folder / 'cache'}",
                *arguments,
            ],
            input=stdin,
            check=False,
            capture_output=True,
            text=True,
            timeout=60,
        )

    # The audit log.

    def mark(self):
        """Where audited() may start: what is there is of the past."""
        return self.audit_log.stat().st_size

    def audited(self, since=0, **fields):
        """The requests of others than the tests from that mark on."""
        with self.audit_log.open() as log:
            log.seek(since)
            # The last line may be half written.
            lines = [line for line in log if line.endswith("\n")]
        requests = (Audited.of(json.loads(line)) for line in lines)
        return [
            request
            for request in requests
            if all(getattr(request, k) == v for k, v in fields.items())
        ]
