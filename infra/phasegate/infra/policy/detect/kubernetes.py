"""Detection of the Kubernetes manifests that a repository is released by. Used by `detect`.

It guesses from text, as the other parts do. Templates and kustomizations are no manifests until something has built
them, and phasegate builds nothing: what a release applies is what stands in the commit.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from os.path import commonpath
from pathlib import PurePosixPath

from phasegate.infra.policy.detect.source_tree import SourceTree

_WORKLOAD = re.compile(r"^kind:\s*['\"]?(?:Deployment|StatefulSet|DaemonSet|Rollout)['\"]?\s*$", re.MULTILINE)
_OBJECT = re.compile(r"^apiVersion:\s*\S+\s*$", re.MULTILINE)
_IMAGE = re.compile(r"^\s*(?:-\s+)?image:\s*['\"]?([^\s'\"#]+)", re.MULTILINE)
_NAMESPACE = re.compile(r"^  namespace:\s*['\"]?([a-z0-9-]+)['\"]?\s*$", re.MULTILINE)
_KUSTOMIZATIONS = ("kustomization.yaml", "kustomization.yml", "Kustomization")


@dataclass(frozen=True)
class KubernetesFindings:
    """Findings about manifests.

    Attributes:
        manifests: The folder, or the one file; empty if there are none to apply.
        namespace: The namespace they name; empty if they name none, or several.
        loose: Images that are not named by their digest, which keeps them from being released.
        notes: What a person should look at.
    """

    manifests: str = ""
    namespace: str = ""
    loose: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def detect_kubernetes(tree: SourceTree) -> KubernetesFindings:
    """Look for files with workloads, outside of charts and kustomizations."""
    objects = {path: text for path in tree.sources(".yaml", ".yml") if _OBJECT.search(text := tree.text(path))}
    workloads = [path for path, text in objects.items() if _WORKLOAD.search(text)]
    built = [path for path in workloads if not _is_built(tree, path, objects[path])]
    if not built:
        return KubernetesFindings(notes=_to_be_built(workloads))
    place = _place(tree, built)
    if not place:
        return KubernetesFindings(
            notes=("There are Kubernetes manifests in several places: name the folder in deploy.manifests.",)
        )
    texts = [text for path, text in objects.items() if path.is_relative_to(PurePosixPath(place))]
    images = [image for text in texts for image in _IMAGE.findall(text)]
    namespaces = {name for text in texts for name in _NAMESPACE.findall(text)}
    return KubernetesFindings(
        manifests=place,
        namespace=namespaces.pop() if len(namespaces) == 1 else "",
        loose=tuple(dict.fromkeys(image for image in images if "@sha256:" not in image)),
    )


def _is_built(tree: SourceTree, path: PurePosixPath, text: str) -> bool:
    """True if a file has to be built first: it is a chart's template, or a part of a kustomization."""
    in_chart = any(str(parent / "Chart.yaml") in tree for parent in path.parents)
    kustomized = any(str(path.parent / name) in tree for name in _KUSTOMIZATIONS)
    return in_chart or kustomized or "{{" in text


def _place(tree: SourceTree, built: Iterable[PurePosixPath]) -> str:
    """The folder that holds all of them and nothing else that could be read as manifests; or the one file."""
    paths = list(built)
    folder = PurePosixPath(commonpath([str(path.parent) for path in paths]))
    yaml = [path for path in tree.files if path.suffix in {".yaml", ".yml", ".json"} and path.is_relative_to(folder)]
    if folder.parts and all(_OBJECT.search(tree.text(path)) for path in yaml):
        return str(folder)
    return str(paths[0]) if len(paths) == 1 else ""


def _to_be_built(workloads: list[PurePosixPath]) -> tuple[str, ...]:
    if not workloads:
        return ()
    return (
        (
            f"{workloads[0]} is a part of a chart or a kustomization: commit what that builds (`kubectl kustomize`, "
            "`helm template`), and name the file in deploy.manifests to release to Kubernetes."
        ),
    )
