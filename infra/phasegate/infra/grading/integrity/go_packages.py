"""Tests of Go packages, to be compiled against a package of ours in the place of `testing` (`plain/twin.go`).

Called by `plain_go`: into an ordinary program, or into a real test of that program's package. A checkout's content is
untrusted, so links are not followed. It must not know how anything is built.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from phasegate.infra.grading.integrity.go_imports import BODY, MODULE, importers, read_source
from phasegate.infra.grading.tree.planted_names import WORDS
from phasegate.infra.system.trees import walk

CLOCK = "twin_clock.go"
"""File of the twin that makes time pass."""
_TWIN, _CLOCK = (Path(__file__).parent / "plain" / name for name in ("twin.go", CLOCK))
STILL = "package testing; func passOn(float64) {}"
"""Source of that file in a program in which no time is made to pass."""
_IMPORT = re.compile(r'(?m)^(?P<before>[ \t]*(?:import[ \t]+\(?[ \t]*)?)(?P<name>\w+[ \t]+)?"testing"')
_PACKAGE = re.compile(r"(?m)^package[ \t]+(\w+)")
_TEST = re.compile(r"(?m)^func (Test(?:[^a-z(\s]\w*)?)\(\s*\w+\s+\*(\w+)\.T\s*\)")
_MAIN_OF_TESTS = re.compile(r"(?m)^func TestMain\(\s*\w+\s+\*\w+\.M\s*\)")
_MAIN = re.compile(r"(?m)^func main\(\)")
_TAKES_T = re.compile(r"\*testing\.(?:T|M)\b")
_READS_NAMES = re.compile(r"runtime\.(?:Caller|FuncForPC)|\.Name\(\)|debug\.")
_READS_SOURCES = re.compile(
    r"_test\.go|go\.mod|go/(?:parser|build|packages|token)\"|tools/go/|\"go\"|runtime\.Caller|ReadDir|Walk|Glob\("
)
_OTHER_SYSTEMS = re.compile(
    r"_(?:windows|darwin|freebsd|netbsd|openbsd|plan9|js|wasm|solaris|android|ios|aix|dragonfly|illumos)(?:_\w+)?_test\.go$"
)
_READS_CLOCKS = re.compile(r"\btime\.(?:Now|Since|Until)\b")
_FUNCTION = re.compile(r"(?ms)^func (?!init\()(?:[^\n]*\{\n.*?^\}|[^\n]*\}$)")
"""Finds functions that do not run when a source is loaded."""
_PACKAGES = 4
"""Packages that are built at most for sealed tests, and as many besides for changed ones: each is a program."""
_YOUNG = 2.0


@dataclass
class TestedPackage:
    """A folder's tests, on their way into a program."""

    folder: str
    """Of the checkout; empty: its top."""
    module: str
    """The folder of its module."""
    path: str
    """Its import path."""
    twin: str
    """Import path of the package that stands in for `testing`."""
    files: dict[str, str] = field(default_factory=dict[str, str])
    """Text by the name that the compiler tells."""
    overlay: dict[str, str] = field(default_factory=dict[str, str])
    """Such a name by the path in the checkout; empty: no file is there."""
    beside: str = field(default_factory=lambda: f"{secrets.choice(WORDS)}{secrets.token_hex(2)}")
    """Name of further folders and files."""
    main: str = ""
    """Folder of the main package."""
    reads_sources: bool = False
    """True where its module's sources, but for changed ones, or its tests may read files of the module."""

    def put(self, path: str, name: str, text: str) -> None:
        """Put a file into the overlay."""
        self.files[name], self.overlay[path] = text, name


def tested_packages(order: Mapping[str, Any], folder: Path, *, watched: bool) -> Iterator[TestedPackage]:
    """Packages that have tests, those of sealed tests first."""
    own, texts = set(order["own"]), {file["path"]: file["text"] for file in order["files"]}
    wanted = {path: text for path, text in texts.items() if path.endswith("_test.go")}
    sealed = [path for path in wanted if path not in own]
    importing = importers(folder, {_folder(path) for path in order["changed"]})
    for place in choose_packages(sealed, own & wanted.keys(), order["changed"], importing)[0]:
        modules = ((parent, MODULE.search(read_source(folder / parent / "go.mod"))) for parent in _upwards(place))
        module, named = next(((parent, declaration) for parent, declaration in modules if declaration), ("", None))
        if named is None:
            continue
        inner = str(Path(place).relative_to(module or "."))
        twin = f"{secrets.choice(WORDS)}{secrets.token_hex(3)}"
        target = TestedPackage(place, module, named[1] if inner == "." else f"{named[1]}/{inner}", f"{named[1]}/{twin}")
        here = {path: text for path, text in wanted.items() if _folder(path) == place}
        is_sealed = any(path not in own for path in here)
        _assemble(target, here, order, folder, twin, watched=watched, is_sealed=is_sealed)
        yield target


def choose_packages(
    sealed: Collection[str], own: Collection[str], changed: Collection[str], importing: Collection[str] = ()
) -> tuple[list[str], list[str]]:
    """Choose folders whose tests are built, and name those that concern the change and are left out.

    Sealed tests come first, then the changed packages' own, then tests of packages that import one of these. Where
    none of the project's tests is among them, one package has to tell if its tests run here at all.

    Args:
        sealed: Paths of sealed tests.
        own: Paths of the project's tests.
        changed: Paths of product files that the change has.
        importing: Folders of packages that import a changed one, directly or through others.
    """
    asked = list(dict.fromkeys(map(_folder, sealed)))
    touched = {_folder(path) for path in changed}
    beside = sorted({_folder(path) for path in own} - set(asked[:_PACKAGES]))
    near = [place for place in beside if place in touched]
    far = [place for place in beside if place in importing and place not in touched]
    chosen = [*asked[:_PACKAGES], *near[:_PACKAGES]]
    chosen += far[: max(0, _PACKAGES - len(chosen))]
    if not any(_folder(path) in chosen for path in own):
        chosen += beside[:1]
    return chosen, [place for place in dict.fromkeys([*asked, *near]) if place not in chosen]


def _assemble(
    target: TestedPackage,
    here: Mapping[str, str],
    order: Mapping[str, Any],
    folder: Path,
    twin: str,
    *,
    watched: bool,
    is_sealed: bool,
) -> None:
    others = {
        _joined(target.folder, path.name): read_source(path)
        for path in sorted((folder / target.folder).glob("*_test.go"))
    }
    numbers = {file["path"]: number for number, file in enumerate(order["files"])}
    around, packages = "", set[str]()
    target.overlay |= dict.fromkeys(others, "")
    for count, (path, source) in enumerate(sorted((others | dict(here)).items())):
        package = _PACKAGE.search(source)
        if package is None or _OTHER_SYSTEMS.search(path):
            continue
        packages.add(package[1])
        around = package[1] if _MAIN_OF_TESTS.search(source) else around
        own_name = path.rpartition("/")[2]
        neutral = order["neutral"] and not _READS_NAMES.search(source)
        named = "Tested" if watched else f"step{count}of" if neutral else ""
        text = _transformed(source, target.twin, path if path in here else "", numbers.get(path, 0), named)
        if watched:
            target.put(path, own_name, text)
            continue
        name = f"part{count}.go" if neutral else own_name
        place = _joined(target.folder, target.beside if package[1].endswith("_test") else "", f"part{count}.go")
        target.put(place, name, f"//line {order['root']}/{_joined(target.folder, name)}:1\n{text}")
    changed = {folder / path for path in order["changed"]}
    product = [read_source(path) for path in _go_files(folder / target.module) if path not in changed]
    target.reads_sources = any(map(_READS_SOURCES.search, [*here.values(), *others.values(), *product]))
    _add_main(target, folder, packages, around, watched=watched)
    for count, (path, text) in enumerate(_helpers(folder, target.module)):
        target.put(path, f"{target.beside}{count}.go", _with_twin(text, target.twin)[0])
    remembers = any(_READS_CLOCKS.search(_FUNCTION.sub("", text)) for text in (others | dict(here)).values())
    twins = _twin({**order, "shift": 0 if remembers else order["shift"]}, is_sealed=is_sealed, watched=watched)
    target.put(_joined(target.module, twin, "twin.go"), "twin.go", twins)
    target.put(_joined(target.module, twin, CLOCK), CLOCK, STILL if watched or remembers else _CLOCK.read_text())


def _transformed(text: str, twin: str, path: str, number: int, named: str) -> str:
    """A test file against the package of ours.

    Args:
        text: Its source.
        twin: Import path of that package.
        path: With a path, its tests are made known by it.
        number: Its place in the order.
        named: Start of its tests' names, in the place of `Test`; empty: they are kept.
    """
    text, name = _with_twin(text, twin)
    added: list[str] = []
    for test in [declaration[1] for declaration in _TEST.finditer(text) if declaration[2] == name]:
        called = f"{named}{test.removeprefix('Test')}" if named else test
        if named and named != "Tested":
            called = f"{named}{len(added)}"
        text = _renamed(text, test, called)
        added.append(f"{name}.Add({number}, {json.dumps(path)}, {json.dumps(test)}, {called})")
    if named == "Tested":
        text = _renamed(text, "TestMain", "TestedMain")
    return f"{text}\nfunc init() {{ {'; '.join(added)} }}\n" if added and path else text


def _renamed(text: str, old: str, new: str) -> str:
    """Give a function another name, where no string spells it."""
    return re.sub(rf"(?<![\"`\w/.]){old}\b(?![\"`])", new, text)


def _with_twin(text: str, twin: str) -> tuple[str, str]:
    """A source that imports the twin, and the name that it has there; constraints stay at the top."""
    body = BODY.search(text)
    statement = _IMPORT.search(text, 0, body.start() if body else len(text))
    if statement is None:
        return text, ""
    name = (statement["name"] or "testing").strip()
    return f'{text[: statement.start()]}{statement["before"]}{name} "{twin}"{text[statement.end() :]}', name


def _add_main(target: TestedPackage, folder: Path, packages: Collection[str], around: str, *, watched: bool) -> None:
    """Add what runs the tests: a real test, or a main package, which the product's own becomes where it is one."""
    internal = [name for name in sorted(packages) if not name.endswith("_test")]
    runner = f'runner "{target.twin}"'
    if watched:
        package = around or [*internal, *sorted(packages)][0]
        call = f"runner.MainWatched(t, {'TestedMain' if around else 'nil'})"
        target.put(
            _joined(target.folder, "all_test.go"),
            "all_test.go",
            f'package {package}\n\nimport (\n\t"testing"\n\n\t{runner}\n)\n\nfunc TestAll(t *testing.T) {{ {call} }}\n',
        )
        return
    product = [path for path in sorted((folder / target.folder).glob("*.go")) if not path.name.endswith("_test.go")]
    is_program = any(re.search(r"(?m)^package main\b", read_source(path)) for path in product)
    for path in product if is_program else ():
        if _MAIN.search(text := read_source(path)):
            target.put(_joined(target.folder, path.name), path.name, _MAIN.sub("func main_()", text))
    wanted, hook = [runner], "TestMain" if around else "nil"
    if len(internal) < len(packages):
        alias = "beside" if around.endswith("_test") else "_"
        wanted.append(f'{alias} "{target.path}/{target.beside}"')
        hook = "beside.TestMain" if around.endswith("_test") else hook
    if not is_program and (internal or product):
        alias = "subject" if hook == "TestMain" else "_"
        wanted.append(f'{alias} "{target.path}"')
        hook = "subject.TestMain" if hook == "TestMain" else hook
    imports = "".join(f"\t{line}\n" for line in wanted)
    target.main = target.folder if is_program else _joined(target.folder, f"{target.beside}main")
    text = f"package main\n\nimport (\n{imports})\n\nfunc main() {{ runner.Main({hook}) }}\n"
    target.put(_joined(target.main, f"{target.beside}.go"), f"{target.beside}.go", text)


def _helpers(folder: Path, module: str) -> Iterator[tuple[str, str]]:
    """Sources beside the tests' own whose functions take a test."""
    for path in sorted(_go_files(folder / module)):
        parts = path.relative_to(folder / module).parts
        if path.name.endswith("_test.go") or "vendor" in parts or "testdata" in parts:
            continue
        text = read_source(path)
        if _TAKES_T.search(text) and _IMPORT.search(text):
            yield _joined(module, *parts), text


def _twin(order: Mapping[str, Any], *, is_sealed: bool, watched: bool) -> str:
    own = [number for number, file in enumerate(order["files"]) if file["path"] in order["own"]]
    variables = {
        "place": json.dumps(order["out"]),
        "age": float(order["age"] if is_sealed else min(order["age"], _YOUNG)),
        "gap": float(order["gap"] if is_sealed else 0),
        "shift": float(order["shift"]),
        "limit": float(order["limit"]),
        "budget": float(order["budget"]),
        "patience": int(order["patience"]),
        "rounds": int(order["rounds"]),
        "firstOwn": min(own, default=len(order["files"])),
        "watched": "true" if watched else "false",
    }
    lines = "".join(f"\t{name} = {value}\n" for name, value in variables.items())
    return f"{_TWIN.read_text()}\nvar (\n{lines})\n"


def _upwards(folder: str) -> Iterator[str]:
    place = Path(folder)
    yield from (str(path) if path != Path() else "" for path in (place, *place.parents))


def _folder(path: str) -> str:
    return path.rpartition("/")[0]


def _joined(*parts: str) -> str:
    return "/".join(part for part in parts if part)


def _go_files(folder: Path) -> Iterator[Path]:
    for parent, _, files in walk(folder):
        yield from (Path(parent, name) for name in files if name.endswith(".go"))
