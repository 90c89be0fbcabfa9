"""Scripts of `package.json` taken apart: the commands that a script runs, one by one, through scripts that it calls.

Called by `node`. Wrappers (coverage, variables, `npx`) are taken off; workspaces are gone through where a script does.
It must not know how a runner writes a report.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import PurePosixPath

from phasegate.infra.policy.detect.node_runners import TOKEN, runner_of
from phasegate.infra.policy.detect.source_tree import SourceTree, table

_MANAGERS = ("npm", "pnpm", "yarn", "bun")
_PARTS = re.compile(r"""((?:"[^"]*"|'[^']*'|[^"'&;]|&(?!&))*)(?:&&|;|$)""")
_REST = re.compile(r"""((?:"[^"]*"|'[^']*'|[^"'|<>&])*?)\s*(?:\d?[<>|&]|$)""")
_VARIABLE = re.compile(r"[A-Za-z_]\w*=")
_COVERAGE = ("c8", "nyc", "istanbul")
_STARTERS = (*_MANAGERS, "node", "tsx", "npx", "cross-env", "env", "run-s", "npm-run-all")
_OTHERS = ("cross-env", "env", "npx", "bunx", "dotenv", "time")
_MONOREPO = ("lerna", "turbo", "nx", "wsrun", "ultra")
_OF_NPX = ("-y", "--yes", "--no", "--no-install", "--", "-T", "--top-level")
_PLURAL = ("npm-run-all", "npm-run-all2", "run-s", "run-p", "concurrently")
_BUILD = re.compile(
    r"\b(?:build|compile|tsc|rollup|webpack|esbuild|tsup|unbuild|swc|babel|generate|codegen|prisma|prepare|fixtures?)\b"
)
_DEEPEST = 8
_MOST = 50
_MOST_CALLS = 200
_LONGEST = 4000
"""Characters read of a script."""


@dataclass(frozen=True)
class Package:
    """A `package.json`."""

    folder: str
    """Relative to the repository's root; empty: the root itself."""
    name: str
    scripts: Mapping[str, str]
    packages: Mapping[str, object]
    """Packages it depends on, with versions."""


@dataclass(frozen=True)
class Step:
    """Command of a script."""

    package: Package
    text: str
    """As it is written."""
    words: tuple[str, ...]
    """Without wrappers and redirections."""
    environment: tuple[str, ...] = ()


@dataclass(frozen=True)
class NodePackages:
    """The root package and its workspaces."""

    root: Package
    workspaces: tuple[Package, ...] = ()

    @classmethod
    def of(cls, tree: SourceTree) -> NodePackages:
        """Read the manifests."""
        root = _package(tree, "")
        globs = _workspace_globs(tree)
        folders = sorted(
            str(path.parent)
            for path in tree.files
            if path.name == "package.json" and path.parts[:-1] and _matches(str(path.parent), globs)
        )
        return cls(root, tuple(_package(tree, folder, root) for folder in folders[:_MOST]))

    def steps(self, script: str = "test") -> list[Step]:
        """Take the root's script apart; where it has none, those of the workspaces."""
        calls = iter(range(_MOST_CALLS))
        whole = self.workspaces if script not in self.root.scripts and self.workspaces else (self.root,)
        return [step for package in whole for step in self._script(package, script, "", (), 0, calls)][:_MOST]

    def _script(
        self,
        package: Package,
        name: str,
        arguments: str,
        environment: tuple[str, ...],
        depth: int,
        calls: Iterator[int],
    ) -> Iterator[Step]:
        if depth <= _DEEPEST and next(calls, None) is not None:
            yield from self._commands(package, package.scripts.get(f"pre{name}", ""), environment, depth, calls)
            text = f"{package.scripts.get(name, '')} {arguments}".strip()
            yield from self._commands(package, text, environment, depth, calls)

    def _commands(
        self, package: Package, text: str, environment: tuple[str, ...], depth: int, calls: Iterator[int]
    ) -> Iterator[Step]:
        for part in (piece.strip() for piece in _PARTS.findall(text[:_LONGEST])):
            bare = _REST.match(part)
            own, words = _unwrapped(TOKEN.findall(bare[1] if bare else part))
            called = self._called(package, words)
            if called is None and words[:1] and words[0] in _MANAGERS and len(words) > 1 and runner_of(words[1]):
                words = words[1:]  # as `yarn jest` and `pnpm vitest` start what is installed
            if words[:1] == ["cd"] and (below := self._at(package, words[1:])):
                package = below
            elif called is not None:
                inner = [
                    step
                    for owner, script, arguments in called
                    for step in self._script(owner, script, arguments, (*environment, *own), depth + 1, calls)
                ]
                runs_tests = any(runner_of(word) for step in inner for word in step.words[:2])
                yield from [Step(package, part, tuple(words))] if is_build(part) and not runs_tests else inner
            elif words[:1] == ["concurrently"]:
                for word in words[1:]:
                    yield from self._commands(package, word.strip("'\""), (*environment, *own), depth + 1, calls)
            elif words:
                yield Step(package, part, tuple(words), (*environment, *own))

    def _called(self, package: Package, words: Sequence[str]) -> list[tuple[Package, str, str]] | None:
        """The scripts that a command runs, each with further arguments, or `None` if it runs none."""
        if not words:
            return None
        if words[0] in _PLURAL:
            patterns = [word.strip("'\"").removeprefix("npm:") for word in words[1:] if not word.startswith("-")]
            if words[0] == "concurrently" and not all(word.strip("'\"").startswith("npm:") for word in words[1:]):
                return None
            return [(package, name, "") for want in patterns for name in _named(package, want)]
        if words[0] in _MONOREPO:
            return self._everywhere(words[1:])
        return self._of_manager(package, words) if words[0] in _MANAGERS else None

    def _of_manager(self, package: Package, words: Sequence[str]) -> list[tuple[Package, str, str]] | None:
        flags, rest, chosen, everywhere = list[str](), list(words[1:]), list[str](), False
        while rest and (
            rest[0].startswith("-") or rest[0] in ("run", "run-script", "workspace", "workspaces", "foreach")
        ):
            flag, _, value = rest.pop(0).partition("=")
            if flag in ("-w", "--workspace", "--filter", "-F", "--prefix", "-C", "--dir", "--cwd", "workspace"):
                chosen.append((value or (rest.pop(0) if rest else "")).strip("'\""))
            everywhere = everywhere or flag in ("-ws", "--workspaces", "-r", "--recursive", "workspaces")
            flags.append(flag)
        if not rest:
            return None
        name, further = rest[0], rest[1:]
        name = "test" if name in ("t", "tst") else name
        at = further.index("--") if "--" in further else (0 if words[0] in ("yarn", "pnpm", "bun") else len(further))
        arguments = " ".join(word for word in further[at:] if word != "--")
        own = further[: further.index("--")] if "--" in further else further
        everywhere = everywhere or any(word in ("-ws", "--workspaces") for word in own)
        chosen += [word.partition("=")[2] for word in own if word.startswith(("--workspace=", "-w="))]
        chosen += [own[place + 1] for place, word in enumerate(own[:-1]) if word in ("-w", "--workspace")]
        if chosen or everywhere:
            inside = [
                workspace
                for workspace in self.workspaces
                if everywhere or any(_is_chosen(workspace, want) for want in chosen)
            ]
            own_arguments = arguments if "--" in further else ""
            return [(workspace, name, own_arguments) for workspace in inside if name in workspace.scripts] or None
        has_script = name in package.scripts and not (words[0] == "bun" and name == "test" and "run" not in flags)
        return [(package, name, arguments)] if has_script else None

    def _everywhere(self, words: Sequence[str]) -> list[tuple[Package, str, str]] | None:
        name = next((word for word in words if any(word in workspace.scripts for workspace in self.workspaces)), "")
        return (
            [(workspace, name, "") for workspace in self.workspaces if name in workspace.scripts] or None
            if name
            else None
        )

    def _at(self, package: Package, words: Sequence[str]) -> Package | None:
        if len(words) != 1:
            return None
        folder = PurePosixPath(package.folder, words[0].strip("'\"")).as_posix()
        return next(
            (
                candidate
                for candidate in (self.root, *self.workspaces)
                if candidate.folder == ("" if folder == "." else folder)
            ),
            None,
        )


def is_build(text: str) -> bool:
    """True if a command makes something that tests may need; one that only checks types does not."""
    return _BUILD.search(text) is not None and "--noEmit" not in text


def _package(tree: SourceTree, folder: str, root: Package | None = None) -> Package:
    manifest = tree.json(f"{folder}/package.json" if folder else "package.json")
    own = {**table(manifest, "dependencies"), **table(manifest, "devDependencies")}
    scripts = {name: text for name, text in table(manifest, "scripts").items() if isinstance(text, str)}
    return Package(folder, str(manifest.get("name", "")), scripts, {**(root.packages if root else {}), **own})


def _workspace_globs(tree: SourceTree) -> list[str]:
    workspaces: object = tree.json("package.json").get("workspaces")
    if isinstance(workspaces, dict):
        workspaces = table({"workspaces": workspaces}, "workspaces").get("packages")
    globs = [str(glob) for glob in workspaces] if isinstance(workspaces, list) else []  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType] - JSON has any shape
    if "pnpm-workspace.yaml" in tree:
        listed = re.search(r"(?m)^packages:\s*\n((?:[ \t]*(?:-.*|#.*)?\n?)+)", tree.text("pnpm-workspace.yaml"))
        globs += re.findall(r"-\s*['\"]?([^'\"\s#]+)", listed[1]) if listed else []
    return globs


def _matches(folder: str, globs: Sequence[str]) -> bool:
    def fits(glob: str) -> bool:
        plain = glob.removeprefix("./").rstrip("/")
        return fnmatchcase(folder, plain) and ("**" in plain or folder.count("/") == plain.count("/"))

    return any(map(fits, globs)) and not any(fits(glob[1:]) for glob in globs if glob.startswith("!"))


def _is_chosen(package: Package, wanted: str) -> bool:
    plain = wanted.removeprefix("./").strip("{}").rstrip("/")
    return fnmatchcase(package.name, wanted) or package.folder == plain


def _named(package: Package, wanted: str) -> list[str]:
    """The scripts that a pattern of npm-run-all names, in their order; `:` stands between parts, as `/` in paths."""
    if not re.search(r"[*?{\[]", wanted):
        return [name for name in wanted.split()[:1] if name in package.scripts]
    pattern = re.escape(wanted).replace(r"\*\*", ".*").replace(r"\*", "[^:]*")
    return [name for name in package.scripts if re.fullmatch(pattern, name)]


def _unwrapped(words: Sequence[str]) -> tuple[tuple[str, ...], list[str]]:
    """Variables that a command sets, and its words behind them and behind wrappers."""
    environment: list[str] = []
    rest = list(words)
    while rest:
        first = rest[0]
        if _VARIABLE.match(first):
            environment.append(rest.pop(0))
        elif first in _COVERAGE:  # grading measures coverage itself
            at = next((n for n, word in enumerate(rest) if n and (runner_of(word) or word in _STARTERS)), None)
            if at is None:
                break
            rest = rest[at:]
        elif first in _OTHERS:
            rest = rest[1:]
            while rest and (rest[0] in _OF_NPX or (first == "dotenv" and rest[0].startswith("-"))):
                flag = rest.pop(0)
                if first == "dotenv" and flag in ("-e", "-c") and rest:
                    rest.pop(0)
        elif first in _MANAGERS and rest[1:2] in (["exec"], ["x"]):
            rest = rest[2:]
            while rest and rest[0] in _OF_NPX:
                rest.pop(0)
        else:
            break
    return tuple(environment), rest
