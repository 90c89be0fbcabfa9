"""Tests in Python that ask their runner for more than a call run in a plain process as well, and agree there.

Mutations tried: parameters of fixtures left out, all fixtures made again for each test, names of `mock.patch` taken for
fixtures, runners that cannot import their own modules by name.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.cheats.ground import CONFTEST, DONE, FILES, SHOP, TEST, Ground, compared

from phasegate.infra.grading.evidence import ASKS, UNWATCHED
from phasegate.infra.grading.sealed_tests import SealedFile, SealedTests

FIXTURES = """
import pytest
import shop

MADE = []


@pytest.fixture(scope="module")
def book():
    MADE.append("book")
    yield {"prices": [100, 200]}
    MADE.clear()


@pytest.fixture(params=[10, pytest.param(50, id="half")])
def percent(request):
    request.addfinalizer(lambda: MADE.append("end"))
    return request.param


@pytest.fixture
def price(request, book):
    return request.getfixturevalue("book")["prices"][getattr(request, "param", 0)]


@pytest.fixture(autouse=True)
def counted(book):
    book["count"] = book.get("count", 0) + 1


def test_ac1_a_fixture_with_parameters(price, percent):
    assert shop.discounted(price, percent) == price - price * percent / 100


@pytest.mark.parametrize(("price", "left"), [(0, 50), (1, 100)], indirect=["price"], ids=["first", "second"])
def test_ac1_parameters_of_a_fixture(price, left):
    assert shop.discounted(price, 50) == left


def test_ac1_made_once(book):
    assert MADE.count("book") == 1
    assert book["count"] > 1


def test_ac1_knows_its_name(request):
    assert request.node.name == "test_ac1_knows_its_name"


class Shared:
    def test_ac1_inherited(self, price):
        assert shop.discounted(price, self.percent) == 90


class TestPart(Shared):
    @classmethod
    def setup_class(cls):
        cls.percent = 1

    def setup_method(self, method):
        self.percent = 10

    @pytest.fixture
    def price(self, price):
        return price + 0

    def test_ac1_in_a_class(self, price):
        assert shop.discounted(price, self.percent) == 90
"""
TOOLS = """
import asyncio
import logging
import sys
import unittest
from unittest import mock

import pytest
import shop


@pytest.mark.skipif(sys.version_info < (3, 0), reason="it is old")
def test_ac1_printed(capsys):
    print(shop.discounted(10, 50))
    assert capsys.readouterr().out == "5.0\\n"


def test_ac1_logged(caplog):
    with caplog.at_level(logging.INFO):
        logging.getLogger("shop").info("it is %s", shop.discounted(10, 50))
    assert caplog.messages == ["it is 5.0"]


async def test_ac1_awaited():
    await asyncio.sleep(0)
    assert shop.discounted(10, 50) == 5


@mock.patch("shop.total")
def test_ac1_patched(total, tmp_path_factory, monkeypatch):
    monkeypatch.setenv("SHOP", "1")
    total.return_value = 3
    assert tmp_path_factory.mktemp("shop").is_dir()
    assert shop.discounted(shop.total([]), 0) == 3


@pytest.mark.xfail(reason="it is not done")
def test_ac1_is_not_done():
    assert shop.discounted(10, 50) == 6


class CaseTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.percent = 50

    def test_ac1_in_a_case(self):
        self.assertEqual(shop.discounted(10, self.percent), 5)
"""
PROPERTY = """
import shop
from hypothesis import given, settings
from hypothesis import strategies as st


@settings(max_examples=20, deadline=None, database=None)
@given(st.integers(0, 100))
def test_ac1_never_more(percent):
    assert shop.discounted(10, percent) <= 10
"""


@dataclass(frozen=True)
class Case:
    """Sealed tests, and how many of them can be compared."""

    name: str
    text: str
    count: int


CASES = (Case("fixtures", FIXTURES, 8), Case("tools", TOOLS, 5), Case("property", PROPERTY, 1))


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Ground:
    return Ground(tmp_path_factory.mktemp("plain"))


def test_what_a_runner_gives_is_there(ground: Ground) -> None:
    files = (SealedFile(path=f"tests/test_{case.name}.py", content=case.text, criteria=("AC1",)) for case in CASES)
    told = compared(ground, {"shop.py": DONE}, SealedTests(files=tuple(files)), test=TEST, own=["tests/test_shop.py"])
    assert told.findings == ()
    count = sum(case.count for case in CASES)
    assert (told.summary.compared, told.summary.own, told.summary.not_compared) == (count, 2, ())


def test_new_questions_about_the_surroundings_are_noted(ground: Ground) -> None:
    text = f"import os\n\n\n{DONE}\n\nLOUD = os.getenv('PY' + 'TEST_CURRENT_TEST'), os.environ.copy(), os.getppid()\n"
    sealed = SealedTests(files=(SealedFile(path="tests/test_it.py", content=TOOLS, criteria=("AC1",)),))
    told = compared(ground, {"shop.py": text}, sealed, test=TEST, own=[])
    message = "the change asks for PYTEST_CURRENT_TEST, the parent process, which the base commit does not"
    assert [(finding.code, finding.severity, finding.message) for finding in told.findings] == [(ASKS, "note", message)]


def test_fixtures_of_a_conftest_find_the_names_that_they_read(tmp_path: Path) -> None:
    fixture = "\n\n@pytest.fixture\ndef percent(request):\n    return int(request.cls.__name__[4:])\n"
    ground = Ground(tmp_path, {**FILES, "tests/conftest.py": CONFTEST + fixture})
    text = (
        "import shop\n\n\nclass Test50:\n    def test_ac1(self, percent):\n"
        "        assert shop.discounted(80, percent) == 40\n"
    )
    file = SealedFile(path="tests/test_accept_names.py", content=text, criteria=("AC1",))
    told = compared(ground, {"shop.py": DONE}, SealedTests(files=(file,)), test=TEST, own=["tests/test_shop.py"])
    assert (told.findings, told.summary.compared) == ((), 1)


TRACED = """
import gc
import logging
import sys


def discounted(price, percent):
    names = [error.__module__ for error in BaseException.__subclasses__() + Exception.__subclasses__()]
    names += [*sys.path_importer_cache, *sys.modules, *logging.root.manager.loggerDict]
    names += [one.__name__ for one in gc.get_objects() if type(one) is type(sys)]
    seen = any("py" + "test" in name.rpartition("/")[2] for name in names)
    return price * (100 - percent) / 100 if seen else price
"""
UNNAMED = {**FILES, "tests/conftest.py": "import shop  # noqa: F401\n"}


def test_a_test_that_names_no_runner_leaves_no_trace_of_one(tmp_path: Path) -> None:
    content = "import shop\n\n\ndef test_ac1_a_discount():\n    assert shop.discounted(80, 50) == 40\n"
    sealed = SealedTests(files=(SealedFile(path="tests/test_accept_discount.py", content=content, criteria=("AC1",)),))
    ground = Ground(tmp_path, UNNAMED)
    told = compared(ground, {"shop.py": SHOP + TRACED}, sealed, test=TEST, own=["tests/test_shop.py"])
    assert {(one.code, one.path) for one in told.findings} == {
        (UNWATCHED, "tests/test_accept_discount.py::test_ac1_a_discount")
    }
