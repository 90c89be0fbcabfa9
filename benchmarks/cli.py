"""`python -m benchmarks cli`: processor time of the commands that a person gives most often. Into CLI.md.

Each is a process of its own, as a shell starts it, in a repository with a policy, on a ledger with thirty runs and
beside an engine that is up. A bare interpreter and `git status` are measured in the same run.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from tests.acceptance.cli.conftest import CliHarness

from phasegate.infra.ledger import Ledger, Run
from phasegate.infra.settings import Settings

_TABLE = Path(__file__).with_name("CLI.md")
_COMMAND = Path(sys.executable).parent / "phasegate"
_RUNS, _ROUNDS, _GOAL_SECONDS = 30, 9, 0.4
_POLICY = '[project]\ntest = "pytest -q --junitxml={junit}"\n[deploy]\nstart = "python3 -m shop {port}"\n'
_HEAD = f"""# Processor time of commands

Written by `make bench ARGS=cli`: user and system time of one process with its children, the least and the median of
{_ROUNDS}. The ledger has {_RUNS} runs, and an engine is up. Goal: at most {_GOAL_SECONDS} s on an idle machine.

Load before: {{load}}.

| command | least, s | median, s | × bare interpreter |
| --- | --- | --- | --- |
"""


def measure() -> None:
    """Measure, and write the table."""
    load = f"{os.getloadavg()[0]:.1f}"
    with tempfile.TemporaryDirectory(prefix="phasegate-cli-") as folder, _machine(Path(folder)) as scene:
        times = dict(_measured(*scene))
    bare = min(times["python -c pass"])
    rows = [
        f"| `{words}` | {min(taken):.2f} | {median(taken):.2f} | {min(taken) / bare:.0f} |"
        for words, taken in times.items()
    ]
    table = _HEAD.format(load=load) + "\n".join(rows) + "\n"
    _TABLE.write_text(table)
    print(table)


@contextmanager
def _machine(folder: Path) -> Iterator[tuple[Path, Mapping[str, str], list[Run]]]:
    """A repository, the environment of its commands, and runs that wait at gate prd; an engine is up."""
    repository, home = folder / "shop", folder / "home"
    repository.mkdir()
    (repository / "phasegate.toml").write_text(_POLICY)
    git = ["git", "-c", "user.name=ana", "-c", "user.email=ana@example.org"]
    for words in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "Begin"]):
        subprocess.run([*git, *words], cwd=repository, check=True)
    settings = Settings(home=home)
    settings.create_folders()
    ledger = Ledger.open(settings.database_url)
    try:
        harness = CliHarness(home, ledger)
        runs = [harness.at_prd_gate(repository=repository)[0] for _ in range(_RUNS)]
    finally:
        ledger.close()
    environment = {**os.environ, "PHASEGATE_HOME": str(home)}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    subprocess.run([_COMMAND, "up", "--detach"], env=environment, check=True, stdout=subprocess.DEVNULL)
    try:
        yield repository, environment, runs
    finally:
        subprocess.run([_COMMAND, "down"], env=environment, check=True, stdout=subprocess.DEVNULL)


def _measured(
    repository: Path, environment: Mapping[str, str], runs: Sequence[Run]
) -> Iterator[tuple[str, list[float]]]:
    """Name of each command, and the seconds that each of its rounds took."""

    def rounds(*commands: Sequence[str | Path]) -> list[float]:
        return [_seconds(command, repository, environment) for command in commands]

    yield "python -c pass", rounds(*[[sys.executable, "-c", "pass"]] * _ROUNDS)
    yield "git status", rounds(*[["git", "status"]] * _ROUNDS)
    for words in (["--help"], ["runs"], ["status"], ["show", runs[0].id], ["doctor"]):
        yield f"phasegate {words[0]}", rounds(*[[_COMMAND, *words]] * (_ROUNDS + 1))[1:]
    yield "phasegate approve", rounds(*([_COMMAND, "approve", run.id] for run in runs[: _ROUNDS + 1]))[1:]


def _seconds(command: Sequence[str | Path], folder: Path, environment: Mapping[str, str]) -> float:
    """User and system time of a process and of the children that it waited for."""
    process = subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in {0, 2}:  # doctor exits with 2 where a key is missing
        raise RuntimeError(f"{command} ended with {process.returncode}")
    return usage.ru_utime + usage.ru_stime
