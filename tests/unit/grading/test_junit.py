from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from phasegate.infra.grading.runner.junit import MESSAGE_LIMIT, TestCase, clean, parse, read_report
from phasegate.infra.grading.runner.report_text import ReportUnreadable

ROOT = Path("/scratch/checkout")


def one(xml: str) -> TestCase:
    (case,) = parse(xml.encode(), ROOT)
    return case


def test_pytest_s_report() -> None:
    xml = """<?xml version="1.0" encoding="utf-8"?><testsuites name="pytest tests"><testsuite name="pytest">
      <testcase classname="tests.test_app.TestIt" name="test_ok[1-a]" time="0.1"/>
      <testcase classname="tests.test_app" name="test_bad">
        <failure message="AssertionError: assert 1 == 2">def test_bad():
&gt;       assert one() == 2
E       AssertionError</failure></testcase>
      <testcase classname="tests.test_app" name="test_skip">
        <skipped type="pytest.skip" message="not here">x</skipped></testcase>
      <testcase classname="" name="tests.test_new">
        <error message="collection failure">tests/test_new.py:1: in &lt;module&gt;
    from app import shout
E   ImportError: cannot import name 'shout'</error></testcase>
    </testsuite></testsuites>"""
    assert parse(xml.encode(), ROOT) == [
        TestCase("tests.test_app.TestIt::test_ok[1-a]", None, "passed"),
        TestCase("tests.test_app::test_bad", None, "failed", "AssertionError: assert 1 == 2"),
        TestCase("tests.test_app::test_skip", None, "skipped", "not here"),
        TestCase("::tests.test_new", None, "error", "ImportError: cannot import name 'shout'"),
    ]


def test_node_s_report_nests_suites_and_names_files() -> None:
    case = one(
        f'<testsuites><testsuite name="adder"><testcase name="adds" classname="test" file="{ROOT}/t/a.test.mjs">'
        '<failure type="testCodeFailure" message="2 !== 3"/></testcase></testsuite></testsuites>'
    )
    assert case == TestCase("test::adds", "t/a.test.mjs", "failed", "2 !== 3")


def test_go_s_report() -> None:
    case = one(
        '<testsuites><testsuite name="example.org/m/calc"><testcase classname="example.org/m/calc" name="TestAdd/one">'
        '<failure message="Failed">    calc_test.go:9: got 3, want 4</failure></testcase></testsuite></testsuites>'
    )
    assert case == TestCase("example.org/m/calc::TestAdd/one", None, "failed", "calc_test.go:9: got 3, want 4")


def test_surefire_s_report_is_a_folder_with_suites_as_roots(tmp_path: Path) -> None:
    for name in ("A", "B"):
        (tmp_path / f"TEST-{name}.xml").write_text(
            f'<testsuite name="{name}"><properties/><testcase name="works" classname="org.{name}"/></testsuite>'
        )
    assert [case.id for case in read_report(tmp_path, ROOT)] == ["org.A::works", "org.B::works"]


def test_a_test_without_class_is_named_by_its_suite() -> None:
    assert one('<testsuite name="s"><testcase name="n"/></testsuite>').id == "s::n"


def test_checks_of_tap_are_named_without_their_numbers_even_those_without_a_title(tmp_path: Path) -> None:
    report = tmp_path / "report.xml"
    names = ("#7 ..", "#8 ", "#9", "#10 #s", "#11 ..")
    report.write_text(f"""<testsuite name="t">{"".join(f'<testcase name="{name}"/>' for name in names)}</testsuite>""")
    ids = [case.id for case in read_report(report, ROOT)]
    assert sorted(ids) == ["t::#s", "t::(no title)", "t::(no title) #2", "t::..", "t::.. #2"]


def test_of_two_outcomes_under_one_name_the_worse_counts() -> None:
    good, bad = (
        '<testcase classname="c" name="n"/>',
        '<testcase classname="c" name="n"><error message="x1"/></testcase>',
    )
    assert one(f"<testsuite>{good}{bad}{good}</testsuite>") == TestCase("c::n", None, "error", "x1")


def test_messages_are_short_plain_and_the_same_on_every_machine() -> None:
    xml = '<testsuite><testcase classname="c" name="n"><failure message="{}"/></testcase></testsuite>'
    assert one(xml.format(f"in {ROOT}/app.py at 0x7f00deadbeef")).message == "in app.py at 0x…"
    long = one(xml.format("a" * 5000)).message
    assert len(long) < MESSAGE_LIMIT + 100
    assert "left out" in long
    assert one(xml.format("&#x9b;a&#9;b")).message == "a\tb"


def test_colours_are_stripped() -> None:
    # XML cannot hold ESC; pytest writes it as #x1B
    xml = '<testsuite><testcase classname="c" name="n"><failure message="#x1B[1;31mred#x1B[0m"/></testcase></testsuite>'
    assert one(xml).message == "red"
    assert clean("\x1b[31mred\x1b]0;title\x07", ROOT) == "red"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('<!DOCTYPE x [<!ENTITY a "b">]><testsuite/>', "document type"),
        ('<?xml version="1.0"?><!DOCTYPE testsuite SYSTEM "file:///etc/passwd"><testsuite/>', "document type"),
        ("<testsuite>", "not XML"),
        ("<html/>", "root is <html>"),
        ("nonsense", "not XML"),
    ],
)
def test_what_is_no_report_is_refused(text: str, says: str) -> None:
    with pytest.raises(ReportUnreadable, match=says):
        parse(text.encode(), ROOT)


def test_a_document_type_in_another_encoding_is_refused_too() -> None:
    with pytest.raises(ReportUnreadable, match="document type"):
        parse('<?xml version="1.0" encoding="utf-16"?><!DOCTYPE x><testsuite/>'.encode("utf-16"), ROOT)


def test_no_report_is_no_tests(tmp_path: Path) -> None:
    assert read_report(tmp_path / "junit.xml", ROOT) == []
    (tmp_path / "junit.xml").touch()
    assert read_report(tmp_path / "junit.xml", ROOT) == []


def test_a_report_that_is_a_link_or_a_pipe_is_refused(tmp_path: Path) -> None:
    (tmp_path / "link.xml").symlink_to("/etc/passwd")
    os.mkfifo(tmp_path / "pipe.xml")
    for name in ("link.xml", "pipe.xml"):
        with pytest.raises(ReportUnreadable):
            read_report(tmp_path / name, ROOT)
    with pytest.raises(ReportUnreadable):
        read_report(tmp_path, ROOT)


@pytest.mark.parametrize(
    ("report", "says"),
    [
        (b"<testsuites>" * 3_000, "more than 200 elements within each other"),
        (b'<?xml version="1.0" encoding="rot13"?><testsuites/>', "encoding 'rot13' is refused"),
        (b'<?xml version="1.0" encoding="utf-7"?><testsuites/>', "encoding 'utf-7' is refused"),
        (b'<?xml version="1.0" encoding="nobody-knows"?><testsuites/>', "encoding 'nobody-knows' is refused"),
        (b'<?xml version="1.0" encoding="zlib"?><testsuites/>', "encoding 'zlib' is refused"),
        (b"<testsuites>" + b"&#27;" * 600_000 + b"</testsuites>", "more than 500000 characters spelled as numbers"),
        (b'{"Action":' + b"[" * 5_000, "not a whole event of `go test -json`"),
        (b'{"Action":"pass","Elapsed":' + b"1" * 5_000 + b"}", "number of more than 400 digits"),
    ],
    ids=lambda value: str(value[:40]),
)
def test_a_report_past_a_bound_is_refused(report: bytes, says: str) -> None:
    """P17. Mutations tried: without the bound of depth; without the one of references."""
    with pytest.raises(ReportUnreadable, match=re.escape(says)):
        parse(report, ROOT)


def test_a_message_of_60_mb_is_cut() -> None:
    text = b"x y " * 15_000_000
    report = (
        b'<testsuites><testsuite><testcase name="a"><failure>'
        + text
        + b"</failure></testcase></testsuite></testsuites>"
    )
    (case,) = parse(report, ROOT)
    assert len(case.message) < 3_000
