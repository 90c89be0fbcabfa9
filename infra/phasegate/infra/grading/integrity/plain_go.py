"""Start of the plain process for Go tests, and of its watched twin, which `go test` builds.

Called by `plain_run`. Test files are compiled against a package of ours in the place of `testing` (`plain/twin.go`):
into an ordinary program, or into a test of that program's package. Files lie beside the checkout, and the compiler
finds them by an overlay, so the checkout stays as it is. It must not know what is compared.
"""

from __future__ import annotations

import json
import re
import secrets
import shlex
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from phasegate.infra.grading.integrity.planted_names import WORDS
from phasegate.infra.grading.test_run import Prepared

_TWIN = Path(__file__).parent / "plain" / "twin.go"
_IMPORT = re.compile(r'(?m)^(?P<before>[ \t]*(?:import[ \t]+\(?[ \t]*)?)(?P<name>\w+[ \t]+)?"testing"')
_BODY = re.compile(r"(?m)^(?:func|type|var|const)\b")
_PACKAGE = re.compile(r"(?m)^package[ \t]+(\w+)")
_TEST = re.compile(r"(?m)^func (Test(?:[^a-z(\s]\w*)?)\(\s*\w+\s+\*(\w+)\.T\s*\)")
_MAIN_OF_TESTS = re.compile(r"(?m)^func TestMain\(\s*\w+\s+\*\w+\.M\s*\)")
_MAIN = re.compile(r"(?m)^func main\(\)")
_TAKES_T = re.compile(r"\*testing\.(?:T|M)\b")
_READS_NAMES = re.compile(r"runtime\.(?:Caller|FuncForPC)|\.Name\(\)|debug\.")
_OTHER_SYSTEMS = re.compile(
    r"_(?:windows|darwin|freebsd|netbsd|openbsd|plan9|js|wasm|solaris|android|ios|aix|dragonfly|illumos)(?:_\w+)?_test\.go$"
)
_ASSIGNED = re.compile(r"\b((?:GO[A-Z0-9_]+|CGO_\w+)=[^\s'\"$`;&|]+)")
_TAGS = re.compile(r"\s-{1,2}tags[= ]([\w,.]+)")
_PACKAGES = 4
"""Packages that are built at most: each is a program of its own."""
_ROUNDS = 4
"""Attempts to build, each without the files that the one before could not compile."""
_YOUNG = 2.0
_LARGEST = 1024 * 1024
_IS_NOT_BUILT = "grep -q 'build failed\\|setup failed' {out}/said"
_BUILD = """\
attempt=0
while :; do
  if {build} > {out}/said 2>&1; then break; fi
  {is_unbuilt} || break
  attempt=$((attempt + 1))
  if [ $attempt -ge {rounds} ]; then break; fi
  found=
  for name in $(sed -n 's|^\\([^ :]*/\\)\\{{0,1\\}}\\([^ /:]*\\.go\\):[0-9].*|\\2|p' {out}/said | sort -u); do
    [ -f {out}/"$name" ] && [ "$name" != twin.go ] || continue
    line=$(grep -m1 '^package ' {out}/"$name")
    echo "$line" > {out}/"$name"
    found=yes
  done
  [ -n "$found" ] || break
done
"""


@dataclass
class _Package:
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

    def put(self, path: str, name: str, text: str) -> None:
        """Put a file into the overlay."""
        self.files[name], self.overlay[path] = text, name


class PlainGo:
    """Go tests."""

    suffixes: tuple[str, ...] = (".go",)
    entry_suffix: str = ".sh"

    def programs(self, ready: Prepared, command: str) -> Iterable[str]:
        """As the port says: Go, with what the test command sets for it."""
        words = [word for word in _ASSIGNED.findall(command) if not word.startswith("GOFLAGS=")]
        flags = re.findall(r"\bGOFLAGS=([^\s'\"$`;&|]+)", command)
        flags += [f"-tags={tags}" for tags in _TAGS.findall(command)]
        words += [f"GOFLAGS={' '.join(flags)}"] if flags else []
        return (shlex.join(["env", *words, "go"]),)

    def entry(self, order: Mapping[str, Any], *, watched: bool, folder: Path) -> str:
        """As the port says."""
        root = order["root"]
        lines = [*(f"rm -f {shlex.quote(one)}" for one in order["own_files"]), "top=$(mktemp -d)"]
        runs: list[str] = []
        for number, package in enumerate(_packages(order, folder, watched=watched)):
            out = f'"$top"/{number}'
            lines.append(f"mkdir -p {out}")
            lines += [_written(f"{out}/{file}", text) for file, text in package.files.items()]
            lines += [f"ln -s {name} {out}/{one}" for name, one in _other_names(package)]
            lines.append(_overlay(root, package, f"$top/{number}", f"{out}/overlay"))
            lines.append(f"cd {shlex.quote(str(Path(root, package.module)))}")
            if watched:
                flags = f"-count=1 -vet=off -timeout 150s -run '^TestAll$' -overlay {out}/overlay"
                build = f"$go test {flags} {_target(package, package.folder)}"
                lines.append(
                    _BUILD.format(build=build, out=out, rounds=_ROUNDS, is_unbuilt=_IS_NOT_BUILT.format(out=out))
                )
                continue
            program = shlex.quote(str(Path(root, package.beside)))
            build = f"$go build -overlay {out}/overlay -o {program} {_target(package, package.main)}"
            lines.append(_BUILD.format(build=build, out=out, rounds=_ROUNDS, is_unbuilt=":"))
            place = shlex.quote(str(Path(root, package.folder)))
            home = shlex.quote(str(Path(root).parent))
            clean = f"env -u GOFLAGS -u GOCACHE -u GOMODCACHE -u GOPATH HOME={home}"
            runs.append(f"[ -x {program} ] && (cd {place} && printf 'y\\ny\\ny\\n' | {clean} {program})")
        return "\n".join([*lines, 'rm -rf "$top"', *runs, ""])

    def command(self, program: str, entry: str, *, watched: bool) -> Sequence[str]:
        """As the port says."""
        return ["/bin/sh", "-c", f"go={shlex.quote(program)}; . ./{entry}"]

    def environment(self, *, watched: bool, home: str) -> Mapping[str, str]:
        """As the port says: only the program has another home, since compilers have their caches in this one."""
        return {}

    def parts(self) -> list[tuple[str, str]]:
        """As the port says."""
        return []

    def modules(self, path: str, text: str) -> list[str]:
        """As the port says."""
        return []

    def paths(self, folder: Path, files: Iterable[str]) -> list[str]:
        """As the port says."""
        return []


def _packages(order: Mapping[str, Any], folder: Path, *, watched: bool) -> Iterator[_Package]:
    """Packages that have tests, those of sealed tests first."""
    own, texts = set(order["own"]), {file["path"]: file["text"] for file in order["files"]}
    wanted = {path: text for path, text in texts.items() if path.endswith("_test.go")}
    folders = dict.fromkeys(_folder(path) for path in sorted(wanted, key=own.__contains__))
    for place in list(folders)[:_PACKAGES]:
        module = next((one for one in _upwards(place) if (folder / one / "go.mod").is_file()), None)
        named = (
            re.search(r"(?m)^module[ \t]+\"?([^\s\"]+)", _read(folder / module / "go.mod"))
            if module is not None
            else None
        )
        if module is None or named is None:
            continue
        inner = str(Path(place).relative_to(module or "."))
        twin = f"{secrets.choice(WORDS)}{secrets.token_hex(3)}"
        made = _Package(place, module, named[1] if inner == "." else f"{named[1]}/{inner}", f"{named[1]}/{twin}")
        here = {path: text for path, text in wanted.items() if _folder(path) == place}
        is_sealed = any(path not in own for path in here)
        _assemble(made, here, order, folder, twin, watched=watched, is_sealed=is_sealed)
        yield made


def _assemble(
    made: _Package,
    here: Mapping[str, str],
    order: Mapping[str, Any],
    folder: Path,
    twin: str,
    *,
    watched: bool,
    is_sealed: bool,
) -> None:
    others = {_joined(made.folder, path.name): _read(path) for path in sorted((folder / made.folder).glob("*_test.go"))}
    numbers = {file["path"]: number for number, file in enumerate(order["files"])}
    around, packages = "", set[str]()
    made.overlay |= dict.fromkeys(others, "")
    for count, (path, text) in enumerate(sorted((others | dict(here)).items())):
        package = _PACKAGE.search(text)
        if package is None or _OTHER_SYSTEMS.search(path):
            continue
        is_external = package[1].endswith("_test")
        packages.add(package[1])
        if _MAIN_OF_TESTS.search(text):
            around = package[1]
        name = path.rpartition("/")[2] if watched or _READS_NAMES.search(text) else f"part{count}.go"
        neutral = order["neutral"] and name.startswith("part")
        if not watched and not order["neutral"]:
            name = path.rpartition("/")[2]
        known = path if path in here else ""
        named = "Tested" if watched else f"step{count}of" if neutral else ""
        text = _transformed(text, made.twin, known, numbers.get(path, 0), named)
        place = path
        if not watched:
            place = _joined(made.folder, made.beside if is_external else "", f"part{count}.go")
            text = f"//line {order['root']}/{_joined(made.folder, name)}:1\n{text}"
        made.put(place, name, text)
    _add_main(made, folder, packages, around, watched=watched)
    for count, (path, text) in enumerate(_helpers(folder, made.module)):
        made.put(path, f"{made.beside}{count}.go", _with_twin(text, made.twin)[0])
    made.put(_joined(made.module, twin, "twin.go"), "twin.go", _twin(order, is_sealed=is_sealed, watched=watched))


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
    for test in [found[1] for found in _TEST.finditer(text) if found[2] == name]:
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
    body = _BODY.search(text)
    found = _IMPORT.search(text, 0, body.start() if body else len(text))
    if found is None:
        return text, ""
    name = (found["name"] or "testing").strip()
    return f'{text[: found.start()]}{found["before"]}{name} "{twin}"{text[found.end() :]}', name


def _add_main(made: _Package, folder: Path, packages: Collection[str], around: str, *, watched: bool) -> None:
    """Add what runs the tests: a real test, or a main package, which the product's own becomes where it is one."""
    internal = [name for name in sorted(packages) if not name.endswith("_test")]
    runner = f'runner "{made.twin}"'
    if watched:
        package = around or [*internal, *sorted(packages)][0]
        call = f"runner.MainWatched(t, {'TestedMain' if around else 'nil'})"
        made.put(
            _joined(made.folder, "all_test.go"),
            "all_test.go",
            f'package {package}\n\nimport (\n\t"testing"\n\n\t{runner}\n)\n\nfunc TestAll(t *testing.T) {{ {call} }}\n',
        )
        return
    product = [path for path in sorted((folder / made.folder).glob("*.go")) if not path.name.endswith("_test.go")]
    is_program = any(re.search(r"(?m)^package main\b", _read(path)) for path in product)
    for path in product if is_program else ():
        if _MAIN.search(text := _read(path)):
            made.put(_joined(made.folder, path.name), path.name, _MAIN.sub("func main_()", text))
    wanted, hook = [runner], "TestMain" if around else "nil"
    if len(internal) < len(packages):
        alias = "beside" if around.endswith("_test") else "_"
        wanted.append(f'{alias} "{made.path}/{made.beside}"')
        hook = "beside.TestMain" if around.endswith("_test") else hook
    if not is_program and (internal or product):
        alias = "subject" if hook == "TestMain" else "_"
        wanted.append(f'{alias} "{made.path}"')
        hook = "subject.TestMain" if hook == "TestMain" else hook
    imports = "".join(f"\t{one}\n" for one in wanted)
    made.main = made.folder if is_program else _joined(made.folder, f"{made.beside}main")
    text = f"package main\n\nimport (\n{imports})\n\nfunc main() {{ runner.Main({hook}) }}\n"
    made.put(_joined(made.main, f"{made.beside}.go"), f"{made.beside}.go", text)


def _helpers(folder: Path, module: str) -> Iterator[tuple[str, str]]:
    """Sources beside the tests' own whose functions take a test."""
    for path in sorted((folder / module).rglob("*.go")):
        parts = path.relative_to(folder / module).parts
        if path.name.endswith("_test.go") or "vendor" in parts or "testdata" in parts:
            continue
        text = _read(path)
        if _TAKES_T.search(text) and _IMPORT.search(text):
            yield _joined(module, *parts), text


def _twin(order: Mapping[str, Any], *, is_sealed: bool, watched: bool) -> str:
    own = [number for number, file in enumerate(order["files"]) if file["path"] in order["own"]]
    told = {
        "place": json.dumps(order["out"]),
        "age": float(order["age"] if is_sealed else min(order["age"], _YOUNG)),
        "limit": float(order["limit"]),
        "budget": float(order["budget"]),
        "rounds": int(order["rounds"]),
        "firstOwn": min(own, default=len(order["files"])),
        "watched": "true" if watched else "false",
    }
    lines = "".join(f"\t{name} = {value}\n" for name, value in told.items())
    return f"{_TWIN.read_text()}\nconst (\n{lines})\n"


def _other_names(package: _Package) -> Iterator[tuple[str, str]]:
    """Names that the compiler may tell of a file before it has read its first line."""
    for path, name in package.overlay.items():
        told = path.rpartition("/")[2]
        if name and told not in package.files:
            yield name, told


def _target(package: _Package, folder: str) -> str:
    return "./" + str(Path(folder).relative_to(package.module or "."))


def _overlay(root: str, package: _Package, out: str, place: str) -> str:
    table = ", ".join(
        f'{json.dumps(str(Path(root, path)))}: "{f"{out}/{name}" if name else ""}"'
        for path, name in package.overlay.items()
    )
    mark = secrets.token_hex(8)
    return f'cat > {place} <<{mark}\n{{"Replace": {{{table}}}}}\n{mark}'


def _written(place: str, text: str) -> str:
    mark = secrets.token_hex(8)
    return f"cat > {place} <<'{mark}'\n{text}\n{mark}"


def _upwards(folder: str) -> Iterator[str]:
    place = Path(folder)
    yield from (str(one) if one != Path() else "" for one in (place, *place.parents))


def _folder(path: str) -> str:
    return path.rpartition("/")[0]


def _joined(*parts: str) -> str:
    return "/".join(part for part in parts if part)


def _read(path: Path) -> str:
    """Text of a regular file; a checkout's content is untrusted, so links are not followed."""
    if path.is_symlink() or not path.is_file() or path.stat().st_size > _LARGEST:
        return ""
    return path.read_text(errors="replace")
