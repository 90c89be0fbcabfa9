"""Detection of Python projects: uv, Poetry, Pipenv, PDM, or pip in an environment of its own. Called by `project`."""

from __future__ import annotations

import re
from configparser import ConfigParser
from configparser import Error as IniError
from typing import Any

from phasegate.infra.policy.detect.findings import ProjectFindings
from phasegate.infra.policy.detect.source_tree import SourceTree, table

PYTHON_MANIFESTS = ("pyproject.toml", "setup.py", "setup.cfg", "requirements.txt", "Pipfile", "pytest.ini")
_TEST_NAMES = ("test", "tests", "testing")
_DEV_NAMES = ("dev", "develop", "development")
_VENV = ".venv/bin/python"
_OWN_RUNNER = (
    "tests/runtests.py is a test runner of its own. Write a command under [project]: "
    'test = "…", which writes a JUnit XML report to {junit}.'
)
_FILE_SHAPES = ("requirements-{}.txt", "requirements_{}.txt", "{}-requirements.txt", "{}_requirements.txt")
_FOLDER_SHAPES = ("requirements/{}.txt", "requirements/requirements-{}.txt")


def detect_python(tree: SourceTree) -> ProjectFindings:
    """Read how a Python project is set up and tested, by the tool whose lock or manifest is there."""
    if "tests/runtests.py" in tree and "manage.py" not in tree:
        setup = _pip(tree, "")
        return ProjectFindings(
            "python", _VENV if setup else "python3", "", "", setup, "this project has dependencies", (_OWN_RUNNER,)
        )
    manifest = tree.toml("pyproject.toml")
    settings = re.search(r"""DJANGO_SETTINGS_MODULE["'],\s*["']([\w.]+)["']""", tree.text("manage.py"))
    more = " pytest-django" if settings else ""
    options = f" --ds={settings[1]} -o 'python_files=test*.py'" if settings else ""
    tool, setup = _by_tool(tree, manifest)
    if tool in {"uv.lock", "tool.uv.workspace"}:
        python = "uv run --no-sync python"
    else:
        setup, tool = (setup, tool) if setup else (_pip(tree, more), "this project has dependencies")
        python = _VENV if setup else "python3"
    if not setup:
        path = _pythonpath(tree, cwd_is_on_it=False)
        return ProjectFindings(
            language="python",
            test=f"pytest -q{path} --junitxml={{junit}}",
            test_because="a Python project that names no dependencies"
            + (", whose tests import from the folder named" if path else ""),
        )
    notes = (f"Django's tests run by pytest-django with {settings[1]}: the tests need it.",) if settings else ()
    return ProjectFindings(
        language="python",
        python=python,
        test=f"{python} -m pytest -q{_pythonpath(tree, cwd_is_on_it=True)}{options} --junitxml={{junit}}",
        test_because=tool if python.startswith("uv") else "the environment that setup makes",
        setup=setup,
        setup_because=tool,
        notes=notes,
    )


def _by_tool(tree: SourceTree, manifest: dict[str, Any]) -> tuple[str, str]:
    """Return the manifest or lock that decides, and the set-up of the tool it belongs to."""
    extras = _wanted(_extras(tree))
    groups = table(manifest, "dependency-groups")
    workspace = "workspace" in table(manifest, "tool", "uv")
    if "uv.lock" in tree or workspace:
        chosen = [*(f"--extra {name}" for name in extras), *(f"--group {name}" for name in _wanted(groups))]
        return (
            "uv.lock" if "uv.lock" in tree else "tool.uv.workspace",
            " ".join(["uv sync", *(["--all-packages"] if workspace else []), *chosen]),
        )
    poetry = table(manifest, "tool", "poetry")
    if "poetry.lock" in tree or "dependencies" in poetry or "group" in poetry:
        with_groups = _wanted({**table(poetry, "group"), **groups})
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


def _pip(tree: SourceTree, more: str) -> str:
    """Return the set-up by pip; empty when the project names nothing to install."""
    manifest = tree.toml("pyproject.toml")
    extras, groups = _wanted(_extras(tree)), _wanted(table(manifest, "dependency-groups"))
    project = f"-e '.[{','.join(extras)}]'" if extras else "-e ." if _is_installed(tree, manifest) else ""
    files = _requirements(tree)
    pinned = [name for name in files if "--hash=" in tree.text(name)]  # pip takes no others beside them
    named = [
        *([project] if project else []),
        *(f"-r {name}" for name in files if name not in pinned),
        *(f"--group {name}" for name in groups),
        *([] if _names_pytest(tree, manifest) else _from_automation(tree)),
    ]
    if not (named or pinned):
        return ""
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
    """Say that a project must be installed: it has dependencies, a version from elsewhere, or entry points."""
    project = table(manifest, "project")
    if any(project.get(key) for key in ("dependencies", "dynamic", "scripts", "entry-points")):
        return True
    classic = tree.text("setup.py") + tree.text("setup.cfg")
    return bool(re.search(r"\b(?:install_requires|extras_require|entry_points|ext_modules)\b", classic))


def _extras(tree: SourceTree) -> dict[str, Any]:
    found = dict(table(tree.toml("pyproject.toml"), "project", "optional-dependencies"))
    config = _ini(tree, "setup.cfg")
    if config.has_section("options.extras_require"):
        found |= dict(config.items("options.extras_require"))
    if declared := re.search(r"extras_require\s*=\s*\{(.*)", tree.text("setup.py"), re.DOTALL):
        found |= dict.fromkeys(re.findall(r"""["']([\w-]+)["']\s*:""", declared[1]), "")
    return found


def _wanted(names: dict[str, Any]) -> list[str]:
    """Return the extras or groups that tests need: those for tests, else those for development."""
    return [name for name in _TEST_NAMES if name in names] or [name for name in _DEV_NAMES if name in names]


def _requirements(tree: SourceTree) -> list[str]:
    def listed(kinds: tuple[str, ...]) -> list[str]:
        shapes = [shape.format(kind) for kind in kinds for shape in (*_FILE_SHAPES, *_FOLDER_SHAPES)]
        return [name for name in shapes if re.search(r"^\s*[^#\s]", tree.text(name), re.MULTILINE)]

    names = ("requirements.txt", "requirements/base.txt", "tests/requirements.txt")
    first = [name for name in names if re.search(r"^\s*[^#\s]", tree.text(name), re.MULTILINE)]
    return first + (listed(_TEST_NAMES) or listed(_DEV_NAMES))


def _names_pytest(tree: SourceTree, manifest: dict[str, Any]) -> bool:
    named = table(manifest, "dependency-groups") | _extras(tree)
    return bool(_wanted(named) or any("pytest" in tree.text(name) for name in _requirements(tree)))


def _from_automation(tree: SourceTree) -> list[str]:
    """Return what tox or nox installs for tests, where the project says it nowhere else."""
    config = _ini(tree, "tox.ini")
    lines = config.get("testenv", "deps", fallback="").splitlines()
    plain = [line.strip() for line in lines if re.fullmatch(r"\s*(?:-r\s*)?[\w.\[\],<>=!~/-]+\s*", line)]
    session = re.search(r"def tests?\(session.*?(?=\n@|\Z)", tree.text("noxfile.py"), re.DOTALL)
    for call in re.findall(r"session\.install\(([^)]*)\)", session[0] if session else ""):
        plain += [name for name in re.findall(r"""["']([\w.\[\]<>=!~-]+)["']""", call) if name[0] not in "-."]
    return [line if line.startswith("-r") else f"'{line}'" for line in dict.fromkeys(plain) if line != "pytest"]


def _ini(tree: SourceTree, name: str) -> ConfigParser:
    config = ConfigParser(interpolation=None, strict=False)
    try:
        config.read_string(tree.text(name))
    except IniError:
        return ConfigParser()
    return config


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
