"""Target `command`: what the team's commands are told, and what happens when they lie, fail, or hang."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from tests.support.command_target import OPS, calls, command_target

from phasegate.infra.errors import DeployFailed, TargetRefused
from phasegate.infra.system.processes import find_by_mark


async def test_what_the_commands_are_told(tmp_path: Path) -> None:
    target = command_target(tmp_path)
    for release, commit in (("r1", "one"), ("r2", "two")):
        await target.start_candidate(release, commit)
        await target.cut_over(release)
    await target.restore("r1")

    told = [(one["action"], one["release_id"], one["commit"], one["previous_id"]) for one in calls(tmp_path)]
    assert told == [
        ("deploy", "r1", "one", ""),
        ("promote", "r1", "one", ""),
        ("deploy", "r2", "two", "r1"),
        ("promote", "r2", "two", "r1"),
        ("rollback", "r2", "two", "r1"),
    ]
    assert {one["cwd"] for one in calls(tmp_path)} == {str(tmp_path / "base")}
    shown = [(Path(one["files"]) / "commit").read_text() for one in calls(tmp_path)]
    assert shown == ["one", "one", "two", "two", "one"]


async def test_they_have_the_variables_policy_names_and_no_others(tmp_path: Path) -> None:
    target = command_target(tmp_path, status=f"env >&2; {OPS}")
    await target.status()
    said = (tmp_path / "services" / "shop" / "log").read_text()
    assert "WORLD=" in said
    assert "hunter2" not in said


async def test_what_they_say_is_kept(tmp_path: Path) -> None:
    target = command_target(tmp_path)
    await target.start_candidate("r1", "one")
    said = (tmp_path / "services" / "shop" / "releases" / "r1" / "log").read_text()
    assert said.startswith("deploy r1\n{")


@pytest.mark.parametrize("commit", ["sick-in-place", "liar"])
async def test_a_promotion_that_did_not_take_place_is_taken_back(tmp_path: Path, commit: str) -> None:
    """Mutation tried: `cut_over` believes `promote`."""
    target = command_target(tmp_path)
    await target.start_candidate("r1", "one")
    await target.cut_over("r1")
    await target.start_candidate("r2", commit)
    with pytest.raises(DeployFailed, match=r"did not come up as service: `status` says afterwards that .* serves"):
        await target.cut_over("r2")
    state = await target.status()
    assert state.current is not None
    assert (state.current.release_id, state.current.alive) == ("r1", True)


async def test_a_rollback_that_only_claims_to_be_one_is_loud(tmp_path: Path) -> None:
    """Mutation tried: `restore` believes `rollback`."""
    target = command_target(tmp_path, rollback="echo '{}'")
    for release, commit in (("r1", "one"), ("r2", "two")):
        await target.start_candidate(release, commit)
        await target.cut_over(release)
    with pytest.raises(DeployFailed, match="did not go back to r1: `status` says afterwards that r2 serves"):
        await target.restore("r1")


async def test_what_the_weight_command_is_told_and_that_a_share_is_given_back_before_the_end(tmp_path: Path) -> None:
    target = command_target(tmp_path)
    await target.start_candidate("r1", "one")
    await target.cut_over("r1")
    await target.start_candidate("r2", "two")
    for percent in (25, 25, 50):
        await target.set_weight("r2", percent)
    await target.stop_candidate("r2")

    told = [(one["action"], one["release_id"], one["previous_id"], one.get("weight")) for one in calls(tmp_path)]
    assert told[3:] == [
        ("weight", "r2", "r1", "25"),
        ("weight", "r2", "r1", "50"),
        ("weight", "r2", "r1", "0"),
        ("rollback", "r2", "r1", None),
    ]


async def test_a_share_that_did_not_come_about_is_no_share(tmp_path: Path) -> None:
    target = command_target(tmp_path)
    await target.start_candidate("r1", "one")
    await target.cut_over("r1")
    await target.start_candidate("r2", "liar")
    with pytest.raises(DeployFailed, match=r"did not get 25 % of the traffic: `status` says afterwards that it is 0 %"):
        await target.set_weight("r2", 25)


async def test_without_a_weight_command_nothing_is_shifted(tmp_path: Path) -> None:
    target = command_target(tmp_path, weight="")
    await target.start_candidate("r1", "one")
    with pytest.raises(TargetRefused, match="cannot let a candidate take a share") as refused:
        await target.set_weight("r1", 25)
    assert "[deploy.commands] weight" in refused.value.remedy


async def test_a_release_is_taken_back_by_the_commands_it_was_made_with(tmp_path: Path) -> None:
    target = command_target(tmp_path)
    for release, commit in (("r1", "one"), ("r2", "two")):
        await target.start_candidate(release, commit)
        await target.cut_over(release)
    later = command_target(tmp_path, rollback="exit 1")
    assert (await later.restore("r1")).current is not None


async def test_what_somebody_released_by_hand_is_seen(tmp_path: Path) -> None:
    (tmp_path / "world.json").write_text(json.dumps({"current": "by-hand", "alive": True, "candidates": []}))
    target = command_target(tmp_path)
    state = await target.status()
    assert state.current is not None
    assert (state.current.release_id, state.current.commit, state.previous) == ("by-hand", "", None)
    await target.start_candidate("r1", "one")
    with pytest.raises(DeployFailed, match="was to replace nothing, but by-hand is current"):
        await target.cut_over("r1", over=[None])
    assert (await target.cut_over("r1", over=["by-hand"])).previous == "by-hand"


@pytest.mark.parametrize(
    ("status", "says"),
    [
        ("exit 3", "it exited with code 3"),
        ("echo no such host >&2; exit 1", "  no such host"),
        ("echo up", "it printed no JSON object"),
        ("echo '[]'", "it printed no JSON object"),
        ("echo '{}'", "current"),
        ("kill -9 $$", "was ended by signal 9"),
        ("sleep 60", "took longer than 0:00:01"),
    ],
)
async def test_without_a_status_nothing_is_done(tmp_path: Path, status: str, says: str) -> None:
    target = command_target(tmp_path, status=status, limit=timedelta(seconds=1))
    with pytest.raises(DeployFailed, match=says):
        await target.start_candidate("r1", "one")
    assert not (tmp_path / "calls").exists()


async def test_many_may_ask_at_the_same_time(tmp_path: Path) -> None:
    """Mutation tried: no lock around `status`; one is ended by the other's beginning."""
    ours, theirs = (command_target(tmp_path, status=f"sleep 0.1; {OPS}") for _ in range(2))
    await ours.start_candidate("r1", "one")
    told = await asyncio.gather(ours.status(), theirs.status(), ours.status())
    assert [state.candidates for state in told] == [told[0].candidates] * 3


async def test_what_a_killed_engine_left_running_is_ended_before_it_is_run_again(tmp_path: Path) -> None:
    """Mutation tried: `run_command` does not stop what carries the mark."""
    begun, both = tmp_path / "begun", tmp_path / "both"
    first = f"echo $$ > {begun}; sleep 60"
    second = f"if grep -q . /proc/$(cat {begun})/cmdline; then touch {both}; fi"
    slow = f"if [ ! -e {begun} ]; then {first}; else {second}; fi; {OPS}"
    program = f"""
import asyncio, sys
sys.path.insert(0, {str(Path(__file__).parents[3])!r})
from pathlib import Path
from tests.support.command_target import command_target
asyncio.run(command_target(Path({str(tmp_path)!r}), deploy={slow!r}).start_candidate("r1", "one"))
"""
    engine = await asyncio.create_subprocess_exec(sys.executable, "-c", program)
    while not begun.exists() or not begun.read_text():  # noqa: ASYNC110 -- another process makes it
        await asyncio.sleep(0.05)
    os.kill(engine.pid, signal.SIGKILL)
    await engine.wait()
    mark = str(tmp_path / "services" / "shop")
    assert find_by_mark(mark)

    await command_target(tmp_path, deploy=slow).start_candidate("r1", "one")

    assert not find_by_mark(mark)
    assert not both.exists()
    assert [one["action"] for one in calls(tmp_path)] == ["deploy"]
