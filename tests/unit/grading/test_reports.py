from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from phasegate.infra.grading.runner.junit import TestCase, parse, read_report
from phasegate.infra.grading.runner.report_text import ReportUnreadable

ROOT = Path("/scratch/base/checkout")
CASE = '<testcase classname="c" name="n{}"/>'


def ids(xml: str | bytes, root: Path = ROOT) -> list[str]:
    return [case.id for case in parse(xml.encode() if isinstance(xml, str) else xml, root)]


@dataclass(frozen=True)
class Case:
    data: bytes
    message: str


@pytest.mark.parametrize(
    "row",
    [
        Case(b"a\x0bb", "a#x0Bb"),
        Case(b"a\x00b", "a#x00b"),
        Case(b"\x1b[31mred\x1b[0m", "red"),
        Case(b"&#x1B;[31mred&#27;[0m", "red"),
        Case(b"a&#0;b&#xFFFE;&#x110000;", "a#x00b#xFFFE#x110000"),
        Case(b"caf\xe9", "caf\\xe9"),
    ],
)
def test_characters_that_xml_cannot_hold_are_spelled(row: Case) -> None:
    report = b'<testsuite><testcase classname="c" name="n"><failure>' + row.data + b"</failure></testcase></testsuite>"
    assert parse(report, ROOT) == [TestCase("c::n", None, "failed", row.message)]


@pytest.mark.parametrize(
    ("declared", "written"),
    [
        ("utf-8", "utf-8-sig"),
        ("utf-16", "utf-16"),
        ("utf-16", "utf-8"),
        ("UTF-16LE", "utf-16-le"),
        ("ISO-8859-1", "latin-1"),
        ("windows-1252", "cp1252"),
        ("ISO-8859-1", "utf-8"),
        ("Shift_JIS", "shift_jis"),
    ],
)
def test_encodings_are_read(declared: str, written: str) -> None:
    name = "\u5bff\u53f8" if written == "shift_jis" else "caf\u00e9"
    xml = f'<?xml version="1.0" encoding="{declared}"?><testsuite><testcase classname="c" name="{name}"/></testsuite>'
    assert ids(xml.encode(written)) == [f"c::{name}"]


@pytest.mark.parametrize("encoding", ["rot13", "UTF-7", "base64", "no-such", "unicode_escape", "punycode", ""])
def test_what_is_no_encoding_of_xml_is_refused(encoding: str) -> None:
    with pytest.raises(ReportUnreadable, match=r"encoding .* is refused \(byte \d+, line 1\)"):
        parse(f'<?xml version="1.0" encoding="{encoding}"?><testsuite/>'.encode(), ROOT)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-le"])
def test_a_fault_is_named_by_its_byte_and_line(encoding: str) -> None:
    before = "<testsuite>\n<testcase name='\u00e9\x0b&#27;'/>\n"
    data = f"{before}</wrong>".encode(encoding)
    at = len(f"{before}</".encode(encoding))
    with pytest.raises(ReportUnreadable, match=rf"one\.xml: the report is not XML: .* \(byte {at}, line 3\)"):
        parse(data, ROOT, "one.xml")


def test_a_report_cut_off_anywhere_is_refused() -> None:
    whole = f"<testsuites><testsuite>{CASE.format(1)}<system-out>x</system-out></testsuite></testsuites>".encode()
    assert ids(whole) == ["c::n1"]
    for end in range(1, len(whole)):
        with pytest.raises(ReportUnreadable):
            parse(whole[:end], ROOT)


def test_namespaces_nesting_and_junk_do_not_hide_a_test() -> None:
    xml = (
        '<j:testsuites xmlns:j="urn:x" xmlns="urn:y"><testsuites time="NaN,"><j:testsuite name="s">'
        "<properties><property name='a'><testcase name='no'/></property></properties>"
        "<testcase classname='c' name='outer' time='1,5s'><testcase classname='c' name='inner'><failure/></testcase>"
        "</testcase><system-out>&lt;testcase/></system-out></j:testsuite></testsuites></j:testsuites>"
    )
    told = {case.id: case.status for case in parse(xml.encode(), ROOT)}
    assert told == {"c::outer": "passed", "c::inner": "failed"}


@pytest.mark.parametrize("depth", [300, 3_000, 100_000])
def test_nesting_is_bounded(depth: int) -> None:
    with pytest.raises(ReportUnreadable, match="within each other"):
        parse(b"<testsuite>" * depth + b"</testsuite>" * depth, ROOT)


def test_a_folder_is_refused_for_one_broken_report(tmp_path: Path) -> None:
    (tmp_path / "a.xml").write_text("<testsuite/>")
    (tmp_path / "b.xml").write_text("<testsuite>\n")
    with pytest.raises(ReportUnreadable, match=r"b\.xml: .*line 2"):
        read_report(tmp_path, ROOT)
    (tmp_path / "b.xml").write_text("")
    with pytest.raises(ReportUnreadable, match=r"b\.xml: the report is empty"):
        read_report(tmp_path, ROOT)


def test_a_folder_s_bytes_are_bounded_in_sum(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in "abc":
        (tmp_path / f"{name}.xml").write_text(f"<testsuite>{CASE.format(name)}</testsuite>")
    assert len(read_report(tmp_path, ROOT)) == 3
    monkeypatch.setattr("phasegate.infra.grading.runner.junit.REPORT_LIMIT", 150)
    with pytest.raises(ReportUnreadable, match=r"c\.xml: the report is larger"):
        read_report(tmp_path, ROOT)


@pytest.mark.parametrize(
    ("name", "without"),
    [
        ("reads[{root}/data/one.txt]", "reads[data/one.txt]"),
        ("reads[{dotted}.data]", "reads[data]"),
        ("reads[-{dashed}-data]", "reads[data]"),
        ("reads[{percent}%2Fdata]", "reads[data]"),
        ("reads['{root}']", "reads['.']"),
        ("file://{root}/a.mjs", "a.mjs"),
        ("{root}2/data", "{root}2/data"),
    ],
)
def test_two_folders_give_equal_ids(name: str, without: str) -> None:
    for root in (ROOT, Path("/scratch/change/checkout")):
        plain = str(root)[1:]
        spelled = {"dotted": plain.replace("/", "."), "dashed": plain.replace("/", "-")}
        spelled |= {"root": str(root), "percent": "%2F" + plain.replace("/", "%2F")}
        xml = f'<testsuite><testcase classname="c" name="{name.format(**spelled)}"/></testsuite>'
        assert ids(xml, root) == [f"c::{without.format(root=root)}"]


def test_a_link_to_the_checkout_is_the_checkout(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    xml = f'<testsuite><testcase classname="c" name="n" file="{tmp_path}/real/t.py"/></testsuite>'
    assert parse(xml.encode(), tmp_path / "link") == [TestCase("c::n", "t.py", "passed")]


def test_tests_of_two_suites_stay_two_and_the_worst_goes_by_the_bare_id() -> None:
    good, bad = CASE.format(""), CASE.format("").replace("/>", "><failure/></testcase>")
    for first, second in ((good, bad), (bad, good)):
        xml = f"<testsuites><testsuite>{first}</testsuite><testsuite>{second}</testsuite></testsuites>"
        told = {case.id: case.status for case in parse(xml.encode(), ROOT)}
        assert told == {"c::n": "failed", "c::n #2": "passed"}


def test_the_numbers_of_tap_are_no_part_of_a_name() -> None:
    def report(*names: str) -> str:
        return "<testsuite name='t'>" + "".join(f'<testcase name="{name}"/>' for name in names) + "</testsuite>"

    assert ids(report("1 - adds", "2 - takes")) == ["t::adds", "t::takes"]
    assert ids(report("1 - new", "2 - adds", "3 - adds")) == ["t::new", "t::adds", "t::adds #2"]
    assert ids(report("2 - 1 is 1", "1 - 1 is 0")) == ["t::2 - 1 is 1", "t::1 - 1 is 0"]
    assert ids(report("#4 adds", "#5 should be equal", "#6 should be equal")) == [
        "t::adds",
        "t::should be equal",
        "t::should be equal #2",
    ]
    assert ids(report("#4 adds", "takes")) == ["t::#4 adds", "t::takes"]


@pytest.mark.parametrize(
    ("classname", "file"),
    [
        ("test/a.js &gt; greets &gt; inner", "test/a.js"),
        ("test/a.js greets inner", "test/a.js"),
        ("src/a.test.tsx", "src/a.test.tsx"),
        (f"{ROOT}/a.test.ts", "a.test.ts"),
        ("app.js.Reader", None),
        ("a reader of a.js", None),
    ],
)
def test_a_class_name_that_begins_with_a_file_tells_it(classname: str, file: str | None) -> None:
    """Tap names the file of failing tests alone; a test that fails must have the id it had when it passed."""
    passed, failed = (
        f'<testsuite><testcase classname="{classname}" name="n"{attributes}</testcase></testsuite>'
        for attributes in (">", f' file="{file}"><failure/>' if file else "><failure/>")
    )
    assert [(case.id, case.file) for case in parse(passed.encode(), ROOT)] == [
        (case.id, case.file) for case in parse(failed.encode(), ROOT)
    ]
    assert [case.file for case in parse(passed.encode(), ROOT)] == [file]


def test_a_suite_s_file_is_its_tests_file_and_a_failed_status_counts() -> None:
    xml = f'<testsuite file="{ROOT}/test/a.js"><testcase classname="c" name="n" status="failed"/></testsuite>'
    assert parse(xml.encode(), ROOT) == [TestCase("c::n", "test/a.js", "failed")]
