"""Pieces of a change that no test guards, lines that no test runs, and tests that cannot be relied on."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from tests.cheats.ground import DONE, FILES, Ground, Row

from phasegate.infra.grading.evidence import Ablation, Counts, Evidence, Place
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


_RATES = (
    "RATE = {}\n\n\ndef name():\n    return 'rate'\n\n\ndef unit():\n    return '%'\n\n\ndef rate():\n    return {}\n"
)
_SPREAD = {
    **FILES,
    "rates.py": _RATES.format(1, "RATE"),
    "tests/test_rates.py": "import importlib\n\n\ndef test_rate():\n"
    "    assert importlib.import_module('ra' + 'tes').rate() == 1\n",
    "tests/test_a.py": "import os\n\n\ndef test_first():\n    os.environ['FIRST'] = '1'\n",
    "tests/test_z.py": "import os\nimport shop\n\n\n"
    "def test_last():\n    assert os.environ['FIRST'] and shop.total([]) == 0\n",
    "tests/test_b.py": "def test_b():\n    assert True\n",
}


def test_a_piece_is_guarded_by_none_only_if_all_tests_say_so(tmp_path: Path) -> None:
    """A test that loads its module by a name put together, and one that needs another to have run, are tried whole."""
    ground = Ground(tmp_path, _SPREAD)
    change = {key: EXTRA[key] for key in ("shop.py", "unused.py")} | {"rates.py": _RATES.format(2, "RATE / 2")}
    grading = GradingPolicy(ablation_time=timedelta(minutes=5), coverage=False, plain_process=False, flaky_reruns=0)
    ablation = ground.grade(Row("spread", change, "passed", ""), grading).ablation
    assert ablation is not None
    assert (ablation.guarded, ablation.untried) == (3, ())
    assert {(place.path, place.start) for place in ablation.unguarded} == {("shop.py", 4), ("unused.py", 0)}
    runs = len(list((ground.state / "grading").glob("ablated-*")))
    assert runs == 5 + 4  # each piece with few tests, and with all of them unless some failed


def test_a_piece_that_few_tests_did_not_notice_is_told_from_one_that_none_guards() -> None:
    places = (Place(path="one.py", start=1, end=1), Place(path="two.py", start=2, end=2))
    ablation = Ablation(guarded=1, untried=places, survived=places[1:])
    counts = Counts(project_passed_on_base=1, project_still_passing=1, sealed=1, sealed_passed=1)
    evidence = Evidence(verdict="passed", change="1", sealed_tests="2", criteria=(), counts=counts, ablation=ablation)
    page = evidence.markdown()
    assert "No test guards" not in page
    not_tried, _, few = page.partition("Tried with the tests that load the file alone, which pass")
    assert "`one.py`" in not_tried.partition("Not tried, the time was up")[2]
    assert "`two.py`" in few
    assert "`two.py`" not in not_tried
