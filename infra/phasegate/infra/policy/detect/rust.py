"""Detection of Cargo packages and workspaces. Called by `project`."""

from __future__ import annotations

from phasegate.infra.policy.detect.findings import ProjectFindings, ignored_folder
from phasegate.infra.policy.detect.source_tree import SourceTree, table

_HOME = 'env CARGO_HOME="$PWD/.cargo-home"'
_PROFILE = ".config/nextest.toml"
_NO_PROFILE = (
    f'Cargo writes no JUnit XML by itself: cargo install cargo-nextest, write path = "junit.xml" below '
    f"[profile.ci.junit] in {_PROFILE}, and call `phasegate init --force` anew."
)


def detect_rust(tree: SourceTree) -> ProjectFindings:
    """Read how a Cargo package is set up, and tested where a profile of nextest writes a report."""
    locked = " --locked" if "Cargo.lock" in tree else ""
    setup = f"{ignored_folder('.cargo-home')} && {_HOME} cargo fetch{locked}"
    found = ProjectFindings(language="rust", setup=setup, setup_because="Cargo.lock" if locked else "Cargo.toml")
    profiles = table(tree.toml(_PROFILE), "profile")
    for name in profiles:
        path = table(profiles, name, "junit").get("path")
        if isinstance(path, str) and path.isascii() and path.replace(".", "").replace("-", "").isalnum():
            workspace = " --workspace" if "workspace" in tree.toml("Cargo.toml") else ""
            run = f"{_HOME} cargo nextest run --offline --profile {name} --no-fail-fast{workspace}"
            return ProjectFindings(
                language="rust",
                test=f"{run}; code=$?; cp target/nextest/{name}/{path} {{junit}}; exit $code",
                test_because=f"the profile {name} in {_PROFILE}",
                setup=setup,
                setup_because=found.setup_because,
                notes=("The test command needs cargo-nextest: cargo install cargo-nextest",),
            )
    return ProjectFindings(language="rust", setup=setup, setup_because=found.setup_because, notes=(_NO_PROFILE,))
