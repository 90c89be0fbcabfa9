"""Detection of the command that starts a repository's service on a given port. Used by `detect`.

It guesses from text, so it only answers where the text says that a port is read; a wrong start command would cost a
run its deployment, a missing one costs a line in phasegate.toml.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePosixPath

from phasegate.infra.policy.detect.findings import ProjectFindings
from phasegate.infra.policy.detect.python_application import find_application
from phasegate.infra.policy.detect.source_tree import SourceTree, table

_OPTION = re.compile(r"""["'`]--port["'`=]""")
_PYTHON_VARIABLE = re.compile(r"""(?:environ(?:\.get\(|\[)|getenv\()\s*["']PORT["']""")
_NODE_VARIABLE = re.compile(r"""process\.env(?:\.PORT\b|\[["']PORT["']\])|\benv\.PORT\b""")
_GO_VARIABLE = re.compile(r"""(?:Getenv|LookupEnv)\("PORT"\)""")
_GO_OPTION = re.compile(r"""flag\.\w+\((?:&\w+,\s*)?"port",""")
_SCRIPTS = ("app.py", "main.py", "server.py")
_HEALTH_PATHS = {
    "/healthz": re.compile(r"""(?<![\w/])/healthz(?![\w/-])|(["'`])healthz\1"""),
    "/health": re.compile(r"(?<![\w/])/health(?![\w/-])"),  # the bare word is too common to be a path
}
_SOURCES = (".py", ".js", ".mjs", ".cjs", ".ts", ".go")


@dataclass(frozen=True)
class ServiceFindings:
    """Findings about a service.

    Attributes:
        start: The start command, with `{port}` where the port goes; empty if it cannot be told.
        because: Why, in a few words.
        health: The path of a health check; empty if none was seen.
    """

    start: str = ""
    because: str = ""
    health: str = ""


def detect_service(tree: SourceTree, project: ProjectFindings) -> ServiceFindings:
    """Look at a Procfile first, then at what the language's services usually look like."""
    start, because = _from_procfile(tree, project)
    if not start and project.language == "python":
        start, because = _python(tree, project)
    elif not start and project.language == "node":
        start, because = _node(tree)
    elif not start and project.language == "go":
        start, because = _go(tree)
    return ServiceFindings(start, because, _health(tree)) if start else ServiceFindings()


def _from_procfile(tree: SourceTree, project: ProjectFindings) -> tuple[str, str]:
    match = re.search(r"^web:[ \t]*(\S.*?)[ \t\r]*$", tree.text("Procfile"), re.MULTILINE)
    if match is None:
        return "", ""
    command = re.sub(r"\$\{PORT(?::?-[^}]*)?\}|\$PORT\b", "{port}", match[1])
    match project.python:
        case "uv run --no-sync python":
            command = f"uv run --no-sync {command}"
        case ".venv/bin/python":
            command = f'env PATH="$PWD/.venv/bin:$PATH" {command}'
        case _:
            pass
    return command, "Procfile"


def _python(tree: SourceTree, project: ProjectFindings) -> tuple[str, str]:
    sources = {path: tree.text(path) for path in tree.sources(".py")}
    for path in (path for path in sources if path.name == "__main__.py" and len(path.parts) >= 2):
        package = path.parent
        text = "\n".join(text for other, text in sources.items() if package in other.parents)
        if arguments := _port_arguments(text, _PYTHON_VARIABLE):
            return f"{_module_call(project, package)}{arguments.argument}", f"{path} reads {arguments.reads}"
    for path in (PurePosixPath(name) for name in _SCRIPTS):
        if path in sources and (arguments := _port_arguments(sources[path], _PYTHON_VARIABLE)):
            return f"{project.python} {path}{arguments.argument}", f"{path} reads {arguments.reads}"
    if application := find_application(tree, sources):
        server = "uvicorn" if application.framework == "FastAPI" else "flask"
        call = _module_call(project, PurePosixPath(server), below_src=application.path.parts[0] == "src")
        because = f"the {application.framework} application in {application.path}"
        if application.framework == "FastAPI":
            return f"{call} {application.module}:{application.variable} --port {{port}}", because
        return f"{call} --app {application.module}:{application.variable} run --port {{port}}", because
    return "", ""


def _module_call(project: ProjectFindings, package: PurePosixPath, *, below_src: bool = False) -> str:
    """`python3 -m package`; a project that is not installed is found below src by PYTHONPATH."""
    in_src = below_src or package.parts[0] == "src"
    name = ".".join(package.parts[1:] if package.parts[0] == "src" else package.parts)
    return f"{'env PYTHONPATH=src ' if in_src else ''}{project.python} -m {name}"


def _node(tree: SourceTree) -> tuple[str, str]:
    script = table(tree.json("package.json"), "scripts").get("start")
    if not isinstance(script, str) or not script.strip():
        return "", ""
    if re.search(r"\$\{?PORT", script):
        return "npm start", "the start script in package.json reads PORT"
    text = "\n".join(tree.text(path) for path in tree.sources(".js", ".mjs", ".cjs", ".ts"))
    if _NODE_VARIABLE.search(text):
        return "npm start", "the start script in package.json; the source reads PORT"
    if _OPTION.search(text):
        return "npm start -- --port {port}", "the start script in package.json; the source reads --port"
    return "", ""


def _go(tree: SourceTree) -> tuple[str, str]:
    main = re.compile(r"^package main\b", re.MULTILINE)
    for folder in dict.fromkeys(path.parent for path in tree.sources(".go") if main.search(tree.text(path))):
        text = "\n".join(tree.text(path) for path in tree.sources(".go") if path.parent == folder)
        call = f"go run ./{folder}" if folder.parts else "go run ."
        if _GO_OPTION.search(text):
            return f"{call} -port {{port}}", "package main reads -port"
        if _GO_VARIABLE.search(text):
            return call, "package main reads PORT"
    return "", ""


@dataclass(frozen=True)
class _PortArgument:
    argument: str
    reads: str


def _port_arguments(text: str, variable: re.Pattern[str]) -> _PortArgument | None:
    if _OPTION.search(text):
        return _PortArgument(" --port {port}", "--port")
    if variable.search(text):
        return _PortArgument("", "PORT")
    return None


def _health(tree: SourceTree) -> str:
    text = "\n".join(tree.text(path) for path in tree.sources(*_SOURCES))
    return next((path for path, pattern in _HEALTH_PATHS.items() if pattern.search(text)), "")
