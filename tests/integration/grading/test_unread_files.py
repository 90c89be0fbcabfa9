"""P17: a change with files that no reader takes is graded, and its page names them."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from tests.integration.grading.test_grade import FILES, SHOUT, Project

from phasegate.infra.grading.integrity.counter_tests import counter_tests
from phasegate.infra.grading.integrity.unread_files import about_unread_file
from phasegate.infra.grading.sealed_tests import SealedFile, SealedTests
from phasegate.infra.grading.tree.test_sources import list_tests
from phasegate.infra.policy.model import GradingPolicy

ELIF = "def pick(a):\n    if a:\n        return 1\n" + "".join(
    f"    elif a == {n}:\n        return {n}\n" for n in range(5_000)
)
MINUS = f"x = {'-' * 100_000}1\n"
HEX = f"\n\ndef test_large():\n    assert 0x{'f' * 5_000} > 1\n"
SEALED = SealedTests(
    files=(
        SealedFile(
            path="tests/test_accept_shout.py",
            content="def test_capitals():\n    import app\n\n    assert app.shout('Ana') == 'HELLO ANA'\n" + HEX,
            criteria=("AC1",),
        ),
    )
)
THOROUGH = GradingPolicy(ablation_time=timedelta(seconds=5))


async def test_a_change_with_files_that_cannot_be_read_is_graded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mutations tried: `ast.parse` in `counter_tests`, `json.loads` in `settings`; no finding about unread files."""
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    project = Project(tmp_path)
    changes: dict[str, str | None] = {
        "app.py": SHOUT,
        "deep.py": ELIF,
        "minus.py": MINUS,
        "terms.py": f"x = {' + '.join('1' * 20_000)}\n",
        "pyproject.toml": FILES["pyproject.toml"] + f"a = {'[' * 3_000}{']' * 3_000}\n",
        "package.json": '{"a":' * 100_000 + "1" + "}" * 100_000,
        "tests/test_deep.py": f"def test_it():\n    assert not {'not ' * 3_000}0\n",
    }
    evidence = await project.grade(changes, sealed=SEALED, grading=THOROUGH)
    named = {finding.path: finding.message for finding in evidence.findings if finding.code == "file-not-read"}
    assert set(named) == {"deep.py", "minus.py", "terms.py", "pyproject.toml", "package.json", "tests/test_deep.py"}
    assert "nested more than" in named["deep.py"]
    assert "package.json" in evidence.markdown()
    assert evidence.criteria[0].status == "passed", evidence.markdown()


def test_what_is_malformed_or_was_like_that_is_told_apart() -> None:
    deep = MINUS.encode()
    (fresh,) = about_unread_file("a.py", b"x = 1", deep)
    (kept,) = about_unread_file("a.py", deep, deep + b"\n")
    assert (fresh.severity, kept.severity) == ("suspicion", "note")
    for path, content in (
        ("a.py", b"print 1"),
        ("a.py", b"x = 1"),
        ("package.json", b"{"),
        ("pyproject.toml", b"["),
        ("a.txt", deep),
        ("a.py", None),
    ):
        assert not list(about_unread_file(path, None, content))


def test_sealed_tests_that_cannot_be_read_are_passed_over() -> None:
    assert counter_tests(HEX) == ("", frozenset())
    assert list_tests("tests/test_a.py", HEX) == ()
