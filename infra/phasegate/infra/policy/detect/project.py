"""Choice of ecosystem: set-up and tests of a repository, as far as its manifests tell. Used by `detect`."""

from __future__ import annotations

from phasegate.infra.policy.detect.cmake import detect_cmake
from phasegate.infra.policy.detect.findings import ProjectFindings
from phasegate.infra.policy.detect.go import detect_go
from phasegate.infra.policy.detect.jvm import detect_jvm, is_jvm
from phasegate.infra.policy.detect.node import detect_node
from phasegate.infra.policy.detect.python import PYTHON_MANIFESTS, detect_python
from phasegate.infra.policy.detect.rust import detect_rust
from phasegate.infra.policy.detect.source_tree import SourceTree

_BY_MANIFEST = {
    "go.mod": detect_go,
    "go.work": detect_go,
    "Cargo.toml": detect_rust,
    "pom.xml": detect_jvm,
    "package.json": detect_node,
    "CMakeLists.txt": detect_cmake,
}
_NO_TEST = (
    'No test command was recognised. Write one under [project]: test = "…", which writes a JUnit XML report to {junit}.'
)


def detect_project(tree: SourceTree) -> ProjectFindings:
    """Look for manifests at the root, Python's first; stray Python files count last."""
    if any(name in tree for name in PYTHON_MANIFESTS) or _is_tested_by_tox(tree):
        return detect_python(tree)
    for manifest, detected in _BY_MANIFEST.items():
        if manifest in tree:
            return detected(tree)
    if is_jvm(tree):
        return detect_jvm(tree)
    if any(path.suffix == ".py" for path in tree.files):
        return detect_python(tree)
    return ProjectFindings(notes=(_NO_TEST,))


def _is_tested_by_tox(tree: SourceTree) -> bool:
    return "tox.ini" in tree and "package.json" not in tree
