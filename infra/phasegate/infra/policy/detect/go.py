"""Detection of Go modules and workspaces. Called by `project`."""

from __future__ import annotations

from phasegate.infra.policy.detect.findings import ProjectFindings, ignored_folder
from phasegate.infra.policy.detect.source_tree import SourceTree

_CACHE = 'env GOFLAGS=-modcacherw GOMODCACHE="$PWD/.gomodcache"'
_OF_WORKSPACE = "$(go list -m -f '{{.Dir}}/...')"


def detect_go(tree: SourceTree) -> ProjectFindings:
    """Read how a Go module, or a workspace of several, is set up and tested."""
    workspace = "go.work" in tree
    all_sums = [str(path) for path in sorted(tree.files) if path.name == "go.sum" and tree.text(path).strip()]
    sums = [path for path in all_sums if workspace or path == "go.sum"]
    downloads = bool(sums) and not _is_vendored(tree)
    cache = f"{_CACHE} " if downloads else ""
    notes = [] if workspace else _further_modules(tree)
    return ProjectFindings(
        language="go",
        test=f"{cache}go test -json {_OF_WORKSPACE if workspace else './...'} > {{junit}} 2>&1",
        test_because="go.work" if workspace else "go.mod; reports of `go test -json` are read as they are",
        setup=f"{ignored_folder('.gomodcache')} && {cache}go mod download" if downloads else "",
        setup_because=sums[0] if sums else "",
        notes=tuple(notes),
    )


def _is_vendored(tree: SourceTree) -> bool:
    return bool(tree.text("vendor/modules.txt"))


def _further_modules(tree: SourceTree) -> list[str]:
    folders = [str(path.parent) for path in sorted(tree.files) if path.name == "go.mod" and str(path.parent) != "."]
    if not folders:
        return []
    shown = ", ".join(folders[:5]) + (", …" if len(folders) > 5 else "")
    return [f"`go test ./...` leaves out the modules in {shown}: a go.work file that lists them brings them in."]
