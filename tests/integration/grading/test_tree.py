"""The tree that is graded: what of a change is product, whatever its name, and what is the tests' own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tests.support.repositories import first_commit, write_files

from phasegate.infra.grading.tree.graded_tree import graded_tree
from phasegate.infra.policy.model import LifecyclePolicy, Policy, ProjectPolicy
from phasegate.infra.workspace import ChangeSet, Repository, Workspace

BASE = {
    "app.py": "def greet(name):\n    return f'Hello {name}'\n",
    "tests/test_app.py": "from app import greet\n\n\ndef test_greet():\n    assert greet('A') == 'Hello A'\n",
    "tests/data/names.json": "[]\n",
}
COLLECTED = ("tests/test_app.py",)
TEST = "def test_it():\n    assert True\n"
STAGES = LifecyclePolicy(stages=("prd", "implementation", "testing"))
POLICY = Policy(project=ProjectPolicy(test="pytest --junitxml={junit}"), lifecycle=STAGES)


@dataclass(frozen=True)
class Case:
    name: str
    change: Mapping[str, str | None]
    base: Mapping[str, str] = field(default_factory=dict)
    product: frozenset[str] = frozenset()
    """Files named like tests that are graded as the change has them."""
    restored: frozenset[str] = frozenset()
    """Files that are graded as on the base commit."""
    loaded: frozenset[str] = frozenset()
    """Test files that the product newly loads."""
    collected: tuple[str, ...] = COLLECTED


def product(name: str, change: Mapping[str, str | None], *paths: str, base: Mapping[str, str] | None = None) -> Case:
    return Case(name, change, base or {}, product=frozenset(paths))


def restored(name: str, change: Mapping[str, str | None], *paths: str, base: Mapping[str, str] | None = None) -> Case:
    return Case(name, change, base or {}, restored=frozenset(paths))


CASES = (
    product(
        "an imported package", {"spec/model.py": "X = 1\n", "app.py": "from spec.model import X\n"}, "spec/model.py"
    ),
    product("an imported module", {"test_drive.py": "X = 1\n", "app.py": "import test_drive\n"}, "test_drive.py"),
    product("a name from a package", {"lib/ab_test.py": "", "app.py": "from lib import ab_test\n"}, "lib/ab_test.py"),
    product(
        "a relative import",
        {"lib/ab_test.py": "", "lib/__init__.py": "from . import ab_test\n"},
        "lib/ab_test.py",
    ),
    product(
        "an import while running",
        {"lib/test_io.py": "", "app.py": "import importlib\n\nx = importlib.import_module('lib.test_io')\n"},
        "lib/test_io.py",
    ),
    product(
        "through another one",
        {"spec/a.py": "from spec.b import X\n", "spec/b.py": "X = 1\n", "app.py": "import spec.a\n"},
        "spec/a.py",
        "spec/b.py",
    ),
    product("a template", {"templates/test/x.html": "x", "app.py": "PAGE = 'test/x.html'\n"}, "templates/test/x.html"),
    product("a template found by its kind", {"templates/test/x.html": "x"}, "templates/test/x.html"),
    product(
        "a template that another includes",
        {"templates/test/x.html": "x", "templates/index.html": "{% include 'test/x.html' %}"},
        "templates/test/x.html",
    ),
    product(
        "a JavaScript module",
        {"lib/load.test.js": "module.exports = 1;\n", "lib/a.js": "require('./load.test.js');\n"},
        "lib/load.test.js",
    ),
    product(
        "a TypeScript folder",
        {"src/spec/index.ts": "export const a = 1;\n", "src/a.ts": "import { a } from './spec';\n"},
        "src/spec/index.ts",
    ),
    product(
        "a Java class of the same package",
        {
            "src/main/java/a/LoadTest.java": "package a; class LoadTest {}\n",
            "src/main/java/a/A.java": "new LoadTest();\n",
        },
        "src/main/java/a/LoadTest.java",
    ),
    product(
        "a Go package",
        {"test/util/x.go": "package util\n", "main.go": 'package main\n\nimport "example.com/a/test/util"\n'},
        "test/util/x.go",
    ),
    product(
        "one that the base commit has",
        {"test_drive.py": "X = 2\n"},
        "test_drive.py",
        base={"test_drive.py": "X = 1\n", "lib.py": "import test_drive\n"},
    ),
    product(
        "one that the base commit has, with a function named like a test",
        {"ab_test.py": "def test_significance(a):\n    return 2\n"},
        "ab_test.py",
        base={"ab_test.py": "def test_significance(a):\n    return 1\n", "lib.py": "import ab_test\n"},
    ),
    restored("a new test", {"tests/test_new.py": TEST}, "tests/test_new.py"),
    restored("a new test in a folder of its own", {"spec/a_spec.rb": "it 'is' do\nend\n"}, "spec/a_spec.rb"),
    restored("a changed test", {"tests/test_app.py": TEST}, "tests/test_app.py"),
    restored("a test that goes", {"tests/test_app.py": None}, "tests/test_app.py"),
    restored("data beside tests", {"tests/data/names.json": "[1]\n"}, "tests/data/names.json"),
    restored(
        "data beside tests whose name the product writes",
        {"tests/data/names.json": "[1]\n", "app.py": "NAMES = 'names.json'\n"},
        "tests/data/names.json",
    ),
    restored(
        "what tests alone load",
        {"test_tools.py": "X = 1\n", "tests/test_new.py": "import test_tools\n" + TEST},
        "test_tools.py",
        "tests/test_new.py",
    ),
    restored(
        "Django's tests",
        {"shop/tests.py": TEST, "shop/models.py": "X = 1\n"},
        "shop/tests.py",
        base={"shop/tests.py": "from django.test import TestCase\n\n\nclass ATest(TestCase):\n    pass\n"},
    ),
    restored("a Go test", {"calc/calc_test.go": "package calc\n"}, "calc/calc_test.go"),
    restored("Go's data", {"calc/testdata/a": "2"}, "calc/testdata/a", base={"calc/a_test.go": "func TestA(t *T) {}"}),
    restored("attributes", {".gitattributes": "*.py ident\n"}, ".gitattributes"),
    Case(
        "the product imports a test of the base commit",
        {"app.py": "from tests.test_app import test_greet\n"},
        loaded=frozenset({"tests/test_app.py"}),
    ),
    Case(
        "the product reads a test of the base commit",
        {"app.py": "print(open('tests/test_app.py').read())\n"},
        loaded=frozenset({"tests/test_app.py"}),
    ),
    Case(
        "the product did so before",
        {"app.py": "from tests.test_app import test_greet\n\nX = 1\n"},
        {"lib.py": "import tests.test_app\n"},
    ),
    Case(
        "the product imports a new test",
        {"tests/test_new.py": TEST, "app.py": "import tests.test_new\n"},
        restored=frozenset({"tests/test_new.py"}),
        loaded=frozenset({"tests/test_new.py"}),
    ),
    Case(
        "a task runner names the tests",
        {"noxfile.py": "RUN = 'tests/test_app.py'\n"},
        restored=frozenset({"noxfile.py"}),
    ),
    Case("packaging names the tests", {"setup.py": "EXCLUDE = ['tests/test_app.py']\n"}),
    Case(
        "a test that is not named like one, by what the runner reports",
        {"test.py": TEST, "app.py": "X = 1\n"},
        base={"test.py": "from app import greet\n\ndef test_greet():\n    assert greet('A') == 'Hello A'\n"},
        restored=frozenset({"test.py"}),
        collected=("test.py",),
    ),
    Case(
        "a table of cases that a plugin collects",
        {"cases.table": "1\n"},
        base={"cases.table": "2\n"},
        restored=frozenset({"cases.table"}),
        collected=("cases.table",),
    ),
    Case(
        "what only a test under another name loads",
        {"tests/support.py": "X = 1\n"},
        base={"test.py": "from tests import support\n\ndef test_it(): pass\n", "tests/support.py": "X = 2\n"},
        restored=frozenset({"tests/support.py"}),
        collected=("test.py",),
    ),
    Case(
        "product code with examples in it, and documentation with some",
        {"app.py": "X = 1\n", "README.rst": "x\n", "docs/use.md": "x\n"},
        base={"README.rst": ">>> 1\n1\n", "docs/use.md": ">>> 1\n1\n"},
        collected=("app.py", "README.rst", "docs/use.md"),
    ),
    Case(
        "product code with tests inside",
        {"src/lib.rs": "fn a() {}\n", "client.py": "class TestClient: ...\n"},
        base={
            "src/lib.rs": "#[test]\nfn it() {}\n",
            "client.py": "class TestClient: pass\n",
            "app.py": "from client import TestClient\n",
        },
        collected=("src/lib.rs", "client.py"),
    ),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name.replace(" ", "-"))
def test_product_and_tests_are_told_apart(case: Case, tmp_path: Path) -> None:
    repository, change = changed(tmp_path, {**BASE, **case.base}, case.change)
    graded = graded_tree(repository, change, POLICY, case.collected)
    assert graded.product == case.product
    assert graded.restored == case.restored
    assert {load.path for load in graded.loaded} == case.loaded
    for path in case.product:
        assert repository.read_file(graded.tree, path) == (case.change[path] or "").encode()
        assert not graded.belongs_to_tests(path)
    for path in case.restored:
        assert repository.read_file(graded.tree, path) == repository.read_file(change.base_commit, path)


def test_the_same_change_gives_the_same_commit_on_top_of_the_base_commit(tmp_path: Path) -> None:
    repository, change = changed(tmp_path, BASE, {"app.py": "X = 1\n"})
    graded = graded_tree(repository, change, POLICY)
    assert graded_tree(repository, change, POLICY) == graded
    assert repository.git.line("rev-parse", f"{graded.tree}^") == change.base_commit
    assert repository.git.tree_of(graded.tree) == change.tree


@dataclass(frozen=True)
class Own:
    name: str
    change: Mapping[str, str]
    may_enter: frozenset[str]


@pytest.mark.parametrize(
    "case",
    [
        Own("a test", {"tests/test_new.py": TEST}, frozenset({"tests/test_new.py"})),
        Own("CI", {".github/workflows/ci.yml": "on: push\n"}, frozenset({".github/workflows/ci.yml"})),
        Own("a fixture", {"tests/conftest.py": "import pytest\n"}, frozenset({"tests/conftest.py"})),
        Own("a hook", {"tests/conftest.py": "def pytest_runtest_makereport():\n    pass\n"}, frozenset()),
        Own("configuration", {"pytest.ini": "[pytest]\n"}, frozenset()),
        Own("attributes", {"tests/.gitattributes": "* ident\n"}, frozenset()),
    ],
    ids=lambda case: case.name.replace(" ", "-"),
)
def test_configuration_and_hooks_of_the_change_never_enter(case: Own, tmp_path: Path) -> None:
    repository, change = changed(tmp_path, BASE, case.change)
    assert graded_tree(repository, change, POLICY, COLLECTED).own_tests == case.may_enter


def test_a_link_named_like_a_test_never_enters(tmp_path: Path) -> None:
    repository, workspace = begun(tmp_path, BASE)
    (workspace.folder / "tests/test_link.py").symlink_to("../app.py")
    change = workspace.collect(workspace.base_commit, (), "A link")
    graded = graded_tree(repository, change, POLICY, COLLECTED)
    assert graded.own_tests == frozenset()
    assert repository.read_file(graded.tree, "tests/test_link.py") is None


def changed(place: Path, base: Mapping[str, str], files: Mapping[str, str | None]) -> tuple[Repository, ChangeSet]:
    repository, workspace = begun(place, base)
    write_files(workspace.folder, files)
    return repository, workspace.collect(workspace.base_commit, (), "Change it")


def begun(place: Path, base: Mapping[str, str]) -> tuple[Repository, Workspace]:
    folder = place / "project"
    first_commit(folder, base)
    repository = Repository.open(folder)
    commit = repository.base().commit
    return repository, Workspace.create(repository, "R1", commit, place / "work")
