"""Detection of CMake projects that CTest tests. Called by `project`."""

from __future__ import annotations

import re

from phasegate.infra.policy.detect.findings import ProjectFindings
from phasegate.infra.policy.detect.source_tree import SourceTree

_TESTED = re.compile(r"^\s*(?:enable_testing|add_test|include\s*\(\s*CTest)\b", re.IGNORECASE | re.MULTILINE)
_NO_TEST = (
    "No CMakeLists.txt calls enable_testing() or add_test(). Add them, or write a command under [project]: "
    'test = "…", which writes a JUnit XML report to {junit}.'
)


def detect_cmake(tree: SourceTree) -> ProjectFindings:
    """Read whether CTest knows the project's tests."""
    lists = [path for path in sorted(tree.files) if path.name == "CMakeLists.txt"][:200]
    if not any(_TESTED.search(tree.text(path)) for path in lists):
        return ProjectFindings(language="cmake", notes=(_NO_TEST,))
    build = "cmake -S . -B build && cmake --build build --parallel 2"
    return ProjectFindings(
        language="cmake",
        test=f"{build} && ctest --test-dir build --output-on-failure --output-junit {{junit}}",
        test_because="CMakeLists.txt; `ctest --output-junit` needs CMake 3.21",
    )
