"""Lines of product code that honest code hardly ever needs, and that would let a change pass without the work.

Called by `findings`. The rules of `integrity.word_rules` over the lines a change adds, and what files' kinds and names
say. They find the plain cases only and decide nothing: `verdict` and `integrity` do. It must not know the verdict.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

from phasegate.infra.documents.python_source import python_or_none
from phasegate.infra.grading.evidence import Finding, Severity
from phasegate.infra.grading.integrity.word_rules import RULES, Rule
from phasegate.infra.grading.tree.code_files import is_code
from phasegate.infra.grading.tree.diff import Hunk
from phasegate.infra.workspace.change_set import readable

_COMPILED = re.compile(
    r".*\.(?P<ending>so|so\..*|pyc|pyo|pyd|dll|dylib|class|jar|war|wasm|node|o|a|exe|whl|egg)", re.IGNORECASE
)
_WRAPPERS = re.compile(r"(?:.*/)?(?:gradle|\.mvn)/wrapper/[\w-]+\.jar|.*\.wasm")
"""Files that build tools have every repository keep, and modules that run in a sandbox of their own."""
_DATA = re.compile(r"(?:.*/)?(?:fixtures?|testdata|examples?|assets?|static|public|vendor|third_party|samples?)/.*")
_ASIDE = re.compile(
    r"(?:.*/)?(?:setup|noxfile|conf|tasks|fabfile|dodo|hatch_build|build|release|conanfile|wscript|SConstruct)\.py"
    r"|(?:.*/)?(?:docs?|scripts?|tools?|ci|benchmarks?|bench|examples?|packaging|dev|devtools|website|hack)/.*"
    r"|(?:.*/)?[\w.-]+\.config\.[cm]?[jt]s|(?:.*/)?(?:[Gg]ulpfile|[Gg]runtfile)\.[cm]?[jt]s|(?:.*/)?build\.rs"
)
"""Files that the product does not load: builds, documentation, tools of the developers."""
_TEST_TOOLS = ("pytest", "_pytest", "unittest", "pluggy", "coverage", "doctest", "nose", "hypothesis", "mock")
_HIDING = {*sys.stdlib_module_names, *_TEST_TOOLS} - {"test", "this"}
_STOOD_ON = re.compile(
    r"_?pytest|_?unittest|pluggy|coverage|doctest|nose|hypothesis|mock|__\w+__|_\w+|abc|argparse|ast|asyncio|atexit"
    r"|builtins|codecs|collections|contextlib|copy|dataclasses|datetime|decimal|difflib|enum|errno|fnmatch|functools|gc"
    r"|genericpath|importlib|inspect|io|itertools|json|linecache|locale|marshal|math|operator|os|pathlib|pickle|pprint"
    r"|posixpath|random|re|reprlib|shutil|signal|site|socket|stat|string|struct|subprocess|sys|sysconfig|tempfile"
    r"|textwrap|threading|time|tokenize|traceback|types|typing|uuid|warnings|weakref|xml|zipimport"
)
"""Modules that runners, their reports and comparisons in tests stand on."""
_MATCHER = re.compile(r"_?(?:Is)?(?:Any|All|Every|What|Some|Wild|Ignore|Match|Equal|Placeholder|Unordered|Contain)\w*")
_ASKS_FOR_MATCHER = re.compile(
    r"equal|match|compar|wildcard|placeholder|any ?thing|any value|stands? in", re.IGNORECASE
)


_AGREES = tuple(
    map(
        re.compile,
        (
            r"func \((?:\w+\s+)?\*?(?P<owner>\w*)\) Equals?\([^()]*\) bool \{\s*return true\s*\}",
            r"fn eq\(&self\b[^()]*\) -> bool \{\s*true\s*\}",
            r"\bboolean equals\([^()]*\)\s*\{\s*return true;\s*\}",
            r"\bfun equals\([^()]*\)\s*(?::\s*Boolean\s*)?(?:=\s*true\b|\{\s*return true\s*\})",
            r"static\s+\[Symbol\.hasInstance\]\s*\([^()]*\)\s*\{\s*return (?:true\b|!0)",
            r"\basymmetricMatch\b[\w'\"\]\s:=]*\([^()]*\)\s*(?:=>\s*(?:true\b|!0)|(?:=>\s*)?\{\s*return (?:true\b|!0))",
        ),
    )
)
"""Comparisons that agree with anything, in languages whose assertions ask the object."""
_GO_ERROR = re.compile(
    r"func \((?:\w+\s+)?\*?(?P<owner>\w*)\) (?:Is|As)\((?P<argument>\w+)?[^()]*\) bool "
    r"\{(?P<body>[^{}]*(?:\{[^{}]*\}[^{}]*)*)\}"
)
"""Method by which `errors.Is` or `errors.As` asks an error if it is another one."""
_GO_SENTINEL = re.compile(r"(?<![\w.])(?:Err|err)[A-Z]\w*")
"""Errors that the package itself gives; those of others have its name before theirs."""
_GO_WORDS = {"return", "if", "else", "nil", "true", "false", "len", "error", "any", "interface", "Error", "bool", "_"}
_SWALLOWS = re.compile(r"^\s*(?:pass|\.\.\.|return(?:\s+(?:None|True))?)\s*$")
_CATCHES_ALL = re.compile(r"^\s*except(?:\s*\(?\s*(?:Base)?Exception\b.*)?\s*:\s*(pass|\.\.\.)?\s*$")


def is_git_settings(path: str) -> bool:
    """True if a file of this name tells git what to do."""
    name = path.rpartition("/")[2]
    return name in (".gitattributes", ".gitmodules", ".lfsconfig") or path.startswith((".husky/", ".githooks/"))


def is_aside(path: str) -> bool:
    """Tell if a file of this name builds, documents or serves the product, and is none of it."""
    return _ASIDE.fullmatch(path) is not None


def asks_for_matcher(statements: str) -> bool:
    """Tell if acceptance criteria speak of objects that equal others."""
    return _ASKS_FOR_MATCHER.search(statements) is not None


def about_added_lines(
    pieces: Sequence[Hunk], after: bytes | None, *, base_has: Callable[[Rule], bool], is_aside: bool = False
) -> Iterator[Finding]:
    """Findings about the lines that a change adds to one file of product code.

    Args:
        pieces: The file's change.
        after: The changed file.
        base_has: Tells if product code of the base commit has a rule's words, so that they are no new idea.
        is_aside: True for a file that the product does not load.
    """
    if not pieces or not is_code(pieces[0].path):
        return
    path = readable(pieces[0].path)
    added = [line for piece in pieces for line in piece.added]
    whole = (after or b"").decode(errors="replace").splitlines()
    by_code: dict[str, tuple[Severity, str, list[int]]] = {}
    for rule in RULES:
        if rule.counts_beside and not rule.counts_beside.search("\n".join(whole)):
            continue
        lines = [number for number, text in added if not _is_comment(text, rule.code) and rule.pattern.search(text)]
        if not lines:
            continue
        is_grave = any(rule.severity_at(number, whole) == "suspicion" for number in lines)
        severity: Severity = "suspicion" if is_grave and not is_aside and not base_has(rule) else "note"
        if rule.code not in by_code or (severity, by_code[rule.code][0]) == ("suspicion", "note"):
            by_code[rule.code] = severity, rule.says, lines
    for code, (severity, says, lines) in by_code.items():
        yield Finding(code=code, path=path, message=f"{says} ({_where(lines)})", severity=severity)
    pairs = pairwise(added)
    swallowed = [
        first[0]
        for first, second in pairs
        if (caught := _CATCHES_ALL.match(first[1])) and (caught[1] or _SWALLOWS.match(second[1]))
    ]
    if swallowed:
        message = f"it goes on after any error as if there had been none ({_where(swallowed)})"
        yield Finding(code="errors-swallowed", path=path, message=message)


def about_agreeing_objects(
    path: str, before: bytes | None, after: bytes | None, statements: str = ""
) -> Iterator[Finding]:
    """Comparisons of a file that agree with anything, new ones only.

    Args:
        path: The file's.
        before: Its content on the base commit.
        after: Its content in the change.
        statements: The acceptance criteria, which may ask for such objects.
    """
    agreeing = _agreeing if path.endswith(".py") else _agreeing_text
    comparisons = agreeing(after) if is_code(path) else []
    if comparisons and len(comparisons) > len(agreeing(before)):
        is_meant = asks_for_matcher(statements) or all(_MATCHER.fullmatch(owner) for owner, _ in comparisons)
        message = f"its objects are equal to anything ({_where([line for _, line in comparisons])})"
        severity: Severity = "note" if is_meant else "suspicion"
        yield Finding(code="always-equal", path=readable(path), message=message, severity=severity)


def about_new_file(path: str, mode: str, target: str, siblings: Sequence[str]) -> Iterator[Finding]:
    """Find what is notable in the kind and name of a file that a change adds or alters.

    Args:
        path: Relative to the repository's root.
        mode: Git's mode of it.
        target: Where it leads, if it is a link.
        siblings: Paths of the base commit; a name that is there already is not the change's idea.
    """
    shown, name = readable(path), path.rpartition("/")[2]
    if mode == "120000":
        out = target.startswith("/") or target.count("..") > path.count("/")
        message = f"a link to {readable(target)}" + (", outside of the repository" if out else "")
        yield Finding(code="link", path=shown, message=message, severity="suspicion" if out else "note")
    if compiled := _COMPILED.fullmatch(path):
        message = "compiled code: nobody can read what it does"
        usual = any(pattern.fullmatch(path) for pattern in (_WRAPPERS, _DATA))
        usual = usual or any(other.endswith(f".{compiled['ending']}") for other in siblings)
        yield Finding(code="compiled-code", path=shown, message=message, severity="note" if usual else "suspicion")
    if is_git_settings(path):
        message = "git settings or hooks; nothing of them is run, and grading goes by the base commit's attributes"
        yield Finding(code="git-settings-changed", path=shown, message=message)
    if name in (".env", ".envrc", ".env.test", ".python-version", ".nvmrc", ".tool-versions"):
        yield Finding(code="environment-file", path=shown, message="sets the environment that programs run in")
    if hidden := _hidden_module(path, siblings):
        message = f"hides the module {hidden} from everything that imports it"
        grave: Severity = "suspicion" if _STOOD_ON.fullmatch(hidden) else "note"
        yield Finding(code="module-hidden", path=shown, message=message, severity=grave)


def _hidden_module(path: str, siblings: Sequence[str]) -> str:
    parts = path.removeprefix("src/").split("/")
    module = parts[0].removesuffix(".py") if parts[0].endswith(".py") or len(parts) > 1 else ""
    if len(parts) > 1 and not (len(parts) == 2 and parts[1] == "__init__.py"):
        module = ""
    known = any(other == path or other.startswith(f"{module}/") for other in siblings)
    return module if module in _HIDING and not known else ""


def _agreeing(source: bytes | None) -> list[tuple[str, int]]:
    """Class and line of each comparison that agrees with anything."""
    module = python_or_none(source or b"")
    if module is None:
        return []
    comparisons: list[tuple[str, int]] = []
    for owner in ast.walk(module):
        name = owner.name if isinstance(owner, ast.ClassDef) else ""
        for node in owner.body if isinstance(owner, ast.ClassDef) else []:
            match node:
                case ast.FunctionDef(
                    name="__eq__" | "__contains__" | "__instancecheck__" | "__subclasscheck__" | "__subclasshook__"
                ):
                    returned = [inner.value for inner in ast.walk(node) if isinstance(inner, ast.Return)]
                    comparisons += [(name, node.lineno)] if returned and all(map(_is_true, returned)) else []
                case ast.Assign(targets=[*targets], value=ast.Lambda(body=value)) if _is_true(value):
                    names = [target.id for target in targets if isinstance(target, ast.Name)]
                    comparisons += [(name, node.lineno)] if "__eq__" in names else []
                case _:
                    pass
    return comparisons


def _agreeing_text(source: bytes | None) -> list[tuple[str, int]]:
    """Type, as far as it is named, and line of each such comparison in Go, Rust, Java, Kotlin and JavaScript."""
    text = (source or b"").decode(errors="replace")
    matches = [match for pattern in _AGREES for match in pattern.finditer(text)]
    matches += filter(_is_any_error, _GO_ERROR.finditer(text))
    return [(match.groupdict().get("owner") or "", text.count("\n", 0, match.start()) + 1) for match in matches]


def _is_any_error(method: re.Match[str]) -> bool:
    """True if a method compares with no error and no type, or with several of its package, and not always says no."""
    body = re.sub(r"//[^\n]*|\"[^\"\n]*\"", "", method["body"])
    returned = re.findall(r"\breturn\b([^\n;}]*)", body)
    words = set(re.findall(r"[A-Za-z_]\w*", body))
    if len({*_GO_SENTINEL.findall(body)}) > 1 and "&&" not in body:
        return True
    named = {name for names in re.findall(r"([\w, \t]+):=", body) for name in re.findall(r"\w+", names)}
    return words <= {*_GO_WORDS, *named, method["argument"] or "_"} and any(
        expression.strip() != "false" for expression in returned
    )


def _is_true(value: ast.expr | None) -> bool:
    return isinstance(value, ast.Constant) and value.value is True


def _is_comment(text: str, code: str) -> bool:
    return code != "checks-silenced" and text.lstrip().startswith(("#", "//", "*", "/*", '"""'))


def _where(lines: Sequence[int]) -> str:
    shown = ", ".join(map(str, lines[:5])) + (", …" if len(lines) > 5 else "")
    return f"line{'' if len(lines) == 1 else 's'} {shown}"
