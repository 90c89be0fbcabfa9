"""Options that stop a test run at its first failure: found in a project, and switched off for grading.

Called by `runner` for every grading run. A run that stops early reports too few tests, on base and on the change. It
must not know what a run is for.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from phasegate.infra.documents.json_text import json_table_or_empty

ENVIRONMENT: Mapping[str, str] = {"PYTEST_ADDOPTS": "--maxfail=0"}
"""Variables that switch off what settings files say: pytest reads its settings first, then this variable."""

_WORD = r"(?<![\w./-])"
_PYTEST = re.compile(r"\bpy\.?test\b")
_PYTEST_LONG = re.compile(rf"{_WORD}(?:--exitfirst|--maxfail(?:=|\s+)\d+|-x)(?=[\s'\"]|$)")
_PYTEST_SHORT = re.compile(r"(?<=\s)-([qvsl]*)x([qvslx]*)(?=[\s'\"]|$)")
_UNITTEST = re.compile(r"\b(?:unittest|xmlrunner)\b")
_UNITTEST_OPTION = re.compile(rf"{_WORD}(?:--failfast|-f)(?=\s|$)")
_GO = re.compile(r"\s-{1,2}(?:test\.)?failfast(?:=true)?(?=\s|$)")
_MAVEN = re.compile(r"\s(?:-ff|--fail-fast)(?=\s|$)|\s-Dsurefire\.skipAfterFailureCount=\d+")
_NODE = re.compile(r"\s(?:--bail(?:=\S+|\s+(?:\d+|true))?|-b|--fail-fast)(?=\s|$)")
_NODE_RUNNERS = re.compile(r"\b(?:mocha|jest|vitest|ava)\b")
_CARGO = re.compile(r"\bcargo\s+(?:\+\S+\s+)?(?:nextest\s+run|test|t)\b(?!.*--no-fail-fast)")
_GRADLE = re.compile(r"(?:^|[\s/])gradlew?(?=\s)(?!.*--continue)")
_MAVEN_CALL = re.compile(r"(?:^|[\s/])mvnw?(?=\s)(?!.*(?:-fae|--fail-at-end|-fn|--fail-never))")
_OFF = {"mocha": "--no-bail", "jest": "--bail=0", "vitest": "--bail=0", "ava": "--no-fail-fast"}
_SCRIPT = re.compile(r"(?:^|[;&|]\s*)(?:npm|pnpm|yarn|bun)\s+(?:run(?:-script)?\s+)?([\w:.-]+)")
_SETTINGS = (
    (
        "mocha",
        re.compile(r"(?:.*/)?\.mocharc\.(?:c?js|json|jsonc|ya?ml)"),
        re.compile(r"\bbail['\"]?\s*:\s*(?:true|1)"),
    ),
    ("jest", re.compile(r"(?:.*/)?jest\.config\.\w+"), re.compile(r"\bbail['\"]?\s*:\s*(?:true|[1-9])")),
    ("vitest", re.compile(r"(?:.*/)?vite(?:st)?\.config\.\w+"), re.compile(r"\bbail['\"]?\s*:\s*[1-9]")),
    ("ava", re.compile(r"(?:.*/)?ava\.config\.\w+"), re.compile(r"\bfailFast['\"]?\s*:\s*true")),
    (
        "maven",
        re.compile(r"(?:.*/)?pom\.xml"),
        re.compile(r"<(?:surefire\.)?skipAfterFailureCount>\s*[1-9]"),
    ),
    ("gradle", re.compile(r"(?:.*/)?build\.gradle(?:\.kts)?"), re.compile(r"\bfailFast\s*=\s*true")),
)
_WRAPPERS = re.compile(r"(?:(?:.*/)?(?:Makefile|GNUmakefile|noxfile\.py|tox\.ini|justfile|[^/]+\.sh))")
_STOPPED = re.compile(
    r"(?m)^!+ stopping after \d+ failures? !+$|^Bail out!|^!+ Interrupted: \d+ errors? during collection !+$"
)


def without_fail_fast(command: str) -> str:
    """Take the options that stop at the first failure out of a test command.

    Args:
        command: A shell command.

    Returns:
        The command, with the runner's option for going on where the runner stops by default.
    """
    if _PYTEST.search(command):
        command = _PYTEST_LONG.sub("", command)
        command = _PYTEST_SHORT.sub(_other_letters, command)
    if _UNITTEST.search(command):
        command = _UNITTEST_OPTION.sub("", command)
    if re.search(r"\bgo\s+test\b|\bgotestsum\b", command):
        command = _GO.sub("", command)
    if _NODE_RUNNERS.search(command):
        command = _NODE.sub("", command)
    command = _MAVEN.sub("", command) if "mvn" in command else command
    command = _CARGO.sub(lambda call: f"{call[0]} --no-fail-fast", command)
    command = _GRADLE.sub(lambda call: f"{call[0]} --continue", command)
    return _MAVEN_CALL.sub(lambda call: f"{call[0]} --fail-at-end", command)


def switched_off(command: str, files: Mapping[str, Callable[[], bytes | None]]) -> tuple[str, tuple[str, ...]]:
    """Make a test command that runs every test, as far as its runner allows.

    Args:
        command: The project's test command.
        files: The project's files by path, each with a function that reads it.

    Returns:
        The command to run, and the places of options that could not be switched off.
    """
    command = without_fail_fast(command)
    script, text = script_of(command, files)
    runner = _last_runner(text or command)
    places = _places(runner, files)
    if text and _NODE.search(f" {text}") and runner:
        places.append(f"package.json, script {script}")
    if not places:
        return command, _in_wrappers(command, files)
    if runner in _OFF and not re.search(r"[;&|>#]", command) and not re.search(r"[;&|>#]", text):
        npm = bool(text) and re.match(r"(?:npm|pnpm)\b", command) and " -- " not in command
        return f"{command} {'-- ' if npm else ''}{_OFF[runner]}", ()
    return command, tuple(places)


def cut_short(output: str) -> bool:
    """True if a runner's output says that it stopped before the last test."""
    return _STOPPED.search(output) is not None


def script_of(command: str, files: Mapping[str, Callable[[], bytes | None]]) -> tuple[str, str]:
    """Name and text of the script in package.json that a command runs, or empty strings if it runs none."""
    call = _SCRIPT.search(command)
    if call is None or "package.json" not in files:
        return "", ""
    name = "test" if call[1] == "t" else call[1]
    scripts = package(files).get("scripts")
    text: Any = scripts.get(name) if isinstance(scripts, dict) else None  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType] - JSON has any shape
    return (name, text) if isinstance(text, str) else ("", "")


def package(files: Mapping[str, Callable[[], bytes | None]]) -> dict[str, Any]:
    """Content of package.json, or an empty one if it cannot be read."""
    return json_table_or_empty(files["package.json"]() or b"{}", "package.json")


def _other_letters(option: re.Match[str]) -> str:
    letters = (option[1] + option[2]).replace("x", "")
    return f"-{letters}" if letters else ""


def _last_runner(text: str) -> str:
    runners = _NODE_RUNNERS.findall(text)
    if runners:
        return str(runners[-1])
    called = re.search(r"\b(?:(gradle)|mvn)w?\b", text)
    return "" if called is None else called[1] or "maven"


def _places(runner: str, files: Mapping[str, Callable[[], bytes | None]]) -> list[str]:
    """Settings files in which the runner is told to stop at the first failure."""
    if not runner:
        return []
    places = [
        path
        for name, named, says in _SETTINGS
        for path in files
        if name == runner and named.fullmatch(path) and says.search((files[path]() or b"").decode(errors="replace"))
    ]
    own: Any = package(files).get(runner) if "package.json" in files else None
    if isinstance(own, dict) and (own.get("bail") or own.get("failFast")):  # pyright: ignore[reportUnknownMemberType] - as above
        places.append("package.json")
    return places


def _in_wrappers(command: str, files: Mapping[str, Callable[[], bytes | None]]) -> tuple[str, ...]:
    """Files between the command and pytest whose options outrank the environment."""
    called = [path for path in files if _WRAPPERS.fullmatch(path) and _calls(command, path)]
    texts = {path: (files[path]() or b"").decode(errors="replace") for path in called}
    return tuple(
        path
        for path, text in texts.items()
        if any(_PYTEST.search(line) and without_fail_fast(line) != line for line in text.splitlines())
    )


def _calls(command: str, path: str) -> bool:
    name = path.rpartition("/")[2]
    program = {"Makefile": "make", "GNUmakefile": "make", "noxfile.py": "nox", "tox.ini": "tox", "justfile": "just"}
    return re.search(rf"(?<![\w.-]){re.escape(program.get(name, path))}(?![\w.-])", command) is not None
