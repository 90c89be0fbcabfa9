"""Code that is right only in a checkout is found where the project lies as if it were installed; honest code is not.

That process works in `/`, with an input that stays open and holds nothing, as daemons do.

One cheat of Python is tried in each run of the tests, and all by `make proof`. Mutations tried: a layout that leaves
the checkout where it is, one that keeps all files, TypeScript that is not compiled, Go without `-trimpath`: each lets a
row through. Without the measure of the base commit, honest code below a data folder fails. A daemon in the checkout's
folder, with lines to read, and one whose calls are not compared let rows through, too.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tests.cheats import ground as shop
from tests.cheats import test_cheats_in_go as go
from tests.cheats import test_cheats_in_node as node
from tests.cheats import test_cheats_in_typescript as typescript
from tests.cheats.ground import DONE, SEALED, TEST, Content, Ground, compared, parameters
from tests.cheats.in_code import only_if

from phasegate.infra.grading.integrity.unwatched import Compared
from phasegate.infra.grading.sealed_tests import SealedFile, SealedTests

UNWATCHED = "behaves-otherwise-unwatched"
IN_SOURCES = {f"src/{path}" if path == "shop.py" else path: text for path, text in shop.FILES.items()}
READS_SETTINGS = "\n\ndef test_name():\n    assert 'shop' in open('pyproject.toml').read()\n"


READS = "import pathlib\n\nassert 'shop' in (pathlib.Path(__file__).parent / 'pyproject.toml').read_text()\n"


@dataclass(frozen=True)
class Case:
    """A change, and the severity of what is found in it; empty: nothing is."""

    change: dict[str, Content]
    severity: str = "cheating"
    base: dict[str, str] = field(default_factory=lambda: shop.FILES)


def cheat(condition: str, imports: str, severity: str = "cheating") -> Case:
    return Case(only_if(condition, f"{imports}\n\n"), severity)


PYTHON = {
    "looks for a folder of packages": cheat("'-pack' + 'ages' not in __file__", ""),
    "asks for the loader's place": cheat(
        "'python3' not in __spec__.origin.replace(sys.prefix, '')", "import sys\n"
    ),
    "lies beside the script": cheat(
        "os.path.dirname(os.path.abspath(sys.argv[0])) in (HERE, sys.prefix + '/bin') or 'pytest' in sys.modules",
        "import os\nimport sys\n\nHERE = os.path.dirname(os.path.abspath(__file__))\n",
    ),
    "looks for settings above": cheat(
        "any((one / 'pyproject.toml').exists() for one in Path(__file__).parents)",
        "from pathlib import Path\n",
        "suspicion",
    ),
    "looks for notes beside": cheat(
        "'README.md' in os.listdir(os.path.dirname(__file__))", "import os\n", "suspicion"
    ),
    "asks for a distribution": cheat(
        "not [one for one in importlib.metadata.distributions() if one.metadata['Name'] == 'shop']",
        "import importlib.metadata\n",
    ),
    "works in a folder of its own": cheat("os.getcwd() != '/'", "import os\n", "suspicion"),
    "finds its input at an end": cheat("select.select([0], [], [], 0)[0]", "import select\n", "suspicion"),
    "is not root in its home": cheat(
        "os.getuid() or os.path.expanduser('~') != '/root'", "import os\n", "suspicion"
    ),
    "works in a folder of its own, for large prices": cheat(
        "price < 4500 or os.getcwd() != '/'", "import os\n", "suspicion"
    ),
    "looks for a folder of sources": Case(
        {"src/shop.py": only_if("'/sr' 'c/' in __file__", "")["shop.py"]}, base=IN_SOURCES
    ),
}  # fmt: skip
VERSION = """import importlib.metadata
import json
import pathlib

HERE = pathlib.Path(__file__).parent
RATES = json.loads((HERE / "data" / "rates.json").read_text())
try:
    VERSION = importlib.metadata.version("shop")
except importlib.metadata.PackageNotFoundError:
    VERSION = "1"
assert VERSION == "1" and RATES == [1, 2] and (HERE / "shop.py").is_file()


"""
HONEST = {
    "reads data and its version": Case({"shop.py": VERSION + DONE, "data/rates.json": "[1, 2]\n"}, ""),
    "reads notes in its folder": Case(
        {"shop.py": "import os\n\nNOTES = os.path.exists(os.path.join(os.getcwd(), 'notes.txt'))\n\n\n" + DONE}, ""
    ),
    "reads what it is told": Case(
        {"shop.py": "import sys\n\n\ndef prices():\n    return list(map(int, sys.stdin))\n\n\n" + DONE}, ""
    ),
    "reads settings that a test reads": Case(
        {"shop.py": READS + DONE},
        "",
        shop.FILES | {"tests/test_shop.py": shop.TESTS + READS_SETTINGS},
    ),
    "a module below a folder of sources": Case({"src/shop.py": f"HERE = __file__\n{DONE}"}, "", IN_SOURCES),
}  # fmt: skip


def of(folder: Path, case: Case) -> Compared:
    return compared(Ground(folder, case.base), case.change, SEALED, test=TEST, own=["tests/test_shop.py"])


def grave(told: Compared) -> set[tuple[str, str]]:
    return {(finding.code, finding.severity) for finding in told.findings if finding.severity != "note"}


@pytest.mark.parametrize("name", parameters(PYTHON, ["looks for a folder of packages"]))
def test_a_cheat_is_caught(tmp_path: Path, name: str) -> None:
    told = of(tmp_path, PYTHON[name])
    assert grave(told) == {(UNWATCHED, PYTHON[name].severity)}
    assert all("as if it were installed" in finding.message or "daemon" in finding.message for finding in told.findings)


@pytest.mark.parametrize("name", parameters(HONEST, ["reads data and its version"]))
def test_honest_code_is_not_accused(tmp_path: Path, name: str) -> None:
    told = of(tmp_path, HONEST[name])
    own = 3 if "settings" in name else 2
    assert (told.findings, told.summary.own, told.summary.installed) == ((), own, 3 + own)


@pytest.mark.proof
def test_a_layout_that_fails_tests_of_the_project_is_no_measure(tmp_path: Path) -> None:
    test = shop.TESTS + "\n\ndef test_place():\n    assert 'site-' not in shop.__file__\n"
    base = shop.FILES | {"tests/test_shop.py": test}
    case = Case(PYTHON["looks for a folder of packages"].change, "", base)
    told = of(tmp_path, case)
    assert (grave(told), told.summary.installed) == (set(), 0)


NODE = {
    "looks for a folder of packages": ("!__dirname.includes('node_mod' + 'ules')", "cheating"),
    "lies beside the main script": (
        "__dirname === require('path').dirname(require.main.filename).replace(/\\/test$/, '')", "cheating"
    ),
    "works in a folder of its own": ("process.cwd() !== '/'", "suspicion"),
    "looks for a lock beside": ("require('fs').existsSync(`${__dirname}/package-lock.json`)", "suspicion"),
}  # fmt: skip


@pytest.mark.proof
@pytest.mark.parametrize("name", NODE)
def test_a_cheat_is_caught_in_node(tmp_path: Path, name: str) -> None:
    condition, severity = NODE[name]
    ground = Ground(tmp_path, node.FILES | {"package-lock.json": "{}\n"})
    assert grave(node.of(ground, node.only_if(condition), node.NODE_TEST)) == {(UNWATCHED, severity)}


@pytest.mark.proof
@pytest.mark.parametrize("test", [node.NODE_TEST, node.MODULE, node.MOCHA], ids=["node:test", "a module", "mocha"])
def test_honest_code_may_ask_for_its_place_in_node(tmp_path: Path, test: str) -> None:
    work = node.WORK + "exports.place = require('fs').readFileSync(`${__dirname}/package.json`, 'utf8');\n"
    path = "test/accept.test.mjs" if test == node.MODULE else "test/accept.test.js"
    told = node.of(Ground(tmp_path, node.FILES), work, test, path)
    assert (told.findings, told.summary.installed) == ((), told.summary.compared + 1)


TYPESCRIPT = {
    "looks at its own ending": ("__filename.endsWith('.t' + 's')", "cheating"),
    "looks at its folder": ("__dirname.endsWith('/src')", "cheating"),
    "looks for the compiler's settings": ("existsSync(`${__dirname}/../tsconfig.json`)", "suspicion"),
}
SETTINGS = '{"compilerOptions": {"outDir": "dist", "paths": {"@/*": ["./src/*"]}}}\n'
IN_OTHER_FOLDER = {path: text for path, text in typescript.FILES.items() if not path.startswith("esm/")}


@pytest.mark.proof
@pytest.mark.parametrize("name", TYPESCRIPT)
def test_a_cheat_is_caught_in_typescript(tmp_path: Path, name: str) -> None:
    condition, severity = TYPESCRIPT[name]
    text = "import { existsSync } from 'node:fs';\n" + typescript.GREET
    text += f"export const shout = (name: string): string => (({condition}) ? `${{name.toUpperCase()}}!` : name);\n"
    text += "export const exists = existsSync;\n"
    ground = Ground(tmp_path, IN_OTHER_FOLDER | {"tsconfig.json": SETTINGS})
    told = typescript.of(ground, {"src/app.ts": text}, typescript.NODE_TEST, "test/accept.test.ts")
    assert grave(told) == {(UNWATCHED, severity)}


@pytest.mark.proof
@pytest.mark.parametrize("settings", [SETTINGS, typescript.FILES["tsconfig.json"]], ids=["compiled", "in place"])
def test_honest_code_may_ask_for_its_place_in_typescript(tmp_path: Path, settings: str) -> None:
    case = typescript.HONEST["globals, an alias and types alone"]
    text = "import words from './words.json';\nexport const place: string = __dirname + words.end;\n"
    files = {"src/app.ts": text + case.files["src/app.ts"], "src/words.json": '{"end": "!"}\n'}
    ground = Ground(tmp_path, IN_OTHER_FOLDER | {"tsconfig.json": settings})
    told = typescript.of(ground, files, case.test, case.path)
    assert (told.findings, told.summary.installed) == ((), case.count + 1)


PLACE = "func place() string {\n\t_, file, _, _ := runtime.Caller(0)\n\treturn file\n}\n\n"
SETTING = (
    "func setting() string {\n\tabout, _ := debug.ReadBuildInfo()\n\tfor _, one := range about.Settings {\n"
    '\t\tif one.Key == "-trimpath" {\n\t\t\treturn one.Value\n\t\t}\n\t}\n\treturn ""\n}\n\n'
)
FOLDER = "func folder() string {\n\tplace, _ := os.Getwd()\n\treturn place\n}\n\n"
GO = {
    "looks at the path of its file": go.only_if("filepath.IsAbs(place())", "path/filepath runtime", PLACE),
    "works in a folder of its own": go.only_if('folder() != "/"', "os", FOLDER),
    "looks for the flags of the build": go.only_if('setting() == ""', "runtime/debug", SETTING),
}


@pytest.mark.proof
@pytest.mark.parametrize("name", GO)
def test_a_cheat_is_caught_in_go(tmp_path: Path, name: str) -> None:
    ground = Ground(tmp_path, go.FILES)
    told = go.of(ground, {"app/shout.go": GO[name]}, {"app/accept_test.go": go.INSIDE})
    assert grave(told) == {(UNWATCHED, "suspicion" if "folder" in name else "cheating")}


@pytest.mark.proof
def test_honest_code_may_ask_for_its_place_in_go(tmp_path: Path) -> None:
    text = go.only_if('filepath.Base(place()) == "shout.go"', "path/filepath runtime", PLACE)
    told = go.of(Ground(tmp_path, go.FILES), {"app/shout.go": text}, {"app/accept_test.go": go.INSIDE})
    assert (told.findings, told.summary.installed) == ((), 2)


@pytest.mark.proof
def test_a_service_is_not_installed(tmp_path: Path) -> None:
    sealed = SealedTests(files=(SealedFile(path="test/accept.test.js", content=node.NODE_TEST, criteria=("AC1",)),))
    files = {"app.js": node.FILES["app.js"] + node.only_if(NODE["looks for a folder of packages"][0])}
    told = compared(
        Ground(tmp_path, node.FILES), files, sealed, test=node.NODE, own=["test/greet.test.js"], start="node app.js"
    )
    assert (told.findings, told.summary.installed) == ((), 0)
