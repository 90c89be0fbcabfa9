"""Start of the plain process for Python tests, and of its watched twin inside pytest.

Called by `plain_run`. The scripts that run in these processes are in `plain`. It must not know what is compared.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from phasegate.infra.grading.integrity.moved_environment import environments
from phasegate.infra.grading.runner.fail_fast import ENVIRONMENT as FAIL_FAST_OFF
from phasegate.infra.grading.runner.runner import Prepared
from phasegate.infra.sandbox.environment import search_path

_PARTS = (
    *(
        "library",
        "questions",
        "waits",
        "clocks",
        "finders",
        "loaded",
        "captures",
        "fixtures",
        "sources",
        "packages",
        "runners",
    ),
    "code_images",
    "cases",
    *("namespaces", "imports", "values", "variations", "../agreement", "calls", "execute"),
)
_OWN_IMPORT = re.compile(r"(?m)^from phasegate\.[\w.]+ import (?:\([^)]*\)|[^\n]*)\n")
_ENTRY = """\
def {name}():
    import sys
    loaded = list(sys.modules)
    import json, os
    with open({order!r}, encoding="utf-8") as file:
        order = json.load(file)
    for path in ({order!r}, {entry!r}):
        os.unlink(path)
    order["loaded"] = loaded
    space = {{"__name__": "service"}}
    for _, part in order["parts"]:
        exec(compile(part, {entry!r}, "exec"), space)
    space["main"](order)
"""
_ALONE = "main()\n"
_RUNNER = ("-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", "/dev/null", "--rootdir", ".", "--noconftest")
_LONGEST_LINE = 200
_NO_MODULES = ("setup", "conftest", "manage", "noxfile", "fabfile", "tasks", "__main__")
_NO_PACKAGES = ("docs", "doc", "examples", "scripts", "tools", "bin")
_ASKS_FOR_PLACE = re.compile(
    r"__(?:file|spec|path|loader|cached)__|(?<!__name__ == .)__main__|\b(?:site|dist)-packages|\b(?:dist|egg)-info"
    r"|pyproject|setup\.(?:py|cfg)"
    r"|importlib|pkgutil|pkg_resources|sysconfig|\binspect\b|traceback|\bstack\b|_getframe|co_filename|f_code|f_globals"
    r"|sys\.(?:argv|orig_argv|path|prefix|modules)|std(?:in|out|err)\b|isatty|\bselect\b|ttyname"
    r"|expanduser|Path\.home|getpw|getuser|getlogin|[\"']HOME\b"
    r"|\bglobals\(|\beval\(|\bexec\("
    r"|\bexists\(|\b(?:is_?file|is_?dir)\(|os\.(?:stat|fstat|access|listdir|scandir|getcwd)"
    r"|\bcwd\(|abspath|realpath|relpath|\.resolve\(|\.absolute\(|iterdir\(|\bglob\("
)
_PYTHON = re.compile(r"python[0-9.]*")


class PlainPython:
    """Python tests."""

    suffixes: tuple[str, ...] = (".py",)
    entry_suffix: str = ".py"
    asks_for_place: re.Pattern[str] = _ASKS_FOR_PLACE

    def programs(self, ready: Prepared, command: str) -> Iterable[str]:
        """As the port says: the environments of the project first, then those of the test command."""
        return dict.fromkeys(_interpreters(ready, command))

    def entry(self, order: Mapping[str, Any], *, watched: bool, folder: Path) -> str:
        """As the port says."""
        place, entry = order["own_files"]
        text = _ENTRY.format(name="test_all" if watched else "main", order=place, entry=entry)
        return text if watched else text + _ALONE

    def command(self, program: str, entry: str, *, watched: bool) -> Sequence[str]:
        """As the port says."""
        return [program, *_RUNNER, entry] if watched else [program, entry]

    def environment(self, *, watched: bool, home: str) -> Mapping[str, str]:
        """As the port says: a service's lines are to be read as soon as they are written."""
        return (
            {**FAIL_FAST_OFF, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_PLUGINS": ""}
            if watched
            else {"HOME": home, "PYTHONUNBUFFERED": "1"}
        )

    def parts(self) -> list[tuple[str, str]]:
        """As the port says."""
        place = Path(__file__).parent / "plain"
        texts = [(place / f"{name}.py").read_text() for name in _PARTS]
        own = [_OWN_IMPORT.sub("", text) for text in texts]
        return list(zip(_PARTS, own, strict=True))

    def modules(self, path: str, text: str) -> list[str]:
        """As the port says: the file's own dotted name, if it can be imported and is no script."""
        parts = path.removeprefix("src/").removesuffix(".py").split("/")
        if parts[-1] == "__init__":
            parts.pop()
        fits = all(part.isidentifier() for part in parts) and parts and parts[-1] not in _NO_MODULES
        return [".".join(parts)] if fits and parts[0] not in _NO_PACKAGES else []

    def paths(self, folder: Path, files: Iterable[str]) -> list[str]:
        """As the port says."""
        folders = dict.fromkeys(["", "src", "lib"])
        for path in files:
            place = Path(path).parent
            while place != Path() and (folder / place / "__init__.py").is_file():
                place = place.parent
            folders["" if place == Path() else str(place)] = None
        return [path for path in folders if (folder / path).is_dir()]

    def installed_place(self, ready: Prepared, program: str) -> str:
        """As the port says."""
        library = Path(program).parent.parent / "lib"
        if library.is_relative_to(ready.inside):
            library = ready.find(str(library.relative_to(ready.inside)))
        versions = sorted(path.name for path in library.glob("python3.*") if _PYTHON.fullmatch(path.name))
        return f"lib/{versions[-1] if versions else f'python3.{sys.version_info.minor}'}/site-packages"

    def left_out(self, sealed: Collection[str], own: Mapping[str, str], changed: Collection[str]) -> list[str]:
        """As the port says."""
        return []


def _interpreters(ready: Prepared, command: str) -> Iterator[str]:
    """Interpreters that may have the project's packages: its environments first, then those of the test command."""
    for name in environments(ready):
        yield str(ready.inside / name / "bin/python")
    path = os.pathsep.join([*search_path(), str(Path(sys.executable).parent)])
    for word in dict.fromkeys([*re.findall(r"[^\s'\"=]+", command), "pytest", "python3"]):
        where = shutil.which(word, path=path)
        if where and _PYTHON.fullmatch(Path(where).name):
            yield where
        elif where and (line := _first_line(Path(where))).startswith("#!/"):
            yield line[2:].strip()


def _first_line(path: Path) -> str:
    with path.open("rb") as file:
        return file.readline(_LONGEST_LINE).decode(errors="replace")
