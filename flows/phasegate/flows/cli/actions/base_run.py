"""Judgement of a repository's current commit, as a run's first step makes it. For `doctor --run`."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable
from pathlib import Path

from phasegate.flows.cli.actions.checks import CheckContext
from phasegate.flows.runs.base_policy import read_policy
from phasegate.infra.grading.base import judge_base
from phasegate.infra.grading.base_summary import BaseSummary
from phasegate.infra.grading.runner.runner import Bench
from phasegate.infra.sandbox import open_sandbox
from phasegate.infra.workspace import Repository


def judge_current(context: CheckContext, on_step: Callable[[str], None]) -> BaseSummary:
    """Run the project's own tests on the commit that a run would start from.

    Args:
        context: The repository and the state folder.
        on_step: Told what is being done.

    Raises:
        ConfigError: The repository or its policy does not hold.

    Effects: the judgement is kept in the state folder, where a run finds it.
    """
    repository = Repository.open(context.folder)
    base, policy, _ = read_policy(repository)
    settings = context.settings
    settings.create_folders()
    sandbox = open_sandbox(policy.sandbox, settings.home)
    with tempfile.TemporaryDirectory(dir=settings.scratch) as folder:
        bench = Bench(repository, policy, sandbox, Path(folder) / "doctor", on_step, settings.bases)
        return asyncio.run(judge_base(bench, base.commit)).summary()
