"""A base commit's judgement: what its own tests tell, what is unstable in them, and what excuses a change."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest
from tests.cheats.ground import DONE, FILES, QUICK, TEST, TESTS, Ground, Row

from phasegate.infra.grading.base import BaseJudgement, judge_base
from phasegate.infra.grading.runner.runner import Bench
from phasegate.infra.policy.model import Policy, ProjectPolicy
from phasegate.infra.sandbox import open_sandbox

TWICE = QUICK.model_copy(update={"flaky_reruns": 1})
UNSTABLE = """import time
import uuid
from pathlib import Path

import pytest
import shop


class Thing:
    pass


@pytest.mark.parametrize("now", [time.time(), time.time() + 1])
def test_now(now):
    assert shop.total([1]) == 1


@pytest.mark.parametrize("thing", [Thing()], ids=repr)
def test_thing(thing):
    assert thing


@pytest.mark.parametrize("key", [str(uuid.uuid4())])
def test_key(key):
    assert key


@pytest.mark.parametrize("path", sorted(map(str, Path(__file__).parent.glob("*.txt"))))
def test_path(path):
    assert Path(path).exists()
"""
FAIL_FAST = FILES["pyproject.toml"] + 'addopts = "-x"\n'


def judge(ground: Ground, *, test: str = TEST, setup: str = "", seconds: float = 30) -> BaseJudgement:
    project = ProjectPolicy(test=test, setup=setup, test_timeout=timedelta(seconds=seconds))
    policy = Policy.model_construct(project=project, grading=TWICE)
    sandbox = open_sandbox(policy.sandbox, ground.state)
    bench = Bench(ground.repository, policy, sandbox, ground.state / "judging" / "scratch", lambda step: None)
    return asyncio.run(judge_base(bench, ground.repository.base().commit))


@dataclass(frozen=True)
class Silent:
    """A project whose tests tell nothing, and what must be said of it."""

    name: str
    reason: str
    quote: str
    files: Mapping[str, str] = field(default_factory=lambda: {"tests/test_shop.py": TESTS})
    test: str = TEST
    setup: str = ""
    seconds: float = 30


SILENT = (
    Silent("no tests at all", "no JUnit report, or one without a test", "no tests ran", {}),
    Silent(
        "a database that is not there",
        "no test passes; reported: 1",
        "Connection refused",
        {"tests/test_db.py": "import socket\ndef test_db():\n    socket.create_connection(('127.0.0.1', 5432))\n"},
    ),
    Silent(
        "a conftest that raises",
        "no JUnit report, or one without a test",
        "no network",
        {"tests/test_shop.py": TESTS, "conftest.py": "raise RuntimeError('no network')\n"},
    ),
    Silent("too little time", "do not end within", "", {"tests/test_s.py": "while True:\n    pass\n"}, seconds=3),
    Silent(
        "a module that cannot be imported",
        "no test passes; reported: 1",
        "no_such_module",
        {"tests/test_shop.py": TESTS, "tests/test_other.py": "import no_such_module\n"},
    ),
    Silent("an unknown option", "no JUnit report", "--no-such-option", test=f"{TEST} --no-such-option"),
    Silent("a setup that fails", "the setup command fails", "not here", setup="echo not here; false"),
    Silent("no XML", "cannot be read", "not XML", test="echo '<testsuite' > {junit}"),
)


@pytest.mark.parametrize("case", SILENT, ids=lambda case: case.name)
def test_a_base_that_tells_nothing_says_why(case: Silent, tmp_path: Path) -> None:
    project = {name: FILES[name] for name in ("shop.py", "pyproject.toml", "tests/helpers.py")}
    ground = Ground(tmp_path, {**project, **case.files})
    judgement = judge(ground, test=case.test, setup=case.setup, seconds=case.seconds)
    assert judgement.passed == 0
    assert case.reason in judgement.reason
    assert case.quote in "\n".join(judgement.errors)
    assert not list((ground.state / "judging").glob("judged-*.json")), "a fault that may be mended is not kept"


def test_a_base_is_judged_once(tmp_path: Path) -> None:
    ground = Ground(tmp_path, {**FILES, "tests/test_red.py": "def test_red():\n    assert 1 == 2\n"})
    first = judge(ground)
    (kept,) = (ground.state / "judging").glob("judged-*.json")
    written = kept.stat().st_mtime_ns
    assert judge(ground) == first
    assert kept.stat().st_mtime_ns == written
    assert first.summary().sentence() == "On base: 2 pass, 1 fail, 0 unstable, 0 skipped."


def test_who_asks_while_a_base_is_judged_takes_what_is_found(tmp_path: Path) -> None:
    ground, steps = Ground(tmp_path), list[str]()
    policy = Policy.model_construct(project=ProjectPolicy(test=TEST), grading=TWICE)
    sandbox = open_sandbox(policy.sandbox, ground.state)
    scratch = ground.state / "judging"
    benches = [Bench(ground.repository, policy, sandbox, scratch / name, steps.append) for name in ("a", "b")]

    async def both() -> list[BaseJudgement]:
        commit = ground.repository.base().commit
        return list(await asyncio.gather(*(judge_base(bench, commit) for bench in benches)))

    first, second = asyncio.run(both())
    assert first == second
    assert sorted(steps) == ["base-1: running the tests", "base-again-2: running the tests"]


@pytest.fixture(scope="module")
def unstable(tmp_path_factory: pytest.TempPathFactory) -> Ground:
    files = {**FILES, "tests/test_ids.py": UNSTABLE, "tests/one.txt": "", "tests/two.txt": ""}
    return Ground(tmp_path_factory.mktemp("unstable"), files)


def test_ids_that_change_from_run_to_run_are_no_regression(unstable: Ground) -> None:
    evidence = unstable.grade(Row("does the work", {"shop.py": DONE}, "passed", ""), TWICE)
    page = evidence.markdown()
    assert evidence.verdict == "passed", page
    assert re.match(r"On base: [2-4] pass, 0 fail, [1-9] unstable, 0 skipped\.", page)
    assert evidence.base is not None
    # pytest itself gives a path that is too long another id, which is stable
    unsteady = {test.rpartition("_")[2] for test in evidence.base.unstable_ids}
    assert unsteady - {"path"} == {"key", "now", "thing"}


def test_a_case_that_fails_on_the_change_alone_is_one(unstable: Ground) -> None:
    broken = DONE.replace("sum(prices)", "sum(prices) if len(prices) != 1 else 0")
    evidence = unstable.grade(Row("breaks one", {"shop.py": broken}, "failed", ""), TWICE)
    assert [one.test for one in evidence.regressions] == ["tests.test_ids::test_now"]


def test_a_suite_that_stops_early_hides_nothing(tmp_path: Path) -> None:
    ground = Ground(tmp_path, {**FILES, "pyproject.toml": FAIL_FAST})
    broken = DONE.replace("sum(prices)", "sum(prices) + 1")
    evidence = ground.grade(Row("breaks what was there", {"shop.py": broken}, "failed", ""), TWICE)
    names = {"tests.test_shop::test_total", "tests.test_shop::test_nothing"}
    assert {one.test for one in evidence.regressions} == names
    assert all(one.message != "it did not run" for one in evidence.regressions)
    honest = ground.grade(Row("does the work", {"shop.py": DONE}, "passed", ""), TWICE)
    assert honest.verdict == "passed", honest.markdown()
