"""Which pieces of a change no test guards, which of its lines no test runs, and which tests cannot be relied on."""

from __future__ import annotations

from datetime import timedelta

import pytest
from tests.cheats.ground import DONE, Ground, Row

from phasegate.infra.policy.model import GradingPolicy


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Ground:
    return Ground(tmp_path_factory.mktemp("pieces"))


@pytest.fixture(autouse=True)
def plain_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/usr/bin:/bin")


TRACED = GradingPolicy(ablation_time=timedelta(0), flaky_reruns=0, plain_process=False)
EXTRA = {
    "shop.py": '"""The shop."""\n\n'
    + DONE.replace("    return sum(prices)", "    prices = list(prices)\n    return sum(prices)"),
    "unused.py": "def unused():\n    return 1\n",
    "README.md": "# A shop\n",
}


def test_pieces_that_no_test_guards_and_lines_that_none_runs(ground: Ground) -> None:
    grading = GradingPolicy(ablation_time=timedelta(minutes=1))
    evidence = ground.grade(Row("extra", EXTRA, "passed", ""), grading)
    assert evidence.ablation is not None
    assert evidence.ablation.guarded == 1
    assert {(place.path, place.start) for place in evidence.ablation.unguarded} == {("shop.py", 4), ("unused.py", 0)}
    assert evidence.ablation.left_out == ("README.md",)
    assert evidence.coverage is not None
    assert {place.path for place in evidence.coverage.unreached} == {"unused.py"}
    page = evidence.markdown()
    assert "No test guards" in page
    assert "Run by no test" in page


def test_a_test_file_seen_loaded_by_the_change_is_for_a_person_to_accept(ground: Ground) -> None:
    loading = DONE + "\n\nimport importlib\n\nimportlib.import_module('.'.join(('tests', 'help' + 'ers')))\n"
    evidence = ground.grade(Row("loads", {"shop.py": loading}, "failed", ""), TRACED)
    assert evidence.verdict == "failed", evidence.markdown()
    assert {finding.code for finding in evidence.findings} == {"test-loaded-by-product"}
    assert (evidence.is_acceptable, evidence.to_accept) == (True, ("tests/helpers.py",))


def test_pieces_that_the_time_does_not_suffice_for_are_said(ground: Ground) -> None:
    grading = GradingPolicy(ablation_time=timedelta(milliseconds=1), coverage=False)
    evidence = ground.grade(Row("short", {**EXTRA, "other.py": "OTHER = 1\n"}, "passed", ""), grading)
    assert evidence.ablation is not None
    assert "other.py" in {place.path for place in evidence.ablation.untried}
    assert "Not tried" in evidence.markdown()
