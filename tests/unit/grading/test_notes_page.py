"""Notes on the gate page: in short, at its end."""

from __future__ import annotations

from phasegate.infra.grading.evidence import Evidence, Finding

NOTE = "test-file-touched"


def page(*findings: Finding) -> str:
    found = Evidence(verdict="passed", change="a" * 40, sealed_tests="sha256:0", criteria=(), findings=findings)
    return found.markdown()


def test_notes_of_one_kind_are_one_line_at_the_end() -> None:
    notes = [Finding(code=NOTE, path=f"tests/test_{number}.py", message="changed") for number in range(7)]
    last = page(*notes).rstrip("\n").splitlines()[-3:]
    assert last[0] == "**Notes, 7; honest changes have them, too:**"
    assert last[2].startswith(f"- {NOTE}, 7: `tests/test_0.py`, ")
    assert last[2].endswith("… and 2 more")


def test_a_single_note_keeps_its_message() -> None:
    assert page(Finding(code=NOTE, path="a.py", message="changed")).endswith(f"- {NOTE}: `a.py`: changed\n")


def test_suspicions_and_what_a_run_told_stay_in_their_places() -> None:
    shown = page(
        Finding(code=NOTE, path="a.py", message="one"),
        Finding(code="always-equal", path="b.py", message="two", severity="suspicion"),
        Finding(code="no-junit-report", message="three"),
    )
    order = ["Look at these", "always-equal", "Worth knowing", "no-junit-report", "Notes, 1", NOTE]
    places = [shown.index(words) for words in order]
    assert places == sorted(places)
