"""P17: a large report is read in a process of its own, within bounds, to the same tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from phasegate.infra.grading.runner import report_process
from phasegate.infra.grading.runner.junit import read_report
from phasegate.infra.grading.runner.report_process import AT_ONCE, read_bounded_report
from phasegate.infra.grading.runner.report_text import ReportUnreadable

CASE = "<testcase classname='tests' name='t{0}' file='a.py'><failure message='é no'>{1}</failure></testcase>"


def report(path: Path, cases: int, text: str = "") -> Path:
    path.write_text("<testsuite name='s'>" + "".join(CASE.format(n, text) for n in range(cases)) + "</testsuite>")
    return path


@pytest.mark.parametrize(("cases", "text"), [(20_000, ""), (2, "x" * AT_ONCE)])
def test_the_tests_are_the_same(tmp_path: Path, cases: int, text: str) -> None:
    file = report(tmp_path / "junit.xml", cases, text)
    assert file.stat().st_size > AT_ONCE
    assert read_bounded_report(file, tmp_path, tmp_path) == read_report(file, tmp_path, tmp_path)


def test_a_large_report_that_is_no_xml_is_refused_with_its_reason(tmp_path: Path) -> None:
    file = tmp_path / "junit.xml"
    file.write_text("<testsuite>" + "x" * 2 * AT_ONCE)
    with pytest.raises(ReportUnreadable, match="not XML"):
        read_bounded_report(file, tmp_path, tmp_path)


def test_a_folder_of_too_much_is_refused_before_any_of_it_is_read(tmp_path: Path) -> None:
    """Mutation tried: sizes counted while the files are read."""
    folder = tmp_path / "reports"
    folder.mkdir()
    for number in range(40):
        with (folder / f"{number}.xml").open("wb") as file:
            file.truncate(30_000_000)  # zeros: each of them alone is no XML
    with pytest.raises(ReportUnreadable, match="larger than 64 MiB together"):
        read_bounded_report(folder, tmp_path, tmp_path)


def test_reading_that_takes_too_long_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report_process, "_SECONDS", 0.01)
    file = report(tmp_path / "junit.xml", 20_000)
    with pytest.raises(ReportUnreadable, match="too much time or memory"):
        read_bounded_report(file, tmp_path, tmp_path)


@pytest.mark.parametrize("name", ["missing.xml", "link.xml"])
def test_no_report_and_a_link_are_as_before(tmp_path: Path, name: str) -> None:
    report(tmp_path / "large.xml", 20_000)
    (tmp_path / "link.xml").symlink_to("large.xml")
    if name == "missing.xml":
        assert read_bounded_report(tmp_path / name, tmp_path, tmp_path) == []
    else:
        with pytest.raises(ReportUnreadable, match="is a link"):
            read_bounded_report(tmp_path / name, tmp_path, tmp_path)
