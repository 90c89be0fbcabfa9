"""`python -m benchmarks grading`: processor time of a grade, compared with the setup command and one run of the tests.

Of projects of a few hundred tests (`grading_projects`). Counts what everything that was started used up, inside the
sandbox, too; wall clock would depend on what else the machine does. Into GRADING.md.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import resource
import tempfile
from collections.abc import Awaitable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from benchmarks.grading_projects import Sample, handed_to_setup, index_hosts, samples

from phasegate.infra.grading.base import judge_base
from phasegate.infra.grading.evidence import Evidence
from phasegate.infra.grading.grade import grade
from phasegate.infra.grading.runner.runner import Bench
from phasegate.infra.grading.sealed_tests import SealedTests
from phasegate.infra.policy.model import GradingPolicy, LifecyclePolicy, Policy, ProjectPolicy, SandboxPolicy
from phasegate.infra.sandbox import open_sandbox, run_setup
from phasegate.infra.workspace import Repository, Workspace
from phasegate.infra.workspace.clone import clone

GRADE, FIRST = 1.6, 3.0
"""Goals: a grade without ablation, and the first judgement of a base, in times of setup plus one run of the tests."""
_TABLE = Path(__file__).with_name("GRADING.md")
_LONG = timedelta(minutes=10)
_SUBREAPER = 36  # PR_SET_CHILD_SUBREAPER of prctl(2)
_HEAD = f"""# What a grade costs

Written by `make bench ARGS=grading`. Processor time in seconds of all that was started, on projects with a few hundred
tests. *One run* is of the tests in the checkout that setup was run in, with nothing compiled before. *Grade* is one of
a change that passes and has a test of its own, on a base that was judged before, without ablation, which has a time of
its own; the goal is {GRADE:g} × (setup + one run of the tests). *Judgement* is the first one of a base, once for all
runs; the goal is {FIRST:g} ×.

| project | setup | one run | judgement | × | grade | × |
| --- | --- | --- | --- | --- | --- | --- |
"""


@dataclass(frozen=True)
class _Criterion:
    id: str
    statement: str


@dataclass(frozen=True)
class Costs:
    """Processor time, in seconds."""

    setup: float
    run: float
    judgement: float
    grade: float

    def row(self, name: str) -> str:
        """As a row of the table."""
        least = self.setup + self.run
        told = (self.setup, self.run, self.judgement, self.judgement / least, self.grade, self.grade / least)
        return f"| {name} | {' | '.join(f'{number:.2f}' for number in told)} |"


def measure() -> None:
    """Measure all projects whose programs are here, and write the table."""
    ctypes.CDLL(None).prctl(_SUBREAPER, 1, 0, 0, 0)  # what a sandbox leaves to be waited for counts, too
    rows: list[str] = []
    for sample in samples():
        if not sample.is_here:
            print(f"{sample.name} is left out: there is no {sample.needs} here", flush=True)
            continue
        with tempfile.TemporaryDirectory(prefix="phasegate-grading-", ignore_cleanup_errors=True) as folder:
            rows.append(asyncio.run(_measured(sample, Path(folder))).row(sample.name))
        print(rows[-1], flush=True)
    _TABLE.write_text(_HEAD + "".join(f"{row}\n" for row in rows))


async def _measured(sample: Sample, folder: Path) -> Costs:
    top, state = folder / "project", folder / "state"
    sample.write(top)
    policy = Policy(
        project=ProjectPolicy(
            setup=sample.setup,
            setup_environment=handed_to_setup(),
            test=sample.test,
            test_timeout=_LONG,
        ),
        lifecycle=LifecyclePolicy(stages=("prd", "implementation", "testing")),
        sandbox=SandboxPolicy(setup_network=True, network=index_hosts()),
        grading=GradingPolicy(ablation_time=timedelta(0)),
    )
    repository, sandbox = Repository.open(top), open_sandbox(policy.sandbox, state)
    base = repository.base().commit

    def bench(name: str) -> Bench:
        return Bench(repository, policy, sandbox, state / name / "scratch", _say_nothing, state / "bases")

    plain = folder / "plain"
    clone(repository, base, plain)
    setup = await _cost(run_setup(sandbox, policy, plain, inside=bench("plain").inside))
    command = sample.test.replace("{junit}", "report.xml")
    run = await _cost(sandbox.run(command, folder=plain, timeout=_LONG, inside=bench("plain").inside))
    judgement = await _cost(judge_base(bench("judging"), base))
    workspace = Workspace.create(repository, "r1", base, state / "work")
    for name, content in sample.change.items():
        (workspace.folder / name).write_text(content)
    change = workspace.collect(base, (), "Double")
    evidence: list[Evidence] = []

    async def graded() -> None:
        evidence.append(
            await grade(
                repository=repository,
                change=change,
                sealed=SealedTests(files=(sample.sealed,)),
                criteria=(_Criterion("AC1", "double gives twice a number"),),
                policy=policy,
                sandbox=sandbox,
                scratch=state / "grading" / "scratch",
                on_step=_say_nothing,
                bases=state / "bases",
            )
        )

    cost = await _cost(graded())
    if evidence[0].verdict != "passed":
        raise RuntimeError(f"{sample.name}: {evidence[0].markdown()}")
    return Costs(setup, run, judgement, cost)


def _say_nothing(step: str) -> None:
    pass


async def _cost(work: Awaitable[object]) -> float:
    before = _used()
    await work
    return _used() - before


def _used() -> float:
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass  # all were waited for
    own, below = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + below.ru_utime + below.ru_stime
