"""Detection of Cargo packages and workspaces. Called by `project`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

from phasegate.infra.policy.detect.findings import ProjectFindings, ignored_folder
from phasegate.infra.policy.detect.source_tree import SourceTree, table

_HOME = 'env CARGO_HOME="$PWD/.cargo-home"'
_PROFILE = ".config/nextest.toml"
_DEPENDENCIES = ("dependencies", "dev-dependencies", "build-dependencies")


def detect_rust(tree: SourceTree) -> ProjectFindings:
    """Read how a Cargo package is set up and tested; by nextest where a profile of the project's writes a report."""
    locked = " --locked" if "Cargo.lock" in tree else ""
    fetched = any(_dependencies(tree)) and not _is_vendored(tree)
    call = f"{_HOME} cargo" if fetched else "cargo"
    test, because = _tests(tree, call)
    return ProjectFindings(
        language="rust",
        test=test,
        test_because=because,
        setup=f"{ignored_folder('.cargo-home')} && {call} fetch{locked}" if fetched else "",
        setup_because="Cargo.lock" if locked else "Cargo.toml",
        notes=("The test command needs cargo-nextest: cargo install cargo-nextest",) if "nextest" in test else (),
    )


def _tests(tree: SourceTree, call: str) -> tuple[str, str]:
    """The test command, and why."""
    workspace = " --workspace" if "workspace" in tree.toml("Cargo.toml") else ""
    profiles = table(tree.toml(_PROFILE), "profile")
    for name in profiles:
        path = table(profiles, name, "junit").get("path")
        if isinstance(path, str) and path.isascii() and path.replace(".", "").replace("-", "").isalnum():
            run = f"{call} nextest run --offline --profile {name} --no-fail-fast{workspace}"
            report = f"cp target/nextest/{name}/{path} {{junit}}"
            return f"{run}; code=$?; {report}; exit $code", f"the profile {name} in {_PROFILE}"
    because = "Cargo.toml; what `cargo test` prints is read as it is"
    return f"{call} test --offline --no-fail-fast{workspace} > {{junit}} 2>&1", because


def _dependencies(tree: SourceTree) -> Iterator[str]:
    """Crates that are downloaded for the root's package and the members of its workspace."""
    for path in _manifests(tree):
        manifest = tree.toml(path)
        targets = list(table(manifest, "target").values())
        for holder in (manifest, table(manifest, "workspace"), *targets):
            for kind in _DEPENDENCIES if isinstance(holder, dict) else ():
                yield from _downloaded(table(cast("dict[str, Any]", holder), kind))


def _manifests(tree: SourceTree) -> list[str]:
    """Manifests that the root's package is built with; a package that it does not name is none of them."""
    root = tree.toml("Cargo.toml")
    own = [table(root, kind) for kind in _DEPENDENCIES]
    names_others = any("path" in table(dependencies, name) for dependencies in own for name in dependencies)
    if "workspace" not in root and not names_others:
        return ["Cargo.toml"]
    left_out = table(root, "workspace").get("exclude")
    excluded = [str(name) for name in cast("list[object]", left_out)] if isinstance(left_out, list) else []
    paths = (str(path) for path in sorted(tree.files) if path.name == "Cargo.toml")
    return [path for path in paths if not any(path.startswith(f"{name}/") for name in excluded)]


def _downloaded(dependencies: dict[str, Any]) -> Iterator[str]:
    for name, requirement in dependencies.items():
        details = cast("dict[str, Any]", requirement) if isinstance(requirement, dict) else {}
        if "path" not in details and details.get("workspace") is not True:
            yield name


def _is_vendored(tree: SourceTree) -> bool:
    """Tell if the project's own settings replace the registry by a folder."""
    sources = table(tree.toml(".cargo/config.toml") or tree.toml(".cargo/config"), "source")
    return any("directory" in table(sources, name) for name in sources)
