"""P8, P13: what an earlier version stored is shown, audited, rehearsed and replayed by today's code."""

from __future__ import annotations

import gzip
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.acceptance.lifecycle.conftest import git
from tests.golden.restore import DATA, restore
from tests.machine import Machine
from tests.quick_machine import QuickMachine

pytestmark = pytest.mark.timeout(900)  # each fixture has an engine of its own started

VERSIONS = sorted(folder.name for folder in DATA.iterdir())
DEPARTED: Mapping[str, tuple[str, int]] = {"0.0": ("prd/1", 1), "0.1": ("prd/1", 1)}
"""Versions whose requests are not today's any more: the thread and the turn at which their rehearsal departs."""


@dataclass
class Kept:
    """A machine on which an earlier version left a finished run.

    Attributes:
        version: Which.
        machine: With that version's ledger and threads.
        run: The run.
        repository: Where its repository is now.
        bundle: The trail that version exported.
    """

    version: str
    machine: Machine
    run: str
    repository: Path
    bundle: Path


@pytest.fixture(scope="module", params=VERSIONS)
def kept(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kept]:
    """State left by that version, on another machine than its own; its engine is today's."""
    stored, folder = DATA / request.param, tmp_path_factory.mktemp("golden")
    machine, repository = QuickMachine(folder / "home"), folder / "greeter"
    restore(stored, machine.home, repository)
    bundle = folder / "run.bundle.json"
    bundle.write_bytes(gzip.decompress((stored / f"{bundle.name}.gz").read_bytes()))
    yield Kept(request.param, machine, (stored / "run").read_text().strip(), repository, bundle)
    machine.phasegate("down", "--services")


def test_it_is_shown(kept: Kept) -> None:
    shown = kept.machine.show(kept.run)
    assert shown["status"] == "done"
    assert [(gate["gate"], gate["status"]) for gate in shown["gates"]] == [
        ("prd", "approved"),
        ("change", "approved"),
        ("release", "approved"),
    ]
    assert all(stage["artifact"]["content"] for stage in shown["stages"])
    assert kept.machine.phasegate("show", kept.run).code == 0
    assert kept.machine.phasegate("logs", kept.run).code == 0


def test_its_trail_holds_in_the_ledger_and_in_its_bundle(kept: Kept) -> None:
    there = kept.machine.phasegate("audit", kept.bundle, "--json")
    assert there.code == 0, there.err
    here = kept.machine.phasegate("audit", kept.run, "--json")
    assert here.code == 0, here.err
    assert {name: here.json[name] for name in ("run_id", "events", "rows", "head")} == {
        name: there.json[name] for name in ("run_id", "events", "rows", "head")
    }
    assert there.json["release"] == git(kept.repository, "rev-parse", "phasegate/main").strip()


def test_it_is_rehearsed_as_it_was(kept: Kept) -> None:
    """No effect is made, whatever comes out of it. A request that is another is named, as 0.0's are."""
    result = kept.machine.phasegate("replay", kept.run, "--rehearse", "--repo", kept.repository, "--json")
    assert result.out, result.err + str(result.code)
    assert kept.machine.show(result.json["run"])["effects"] == []
    if kept.version not in DEPARTED:
        assert (result.code, result.json["verdict"]) == (0, "same"), result.out + result.err
        return
    thread, turn = DEPARTED[kept.version]
    departed = result.json["departed"]
    assert (result.code, departed["turn"]) == (1, turn), result.out + result.err
    assert departed["attempt"] == f"{result.json['run']}/{thread}"


def test_a_replay_adopts_its_finished_stages_and_its_approvals(kept: Kept) -> None:
    """No model is asked for what is finished, and no person about what is the same (P4).

    Mutation seen: `Artifact.canonical` written again from 0.0's stored text; the replay did not find that artifact.
    """
    machine = kept.machine
    result = machine.phasegate("replay", kept.run, "--from", "deployment", "--repo", kept.repository, "--json")
    assert result.code == 3, result.out + result.err
    shown, run = result.json, result.json["id"]
    called = {stage["id"].removeprefix(f"{run}/"): stage["usage"]["turns"] for stage in shown["stages"]}
    assert called == {
        "prd/1": 0,
        "implementation/1": 0,
        "testing.authoring/1": 0,
        "testing.grading/1": 0,
        "deployment.plan/1": 1,
    }
    assert [(gate["gate"], gate["status"]) for gate in shown["gates"]] == [
        ("prd", "approved"),
        ("change", "approved"),
        ("release", "open"),
    ]
    assert shown["decisions"] == []
    assert machine.phasegate("audit", run).code == 0
