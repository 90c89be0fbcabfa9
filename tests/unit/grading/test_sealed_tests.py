from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from phasegate.infra.grading.sealed_tests import SealedFile, SealedTests


@pytest.mark.parametrize(
    "path",
    ["/etc/x", "../x", "a/../x", "a//x", "./x", "", ".git/hooks/x", "a/.GIT/config", "a\\x", "C:/x", "a\nb", "a/"],
)
def test_a_path_that_leads_elsewhere_is_refused(path: str) -> None:
    with pytest.raises(ValidationError):
        SealedFile(path=path, content="", criteria=())


def test_two_files_cannot_have_one_path() -> None:
    file = SealedFile(path="a.py", content="", criteria=())
    with pytest.raises(ValidationError, match=r"same path: a\.py"):
        SealedTests(files=(file, file))


def test_a_round_trip_keeps_the_digest() -> None:
    sealed = SealedTests(files=(SealedFile(path="tests/test_a.py", content="x\r\n", criteria=("AC1",)),))
    assert SealedTests.from_canonical(sealed.canonical()).digest == sealed.digest


def test_what_is_shown_holds_no_test() -> None:
    sealed = SealedTests(files=(SealedFile(path="t.py", content="assert secret == 42\n", criteria=("AC1",)),))
    assert "secret" not in sealed.markdown()
    assert "AC1" in sealed.markdown()


def test_writing_follows_no_link_and_makes_room(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_text("kept")
    checkout = tmp_path / "checkout"
    (checkout / "d.py" / "deep").mkdir(parents=True)
    (checkout / "tests").symlink_to(outside)
    (checkout / "file").write_text("in the way")
    (checkout / "link.py").symlink_to(outside / "kept")
    paths = ("tests/a.py", "file/b.py", "link.py", "d.py")
    SealedTests(files=tuple(SealedFile(path=path, content="x\n", criteria=()) for path in paths)).write_into(checkout)
    assert all((checkout / path).read_text() == "x\n" for path in paths)
    assert [path.name for path in outside.iterdir()] == ["kept"]
    assert (outside / "kept").read_text() == "kept"
