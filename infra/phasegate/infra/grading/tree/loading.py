"""Files that the product's code loads, told by the names it writes: imports, includes, paths in quotes.

Called when a file named like a test is judged. A name that is put together while running is not seen; such a file
counts as a test, and so is left out of what is released. It must not know what becomes of the answer.
"""

from __future__ import annotations

import ast
import posixpath
import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from phasegate.infra.documents.python_source import python_or_none
from phasegate.infra.grading.tree.code_files import is_code
from phasegate.infra.workspace import Repository

_TEMPLATES = re.compile(r".*\.(?:html?|jinja2?|j2|hbs|ejs|erb|twig|mustache|vue|svelte|astro|s?css|less)")
_TASKS = ("setup.py", "noxfile.py", "tasks.py", "fabfile.py", "dodo.py", "SConstruct", "gulpfile.js", "Gruntfile.js")
_QUOTED = re.compile(r"""["'`<]([^"'`<>\n]{1,300})["'`>]""")
_NAMED = re.compile(
    r"^\s*(?:pub\s+)?(?:mod|use|import|using|require|include|from)\s+(?:static\s+)?([\w.:]+)", re.MULTILINE
)
_SAME_PACKAGE = re.compile(r".*\.(?:java|kt|scala|cs|swift)")
_WORD = re.compile(r"\b[A-Za-z_]\w*\b")
_LARGEST = 1_000_000
_DEEPEST = 8


@dataclass(frozen=True)
class Load:
    """A file that another one names."""

    path: str
    by: str
    exact: bool
    """True if the name leads there and nowhere else; else it is the file's own name or the end of its path."""


def is_loader(path: str) -> bool:
    """True if a file of this name may load others when the product runs: no documentation, no data, no task runner."""
    return (is_code(path) or _TEMPLATES.fullmatch(path) is not None) and path.rpartition("/")[2] not in _TASKS


def texts(repository: Repository, commit: str, paths: Iterable[str]) -> dict[str, str]:
    """The content of several files of a commit; very large ones and those that are no files are left out."""
    wanted = [path for path in paths if "\n" not in path]
    asked = "".join(f"{commit}:{path}\n" for path in wanted)
    answer = repository.git.output("cat-file", "--batch", stdin=asked.encode(errors="surrogateescape"))
    contents: dict[str, str] = {}
    at = 0
    for path in wanted:
        head, _, _ = answer[at : at + 4096].partition(b"\n")
        at += len(head) + 1
        words = head.rsplit(b" ", 2)
        if len(words) != 3 or not words[2].isdigit():
            continue  # missing
        size = int(words[2])
        if words[1] == b"blob" and size <= _LARGEST:
            contents[path] = answer[at : at + size].decode(errors="replace")
        at += size + 1
    return contents


@dataclass(frozen=True)
class Targets:
    """Files that may be loaded, to be found by any name that code has for them."""

    paths: frozenset[str]
    _ends: Mapping[str, Sequence[str]] = field(repr=False)
    _stems: frozenset[str] = field(repr=False)

    @classmethod
    def of(cls, paths: Collection[str]) -> Targets:
        """Prepare some files for being looked up."""
        ends: defaultdict[str, list[str]] = defaultdict(list)
        for path in paths:
            for name in _names(path):
                parts = name.split("/")
                for length in range(1, min(len(parts), _DEEPEST) + 1):
                    ends["/".join(parts[-length:])].append(path)
        stems = frozenset(word for end in ends if "/" not in end for word in _WORD.findall(end)[:1])
        return cls(frozenset(paths), dict(ends), stems)

    def loaded_by(self, loader: str, text: str) -> Iterator[Load]:
        """The files that a file's text names."""
        folder = posixpath.dirname(loader)
        if self._stems.isdisjoint(_WORD.findall(text)):
            return
        for name, is_import in _said(loader, text):
            relative = posixpath.normpath(posixpath.join(folder, name))
            for spelling in (name, relative):
                for path in self._ends.get(spelling, ()):
                    if path != loader:
                        yield Load(path, loader, self._is_exact(path, spelling, folder, is_import=is_import))
        if _SAME_PACKAGE.fullmatch(loader):
            for word in set(_WORD.findall(text)):
                for path in self._ends.get(word, ()):
                    if _SAME_PACKAGE.fullmatch(path) and path != loader:
                        yield Load(path, loader, posixpath.dirname(path) == folder)

    @staticmethod
    def _is_exact(path: str, name: str, folder: str, *, is_import: bool) -> bool:
        if "/" in name:
            return is_import or name in _names(path)
        return is_import and (posixpath.dirname(path) in ("", folder))


def _names(path: str) -> list[str]:
    """A path as it is written: whole, without its ending, and as the package or folder it stands for."""
    stem = re.sub(r"(?:\.d)?\.\w+$", "", path)
    names = [path, stem]
    if posixpath.basename(stem) in ("__init__", "index", "mod"):
        names.append(posixpath.dirname(path))
    if path.endswith(".go"):
        names.append(posixpath.dirname(path))
    return [name for name in dict.fromkeys(names) if name]


def _said(loader: str, text: str) -> Iterator[tuple[str, bool]]:
    """Names in a file's text, in the form of paths, each with whether the language loads what it names."""
    if loader.endswith((".py", ".pyi", ".pyx")):
        yield from _python(loader, text)
    else:
        for name in _NAMED.findall(text):
            yield re.sub(r"\.|::", "/", name), True
    for quoted in set(_QUOTED.findall(text)):
        plain = quoted.strip().partition("?")[0]
        if plain.startswith(("./", "../")):
            yield plain, True
        elif plain:
            yield plain.lstrip("/"), False
        if re.fullmatch(r"\w+(?:\.\w+)+", plain):
            yield plain.replace(".", "/"), True


def _python(loader: str, text: str) -> Iterator[tuple[str, bool]]:
    module = python_or_none(text)
    if module is None:
        return
    for node in ast.walk(module):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield from ((name, True) for name in _prefixes(alias.name.replace(".", "/")))
        elif isinstance(node, ast.ImportFrom):
            above = loader.split("/")[: -node.level] if node.level else []
            parts = [*above, *(node.module or "").split(".")]
            start = "/".join(part for part in parts if part)
            if start and not (node.level and not node.module):
                yield from ((name, True) for name in _prefixes(start))
            for alias in node.names:
                yield (f"{start}/{alias.name}" if start else alias.name), True


def _prefixes(name: str) -> Iterator[str]:
    parts = name.split("/")
    for length in range(1, len(parts) + 1):
        yield "/".join(parts[:length])
