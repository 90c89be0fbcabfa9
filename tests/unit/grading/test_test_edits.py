"""Edits of tests that leave less tested than before, and honest ones that do not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pytest

from phasegate.infra.grading.amendments import AmendedTest
from phasegate.infra.grading.integrity.test_edits import Product, TestEdit, about_test_edits

ONE = "def test_one():\n    assert f(1) == 1\n"
TWO = "def test_two():\n    assert f(2) == 2\n"


@dataclass(frozen=True)
class Case:
    """Files before and after, and those that are suspicious afterwards."""

    name: str
    before: Mapping[str, str]
    after: Mapping[str, str]
    suspicious: tuple[str, ...] = ()
    amended: tuple[str, ...] = ()


CASES = (
    Case("a test goes", {"test_a.py": ONE + TWO}, {"test_a.py": ONE}, ("test_a.py",)),
    Case("an assertion goes", {"test_a.py": ONE}, {"test_a.py": "def test_one():\n    f(1)\n"}, ("test_a.py",)),
    Case("a file goes", {"test_a.py": ONE}, {}, ("test_a.py",)),
    Case("a skip", {"test_a.py": ONE}, {"test_a.py": f"@pytest.mark.skip\n{ONE}"}, ("test_a.py",)),
    Case("a skip always", {"test_a.py": ONE}, {"test_a.py": f"@pytest.mark.skipif(True)\n{ONE}"}, ("test_a.py",)),
    Case("a failure expected", {"test_a.py": ONE}, {"test_a.py": f"@pytest.mark.xfail\n{ONE}"}, ("test_a.py",)),
    Case(
        "a hook",
        {"conftest.py": ""},
        {"conftest.py": "def pytest_collection_modifyitems(items):\n    items.clear()\n"},
        ("conftest.py",),
    ),
    Case(
        "a hook that passes all",
        {"conftest.py": ""},
        {"conftest.py": "def pytest_runtest_makereport(item, call):\n    (yield).get_result().outcome = 'passed'\n"},
        ("conftest.py",),
    ),
    Case(
        "a hook that runs nothing",
        {"conftest.py": ""},
        {"conftest.py": "def pytest_pyfunc_call(pyfuncitem):\n    return True\n"},
        ("conftest.py",),
    ),
    Case(
        "a hook that marks tests",
        {"conftest.py": ""},
        {"conftest.py": "def pytest_collection_modifyitems(items):\n    [one.add_marker('x') for one in items]\n"},
    ),
    Case(
        "hooks that keep time",
        {"conftest.py": ""},
        {"conftest.py": "def pytest_runtest_setup():\n    gc.collect()\n\n\ndef pytest_configure():\n    pass\n"},
    ),
    Case("an option", {"conftest.py": ""}, {"conftest.py": "def pytest_addoption(parser):\n    pass\n"}),
    Case(
        "only one test is run",
        {"a.test.js": "it('one', () => { expect(f(1)).toBe(1); });\n"},
        {"a.test.js": "it.only('none', () => {});\nit('one', () => { expect(f(1)).toBe(1); });\n"},
        ("a.test.js",),
    ),
    Case("a test moves", {"test_a.py": ONE + TWO}, {"test_a.py": ONE, "test_b.py": TWO}),
    Case("a file is renamed", {"test_a.py": ONE}, {"test_b.py": ONE}),
    Case("a file is renamed and loses a test", {"test_a.py": ONE + TWO}, {"test_b.py": ONE}, ("test_a.py",)),
    Case("a helper moves", {"tests/helpers.py": "X = 1\n"}, {"tests/support.py": "X = 1\n"}),
    Case(
        "two tests become one with cases",
        {"test_a.py": ONE + TWO},
        {"test_a.py": "@pytest.mark.parametrize('x', [1, 2])\ndef test_both(x):\n    assert f(x) == x\n"},
    ),
    Case(
        "a platform is skipped",
        {"test_a.py": ONE},
        {"test_a.py": f"{ONE}@pytest.mark.skipif(sys.platform == 'win32', reason='no fork')\n{TWO}"},
    ),
    Case(
        "something is patched",
        {"test_a.py": ONE},
        {"test_a.py": ONE + "def test_two(monkeypatch):\n    monkeypatch.setattr(app, 'x', 1)\n    assert f(2)\n"},
    ),
    Case("an amended test goes", {"test_a.py": ONE + TWO}, {"test_a.py": ONE}, amended=("test_a.py::test_two",)),
    Case("all amended, and the file goes", {"test_a.py": TWO}, {}, amended=("test_a.py::test_two",)),
    Case(
        "an amended test goes, and another one",
        {"test_a.py": ONE + TWO},
        {"test_a.py": "def test_three():\n    pass\n"},
        ("test_a.py",),
        ("test_a.py::test_two",),
    ),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name.replace(" ", "-"))
def test_what_leaves_less_tested_is_suspicious(case: Case) -> None:
    amended = [
        AmendedTest.model_validate({"test": test, "criterion": "AC1", "status": "amended"}) for test in case.amended
    ]
    edits = [
        TestEdit.of(path, letter, before, after, amended)
        for path in dict.fromkeys((*case.before, *case.after))
        for before, after in [(content(case.before, path), content(case.after, path))]
        for letter in ["A" if before is None else "D" if after is None else "M"]
    ]
    found = list(about_test_edits(edits))
    assert [finding.path for finding in found] == [edit.path for edit in edits]
    assert tuple(finding.path for finding in found if finding.severity == "suspicion") == case.suspicious


@pytest.mark.parametrize(
    ("product", "severity"),
    [
        (Product(), "suspicion"),
        (Product(is_touched=False), "note"),
        (Product(tells_of_removal=True), "note"),
        (Product(gone=frozenset({"farewell"})), "suspicion"),
        (Product(gone=frozenset({"test_two"})), "note"),
    ],
)
def test_what_the_product_does_explains_a_test_that_goes(product: Product, severity: str) -> None:
    edit = TestEdit("test_a.py", "M", ONE + TWO, ONE)
    assert [finding.severity for finding in about_test_edits([edit], product)] == [severity]


def content(files: Mapping[str, str], path: str) -> bytes | None:
    return files[path].encode() if path in files else None
