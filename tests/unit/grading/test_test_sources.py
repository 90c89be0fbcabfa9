"""Tests found in files by reading them, and files without some of their tests."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from phasegate.infra.grading.amendments import Amendment, amendment_problems
from phasegate.infra.grading.tree.test_removal import without_tests
from phasegate.infra.grading.tree.test_sources import inherited_names, list_tests

PYTHON = """import os

import pytest
from app import a, b


@pytest.mark.parametrize("x", [1, 2])
def test_a(x):
    assert a(x)


class TestB:
    def test_one(self):
        assert b(1)

    def test_two(self):
        assert os.name
"""
NODE = """import { a, b } from './app.js';

describe('app', () => {
  it('adds (one)', () => {
    expect(a(`${'x'}}`)).toBe(/[)]/.test(')'));  // )
  });

  test("says 'b'", async () => {
    await b();
  });
});
"""
GO = """package app

import (
	"strings"
	"testing"
)

// TestA says so.
func TestA(t *testing.T) {
	if A() != "a" {
		t.Fatal("no")
	}
}

func TestB(t *testing.T) {
	if !strings.Contains(B(), "b") {
		t.Fatal("no")
	}
}
"""
JAVA = """package app;

import app.Gone;
import org.junit.jupiter.api.Test;

class AppTest {
    @Test
    void adds() {
        if (true) {
            new Gone();
        }
    }

    @Test
    void says() { new App(); }
}
"""
RUST = """use app::gone;

#[test]
fn adds() {
    assert_eq!(gone(), 1);
}

#[test]
#[should_panic]
fn says() {
    app::says();
}
"""


@dataclass(frozen=True)
class Case:
    path: str
    text: str
    names: tuple[str, ...]
    gone: str
    not_left: tuple[str, ...]
    left: tuple[str, ...]


CASES = (
    Case(
        "t.py",
        PYTHON,
        ("test_a", "TestB::test_one", "TestB::test_two"),
        "test_a",
        ("a(x)", "parametrize", "import a"),
        ("b(1)", "import b"),
    ),
    Case(
        "t.py",
        PYTHON,
        ("test_a", "TestB::test_one", "TestB::test_two"),
        "TestB::test_two",
        ("import os",),
        ("b(1)", "a(x)", "class TestB"),
    ),
    Case("t.test.js", NODE, ("adds (one)", "says 'b'"), "adds (one)", ("toBe", "a,"), ("await b()", "{ b }", "});\n")),
    Case("a_test.go", GO, ("TestA", "TestB"), "TestB", ("strings", "TestB"), ("TestA says so", "testing")),
    Case("AppTest.java", JAVA, ("adds", "says"), "adds", ("Gone",), ("new App()", "jupiter", "class AppTest {")),
    Case("tests/t.rs", RUST, ("adds", "says"), "adds", ("gone",), ("should_panic", "app::says")),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.path} without {case.gone}")
def test_a_test_leaves_its_file_with_what_it_alone_used(case: Case) -> None:
    assert tuple(test.name for test in list_tests(case.path, case.text)) == case.names
    text = without_tests(case.path, case.text, {case.gone})
    assert case.gone not in [test.name for test in list_tests(case.path, text)]
    assert [piece for piece in case.not_left if piece in text] == []
    assert [piece for piece in case.left if piece not in text] == []


def test_a_test_of_tap_is_found_below_its_runner_and_within_another() -> None:
    text = "const t = require('tap')\nt.test('one', t => {\n  t.test('inner', t => t.end())\n  t.end()\n})\n"
    assert [test.name for test in list_tests("test/a.js", text)] == ["one", "inner"]
    assert without_tests("test/a.js", text, {"one"}) == ""
    assert "inner" not in without_tests("test/a.js", text, {"inner"})
    assert "'one'" in without_tests("test/a.js", text, {"inner"})


def test_a_file_whose_every_test_goes_is_empty() -> None:
    assert without_tests("a_test.go", GO, {"TestA", "TestB"}) == ""


@pytest.mark.parametrize("text", ["def (", "\0", "(" * 5000, ""])
def test_a_text_that_is_no_program_has_no_tests(text: str) -> None:
    assert list_tests("t.py", text) == ()


@dataclass(frozen=True)
class Refused:
    amends: tuple[Amendment, ...]
    sealed: tuple[tuple[str, str], ...]
    says: str


REFUSED = (
    Refused((Amendment(test="t.py::test_gone", criterion="AC1"),), (), "has no single test test_gone; it has test_a"),
    Refused((Amendment(test="t.py", criterion="AC1"),), (), "names a whole file"),
    Refused((Amendment(test="u.py::test_a", criterion="AC1"),), (), "there is no file u.py"),
    Refused((Amendment(test="t.py::test_a", criterion="AC9"),), (), "cites AC9"),
    Refused(
        (Amendment(test="t.py::test_a", criterion="AC1", replacement="n.py::test_n"),), (), "is no test of the files"
    ),
    Refused(
        (Amendment(test="t.py::test_a", criterion="AC1"),), (("t.py", "x = 1"),), "t.py exists already: it holds TestB"
    ),
)


@pytest.mark.parametrize(
    ("content", "accepted"),
    [("add_test(a)\nadd_test(b)\n", True), ("add_test(b)\n", False), ("add_test(b)\nadd_test(a)\n", True)],
)
def test_a_list_of_a_build_s_tests_may_be_sealed_if_it_keeps_what_it_lists(content: str, *, accepted: bool) -> None:
    sealed = (("tests/b.c", "int main(void) { return 0; }\n"), ("tests/CMakeLists.txt", content))
    base = {"tests/CMakeLists.txt": b"add_test(a)\n"}
    problems = amendment_problems((), ["AC1"], sealed, base.get)
    assert (not problems) is accepted


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.says)
def test_an_amendment_that_names_nothing_is_sent_back(case: Refused) -> None:
    def read(path: str) -> bytes | None:
        return PYTHON.encode() if path == "t.py" else None

    problems = amendment_problems(case.amends, ["AC1"], case.sealed, read)
    assert len(problems) == 1
    assert case.says in problems[0]


def test_a_sealed_file_may_take_a_place_whose_every_test_is_amended() -> None:
    amends = [
        Amendment(test=f"t.py::{name}", criterion="AC1") for name in ("test_a", "TestB::test_one", "TestB::test_two")
    ]
    assert amendment_problems(amends, ["AC1"], [("t.py", "def test_n(): pass")], lambda _: PYTHON.encode()) == []


def test_a_method_runs_in_every_class_that_inherits_it() -> None:
    text = "class A:\n    def test_x(self): ...\nclass B(A, TestCase): ...\nclass C(m.B): ...\n"
    text += "class D(B):\n    def test_x(self): ...\nclass E(D): ...\nclass F: ...\n"
    assert inherited_names("test_a.py", "A::test_x", text) == ("B::test_x", "C::test_x")
    assert inherited_names("test_a.py", "D::test_x", text) == ("E::test_x",)
    assert inherited_names("test_a.py", "test_x", text) == ()
    assert inherited_names("a.test.js", "A::test_x", text) == ()
