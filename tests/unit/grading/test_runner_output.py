"""Output of `go test -json` and `cargo test`, read as it is."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tests.support.repositories import write_files

from phasegate.infra.grading.runner.attribution import attribute
from phasegate.infra.grading.runner.junit import TestCase, parse
from phasegate.infra.grading.runner.report_text import ReportUnreadable
from phasegate.infra.grading.sealed_tests import SealedFile, SealedTests


def go(action: str, test: str = "", output: str = "", package: str = "example.com/g") -> str:
    event = {"Time": "2026-01-02T03:04:05Z", "Action": action, "Package": package}
    return json.dumps(event | ({"Test": test} if test else {}) | ({"Output": output} if output else {})) + "\n"


PASSED = go("run", "TestA") + go("output", "TestA", "=== RUN   TestA\n") + go("pass", "TestA")
OK = go("output", output="ok  \texample.com/g\t0.1s\n") + go("pass")
BUILD = '{{"ImportPath":"example.com/g [example.com/g.test]","Action":{}}}\n'
RUNNING = "     Running tests/it.rs (target/debug/deps/it-2d92038f2ed0ebc0)\n\n"
SUMMARY = "\ntest result: {}. {} passed; {} failed; {} ignored; 0 measured; 0 filtered out; finished in 0.00s\n\n"
EXAMPLES = (
    "   Doc-tests my_app\n\nrunning 2 tests\ntest src/lib.rs - shout (line {}) ... ok\n"
    "test src/lib.rs - shout (line {}) - compile ... ok\n"
)


@dataclass(frozen=True)
class Case:
    name: str
    text: str
    expected: list[TestCase]
    files: dict[str, str] = field(default_factory=dict)


MODULE = {"go.mod": "module example.com/g\n\ngo 1.19\n", "a_test.go": "package g\n\nfunc TestA(t *testing.T) {}\n"}
CASES = [
    Case(
        "go: groups, skips and messages",
        PASSED
        + go("run", "TestB")
        + go("output", "TestB/one_two", "    b_test.go:3: boo\n")
        + go("output", "TestB/one_two", "    --- FAIL: TestB/one_two (0.00s)\n")
        + go("fail", "TestB/one_two")
        + go("fail", "TestB")
        + go("output", "TestC", "    b_test.go:9: why\n")
        + go("skip", "TestC")
        + go("fail"),
        [
            TestCase("example.com/g::TestA", "a_test.go", "passed"),
            TestCase("example.com/g::TestB", None, "failed"),
            TestCase("example.com/g::TestB/one_two", None, "failed", "b_test.go:3: boo"),
            TestCase("example.com/g::TestC", None, "skipped", "b_test.go:9: why"),
        ],
        MODULE,
    ),
    Case(
        "go: a package that is not built, in Go's own words",
        "# example.com/g/bad [example.com/g/bad.test]\nbad/s_test.go:3:30: undefined: Nope\n"
        + PASSED
        + OK
        + "FAIL\texample.com/g/bad [build failed]\nFAIL\n",
        [
            TestCase("example.com/g::TestA", "a_test.go", "passed"),
            TestCase("example.com/g/bad::[build failed]", "bad", "error", "bad/s_test.go:3:30: undefined: Nope"),
        ],
        MODULE,
    ),
    Case(
        "go: a package that is not built, as newer versions say it",
        BUILD.format('"build-output","Output":"a_test.go:3: undefined: X\\n"')
        + BUILD.format('"build-fail"')
        + go("start")
        + go("output", output="FAIL\texample.com/g [build failed]\n")
        + go("fail"),
        [TestCase("example.com/g::[package]", ".", "error", "a_test.go:3: undefined: X")],
        MODULE,
    ),
    Case(
        "go: a process that ends in the middle of a test",
        PASSED + go("run", "TestB") + go("output", output="exit status 3\n") + go("fail"),
        [
            TestCase("example.com/g::TestA", None, "passed"),
            TestCase("example.com/g::TestB", None, "error", "it did not end"),
        ],
    ),
    Case(
        "go: a process that ends well in spite of a failure",
        go("run", "TestA") + go("output", "TestA", "boo\n") + go("fail", "TestA") + OK,
        [
            TestCase("example.com/g::TestA", None, "failed", "boo"),
            TestCase("example.com/g::[package]", None, "error", "a test fails, and the package passes"),
        ],
    ),
    Case(
        "cargo: outcomes, reasons and messages",
        "   Compiling my-app v0.1.0\n"
        "     Running unittests src/lib.rs (target/debug/deps/my_app-cbc756e1dc5a6d12)\n\nrunning 3 tests\n"
        "test tests::three ... ignored, slow\ntest tests::two - should panic ... ok\ntest tests::one ... FAILED\n\n"
        "failures:\n\n---- tests::one stdout ----\nx\n\nassertion failed: 1 == 2\n"
        "stack backtrace:\n   0: rust_begin_unwind\n             at /rustc/1/lib.rs:1:2\n\n\n"
        "failures:\n    tests::one\n"
        + SUMMARY.format("FAILED", 1, 1, 1)
        + "error: test failed, to rerun pass `--lib`\n"
        + RUNNING
        + "running 1 test\ntest it ... ok\n"
        + SUMMARY.format("ok", 1, 0, 0),
        [
            TestCase("my_app (src/lib.rs)::tests::three", None, "skipped", "slow"),
            TestCase("my_app (src/lib.rs)::tests::two", None, "passed"),
            TestCase("my_app (src/lib.rs)::tests::one", None, "failed", "x\n\nassertion failed: 1 == 2"),
            TestCase("it (tests/it.rs)::it", "a/tests/it.rs", "passed"),
        ],
        {"a/tests/it.rs": "", "target/tests/it.rs": ""},
    ),
    Case(
        "cargo: what a test prints past the harness",
        RUNNING
        + "running 3 tests\nrawtest a ... ok\ntest b ... rawok\ntest c ... one\ntwo\nFAILED\n"
        + SUMMARY.format("FAILED", 2, 1, 0),
        [
            TestCase("it (tests/it.rs)::a", None, "passed"),
            TestCase("it (tests/it.rs)::b", None, "passed"),
            TestCase("it (tests/it.rs)::c", None, "failed"),
        ],
    ),
    Case(
        "cargo: a test program that is no harness",
        "     Running tests/own.rs (target/debug/deps/own-b241637efdf2eca8)\nall well\n" + RUNNING + "broken\n"
        "error: test failed, to rerun pass `--test it`\n",
        [
            TestCase("own (tests/own.rs)::[all of it]", None, "passed"),
            TestCase(
                "it (tests/it.rs)::[all of it]", None, "error", "broken\nerror: test failed, to rerun pass `--test it`"
            ),
        ],
    ),
    Case(
        "cargo: a process that ends before its tests have",
        RUNNING + "running 2 tests\ntest a ... ok\n" + RUNNING.replace("it", "on"),
        [
            TestCase("it (tests/it.rs)::a", None, "passed"),
            TestCase(
                "it (tests/it.rs)::[all of it]",
                None,
                "error",
                "1 of 2 tests did not end\n\nrunning 2 tests\ntest a ... ok",
            ),
            TestCase("on (tests/on.rs)::[all of it]", None, "passed"),
        ],
    ),
    Case(
        "cargo: nothing compiles",
        "   Compiling a v0.1.0\nerror[E0425]: cannot find\nerror: could not compile `a`\n",
        [],
    ),
    Case("go: nothing starts", "go: cannot find main module\n", []),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_tests_of_a_run(case: Case, tmp_path: Path) -> None:
    write_files(tmp_path, case.files)
    found = parse(case.text.encode(), tmp_path)
    assert sorted(found, key=lambda one: one.id) == sorted(case.expected, key=lambda one: one.id)


def test_examples_in_documentation_keep_their_ids_when_lines_move(tmp_path: Path) -> None:
    before, after = (
        parse((EXAMPLES.format(*lines) + SUMMARY.format("ok", 2, 0, 0)).encode(), tmp_path)
        for lines in ((2, 9), (5, 12))
    )
    assert before == after
    assert [case.id for case in before] == [f"my_app (documentation)::src/lib.rs - shout{end}" for end in ("", " #2")]


def test_a_summary_that_says_otherwise_than_the_tests_is_a_failure(tmp_path: Path) -> None:
    forged = RUNNING + "running 1 test\ntest a ... FAILED\n" + SUMMARY.format("ok", 1, 0, 0)
    assert [(case.name, case.status) for case in parse(forged.encode(), tmp_path)] == [
        ("a", "failed"),
        ("[all of it]", "error"),
    ]


def test_an_event_that_is_cut_off_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ReportUnreadable, match="line 4"):
        parse((PASSED + go("pass", "TestB")[:40]).encode(), tmp_path)


def test_xml_that_quotes_such_output_is_xml(tmp_path: Path) -> None:
    quoted = (
        f"<testsuite><testcase name='a'><failure>\n{RUNNING}running 1 test\ngo: x\n</failure></testcase></testsuite>"
    )
    assert [case.name for case in parse(quoted.encode("utf-8-sig"), tmp_path)] == ["a"]


def test_a_go_test_is_looked_for_through_no_link(tmp_path: Path) -> None:
    outside, inside = tmp_path / "outside", tmp_path / "inside"
    outside.mkdir()
    inside.mkdir()
    (outside / "a_test.go").write_text(MODULE["a_test.go"])
    (inside / "go.mod").write_text(MODULE["go.mod"])
    (inside / "a_test.go").symlink_to(outside / "a_test.go")
    assert [case.file for case in parse((PASSED + OK).encode(), inside)] == [None]


def test_a_package_that_is_not_built_speaks_for_the_sealed_file_in_it(tmp_path: Path) -> None:
    (tmp_path / "go.mod").write_text(MODULE["go.mod"])
    cases = parse(b"# example.com/g/sub\nx.go:1: undefined: Y\nFAIL\texample.com/g/sub [build failed]\n", tmp_path)
    files = [SealedFile(path=path, content="package g\n", criteria=("AC1",)) for path in ("sub/x_test.go", "x_test.go")]
    told = attribute(cases, SealedTests(files=tuple(files)), (), ())
    assert {path: [case.message for case in own] for path, own in told.sealed.items()} == {
        "sub/x_test.go": ["x.go:1: undefined: Y"],
        "x_test.go": [],
    }
