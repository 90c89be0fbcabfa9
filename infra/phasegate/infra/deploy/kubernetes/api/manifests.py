"""Kubernetes manifests as a commit holds them: read, and found fit to be released.

Called by the target, and by the check before a run. It reads files and knows no cluster. What it reads was written by
agents: it is bounded, and nothing in it is fetched or run.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, cast

from phasegate.infra.documents.bounds import DocumentBounds
from phasegate.infra.documents.text import decoded
from phasegate.infra.documents.yaml_text import read_yaml_documents
from phasegate.infra.errors import ConfigError, DocumentUnreadable
from phasegate.infra.system.trees import walk

Manifest = dict[str, Any]

WORKLOADS = ("Deployment", "StatefulSet", "DaemonSet", "Rollout")
"""Kinds that are rolled out, and waited for."""
_SUFFIXES = (".yaml", ".yml", ".json")
_KUSTOMIZATIONS = ("kustomization.yaml", "kustomization.yml", "Kustomization")
_BOUNDS = DocumentBounds(size=1_000_000, values=100_000)
_DIGEST = re.compile(r"[^@\s]+@sha256:[0-9a-f]{64}")
_FIRST = ("ServiceAccount", "ConfigMap", "Secret", "PersistentVolumeClaim", "Service")
"""Kinds that others need, which come first; kinds not named here come between these and the workloads."""


@dataclass(frozen=True, order=True)
class Ref:
    """Reference to an object in the namespace that a target is about."""

    api_version: str
    kind: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind}/{self.name}"

    @classmethod
    def of(cls, manifest: Manifest) -> Ref:
        """The object a manifest is of."""
        return cls(manifest["apiVersion"], manifest["kind"], manifest["metadata"]["name"])


def read_manifests(folder: Path, path: str, *, namespace: str) -> list[Manifest]:
    """Read a commit's manifests, in the order they are applied in.

    Args:
        folder: A checkout.
        path: A folder below it, read with all below, or one file; as `deploy.manifests` has it.
        namespace: What they are released to.

    Raises:
        ConfigError: There are none, one cannot be read, an image is not named by its digest, or one is meant for
            another namespace; every problem at once.
    """
    problems: list[str] = []
    manifests: dict[Ref, Manifest] = {}
    for file in _files(folder, path):
        name = file.relative_to(folder).as_posix()
        for manifest in _documents(file, name):
            faults = _problems(manifest, namespace)
            problems += [f"{name}: {problem}" for problem in faults]
            if not faults:
                ref = Ref.of(manifest)
                if ref in manifests:
                    problems.append(f"{name}: {ref} is there twice")
                manifests[ref] = manifest
                _name_protocols(manifest)
    if problems:
        raise ConfigError(
            "\n".join(["The manifests cannot be released:", *(f"  {problem}" for problem in problems)]),
            remedy="Correct them; an image is named by its digest: `name@sha256:…`, as the registry and CI print it.",
        )
    if not manifests:
        raise ConfigError(f"There are no manifests in {path}.", remedy="Correct deploy.manifests in phasegate.toml.")
    return sorted(manifests.values(), key=_order)


def is_below(manifests: str, path: str) -> bool:
    """True if a file of the repository is in the manifests' folder, or is the manifests' file."""
    return PurePosixPath(path).is_relative_to(PurePosixPath(manifests))


def images(manifest: Manifest) -> Iterator[str]:
    """Every image a manifest has run, wherever its pod template is."""
    for containers in _find(manifest, {"containers", "initContainers", "ephemeralContainers"}):
        for container in tables(containers):
            yield str(container.get("image", ""))


def table(value: object) -> dict[str, Any]:
    """A table of an object's, or an empty one if it is missing or something else."""
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def tables(value: object) -> list[dict[str, Any]]:
    """The tables in a list of an object's, or none if the list is missing or something else."""
    return [table(item) for item in cast("list[object]", value)] if isinstance(value, list) else []


def _files(folder: Path, path: str) -> list[Path]:
    top = folder / path
    if not top.resolve().is_relative_to(folder.resolve()):
        raise ConfigError(f"{path} leads out of the repository.", remedy="Correct deploy.manifests in phasegate.toml.")
    if top.is_file():
        return [top]
    if kustomization := next((name for name in _KUSTOMIZATIONS if (top / name).is_file()), None):
        raise ConfigError(
            f"{path}/{kustomization} has to be built, which may fetch from other places: phasegate does not do that.",
            remedy=f"Commit what `kubectl kustomize {path}` prints, and name that file in deploy.manifests.",
        )
    return sorted(
        file
        for parent, _, files in walk(top)
        for file in (Path(parent, name) for name in files)
        if file.suffix in _SUFFIXES and file.is_file() and not file.is_symlink()
    )


def _documents(file: Path, name: str) -> Iterator[Manifest]:
    with file.open("rb") as opened:
        content = opened.read(_BOUNDS.size + 1)
    if len(content) > _BOUNDS.size:
        raise ConfigError(f"{name} is larger than {_BOUNDS.size:,} bytes.", remedy="Split it.")
    try:
        text = decoded(content, name, _BOUNDS)
        for document in read_yaml_documents(text, name, schema="yaml-1.1", bounds=_BOUNDS):
            if document.value is not None:
                yield from _flat(document.value, name)
    except DocumentUnreadable as error:
        raise ConfigError(f"{error.message} (it is not YAML that can be read)", remedy="Correct it.") from error


def _flat(document: object, name: str) -> Iterator[Manifest]:
    if not isinstance(document, dict):
        raise ConfigError(f"{name} holds something that is no Kubernetes object.", remedy="Correct deploy.manifests.")
    manifest = cast("Manifest", document)
    if manifest.get("kind") == "List" and isinstance(items := manifest.get("items"), list):
        for item in cast("list[object]", items):
            yield from _flat(item, name)
    else:
        yield manifest


def _problems(manifest: Manifest, namespace: str) -> list[str]:
    metadata = table(manifest.get("metadata"))
    names = [manifest.get("apiVersion"), manifest.get("kind"), metadata.get("name")]
    if not all(isinstance(name, str) and name for name in names):
        return ["apiVersion, kind or metadata.name is missing"]
    what = f"{names[1]}/{names[2]}"
    own = metadata.get("namespace", namespace)
    problems = [] if own == namespace else [f"{what} is meant for namespace {own}, not {namespace}"]
    if names[1] == "Rollout" and "workloadRef" in table(manifest.get("spec")):
        problems.append(
            f"{what}: its pods are described by another object (spec.workloadRef); write them as its template"
        )
    loose = [image or "(none)" for image in images(manifest) if not _DIGEST.fullmatch(image)]
    return [*problems, *(f"{what}: image {image} is not named by a digest" for image in loose)]


def _find(value: object, keys: set[str]) -> Iterator[object]:
    if isinstance(value, dict):
        for key, below in cast("Manifest", value).items():
            if key in keys:
                yield below
            yield from _find(below, keys)
    elif isinstance(value, list):
        for below in cast("Sequence[object]", value):
            yield from _find(below, keys)


def _name_protocols(manifest: Manifest) -> None:
    """Write down the protocol that is meant where a port names none: older API servers refuse to apply it otherwise."""
    for ports in _find(manifest, {"ports"}):
        for port in cast("list[object]", ports) if isinstance(ports, list) else []:
            if isinstance(port, dict) and {"port", "containerPort"} & port.keys():
                cast("Manifest", port).setdefault("protocol", "TCP")


def _order(manifest: Manifest) -> tuple[int, Ref]:
    kind = manifest["kind"]
    rank = _FIRST.index(kind) if kind in _FIRST else len(_FIRST) + (kind in WORKLOADS)
    return rank, Ref.of(manifest)
