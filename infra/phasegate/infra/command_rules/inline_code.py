"""Code that stands on a command line for another interpreter: `python -c`, `node -e`, `sed`, `awk`.

Used by `programs`. It tells code that starts no program from code that may. Nothing of it is run. Code in files is not
looked at.
"""

from __future__ import annotations

import ast
import re
import sys
from collections import Counter
from dataclasses import dataclass

from phasegate.infra.documents.python_source import python_or_none


@dataclass(frozen=True)
class Interpreter:
    """Call of an interpreter.

    Attributes:
        language: Language of its code.
        code: Options whose value is code.
        valued: Other options with a value.
        settled: Options with which it reads no program from standard input.
        attached: Letters of options that take the rest of their word as their value.
    """

    language: str
    code: tuple[str, ...]
    valued: tuple[str, ...] = ()
    settled: tuple[str, ...] = ()
    attached: str = ""


_VERSION = ("--version", "-v", "-V", "-h", "--help", "-VV")
_PYTHON = Interpreter(
    "python", ("-c",), ("-W", "-X", "--check-hash-based-pycs"), ("--version", "-V", "-VV", "--help", "-h")
)
_NODE = Interpreter(
    "javascript", ("-e", "-p", "-pe", "--eval", "--print"), ("-r", "--require", "--import", "-C"), (*_VERSION, "--test")
)
_RUBY = Interpreter("script", ("-e",), ("-I", "-r", "-C"), _VERSION, "iEKTWxF")
_TYPESCRIPT = Interpreter(
    "javascript", ("-e", "-p", "--eval", "--print"), ("-r", "--require", "--import", "-P"), _VERSION
)
INTERPRETERS = {
    "python": _PYTHON,
    "python2": _PYTHON,
    "python3": _PYTHON,
    "pypy": _PYTHON,
    "pypy3": _PYTHON,
    "node": _NODE,
    "nodejs": _NODE,
    "perl": Interpreter("perl", ("-e", "-E"), ("-I",), _VERSION, "iFMmxdV"),
    "ruby": _RUBY,
    "php": Interpreter("php", ("-r", "-B", "-R", "-E"), ("-d", "-c", "-z"), (*_VERSION, "-S", "-l", "-i", "-m")),
    "lua": Interpreter("script", ("-e",), ("-l",), _VERSION),
    "luajit": Interpreter("script", ("-e",), ("-l",), _VERSION),
    "Rscript": Interpreter("script", ("-e",), (), _VERSION),
    "bun": Interpreter("javascript", ("-e", "-p", "--eval", "--print"), (), _VERSION),
    "tsx": _TYPESCRIPT,
    "ts-node": _TYPESCRIPT,
    "tclsh": Interpreter("script", ()),
    "osascript": Interpreter("script", ("-e",)),
    "elixir": Interpreter("script", ("-e", "--eval", "--rpc-eval"), (), _VERSION),
    "julia": Interpreter("script", ("-e", "-E", "--eval", "--print"), (), _VERSION),
    "irb": Interpreter("script", ()),
    "ghci": Interpreter("script", ("-e",)),
    "scala": Interpreter("script", ("-e",)),
    "groovy": Interpreter("script", ("-e",)),
}
_LOOKS = frozenset(
    {"__future__", "abc", "argparse", "array", "ast", "base64", "binascii", "bisect", "calendar", "collections"}
    | {"copy", "csv", "dataclasses", "datetime", "decimal", "difflib", "enum", "errno", "fcntl", "fnmatch", "fractions"}
    | {"functools", "glob", "grp", "hashlib", "heapq", "hmac", "html", "http", "importlib", "io", "itertools", "json"}
    | {"keyword", "linecache", "locale", "math", "mmap", "numbers", "os", "pathlib", "platform", "pprint", "random"}
    | {"re", "resource", "secrets", "select", "shlex", "shutil", "signal", "socket", "ssl", "stat", "statistics"}
    | {"struct", "sys", "sysconfig", "tempfile", "termios", "textwrap", "threading", "time", "tokenize", "tomllib"}
    | {"traceback", "types", "unicodedata", "urllib", "uuid", "warnings", "xml", "zipfile", "zlib", "zoneinfo"}
)
"""Modules of the standard library that start no program, but for the names below."""
_LAUNCHERS = frozenset(
    {"delegator", "fabric", "git", "invoke", "paramiko", "pexpect", "plumbum", "sh", "pygit2", "dulwich"}
)
"""Other people's modules that start programs."""
_RUNS = re.compile(
    r"_*(system|popen\w*|spawn\w*|exec\w*|fork\w*|posix\w*|startfile|subprocess\w*|pty|import_\w+|reload|getattr\w*"
    r"|modules|loader|load_\w+|builtins|bltns|get_field|attrgetter|methodcaller|getmembers\w*|inspect|entry_?points?|FunctionType|CodeType|frame|f_\w+|gi_\w+|cr_\w+|tb_\w+|getframe\w*)",
    re.IGNORECASE,
)
"""Names by which Python starts a program, or gets at a name that is not written out."""
_BUILTINS = frozenset({"eval", "compile", "vars", "globals", "locals", "setattr", "breakpoint", "help"})
_DUNDERS = frozenset({"__name__", "__version__", "__file__", "__doc__", "__all__", "__path__", "__class__", "__init__"})
_HIDES = (
    r"`|\\[xuU0-7]|['\"]\s*(\+|\.\.?|<>|,)\s*['\"]|\.(concat|join|replace|reverse|call|apply|bind)\b|base64|\bb?eval"
)
_SCRIPT_RUNS = re.compile(
    _HIDES + r"|\bsystem|popen|\bexec|\bspawn|fork|%x|\bload|Kernel|Open3|PTY|\bIO\b|\.?send|method|const_get|instance_"
    r"|binding|callcc|Process|os\s*[.\[]|io\s*[.\[]|_G\b|debug|dofile|package|\bopen\s*\(?\s*['\"]\s*\||chr\b|\bsh\b"
    r"|Runtime|Port\b|:os|System\.|\brun\b|pipe|\bpack|require_relative|source|shell|\.\s*\$|\bcmd\b"
)
_JAVASCRIPT_RUNS = re.compile(
    _HIDES + r"|exec|spawn|fork|child_process|Function|constructor|__proto__|binding|dlopen|mainModule|\bmodule\b"
    r"|global|\bthis\b|Reflect|Proxy|\bvm\b|\bworker|cluster|\bimport\b|createRequire|Module|process\s*\[|fromCharCode"
    r"|atob|Buffer|unescape|decodeURI|require\s*(?!\s*\(\s*['\"])|require\s*\(\s*['\"](?!node:|[./@\w-]+['\"]\))|\brepl\b"
    r"|Deno|Bun|inspector|\bwith\b|\bv8\b|\btest\b"
)
_PHP_RUNS = re.compile(
    _HIDES
    + r"|system|exec|popen|proc_|passthru|pcntl|call_user|array_(map|walk|filter|reduce)|usort|uasort|uksort|\$\$"
    r"|\$\w+\s*\(|\$\{|\]\s*\(|\)\s*\(|include|require|assert|create_function|chr\b|pack|mail|dl\(|ffi|reflection|preg_replace"
    r"|register_|ob_start|iterator_apply|new\s*\$|::",
    re.IGNORECASE,
)
_PERL_RUNS = re.compile(
    r"`|qx|\bsystem|\bexec|\bopen|eval|\brequire|\buse\b|\bdo\b|fork|syscall|pipe|readpipe|glob|@\{|\$\{|\(\?\??\{|<|&"
    r"|->|[)}\]]\s*[a-z]*e|\bs\s+\w|\bsub\b|BEGIN|CORE|\*\{|kill|\bpack|chr|\|\s*['\"]|['\"]\s*\|",
    re.DOTALL,
)
_AWK_RUNS = re.compile(r"system|getline|@|print.*(?<!\|)\|(?!\|)|\|\s*&", re.DOTALL)
_SED_ADDRESS = (
    r"(?:(?:\d+(?:~\d+)?|\$|/(?:\\.|[^/\\\n])*/[IM]*)(?:\s*,\s*(?:[+~]?\d+|\$|/(?:\\.|[^/\\\n])*/[IM]*))?\s*!*)?"
)
_SED_COMMAND = re.compile(
    r"[\s;]*" + _SED_ADDRESS + r"\s*(?:"
    r"s(?P<mark>[^\w\s\\])(?:\\.|(?!(?P=mark))[^\\])*(?P=mark)(?:\\.|(?!(?P=mark))[^\\])*(?P=mark)[gpiIM0-9]*"
    r"|y(?P<other>[^\w\s\\])(?:\\.|(?!(?P=other))[^\\])*(?P=other)(?:\\.|(?!(?P=other))[^\\])*(?P=other)"
    r"|[aic](?:\\?[^\n]*(?:\\\n[^\n]*)*)|[dDgGhHnNpPxz=}{F]|[lqQ]\s*\d*|[btT][^\n;]*|:[^\n;]*|[rRwW][^\n]*|#[^\n]*"
    r")(?=\s*(?:[;\n}]|$)|(?<=\{)|(?<=\}))"
    r"|[\s;]*\}",
    re.DOTALL,
)


_RUNS_IN = {"awk": _AWK_RUNS, "javascript": _JAVASCRIPT_RUNS, "perl": _PERL_RUNS, "php": _PHP_RUNS}


_LONGEST = 8_000
"""Characters of code that patterns are held against; longer code counts as code that may start programs."""
_SUBSTITUTION = re.compile(r"\bs(\W)")
_MARK = re.compile(r"(?<!\\)\W")
_EVALUATED = re.compile(r"[a-z]*e")


def starts_nothing(language: str, code: str) -> bool:
    """True if code, as it stands, starts no program by itself; what it imports from the project is not looked at."""
    if language == "python":
        return _is_plain_python(code)
    if len(code) > _LONGEST or (language == "perl" and _evaluates_replacement(code)):
        return False
    if language == "sed":
        return _is_plain_sed(code)
    return not _RUNS_IN.get(language, _SCRIPT_RUNS).search(code)


def _evaluates_replacement(code: str) -> bool:
    """True if Perl's code may have an `s/…/…/e`, with whatever mark: two marks behind the first, and the letter."""
    first: dict[str, int] = {}
    for match in _SUBSTITUTION.finditer(code):
        first.setdefault(match[1], match.end())
    marks = Counter[str]()
    for match in _MARK.finditer(code):
        if match.start() >= first.get(match[0], len(code)):
            marks[match[0]] += 1
            if marks[match[0]] >= 2 and _EVALUATED.match(code, match.end()):
                return True
    return False


def _is_plain_python(code: str) -> bool:
    tree = python_or_none(code)  # None: another version's syntax, which is not read
    return tree is not None and all(_is_plain_node(node) for node in ast.walk(tree))


def _is_plain_node(node: ast.AST) -> bool:
    match node:
        case ast.Import(names=names):
            return all(_is_plain_module(alias.name) for alias in names)
        case ast.ImportFrom(module=module, names=names):
            return _is_plain_module(module or "") and all(_is_plain_name(alias.name) for alias in names)
        case ast.Name(id=name):
            return _is_plain_name(name) and name not in _BUILTINS
        case ast.Attribute(attr=name):
            return _is_plain_name(name)
        case ast.MatchClass(kwd_attrs=names):
            return all(map(_is_plain_name, names))
        case _:
            return True


def _is_plain_module(name: str) -> bool:
    first = name.partition(".")[0]
    is_known = first in _LOOKS or first not in sys.stdlib_module_names | _LAUNCHERS
    return is_known and all(_is_plain_name(part) for part in name.split("."))


def _is_plain_name(name: str) -> bool:
    if name.startswith("_") and name != "_" and name not in _DUNDERS:
        return False
    return name != "*" and not _RUNS.fullmatch(name)


def _is_plain_sed(code: str) -> bool:
    position = 0
    while position < len(code.rstrip("; \n\t")):
        match = _SED_COMMAND.match(code, position)
        if match is None or match.end() == position:
            return False
        position = match.end()
    return True
