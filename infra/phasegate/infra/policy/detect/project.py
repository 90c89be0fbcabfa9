"""How a repository is set up and tested, as far as its manifests tell. Used by `detect`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from phasegate.infra.policy.detect.source_tree import SourceTree, table

Language = Literal["python", "node", "go"]

_NODE_RUNNERS = {
    "vitest": "npx vitest run --reporter=junit --outputFile={junit}",
    "mocha": "npx mocha --reporter=xunit --reporter-option=output={junit}",
    "jest-junit": "env JEST_JUNIT_OUTPUT_FILE={junit} npx jest --reporters=jest-junit",
}
_NODE_LOCKS = {
    "package-lock.json": "npm ci",
    "pnpm-lock.yaml": "pnpm install --frozen-lockfile",
    "yarn.lock": "yarn install --frozen-lockfile",
}
_NO_TEST = (
    'No test command was recognised. Write one under [project]: test = "…", which writes a JUnit XML report to {junit}.'
)
_NO_NODE_TEST = (
    "The test script of package.json names no runner known to write JUnit XML. Write a command under [project]: "
    'test = "…", which writes the report to {junit}.'
)
_TEST_EXTRAS = ("test", "tests", "testing", "dev")


@dataclass(frozen=True)
class ProjectFindings:
    """What was found out.

    Attributes:
        language: What the repository is written in; None when it cannot be told.
        python: How its Python is called, once it is set up.
        test: The test command; empty when it cannot be told.
        test_because: Why, in a few words.
        setup: The set-up command; empty when nothing has to be set up.
        setup_because: Why, in a few words.
        notes: What a person should look at.
    """

    language: Language | None = None
    python: str = "python3"
    test: str = ""
    test_because: str = ""
    setup: str = ""
    setup_because: str = ""
    notes: tuple[str, ...] = ()


def detect_project(tree: SourceTree) -> ProjectFindings:
    """Look for Python, then Go, then Node; stray Python files count last."""
    if any(name in tree for name in ("pyproject.toml", "setup.py", "setup.cfg", "requirements.txt", "pytest.ini")):
        return _python(tree)
    if "go.mod" in tree:
        return _go()
    if "package.json" in tree:
        return _node(tree)
    if any(path.suffix == ".py" for path in tree.files):
        return _python(tree)
    return ProjectFindings(notes=(_NO_TEST,))


def _python(tree: SourceTree) -> ProjectFindings:
    manifest = tree.toml("pyproject.toml")
    extras = [name for name in _TEST_EXTRAS if name in table(manifest, "project", "optional-dependencies")]
    if "uv.lock" in tree:
        return ProjectFindings(
            language="python",
            python="uv run --no-sync python",
            test=f"uv run --no-sync python -m pytest -q{_pythonpath(tree, cwd_is_on_it=True)} --junitxml={{junit}}",
            test_because="uv.lock",
            setup=" ".join(["uv sync", *(f"--extra {name}" for name in extras)]),
            setup_because="uv.lock",
        )
    if wanted := _requirements(tree, extras):
        ignored = "venv" in tree.text(".gitignore")
        steps = [
            "python3 -m venv .venv",
            *([] if ignored else ["echo '*' > .venv/.gitignore"]),  # else the change would contain it
            f".venv/bin/python -m pip install -q {wanted} pytest",
        ]
        return ProjectFindings(
            language="python",
            python=".venv/bin/python",
            test=f".venv/bin/python -m pytest -q{_pythonpath(tree, cwd_is_on_it=True)} --junitxml={{junit}}",
            test_because="the environment that setup makes",
            setup=" && ".join(steps),
            setup_because="this project has dependencies",
        )
    path = _pythonpath(tree, cwd_is_on_it=False)
    return ProjectFindings(
        language="python",
        test=f"pytest -q{path} --junitxml={{junit}}",
        test_because="a Python project without dependencies"
        + (", whose tests import from the folder named" if path else ""),
    )


def _requirements(tree: SourceTree, extras: list[str]) -> str:
    """What pip has to install; empty when the project names no dependency."""
    project = table(tree.toml("pyproject.toml"), "project")
    if project.get("dependencies") or (project and extras):
        return f"-e '.[{','.join(extras)}]'" if extras else "-e ."
    names = ("requirements.txt", "requirements-dev.txt", "requirements-test.txt", "dev-requirements.txt")
    named = [name for name in names if re.search(r"^\s*[^#\s]", tree.text(name), re.MULTILINE)]
    return " ".join(f"-r {name}" for name in named)


def _pythonpath(tree: SourceTree, *, cwd_is_on_it: bool) -> str:
    """The option of pytest that lets tests import a project that is not installed; empty where nothing is missing.

    `python -m pytest` puts the working directory on the path by itself, a conftest.py at the root makes pytest do it.
    """
    configured = "pythonpath" in table(tree.toml("pyproject.toml"), "tool", "pytest", "ini_options")
    if configured or any("pythonpath" in tree.text(name) for name in ("pytest.ini", "tox.ini", "setup.cfg")):
        return ""
    if any(str(path).startswith("src/") for path in tree.sources(".py")):
        return " -o pythonpath=src"
    at_root = any(len(path.parts) <= 2 for path in tree.sources(".py"))
    return " -o pythonpath=." if at_root and not cwd_is_on_it and "conftest.py" not in tree else ""


def _go() -> ProjectFindings:
    return ProjectFindings(
        language="go",
        test="gotestsum --junitfile {junit} ./...",
        test_because="go.mod",
        notes=("The test command needs gotestsum: go install gotest.tools/gotestsum@latest",),
    )


def _node(tree: SourceTree) -> ProjectFindings:
    manifest = tree.json("package.json")
    names = {**table(manifest, "dependencies"), **table(manifest, "devDependencies")}
    script = table(manifest, "scripts").get("test", "")
    test = _node_test(script if isinstance(script, str) else "", names)
    lock = next((name for name in _NODE_LOCKS if name in tree), "")
    return ProjectFindings(
        language="node",
        test=test,
        test_because="the test script in package.json",
        setup=(_NODE_LOCKS[lock] if lock else "npm install") if names else "",
        setup_because=lock or "package.json has dependencies",
        notes=() if test else (_NO_NODE_TEST,),
    )


def _node_test(script: str, packages: dict[str, object]) -> str:
    if re.match(r"node\s(.*\s)?--test(\s|$)", script):
        reporting = "--test --test-reporter=junit --test-reporter-destination={junit}"
        return re.sub(r"(?<=\s)--test(?=\s|$)", reporting, script, count=1)
    return next((command for package, command in _NODE_RUNNERS.items() if package in packages), "")
