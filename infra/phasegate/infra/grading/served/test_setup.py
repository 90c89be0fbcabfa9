"""Signs in the text of tests that they set up what a fresh service does not have.

Called by `no_answer` and `contradictions`. It is generous: what is unclear counts as set up, since it only makes
findings weaker. It must not know what the service answers.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePosixPath

_DOUBLES = re.compile(
    r"monkeypatch|mock|patch|stub|\bspy|\bfake|overrid|environ|[gs]etenv|process\.env|config|setting|freeze|responses\."
    r"|Promise\.all|gather\(|create_task|\.submit\(|Thread(?:PoolExecutor)?\((?!target=\w+(?:\.\w+)*\.serve_forever)",
    re.IGNORECASE,
)
"""Doubles, settings, and requests at the same time."""
_STORES = re.compile(
    r"\b(?:db|sql\w*|mongo\w*|redis|psycopg\w*|orm|faker|factory|factories|fixtures?/)\b|database|session|connect\("
    r"|insert|execute|commit|append|seed|populate|\b(?:add|save|write|set|put|load|store|register)(?:_\w+)?\(|\bcreate\("
    r"|\b(?:create|make|build)_(?!app\b|server\b|client\b|application\b)\w+|\bopen\(|tmp|temp|chdir|clock|utcnow|today"
    r"|login|passw|token|auth|cookie|setattr|\bglobals?\b|random|\.(?:post|put|patch|delete|update|clear|pop)\("
    r"""|["'](?:POST|PUT|PATCH|DELETE)["']|before(?:each|all)?\(|set_?up|(?<![\w.])(?!self\.|module\.exports)\w+"""
    r"(?:\.\w+)+ *=(?![=>])|\w\[[^\]\n]+\] *=(?!=)",
    re.IGNORECASE,
)
"""Rows, files, users, and whatever is assigned to another's attribute or key."""
_MOUNTS = re.compile(
    r"blueprint|router|\.mount\(|\bmount\b|prefix|url_?map|urlconf|url_rule|\broutes?\b|\bhosts?\b|domain|base_?url"
    r"|root_?path|script_name|dispatcher|middleware|\.use\(|enable|feature|\bflag|=True\b|: *true\b"
    r"|\b(?:flask|fastapi|starlette|sanic|quart|litestar|bottle|application|express|fastify|koa|hono)\("
    r"|\b(?:create|make|build|get)_?(?:app|application|server|service|api)\w*\((?!\))",
    re.IGNORECASE,
)
"""Applications that tests put together themselves, or ask under another name or prefix."""
_PYTHON_IMPORT = re.compile(r"^[ \t]*(?:from +([\w.]+) +import +(\([^)]*\)|[^\n]+)|import +([^\n]+))", re.MULTILINE)
_NODE_MODULE = re.compile(r"""["'](\.{1,2}/[^"'\n]+)["']""")
_DEFINED = re.compile(r"^[ \t]*(?:async +)?(?:def|function|const|class) +(\w+)", re.MULTILINE)
_NODE_IMPORT = re.compile(r"""\{([^}]*)\} *(?:= *(?:await +)?(?:require|import)\( *|from +)["']\.""")
_APPLICATION = re.compile(
    r"(?:create|make|build|get)?_?(?:app|application|server|service|api|main|client|wsgi|asgi|handler|default)\w{0,7}",
    re.IGNORECASE,
)
_CLIENTS = {
    *("__future__", "pytest", "pytest_asyncio", "anyio", "starlette", "fastapi", "flask", "werkzeug", "httpx"),
    *("requests", "urllib3", "aiohttp", "tornado", "django", "rest_framework", "asgi_lifespan", "asgiref"),
    *("typing_extensions", "heldout"),
}
_TEST_MODULE = re.compile(r"test_|tests?\.|.*[._-](?:tests?|spec)\.|.*Tests?\.")
_SET_IN_SETTINGS = re.compile(r"setupFiles|globalSetup|^\s*(?:env|D:)\s*=|pytest[_-]env|^\[env", re.MULTILINE)
_SET_IN_COMMAND = re.compile(r"(?:^|[\s;&|])(?!PYTEST_|PYTHON|NODE_OPTIONS=|COVERAGE_|CI=)[A-Za-z_]\w*=")


@dataclass(frozen=True)
class TestSetup:
    """Texts of the tests, by which requests of theirs are judged."""

    __test__ = False

    sealed: Mapping[str, str]
    """Content by path of the sealed files."""
    others: Mapping[str, str]
    """Content by path of the other tests, with what they share."""
    settings: str = ""
    """Text of the files that configure runners."""
    command: str = ""
    """Test command."""

    def has_doubles(self, file: str) -> bool:
        """True unless neither a sealed file nor what tests share replaces or configures anything."""
        return self._in_force(_DOUBLES, file)

    def is_set_up(self, file: str) -> bool:
        """True unless a sealed file only asks, and nothing of what tests share stores or imports more than that."""
        if self.has_doubles(file) or self._in_force(_STORES, file):
            return True
        return any(_imports_more(text) for text in (self.sealed[file], *self._shared.values()))

    def mounts(self, file: str) -> bool:
        """True unless neither a sealed file nor what tests share puts an application together, or names a host."""
        return self._in_force(_MOUNTS, file) or "SETTINGS_MODULE" in self.settings

    def asks_as(self, file: str, other: str) -> bool:
        """True if another test file has all that a sealed one imports of the project and takes from shared files."""
        return self._parts(file) <= self._parts(other)

    def _parts(self, file: str) -> set[str]:
        text = {**self.others, **self.sealed}.get(file, "")
        shared = {name for content in self._shared.values() for name in _DEFINED.findall(content)}
        used = {name for name in re.findall(r"\w+", text) if name in shared}
        modules = {whole or module for module, _, whole in _PYTHON_IMPORT.findall(text)}
        own = {module for module in modules if re.split(r"\W", module)[0] not in _CLIENTS | sys.stdlib_module_names}
        paths = {PurePosixPath(path).name for path in _NODE_MODULE.findall(text)}
        return used | own | paths

    def _in_force(self, signs: re.Pattern[str], file: str) -> bool:
        if file not in self.sealed or _SET_IN_COMMAND.search(self.command) or _SET_IN_SETTINGS.search(self.settings):
            return True
        return any(signs.search(text) for text in (self.sealed[file], *self._shared.values()))

    @cached_property
    def _shared(self) -> dict[str, str]:
        """Files that tests share: conftest and helpers."""
        every = {**self.others, **self.sealed}
        return {path: text for path, text in every.items() if not _TEST_MODULE.match(PurePosixPath(path).name)}


def _imports_more(text: str) -> bool:
    """True for a test that imports more of the project than its application."""
    for module, named, whole in _PYTHON_IMPORT.findall(text):
        known = module.partition(".")[0] in _CLIENTS | sys.stdlib_module_names
        names = [] if known else re.split(r"[,()\s]+", re.sub(r" as \w+|#.*", "", named))
        for dotted_name in re.split(r" *, *", re.sub(r" as \w+|#.*", "", whole)):
            top = dotted_name.strip().partition(".")[0]
            names += [] if top in _CLIENTS | sys.stdlib_module_names else [dotted_name.strip().rpartition(".")[2]]
        if any(name and not _APPLICATION.fullmatch(name) for name in names):
            return True
    imports = [re.split(r"\W+", names) for names in _NODE_IMPORT.findall(text)]
    return any(name and not _APPLICATION.fullmatch(name) for names in imports for name in names)
