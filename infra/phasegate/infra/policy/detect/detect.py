"""First policy, for `phasegate init`: a `phasegate.toml` with only what was found out or differs from the defaults.

It reads files; it runs nothing, writes nothing and does not ask git.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from phasegate.infra.policy.detect.findings import ProjectFindings
from phasegate.infra.policy.detect.kubernetes import KubernetesFindings, detect_kubernetes
from phasegate.infra.policy.detect.migrations import MigrationFindings, detect_migrations
from phasegate.infra.policy.detect.project import detect_project
from phasegate.infra.policy.detect.service import ServiceFindings, detect_service
from phasegate.infra.policy.detect.source_tree import SourceTree

_HEAD = "# Found by `phasegate init`. Everything else has a default: `phasegate schema` prints every key.\n"
_NO_START = (
    "No way to start a service on a given port was recognised, so runs end after testing. For deployment, remove "
    '[lifecycle] stages and add [deploy] start = "… {port}".'
)
_NO_HEALTH = "No health path was recognised: a release counts as up when / answers 2xx. Else set [deploy] health."


@dataclass(frozen=True)
class Detected:
    """A first policy.

    Attributes:
        toml: The file's text; `load_policy` accepts it.
        notes: What could not be told, and what to look at, a sentence each.
        declared: True if the repository itself says what runs and where, as manifests do. Otherwise it is a guess,
            which a person has to look over before anything goes by it.
    """

    toml: str
    notes: tuple[str, ...]
    declared: bool = False


def detect(folder: Path) -> Detected:
    """Look at a repository's folder and write down what its policy should say.

    Args:
        folder: The repository's root.
    """
    tree = SourceTree(folder)
    project = detect_project(tree)
    service, cluster = detect_service(tree, project), detect_kubernetes(tree)
    released_by_manifests = bool(cluster.manifests) and not (cluster.loose and service.start)
    if released_by_manifests:
        released = [_until_deployment(), _sandbox(project), _to_kubernetes(cluster)]
        notes = [*_loose_images(cluster), _where(cluster)]
    else:
        released = [_lifecycle(service), _sandbox(project), _deploy(service), _monitor(service)]
        notes = [*_service_notes(service), *cluster.notes, *_loose_images(cluster)]
    if cluster.manifests or service.start:
        migrations = detect_migrations(tree)
        released.append(_migrations(migrations))
        notes += migrations.notes
    tables = [_HEAD, _project(project), *released]
    declared = released_by_manifests and not project.setup  # whose network no person has permitted
    return Detected("\n".join(text for text in tables if text), (*_unread(tree), *project.notes, *notes), declared)


def _unread(tree: SourceTree) -> list[str]:
    return [
        f"{name} does not parse, is nested too deep or larger than 200 kB, and was passed over."
        for name in sorted(tree.unreadable)
    ]


def _project(findings: ProjectFindings) -> str:
    lines: list[str] = []
    if findings.setup:
        lines += [f"# runs once per workspace: {findings.setup_because}", f"setup = {_quoted(findings.setup)}"]
    if findings.test:
        lines += [f"# {findings.test_because}; the command must write its report to {{junit}}"]
        lines += [f"test = {_quoted(findings.test)}"]
    return _table("[project]", lines)


def _lifecycle(findings: ServiceFindings) -> str:
    if findings.start:
        return ""
    return _table(
        "[lifecycle]",
        [
            '# to deploy too: remove this line and add [deploy] start = "… {port}", the command that runs the service',
            'stages = ["prd", "implementation", "testing"]',
        ],
    )


def _until_deployment() -> str:
    return _table(
        "[lifecycle]",
        [
            "# to monitor too: remove this line, and add deploy.url, where the engine reaches the released service",
            'stages = ["prd", "implementation", "testing", "deployment"]',
        ],
    )


def _to_kubernetes(findings: KubernetesFindings) -> str:
    lines = [
        "# applied to the cluster of the engine's kubeconfig; `context` names another than its current one",
        'target = "kubernetes"',
        f"manifests = {_quoted(findings.manifests)}",
    ]
    if findings.namespace:
        lines += ["# the one the manifests name", f"namespace = {_quoted(findings.namespace)}"]
    return _table("[deploy]", lines)


def _where(findings: KubernetesFindings) -> str:
    return (
        f"Releases of {findings.manifests} go to namespace {findings.namespace or 'default'} with the engine's own "
        "kubeconfig; infra/kubernetes/rbac.yaml of phasegate names the rights it needs there."
    )


def _loose_images(findings: KubernetesFindings) -> list[str]:
    if not findings.loose:
        return []
    return [
        (
            f"Only images named by their digest are released to Kubernetes; in {findings.manifests} these are not: "
            f"{', '.join(findings.loose[:5])}. Write name@sha256:…, as the registry and CI print it."
        )
    ]


def _sandbox(findings: ProjectFindings) -> str:
    return _table("[sandbox]", ["# for project.setup alone", "setup_network = true"] if findings.setup else [])


def _deploy(findings: ServiceFindings) -> str:
    if not findings.start:
        return ""
    lines = [f"# runs the service in the foreground: {findings.because}", f"start = {_quoted(findings.start)}"]
    if findings.health:
        lines += [
            "# answers 2xx once the service is up: the source mentions it",
            f"health = {_quoted(findings.health)}",
        ]
    return _table("[deploy]", lines)


def _monitor(findings: ServiceFindings) -> str:
    if not findings.health:
        return ""
    return _table(
        "[[monitor.metrics]]",
        [
            "# after a release: a larger share of failed requests than this brings the release before it back",
            'name = "errors"',
            f"path = {_quoted(findings.health)}",
            'failure_condition = "error_rate > 0.05"',
        ],
    )


def _migrations(findings: MigrationFindings) -> str:
    if not findings.paths:
        return ""
    lines = ["# which files of a change are migrations; the commands expand, migrate and contract would make them"]
    return _table("[deploy.migrations]", [*lines, f"paths = {json.dumps(findings.paths, ensure_ascii=False)}"])


def _service_notes(findings: ServiceFindings) -> list[str]:
    if not findings.start:
        return [_NO_START]
    return [] if findings.health else [_NO_HEALTH]


def _table(header: str, lines: list[str]) -> str:
    return "\n".join([header, *lines, ""]) if lines else ""


def _quoted(text: str) -> str:
    """A TOML basic string: JSON's escapes are among TOML's, DEL alone must not stand as it is."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
