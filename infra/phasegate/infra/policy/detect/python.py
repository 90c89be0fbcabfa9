"""Detection of Python projects: uv, Poetry, Pipenv, PDM, or pip in an environment of its own. Called by `project`."""

from __future__ import annotations

import re
from typing import Any

from phasegate.infra.policy.detect.automation import Automation, ini, read_automation
from phasegate.infra.policy.detect.findings import ProjectFindings
from phasegate.infra.policy.detect.python_tests import find_test_options
from phasegate.infra.policy.detect.source_tree import SourceTree, table

PYTHON_MANIFESTS = ("pyproject.toml", "setup.py", "setup.cfg", "requirements.txt", "Pipfile", "pytest.ini")
_TEST_NAMES = ("test", "tests", "testing")
_DEV_NAMES = ("dev", "develop", "development")
_VENV = ".venv/bin/python"
_FILE_SHAPES = ("requirements-{}.txt", "requirements_{}.txt", "{}-requirements.txt", "{}_requirements.txt")
_FOLDER_SHAPES = ("requirements/{}.txt", "requirements/requirements-{}.txt")


def detect_python(tree: SourceTree) -> ProjectFindings:
    """Read how a Python project is set up and tested, by the tool whose lock or manifest is there."""
    manifest = tree.toml("pyproject.toml")
    automation = read_automation(tree)
    options = find_test_options(tree, automation)
    tool, setup = _by_tool(tree, manifest)
    if tool in {"uv.lock", "tool.uv.workspace"}:
        python = "uv run --no-sync python"
    else:
        pip = "" if setup else _pip(tree, automation, options.plugins)
        setup, tool = (setup, tool) if setup else (pip, "this project has dependencies")
        python = _VENV if setup else "python3"
    if options.own_runner:
        return ProjectFindings("python", python, "", "", setup, tool, options.notes)
    if not setup:
        path = _pythonpath(tree, cwd_is_on_it=False)
        return ProjectFindings(
            language="python",
            test=f"pytest -q{path}{options.arguments} --junitxml={{junit}}",
            test_because="a Python project that names no dependencies"
            + (", whose tests import from the folder named" if path else ""),
            notes=options.notes,
        )
    return ProjectFindings(
        language="python",
        python=python,
        test=f"{python} -m pytest -q{_pythonpath(tree, cwd_is_on_it=True)}{options.arguments} --junitxml={{junit}}",
        test_because=tool if python.startswith("uv") else "the environment that setup makes",
        setup=setup,
        setup_because=tool,
        notes=options.notes,
    )


def _by_tool(tree: SourceTree, manifest: dict[str, Any]) -> tuple[str, str]:
    """Return the manifest or lock that decides, and the set-up of the tool it belongs to."""
    extras = _chosen_extras(_extras(tree))
    groups = table(manifest, "dependency-groups")
    workspace = "workspace" in table(manifest, "tool", "uv")
    if "uv.lock" in tree or workspace:
        chosen = [*(f"--extra {name}" for name in extras), *(f"--group {name}" for name in _chosen_extras(groups))]
        return (
            "uv.lock" if "uv.lock" in tree else "tool.uv.workspace",
            " ".join(["uv sync", *(["--all-packages"] if workspace else []), *chosen]),
        )
    poetry = table(manifest, "tool", "poetry")
    if "poetry.lock" in tree or "dependencies" in poetry or "group" in poetry:
        with_groups = _chosen_extras({**table(poetry, "group"), **groups})
        parts = [f" --with {','.join(with_groups)}" if with_groups else "", *(f" --extras {name}" for name in extras)]
        install = f"env POETRY_VIRTUALENVS_IN_PROJECT=true poetry install --no-interaction{''.join(parts)}"
        return "poetry.lock" if "poetry.lock" in tree else "tool.poetry", install
    if "pdm.lock" in tree:
        return "pdm.lock", "env PDM_VENV_IN_PROJECT=1 pdm install --frozen-lockfile --dev"
    if "Pipfile" in tree:
        locked = "Pipfile.lock" in tree
        install = "pipenv sync --dev" if locked else "pipenv install --dev"
        return "Pipfile.lock" if locked else "Pipfile", f"env PIPENV_VENV_IN_PROJECT=1 {install}"
    return "", ""


def _pip(tree: SourceTree, automation: Automation, plugins: tuple[str, ...]) -> str:
    """Return the set-up by pip, or an empty string if the project names nothing to install."""
    manifest = tree.toml("pyproject.toml")
    known, known_groups = _extras(tree), table(manifest, "dependency-groups")
    extras = _chosen_extras(known, automation.extras)
    groups = _chosen_extras(known_groups, automation.groups)
    by_automation = bool({*automation.extras} & known.keys() or {*automation.groups} & known_groups.keys())
    project = f"-e '.[{','.join(extras)}]'" if extras else "-e ." if _is_installed(tree, manifest) else ""
    files = _requirements(tree)
    pinned = [name for name in files if "--hash=" in tree.text(name)]  # pip takes no others beside them
    named = [
        *([project] if project else []),
        *(f"-r {name}" for name in files if name not in pinned),
        *(f"--group {name}" for name in groups),
        *(automation.requirements if by_automation or not _names_pytest(tree, manifest) else ()),
    ]
    named = list(dict.fromkeys(named))
    if not (named or pinned):
        return ""
    texts = [tree.text(name) for name in (*files, "pyproject.toml", "setup.py", "setup.cfg")]
    more = "".join(f" {name}" for name in plugins if not any(name in text for text in (*texts, *named)))
    install = f"{_VENV} -m pip install -q"
    ignored = "venv" in tree.text(".gitignore")
    steps = [
        "python3 -m venv .venv",
        *([] if ignored else ["echo '*' > .venv/.gitignore"]),  # else the change would contain it
        *([f"{install} 'pip>=25.1'"] if groups else []),  # the first that knows --group
        *(f"{install} -r {name}" for name in pinned),
        f"{install} {' '.join([*named, 'pytest'])}{more}",
    ]
    return " && ".join(steps)


def _is_installed(tree: SourceTree, manifest: dict[str, Any]) -> bool:
    """Say that a project must be installed: it has dependencies, a version read from outside, or entry points."""
    project = table(manifest, "project")
    if any(project.get(key) for key in ("dependencies", "dynamic", "scripts", "entry-points")):
        return True
    classic = tree.text("setup.py") + tree.text("setup.cfg")
    return bool(re.search(r"\b(?:install_requires|extras_require|entry_points|ext_modules)\b", classic))


def _extras(tree: SourceTree) -> dict[str, Any]:
    extras = dict(table(tree.toml("pyproject.toml"), "project", "optional-dependencies"))
    config = ini(tree, "setup.cfg")
    if config.has_section("options.extras_require"):
        extras |= dict(config.items("options.extras_require"))
    if declared := re.search(r"extras_require\s*=\s*\{(.*)", tree.text("setup.py"), re.DOTALL):
        extras |= dict.fromkeys(re.findall(r"""["']([\w-]+)["']\s*:""", declared[1]), "")
    return extras


def _chosen_extras(names: dict[str, Any], automated: tuple[str, ...] = ()) -> list[str]:
    """Return the extras or groups that tests need: those that tox or nox takes, those for tests, or for development."""
    by_name = [name for name in _TEST_NAMES if name in names] or [name for name in _DEV_NAMES if name in names]
    chosen = [name for name in automated if name in names]
    return chosen or by_name


def _requirements(tree: SourceTree) -> list[str]:
    def listed(kinds: tuple[str, ...]) -> list[str]:
        shapes = [shape.format(kind) for kind in kinds for shape in (*_FILE_SHAPES, *_FOLDER_SHAPES)]
        return [name for name in shapes if re.search(r"^\s*[^#\s]", tree.text(name), re.MULTILINE)]

    names = ("requirements.txt", "requirements/base.txt", "tests/requirements.txt")
    first = [name for name in names if re.search(r"^\s*[^#\s]", tree.text(name), re.MULTILINE)]
    return first + (listed(_TEST_NAMES) or listed(_DEV_NAMES))


def _names_pytest(tree: SourceTree, manifest: dict[str, Any]) -> bool:
    named = table(manifest, "dependency-groups") | _extras(tree)
    return bool(_chosen_extras(named) or any("pytest" in tree.text(name) for name in _requirements(tree)))


def _pythonpath(tree: SourceTree, *, cwd_is_on_it: bool) -> str:
    """The option of pytest that lets tests import a project that is not installed, or an empty string.

    `python -m pytest` puts the working directory on the path by itself, a conftest.py at the root makes pytest do it.
    """
    configured = "pythonpath" in table(tree.toml("pyproject.toml"), "tool", "pytest", "ini_options")
    if configured or any("pythonpath" in tree.text(name) for name in ("pytest.ini", "tox.ini", "setup.cfg")):
        return ""
    if any(str(path).startswith("src/") for path in tree.sources(".py")):
        return " -o pythonpath=src"
    at_root = any(len(path.parts) <= 2 for path in tree.sources(".py"))
    return " -o pythonpath=." if at_root and not cwd_is_on_it and "conftest.py" not in tree else ""
