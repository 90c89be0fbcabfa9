"""The two places a scenario's service is released to, as a person outside of phasegate finds them.

Each writes the repository's files, says what a change edits, and reads back what is live without asking phasegate: by
HTTP on the service's address, in /proc, and from the API server by the official client.
"""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import httpx
import urllib3
import yaml
from tests.acceptance.lifecycle.conftest import edit
from tests.acceptance.scenarios import service
from tests.acceptance.scenarios.service import IDLE, Conduct, listen
from tests.kubernetes import KubernetesServer, manifests

import kubernetes
from phasegate.infra.system.ports import stable_port

Target = Literal["process", "kubernetes"]
NO_PROGRAM = "no-such-program"
_FRESH_SECONDS = 0.03
_ASKED_BACK = 8


@dataclass(frozen=True)
class Made:
    """Behaviour and version of a release."""

    behaviour: str
    version: str


@dataclass(frozen=True)
class Live:
    """Versions that are live.

    Attributes:
        answers: The versions that answer on the service's address; empty if none does.
        runs: The versions that run anywhere, asked or not.
    """

    answers: frozenset[str]
    runs: frozenset[str]


class SampleService(Protocol):
    """A service and where it is released to.

    Attributes:
        target: As `[deploy] target` has it.
        url: Where the service answers.
    """

    target: Target
    url: str

    def files(self, version: str) -> Mapping[str, str]:
        """The repository's files that say what is released, for a first version."""
        ...

    def policy(self, more: str) -> str:
        """`[deploy]`, with more lines of it."""
        ...

    def change(self, before: Made, after: Made) -> list[dict[str, Any]]:
        """The scripted edits that make the next release of the one before."""
        ...

    def acceptance(self, version: str) -> str:
        """A shell test that holds once the change is there, and after later ones: it is released with the change."""
        ...

    def live(self) -> Live:
        """The versions that are live at this moment."""
        ...

    def addresses(self) -> frozenset[str]:
        """Addresses for Prometheus of what runs now, `host:port` each."""
        ...

    def close(self) -> None:
        """Stand in for nothing any more."""
        ...


def answering(url: str) -> frozenset[str]:
    """The versions that answer on an address, each connection a new one."""
    found: set[str] = set()
    for _ in range(_ASKED_BACK):
        try:
            found.add(httpx.get(f"{url}/version", trust_env=False, timeout=5).raise_for_status().text)
        except httpx.HTTPError:
            continue
    return frozenset(found)


class ProcessShop:
    """The service as a process of this machine."""

    target: Target = "process"

    def __init__(self, services: Path, repository: Path) -> None:
        """Choose a port.

        Args:
            services: The folder below phasegate's state where processes run.
            repository: Whose service it is.
        """
        self._services, self._repository, self._port = services, repository, stable_port()
        self.url = f"http://127.0.0.1:{self._port}"

    def files(self, version: str) -> Mapping[str, str]:
        """As `SampleService.files`."""
        return {
            "service.py": Path(service.__file__).read_text(),
            "release.json": json.dumps(vars(Made("well", version))),
            "start.sh": 'exec python3 -I service.py "$1"\n',
        }

    def policy(self, more: str) -> str:
        """As `SampleService.policy`."""
        return f'[deploy]\nstart = "sh start.sh {{port}}"\nhealth = "/healthz"\nport = {self._port}\n{more}'

    def change(self, before: Made, after: Made) -> list[dict[str, Any]]:
        """As `SampleService.change`; `pull-fails` is a start command that does not exist."""
        edits = [edit("release.json", json.dumps(vars(before)), json.dumps(vars(after)))]
        if after.behaviour == "pull-fails":
            edits.append(edit("start.sh", "exec python3 -I service.py", f"exec ./{NO_PROGRAM}"))
        return edits

    def acceptance(self, version: str) -> str:
        """As `SampleService.acceptance`."""
        told = 'grep -o \'"version": "[0-9]*"\' release.json | grep -o "[0-9]*"'
        return f'test "$({told})" -ge {version}\n'

    def live(self) -> Live:
        """As `SampleService.live`: by HTTP, and by the files that this service's processes stand in."""
        runs: set[str] = set()
        for release in self.processes().values():
            runs.add(json.loads((release / "release.json").read_text())["version"])
        return Live(answering(self.url), frozenset(runs))

    def addresses(self) -> frozenset[str]:
        """As `SampleService.addresses`: each process listens by itself."""
        return frozenset(f"127.0.0.1:{port}" for port in self.processes())

    def processes(self) -> dict[int, Path]:
        """The service's processes by the port each was given, with the folder of the release it runs."""
        found: dict[int, Path] = {}
        for entry in Path("/proc").iterdir():
            try:
                place, command = (entry / "cwd").readlink(), (entry / "cmdline").read_bytes()
            except (OSError, ValueError):
                continue
            ours = place.is_relative_to(self._services) and f"/{self._repository.name}-" in str(place)
            if ours and b"service.py" in command:
                found[int(command.split(b"\0")[-2])] = place
        return found

    def close(self) -> None:
        """As `SampleService.close`."""


class KubernetesShop:
    """The service as a Deployment behind a Service, with this process for its pods and for kube-proxy.

    Requests go to the ready pods that the Service selects, in turn; each image answers as its name says
    (`errs-8@sha256:…` is version 8, and errs).
    """

    target: Target = "kubernetes"

    def __init__(self, server: KubernetesServer, *, replicas: int = 3) -> None:
        """Make a namespace, and stand in for what runs there."""
        self.server, self.namespace, self._replicas = server, server.new_namespace(), replicas
        loading: Any = kubernetes.config
        settings: Any = kubernetes.client.Configuration()
        loading.load_kube_config(str(server.kubeconfig), client_configuration=settings, persist_config=False)
        settings.retries = False
        self._api: Any = kubernetes.client.ApiClient(settings)
        self.apps: Any = kubernetes.client.AppsV1Api(self._api)
        self.core: Any = kubernetes.client.CoreV1Api(self._api)
        self._lock, self._turn, self._looked_at = threading.Lock(), 0, 0.0
        self._conducts: dict[str, Conduct] = {}
        self._images: list[str] = []
        self._front = listen(self, 0)
        threading.Thread(target=self._front.serve_forever, daemon=True, name="pods").start()
        self.url = f"http://127.0.0.1:{self._front.server_port}"

    def files(self, version: str) -> Mapping[str, str]:
        """As `SampleService.files`."""
        found: dict[str, str] = {}
        for manifest in manifests("shop", replicas=self._replicas, image=f"well-{version}"):
            manifest["metadata"]["namespace"] = self.namespace
            found[f"k8s/{manifest['kind'].lower()}.yaml"] = yaml.safe_dump(manifest)
        return found

    def policy(self, more: str) -> str:
        """As `SampleService.policy`."""
        return (
            f'[deploy]\ntarget = "kubernetes"\nmanifests = "k8s"\nnamespace = "{self.namespace}"\n'
            f'url = "{self.url}"\n{more}'
        )

    def change(self, before: Made, after: Made) -> list[dict[str, Any]]:
        """As `SampleService.change`; one that is slow has a deadline that it misses."""
        path = "k8s/deployment.yaml"
        names = [f"image: {made.behaviour}-{made.version}@" for made in (before, after)]
        edits = [edit(path, *names)]
        if after.behaviour == "slow":
            edits.append(edit(path, "progressDeadlineSeconds: 600", "progressDeadlineSeconds: 2"))
        return edits

    def acceptance(self, version: str) -> str:
        """As `SampleService.acceptance`."""
        told = r"sed -n 's/.*image: [a-z-]*-\([0-9]*\)@.*/\1/p' k8s/deployment.yaml | head -n 1"
        return f'test "$({told})" -ge {version}\n'

    def live(self) -> Live:
        """As `SampleService.live`: by HTTP through the pods, and every Deployment and pod of the namespace."""
        deployments = self.apps.list_namespaced_deployment(self.namespace).items
        pods = self.core.list_namespaced_pod(self.namespace).items
        images = {_image(one.spec.template.spec) for one in deployments if one.spec.replicas}
        images |= {_image(one.spec) for one in pods if one.metadata.deletion_timestamp is None}
        return Live(answering(self.url), frozenset(_version(image) for image in images))

    def addresses(self) -> frozenset[str]:
        """As `SampleService.addresses`: this process tells of all pods."""
        return frozenset({self.url.partition("//")[2]})

    def scale(self, replicas: int, *, by: str) -> None:
        """Edit the live Deployment, as a person with kubectl does."""
        body = {"spec": {"replicas": replicas}}
        self.apps.patch_namespaced_deployment("shop", self.namespace, body, field_manager=by)

    def answer(self, path: str) -> tuple[int, str]:
        """Answer as the next pod; `/metrics` has the counters of all pods."""
        images = self._ready()
        if path == "/metrics":
            with self._lock:
                conducts = list(self._conducts.values())
            return 200, IDLE + "".join(one.counted() for one in conducts)
        if not images:
            return 503, "no endpoints"
        with self._lock:
            self._turn += 1
            image = images[self._turn % len(images)]
        return self._conducts[image].answer(path)

    def close(self) -> None:
        """As `SampleService.close`."""
        self._front.shutdown()
        self._front.server_close()

    def _ready(self) -> list[str]:
        """The images of the pods that the Service sends requests to; the last known ones while the API is away."""
        with self._lock:
            if time.monotonic() - self._looked_at < _FRESH_SECONDS:
                return self._images
            self._looked_at = time.monotonic()
            with contextlib.suppress(kubernetes.client.ApiException, urllib3.exceptions.HTTPError):
                self._look()
            return self._images

    def _look(self) -> None:
        wanted = self.core.read_namespaced_service("shop", self.namespace).spec.selector
        selector = ",".join(f"{name}={value}" for name, value in wanted.items())
        pods = self.core.list_namespaced_pod(self.namespace, label_selector=selector).items
        self._images = [_image(pod.spec) for pod in pods if _is_ready(pod)]
        if set(self._images) <= self._conducts.keys():
            return
        for one in self.apps.list_namespaced_deployment(self.namespace).items:
            image = _image(one.spec.template.spec)
            release = (one.metadata.annotations or {}).get("phasegate.dev/release", "")
            self._conducts.setdefault(image, Conduct(image.rpartition("-")[0], _version(image), release))
        self._images = [image for image in self._images if image in self._conducts]


def _image(pod: Any) -> str:
    return str(pod.containers[0].image).partition("@")[0]


def _version(image: str) -> str:
    return image.rpartition("-")[2]


def _is_ready(pod: Any) -> bool:
    conditions = pod.status.conditions or ()
    return pod.metadata.deletion_timestamp is None and any(
        one.type == "Ready" and one.status == "True" for one in conditions
    )
