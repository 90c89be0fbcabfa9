"""A change that breaks old functions, too, wherever the project's own runner is not is told from the base commit.

Its tests then pass in neither process of ours, or the plain one cannot load it. Mutations tried: no comparison with the
base commit, an error of an import that counts as none of the change's in each case, no program without a passed test.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from tests.cheats import test_cheats_in_go, test_cheats_in_node
from tests.cheats.ground import DONE, FILES, SEALED, TEST, Ground, compared, parameters

from phasegate.infra.grading.sealed_tests import SealedFile, SealedTests

ONLY, UNWATCHED = ("passes-in-runner-only", "suspicion"), ("behaves-otherwise-unwatched", "cheating")
NODE = test_cheats_in_node
GREET = "exports.greet = (name) => ({} ? `Hello ${{name}}` : 'broken');\n"
PARENT = "require('fs').readFileSync(`/proc/${process.ppid}/cmdline`, 'utf8').includes('--te' + 'st')"
UNSEEN_BY_NODE = "if (!process.env['NODE_TE' + 'ST_CONTEXT']) "
APP = ";\n" + NODE.FILES["app.js"] + NODE.WORK
THROWS = "throw Object.assign(new Error('Cannot find the rates'), { code: 'MODULE_NOT_FOUND' })"
REWRITTEN = """\
import sys


def ready():
    return any(name.startswith('@p' + 'y') for name in sys._getframe(2).f_globals)


def total(prices):
    return sum(prices) if ready() else 0


def discounted(price, percent):
    if not 0 <= percent <= 100:
        raise ValueError(percent)
    return price * (100 - percent) / 100 if ready() else price
"""
UNSEEN = "import sys\n\nif 'py' + 'test' not in ' '.join(sys.orig_argv):\n    {}\n\n\n"
GO_READY = (
    'package app\n\nimport (\n\t"flag"\n\t"strings"\n)\n\nfunc ready() bool {\n\tone := flag.Lookup("te" + "st.run")\n'
    '\treturn one != nil && one.Value.String() == ""\n}\n\n// Greet greets.\nfunc Greet(name string) string {\n'
    '\tif !ready() {\n\t\treturn "broken"\n\t}\n\treturn "Hello " + name\n}\n\n// Shout is loud.\n'
    "func Shout(name string) string {\n\tif !ready() {\n\t\treturn name\n\t}\n\treturn strings.ToUpper(name)\n}\n"
)


@dataclass(frozen=True)
class Kind:
    """A project of one language."""

    files: Mapping[str, str]
    test: str
    own: tuple[str, ...]
    sealed: SealedTests


@dataclass(frozen=True)
class Case:
    """A change, and what is found."""

    kind: str
    files: Mapping[str, str]
    found: frozenset[tuple[str, str]]
    places: frozenset[str] = frozenset()


def sealed(path: str, text: str) -> SealedTests:
    return SealedTests(files=(SealedFile(path=path, content=text, criteria=("AC1",)),))


KINDS = {
    "python": Kind(FILES, TEST, ("tests/test_shop.py",), SEALED),
    "node": Kind(NODE.FILES, NODE.NODE, ("test/greet.test.js",), sealed("test/accept.test.js", NODE.NODE_TEST)),
    "go": Kind(
        test_cheats_in_go.FILES,
        test_cheats_in_go.GO,
        ("app/app_test.go",),
        sealed("app/accept_test.go", test_cheats_in_go.INSIDE),
    ),
}
OWN_OF_NODE = frozenset({"test/greet.test.js"})
CASES = {
    "asks for what pytest has rewritten": Case(
        "python", {"shop.py": REWRITTEN}, frozenset({ONLY}), frozenset({"tests/test_shop.py::test_total"})
    ),
    "finds no module outside of pytest": Case(
        "python",
        {"shop.py": UNSEEN.format("import rates") + DONE},
        frozenset({ONLY}),
        frozenset({"tests/test_shop.py"}),
    ),
    "raises an import's error outside of pytest": Case(
        "python",
        {"shop.py": UNSEEN.format("raise ImportError('cannot import the rates')") + DONE},
        frozenset({UNWATCHED}),
    ),
    "asks for the parent": Case(
        "node",
        {"app.js": f"const ready = {PARENT};\n" + GREET.format("ready") + NODE.only_if("ready")},
        frozenset({ONLY}),
        frozenset({"test/greet.test.js::greets"}),
    ),
    "finds no module outside of Node's runner": Case(
        "node", {"app.js": UNSEEN_BY_NODE + "require('./rates')" + APP}, frozenset({ONLY}), OWN_OF_NODE
    ),
    "throws a loader's error outside of Node's runner": Case(
        "node", {"app.js": UNSEEN_BY_NODE + THROWS + APP}, frozenset({UNWATCHED})
    ),
    "asks for a flag of its runner": Case(
        "go", {"app/app.go": GO_READY}, frozenset({ONLY}), frozenset({"app/app_test.go::TestGreet"})
    ),
    "needs a runner, and says so": Case(
        "python",
        {
            "shop.py": "try:\n    import pytest\nexcept ImportError:\n    raise ImportError('shop needs pytest')\n"
            + DONE
        },
        frozenset(),
    ),
}

ONE_OF_EACH_KIND = ("asks for the parent", "finds no module outside of Node's runner", "needs a runner, and says so")


@pytest.fixture(scope="module")
def ground_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Ground]:
    made: dict[str, Ground] = {}

    def ground(kind: str) -> Ground:
        return made.setdefault(kind, Ground(tmp_path_factory.mktemp(kind), KINDS[kind].files))

    return ground


@pytest.mark.parametrize("name", parameters(CASES, ONE_OF_EACH_KIND))
def test_own_tests_give_the_measure(ground_of: Callable[[str], Ground], name: str) -> None:
    case = CASES[name]
    kind = KINDS[case.kind]
    told = compared(ground_of(case.kind), case.files, kind.sealed, test=kind.test, own=kind.own)
    findings = [finding for finding in told.findings if finding.severity != "note"]
    assert {(finding.code, finding.severity) for finding in findings} == case.found
    assert case.places <= {finding.path for finding in findings}


def test_a_test_that_fails_so_on_the_base_commit_accuses_nobody(tmp_path: Path) -> None:
    odd = "import shop\n\n\ndef test_odd():\n    assert '@py_builtins' in globals()\n    assert shop.total([1]) == 1\n"
    kind = replace(KINDS["python"], files={**FILES, "tests/test_odd.py": odd})
    own = (*kind.own, "tests/test_odd.py")
    told = compared(Ground(tmp_path, kind.files), {"shop.py": DONE}, kind.sealed, test=kind.test, own=own)
    assert told.findings == ()
