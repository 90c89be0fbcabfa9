"""A real Kubernetes API server for tests: etcd, kube-apiserver and kube-controller-manager, and a stand-in for nodes.

What is real: storage, validation, server-side apply, RBAC, quota, and the controllers of Deployments, ReplicaSets,
StatefulSets, Endpoints and quotas. What `Kubelet` plays, since there is no node: it makes pods run and become ready,
or fail as their image's name says.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from phasegate.infra.deploy.kubernetes.target import KubernetesTarget
from phasegate.infra.policy.deploy import DeployPolicy

_PROGRAMS = ("etcd", "kube-apiserver", "kube-controller-manager")
_START_SECONDS = 60.0
_TOKEN = "test-admin"
_CONTROLLERS = "deployment,replicaset,statefulset,endpoint,resourcequota,garbagecollector,namespace"
MISSING = (
    "NOT TESTED against Kubernetes: there is no API server. Set KUBEBUILDER_ASSETS to a folder with etcd, "
    "kube-apiserver and kube-controller-manager (controller-runtime's setup-envtest makes one), or put them into "
    "~/.cache/kubebuilder-assets"
)


def programs() -> Path | None:
    """The folder of the programs, KUBEBUILDER_ASSETS or the usual cache, or None if this machine has none."""
    home = Path(pwd.getpwuid(os.getuid()).pw_dir)  # HOME is the tests' own
    places = [Path(os.environ.get("KUBEBUILDER_ASSETS", "/nonexistent")), home / ".cache" / "kubebuilder-assets"]
    return next((place for place in places if all(os.access(place / name, os.X_OK) for name in _PROGRAMS)), None)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class KubernetesServer:
    """A control plane, whose API server may be taken down and brought back."""

    def __init__(self) -> None:
        """Prepare keys and addresses without starting anything."""
        found = programs()
        if found is None:
            pytest.skip(MISSING)
        self._programs = found
        self.folder = Path(tempfile.mkdtemp(prefix="phasegate-kubernetes-"))
        self._ports = {name: _free_port() for name in ("etcd", "peers", "api", "controllers")}
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._asleep = False
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        (self.folder / "sa.key").write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.TraditionalOpenSSL,
                serialization.NoEncryption(),
            )
        )
        (self.folder / "tokens.csv").write_text(f'{_TOKEN},admin,admin,"system:masters"\n')
        self.url = f"https://127.0.0.1:{self._ports['api']}"
        self.kubelet = Kubelet(self)
        self.kubeconfig = self.kubeconfig_for(_TOKEN, "admin")

    @property
    def version(self) -> str:
        """Version that the API server prints."""
        asked = [str(self._programs / "kube-apiserver"), "--version"]
        return subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()

    def start(self) -> None:
        """Bring all of it up, and wait until it answers."""
        etcd = f"http://127.0.0.1:{self._ports['etcd']}"
        peers = f"http://127.0.0.1:{self._ports['peers']}"
        self._run(
            "etcd",
            *("--data-dir", str(self.folder / "etcd"), "--unsafe-no-fsync"),
            *("--listen-client-urls", etcd, "--advertise-client-urls", etcd),
            *("--listen-peer-urls", peers, "--initial-advertise-peer-urls", peers),
            *("--initial-cluster", f"default={peers}"),
        )
        self.start_api()
        self._run(
            "kube-controller-manager",
            *("--kubeconfig", str(self.kubeconfig), f"--controllers={_CONTROLLERS}", "--leader-elect=false"),
            *("--port=0", f"--secure-port={self._ports['controllers']}", "--bind-address=127.0.0.1"),
            *("--cert-dir", str(self.folder / "controllers"), "--kube-api-qps=200", "--kube-api-burst=400"),
            *("--resource-quota-sync-period=1s", "--concurrent-deployment-syncs=10"),
        )

    def start_api(self) -> None:
        """Bring the API server up, or back."""
        self._run(
            "kube-apiserver",
            f"--etcd-servers=http://127.0.0.1:{self._ports['etcd']}",
            *(f"--secure-port={self._ports['api']}", "--bind-address=127.0.0.1", "--insecure-port=0"),
            *(f"--cert-dir={self.folder / 'certs'}", f"--token-auth-file={self.folder / 'tokens.csv'}"),
            *("--authorization-mode=RBAC", "--service-cluster-ip-range=10.0.0.0/24"),
            *("--service-account-issuer=https://kubernetes.test", f"--service-account-key-file={self.folder}/sa.key"),
            f"--service-account-signing-key-file={self.folder}/sa.key",
            *("--disable-admission-plugins=ServiceAccount", "--allow-privileged=false"),
        )
        self._until_ready()

    def _until_ready(self) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while True:
            with contextlib.suppress(OSError, httpx.HTTPError), self.http() as http:
                if http.get("/readyz").status_code == 200:
                    return
            if time.monotonic() > deadline or self._running["kube-apiserver"].poll() is not None:
                raise AssertionError((self.folder / "kube-apiserver.log").read_text()[-3000:])
            time.sleep(0.05)

    def stop_api(self) -> None:
        """Take the API server down, as a crash would."""
        process = self._running.pop("kube-apiserver")
        process.kill()
        process.wait(_START_SECONDS)

    def sleep(self) -> None:
        """Stop the processes: while no test uses them they take a tenth of a processor from other tests."""
        self.kubelet.at_work.acquire()
        self._asleep = True
        self._signal(signal.SIGSTOP)

    def wake(self) -> None:
        """Continue the processes."""
        self._signal(signal.SIGCONT)
        self._until_ready()
        self._asleep = False
        self.kubelet.at_work.release()

    def http(self) -> httpx.Client:
        """A client with all rights."""
        headers = {"Authorization": f"Bearer {_TOKEN}"}
        certificate = self.folder / "certs" / "apiserver.crt"
        context = ssl.create_default_context(cafile=str(certificate))
        return httpx.Client(base_url=self.url, headers=headers, verify=context, trust_env=False, timeout=10)

    def kubeconfig_for(self, token: str, name: str) -> Path:
        """A kubeconfig whose only context uses this token."""
        cluster = {"server": self.url, "certificate-authority": str(self.folder / "certs" / "apiserver.crt")}
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "test",
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": name}}],
            "clusters": [{"name": "test", "cluster": cluster}],
            "users": [{"name": name, "user": {"token": token}}],
        }
        path = self.folder / f"{name}.kubeconfig"
        path.write_text(yaml.safe_dump(content))
        return path

    def new_namespace(self) -> str:
        """A fresh, empty namespace."""
        name = f"test-{uuid4().hex[:10]}"
        with self.http() as http:
            http.post("/api/v1/namespaces", json={"metadata": {"name": name}}).raise_for_status()
        return name

    def remove(self) -> None:
        """Take it down and away."""
        self._signal(signal.SIGKILL)
        if self._asleep:
            self.kubelet.at_work.release()
        self.kubelet.stop()
        for process in self._running.values():
            process.wait(_START_SECONDS)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _signal(self, number: signal.Signals) -> None:
        for process in reversed(self._running.values()):
            process.send_signal(number)

    def _run(self, program: str, *arguments: str) -> None:
        with (self.folder / f"{program}.log").open("ab") as log:
            self._running[program] = subprocess.Popen[bytes](
                [self._programs / program, *arguments], stdout=log, stderr=log, cwd=self.folder
            )


class Kubelet(threading.Thread):
    """Plays every node: pods run and are ready at once, but for those whose image's name says otherwise.

    `pull-fails` waits in ImagePullBackOff, `crashes` and `sick` in CrashLoopBackOff, `slow` never becomes ready, and
    `sick-in-place` crashes unless it is a canary's.
    """

    def __init__(self, server: KubernetesServer) -> None:
        """Play for this control plane."""
        super().__init__(daemon=True, name="kubelet")
        self._server, self._ended = server, threading.Event()
        self.at_work = threading.Lock()
        """While it is held, the nodes do not ask the API server anything."""
        self.nodes: dict[str, str] = {}
        """Namespace to the node that its pods are bound to; where none is named they are on no node."""

    def run(self) -> None:
        """Look at all pods, again and again."""
        with self._server.http() as http:
            while not self._ended.wait(0.1):
                with self.at_work, contextlib.suppress(httpx.HTTPError):  # the API server is down: that is a scene, too
                    for pod in http.get("/api/v1/pods").json().get("items", []):
                        self._play(http, pod)

    def stop(self) -> None:
        """Play no more."""
        self._ended.set()
        if self.is_alive():
            self.join(10)

    def _play(self, http: httpx.Client, pod: dict[str, Any]) -> None:
        container = pod["spec"]["containers"][0]
        status = _status_of(container, pod["metadata"])
        namespace = pod["metadata"]["namespace"]
        path = f"/api/v1/namespaces/{namespace}/pods/{pod['metadata']['name']}"
        if "deletionTimestamp" in pod["metadata"]:
            http.delete(path, params={"gracePeriodSeconds": 0})  # what is on a node waits for its word
        elif not pod["status"].get("containerStatuses"):
            if node := self.nodes.get(namespace):
                target = {"apiVersion": "v1", "kind": "Node", "name": node}
                http.post(f"{path}/binding", json={"metadata": {"name": pod["metadata"]["name"]}, "target": target})
            place, kind = f"{path}/status", {"Content-Type": "application/merge-patch+json"}
            http.patch(place, json={"status": status}, headers=kind)


def _status_of(container: dict[str, Any], metadata: dict[str, Any]) -> dict[str, Any]:
    image, now = container["image"], time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    waiting: dict[str, str] = {}
    restarts = 0
    if "pull-fails" in image:
        waiting = {"reason": "ImagePullBackOff", "message": f'Back-off pulling image "{image}"'}
    elif (
        "crashes" in image
        or image.startswith("sick@")
        or ("sick-in-place" in image and "canary" not in metadata["name"])
    ):
        waiting, restarts = {"reason": "CrashLoopBackOff", "message": "back-off restarting failed container"}, 4
    ready = not waiting and "slow" not in image
    state = {"waiting": waiting} if waiting else {"running": {"startedAt": now}}
    last = {"terminated": {"exitCode": 1, "reason": "Error", "finishedAt": now}} if restarts else {}
    seen = {"name": container["name"], "image": image, "imageID": image, "ready": ready, "restartCount": restarts}
    conditions = [
        {"type": kind, "status": str(ready), "lastTransitionTime": now} for kind in ("Ready", "ContainersReady")
    ]
    return {
        "phase": "Running" if not waiting else "Pending",
        "podIP": "10.1.0.1",
        "startTime": now,
        "conditions": conditions,
        "containerStatuses": [{**seen, "state": state, "lastState": last, "started": ready}],
    }


def manifests(name: str, *, replicas: int = 2, image: str = "", deadline: int = 600) -> list[dict[str, Any]]:
    """A Deployment whose image has a name, and its Service."""
    pod = {"containers": [{"name": "shop", "image": f"{image or name}@sha256:{'a' * 64}"}]}
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "shop", "labels": {"app": "shop"}},
        "spec": {
            "replicas": replicas,
            "progressDeadlineSeconds": deadline,
            "selector": {"matchLabels": {"app": "shop"}},
            "template": {"metadata": {"labels": {"app": "shop"}}, "spec": pod},
        },
    }
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "shop"},
        "spec": {"selector": {"app": "shop"}, "ports": [{"port": 80, "targetPort": 8080}]},
    }
    return [deployment, service]


def kubernetes_target(
    server: KubernetesServer,
    tmp_path: Path,
    *,
    namespace: str = "",
    commits: dict[str, list[dict[str, Any]]] | None = None,
    besides: Sequence[dict[str, Any]] = (),
    environment: dict[str, str] | None = None,
    **policy: Any,
) -> KubernetesTarget:
    """A target in a namespace; a commit's manifests are those named, or of an image called as the commit is.

    Every commit also has the manifests in `besides`.
    """

    def checkout(commit: str, folder: Path) -> None:
        (folder / "deploy").mkdir(parents=True)
        wanted = (commits or {}).get(commit) or manifests(commit)
        (folder / "deploy" / "all.yaml").write_text(yaml.safe_dump_all([*wanted, *besides]))

    return KubernetesTarget(
        DeployPolicy(target="kubernetes", manifests="deploy", namespace=namespace or server.new_namespace(), **policy),
        service="shop",
        scratch=tmp_path,
        state_folder=tmp_path / "state",
        checkout=checkout,
        environment=environment or {"KUBECONFIG": str(server.kubeconfig)},
    )
