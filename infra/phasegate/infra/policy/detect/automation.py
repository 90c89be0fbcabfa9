"""Packages and commands that tox or nox has for a Python project's tests, as their files say. Called by `python`.

It reads the environment for tests alone, and takes plain words only: what these tools would fill in is not known here.
"""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterable, Iterator, Sequence
from configparser import ConfigParser
from configparser import Error as IniError
from dataclasses import dataclass
from itertools import islice, pairwise
from typing import Any, TypeVar, cast

from phasegate.infra.documents.python_source import python_or_none
from phasegate.infra.policy.detect.source_tree import SourceTree, table

_Kind = TypeVar("_Kind")
_PLAIN = re.compile(r"(?:-r\s*)?[\w.\[\],<>=!~/-]+(?:\s*[<>=!~]=?[^#;]*)?")
_FACTORS = re.compile(r"[\w{},!.-]+\s*:\s+(?=\S)")
"""Conditions before a line of tox's settings."""
_TESTS = re.compile(r"testenv:(?:(?:py(?:py|thon)?[\d.]*|\d[\d.]*|tests?|unit(?:tests?)?)(?:-(?!$)|$))+")
"""Sections of tox for tests alone, on one or several versions of Python; any other factor is something else."""
_PYTEST = ("pytest", "py.test")
_VALUED = ("-k", "-m", "-p", "-c", "-W", "-o", "--ds", "--rootdir", "--import-mode", "--ignore", "--deselect")
"""Options of pytest that are kept, with the value that follows."""
_FLAGS = ("--pyargs", "--doctest-modules", "--strict", "--strict-markers", "--nomigrations", "--no-migrations")
"""Options that are kept and take no value; any other long option may take one."""
_KEPT = (*(f"{option}=" for option in _VALUED if option.startswith("--")), "--doctest-", *_FLAGS)
_PLAIN_FLAGS = ("--verbose", "--quiet", "--exitfirst", "--showlocals", "--cov-append", "--no-cov", "--no-header")


@dataclass(frozen=True)
class Automation:
    """Needs of the tests, and the command that runs them.

    Attributes:
        requirements: Arguments for pip, quoted for the shell.
        extras: Extras of the project.
        groups: Dependency groups.
        variables: Environment variables.
        commands: Command lines, word by word; what tox or nox would fill in is left out.
    """

    requirements: tuple[str, ...] = ()
    extras: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    variables: tuple[tuple[str, str], ...] = ()
    commands: tuple[tuple[str, ...], ...] = ()

    def pytest_arguments(self, tree: SourceTree) -> str:
        """Return the arguments of pytest that choose tests or settings.

        Args:
            tree: The project; files, and folders that are not in it, are left out.
        """
        for words in self.commands:
            at = next((at for at, word in enumerate(words) if word in _PYTEST), None)
            if at is not None:
                return shlex.join(_chosen(words[at + 1 :], tree))
        return ""

    def runs(self, pattern: str) -> re.Match[str] | None:
        """Return where a pattern matches one of the command lines."""
        return next((match for words in self.commands if (match := re.search(pattern, " ".join(words)))), None)


def read_automation(tree: SourceTree) -> Automation:
    """Read tox's settings, or nox's session for tests where there are none."""
    config = ini(tree, "tox.ini")
    if _sections(config):
        return _from_ini(config)
    native = tree.toml("tox.toml") or table(tree.toml("pyproject.toml"), "tool", "tox")
    if isinstance(legacy := native.get("legacy_tox_ini"), str):
        return _from_ini(_parsed(legacy))
    if base := table(native, "env_run_base"):
        return _from_toml(base)
    return _from_nox(tree.text("noxfile.py"))


def ini(tree: SourceTree, name: str) -> ConfigParser:
    """Read a file of sections, or an empty one if it does not parse."""
    return _parsed(tree.text(name))


def _parsed(text: str) -> ConfigParser:
    config = ConfigParser(interpolation=None, strict=False)
    try:
        config.read_string(text)
    except IniError:
        return ConfigParser()
    return config


def _sections(config: ConfigParser) -> list[str]:
    """Sections that say how tests run: one for tests alone, before the one that all take their keys from."""
    own = (name for name in config.sections() if _TESTS.fullmatch(_one_version(name)))
    return [*islice(own, 1), *(["testenv"] if config.has_section("testenv") else [])]


def _one_version(section: str) -> str:
    """A section's name with the first of the names in each pair of braces, as in `py{311,312}-tests`."""
    return re.sub(r"\{\s*([^{},]*)[^{}]*\}", lambda match: match[1].strip(), section)


def _from_ini(config: ConfigParser) -> Automation:
    sections = _sections(config)

    def lines(*keys: str) -> list[str]:
        values = (config.get(name, key) for name in sections for key in keys if config.has_option(name, key))
        text = next(values, "")
        return [line.strip() for line in re.sub(r"\\\n\s*", " ", text).splitlines() if line.strip()]

    requirements = [line.partition(" #")[0].strip() for line in lines("deps") if not line.startswith("#")]
    moved = any(config.has_option(name, key) for name in sections for key in ("changedir", "change_dir"))
    commands = [words for line in lines("commands") if (words := _words(_FACTORS.sub("", line, count=1)))]
    return Automation(
        requirements=_requirements(requirements),
        extras=_listed(lines("extras")),
        groups=_listed(lines("dependency_groups")),
        variables=tuple(_variables(lines("setenv", "set_env"))),
        commands=() if moved else tuple(commands),
    )


def _from_toml(base: dict[str, Any]) -> Automation:
    lines = cast("list[list[object]]", _list(base.get("commands"), list))
    commands = [tuple(word for word in words if isinstance(word, str) and word) for words in lines]
    values: dict[str, Any] = table(base, "set_env")
    plain = {name: value for name, value in values.items() if isinstance(value, str) and "{" not in value}
    return Automation(
        requirements=_requirements(_list(base.get("deps"), str)),
        extras=tuple(_list(base.get("extras"), str)),
        groups=tuple(_list(base.get("dependency_groups"), str)),
        variables=tuple(plain.items()),
        commands=() if "change_dir" in base else tuple(commands),
    )


def _list(value: object, kind: type[_Kind]) -> list[_Kind]:
    entries = cast("list[object]", value) if isinstance(value, list) else []
    return [entry for entry in entries if isinstance(entry, kind)]


def _from_nox(text: str) -> Automation:
    module = python_or_none(text)
    if module is None:
        return Automation()
    sessions = [node for node in module.body if isinstance(node, ast.FunctionDef) and node.name in ("test", "tests")]
    calls = [call for session in sessions for call in ast.walk(session) if isinstance(call, ast.Call)]
    installed: list[str] = []
    groups: list[str] = []
    commands: list[tuple[str, ...]] = []
    for call in calls:
        words = [word.value for word in call.args if isinstance(word, ast.Constant) and isinstance(word.value, str)]
        match call.func:
            case ast.Attribute(attr="install"):
                groups += [name for option, name in pairwise(words) if option in ("--group", "--dependency-group")]
                installed += [word for word in words if word[0] not in "-." and word not in groups]
            case ast.Attribute(attr="run"):
                commands.append(tuple(words))
            case _:
                pass
    return Automation(requirements=_requirements(installed), groups=tuple(groups), commands=tuple(commands))


def _requirements(lines: Iterable[str]) -> tuple[str, ...]:
    """Arguments for pip: of several lines for one package, which stand under conditions, the last one."""
    requirements: dict[str, str] = {}
    for line in lines:
        plain = _FACTORS.sub("", line, count=1).strip()
        if not _PLAIN.fullmatch(plain) or "://" in plain or plain.startswith("."):
            continue
        if plain.startswith("-r"):
            requirements[plain] = f"-r {plain.removeprefix('-r').strip()}"
        elif (name := re.split(r"[\s\[<>=!~]", plain)[0].lower()) != "pytest":
            requirements[name] = f"'{plain}'"
    return tuple(requirements.values())


def _listed(lines: Iterable[str]) -> tuple[str, ...]:
    return tuple(word for line in lines for word in re.split(r"[\s,]+", line) if re.fullmatch(r"[\w.-]+", word))


def _variables(lines: Iterable[str]) -> Iterator[tuple[str, str]]:
    for line in lines:
        name, given, value = line.partition("=")
        if given and "{" not in line and re.fullmatch(r"[A-Za-z_]\w*", name.strip()):
            yield name.strip(), value.strip()


def _words(line: str) -> tuple[str, ...]:
    """Words of a command; `{posargs:tests}` is what it stands for without arguments."""
    filled = re.sub(r"\{posargs(?::([^{}]*))?\}", lambda match: match[1] or "", line).strip("- \t")
    try:
        return tuple(shlex.split(filled))
    except ValueError:
        return ()


def _chosen(words: Sequence[str], tree: SourceTree) -> Iterator[str]:
    """Arguments that choose tests or settings; reports, coverage and processes are another matter."""
    places = {str(folder) for path in tree.files for folder in path.parents} - {"."}  # a file would shut new tests out
    before = ""
    for word in words:
        is_plain = not re.search(r"[{}$]", word)
        if before:
            if before in _VALUED and is_plain:
                yield from (before, word)
            before = ""
            continue
        if word in _VALUED or word in ("-n", "-r") or (word.startswith("--") and _may_take_value(word)):
            before = word
        elif is_plain and (word.startswith(_KEPT) if word.startswith("-") else _is_place(word, places, words)):
            yield word


def _may_take_value(word: str) -> bool:
    return "=" not in word and word not in (*_FLAGS, *_PLAIN_FLAGS)


def _is_place(word: str, places: set[str], words: Sequence[str]) -> bool:
    return word.rstrip("/").removeprefix("./") in places or "--pyargs" in words
