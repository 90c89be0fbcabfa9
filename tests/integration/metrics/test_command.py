"""A command of the team's own as a metric source."""

from __future__ import annotations

import math
from datetime import timedelta
from pathlib import Path

import pytest
from tests.integration.metrics.conftest import MakeReleased

from phasegate.infra.errors import TemporaryError
from phasegate.infra.metrics.sources.measured_release import MeasuredRelease
from phasegate.infra.metrics.sources.open import source_of
from phasegate.infra.policy.monitor import MetricPolicy


async def run(command: str, of: MeasuredRelease, *, seconds: float = 10) -> dict[str, float]:
    metric = MetricPolicy(
        name="m",
        source="command",
        command=command,
        values=("p95", "rate"),
        request_timeout=timedelta(seconds=seconds),
    )
    return dict((await source_of(metric, of).read()).values)


async def test_the_numbers_it_names_are_read(released: MakeReleased) -> None:
    found = await run("""echo '{"p95": 12, "rate": 0.5, "more": "text"}'""", released())
    assert found == {"p95": 12.0, "rate": 0.5}


async def test_null_is_nothing_to_count(released: MakeReleased) -> None:
    found = await run("""echo '{"p95": null, "rate": NaN}'""", released())
    assert all(math.isnan(value) for value in found.values())


async def test_it_knows_the_release_and_none_of_the_engine_s_secrets(released: MakeReleased, tmp_path: Path) -> None:
    """Mutation tried: the engine's whole environment is handed on."""
    script = 'env > seen; echo "{\\"p95\\": 1, \\"rate\\": 2}"'
    await run(script, released(OPENAI_API_KEY="hunter2-hunter2"))
    seen = dict(line.split("=", 1) for line in (tmp_path / "seen").read_text().splitlines())
    assert (seen["PHASEGATE_RELEASE_ID"], seen["PHASEGATE_URL"]) == ("rel-1", "http://127.0.0.1:1")
    assert seen["PHASEGATE_COMMIT"] == "c" * 40
    assert "OPENAI_API_KEY" not in seen


@pytest.mark.parametrize(
    ("command", "says"),
    [
        ("echo no such thing >&2; exit 3", "ended with 3: no such thing"),
        ("exit 1", "ended with 1: it said nothing"),
        ("echo hello", "no JSON"),
        ("echo '[1]'", "no JSON object"),
        ("""echo '{"p95": 1}'""", "no number 'rate'"),
        ("""echo '{"p95": 1, "rate": "2"}'""", "no number 'rate'"),
        ("""echo '{"p95": true, "rate": 2}'""", "no number 'p95'"),
        ("kill -9 $$", "ended with -9"),
    ],
)
async def test_what_is_no_measurement_is_an_error(released: MakeReleased, command: str, says: str) -> None:
    with pytest.raises(TemporaryError, match=says):
        await run(command, released())


async def test_a_complaint_is_masked(released: MakeReleased) -> None:
    with pytest.raises(TemporaryError) as caught:
        await run("echo the key is hunter2-hunter2 >&2; exit 1", released(SOME_TOKEN="hunter2-hunter2"))
    assert "hunter2" not in caught.value.message


async def test_one_that_takes_too_long_is_killed_with_all_it_started(released: MakeReleased, tmp_path: Path) -> None:
    """Mutation tried: only the shell is killed."""
    with pytest.raises(TemporaryError, match="took longer than"):
        await run("sleep 60 & echo $! > pid; wait", released(), seconds=1)
    assert ended(int((tmp_path / "pid").read_text()))


def ended(pid: int) -> bool:
    """True if a process has ended, or only waits for its parent to collect it."""
    stat = Path(f"/proc/{pid}/stat")
    return not stat.exists() or stat.read_text().split()[2] == "Z"
