"""Detection of Go modules. Called by `project`."""

from __future__ import annotations

from phasegate.infra.policy.detect.findings import ProjectFindings, ignored_folder
from phasegate.infra.policy.detect.source_tree import SourceTree

_CACHE = 'env GOFLAGS=-modcacherw GOMODCACHE="$PWD/.gomodcache"'


def detect_go(tree: SourceTree) -> ProjectFindings:
    """Read how a Go module is set up and tested."""
    downloads = "go.sum" in tree and "vendor/modules.txt" not in tree
    return ProjectFindings(
        language="go",
        test=f"{_CACHE + ' ' if downloads else ''}gotestsum --junitfile {{junit}} ./...",
        test_because="go.mod",
        setup=f"{ignored_folder('.gomodcache')} && {_CACHE} go mod download" if downloads else "",
        setup_because="go.sum",
        notes=("The test command needs gotestsum: go install gotest.tools/gotestsum@latest",),
    )
