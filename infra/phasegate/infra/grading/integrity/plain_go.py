"""Start of the plain process for Go tests, and of its watched twin, which `go test` builds.

Called by `plain_run`. Files lie beside the checkout, and the compiler finds them by an overlay, so the checkout stays
as it is. What cannot be compiled is left out. It must not know what is compared.
"""

from __future__ import annotations

import json
import re
import secrets
import shlex
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from phasegate.infra.grading.integrity.go_packages import CLOCK, STILL, TestedPackage, choose_packages, tested_packages
from phasegate.infra.grading.runner.runner import Prepared

_ASSIGNED = re.compile(r"\b((?:GO[A-Z0-9_]+|CGO_\w+)=[^\s'\"$`;&|]+)")
_TAGS = re.compile(r"\s-{1,2}tags[= ]([\w,.]+)")
_ROUNDS = 4
"""Attempts to build, each without the files that the one before could not compile."""
_IS_NOT_BUILT = "grep -q 'build failed\\|setup failed' {out}/said"
_ENOUGH_SECONDS = 60
"""Time after which no program without sealed tests is built any more: what is built has to run, too."""
_ASKS_FOR_PLACE = re.compile(
    r"runtime\.(?:Callers?|CallersFrames|FuncForPC|Stack|GOROOT)\b|\bdebug\.\w|\bL(?:short|long)file\b|AddSource"
    r"|\bos\.(?:Getwd|Std(?:in|out|err)|L?[Ss]tat|ReadDir|Open|DirFS|Executable|UserHomeDir)\b"
    r"|filepath\.(?:Abs|Glob|Walk)|syscall\.Std|user\.Current|Getenv\(\"HOME"
)
_STRIPPED = """\
stripped=-ldflags=-s; case $($go env GOFLAGS) in *ldflags*) stripped= ;; esac
case $($go env GOVERSION) in
  go1.[0-9]|go1.[0-9].*|go1.1[0-9]*|go1.2[0-2]*) ;;
  *) if [ -n "$stripped" ]; then stripped="$stripped -checklinkname=0"; else {still}; fi ;;
esac"""
"""Programs without symbols, as releases are, unless the project has flags of its own for the linker.

From Go 1.23 on the linker has to be asked to let the clock of package time be reached.
"""
_UNSET = "-u GOFLAGS -u GOCACHE -u GOMODCACHE -u GOPATH -u GO111MODULE -u GOPROXY -u GOROOT -u PWD -u OLDPWD"
"""Variables of builds and shells, which a program's own process does not have."""
_BUILD = """\
attempt=0
while {is_time}; do
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


class PlainGo:
    """Go tests."""

    suffixes: tuple[str, ...] = (".go",)
    entry_suffix: str = ".sh"
    asks_for_place: re.Pattern[str] = _ASKS_FOR_PLACE

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
        lines = [
            *(f"rm -f {shlex.quote(path)}" for path in order["own_files"]),
            "top=$(mktemp -d)",
            "begun=$(date +%s)",
        ]
        runs: list[str] = []
        built: list[TestedPackage] = []
        sealed = {file["path"].rpartition("/")[0] for file in order["files"] if file["path"] not in order["own"]}
        for number, package in enumerate(tested_packages(order, folder, watched=watched)):
            out = f'"$top"/{number}'
            is_time = ":" if package.folder in sealed else f"[ $(date +%s) -lt $((begun + {_ENOUGH_SECONDS})) ]"
            lines.append(f"mkdir -p {out}")
            lines += [_written(f"{out}/{file}", text) for file, text in package.files.items()]
            lines += [f"ln -s {name} {out}/{alias}" for name, alias in _other_names(package)]
            lines.append(_overlay(root, package, f"$top/{number}", f"{out}/overlay"))
            lines.append(f"cd {shlex.quote(str(Path(root, package.module)))}")
            if watched:
                flags = f"-count=1 -vet=off -timeout 150s -run '^TestAll$' -overlay {out}/overlay"
                build = f"$go test {flags} {_target(package, package.folder)}"
                unbuilt = _IS_NOT_BUILT.format(out=out)
                lines.append(_BUILD.format(build=build, out=out, rounds=_ROUNDS, is_unbuilt=unbuilt, is_time=is_time))
                continue
            lines.append(_STRIPPED.format(still=f"echo '{STILL}' > {out}/{CLOCK}"))
            program = shlex.quote(str(Path(root, package.beside)))
            flags = f'{"-trimpath " if order["installed"] else ""}${{stripped:+"$stripped"}} -overlay {out}/overlay'
            build = f"$go build {flags} -o {program} {_target(package, package.main)}"
            lines.append(_BUILD.format(build=build, out=out, rounds=_ROUNDS, is_unbuilt=":", is_time=is_time))
            place = shlex.quote(str(Path(root, package.folder)))
            home = "/root" if order["daemon"] else shlex.quote(str(Path(root).parent))
            built.append(package)
            clean = f"env {_UNSET} HOME={home}"
            started = (
                f"cd / && {clean} {program}"
                if order["daemon"]
                else f"cd {place} && printf 'y\\ny\\ny\\n' | {clean} {program}"
            )
            runs.append(f"[ -x {program} ] && ({started})")
        return "\n".join(
            [
                *lines,
                *_as_released(root, built, has_sources=not order["installed"] or order["keeps"]),
                'rm -rf "$top"',
                *runs,
                "",
            ]
        )

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

    def installed_place(self, ready: Prepared, program: str) -> str:
        """As the port says: a program tells by how it was built, and lies anywhere."""
        return ""

    def left_out(self, sealed: Collection[str], own: Mapping[str, str], changed: Collection[str]) -> list[str]:
        """As the port says: packages, since each is a program to be built."""
        return choose_packages(sealed, own.keys(), changed)[1]


def _as_released(root: str, packages: Sequence[TestedPackage], *, has_sources: bool) -> Iterator[str]:
    """Commands after which built packages look like a release's: old programs, no tests, no files of the module.

    What the tests or the sources of a module may read stays.

    Args:
        root: Place of the checkout.
        packages: Packages that were built.
        has_sources: True to keep the sources.
    """
    for package in packages:
        module, place = str(Path(root, package.module)), Path(root, package.folder)
        files = [f"{module}/go.mod", str(Path(root, package.beside)), str(place)]
        reference, program, folder = map(shlex.quote, files)
        removed = "" if package.reads_sources else f"rm -f {folder}/*_test.go; "
        yield f"{removed}touch -c -r {reference} {program} {folder}"
    for module in sorted({package.module for package in packages if not package.reads_sources}):
        yield f"cd {shlex.quote(str(Path(root, module)))} && rm -f go.mod go.sum"
        if not has_sources:
            yield "find . -name '*.go' -type f -delete"


def _other_names(package: TestedPackage) -> Iterator[tuple[str, str]]:
    """Names that the compiler may tell of a file before it has read its first line."""
    for path, name in package.overlay.items():
        base_name = path.rpartition("/")[2]
        if name and base_name not in package.files:
            yield name, base_name


def _target(package: TestedPackage, folder: str) -> str:
    return "./" + str(Path(folder).relative_to(package.module or "."))


def _overlay(root: str, package: TestedPackage, out: str, place: str) -> str:
    table = ", ".join(
        f'{json.dumps(str(Path(root, path)))}: "{f"{out}/{name}" if name else ""}"'
        for path, name in package.overlay.items()
    )
    mark = secrets.token_hex(8)
    return f'cat > {place} <<{mark}\n{{"Replace": {{{table}}}}}\n{mark}'


def _written(place: str, text: str) -> str:
    mark = secrets.token_hex(8)
    return f"cat > {place} <<'{mark}'\n{text}\n{mark}"
